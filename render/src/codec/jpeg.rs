//! JPEG, both ways: pixels by libjpeg's decoder, baseline files by our own encoder, progressive ones by mozjpeg's.

use super::jpeg_session::{APP1, APP2, APP14, Session, contained};
use super::jpeg_writer;
use super::metadata::{self, ToSrgb};
use super::{Probe, invalid};
use crate::error::{Error, Result};
use crate::frame::{BYTES_PER_PIXEL, Frame};
use crate::lanes::Instructions;
use crate::language::{ChromaSampling, Format};
use crate::limits::Limits;
use crate::plan::bind::Decoded;
use crate::plan::geometry::{Orientation, Rect, Size};
use crate::plan::step::Demand;
use crate::planes::{Planes, Subsampling};
use mozjpeg::{ColorSpace, Compress};
use mozjpeg_sys as ffi;

pub(super) fn probe(bytes: &[u8], limits: &Limits) -> Result<Probe> {
    let session = Session::read_header(bytes)?;
    let size = size(&session);
    limits.check_source(size)?;
    Ok(Probe { format: Format::Jpeg, size, orientation: orientation(&session, limits), has_alpha: false, pages: 1 })
}

fn size(session: &Session) -> Size {
    Size::new(session.info().image_width, session.info().image_height)
}

fn orientation(session: &Session, limits: &Limits) -> Orientation {
    let block = session.blocks(APP1).into_iter().find_map(|block| block.strip_prefix(b"Exif\0\0"));
    block.filter(|block| block.len() <= limits.metadata_bytes).map_or(Orientation::IDENTITY, metadata::orientation)
}

/// The ICC profile, put together from its numbered blocks; none when one is missing.
fn profile(session: &Session, limits: &Limits) -> Option<Vec<u8>> {
    let blocks = session.blocks(APP2);
    let mut parts: Vec<(u8, u8, &[u8])> = blocks
        .into_iter()
        .filter_map(|block| block.strip_prefix(b"ICC_PROFILE\0"))
        .filter_map(|block| Some((*block.first()?, *block.get(1)?, block.get(2..)?)))
        .collect();
    parts.sort_by_key(|(number, ..)| *number);
    let complete = !parts.is_empty()
        && parts
            .iter()
            .enumerate()
            .all(|(i, (number, count, _))| usize::from(*number) == i + 1 && usize::from(*count) == parts.len());
    let total: usize = parts.iter().map(|(.., part)| part.len()).sum();
    (complete && total <= limits.metadata_bytes).then(|| parts.iter().flat_map(|(.., part)| *part).copied().collect())
}

/// What is decoded for a demand at most: libjpeg's transforms for five to seven eighths take longer than the whole one.
pub(super) fn plan_decode(demand: &Demand) -> Decoded {
    let eighths = least_eighths(demand);
    decoded_at(demand, if eighths > 4 { 8 } else { eighths })
}

/// The numerator of the least scale N/8 that meets a demand.
pub(super) fn least_eighths(demand: &Demand) -> u32 {
    let wanted = demand.scale * 8.0;
    // Few samples a block are little better than a box filter over it, which shows unless much is averaged afterwards.
    let least = match wanted {
        ..=0.5 => 1.0,
        ..=1.2 => 2.0,
        _ => 3.0,
    };
    (wanted - 1e-9).ceil().clamp(least, 8.0) as u32
}

fn decoded_at(demand: &Demand, eighths: u32) -> Decoded {
    let scaled = |length: u32| (u64::from(length) * u64::from(eighths)).div_ceil(8) as u32;
    let full = Size::new(scaled(demand.size.width), scaled(demand.size.height));
    let axis = |start: u32, end: u32, side: u32| {
        let first = ((u64::from(start) * u64::from(eighths)) / 8) as u32;
        let last = scaled(end).min(side);
        (first.min(last.saturating_sub(1)), last)
    };
    let (left, right) = axis(demand.region.x, demand.region.right(), full.width);
    let (top, bottom) = axis(demand.region.y, demand.region.bottom(), full.height);
    Decoded { full, window: Rect::new(left, top, right - left, bottom - top), eighths, subsampling: None }
}

/// Whether there is a usable profile of other colors than sRGB.
pub(super) fn has_other_colors(bytes: &[u8], limits: &Limits) -> Result<bool> {
    let session = Session::read_header(bytes)?;
    Ok(profile(&session, limits).is_some_and(|icc| ToSrgb::new(&icc).is_some()))
}

/// Reads a JPEG row by row.
pub(super) struct Decoder<'a> {
    session: Session<'a>,
    decoded: Decoded,
    rows_read: u32,
    /// Columns that libjpeg gives to the left of the window.
    lead: u32,
    /// One row as libjpeg gives it.
    row: Vec<u8>,
    cmyk: Option<Cmyk>,
    to_srgb: Option<ToSrgb>,
}

/// How the four inks are stored.
#[derive(Clone, Copy)]
struct Cmyk {
    /// Adobe's files hold the amount of paper that shows, not of ink.
    inverted: bool,
}

impl<'a> Decoder<'a> {
    pub fn open(bytes: &'a [u8], demand: &Demand, limits: &Limits) -> Result<Self> {
        let mut session = Session::read_header(bytes)?;
        let stored = size(&session);
        limits.check_source(stored)?;
        if stored != demand.size {
            return Err(invalid(format!("it is {stored} now but was {} when it was uploaded", demand.size)));
        }
        let decoded = plan_decode(demand);
        let eighths = decoded.eighths;
        let four_inks = session.info().num_components == 4;
        let cmyk =
            four_inks.then(|| Cmyk { inverted: session.blocks(APP14).iter().any(|block| block.starts_with(b"Adobe")) });
        let to_srgb = if four_inks { None } else { profile(&session, limits).and_then(|icc| ToSrgb::new(&icc)) };
        let mut lead = 0;
        let output_width = session.call(|cinfo| {
            cinfo.scale_num = eighths;
            cinfo.scale_denom = 8;
            cinfo.out_color_space = if four_inks { ffi::JCS_CMYK } else { ffi::JCS_EXT_RGBA };
            cinfo.dct_method = ffi::J_DCT_METHOD::JDCT_ISLOW;
            // Safe: the header was read.
            unsafe { ffi::jpeg_start_decompress(cinfo) };
            let window = decoded.window;
            // Smooth upsampling looks at the neighbors, so a block more than the window is read on each side.
            let block = 2 * eighths.max(1) * 8;
            let mut left = window.x.saturating_sub(block);
            let mut width = (window.right() + block).min(cinfo.output_width) - left;
            if width < cinfo.output_width {
                unsafe { ffi::jpeg_crop_scanline(cinfo, &mut left, &mut width) };
            } else {
                left = 0;
            }
            lead = window.x - left;
            (cinfo.output_width, cinfo.output_height)
        })?;
        let (output_width, output_height) = output_width;
        if output_height != decoded.full.height || lead + decoded.window.width > output_width {
            return Err(invalid("the decoder gave another size than the header stated"));
        }
        let mut decoder = Decoder {
            session,
            decoded,
            rows_read: 0,
            lead,
            row: vec![0; output_width as usize * BYTES_PER_PIXEL],
            cmyk,
            to_srgb,
        };
        let top = decoder.decoded.window.y;
        if top > 0 {
            // Safe: decompression has started and the rows exist.
            let skipped = decoder.session.call(|cinfo| unsafe { ffi::jpeg_skip_scanlines(cinfo, top) })?;
            if skipped != top {
                return Err(super::truncated());
            }
        }
        Ok(decoder)
    }
}

impl super::Decoder for Decoder<'_> {
    fn decoded(&self) -> Decoded {
        self.decoded
    }

    fn has_alpha(&self) -> bool {
        false
    }

    fn read_band(&mut self, rows: u32, out: &mut [u8]) -> Result<u32> {
        let window = self.decoded.window;
        let stride = window.width as usize * BYTES_PER_PIXEL;
        let rows = rows.min(window.height - self.rows_read).min((out.len() / stride) as u32);
        let lead = self.lead as usize * BYTES_PER_PIXEL;
        for target in out.chunks_exact_mut(stride).take(rows as usize) {
            // A row that is wanted whole goes straight to its place.
            let direct = self.row.len() == stride;
            let start = if direct { target.as_mut_ptr() } else { self.row.as_mut_ptr() };
            let read = self.session.call(|cinfo| {
                let mut row = start;
                // Safe: `start` has room for `output_width` pixels of four bytes.
                unsafe { ffi::jpeg_read_scanlines(cinfo, &mut row, 1) }
            })?;
            if read != 1 {
                return Err(super::truncated());
            }
            if !direct {
                target.copy_from_slice(&self.row[lead..lead + stride]);
            }
            if let Some(cmyk) = self.cmyk {
                cmyk.to_rgba(target);
            }
            if let Some(to_srgb) = &mut self.to_srgb {
                to_srgb.apply(target);
            }
        }
        self.rows_read += rows;
        Ok(rows)
    }
}

impl Cmyk {
    /// Converts one row in place. Without a profile of the inks: light = (1 - ink) (1 - black).
    fn to_rgba(self, row: &mut [u8]) {
        for pixel in row.chunks_exact_mut(4) {
            let paper = |value: u8| u32::from(if self.inverted { value } else { 255 - value });
            let black = paper(pixel[3]);
            for ink in &mut pixel[..3] {
                *ink = ((paper(*ink) * black + 127) / 255) as u8;
            }
            pixel[3] = 255;
        }
    }
}

/// Baseline by our own encoder, progressive by mozjpeg's. Chroma is halved below quality 90 unless stated.
pub(super) fn encode(frame: &Frame, quality: u8, chroma: Option<ChromaSampling>, progressive: bool) -> Result<Vec<u8>> {
    if frame.has_alpha() {
        return Err(Error::Encode("a picture with alpha reached the JPEG encoder".into()));
    }
    let chroma = chroma.unwrap_or(ChromaSampling::for_quality(quality));
    if !progressive {
        return Ok(jpeg_writer::encode(frame, quality, chroma == ChromaSampling::Half, Instructions::detect()));
    }
    let subsampling = match chroma {
        ChromaSampling::Half => Subsampling::HALF,
        ChromaSampling::Full => Subsampling::NONE,
    };
    contained(|| {
        let mut encoder = Compress::new(ColorSpace::JCS_EXT_RGBX);
        set_up(&mut encoder, frame.size(), ColorSpace::JCS_YCbCr, subsampling, quality);
        let mut encoder = encoder.start_compress(buffer(frame.size()))?;
        encoder.write_scanlines(frame.pixels())?;
        encoder.finish()
    })
}

/// The same from planes, which stay subsampled as they are; grey pictures get a single component.
pub(super) fn encode_planes(planes: Planes, quality: u8, progressive: bool) -> Result<Vec<u8>> {
    if !progressive {
        return Ok(jpeg_writer::encode_planes(&planes, quality, Instructions::detect()));
    }
    let (size, subsampling) = (planes.size(), planes.subsampling());
    let color = if planes.chroma().is_some() { ColorSpace::JCS_YCbCr } else { ColorSpace::JCS_GRAYSCALE };
    let planes: Vec<Vec<u8>> = planes.into_planes().into_iter().map(|plane| plane.into_blocks(8)).collect();
    contained(|| {
        let mut encoder = Compress::new(color);
        set_up(&mut encoder, size, color, subsampling, quality);
        encoder.set_raw_data_in(true);
        let mut encoder = encoder.start_compress(buffer(size))?;
        let rows: Vec<&[u8]> = planes.iter().map(Vec::as_slice).collect();
        if !encoder.write_raw_data(&rows) {
            return Err(std::io::Error::other("the encoder took no more rows"));
        }
        encoder.finish()
    })
}

/// A progressive file with optimised tables.
fn set_up(encoder: &mut Compress, size: Size, color: ColorSpace, subsampling: Subsampling, quality: u8) {
    encoder.set_size(size.width as usize, size.height as usize);
    encoder.set_fastest_defaults();
    encoder.set_color_space(color);
    encoder.set_quality(f32::from(quality));
    if color == ColorSpace::JCS_YCbCr {
        let pixel = (subsampling.across as u8, subsampling.down as u8);
        encoder.set_chroma_sampling_pixel_sizes(pixel, pixel);
    }
    encoder.set_optimize_coding(true);
    encoder.set_progressive_mode();
}

/// About what a picture takes.
fn buffer(size: Size) -> Vec<u8> {
    Vec::with_capacity((size.pixels() / 4) as usize + 1024)
}
