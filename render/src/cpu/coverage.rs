//! How much of each pixel lies inside an outline: distance of the pixel center to the edge, as a ramp one pixel wide.

use crate::plan::geometry::Size;
use crate::plan::step::Outline;

/// The antialiased shape of an outline that fills a surface.
pub(super) struct Coverage {
    outline: Outline,
    size: Size,
}

impl Coverage {
    pub(super) fn new(outline: Outline, size: Size) -> Self {
        Coverage { outline, size }
    }

    /// Writes the coverage, 0 to 1, of every pixel of row `y`. False when it is 1 everywhere; `row` is written all the
    /// same.
    pub(super) fn row(&self, y: u32, row: &mut [f32]) -> bool {
        let height = self.size.height as f32;
        let y = y as f32 + 0.5;
        match self.outline {
            Outline::Corners([top_left, top_right, bottom_right, bottom_left]) => {
                row.fill(1.0);
                let width = row.len();
                let mut touched = false;
                let corners = [
                    (top_left, y, false),
                    (top_right, y, true),
                    (bottom_right, height - y, true),
                    (bottom_left, height - y, false),
                ];
                for (radius, from_edge, right) in corners {
                    if radius > 0.0 && from_edge < radius {
                        touched = true;
                        let reach = (radius.ceil() as usize).min(width);
                        if right {
                            corner(radius, from_edge, row[width - reach..].iter_mut().rev());
                        } else {
                            corner(radius, from_edge, row[..reach].iter_mut());
                        }
                    }
                }
                touched
            }
            Outline::Ellipse => {
                let (a, b) = (self.size.width as f32 / 2.0, height / 2.0);
                let v = (y - b) / b;
                for (x, coverage) in row.iter_mut().enumerate() {
                    let u = (x as f32 + 0.5 - a) / a;
                    let (gu, gv) = (u / a, v / b);
                    // At the very center the gradient is 0 and the quotient minus infinity, which is inside.
                    let distance = (u * u + v * v - 1.0) / (2.0 * (gu * gu + gv * gv).sqrt());
                    *coverage = (0.5 - distance).clamp(0.0, 1.0);
                }
                true
            }
        }
    }
}

/// Multiplies in the coverage of one rounded corner along a row, from the side edge inwards.
fn corner<'a>(radius: f32, from_edge: f32, row: impl Iterator<Item = &'a mut f32>) {
    let v = radius - from_edge;
    for (x, coverage) in row.enumerate() {
        let u = radius - (x as f32 + 0.5);
        if u >= 0.0 {
            *coverage *= (0.5 - ((u * u + v * v).sqrt() - radius)).clamp(0.0, 1.0);
        }
    }
}
