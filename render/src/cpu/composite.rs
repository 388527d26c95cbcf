//! One picture over another.

use crate::frame::Frame;

/// Draws `layer` over `base` in place at (`left`, `top`), clipped: source-over on encoded values, straight alpha.
pub(super) fn composite(base: &mut Frame, layer: &Frame, left: i32, top: i32, opacity: f32) {
    let size = base.size();
    let (columns, skip_columns) = overlap(left, layer.size().width, size.width);
    let (rows, skip_rows) = overlap(top, layer.size().height, size.height);
    let opaque = !layer.has_alpha() && opacity >= 1.0;
    let stride = base.row_stride_bytes();
    for (i, y) in rows.enumerate() {
        let below = &mut base.pixels_mut()[y * stride..][columns.start * 4..columns.end * 4];
        let above = &layer.row((skip_rows + i) as u32)[skip_columns * 4..][..below.len()];
        if opaque {
            below.copy_from_slice(above);
        } else {
            for (below, above) in below.as_chunks_mut::<4>().0.iter_mut().zip(above.as_chunks::<4>().0) {
                *below = over(*above, *below, opacity);
            }
        }
    }
}

/// Pixels of the base that the layer covers along one axis, and how many of the layer's lie before them.
fn overlap(offset: i32, layer: u32, base: u32) -> (std::ops::Range<usize>, usize) {
    let (offset, base) = (i64::from(offset), i64::from(base));
    let start = offset.clamp(0, base);
    let end = (offset + i64::from(layer)).clamp(start, base);
    let skipped = if start < end { start - offset } else { 0 };
    (start as usize..end as usize, skipped as usize)
}

#[inline(always)]
fn over(layer: [u8; 4], base: [u8; 4], opacity: f32) -> [u8; 4] {
    let s = f32::from(layer[3]) / 255.0 * opacity;
    if s <= 0.0 {
        return base;
    }
    if s >= 1.0 {
        return [layer[0], layer[1], layer[2], 255];
    }
    let below = f32::from(base[3]) / 255.0 * (1.0 - s);
    let o = s + below;
    let mix = |i: usize| ((f32::from(layer[i]) * s + f32::from(base[i]) * below) / o + 0.5) as u8;
    [mix(0), mix(1), mix(2), (o * 255.0 + 0.5) as u8]
}
