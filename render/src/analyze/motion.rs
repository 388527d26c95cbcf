//! How much of an animation stands still.

use super::luma;
use crate::frame::Frame;

/// Steps of luma, of 255, that a pixel may change by and still stand still: dithering and compression do as much.
const STILL: f64 = 12.0;
/// Least share of pixels that must move for an animation to be one.
const LEAST_MOVING: f64 = 0.001;

/// From 0 for a picture in which nothing or everything moves towards 1 for one in which little moves before a still scene.
/// The frames have one size; others than the first one's are left out.
pub fn cinemagraph_score(frames: &[Frame]) -> f64 {
    let Some(first) = frames.first().filter(|frame| frame.size().pixels() > 0) else { return 0.0 };
    let luma_of = |frame: &Frame| -> Vec<f64> {
        frame.pixels().chunks_exact(4).map(|pixel| luma([pixel[0], pixel[1], pixel[2], pixel[3]])).collect()
    };
    let mut least = luma_of(first);
    let mut most = least.clone();
    for frame in frames[1..].iter().filter(|frame| frame.size() == first.size()) {
        for ((least, most), value) in least.iter_mut().zip(&mut most).zip(luma_of(frame)) {
            *least = least.min(value);
            *most = most.max(value);
        }
    }
    let moving = least.iter().zip(&most).filter(|(least, most)| **most - **least > STILL).count();
    let moving = moving as f64 / least.len() as f64;
    if moving < LEAST_MOVING { 0.0 } else { ((1.0 - moving) * 1e4).round() / 1e4 }
}
