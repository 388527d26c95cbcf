//! Pixels to rows of luma and chroma.

use super::Blocks;
use crate::error::Result;
use crate::frame::{BYTES_PER_PIXEL, Frame};
use crate::lanes::{Instructions, Lanes, Portable};
use crate::planes::{Plane, Planes, Subsampling};
use crate::pool;

/// Samples beside a row on either side, which repeat its ends.
const MARGIN: usize = 8;
/// Rows that are held: one row of units, and what chroma takes around it.
const HELD: usize = 32;

/// Weights of the pixels around a chroma sample, from the nearest pair outwards. Decoders interpolate between chroma's
/// centers; of what they make of it, this loses less than a mean of four pixels does (0.3 of SSIMULACRA2 at equal bytes).
const TAPS: [f32; 4] = [0.65, -0.12, -0.05, 0.02];
/// Rows above the pair in the middle, and below it.
const REACH: usize = TAPS.len() - 1;

/// The blocks of a frame.
pub(super) struct Pixels<'a> {
    frame: &'a Frame,
    halved: bool,
    /// Width in whole units.
    padded: usize,
    /// Floats from one row to the next.
    stride: usize,
    /// Luma and both differences, at every pixel; row `y` lies at `y % HELD`.
    rows: [Vec<f32>; 3],
    /// Rows that were made.
    made: usize,
    /// Both differences of one row of units, when they are halved.
    small: [Vec<f32>; 2],
    even: Vec<f32>,
    odd: Vec<f32>,
}

impl<'a> Pixels<'a> {
    pub fn new(frame: &'a Frame, halved: bool) -> Self {
        let padded = (frame.size().width as usize).next_multiple_of(16);
        let stride = padded + 2 * MARGIN;
        let half = vec![0.0; if halved { stride / 2 } else { 0 }];
        Pixels {
            frame,
            halved,
            padded,
            stride,
            rows: std::array::from_fn(|_| vec![0.0; HELD * stride]),
            made: 0,
            small: std::array::from_fn(|_| vec![0.0; if halved { 8 * padded / 2 } else { 0 }]),
            even: half.clone(),
            odd: half,
        }
    }

    fn height(&self) -> usize {
        self.frame.size().height as usize
    }

    /// Where a row is held; what lies below the picture repeats its last row.
    #[inline(always)]
    fn at(&self, y: usize) -> usize {
        (y.min(self.height() - 1) % HELD) * self.stride
    }

    /// Full-range BT.601 (JFIF 1.02) of the next row.
    #[inline(always)]
    fn convert(&mut self) {
        let width = self.frame.size().width as usize;
        let pixels = &self.frame.pixels()[self.made * width * BYTES_PER_PIXEL..][..width * BYTES_PER_PIXEL];
        let (at, stride) = (self.at(self.made), self.stride);
        let [luma, blue, red] = self.rows.each_mut().map(|plane| &mut plane[at..at + stride]);
        let out = luma[MARGIN..].iter_mut().zip(&mut blue[MARGIN..]).zip(&mut red[MARGIN..]);
        for (pixel, ((luma, blue), red)) in pixels.as_chunks::<4>().0.iter().zip(out) {
            let [r, g, b] = [f32::from(pixel[0]), f32::from(pixel[1]), f32::from(pixel[2])];
            let y = 0.299 * r + 0.587 * g + 0.114 * b;
            *luma = y;
            *blue = (b - y) * (1.0 / 1.772) + 128.0;
            *red = (r - y) * (1.0 / 1.402) + 128.0;
        }
        for row in [luma, blue, red] {
            let (first, last) = (row[MARGIN], row[MARGIN + width - 1]);
            row[..MARGIN].fill(first);
            row[MARGIN + width..].fill(last);
        }
        self.made += 1;
    }

    /// Row `y` of the halved differences of the row of units that begins at pixel row `top`.
    #[inline(always)]
    fn halve<V: Lanes>(&mut self, component: usize, top: usize, y: usize) {
        let offsets: [usize; 2 * (REACH + 1)] =
            std::array::from_fn(|tap| self.at((top + 2 * y + tap).saturating_sub(REACH)));
        let weights = [3, 2, 1, 0, 0, 1, 2, 3].map(|at: usize| V::splat(TAPS[at]));
        let plane = &self.rows[component + 1];
        let rows = offsets.map(|at| &plane[at..at + self.stride]);
        let pairs = self.even.as_chunks_mut::<4>().0.iter_mut().zip(self.odd.as_chunks_mut::<4>().0);
        for (step, (even, odd)) in pairs.enumerate() {
            let mut sum = V::splat(0.0);
            for (row, weight) in rows.iter().zip(weights) {
                sum = V::load(&row.as_chunks().0[step]).mul_add(weight, sum);
            }
            let mut both = [0.0; 8];
            sum.store(&mut both);
            *even = [both[0], both[2], both[4], both[6]];
            *odd = [both[1], both[3], both[5], both[7]];
        }
        let half = self.padded / 2;
        let out = &mut self.small[component][y * half..][..half];
        let (even, odd, at) = (&self.even, &self.odd, MARGIN / 2);
        // Pixels 2x - i and 2x + 1 + i, by i.
        let pairs = [
            (even, at, odd, at),
            (odd, at - 1, even, at + 1),
            (even, at - 1, odd, at + 1),
            (odd, at - 2, even, at + 2),
        ];
        let pairs = pairs.map(|(left, from, right, to)| (&left[from..from + half], &right[to..to + half]));
        for (step, out) in out.as_chunks_mut::<8>().0.iter_mut().enumerate() {
            let mut sum = V::splat(0.0);
            for ((left, right), weight) in pairs.iter().zip(TAPS) {
                let both = V::load(&left.as_chunks().0[step]).add(V::load(&right.as_chunks().0[step]));
                sum = both.mul_add(V::splat(weight), sum);
            }
            sum.store(out);
        }
    }
}

impl Blocks for Pixels<'_> {
    #[inline(always)]
    fn prepare<V: Lanes>(&mut self, unit_row: usize) {
        let side = if self.halved { 16 } else { 8 };
        let top = unit_row * side;
        let below = if self.halved { REACH } else { 0 };
        while self.made < (top + side + below).min(self.height()) {
            self.convert();
        }
        if self.halved {
            for component in 0..2 {
                for y in 0..8 {
                    self.halve::<V>(component, top, y);
                }
            }
        }
    }

    #[inline(always)]
    fn block<V: Lanes>(&self, component: usize, column: usize, row: usize) -> [V; 8] {
        let mut block = [V::splat(0.0); 8];
        for (y, samples) in block.iter_mut().enumerate() {
            let from = match component {
                1.. if self.halved => &self.small[component - 1][y * (self.padded / 2) + column * 8..],
                _ => &self.rows[component][self.at(row * 8 + y) + MARGIN + column * 8..],
            };
            if let Some(eight) = from.first_chunk() {
                *samples = V::load(eight);
            }
        }
        block
    }
}

/// The planes of an opaque frame, or of the colors of one that is not, as the JPEG encoder sees them; `halved`: chroma is
/// 4:2:0, not 4:4:4.
pub(in crate::codec) fn to_planes(frame: &Frame, halved: bool, instructions: Instructions) -> Result<Planes> {
    let pixels = Pixels::new(frame, halved);
    match instructions {
        Instructions::Portable => pixels.collect::<Portable>(),
        #[cfg(target_arch = "x86_64")]
        // SAFETY: `Instructions::Avx2` is only made where the processor has both features.
        Instructions::Avx2 => unsafe { pixels.collect_avx2() },
    }
}

impl Pixels<'_> {
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,fma")]
    fn collect_avx2(self) -> Result<Planes> {
        self.collect::<crate::lanes::Avx2>()
    }

    #[inline(always)]
    fn collect<V: Lanes>(mut self) -> Result<Planes> {
        let size = self.frame.size();
        let subsampling = if self.halved { Subsampling::HALF } else { Subsampling::NONE };
        let sizes = [size, subsampling.apply(size), subsampling.apply(size)];
        // Rows are held to a multiple of sixteen pixels, so eight samples are always there.
        let strides = sizes.map(|size| (size.width as usize).next_multiple_of(8));
        let mut planes: [Vec<u8>; 3] =
            std::array::from_fn(|component| pool::take(strides[component] * sizes[component].height as usize));
        let side = if self.halved { 16 } else { 8 };
        for unit_row in 0..self.height().div_ceil(side) {
            self.prepare::<V>(unit_row);
            for (component, plane) in planes.iter_mut().enumerate() {
                let is_small = self.halved && component > 0;
                let n_rows = if is_small { 8 } else { side };
                let (stride, top) = (strides[component], unit_row * n_rows);
                let rows = plane.chunks_exact_mut(stride).skip(top).take(n_rows);
                for (y, row) in rows.enumerate() {
                    let from = if is_small {
                        &self.small[component - 1][y * (self.padded / 2)..]
                    } else {
                        &self.rows[component][self.at(top + y) + MARGIN..]
                    };
                    for (samples, bytes) in from.as_chunks().0.iter().zip(row.as_chunks_mut::<8>().0) {
                        *bytes = V::load(samples).bytes();
                    }
                }
            }
        }
        let [luma, blue, red] = planes;
        let plane = |component: usize, samples| Plane::new(sizes[component], strides[component], samples);
        Planes::new(plane(0, luma)?, Some([plane(1, blue)?, plane(2, red)?]), subsampling)
    }
}
