//! Pictures that are made of nothing, or of other pictures: texts, sprites, animations. Everything runs on the
//! scheduler's threads, under its memory.

use super::call::ApiError;
use super::pictures::{PictureError, Pictures};
use crate::domain::PixelSize;
use crate::fetch::{ContentTypes, RemoteClient};
use bytes::Bytes;
use std::sync::Arc;
use tintype_render::codec::{self, AnimationFormat};
use tintype_render::frame::{BYTES_PER_PIXEL, Frame};
use tintype_render::language::Format;
use tintype_render::plan::geometry::{Rect, Size};
use tintype_render::plan::step::Demand;
use tintype_render::plan::{Encoding, Quality};
use tintype_render::text::{Fonts, Style};
use tintype_render::{Error, Limits};
use tintype_scheduler::{Lane, Scheduler, WorkError};

/// Ceilings of what is composed of several pictures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StudioLimits {
    /// Pictures of one sprite, frames of one animation.
    pub max_pictures: usize,
    /// Pixels of all of them together.
    pub max_pixels: u64,
    /// Bytes of a picture that is fetched from an address.
    pub max_file_bytes: u64,
}

/// A file that was made.
#[derive(Debug, Clone)]
pub struct MadeFile {
    pub bytes: Bytes,
    pub format: &'static str,
    pub size: PixelSize,
    pub has_alpha: bool,
}

/// Where the pictures of a sprite lie in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    pub size: PixelSize,
    pub x: u32,
    pub y: u32,
}

/// Makes pictures.
pub struct Studio {
    scheduler: Arc<Scheduler>,
    fonts: Arc<Fonts>,
    pictures: Arc<dyn Pictures>,
    remote: RemoteClient,
    limits: Limits,
    pub(super) bounds: StudioLimits,
}

/// Memory that a text may take beside its pixels, in bytes a square pixel of its size: glyphs on their way.
const GLYPH_BYTES: u64 = 4;

fn refused(error: Error) -> ApiError {
    if error.is_internal() { ApiError::Internal(error.to_string()) } else { ApiError::BadRequest(error.to_string()) }
}

fn stopped(error: WorkError) -> ApiError {
    match error {
        WorkError::Busy | WorkError::Expired | WorkError::ShuttingDown => {
            ApiError::Upload(super::upload::UploadError::Picture(PictureError::Busy))
        }
        WorkError::Render(error) => refused(error),
        other => ApiError::Internal(other.to_string()),
    }
}

/// Bytes of a frame.
fn bytes_of(size: PixelSize) -> u64 {
    u64::from(size.width) * u64::from(size.height) * BYTES_PER_PIXEL as u64
}

fn read(bytes: &[u8], limits: &Limits) -> Result<Frame, Error> {
    let size = codec::probe(bytes, limits)?.size;
    let demand = Demand { size, scale: 1.0, region: Rect::whole(size) };
    Ok(codec::decode(bytes, &demand, limits)?.0)
}

impl Studio {
    pub fn new(
        scheduler: Arc<Scheduler>,
        fonts: Arc<Fonts>,
        pictures: Arc<dyn Pictures>,
        remote: RemoteClient,
        limits: Limits,
        bounds: StudioLimits,
    ) -> Self {
        Studio { scheduler, fonts, pictures, remote, limits, bounds }
    }

    /// A text as a PNG.
    pub async fn text(&self, text: String, style: Style) -> Result<MadeFile, ApiError> {
        self.fonts.family(&style.family).map_err(refused)?;
        let (fonts, limits) = (self.fonts.clone(), self.limits.clone());
        // A line feed and a letter each take at most a square of the size; wider texts are refused by their pixels.
        let square = (f64::from(style.size_px.clamp(1.0, tintype_render::text::MAX_SIZE_PX)).powi(2) * 2.0) as u64;
        let cost = (square * GLYPH_BYTES)
            .saturating_mul(text.chars().count() as u64 + 4)
            .min(limits.output_pixels.saturating_mul(BYTES_PER_PIXEL as u64));
        let draw = move || {
            let frame = fonts.draw(&text, &style, &limits)?;
            encode(&frame, Format::Png, Quality::Fixed(100), &limits)
        };
        self.scheduler.run(Lane::Interactive, cost, draw).await.map_err(stopped)?.map_err(refused)
    }

    /// A picture at an address under a transformation, as a PNG.
    pub async fn fetched(&self, address: &str, transformation: &str) -> Result<Bytes, ApiError> {
        let from_fetch = |error| ApiError::Upload(super::upload::UploadError::Fetch(error));
        let mut file =
            self.remote.get(address, self.bounds.max_file_bytes, ContentTypes::Any).await.map_err(from_fetch)?;
        let mut bytes = Vec::new();
        while let Some(piece) = file.next().await.map_err(from_fetch)? {
            bytes.extend_from_slice(&piece);
        }
        let converted = self.pictures.convert(bytes.into(), transformation, Format::Png).await;
        converted.map_err(|error| ApiError::Upload(super::upload::UploadError::Picture(error)))
    }

    /// Size of a picture that is in memory.
    pub fn size(&self, bytes: &[u8]) -> Result<PixelSize, ApiError> {
        let size = codec::probe(bytes, &self.limits).map_err(refused)?.size;
        Ok(PixelSize { width: size.width, height: size.height })
    }

    /// Pictures under each other, in order, and where each lies.
    pub async fn stack(&self, pictures: Vec<Bytes>, format: Format) -> Result<(MadeFile, Vec<Place>), ApiError> {
        let (mut places, mut y, mut width) = (Vec::with_capacity(pictures.len()), 0_u64, 0_u32);
        for bytes in &pictures {
            let size = self.size(bytes)?;
            places.push(Place { size, x: 0, y: u32::try_from(y).unwrap_or(u32::MAX) });
            y += u64::from(size.height);
            width = width.max(size.width);
        }
        self.limits.check_output(width.into(), y).map_err(refused)?;
        let whole = PixelSize { width, height: u32::try_from(y).unwrap_or(u32::MAX) };
        self.check_pixels(u64::from(width) * y)?;
        let limits = self.limits.clone();
        let largest = places.iter().map(|place| bytes_of(place.size)).max().unwrap_or(0);
        let layout = places.clone();
        let draw = move || {
            let stride = whole.width as usize * BYTES_PER_PIXEL;
            let mut pixels = vec![0; stride * whole.height as usize];
            for (bytes, place) in pictures.iter().zip(&layout) {
                let frame = read(bytes, &limits)?;
                for (row, at) in (0..place.size.height).zip(place.y as usize..) {
                    let source = frame.row(row);
                    pixels[at * stride..][..source.len()].copy_from_slice(source);
                }
            }
            let has_alpha = pixels.chunks_exact(BYTES_PER_PIXEL).any(|pixel| pixel[3] != 255);
            if format == Format::Jpeg {
                on_white(&mut pixels);
            }
            let has_alpha = has_alpha && format != Format::Jpeg;
            let frame = Frame::new(Size::new(whole.width, whole.height), has_alpha, pixels)?;
            let quality = if format == Format::Png { Quality::Fixed(100) } else { Quality::Fixed(90) };
            encode(&frame, format, quality, &limits)
        };
        let cost = bytes_of(whole).saturating_mul(2).saturating_add(largest);
        let made = self.scheduler.run(Lane::Interactive, cost, draw).await.map_err(stopped)?.map_err(refused)?;
        Ok((made, places))
    }

    /// Refuses too many pixels of one composition.
    pub fn check_pixels(&self, pixels: u64) -> Result<(), ApiError> {
        if pixels > self.bounds.max_pixels {
            return Err(ApiError::BadRequest(format!(
                "Too many pixels altogether. Maximum is {}. Got {pixels}",
                self.bounds.max_pixels
            )));
        }
        Ok(())
    }

    /// Pictures of one size one after the other.
    pub async fn animate(
        &self,
        pictures: Vec<Bytes>,
        delay_ms: u16,
        format: AnimationFormat,
    ) -> Result<MadeFile, ApiError> {
        let mut all = 0_u64;
        let mut first = PixelSize::default();
        for (n, bytes) in pictures.iter().enumerate() {
            let size = self.size(bytes)?;
            if n == 0 {
                first = size;
            }
            all = all.saturating_add(u64::from(size.width) * u64::from(size.height));
        }
        self.check_pixels(all)?;
        let limits = self.limits.clone();
        let draw = move || {
            let frames = pictures.iter().map(|bytes| read(bytes, &limits)).collect::<Result<Vec<_>, _>>()?;
            let has_alpha = frames.iter().any(Frame::has_alpha);
            let bytes = codec::encode_animation(&frames, delay_ms, format)?;
            Ok::<_, Error>(MadeFile { bytes: bytes.into(), format: format.extension(), size: first, has_alpha })
        };
        let cost = all.saturating_mul(BYTES_PER_PIXEL as u64 * 2);
        self.scheduler.run(Lane::Interactive, cost, draw).await.map_err(stopped)?.map_err(refused)
    }
}

fn encode(frame: &Frame, format: Format, quality: Quality, limits: &Limits) -> Result<MadeFile, Error> {
    let encoding = Encoding { format, quality, chroma: None, progressive: false };
    let encoded = codec::encode(frame, &encoding, limits)?;
    let size = PixelSize { width: frame.size().width, height: frame.size().height };
    Ok(MadeFile { bytes: encoded.bytes.into(), format: format.extension(), size, has_alpha: frame.has_alpha() })
}

/// Lays pixels over white, in encoded values, because the format has no alpha.
fn on_white(pixels: &mut [u8]) {
    for pixel in pixels.chunks_exact_mut(BYTES_PER_PIXEL) {
        let alpha = u32::from(pixel[3]);
        for value in &mut pixel[..3] {
            *value = ((u32::from(*value) * alpha + 255 * (255 - alpha) + 127) / 255) as u8;
        }
        pixel[3] = 255;
    }
}
