//! Gravities: from a compass point, a point or a box to where a window or a layer lies.

use super::geometry::{RectF, Size, centered};
use crate::language::Compass;

/// A gravity with everything looked up.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Anchor {
    Compass(Compass),
    /// Center of the window, in pixels of the picture.
    Point(f64, f64),
    /// The window is centered on this box, in pixels of the picture.
    Box(RectF),
}

impl Compass {
    /// Offset of something that leaves `dx` columns and `dy` rows free (either may be negative).
    pub fn place(self, dx: i64, dy: i64) -> (i64, i64) {
        use Compass::*;
        let x = match self {
            NorthWest | West | SouthWest => 0,
            North | Center | South => centered(dx),
            NorthEast | East | SouthEast => dx,
        };
        let y = match self {
            NorthWest | North | NorthEast => 0,
            West | Center | East => centered(dy),
            SouthWest | South | SouthEast => dy,
        };
        (x, y)
    }

    /// Offset with the distances that `x` and `y` ask for: inwards from the edges that the anchor touches.
    pub fn place_with(self, dx: i64, dy: i64, x: i64, y: i64) -> (i64, i64) {
        use Compass::*;
        let (left, top) = self.place(dx, dy);
        let left = if matches!(self, NorthEast | East | SouthEast) { left - x } else { left + x };
        let top = if matches!(self, SouthWest | South | SouthEast) { top - y } else { top + y };
        (left, top)
    }
}

/// An anchor and offsets in pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Placement {
    pub anchor: Anchor,
    pub x: i64,
    pub y: i64,
}

impl Placement {
    /// Upper left corner of a window of `window` in (or a layer of that size on) a picture of `size`; may lie outside.
    pub fn window(self, size: Size, window: Size) -> (i64, i64) {
        let dx = i64::from(size.width) - i64::from(window.width);
        let dy = i64::from(size.height) - i64::from(window.height);
        let (width, height) = (f64::from(window.width), f64::from(window.height));
        match self.anchor {
            Anchor::Compass(compass) => compass.place_with(dx, dy, self.x, self.y),
            Anchor::Point(x, y) => (half_up(x - width / 2.0), half_up(y - height / 2.0)),
            Anchor::Box(rect) => {
                let (x, y) = rect.center();
                (half_up(x - width / 2.0) + self.x, half_up(y - height / 2.0) + self.y)
            }
        }
    }
}

fn half_up(value: f64) -> i64 {
    (value + 0.5).floor() as i64
}
