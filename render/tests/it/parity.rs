//! The twin backends against each other, and the GPU against the oracle.

use crate::compare::{Tolerance, compare};
use crate::gpu::{open, pictures, shared};
use crate::oracle;
use crate::random_plan::{Random, RandomCase, random_case, random_frame, random_job};
use std::sync::Arc;
use tintype_render::backend::{Backend, Job, Source};
use tintype_render::cpu::CpuBackend;
use tintype_render::frame::Frame;
use tintype_render::gpu::GpuOptions;
use tintype_render::plan::bind::{BoundPlan, Kernel};
use tintype_render::plan::geometry::{Orientation, Size};
use tintype_render::plan::step::{Filter, Light, Outline, SurfaceId};
use tintype_render::plan::weights::{Axis, Weights};

/// Copies of words: nothing may differ.
const COPY: Tolerance = Tolerance { max_step: 0, max_outliers: 0 };

/// Both sides sum f32 products in the order of the taps and round once; contraction of multiplications and additions,
/// and the driver's `pow`, move a value that lies next to a half across it.
const RESAMPLE: Tolerance = Tolerance { max_step: 1, max_outliers: 0 };

/// One expression and one rounding; a division or a square root may be off by 2.5 units in the last place.
const BLEND: Tolerance = Tolerance { max_step: 1, max_outliers: 0 };

fn tolerance(kernel: &Kernel) -> Tolerance {
    match kernel {
        Kernel::Load { .. } | Kernel::Extract { .. } | Kernel::Orient { .. } => COPY,
        Kernel::Resample { .. } => RESAMPLE,
        Kernel::Canvas { .. }
        | Kernel::Composite { .. }
        | Kernel::Mask { .. }
        | Kernel::Border { .. }
        | Kernel::Opacity { .. } => BLEND,
    }
}

/// A kernel with other inputs, and the surfaces that it used to read.
fn rewired(kernel: &Kernel) -> (Kernel, Vec<SurfaceId>) {
    let mut kernel = kernel.clone();
    let mut inputs = Vec::new();
    match &mut kernel {
        Kernel::Load { .. } => {}
        Kernel::Composite { base, layer, .. } => {
            inputs.extend([std::mem::replace(base, SurfaceId(0)), std::mem::replace(layer, SurfaceId(1))]);
        }
        Kernel::Resample { input, .. }
        | Kernel::Extract { input, .. }
        | Kernel::Orient { input, .. }
        | Kernel::Canvas { input, .. }
        | Kernel::Mask { input, .. }
        | Kernel::Border { input, .. }
        | Kernel::Opacity { input, .. } => inputs.push(std::mem::replace(input, SurfaceId(0))),
    }
    (kernel, inputs)
}

/// A job of one kernel over given pictures.
fn alone(kernel: Kernel, inputs: Vec<(Arc<Frame>, bool)>, size: Size, alpha: bool) -> Job {
    let mut plan =
        BoundPlan { kernels: Vec::new(), sizes: Vec::new(), alphas: Vec::new(), output: SurfaceId(inputs.len() as u16) };
    let mut sources = Vec::new();
    for (frame, alpha) in inputs {
        plan.kernels.push(Kernel::Load { source: sources.len() });
        plan.sizes.push(frame.size());
        plan.alphas.push(alpha);
        sources.push(Source::Rgba(frame));
    }
    plan.kernels.push(kernel);
    plan.sizes.push(size);
    plan.alphas.push(alpha);
    Job { plan: Arc::new(plan), sources }
}

/// Errors that name the kernel.
fn check(job: &Job, label: &str, actual: &Frame, expected: &Frame) -> Result<(), String> {
    let kernel = &job.plan.kernels[usize::from(job.plan.output.0)];
    let name: String = format!("{kernel:?}").chars().take(60).collect();
    compare(actual, expected, tolerance(kernel)).map_err(|error| format!("{label}, {name}: {error}"))
}

/// What every kernel of a random case makes, by the oracle.
fn oracle_surfaces(case: &RandomCase) -> Vec<Arc<Frame>> {
    let mut surfaces: Vec<Arc<Frame>> = Vec::new();
    for index in 0..case.job.plan.kernels.len() {
        let source = |i: usize| match &case.job.sources[i] {
            Source::Rgba(frame) => &**frame,
            _ => panic!("random jobs have RGBA sources"),
        };
        let made = oracle::kernel(&case.job.plan, index, case.axes[index], |i| &*surfaces[i], source);
        surfaces.push(Arc::new(made));
    }
    surfaces
}

#[test]
fn every_kernel_of_random_plans_agrees_with_the_oracle() {
    let Some(backend) = shared("kernels against the oracle") else { return };
    let (mut jobs, mut expected) = (Vec::new(), Vec::new());
    for seed in 10_000..10_150 {
        let case = random_case(seed);
        let plan = &case.job.plan;
        let surfaces = oracle_surfaces(&case);
        for (index, kernel) in plan.kernels.iter().enumerate() {
            let (kernel, inputs) = rewired(kernel);
            if !inputs.is_empty() {
                let inputs = inputs.iter().map(|input| (surfaces[usize::from(input.0)].clone(), plan.alpha(*input)));
                jobs.push((seed, alone(kernel, inputs.collect(), plan.sizes[index], plan.alphas[index])));
                expected.push(surfaces[index].clone());
            }
        }
    }
    let batch: Vec<_> = jobs.iter().map(|(_, job)| job.clone()).collect();
    let actual = pictures(backend, &batch);
    for (((seed, job), actual), expected) in jobs.iter().zip(&actual).zip(&expected) {
        check(job, &format!("seed {seed}"), actual, expected).unwrap_or_else(|error| panic!("{error}"));
    }
}
