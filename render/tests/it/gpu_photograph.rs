//! Photographs on their whole way, from a JPEG's planes to the picture, on both backends.

use crate::gpu::open;
use crate::gpu_bytes::planar;
use bytes::Bytes;
use std::path::Path;
use std::sync::Arc;
use tintype_render::Limits;
use tintype_render::backend::{Backend, Job, Output, Source};
use tintype_render::codec;
use tintype_render::cpu::CpuBackend;
use tintype_render::face::FaceDetector;
use tintype_render::forecast::{Shape, launches, least};
use tintype_render::frame::Frame;
use tintype_render::gpu::GpuOptions;
use tintype_render::language::{ChromaSampling, Format, parse};
use tintype_render::pipeline::{Request, prepare};
use tintype_render::plan::bind::{BoundPlan, Chroma, Kernel};
use tintype_render::plan::facts::{AcceptClass, Facts, Profile, Purpose, SourceFacts};
use tintype_render::plan::geometry::{Rect, Size};
use tintype_render::plan::step::{Demand, Filter, Light, SurfaceId};
use tintype_render::plan::weights::Axis;
use tintype_render::plan::{Encoding, Quality};
use tintype_render::planes::{Plane, Subsampling};

const TRANSFORMATIONS: [&str; 6] = [
    "c_fit,w_400,h_400",
    "c_fill,w_300,h_300",
    "c_fill,w_200,h_150/r_20,bo_5px_solid_black",
    "c_scale,w_1.5",
    "c_scale,w_33",
    "c_crop,w_0.5,h_0.4,g_south_east/c_scale,w_211",
];

fn jobs(bytes: &Bytes, profile: Profile) -> Vec<Job> {
    let limits = Limits::default();
    let detector = FaceDetector::new().unwrap();
    let found = codec::probe(bytes, &limits).unwrap();
    let base = SourceFacts {
        size: found.size,
        orientation: found.orientation,
        format: found.format,
        has_alpha: found.has_alpha,
        faces: Some(Vec::new()),
        custom: Vec::new(),
    };
    let facts = Facts { base, layers: Default::default() };
    let purpose = Purpose { profile, extension: None, accept: AcceptClass { webp: false, avif: false } };
    let one = |text: &&str| {
        let transformation = Arc::new(parse(text, &limits).unwrap());
        let request = Request { transformation, facts: facts.clone(), purpose };
        prepare(&request, std::slice::from_ref(bytes), &detector, &limits).unwrap().job
    };
    TRANSFORMATIONS.iter().map(one).collect()
}

/// The picture as a sequential JPEG of quality 90 with half the chroma, which our own decoder reads.
fn baseline(bytes: &[u8]) -> Bytes {
    let limits = Limits::default();
    let size = codec::probe(bytes, &limits).unwrap().size;
    let demand = Demand { size, scale: 1.0, region: Rect::whole(size) };
    let (mut frame, _) = codec::decode(bytes, &demand, &limits).unwrap();
    frame.pixels_mut().chunks_exact_mut(4).for_each(|pixel| pixel[3] = 255);
    let frame = Frame::new(size, false, frame.into_pixels()).unwrap();
    let chroma = Some(ChromaSampling::Half);
    let encoding = Encoding { format: Format::Jpeg, quality: Quality::Fixed(90), chroma, progressive: false };
    codec::encode(&frame, &encoding, &limits).unwrap().bytes.into()
}

#[test]
fn photographs_in_planes_are_the_same_pictures_on_both_backends() {
    let Some(backend) = open("photographs in planes", GpuOptions::default()) else { return };
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../api/assets/samples");
    for name in ["astronaut.png", "coffee.png", "rocket.jpg"] {
        let bytes = baseline(&std::fs::read(folder.join(name)).unwrap());
        for profile in [Profile::Quality, Profile::Fast] {
            let jobs = jobs(&bytes, profile);
            assert!(jobs.iter().any(|job| matches!(job.sources[0], Source::Planar(_))), "{name} is read into planes");
            let (actual, expected) = (backend.execute(&jobs), CpuBackend::new().execute(&jobs));
            let counters = backend.last_counters();
            let shapes: Vec<_> = jobs.iter().map(Shape::of).collect();
            let pixels = counters.bytes_up - counters.bytes_tables;
            assert!(pixels <= least(&shapes).up * 101 / 100 + 64, "{name} {profile:?}: {counters:?}");
            for ((text, actual), expected) in TRANSFORMATIONS.iter().zip(actual).zip(expected) {
                let (actual, expected) = (samples(actual.unwrap()), samples(expected.unwrap()));
                assert_eq!(actual.len(), expected.len(), "{name} {profile:?} {text}: pixels or planes on both");
                for (actual, expected) in actual.iter().zip(&expected) {
                    assert_eq!(actual.len(), expected.len());
                    let worst = actual.iter().zip(expected).map(|(a, e)| a.abs_diff(*e)).max();
                    assert!(worst <= Some(1), "{name} {profile:?} {text}: {worst:?}");
                }
            }
            let ratio = least(&shapes).ratio(counters.bytes_up, counters.bytes_down);
            eprintln!("{name} {profile:?}: {ratio:.3} of {:?}", least(&shapes));
        }
    }
}

/// The pixels, or the samples of every plane, of a picture.
fn samples(output: Output) -> Vec<Vec<u8>> {
    match output {
        Output::Planar(planes) => {
            let rows = |plane: &Plane| (0..plane.size().height).flat_map(|y| plane.row(y).to_vec()).collect();
            planes.into_planes().iter().map(rows).collect()
        }
        other => vec![other.into_frame().into_pixels()],
    }
}

#[test]
fn a_small_jpeg_in_planes_goes_up_and_comes_back_as_planes() {
    let Some(backend) = open("planes both ways", GpuOptions::default()) else { return };
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../api/assets/samples");
    let bytes = baseline(&std::fs::read(folder.join("rocket.jpg")).unwrap());
    let job = &jobs(&bytes, Profile::Fast)[..1];
    let shapes = [Shape::of(&job[0])];
    assert!(matches!(backend.execute(job)[..], [Ok(Output::Planar(_))]), "the encoder takes planes");
    let (counters, least, launches) = (backend.last_counters(), least(&shapes), launches(&shapes));
    // Rows of three planes in one launch, columns of three planes in another.
    assert_eq!((counters.dispatches, launches.one_window), (2, 2));
    assert!(counters.bytes_down <= least.down + 12 && counters.bytes_up - counters.bytes_tables <= least.up + 4);
    let ratio = least.ratio(counters.bytes_up, counters.bytes_down);
    assert!(ratio < 1.25, "tables weigh more beside a small picture: {ratio}");
}

#[test]
fn gray_photographs_in_planes_agree_too() {
    let Some(backend) = open("gray planes", GpuOptions::default()) else { return };
    let size = Size::new(301, 203);
    for (subsampling, output) in
        [(Subsampling::HALF, None), (Subsampling::HALF, Some(Subsampling::HALF)), (Subsampling::NONE, None)]
    {
        for gray in [false, true] {
            for light in [Light::Encoded, Light::Linear] {
                if light == Light::Linear && output.is_some() {
                    continue;
                }
                let job = resampling(planar(7, size, subsampling, gray), subsampling, output, light);
                let [actual, expected] = [&backend as &dyn Backend, &CpuBackend::new()]
                    .map(|backend| samples(backend.execute(std::slice::from_ref(&job)).remove(0).unwrap()));
                assert_eq!(actual.len(), expected.len(), "{gray} {output:?}");
                for (plane, (actual, expected)) in actual.iter().zip(&expected).enumerate() {
                    let worst = actual.iter().zip(expected).map(|(a, e)| a.abs_diff(*e)).max();
                    assert!(worst <= Some(1), "plane {plane}, gray {gray}, {output:?}, {light:?}: {worst:?}");
                }
            }
        }
    }
}

/// A resampling of planes to 133 by 77, as binding makes it.
fn resampling(source: Source, inside: Subsampling, output: Option<Subsampling>, light: Light) -> Job {
    let (from, to) = (source.size(), Size::new(133, 77));
    let axis = |input: u32, scaled: u32| Axis {
        region_start: 0.0,
        region_length: f64::from(input),
        input_start: 0,
        input_end: input,
        scaled_length: scaled,
        window_start: 0,
        window_length: scaled,
    };
    let (across, down) = (axis(from.width, to.width), axis(from.height, to.height));
    let (horizontal, vertical) = (across.weights(Filter::Lanczos3), down.weights(Filter::Lanczos3));
    let chroma = match output {
        Some(outside) => Chroma {
            horizontal: across.chroma_weights(Filter::Lanczos3, inside.across, outside.across),
            vertical: down.chroma_weights(Filter::Lanczos3, inside.down, outside.down),
            output,
        },
        None => {
            let small = inside.apply(from);
            let horizontal = horizontal.over_chroma(inside.across, small.width);
            Chroma { horizontal, vertical: vertical.over_chroma(inside.down, small.height), output }
        }
    };
    let (horizontal, vertical, chroma) = (Arc::new(horizontal), Arc::new(vertical), Some(Arc::new(chroma)));
    let plan = BoundPlan {
        kernels: vec![
            Kernel::Load { source: 0 },
            Kernel::Resample { input: SurfaceId(0), horizontal, vertical, light, chroma },
        ],
        sizes: vec![from, to],
        alphas: vec![false; 2],
        output: SurfaceId(1),
    };
    Job { plan: Arc::new(plan), sources: vec![source] }
}
