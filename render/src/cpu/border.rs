//! A ring of color around a picture, along its outline.

use super::coverage::Coverage;
use crate::frame::Frame;
use crate::plan::geometry::Size;
use crate::plan::step::{Outline, Rgba8};

/// The input with a ring of `width` pixels around it. Errors when `size` is not the input's grown by the ring.
pub(super) fn border(
    input: &Frame,
    size: Size,
    width: u32,
    color: Rgba8,
    outline: Outline,
    alpha: bool,
) -> Result<Frame, String> {
    let inside = input.size();
    let grown = |length: u32| u64::from(length) + 2 * u64::from(width);
    if u64::from(size.width) != grown(inside.width) || u64::from(size.height) != grown(inside.height) {
        return Err(format!("{inside} with a border of {width} is not {size}"));
    }
    let outer_outline = match outline {
        Outline::Corners(radii) => Outline::Corners(radii.map(|r| if r > 0.0 { r + width as f32 } else { r })),
        Outline::Ellipse => Outline::Ellipse,
    };
    let (outer, inner) = (Coverage::new(outer_outline, size), Coverage::new(outline, inside));
    let mut outer_row = vec![0.0; size.width as usize];
    let mut inner_row = vec![0.0; size.width as usize];
    let mut below_row = vec![[0; 4]; size.width as usize];
    let (left, right) = (width as usize, (width + inside.width) as usize);
    let mut pixels = Vec::with_capacity(size.pixels() as usize * 4);
    for y in 0..size.height {
        outer.row(y, &mut outer_row);
        if y >= width && y - width < inside.height {
            inner.row(y - width, &mut inner_row[left..right]);
            below_row[left..right].copy_from_slice(input.row(y - width).as_chunks::<4>().0);
        } else {
            inner_row.fill(0.0);
            below_row.fill([0; 4]);
        }
        for ((outer, inner), below) in outer_row.iter().zip(&inner_row).zip(&below_row) {
            let ring = f32::from(color[3]) / 255.0 * (outer - inner).max(0.0);
            pixels.extend_from_slice(&add(*below, color, ring));
        }
    }
    Frame::new(size, alpha, pixels).map_err(|error| error.to_string())
}

/// Premultiplied sum of a pixel and `ring` of a color.
#[inline(always)]
fn add(below: Rgba8, color: Rgba8, ring: f32) -> Rgba8 {
    if ring <= 0.0 {
        return below;
    }
    let alpha = f32::from(below[3]) / 255.0;
    let o = (alpha + ring).min(1.0);
    let mix = |i: usize| ((f32::from(below[i]) * alpha + f32::from(color[i]) * ring) / o + 0.5) as u8;
    [mix(0), mix(1), mix(2), (o * 255.0 + 0.5) as u8]
}
