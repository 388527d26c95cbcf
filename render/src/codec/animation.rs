//! Writing moving pictures: GIF and animated PNG.

use super::invalid;
use crate::error::{Error, Result};
use crate::frame::Frame;
use crate::plan::geometry::Size;

/// Formats that several frames can be written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnimationFormat {
    Gif,
    Png,
}

impl AnimationFormat {
    /// Usual extension.
    pub const fn extension(self) -> &'static str {
        match self {
            AnimationFormat::Gif => "gif",
            AnimationFormat::Png => "png",
        }
    }
}

/// Alpha from which on a pixel of a GIF is opaque: there is nothing between.
const OPAQUE_FROM: u8 = 128;
/// How much of a frame is looked at for its palette, from 1 (all) to 30.
const PALETTE_SAMPLING: i32 = 10;

/// Writes frames of one size that follow each other for ever. `delay_ms` is how long each is shown; GIF rounds it to
/// hundredths of a second.
///
/// Errors: [`Error::Limit`] when there are no frames, or their sides are beyond the format's; [`Error::Encode`] when their
/// sizes differ.
pub fn encode_animation(frames: &[Frame], delay_ms: u16, format: AnimationFormat) -> Result<Vec<u8>> {
    let first = frames.first().ok_or_else(|| Error::Limit("An animation needs at least one frame".into()))?;
    if frames.iter().any(|frame| frame.size() != first.size()) {
        return Err(Error::Encode("frames of an animation differ in size".into()));
    }
    match format {
        AnimationFormat::Gif => gif(frames, first.size(), delay_ms),
        AnimationFormat::Png => png(frames, first.size(), delay_ms),
    }
}

fn gif(frames: &[Frame], size: Size, delay_ms: u16) -> Result<Vec<u8>> {
    let refused = |error: gif::EncodingError| Error::Encode(format!("gif: {error}"));
    let side = |length: u32| {
        u16::try_from(length)
            .map_err(|_| Error::Limit(format!("Maximum side of a gif image is 65535 pixels. Requested {size}")))
    };
    let (width, height) = (side(size.width)?, side(size.height)?);
    let mut bytes = Vec::new();
    let mut encoder = gif::Encoder::new(&mut bytes, width, height, &[]).map_err(refused)?;
    encoder.set_repeat(gif::Repeat::Infinite).map_err(refused)?;
    for frame in frames {
        let mut pixels = frame.pixels().to_vec();
        for pixel in pixels.chunks_exact_mut(4) {
            // Fully transparent pixels take one entry of the palette, whatever color they hide.
            let opaque = pixel[3] >= OPAQUE_FROM;
            pixel.copy_from_slice(&if opaque { [pixel[0], pixel[1], pixel[2], 255] } else { [0, 0, 0, 0] });
        }
        let mut written = gif::Frame::from_rgba_speed(width, height, &mut pixels, PALETTE_SAMPLING);
        written.delay = delay_ms.div_ceil(10);
        written.dispose = if frame.has_alpha() { gif::DisposalMethod::Background } else { gif::DisposalMethod::Keep };
        encoder.write_frame(&written).map_err(refused)?;
    }
    drop(encoder);
    Ok(bytes)
}

fn png(frames: &[Frame], size: Size, delay_ms: u16) -> Result<Vec<u8>> {
    let refused = |error: png::EncodingError| Error::Encode(format!("png: {error}"));
    let n_frames = u32::try_from(frames.len()).map_err(|_| Error::Limit("too many frames".into()))?;
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, size.width, size.height);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_color(png::ColorType::Rgba);
    encoder.set_animated(n_frames, 0).map_err(refused)?;
    encoder.set_frame_delay(delay_ms, 1000).map_err(refused)?;
    encoder.set_dispose_op(png::DisposeOp::Background).map_err(refused)?;
    let mut writer = encoder.write_header().map_err(refused)?;
    for frame in frames {
        writer.write_image_data(frame.pixels()).map_err(refused)?;
    }
    writer.finish().map_err(refused)?;
    Ok(bytes)
}

/// Reads the frames of a GIF as they are shown, each a whole picture of the logical screen.
///
/// At most `max_frames` are read, and no more pixels altogether than `max_pixels`. Errors: [`Error::Decode`] for a damaged
/// file, [`Error::Limit`] beyond the limits.
pub fn decode_gif(bytes: &[u8], max_frames: usize, max_pixels: u64) -> Result<Vec<Frame>> {
    let mut options = gif::DecodeOptions::new();
    options.set_color_output(gif::ColorOutput::RGBA);
    if let Some(limit) = std::num::NonZeroU64::new(max_pixels.saturating_mul(4)) {
        options.set_memory_limit(gif::MemoryLimit::Bytes(limit));
    }
    let mut decoder = options.read_info(bytes).map_err(invalid)?;
    let size = Size::new(decoder.width().into(), decoder.height().into());
    if size.pixels() == 0 {
        return Err(invalid("it has no pixels"));
    }
    let mut screen = Vec::new();
    let mut frames = Vec::new();
    while let Some(read) = decoder.read_next_frame().map_err(invalid)? {
        if frames.len() >= max_frames {
            return Err(Error::Limit(format!("Maximum number of frames is {max_frames}")));
        }
        if size.pixels().saturating_mul(frames.len() as u64 + 1) > max_pixels {
            return Err(Error::Limit(format!("Maximum number of pixels of all frames is {max_pixels}")));
        }
        if screen.is_empty() {
            screen = vec![0; size.pixels() as usize * 4];
        }
        let before = (read.dispose == gif::DisposalMethod::Previous).then(|| screen.clone());
        draw(&mut screen, size, read, &read.buffer);
        let has_alpha = screen.chunks_exact(4).any(|pixel| pixel[3] != 255);
        frames.push(Frame::new(size, has_alpha, screen.clone())?);
        match (read.dispose, before) {
            (_, Some(before)) => screen = before,
            (gif::DisposalMethod::Background, _) => erase(&mut screen, size, read),
            _ => {}
        }
    }
    if frames.is_empty() {
        return Err(invalid("it has no frames"));
    }
    Ok(frames)
}

/// Positions on the screen of a frame's pixels, with their places in the frame; what lies outside is left out.
fn places(size: Size, frame: &gif::Frame) -> impl Iterator<Item = (usize, usize)> + use<> {
    let (left, top) = (usize::from(frame.left), usize::from(frame.top));
    let (width, height) = (usize::from(frame.width), usize::from(frame.height));
    let (screen_width, screen_height) = (size.width as usize, size.height as usize);
    (0..height.min(screen_height.saturating_sub(top))).flat_map(move |y| {
        let row = (top + y) * screen_width + left;
        (0..width.min(screen_width.saturating_sub(left))).map(move |x| ((row + x) * 4, (y * width + x) * 4))
    })
}

fn draw(screen: &mut [u8], size: Size, frame: &gif::Frame, pixels: &[u8]) {
    for (to, from) in places(size, frame) {
        if let Some(pixel) = pixels.get(from..from + 4).filter(|pixel| pixel[3] > 0) {
            screen[to..to + 4].copy_from_slice(pixel);
        }
    }
}

fn erase(screen: &mut [u8], size: Size, frame: &gif::Frame) {
    for (to, _) in places(size, frame) {
        screen[to..to + 4].fill(0);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn flat(rgba: [u8; 4]) -> Frame {
        Frame::filled(Size::new(20, 10), rgba)
    }

    #[test]
    fn a_gif_gives_its_frames_back() {
        let mut half = flat([0, 200, 0, 255]).into_pixels();
        half[..400].fill(0);
        let frames =
            [flat([200, 0, 0, 255]), Frame::new(Size::new(20, 10), true, half).unwrap(), flat([0, 0, 200, 255])];
        let bytes = encode_animation(&frames, 120, AnimationFormat::Gif).unwrap();
        let read = decode_gif(&bytes, 10, 10_000).unwrap();
        assert_eq!(read.len(), 3);
        for (x, y, n) in [(3, 8, 0), (3, 8, 1), (3, 8, 2)] {
            let (wanted, got) = (frames[n].pixel(x, y), read[n].pixel(x, y));
            assert!(wanted.iter().zip(got).all(|(a, b)| a.abs_diff(b) < 8), "{n}: {wanted:?} {got:?}");
        }
        assert_eq!((read[2].pixel(3, 2)[3], read[2].has_alpha()), (255, false));
        assert!(matches!(decode_gif(&bytes, 2, 10_000), Err(Error::Limit(_))));
        assert!(matches!(decode_gif(&bytes, 10, 500), Err(Error::Limit(_))));
        for end in 0..bytes.len() - 1 {
            let _ = decode_gif(&bytes[..end], 10, 10_000);
        }
    }

    #[test]
    fn an_animated_png_says_how_many_frames_it_has() {
        let bytes = encode_animation(&[flat([1, 2, 3, 255]), flat([4, 5, 6, 7])], 50, AnimationFormat::Png).unwrap();
        let reader = png::Decoder::new(std::io::Cursor::new(&bytes)).read_info().unwrap();
        assert_eq!(reader.info().animation_control.unwrap().num_frames, 2);
    }

    #[test]
    fn frames_must_agree() {
        let other = Frame::filled(Size::new(2, 2), [0; 4]);
        assert!(encode_animation(&[flat([0; 4]), other], 10, AnimationFormat::Gif).is_err());
        assert!(encode_animation(&[], 10, AnimationFormat::Gif).is_err());
    }
}
