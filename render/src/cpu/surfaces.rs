//! Which surfaces of a running plan are alive, who owns them, and how many bytes that takes.

use super::{planar, resample};
use crate::backend::Output;
use crate::frame::{BYTES_PER_PIXEL, Frame};
use crate::plan::bind::{BoundPlan, Kernel};
use crate::plan::geometry::Size;
use crate::plan::step::SurfaceId;
use crate::planes::Planes;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Bytes for what is small in every job: tables of surfaces, text of errors.
const SMALL_BYTES: u64 = 16 * 1024;

/// A picture that a kernel wrote, or one that a decoder lent.
#[derive(Debug)]
pub(super) enum Surface {
    Shared(Arc<Frame>),
    Owned(Frame),
    /// A picture that only resampling reads, or the result.
    Planar(Arc<Planes>),
    /// A picture that is decoded when the only step that reads it does so.
    Coming(Size),
}

impl Surface {
    fn frame(&self) -> Option<&Frame> {
        match self {
            Surface::Shared(frame) => Some(frame),
            Surface::Owned(frame) => Some(frame),
            Surface::Planar(_) | Surface::Coming(_) => None,
        }
    }

    fn size(&self) -> Size {
        match self {
            Surface::Shared(frame) => frame.size(),
            Surface::Owned(frame) => frame.size(),
            Surface::Planar(planes) => planes.size(),
            Surface::Coming(size) => *size,
        }
    }
}

fn inputs(kernel: &Kernel) -> [Option<SurfaceId>; 2] {
    match *kernel {
        Kernel::Load { .. } => [None, None],
        Kernel::Composite { base, layer, .. } => [Some(base), Some(layer)],
        Kernel::Resample { input, .. }
        | Kernel::Extract { input, .. }
        | Kernel::Orient { input, .. }
        | Kernel::Canvas { input, .. }
        | Kernel::Mask { input, .. }
        | Kernel::Border { input, .. }
        | Kernel::Opacity { input, .. } => [Some(input), None],
    }
}

/// The input that a kernel may write in place.
fn written(kernel: &Kernel) -> Option<SurfaceId> {
    match *kernel {
        Kernel::Composite { base: input, .. } | Kernel::Mask { input, .. } | Kernel::Opacity { input, .. } => {
            Some(input)
        }
        _ => None,
    }
}

/// For every surface the last kernel that reads it; the output is read at the end, and `None` is never read.
fn last_reads(plan: &BoundPlan) -> Vec<Option<usize>> {
    let mut last = vec![None; plan.kernels.len()];
    last[usize::from(plan.output.0)] = Some(plan.kernels.len());
    for (index, kernel) in plan.kernels.iter().enumerate().rev() {
        if last[index].is_some() {
            for input in inputs(kernel).into_iter().flatten() {
                let last = &mut last[usize::from(input.0)];
                *last = (*last).max(Some(index));
            }
        }
    }
    last
}

/// Whether exactly one step of those that matter reads a source, and that step resamples it from planes.
pub(super) fn is_read_once(plan: &BoundPlan, source: usize) -> bool {
    if check(plan).is_err() {
        return false;
    }
    let last = last_reads(plan);
    let is_load =
        |id: SurfaceId| matches!(plan.kernels[usize::from(id.0)], Kernel::Load { source: of } if of == source);
    let needed = plan.kernels.iter().zip(&last).filter(|(_, last)| last.is_some()).map(|(kernel, _)| kernel);
    let mut readers = needed.filter(|kernel| inputs(kernel).into_iter().flatten().any(is_load));
    let is_resampled = matches!(readers.next(), Some(Kernel::Resample { chroma: Some(_), .. }));
    is_resampled && readers.next().is_none() && !is_load(plan.output)
}

/// Whether a kernel takes over the memory of the surface that it writes to. A layer that is its own base is read too.
fn in_place(plan: &BoundPlan, last: &[Option<usize>], index: usize) -> bool {
    let kernel = &plan.kernels[index];
    let itself = matches!(kernel, Kernel::Composite { base, layer, .. } if base == layer);
    written(kernel).is_some_and(|input| {
        let input = usize::from(input.0);
        !itself && last[input] == Some(index) && !matches!(plan.kernels[input], Kernel::Load { .. })
    })
}

/// Refuses a plan whose lists do not fit together or whose kernels read what is not there yet.
pub(super) fn check(plan: &BoundPlan) -> Result<(), String> {
    let n_kernels = plan.kernels.len();
    if plan.sizes.len() != n_kernels || plan.alphas.len() != n_kernels || usize::from(plan.output.0) >= n_kernels {
        return Err("the plan's lists do not fit together".into());
    }
    for (index, (kernel, size)) in plan.kernels.iter().zip(&plan.sizes).enumerate() {
        if inputs(kernel).into_iter().flatten().any(|input| usize::from(input.0) >= index) {
            return Err(format!("kernel {index} reads a surface that is not there yet"));
        }
        if size.pixels() == 0 {
            return Err(format!("surface {index} has no pixels"));
        }
        if written(kernel).is_some_and(|input| plan.size(input) != *size) {
            return Err(format!("kernel {index} would change the size of its surface"));
        }
        // Everything below counts on sizes that the weights give.
        if let Kernel::Resample { input, horizontal, vertical, .. } = kernel {
            resample::check(horizontal, plan.size(*input).width)?;
            resample::check(vertical, plan.size(*input).height)?;
            let sides = (u64::from(size.width), u64::from(size.height));
            if sides != (horizontal.taps.len() as u64, vertical.taps.len() as u64) {
                return Err(format!("weights of kernel {index} do not make {size}"));
            }
        }
    }
    Ok(())
}

/// The surfaces of one running plan.
pub(super) struct Surfaces<'a> {
    plan: &'a BoundPlan,
    last: Vec<Option<usize>>,
    alive: Vec<Option<Surface>>,
}

impl<'a> Surfaces<'a> {
    /// The plan must have passed [`check`].
    pub(super) fn new(plan: &'a BoundPlan) -> Self {
        Surfaces { plan, last: last_reads(plan), alive: plan.kernels.iter().map(|_| None).collect() }
    }

    /// Whether the result depends on this kernel.
    pub(super) fn is_needed(&self, index: usize) -> bool {
        self.last[index].is_some()
    }

    pub(super) fn get(&self, id: SurfaceId) -> Result<&Frame, String> {
        let surface = self.alive.get(usize::from(id.0)).and_then(Option::as_ref);
        let surface = surface.ok_or_else(|| format!("surface {} is gone", id.0))?;
        surface.frame().ok_or_else(|| format!("surface {} is in planes but is used as pixels", id.0))
    }

    /// The planes of a surface, if that is what it is.
    pub(super) fn planes(&self, id: SurfaceId) -> Option<&Planes> {
        match self.alive.get(usize::from(id.0)) {
            Some(Some(Surface::Planar(planes))) => Some(planes),
            _ => None,
        }
    }

    /// Whether the picture of a surface is not decoded yet.
    pub(super) fn is_coming(&self, id: SurfaceId) -> bool {
        matches!(self.alive.get(usize::from(id.0)), Some(Some(Surface::Coming(_))))
    }

    /// The frame that kernel `index` writes to: the input itself when nobody reads it later, else a copy.
    pub(super) fn take(&mut self, id: SurfaceId, index: usize, alpha: bool) -> Result<Frame, String> {
        if in_place(self.plan, &self.last, index)
            && let Some(Surface::Owned(frame)) = self.alive[usize::from(id.0)].take()
        {
            return with_alpha(frame.size(), alpha, frame.into_pixels());
        }
        let frame = self.get(id)?;
        with_alpha(frame.size(), alpha, frame.pixels().to_vec())
    }

    /// Keeps what kernel `index` wrote, and frees what it read for the last time.
    pub(super) fn put(&mut self, index: usize, surface: Surface) -> Result<(), String> {
        let (size, alpha) = (self.plan.sizes[index], self.plan.alphas[index]);
        if surface.size() != size {
            return Err(format!("surface {index} is {} instead of {size}", surface.size()));
        }
        for input in inputs(&self.plan.kernels[index]).into_iter().flatten() {
            if self.last[usize::from(input.0)] == Some(index) {
                self.alive[usize::from(input.0)] = None;
            }
        }
        let transparent = surface.frame().is_some_and(Frame::has_alpha);
        self.alive[index] = Some(match surface {
            Surface::Owned(frame) if transparent != alpha => {
                Surface::Owned(with_alpha(size, alpha, opaque_unless(alpha, frame.into_pixels()))?)
            }
            // The plan holds this source opaque; what its alpha says must not come through.
            Surface::Shared(frame) if transparent && !alpha => {
                Surface::Owned(with_alpha(size, alpha, opaque_unless(alpha, frame.pixels().to_vec()))?)
            }
            kept => kept,
        });
        Ok(())
    }

    /// The result.
    pub(super) fn finish(mut self) -> Result<Output, String> {
        let output = usize::from(self.plan.output.0);
        match self.alive[output].take() {
            Some(Surface::Owned(frame)) => Ok(Output::Rgba(frame)),
            Some(Surface::Shared(frame)) => {
                with_alpha(frame.size(), self.plan.alphas[output], frame.pixels().to_vec()).map(Output::Rgba)
            }
            Some(Surface::Planar(planes)) => Ok(match Arc::try_unwrap(planes) {
                Ok(planes) => Output::Planar(planes),
                // A source that is the result.
                Err(shared) => Output::Rgba(shared.to_frame()),
            }),
            Some(Surface::Coming(_)) | None => Err("the result was not made".into()),
        }
    }
}

fn with_alpha(size: Size, alpha: bool, pixels: Vec<u8>) -> Result<Frame, String> {
    Frame::new(size, alpha, pixels).map_err(|error| error.to_string())
}

fn opaque_unless(alpha: bool, mut pixels: Vec<u8>) -> Vec<u8> {
    if !alpha {
        pixels.as_chunks_mut::<4>().0.iter_mut().for_each(|pixel| pixel[3] = 255);
    }
    pixels
}

/// Upper bound of the bytes of surfaces and scratch that are alive at once while a plan runs, its decoded sources
/// included, since the job holds them to the end. 0 for a plan that no backend would run.
pub fn peak_bytes(plan: &BoundPlan) -> u64 {
    if check(plan).is_err() {
        return 0;
    }
    let bytes = |index: usize| plan.sizes[index].pixels().saturating_mul(BYTES_PER_PIXEL as u64);
    let last = last_reads(plan);
    let mut sources = BTreeMap::new();
    for (index, kernel) in plan.kernels.iter().enumerate() {
        if let Kernel::Load { source } = kernel {
            let largest = sources.entry(source).or_insert(0);
            *largest = bytes(index).max(*largest);
        }
    }
    let (mut alive, mut peak) = (0_u64, 0_u64);
    let mut owned = vec![0; plan.kernels.len()];
    for (index, kernel) in plan.kernels.iter().enumerate().filter(|(index, _)| last[*index].is_some()) {
        // A source is copied when it is the result, or when it is opaque by the plan but not by itself.
        let moved = in_place(plan, &last, index);
        let copied =
            !matches!(kernel, Kernel::Load { .. }) || index == usize::from(plan.output.0) || !plan.alphas[index];
        if let (true, Some(input)) = (moved, written(kernel)) {
            alive -= std::mem::take(&mut owned[usize::from(input.0)]);
        }
        owned[index] = if copied { bytes(index) } else { 0 };
        alive = alive.saturating_add(owned[index]);
        peak = peak.max(alive.saturating_add(scratch_bytes(plan, kernel, index)));
        for input in inputs(kernel).into_iter().flatten().map(|input| usize::from(input.0)) {
            if last[input] == Some(index) {
                alive -= std::mem::take(&mut owned[input]);
            }
        }
    }
    sources.values().fold(peak.saturating_add(SMALL_BYTES), |sum, bytes| sum.saturating_add(*bytes))
}

/// Bytes that a kernel takes beside the surfaces it reads and writes.
fn scratch_bytes(plan: &BoundPlan, kernel: &Kernel, index: usize) -> u64 {
    let width = u64::from(plan.sizes[index].width);
    match kernel {
        Kernel::Resample { input, horizontal, vertical, light, chroma } => match chroma {
            Some(_) => planar::scratch_bytes(plan.size(*input).width, horizontal, vertical, *light),
            None => resample::scratch_bytes(horizontal, vertical),
        },
        Kernel::Mask { .. } => width * 4,
        Kernel::Border { .. } => width * 12,
        _ => 0,
    }
}
