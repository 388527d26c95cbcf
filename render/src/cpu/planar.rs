//! Resampling of planes: rows first, from bytes or from linear light, then across.
//!
//! In encoded light every plane is resampled by itself, which for what is linear is the same as resampling pixels, and costs
//! half of it. In linear light each row is made into pixels once, when a row of the output first needs it.

use super::feed::{Feed, Rows, Window};
use super::resample::check;
use super::transfer::{encode, linear};
use crate::bands::PlaneBands;
use crate::frame::{BYTES_PER_PIXEL, Frame};
use crate::lanes::{Instructions, Lanes, Portable};
use crate::plan::bind::Chroma;
use crate::plan::geometry::Size;
use crate::plan::step::Light;
use crate::plan::weights::Weights;
use crate::planes::{BLUE, GREEN_OF_BLUE, GREEN_OF_RED, NEAR, Plane, Planes, RED, Subsampling, neighbors};
use crate::pool;

/// Floats in one step.
const STEP: usize = 8;
/// Floats that are summed up side by side, so that additions do not wait for each other.
const BLOCK: usize = 4 * STEP;

/// What a resampling of planes makes.
pub(super) enum Resampled {
    Frame(Frame),
    Planes(Planes),
}

/// Resamples planes. Errors when the weights do not fit them. Never panics.
pub(super) fn resample(
    instructions: Instructions,
    input: &Planes,
    horizontal: &Weights,
    vertical: &Weights,
    light: Light,
    chroma: &Chroma,
) -> Result<Resampled, String> {
    run(instructions, input, Call { horizontal, vertical, light, chroma })
}

/// The same of a picture that is decoded meanwhile; `held` is told the bytes of its rows that are held at once. Errors
/// when it is damaged, too.
pub(super) fn resample_bands(
    instructions: Instructions,
    bands: &mut dyn PlaneBands,
    horizontal: &Weights,
    vertical: &Weights,
    light: Light,
    chroma: &Chroma,
    held: &mut dyn FnMut(u64),
) -> Result<Resampled, String> {
    let window = Window::new(bands, vertical, light, chroma)?;
    held(window.bytes());
    run(instructions, window, Call { horizontal, vertical, light, chroma })
}

fn run<F: Feed>(instructions: Instructions, input: F, call: Call<'_>) -> Result<Resampled, String> {
    fits(call.horizontal, call.vertical, input.size())?;
    if input.has_chroma() {
        fits(&call.chroma.horizontal, &call.chroma.vertical, input.subsampling().apply(input.size()))?;
    }
    match instructions {
        Instructions::Portable => call.run::<Portable, F>(input),
        #[cfg(target_arch = "x86_64")]
        // SAFETY: `Instructions::Avx2` is only made where the processor has both features.
        Instructions::Avx2 => unsafe { call.run_avx2(input) },
    }
}

fn fits(horizontal: &Weights, vertical: &Weights, size: Size) -> Result<(), String> {
    check(horizontal, size.width)?;
    check(vertical, size.height)
}

/// Bytes of scratch that [`resample`] takes beside input and output, at most.
pub(super) fn scratch_bytes(width: u32, horizontal: &Weights, vertical: &Weights, light: Light) -> u64 {
    let longest = vertical.taps.iter().map(|taps| taps.count).max().unwrap_or(1);
    // Rows of the input in linear light, one summed row and chroma's; rows of the output; weights in steps of eight.
    let rows = if light == Light::Linear { 3 * (u64::from(longest) + 1) } else { 0 };
    let row = 4 * (u64::from(width) + 2 * BLOCK as u64);
    let dots =
        |weights: &Weights| weights.taps.iter().map(|taps| 32 * u64::from(taps.count.div_ceil(8)) + 16).sum::<u64>();
    row * (rows + 8) + 16 * (horizontal.taps.len() as u64 + 8) + 2 * dots(horizontal) + 32 * u64::from(longest)
}

struct Call<'a> {
    horizontal: &'a Weights,
    vertical: &'a Weights,
    light: Light,
    chroma: &'a Chroma,
}

impl Call<'_> {
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,fma")]
    fn run_avx2<F: Feed>(&self, input: F) -> Result<Resampled, String> {
        self.run::<crate::lanes::Avx2, F>(input)
    }

    #[inline(always)]
    fn run<V: Lanes, F: Feed>(&self, input: F) -> Result<Resampled, String> {
        match (self.light, self.chroma.output) {
            (Light::Encoded, Some(subsampling)) => self.planes::<V, F>(input, subsampling).map(Resampled::Planes),
            (Light::Encoded, None) => self.encoded::<V, F>(input).map(Resampled::Frame),
            (Light::Linear, None) => self.linear::<V, F>(input).map(Resampled::Frame),
            (Light::Linear, Some(_)) => Err("planes are not kept in linear light".into()),
        }
    }

    fn size(&self) -> Size {
        Size::new(self.horizontal.taps.len() as u32, self.vertical.taps.len() as u32)
    }

    /// Plane to plane.
    #[inline(always)]
    fn planes<V: Lanes, F: Feed>(&self, mut input: F, subsampling: Subsampling) -> Result<Planes, String> {
        let Chroma { horizontal, vertical, .. } = self.chroma;
        let down = subsampling.down as usize;
        let mut luma = Writing::new(input.size(), self.horizontal, self.vertical);
        let small = input.subsampling().apply(input.size());
        let mut chroma = input.has_chroma().then(|| [(); 2].map(|()| Writing::new(small, horizontal, vertical)));
        for y in 0..self.vertical.taps.len() {
            input.hold(y)?;
            luma.row::<V>(input.luma(), y);
            if y.is_multiple_of(down)
                && let (Some(writing), Some(rows)) = (&mut chroma, input.chroma())
            {
                for (writing, rows) in writing.iter_mut().zip(rows) {
                    writing.row::<V>(rows, y / down);
                }
            }
        }
        input.finish()?;
        let chroma = match chroma {
            Some([blue, red]) => Some([blue.finish()?, red.finish()?]),
            None => None,
        };
        Planes::new(luma.finish()?, chroma, subsampling).map_err(|error| error.to_string())
    }

    /// Planes to pixels, without a change of light.
    #[inline(always)]
    fn encoded<V: Lanes, F: Feed>(&self, mut input: F) -> Result<Frame, String> {
        let size = self.size();
        let width = size.width as usize;
        let luma_dots = Dots::new(self.horizontal);
        let chroma_dots = Dots::new(&self.chroma.horizontal);
        let mut summed = vec![0.0; input.size().width as usize + 2 * STEP];
        // Without chroma both differences stay at their middle.
        let mut rows: [Vec<f32>; 3] = std::array::from_fn(|_| vec![128.0; width.next_multiple_of(STEP)]);
        let mut pixels = pool::take(size.pixels() as usize * BYTES_PER_PIXEL);
        let longest = longest(self.vertical);
        for (y, out) in pixels.chunks_exact_mut(width * BYTES_PER_PIXEL).enumerate() {
            input.hold(y)?;
            let mut taken = Vec::with_capacity(longest);
            down_bytes::<V>(input.luma(), self.vertical, y, &mut summed, &mut taken);
            luma_dots.apply::<V>(&summed, &mut rows[0]);
            for (plane, row) in input.chroma().into_iter().flatten().zip(&mut rows[1..]) {
                down_bytes::<V>(plane, &self.chroma.vertical, y, &mut summed, &mut taken);
                chroma_dots.apply::<V>(&summed, row);
            }
            let [luma, blue, red] = &rows;
            let steps = steps(luma).iter().zip(steps(blue)).zip(steps(red));
            let mut write = Write::new(out);
            for ((luma, blue), red) in steps {
                let [r, g, b] = to_rgb(V::load(luma), V::load(blue), V::load(red));
                write.step(V::interleave([r, g, b, V::splat(255.0)]));
            }
        }
        input.finish()?;
        Frame::new(size, false, pixels).map_err(|error| error.to_string())
    }

    /// Planes to pixels by way of linear light.
    #[inline(always)]
    fn linear<V: Lanes, F: Feed>(&self, mut input: F) -> Result<Frame, String> {
        let size = self.size();
        let (width, stored) = (size.width as usize, input.size().width as usize);
        let dots = Dots::new(self.horizontal);
        let mut ring = Ring::new(longest(self.vertical), stored);
        let mut summed = vec![0.0; stored.next_multiple_of(BLOCK) + STEP];
        let mut taken = Vec::new();
        let mut rows: [Vec<f32>; 3] = std::array::from_fn(|_| vec![0.0; width.next_multiple_of(STEP)]);
        let mut pixels = pool::take(size.pixels() as usize * BYTES_PER_PIXEL);
        for ((y, taps), out) in
            self.vertical.taps.iter().enumerate().zip(pixels.chunks_exact_mut(width * BYTES_PER_PIXEL))
        {
            input.hold(y)?;
            let weights = &self.vertical.values[taps.offset as usize..][..taps.count as usize];
            ring.hold::<V, F>(&input, taps.start, taps.count);
            ring.rows(taps.start, weights, &mut taken);
            for (channel, row) in rows.iter_mut().enumerate() {
                ring.down::<V>(channel, &taken, &mut summed);
                dots.apply::<V>(&summed, row);
            }
            let [r, g, b] = &rows;
            let mut write = Write::new(out);
            for ((r, g), b) in steps(r).iter().zip(steps(g)).zip(steps(b)) {
                let (r, g, b) = (encode(V::load(r)), encode(V::load(g)), encode(V::load(b)));
                write.step(V::interleave([r, g, b, V::splat(255.0)]));
            }
        }
        input.finish()?;
        Frame::new(size, false, pixels).map_err(|error| error.to_string())
    }
}

fn steps(row: &[f32]) -> &[[f32; STEP]] {
    row.as_chunks().0
}

/// Writes pixels in steps of eight; of the last step only what the row has room for.
struct Write<'a>(&'a mut [u8]);

impl<'a> Write<'a> {
    fn new(row: &'a mut [u8]) -> Self {
        Write(row)
    }

    #[inline(always)]
    fn step(&mut self, pixels: [u8; 32]) {
        let row = std::mem::take(&mut self.0);
        let count = row.len().min(32);
        let (here, rest) = row.split_at_mut(count);
        match here.first_chunk_mut() {
            Some(whole) => *whole = pixels,
            None => here.copy_from_slice(&pixels[..count]),
        }
        self.0 = rest;
    }
}

/// Full-range BT.601 (JFIF 1.02), all from 0 to 255.
#[inline(always)]
fn to_rgb<V: Lanes>(luma: V, blue: V, red: V) -> [V; 3] {
    let middle = V::splat(-128.0);
    let (blue, red) = (blue.add(middle), red.add(middle));
    let green = blue.mul_add(V::splat(GREEN_OF_BLUE), luma);
    [red.mul_add(V::splat(RED), luma), red.mul_add(V::splat(GREEN_OF_RED), green), blue.mul_add(V::splat(BLUE), luma)]
}

/// Rows that the longest filter takes.
fn longest(weights: &Weights) -> usize {
    weights.taps.iter().map(|taps| taps.count as usize).max().unwrap_or(1)
}

/// A plane that is made of another, row by row.
struct Writing<'a> {
    vertical: &'a Weights,
    dots: Dots,
    longest: usize,
    size: Size,
    stride: usize,
    summed: Vec<f32>,
    row: Vec<f32>,
    samples: Vec<u8>,
}

impl<'a> Writing<'a> {
    fn new(input: Size, horizontal: &Weights, vertical: &'a Weights) -> Self {
        let size = Size::new(horizontal.taps.len() as u32, vertical.taps.len() as u32);
        let stride = (size.width as usize).next_multiple_of(STEP);
        Writing {
            vertical,
            dots: Dots::new(horizontal),
            longest: longest(vertical),
            size,
            stride,
            summed: vec![0.0; input.width as usize + 2 * STEP],
            row: vec![0.0; stride],
            samples: pool::take(stride * size.height as usize),
        }
    }

    #[inline(always)]
    fn row<V: Lanes>(&mut self, input: Rows<'_>, y: usize) {
        let mut taken = Vec::with_capacity(self.longest);
        down_bytes::<V>(input, self.vertical, y, &mut self.summed, &mut taken);
        self.dots.apply::<V>(&self.summed, &mut self.row);
        let Some(out) = self.samples.get_mut(y * self.stride..(y + 1) * self.stride) else { return };
        for (floats, bytes) in steps(&self.row).iter().zip(out.as_chunks_mut().0) {
            *bytes = V::load(floats).bytes();
        }
    }

    fn finish(self) -> Result<Plane, String> {
        Plane::new(self.size, self.stride, self.samples).map_err(|error| error.to_string())
    }
}

/// The weighted sum of the rows of a plane that output row `y` takes.
#[inline(always)]
fn down_bytes<'a, V: Lanes>(
    plane: Rows<'a>,
    vertical: &Weights,
    y: usize,
    out: &mut [f32],
    rows: &mut Vec<(&'a [u8], f32)>,
) {
    let Some(taps) = vertical.taps.get(y) else { return };
    let weights = &vertical.values[taps.offset as usize..][..taps.count as usize];
    rows.clear();
    rows.extend((taps.start..).map(|row| plane.row(row)).zip(weights.iter().copied()));
    let width = plane.size.width as usize;
    let blocks = width / BLOCK;
    let out = &mut out[..width];
    let (whole, rest) = out.as_chunks_mut::<BLOCK>();
    for (block, out) in whole.iter_mut().enumerate() {
        let mut sums = [V::splat(0.0); 4];
        for (row, weight) in rows.iter() {
            let weight = V::splat(*weight);
            let bytes = &row.as_chunks::<BLOCK>().0[block];
            for (sum, bytes) in sums.iter_mut().zip(bytes.as_chunks().0) {
                *sum = V::widen(bytes).mul_add(weight, *sum);
            }
        }
        for (sum, out) in sums.into_iter().zip(out.as_chunks_mut().0) {
            sum.store(out);
        }
    }
    for (x, out) in (blocks * BLOCK..).zip(rest) {
        *out = rows.iter().map(|(row, weight)| f32::from(row[x]) * weight).sum();
    }
}

/// Horizontal weights in steps of eight, filled up with zeros.
struct Dots {
    /// First input sample, first step and number of steps of every output sample.
    spans: Vec<(u32, u32, u32)>,
    steps: Vec<[f32; STEP]>,
}

impl Dots {
    fn new(weights: &Weights) -> Self {
        let mut dots = Dots { spans: Vec::with_capacity(weights.taps.len()), steps: Vec::new() };
        for taps in &weights.taps {
            let values = &weights.values[taps.offset as usize..][..taps.count as usize];
            let first = dots.steps.len() as u32;
            for part in values.chunks(STEP) {
                let mut step = [0.0; STEP];
                step[..part.len()].copy_from_slice(part);
                dots.steps.push(step);
            }
            dots.spans.push((taps.start, first, dots.steps.len() as u32 - first));
        }
        dots
    }

    /// `row` must go on for a step behind its last sample; what is there must be numbers.
    #[inline(always)]
    fn apply<V: Lanes>(&self, row: &[f32], out: &mut [f32]) {
        let (fours, rest) = self.spans.as_chunks::<4>();
        let (whole, behind) = out.split_at_mut(fours.len() * 4);
        for (&[a, b, c, d], out) in fours.iter().zip(whole.as_chunks_mut().0) {
            *out = V::sums([self.sum(row, a), self.sum(row, b), self.sum(row, c), self.sum(row, d)]);
        }
        for (&span, out) in rest.iter().zip(behind) {
            let zero = V::splat(0.0);
            *out = V::sums([self.sum(row, span), zero, zero, zero])[0];
        }
    }

    /// Products of one output sample, added up by lanes.
    #[inline(always)]
    fn sum<V: Lanes>(&self, row: &[f32], (start, first, count): (u32, u32, u32)) -> V {
        let mut sum = V::splat(0.0);
        let weights = &self.steps[first as usize..][..count as usize];
        let samples = row[start as usize..].as_chunks().0;
        for (weights, samples) in weights.iter().zip(samples) {
            sum = V::load(samples).mul_add(V::load(weights), sum);
        }
        sum
    }
}

/// The last rows of the input, as pixels in linear light, channel by channel.
struct Ring {
    /// Rows that are held, as many as a row of the output takes at most.
    n_rows: u32,
    /// First row that is held, and one past the last.
    held: (u32, u32),
    stride: usize,
    values: Vec<f32>,
    /// A chroma row between the rows of its plane, with a copy of its ends on either side.
    between: Vec<f32>,
    differences: [Vec<f32>; 2],
}

impl Ring {
    fn new(longest: usize, width: usize) -> Self {
        let stride = width.next_multiple_of(BLOCK);
        Ring {
            n_rows: longest as u32,
            held: (0, 0),
            stride,
            values: vec![0.0; longest * 3 * stride],
            between: vec![128.0; stride + 2 * STEP],
            differences: std::array::from_fn(|_| vec![128.0; stride + 2 * STEP]),
        }
    }

    /// Makes the rows from `start` that are not there yet.
    #[inline(always)]
    fn hold<V: Lanes, F: Feed>(&mut self, planes: &F, start: u32, count: u32) {
        let end = start + count;
        // The starts of an axis may go back by a row where a tap was left out.
        if !(self.held.0..=self.held.1).contains(&start) {
            self.held = (start, start);
        }
        for y in self.held.1..end {
            self.make::<V, F>(planes, y);
        }
        let last = self.held.1.max(end);
        self.held = (self.held.0.max(last.saturating_sub(self.n_rows)), last);
    }

    #[inline(always)]
    fn make<V: Lanes, F: Feed>(&mut self, planes: &F, y: u32) {
        for (plane, row) in planes.chroma().into_iter().flatten().zip(&mut self.differences) {
            upsample::<V>(plane, planes.subsampling(), y, &mut self.between, row);
        }
        let slot = (y % self.n_rows) as usize;
        let row = &mut self.values[slot * 3 * self.stride..][..3 * self.stride];
        let (r, rest) = row.split_at_mut(self.stride);
        let (g, b) = rest.split_at_mut(self.stride);
        let [blue, red] = &self.differences;
        let luma = planes.luma().row(y);
        let (whole, tail) = luma.as_chunks::<STEP>();
        let mut last = [0; STEP];
        last[..tail.len()].copy_from_slice(tail);
        let luma = whole.iter().chain(std::iter::once(&last));
        let out = r.as_chunks_mut().0.iter_mut().zip(g.as_chunks_mut().0).zip(b.as_chunks_mut().0);
        for ((luma, (blue, red)), ((r, g), b)) in luma.zip(steps(blue).iter().zip(steps(red))).zip(out) {
            let [red, green, blue] = to_rgb(V::widen(luma), V::load(blue), V::load(red));
            for (channel, out) in [(red, r), (green, g), (blue, b)] {
                linear(channel.mul(V::splat(1.0 / 255.0))).store(out);
            }
        }
    }

    /// Where the rows from `start` begin, with their weights.
    fn rows(&self, start: u32, weights: &[f32], rows: &mut Vec<(usize, f32)>) {
        let begin = |y: u32| (y % self.n_rows) as usize * 3 * self.stride;
        rows.clear();
        rows.extend((start..).map(begin).zip(weights.iter().copied()));
    }

    /// The weighted sum of held rows of one channel.
    #[inline(always)]
    fn down<V: Lanes>(&self, channel: usize, rows: &[(usize, f32)], out: &mut [f32]) {
        let values = &self.values[channel * self.stride..];
        let (out, _) = out.as_chunks_mut::<BLOCK>();
        for (block, out) in out.iter_mut().enumerate().take(self.stride / BLOCK) {
            let mut sums = [V::splat(0.0); BLOCK / STEP];
            for &(begin, weight) in rows {
                let weight = V::splat(weight);
                let Some(values) = values[begin + block * BLOCK..].first_chunk::<BLOCK>() else { continue };
                for (sum, values) in sums.iter_mut().zip(values.as_chunks().0) {
                    *sum = V::load(values).mul_add(weight, *sum);
                }
            }
            for (sum, out) in sums.into_iter().zip(out.as_chunks_mut().0) {
                sum.store(out);
            }
        }
    }
}

/// One row of a chroma plane at luma's positions, interpolated between centers. `between` has room for the row and two
/// steps; `out` for luma's row and two steps.
#[inline(always)]
fn upsample<V: Lanes>(plane: Rows<'_>, subsampling: Subsampling, y: u32, between: &mut [f32], out: &mut [f32]) {
    let size = plane.size;
    let (near, far) = neighbors(y, subsampling.down, size.height);
    let (near, far) = (plane.row(near), plane.row(far));
    let halved = subsampling.across > 1;
    // The row begins one sample in, so that its first has a neighbor.
    let row = if halved { &mut between[1..] } else { &mut *out };
    let width = size.width as usize;
    let (whole, tail) = near.as_chunks::<STEP>();
    let others = far.as_chunks::<STEP>();
    for ((near, far), out) in whole.iter().zip(others.0).zip(row.as_chunks_mut().0) {
        V::widen(near).mul_add(V::splat(NEAR), V::widen(far).mul(V::splat(1.0 - NEAR))).store(out);
    }
    for ((near, far), out) in tail.iter().zip(others.1).zip(&mut row[whole.len() * STEP..]) {
        *out = f32::from(*near) * NEAR + f32::from(*far) * (1.0 - NEAR);
    }
    if !halved {
        return;
    }
    row[width] = row[width - 1];
    between[0] = between[1];
    for (index, pair) in out.as_chunks_mut::<{ 2 * STEP }>().0.iter_mut().enumerate().take(width.div_ceil(STEP)) {
        let at = index * STEP;
        let (Some(left), Some(here), Some(right)) =
            (between[at..].first_chunk(), between[at + 1..].first_chunk(), between[at + 2..].first_chunk())
        else {
            return;
        };
        let (here, quarter) = (V::load(here).mul(V::splat(NEAR)), V::splat(1.0 - NEAR));
        let both = V::load(left).mul_add(quarter, here).zip(V::load(right).mul_add(quarter, here));
        for (lanes, out) in both.into_iter().zip(pair.as_chunks_mut().0) {
            lanes.store(out);
        }
    }
}
