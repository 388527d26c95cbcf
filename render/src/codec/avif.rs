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

/// Options of every picture, by libaom's names: of all that were tried on top of a speed, these help (bytes at equal
/// SSIMULACRA2, at speed 8, on photographs 1200 wide): SSIM instead of PSNR takes 3 %, quantizers that grow with the frequency
/// another 4 %, weighing them so when modes are compared 1 % and 2 % more at low numbers, their steeper kinds 1 %, the
/// directional filter 0.5 %. `examples/avif_frontier.rs` measures it.
const OPTIONS: [(&CStr, &CStr); 6] = [
    (c"tune", c"ssim"),
    (c"enable-qm", c"1"),
    (c"qm-min", c"2"),
    (c"qm-max", c"10"),
    (c"dist-metric", c"qm-psnr"),
    (c"enable-cdef", c"1"),
];

/// How a picture from pixels is written. On four photographs 1200 wide, against speed 8 of pyvips 8.18 (libaom 3.14) at equal
/// SSIMULACRA2, this takes 0.73 of the bytes and 1.8 times the processor time.
const THOROUGH_SPEED: u8 = 6;
/// How one from planes, and a large one, is written: 0.90 of those bytes, 0.67 of that time. Speed 9 would take 1.00 and 0.17, and
/// speed 7 the bytes of speed 8 in twice its time.
const FAST_SPEED: u8 = 8;
/// Pixels above which a picture is large: speed 6 takes about half a second for so many.
const LARGE_PIXELS: u64 = 2_000_000;

/// Writes a frame in 8 bits; opacity is a picture of its own.
pub(super) fn encode(frame: &Frame, quality: u8, chroma: Option<ChromaSampling>) -> Result<Vec<u8>> {
    let halved = chroma.unwrap_or(ChromaSampling::for_quality(quality)) == ChromaSampling::Half;
    let planes = jpeg_writer::to_planes(frame, halved, Instructions::detect())?;
    let speed = if frame.size().pixels() > LARGE_PIXELS { FAST_SPEED } else { THOROUGH_SPEED };
    let color = color(&planes, quality, speed)?;
    let opacity = if frame.has_alpha() { Some(opacity(frame, quality, speed)?) } else { None };
    file(frame.size(), &color, opacity.as_deref(), halved)
}

/// The same from planes, as they are. Only the `fast` profile resamples planes, so they are written at the higher speed.
///
/// Errors: planes that are halved one way only.
pub(super) fn encode_planes(planes: &Planes, quality: u8) -> Result<Vec<u8>> {
    let stream = color(planes, quality, FAST_SPEED)?;
    file(planes.size(), &stream, None, planes.chroma().is_none() || planes.subsampling() == Subsampling::HALF)
}

/// Quantizers for some numbers; between them it is interpolated. With these an AVIF scores what our JPEG of the same number
/// scores, on average over the pictures of `quality.rs` at speed 6 (`examples/calibrate_quality.rs`): SSIMULACRA2 48 at 20,
/// 67 at 40, 74 at 60, 84 at 82 and 91 at 91, within 0.6, for 0.48, 0.51, 0.53, 0.61 and 0.82 of the bytes. Single pictures
/// need quantizers up to 3 away. The last one is without loss.
const QUANTIZERS: [(f32, f32); 16] = [
    (1.0, 63.0),
    (10.0, 50.0),
    (20.0, 42.2),
    (30.0, 36.8),
    (35.0, 33.6),
    (40.0, 32.2),
    (50.0, 29.4),
    (60.0, 25.2),
    (70.0, 17.0),
    (76.0, 13.0),
    (82.0, 9.6),
    (88.0, 4.7),
    (93.0, 1.9),
    (95.0, 1.3),
    (99.0, 1.0),
    (100.0, 0.0),
];

/// libaom's quantizer for a number from 1 to 100.
fn quantizer(quality: u8) -> u8 {
    let number = f32::from(quality.clamp(1, 100));
    let pairs = QUANTIZERS.windows(2).find(|pair| number <= pair[1].0);
    let Some([(from, high), (to, low)]) = pairs.and_then(|pair| pair.first_chunk().copied()) else { return 0 };
    (high + (low - high) * (number - from) / (to - from)).round() as u8
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
    let settings = Settings { quantizer: quantizer(quality), speed, options: &OPTIONS };
    aom::encode(&still, &settings).map_err(refused)
}

fn samples(plane: &Plane) -> Samples<'_> {
    Samples { rows: plane.samples(), stride: plane.stride() }
}

/// The alpha channel as AV1, with half the colors' quantizer: what is wrong there shows at every edge, and it is small.
fn opacity(frame: &Frame, quality: u8, speed: u8) -> Result<Vec<u8>> {
    let size = frame.size();
    let mut alpha = pool::take(size.pixels() as usize);
    for (alpha, pixel) in alpha.iter_mut().zip(frame.pixels().as_chunks::<BYTES_PER_PIXEL>().0) {
        *alpha = pixel[3];
    }
    let components = Components::Single(Samples { rows: &alpha, stride: size.width as usize });
    let still = Still { width: size.width, height: size.height, components };
    let settings = Settings { quantizer: quantizer(quality) / 2, speed, options: &OPTIONS };
    let stream = aom::encode(&still, &settings).map_err(refused);
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
