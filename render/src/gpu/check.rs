//! Whether a job is sound: nothing that it states may make a kernel read outside of a surface.

use super::arena::live_kernels;
use crate::backend::{FallbackReason, Job, Source};
use crate::plan::bind::{BoundPlan, Chroma, Kernel};
use crate::plan::geometry::Size;
use crate::plan::step::SurfaceId;
use crate::plan::weights::Weights;

/// The longest side whose tiles and signed positions the kernels can count: 65,536 tiles.
const MAX_SIDE_PX: u32 = 65_535 * tintype_shaders::constant::TILE_SIDE;

/// Errors when the job contradicts itself, which is a fault of the server and not of the device.
pub(super) fn check(job: &Job) -> Result<(), FallbackReason> {
    sound(job).map_err(|what| FallbackReason::DeviceError(format!("unsound plan: {what}")))
}

fn sound(job: &Job) -> Result<(), String> {
    let plan = &*job.plan;
    let count = plan.kernels.len();
    if plan.sizes.len() != count || plan.alphas.len() != count || usize::from(plan.output.0) >= count {
        return Err("its lists differ in length".into());
    }
    for (index, kernel) in plan.kernels.iter().enumerate() {
        if super::arena::inputs(kernel).any(|input| usize::from(input.0) >= index) {
            return Err(format!("kernel {index} reads a surface that is not there yet"));
        }
    }
    let live = live_kernels(plan);
    for (index, kernel) in plan.kernels.iter().enumerate().filter(|(index, _)| live[*index]) {
        let size = plan.sizes[index];
        if size.pixels() == 0 || size.width.max(size.height) > MAX_SIDE_PX {
            return Err(format!("surface {index} is {size}"));
        }
        if !kernel_is_sound(job, plan, kernel, size) {
            return Err(format!("kernel {index} does not fit its surfaces"));
        }
    }
    Ok(())
}

fn kernel_is_sound(job: &Job, plan: &BoundPlan, kernel: &Kernel, size: Size) -> bool {
    let of = |surface: SurfaceId| plan.size(surface);
    match kernel {
        Kernel::Load { source } => job.sources.get(*source).is_some_and(|source| source.size() == size),
        Kernel::Resample { input, horizontal, vertical, chroma, .. } => {
            weights_fit(horizontal, of(*input).width, size.width)
                && weights_fit(vertical, of(*input).height, size.height)
                && chroma.as_ref().is_none_or(|chroma| chroma_fits(job, *input, chroma, size))
        }
        Kernel::Extract { input, x, y } => {
            let fits = |at: u32, length: u32, whole: u32| at.checked_add(length).is_some_and(|end| end <= whole);
            fits(*x, size.width, of(*input).width) && fits(*y, size.height, of(*input).height)
        }
        Kernel::Orient { input, orientation } => orientation.apply_size(of(*input)) == size,
        Kernel::Canvas { .. } => true,
        Kernel::Composite { base, .. } => of(*base) == size,
        Kernel::Mask { input, .. } | Kernel::Opacity { input, .. } => of(*input) == size,
        Kernel::Border { input, width, .. } => {
            let grown = |length: u32| width.checked_mul(2).and_then(|ring| length.checked_add(ring));
            grown(of(*input).width) == Some(size.width) && grown(of(*input).height) == Some(size.height)
        }
    }
}

/// Whether weights of chroma fit the planes that a resampling reads, if it reads planes.
fn chroma_fits(job: &Job, input: SurfaceId, chroma: &Chroma, output: Size) -> bool {
    let Kernel::Load { source } = job.plan.kernels[usize::from(input.0)] else { return true };
    let Some(Source::Planar(planes)) = job.sources.get(source) else { return true };
    let Some([blue, _]) = planes.chroma() else { return true };
    let to = chroma.output.map_or(output, |subsampling| subsampling.apply(output));
    weights_fit(&chroma.horizontal, blue.size().width, to.width)
        && weights_fit(&chroma.vertical, blue.size().height, to.height)
}

fn weights_fit(weights: &Weights, input: u32, output: u32) -> bool {
    let inside = |start: u32, count: u32, end: usize| {
        start.checked_add(count).is_some_and(|last| usize::try_from(last).is_ok_and(|last| last <= end))
    };
    weights.taps.len() == output as usize
        && weights.taps.iter().all(|taps| {
            inside(taps.start, taps.count, input as usize) && inside(taps.offset, taps.count, weights.values.len())
        })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::frame::Frame;
    use crate::plan::weights::Taps;
    use std::sync::Arc;

    fn job(kernel: Kernel, size: Size) -> Job {
        let source = Frame::filled(Size::new(4, 3), [1, 2, 3, 255]);
        Job {
            plan: Arc::new(BoundPlan {
                kernels: vec![Kernel::Load { source: 0 }, kernel],
                sizes: vec![Size::new(4, 3), size],
                alphas: vec![false, true],
                output: SurfaceId(1),
            }),
            sources: vec![Source::Rgba(Arc::new(source))],
        }
    }

    fn one_tap(start: u32) -> Arc<Weights> {
        Arc::new(Weights { taps: vec![Taps { start, count: 1, offset: 0 }], values: vec![1.0] })
    }

    #[test]
    fn the_last_pixel_passes_and_the_next_one_does_not() {
        let input = SurfaceId(0);
        let extract = |x, y| job(Kernel::Extract { input, x, y }, Size::new(2, 2));
        assert!(check(&extract(2, 1)).is_ok());
        assert!(check(&extract(3, 1)).is_err());
        assert!(check(&extract(u32::MAX, 1)).is_err());
        let resample = |x, y| {
            let light = crate::plan::step::Light::Linear;
            job(
                Kernel::Resample { input, horizontal: one_tap(x), vertical: one_tap(y), light, chroma: None },
                Size::new(1, 1),
            )
        };
        assert!(check(&resample(3, 2)).is_ok());
        assert!(check(&resample(4, 2)).is_err());
        assert!(check(&resample(3, 3)).is_err());
    }

    #[test]
    fn a_surface_of_a_later_kernel_or_of_another_size_is_refused() {
        assert!(check(&job(Kernel::Opacity { input: SurfaceId(1), opacity: 1.0 }, Size::new(4, 3))).is_err());
        assert!(check(&job(Kernel::Opacity { input: SurfaceId(0), opacity: 1.0 }, Size::new(4, 4))).is_err());
        assert!(check(&job(Kernel::Load { source: 1 }, Size::new(4, 3))).is_err());
        assert!(check(&job(Kernel::Opacity { input: SurfaceId(0), opacity: 1.0 }, Size::new(4, 3))).is_ok());
    }
}
