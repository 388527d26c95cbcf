//! Alpha multiplied by one number.

use crate::frame::Frame;

/// In place; `opacity` is 0 to 1.
pub(super) fn opacity(frame: &mut Frame, opacity: f32) {
    let table: [u8; 256] = std::array::from_fn(|alpha| (alpha as f32 * opacity + 0.5) as u8);
    for pixel in frame.pixels_mut().as_chunks_mut::<4>().0 {
        pixel[3] = table[usize::from(pixel[3])];
    }
}
