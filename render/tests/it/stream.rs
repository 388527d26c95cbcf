//! Pictures that are resampled while they are decoded: the same in every bit as from a decode that is held, in memory that
//! does not grow with the source.

use crate::allocation::peak;
use crate::random_plan::Random;
use bytes::Bytes;
use std::sync::Arc;
use tintype_render::Limits;
use tintype_render::backend::{Job, Output, Source};
use tintype_render::bands::{Band, Layout, PlaneBands, PlaneLayout};
use tintype_render::codec;
use tintype_render::cpu::CpuBackend;
use tintype_render::face::FaceDetector;
use tintype_render::frame::Frame;
use tintype_render::language::{ChromaSampling, Format, parse};
use tintype_render::pipeline::{self, Request, Streamed};
use tintype_render::plan::bind::Decoded;
use tintype_render::plan::facts::{Facts, Profile, Purpose, SourceFacts, Stage};
use tintype_render::plan::geometry::{Orientation, Size};
use tintype_render::plan::{self, Encoding, Plan, Quality};
use tintype_render::planes::{Plane, Planes, Subsampling};
use tintype_render::pool;

/// Something in every block, and nothing regular.
fn picture(size: Size, seed: u64) -> Frame {
    let mut random = Random(seed);
    let pixels = (0..size.pixels()).flat_map(|at| {
        let (x, y) = (at % u64::from(size.width), at / u64::from(size.width));
        let noise = (random.next() % 24) as u8;
        [((x / 3) ^ (y / 5)) as u8 / 2 + noise, (x * 3 + y) as u8, (y / 2) as u8, 255]
    });
    Frame::new(size, false, pixels.collect()).unwrap()
}

fn jpeg(frame: &Frame, chroma: ChromaSampling, progressive: bool) -> Bytes {
    let encoding = Encoding { format: Format::Jpeg, quality: Quality::Fixed(88), chroma: Some(chroma), progressive };
    codec::encode(frame, &encoding, &Limits::default()).unwrap().bytes.into()
}

fn request(size: Size, orientation: u16, text: &str, profile: Profile) -> Request {
    let base = SourceFacts {
        size,
        orientation: Orientation::from_exif(orientation),
        format: Format::Jpeg,
        has_alpha: false,
        faces: Some(vec![]),
        custom: vec![],
    };
    Request {
        transformation: Arc::new(parse(text, &Limits::default()).unwrap()),
        facts: Facts { base, layers: Default::default() },
        purpose: Purpose { profile, ..Purpose::default() },
    }
}

/// `None` for what is refused.
fn plan(request: &Request) -> Option<Plan> {
    match plan::resolve(&request.transformation, &request.facts, &request.purpose, &Limits::default()).ok()? {
        Stage::Done(plan) => Some(plan),
        Stage::Measure(measure) => panic!("asks for {measure:?}"),
    }
}

/// The picture from planes that are held, and from planes that come; `None` where planes are of no use.
fn both(backend: CpuBackend, request: &Request, bytes: &[u8]) -> Option<(Output, Option<Output>)> {
    let plan = plan(request)?;
    if !plan.only_resamples(0) {
        return None;
    }
    let limits = Limits::default();
    let (planes, given) =
        codec::decode_planes(bytes, &plan.sources[0], &limits).unwrap().expect("our decoder reads it");
    let mut reader = codec::open_planes(bytes, &plan.sources[0], &limits).unwrap().expect("our decoder reads it");
    assert_eq!(reader.decoded(), given);
    let bound = Arc::new(plan.bind(&[given]).unwrap());
    let held = backend.run(&Job { plan: bound.clone(), sources: vec![Source::Planar(Arc::new(planes))] }).unwrap();
    let nothing = Frame::filled(Size::new(1, 1), [0, 0, 0, 255]);
    let job = Job { plan: bound, sources: vec![Source::Rgba(Arc::new(nothing))] };
    let came = backend.run_bands(&job, &mut reader, &mut |bytes| assert!(bytes > 0));
    Some((held, came))
}

fn assert_same(held: &Output, came: &Output, what: &str) {
    match (held, came) {
        (Output::Planar(held), Output::Planar(came)) => assert!(held == came, "{what}"),
        (Output::Rgba(held), Output::Rgba(came)) => assert!(held == came, "{what}"),
        _ => panic!("{what}: pixels and planes"),
    }
}

const TEXTS: &[&str] = &[
    "c_fit,w_90,h_70/q_80,f_jpg",
    "c_scale,w_0.7/q_95,f_jpg",
    "c_scale,w_300,h_20/f_png",
    "c_fill,w_61,h_60/f_webp",
    "c_fill,w_40,h_90,g_north_west/q_80,f_jpg",
    "c_crop,w_0.5,h_0.4,x_0.3,y_0.5/c_scale,w_33/q_70,f_jpg",
    "c_pad,w_120,h_120,b_red/q_80,f_jpg",
    "c_scale,w_1.7/q_80,f_jpg",
    "c_fill,w_50,h_50/r_max/f_png",
];

#[test]
fn what_comes_is_what_is_held_in_every_bit() {
    let mut random = Random(11);
    let mut compared = 0;
    for case in 0..160_u64 {
        let side = |random: &mut Random| match random.next() % 8 {
            0 => 1,
            1 => 2 + random.next() as u32 % 15,
            _ => 17 + random.next() as u32 % 380,
        };
        let size = Size::new(side(&mut random), side(&mut random));
        let chroma = if random.next().is_multiple_of(2) { ChromaSampling::Half } else { ChromaSampling::Full };
        let bytes = jpeg(&picture(size, case), chroma, random.next().is_multiple_of(4));
        let text = TEXTS[case as usize % TEXTS.len()];
        let profile = if random.next().is_multiple_of(2) { Profile::Fast } else { Profile::Quality };
        let orientation = 1 + (random.next() % 8) as u16;
        let request = request(size, orientation, text, profile);
        let backend = if random.next().is_multiple_of(4) { CpuBackend::portable() } else { CpuBackend::new() };
        let what = format!("case {case}: {size} {chroma:?}, exif {orientation}, {text}, {profile:?}");
        if let Some((held, came)) = both(backend, &request, &bytes) {
            assert_same(&held, &came.expect(&what), &what);
            compared += 1;
        }
    }
    assert!(compared > 120, "{compared}");
}

/// Planes that come a row of units at a time.
struct Coming {
    planes: Planes,
    layout: Layout,
    next: usize,
}

impl PlaneBands for Coming {
    fn layout(&self) -> &Layout {
        &self.layout
    }

    fn read(&mut self, bands: &mut [Band<'_>]) -> Option<()> {
        assert!(self.next < self.layout.n_units as usize, "there are no more rows");
        let planes = std::iter::once(self.planes.luma()).chain(self.planes.chroma().into_iter().flatten());
        for ((plane, layout), band) in planes.zip(&self.layout.planes).zip(bands) {
            assert_eq!(band.samples.len(), layout.unit_bytes());
            // What lies beyond the picture must not matter.
            band.samples.fill(0xEE);
            for (row, out) in (self.next * layout.unit_rows..).zip(band.samples.chunks_exact_mut(layout.stride)) {
                if row < plane.size().height as usize {
                    out[..plane.size().width as usize].copy_from_slice(plane.row(row as u32));
                }
            }
        }
        self.next += 1;
        Some(())
    }
}

fn random_planes(random: &mut Random, size: Size, subsampling: Subsampling, is_grey: bool) -> Planes {
    let mut plane = |size: Size| {
        let samples = (0..size.pixels()).map(|_| random.next() as u8).collect();
        Plane::new(size, size.width as usize, samples).unwrap()
    };
    let small = subsampling.apply(size);
    let luma = plane(size);
    let chroma = (!is_grey).then(|| [plane(small), plane(small)]);
    Planes::new(luma, chroma, subsampling).unwrap()
}

#[test]
fn every_subsampling_and_every_height_of_units_comes_the_same() {
    let mut random = Random(23);
    let mut compared = 0;
    for case in 0..240_u32 {
        let size = Size::new(random.range(1, 200), random.range(1, 200));
        let (across, down) = (random.range(1, 2), random.range(1, 2));
        let (subsampling, is_grey) = (Subsampling { across, down }, random.chance(5));
        let subsampling = if is_grey { Subsampling::NONE } else { subsampling };
        let planes = random_planes(&mut random, size, subsampling, is_grey);
        let eighths = random.range(1, 8);
        let sizes = std::iter::once(planes.luma()).chain(planes.chroma().into_iter().flatten()).map(Plane::size);
        let layouts = sizes.enumerate().map(|(at, size)| PlaneLayout {
            size,
            unit_rows: (if at == 0 { eighths * subsampling.down } else { eighths }) as usize,
            stride: size.width as usize + 3,
        });
        let layouts: Vec<PlaneLayout> = layouts.collect();
        let n_units = size.height.div_ceil(eighths * subsampling.down);
        let layout = Layout { size, subsampling, planes: layouts, n_units };
        let text = TEXTS[case as usize % TEXTS.len()];
        let profile = if random.chance(2) { Profile::Fast } else { Profile::Quality };
        let Some(plan) = plan(&request(size, 1 + (case % 8) as u16, text, profile)) else { continue };
        if !plan.only_resamples(0) {
            continue;
        }
        let given = Decoded { subsampling: Some(subsampling), ..Decoded::whole(size) };
        let bound = Arc::new(plan.bind(&[given]).unwrap());
        let mut coming = Coming { planes: planes.clone(), layout, next: 0 };
        let job = Job { plan: bound.clone(), sources: vec![Source::Planar(Arc::new(planes))] };
        let backend = if random.chance(3) { CpuBackend::portable() } else { CpuBackend::new() };
        let held = backend.run(&job).unwrap();
        let what = format!("case {case}: {size} {subsampling:?} {eighths}/8 {text} {profile:?}");
        let came = backend.run_bands(&job, &mut coming, &mut |_| {}).expect(&what);
        assert_same(&held, &came, &what);
        assert_eq!(coming.next, n_units as usize, "{what}");
        compared += 1;
    }
    assert!(compared > 180, "{compared}");
}

#[test]
fn damaged_pictures_are_left_to_the_other_way() {
    let size = Size::new(400, 300);
    let bytes = jpeg(&picture(size, 3), ChromaSampling::Half, false);
    let request = request(size, 1, "c_crop,w_400,h_120,g_north/c_scale,w_200/q_80,f_jpg", Profile::Fast);
    let plan = plan(&request).unwrap();
    let mut came = 0;
    for length in (700..bytes.len()).step_by(997) {
        let part = &bytes[..length];
        let limits = Limits::default();
        let held = codec::decode_planes(part, &plan.sources[0], &limits).unwrap();
        let Some(mut reader) = codec::open_planes(part, &plan.sources[0], &limits).unwrap() else { continue };
        let job = Job {
            plan: Arc::new(plan.bind(&[reader.decoded()]).unwrap()),
            sources: vec![Source::Rgba(Arc::new(Frame::filled(Size::new(1, 1), [0; 4])))],
        };
        let streamed = CpuBackend::new().run_bands(&job, &mut reader, &mut |_| {});
        assert_eq!(held.is_some(), streamed.is_some(), "{length} bytes");
        came += usize::from(streamed.is_some());
    }
    assert!(came > 3, "the crop needs no more than the upper half of the file");
}

fn streamed(request: &Request, bytes: &Bytes) -> (Option<Streamed>, u64) {
    let mut held = 0;
    let made =
        pipeline::stream(request, std::slice::from_ref(bytes), &CpuBackend::new(), &Limits::default(), &mut |bytes| {
            held = bytes
        });
    (made.unwrap(), held)
}

#[test]
fn memory_does_not_grow_with_the_height_of_the_source() {
    pool::limit(0);
    let detector = FaceDetector::new().unwrap();
    for profile in [Profile::Fast, Profile::Quality] {
        let mut peaks = Vec::new();
        for height in [2000, 8000] {
            let size = Size::new(2000, height);
            let bytes = jpeg(&picture(size, 9), ChromaSampling::Half, false);
            // Half of the size, so that the decode is at more than that.
            let text = "c_scale,w_1000,h_500/q_80,f_jpg";
            let request = request(size, 1, text, profile);
            let mut made = None;
            let mut held = 0;
            let real = peak(|| (made, held) = streamed(&request, &bytes));
            let made = made.expect("it is large");
            let mut output = None;
            let whole = peak(|| {
                let sources = std::slice::from_ref(&bytes);
                let prepared = pipeline::prepare(&request, sources, &detector, &Limits::default()).unwrap();
                output = Some(CpuBackend::new().run(&prepared.job).unwrap());
            });
            let output = output.unwrap();
            assert_same(&output, &made.output, text);
            println!("{profile:?} {size}: {real} of {whole} bytes, {held} of them rows");
            assert!(real < whole, "{real} of {whole} bytes");
            peaks.push(real);
        }
        assert!(peaks[1] < peaks[0] * 2, "{profile:?}: {peaks:?}");
    }
}

#[test]
fn small_pictures_and_files_without_planes_are_not_streamed() {
    let size = Size::new(300, 200);
    let bytes = jpeg(&picture(size, 1), ChromaSampling::Half, false);
    assert!(streamed(&request(size, 1, "c_scale,w_100/f_jpg", Profile::Fast), &bytes).0.is_none());
    let size = Size::new(2500, 2000);
    let bytes = jpeg(&picture(size, 1), ChromaSampling::Half, false);
    // Every pixel is used as it is.
    assert!(streamed(&request(size, 1, "c_crop,w_2400,h_1900/f_jpg", Profile::Fast), &bytes).0.is_none());
    assert!(streamed(&request(size, 1, "c_scale,w_2000/f_jpg", Profile::Fast), &bytes).0.is_some());
}
