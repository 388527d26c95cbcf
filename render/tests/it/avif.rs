//! AVIF as libaom's own decoder reads it.

use crate::avif_reader::{Stated, decode, parts, read};
use std::path::Path;
use std::sync::Arc;
use tintype_render::backend::{Backend, Output};
use tintype_render::codec::{decode_planes, encode, encode_planes};
use tintype_render::cpu::CpuBackend;
use tintype_render::face::FaceDetector;
use tintype_render::frame::Frame;
use tintype_render::language::{ChromaSampling, Format, parse};
use tintype_render::pipeline::{self, Request};
use tintype_render::plan::facts::{AcceptClass, Facts, Profile, Purpose, SourceFacts};
use tintype_render::plan::geometry::{Orientation, Rect, Size};
use tintype_render::plan::step::Demand;
use tintype_render::plan::{Encoding, Quality};
use tintype_render::planes::{Plane, Planes, Subsampling};
use tintype_render::{Error, Limits};

fn avif(number: u8) -> Encoding {
    Encoding { format: Format::Avif, quality: Quality::Fixed(number), chroma: None, progressive: false }
}

fn file(frame: &Frame, number: u8) -> Vec<u8> {
    encode(frame, &avif(number), &Limits::default()).unwrap().bytes
}

/// A picture of waves, opaque or with opacity from clear to solid.
fn waves(size: Size, alpha: bool) -> Frame {
    let mut pixels = Vec::new();
    for y in 0..size.height {
        for x in 0..size.width {
            let (u, v) = (f64::from(x) / 23.0, f64::from(y) / 31.0);
            let wave = |phase: f64| (128.0 + 70.0 * (u + phase).sin() + 50.0 * (v * 1.3 - phase).cos()) as u8;
            let opacity = if alpha { (f64::from(x) / f64::from(size.width) * 255.0) as u8 } else { 255 };
            pixels.extend([wave(0.0), wave(1.0), wave(2.5), opacity]);
        }
    }
    Frame::new(size, alpha, pixels).unwrap()
}

/// The upper left part of a photograph in planes with halved chroma.
fn photo(size: Size) -> Planes {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../api/assets/samples/rocket.jpg");
    let bytes = std::fs::read(path).unwrap();
    let demand = |size| Demand { size, scale: 1.0, region: Rect::whole(size) };
    let full = Size::new(640, 427);
    let frame = tintype_render::codec::decode(&bytes, &demand(full), &Limits::default()).unwrap().0;
    let width = size.width as usize * 4;
    // The rocket, not the sky above it.
    let rows = (150..150 + size.height).flat_map(|y| frame.row(y)[1000..1000 + width].to_vec()).collect();
    let part = Frame::new(size, false, rows).unwrap();
    let encoding = Encoding { format: Format::Jpeg, chroma: Some(ChromaSampling::Half), ..avif(97) };
    let jpeg = encode(&part, &encoding, &Limits::default()).unwrap().bytes;
    decode_planes(&jpeg, &demand(size), &Limits::default()).unwrap().expect("it is a plain JPEG").0
}

/// Of the colors, in decibels.
fn psnr(a: &Frame, b: &Frame) -> f64 {
    assert_eq!(a.size(), b.size());
    let pairs = a.pixels().chunks_exact(4).zip(b.pixels().chunks_exact(4));
    let sum: f64 = pairs.flat_map(|(a, b)| (0..3).map(|i| f64::from(a[i].abs_diff(b[i])).powi(2))).sum();
    10.0 * (255.0_f64.powi(2) / (sum / (a.size().pixels() * 3) as f64).max(1e-6)).log10()
}

const SIZES: [Size; 6] =
    [Size::new(1, 1), Size::new(3, 5), Size::new(17, 33), Size::new(200, 2), Size::new(2, 131), Size::new(161, 120)];

#[test]
fn pictures_of_every_size_are_near_their_sources() {
    for size in SIZES {
        for alpha in [false, true] {
            let frame = waves(size, alpha);
            let back = read(&file(&frame, 80));
            assert_eq!((back.size(), back.has_alpha()), (size, alpha));
            let near = psnr(&back, &frame);
            assert!(near > 34.0, "{size} {alpha}: {near} dB");
            for (a, b) in back.pixels().chunks_exact(4).zip(frame.pixels().chunks_exact(4)) {
                assert!(a[3].abs_diff(b[3]) < 12, "{size}: opacity {} for {}", a[3], b[3]);
            }
        }
    }
}

#[test]
fn the_ends_of_the_scale_are_read_and_lie_far_apart() {
    let frame = photo(Size::new(96, 80)).to_frame();
    let (worst, best) = (file(&frame, 1), file(&frame, 100));
    assert!(worst.len() * 8 < best.len(), "{} and {} bytes", worst.len(), best.len());
    let (low, high) = (psnr(&read(&worst), &frame), psnr(&read(&best), &frame));
    assert!(low > 15.0 && high > 42.0, "{low} and {high} dB");
}

#[test]
fn a_higher_number_never_takes_fewer_bytes() {
    let planes = photo(Size::new(160, 128));
    let frame = planes.to_frame();
    let numbers = [1, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100];
    let from_pixels = numbers.map(|number| file(&frame, number).len());
    let from_planes = numbers.map(|number| encode_planes(planes.clone(), &avif(number)).unwrap().bytes.len());
    for lengths in [from_pixels, from_planes] {
        assert!(lengths.windows(2).all(|pair| pair[0] < pair[1]), "{lengths:?}");
    }
}

#[test]
fn planes_give_the_picture_that_pixels_give() {
    for size in [Size::new(160, 120), Size::new(161, 83), Size::new(17, 33), Size::new(2, 1), Size::new(1, 1)] {
        let planes = photo(size);
        let frame = planes.to_frame();
        let from_planes = encode_planes(planes, &avif(85)).unwrap();
        assert_eq!((from_planes.format, from_planes.quality), (Format::Avif, Some(85)));
        let (ours, theirs) = (psnr(&read(&from_planes.bytes), &frame), psnr(&read(&file(&frame, 85)), &frame));
        assert!(ours > theirs - 2.0 && ours > 30.0, "{size}: {ours} dB from planes, {theirs} from pixels");
    }
}

#[test]
fn black_white_and_grey_keep_their_values() {
    let size = Size::new(31, 9);
    for value in [0, 128, 255] {
        let luma = Plane::new(size, 40, vec![value; 40 * 9]).unwrap();
        let grey = Planes::new(luma, None, Subsampling::NONE).unwrap();
        let bytes = encode_planes(grey, &avif(90)).unwrap().bytes;
        for pixel in read(&bytes).pixels().chunks_exact(4) {
            assert!(pixel[..3].iter().all(|channel| channel.abs_diff(value) <= 2), "{value}: {pixel:?}");
        }
    }
}

#[test]
fn the_file_says_what_the_streams_say() {
    let frame = waves(Size::new(90, 70), true);
    for (chroma, halved) in [(ChromaSampling::Half, true), (ChromaSampling::Full, false)] {
        let encoding = Encoding { chroma: Some(chroma), ..avif(70) };
        let bytes = encode(&frame, &encoding, &Limits::default()).unwrap().bytes;
        let parts = parts(&bytes);
        let streams: Vec<_> = parts.streams.iter().map(|stream| decode(stream)).collect();
        assert_eq!((streams.len(), parts.stated.len()), (2, 2));
        assert_eq!((streams[0].is_halved, streams[0].planes.len(), streams[1].planes.len()), (halved, 3, 1));
        // sRGB, the matrix of BT.601, full range; opacity has no colors.
        assert_eq!(streams[0].colors, (1, 13, 6, true));
        assert!(streams[1].colors.3);
        for (stated, (stream, picture)) in parts.stated.iter().zip(parts.streams.iter().zip(&streams)) {
            // A sequence header of reduced form comes first, without a delimiter before it.
            assert_eq!((stream[0], stream[2] & 0b11000), (0x0A, 0b11000));
            let expected = Stated {
                profile: stream[2] >> 5,
                level: (stream[2] & 7) << 2 | stream[3] >> 6,
                is_monochrome: picture.planes.len() == 1,
                is_halved: picture.is_halved,
            };
            assert_eq!(*stated, expected);
            assert!(stated.level < 31, "a small picture fits a level");
        }
    }
}

#[test]
fn sides_beyond_the_format_are_refused_and_long_ones_are_not() {
    let wide = Frame::filled(Size::new(65_536, 1), [9, 9, 9, 255]);
    assert!(matches!(encode(&wide, &avif(50), &Limits::default()), Err(Error::Limit(_))));
    let high = Frame::filled(Size::new(1, 65_536), [9, 9, 9, 255]);
    assert!(matches!(encode(&high, &avif(50), &Limits::default()), Err(Error::Limit(_))));
    let size = Size::new(65_535, 1);
    assert_eq!(read(&file(&Frame::filled(size, [200, 9, 9, 255]), 50)).size(), size);
}

#[test]
fn planes_that_do_not_fit_are_refused() {
    let plane = |width, height| Plane::new(Size::new(width, height), width as usize, vec![7; 64]).unwrap();
    let one_way = Subsampling { across: 2, down: 1 };
    let planes = Planes::new(plane(8, 6), Some([plane(4, 6), plane(4, 6)]), one_way).unwrap();
    assert!(matches!(encode_planes(planes, &avif(50)), Err(Error::Encode(_))));
}

#[test]
fn a_resampled_jpeg_ends_in_planes_in_fast_only() {
    let detector = FaceDetector::new().unwrap();
    let size = Size::new(200, 150);
    let source = photo(size).to_frame();
    let jpeg = encode(&source, &Encoding { format: Format::Jpeg, ..avif(97) }, &Limits::default()).unwrap().bytes;
    let ends_in_planes = |text: &str, profile| {
        let base = SourceFacts {
            size,
            orientation: Orientation::IDENTITY,
            format: Format::Jpeg,
            has_alpha: false,
            faces: None,
            custom: vec![],
        };
        let request = Request {
            transformation: Arc::new(parse(text, &Limits::default()).unwrap()),
            facts: Facts { base, layers: Default::default() },
            purpose: Purpose { profile, extension: None, accept: AcceptClass { webp: true, avif: true } },
        };
        let prepared = pipeline::prepare(&request, &[jpeg.clone().into()], &detector, &Limits::default()).unwrap();
        let output = CpuBackend::new().execute(&[prepared.job]).remove(0).unwrap();
        let planar = matches!(output, Output::Planar(_));
        let picture = pipeline::finish(output, &prepared.encoding, &Limits::default()).unwrap();
        assert_eq!((picture.format, read(&picture.bytes).size()), (Format::Avif, picture.size), "{text}");
        planar
    };
    assert!(ends_in_planes("c_fill,w_101,h_51/f_avif", Profile::Fast));
    assert!(ends_in_planes("c_fill,w_100,h_50/f_auto,q_80", Profile::Fast));
    assert!(ends_in_planes("c_fill,w_100,h_50/f_avif,q_90", Profile::Fast));
    assert!(!ends_in_planes("c_fill,w_100,h_50/f_avif", Profile::Quality));
    assert!(!ends_in_planes("c_fill,w_100,h_50/f_avif,q_auto:best", Profile::Fast));
    assert!(!ends_in_planes("c_fill,w_100,h_50,r_20/f_avif", Profile::Fast));
}
