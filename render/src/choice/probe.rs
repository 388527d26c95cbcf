//! The proof that an adapter computes what the CPU computes.

use crate::backend::{Backend, FallbackReason, Job, Source};
use crate::frame::Frame;
use crate::plan::bind::{BoundPlan, Kernel};
use crate::plan::geometry::{Orientation, Size};
use crate::plan::step::{Filter, Light, Outline, SurfaceId};
use crate::plan::weights::{Axis, Weights};
use std::sync::Arc;

/// Steps of 255 by which a channel may differ: both sides round the same value, which may lie next to a half.
const MAX_STEP: u8 = 1;

/// Why an adapter is not used.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ProbeError {
    /// It refused the built-in picture.
    #[error("it refused the probe: {0}")]
    Refused(FallbackReason),
    /// It computes something else.
    #[error("after {kernel}, pixel ({x}, {y}) is {actual:?} instead of {expected:?}")]
    Mismatch { kernel: &'static str, x: u32, y: u32, actual: [u8; 4], expected: [u8; 4] },
    /// The pictures differ in size.
    #[error("after {kernel} the picture has another size")]
    Size { kernel: &'static str },
}

/// Runs the built-in picture through every kernel on both backends, and compares what each kernel leaves.
pub fn prove(backend: &dyn Backend, twin: &dyn Backend) -> Result<(), ProbeError> {
    let (plan, names) = plan();
    // One job for each prefix of the plan, so that a fault names its kernel and is not hidden by a later one.
    let picture = Source::Rgba(Arc::new(picture()));
    let jobs: Vec<_> = (1..plan.kernels.len())
        .map(|last| {
            let plan = BoundPlan { output: SurfaceId(last as u16), ..plan.clone() };
            Job { plan: Arc::new(plan), sources: vec![picture.clone()] }
        })
        .collect();
    let results = backend.execute(&jobs).into_iter().zip(twin.execute(&jobs));
    for ((actual, expected), kernel) in results.zip(names) {
        let actual = actual.map_err(ProbeError::Refused)?.into_frame();
        let expected = expected.map_err(ProbeError::Refused)?.into_frame();
        compare(&actual, &expected, kernel)?;
    }
    Ok(())
}

fn compare(actual: &Frame, expected: &Frame, kernel: &'static str) -> Result<(), ProbeError> {
    let size = expected.size();
    if actual.size() != size {
        return Err(ProbeError::Size { kernel });
    }
    for (x, y) in (0..size.height).flat_map(|y| (0..size.width).map(move |x| (x, y))) {
        let (actual, expected) = (actual.pixel(x, y), expected.pixel(x, y));
        let invisible = actual[3] == 0 && expected[3] == 0;
        if !invisible && actual.iter().zip(expected).any(|(a, e)| a.abs_diff(e) > MAX_STEP) {
            return Err(ProbeError::Mismatch { kernel, x, y, actual, expected });
        }
    }
    Ok(())
}

/// Gradients, edges and alphas from a third up, not symmetric in any way.
fn picture() -> Frame {
    let size = Size::new(61, 43);
    let mut frame = Frame::filled(size, [0; 4]);
    for (index, pixel) in frame.pixels_mut().chunks_exact_mut(4).enumerate() {
        let (x, y) = (index as u32 % size.width, index as u32 / size.width);
        let checker = if (x / 5 + y / 3) % 2 == 0 { 255 } else { 20 };
        pixel.copy_from_slice(&[(4 * x) as u8, (5 * y) as u8, checker, (85 + (x * 7 + y * 11) % 171) as u8]);
    }
    frame
}

/// A plan with every kernel, and the name of each kernel after the load.
fn plan() -> (BoundPlan, Vec<&'static str>) {
    let outline = Outline::Corners([3.0, 0.0, 9.0, 6.0]);
    let base = Size::new(61, 43);
    let (large, small) = (Size::new(80, 31), Size::new(73, 40));
    let (turned, ringed, canvas) = (Size::new(38, 70), Size::new(46, 78), Size::new(64, 81));
    let resample = |input, light, from: Size, to: Size| Kernel::Resample {
        input: SurfaceId(input),
        horizontal: weights(from.width, to.width),
        vertical: weights(from.height, to.height),
        light,
        chroma: None,
    };
    let turn = Orientation { mirror: true, quarter_turns: 1 };
    // Resampling comes first: it divides by alpha, which would blow up a rounding difference where alpha is low.
    let steps: Vec<(&'static str, Kernel, Size)> = vec![
        ("load", Kernel::Load { source: 0 }, base),
        ("resample", resample(0, Light::Linear, base, large), large),
        ("encoded resample", resample(1, Light::Encoded, large, small), small),
        ("extract", Kernel::Extract { input: SurfaceId(2), x: 3, y: 1 }, Size::new(70, 38)),
        ("orient", Kernel::Orient { input: SurfaceId(3), orientation: turn }, turned),
        ("mask", Kernel::Mask { input: SurfaceId(4), outline }, turned),
        ("border", Kernel::Border { input: SurfaceId(5), width: 4, color: [250, 90, 10, 200], outline }, ringed),
        ("canvas", Kernel::Canvas { input: SurfaceId(6), left: 40, top: -9, fill: [10, 60, 130, 90] }, canvas),
        ("opacity", Kernel::Opacity { input: SurfaceId(7), opacity: 0.7 }, canvas),
        (
            "composite",
            Kernel::Composite { base: SurfaceId(8), layer: SurfaceId(0), left: -11, top: 50, opacity: 0.6 },
            canvas,
        ),
        ("ellipse", Kernel::Mask { input: SurfaceId(9), outline: Outline::Ellipse }, canvas),
    ];
    let names = steps.iter().skip(1).map(|(name, ..)| *name).collect();
    let count = steps.len();
    let (kernels, sizes) = steps.into_iter().map(|(_, kernel, size)| (kernel, size)).unzip();
    let output = SurfaceId(count as u16 - 1);
    (BoundPlan { kernels, sizes, alphas: vec![true; count], output }, names)
}

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::{BackendKind, JobResult, Output};
    use crate::cpu::CpuBackend;

    /// The CPU, with one pixel of one picture changed.
    struct Faulty {
        twin: CpuBackend,
        job: usize,
        by: u8,
    }

    impl Backend for Faulty {
        fn kind(&self) -> BackendKind {
            BackendKind::Gpu
        }

        fn name(&self) -> String {
            "faulty".into()
        }

        fn execute(&self, jobs: &[Job]) -> Vec<JobResult> {
            let mut results = self.twin.execute(jobs);
            if let Some(Ok(Output::Rgba(frame))) = results.get_mut(self.job) {
                let middle = frame.pixels().len() / 8 * 4;
                let pixel = &mut frame.pixels_mut()[middle..middle + 4];
                pixel[1] = if pixel[1] < 128 { pixel[1] + self.by } else { pixel[1] - self.by };
                pixel[3] = pixel[3].max(1);
            }
            results
        }
    }

    #[test]
    fn every_kind_of_kernel_is_in_the_probe() {
        let (plan, names) = plan();
        assert_eq!(names.len() + 1, plan.kernels.len());
        let kind = |kernel: &Kernel| match kernel {
            Kernel::Load { .. } => 0,
            Kernel::Resample { .. } => 1,
            Kernel::Extract { .. } => 2,
            Kernel::Orient { .. } => 3,
            Kernel::Canvas { .. } => 4,
            Kernel::Composite { .. } => 5,
            Kernel::Mask { .. } => 6,
            Kernel::Border { .. } => 7,
            Kernel::Opacity { .. } => 8,
        };
        let kinds: std::collections::BTreeSet<_> = plan.kernels.iter().map(kind).collect();
        assert_eq!(kinds.into_iter().collect::<Vec<_>>(), (0..=8).collect::<Vec<_>>());
    }

    #[test]
    fn a_fault_of_three_steps_after_any_kernel_is_found() {
        let (_, names) = plan();
        let faulty = |job, by| Faulty { twin: CpuBackend::new(), job, by };
        for (job, name) in names.iter().enumerate() {
            let found = prove(&faulty(job, 3), &CpuBackend::new());
            assert!(matches!(found, Err(ProbeError::Mismatch { kernel, .. }) if kernel == *name), "{name}: {found:?}");
        }
        assert_eq!(prove(&faulty(names.len(), 3), &CpuBackend::new()), Ok(()), "no job, no fault");
    }
}
