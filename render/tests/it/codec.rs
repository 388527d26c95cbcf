//! Files in and out: every format, orientation, profiles, scaled and cropped decodes, and everything that is wrong with
//! files.

use std::path::Path;
use tintype_render::codec::{decode, encode, probe, verify};
use tintype_render::frame::Frame;
use tintype_render::language::{ChromaSampling, Format, QualityLevel};
use tintype_render::plan::geometry::{Orientation, Rect, Size};
use tintype_render::plan::step::Demand;
use tintype_render::plan::{Encoding, Quality};
use tintype_render::{Error, Limits};

const FORMATS: [Format; 4] = [Format::Jpeg, Format::Png, Format::WebP, Format::Avif];
const READABLE: [Format; 3] = [Format::Jpeg, Format::Png, Format::WebP];

fn encoding(format: Format, quality: u8) -> Encoding {
    Encoding { format, quality: Quality::Fixed(quality), chroma: None, progressive: false }
}

fn file(frame: &Frame, format: Format, quality: u8) -> Vec<u8> {
    encode(frame, &encoding(format, quality), &Limits::default()).unwrap().bytes
}

fn sample(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("../api/assets/samples").join(name)).unwrap()
}

fn demand(size: Size, scale: f64, region: Rect) -> Demand {
    Demand { size, scale, region }
}

fn whole(bytes: &[u8]) -> Frame {
    let size = probe(bytes, &Limits::default()).unwrap().size;
    decode(bytes, &demand(size, 1.0, Rect::whole(size)), &Limits::default()).unwrap().0
}

/// A smooth picture with some structure, so that lossy formats keep it closely.
fn smooth(size: Size, alpha: bool) -> Frame {
    let mut pixels = Vec::new();
    for y in 0..size.height {
        for x in 0..size.width {
            let (u, v) = (x as f32 / size.width as f32, y as f32 / size.height as f32);
            let wave = ((u * 9.0).sin() * (v * 7.0).cos() * 40.0) as i32;
            let byte = |value: f32| (value as i32 + wave).clamp(0, 255) as u8;
            let opacity = if alpha { (u * 130.0 + v * 120.0) as u8 } else { 255 };
            pixels.extend_from_slice(&[byte(u * 200.0 + 30.0), byte(v * 180.0 + 40.0), byte(120.0), opacity]);
        }
    }
    Frame::new(size, alpha, pixels).unwrap()
}

fn mean_error(a: &Frame, b: &Frame) -> f64 {
    assert_eq!(a.size(), b.size());
    let sum: u64 = a.pixels().iter().zip(b.pixels()).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
    sum as f64 / a.pixels().len() as f64
}

#[test]
fn every_readable_format_gives_back_what_was_written() {
    for size in [Size::new(1, 1), Size::new(3, 17), Size::new(64, 48), Size::new(257, 129)] {
        for format in READABLE {
            let frame = smooth(size, false);
            let bytes = file(&frame, format, 95);
            let found = probe(&bytes, &Limits::default()).unwrap();
            assert_eq!((found.format, found.size, found.has_alpha), (format, size, false));
            let error = mean_error(&whole(&bytes), &frame);
            // Half the chroma of a few pixels is hardly any.
            let most = if format == Format::Png {
                0.0
            } else if size.width < 8 {
                9.0
            } else {
                4.0
            };
            assert!(error <= most, "{format:?} {size}: {error}");
        }
    }
}

#[test]
fn alpha_survives_where_the_format_has_it() {
    let frame = smooth(Size::new(80, 60), true);
    for format in [Format::Png, Format::WebP] {
        let bytes = file(&frame, format, 95);
        assert!(probe(&bytes, &Limits::default()).unwrap().has_alpha);
        let back = whole(&bytes);
        for (a, b) in back.pixels().chunks_exact(4).zip(frame.pixels().chunks_exact(4)) {
            assert_eq!(a[3], b[3], "{format:?}");
        }
    }
    assert!(matches!(encode(&frame, &encoding(Format::Jpeg, 80), &Limits::default()), Err(Error::Encode(_))));
    let avif = file(&frame, Format::Avif, 70);
    assert_eq!(&avif[4..12], b"ftypavif");
}

#[test]
fn reading_avif_is_refused_by_name() {
    let avif = file(&smooth(Size::new(32, 32), false), Format::Avif, 50);
    match probe(&avif, &Limits::default()) {
        Err(Error::Unsupported { what }) => assert!(what.contains("avif"), "{what}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_cropped_decode_is_a_part_of_the_whole_one() {
    let size = Size::new(403, 301);
    for (format, alpha) in
        [(Format::Jpeg, false), (Format::Png, false), (Format::Png, true), (Format::WebP, false), (Format::WebP, true)]
    {
        let bytes = file(&smooth(size, alpha), format, 90);
        let full = whole(&bytes);
        assert_eq!(full.has_alpha(), alpha, "{format:?}");
        for region in [
            Rect::new(0, 0, 403, 301),
            Rect::new(37, 19, 101, 77),
            Rect::new(250, 200, 153, 101),
            Rect::new(402, 300, 1, 1),
            Rect::new(33, 0, 40, 301),
        ] {
            let (part, decoded) = decode(&bytes, &demand(size, 1.0, region), &Limits::default()).unwrap();
            assert_eq!((decoded.full, decoded.window), (size, region), "{format:?}");
            for y in 0..region.height {
                for x in 0..region.width {
                    let expected = full.pixel(region.x + x, region.y + y);
                    assert_eq!(part.pixel(x, y), expected, "{format:?} {region:?} at {x},{y}");
                }
            }
        }
    }
}

#[test]
fn a_reduced_jpeg_covers_the_demand_and_shows_the_same() {
    let size = Size::new(805, 603);
    let frame = smooth(size, false);
    for progressive in [false, true] {
        let encoding = Encoding { progressive, ..encoding(Format::Jpeg, 92) };
        let bytes = encode(&frame, &encoding, &Limits::default()).unwrap().bytes;
        for (scale, eighths) in
            [(1.0, 8_u32), (0.9, 8), (0.5, 4), (0.3, 3), (0.126, 2), (0.125, 2), (0.0625, 1), (0.01, 1)]
        {
            let region = Rect::new(200, 100, 400, 300);
            let (part, decoded) = decode(&bytes, &demand(size, scale, region), &Limits::default()).unwrap();
            assert_eq!(decoded.full, Size::new((805 * eighths).div_ceil(8), (603 * eighths).div_ceil(8)));
            let ratio = f64::from(decoded.full.width) / 805.0;
            assert!(f64::from(decoded.window.x) <= 200.0 * ratio);
            assert!(decoded.window.right() * 8 >= 600 * eighths);
            // The middle of the window shows the middle of the region.
            let (x, y) = (part.size().width / 2, part.size().height / 2);
            let at = |v: u32, origin: u32| ((f64::from(v + origin) + 0.5) / ratio) as u32;
            let expected = frame.pixel(at(x, decoded.window.x), at(y, decoded.window.y));
            for channel in 0..3 {
                let difference = part.pixel(x, y)[channel].abs_diff(expected[channel]);
                assert!(difference < 12, "scale {scale}: {:?} {expected:?}", part.pixel(x, y));
            }
        }
    }
}

/// A JPEG with an EXIF block that states an orientation.
fn with_orientation(jpeg: &[u8], value: u8) -> Vec<u8> {
    let mut exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".to_vec();
    exif.extend_from_slice(&[value, 0, 0, 0, 0, 0, 0]);
    let length = (exif.len() + 2) as u16;
    let mut out = jpeg[..2].to_vec();
    out.extend_from_slice(&[0xFF, 0xE1]);
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(&exif);
    out.extend_from_slice(&jpeg[2..]);
    out
}

#[test]
fn exif_orientation_is_read_and_nonsense_ignored() {
    let jpeg = file(&smooth(Size::new(40, 20), false), Format::Jpeg, 80);
    for value in 1..=8 {
        let found = probe(&with_orientation(&jpeg, value), &Limits::default()).unwrap();
        assert_eq!(found.orientation, Orientation::from_exif(value.into()));
    }
    for value in [0, 9, 255] {
        let found = probe(&with_orientation(&jpeg, value), &Limits::default()).unwrap();
        assert_eq!(found.orientation, Orientation::IDENTITY);
    }
    let mut broken = with_orientation(&jpeg, 6);
    broken[12..20].fill(0xFF);
    assert_eq!(probe(&broken, &Limits::default()).unwrap().orientation, Orientation::IDENTITY);
}

#[test]
fn an_embedded_profile_is_applied() {
    let icc = moxcms_p3();
    let red = Frame::filled(Size::new(16, 16), [200, 60, 60, 255]);
    let jpeg = file(&red, Format::Jpeg, 100);
    let mut tagged = jpeg[..2].to_vec();
    tagged.extend_from_slice(&[0xFF, 0xE2]);
    tagged.extend_from_slice(&((icc.len() + 16) as u16).to_be_bytes());
    tagged.extend_from_slice(b"ICC_PROFILE\0\x01\x01");
    tagged.extend_from_slice(&icc);
    tagged.extend_from_slice(&jpeg[2..]);
    let (plain, converted) = (whole(&jpeg).pixel(8, 8), whole(&tagged).pixel(8, 8));
    // The same numbers mean a stronger red in Display P3, so sRGB needs more red and less green for it.
    assert!(converted[0] > plain[0] + 8 && converted[1] < plain[1], "{plain:?} {converted:?}");
    let mut nonsense = tagged.clone();
    nonsense[40..200].fill(0xAA);
    assert_eq!(whole(&nonsense).pixel(8, 8), plain);
}

fn moxcms_p3() -> Vec<u8> {
    moxcms::ColorProfile::new_display_p3().encode().unwrap()
}

#[test]
fn gray_palette_and_deep_png_files_become_rgba() {
    let write = |color: png::ColorType, depth: png::BitDepth, palette: Option<Vec<u8>>, data: &[u8]| {
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, 2, 1);
        encoder.set_color(color);
        encoder.set_depth(depth);
        if let Some(palette) = palette {
            encoder.set_palette(palette);
            encoder.set_trns(vec![255, 0]);
        }
        encoder.write_header().unwrap().write_image_data(data).unwrap();
        bytes
    };
    let gray = write(png::ColorType::Grayscale, png::BitDepth::Eight, None, &[10, 200]);
    assert_eq!(whole(&gray).pixels(), [10, 10, 10, 255, 200, 200, 200, 255]);
    let deep = write(png::ColorType::Rgb, png::BitDepth::Sixteen, None, &[255, 0, 0, 0, 0, 0, 0, 0, 128, 0, 0, 0]);
    assert_eq!(whole(&deep).pixels(), [255, 0, 0, 255, 0, 128, 0, 255]);
    let palette = write(png::ColorType::Indexed, png::BitDepth::Eight, Some(vec![1, 2, 3, 4, 5, 6]), &[0, 1]);
    assert!(probe(&palette, &Limits::default()).unwrap().has_alpha);
    assert_eq!(whole(&palette).pixels(), [1, 2, 3, 255, 4, 5, 6, 0]);
}

#[test]
fn automatic_quality_is_monotone_in_its_levels() {
    for name in ["astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg"] {
        let frame = whole(&sample(name));
        for format in [Format::Jpeg, Format::WebP, Format::Avif] {
            let sizes: Vec<usize> = [QualityLevel::Best, QualityLevel::Good, QualityLevel::Eco, QualityLevel::Low]
                .map(|level| {
                    let encoding = Encoding {
                        quality: Quality::Auto(level),
                        chroma: Some(ChromaSampling::Half),
                        ..encoding(format, 1)
                    };
                    encode(&frame, &encoding, &Limits::default()).unwrap().bytes.len()
                })
                .into();
            assert!(sizes.windows(2).all(|pair| pair[0] > pair[1]), "{name} {format:?}: {sizes:?}");
        }
    }
}

#[test]
fn nothing_and_what_is_no_picture_is_refused() {
    let limits = Limits::default();
    assert_eq!(probe(b"", &limits), Err(Error::Decode("Empty file".into())));
    for bytes in [&b"hello, world"[..], b"\0\0\0\0\0\0\0\0", b"<html></html>", &[0xFF, 0xD8], &[0xFF; 400]] {
        assert!(matches!(probe(bytes, &limits), Err(Error::Decode(_))), "{bytes:?}");
    }
    for (bytes, named) in [(&b"%PDF-1.7"[..], "pdf"), (b"<svg></svg>", "svg")] {
        match probe(bytes, &limits) {
            Err(Error::Unsupported { what }) => assert!(what.contains(named), "{what}"),
            other => panic!("{named}: {other:?}"),
        }
    }
}

#[test]
fn truncated_files_are_never_shown_half() {
    let frame = whole(&sample("coffee.png"));
    for format in READABLE {
        let bytes = file(&frame, format, 85);
        assert!(verify(&bytes, &Limits::default()).is_ok(), "{format:?}");
        for part in [0.001, 0.01, 0.1, 0.5, 0.9, 0.99] {
            let cut = &bytes[..(bytes.len() as f64 * part) as usize];
            assert!(matches!(verify(cut, &Limits::default()), Err(Error::Decode(_))), "{format:?} {part}");
        }
    }
    let progressive = Encoding { progressive: true, ..encoding(Format::Jpeg, 85) };
    let bytes = encode(&frame, &progressive, &Limits::default()).unwrap().bytes;
    assert!(matches!(verify(&bytes[..bytes.len() / 2], &Limits::default()), Err(Error::Decode(_))));
}

#[test]
fn damaged_files_are_read_or_refused_but_never_bring_anything_down() {
    let frame = smooth(Size::new(90, 70), true);
    let opaque = smooth(Size::new(90, 70), false);
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for format in READABLE {
        let good = file(if format == Format::Jpeg { &opaque } else { &frame }, format, 80);
        for _ in 0..400 {
            let mut bad = good.clone();
            for _ in 0..1 + random() % 8 {
                let at = random() as usize % bad.len();
                bad[at] = random() as u8;
            }
            if let Ok(found) = verify(&bad, &Limits { source_pixels: 1_000_000, ..Limits::default() }) {
                let _ = decode(&bad, &demand(found.size, 0.4, Rect::whole(found.size)), &Limits::default());
            }
        }
    }
}

/// Files of some KB whose headers state 64,250 pixels a side.
fn huge() -> Vec<(&'static str, Vec<u8>)> {
    let frame = smooth(Size::new(64, 64), false);
    let side = 64_250_u32;
    let mut jpeg = file(&frame, Format::Jpeg, 80);
    let at = jpeg.windows(2).position(|two| two == [0xFF, 0xC0]).unwrap();
    jpeg[at + 5..at + 7].copy_from_slice(&(side as u16).to_be_bytes());
    jpeg[at + 7..at + 9].copy_from_slice(&(side as u16).to_be_bytes());
    let mut png = file(&frame, Format::Png, 80);
    png[16..20].copy_from_slice(&side.to_be_bytes());
    png[20..24].copy_from_slice(&side.to_be_bytes());
    // WebP holds at most 16,383 pixels a side: 268 MP.
    let mut webp = file(&frame, Format::WebP, 80);
    let at = webp.windows(3).position(|three| three == [0x9D, 0x01, 0x2A]).unwrap();
    webp[at + 3..at + 7].copy_from_slice(&[0xFF, 0x3F, 0xFF, 0x3F]);
    vec![("jpeg", jpeg), ("png", png), ("webp", webp)]
}

#[test]
fn a_small_file_that_claims_to_be_huge_is_refused_before_anything_is_allocated() {
    for (name, bytes) in huge() {
        let before = super::allocation::peak(|| {
            match probe(&bytes, &Limits::default()) {
                Err(Error::Limit(message)) => {
                    assert!(message.starts_with("Maximum image size is 100 Megapixels"), "{message}")
                }
                // libjpeg and png may find other faults first, as long as they are found at once.
                Err(Error::Decode(_)) => {}
                other => panic!("{name}: {other:?}"),
            }
        });
        assert!(before < 1_000_000, "{name}: {before} bytes");
    }
}

#[test]
fn limits_of_the_formats_are_told() {
    let wide = Frame::filled(Size::new(16_384, 1), [1, 2, 3, 255]);
    assert!(matches!(encode(&wide, &encoding(Format::WebP, 80), &Limits::default()), Err(Error::Limit(_))));
    let fits = Frame::filled(Size::new(16_383, 1), [1, 2, 3, 255]);
    for format in FORMATS {
        if format != Format::Avif {
            assert!(encode(&fits, &encoding(format, 80), &Limits::default()).is_ok(), "{format:?}");
        }
    }
    let limits = Limits { source_bytes: 100, ..Limits::default() };
    assert!(matches!(probe(&sample("rocket.jpg"), &limits), Err(Error::Limit(_))));
}
