//! Quantization tables.
//!
//! A step depends on the frequency's distance from the constant one alone, in a line between the values below. They were
//! found by coordinate descent over these values for the greatest SSIMULACRA2 at equal bytes, of 12 nature photographs
//! (Debian's `mate-backgrounds`) at 512 and at 800 pixels, and scaled so that a number takes about the bytes that the tables
//! of T.81's Annex K take.

/// Distances at which the values are given.
const DISTANCES: [f32; 9] = [0.0, 1.0, std::f32::consts::SQRT_2, 2.0, 3.0, 4.0, 5.0, 7.0, 9.9];
const LUMA: [f32; 9] = [7.2, 10.7, 16.9, 33.8, 28.1, 33.0, 38.4, 44.9, 53.0];
const CHROMA: [f32; 9] = [6.4, 11.3, 18.0, 24.0, 28.8, 38.4, 51.4, 82.5, 91.0];

/// Steps of every coefficient, row by row, 1 to 255.
pub(in crate::codec) type Steps = [u8; 64];

/// Steps of luma and of chroma for a quality of 1 to 100. The number scales the tables as libjpeg's does.
pub(in crate::codec) fn steps(quality: u8) -> [Steps; 2] {
    let quality = f32::from(quality.clamp(1, 100));
    let scale = if quality < 50.0 { 50.0 / quality } else { 2.0 - quality / 50.0 };
    [LUMA, CHROMA].map(|values| std::array::from_fn(|at| (value(&values, at) * scale).round().clamp(1.0, 255.0) as u8))
}

/// The value of the coefficient in row `at / 8` and column `at % 8`.
fn value(values: &[f32; 9], at: usize) -> f32 {
    let distance = ((at / 8) as f32).hypot((at % 8) as f32);
    let behind = DISTANCES.iter().position(|end| *end > distance + 1e-3).unwrap_or(DISTANCES.len() - 1).max(1);
    let (from, to) = (DISTANCES[behind - 1], DISTANCES[behind]);
    values[behind - 1] + (values[behind] - values[behind - 1]) * (distance - from) / (to - from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_follow_the_values_and_shrink_as_quality_grows() {
        let [luma, chroma] = steps(50);
        assert_eq!((luma[0], luma[1], luma[8], luma[9], chroma[0]), (7, 11, 11, 17, 6));
        assert_eq!((luma[63], chroma[63]), (53, 91));
        assert_eq!(steps(100), [[1; 64]; 2]);
        for quality in 1..100 {
            let coarse = steps(quality).into_iter().flatten();
            let fine = steps(quality + 1).into_iter().flatten();
            assert!(coarse.zip(fine).all(|(coarse, fine)| coarse >= fine && fine >= 1), "{quality}");
        }
    }
}
