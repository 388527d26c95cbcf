//! Where the surfaces of one job lie in its block of the arena, and in which order its kernels run.
//!
//! Every job has a block of its own, and memory is reused only inside of it: no kernel of a job ever addresses a word
//! of another job of the same batch, but for pictures that several jobs share, which nobody writes after they are there.
//! Every surface is written in full (uploaded, or covered by the tiles of the kernel that makes it) before it is read,
//! and only output surfaces are read back; besides, the arena is cleared after every window.

use super::wire::{packed_words, plane_words};
use crate::plan::bind::{BoundPlan, Kernel};
use crate::plan::geometry::Size;
use crate::plan::step::{Light, SurfaceId};
use crate::planes::Subsampling;

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
    /// Where and at which level an opaque output is packed for its way down.
    pub packed: Option<Packed>,
    /// The subsampling of an output that stays in planes.
    pub planes: Option<Subsampling>,
}

/// Where and when an opaque output is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Packed {
    /// First word.
    pub at: u64,
    pub level: u32,
}

/// How the surface of a `Kernel::Load` comes to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Load {
    /// Its words are uploaded.
    Words,
    /// Planes of so many words are uploaded, and only resampled as they are.
    Raw(u64),
    /// So many words are uploaded, and a kernel spreads them.
    Wire(u64),
    /// It lies outside of the block, because other jobs read it too; a kernel spreads it, or its words are uploaded.
    Shared { spread: bool, raw: bool },
}

/// Where and when one surface is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Placed {
    /// First word, counted from the beginning of the job's block until [`JobLayout::settle`].
    pub at: u64,
    /// Level at which the surface is there: 0 for uploads, 1 for those that are spread. A resampling runs its first
    /// pass one level earlier.
    pub level: u32,
    /// First word of the intermediate of a resampling, or of the upload that is spread; 0 for others.
    pub before: u64,
}

/// Level at which kernels spread uploads.
pub(super) const SPREAD_LEVEL: u32 = 1;

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
    /// Lays out a plan whose surfaces were checked to exist before they are used; `load` tells how each source comes.
    pub fn new(plan: &BoundPlan, load: impl Fn(usize) -> Load) -> Self {
        let live = live_kernels(plan);
        let mut levels = vec![0u32; plan.kernels.len()];
        let mut last_use = vec![0u32; plan.kernels.len()];
        for (index, kernel) in plan.kernels.iter().enumerate().filter(|(index, _)| live[*index]) {
            let ready = inputs(kernel).map(|input| levels[usize::from(input.0)]).max();
            let first = ready.map_or(0, |level| level + 1);
            levels[index] = match *kernel {
                Kernel::Resample { .. } => first + 1,
                Kernel::Load { source } => match load(source) {
                    Load::Words | Load::Raw(_) | Load::Shared { spread: false, .. } => first,
                    Load::Wire(_) | Load::Shared { spread: true, .. } => SPREAD_LEVEL,
                },
                _ => first,
            };
            for input in inputs(kernel) {
                let used = &mut last_use[usize::from(input.0)];
                *used = (*used).max(first);
            }
        }
        let is_raw = |surface: SurfaceId| match plan.kernels[usize::from(surface.0)] {
            Kernel::Load { source } => matches!(load(source), Load::Raw(_) | Load::Shared { raw: true, .. }),
            _ => false,
        };
        let output = usize::from(plan.output.0);
        let planes = match &plan.kernels[output] {
            Kernel::Resample { input, chroma: Some(chroma), .. } if is_raw(*input) => chroma.output,
            _ => None,
        };
        let opaque = !plan.alphas[output] && planes.is_none();
        last_use[output] = if opaque { levels[output] + 1 } else { FOREVER };

        let mut pieces: Vec<Piece> = Vec::new();
        let surfaces = plan.kernels.iter().enumerate().map(|(index, kernel)| {
            if !live[index] {
                return None;
            }
            let level = levels[index];
            let before = match *kernel {
                Kernel::Resample { input, ref chroma, light: Light::Encoded, .. } if is_raw(input) => {
                    // One word a sample of each plane. Chroma has at most as many rows and columns as luma.
                    let luma = intermediate_size(plan, input, index).pixels();
                    let planes = if chroma.is_some() { 3 } else { 1 };
                    place(&mut pieces, luma * planes, level - 1, level)
                }
                Kernel::Resample { input, .. } => {
                    let pixels = intermediate_size(plan, input, index).pixels();
                    place(&mut pieces, pixels * INTERMEDIATE_WORDS, level - 1, level)
                }
                Kernel::Load { source } => match load(source) {
                    Load::Words => 0,
                    Load::Raw(words) => {
                        let at = place(&mut pieces, words, 0, last_use[index]);
                        return Some(Placed { at, level, before: 0 });
                    }
                    Load::Wire(words) => place(&mut pieces, words, 0, SPREAD_LEVEL),
                    Load::Shared { .. } => return Some(Placed { at: 0, level, before: 0 }),
                },
                _ => 0,
            };
            let size = plan.sizes[index];
            let words = match planes {
                Some(subsampling) if index == output => plane_words(size) + 2 * plane_words(subsampling.apply(size)),
                _ => size.pixels(),
            };
            let at = place(&mut pieces, words, level, last_use[index].max(level));
            Some(Placed { at, level, before })
        });
        let surfaces = surfaces.collect();
        let packed = opaque.then(|| {
            let level = levels[output] + 1;
            Packed { at: place(&mut pieces, packed_words(plan.sizes[output]), level, FOREVER), level }
        });
        let words = pieces.iter().map(|piece| (piece.at + piece.words).next_multiple_of(ALIGNMENT_WORDS)).max();
        JobLayout { surfaces, words: words.unwrap_or(0), packed, planes }
    }

    /// Counts all places from the beginning of the arena: the block begins at word `base`, and `shared` knows the
    /// surfaces that lie outside of it, by index of their kernel.
    pub fn settle(&mut self, base: u64, shared: impl Fn(usize) -> Option<u64>) {
        for (index, placed) in self.surfaces.iter_mut().enumerate() {
            if let Some(placed) = placed {
                placed.at = shared(index).unwrap_or(base + placed.at);
                placed.before += base;
            }
        }
        if let Some(packed) = &mut self.packed {
            packed.at += base;
        }
    }
}

/// Words that a surface outside of any block takes.
pub(super) fn aligned_words(words: u64) -> u64 {
    words.next_multiple_of(ALIGNMENT_WORDS)
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
        let layout = JobLayout::new(&plan(kernels, &[(64, 10); 5], 4), |_| Load::Words);
        assert_eq!(layout.words, 2 * 640);
        let levels: Vec<_> = layout.surfaces.iter().flatten().map(|placed| placed.level).collect();
        assert_eq!(levels, [0, 1, 2, 3, 4]);
    }

    #[test]
    fn a_surface_lives_until_its_last_reader_and_dead_ones_take_no_room() {
        let composite = Kernel::Composite { base: SurfaceId(2), layer: SurfaceId(0), left: 0, top: 0, opacity: 1.0 };
        let kernels = vec![Kernel::Load { source: 0 }, fade(0), fade(1), composite, fade(0)];
        let layout = JobLayout::new(&plan(kernels, &[(8, 8); 5], 3), |_| Load::Words);
        assert!(layout.surfaces[4].is_none());
        let places: Vec<_> = layout.surfaces.iter().flatten().map(|placed| placed.at).collect();
        assert!(places[1..].iter().all(|at| *at != places[0]), "the source is read by the last kernel");
        assert_eq!(layout.words, 3 * 64);
    }

    #[test]
    fn an_upload_that_is_spread_makes_room_and_a_shared_picture_takes_none() {
        let kernels = || vec![Kernel::Load { source: 0 }, fade(0), fade(1)];
        let spread = JobLayout::new(&plan(kernels(), &[(64, 10); 3], 2), |_| Load::Wire(640));
        let levels: Vec<_> = spread.surfaces.iter().flatten().map(|placed| placed.level).collect();
        assert_eq!(levels, [1, 2, 3]);
        // The upload is gone when the second surface is made.
        assert_eq!(spread.words, 2 * 640);
        let mut shared =
            JobLayout::new(&plan(kernels(), &[(64, 10); 3], 2), |_| Load::Shared { spread: true, raw: false });
        assert_eq!(shared.words, 2 * 640);
        shared.settle(1024, |index| (index == 0).then_some(64));
        let places: Vec<_> = shared.surfaces.iter().flatten().map(|placed| placed.at).collect();
        assert_eq!(places, [64, 1024, 1024 + 640]);
    }

    #[test]
    fn an_opaque_output_lives_until_it_is_packed() {
        let mut plan = plan(vec![Kernel::Load { source: 0 }, fade(0)], &[(64, 10); 2], 1);
        plan.alphas[1] = false;
        let layout = JobLayout::new(&plan, |_| Load::Words);
        // The packed picture takes the place of the source.
        assert_eq!(layout.packed, Some(Packed { at: 0, level: 2 }));
        assert_eq!(layout.words, 2 * 640);
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
