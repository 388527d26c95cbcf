//! The quality that `q_auto` stands for.

use crate::frame::Frame;
use crate::language::{Format, QualityLevel};
use crate::plan::geometry::Size;
use crate::planes::Plane;

/// How much happens between neighboring pixels of a picture, in luma (BT.601), over a grid of at most about 65,000 pixels.
/// Transparent pixels do not count.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Activity {
    /// Mean absolute difference to the right neighbor and to the one below, in steps of 255.
    pub busyness: f32,
    /// How much of that is fine: mean absolute difference to the mean of the four neighbors, in steps of 255.
    pub curvature: f32,
}

impl Activity {
    /// Of a frame.
    pub fn of(frame: &Frame) -> Self {
        let luma =
            |pixel: [u8; 4]| (299 * i32::from(pixel[0]) + 587 * i32::from(pixel[1]) + 114 * i32::from(pixel[2])) / 1000;
        Activity::measure(frame.size(), |x, y| {
            let pixel = frame.pixel(x, y);
            (luma(pixel), pixel[3] > 0)
        })
    }

    /// Of a plane of luma.
    pub fn of_luma(luma: &Plane) -> Self {
        Activity::measure(luma.size(), |x, y| (i32::from(luma.row(y)[x as usize]), true))
    }

    /// `at` gives the luma of a pixel, and whether it counts.
    fn measure(size: Size, at: impl Fn(u32, u32) -> (i32, bool)) -> Self {
        if size.width < 3 || size.height < 3 {
            return Activity { busyness: 0.0, curvature: 0.0 };
        }
        let step = ((size.pixels() as f64 / 65_536.0).sqrt().ceil() as usize).max(1);
        let (mut differences, mut curvatures, mut count) = (0_u64, 0_u64, 0_u64);
        for y in (1..size.height - 1).step_by(step) {
            for x in (1..size.width - 1).step_by(step) {
                let (value, counts) = at(x, y);
                if !counts {
                    continue;
                }
                let (right, below) = (at(x + 1, y).0, at(x, y + 1).0);
                differences += u64::from(right.abs_diff(value) + below.abs_diff(value));
                let around = right + below + at(x - 1, y).0 + at(x, y - 1).0;
                curvatures += u64::from(around.abs_diff(4 * value));
                count += 1;
            }
        }
        let mean = |sum: u64, parts: u64| if count == 0 { 0.0 } else { (sum as f64 / (count * parts) as f64) as f32 };
        Activity { busyness: mean(differences, 2), curvature: mean(curvatures, 4) }
    }

    /// Logarithm of curvature over busyness: about -1 in smooth pictures with edges, -0.3 in noise.
    pub fn fineness(self) -> f32 {
        ((self.curvature + 0.2) / (self.busyness + 0.2)).ln()
    }
}

/// One line of the calibration: the number is `base + slope * ln(1 + busyness) + fine * fineness`, within `range`.
struct Line {
    base: f32,
    slope: f32,
    fine: f32,
    range: (f32, f32),
}

const fn line(base: f32, slope: f32, fine: f32, low: f32, high: f32) -> Line {
    Line { base, slope, fine, range: (low, high) }
}

/// Lines for the levels best, good, eco and low, which aim at SSIMULACRA2 scores of 90, 80, 70 and 55.
///
/// Fitted with `examples/calibrate_quality.rs` over 16 pictures (12 nature photographs of Debian's `mate-backgrounds`, 4
/// samples of this repository) reduced to 800 pixels, numbers 20 to 97. The standard deviation of the number that a picture
/// really needs from the line, each picture left out of its own fit: JPEG 1.5, 5.5, 7.9 and 7.0 (from busyness alone 1.8,
/// 6.5, 9.7 and 7.9); WebP 1.1, 3.5, 13 and 9.8. On average a picture needs JPEG 90.9, 71.6, 47.5 and 26.9; WebP 96.5, 85.2,
/// 66.7 and 34.6.
const JPEG: [Line; 4] = [
    line(96.1, -0.15, 7.6, 87.0, 95.0),
    line(83.7, 5.5, 29.8, 60.0, 86.0),
    line(62.9, 10.8, 45.9, 34.0, 59.0),
    line(44.5, 4.7, 36.8, 20.0, 33.0),
];
const WEBP: [Line; 4] = [
    line(95.5, 0.0, 0.0, 95.0, 96.0),
    line(100.9, -2.0, 20.0, 78.0, 92.0),
    line(56.3, 5.8, 0.0, 58.0, 72.0),
    line(25.2, 9.1, 0.0, 30.0, 50.0),
];
/// Fitted likewise on the same pictures at speed 6, numbers 14 to 95: off by 1.5, 5.5, 9.6 and 7.2 in the number, each picture
/// left out of its own fit, or by 1.0, 3.0, 4.4 and 7.5 in the score. On average a picture needs 90.2, 71.1, 47.5 and 26.0.
/// Speed 8, at which planes are written, scores one to two less.
const AVIF: [Line; 4] = [
    line(95.3, 0.0, 8.0, 90.0, 93.0),
    line(82.1, 7.6, 34.1, 60.0, 85.0),
    line(63.0, 11.5, 49.8, 34.0, 59.0),
    line(39.2, 6.4, 35.0, 16.0, 33.0),
];

/// The number an encoder is given for a level, predicted from the picture without encoding it. PNG has no quality: 100.
pub fn auto_quality(frame: &Frame, format: Format, level: QualityLevel) -> u8 {
    predicted(Activity::of(frame), format, level)
}

/// The same from a plane of luma.
pub fn auto_quality_of_luma(luma: &Plane, format: Format, level: QualityLevel) -> u8 {
    predicted(Activity::of_luma(luma), format, level)
}

fn predicted(activity: Activity, format: Format, level: QualityLevel) -> u8 {
    let lines = match format {
        Format::Jpeg => &JPEG,
        Format::WebP => &WEBP,
        Format::Avif => &AVIF,
        Format::Png | Format::Gif | Format::Bmp | Format::Ico | Format::Tiff => return 100,
    };
    let line = match level {
        QualityLevel::Best => &lines[0],
        QualityLevel::Good => &lines[1],
        QualityLevel::Eco => &lines[2],
        QualityLevel::Low => &lines[3],
    };
    let number = line.base + line.slope * activity.busyness.ln_1p() + line.fine * activity.fineness();
    number.clamp(line.range.0, line.range.1).round() as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_is_busy_and_fine_and_gets_higher_numbers() {
        let size = Size::new(64, 64);
        let mut smooth = Frame::filled(size, [90, 120, 30, 255]);
        for (index, pixel) in smooth.pixels_mut().chunks_exact_mut(4).enumerate() {
            pixel[1] = (index % 64 * 3) as u8;
        }
        let mut noise = smooth.clone();
        for (index, pixel) in noise.pixels_mut().chunks_exact_mut(4).enumerate() {
            pixel[1] = if (index / 3 + index / 64) % 2 == 0 { 60 } else { 140 };
        }
        let (calm, busy) = (Activity::of(&smooth), Activity::of(&noise));
        assert!(calm.busyness < 2.0 && busy.busyness > 5.0 && calm.fineness() < busy.fineness(), "{calm:?} {busy:?}");
        for level in [QualityLevel::Best, QualityLevel::Good, QualityLevel::Eco, QualityLevel::Low] {
            let number = |frame: &Frame| auto_quality(frame, Format::Jpeg, level);
            assert!(number(&smooth) < number(&noise), "{level:?}: {} {}", number(&smooth), number(&noise));
        }
    }

    #[test]
    fn a_step_down_the_middle_is_measured_as_it_is() {
        let mut frame = Frame::filled(Size::new(10, 10), [0, 0, 0, 255]);
        for (index, pixel) in frame.pixels_mut().chunks_exact_mut(4).enumerate() {
            let grey = if index % 10 < 5 { 0 } else { 80 };
            pixel[..3].fill(grey);
        }
        // Of eight columns one has the step on its right: 80 over two neighbors. Two are bent by it: 80 over four.
        assert_eq!(Activity::of(&frame), Activity { busyness: 5.0, curvature: 5.0 });
    }

    #[test]
    fn ranges_of_neighboring_levels_do_not_meet() {
        for lines in [&JPEG, &WEBP, &AVIF] {
            for pair in lines.windows(2) {
                assert!(pair[0].range.0 > pair[1].range.1);
            }
        }
        for size in [Size::new(1, 1), Size::new(1, 500), Size::new(3, 2)] {
            assert_eq!(Activity::of(&Frame::filled(size, [1, 2, 3, 0])), Activity { busyness: 0.0, curvature: 0.0 });
        }
    }
}
