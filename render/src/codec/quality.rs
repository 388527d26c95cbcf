//! The quality that `q_auto` stands for.

use crate::frame::Frame;
use crate::language::{Format, QualityLevel};
use crate::plan::geometry::Size;
use crate::planes::Plane;

/// How much happens between neighboring pixels: the mean absolute difference of luma (BT.601) to the right neighbor and to
/// the one below, over a grid of at most about 65,000 pixels, in steps of 255. Transparent pixels do not count.
pub fn busyness(frame: &Frame) -> f32 {
    let luma =
        |pixel: [u8; 4]| (299 * i32::from(pixel[0]) + 587 * i32::from(pixel[1]) + 114 * i32::from(pixel[2])) / 1000;
    mean_difference(frame.size(), |x, y| {
        let pixel = frame.pixel(x, y);
        (luma(pixel), pixel[3] > 0)
    })
}

/// `at` gives the luma of a pixel, and whether it counts.
fn mean_difference(size: Size, at: impl Fn(u32, u32) -> (i32, bool)) -> f32 {
    if size.width < 2 || size.height < 2 {
        return 0.0;
    }
    let step = ((size.pixels() as f64 / 65_536.0).sqrt().ceil() as u32).max(1);
    let (mut sum, mut count) = (0_u64, 0_u64);
    for y in (0..size.height - 1).step_by(step as usize) {
        for x in (0..size.width - 1).step_by(step as usize) {
            let (value, counts) = at(x, y);
            if !counts {
                continue;
            }
            sum += u64::from(at(x + 1, y).0.abs_diff(value) + at(x, y + 1).0.abs_diff(value));
            count += 2;
        }
    }
    if count == 0 { 0.0 } else { sum as f32 / count as f32 }
}

/// One line of the calibration: the number is `base + slope * ln(1 + busyness)`, within `range`.
struct Line {
    base: f32,
    slope: f32,
    range: (f32, f32),
}

const fn line(base: f32, slope: f32, low: f32, high: f32) -> Line {
    Line { base, slope, range: (low, high) }
}

/// Lines for the levels best, good, eco and low, which aim at SSIMULACRA2 scores of 90, 80, 70 and 55.
///
/// Fitted with `examples/calibrate_quality.rs` over 17 pictures (12 nature photographs of Debian's `mate-backgrounds`, the
/// 5 samples of this repository) reduced to 800 pixels, numbers 30 to 96. The standard deviation of the number that a
/// picture really needs from the line: JPEG 1.7, 4.8, 9.8 and 7.8; WebP 1.1, 6.0, 13 and 9.8. On average a picture needs
/// JPEG 91.5, 77.8, 56.8 and 35.1; WebP 95.5, 84.0, 64.2 and 37.6.
const JPEG: [Line; 4] = [
    line(87.4, 3.0, 86.0, 95.0),
    line(66.5, 8.3, 71.0, 85.0),
    line(42.6, 10.4, 48.0, 70.0),
    line(29.7, 4.0, 32.0, 45.0),
];
const WEBP: [Line; 4] = [
    line(95.5, 0.0, 95.0, 96.0),
    line(84.0, 0.0, 80.0, 88.0),
    line(56.3, 5.8, 58.0, 72.0),
    line(25.2, 9.1, 30.0, 50.0),
];
/// AVIF cannot be read here, so it could not be scored; these are the numbers that the specification proposes.
const AVIF: [Line; 4] = [
    line(70.0, 0.0, 70.0, 70.0),
    line(60.0, 0.0, 60.0, 60.0),
    line(50.0, 0.0, 50.0, 50.0),
    line(42.0, 0.0, 42.0, 42.0),
];

/// The number an encoder is given for a level, predicted from the picture without encoding it. PNG has no quality: 100.
pub fn auto_quality(frame: &Frame, format: Format, level: QualityLevel) -> u8 {
    predicted(busyness(frame), format, level)
}

/// The same from a plane of luma.
pub fn auto_quality_of_luma(luma: &Plane, format: Format, level: QualityLevel) -> u8 {
    let sample = |x: u32, y: u32| i32::from(luma.row(y)[x as usize]);
    predicted(mean_difference(luma.size(), |x, y| (sample(x, y), true)), format, level)
}

fn predicted(busyness: f32, format: Format, level: QualityLevel) -> u8 {
    let lines = match format {
        Format::Jpeg => &JPEG,
        Format::WebP => &WEBP,
        Format::Avif => &AVIF,
        Format::Png => return 100,
    };
    let line = match level {
        QualityLevel::Best => &lines[0],
        QualityLevel::Good => &lines[1],
        QualityLevel::Eco => &lines[2],
        QualityLevel::Low => &lines[3],
    };
    let number = line.base + line.slope * busyness.ln_1p();
    number.clamp(line.range.0, line.range.1).round() as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn busier_pictures_get_higher_numbers() {
        let flat = Frame::filled(Size::new(64, 64), [90, 120, 30, 255]);
        let mut busy = flat.clone();
        for (index, pixel) in busy.pixels_mut().chunks_exact_mut(4).enumerate() {
            pixel[1] = if (index / 3 + index / 64) % 2 == 0 { 60 } else { 140 };
        }
        assert!(busyness(&flat) < 0.01 && busyness(&busy) > 5.0);
        let number = |frame: &Frame| auto_quality(frame, Format::Jpeg, QualityLevel::Good);
        assert!(number(&flat) < number(&busy), "{} {}", number(&flat), number(&busy));
    }

    #[test]
    fn ranges_of_neighboring_levels_do_not_meet() {
        for lines in [&JPEG, &WEBP, &AVIF] {
            for pair in lines.windows(2) {
                assert!(pair[0].range.0 > pair[1].range.1);
            }
        }
        for size in [Size::new(1, 1), Size::new(1, 500), Size::new(3, 2)] {
            assert_eq!(busyness(&Frame::filled(size, [1, 2, 3, 0])), 0.0);
        }
    }
}
