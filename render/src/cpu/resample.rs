//! Windowed-sinc resampling: eight input rows at a time through the horizontal weights, then down the columns.
//!
//! Rows are interleaved by eights: `[column][channel][row of eight]`. One weight of the horizontal pass then serves
//! eight rows, opaque pictures pay for three channels only, and the vertical pass is a dot product along the lanes.
//! Wide outputs are made in strips of columns, so that the rows that wait for the vertical pass stay small.

use super::transfer;
use crate::frame::Frame;
use crate::lanes::{Instructions, Lanes, Portable};
use crate::plan::geometry::Size;
use crate::plan::step::Light;
use crate::plan::weights::{Taps, Weights};
use crate::pool;

/// Rows in one group.
const GROUP: usize = 8;

/// Bytes of scratch that a strip may take before it is made narrower: about what a second-level cache holds.
const STRIP_BYTES: usize = 1 << 20;

/// A strip is never narrower than this: its seams would cost more than the cache saves.
const LEAST_STRIP: usize = 32;

type Rows = [f32; GROUP];

/// Premultiplied resampling of a frame. `alpha` says whether the result may be transparent.
///
/// Errors when the weights do not fit the input. Never panics.
pub(super) fn resample(
    instructions: Instructions,
    input: &Frame,
    alpha: bool,
    horizontal: &Weights,
    vertical: &Weights,
    light: Light,
) -> Result<Frame, String> {
    check(horizontal, input.size().width)?;
    check(vertical, input.size().height)?;
    let size = Size::new(horizontal.taps.len() as u32, vertical.taps.len() as u32);
    let mut pixels = pool::take(size.pixels() as usize * 4);
    if is_copy(horizontal) && is_copy(vertical) {
        copy(input, horizontal, vertical, &mut pixels);
    } else {
        let call = Call { input, horizontal, vertical, light };
        match instructions {
            Instructions::Portable => call.run::<Portable>(&mut pixels),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `Instructions::Avx2` is only made where the processor has both features.
            Instructions::Avx2 => unsafe { call.run_avx2(&mut pixels) },
        }
    }
    Frame::new(size, alpha, pixels).map_err(|error| error.to_string())
}

/// Bytes of scratch that [`resample`] takes beside input and output.
pub(super) fn scratch_bytes(horizontal: &Weights, vertical: &Weights) -> u64 {
    if is_copy(horizontal) && is_copy(vertical) {
        return 0;
    }
    Strips::new(horizontal, vertical, 4).bytes as u64
}

/// Refuses weights that read outside of `length` pixels or of their own table.
pub(super) fn check(weights: &Weights, length: u32) -> Result<(), String> {
    let fits = |taps: &Taps| {
        let values = u64::from(taps.offset) + u64::from(taps.count);
        let pixels = u64::from(taps.start) + u64::from(taps.count);
        taps.count > 0 && values <= weights.values.len() as u64 && pixels <= u64::from(length)
    };
    if weights.taps.is_empty() || !weights.taps.iter().all(fits) {
        return Err(format!("weights do not fit {length} pixels"));
    }
    Ok(())
}

/// Whether every output pixel is one input pixel.
fn is_copy(weights: &Weights) -> bool {
    weights.taps.iter().all(|taps| taps.count == 1 && weights.values.get(taps.offset as usize) == Some(&1.0))
}

fn copy(input: &Frame, horizontal: &Weights, vertical: &Weights, pixels: &mut [u8]) {
    let width = horizontal.taps.len();
    for (row, taps) in pixels.chunks_exact_mut(width * 4).zip(&vertical.taps) {
        let source = input.row(taps.start).as_chunks::<4>().0;
        for (pixel, taps) in row.as_chunks_mut::<4>().0.iter_mut().zip(&horizontal.taps) {
            *pixel = source[taps.start as usize];
        }
    }
}

/// How the output is cut into strips, and the scratch of the largest of them.
struct Strips {
    /// Output columns of a strip.
    width: usize,
    /// Groups of rows that are alive at once.
    ring: usize,
    bytes: usize,
}

impl Strips {
    fn new(horizontal: &Weights, vertical: &Weights, channels: usize) -> Self {
        let ring = ring_groups(vertical);
        let total = horizontal.taps.len();
        let longest = vertical.taps.iter().map(|taps| taps.count as usize).max().unwrap_or(1);
        let mut width = total;
        loop {
            let columns = (0..total).step_by(width).map(|x| columns(strip(horizontal, x, width)).1).max().unwrap_or(0);
            let bytes = (columns.next_multiple_of(8) + ring * width) * channels * size_of::<Rows>()
                + width * 16
                + (longest / GROUP + 2) * size_of::<Rows>()
                + vertical.taps.len() * size_of::<usize>();
            if bytes <= STRIP_BYTES || width <= LEAST_STRIP {
                return Strips { width, ring, bytes };
            }
            width = width.div_ceil(2).max(LEAST_STRIP.min(total));
        }
    }
}

fn strip(horizontal: &Weights, x: usize, width: usize) -> &[Taps] {
    &horizontal.taps[x..(x + width).min(horizontal.taps.len())]
}

/// First input column that a strip reads, and how many.
fn columns(taps: &[Taps]) -> (usize, usize) {
    let first = taps.iter().map(|taps| taps.start).min().unwrap_or(0);
    let end = taps.iter().map(|taps| taps.start + taps.count).max().unwrap_or(0);
    (first as usize, (end - first) as usize)
}

fn first_group(taps: &Taps) -> usize {
    taps.start as usize / GROUP
}

fn last_group(taps: &Taps) -> usize {
    (taps.start + taps.count - 1) as usize / GROUP
}

/// For every output row, the first group that this row or a later one reads. Starts are not always in order: a row
/// that falls exactly on an input row reads only that one, and the next reads further back.
fn keep_from(vertical: &Weights) -> Vec<usize> {
    let mut keep: Vec<usize> = vertical.taps.iter().map(first_group).collect();
    for y in (1..keep.len()).rev() {
        keep[y - 1] = keep[y - 1].min(keep[y]);
    }
    keep
}

fn ring_groups(vertical: &Weights) -> usize {
    let mut end = 0;
    let widths = keep_from(vertical).into_iter().zip(&vertical.taps).map(|(keep, taps)| {
        end = end.max(last_group(taps) + 1);
        end - keep
    });
    widths.max().unwrap_or(1)
}

struct Call<'a> {
    input: &'a Frame,
    horizontal: &'a Weights,
    vertical: &'a Weights,
    light: Light,
}

impl Call<'_> {
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,fma")]
    fn run_avx2(&self, pixels: &mut [u8]) {
        self.run::<crate::lanes::Avx2>(pixels);
    }

    #[inline(always)]
    fn run<V: Lanes>(&self, pixels: &mut [u8]) {
        match (self.input.has_alpha(), self.light) {
            (false, Light::Encoded) => self.stream::<V, 3, false>(pixels),
            (false, Light::Linear) => self.stream::<V, 3, true>(pixels),
            (true, Light::Encoded) => self.stream::<V, 4, false>(pixels),
            (true, Light::Linear) => self.stream::<V, 4, true>(pixels),
        }
    }

    #[inline(always)]
    fn stream<V: Lanes, const C: usize, const LINEAR: bool>(&self, pixels: &mut [u8]) {
        let strips = Strips::new(self.horizontal, self.vertical, C);
        let total = self.horizontal.taps.len();
        let keep = keep_from(self.vertical);
        let (_, widest) = (0..total)
            .step_by(strips.width)
            .map(|x| columns(strip(self.horizontal, x, strips.width)))
            .max_by_key(|(_, count)| *count)
            .unwrap_or((0, 0));
        let mut loaded = vec![[0.0; GROUP]; widest.next_multiple_of(8) * C];
        let mut ring = vec![[0.0; GROUP]; strips.ring * strips.width * C];
        let mut sums = vec![[0.0; 4]; strips.width];
        let mut weights: Vec<Rows> = Vec::with_capacity(
            self.vertical.taps.iter().map(|taps| last_group(taps) - first_group(taps) + 1).max().unwrap_or(1),
        );
        for x in (0..total).step_by(strips.width) {
            let taps = strip(self.horizontal, x, strips.width);
            let width = taps.len();
            let (first, count) = columns(taps);
            let mut made = keep[0];
            for (y, down) in self.vertical.taps.iter().enumerate() {
                while made <= last_group(down) {
                    let slot = made % strips.ring;
                    load::<V, C, LINEAR>(self.input, made * GROUP, first, count, &mut loaded);
                    let out = &mut ring[slot * strips.width * C..][..width * C];
                    across::<V, C>(&loaded, first, taps, &self.horizontal.values, out);
                    made += 1;
                }
                spread(down, &self.vertical.values, &mut weights);
                downwards::<V, C>(
                    &ring,
                    strips.ring,
                    strips.width * C,
                    first_group(down),
                    &weights,
                    &mut sums[..width],
                );
                let row = &mut pixels[(y * total + x) * 4..][..width * 4];
                finish::<V, C, LINEAR>(&sums[..width], row);
            }
        }
    }
}

/// Loads `count` columns of eight rows as premultiplied floats. Rows below the picture repeat the last one; no weight
/// other than 0 meets them.
#[inline(always)]
fn load<V: Lanes, const C: usize, const LINEAR: bool>(
    input: &Frame,
    top: usize,
    first: usize,
    count: usize,
    out: &mut [Rows],
) {
    let last = input.size().height as usize - 1;
    let rows: [&[u8]; GROUP] =
        std::array::from_fn(|i| &input.row((top + i).min(last) as u32)[first * 4..(first + count) * 4]);
    let blocks = rows.map(|row| row.as_chunks::<32>());
    for (i, out) in out.chunks_exact_mut(8 * C).enumerate().take(count.div_ceil(8)) {
        if i < count / 8 {
            convert::<V, C, LINEAR>(std::array::from_fn(|row| &blocks[row].0[i]), out);
        } else {
            let mut ends = [[0; 32]; GROUP];
            for (end, (_, rest)) in ends.iter_mut().zip(&blocks) {
                end[..rest.len()].copy_from_slice(rest);
            }
            convert::<V, C, LINEAR>(std::array::from_fn(|row| &ends[row]), out);
        }
    }
}

#[inline(always)]
fn convert<V: Lanes, const C: usize, const LINEAR: bool>(rows: [&[u8; 32]; GROUP], out: &mut [Rows]) {
    let table = transfer::to_linear();
    let scale = V::splat(1.0 / 255.0);
    for (pixels, out) in V::transpose(rows).into_iter().zip(out.chunks_exact_mut(C)) {
        let mut color = if LINEAR {
            [V::lookup::<0>(pixels, table), V::lookup::<8>(pixels, table), V::lookup::<16>(pixels, table)]
        } else {
            [V::channel::<0>(pixels), V::channel::<8>(pixels), V::channel::<16>(pixels)].map(|c| c.mul(scale))
        };
        if C == 4 {
            let alpha = V::channel::<24>(pixels).mul(scale);
            color = color.map(|c| c.mul(alpha));
            alpha.store(&mut out[C - 1]);
        }
        for (color, out) in color.into_iter().zip(out) {
            color.store(out);
        }
    }
}

/// The horizontal pass over one group of rows. Two sums a channel hide the latency of the additions.
#[inline(always)]
fn across<V: Lanes, const C: usize>(loaded: &[Rows], first: usize, taps: &[Taps], values: &[f32], out: &mut [Rows]) {
    for (taps, out) in taps.iter().zip(out.chunks_exact_mut(C)) {
        let count = taps.count as usize;
        let weights = &values[taps.offset as usize..][..count];
        let columns = &loaded[(taps.start as usize - first) * C..][..count * C];
        let (mut even, mut odd) = ([V::splat(0.0); C], [V::splat(0.0); C]);
        let (pairs, rest) = weights.as_chunks::<2>();
        let mut doubles = columns.chunks_exact(2 * C);
        for (pair, double) in pairs.iter().zip(&mut doubles) {
            let (a, b) = (V::splat(pair[0]), V::splat(pair[1]));
            for c in 0..C {
                even[c] = V::load(&double[c]).mul_add(a, even[c]);
                odd[c] = V::load(&double[C + c]).mul_add(b, odd[c]);
            }
        }
        if let [weight] = rest {
            let weight = V::splat(*weight);
            for (even, column) in even.iter_mut().zip(doubles.remainder()) {
                *even = V::load(column).mul_add(weight, *even);
            }
        }
        let one = V::splat(1.0);
        for c in 0..C {
            even[c].mul_add(one, odd[c]).store(&mut out[c]);
        }
    }
}

/// Spreads the weights of an output row over whole groups, with 0 where a group has rows that it does not read.
fn spread(taps: &Taps, values: &[f32], weights: &mut Vec<Rows>) {
    let first = first_group(taps);
    weights.clear();
    weights.resize(last_group(taps) - first + 1, [0.0; GROUP]);
    let lead = taps.start as usize - first * GROUP;
    let flat = &mut weights.as_flattened_mut()[lead..];
    flat[..taps.count as usize].copy_from_slice(&values[taps.offset as usize..][..taps.count as usize]);
}

/// The vertical pass of one output row.
#[inline(always)]
fn downwards<V: Lanes, const C: usize>(
    ring: &[Rows],
    slots: usize,
    stride: usize,
    first: usize,
    weights: &[Rows],
    sums: &mut [[f32; 4]],
) {
    for (x, sum) in sums.iter_mut().enumerate() {
        let mut lanes = [V::splat(0.0); 4];
        let mut slot = first % slots;
        for weights in weights {
            let weights = V::load(weights);
            let group = &ring[slot * stride + x * C..][..C];
            for c in 0..C {
                lanes[c] = V::load(&group[c]).mul_add(weights, lanes[c]);
            }
            slot = if slot + 1 == slots { 0 } else { slot + 1 };
        }
        *sum = V::sums(lanes);
    }
}

/// Premultiplied floats to straight bytes, two pixels at a time.
#[inline(always)]
fn finish<V: Lanes, const C: usize, const LINEAR: bool>(sums: &[[f32; 4]], row: &mut [u8]) {
    let thresholds = transfer::thresholds();
    let (pairs, rest) = sums.as_chunks::<2>();
    let (whole, last) = row.as_chunks_mut::<8>();
    for (pair, out) in pairs.iter().zip(whole) {
        *out = straight::<V, C, LINEAR>(pair, thresholds);
    }
    if let [pixel] = rest {
        last.copy_from_slice(&straight::<V, C, LINEAR>(&[*pixel, [0.0; 4]], thresholds)[..4]);
    }
}

#[inline(always)]
fn straight<V: Lanes, const C: usize, const LINEAR: bool>(pair: &[[f32; 4]; 2], thresholds: &[f32; 256]) -> [u8; 8] {
    let [[a, b, c, d], [e, f, g, h]] = *pair;
    let color = V::load(&[a, b, c, d, e, f, g, h]);
    if C == 3 {
        return encoded::<V, LINEAR>(color, thresholds).with_alphas(V::splat(255.0)).bytes();
    }
    let alpha = color.alphas().min(V::splat(1.0)).max(V::splat(0.0));
    // Premultiplied color above alpha is a color above 1, which the byte clamps just as well.
    let color = encoded::<V, LINEAR>(color.div(alpha), thresholds);
    let pixel = color.with_alphas(alpha.mul(V::splat(255.0)));
    // What rounds to no alpha at all has no color.
    alpha.below(V::splat(0.5 / 255.0), V::splat(0.0), pixel).bytes()
}

/// Encoded values from 0 to 255.
#[inline(always)]
fn encoded<V: Lanes, const LINEAR: bool>(color: V, thresholds: &[f32; 256]) -> V {
    if LINEAR { transfer::encode_exactly(color, thresholds) } else { color.mul(V::splat(255.0)) }
}
