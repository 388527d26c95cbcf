//! What a batch has to cost on a device, computed from the jobs alone.
//!
//! Nothing here looks at the executor: it counts bytes and launches from the plans, so that the executor's own counters
//! ([`crate::gpu::BatchCounters`]) can be held against it.

pub mod paper;
pub mod workloads;

use crate::backend::{Job, Source};
use crate::plan::bind::{BoundPlan, Kernel};
use crate::plan::geometry::Size;
use crate::plan::step::{Light, SurfaceId};
use crate::plan::weights::Weights;
use crate::planes::Subsampling;
use serde::Serialize;
use std::collections::{BTreeSet, HashMap};
use std::ops::AddAssign;
use std::sync::Arc;

/// The form in which the pixels of a source are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Wire {
    /// Four bytes a pixel.
    Rgba,
    /// Three bytes a pixel.
    Rgb,
    /// A byte of luma a pixel, and two of chroma for every so many pixels across and down, rounded up.
    Planar { across: u32, down: u32 },
    /// A byte of luma a pixel.
    Gray,
}

impl Wire {
    /// Form of a source.
    pub fn of(source: &Source) -> Wire {
        match source {
            Source::Rgba(frame) if frame.has_alpha() => Wire::Rgba,
            Source::Rgba(_) => Wire::Rgb,
            Source::Planar(planes) if planes.chroma().is_none() => Wire::Gray,
            Source::Planar(planes) => {
                let Subsampling { across, down } = planes.subsampling();
                Wire::Planar { across, down }
            }
        }
    }

    /// The fewest bytes that hold a picture of this form.
    pub fn bytes(self, size: Size) -> u64 {
        let pixels = size.pixels();
        match self {
            Wire::Rgba => 4 * pixels,
            Wire::Rgb => 3 * pixels,
            Wire::Planar { across, down } => pixels + 2 * Subsampling { across, down }.apply(size).pixels(),
            Wire::Gray => pixels,
        }
    }
}

/// What a forecast needs to know of a job: no pixels.
#[derive(Debug, Clone)]
pub struct Shape {
    pub plan: Arc<BoundPlan>,
    /// Form of every source, and a number that equal pictures share.
    pub sources: Vec<(Wire, u64)>,
}

impl Shape {
    /// Shape of a job. Pictures are told apart by their address, which holds while the job is held.
    pub fn of(job: &Job) -> Shape {
        let name = |source: &Source| match source {
            Source::Rgba(frame) => Arc::as_ptr(frame) as usize as u64,
            Source::Planar(frame) => Arc::as_ptr(frame) as usize as u64,
        };
        let sources = job.sources.iter().map(|source| (Wire::of(source), name(source))).collect();
        Shape { plan: Arc::clone(&job.plan), sources }
    }

    /// Kernels that the output depends on, by index.
    fn live(&self) -> Vec<usize> {
        let mut reached = BTreeSet::new();
        let mut open = vec![usize::from(self.plan.output.0)];
        while let Some(index) = open.pop() {
            if index < self.plan.kernels.len() && reached.insert(index) {
                open.extend(reads(&self.plan.kernels[index]).iter().map(|surface| usize::from(surface.0)));
            }
        }
        reached.into_iter().collect()
    }

    /// Whether a device has anything to do: a plan that only loads is answered where it is.
    fn is_work(&self) -> bool {
        !matches!(self.plan.kernels.get(usize::from(self.plan.output.0)), Some(Kernel::Load { .. }) | None)
    }

    /// Whether a source comes in planes that are only resampled, and so never become pixels.
    fn stays_in_planes(&self, source: usize) -> bool {
        let is_load = |surface: &SurfaceId| matches!(self.plan.kernels[usize::from(surface.0)], Kernel::Load { source: loaded } if loaded == source);
        let planar = matches!(self.sources.get(source), Some((Wire::Planar { .. } | Wire::Gray, _)));
        let mut readers = self.live().into_iter().filter(|index| reads(&self.plan.kernels[*index]).iter().any(is_load));
        planar && readers.all(|index| matches!(&self.plan.kernels[index], Kernel::Resample { chroma: Some(_), .. }))
    }

    /// The source of a resampling, if that reads planes.
    fn planes_of(&self, kernel: &Kernel) -> Option<usize> {
        let Kernel::Resample { input, .. } = kernel else { return None };
        match self.plan.kernels[usize::from(input.0)] {
            Kernel::Load { source } if self.stays_in_planes(source) => Some(source),
            _ => None,
        }
    }

    /// Form in which the output comes back.
    fn output(&self) -> Wire {
        let kernel = &self.plan.kernels[usize::from(self.plan.output.0)];
        match kernel {
            Kernel::Resample { chroma: Some(chroma), .. } if self.planes_of(kernel).is_some() => match chroma.output {
                Some(Subsampling { across, down }) => Wire::Planar { across, down },
                None => Wire::Rgb,
            },
            _ if self.opaque() => Wire::Rgb,
            _ => Wire::Rgba,
        }
    }

    fn opaque(&self) -> bool {
        !self.plan.alpha(self.plan.output)
    }

    /// Launches, each as the level at which it can run and the kernel; equal pairs of different jobs are one launch.
    fn launches(&self) -> BTreeSet<(u32, &'static str)> {
        let mut launches = BTreeSet::new();
        if !self.is_work() {
            return launches;
        }
        let mut levels: HashMap<usize, u32> = HashMap::new();
        for index in self.live() {
            let kernel = &self.plan.kernels[index];
            let ready = reads(kernel).iter().filter_map(|surface| levels.get(&usize::from(surface.0))).max();
            let first = ready.map_or(0, |level| level + 1);
            let level = match kernel {
                Kernel::Load { source } => match self.sources.get(*source) {
                    Some((Wire::Rgb, _)) => {
                        launches.insert((1, "rgb"));
                        1
                    }
                    Some((Wire::Planar { .. } | Wire::Gray, _)) if !self.stays_in_planes(*source) => {
                        launches.insert((1, "planar"));
                        1
                    }
                    _ => 0,
                },
                Kernel::Resample { light, .. } => {
                    let (across, down) = match (self.planes_of(kernel), light) {
                        (None, _) => ("horizontal", "vertical"),
                        (Some(_), Light::Linear) => ("light", "vertical"),
                        (Some(_), Light::Encoded) if matches!(self.output(), Wire::Planar { .. }) => ("row", "column"),
                        (Some(_), Light::Encoded) => ("row", "join"),
                    };
                    launches.insert((first, across));
                    launches.insert((first + 1, down));
                    first + 1
                }
                other => {
                    launches.insert((first, name(other)));
                    first
                }
            };
            levels.insert(index, level);
        }
        if self.output() == Wire::Rgb {
            let last = levels.get(&usize::from(self.plan.output.0)).copied().unwrap_or(0);
            launches.insert((last + 1, "pack"));
        }
        launches
    }
}

/// Surfaces that a kernel reads.
fn reads(kernel: &Kernel) -> Vec<SurfaceId> {
    match *kernel {
        Kernel::Load { .. } => vec![],
        Kernel::Composite { base, layer, .. } => vec![base, layer],
        Kernel::Resample { input, .. }
        | Kernel::Extract { input, .. }
        | Kernel::Orient { input, .. }
        | Kernel::Canvas { input, .. }
        | Kernel::Mask { input, .. }
        | Kernel::Border { input, .. }
        | Kernel::Opacity { input, .. } => vec![input],
    }
}

fn name(kernel: &Kernel) -> &'static str {
    match kernel {
        Kernel::Load { .. } => "load",
        Kernel::Resample { .. } => "resample",
        Kernel::Extract { .. } => "extract",
        Kernel::Orient { .. } => "orient",
        Kernel::Canvas { .. } => "canvas",
        Kernel::Composite { .. } => "composite",
        Kernel::Mask { .. } => "mask",
        Kernel::Border { .. } => "border",
        Kernel::Opacity { .. } => "opacity",
    }
}

/// The fewest bytes that a batch has to move.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Least {
    /// Bytes of the sources as decoders gave them, every picture of the batch once.
    pub up: u64,
    /// Bytes of the outputs: those of planes where the plan keeps them, else three a pixel where they are opaque, or four.
    pub down: u64,
}

impl Least {
    /// What was moved over what had to be; 1 where nothing had to be. The target is at most 1.05.
    pub fn ratio(&self, up: u64, down: u64) -> f64 {
        let least = self.up + self.down;
        if least == 0 { 1.0 } else { (up + down) as f64 / least as f64 }
    }
}

/// Bytes that a batch has to move, tables left out.
pub fn least(shapes: &[Shape]) -> Least {
    let mut least = Least::default();
    let mut seen = BTreeSet::new();
    for shape in shapes.iter().filter(|shape| shape.is_work()) {
        for index in shape.live() {
            let Kernel::Load { source } = shape.plan.kernels[index] else { continue };
            let Some((wire, picture)) = shape.sources.get(source) else { continue };
            if seen.insert(*picture) {
                least.up += wire.bytes(shape.plan.sizes[index]);
            }
        }
        least.down += shape.output().bytes(shape.plan.size(shape.plan.output));
    }
    least
}

/// Launches of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Launches {
    /// If the whole batch lies in one window.
    pub one_window: u64,
    /// Longest chain: levels at which something runs.
    pub depth: u64,
    /// Different kernels.
    pub kernels: u64,
}

impl Launches {
    /// The most launches that may be made in so many windows: never more than depth times kernels times windows, and
    /// never more than every launch again in every window.
    pub fn at_most(&self, windows: u64) -> u64 {
        (self.one_window * windows).min(self.depth * self.kernels * windows)
    }
}

/// Launches that a batch takes however many jobs it has.
pub fn launches(shapes: &[Shape]) -> Launches {
    let all: BTreeSet<_> = shapes.iter().flat_map(Shape::launches).collect();
    let levels: BTreeSet<_> = all.iter().map(|(level, _)| *level).collect();
    let kernels: BTreeSet<_> = all.iter().map(|(_, kernel)| *kernel).collect();
    Launches { one_window: all.len() as u64, depth: levels.len() as u64, kernels: kernels.len() as u64 }
}

/// The fewest windows into which a batch can be packed, when an arena holds so many bytes: no two jobs share a word but
/// for shared pictures, and every kernel has its input and its output in the arena at once.
pub fn fewest_windows(shapes: &[Shape], arena_bytes: u64) -> u64 {
    let words = |shape: &Shape| {
        let plan = &shape.plan;
        let of = |surface: SurfaceId| plan.size(surface).pixels();
        let at_once = |index: usize| match &plan.kernels[index] {
            Kernel::Load { .. } => 0,
            // The output, and whatever of the inputs can be no shared source.
            kernel => {
                let own = reads(kernel).into_iter();
                let own = own.filter(|input| !matches!(plan.kernels[usize::from(input.0)], Kernel::Load { .. }));
                plan.sizes[index].pixels() + own.map(of).max().unwrap_or(0)
            }
        };
        shape.live().into_iter().map(at_once).max().unwrap_or(0)
    };
    let words: u64 = shapes.iter().filter(|shape| shape.is_work()).map(words).sum();
    (4 * words).div_ceil(arena_bytes.max(1))
}

/// What kernels move through the memory of a device, and how much they multiply, if every cache holds what it can.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Traffic {
    /// Bytes that are read: every input once.
    pub read: u64,
    /// Bytes that are written: every output once.
    pub written: u64,
    /// Multiplications with an addition, of one f32 each.
    pub multiply_adds: u64,
}

impl AddAssign for Traffic {
    fn add_assign(&mut self, other: Self) {
        self.read += other.read;
        self.written += other.written;
        self.multiply_adds += other.multiply_adds;
    }
}

/// Multiplications of one row or column.
pub(crate) fn n_taps(weights: &Weights) -> u64 {
    weights.taps.iter().map(|taps| u64::from(taps.count)).sum()
}

/// Bytes of a pixel between the passes of a resampling.
const INTERMEDIATE_BYTES: u64 = 16;

/// Traffic of a batch, copies from and to staging memory and the clearing of outputs included.
pub fn traffic(shapes: &[Shape]) -> Traffic {
    let mut traffic = Traffic::default();
    let mut seen = BTreeSet::new();
    for shape in shapes.iter().filter(|shape| shape.is_work()) {
        let plan = &shape.plan;
        for index in shape.live() {
            let pixels = plan.sizes[index].pixels();
            traffic += match &plan.kernels[index] {
                Kernel::Load { source } => match shape.sources.get(*source) {
                    Some((wire, picture)) if seen.insert(*picture) => spread(*wire, plan.sizes[index]),
                    _ => Traffic::default(),
                },
                Kernel::Resample { input, horizontal, vertical, .. } => {
                    let from = plan.size(*input);
                    let between = u64::from(plan.sizes[index].width) * u64::from(from.height);
                    let across = n_taps(horizontal) * u64::from(from.height);
                    let down = n_taps(vertical) * u64::from(plan.sizes[index].width);
                    Traffic {
                        read: 4 * from.pixels() + INTERMEDIATE_BYTES * between,
                        written: INTERMEDIATE_BYTES * between + 4 * pixels,
                        multiply_adds: 4 * (across + down),
                    }
                }
                kernel => {
                    let inputs = reads(kernel).into_iter().map(|input| plan.size(input).pixels().min(pixels));
                    Traffic { read: 4 * inputs.sum::<u64>(), written: 4 * pixels, multiply_adds: 8 * pixels }
                }
            };
        }
        let output = plan.size(plan.output).pixels();
        let packed = if shape.opaque() { 3 * output } else { 4 * output };
        let packing = if shape.opaque() { 4 * output } else { 0 };
        // Packed, copied to the readback buffer, and cleared.
        traffic += Traffic {
            read: packing + packed,
            written: if shape.opaque() { 2 * packed } else { packed } + 4 * output,
            multiply_adds: 0,
        };
    }
    traffic
}

/// Copying from the staging buffer, and spreading into words.
fn spread(wire: Wire, size: Size) -> Traffic {
    let (bytes, words) = (wire.bytes(size), 4 * size.pixels());
    match wire {
        Wire::Rgba => Traffic { read: bytes, written: bytes, multiply_adds: 0 },
        Wire::Rgb => Traffic { read: 2 * bytes, written: bytes + words, multiply_adds: 0 },
        Wire::Planar { .. } | Wire::Gray => {
            Traffic { read: 2 * bytes, written: bytes + words, multiply_adds: 12 * size.pixels() }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(kernels: Vec<Kernel>, sizes: &[(u32, u32)], alpha: bool) -> Arc<BoundPlan> {
        let output = SurfaceId(kernels.len() as u16 - 1);
        Arc::new(BoundPlan {
            alphas: vec![alpha; kernels.len()],
            sizes: sizes.iter().map(|(width, height)| Size::new(*width, *height)).collect(),
            kernels,
            output,
        })
    }

    fn fade(input: u16) -> Kernel {
        Kernel::Opacity { input: SurfaceId(input), opacity: 0.5 }
    }

    #[test]
    fn a_planar_source_and_an_opaque_output_are_counted_by_hand() {
        let shape = Shape {
            plan: plan(vec![Kernel::Load { source: 0 }, fade(0)], &[(100, 60); 2], false),
            sources: vec![(Wire::Planar { across: 2, down: 2 }, 1)],
        };
        assert_eq!(least(std::slice::from_ref(&shape)), Least { up: 9000, down: 18_000 });
        assert_eq!(least(&[shape.clone(), shape.clone()]), Least { up: 9000, down: 36_000 }, "one picture");
        assert_eq!(launches(&[shape.clone(), shape]), Launches { one_window: 3, depth: 3, kernels: 3 });
        let least = Least { up: 100, down: 100 };
        assert!((least.ratio(110, 100) - 1.05).abs() < 1e-12);
    }

    #[test]
    fn a_picture_that_is_only_loaded_costs_nothing() {
        let shape =
            Shape { plan: plan(vec![Kernel::Load { source: 0 }], &[(9, 9)], true), sources: vec![(Wire::Rgba, 1)] };
        assert_eq!(least(std::slice::from_ref(&shape)), Least::default());
        assert_eq!(launches(std::slice::from_ref(&shape)).one_window, 0);
        assert_eq!(fewest_windows(&[shape], 1000), 0);
    }

    #[test]
    fn windows_are_as_many_as_outputs_need_at_least() {
        let shape = |picture| Shape {
            plan: plan(vec![Kernel::Load { source: 0 }, fade(0), fade(1)], &[(16, 16); 3], true),
            sources: vec![(Wire::Rgba, picture)],
        };
        // Input and output of the second fade: 2 KiB a job.
        let shapes: Vec<_> = (0..8).map(shape).collect();
        assert_eq!(fewest_windows(&shapes, 16 * 1024), 1);
        assert_eq!(fewest_windows(&shapes, 16 * 1024 - 1), 2);
    }
}
