//! The memory that the CPU backend promises to stay under, against what it really takes.

use crate::random_plan::{Random, random_frame, random_job};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;
use tintype_render::backend::{Backend, Job, Source};
use tintype_render::cpu::{CpuBackend, peak_bytes};
use tintype_render::plan::bind::{BoundPlan, Kernel};
use tintype_render::plan::geometry::Size;
use tintype_render::plan::step::{Filter, Light, Outline, SurfaceId};
use tintype_render::plan::weights::Axis;

thread_local! {
    static LIVE: Cell<i64> = const { Cell::new(0) };
    static PEAK: Cell<i64> = const { Cell::new(0) };
}

/// Counts the bytes of each thread. The backend runs on the calling thread, so other tests do not disturb.
struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

fn count(bytes: i64) {
    let _ = LIVE.try_with(|live| {
        live.set(live.get() + bytes);
        let _ = PEAK.try_with(|peak| peak.set(peak.get().max(live.get())));
    });
}

// SAFETY: every call is handed to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as i64);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as i64);
        // SAFETY: the caller's promise.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-(layout.size() as i64));
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// Most bytes of Rust's own allocations alive at once on this thread while something runs, beyond what was there before.
pub fn peak(run: impl FnOnce()) -> u64 {
    let before = LIVE.with(Cell::get);
    PEAK.with(|peak| peak.set(before));
    run();
    u64::try_from(PEAK.with(Cell::get) - before).unwrap_or(0)
}

/// Most bytes alive at once on this thread while the job runs, sources included.
fn measured(job: &Job) -> u64 {
    let sources: u64 = job
        .sources
        .iter()
        .map(|source| match source {
            Source::Rgba(frame) => frame.pixels().len() as u64,
            other => panic!("unknown source {other:?}"),
        })
        .sum();
    let before = LIVE.get();
    PEAK.set(before);
    let results = CpuBackend::new().execute(std::slice::from_ref(job));
    let peak = PEAK.get() - before;
    assert!(results[0].is_ok(), "{results:?}");
    sources + peak as u64
}

#[test]
fn the_bound_holds_for_random_jobs() {
    // What is kept to be used again is counted by itself.
    tintype_render::pool::limit(0);
    for seed in 0..300 {
        let job = random_job(seed);
        let (bound, real) = (peak_bytes(&job.plan), measured(&job));
        assert!(real <= bound, "seed {seed}: {real} of {bound} bytes");
    }
}

#[test]
fn the_bound_is_close_for_a_large_job() {
    tintype_render::pool::limit(0);
    let (from, to) = (Size::new(2016, 1512), Size::new(800, 600));
    let axis = |input: u32, scaled_length: u32| Axis {
        region_start: 0.0,
        region_length: f64::from(input),
        input_start: 0,
        input_end: input,
        scaled_length,
        window_start: 0,
        window_length: scaled_length,
    };
    let resample = Kernel::Resample {
        input: SurfaceId(0),
        horizontal: Arc::new(axis(from.width, to.width).weights(Filter::Lanczos3)),
        vertical: Arc::new(axis(from.height, to.height).weights(Filter::Lanczos3)),
        light: Light::Linear,
        chroma: None,
    };
    let plan = BoundPlan {
        kernels: vec![
            Kernel::Load { source: 0 },
            resample,
            Kernel::Mask { input: SurfaceId(1), outline: Outline::Ellipse },
            Kernel::Opacity { input: SurfaceId(2), opacity: 0.5 },
        ],
        sizes: vec![from, to, to, to],
        alphas: vec![true; 4],
        output: SurfaceId(3),
    };
    let frame = random_frame(&mut Random(7), from, true);
    let job = Job { plan: Arc::new(plan), sources: vec![Source::Rgba(Arc::new(frame))] };
    let (bound, real) = (peak_bytes(&job.plan), measured(&job));
    assert!(real <= bound && bound < real + real / 20, "{real} of {bound} bytes");
}
