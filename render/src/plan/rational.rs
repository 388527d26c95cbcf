//! Exact non-negative fractions for lengths, so that sizes round as the rules say and not as floats do.

use super::geometry::{Size, round_ratio};
use crate::language::{AspectRatio, Decimal};

/// A non-negative fraction. Numerators and denominators stay far below 2^127, because every factor is a picture's side,
/// a decimal of at most nine places or a device pixel ratio, and results are reduced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rational {
    numerator: u128,
    denominator: u128,
}

impl Rational {
    /// 1
    pub const ONE: Rational = Rational { numerator: 1, denominator: 1 };

    pub fn new(numerator: u128, denominator: u128) -> Self {
        debug_assert!(denominator > 0);
        let divisor = greatest_common_divisor(numerator, denominator).max(1);
        let (mut numerator, mut denominator) = (numerator / divisor, denominator / divisor);
        // Beyond 60 bits the value is no length that could be rendered; keep the ratio and let precision go.
        while numerator.max(denominator) >= 1 << 60 {
            numerator >>= 1;
            denominator = (denominator >> 1).max(1);
        }
        Rational { numerator, denominator }
    }

    pub fn integer(value: u32) -> Self {
        Rational { numerator: u128::from(value), denominator: 1 }
    }

    /// A decimal; negative ones count as 0.
    pub fn decimal(value: Decimal) -> Self {
        Rational::new(u128::try_from(value.units).unwrap_or(0), value.denominator().unsigned_abs().into())
    }

    /// Width over height. `None` when a side is not positive.
    pub fn aspect_ratio(value: AspectRatio) -> Option<Self> {
        let (width, height) = match value {
            AspectRatio::Ratio(width, height) => (Rational::decimal(width), Rational::decimal(height)),
            AspectRatio::Number(number) => (Rational::decimal(number), Rational::ONE),
        };
        (width.numerator > 0 && height.numerator > 0).then(|| width.divided(height))
    }

    /// Width over height of a picture.
    pub fn of(size: Size) -> Self {
        Rational::new(size.width.into(), size.height.max(1).into())
    }

    pub fn times(self, other: Rational) -> Self {
        Rational::new(self.numerator * other.numerator, self.denominator * other.denominator)
    }

    /// Quotient; dividing by zero gives zero, callers rule it out.
    pub fn divided(self, other: Rational) -> Self {
        if other.numerator == 0 {
            return Rational { numerator: 0, denominator: 1 };
        }
        Rational::new(self.numerator * other.denominator, self.denominator * other.numerator)
    }

    /// Nearest whole length, at least 1.
    pub fn round(self) -> u64 {
        round_ratio(self.numerator, self.denominator)
    }

    pub fn to_f64(self) -> f64 {
        self.numerator as f64 / self.denominator as f64
    }
}

impl PartialOrd for Rational {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Rational {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.numerator * other.denominator).cmp(&(other.numerator * self.denominator))
    }
}

fn greatest_common_divisor(mut a: u128, mut b: u128) -> u128 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_are_exact() {
        let half = Rational::decimal(Decimal { units: 5, scale: 1 });
        assert_eq!(half.times(Rational::integer(427)).round(), 214);
        assert_eq!(Rational::integer(300).divided(Rational::of(Size::new(640, 427))).round(), 200);
        assert!(Rational::new(1, 3) < Rational::new(34, 100));
    }

    #[test]
    fn extremes_do_not_overflow() {
        let huge = Rational::decimal(Decimal { units: i64::MAX, scale: 0 });
        let tiny = Rational::decimal(Decimal { units: 1, scale: 9 });
        let mut value = huge;
        for _ in 0..200 {
            value = value.times(huge).divided(tiny);
        }
        assert!(value.round() > 1_000_000);
        assert_eq!(tiny.times(tiny).times(tiny).round(), 1);
    }
}
