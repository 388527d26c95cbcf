//! PNG, both ways.

use super::metadata::{self, ToSrgb};
use super::{Bands, Probe, invalid, truncated};
use crate::error::{Error, Result};
use crate::frame::{BYTES_PER_PIXEL, Frame};
use crate::language::Format;
use crate::limits::Limits;
use crate::plan::bind::Decoded;
use crate::plan::geometry::{Orientation, Size};
use crate::plan::step::Demand;
use png::{BitDepth, ColorType, DecodingError, Transformations};
use std::io::Cursor;

type Reader<'a> = png::Reader<Cursor<&'a [u8]>>;

/// Reads everything up to the pixels, after the size was checked.
fn read_header<'a>(bytes: &'a [u8], limits: &Limits) -> Result<Reader<'a>> {
    // The first chunk is the header, at a fixed place; look at it before the library allocates rows.
    let side = |at: usize| bytes.get(at..at + 4).map(|four| u32::from_be_bytes([four[0], four[1], four[2], four[3]]));
    let (Some(width), Some(height)) = (side(16), side(20)) else { return Err(truncated()) };
    limits.check_source(Size::new(width, height))?;
    let mut decoder = png::Decoder::new_with_limits(Cursor::new(bytes), png::Limits { bytes: 256 * 1024 * 1024 });
    decoder.set_transformations(Transformations::normalize_to_color8());
    decoder.set_ignore_text_chunk(true);
    let reader = decoder.read_info().map_err(from_png)?;
    if reader.info().animation_control.is_some_and(|animation| animation.num_frames > 1) {
        return Err(Error::unsupported("reading animated png files"));
    }
    Ok(reader)
}

fn from_png(error: DecodingError) -> Error {
    match error {
        DecodingError::IoError(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => truncated(),
        DecodingError::LimitsExceeded => Error::Limit("Maximum size of image metadata exceeded".into()),
        other => invalid(other),
    }
}

fn has_alpha(reader: &Reader) -> bool {
    reader.info().trns.is_some() || matches!(reader.info().color_type, ColorType::Rgba | ColorType::GrayscaleAlpha)
}

pub(super) fn probe(bytes: &[u8], limits: &Limits) -> Result<Probe> {
    let reader = read_header(bytes, limits)?;
    let info = reader.info();
    let exif = info.exif_metadata.as_deref().filter(|exif| exif.len() <= limits.metadata_bytes);
    Ok(Probe {
        format: Format::Png,
        pages: 1,
        size: Size::new(info.width, info.height),
        orientation: exif.map_or(Orientation::IDENTITY, metadata::orientation),
        has_alpha: has_alpha(&reader),
    })
}

/// Reads a PNG row by row; an interlaced one is read whole first.
pub(super) struct Decoder<'a> {
    reader: Reader<'a>,
    decoded: Decoded,
    has_alpha: bool,
    channels: usize,
    rows_read: u32,
    interlaced: Option<Bands>,
    to_srgb: Option<ToSrgb>,
}

impl<'a> Decoder<'a> {
    pub fn open(bytes: &'a [u8], demand: &Demand, limits: &Limits) -> Result<Self> {
        let reader = read_header(bytes, limits)?;
        let size = Size::new(reader.info().width, reader.info().height);
        if size != demand.size {
            return Err(invalid(format!("it is {size} now but was {} when it was uploaded", demand.size)));
        }
        let (color, depth) = reader.output_color_type();
        let channels = match (color, depth) {
            (ColorType::Grayscale, BitDepth::Eight) => 1,
            (ColorType::GrayscaleAlpha, BitDepth::Eight) => 2,
            (ColorType::Rgb, BitDepth::Eight) => 3,
            (ColorType::Rgba, BitDepth::Eight) => 4,
            other => return Err(invalid(format!("the decoder gave {other:?}"))),
        };
        let profile = reader.info().icc_profile.as_deref().filter(|icc| icc.len() <= limits.metadata_bytes);
        let to_srgb = profile.filter(|_| channels >= 3).and_then(ToSrgb::new);
        let has_alpha = has_alpha(&reader);
        let mut decoder = Decoder {
            decoded: Decoded { full: size, window: demand.region, eighths: 8, subsampling: None },
            has_alpha,
            channels,
            rows_read: 0,
            interlaced: None,
            to_srgb,
            reader,
        };
        if decoder.reader.info().interlaced {
            decoder.interlaced = Some(decoder.read_whole()?);
        } else {
            for _ in 0..demand.region.y {
                decoder.reader.next_row().map_err(from_png)?.ok_or_else(truncated)?;
            }
        }
        Ok(decoder)
    }

    fn read_whole(&mut self) -> Result<Bands> {
        let bytes = self.reader.output_buffer_size().ok_or_else(|| invalid("it is too large"))?;
        let mut whole = vec![0; bytes];
        self.reader.next_frame(&mut whole).map_err(from_png)?;
        let window = self.decoded.window;
        let stride = self.decoded.full.width as usize * self.channels;
        let mut pixels = vec![0; window.size().pixels() as usize * BYTES_PER_PIXEL];
        let rows = whole.chunks_exact(stride).skip(window.y as usize);
        for (row, target) in rows.zip(pixels.chunks_exact_mut(window.width as usize * BYTES_PER_PIXEL)) {
            expand(&row[window.x as usize * self.channels..], self.channels, target);
            if let Some(to_srgb) = &mut self.to_srgb {
                to_srgb.apply(target);
            }
        }
        Ok(Bands::new(pixels, window.width))
    }
}

impl super::Decoder for Decoder<'_> {
    fn decoded(&self) -> Decoded {
        self.decoded
    }

    fn has_alpha(&self) -> bool {
        self.has_alpha
    }

    fn read_band(&mut self, rows: u32, out: &mut [u8]) -> Result<u32> {
        if let Some(bands) = &mut self.interlaced {
            return Ok(bands.read(rows, out));
        }
        let window = self.decoded.window;
        let stride = window.width as usize * BYTES_PER_PIXEL;
        let rows = rows.min(window.height - self.rows_read).min((out.len() / stride) as u32);
        for target in out.chunks_exact_mut(stride).take(rows as usize) {
            let row = self.reader.next_row().map_err(from_png)?.ok_or_else(truncated)?;
            let row = row.data().get(window.x as usize * self.channels..).ok_or_else(truncated)?;
            expand(row, self.channels, target);
            if let Some(to_srgb) = &mut self.to_srgb {
                to_srgb.apply(target);
            }
        }
        self.rows_read += rows;
        Ok(rows)
    }
}

/// Gray, gray with alpha, RGB or RGBA samples to RGBA.
fn expand(row: &[u8], channels: usize, target: &mut [u8]) {
    for (sample, pixel) in row.chunks_exact(channels).zip(target.chunks_exact_mut(4)) {
        match *sample {
            [gray] => pixel.copy_from_slice(&[gray, gray, gray, 255]),
            [gray, alpha] => pixel.copy_from_slice(&[gray, gray, gray, alpha]),
            [red, green, blue] => pixel.copy_from_slice(&[red, green, blue, 255]),
            _ => pixel.copy_from_slice(sample),
        }
    }
}

/// Lossless; opaque pictures are written without alpha. Flat pictures are compressed well, noisy ones fast, since there
/// effort gains next to nothing.
pub(super) fn encode(frame: &Frame) -> Result<Vec<u8>> {
    let refused = |error: png::EncodingError| Error::Encode(error.to_string());
    let size = frame.size();
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, size.width, size.height);
    encoder.set_depth(BitDepth::Eight);
    encoder.set_color(if frame.has_alpha() { ColorType::Rgba } else { ColorType::Rgb });
    encoder.set_compression(if is_flat(frame) { png::Compression::Balanced } else { png::Compression::Fast });
    let mut writer = encoder.write_header().map_err(refused)?;
    if frame.has_alpha() {
        writer.write_image_data(frame.pixels()).map_err(refused)?;
    } else {
        let opaque: Vec<u8> = frame.pixels().chunks_exact(4).flat_map(|pixel| &pixel[..3]).copied().collect();
        writer.write_image_data(&opaque).map_err(refused)?;
    }
    writer.finish().map_err(refused)?;
    Ok(bytes)
}

/// Whether more than half of the pixels, looked at in every eighth row, equal their left neighbor.
fn is_flat(frame: &Frame) -> bool {
    let (mut equal, mut all) = (0_u64, 0_u64);
    for y in (0..frame.size().height).step_by(8) {
        for pair in frame.row(y).chunks_exact(4).collect::<Vec<_>>().windows(2) {
            equal += u64::from(pair[0] == pair[1]);
            all += 1;
        }
    }
    equal * 2 > all
}
