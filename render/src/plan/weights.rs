//! Resampling weights, computed once and multiplied by both backends.

use super::step::Filter;
use crate::planes::{NEAR, neighbors};
use std::collections::HashMap;
use std::f64::consts::PI;

/// Weights of one axis: output pixel `i` is the sum of `values[offset(i)..][..taps[i].count]` times the input pixels
/// from `taps[i].start`. The weights of one output pixel add up to 1. Output pixels may share values.
#[derive(Debug, Clone, PartialEq)]
pub struct Weights {
    /// One entry for every output pixel.
    pub taps: Vec<Taps>,
    /// All weights, flat.
    pub values: Vec<f32>,
}

/// The input pixels of one output pixel. Laid out for the GPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Taps {
    /// First input pixel, in pixels of the bound surface.
    pub start: u32,
    /// Number of input pixels; at least 1.
    pub count: u32,
    /// Index of the first weight in [`Weights::values`].
    pub offset: u32,
}

/// One axis of a resampling, in pixels of the surface that the decoder really gave.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Axis {
    /// Where the region begins in the input; may be fractional, when the surface was decoded at a lower scale.
    pub region_start: f64,
    /// Length of the region in the input.
    pub region_length: f64,
    /// First input pixel that exists.
    pub input_start: u32,
    /// One past the last input pixel that exists.
    pub input_end: u32,
    /// Length of the whole region when scaled.
    pub scaled_length: u32,
    /// First scaled pixel that is wanted.
    pub window_start: u32,
    /// Number of scaled pixels that are wanted.
    pub window_length: u32,
}

impl Axis {
    /// Input pixels, as (first, one past last), that contribute to any wanted output pixel.
    pub fn span(&self, filter: Filter) -> (u32, u32) {
        self.mapping(1, 1).span(filter)
    }

    /// Weights of every wanted output pixel; `start` is counted from `input_start`.
    ///
    /// The filter is stretched by the ratio when reducing, sampled at pixel centers, cut at the edges of the region and
    /// normalised. Sums are made in f64.
    pub fn weights(&self, filter: Filter) -> Weights {
        self.mapping(1, 1).weights(filter)
    }

    /// Weights between the chroma planes of two pictures that this axis maps, when so many pixels of either share a sample.
    pub fn chroma_weights(&self, filter: Filter, input: u32, output: u32) -> Weights {
        self.mapping(input, output).weights(filter)
    }

    fn mapping(&self, input: u32, output: u32) -> Mapping {
        Mapping {
            region_start: self.region_start / f64::from(input),
            region_length: self.region_length / f64::from(input),
            input_start: self.input_start / input,
            input_end: self.input_end.div_ceil(input),
            scaled_length: f64::from(self.scaled_length) / f64::from(output),
            window_start: f64::from(self.window_start) / f64::from(output),
            window_length: self.window_length.div_ceil(output),
        }
    }
}

/// An axis whose scaled pixels may begin between two samples.
struct Mapping {
    region_start: f64,
    region_length: f64,
    input_start: u32,
    input_end: u32,
    scaled_length: f64,
    window_start: f64,
    window_length: u32,
}

impl Mapping {
    /// Input pixels per output pixel.
    fn ratio(&self) -> f64 {
        self.region_length / self.scaled_length
    }

    fn span(&self, filter: Filter) -> (u32, u32) {
        let reach = filter.support() * self.ratio().max(1.0);
        let (low, high) = self.bounds();
        let first = self.center(0) - reach;
        let last = self.center(self.window_length - 1) + reach;
        let first = (first.floor().max(low as f64) as u32).min(high - 1);
        let last = (last.ceil().min(high as f64) as u32).max(first + 1);
        (first, last)
    }

    /// Center of wanted output pixel `i`, in input coordinates where pixel `k` spans `[k, k + 1]`.
    fn center(&self, i: u32) -> f64 {
        self.region_start + (self.window_start + f64::from(i) + 0.5) * self.ratio()
    }

    /// Input pixels that may be read: those of the region that exist.
    fn bounds(&self) -> (u32, u32) {
        let low = (self.region_start + 1e-6).floor().max(f64::from(self.input_start)) as u32;
        let high = (self.region_start + self.region_length - 1e-6).ceil().min(f64::from(self.input_end)) as u32;
        let low = low.min(self.input_end - 1);
        (low, high.max(low + 1))
    }

    fn weights(&self, filter: Filter) -> Weights {
        let stretch = self.ratio().max(1.0);
        let reach = filter.support() * stretch;
        let (low, high) = self.bounds();
        let mut weights = Weights { taps: Vec::with_capacity(self.window_length as usize), values: Vec::new() };
        // Where centers lie alike between samples, and no edge is near, the weights are the same.
        let mut known: HashMap<u32, Row> = HashMap::new();
        for i in 0..self.window_length {
            let center = self.center(i);
            let base = center.floor();
            // Positions are rounded so that they can be compared: 6e-8 of a sample shows nowhere.
            let phase = ((center - base) * PHASES).round();
            let center = base + phase / PHASES;
            let wanted = ((center - reach).floor(), (center + reach).ceil());
            let first = (wanted.0.max(f64::from(low)) as u32).min(high - 1);
            let last = (wanted.1.min(f64::from(high)) as u32).max(first + 1);
            let is_whole = wanted == (f64::from(first), f64::from(last));
            let row = match known.get(&(phase as u32)) {
                Some(row) if is_whole => *row,
                _ => {
                    let row = weights.push(filter, first, last, center, stretch, base);
                    if is_whole {
                        known.insert(phase as u32, row);
                    }
                    row
                }
            };
            let start = (base as i64 + row.first).clamp(low.into(), i64::from(high) - 1) as u32;
            weights.taps.push(Taps { start: start - self.input_start, count: row.count, offset: row.offset });
        }
        weights
    }
}

/// Weights of one output sample, wherever it lies.
#[derive(Clone, Copy)]
struct Row {
    /// First input sample, counted from the one that the center lies in.
    first: i64,
    count: u32,
    offset: u32,
}

/// Places between two samples that are told apart.
const PHASES: f64 = 16_777_216.0;

impl Weights {
    /// Appends the values of one output sample over `first..last`.
    fn push(&mut self, filter: Filter, first: u32, last: u32, center: f64, stretch: f64, base: f64) -> Row {
        let row: Vec<f64> = (first..last).map(|k| filter.value((f64::from(k) + 0.5 - center) / stretch)).collect();
        // Zeros at both ends cost time in every kernel and change nothing.
        let lead = row.iter().take_while(|w| w.abs() < 1e-9).count().min(row.len() - 1);
        let trail = row[lead..].iter().rev().take_while(|w| w.abs() < 1e-9).count().min(row.len() - lead - 1);
        let used = &row[lead..row.len() - trail];
        let sum: f64 = used.iter().sum();
        let offset = self.values.len() as u32;
        if sum.abs() < 1e-9 {
            self.values.push(1.0);
            return Row { first: 0, count: 1, offset };
        }
        self.values.extend(used.iter().map(|w| (w / sum) as f32));
        Row { first: i64::from(first) + lead as i64 - base as i64, count: used.len() as u32, offset }
    }
}

impl Weights {
    /// The same sums over a plane of `length` samples, each of which stands for two pixels, or for one: what these weights
    /// make of the plane once it is interpolated between its centers.
    pub fn over_chroma(&self, subsampling: u32, length: u32) -> Weights {
        let mut taps = Vec::with_capacity(self.taps.len());
        let mut values = Vec::with_capacity(self.values.len());
        let mut row: Vec<f64> = Vec::new();
        for own in &self.taps {
            let weights = &self.values[own.offset as usize..][..own.count as usize];
            let touched = |position: u32| neighbors(position, subsampling, length);
            let ends = [touched(own.start), touched(own.start + own.count - 1)];
            let first = ends.iter().map(|(near, far)| *near.min(far)).min().unwrap_or(0);
            let last = ends.iter().map(|(near, far)| *near.max(far)).max().unwrap_or(0);
            row.clear();
            row.resize((last - first + 1) as usize, 0.0);
            for (position, weight) in (own.start..).zip(weights) {
                let (near, far) = touched(position);
                row[(near - first) as usize] += f64::from(weight * NEAR);
                row[(far - first) as usize] += f64::from(weight * (1.0 - NEAR));
            }
            taps.push(Taps { start: first, count: row.len() as u32, offset: values.len() as u32 });
            values.extend(row.iter().map(|weight| *weight as f32));
        }
        Weights { taps, values }
    }
}

impl Filter {
    /// Half width of the filter in pixels, when not reducing.
    pub fn support(self) -> f64 {
        match self {
            Filter::Lanczos3 => 3.0,
        }
    }

    /// Value at distance `x`. Lanczos: sinc(x) sinc(x / a) for |x| < a. Source: C. Lanczos, Applied Analysis, 1956.
    pub fn value(self, x: f64) -> f64 {
        match self {
            Filter::Lanczos3 => {
                if x.abs() >= 3.0 {
                    0.0
                } else {
                    sinc(x) * sinc(x / 3.0)
                }
            }
        }
    }
}

fn sinc(x: f64) -> f64 {
    if x.abs() < 1e-8 { 1.0 } else { (PI * x).sin() / (PI * x) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn axis(input: u32, scaled: u32) -> Axis {
        Axis {
            region_start: 0.0,
            region_length: f64::from(input),
            input_start: 0,
            input_end: input,
            scaled_length: scaled,
            window_start: 0,
            window_length: scaled,
        }
    }

    #[test]
    fn weights_sum_to_one_and_stay_inside() {
        for (input, scaled) in [(1, 1), (1, 9), (7, 3), (100, 99), (4097, 2), (3, 500)] {
            let weights = axis(input, scaled).weights(Filter::Lanczos3);
            assert_eq!(weights.taps.len(), scaled as usize);
            for taps in &weights.taps {
                let values = &weights.values[taps.offset as usize..][..taps.count as usize];
                assert!((values.iter().sum::<f32>() - 1.0).abs() < 1e-4, "{input} to {scaled}");
                assert!(taps.start + taps.count <= input, "{input} to {scaled}");
            }
        }
    }

    #[test]
    fn same_size_is_a_copy() {
        let weights = axis(11, 11).weights(Filter::Lanczos3);
        assert!(weights.taps.iter().enumerate().all(|(i, taps)| taps.start == i as u32 && taps.count == 1));
    }

    #[test]
    fn a_window_takes_the_same_weights_as_the_whole() {
        let whole = axis(100, 40).weights(Filter::Lanczos3);
        let part = Axis { window_start: 13, window_length: 5, ..axis(100, 40) }.weights(Filter::Lanczos3);
        for i in 0..5 {
            let (a, b) = (whole.taps[13 + i], part.taps[i]);
            assert_eq!((a.start, a.count), (b.start, b.count));
            assert_eq!(
                whole.values[a.offset as usize..][..a.count as usize],
                part.values[b.offset as usize..][..b.count as usize]
            );
        }
    }
}
