//! Where the surfaces of one job lie in its block of the arena, and in which order its kernels run.
//!
//! Every job has a block of its own, and memory is reused only inside of it: no kernel of a job ever addresses a word
//! of another job of the same batch. Across batches the arena is recycled as it is, which is safe because every
//! surface is written in full (uploaded, or covered by the tiles of the kernel that makes it) before it is read, and
//! because only output surfaces are read back.

use crate::plan::bind::{BoundPlan, Kernel};
use crate::plan::geometry::Size;
use crate::plan::step::SurfaceId;

/// Surfaces begin at multiples of this many words (256 bytes), which keeps rows of different surfaces off one line.
const ALIGNMENT_WORDS: u64 = 64;

/// Words of one pixel of the intermediate of a resampling: premultiplied f32.
pub(super) const INTERMEDIATE_WORDS: u64 = 4;

/// Lifetime of a surface that is read back.
const FOREVER: u32 = u32::MAX;

/// Places and order of one job.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct JobLayout {
    /// One entry for every kernel; `None` when nothing that is needed reads its surface.
    pub surfaces: Vec<Option<Placed>>,
    /// Size of the block in words.
    pub words: u64,
}

/// Where and when one surface is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Placed {
    /// First word, counted from the beginning of the job's block.
    pub at: u64,
    /// Level at which the surface is there: 0 for uploads. A resampling runs its first pass one level earlier.
    pub level: u32,
    /// First word of the intermediate of a resampling; 0 for others.
    pub intermediate: u64,
}

/// A piece of memory and the levels, both inclusive, during which it is in use.
#[derive(Debug, Clone, Copy)]
struct Piece {
    at: u64,
    words: u64,
    from: u32,
    to: u32,
}

/// Surfaces that a kernel reads.
pub(super) fn inputs(kernel: &Kernel) -> impl Iterator<Item = SurfaceId> {
    let (first, second) = match *kernel {
        Kernel::Load { .. } => (None, None),
        Kernel::Composite { base, layer, .. } => (Some(base), Some(layer)),
        Kernel::Resample { input, .. }
        | Kernel::Extract { input, .. }
        | Kernel::Orient { input, .. }
        | Kernel::Canvas { input, .. }
        | Kernel::Mask { input, .. }
        | Kernel::Border { input, .. }
        | Kernel::Opacity { input, .. } => (Some(input), None),
    };
    first.into_iter().chain(second)
}

/// Size of the intermediate of a resampling: the output's width by the input's height.
pub(super) fn intermediate_size(plan: &BoundPlan, input: SurfaceId, output: usize) -> Size {
    Size::new(plan.sizes[output].width, plan.size(input).height)
}

impl JobLayout {
    /// Lays out a plan whose surfaces were checked to exist before they are used.
    pub fn new(plan: &BoundPlan) -> Self {
        let live = live_kernels(plan);
        let mut levels = vec![0u32; plan.kernels.len()];
        let mut last_use = vec![0u32; plan.kernels.len()];
        for (index, kernel) in plan.kernels.iter().enumerate().filter(|(index, _)| live[*index]) {
            let ready = inputs(kernel).map(|input| levels[usize::from(input.0)]).max();
            let first = ready.map_or(0, |level| level + 1);
            levels[index] = if let Kernel::Resample { .. } = kernel { first + 1 } else { first };
            for input in inputs(kernel) {
                let used = &mut last_use[usize::from(input.0)];
                *used = (*used).max(first);
            }
        }
        last_use[usize::from(plan.output.0)] = FOREVER;

        let mut pieces: Vec<Piece> = Vec::new();
        let surfaces = plan.kernels.iter().enumerate().map(|(index, kernel)| {
            if !live[index] {
                return None;
            }
            let level = levels[index];
            let intermediate = match *kernel {
                Kernel::Resample { input, .. } => {
                    let pixels = intermediate_size(plan, input, index).pixels();
                    place(&mut pieces, pixels * INTERMEDIATE_WORDS, level - 1, level)
                }
                _ => 0,
            };
            let at = place(&mut pieces, plan.sizes[index].pixels(), level, last_use[index].max(level));
            Some(Placed { at, level, intermediate })
        });
        let surfaces = surfaces.collect();
        let words = pieces.iter().map(|piece| (piece.at + piece.words).next_multiple_of(ALIGNMENT_WORDS)).max();
        JobLayout { surfaces, words: words.unwrap_or(0) }
    }
}

/// Which kernels the output depends on.
pub(super) fn live_kernels(plan: &BoundPlan) -> Vec<bool> {
    let mut live = vec![false; plan.kernels.len()];
    live[usize::from(plan.output.0)] = true;
    for index in (0..plan.kernels.len()).rev().filter(|index| *index <= usize::from(plan.output.0)) {
        if live[index] {
            for input in inputs(&plan.kernels[index]) {
                live[usize::from(input.0)] = true;
            }
        }
    }
    live
}

/// Finds the lowest place that is free during all of the given levels.
fn place(pieces: &mut Vec<Piece>, words: u64, from: u32, to: u32) -> u64 {
    let mut taken: Vec<_> = pieces.iter().filter(|piece| piece.from <= to && from <= piece.to).copied().collect();
    taken.sort_by_key(|piece| piece.at);
    let mut at = 0;
    for piece in taken {
        if at + words <= piece.at {
            break;
        }
        at = at.max((piece.at + piece.words).next_multiple_of(ALIGNMENT_WORDS));
    }
    pieces.push(Piece { at, words, from, to });
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(kernels: Vec<Kernel>, sizes: &[(u32, u32)], output: u16) -> BoundPlan {
        BoundPlan {
            alphas: vec![true; kernels.len()],
            sizes: sizes.iter().map(|(width, height)| Size::new(*width, *height)).collect(),
            kernels,
            output: SurfaceId(output),
        }
    }

    fn fade(input: u16) -> Kernel {
        Kernel::Opacity { input: SurfaceId(input), opacity: 0.5 }
    }

    #[test]
    fn a_chain_needs_two_surfaces_however_long_it_is() {
        let kernels = vec![Kernel::Load { source: 0 }, fade(0), fade(1), fade(2), fade(3)];
        let layout = JobLayout::new(&plan(kernels, &[(64, 10); 5], 4));
        assert_eq!(layout.words, 2 * 640);
        let levels: Vec<_> = layout.surfaces.iter().flatten().map(|placed| placed.level).collect();
        assert_eq!(levels, [0, 1, 2, 3, 4]);
    }

    #[test]
    fn a_surface_lives_until_its_last_reader_and_dead_ones_take_no_room() {
        let composite = Kernel::Composite { base: SurfaceId(2), layer: SurfaceId(0), left: 0, top: 0, opacity: 1.0 };
        let kernels = vec![Kernel::Load { source: 0 }, fade(0), fade(1), composite, fade(0)];
        let layout = JobLayout::new(&plan(kernels, &[(8, 8); 5], 3));
        assert!(layout.surfaces[4].is_none());
        let places: Vec<_> = layout.surfaces.iter().flatten().map(|placed| placed.at).collect();
        assert!(places[1..].iter().all(|at| *at != places[0]), "the source is read by the last kernel");
        assert_eq!(layout.words, 3 * 64);
    }

    #[test]
    fn pieces_in_use_at_the_same_time_never_overlap() {
        let mut state = 7u64;
        let mut random = |below: u64| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 33) % below
        };
        let mut pieces = Vec::new();
        for _ in 0..300 {
            let from = random(12) as u32;
            place(&mut pieces, 1 + random(5000), from, from + random(6) as u32);
        }
        for (index, a) in pieces.iter().enumerate() {
            for b in &pieces[index + 1..] {
                let together = a.from <= b.to && b.from <= a.to;
                let apart = a.at + a.words <= b.at || b.at + b.words <= a.at;
                assert!(!together || apart, "{a:?} and {b:?}");
            }
        }
    }
}
