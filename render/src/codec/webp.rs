//! WebP, both ways, by libwebp. Animations are not read.

use super::metadata::{self, ToSrgb};
use super::{Bands, Probe, invalid, truncated};
use crate::error::{Error, Result};
use crate::frame::{BYTES_PER_PIXEL, Frame};
use crate::language::Format;
use crate::limits::Limits;
use crate::plan::bind::Decoded;
use crate::plan::geometry::{Orientation, Size};
use crate::plan::step::Demand;
use libwebp_sys as ffi;

/// Pixels up to which the slower, smaller method is used.
const THOROUGH_PIXELS: u64 = 1_000_000;

struct Features {
    size: Size,
    has_alpha: bool,
}

fn features(bytes: &[u8], limits: &Limits) -> Result<Features> {
    // Safe: plain integers, zero is a value of all of them; libwebp reads within the given length.
    let mut found: ffi::WebPBitstreamFeatures = unsafe { std::mem::zeroed() };
    let status = unsafe { ffi::WebPGetFeatures(bytes.as_ptr(), bytes.len(), &mut found) };
    check(status)?;
    let side = |length: i32| u32::try_from(length).map_err(|_| invalid("it has no size"));
    let size = Size::new(side(found.width)?, side(found.height)?);
    limits.check_source(size)?;
    if found.has_animation != 0 {
        return Err(Error::unsupported("reading animated webp files"));
    }
    Ok(Features { size, has_alpha: found.has_alpha != 0 })
}

fn check(status: ffi::VP8StatusCode) -> Result<()> {
    match status {
        ffi::VP8StatusCode::VP8_STATUS_OK => Ok(()),
        ffi::VP8StatusCode::VP8_STATUS_NOT_ENOUGH_DATA => Err(truncated()),
        ffi::VP8StatusCode::VP8_STATUS_OUT_OF_MEMORY => Err(Error::Limit("not enough memory for the image".into())),
        other => Err(invalid(format!("{other:?}"))),
    }
}

/// Contents of the first RIFF chunk with a name.
fn chunk<'a>(bytes: &'a [u8], name: &[u8; 4]) -> Option<&'a [u8]> {
    let mut at = 12;
    loop {
        let header = bytes.get(at..at + 8)?;
        let length = u32::from_le_bytes([header[4], header[5], header[6], header[7]]) as usize;
        let content = bytes.get(at + 8..(at + 8).checked_add(length)?)?;
        if header[..4] == name[..] {
            return Some(content);
        }
        at = (at + 8).checked_add(length)?.checked_add(length % 2)?;
    }
}

pub(super) fn probe(bytes: &[u8], limits: &Limits) -> Result<Probe> {
    let features = features(bytes, limits)?;
    let exif = chunk(bytes, b"EXIF").filter(|exif| exif.len() <= limits.metadata_bytes);
    let exif = exif.map(|exif| exif.strip_prefix(b"Exif\0\0").unwrap_or(exif));
    Ok(Probe {
        format: Format::WebP,
        size: features.size,
        orientation: exif.map_or(Orientation::IDENTITY, metadata::orientation),
        has_alpha: features.has_alpha,
    })
}

/// A WebP that was decoded in one go, as libwebp does it.
pub(super) struct Decoder {
    bands: Bands,
    decoded: Decoded,
    has_alpha: bool,
}

impl Decoder {
    pub fn open(bytes: &[u8], demand: &Demand, limits: &Limits) -> Result<Self> {
        let features = features(bytes, limits)?;
        if features.size != demand.size {
            return Err(invalid(format!("it is {} now but was {} when it was uploaded", features.size, demand.size)));
        }
        let window = demand.region;
        // libwebp moves odd corners of a crop to even ones, and smooths chroma as if the picture ended with the crop. So
        // two pixels more are asked for on every side, from an even corner, and cut here.
        let (left, top) = (window.x.saturating_sub(2) & !1, window.y.saturating_sub(2) & !1);
        let width = (window.right() + 2).min(features.size.width) - left;
        let height = (window.bottom() + 2).min(features.size.height) - top;
        let stride = width as usize * BYTES_PER_PIXEL;
        let mut pixels = vec![0_u8; stride * height as usize];
        let mut config = ffi::WebPDecoderConfig::new().map_err(|()| invalid("the decoder does not start"))?;
        config.options.use_cropping = 1;
        config.options.crop_left = left as i32;
        config.options.crop_top = top as i32;
        config.options.crop_width = width as i32;
        config.options.crop_height = height as i32;
        config.output.colorspace = ffi::WEBP_CSP_MODE::MODE_RGBA;
        config.output.is_external_memory = 1;
        config.output.u.RGBA =
            ffi::WebPRGBABuffer { rgba: pixels.as_mut_ptr(), stride: stride as i32, size: pixels.len() };
        // Safe: the buffer has the size that the cropped picture needs and outlives the call.
        let status = unsafe { ffi::WebPDecode(bytes.as_ptr(), bytes.len(), &mut config) };
        unsafe { ffi::WebPFreeDecBuffer(&mut config.output) };
        check(status)?;
        if Size::new(width, height) != window.size() {
            let columns = (window.x - left) as usize * BYTES_PER_PIXEL;
            let columns = columns..columns + window.width as usize * BYTES_PER_PIXEL;
            let rows = pixels.chunks_exact(stride).skip((window.y - top) as usize).take(window.height as usize);
            pixels = rows.flat_map(|row| &row[columns.clone()]).copied().collect();
        }
        let profile = chunk(bytes, b"ICCP").filter(|icc| icc.len() <= limits.metadata_bytes);
        if let Some(mut to_srgb) = profile.and_then(ToSrgb::new) {
            pixels.chunks_exact_mut(window.width as usize * BYTES_PER_PIXEL).for_each(|row| to_srgb.apply(row));
        }
        Ok(Decoder {
            bands: Bands::new(pixels, window.width),
            decoded: Decoded { full: features.size, window, eighths: 8, subsampling: None },
            has_alpha: features.has_alpha,
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

/// Lossy at every quality; alpha is kept without loss.
pub(super) fn encode(frame: &Frame, quality: u8) -> Result<Vec<u8>> {
    let refused = || Error::Encode("webp".into());
    let size = frame.size();
    let mut config = ffi::WebPConfig::new().map_err(|()| refused())?;
    config.quality = f32::from(quality);
    config.method = if size.pixels() > THOROUGH_PIXELS { 2 } else { 4 };
    let mut picture = ffi::WebPPicture::new().map_err(|()| refused())?;
    picture.width = size.width as i32;
    picture.height = size.height as i32;
    // Safe: the frame's rows are as wide as stated; the writer lives until after the call that uses it, and both are
    // freed on every way out.
    unsafe {
        let mut writer: ffi::WebPMemoryWriter = std::mem::zeroed();
        ffi::WebPMemoryWriterInit(&mut writer);
        let stride = frame.row_stride_bytes() as i32;
        let imported = if frame.has_alpha() {
            ffi::WebPPictureImportRGBA(&mut picture, frame.pixels().as_ptr(), stride)
        } else {
            ffi::WebPPictureImportRGBX(&mut picture, frame.pixels().as_ptr(), stride)
        };
        picture.writer = Some(ffi::WebPMemoryWrite);
        picture.custom_ptr = std::ptr::from_mut(&mut writer).cast();
        let done = imported != 0 && ffi::WebPEncode(&config, &mut picture) != 0;
        let bytes = if done && !writer.mem.is_null() {
            std::slice::from_raw_parts(writer.mem, writer.size).to_vec()
        } else {
            Vec::new()
        };
        let code = picture.error_code;
        ffi::WebPPictureFree(&mut picture);
        ffi::WebPMemoryWriterClear(&mut writer);
        if done { Ok(bytes) } else { Err(Error::Encode(format!("webp: {code:?}"))) }
    }
}
