//! The tables of one window: which dispatches run, which jobs each of them serves, and with which numbers.
//!
//! All kernels of one kind that have become ready at the same level of their jobs run in one dispatch, so the number
//! of dispatches depends on the depth and variety of the chains and not on the number of jobs.

use super::arena::{JobLayout, SPREAD_LEVEL, intermediate_size};
use super::wire::{self, Form};
use crate::backend::{Job, Source};
use crate::plan::bind::{BoundPlan, Kernel};
use crate::plan::geometry::{Orientation, Size};
use crate::plan::step::{Light, Outline, Rgba8};
use crate::plan::weights::Weights;
use bytemuck::{Pod, bytes_of};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use tintype_shaders::params::WireJob;
use tintype_shaders::{constant::TILE_SIDE, kernel, params};

/// One dispatch: a kernel over the tiles of many jobs.
#[derive(Debug, Default)]
pub(super) struct Dispatch {
    /// Structures of the kernel's kind, one for each job.
    pub jobs: Vec<u8>,
    /// One entry for each job.
    tiles: Vec<params::Tile>,
    pub n_tiles: u64,
}

impl Dispatch {
    /// The table by which workgroups find their jobs, with its end.
    pub fn tiles(&self) -> Vec<params::Tile> {
        let end = params::Tile { first: self.n_tiles as u32, across: 1 };
        self.tiles.iter().copied().chain([end]).collect()
    }
}

/// Weights, with the words of the tables where their taps and values begin.
type PlacedWeights = (Arc<Weights>, (u32, u32));

/// Everything that the kernels of one window are told.
#[derive(Debug)]
pub(super) struct Schedule {
    /// By level, then by index into the kernel table; running them in this order satisfies every dependency.
    pub dispatches: BTreeMap<(u32, usize), Dispatch>,
    /// The sRGB table, then taps and weights, as words.
    pub tables: Vec<u32>,
    /// Places by address. The weights are held, so that no address comes to mean others.
    weights: HashMap<*const Weights, PlacedWeights>,
    /// The same by contents: jobs with plans of their own still share the numbers.
    contents: HashMap<u64, Vec<PlacedWeights>>,
}

impl Schedule {
    pub fn new() -> Self {
        Schedule {
            dispatches: BTreeMap::new(),
            tables: srgb_table(),
            weights: HashMap::new(),
            contents: HashMap::new(),
        }
    }

    /// Adds a job whose layout is settled. The plan was checked, and every place fits 32 bits. `raw` says which sources
    /// lie in the arena as planes.
    pub fn add(&mut self, job: &Job, layout: &JobLayout, raw: impl Fn(usize) -> bool) {
        let plan = &*job.plan;
        for (index, kernel) in plan.kernels.iter().enumerate() {
            let Some(placed) = layout.surfaces[index] else { continue };
            let in_planes = match kernel {
                Kernel::Resample { input, .. } => match plan.kernels[usize::from(input.0)] {
                    Kernel::Load { source } if raw(source) => job.sources.get(source),
                    _ => None,
                },
                _ => None,
            };
            match in_planes {
                Some(source) => self.add_planes(plan, layout, index, source),
                None => self.add_kernel(plan, layout, index, kernel, placed.level),
            }
        }
        let output = usize::from(plan.output.0);
        if let (Some(packed), Some(placed)) = (layout.packed, layout.surfaces[output]) {
            let size = plan.sizes[output];
            let job = wire::pack(size, placed.at, packed.at);
            self.push(packed.level, kernel::PLANAR_PACK, &job, wire::pack_grid(size));
        }
    }

    /// Adds the resampling of a source that lies in the arena as planes.
    fn add_planes(&mut self, plan: &BoundPlan, layout: &JobLayout, index: usize, source: &Source) {
        let Kernel::Resample { input, horizontal, vertical, light, chroma: Some(chroma) } = &plan.kernels[index] else {
            return;
        };
        let (Some(placed), Some(from)) = (layout.surfaces[index], layout.surfaces[usize::from(input.0)]) else {
            return;
        };
        let (size, level) = (plan.sizes[index], placed.level);
        let planes = wire::in_planes(source, from.at);
        let (across, across_weights) = self.add_weights(horizontal);
        let (down, down_weights) = self.add_weights(vertical);
        let between = intermediate_size(plan, *input, index);
        let before = placed.before as u32;
        let Size { width, height } = between;
        let row = WireJob { output: before, width, height, taps: across, weights: across_weights, ..planes };
        if *light == Light::Linear {
            self.push(level - 1, kernel::PLANAR_LIGHT, &row, between);
            let job = params::ResampleJob {
                input: 0,
                intermediate: before,
                output: placed.at as u32,
                input_width: plan.size(*input).width,
                input_height: height,
                output_width: size.width,
                output_height: size.height,
                horizontal_taps: across,
                horizontal_weights: across_weights,
                vertical_taps: down,
                vertical_weights: down_weights,
                linear: 1,
                input_alpha: 0,
                output_alpha: u32::from(plan.alphas[index]),
            };
            self.push(level, kernel::RESAMPLE_VERTICAL, &job, size);
            return;
        }
        self.push(level - 1, kernel::PLANAR_ROW, &row, between);
        let (chroma_across, chroma_across_weights) = self.add_weights_of(&chroma.horizontal);
        let (chroma_down, chroma_down_weights) = self.add_weights_of(&chroma.vertical);
        let coarse = Size::new(chroma.horizontal.taps.len() as u32, planes.chroma_height);
        // Every plane has the room that luma takes.
        let step = between.pixels() as u32;
        let [blue, red] = [before + step, before + 2 * step];
        if planes.chroma_width > 0 {
            for (input, output) in [(planes.cb, blue), (planes.cr, red)] {
                let row = WireJob {
                    input,
                    output,
                    width: coarse.width,
                    height: coarse.height,
                    stride: planes.chroma_width,
                    taps: chroma_across,
                    weights: chroma_across_weights,
                    ..WireJob::default()
                };
                self.push(level - 1, kernel::PLANAR_ROW, &row, coarse);
            }
        }
        let Some(subsampling) = layout.planes.filter(|_| index == usize::from(plan.output.0)) else {
            let join = WireJob {
                input: before,
                cb: blue,
                cr: red,
                output: placed.at as u32,
                width: size.width,
                height: size.height,
                chroma_width: planes.chroma_width,
                taps: down,
                weights: down_weights,
                chroma_taps: chroma_down,
                chroma_weights: chroma_down_weights,
                ..WireJob::default()
            };
            return self.push(level, kernel::PLANAR_JOIN, &join, size);
        };
        let small = subsampling.apply(size);
        let luma = (before, size, down, down_weights);
        let chroma = [blue, red].map(|input| (input, small, chroma_down, chroma_down_weights));
        let planes = std::iter::once(luma).chain(chroma.into_iter().filter(|_| planes.chroma_width > 0));
        let mut output = placed.at;
        for (input, size, taps, weights) in planes {
            let grid = wire::pack_grid(size);
            let column = WireJob {
                input,
                output: output as u32,
                width: grid.width,
                height: grid.height,
                pixels: size.pixels() as u32,
                stride: size.width,
                taps,
                weights,
                ..WireJob::default()
            };
            self.push(level, kernel::PLANAR_COLUMN, &column, grid);
            output += wire::plane_words(size);
        }
    }

    /// Adds an upload that has to be spread into pixels.
    pub fn add_upload(&mut self, source: &Source, wire: u64, surface: u64) {
        let kernel = match wire::form(source) {
            Form::Words => return,
            Form::Rgb => kernel::PLANAR_RGB,
            Form::Planar => kernel::PLANAR_SPREAD,
        };
        self.push(SPREAD_LEVEL, kernel, &wire::spread(source, wire, surface), source.size());
    }

    fn add_kernel(&mut self, plan: &BoundPlan, layout: &JobLayout, index: usize, kernel: &Kernel, level: u32) {
        let place = |surface: usize| layout.surfaces[surface].map_or(0, |placed| placed.at as u32);
        let at = |surface: crate::plan::step::SurfaceId| place(usize::from(surface.0));
        let size = plan.sizes[index];
        let Size { width, height } = size;
        let output = place(index);
        let alpha = u32::from(plan.alphas[index]);
        match *kernel {
            Kernel::Load { .. } => {}
            Kernel::Resample { input, ref horizontal, ref vertical, light, .. } => {
                let (horizontal_taps, horizontal_weights) = self.add_weights(horizontal);
                let (vertical_taps, vertical_weights) = self.add_weights(vertical);
                let from = plan.size(input);
                let job = params::ResampleJob {
                    input: at(input),
                    intermediate: layout.surfaces[index].map_or(0, |placed| placed.before as u32),
                    output,
                    input_width: from.width,
                    input_height: from.height,
                    output_width: width,
                    output_height: height,
                    horizontal_taps,
                    horizontal_weights,
                    vertical_taps,
                    vertical_weights,
                    linear: u32::from(light == Light::Linear),
                    input_alpha: u32::from(plan.alpha(input)),
                    output_alpha: alpha,
                };
                let intermediate = intermediate_size(plan, input, index);
                self.push(level - 1, kernel::RESAMPLE_HORIZONTAL, &job, intermediate);
                self.push(level, kernel::RESAMPLE_VERTICAL, &job, size);
            }
            Kernel::Extract { input, x: left, y: top } => {
                let (input, input_width) = (at(input), plan.size(input).width);
                let job = params::ExtractJob { input, output, width, height, input_width, left, top, alpha };
                self.push(level, kernel::EXTRACT, &job, size);
            }
            Kernel::Orient { input, orientation } => {
                let job = orient(at(input), output, plan.size(input), size, orientation, alpha);
                self.push(level, kernel::ORIENT, &job, size);
            }
            Kernel::Canvas { input, left, top, fill } => {
                let Size { width: input_width, height: input_height } = plan.size(input);
                let (left, top, fill) = (offset(left), offset(top), color(fill));
                let input = at(input);
                let job = params::CanvasJob {
                    input,
                    output,
                    width,
                    height,
                    input_width,
                    input_height,
                    left,
                    top,
                    fill,
                    alpha,
                };
                self.push(level, kernel::CANVAS, &job, size);
            }
            Kernel::Composite { base, layer, left, top, opacity } => {
                let Size { width: layer_width, height: layer_height } = plan.size(layer);
                let (left, top, base, layer) = (offset(left), offset(top), at(base), at(layer));
                let job = params::CompositeJob {
                    base,
                    layer,
                    output,
                    width,
                    height,
                    layer_width,
                    layer_height,
                    left,
                    top,
                    opacity,
                    alpha,
                };
                self.push(level, kernel::COMPOSITE, &job, size);
            }
            Kernel::Mask { input, outline: shape } => {
                let (input, outline) = (at(input), outline(shape, 0.0));
                self.push(level, kernel::MASK, &params::MaskJob { input, output, width, height, outline, alpha }, size);
            }
            Kernel::Border { input, width: ring, color: ring_color, outline: shape } => {
                let Size { width: input_width, height: input_height } = plan.size(input);
                let job = params::BorderJob {
                    input: at(input),
                    output,
                    width,
                    height,
                    input_width,
                    input_height,
                    ring,
                    color: color(ring_color),
                    inner: outline(shape, 0.0),
                    outer: outline(shape, ring as f32),
                    alpha,
                };
                self.push(level, kernel::BORDER, &job, size);
            }
            Kernel::Opacity { input, opacity } => {
                let input = at(input);
                let job = params::OpacityJob { input, output, width, height, opacity, alpha };
                self.push(level, kernel::OPACITY, &job, size);
            }
        }
    }

    fn push<P: Pod>(&mut self, level: u32, kernel: usize, job: &P, size: Size) {
        let dispatch = self.dispatches.entry((level, kernel)).or_default();
        dispatch.jobs.extend_from_slice(bytes_of(job));
        dispatch.tiles.push(params::Tile { first: dispatch.n_tiles as u32, across: size.width.div_ceil(TILE_SIDE) });
        dispatch.n_tiles += tiles(size);
    }

    /// As [`Schedule::add_weights`], for weights that nobody shares by address.
    fn add_weights_of(&mut self, weights: &Weights) -> (u32, u32) {
        self.add_weights(&Arc::new(weights.clone()))
    }

    /// Places of the taps and of the weights, in words. Jobs with equal weights share them.
    fn add_weights(&mut self, weights: &Arc<Weights>) -> (u32, u32) {
        if let Some((_, places)) = self.weights.get(&Arc::as_ptr(weights)) {
            return *places;
        }
        let alike = self.contents.entry(digest(weights)).or_default();
        let places = match alike.iter().find(|(known, _)| known == weights) {
            Some((_, places)) => *places,
            None => {
                let tables = &mut self.tables;
                let taps = tables.len() as u32;
                tables.extend(weights.taps.iter().flat_map(|taps| [taps.start, taps.count, taps.offset]));
                let values = tables.len() as u32;
                tables.extend(weights.values.iter().map(|value| value.to_bits()));
                alike.push((Arc::clone(weights), (taps, values)));
                (taps, values)
            }
        };
        self.weights.insert(Arc::as_ptr(weights), (Arc::clone(weights), places));
        places
    }
}

/// A number that equal weights share: it only has to be quick, because equality is looked at after it.
fn digest(weights: &Weights) -> u64 {
    let mix = |digest: u64, value: u32| (digest ^ u64::from(value)).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(23);
    let digest =
        weights.taps.iter().fold(weights.values.len() as u64, |digest, taps| mix(mix(digest, taps.start), taps.offset));
    weights.values.iter().fold(digest, |digest, value| mix(digest, value.to_bits()))
}

/// Number of tiles that cover a surface.
fn tiles(size: Size) -> u64 {
    u64::from(size.width.div_ceil(TILE_SIDE)) * u64::from(size.height.div_ceil(TILE_SIDE))
}

/// Bytes of the tables of one job if it shares nothing: never less than what [`Schedule::add`] and
/// [`Schedule::add_upload`] add.
pub(super) fn table_bytes(plan: &BoundPlan, layout: &JobLayout, alignment: u64) -> u64 {
    let live = plan.kernels.iter().enumerate().filter(|(index, _)| layout.surfaces[*index].is_some());
    let weights = |weights: &Weights| 4 * (3 * weights.taps.len() as u64 + weights.values.len() as u64);
    live.map(|(_, kernel)| match kernel {
        Kernel::Resample { horizontal, vertical, chroma, .. } => {
            let chroma = chroma.as_ref().map_or(0, |chroma| {
                4 * launch_bytes(alignment) + weights(&chroma.horizontal) + weights(&chroma.vertical)
            });
            2 * launch_bytes(alignment) + weights(horizontal) + weights(vertical) + chroma
        }
        _ => launch_bytes(alignment),
    })
    .chain(layout.packed.map(|_| launch_bytes(alignment)))
    .sum()
}

/// The most that one launch adds to the tables for one job: a structure, its tiles and their end, both aligned.
pub(super) fn launch_bytes(alignment: u64) -> u64 {
    128 + 2 * size_of::<params::Tile>() as u64 + 2 * alignment
}

/// The inverse sRGB transfer of every byte, as the bits of f32. Source: IEC 61966-2-1.
fn srgb_table() -> Vec<u32> {
    let linear = |byte: u32| {
        let encoded = f64::from(byte) / 255.0;
        if encoded < 0.04045 { encoded / 12.92 } else { ((encoded + 0.055) / 1.055).powf(2.4) }
    };
    (0..256).map(|byte| (linear(byte) as f32).to_bits()).collect()
}

fn color(rgba: Rgba8) -> u32 {
    u32::from_le_bytes(rgba)
}

/// Positions far outside of any surface mean the same wherever they are; near ones never overflow in the kernels.
fn offset(value: i32) -> i32 {
    value.clamp(-(1 << 30), 1 << 30)
}

/// `grown_px` is added to every radius that is not 0.
fn outline(outline: Outline, grown_px: f32) -> params::Outline {
    let (ellipse, radii) = match outline {
        Outline::Corners(radii) => (0, radii.map(|radius| if radius > 0.0 { radius + grown_px } else { 0.0 })),
        Outline::Ellipse => (1, [0.0; 4]),
    };
    let [top_left, top_right, bottom_right, bottom_left] = radii;
    params::Outline { ellipse, top_left, top_right, bottom_right, bottom_left }
}

fn orient(input: u32, output: u32, from: Size, to: Size, orientation: Orientation, alpha: u32) -> params::OrientJob {
    // The steps do not depend on the size, so a square of three pixels, which has an inside, tells them.
    let probe = |x, y| orientation.source_of(x, y, Size::new(3, 3));
    let (center, right, down) = (probe(1, 1), probe(2, 1), probe(1, 2));
    let step = |to: (u32, u32)| (to.0 as i32 - center.0 as i32, to.1 as i32 - center.1 as i32);
    let ((right_x, right_y), (down_x, down_y)) = (step(right), step(down));
    let origin = orientation.source_of(0, 0, from);
    params::OrientJob {
        input,
        output,
        width: to.width,
        height: to.height,
        input_width: from.width,
        origin_x: origin.0 as i32,
        origin_y: origin.1 as i32,
        right_x,
        right_y,
        down_x,
        down_y,
        alpha,
    }
}

#[cfg(test)]
mod tests {
    use super::super::arena::Load;
    use super::*;
    use crate::plan::step::{Filter, SurfaceId};
    use crate::plan::weights::Axis;

    #[test]
    fn equal_weights_are_written_once_and_others_are_not_mistaken_for_them() {
        let weights = |input: u32, scaled: u32| {
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
        };
        let mut schedule = Schedule::new();
        let first = schedule.add_weights(&weights(100, 30));
        let words = schedule.tables.len();
        assert_eq!(schedule.add_weights(&weights(100, 30)), first);
        assert_eq!(schedule.tables.len(), words);
        let mut other = (*weights(100, 30)).clone();
        other.values[7] += 1e-6;
        assert_ne!(schedule.add_weights(&Arc::new(other)), first);
        assert_ne!(schedule.add_weights(&weights(101, 30)), first);
        let mut shifted = (*weights(100, 30)).clone();
        shifted.taps[3].count -= 1;
        assert_ne!(schedule.add_weights(&Arc::new(shifted)), first);
    }

    #[test]
    fn the_steps_of_every_orientation_reach_the_pixel_that_geometry_names() {
        let from = Size::new(5, 3);
        for orientation in (1..=8).map(Orientation::from_exif) {
            let to = orientation.apply_size(from);
            let job = orient(0, 0, from, to, orientation, 1);
            for (x, y) in (0..to.height).flat_map(|y| (0..to.width).map(move |x| (x, y))) {
                let reached = (
                    job.origin_x + x as i32 * job.right_x + y as i32 * job.down_x,
                    job.origin_y + x as i32 * job.right_y + y as i32 * job.down_y,
                );
                let named = orientation.source_of(x, y, from);
                assert_eq!(reached, (named.0 as i32, named.1 as i32), "{orientation:?} at {x},{y}");
            }
        }
    }

    #[test]
    fn tiles_cover_every_pixel_once_and_jobs_share_a_dispatch() {
        let size = Size::new(33, 17);
        let plan = Arc::new(BoundPlan {
            kernels: vec![Kernel::Load { source: 0 }, Kernel::Opacity { input: SurfaceId(0), opacity: 0.5 }],
            sizes: vec![size; 2],
            alphas: vec![true; 2],
            output: SurfaceId(1),
        });
        let layout = JobLayout::new(&plan, |_| Load::Words);
        let mut schedule = Schedule::new();
        for job in 0..3 {
            let mut layout = layout.clone();
            layout.settle(job * layout.words, |_| None);
            schedule.add(&Job { plan: Arc::clone(&plan), sources: Vec::new() }, &layout, |_| false);
        }
        assert_eq!(schedule.dispatches.len(), 1);
        let dispatch = &schedule.dispatches[&(1, kernel::OPACITY)];
        let mut seen = vec![0; 3 * size.pixels() as usize];
        let table = dispatch.tiles();
        for index in 0..dispatch.n_tiles as u32 {
            // As the kernels look it up.
            let job = table.partition_point(|tile| tile.first <= index) as u32 - 1;
            let tile = table[job as usize];
            let within = index - tile.first;
            let (left, top) = (within % tile.across * TILE_SIDE, within / tile.across * TILE_SIDE);
            for y in top..(top + TILE_SIDE).min(size.height) {
                for x in left..(left + TILE_SIDE).min(size.width) {
                    seen[((job * size.height + y) * size.width + x) as usize] += 1;
                }
            }
        }
        assert_eq!(table.last().map(|end| u64::from(end.first)), Some(dispatch.n_tiles));
        assert!(seen.iter().all(|count| *count == 1));
        assert_eq!(dispatch.jobs.len(), 3 * size_of::<params::OpacityJob>());
    }
}
