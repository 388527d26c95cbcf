//! Measures what kernels and transfers take, on small pictures, once at the start.
//!
//! A kernel's time is the difference between a long chain of it and a short one, so that transfers and launches, which
//! both have, cancel out.

use super::cost::{CostModel, KernelKind, Rates, units};
use crate::backend::{Backend, FallbackReason, Job, Source};
use crate::frame::Frame;
use crate::gpu::Clock;
use crate::plan::bind::{BoundPlan, Kernel};
use crate::plan::geometry::{Orientation, Size};
use crate::plan::step::{Filter, Light, Outline, SurfaceId};
use crate::plan::weights::Axis;
use std::sync::Arc;

/// Side of the measured picture.
const SIDE: u32 = 384;
/// Kernels of a short and of a long chain.
const CHAINS: [usize; 2] = [1, 5];
/// Runs of each chain; the quickest counts, because everything that disturbs makes it slower.
const RUNS: usize = 3;
/// No kernel is quicker than this on any device; keeps noise from becoming a free kernel.
const LEAST_UNIT_NS: f64 = 1e-4;

/// Measures a device and one thread of the CPU. Errors when one of them refuses a job.
pub fn calibrate(
    device: &dyn Backend,
    cpu: &dyn Backend,
    clock: Clock,
    cpu_threads: usize,
) -> Result<CostModel, FallbackReason> {
    let mut device_rates = kernel_rates(device, clock)?;
    // The smallest job costs nearly nothing but the batch; half of the large ones' difference goes up, half comes down.
    let small = quickest(device, &chain(KernelKind::Opacity, 1, 1), clock)?;
    device_rates.batch_ns = small;
    let (side, short) = (f64::from(SIDE), chain(KernelKind::Opacity, 1, SIDE));
    let whole = quickest(device, &short, clock)?;
    let kernel = device_rates.unit_ns[KernelKind::Opacity as usize] * side * side;
    // A picture that is cut down to one pixel only goes up.
    let up = quickest(device, &cut(SIDE), clock)? - small;
    let up = up.max(0.0);
    let bytes = 4.0 * side * side;
    device_rates.up_ns = up / bytes;
    device_rates.down_ns = (whole - small - kernel - up).max(0.0) / bytes;
    Ok(CostModel { device: device_rates, cpu: kernel_rates(cpu, clock)?, cpu_threads })
}

fn kernel_rates(backend: &dyn Backend, clock: Clock) -> Result<Rates, FallbackReason> {
    let mut rates = Rates::default();
    for kind in KernelKind::ALL {
        let mut times = [(0.0, 0_u64); 2];
        for (length, time) in CHAINS.into_iter().zip(&mut times) {
            let job = chain(kind, length, SIDE);
            let work = (1..job.plan.kernels.len()).map(|index| units(&job.plan, index)).sum();
            *time = (quickest(backend, &job, clock)?, work);
        }
        let [(short, less), (long, more)] = times;
        rates.unit_ns[kind as usize] = ((long - short) / more.saturating_sub(less).max(1) as f64).max(LEAST_UNIT_NS);
    }
    Ok(rates)
}

/// Nanoseconds of the quickest of some runs.
fn quickest(backend: &dyn Backend, job: &Job, clock: Clock) -> Result<f64, FallbackReason> {
    let mut best = f64::INFINITY;
    // The first run may allocate and compile.
    for run in 0..=RUNS {
        let begun = (clock.0)();
        let answers = backend.execute(std::slice::from_ref(job));
        let took = (clock.0)().saturating_sub(begun);
        for answer in answers {
            answer?;
        }
        if run > 0 {
            best = best.min(took.as_secs_f64() * 1e9);
        }
    }
    Ok(best)
}

fn source(side: u32) -> Source {
    let size = Size::new(side, side);
    let mut frame = Frame::filled(size, [10, 20, 30, 200]);
    for (index, pixel) in frame.pixels_mut().chunks_exact_mut(4).enumerate() {
        pixel[0] = index as u8;
        pixel[1] = (index / 7) as u8;
    }
    Source::Rgba(Arc::new(frame))
}

/// A picture of which one pixel comes back.
fn cut(side: u32) -> Job {
    let plan = BoundPlan {
        kernels: vec![Kernel::Load { source: 0 }, Kernel::Extract { input: SurfaceId(0), x: 0, y: 0 }],
        sizes: vec![Size::new(side, side), Size::new(1, 1)],
        alphas: vec![true; 2],
        output: SurfaceId(1),
    };
    Job { plan: Arc::new(plan), sources: vec![source(side)] }
}

/// A chain of kernels of one kind, each over the output of the one before.
fn chain(kind: KernelKind, length: usize, side: u32) -> Job {
    let mut kernels = vec![Kernel::Load { source: 0 }];
    let mut sizes = vec![Size::new(side, side)];
    let outline = Outline::Corners([side as f32 / 4.0; 4]);
    for index in 0..length {
        let input = SurfaceId(index as u16);
        let before = sizes[index];
        let (kernel, size) = match kind {
            KernelKind::Resample => {
                // There and back, at ratios as they are usual.
                let to =
                    if index % 2 == 0 { Size::new((side * 3).div_ceil(5), (side * 3).div_ceil(5)) } else { sizes[0] };
                let axis = Axis {
                    region_start: 0.0,
                    region_length: f64::from(before.width),
                    input_start: 0,
                    input_end: before.width,
                    scaled_length: to.width,
                    window_start: 0,
                    window_length: to.width,
                };
                let weights = Arc::new(axis.weights(Filter::Lanczos3));
                let (horizontal, vertical) = (Arc::clone(&weights), weights);
                (Kernel::Resample { input, horizontal, vertical, light: Light::Linear, chroma: None }, to)
            }
            KernelKind::Extract => (Kernel::Extract { input, x: 0, y: 0 }, before),
            KernelKind::Orient => {
                let orientation = Orientation { mirror: true, quarter_turns: 1 };
                (Kernel::Orient { input, orientation }, orientation.apply_size(before))
            }
            KernelKind::Canvas => (Kernel::Canvas { input, left: 1, top: 1, fill: [9, 8, 7, 100] }, before),
            KernelKind::Composite => {
                (Kernel::Composite { base: input, layer: SurfaceId(0), left: 1, top: 1, opacity: 0.5 }, before)
            }
            KernelKind::Mask => (Kernel::Mask { input, outline }, before),
            KernelKind::Border => {
                let size = Size::new(before.width + 2, before.height + 2);
                (Kernel::Border { input, width: 1, color: [1, 2, 3, 255], outline }, size)
            }
            KernelKind::Opacity => (Kernel::Opacity { input, opacity: 0.9 }, before),
        };
        kernels.push(kernel);
        sizes.push(size);
    }
    let plan = BoundPlan { alphas: vec![true; kernels.len()], kernels, sizes, output: SurfaceId(length as u16) };
    Job { plan: Arc::new(plan), sources: vec![source(side)] }
}
