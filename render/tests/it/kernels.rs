//! The CPU backend against the oracle, and what it answers to malformed jobs.

use crate::compare::{Tolerance, compare};
use crate::oracle;
use crate::random_plan::{Random, random_case, random_frame};
use std::sync::Arc;
use tintype_render::backend::{Backend, FallbackReason, Job, Source};
use tintype_render::cpu::CpuBackend;
use tintype_render::frame::Frame;
use tintype_render::plan::bind::{BoundPlan, Kernel};
use tintype_render::plan::geometry::Size;
use tintype_render::plan::step::{Filter, Light, Outline, SurfaceId};
use tintype_render::plan::weights::Axis;

/// One step: a value that falls on a rounding boundary goes either way in f32.
const ROUNDING: Tolerance = Tolerance { max_step: 1, max_outliers: 0 };

/// Pixels are only moved.
const EXACT: Tolerance = Tolerance { max_step: 0, max_outliers: 0 };

/// Of the coverage by distance from that by area. A straight edge across a pixel's corner differs by about 0.1, the
/// curve inside of one pixel and 16x16 samples add to that. Holds for radii from 4 px on; below, a pixel is larger
/// than what is curved.
const COVERAGE_BY_AREA: f64 = 0.15;

fn backends() -> [CpuBackend; 2] {
    [CpuBackend::new(), CpuBackend::portable()]
}

fn run(backend: &CpuBackend, plan: BoundPlan, frames: &[&Frame]) -> Frame {
    let sources = frames.iter().map(|frame| Source::Rgba(Arc::new((*frame).clone()))).collect();
    let job = Job { plan: Arc::new(plan), sources };
    backend.execute(&[job]).remove(0).expect("a valid job").into_frame()
}

fn whole(input: u32, scaled_length: u32) -> Axis {
    Axis {
        region_start: 0.0,
        region_length: f64::from(input),
        input_start: 0,
        input_end: input,
        scaled_length,
        window_start: 0,
        window_length: scaled_length,
    }
}

/// A plan of one kernel over one source.
fn single(input: &Frame, kernel: Kernel, size: Size, alpha: bool) -> BoundPlan {
    BoundPlan {
        kernels: vec![Kernel::Load { source: 0 }, kernel],
        sizes: vec![input.size(), size],
        alphas: vec![input.has_alpha(), alpha],
        output: SurfaceId(1),
    }
}

fn resampling(input: &Frame, horizontal: &Axis, vertical: &Axis, light: Light) -> BoundPlan {
    let kernel = Kernel::Resample {
        input: SurfaceId(0),
        horizontal: Arc::new(horizontal.weights(Filter::Lanczos3)),
        vertical: Arc::new(vertical.weights(Filter::Lanczos3)),
        light,
        chroma: None,
    };
    single(input, kernel, Size::new(horizontal.window_length, vertical.window_length), input.has_alpha())
}

#[test]
fn resampling_agrees_with_the_formula_over_awkward_sizes() {
    let sizes = [
        ((1, 1), (1, 1)),
        ((1, 1), (7, 5)),
        ((9, 1), (1, 9)),
        ((1, 33), (3, 8)),
        ((37, 23), (37, 11)),
        ((37, 23), (12, 23)),
        ((16, 16), (48, 48)),
        ((101, 67), (40, 51)),
        ((4097, 3), (300, 2)),
        ((3, 4097), (2, 100)),
        ((5, 3), (4097, 2)),
        ((200, 150), (3, 2)),
        // Wide and with many rows waiting: made in several strips.
        ((40, 60), (1501, 7)),
        ((900, 61), (600, 3)),
    ];
    let mut random = Random(1);
    for ((width, height), (to_width, to_height)) in sizes {
        for alpha in [false, true] {
            let input = random_frame(&mut random, Size::new(width, height), alpha);
            for light in [Light::Linear, Light::Encoded] {
                let axes = (whole(width, to_width), whole(height, to_height));
                let expected = oracle::resample(&input, &axes.0, &axes.1, light);
                for backend in backends() {
                    let actual = run(&backend, resampling(&input, &axes.0, &axes.1, light), &[&input]);
                    let case = format!("{} to {to_width}x{to_height}, {light:?}, alpha {alpha}", input.size());
                    compare(&actual, &expected, ROUNDING).unwrap_or_else(|why| panic!("{case}: {why}"));
                }
            }
        }
    }
}

#[test]
fn bright_transparent_pixels_do_not_bleed() {
    let mut pixels = Vec::new();
    for x in 0..64 {
        pixels.extend_from_slice(if x % 3 == 0 { &[10, 20, 30, 255] } else { &[255, 255, 255, 0] });
    }
    let input = Frame::new(Size::new(8, 8), true, pixels).expect("64 pixels");
    for light in [Light::Linear, Light::Encoded] {
        let actual = run(&CpuBackend::new(), resampling(&input, &whole(8, 3), &whole(8, 3), light), &[&input]);
        for pixel in actual.pixels().chunks_exact(4).filter(|pixel| pixel[3] > 0) {
            for (channel, color) in pixel.iter().zip([10_u8, 20, 30]) {
                assert!(channel.abs_diff(color) <= 1, "{light:?}: {pixel:?}");
            }
        }
    }
}

/// Every kernel of random plans, each on the very surfaces that the backend gave it, so that errors do not add up.
#[test]
fn every_kernel_of_random_plans_agrees_with_the_oracle() {
    for seed in 0..400 {
        let case = random_case(seed);
        for backend in backends() {
            let mut surfaces: Vec<Frame> = Vec::new();
            for (index, kernel) in case.job.plan.kernels.iter().enumerate() {
                let plan = BoundPlan { output: SurfaceId(index as u16), ..(*case.job.plan).clone() };
                let job = Job { plan: Arc::new(plan), sources: case.job.sources.clone() };
                let actual = backend.execute(&[job]).remove(0).expect("a valid job").into_frame();
                let source = |i: usize| match &case.job.sources[i] {
                    Source::Rgba(frame) => &**frame,
                    other => panic!("unknown source {other:?}"),
                };
                let expected = oracle::kernel(&case.job.plan, index, case.axes[index], |i| &surfaces[i], source);
                let tolerance = match kernel {
                    Kernel::Load { .. } | Kernel::Extract { .. } | Kernel::Orient { .. } => EXACT,
                    _ => ROUNDING,
                };
                compare(&actual, &expected, tolerance)
                    .unwrap_or_else(|why| panic!("seed {seed}, kernel {index} {kernel:.80?}: {why}"));
                if !case.job.plan.alphas[index] {
                    assert!(actual.pixels().chunks_exact(4).all(|pixel| pixel[3] == 255), "seed {seed}");
                }
                surfaces.push(actual);
            }
        }
    }
}

#[test]
fn coverage_is_close_to_the_area_inside() {
    let cases = [
        (Outline::Ellipse, Size::new(64, 64)),
        (Outline::Ellipse, Size::new(61, 33)),
        (Outline::Corners([8.0; 4]), Size::new(40, 30)),
        (Outline::Corners([4.0, 0.0, 15.0, 7.0]), Size::new(31, 30)),
    ];
    for (outline, size) in cases {
        let input = Frame::filled(size, [1, 2, 3, 255]);
        let actual = run(
            &CpuBackend::new(),
            single(&input, Kernel::Mask { input: SurfaceId(0), outline }, size, true),
            &[&input],
        );
        for y in 0..size.height {
            for x in 0..size.width {
                let (got, area) =
                    (f64::from(actual.pixel(x, y)[3]) / 255.0, oracle::sampled_coverage(outline, size, x, y));
                assert!(
                    (got - area).abs() <= COVERAGE_BY_AREA,
                    "{outline:?} of {size} at ({x}, {y}): {got} for {area}"
                );
            }
        }
    }
}

#[test]
fn a_planted_fault_is_caught() {
    let input = random_frame(&mut Random(3), Size::new(50, 40), false);
    let axes = (whole(50, 21), whole(40, 17));
    let expected = oracle::resample(&input, &axes.0, &axes.1, Light::Linear);
    let mut actual = run(&CpuBackend::new(), resampling(&input, &axes.0, &axes.1, Light::Linear), &[&input]);
    assert_eq!(compare(&actual, &expected, ROUNDING), Ok(()));
    let channel = &mut actual.pixels_mut()[4 * 100 + 1];
    *channel = if *channel < 128 { *channel + 3 } else { *channel - 3 };
    assert!(compare(&actual, &expected, ROUNDING).is_err());
    assert!(compare(&actual, &Frame::filled(Size::new(21, 18), [0; 4]), ROUNDING).is_err());
}

#[test]
fn malformed_jobs_are_refused_and_harm_no_other() {
    let input = random_frame(&mut Random(5), Size::new(20, 10), true);
    let good = resampling(&input, &whole(20, 7), &whole(10, 3), Light::Encoded);
    let source = || vec![Source::Rgba(Arc::new(input.clone()))];
    let other = Source::Rgba(Arc::new(random_frame(&mut Random(6), Size::new(20, 9), true)));
    let extract = Kernel::Extract { input: SurfaceId(0), x: u32::MAX, y: 5 };
    let broken = [
        (good.clone(), vec![]),
        (good.clone(), vec![other]),
        (BoundPlan { output: SurfaceId(2), ..good.clone() }, source()),
        (BoundPlan { sizes: vec![input.size(), Size::new(7, 4)], ..good.clone() }, source()),
        (BoundPlan { alphas: vec![true], ..good.clone() }, source()),
        (resampling(&input, &whole(21, 7), &whole(10, 3), Light::Linear), source()),
        (single(&input, extract, Size::new(2, 2), true), source()),
        (single(&input, Kernel::Opacity { input: SurfaceId(1), opacity: 1.0 }, input.size(), true), source()),
        (
            single(&input, Kernel::Mask { input: SurfaceId(0), outline: Outline::Ellipse }, Size::new(1, 1), true),
            source(),
        ),
    ];
    for (i, (plan, sources)) in broken.into_iter().enumerate() {
        let jobs = [Job { plan: Arc::new(plan), sources }, Job { plan: Arc::new(good.clone()), sources: source() }];
        let results = CpuBackend::new().execute(&jobs);
        assert!(matches!(results[0], Err(FallbackReason::DeviceError(_))), "job {i}: {:?}", results[0]);
        assert!(results[1].is_ok(), "beside job {i}");
    }
}
