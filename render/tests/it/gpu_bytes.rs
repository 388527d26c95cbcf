//! Bytes and launches of the GPU backend, held against what the forecast computes from the jobs alone.

use crate::compare::{Tolerance, compare};
use crate::gpu::{open, pictures, shared};
use crate::random_plan::{Random, random_frame, random_job};
use crate::support::Case;
use std::sync::Arc;
use std::time::Duration;
use tintype_render::backend::{Backend, Begun, Job, Source};
use tintype_render::cpu::CpuBackend;
use tintype_render::forecast::{Shape, fewest_windows, launches, least};
use tintype_render::gpu::{BatchCounters, Clock, GpuOptions};
use tintype_render::plan::bind::{BoundPlan, Decoded, Kernel};
use tintype_render::plan::facts::Profile;
use tintype_render::plan::geometry::Size;
use tintype_render::plan::step::SurfaceId;
use tintype_render::planes::{Plane, Planes, Subsampling};

/// A picture in planes, with strides of their own.
pub fn planar(seed: u64, size: Size, subsampling: Subsampling, gray: bool) -> Source {
    let mut random = Random(seed);
    let mut plane = |size: Size| {
        let stride = size.width as usize + 7;
        let smooth = random.chance(2);
        let samples = (0..stride * size.height as usize)
            .map(|i| if smooth { (i / 3) as u8 } else { random.range(0, 255) as u8 })
            .collect();
        Plane::new(size, stride, samples).expect("the samples are there")
    };
    let coarse = subsampling.apply(size);
    let chroma = if gray { None } else { Some([plane(coarse), plane(coarse)]) };
    Source::Planar(Arc::new(Planes::new(plane(size), chroma, subsampling).expect("the planes fit")))
}

/// The same job with pixels for planes.
pub fn in_pixels(job: &Job) -> Job {
    let sources = job.sources.iter().map(|source| match source {
        Source::Planar(planes) => Source::Rgba(Arc::new(planes.to_frame())),
        other => other.clone(),
    });
    Job { plan: Arc::clone(&job.plan), sources: sources.collect() }
}

fn photograph(seed: u64, size: Size) -> Source {
    planar(seed, size, Subsampling::HALF, false)
}

fn shapes(jobs: &[Job]) -> Vec<Shape> {
    jobs.iter().map(Shape::of).collect()
}

/// How a decoder gives a picture.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Decoder {
    Jpeg,
    Webp,
    Png,
}

/// Jobs of a transformation over sources of a size, each with a plan of its own, as the planner makes them.
fn jobs_of(text: &str, decoder: Decoder, size: Size, count: u64, profile: Profile) -> Vec<Job> {
    let job = |seed| {
        let frame = random_frame(&mut Random(seed), size, decoder == Decoder::Png);
        let case = Case::new(frame, text);
        if decoder != Decoder::Jpeg {
            return case.job(profile);
        }
        let decoded = Decoded { subsampling: Some(Subsampling::HALF), ..Decoded::whole(size) };
        let plan = case.plan(profile).bind(&[decoded]).expect("whole pictures bind");
        Job { plan: Arc::new(plan), sources: vec![photograph(seed, size)] }
    };
    (0..count).map(job).collect()
}

#[test]
fn every_form_of_a_picture_gives_the_same_pixels_on_both_backends() {
    let Some(backend) = shared("forms of sources") else { return };
    let mut jobs = Vec::new();
    let sizes = [(1, 1), (2, 1), (1, 2), (3, 3), (16, 16), (17, 33), (64, 5), (257, 31)];
    for (index, (width, height)) in sizes.into_iter().enumerate() {
        for (across, down) in [(1, 1), (2, 1), (1, 2), (2, 2)] {
            for gray in [false, true] {
                let size = Size::new(width, height);
                jobs.push(copy_of(planar(index as u64, size, Subsampling { across, down }, gray)));
            }
        }
        for alpha in [false, true] {
            let frame = random_frame(&mut Random(index as u64), Size::new(width, height), alpha);
            jobs.push(copy_of(Source::Rgba(Arc::new(frame))));
        }
    }
    let in_pixels: Vec<_> = jobs.iter().map(in_pixels).collect();
    let (actual, expected) = (pictures(backend, &jobs), pictures(&CpuBackend::new(), &in_pixels));
    for ((job, actual), expected) in jobs.iter().zip(&actual).zip(&expected) {
        // Pixels are copied; the color conversion rounds a value that may lie next to a half.
        let max_step = u8::from(matches!(job.sources[0], Source::Planar(_)));
        compare(actual, expected, Tolerance { max_step, max_outliers: 0 })
            .unwrap_or_else(|error| panic!("{:?}: {error}", Shape::of(job).sources));
    }
}

/// The source as it is, but through the device.
fn copy_of(source: Source) -> Job {
    let size = source.size();
    let alpha = source.has_alpha();
    let plan = BoundPlan {
        kernels: vec![Kernel::Load { source: 0 }, Kernel::Extract { input: SurfaceId(0), x: 0, y: 0 }],
        sizes: vec![size; 2],
        alphas: vec![alpha; 2],
        output: SurfaceId(1),
    };
    Job { plan: Arc::new(plan), sources: vec![source] }
}

#[test]
fn a_picture_that_is_only_loaded_from_planes_never_sees_the_device() {
    let Some(backend) = open("planes that are only loaded", GpuOptions::default()) else { return };
    let mut job = copy_of(photograph(1, Size::new(30, 20)));
    job.plan = Arc::new(BoundPlan { output: SurfaceId(0), ..(*job.plan).clone() });
    let expected = pictures(&CpuBackend::new(), &[in_pixels(&job)]);
    assert!(pictures(&backend, std::slice::from_ref(&job)) == expected);
    assert_eq!(backend.last_counters(), BatchCounters { jobs: 1, ..BatchCounters::default() });
}

/// Sources as decoders give them for the workloads of the documentation, smaller where that is slow in software.
const WORKLOADS: [(&str, &str, Decoder, (u32, u32)); 9] = [
    ("W1", "c_fit,w_400,h_400", Decoder::Jpeg, (1008, 756)),
    ("W1w", "c_fit,w_400,h_400", Decoder::Webp, (1344, 1008)),
    ("W2", "c_fill,w_400,h_350/r_20,bo_5px_solid_black", Decoder::Jpeg, (1008, 756)),
    ("W3", "c_scale,w_1000", Decoder::Jpeg, (2000, 1333)),
    ("W4", "c_scale,w_1200", Decoder::Jpeg, (1600, 1200)),
    ("W5", "c_scale,w_0.5", Decoder::Png, (1600, 1200)),
    ("W8", "c_fill,w_800,h_600", Decoder::Jpeg, (1600, 1200)),
    ("W9", "c_fit,w_512,h_512", Decoder::Jpeg, (1600, 1200)),
    ("W10", "c_fill,w_800", Decoder::Jpeg, (1600, 1200)),
];

#[test]
fn bytes_of_the_workloads_are_within_a_twentieth_of_the_least() {
    let Some(backend) = open("bytes of workloads", GpuOptions::default()) else { return };
    for (name, text, decoder, (width, height)) in WORKLOADS {
        // Several outputs of one picture are of one profile; tables weigh most beside a single job.
        for (count, profile) in [(1, Profile::Quality), (2, Profile::Fast)] {
            let jobs = jobs_of(text, decoder, Size::new(width, height), count, profile);
            let (least, launches) = (least(&shapes(&jobs)), launches(&shapes(&jobs)));
            pictures(&backend, &jobs);
            let counters = backend.last_counters();
            let ratio = least.ratio(counters.bytes_up, counters.bytes_down);
            eprintln!("{name} {profile:?} x {count}: {ratio:.4} of {least:?}; {} dispatches", counters.dispatches);
            assert!(ratio <= 1.05, "{name} x {count}: {ratio:.4}, {counters:?}, {least:?}");
            assert!(ratio >= 1.0, "{name} x {count}: less than the least: {ratio:.4}");
            assert!(counters.bytes_down <= least.down + 12 * count, "{name}: {counters:?}");
            assert_eq!(counters.dispatches, launches.one_window * counters.windows, "{name} x {count}");
            assert_eq!(counters.submissions, counters.windows);
        }
    }
}

#[test]
fn launches_of_random_batches_are_as_the_forecast_says() {
    let Some(backend) = open("launches of random batches", GpuOptions::default()) else { return };
    for batch in 0..40 {
        let jobs: Vec<_> = (0..1 + batch % 9).map(|index| random_job(7000 + 31 * batch + index)).collect();
        let forecast = launches(&shapes(&jobs));
        pictures(&backend, &jobs);
        let counters = backend.last_counters();
        assert_eq!(counters.dispatches, forecast.one_window, "batch {batch}");
        assert!(counters.dispatches <= forecast.at_most(1));
        assert!(least(&shapes(&jobs)).ratio(counters.bytes_up - counters.bytes_tables, counters.bytes_down) < 1.2);
    }
}

#[test]
fn small_windows_cost_no_more_launches_than_the_forecast_allows() {
    let options = GpuOptions { budget_bytes: 3 << 20, ..GpuOptions::default() };
    let Some(backend) = open("launches of many windows", options) else { return };
    let jobs: Vec<_> = (500..560).map(random_job).collect();
    let forecast = launches(&shapes(&jobs));
    pictures(&backend, &jobs);
    let counters = backend.last_counters();
    assert!(counters.windows > 1 && counters.dispatches <= forecast.at_most(counters.windows), "{counters:?}");
    assert!(counters.windows >= fewest_windows(&shapes(&jobs), 3 << 20), "{counters:?}");
}

/// Ten widths of one photograph, as one eager job.
fn ten_widths(seed: u64, size: Size) -> Vec<Job> {
    let shared = photograph(seed, size);
    let widths = (1..=10).map(|tenth| size.width * tenth / 12);
    widths
        .map(|width| {
            let base = random_frame(&mut Random(1), size, false);
            let job = Case::new(base, &format!("c_scale,w_{width}")).job(Profile::Quality);
            Job { plan: job.plan, sources: vec![shared.clone()] }
        })
        .collect()
}

#[test]
fn a_photograph_in_ten_widths_goes_up_once_however_many_windows_it_takes() {
    let what = "one source in many windows";
    // The pixels, and an intermediate or two beside them.
    let options = GpuOptions { budget_bytes: 36 << 20, ..GpuOptions::default() };
    let (Some(whole), Some(small)) = (shared(what), open(what, options)) else { return };
    let jobs = ten_widths(3, Size::new(1200, 800));
    let expected = pictures(whole, &jobs);
    assert!(pictures(&small, &jobs) == expected);
    let counters = small.last_counters();
    assert!(counters.windows > 2, "{counters:?}");
    let least = least(&shapes(&jobs));
    assert_eq!(least.up, 1200 * 800 * 3 / 2);
    let pixels = counters.bytes_up - counters.bytes_tables;
    assert!(pixels <= least.up + 4, "{pixels} bytes of {}", least.up);
    let ratio = least.ratio(counters.bytes_up, counters.bytes_down);
    assert!(ratio <= 1.10, "{ratio}");
    // Another family right behind it must not find the first one's pixels.
    let mut both = jobs.clone();
    both.extend(ten_widths(4, Size::new(1200, 800)));
    let expected = pictures(whole, &both);
    assert!(pictures(&small, &both) == expected);
}

#[test]
fn batches_that_are_begun_before_others_end_give_their_own_pictures() {
    let what = "batches on their way together";
    let options = GpuOptions { budget_bytes: 24 << 20, ..GpuOptions::default() };
    let (Some(whole), Some(ring)) = (shared(what), open(what, options)) else { return };
    let batches: Vec<Vec<Job>> = (0..6).map(|batch| (0..20).map(|i| random_job(100 * batch + i)).collect()).collect();
    let expected: Vec<_> = batches.iter().map(|jobs| pictures(whole, jobs)).collect();
    // Buffers grow to their size first: they are never replaced under a window that is on its way.
    for jobs in &batches {
        pictures(&ring, jobs);
    }
    let before = ring.total_counters();
    let mut answers = Vec::new();
    let mut open = std::collections::VecDeque::new();
    for jobs in &batches {
        let Begun::Pending(number) = ring.begin(jobs) else { panic!("a device begins") };
        open.push_back(number);
        if open.len() == 3 {
            answers.push(ring.end(open.pop_front().unwrap()));
        }
    }
    answers.extend(open.into_iter().map(|number| ring.end(number)));
    for (answers, expected) in answers.into_iter().zip(expected) {
        let frames: Vec<_> = answers.into_iter().map(|answer| answer.expect("the job runs").into_frame()).collect();
        assert!(frames == expected);
    }
    let totals = ring.total_counters();
    // Every batch but the first was staged while another was on its way.
    let (overlapped, windows) =
        (totals.windows_overlapped - before.windows_overlapped, totals.windows - before.windows);
    assert!(windows >= 6 && overlapped >= windows - 1, "{totals:?}");
    assert!(ring.end(999).is_empty(), "there is no such batch");
}

#[test]
fn staging_memory_is_used_again() {
    let Some(backend) = open("reuse of buffers", GpuOptions::default()) else { return };
    let jobs = jobs_of("c_fit,w_100,h_100", Decoder::Jpeg, Size::new(400, 300), 4, Profile::Quality);
    pictures(&backend, &jobs);
    let made = backend.total_counters().buffers_made;
    assert_eq!(made, 4, "arena, tables, staging and readback");
    for _ in 0..5 {
        pictures(&backend, &jobs);
    }
    assert_eq!(backend.total_counters().buffers_made, made);
}

fn ticks() -> Duration {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NOW: AtomicU64 = AtomicU64::new(0);
    Duration::from_micros(NOW.fetch_add(1, Ordering::Relaxed))
}

#[test]
fn times_are_counted_when_there_is_a_clock_and_only_then() {
    let options = |clock| GpuOptions { budget_bytes: 3 << 20, clock, ..GpuOptions::default() };
    let Some(timed) = open("times of stages", options(Some(Clock(ticks)))) else { return };
    let Some(untimed) = open("times of stages", options(None)) else { return };
    let jobs: Vec<_> = (500..560).map(random_job).collect();
    pictures(&timed, &jobs);
    pictures(&untimed, &jobs);
    let counters = timed.last_counters();
    assert!(counters.windows > 2, "{counters:?}");
    for (what, time) in [
        ("staging", counters.staging),
        ("reading", counters.reading),
        ("waiting", counters.waiting),
        ("overlap", counters.overlap),
    ] {
        assert!(time > Duration::ZERO, "{what}: {counters:?}");
    }
    assert!(counters.overlap <= counters.staging + counters.reading);
    let counters = untimed.last_counters();
    assert_eq!(counters.staging + counters.reading + counters.waiting + counters.overlap, Duration::ZERO);
}
