//! Packs the jobs of a batch into windows: groups that lie in the arena at the same time.

use super::arena::JobLayout;
use super::check::{check, frame};
use super::schedule::table_bytes;
use crate::backend::{FallbackReason, Job};
use crate::frame::{BYTES_PER_PIXEL, Frame};
use crate::plan::bind::Kernel;

/// Bytes of one word of the arena.
pub(super) const WORD_BYTES: u64 = 4;

/// The ceilings of one window, from the adapter and the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct WindowLimits {
    /// The most that one binding, and therefore the arena, may hold.
    pub binding_bytes: u64,
    /// The most that any one buffer may hold.
    pub buffer_bytes: u64,
    /// The most that all buffers together may hold.
    pub budget_bytes: u64,
    /// Alignment of the offset of a storage binding.
    pub alignment_bytes: u64,
}

/// Bytes that a job, or a window, needs in each of the buffers. Upper bounds: what jobs share is counted again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Need {
    pub arena: u64,
    pub tables: u64,
    pub sources: u64,
    pub output: u64,
}

impl Need {
    fn plus(self, other: Need) -> Need {
        Need {
            arena: self.arena.saturating_add(other.arena),
            tables: self.tables.saturating_add(other.tables),
            sources: self.sources.saturating_add(other.sources),
            output: self.output.saturating_add(other.output),
        }
    }

    /// Bytes of the buffer that uploads are staged in.
    pub fn staging(&self) -> u64 {
        self.tables.saturating_add(self.sources)
    }

    /// Bytes of all buffers.
    pub fn total(&self) -> u64 {
        self.arena.saturating_add(self.tables).saturating_add(self.staging()).saturating_add(self.output)
    }

    /// Errors with the limit that is passed.
    fn check(&self, limits: &WindowLimits) -> Result<(), String> {
        let rows = [
            ("arena bytes", self.arena, limits.binding_bytes.min(limits.buffer_bytes)),
            ("table bytes", self.tables, limits.binding_bytes.min(limits.buffer_bytes)),
            ("staging bytes", self.staging(), limits.buffer_bytes),
            ("output bytes", self.output, limits.buffer_bytes),
            ("bytes in all", self.total(), limits.budget_bytes),
        ];
        match rows.iter().find(|(_, need, limit)| need > limit) {
            Some((what, need, limit)) => Err(format!("{need} {what} of at most {limit}")),
            None => Ok(()),
        }
    }
}

/// A job with its place.
#[derive(Debug)]
pub(super) struct Seat {
    /// Index in the batch.
    pub job: usize,
    pub layout: JobLayout,
    /// First word of the job's block.
    pub base: u64,
}

/// Jobs that run together.
#[derive(Debug, Default)]
pub(super) struct Window {
    pub seats: Vec<Seat>,
    pub need: Need,
}

/// Windows in the order of their jobs, and the jobs that cannot run at all.
#[derive(Debug, Default)]
pub(super) struct Packing {
    pub windows: Vec<Window>,
    /// Jobs that only load a source, with their answers.
    pub untouched: Vec<(usize, Frame)>,
    pub refused: Vec<(usize, FallbackReason)>,
}

impl Packing {
    /// Fills window after window; a job that alone passes a limit is refused without harm to the others.
    pub fn new(jobs: &[Job], limits: &WindowLimits) -> Self {
        let mut packing = Packing::default();
        for (index, job) in jobs.iter().enumerate() {
            if let Err(reason) = check(job) {
                packing.refused.push((index, reason));
            } else if let Some(frame) = super::untouched(job) {
                packing.untouched.push((index, frame));
            } else {
                match need(job, limits) {
                    Ok((layout, need)) => packing.seat(index, layout, need, limits),
                    Err(reason) => packing.refused.push((index, reason)),
                }
            }
        }
        packing
    }

    fn seat(&mut self, job: usize, layout: JobLayout, need: Need, limits: &WindowLimits) {
        let fits = |window: &&mut Window| window.need.plus(need).check(limits).is_ok();
        if self.windows.last_mut().as_ref().is_none_or(|window| !fits(window)) {
            self.windows.push(Window { seats: Vec::new(), need: fixed_need() });
        }
        if let Some(window) = self.windows.last_mut() {
            let base = window.need.arena / WORD_BYTES;
            window.need = window.need.plus(need);
            window.seats.push(Seat { job, layout, base });
        }
    }
}

/// What a window needs before any job: the sRGB table.
fn fixed_need() -> Need {
    Need { tables: 256 * WORD_BYTES, ..Need::default() }
}

/// Layout and need of one job that was checked.
fn need(job: &Job, limits: &WindowLimits) -> Result<(JobLayout, Need), FallbackReason> {
    let plan = &*job.plan;
    let layout = JobLayout::new(plan);
    let loads = plan.kernels.iter().enumerate().filter(|(index, _)| layout.surfaces[*index].is_some());
    let sources = loads.filter_map(|(_, kernel)| match kernel {
        Kernel::Load { source } => frame(job, *source).map(|frame| frame.pixels().len() as u64),
        _ => None,
    });
    let need = Need {
        arena: layout.words.saturating_mul(WORD_BYTES),
        tables: table_bytes(plan, &layout, limits.alignment_bytes),
        sources: sources.sum(),
        output: plan.size(plan.output).pixels() * BYTES_PER_PIXEL as u64,
    };
    match fixed_need().plus(need).check(limits) {
        Ok(()) => Ok((layout, need)),
        Err(what) => Err(FallbackReason::TooLarge(what)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::Source;
    use crate::plan::bind::BoundPlan;
    use crate::plan::geometry::Size;
    use crate::plan::step::SurfaceId;
    use std::sync::Arc;

    fn job(width: u32, height: u32) -> Job {
        let size = Size::new(width, height);
        let plan = BoundPlan {
            kernels: vec![Kernel::Load { source: 0 }, Kernel::Opacity { input: SurfaceId(0), opacity: 0.5 }],
            sizes: vec![size; 2],
            alphas: vec![true; 2],
            output: SurfaceId(1),
        };
        Job { plan: Arc::new(plan), sources: vec![Source::Rgba(Arc::new(Frame::filled(size, [9; 4])))] }
    }

    fn limits(binding_bytes: u64, budget_bytes: u64) -> WindowLimits {
        WindowLimits { binding_bytes, buffer_bytes: 1 << 30, budget_bytes, alignment_bytes: 256 }
    }

    #[test]
    fn a_job_that_fills_the_binding_passes_and_one_pixel_more_does_not() {
        // Two surfaces of 64x256 pixels.
        let exact = limits(2 * 64 * 256 * 4, 1 << 30);
        let packing = Packing::new(&[job(64, 256), job(64, 257), job(8, 8)], &exact);
        assert_eq!(packing.refused.len(), 1);
        assert!(matches!(packing.refused[0], (1, FallbackReason::TooLarge(_))));
        assert_eq!(packing.windows.len(), 2, "the small job does not fit beside the full one");
    }

    #[test]
    fn windows_keep_under_the_budget_and_blocks_do_not_overlap() {
        let limits = limits(1 << 20, 1 << 20);
        let jobs: Vec<_> = (1..60).map(|side| job(side * 2, 100)).collect();
        let packing = Packing::new(&jobs, &limits);
        assert!(packing.refused.is_empty() && packing.windows.len() > 1);
        let mut order = Vec::new();
        for window in &packing.windows {
            assert!(window.need.total() <= limits.budget_bytes);
            let mut end = 0;
            for seat in &window.seats {
                assert_eq!(seat.base, end);
                end += seat.layout.words;
                order.push(seat.job);
            }
            assert_eq!(end * WORD_BYTES, window.need.arena);
        }
        assert_eq!(order, (0..jobs.len()).collect::<Vec<_>>());
    }
}
