//! Alpha multiplied by the coverage of an outline.

use super::coverage::Coverage;
use crate::frame::Frame;
use crate::plan::step::Outline;

/// In place.
pub(super) fn mask(frame: &mut Frame, outline: Outline) {
    let size = frame.size();
    let coverage = Coverage::new(outline, size);
    let mut row = vec![0.0; size.width as usize];
    let stride = frame.row_stride_bytes();
    for (y, pixels) in frame.pixels_mut().chunks_exact_mut(stride).enumerate() {
        if !coverage.row(y as u32, &mut row) {
            continue;
        }
        for (pixel, coverage) in pixels.as_chunks_mut::<4>().0.iter_mut().zip(&row) {
            pixel[3] = (f32::from(pixel[3]) * coverage + 0.5) as u8;
        }
    }
}
