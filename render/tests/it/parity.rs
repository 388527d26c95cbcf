//! The twin backends against each other, and the GPU against the oracle.

use crate::compare::{Tolerance, compare};
use crate::gpu::{pictures, shared};
use crate::gpu_bytes::{in_pixels, planar};
use crate::oracle;
use crate::random_plan::{Random, RandomCase, random_case, random_frame, random_job};
use std::sync::Arc;
use tintype_render::backend::{Job, Source};
use tintype_render::cpu::CpuBackend;
use tintype_render::frame::Frame;
use tintype_render::plan::bind::{BoundPlan, Kernel};
use tintype_render::plan::geometry::{Orientation, Size};
use tintype_render::plan::step::{Filter, Light, Outline, SurfaceId};
use tintype_render::plan::weights::{Axis, Weights};
use tintype_render::planes::Subsampling;

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
    let mut plan = BoundPlan {
        kernels: Vec::new(),
        sizes: Vec::new(),
        alphas: Vec::new(),
        output: SurfaceId(inputs.len() as u16),
    };
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

/// Sizes where loops, tiles, rows of lanes and limits of dispatches end.
const AWKWARD: [(u32, u32); 12] = [
    (1, 1),
    (1, 2),
    (2, 1),
    (1, 301),
    (301, 1),
    (15, 17),
    (16, 16),
    (17, 15),
    (33, 65),
    (255, 3),
    (4097, 2),
    (2, 4097),
];

fn weights(input: u32, scaled: u32) -> Arc<Weights> {
    let axis = Axis {
        region_start: 0.0,
        region_length: f64::from(input),
        input_start: 0,
        input_end: input,
        scaled_length: scaled,
        window_start: 0,
        window_length: scaled,
    };
    Arc::new(axis.weights(Filter::Lanczos3))
}

/// Every kernel over one picture, with parameters at their edges.
fn awkward_kernels(size: Size, alpha: bool) -> Vec<(Kernel, Size, bool)> {
    let input = SurfaceId(0);
    let Size { width, height } = size;
    let mut kernels = Vec::new();
    for (to, light) in [
        (Size::new(1, 1), Light::Linear),
        (Size::new(width.div_ceil(3), height.div_ceil(2)), Light::Linear),
        (Size::new(width.min(300) + 7, height.min(300) * 2), Light::Linear),
        (Size::new(width, 19), Light::Encoded),
        (Size::new(23, height), Light::Encoded),
    ] {
        let (horizontal, vertical) = (weights(width, to.width), weights(height, to.height));
        kernels.push((Kernel::Resample { input, horizontal, vertical, light, chroma: None }, to, alpha));
    }
    kernels.push((Kernel::Extract { input, x: width - 1, y: height - 1 }, Size::new(1, 1), alpha));
    kernels.push((Kernel::Extract { input, x: width / 2, y: 0 }, Size::new(width - width / 2, height), alpha));
    for value in 1..=8 {
        let orientation = Orientation::from_exif(value);
        kernels.push((Kernel::Orient { input, orientation }, orientation.apply_size(size), alpha));
    }
    let larger = Size::new(width + 5, height + 3);
    for (left, top, to) in [(2, 1, larger), (-1, -1, size), (0, 0, size), (i32::MIN, i32::MAX, larger)] {
        kernels.push((Kernel::Canvas { input, left, top, fill: [9, 99, 199, 255] }, to, false));
        kernels.push((Kernel::Canvas { input, left, top, fill: [250, 128, 1, 77] }, to, true));
        kernels.push((Kernel::Canvas { input, left, top, fill: [0; 4] }, to, true));
        for opacity in [0.0, 0.37, 1.0] {
            kernels.push((Kernel::Composite { base: input, layer: input, left, top, opacity }, size, alpha));
        }
    }
    let short = width.min(height) as f32;
    let outlines = [
        Outline::Ellipse,
        Outline::Corners([0.0; 4]),
        Outline::Corners([short / 2.0; 4]),
        Outline::Corners([short, 0.0, 1.5, 7.0]),
    ];
    for outline in outlines {
        kernels.push((Kernel::Mask { input, outline }, size, true));
        for (ring, color) in [(1, [200, 100, 50, 255]), (9, [1, 2, 3, 128])] {
            let to = Size::new(width + 2 * ring, height + 2 * ring);
            kernels.push((Kernel::Border { input, width: ring, color, outline }, to, true));
        }
    }
    for opacity in [0.0, 0.5, 0.999, 1.0] {
        kernels.push((Kernel::Opacity { input, opacity }, size, true));
    }
    kernels
}

#[test]
fn every_kernel_agrees_on_both_backends_over_awkward_sizes() {
    let Some(backend) = shared("kernels on both backends") else { return };
    let twin = CpuBackend::new();
    for alpha in [false, true] {
        let mut jobs = Vec::new();
        for (index, (width, height)) in AWKWARD.into_iter().enumerate() {
            let size = Size::new(width, height);
            let frame = Arc::new(random_frame(&mut Random(index as u64 + 40), size, alpha));
            for (kernel, to, to_alpha) in awkward_kernels(size, alpha) {
                let (kernel, inputs) = rewired(&kernel);
                let inputs = inputs.iter().map(|_| (frame.clone(), alpha)).collect();
                jobs.push((size, alone(kernel, inputs, to, to_alpha)));
            }
        }
        let batch: Vec<_> = jobs.iter().map(|(_, job)| job.clone()).collect();
        let (actual, expected) = (pictures(backend, &batch), pictures(&twin, &batch));
        let mut failures = Vec::new();
        for (((size, job), actual), expected) in jobs.iter().zip(&actual).zip(&expected) {
            assert_eq!(actual.has_alpha(), expected.has_alpha());
            failures.extend(check(job, &format!("{size}, alpha {alpha}"), actual, expected).err());
        }
        assert!(failures.is_empty(), "{} of {} jobs:\n{}", failures.len(), jobs.len(), failures.join("\n"));
    }
}

/// The device makes pixels of planes before it resamples them, in the kernel `planar`.
#[test]
fn planar_sources_agree_after_a_resampling_with_pixels_on_the_cpu() {
    let Some(backend) = shared("planar sources on both backends") else { return };
    let mut jobs = Vec::new();
    for (seed, (width, height)) in AWKWARD.into_iter().enumerate() {
        for (across, down) in [(1, 1), (2, 1), (1, 2), (2, 2)] {
            let size = Size::new(width, height);
            let source = planar(seed as u64, size, Subsampling { across, down }, seed % 5 == 4);
            let to = Size::new(width.div_ceil(3), height.div_ceil(2));
            let (horizontal, vertical) = (weights(width, to.width), weights(height, to.height));
            let light = Light::Linear;
            let kernel = Kernel::Resample { input: SurfaceId(0), horizontal, vertical, light, chroma: None };
            let mut job = alone(kernel, vec![(Arc::new(Frame::filled(size, [0; 4])), false)], to, false);
            job.sources = vec![source];
            jobs.push(job);
        }
    }
    let pixels: Vec<_> = jobs.iter().map(in_pixels).collect();
    let (actual, expected) = (pictures(backend, &jobs), pictures(&CpuBackend::new(), &pixels));
    for ((job, actual), expected) in jobs.iter().zip(&actual).zip(&expected) {
        check(job, "planes", actual, expected).unwrap_or_else(|error| panic!("{error}"));
    }
}

/// Between kernels every surface is rounded to bytes. Where two backends round to different neighbors and alpha is
/// low, a later kernel divides by that alpha and widens the step. This is rare (measured: 1 pixel in 1000 plans).
const WHOLE_PLAN: Tolerance = Tolerance { max_step: 1, max_outliers: 4 };

/// As [`compare`]; and the outliers may not be seen: weighted by alpha, no pixel is off by more than one step.
fn compare_whole(actual: &Frame, expected: &Frame) -> Result<(), String> {
    compare(actual, expected, WHOLE_PLAN)?;
    let pairs = actual.pixels().chunks_exact(4).zip(expected.pixels().chunks_exact(4));
    for (index, (a, e)) in pairs.enumerate() {
        let alpha = u32::from(a[3].max(e[3]));
        let step = a[..3].iter().zip(e).map(|(a, e)| u32::from(a.abs_diff(*e))).max().unwrap_or(0);
        if a[3].abs_diff(e[3]) > 1 || (step > 1 && step * alpha > 255) {
            return Err(format!("pixel {index} is {a:?} instead of {e:?}"));
        }
    }
    Ok(())
}

#[test]
fn whole_random_plans_agree_in_one_batch() {
    let Some(backend) = shared("whole plans on both backends") else { return };
    let jobs: Vec<_> = (0..1000).map(random_job).collect();
    let (actual, expected) = (pictures(backend, &jobs), pictures(&CpuBackend::new(), &jobs));
    let mut failures = Vec::new();
    for (seed, (actual, expected)) in actual.iter().zip(&expected).enumerate() {
        failures.extend(compare_whole(actual, expected).err().map(|error| format!("seed {seed}: {error}")));
    }
    assert!(failures.is_empty(), "{} of {} plans:\n{}", failures.len(), jobs.len(), failures.join("\n"));
}

#[test]
fn a_pixel_that_is_off_by_three_is_caught() {
    let Some(backend) = shared("a planted pixel") else { return };
    let size = Size::new(40, 30);
    let frame = Arc::new(random_frame(&mut Random(77), size, false));
    let kernel = Kernel::Mask { input: SurfaceId(0), outline: Outline::Ellipse };
    let job = [alone(kernel, vec![(frame, false)], size, true)];
    let expected = pictures(&CpuBackend::new(), &job);
    let mut actual = pictures(backend, &job);
    check(&job[0], "as it is", &actual[0], &expected[0]).expect("nothing is planted yet");
    compare_whole(&actual[0], &expected[0]).expect("nothing is planted yet");
    let middle = (15 * 40 + 20) * 4;
    for channel in 0..4 {
        let good = actual[0].pixels()[middle + channel];
        actual[0].pixels_mut()[middle + channel] = if good < 128 { good + 3 } else { good - 3 };
        assert!(check(&job[0], "planted", &actual[0], &expected[0]).is_err(), "channel {channel}");
        assert!(compare_whole(&actual[0], &expected[0]).is_err(), "channel {channel}");
        actual[0].pixels_mut()[middle + channel] = good;
    }
}

#[test]
fn a_wrong_weight_is_caught() {
    let Some(backend) = shared("a planted weight") else { return };
    let (from, to) = (Size::new(64, 48), Size::new(20, 15));
    let frame = Arc::new(random_frame(&mut Random(8), from, false));
    let job = |horizontal: Arc<Weights>| {
        let vertical = weights(from.height, to.height);
        let kernel = Kernel::Resample { input: SurfaceId(0), horizontal, vertical, light: Light::Linear, chroma: None };
        alone(kernel, vec![(frame.clone(), false)], to, false)
    };
    let good = job(weights(from.width, to.width));
    let mut planted = (*weights(from.width, to.width)).clone();
    let middle = planted.values.len() / 2;
    planted.values[middle] += 0.1;
    let expected = pictures(&CpuBackend::new(), std::slice::from_ref(&good));
    let actual = pictures(backend, &[good, job(Arc::new(planted))]);
    compare(&actual[0], &expected[0], RESAMPLE).expect("the true weights agree");
    assert!(compare(&actual[1], &expected[0], RESAMPLE).is_err());
}
