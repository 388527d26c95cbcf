//! Reading and writing picture files: one signature for all formats.
//!
//! Decoding is pulled by the caller, in bands of rows into buffers of its own; encoding takes a whole frame. Everything a
//! decoder gives is straight 8-bit sRGB RGBA: profiles are applied, CMYK is converted, 16 bits are reduced to 8.

mod animation;
mod aom;
mod avif;
mod container;
mod gif;
mod huffman_jpeg;
mod jpeg;
mod jpeg_session;
mod jpeg_writer;
mod metadata;
mod planar;
mod png;
pub mod quality;
mod webp;
mod whole;

pub use animation::{AnimationFormat, encode_animation};
pub use container::{Container, sniff};
pub use gif::{GifReader, GifWriter, Repeat, decode_gif};
pub use metadata::exif_fields;
pub use planar::{PlaneReader, decode_planes, open_planes};
pub(crate) use planar::{REACH as CHROMA_REACH, predict_planes};

use crate::error::{Error, Result};
use crate::frame::{BYTES_PER_PIXEL, Frame};
use crate::language::Format;
use crate::limits::Limits;
use crate::plan::bind::Decoded;
use crate::plan::geometry::{Orientation, Rect, Size};
use crate::plan::step::Demand;
use crate::plan::{Encoding, Quality};
use crate::planes::Planes;
use crate::pool;

/// What the header of a file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    pub format: Format,
    /// Size as stored, before `orientation`.
    pub size: Size,
    /// What makes the picture upright.
    pub orientation: Orientation,
    /// Whether there is an alpha channel, used or not.
    pub has_alpha: bool,
    /// Pictures in the file: frames of an animation; 1 for a still one.
    pub pages: u32,
}

/// Reads the header; takes constant memory and checks the limits before anything else.
///
/// Errors: [`Error::Decode`] when it is no picture, [`Error::Unsupported`] when it is one of a format that is not read,
/// [`Error::Limit`] when it is too large.
pub fn probe(bytes: &[u8], limits: &Limits) -> Result<Probe> {
    match readable(bytes, limits)? {
        Format::Jpeg => jpeg::probe(bytes, limits),
        Format::Png => png::probe(bytes, limits),
        Format::WebP => webp::probe(bytes, limits),
        Format::Gif => gif::probe(bytes, limits),
        format @ (Format::Bmp | Format::Ico | Format::Tiff) => whole::probe(bytes, format, limits),
        Format::Avif => Err(Error::unsupported("reading avif images")),
    }
}

/// Reads the header and makes sure that all of the picture is there and can be decoded, at the least cost.
pub fn verify(bytes: &[u8], limits: &Limits) -> Result<Probe> {
    if sniff(bytes) == Some(Container::Gif) {
        readable(bytes, limits)?;
        return gif::verify(bytes, limits);
    }
    let found = probe(bytes, limits)?;
    if found.format == Format::Jpeg && planar::is_whole(bytes) {
        return Ok(found);
    }
    let demand = Demand { size: found.size, scale: 1.0 / 16.0, region: Rect::whole(found.size) };
    let mut decoder = open(bytes, &demand, limits)?;
    let size = decoder.decoded().window.size();
    let mut band = vec![0; size.width as usize * BYTES_PER_PIXEL * BAND_ROWS.min(size.height) as usize];
    while decoder.read_band(BAND_ROWS, &mut band)? > 0 {}
    Ok(found)
}

/// Rows that are decoded at a time where nobody asks for a number of rows.
const BAND_ROWS: u32 = 16;

/// A picture that is read from top to bottom.
pub trait Decoder {
    /// What the bands together will hold.
    fn decoded(&self) -> Decoded;

    /// Whether pixels may be transparent; if not, every alpha byte is 255.
    fn has_alpha(&self) -> bool;

    /// Writes the next rows of `decoded().window`, at most `rows` of them, as straight RGBA without padding into `out`,
    /// and answers how many. 0: there are no more.
    ///
    /// Errors: [`Error::Decode`] when the file is damaged or ends early. `out` must have room for the rows.
    fn read_band(&mut self, rows: u32, out: &mut [u8]) -> Result<u32>;
}

/// Opens a file for reading what is demanded of it: at the smallest scale of the format that is no smaller than
/// `demand.scale` (a JPEG at one eighth only for half of that), and only the rows and columns of `demand.region`.
pub fn open<'a>(bytes: &'a [u8], demand: &Demand, limits: &Limits) -> Result<Box<dyn Decoder + 'a>> {
    open_page(bytes, 0, demand, limits)
}

/// The same of another picture in the file, counted from 0.
///
/// Errors: [`Error::Semantic`] when there are not so many.
fn open_page<'a>(bytes: &'a [u8], page: u32, demand: &Demand, limits: &Limits) -> Result<Box<dyn Decoder + 'a>> {
    let format = readable(bytes, limits)?;
    if page > 0 && format != Format::Gif {
        return Err(no_such_page(page, 1));
    }
    let decoder: Box<dyn Decoder + 'a> = match format {
        Format::Jpeg => Box::new(jpeg::Decoder::open(bytes, demand, limits)?),
        Format::Png => Box::new(png::Decoder::open(bytes, demand, limits)?),
        Format::WebP => Box::new(webp::Decoder::open(bytes, demand, limits)?),
        Format::Gif => Box::new(gif::Decoder::open(bytes, page, demand, limits)?),
        Format::Bmp | Format::Ico | Format::Tiff => Box::new(whole::Decoder::open(bytes, format, demand, limits)?),
        Format::Avif => return Err(Error::unsupported("reading avif images")),
    };
    Ok(decoder)
}

/// A page, counted from 0, that a file with so many does not have.
fn no_such_page(page: u32, n_pages: u32) -> Error {
    let plural = if n_pages == 1 { "" } else { "s" };
    let page = u64::from(page) + 1;
    Error::Semantic(format!(
        "Invalid page in transformation: {page} is out of range, the file has {n_pages} page{plural}"
    ))
}

/// Reads what is demanded into one frame.
pub fn decode(bytes: &[u8], demand: &Demand, limits: &Limits) -> Result<(Frame, Decoded)> {
    decode_page(bytes, 0, demand, limits)
}

/// The same of another picture in the file, counted from 0. Errors: also [`Error::Semantic`] when there are not so many.
pub fn decode_page(bytes: &[u8], page: u32, demand: &Demand, limits: &Limits) -> Result<(Frame, Decoded)> {
    let mut decoder = open_page(bytes, page, demand, limits)?;
    let (decoded, has_alpha) = (decoder.decoded(), decoder.has_alpha());
    let size = decoded.window.size();
    let mut pixels = pool::take(size.pixels() as usize * BYTES_PER_PIXEL);
    let stride = size.width as usize * BYTES_PER_PIXEL;
    let mut row = 0;
    while row < size.height {
        let rows = decoder.read_band(size.height - row, &mut pixels[row as usize * stride..])?;
        if rows == 0 {
            return Err(truncated());
        }
        row += rows;
    }
    Ok((Frame::new(size, has_alpha, pixels)?, decoded))
}

/// What [`open`] will give for a demand, without looking at the file.
pub fn predict(demand: &Demand, format: Format) -> Decoded {
    match format {
        Format::Jpeg => jpeg::plan_decode(demand),
        Format::Png | Format::WebP | Format::Avif | Format::Gif | Format::Bmp | Format::Ico | Format::Tiff => {
            Decoded { full: demand.size, window: demand.region, eighths: 8, subsampling: None }
        }
    }
}

/// Bytes that decoding takes beside the pixels that it gives, where that depends on the whole picture.
pub fn scratch_bytes(demand: &Demand, format: Format) -> u64 {
    match format {
        Format::Gif => gif::scratch_bytes(demand.size),
        Format::Bmp | Format::Ico | Format::Tiff => whole::scratch_bytes(demand.size, format),
        Format::Jpeg | Format::Png | Format::WebP | Format::Avif => 0,
    }
}

/// A finished file.
#[derive(Debug, Clone)]
pub struct Encoded {
    pub bytes: Vec<u8>,
    pub format: Format,
    /// The number that a lossy encoder was given.
    pub quality: Option<u8>,
}

/// Writes planes, as the JPEG, WebP or AVIF that they were made for. No metadata is written.
///
/// Errors: those of [`encode`], a format that is written from pixels, and planes for a WebP that are not halved.
pub fn encode_planes(planes: Planes, encoding: &Encoding) -> Result<Encoded> {
    check_sides(planes.size(), encoding.format)?;
    let quality = match encoding.quality {
        Quality::Fixed(number) => number.clamp(1, 100),
        Quality::Auto(level) => quality::auto_quality_of_luma(planes.luma(), encoding.format, level),
    };
    let bytes = match encoding.format {
        Format::Jpeg => jpeg::encode_planes(planes, quality, encoding.progressive)?,
        Format::WebP => webp::encode_planes(&planes, quality)?,
        Format::Avif => avif::encode_planes(&planes, quality)?,
        Format::Png | Format::Gif | Format::Bmp | Format::Ico | Format::Tiff => {
            return Err(Error::Encode("planes reached an encoder of pixels".into()));
        }
    };
    Ok(Encoded { bytes, format: encoding.format, quality: Some(quality) })
}

fn check_sides(size: Size, format: Format) -> Result<()> {
    let most = match format {
        Format::Jpeg => 65_535,
        Format::WebP => 16_383,
        Format::Avif | Format::Gif => 65_535,
        Format::Png | Format::Bmp | Format::Tiff => i32::MAX as u32,
        Format::Ico => whole::MOST_ICON_SIDE,
    };
    if size.width.max(size.height) > most {
        return Err(Error::Limit(format!(
            "Maximum side of a {} image is {most} pixels. Requested {size}",
            format.extension()
        )));
    }
    Ok(())
}

/// Writes a frame. No metadata is written.
///
/// Errors: [`Error::Limit`] when the format cannot hold a picture of that size.
pub fn encode(frame: &Frame, encoding: &Encoding, _limits: &Limits) -> Result<Encoded> {
    check_sides(frame.size(), encoding.format)?;
    let lossy = match encoding.quality {
        Quality::Fixed(number) => number.clamp(1, 100),
        Quality::Auto(_) if !is_lossy(encoding.format) => 100,
        Quality::Auto(level) => quality::auto_quality(frame, encoding.format, level),
    };
    let bytes = match encoding.format {
        Format::Jpeg => jpeg::encode(frame, lossy, encoding.chroma, encoding.progressive)?,
        Format::Png => png::encode(frame)?,
        Format::WebP => webp::encode(frame, lossy)?,
        Format::Avif => avif::encode(frame, lossy, encoding.chroma)?,
        Format::Gif => gif::encode(frame)?,
        Format::Bmp | Format::Ico | Format::Tiff => whole::encode(frame, encoding.format)?,
    };
    let quality = is_lossy(encoding.format).then_some(lossy);
    Ok(Encoded { bytes, format: encoding.format, quality })
}

/// Whether the encoder takes a number for the quality.
const fn is_lossy(format: Format) -> bool {
    matches!(format, Format::Jpeg | Format::WebP | Format::Avif)
}

/// The format of a file that can be read.
fn readable(bytes: &[u8], limits: &Limits) -> Result<Format> {
    if bytes.is_empty() {
        return Err(Error::Decode("Empty file".into()));
    }
    if bytes.len() as u64 > limits.source_bytes {
        return Err(Error::Limit(format!(
            "File size too large. Got {}. Maximum is {}.",
            bytes.len(),
            limits.source_bytes
        )));
    }
    match sniff(bytes) {
        Some(Container::Jpeg) => Ok(Format::Jpeg),
        Some(Container::Png) => Ok(Format::Png),
        Some(Container::WebP) => Ok(Format::WebP),
        Some(Container::Gif) => Ok(Format::Gif),
        Some(Container::Bmp) => Ok(Format::Bmp),
        Some(Container::Ico) => Ok(Format::Ico),
        Some(Container::Tiff) => Ok(Format::Tiff),
        Some(other) => Err(Error::unsupported(format!("reading {} files", other.extension()))),
        None => Err(Error::Decode("Invalid image file".into())),
    }
}

fn invalid(why: impl std::fmt::Display) -> Error {
    Error::Decode(format!("Invalid image file: {why}"))
}

fn truncated() -> Error {
    invalid("it ends before the picture does")
}

/// A frame's rows that were decoded in one go, handed out in bands.
struct Bands {
    pixels: Vec<u8>,
    stride: usize,
    next: usize,
}

impl Bands {
    fn new(pixels: Vec<u8>, width: u32) -> Self {
        Bands { pixels, stride: width as usize * BYTES_PER_PIXEL, next: 0 }
    }

    fn read(&mut self, rows: u32, out: &mut [u8]) -> u32 {
        let left = (self.pixels.len() - self.next) / self.stride;
        let rows = left.min(rows as usize).min(out.len() / self.stride);
        let bytes = rows * self.stride;
        out[..bytes].copy_from_slice(&self.pixels[self.next..self.next + bytes]);
        self.next += bytes;
        rows as u32
    }
}
