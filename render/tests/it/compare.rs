//! Compares two pictures within a stated tolerance.

use tintype_render::frame::Frame;

/// How far two pictures may differ and still count as the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tolerance {
    /// Greatest difference of one channel, in steps of 1/255, that every pixel may have.
    pub max_step: u8,
    /// Pixels that may differ by more than that.
    pub max_outliers: usize,
}

/// Errors with the first offending pixel and the number of them. Where alpha is 0 in both, color does not count.
pub fn compare(actual: &Frame, expected: &Frame, tolerance: Tolerance) -> Result<(), String> {
    if actual.size() != expected.size() {
        return Err(format!("size {} instead of {}", actual.size(), expected.size()));
    }
    let width = expected.size().width as usize;
    let pairs = actual.pixels().chunks_exact(4).zip(expected.pixels().chunks_exact(4));
    let (mut outliers, mut first, mut worst) = (0, None, 0);
    for (i, (a, e)) in pairs.enumerate() {
        if a[3] == 0 && e[3] == 0 {
            continue;
        }
        let step = a.iter().zip(e).map(|(a, e)| a.abs_diff(*e)).max().unwrap_or(0);
        worst = worst.max(step);
        if step > tolerance.max_step {
            outliers += 1;
            first.get_or_insert_with(|| format!("({}, {}): {a:?} instead of {e:?}", i % width, i / width));
        }
    }
    match first {
        Some(first) if outliers > tolerance.max_outliers => Err(format!(
            "{outliers} of {} pixels differ by more than {} steps, at most by {worst}; first at {first}",
            expected.size().pixels(),
            tolerance.max_step
        )),
        _ => Ok(()),
    }
}
