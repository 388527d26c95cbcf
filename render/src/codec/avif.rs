//! AVIF, written by libaom. Reading AVIF is not built.

use super::aom::{self, AomError, Components, Samples, Settings, Still};
use super::jpeg_writer;
use crate::error::{Error, Result};
use crate::frame::{BYTES_PER_PIXEL, Frame};
use crate::lanes::Instructions;
use crate::language::ChromaSampling;
use crate::plan::geometry::Size;
use crate::planes::{Plane, Planes, Subsampling};
use crate::pool;
use avif_serialize::Aviffy;
use std::ffi::CStr;

/// Options of every picture, by libaom's names.
const OPTIONS: [(&CStr, &CStr); 1] = [(c"tune", c"ssim")];

/// Writes a frame in 8 bits; opacity is a picture of its own.
pub(super) fn encode(frame: &Frame, quality: u8, chroma: Option<ChromaSampling>) -> Result<Vec<u8>> {
    let halved = chroma.unwrap_or(ChromaSampling::for_quality(quality)) == ChromaSampling::Half;
    let planes = jpeg_writer::to_planes(frame, halved, Instructions::detect())?;
    let color = color(&planes, quality, THOROUGH_SPEED)?;
    let opacity = if frame.has_alpha() { Some(opacity(frame, quality)?) } else { None };
    file(frame.size(), &color, opacity.as_deref(), halved)
}

/// The same from planes, as they are. Only the `fast` profile resamples planes, so they are written at the higher speed.
///
/// Errors: planes that are halved one way only.
pub(super) fn encode_planes(planes: &Planes, quality: u8) -> Result<Vec<u8>> {
    let stream = color(planes, quality, FAST_SPEED)?;
    file(planes.size(), &stream, None, planes.chroma().is_none() || planes.subsampling() == Subsampling::HALF)
}

const THOROUGH_SPEED: u8 = 7;
const FAST_SPEED: u8 = 8;

/// libaom's quantizer for a number from 1 to 100.
fn quantizer(quality: u8) -> u8 {
    (f32::from(100 - quality.min(100)) * 0.63).round() as u8
}

fn settings(quality: u8, speed: u8) -> Settings<'static> {
    Settings { quantizer: quantizer(quality), speed, options: &OPTIONS }
}

/// Three planes as AV1. Grey pictures get plain differences, which cost a few bytes and are read everywhere.
fn color(planes: &Planes, quality: u8, speed: u8) -> Result<Vec<u8>> {
    let size = planes.size();
    let plain;
    let (differences, halved) = match planes.chroma() {
        Some([blue, red]) => {
            let halved = match planes.subsampling() {
                Subsampling::HALF => true,
                Subsampling::NONE => false,
                _ => return Err(Error::Encode("avif: chroma is halved one way only".into())),
            };
            ([samples(blue), samples(red)], halved)
        }
        None => {
            let small = Subsampling::HALF.apply(size);
            plain = vec![128; small.pixels() as usize];
            let same = Samples { rows: &plain, stride: small.width as usize };
            ([same, same], true)
        }
    };
    let [blue, red] = differences;
    let components = Components::Color { planes: [samples(planes.luma()), blue, red], halved };
    let still = Still { width: size.width, height: size.height, components };
    aom::encode(&still, &settings(quality, speed)).map_err(refused)
}

fn samples(plane: &Plane) -> Samples<'_> {
    Samples { rows: plane.samples(), stride: plane.stride() }
}

/// The alpha channel as AV1.
fn opacity(frame: &Frame, quality: u8) -> Result<Vec<u8>> {
    let size = frame.size();
    let mut alpha = pool::take(size.pixels() as usize);
    for (alpha, pixel) in alpha.iter_mut().zip(frame.pixels().as_chunks::<BYTES_PER_PIXEL>().0) {
        *alpha = pixel[3];
    }
    let components = Components::Single(Samples { rows: &alpha, stride: size.width as usize });
    let still = Still { width: size.width, height: size.height, components };
    let stream = aom::encode(&still, &settings(quality, THOROUGH_SPEED)).map_err(refused);
    pool::give(alpha);
    stream
}

fn refused(error: AomError) -> Error {
    Error::Encode(format!("avif: {error}"))
}

/// The file around the streams. Colors are sRGB, its matrix that of BT.601, ranges full: what readers take for granted, so
/// that no box says it; the stream does.
fn file(size: Size, color: &[u8], opacity: Option<&[u8]>, halved: bool) -> Result<Vec<u8>> {
    let mut file = Vec::with_capacity(color.len() + opacity.map_or(0, <[u8]>::len) + 512);
    Aviffy::new()
        .set_width(size.width)
        .set_height(size.height)
        .set_bit_depth(8)
        .set_seq_profile(u8::from(!halved))
        .set_chroma_subsampling((halved, halved))
        .write_slice(&mut file, color, opacity)
        .map_err(|error| Error::Encode(format!("avif: {error}")))?;
    state_levels(&mut file, [Some(color), opacity]);
    Ok(file)
}

/// Writes the level that each stream states into its `av1C` box, where the two must agree (AV1-ISOBMFF 2.3.4). The boxes come
/// in the order color, opacity.
fn state_levels(file: &mut [u8], streams: [Option<&[u8]>; 2]) {
    let mut at = 0;
    for stream in streams.into_iter().flatten() {
        let Some(found) = file[at..].windows(4).position(|name| name == b"av1C") else { return };
        at += found + 4;
        // Version; then three bits of profile and five of level.
        if let (Some(level), Some(byte)) = (level(stream), file.get_mut(at + 1)) {
            *byte = *byte & 0xE0 | level;
        }
    }
}

/// The level in the sequence header that a still picture begins with (AV1 5.5.1, the reduced form).
fn level(stream: &[u8]) -> Option<u8> {
    let [header, _size, first, second, ..] = *stream else { return None };
    let is_sequence = header >> 3 & 15 == 1 && header & 0b110 == 0b010;
    // Profile (3), still picture (1), reduced header (1), level (5).
    let is_reduced = first & 0b11000 == 0b11000;
    (is_sequence && is_reduced).then_some((first & 0b111) << 2 | second >> 6)
}
