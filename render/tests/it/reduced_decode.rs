//! A reduced and cropped decode of a real JPEG shows the same picture as a whole one, whatever its orientation.

use bytes::Bytes;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use tintype_render::Limits;
use tintype_render::backend::{Backend, Job, Source};
use tintype_render::codec;
use tintype_render::cpu::{self, CpuBackend};
use tintype_render::face::FaceDetector;
use tintype_render::frame::Frame;
use tintype_render::language::{Format, parse};
use tintype_render::pipeline::{self, Request};
use tintype_render::plan::bind::Decoded;
use tintype_render::plan::facts::{Facts, Profile, Purpose, SourceFacts, Stage};
use tintype_render::plan::geometry::{Orientation, Rect, RectF, Size};
use tintype_render::plan::step::Demand;
use tintype_render::plan::{self, Encoding, Quality};

/// Mean difference of a channel, in steps of 1/255, that reducing in the decoder may make: it averages in encoded light
/// where the `quality` profile averages in linear light. Measured: 2.26, on bright flames before a dark sky.
const MEAN_STEPS: f64 = 2.4;

/// The same over another compression of the same pixels, whose blocks lie elsewhere. Measured: 2.04.
const MEAN_STEPS_TURNED: f64 = 2.6;

/// How far the picture may lie beside where it should, in pixels of the result. Measured: 0.09.
const DISPLACEMENT_PX: f64 = 0.12;

/// Crops on every side, reductions by much and by little, and windows whose edges are no whole blocks.
const TRANSFORMATIONS: &[&str] = &[
    "c_scale,w_100/f_png",
    "c_scale,w_37/f_png",
    "c_scale,w_300/f_png",
    "c_fill,g_east,h_80,w_60/f_png",
    "c_fill,g_north_west,h_33,w_100/f_png",
    "c_crop,h_211,w_313,x_127,y_93/c_scale,w_75/f_png",
    "c_crop,g_south_east,h_150,w_150/c_scale,w_41/f_png",
    "c_thumb,g_face,h_50,w_50/f_png",
    "c_pad,b_red,h_70,w_70/f_png",
    "c_crop,h_91,w_103,x_201,y_45/f_png",
    "c_scale,w_80/a_90/c_crop,g_north,h_40,w_40/f_png",
];

fn rocket() -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("../api/assets/samples/rocket.jpg")).unwrap()
}

fn detector() -> &'static FaceDetector {
    static DETECTOR: OnceLock<FaceDetector> = OnceLock::new();
    DETECTOR.get_or_init(|| FaceDetector::new().expect("the models load"))
}

/// What the server would know; a face is made up where the rocket's tip is.
fn request(bytes: &[u8], text: &str, profile: Profile) -> Request {
    let probe = codec::probe(bytes, &Limits::default()).unwrap();
    let base = SourceFacts {
        size: probe.size,
        orientation: probe.orientation,
        format: probe.format,
        has_alpha: probe.has_alpha,
        faces: Some(vec![RectF::new(301.0, 97.0, 83.0, 101.0)]),
        custom: vec![],
    };
    Request {
        transformation: Arc::new(parse(text, &Limits::default()).unwrap()),
        facts: Facts { base, layers: Default::default() },
        purpose: Purpose { profile, ..Purpose::default() },
    }
}

fn run(job: Job) -> Frame {
    CpuBackend::new().execute(&[job]).remove(0).expect("the CPU runs every plan").into_frame()
}

/// As the server does it.
fn reduced(bytes: &[u8], text: &str, profile: Profile) -> Frame {
    let request = request(bytes, text, profile);
    let sources = [Bytes::copy_from_slice(bytes)];
    run(pipeline::prepare(&request, &sources, detector(), &Limits::default()).unwrap().job)
}

/// The same plan over every pixel of the file.
fn whole(bytes: &[u8], text: &str, profile: Profile) -> Frame {
    let request = request(bytes, text, profile);
    let stage = plan::resolve(&request.transformation, &request.facts, &request.purpose, &Limits::default()).unwrap();
    let Stage::Done(plan) = stage else { panic!("{text} asks for something") };
    let size = request.facts.base.size;
    let demand = Demand { size, scale: 1.0, region: Rect::whole(size) };
    let (frame, decoded) = codec::decode(bytes, &demand, &Limits::default()).unwrap();
    assert_eq!(decoded, Decoded::whole(size));
    let bound = plan.bind(&[decoded]).unwrap();
    run(Job { plan: Arc::new(bound), sources: vec![Source::Rgba(Arc::new(frame))] })
}

fn mean_steps(a: &Frame, b: &Frame) -> f64 {
    assert_eq!(a.size(), b.size());
    let sum: u64 = a.pixels().iter().zip(b.pixels()).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
    // Alpha is everywhere the same and does not count.
    sum as f64 / (a.size().pixels() * 3) as f64
}

/// How far `a` lies to the right of and below `b`, in pixels: the displacement that explains their difference best, by
/// least squares over the gradients of `b` (Lucas and Kanade). Good for less than a pixel.
fn displacement(a: &Frame, b: &Frame) -> (f64, f64) {
    let size = b.size();
    let value = |frame: &Frame, x: u32, y: u32| f64::from(frame.pixel(x, y)[1]);
    let (mut xx, mut xy, mut yy, mut xt, mut yt) = (0.0, 0.0, 0.0, 0.0, 0.0);
    for y in 1..size.height - 1 {
        for x in 1..size.width - 1 {
            let across = (value(b, x + 1, y) - value(b, x - 1, y)) / 2.0;
            let down = (value(b, x, y + 1) - value(b, x, y - 1)) / 2.0;
            let difference = value(b, x, y) - value(a, x, y);
            xx += across * across;
            xy += across * down;
            yy += down * down;
            xt += across * difference;
            yt += down * difference;
        }
    }
    let determinant = xx * yy - xy * xy;
    ((xt * yy - yt * xy) / determinant, (yt * xx - xt * xy) / determinant)
}

/// The picture, one pixel further to the right.
fn shifted(frame: &Frame) -> Frame {
    let size = frame.size();
    let mut pixels = Vec::new();
    for y in 0..size.height {
        for x in 0..size.width {
            pixels.extend_from_slice(&frame.pixel(x.saturating_sub(1), y));
        }
    }
    Frame::new(size, frame.has_alpha(), pixels).unwrap()
}

fn jpeg(frame: &Frame) -> Vec<u8> {
    let encoding = Encoding { format: Format::Jpeg, quality: Quality::Fixed(97), chroma: None, progressive: false };
    codec::encode(frame, &encoding, &Limits::default()).unwrap().bytes
}

/// Puts an EXIF block with an orientation behind the start of a JPEG.
fn with_orientation(jpeg: &[u8], orientation: u8) -> Vec<u8> {
    let tiff = [b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".as_slice(), &[orientation], &[0; 6]].concat();
    let block = [b"Exif\0\0".as_slice(), &tiff].concat();
    let length = u16::try_from(block.len() + 2).unwrap().to_be_bytes();
    [&jpeg[..2], &[0xff, 0xe1], &length, &block, &jpeg[2..]].concat()
}

/// Asserts that two pictures show the same at the same place.
fn check(actual: &Frame, expected: &Frame, mean: f64, name: &str) {
    let error = mean_steps(actual, expected);
    assert!(error < mean, "{name}: {error:.3} steps");
    let (x, y) = displacement(actual, expected);
    assert!(x.abs() < DISPLACEMENT_PX && y.abs() < DISPLACEMENT_PX, "{name}: displaced by ({x:.3}, {y:.3})");
}

#[test]
fn a_reduced_decode_shows_the_same_picture() {
    let bytes = rocket();
    for text in TRANSFORMATIONS {
        let (actual, expected) = (reduced(&bytes, text, Profile::Quality), whole(&bytes, text, Profile::Quality));
        check(&actual, &expected, MEAN_STEPS, text);
        // One pixel beside it would be seen.
        let (beside, _) = displacement(&shifted(&actual), &expected);
        assert!(beside > 5.0 * DISPLACEMENT_PX, "{text}: a shift of one pixel is measured as {beside:.3}");
    }
}

#[test]
fn the_fast_profile_reduces_to_the_same_picture() {
    let bytes = rocket();
    for text in TRANSFORMATIONS {
        check(&reduced(&bytes, text, Profile::Fast), &whole(&bytes, text, Profile::Fast), 1.7, text);
    }
}

#[test]
fn every_orientation_gives_the_same_upright_picture() {
    let upright = {
        let bytes = rocket();
        let size = Size::new(640, 427);
        let demand = Demand { size, scale: 1.0, region: Rect::whole(size) };
        codec::decode(&bytes, &demand, &Limits::default()).unwrap().0
    };
    let first = jpeg(&upright);
    for value in 1..=8_u8 {
        let orientation = Orientation::from_exif(value.into());
        let stored = cpu::turn(&upright, orientation.inverse()).unwrap();
        let bytes = with_orientation(&jpeg(&stored), value);
        let probe = codec::probe(&bytes, &Limits::default()).unwrap();
        assert_eq!((probe.orientation, probe.size), (orientation, stored.size()));
        for text in TRANSFORMATIONS {
            let (actual, expected) = (reduced(&bytes, text, Profile::Quality), whole(&first, text, Profile::Quality));
            check(&actual, &expected, MEAN_STEPS_TURNED, &format!("{text}, orientation {value}"));
        }
    }
    // The wrong way round would be seen.
    let wrong = with_orientation(&first, 2);
    let (actual, expected) =
        (reduced(&wrong, TRANSFORMATIONS[0], Profile::Quality), whole(&first, TRANSFORMATIONS[0], Profile::Quality));
    assert!(mean_steps(&actual, &expected) > 3.0 * MEAN_STEPS_TURNED);
}
