//! GIF: reading frame by frame, each as it is shown, and writing frame by frame.

use super::{Bands, Probe, invalid};
use crate::error::{Error, Result};
use crate::frame::{BYTES_PER_PIXEL, Frame};
use crate::language::Format;
use crate::limits::Limits;
use crate::plan::bind::Decoded;
use crate::plan::geometry::{Orientation, Rect, Size};
use crate::plan::step::Demand;
use gif::{DecodingError, DisposalMethod};
use std::io::Read;

/// How often an animation is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeat {
    Forever,
    /// So many times after the first one.
    Times(u16),
}

/// What happens to the screen before the next frame.
enum Disposal {
    Keep,
    Erase(Rect),
    Restore(Vec<u8>),
}

/// Reads the frames of a GIF one after the other, each as a whole picture of the logical screen: straight sRGB with alpha
/// 0 or 255. What a frame draws outside of the screen is cut off; what no frame has drawn is transparent.
///
/// Limits are checked before memory is taken for a frame: [`Limits::source_pixels`] for the screen and for each frame,
/// [`Limits::animation_frames`], and [`Limits::animation_pixels`] for the screens of all frames together.
pub struct GifReader<R: Read> {
    decoder: gif::Decoder<R>,
    size: Size,
    limits: Limits,
    screen: Vec<u8>,
    buffer: Vec<u8>,
    disposal: Disposal,
    n_frames: usize,
    n_pixels: u64,
}

impl<R: Read> GifReader<R> {
    /// Reads the header.
    pub fn open(reader: R, limits: &Limits) -> Result<Self> {
        Self::start(reader, limits, false)
    }

    fn start(reader: R, limits: &Limits, skips_pixels: bool) -> Result<Self> {
        let mut options = gif::DecodeOptions::new();
        options.set_color_output(gif::ColorOutput::RGBA);
        options.skip_frame_decoding(skips_pixels);
        let most = limits.source_pixels.saturating_mul(BYTES_PER_PIXEL as u64);
        if let Some(most) = std::num::NonZeroU64::new(most) {
            options.set_memory_limit(gif::MemoryLimit::Bytes(most));
        }
        let decoder = options.read_info(reader).map_err(invalid)?;
        let size = Size::new(decoder.width().into(), decoder.height().into());
        limits.check_source(size)?;
        Ok(GifReader {
            decoder,
            size,
            limits: limits.clone(),
            screen: Vec::new(),
            buffer: Vec::new(),
            disposal: Disposal::Keep,
            n_frames: 0,
            n_pixels: 0,
        })
    }

    /// Size of the logical screen, which is that of every frame.
    pub fn size(&self) -> Size {
        self.size
    }

    /// How often the animation is shown; known once the first frame was read.
    pub fn repeat(&self) -> Repeat {
        match self.decoder.repeat() {
            gif::Repeat::Infinite => Repeat::Forever,
            gif::Repeat::Finite(times) => Repeat::Times(times),
        }
    }

    /// Goes to the next frame, and answers how long it is shown, in hundredths of a second. `None`: there are no more.
    ///
    /// Errors: [`Error::Decode`] for a damaged file or one without frames, [`Error::Limit`] beyond the limits.
    pub fn advance(&mut self) -> Result<Option<u16>> {
        let Some(shown) = self.next_header()? else { return Ok(None) };
        self.dispose();
        if self.screen.is_empty() {
            self.screen = vec![0; self.size.pixels() as usize * BYTES_PER_PIXEL];
        }
        // Data may end early without an error; what is missing is transparent.
        self.buffer.clear();
        self.buffer.resize(self.decoder.buffer_size(), 0);
        self.decoder.read_into_buffer(&mut self.buffer).map_err(invalid)?;
        self.disposal = match shown.dispose {
            DisposalMethod::Any | DisposalMethod::Keep => Disposal::Keep,
            DisposalMethod::Background => Disposal::Erase(shown.on_screen),
            DisposalMethod::Previous => Disposal::Restore(self.screen.clone()),
        };
        self.draw(&shown);
        Ok(Some(shown.delay_cs))
    }

    /// The frame that [`GifReader::advance`] went to, rows without padding.
    pub fn screen(&self) -> &[u8] {
        &self.screen
    }

    /// The same as a frame of its own.
    pub fn frame(&self) -> Result<Frame> {
        Frame::new(self.size, is_transparent(&self.screen), self.screen.clone())
    }

    fn next_header(&mut self) -> Result<Option<Shown>> {
        let found = match self.decoder.next_frame_info() {
            Ok(found) => found,
            // Many files lack their last byte.
            Err(DecodingError::UnexpectedEof) if self.n_frames > 0 => None,
            Err(error) => return Err(invalid(error)),
        };
        let Some(frame) = found else {
            return if self.n_frames > 0 { Ok(None) } else { Err(invalid("it has no frames")) };
        };
        let shown = Shown::new(frame, self.size);
        self.limits.check_source_pixels(shown.own.pixels())?;
        self.n_frames += 1;
        // What lies outside of the screen has to be decoded too.
        self.n_pixels = self.n_pixels.saturating_add(self.size.pixels().max(shown.own.pixels()));
        if self.n_frames > self.limits.animation_frames.max(1) {
            return Err(Error::Limit(format!("Maximum number of frames is {}", self.limits.animation_frames)));
        }
        if self.n_frames > 1 && self.n_pixels > self.limits.animation_pixels {
            return Err(Error::Limit(format!(
                "Maximum number of pixels of all frames is {}",
                self.limits.animation_pixels
            )));
        }
        Ok(Some(shown))
    }

    fn dispose(&mut self) {
        match std::mem::replace(&mut self.disposal, Disposal::Keep) {
            Disposal::Keep => {}
            Disposal::Restore(screen) => self.screen = screen,
            Disposal::Erase(rect) => {
                let stride = self.size.width as usize * BYTES_PER_PIXEL;
                let columns = rect.x as usize * BYTES_PER_PIXEL..rect.right() as usize * BYTES_PER_PIXEL;
                let rows = self.screen.chunks_exact_mut(stride).skip(rect.y as usize).take(rect.height as usize);
                rows.for_each(|row| row[columns.clone()].fill(0));
            }
        }
    }

    fn draw(&mut self, shown: &Shown) {
        let rect = shown.on_screen;
        if rect.width == 0 || rect.height == 0 {
            return;
        }
        let stride = self.size.width as usize * BYTES_PER_PIXEL;
        let left = rect.x as usize * BYTES_PER_PIXEL;
        let own_rows = self.buffer.chunks_exact(shown.own.width as usize * BYTES_PER_PIXEL);
        let rows = self.screen.chunks_exact_mut(stride).skip(rect.y as usize).take(rect.height as usize);
        for (row, own) in rows.zip(own_rows) {
            let row = &mut row[left..left + rect.width as usize * BYTES_PER_PIXEL];
            for (pixel, new) in row.chunks_exact_mut(BYTES_PER_PIXEL).zip(own.chunks_exact(BYTES_PER_PIXEL)) {
                if new[3] > 0 {
                    pixel.copy_from_slice(new);
                }
            }
        }
    }
}

/// Where a frame lies and what follows it.
struct Shown {
    own: Size,
    /// The part of it that is on the screen.
    on_screen: Rect,
    dispose: DisposalMethod,
    delay_cs: u16,
    is_transparent: bool,
}

impl Shown {
    fn new(frame: &gif::Frame<'_>, screen: Size) -> Self {
        let (x, y) = (u32::from(frame.left).min(screen.width), u32::from(frame.top).min(screen.height));
        let own = Size::new(frame.width.into(), frame.height.into());
        let on_screen = Rect::new(x, y, own.width.min(screen.width - x), own.height.min(screen.height - y));
        Shown {
            own,
            on_screen,
            dispose: frame.dispose,
            delay_cs: frame.delay,
            is_transparent: frame.transparent.is_some(),
        }
    }
}

fn is_transparent(pixels: &[u8]) -> bool {
    pixels.chunks_exact(BYTES_PER_PIXEL).any(|pixel| pixel[3] != 255)
}

/// What the headers of all frames say; no pixel is decoded, so that `has_alpha` may be true of an opaque picture, and false
/// where damaged pixels are left out.
pub(super) fn probe(bytes: &[u8], limits: &Limits) -> Result<Probe> {
    let mut reader = GifReader::start(bytes, limits, true)?;
    let whole = Rect::whole(reader.size);
    let (mut pages, mut has_alpha) = (0, false);
    while let Some(shown) = reader.next_header()? {
        let erases = shown.dispose == DisposalMethod::Background && !shown.is_transparent;
        has_alpha |= shown.is_transparent || erases || pages == 0 && shown.on_screen != whole;
        pages += 1;
    }
    Ok(Probe { format: Format::Gif, size: reader.size, orientation: Orientation::IDENTITY, has_alpha, pages })
}

/// Decodes every frame; `has_alpha` is exact.
pub(super) fn verify(bytes: &[u8], limits: &Limits) -> Result<Probe> {
    let mut reader = GifReader::open(bytes, limits)?;
    let (mut pages, mut has_alpha) = (0, false);
    while reader.advance()?.is_some() {
        has_alpha |= is_transparent(reader.screen());
        pages += 1;
    }
    Ok(Probe { format: Format::Gif, size: reader.size, orientation: Orientation::IDENTITY, has_alpha, pages })
}

/// Bytes that reading takes beside the frame that is read: the screen, a frame before it is drawn, and the screen that
/// is to be restored.
pub(super) fn scratch_bytes(size: Size) -> u64 {
    size.pixels().saturating_mul(BYTES_PER_PIXEL as u64 * 3)
}

/// One frame, as a still picture.
pub(super) struct Decoder {
    bands: Bands,
    decoded: Decoded,
    has_alpha: bool,
}

impl Decoder {
    /// `page` counts from 0.
    pub fn open(bytes: &[u8], page: u32, demand: &Demand, limits: &Limits) -> Result<Self> {
        let mut reader = GifReader::open(bytes, limits)?;
        let size = reader.size;
        if size != demand.size {
            return Err(invalid(format!("it is {size} now but was {} when it was uploaded", demand.size)));
        }
        for read in 0..=page {
            if reader.advance()?.is_none() {
                return Err(super::no_such_page(page, read));
            }
        }
        let window = demand.region;
        let has_alpha = is_transparent(&reader.screen);
        let mut pixels = std::mem::take(&mut reader.screen);
        if window != Rect::whole(size) {
            let stride = size.width as usize * BYTES_PER_PIXEL;
            let columns = window.x as usize * BYTES_PER_PIXEL..window.right() as usize * BYTES_PER_PIXEL;
            let rows = pixels.chunks_exact(stride).skip(window.y as usize).take(window.height as usize);
            pixels = rows.flat_map(|row| &row[columns.clone()]).copied().collect();
        }
        Ok(Decoder {
            bands: Bands::new(pixels, window.width),
            decoded: Decoded { full: size, window, eighths: 8, subsampling: None },
            has_alpha,
        })
    }
}

impl super::Decoder for Decoder {
    fn decoded(&self) -> Decoded {
        self.decoded
    }

    fn has_alpha(&self) -> bool {
        self.has_alpha
    }

    fn read_band(&mut self, rows: u32, out: &mut [u8]) -> Result<u32> {
        Ok(self.bands.read(rows, out))
    }
}

/// Alpha from which on a pixel of a GIF is opaque: there is nothing between.
const OPAQUE_FROM: u8 = 128;
/// How much of a frame is looked at for its palette, from 1 (all) to 30.
const PALETTE_SAMPLING: i32 = 10;

/// Writes frames of one size that follow each other.
pub struct GifWriter {
    encoder: gif::Encoder<Vec<u8>>,
    size: Size,
    has_alpha: bool,
}

impl GifWriter {
    /// `has_alpha` must be true when any of the frames has: each is then wiped away before the next one is drawn.
    ///
    /// Errors: [`Error::Limit`] when the sides are beyond the format's.
    pub fn new(size: Size, repeat: Repeat, has_alpha: bool) -> Result<Self> {
        let (width, height) = sides(size)?;
        let mut encoder = gif::Encoder::new(Vec::new(), width, height, &[]).map_err(refused)?;
        let repeat = match repeat {
            Repeat::Forever => gif::Repeat::Infinite,
            Repeat::Times(times) => gif::Repeat::Finite(times),
        };
        encoder.set_repeat(repeat).map_err(refused)?;
        Ok(GifWriter { encoder, size, has_alpha })
    }

    /// Adds a frame that is shown for so many hundredths of a second.
    ///
    /// Errors: [`Error::Encode`] when its size differs.
    pub fn push(&mut self, frame: &Frame, delay_cs: u16) -> Result<()> {
        if frame.size() != self.size {
            return Err(Error::Encode("frames of an animation differ in size".into()));
        }
        let (width, height) = sides(self.size)?;
        let mut pixels = frame.pixels().to_vec();
        for pixel in pixels.chunks_exact_mut(BYTES_PER_PIXEL) {
            // Fully transparent pixels take one entry of the palette, whatever color they hide.
            let opaque = pixel[3] >= OPAQUE_FROM;
            pixel.copy_from_slice(&if opaque { [pixel[0], pixel[1], pixel[2], 255] } else { [0, 0, 0, 0] });
        }
        let mut written = gif::Frame::from_rgba_speed(width, height, &mut pixels, PALETTE_SAMPLING);
        written.delay = delay_cs;
        written.dispose = if self.has_alpha { DisposalMethod::Background } else { DisposalMethod::Keep };
        self.encoder.write_frame(&written).map_err(refused)
    }

    /// Bytes written so far.
    pub fn len(&self) -> usize {
        self.encoder.get_ref().len()
    }

    /// Whether nothing was written, which is never.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The file.
    pub fn finish(self) -> Result<Vec<u8>> {
        self.encoder.into_inner().map_err(|error| Error::Encode(format!("gif: {error}")))
    }
}

/// Writes a still picture.
pub(super) fn encode(frame: &Frame) -> Result<Vec<u8>> {
    let (width, height) = sides(frame.size())?;
    let encoder = gif::Encoder::new(Vec::new(), width, height, &[]).map_err(refused)?;
    let mut writer = GifWriter { encoder, size: frame.size(), has_alpha: false };
    writer.push(frame, 0)?;
    writer.finish()
}

fn sides(size: Size) -> Result<(u16, u16)> {
    let side = |length: u32| {
        u16::try_from(length)
            .map_err(|_| Error::Limit(format!("Maximum side of a gif image is 65535 pixels. Requested {size}")))
    };
    Ok((side(size.width)?, side(size.height)?))
}

fn refused(error: gif::EncodingError) -> Error {
    Error::Encode(format!("gif: {error}"))
}

/// Reads the frames of a GIF as they are shown, at most `max_frames` with no more pixels altogether than `max_pixels`.
///
/// Errors: those of [`GifReader`].
pub fn decode_gif(bytes: &[u8], max_frames: usize, max_pixels: u64) -> Result<Vec<Frame>> {
    let limits = Limits {
        source_pixels: max_pixels,
        animation_frames: max_frames,
        animation_pixels: max_pixels,
        ..Limits::default()
    };
    let mut reader = GifReader::open(bytes, &limits)?;
    let mut frames = Vec::new();
    while reader.advance()?.is_some() {
        frames.push(reader.frame()?);
    }
    Ok(frames)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::codec;

    const LIMITS: fn() -> Limits = Limits::default;
    const RED: u8 = 1;
    const GREEN: u8 = 2;

    /// One frame as a file states it: indices into black, red, green, blue.
    struct Written {
        at: (u16, u16),
        size: (u16, u16),
        fill: u8,
        dispose: DisposalMethod,
        transparent: Option<u8>,
    }

    fn written(at: (u16, u16), size: (u16, u16), fill: u8, dispose: DisposalMethod) -> Written {
        Written { at, size, fill, dispose, transparent: None }
    }

    fn file(screen: (u16, u16), frames: &[Written]) -> Vec<u8> {
        let palette = [0, 0, 0, 255, 0, 0, 0, 255, 0, 0, 0, 255];
        let mut bytes = Vec::new();
        let mut encoder = gif::Encoder::new(&mut bytes, screen.0, screen.1, &palette).unwrap();
        encoder.set_repeat(gif::Repeat::Finite(3)).unwrap();
        for frame in frames {
            let pixels = vec![frame.fill; usize::from(frame.size.0) * usize::from(frame.size.1)];
            let mut one = gif::Frame::from_indexed_pixels(frame.size.0, frame.size.1, pixels, frame.transparent);
            (one.left, one.top) = frame.at;
            one.dispose = frame.dispose;
            one.delay = 7;
            encoder.write_frame(&one).unwrap();
        }
        drop(encoder);
        bytes
    }

    fn frames(bytes: &[u8]) -> Vec<Frame> {
        decode_gif(bytes, 100, 1_000_000).unwrap()
    }

    #[test]
    fn frames_are_disposed_of_as_they_say() {
        let (keep, wipe, back) = (DisposalMethod::Keep, DisposalMethod::Background, DisposalMethod::Previous);
        let bytes = file(
            (4, 4),
            &[
                written((0, 0), (4, 4), RED, keep),
                written((1, 1), (2, 2), GREEN, wipe),
                written((0, 0), (1, 1), GREEN, back),
                written((3, 3), (1, 1), GREEN, keep),
            ],
        );
        let read = frames(&bytes);
        let (red, green, none) = ([255, 0, 0, 255], [0, 255, 0, 255], [0; 4]);
        assert_eq!((read[0].pixel(1, 1), read[0].has_alpha()), (red, false));
        assert_eq!((read[1].pixel(1, 1), read[1].pixel(0, 0)), (green, red));
        assert_eq!((read[2].pixel(1, 1), read[2].pixel(0, 0), read[2].has_alpha()), (none, green, true));
        assert_eq!((read[3].pixel(0, 0), read[3].pixel(3, 3), read[3].pixel(2, 2)), (red, green, none));
        let found = codec::verify(&bytes, &LIMITS()).unwrap();
        assert_eq!((found.pages, found.has_alpha, found.size), (4, true, Size::new(4, 4)));
        let opaque = file((2, 2), &[written((0, 0), (2, 2), RED, keep)]);
        assert!(!codec::verify(&opaque, &LIMITS()).unwrap().has_alpha);
        assert_eq!(codec::probe(&bytes, &LIMITS()).unwrap().pages, 4);
    }

    #[test]
    fn what_lies_outside_is_cut_off() {
        let keep = DisposalMethod::Background;
        let bytes = file(
            (4, 4),
            &[
                written((2, 2), (60, 60), RED, keep),
                written((4, 0), (9, 9), GREEN, keep),
                written((60_000, 60_000), (9, 9), GREEN, keep),
                written((0, 3), (1, 1), GREEN, keep),
            ],
        );
        let read = frames(&bytes);
        assert_eq!((read[0].pixel(3, 3), read[0].pixel(1, 3)), ([255, 0, 0, 255], [0; 4]));
        assert!(read[1].pixels().iter().chain(read[2].pixels()).all(|byte| *byte == 0));
        assert_eq!(read[3].pixel(0, 3), [0, 255, 0, 255]);
    }

    #[test]
    fn transparent_pixels_show_what_was_there() {
        let mut second = written((0, 0), (2, 2), GREEN, DisposalMethod::Keep);
        second.transparent = Some(GREEN);
        let bytes = file((2, 2), &[written((0, 0), (2, 2), RED, DisposalMethod::Keep), second]);
        assert_eq!(frames(&bytes)[1].pixel(1, 1), [255, 0, 0, 255]);
    }

    #[test]
    fn pages_are_counted_from_one_and_read_in_part() {
        let bytes = file(
            (6, 4),
            &[written((0, 0), (6, 4), RED, DisposalMethod::Keep), written((2, 1), (1, 1), GREEN, DisposalMethod::Keep)],
        );
        let demand = Demand { size: Size::new(6, 4), scale: 1.0, region: Rect::new(2, 1, 3, 2) };
        let (frame, given) = codec::decode_page(&bytes, 1, &demand, &LIMITS()).unwrap();
        assert_eq!((frame.size(), given.window), (Size::new(3, 2), demand.region));
        assert_eq!((frame.pixel(0, 0), frame.pixel(1, 1)), ([0, 255, 0, 255], [255, 0, 0, 255]));
        let error = codec::decode_page(&bytes, 2, &demand, &LIMITS()).unwrap_err();
        assert_eq!(error.to_string(), "Invalid page in transformation: 3 is out of range, the file has 2 pages");
    }

    #[test]
    fn limits_hold_below_and_not_above() {
        let keep = DisposalMethod::Keep;
        let bytes = file((10, 10), &[written((0, 0), (1, 1), RED, keep), written((0, 0), (20, 20), RED, keep)]);
        let verify = |limits: Limits| codec::verify(&bytes, &limits);
        assert!(verify(Limits { animation_frames: 2, animation_pixels: 500, ..LIMITS() }).is_ok());
        assert!(matches!(verify(Limits { animation_frames: 1, ..LIMITS() }), Err(Error::Limit(_))));
        assert!(matches!(verify(Limits { animation_pixels: 499, ..LIMITS() }), Err(Error::Limit(_))));
        assert!(matches!(verify(Limits { source_pixels: 399, ..LIMITS() }), Err(Error::Limit(_))));
        assert!(matches!(verify(Limits { source_pixels: 99, ..LIMITS() }), Err(Error::Limit(_))));
    }

    #[test]
    fn hostile_files_are_refused_or_read() {
        let keep = DisposalMethod::Previous;
        let whole = file(
            (30, 20),
            &[written((0, 0), (30, 20), RED, keep), written((5, 5), (40, 3), GREEN, DisposalMethod::Background)],
        );
        let limits = Limits { source_pixels: 10_000, animation_pixels: 30_000, animation_frames: 5, ..LIMITS() };
        for end in 0..whole.len() - 1 {
            let cut = &whole[..end];
            let _ = (codec::probe(cut, &limits), codec::verify(cut, &limits));
        }
        // A fixed generator, so that a failure can be repeated.
        let mut state = 0x2545_F491_4F6C_DD1D_u64;
        let mut random = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state as usize
        };
        for _ in 0..20_000 {
            let mut bytes = whole.clone();
            for _ in 0..1 + random() % 4 {
                let at = random() % bytes.len();
                bytes[at] = random() as u8;
            }
            let counted = codec::probe(&bytes, &limits);
            if let (Ok(read), Ok(counted)) = (codec::verify(&bytes, &limits), counted) {
                assert!(read.pages >= 1 && read.size == counted.size);
            }
        }
    }

    #[test]
    fn a_still_picture_comes_back() {
        let mut pixels = Frame::filled(Size::new(9, 5), [10, 200, 30, 255]).into_pixels();
        pixels[..4].fill(0);
        let frame = Frame::new(Size::new(9, 5), true, pixels).unwrap();
        let bytes = encode(&frame).unwrap();
        let read = frames(&bytes);
        assert_eq!((read.len(), read[0].pixels()), (1, frame.pixels()));
    }

    #[test]
    fn nothing_shines_through_transparent_frames() {
        let opaque = Frame::filled(Size::new(3, 3), [255, 0, 0, 255]);
        let clear = Frame::filled(Size::new(3, 3), [0; 4]);
        let mut writer = GifWriter::new(Size::new(3, 3), Repeat::Times(2), true).unwrap();
        writer.push(&opaque, 5).unwrap();
        writer.push(&clear, 6).unwrap();
        let bytes = writer.finish().unwrap();
        let mut reader = GifReader::open(&bytes[..], &LIMITS()).unwrap();
        assert_eq!((reader.advance().unwrap(), reader.repeat()), (Some(5), Repeat::Times(2)));
        assert_eq!(reader.advance().unwrap(), Some(6));
        assert_eq!(reader.screen(), clear.pixels());
        assert_eq!(reader.advance().unwrap(), None);
    }
}
