//! The forms in which pictures travel: as few bytes as they have, spread into words by kernels.

use crate::backend::Source;
use crate::frame::BYTES_PER_PIXEL;
use crate::plan::geometry::Size;
use tintype_shaders::params::WireJob;

/// Bytes of an opaque pixel on its way.
const TRIPLET_BYTES: usize = 3;

/// Pixels that are spread or packed at a time.
const CHUNK_PIXELS: usize = 4096;

/// Longest row of groups of four pixels: as many tiles across as any device can launch.
const GROUPS_ACROSS: u64 = 4096;

/// How a source travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// As the words that kernels read.
    Words,
    /// Three bytes a pixel.
    Rgb,
    /// Planes.
    Planar,
}

/// Form of a source.
pub(super) fn form(source: &Source) -> Form {
    match source {
        Source::Rgba(frame) if frame.has_alpha() => Form::Words,
        Source::Rgba(_) => Form::Rgb,
        Source::Planar(_) => Form::Planar,
    }
}

/// Bytes that a source takes on its way, in whole words.
pub(super) fn bytes(source: &Source) -> u64 {
    let pixels = source.size().pixels();
    let bytes = match source {
        Source::Rgba(frame) if frame.has_alpha() => pixels * BYTES_PER_PIXEL as u64,
        Source::Rgba(_) => pixels * TRIPLET_BYTES as u64,
        Source::Planar(frame) => {
            pixels + if frame.chroma().is_some() { 2 * frame.chroma_window().size().pixels() } else { 0 }
        }
    };
    bytes.next_multiple_of(4)
}

/// Hands out the bytes of a source in order; up to three that fill the last word are left out.
pub(super) fn write(source: &Source, emit: &mut dyn FnMut(&[u8])) {
    match source {
        Source::Rgba(frame) if frame.has_alpha() => emit(frame.pixels()),
        Source::Rgba(frame) => {
            let mut triplets = [0; CHUNK_PIXELS * TRIPLET_BYTES];
            for pixels in frame.pixels().chunks(CHUNK_PIXELS * BYTES_PER_PIXEL) {
                let packed = triplets.chunks_exact_mut(TRIPLET_BYTES).zip(pixels.chunks_exact(BYTES_PER_PIXEL));
                for (triplet, pixel) in packed {
                    triplet.copy_from_slice(&pixel[..TRIPLET_BYTES]);
                }
                emit(&triplets[..pixels.len() / BYTES_PER_PIXEL * TRIPLET_BYTES]);
            }
        }
        Source::Planar(frame) => {
            let luma = frame.window();
            let chroma = frame.chroma_window();
            let planes = std::iter::once((frame.luma(), luma));
            for (plane, part) in planes.chain(frame.chroma().into_iter().flatten().map(|plane| (plane, chroma))) {
                for y in part.y..part.bottom() {
                    emit(&plane.row(y)[part.x as usize..][..part.width as usize]);
                }
            }
        }
    }
}

/// What a kernel is told to spread a source whose bytes lie at word `wire` into pixels at word `output`.
pub(super) fn spread(source: &Source, wire: u64, output: u64) -> WireJob {
    let Size { width, height } = source.size();
    let input = wire * BYTES_PER_PIXEL as u64;
    // Every place fits 32 bits, because the arena does.
    let job = WireJob { input: input as u32, output: output as u32, width, height, ..WireJob::default() };
    let Source::Planar(frame) = source else { return job };
    if frame.chroma().is_none() {
        return job;
    }
    let (luma, chroma, subsampling) = (frame.window(), frame.chroma_window(), frame.subsampling());
    let cb = input + frame.size().pixels();
    WireJob {
        cb: cb as u32,
        cr: (cb + chroma.size().pixels()) as u32,
        chroma_width: chroma.width,
        chroma_height: chroma.height,
        shift_x: subsampling.shift_x,
        shift_y: subsampling.shift_y,
        phase_x: luma.x - (chroma.x << subsampling.shift_x),
        phase_y: luma.y - (chroma.y << subsampling.shift_y),
        ..job
    }
}

/// Words of an opaque picture on its way down.
pub(super) fn packed_words(size: Size) -> u64 {
    size.pixels().div_ceil(4) * TRIPLET_BYTES as u64
}

/// Groups of four pixels as the rectangle over which the kernel runs.
pub(super) fn pack_grid(size: Size) -> Size {
    let groups = size.pixels().div_ceil(4);
    let across = groups.min(GROUPS_ACROSS);
    Size::new(across as u32, groups.div_ceil(across.max(1)) as u32)
}

/// What the kernel is told to pack an opaque picture.
pub(super) fn pack(size: Size, input: u64, output: u64) -> WireJob {
    let Size { width, height } = pack_grid(size);
    // Pixels of a surface fit 32 bits, because their words do.
    let pixels = size.pixels() as u32;
    WireJob { input: input as u32, output: output as u32, width, height, pixels, ..WireJob::default() }
}

/// RGBA pixels from the triplets of a picture.
pub(super) fn unpacked(triplets: &[u8], size: Size) -> Vec<u8> {
    let mut pixels = Vec::with_capacity(size.pixels() as usize * BYTES_PER_PIXEL);
    for triplet in triplets.chunks_exact(TRIPLET_BYTES).take(size.pixels() as usize) {
        pixels.extend_from_slice(&[triplet[0], triplet[1], triplet[2], 255]);
    }
    pixels
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::frame::Frame;
    use crate::plan::geometry::Rect;
    use crate::planar::{PlanarFrame, Plane, Subsampling};
    use std::sync::Arc;

    #[test]
    fn what_is_written_is_what_was_counted_up_to_the_last_word() {
        let plane = |width: u32, height: u32| {
            Plane::new(Size::new(width, height), width as usize + 5, vec![7; (width as usize + 5) * height as usize])
                .unwrap()
        };
        let mut sources = vec![
            Source::Rgba(Arc::new(Frame::filled(Size::new(67, 123), [1, 2, 3, 4]))),
            Source::Rgba(Arc::new(Frame::filled(Size::new(67, 123), [1, 2, 3, 255]))),
            Source::Rgba(Arc::new(Frame::filled(Size::new(1, 1), [1, 2, 3, 255]))),
        ];
        for (shift_x, shift_y) in [(0, 0), (1, 0), (1, 1), (0, 1)] {
            let chroma = || plane(40_u32.div_ceil(1 << shift_x), 30_u32.div_ceil(1 << shift_y));
            let window = Rect::new(3, 5, 31, 17);
            for chroma in [None, Some([chroma(), chroma()])] {
                let frame = PlanarFrame::new(window, Subsampling { shift_x, shift_y }, plane(40, 30), chroma).unwrap();
                sources.push(Source::Planar(Arc::new(frame)));
            }
        }
        for source in &sources {
            let mut written = 0;
            write(source, &mut |part| written += part.len() as u64);
            assert_eq!(written.next_multiple_of(4), bytes(source), "{:?}", form(source));
        }
    }

    #[test]
    fn groups_cover_every_pixel_in_rows_of_bounded_length() {
        for size in [Size::new(1, 1), Size::new(5, 1), Size::new(4096, 4), Size::new(9999, 9999)] {
            let grid = pack_grid(size);
            assert!(grid.pixels() * 4 >= size.pixels() && grid.width <= 4096, "{size}");
            assert!((grid.pixels() - u64::from(grid.width)) * 4 < size.pixels(), "{size}");
        }
    }
}
