//! Cuts a rectangle out of a picture.

use crate::frame::Frame;
use crate::plan::geometry::Size;

/// The rectangle of `size` at (`x`, `y`), copied exactly. Errors when it does not lie inside the input.
pub(super) fn extract(input: &Frame, size: Size, x: u32, y: u32, alpha: bool) -> Result<Frame, String> {
    let inside = |start: u32, length: u32, whole: u32| u64::from(start) + u64::from(length) <= u64::from(whole);
    if !inside(x, size.width, input.size().width) || !inside(y, size.height, input.size().height) {
        return Err(format!("{size} at ({x}, {y}) does not lie inside {}", input.size()));
    }
    let (start, length) = (x as usize * 4, size.width as usize * 4);
    let mut pixels = Vec::with_capacity(size.pixels() as usize * 4);
    for row in y..y + size.height {
        pixels.extend_from_slice(&input.row(row)[start..start + length]);
    }
    Frame::new(size, alpha, pixels).map_err(|error| error.to_string())
}
