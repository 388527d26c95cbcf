//! Sizes, rectangles, orientations, and every rounding rule of the product.
//!
//! All lengths are in pixels of the surface they speak of; x grows to the right, y downwards.
//! Lengths are computed with exact integers or rationals and rounded once: floor(v + 1/2), at least 1.

use serde::Serialize;
use std::fmt;

/// Width and height in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize)]
pub struct Size {
    pub width: u32,
    pub height: u32,
}

impl Size {
    pub const fn new(width: u32, height: u32) -> Self {
        Size { width, height }
    }

    /// Number of pixels; never overflows.
    pub const fn pixels(self) -> u64 {
        self.width as u64 * self.height as u64
    }

    /// Width and height exchanged, as by a quarter turn.
    pub const fn transposed(self) -> Self {
        Size { width: self.height, height: self.width }
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.width, self.height)
    }
}

/// A rectangle on the pixel grid, inside its surface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize)]
pub struct Rect {
    pub x: u32,
    pub y: u32,
    pub width: u32,
    pub height: u32,
}

impl Rect {
    pub const fn new(x: u32, y: u32, width: u32, height: u32) -> Self {
        Rect { x, y, width, height }
    }

    /// The whole of a surface.
    pub const fn whole(size: Size) -> Self {
        Rect { x: 0, y: 0, width: size.width, height: size.height }
    }

    pub const fn size(self) -> Size {
        Size { width: self.width, height: self.height }
    }

    /// First column to the right of the rectangle.
    pub const fn right(self) -> u32 {
        self.x + self.width
    }

    /// First row below the rectangle.
    pub const fn bottom(self) -> u32 {
        self.y + self.height
    }
}

/// A rectangle with fractional edges, such as a detected face or the region that a resampling reads.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct RectF {
    pub x: f64,
    pub y: f64,
    pub width: f64,
    pub height: f64,
}

impl RectF {
    pub const fn new(x: f64, y: f64, width: f64, height: f64) -> Self {
        RectF { x, y, width, height }
    }

    pub fn center(self) -> (f64, f64) {
        (self.x + self.width / 2.0, self.y + self.height / 2.0)
    }

    pub fn area(self) -> f64 {
        self.width * self.height
    }
}

impl From<Rect> for RectF {
    fn from(rect: Rect) -> Self {
        RectF::new(f64::from(rect.x), f64::from(rect.y), f64::from(rect.width), f64::from(rect.height))
    }
}

/// One of the eight symmetries of a rectangle: an optional left-right mirror, then quarter turns clockwise.
///
/// The eight EXIF orientations are exactly these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize)]
pub struct Orientation {
    /// Mirror left to right before turning.
    pub mirror: bool,
    /// Quarter turns clockwise after mirroring, 0 to 3.
    pub quarter_turns: u8,
}

impl Orientation {
    pub const IDENTITY: Orientation = Orientation { mirror: false, quarter_turns: 0 };
    pub const HFLIP: Orientation = Orientation { mirror: true, quarter_turns: 0 };
    pub const VFLIP: Orientation = Orientation { mirror: true, quarter_turns: 2 };

    /// The operation that makes a stored picture upright, from the value 1 to 8 of the EXIF tag; others count as 1.
    ///
    /// Source: Exif 2.3, tag 0x0112.
    pub const fn from_exif(value: u16) -> Self {
        match value {
            2 => Orientation { mirror: true, quarter_turns: 0 },
            3 => Orientation { mirror: false, quarter_turns: 2 },
            4 => Orientation { mirror: true, quarter_turns: 2 },
            5 => Orientation { mirror: true, quarter_turns: 3 },
            6 => Orientation { mirror: false, quarter_turns: 1 },
            7 => Orientation { mirror: true, quarter_turns: 1 },
            8 => Orientation { mirror: false, quarter_turns: 3 },
            _ => Orientation::IDENTITY,
        }
    }

    /// The value of the EXIF tag that asks for this operation.
    pub const fn to_exif(self) -> u16 {
        match (self.mirror, self.quarter_turns % 4) {
            (false, 0) => 1,
            (true, 0) => 2,
            (false, 2) => 3,
            (true, 2) => 4,
            (true, 3) => 5,
            (false, 1) => 6,
            (true, 1) => 7,
            _ => 8,
        }
    }

    /// Quarter turns clockwise; negative ones turn back.
    pub const fn turned(quarter_turns: i64) -> Self {
        Orientation { mirror: false, quarter_turns: quarter_turns.rem_euclid(4) as u8 }
    }

    /// This operation followed by another.
    pub const fn then(self, next: Orientation) -> Self {
        // A mirror conjugates a turn into its inverse: M R^k = R^-k M.
        let turns = if next.mirror { 4 - self.quarter_turns % 4 } else { self.quarter_turns };
        Orientation { mirror: self.mirror != next.mirror, quarter_turns: (turns + next.quarter_turns) % 4 }
    }

    /// The operation that undoes this one.
    pub const fn inverse(self) -> Self {
        if self.mirror { self } else { Orientation { mirror: false, quarter_turns: (4 - self.quarter_turns % 4) % 4 } }
    }

    /// Whether width and height change places.
    pub const fn transposes(self) -> bool {
        self.quarter_turns % 2 == 1
    }

    /// Size of the result.
    pub const fn apply_size(self, size: Size) -> Size {
        if self.transposes() { size.transposed() } else { size }
    }

    /// Where a rectangle of a surface of `size` comes to lie.
    pub fn apply_rect(self, rect: RectF, size: Size) -> RectF {
        let (mut rect, mut width, mut height) = (rect, f64::from(size.width), f64::from(size.height));
        if self.mirror {
            rect.x = width - rect.x - rect.width;
        }
        for _ in 0..self.quarter_turns % 4 {
            rect = RectF::new(height - rect.y - rect.height, rect.x, rect.height, rect.width);
            (width, height) = (height, width);
        }
        rect
    }

    /// Where a rectangle on the pixel grid of a surface of `size` comes to lie.
    pub fn apply_pixels(self, rect: Rect, size: Size) -> Rect {
        let moved = self.apply_rect(rect.into(), size);
        Rect::new(moved.x as u32, moved.y as u32, moved.width as u32, moved.height as u32)
    }

    /// The pixel of a source of `size` that ends up at (`x`, `y`) of the result.
    pub fn source_of(self, x: u32, y: u32, size: Size) -> (u32, u32) {
        let back = self.inverse().apply_pixels(Rect::new(x, y, 1, 1), self.apply_size(size));
        (back.x, back.y)
    }
}

/// A whole number of pixels next to a non-negative length: floor(v + 1/2), at least 1.
pub fn round_length(value: f64) -> u64 {
    ((value + 0.5).floor().max(1.0)) as u64
}

/// `round(numerator / denominator)` half up with exact integers, at least 1. `denominator` must not be 0.
pub fn round_ratio(numerator: u128, denominator: u128) -> u64 {
    let rounded = (2 * numerator + denominator) / (2 * denominator);
    u64::try_from(rounded.max(1)).unwrap_or(u64::MAX)
}

/// Offset that centers: floor(difference / 2), so that an odd pixel goes right or below.
pub fn centered(difference: i64) -> i64 {
    difference.div_euclid(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Vec<Orientation> {
        (1..=8).map(Orientation::from_exif).collect()
    }

    #[test]
    fn exif_values_round_trip() {
        for value in 1..=8 {
            assert_eq!(Orientation::from_exif(value).to_exif(), value);
        }
        assert_eq!(Orientation::from_exif(0), Orientation::IDENTITY);
        assert_eq!(Orientation::from_exif(9), Orientation::IDENTITY);
    }

    #[test]
    fn composition_agrees_with_moving_a_pixel() {
        let size = Size::new(5, 3);
        for first in all() {
            assert_eq!(first.then(first.inverse()), Orientation::IDENTITY);
            for second in all() {
                let pixel = Rect::new(1, 2, 1, 1);
                let step = second.apply_pixels(first.apply_pixels(pixel, size), first.apply_size(size));
                assert_eq!(first.then(second).apply_pixels(pixel, size), step, "{first:?} then {second:?}");
            }
        }
    }

    #[test]
    fn a_clockwise_turn_moves_the_top_left_corner_to_the_top_right() {
        let turned = Orientation::turned(1).apply_pixels(Rect::new(0, 0, 1, 1), Size::new(4, 2));
        assert_eq!(turned, Rect::new(1, 0, 1, 1));
        assert_eq!(Orientation::turned(1).source_of(1, 0, Size::new(4, 2)), (0, 0));
    }

    #[test]
    fn lengths_round_half_up_and_never_vanish() {
        assert_eq!(round_ratio(320 * 427, 640), 214);
        assert_eq!(round_ratio(1, 1000), 1);
        assert_eq!(round_length(213.5), 214);
        assert_eq!(round_length(0.2), 1);
        assert_eq!(centered(-333), -167);
        assert_eq!(centered(125), 62);
    }
}
