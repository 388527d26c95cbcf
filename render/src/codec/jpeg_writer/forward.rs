//! The cosine transform of a block, and quantization.

use super::steps::Steps;
use crate::lanes::Lanes;
use std::f64::consts::PI;
use std::sync::LazyLock;

/// `[frequency][sample]` of the orthonormal transform of eight samples (T.81, A.3.3), and the same transposed.
pub(super) struct Basis {
    rows: [[f32; 8]; 8],
    columns: [[f32; 8]; 8],
}

static BASIS: LazyLock<Basis> = LazyLock::new(|| {
    let value = |k: usize, n: usize| match k {
        0 => (1.0 / 8.0_f64).sqrt() as f32,
        _ => (((2 * n + 1) as f64 * k as f64 * PI / 16.0).cos() / 2.0) as f32,
    };
    Basis {
        rows: std::array::from_fn(|k| std::array::from_fn(|n| value(k, n))),
        columns: std::array::from_fn(|n| std::array::from_fn(|k| value(k, n))),
    }
});

impl Basis {
    pub fn get() -> &'static Basis {
        &BASIS
    }
}

/// A coefficient other than the constant one becomes 0 when it is less of a step than this. Rounding would be half a step;
/// what is kept in between costs more bytes than it is worth at the same score.
const LEAST: f32 = 0.58;

/// What a table of steps makes of coefficients.
pub(super) struct Quantizer {
    /// One over the steps.
    inverse: [[f32; 8]; 8],
}

impl Quantizer {
    pub fn new(steps: &Steps) -> Self {
        let inverse = |row: usize, column: usize| 1.0 / f32::from(steps[row * 8 + column]);
        Quantizer { inverse: std::array::from_fn(|row| std::array::from_fn(|column| inverse(row, column))) }
    }
}

/// Adding so much leaves no bits for fractions: one and a half times two to the 23rd.
const WHOLE: f32 = 12_582_912.0;

/// The middle of the samples' range, as a constant coefficient before the second transform.
const MIDDLE: f32 = 362.038_68;

/// Transforms and quantizes eight rows of eight samples from 0 to 255.
#[inline(always)]
pub(super) fn quantized<V: Lanes>(samples: [V; 8], basis: &Basis, quantizer: &Quantizer) -> [i16; 64] {
    let mut down = [[0.0; 8]; 8];
    for (factors, out) in basis.rows.iter().zip(&mut down) {
        let mut sum = V::splat(0.0);
        for (factor, samples) in factors.iter().zip(samples) {
            sum = samples.mul_add(V::splat(*factor), sum);
        }
        sum.store(out);
    }
    for value in &mut down[0] {
        *value -= MIDDLE;
    }
    let mut values = [[0.0_f32; 8]; 8];
    for (((row, down), inverse), out) in down.iter().enumerate().zip(&quantizer.inverse).zip(&mut values) {
        let mut sum = V::splat(0.0);
        for (value, column) in down.iter().zip(&basis.columns) {
            sum = V::load(column).mul_add(V::splat(*value), sum);
        }
        // Reduced chroma may leave the range of its samples, and no code is longer than ten bits.
        let scaled = sum.mul(V::load(inverse)).min(V::splat(1023.0)).max(V::splat(-1023.0));
        let magnitude = scaled.max(scaled.mul(V::splat(-1.0)));
        let mut least = [LEAST; 8];
        if row == 0 {
            least[0] = 0.0;
        }
        magnitude.below(V::load(&least), V::splat(0.0), scaled).add(V::splat(WHOLE)).store(out);
    }
    let mut block = [0; 64];
    for (value, out) in values.as_flattened().iter().zip(&mut block) {
        *out = (value.to_bits() as i32).wrapping_sub(WHOLE.to_bits() as i32) as i16;
    }
    block
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lanes::Portable;

    /// The sums of T.81, A.3.3.
    fn formula(samples: &[[f32; 8]; 8], v: usize, u: usize) -> f64 {
        let factor = |k: usize| if k == 0 { 0.5_f64.sqrt() } else { 1.0 };
        let cosine = |n: usize, k: usize| ((2 * n + 1) as f64 * k as f64 * PI / 16.0).cos();
        let sum: f64 = (0..64)
            .map(|at| (f64::from(samples[at / 8][at % 8]) - 128.0) * cosine(at / 8, v) * cosine(at % 8, u))
            .sum();
        0.25 * factor(u) * factor(v) * sum
    }

    #[test]
    fn coefficients_are_those_of_the_formula_with_little_ones_dropped() {
        let samples: [[f32; 8]; 8] =
            std::array::from_fn(|y| std::array::from_fn(|x| ((x * 37 + y * y * 11 + x * y * 5) % 256) as f32));
        let mut dropped = 0;
        for step in [7, 9, 13, 19, 28, 40, 61] {
            let mut steps = [step; 64];
            steps[0] = 3;
            let block = quantized(samples.map(|row| Portable::load(&row)), Basis::get(), &Quantizer::new(&steps));
            for at in 0..64 {
                let wanted = formula(&samples, at / 8, at % 8) / f64::from(steps[at]);
                if at > 0 && wanted.abs() < f64::from(LEAST) - 1e-3 {
                    assert_eq!(block[at], 0, "{at}: {wanted}");
                    dropped += u32::from(wanted.abs() > 0.5);
                } else {
                    assert!((f64::from(block[at]) - wanted).abs() < 0.582, "{at}: {} for {wanted}", block[at]);
                }
            }
        }
        assert!(dropped > 0, "nothing lies between half a step and the least");
    }

    #[test]
    fn samples_out_of_range_stay_inside_of_ten_bits() {
        let samples = [Portable::splat(9_000.0); 8];
        let block = quantized(samples, Basis::get(), &Quantizer::new(&[1; 64]));
        assert_eq!((block[0], block[1..].iter().max()), (1023, Some(&0)));
    }
}
