//! The sRGB transfer as tables: bytes to linear light, and linear light back to the correctly rounded byte.

use std::sync::LazyLock;

/// Buckets of the way back. In one bucket the steepest part of the curve rises 12.92 * 255 / 4096 < 1 byte, so that
/// at most one rounding boundary lies in it and one comparison settles the byte.
const BUCKETS: usize = 4096;

static TO_LINEAR: LazyLock<[f32; 256]> =
    LazyLock::new(|| std::array::from_fn(|byte| decode(byte as f64 / 255.0) as f32));

static TO_ENCODED: LazyLock<Encoder> = LazyLock::new(|| {
    let boundary = |byte: usize| decode((byte as f64 - 0.5) / 255.0);
    // Nothing follows 255, and nothing compares to no number.
    let mut thresholds = [f32::NAN; 256];
    for (byte, threshold) in thresholds.iter_mut().enumerate().take(255) {
        *threshold = boundary(byte + 1) as f32;
    }
    let mut floors = [0; BUCKETS + 1];
    for (bucket, floor) in floors.iter_mut().enumerate() {
        let value = bucket as f64 / BUCKETS as f64;
        *floor = (1..256).take_while(|&byte| boundary(byte) <= value).count() as u8;
    }
    Encoder { floors, thresholds }
});

/// Linear light of every encoded byte, 0 to 1.
pub(super) fn to_linear() -> &'static [f32; 256] {
    &TO_LINEAR
}

/// The table that leads back to encoded bytes.
pub(super) fn encoder() -> &'static Encoder {
    &TO_ENCODED
}

/// Linear light to encoded bytes, rounded as the formula would be.
pub(super) struct Encoder {
    /// Byte at the lower edge of every bucket.
    floors: [u8; BUCKETS + 1],
    /// Linear light at which each byte gives way to the next.
    thresholds: [f32; 256],
}

impl Encoder {
    /// The byte of linear light; what lies outside of 0 to 1 is clamped, and no number at all is 0.
    #[inline(always)]
    pub(super) fn byte(&self, linear: f32) -> u8 {
        // A float as an integer saturates, so that only the upper end has to be held.
        let bucket = ((linear * BUCKETS as f32) as usize).min(BUCKETS);
        let floor = self.floors[bucket];
        floor + u8::from(linear >= self.thresholds[usize::from(floor)])
    }
}

/// IEC 61966-2-1, encoded to linear.
fn decode(v: f64) -> f64 {
    if v < 0.04045 { v / 12.92 } else { ((v + 0.055) / 1.055).powf(2.4) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn formula(v: f64) -> f64 {
        (if v < 0.0031308 { v * 12.92 } else { 1.055 * v.powf(1.0 / 2.4) - 0.055 }) * 255.0
    }

    #[test]
    fn every_one_of_65536_levels_is_rounded_as_the_formula() {
        let mut differences = 0;
        for level in 0..=65_535_u32 {
            let linear = level as f32 / 65_535.0;
            let byte = f64::from(encoder().byte(linear));
            let exact = formula(f64::from(linear));
            // Half a step is what rounding costs; the rest is that a threshold is a f32.
            assert!((byte - exact).abs() <= 0.5 + 1e-3, "{linear}: {byte} for {exact}");
            differences += u32::from(byte != (exact + 0.5).floor());
        }
        assert!(differences <= 2, "{differences} levels are rounded to the other side");
    }

    #[test]
    fn bytes_round_trip_and_the_ends_are_held() {
        for byte in 0..=255_u8 {
            assert_eq!(encoder().byte(to_linear()[usize::from(byte)]), byte);
        }
        for (value, byte) in [(-1.0, 0), (f32::NAN, 0), (1.0, 255), (7.0, 255), (f32::INFINITY, 255)] {
            assert_eq!(encoder().byte(value), byte, "{value}");
        }
    }
}
