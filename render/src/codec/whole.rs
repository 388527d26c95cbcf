//! BMP, ICO and TIFF, both ways, by the `image` crate. They are read whole: their rows come in orders and compressions of all
//! kinds, and the files are rarely large.

use super::metadata::ToSrgb;
use super::{Bands, Probe, invalid};
use crate::error::{Error, Result};
use crate::frame::{BYTES_PER_PIXEL, Frame};
use crate::language::Format;
use crate::limits::Limits;
use crate::plan::bind::Decoded;
use crate::plan::geometry::{Orientation, Rect, Size};
use crate::plan::step::Demand;
use image::codecs::{bmp, ico, tiff};
use image::{DynamicImage, ExtendedColorType, ImageDecoder, ImageEncoder, ImageError};
use std::io::Cursor;

/// Bytes of a pixel at most while it is read: four floats of a TIFF, and what becomes of them.
const SAMPLE_BYTES: u64 = 16;
/// Longest side that an icon states; the format has one byte for it.
pub(super) const MOST_ICON_SIDE: u32 = 256;

type Reader<'a> = Box<dyn ImageDecoder + 'a>;

/// Reads the header, and checks the size that it states before any pixels are read.
fn read_header<'a>(bytes: &'a [u8], format: Format, limits: &Limits) -> Result<(Reader<'a>, Size)> {
    let mut own = image::Limits::no_limits();
    own.max_alloc = Some(limits.source_pixels.saturating_mul(SAMPLE_BYTES));
    let file = Cursor::new(bytes);
    let mut reader: Reader<'a> = match format {
        Format::Bmp => Box::new(bmp::BmpDecoder::new(file).map_err(from_image)?),
        Format::Ico => Box::new(ico::IcoDecoder::new(file).map_err(from_image)?),
        Format::Tiff => Box::new(tiff::TiffDecoder::new(file).map_err(from_image)?),
        other => return Err(Error::unsupported(format!("reading {} files whole", other.extension()))),
    };
    let (width, height) = reader.dimensions();
    let size = Size::new(width, height);
    limits.check_source(size)?;
    reader.set_limits(own).map_err(from_image)?;
    Ok((reader, size))
}

fn from_image(error: ImageError) -> Error {
    match error {
        ImageError::Limits(_) => Error::Limit("Maximum size of image data exceeded".into()),
        ImageError::Unsupported(error) => Error::unsupported(format!("reading this kind of file: {error}")),
        other => invalid(other),
    }
}

pub(super) fn probe(bytes: &[u8], format: Format, limits: &Limits) -> Result<Probe> {
    let (mut reader, size) = read_header(bytes, format, limits)?;
    let orientation = reader.orientation().map_or(1, image::metadata::Orientation::to_exif);
    Ok(Probe {
        format,
        size,
        orientation: Orientation::from_exif(orientation.into()),
        has_alpha: reader.color_type().has_alpha(),
        pages: 1,
    })
}

/// Bytes that reading takes beside the picture that is read.
pub(super) fn scratch_bytes(size: Size, format: Format) -> u64 {
    let samples = if format == Format::Tiff { SAMPLE_BYTES } else { BYTES_PER_PIXEL as u64 };
    size.pixels().saturating_mul(samples + BYTES_PER_PIXEL as u64)
}

/// A picture that was read.
pub(super) struct Decoder {
    bands: Bands,
    decoded: Decoded,
    has_alpha: bool,
}

impl Decoder {
    pub fn open(bytes: &[u8], format: Format, demand: &Demand, limits: &Limits) -> Result<Self> {
        let (mut reader, size) = read_header(bytes, format, limits)?;
        if size != demand.size {
            return Err(invalid(format!("it is {size} now but was {} when it was uploaded", demand.size)));
        }
        let color = reader.color_type();
        let profile = reader.icc_profile().ok().flatten().filter(|icc| icc.len() <= limits.metadata_bytes);
        let mut to_srgb = profile.filter(|_| color.has_color()).and_then(|icc| ToSrgb::new(&icc));
        let read = DynamicImage::from_decoder(reader).map_err(from_image)?;
        let window = demand.region;
        let whole = read.into_rgba8().into_raw();
        let stride = size.width as usize * BYTES_PER_PIXEL;
        let mut pixels = if window == Rect::whole(size) {
            whole
        } else {
            let columns = window.x as usize * BYTES_PER_PIXEL..window.right() as usize * BYTES_PER_PIXEL;
            let rows = whole.chunks_exact(stride).skip(window.y as usize).take(window.height as usize);
            rows.flat_map(|row| &row[columns.clone()]).copied().collect()
        };
        if let Some(to_srgb) = &mut to_srgb {
            let stride = window.width as usize * BYTES_PER_PIXEL;
            pixels.chunks_exact_mut(stride).for_each(|row| to_srgb.apply(row));
        }
        Ok(Decoder {
            bands: Bands::new(pixels, window.width),
            decoded: Decoded { full: size, window, eighths: 8, subsampling: None },
            has_alpha: color.has_alpha(),
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

/// Without loss; opaque pictures are written without alpha, but for icons.
pub(super) fn encode(frame: &Frame, format: Format) -> Result<Vec<u8>> {
    let size = frame.size();
    let opaque: Vec<u8>;
    let (pixels, color) = if frame.has_alpha() || format == Format::Ico {
        (frame.pixels(), ExtendedColorType::Rgba8)
    } else {
        opaque = frame.pixels().chunks_exact(BYTES_PER_PIXEL).flat_map(|pixel| &pixel[..3]).copied().collect();
        (opaque.as_slice(), ExtendedColorType::Rgb8)
    };
    let mut file = Cursor::new(Vec::new());
    let written = match format {
        Format::Bmp => bmp::BmpEncoder::new(&mut file).write_image(pixels, size.width, size.height, color),
        Format::Ico => ico::IcoEncoder::new(&mut file).write_image(pixels, size.width, size.height, color),
        Format::Tiff => tiff::TiffEncoder::new(&mut file).write_image(pixels, size.width, size.height, color),
        other => return Err(Error::Encode(format!("{} is not written from whole pictures", other.extension()))),
    };
    written.map_err(|error| Error::Encode(format!("{}: {error}", format.extension())))?;
    Ok(file.into_inner())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::codec;
    use crate::plan::{Encoding, Quality};

    const FORMATS: [Format; 3] = [Format::Bmp, Format::Ico, Format::Tiff];

    fn picture(has_alpha: bool) -> Frame {
        let alpha = |x: u32| if has_alpha { (x * 9) as u8 } else { 255 };
        let pixels = (0..20 * 12).flat_map(|i| [(i % 20 * 12) as u8, (i / 20 * 20) as u8, 77, alpha(i % 20)]).collect();
        Frame::new(Size::new(20, 12), has_alpha, pixels).unwrap()
    }

    fn file(frame: &Frame, format: Format) -> Vec<u8> {
        let encoding = Encoding { format, quality: Quality::Fixed(80), chroma: None, progressive: false };
        codec::encode(frame, &encoding, &Limits::default()).unwrap().bytes
    }

    #[test]
    fn what_is_written_is_read_again() {
        for (format, has_alpha) in FORMATS.into_iter().flat_map(|format| [(format, false), (format, true)]) {
            let frame = picture(has_alpha);
            let bytes = file(&frame, format);
            let found = codec::verify(&bytes, &Limits::default()).unwrap();
            assert_eq!((found.format, found.size, found.pages), (format, frame.size(), 1));
            assert_eq!(found.has_alpha, has_alpha || format == Format::Ico, "{format:?}");
            let region = Rect::new(3, 2, 7, 5);
            let demand = Demand { size: found.size, scale: 1.0, region };
            let (part, decoded) = codec::decode(&bytes, &demand, &Limits::default()).unwrap();
            assert_eq!((decoded.window, part.size()), (region, region.size()));
            for y in 0..5 {
                let row = &frame.row(y + 2)[3 * 4..10 * 4];
                assert_eq!(part.row(y), row, "{format:?}, row {y}");
            }
        }
    }

    #[test]
    fn damaged_files_are_refused_and_nothing_panics() {
        for format in FORMATS {
            let bytes = file(&picture(true), format);
            for length in 0..bytes.len() {
                let _ = codec::verify(&bytes[..length], &Limits::default());
            }
            assert!(codec::verify(&bytes[..bytes.len() / 2], &Limits::default()).is_err(), "{format:?}");
            let mut state = 1_u32;
            for _ in 0..2000 {
                let mut damaged = bytes.clone();
                for _ in 0..3 {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    let at = (state >> 8) as usize % damaged.len().min(160);
                    damaged[at] = (state >> 24) as u8;
                }
                let limits = Limits { source_pixels: 1 << 20, ..Limits::default() };
                let _ = codec::verify(&damaged, &limits);
            }
        }
    }

    #[test]
    fn size_is_limited_before_pixels_are_read() {
        let limits = Limits { source_pixels: 100, ..Limits::default() };
        for format in FORMATS {
            let refused = codec::verify(&file(&picture(false), format), &limits);
            assert!(matches!(refused, Err(Error::Limit(_))), "{format:?}: {refused:?}");
        }
        let large = Frame::new(Size::new(257, 1), false, vec![255; 257 * 4]).unwrap();
        let encoding = Encoding { format: Format::Ico, quality: Quality::Fixed(80), chroma: None, progressive: false };
        assert!(matches!(codec::encode(&large, &encoding, &Limits::default()), Err(Error::Limit(_))));
    }
}
