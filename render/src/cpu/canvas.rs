//! A picture on a canvas of one color.

use super::composite::composite;
use crate::frame::Frame;
use crate::plan::geometry::Size;
use crate::plan::step::Rgba8;

/// `fill` everywhere, the input over it at (`left`, `top`), clipped.
pub(super) fn canvas(input: &Frame, size: Size, left: i32, top: i32, fill: Rgba8) -> Frame {
    let mut canvas = Frame::filled(size, fill);
    composite(&mut canvas, input, left, top, 1.0);
    canvas
}
