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
use crate::planes::{Plane, Planes, Subsampling};
use libwebp_sys as ffi;

/// Pixels up to which the slower, smaller method is used.
const THOROUGH_PIXELS: u64 = 1_000_000;

/// The method that writes planes, from `examples/webp_frontier.rs` (four photographs at 800x600, number 84): methods 0 to 4 take
/// 7, 8, 12, 34 and 36 ms, for 136, 122, 104, 100 and 100 % of the bytes of method 4; scores are within 0.6.
const PLANAR_METHOD: i32 = 2;

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
        pages: 1,
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
    let size = frame.size();
    let method = if size.pixels() > THOROUGH_PIXELS { 2 } else { 4 };
    let stride = frame.row_stride_bytes() as i32;
    write(size, quality, method, |picture| {
        let pixels = frame.pixels().as_ptr();
        // Safe: the frame's rows are as wide as stated.
        let imported = unsafe {
            if frame.has_alpha() {
                ffi::WebPPictureImportRGBA(picture, pixels, stride)
            } else {
                ffi::WebPPictureImportRGBX(picture, pixels, stride)
            }
        };
        imported != 0
    })
}

/// The same from planes with halved chroma, without a detour over pixels. Only the `fast` profile resamples planes, so the
/// cheapest method writes them.
///
/// Errors: planes that are not halved.
pub(super) fn encode_planes(planes: &Planes, quality: u8) -> Result<Vec<u8>> {
    if planes.chroma().is_some() && planes.subsampling() != Subsampling::HALF {
        return Err(Error::Encode("webp: chroma is not halved".into()));
    }
    let size = planes.size();
    let mut luma = converted(planes.luma(), &STUDIO_LUMA);
    let small = Subsampling::HALF.apply(size);
    let (mut blue, mut red) = match planes.chroma() {
        Some([blue, red]) => (converted(blue, &STUDIO_CHROMA), converted(red, &STUDIO_CHROMA)),
        None => (vec![128; small.pixels() as usize], vec![128; small.pixels() as usize]),
    };
    write(size, quality, PLANAR_METHOD, |picture| {
        // The planes stay ours: libwebp frees only what it allocated, and lives shorter than they do.
        picture.use_argb = 0;
        picture.colorspace = ffi::WebPEncCSP::WEBP_YUV420;
        picture.y = luma.as_mut_ptr();
        picture.u = blue.as_mut_ptr();
        picture.v = red.as_mut_ptr();
        picture.y_stride = size.width as i32;
        picture.uv_stride = small.width as i32;
        true
    })
}

/// The samples of a plane without padding, each replaced by its entry of a table.
fn converted(plane: &Plane, table: &[u8; 256]) -> Vec<u8> {
    let size = plane.size();
    let mut samples = Vec::with_capacity(size.pixels() as usize);
    for y in 0..size.height {
        samples.extend(plane.row(y).iter().map(|sample| table[usize::from(*sample)]));
    }
    samples
}

/// Luma from 0..=255, as JPEG has it, to 16..=235, as VP8 has it (both BT.601).
static STUDIO_LUMA: [u8; 256] = scaled_around(0, 16, 219);
/// Color differences likewise to 16..=240, around 128.
static STUDIO_CHROMA: [u8; 256] = scaled_around(128, 128, 224);

/// `to + (sample - from) * steps / 255`, rounded.
const fn scaled_around(from: i32, to: i32, steps: i32) -> [u8; 256] {
    let mut table = [0; 256];
    let mut sample = 0;
    while sample < 256 {
        let doubled = 2 * (sample as i32 - from) * steps;
        let rounded = (doubled + 255 + 510 * 256) / 510 - 256;
        table[sample] = (to + rounded) as u8;
        sample += 1;
    }
    table
}

/// Runs the encoder over what `fill` gives it.
fn write(size: Size, quality: u8, method: i32, fill: impl FnOnce(&mut ffi::WebPPicture) -> bool) -> Result<Vec<u8>> {
    let refused = || Error::Encode("webp".into());
    let mut config = ffi::WebPConfig::new().map_err(|()| refused())?;
    config.quality = f32::from(quality);
    config.method = method;
    let mut picture = ffi::WebPPicture::new().map_err(|()| refused())?;
    picture.width = size.width as i32;
    picture.height = size.height as i32;
    // Safe: the writer lives until after the call that uses it, and both are freed on every way out.
    unsafe {
        let mut writer: ffi::WebPMemoryWriter = std::mem::zeroed();
        ffi::WebPMemoryWriterInit(&mut writer);
        let filled = fill(&mut picture);
        picture.writer = Some(ffi::WebPMemoryWrite);
        picture.custom_ptr = std::ptr::from_mut(&mut writer).cast();
        let done = filled && ffi::WebPEncode(&config, &mut picture) != 0;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_and_middles_of_the_ranges_meet() {
        assert_eq!((STUDIO_LUMA[0], STUDIO_LUMA[255]), (16, 235));
        assert_eq!((STUDIO_CHROMA[0], STUDIO_CHROMA[128], STUDIO_CHROMA[255]), (16, 128, 240));
        for sample in 0..256_usize {
            let luma = 16.0 + sample as f64 * 219.0 / 255.0;
            let chroma = 128.0 + (sample as f64 - 128.0) * 224.0 / 255.0;
            assert!((f64::from(STUDIO_LUMA[sample]) - luma).abs() <= 0.5, "{sample}");
            assert!((f64::from(STUDIO_CHROMA[sample]) - chroma).abs() <= 0.501, "{sample}");
        }
    }
}
