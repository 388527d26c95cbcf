//! The sRGB transfer: bytes to linear light by a table, and eight floats at a time, both ways, by polynomials.

use crate::lanes::Lanes;
use std::sync::LazyLock;

static TO_LINEAR: LazyLock<[f32; 256]> =
    LazyLock::new(|| std::array::from_fn(|byte| decode(byte as f64 / 255.0) as f32));

/// Linear light of every encoded byte, 0 to 1.
pub(super) fn to_linear() -> &'static [f32; 256] {
    &TO_LINEAR
}

/// Linear light at which each byte gives way to the next. Nothing follows 255, and nothing compares to no number.
static THRESHOLDS: LazyLock<[f32; 256]> = LazyLock::new(|| {
    std::array::from_fn(|byte| if byte < 255 { decode((byte as f64 + 0.5) / 255.0) as f32 } else { f32::NAN })
});

/// The table for [`encode_exactly`].
pub(super) fn thresholds() -> &'static [f32; 256] {
    &THRESHOLDS
}

/// Encoded values of linear light, rounded to whole numbers as the formula would be; clamped, and 0 for no number at all.
#[inline(always)]
pub(super) fn encode_exactly<V: Lanes>(linear: V, thresholds: &[f32; 256]) -> V {
    encode(linear).settle(linear, thresholds)
}

/// Linear light of encoded values, both from 0 to 1, clamped; within 0.013 of a step of 255 after the way back.
///
/// The power is a polynomial of least greatest error, weighted by the slope of the way back, over 0.04045 to 1.
#[inline(always)]
pub(super) fn linear<V: Lanes>(encoded: V) -> V {
    let x = encoded.max(V::splat(0.0)).min(V::splat(1.0));
    let power = polynomial(x, [0.000_916_89, 0.032_746_095, 0.519_381_9, 0.667_160_8, -0.307_377_76, 0.087_282_42]);
    x.below(V::splat(0.040_45), x.mul(V::splat(1.0 / 12.92)), power)
}

/// Encoded values, from 0 to 255, of linear light from 0 to 1, not clamped; within 0.04 of a step.
///
/// A polynomial of the square root, of least greatest error over 0.0031308 to 1.
#[inline(always)]
pub(super) fn encode<V: Lanes>(linear: V) -> V {
    // Above 1 the polynomial is not monotonous.
    let x = linear.max(V::splat(0.0)).min(V::splat(1.0));
    let power =
        polynomial(x.sqrt(), [-10.769_154, 401.694_18, -484.367_07, 994.103_76, -1_275.808_8, 871.765_4, -241.656_11]);
    x.below(V::splat(0.003_130_8), x.mul(V::splat(12.92 * 255.0)), power)
}

#[inline(always)]
fn polynomial<V: Lanes, const N: usize>(x: V, factors: [f32; N]) -> V {
    // No closure: what is not inlined here would be compiled without the processor's instructions.
    let mut sum = V::splat(0.0);
    for factor in factors.iter().rev() {
        sum = sum.mul_add(x, V::splat(*factor));
    }
    sum
}

/// IEC 61966-2-1, encoded to linear.
fn decode(v: f64) -> f64 {
    if v < 0.04045 { v / 12.92 } else { ((v + 0.055) / 1.055).powf(2.4) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lanes::Portable;

    fn formula(v: f64) -> f64 {
        (if v < 0.0031308 { v * 12.92 } else { 1.055 * v.powf(1.0 / 2.4) - 0.055 }) * 255.0
    }

    #[test]
    fn polynomials_are_as_near_as_they_say() {
        for step in 0..=8_192 {
            let value = f64::from(step) / 8_192.0;
            let lanes = Portable::splat(value as f32);
            let (mut there, mut back) = ([0.0; 8], [0.0; 8]);
            linear(lanes).store(&mut there);
            encode(lanes).store(&mut back);
            let returned = formula(f64::from(there[3]));
            assert!((returned - value * 255.0).abs() < 0.015, "{value} is {returned} after the way back");
            assert!((f64::from(back[5]) - formula(value)).abs() < 0.05, "{value}: {} for {}", back[5], formula(value));
        }
    }

    #[test]
    fn every_one_of_65536_levels_is_rounded_as_the_formula() {
        let mut differences = 0;
        for level in 0..=65_535_u32 {
            let linear = level as f32 / 65_535.0;
            let byte = f64::from(encode_exactly(Portable::splat(linear), thresholds()).bytes()[1]);
            let exact = formula(f64::from(linear));
            // Half a step is what rounding costs; the rest is that a threshold is a f32.
            assert!((byte - exact).abs() <= 0.5 + 1e-3, "{linear}: {byte} for {exact}");
            differences += u32::from(byte != (exact + 0.5).floor());
        }
        assert!(differences <= 2, "{differences} levels are rounded to the other side");
    }

    #[test]
    fn bytes_round_trip_and_the_ends_are_held() {
        let byte = |value: f32| encode_exactly(Portable::splat(value), thresholds()).bytes()[0];
        for byte_in in 0..=255_u8 {
            assert_eq!(byte(to_linear()[usize::from(byte_in)]), byte_in);
        }
        for (value, expected) in [(-1.0, 0), (f32::NAN, 0), (1.0, 255), (7.0, 255), (f32::INFINITY, 255)] {
            assert_eq!(byte(value), expected, "{value}");
        }
    }
}
