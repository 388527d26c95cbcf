//! Writing moving pictures: GIF and animated PNG.

use super::gif::{GifWriter, Repeat};
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
    let mut writer = GifWriter::new(size, Repeat::Forever, frames.iter().any(Frame::has_alpha))?;
    for frame in frames {
        writer.push(frame, delay_ms.div_ceil(10))?;
    }
    writer.finish()
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::codec::decode_gif;

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
