//! The forms in which pictures travel: as few bytes as they have, spread into words by kernels.

use crate::backend::Source;
use crate::error::Result;
use crate::frame::BYTES_PER_PIXEL;
use crate::plan::geometry::Size;
use crate::planes::{Plane, Planes, Subsampling};
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
        Source::Planar(planes) => {
            pixels + planes.chroma().iter().flat_map(|both| both.iter()).map(|plane| plane.size().pixels()).sum::<u64>()
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
        Source::Planar(planes) => {
            for plane in std::iter::once(planes.luma()).chain(planes.chroma().into_iter().flatten()) {
                for y in 0..plane.size().height {
                    emit(plane.row(y));
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
    let Source::Planar(planes) = source else { return job };
    let Some([blue, _]) = planes.chroma() else { return job };
    let (chroma, subsampling) = (blue.size(), planes.subsampling());
    let cb = input + source.size().pixels();
    WireJob {
        cb: cb as u32,
        cr: (cb + chroma.pixels()) as u32,
        chroma_width: chroma.width,
        chroma_height: chroma.height,
        shift_x: u32::from(subsampling.across > 1),
        shift_y: u32::from(subsampling.down > 1),
        ..job
    }
}

/// The planes of a source that lie in the arena as they came, from byte `input` on: as the kernels that resample them
/// are told.
pub(super) fn in_planes(source: &Source, wire: u64) -> WireJob {
    WireJob { stride: source.size().width, ..spread(source, wire, 0) }
}

/// Words of a plane of bytes on its way down.
pub(super) fn plane_words(size: Size) -> u64 {
    size.pixels().div_ceil(4)
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

/// A picture from planes that lie behind one another, each in whole words.
pub(super) fn planes(bytes: &[u8], size: Size, subsampling: Subsampling, gray: bool) -> Result<Planes> {
    let mut at = 0;
    let mut plane = |size: Size| {
        let end = at + size.pixels() as usize;
        let samples = bytes.get(at..end).unwrap_or_default().to_vec();
        at += plane_words(size) as usize * BYTES_PER_PIXEL;
        Plane::new(size, size.width as usize, samples)
    };
    let luma = plane(size)?;
    let coarse = subsampling.apply(size);
    let chroma = if gray { None } else { Some([plane(coarse)?, plane(coarse)?]) };
    Planes::new(luma, chroma, subsampling)
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
    use std::sync::Arc;

    #[test]
    fn what_is_written_is_what_was_counted_up_to_the_last_word() {
        let plane = |size: Size| {
            let stride = size.width as usize + 5;
            Plane::new(size, stride, vec![7; stride * size.height as usize]).unwrap()
        };
        let mut sources = vec![
            Source::Rgba(Arc::new(Frame::filled(Size::new(67, 123), [1, 2, 3, 4]))),
            Source::Rgba(Arc::new(Frame::filled(Size::new(67, 123), [1, 2, 3, 255]))),
            Source::Rgba(Arc::new(Frame::filled(Size::new(1, 1), [1, 2, 3, 255]))),
        ];
        let size = Size::new(31, 17);
        for (across, down) in [(1, 1), (2, 1), (2, 2), (1, 2)] {
            let subsampling = Subsampling { across, down };
            let chroma = || plane(subsampling.apply(size));
            for chroma in [None, Some([chroma(), chroma()])] {
                sources.push(Source::Planar(Arc::new(Planes::new(plane(size), chroma, subsampling).unwrap())));
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
