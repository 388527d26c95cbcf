//! The inverse cosine transform of a block, at N/8 of its size.
//!
//! Of the 8 by 8 coefficients the N by N of the lowest frequencies go through an N-point transform, which gives the block
//! low-passed and sampled at N by N points. With the orthonormal transform of 8 points a coefficient `k` contributes
//! `sqrt(1/8)` for `k = 0` and else `cos((2n + 1) k π / 2N) / 2` to sample `n` (T.81, A.3.3, with N for 8).

use crate::lanes::Lanes;
use std::f64::consts::PI;

/// What every coefficient adds to every sample: `[coefficient][sample]`, zero beyond N.
pub(super) type Basis = [[f32; 8]; 8];

pub(super) fn basis(n: usize) -> Basis {
    std::array::from_fn(|k| {
        std::array::from_fn(|x| match k {
            _ if k >= n || x >= n => 0.0,
            0 => (1.0 / 8.0_f64).sqrt() as f32,
            _ => (((2 * x + 1) as f64 * k as f64 * PI / (2 * n) as f64).cos() / 2.0) as f32,
        })
    })
}

/// Transforms the first `rows` by `columns` coefficients, the others being zero, and writes N rows of N samples to `out`,
/// `stride` bytes apart.
#[inline(always)]
pub(super) fn inverse<V: Lanes, const N: usize>(
    block: &[[f32; 8]; 8],
    rows: usize,
    columns: usize,
    basis: &Basis,
    out: &mut [u8],
    stride: usize,
) {
    let mut sums = [V::splat(0.0); N];
    for (coefficients, factors) in block[..rows.min(N)].iter().zip(basis) {
        let coefficients = V::load(coefficients);
        for (sum, factor) in sums.iter_mut().zip(factors) {
            *sum = coefficients.mul_add(V::splat(*factor), *sum);
        }
    }
    let mut across = [[0.0; 8]; N];
    for (sum, row) in sums.into_iter().zip(&mut across) {
        sum.store(row);
    }
    let mut samples = [V::splat(128.0); N];
    for (k, factors) in basis[..columns.min(N)].iter().enumerate() {
        let factors = V::load(factors);
        for (sample, row) in samples.iter_mut().zip(&across) {
            *sample = factors.mul_add(V::splat(row[k]), *sample);
        }
    }
    for (sample, row) in samples.into_iter().zip(out.chunks_mut(stride)) {
        row[..N].copy_from_slice(&sample.bytes()[..N]);
    }
}

/// A block without any other coefficient than the first.
#[inline(always)]
pub(super) fn flat<const N: usize>(first: f32, out: &mut [u8], stride: usize) {
    let level = (first * 0.125 + 128.5) as u8;
    for row in out.chunks_mut(stride).take(N) {
        row[..N].fill(level);
    }
}
