//! WebP written from planes against WebP written from pixels, and what writing a picture is predicted to cost.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tintype_render::Limits;
use tintype_render::backend::{Backend, Job, Output};
use tintype_render::codec::{self, decode, decode_planes, encode, encode_planes};
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

fn whole(size: Size) -> Demand {
    Demand { size, scale: 1.0, region: Rect::whole(size) }
}

fn file() -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("../api/assets/samples/rocket.jpg")).unwrap()
}

fn webp(number: u8) -> Encoding {
    Encoding { format: Format::WebP, quality: Quality::Fixed(number), chroma: None, progressive: false }
}

fn read(bytes: &[u8], size: Size) -> Frame {
    decode(bytes, &whole(size), &Limits::default()).unwrap().0
}

/// Mean difference of a byte.
fn difference(a: &Frame, b: &Frame) -> f64 {
    assert_eq!(a.size(), b.size());
    let sum: u64 = a.pixels().iter().zip(b.pixels()).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
    sum as f64 / a.pixels().len() as f64
}

/// The upper left part of the photograph as a plain JPEG with halved chroma.
fn jpeg(size: Size) -> Vec<u8> {
    let photo = read(&file(), Size::new(640, 427));
    let width = size.width as usize * 4;
    let rows = (0..size.height).flat_map(|y| photo.row(y)[..width].to_vec()).collect();
    let part = Frame::new(size, false, rows).unwrap();
    let encoding = Encoding {
        format: Format::Jpeg,
        quality: Quality::Fixed(95),
        chroma: Some(ChromaSampling::Half),
        progressive: false,
    };
    encode(&part, &encoding, &Limits::default()).unwrap().bytes
}

fn planes(size: Size) -> Planes {
    decode_planes(&jpeg(size), &whole(size), &Limits::default()).unwrap().expect("it is a plain JPEG").0
}

#[test]
fn planes_give_the_picture_that_pixels_give() {
    for size in [Size::new(320, 240), Size::new(321, 243), Size::new(17, 33), Size::new(2, 1), Size::new(1, 1)] {
        let planes = planes(size);
        let frame = planes.to_frame();
        let from_planes = encode_planes(planes, &webp(90)).unwrap();
        assert_eq!((from_planes.format, from_planes.quality), (Format::WebP, Some(90)));
        assert_eq!(codec::probe(&from_planes.bytes, &Limits::default()).unwrap().size, size);
        let from_pixels = encode(&frame, &webp(90), &Limits::default()).unwrap();
        let ours = difference(&read(&from_planes.bytes, size), &frame);
        let theirs = difference(&read(&from_pixels.bytes, size), &frame);
        // A picture whose ranges were not converted is off by about ten.
        assert!(ours < theirs + 0.75, "{size}: {ours} from planes, {theirs} from pixels");
        let (more, less) = (from_planes.bytes.len() as f64, from_pixels.bytes.len() as f64);
        assert!(more < less * 1.2 + 64.0, "{size}: {more} bytes from planes, {less} from pixels");
    }
}

#[test]
fn black_white_and_grey_keep_their_values() {
    let size = Size::new(31, 9);
    for value in [0, 128, 255] {
        let luma = Plane::new(size, 40, vec![value; 40 * 9]).unwrap();
        let grey = Planes::new(luma, None, Subsampling::NONE).unwrap();
        let bytes = encode_planes(grey, &webp(95)).unwrap().bytes;
        for pixel in read(&bytes, size).pixels().chunks_exact(4) {
            assert!(pixel[..3].iter().all(|channel| channel.abs_diff(value) <= 2), "{value}: {pixel:?}");
        }
    }
}

#[test]
fn what_cannot_be_written_from_planes_is_refused() {
    let size = Size::new(8, 6);
    let plane = || Plane::new(size, 8, vec![100; 48]).unwrap();
    let full = Planes::new(plane(), Some([plane(), plane()]), Subsampling::NONE).unwrap();
    assert!(encode_planes(full.clone(), &webp(80)).is_err());
    assert!(encode_planes(full, &Encoding { format: Format::Png, ..webp(80) }).is_err());
}

fn request(text: &str, profile: Profile, accept: AcceptClass, has_alpha: bool) -> Request {
    let base = SourceFacts {
        size: Size::new(640, 427),
        orientation: Orientation::IDENTITY,
        format: Format::Jpeg,
        has_alpha,
        faces: None,
        custom: vec![],
    };
    Request {
        transformation: Arc::new(parse(text, &Limits::default()).unwrap()),
        facts: Facts { base, layers: Default::default() },
        purpose: Purpose { profile, extension: None, accept },
    }
}

const MODERN: AcceptClass = AcceptClass { webp: true, avif: true };
const WEBP_ONLY: AcceptClass = AcceptClass { webp: true, avif: false };

#[test]
fn a_webp_of_a_resampled_jpeg_ends_in_planes_in_fast_only() {
    let detector = FaceDetector::new().unwrap();
    let ends_in_planes = |text: &str, profile| {
        let request = request(text, profile, WEBP_ONLY, false);
        let sources = [jpeg(request.facts.base.size).into()];
        let prepared = pipeline::prepare(&request, &sources, &detector, &Limits::default()).unwrap();
        let job: Job = prepared.job;
        let output = CpuBackend::new().execute(&[job]).remove(0).unwrap();
        let planar = matches!(output, Output::Planar(_));
        let picture = pipeline::finish(output, &prepared.encoding, &Limits::default()).unwrap();
        assert_eq!(picture.format, Format::WebP, "{text}");
        read(&picture.bytes, picture.size);
        planar
    };
    assert!(ends_in_planes("c_fill,w_201,h_101/f_webp", Profile::Fast));
    assert!(ends_in_planes("c_fill,w_200,h_100/f_auto,q_auto:best", Profile::Fast));
    assert!(!ends_in_planes("c_fill,w_200,h_100/f_webp", Profile::Quality));
    assert!(!ends_in_planes("c_fill,w_200,h_100/r_20/f_webp", Profile::Fast));
}

#[test]
fn a_costly_automatic_format_gives_way_to_the_next_one() {
    let limits = Limits::default();
    let within = |text: &str, profile, accept, alpha, ms| {
        let request = request(text, profile, accept, alpha);
        pipeline::within(&request, Duration::from_millis(ms), &limits).unwrap()
    };
    let none = AcceptClass::default();
    let large = "c_fill,w_800,h_600/f_auto,q_auto";
    assert_eq!(within(large, Profile::Fast, MODERN, false, 5), Some(none));
    // Small pictures, those with time, and clients that take nothing else get what is best.
    assert_eq!(within("c_fill,w_100,h_80/f_auto", Profile::Fast, MODERN, false, 5), None);
    assert_eq!(within(large, Profile::Quality, MODERN, false, 1000), None);
    assert_eq!(within(large, Profile::Fast, none, false, 0), None);
    // A WebP can be afforded where an AVIF cannot.
    assert_eq!(within("c_fill,w_400,h_300/f_auto", Profile::Fast, MODERN, false, 5), Some(WEBP_ONLY));
    // What is asked for by name is made, and transparency is never dropped.
    assert_eq!(within("c_fill,w_800,h_600/f_webp", Profile::Fast, MODERN, false, 0), None);
    assert_eq!(within("c_fill,w_800,h_600/f_auto/f_avif", Profile::Fast, MODERN, false, 0), None);
    let avif_only = AcceptClass { webp: false, avif: true };
    for (text, alpha) in [(large, true), ("c_fill,w_800,h_600,r_max/f_auto", false)] {
        assert_eq!(within(text, Profile::Fast, MODERN, alpha, 0), Some(WEBP_ONLY));
        assert_eq!(within(text, Profile::Fast, WEBP_ONLY, alpha, 0), None);
        assert_eq!(within(text, Profile::Fast, avif_only, alpha, 0), None);
    }
}
