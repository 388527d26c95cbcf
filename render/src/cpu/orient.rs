//! Flips and quarter turns.

use crate::frame::Frame;
use crate::plan::geometry::{Orientation, Size};

/// Side of the squares in which pixels are moved: a turn reads columns, and a square keeps its lines in the cache.
const TILE: usize = 32;

/// Every pixel moved exactly. Errors when `size` is not that of the turned input.
pub(super) fn orient(input: &Frame, size: Size, orientation: Orientation, alpha: bool) -> Result<Frame, String> {
    let from = input.size();
    if orientation.apply_size(from) != size {
        return Err(format!("{from} turned is not {size}"));
    }
    let source = input.pixels().as_chunks::<4>().0;
    // The map is affine, so that three pixels tell where all of them come from.
    let at = |x: u32, y: u32| {
        let (u, v) = orientation.source_of(x, y, from);
        v as isize * from.width as isize + u as isize
    };
    let origin = at(0, 0);
    let across = if size.width > 1 { at(1, 0) - origin } else { 0 };
    let down = if size.height > 1 { at(0, 1) - origin } else { 0 };
    let (width, height) = (size.width as usize, size.height as usize);
    let mut pixels = vec![0; source.len() * 4];
    let target = pixels.as_chunks_mut::<4>().0;
    for top in (0..height).step_by(TILE) {
        for left in (0..width).step_by(TILE) {
            for y in top..(top + TILE).min(height) {
                let row = &mut target[y * width + left..y * width + (left + TILE).min(width)];
                let mut index = origin + y as isize * down + left as isize * across;
                for pixel in row {
                    *pixel = source[index as usize];
                    index += across;
                }
            }
        }
    }
    Frame::new(size, alpha, pixels).map_err(|error| error.to_string())
}
