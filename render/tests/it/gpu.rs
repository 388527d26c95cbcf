//! What the GPU backend promises beyond pixels: few dispatches, limits, isolation of jobs, and orderly loss.

use crate::random_plan::{Random, random_frame, random_job};
use std::collections::BTreeSet;
use std::process::Command;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use tintype_render::backend::{Backend, FallbackReason, Job, Source};
use tintype_render::choice::RendererMode;
use tintype_render::gpu::{BatchCounters, GpuBackend, GpuOptions, OpenError};
use tintype_render::plan::bind::{BoundPlan, Kernel};
use tintype_render::plan::geometry::Size;
use tintype_render::plan::step::{Filter, Light, Outline, SurfaceId};
use tintype_render::plan::weights::Axis;

/// Set to 1 by a person whose machine cannot have any adapter.
const OPT_OUT: &str = "TINTYPE_TEST_NO_GPU";

/// A backend on any adapter, software too; `None` only when a person opted out, and the run then says so.
pub fn open(what: &str, options: GpuOptions) -> Option<GpuBackend> {
    if std::env::var(OPT_OUT).is_ok_and(|value| value == "1") {
        eprintln!("left out because {OPT_OUT}=1: {what}");
        return None;
    }
    match GpuBackend::open(|adapter| RendererMode::Software.allows(adapter), options) {
        Ok(backend) => Some(backend),
        Err(error) => panic!("{what}: {error}; install mesa-vulkan-drivers, or set {OPT_OUT}=1 to leave it out"),
    }
}

/// The backend that tests share unless they break it.
pub fn shared(what: &str) -> Option<&'static GpuBackend> {
    static SHARED: OnceLock<Option<GpuBackend>> = OnceLock::new();
    let backend = SHARED.get_or_init(|| open(what, GpuOptions::default())).as_ref();
    if backend.is_none() {
        eprintln!("left out because {OPT_OUT}=1: {what}");
    }
    backend
}

fn source(seed: u64, size: Size, alpha: bool) -> Source {
    Source::Rgba(Arc::new(random_frame(&mut Random(seed), size, alpha)))
}

fn axis(input: u32, scaled: u32) -> Axis {
    Axis {
        region_start: 0.0,
        region_length: f64::from(input),
        input_start: 0,
        input_end: input,
        scaled_length: scaled,
        window_start: 0,
        window_length: scaled,
    }
}

/// Resample, round the corners, draw a border: three kernels, of which one has two passes, and a load that is spread.
fn thumbnail(from: Size, to: Size) -> Arc<BoundPlan> {
    let weights = |input, scaled| Arc::new(axis(input, scaled).weights(Filter::Lanczos3));
    let outline = Outline::Corners([5.0; 4]);
    let (horizontal, vertical) = (weights(from.width, to.width), weights(from.height, to.height));
    Arc::new(BoundPlan {
        kernels: vec![
            Kernel::Load { source: 0 },
            Kernel::Resample { input: SurfaceId(0), horizontal, vertical, light: Light::Linear, chroma: None },
            Kernel::Mask { input: SurfaceId(1), outline },
            Kernel::Border { input: SurfaceId(2), width: 3, color: [200, 10, 30, 255], outline },
        ],
        sizes: vec![from, to, to, Size::new(to.width + 6, to.height + 6)],
        alphas: vec![false, false, true, true],
        output: SurfaceId(3),
    })
}

/// The pictures of a batch that must not fail.
pub fn pictures(backend: &dyn Backend, jobs: &[Job]) -> Vec<tintype_render::frame::Frame> {
    let results = backend.execute(jobs);
    assert_eq!(results.len(), jobs.len());
    results.into_iter().map(|result| result.expect("the job runs").into_frame()).collect()
}

#[test]
fn dispatches_do_not_grow_with_the_number_of_equal_jobs() {
    let Some(backend) = open("dispatches per batch", GpuOptions::default()) else { return };
    let (from, to) = (Size::new(300, 200), Size::new(90, 60));
    let plan = thumbnail(from, to);
    let batch = |count: u64| -> BatchCounters {
        let jobs: Vec<_> =
            (0..count).map(|seed| Job { plan: Arc::clone(&plan), sources: vec![source(seed, from, false)] }).collect();
        pictures(&backend, &jobs);
        backend.last_counters()
    };
    let (one, many) = (batch(1), batch(50));
    assert_eq!((one.dispatches, one.submissions, one.windows, one.jobs), (5, 1, 1, 1));
    assert_eq!((many.dispatches, many.submissions, many.windows, many.jobs), (5, 1, 1, 50));
    let output_bytes = 96 * 66 * 4;
    assert_eq!((one.bytes_down, many.bytes_down), (output_bytes, 50 * output_bytes), "only outputs come back");
    assert_eq!(many.bytes_up - many.bytes_tables, 50 * from.pixels() * 3);
    let totals = backend.total_counters();
    assert_eq!((totals.jobs, totals.dispatches), (51, 10));
}

#[test]
fn a_source_that_many_jobs_share_goes_up_once() {
    let Some(backend) = open("shared sources", GpuOptions::default()) else { return };
    let from = Size::new(120, 80);
    let shared = source(1, from, false);
    let jobs: Vec<_> = (1..9)
        .map(|side| Job { plan: thumbnail(from, Size::new(side * 10, side * 7)), sources: vec![shared.clone()] })
        .collect();
    pictures(&backend, &jobs);
    let counters = backend.last_counters();
    assert_eq!(counters.bytes_up - counters.bytes_tables, from.pixels() * 3);
    assert_eq!(counters.dispatches, 5);
}

#[test]
fn a_mixed_batch_keeps_under_depth_times_kinds() {
    let Some(backend) = open("dispatches of mixed batches", GpuOptions::default()) else { return };
    let jobs: Vec<_> = (0..120).map(random_job).collect();
    pictures(&backend, &jobs);
    let mut kinds = BTreeSet::new();
    let mut depth = 0;
    for kernel in jobs.iter().flat_map(|job| &job.plan.kernels) {
        kinds.insert(format!("{kernel:?}").chars().take_while(char::is_ascii_alphabetic).collect::<String>());
    }
    for job in &jobs {
        let passes = job.plan.kernels.iter().map(|kernel| match kernel {
            // Spread at the beginning; an opaque output is packed at the end.
            Kernel::Load { .. } => 1,
            Kernel::Resample { .. } => 2,
            _ => 1,
        });
        depth = depth.max(passes.sum::<u64>());
    }
    let n_kernels = kinds.len() as u64;
    let counters = backend.last_counters();
    assert_eq!(counters.windows, 1);
    assert!(counters.dispatches <= depth * n_kernels, "{counters:?} for depth {depth} and {n_kernels} kernels");
    assert!(counters.dispatches < jobs.len() as u64);
}

#[test]
fn windows_change_nothing_but_the_number_of_submissions() {
    let what = "many windows";
    let Some(whole) = shared(what) else { return };
    let options = GpuOptions { budget_bytes: 3 << 20, ..GpuOptions::default() };
    let Some(small) = open(what, options) else { return };
    let jobs: Vec<_> = (500..560).map(random_job).collect();
    let expected = pictures(whole, &jobs);
    let actual = pictures(&small, &jobs);
    assert!(actual == expected);
    let counters = small.last_counters();
    assert!(counters.windows > 1, "{counters:?}");
    assert_eq!(counters.submissions, counters.windows);
}

#[test]
fn a_job_that_does_not_fit_falls_back_alone() {
    let options = GpuOptions { budget_bytes: 1 << 20, ..GpuOptions::default() };
    let Some(backend) = open("jobs over the budget", options) else { return };
    let make = |width: u32| {
        let from = Size::new(width, 300);
        Job { plan: thumbnail(from, Size::new(20, 20)), sources: vec![source(3, from, false)] }
    };
    let results = backend.execute(&[make(100), make(2000), make(101)]);
    assert!(results[0].is_ok() && results[2].is_ok());
    assert!(matches!(&results[1], Err(FallbackReason::TooLarge(_))), "{:?}", results[1]);
}

#[test]
fn an_unsound_job_is_refused_and_harms_no_other() {
    let Some(backend) = shared("unsound jobs") else { return };
    let good = random_job(4);
    let mut broken = (*random_job(5).plan).clone();
    broken.sizes.pop();
    let results = backend.execute(&[
        good.clone(),
        Job { plan: Arc::new(broken), sources: Vec::new() },
        Job { plan: Arc::clone(&good.plan), sources: Vec::new() },
        good.clone(),
    ]);
    assert!(results[0].is_ok() && results[3].is_ok());
    assert!(matches!(&results[1], Err(FallbackReason::DeviceError(_))));
    assert!(matches!(&results[2], Err(FallbackReason::DeviceError(_))));
    assert!(backend.healthy());
    assert!(backend.execute(&[]).is_empty());
}

#[test]
fn recycled_memory_never_shows_in_another_picture() {
    let what = "recycled memory";
    let (Some(used), Some(fresh)) = (open(what, GpuOptions::default()), shared(what)) else { return };
    // The whole arena is filled with loud pixels by other jobs before every batch.
    let from = Size::new(700, 700);
    let loud = Job { plan: thumbnail(from, Size::new(600, 600)), sources: vec![source(9, from, false)] };
    for seed in 900..930 {
        pictures(&used, &[loud.clone(), loud.clone()]);
        let job = [random_job(seed)];
        assert!(pictures(&used, &job) == pictures(fresh, &job), "seed {seed}");
    }
}

#[test]
fn a_device_that_is_lost_refuses_every_job() {
    let Some(backend) = open("loss before a batch", GpuOptions::default()) else { return };
    assert!(backend.healthy());
    backend.lose();
    assert!(!backend.healthy());
    let results = backend.execute(&[random_job(1), random_job(2)]);
    assert_eq!(results.len(), 2);
    assert!(results.iter().all(|result| matches!(result, Err(FallbackReason::DeviceLost(_)))), "{results:?}");
    backend.lose();
}

#[test]
fn a_device_that_is_lost_during_a_batch_answers_soon_and_truly() {
    let what = "loss during a batch";
    let Some(whole) = shared(what) else { return };
    let from = Size::new(600, 500);
    let plan = thumbnail(from, Size::new(300, 250));
    let jobs: Vec<_> =
        (0..24).map(|seed| Job { plan: Arc::clone(&plan), sources: vec![source(seed, from, false)] }).collect();
    let expected = pictures(whole, &jobs);
    // A small budget makes several windows, so that the loss comes between submissions as well as during one.
    let options = || GpuOptions { budget_bytes: 20 << 20, timeout: Duration::from_secs(20), ..GpuOptions::default() };
    let Some(timed) = open(what, options()) else { return };
    let started = Instant::now();
    pictures(&timed, &jobs);
    let (whole_time, n_windows) = (started.elapsed(), timed.last_counters().windows);
    assert!(n_windows > 1);
    let mut lost_midway = 0;
    for tenths in 0..10 {
        let Some(backend) = open(what, options()) else { return };
        let started = Instant::now();
        let results = std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(whole_time * tenths / 10);
                backend.lose();
            });
            backend.execute(&jobs)
        });
        assert!(started.elapsed() < Duration::from_secs(20), "after {tenths} tenths");
        assert_eq!(results.len(), jobs.len());
        let mut lost = 0;
        for (result, expected) in results.into_iter().zip(&expected) {
            match result {
                Ok(output) => assert!(output.into_frame() == *expected, "wrong pixels after {tenths} tenths"),
                Err(FallbackReason::DeviceLost(_)) => lost += 1,
                Err(other) => panic!("{other} after {tenths} tenths"),
            }
        }
        assert!(!backend.healthy());
        lost_midway += u32::from(lost > 0 && backend.last_counters().submissions > 0);
    }
    assert!(lost_midway > 0, "no batch was hit while it ran");
}

#[test]
fn a_device_that_does_not_answer_in_time_is_given_up() {
    // As short as a wait can be made; the software adapter needs far longer for this batch.
    let options = GpuOptions { timeout: Duration::from_millis(1), ..GpuOptions::default() };
    let Some(backend) = open("a hung device", options) else { return };
    let from = Size::new(1500, 1500);
    let plan = thumbnail(from, Size::new(1400, 1400));
    let shared = source(1, from, false);
    let jobs = vec![Job { plan, sources: vec![shared] }; 4];
    let results = backend.execute(&jobs);
    if results.iter().all(Result::is_ok) {
        eprintln!("left out because this adapter is too fast: a hung device");
        return;
    }
    // Windows that were done before somebody waited for them have their pictures.
    assert!(results.iter().all(|result| matches!(result, Ok(_) | Err(FallbackReason::DeviceLost(_)))), "{results:?}");
    assert!(!backend.healthy());
    // Neither the next batch nor the end of the backend may wait for the device.
    let started = Instant::now();
    assert!(backend.execute(&jobs).iter().all(Result::is_err));
    drop(backend);
    assert!(started.elapsed() < Duration::from_millis(500));
}

#[test]
fn without_a_driver_there_is_no_adapter_and_no_panic() {
    const CHILD: &str = "TINTYPE_TEST_WITHOUT_DRIVER";
    if std::env::var_os(CHILD).is_some() {
        assert!(tintype_render::gpu::adapters().is_empty());
        let opened = GpuBackend::open(|_| true, GpuOptions::default());
        assert!(matches!(opened, Err(OpenError::NoAdapter(_))), "{opened:?}");
        return;
    }
    // The loader reads these variables, and they are only safe to set before a process starts.
    let child = Command::new(std::env::current_exe().expect("the test has a file"))
        .args(["--exact", "gpu::without_a_driver_there_is_no_adapter_and_no_panic"])
        .env(CHILD, "1")
        .env("VK_DRIVER_FILES", "/nonexistent")
        .env("VK_ICD_FILENAMES", "/nonexistent")
        .output()
        .expect("the child starts");
    let text = String::from_utf8_lossy(&child.stdout);
    assert!(child.status.success() && text.contains("1 passed"), "{text}");
}
