//! JPEGs with a profile of other colors than sRGB, as phones write them, are read by our own decoder and mean the same colors
//! as where libjpeg reads them.

use std::path::Path;
use tintype_render::Limits;
use tintype_render::codec::{self, Resampleable};
use tintype_render::frame::Frame;
use tintype_render::language::{ChromaSampling, Format};
use tintype_render::plan::bind::Decoded;
use tintype_render::plan::geometry::{Rect, Size};
use tintype_render::plan::step::Demand;
use tintype_render::plan::{Encoding, Quality};

const SIZE: Size = Size::new(640, 427);

/// A photograph without a profile, with chroma at half.
fn rocket() -> Vec<u8> {
    let file = std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("../api/assets/samples/rocket.jpg")).unwrap();
    let (frame, _) = codec::decode(&file, &whole_demand(SIZE), &Limits::default()).unwrap();
    let chroma = Some(ChromaSampling::Half);
    let encoding = Encoding { format: Format::Jpeg, quality: Quality::Fixed(92), chroma, progressive: false };
    codec::encode(&frame, &encoding, &Limits::default()).unwrap().bytes
}

/// Puts a profile behind the start of a JPEG.
fn tagged(jpeg: &[u8], profile: &[u8]) -> Vec<u8> {
    let length = u16::try_from(profile.len() + 16).unwrap().to_be_bytes();
    [&jpeg[..2], &[0xFF, 0xE2], &length, b"ICC_PROFILE\0\x01\x01", profile, &jpeg[2..]].concat()
}

fn whole_demand(size: Size) -> Demand {
    Demand { size, scale: 1.0, region: Rect::whole(size) }
}

fn display_p3() -> Vec<u8> {
    moxcms::ColorProfile::new_display_p3().encode().unwrap()
}

fn mean_steps(a: &Frame, b: &Frame) -> f64 {
    assert_eq!(a.size(), b.size());
    let sum: u64 = a.pixels().iter().zip(b.pixels()).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
    sum as f64 / (a.size().pixels() * 3) as f64
}

fn pixels(picture: (Resampleable, Decoded)) -> (Frame, Decoded) {
    match picture {
        (Resampleable::Pixels(frame), decoded) => (frame, decoded),
        (Resampleable::Planes(_), decoded) => panic!("colors of another profile stay in planes: {decoded:?}"),
    }
}

#[test]
fn wide_colors_are_those_that_libjpeg_gives() {
    let (plain, limits) = (rocket(), Limits::default());
    let wide = tagged(&plain, &display_p3());
    for scale in [0.25, 0.375, 0.5, 1.0] {
        let demand = Demand { size: SIZE, scale, region: Rect::whole(SIZE) };
        let (own, given) = pixels(codec::decode_for_resampling(&wide, &demand, &limits).unwrap());
        let (libjpeg, expected) = codec::decode(&wide, &demand, &limits).unwrap();
        assert_eq!(given, expected);
        let (unconverted, _) = codec::decode(&plain, &demand, &limits).unwrap();
        let (planes, _) = codec::decode_planes(&plain, &demand, &limits).unwrap().unwrap();
        // The decoders differ as much where nothing is converted; libjpeg reduces chroma less than luma.
        let usual = mean_steps(&planes.to_frame(), &unconverted);
        let (near, far) = (mean_steps(&own, &libjpeg), mean_steps(&own, &unconverted));
        assert!(near < 1.3 * usual + 0.1, "scale {scale}: {near:.3} where {usual:.3} is usual");
        assert!(scale < 1.0 || near < 0.7 && far > 3.0 * near, "{near:.3}, and {far:.3} from what is not converted");
    }
}

#[test]
fn a_window_of_wide_colors_is_the_window_of_the_whole() {
    let (wide, limits) = (tagged(&rocket(), &display_p3()), Limits::default());
    let (whole, _) = pixels(codec::decode_for_resampling(&wide, &whole_demand(SIZE), &limits).unwrap());
    let demand = Demand { size: SIZE, scale: 1.0, region: Rect::new(250, 100, 120, 90) };
    let (part, given) = pixels(codec::decode_for_resampling(&wide, &demand, &limits).unwrap());
    let at = given.window;
    assert!(at.x <= 250 && at.y <= 100 && at.right() >= 370 && at.bottom() >= 190 && at.width < SIZE.width);
    for (x, y) in [(250, 100), (369, 189), (300, 150), (275, 120)] {
        assert_eq!(part.pixel(x - at.x, y - at.y), whole.pixel(x, y), "({x}, {y})");
    }
}

#[test]
fn a_profile_that_cannot_be_used_leaves_planes() {
    let (rocket, limits) = (rocket(), Limits::default());
    for file in [tagged(&rocket, b"no profile"), rocket] {
        let (picture, _) = codec::decode_for_resampling(&file, &whole_demand(SIZE), &limits).unwrap();
        assert!(matches!(picture, Resampleable::Planes(_)));
    }
}
