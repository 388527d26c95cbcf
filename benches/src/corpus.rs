//! The pictures that workloads start from, made from a few small photographs.
//!
//! A mosaic of mirrored cut-outs, enlarged a little and with sensor noise on top, costs a decoder about what a camera's
//! picture of the same size does: entropy is what decoding time depends on. The same photographs give the same bytes.

use crate::BenchError;
use tintype_render::Limits;
use tintype_render::codec;
use tintype_render::frame::{BYTES_PER_PIXEL, Frame};
use tintype_render::language::{ChromaSampling, Format};
use tintype_render::plan::geometry::{Rect, Size};
use tintype_render::plan::step::Demand;
use tintype_render::plan::{Encoding, Quality};

/// One file of the corpus.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Input {
    pub name: &'static str,
    pub size: Size,
    pub format: Format,
    /// 1 to 100; PNG ignores it.
    pub quality: u8,
    /// Progressive JPEG.
    pub progressive: bool,
    /// Whether the corners fade out.
    pub alpha: bool,
}

const JPEG_2MP: Input = Input {
    name: "photo_2mp",
    size: Size::new(1600, 1200),
    format: Format::Jpeg,
    quality: 90,
    progressive: false,
    alpha: false,
};

/// 1600x1200, 4:2:0.
pub const PHOTO_2MP: Input = JPEG_2MP;
/// 4032x3024, 4:2:0.
pub const PHOTO_12MP: Input = Input { name: "photo_12mp", size: Size::new(4032, 3024), ..JPEG_2MP };
/// 6000x4000, 4:2:0.
pub const PHOTO_24MP: Input = Input { name: "photo_24mp", size: Size::new(6000, 4000), ..JPEG_2MP };
/// The 12 MP picture with its coefficients in several scans.
pub const PROGRESSIVE_12MP: Input = Input { name: "progressive_12mp", progressive: true, ..PHOTO_12MP };
/// The 12 MP picture as WebP.
pub const WEBP_12MP: Input = Input { name: "webp_12mp", format: Format::WebP, quality: 80, ..PHOTO_12MP };
/// 1600x1200 with a soft transparent rim.
pub const PNG_2MP: Input = Input { name: "png_2mp", format: Format::Png, alpha: true, ..JPEG_2MP };

/// Every file of the corpus.
pub const INPUTS: &[Input] = &[PHOTO_2MP, PHOTO_12MP, PHOTO_24MP, PROGRESSIVE_12MP, WEBP_12MP, PNG_2MP];

/// Width and height of a tile of the mosaic, about, in pixels: so that the photographs are enlarged by half or so.
const TILE: Size = Size::new(800, 600);
/// How far one cut-out of a series is from the next: odd, so that blocks do not fall on blocks.
const SERIES_STEP: (u32, u32) = (37, 23);
/// Standard deviation of the noise in the dark, and its growth with the square root of the level, in steps of 255.
const READ_NOISE: f32 = 2.0;
const SHOT_NOISE: f32 = 0.30;

/// Decoded photographs.
#[derive(Debug, Clone)]
pub struct Photos {
    frames: Vec<Frame>,
}

impl Photos {
    /// Decodes files of any format that the renderer reads. Errors: none given, or one that is no picture.
    pub fn decode(files: &[&[u8]]) -> Result<Photos, BenchError> {
        let limits = Limits::default();
        let frames = files.iter().map(|bytes| whole(bytes, &limits)).collect::<Result<Vec<_>, _>>()?;
        if frames.is_empty() {
            return Err(BenchError::Input("no photographs were given".into()));
        }
        Ok(Photos { frames })
    }

    /// The bytes of a file of the corpus.
    pub fn make(&self, input: &Input) -> Result<Vec<u8>, BenchError> {
        encoded(self.mosaic(input.size)?, input)
    }

    /// So many different files of one kind: cut-outs of one larger mosaic, each some way further to the right and down, so
    /// that no block of a file is the same as in another.
    pub fn series(&self, input: &Input, n: usize) -> Result<Vec<Vec<u8>>, BenchError> {
        let last = n.saturating_sub(1) as u32;
        let Size { width, height } = input.size;
        let mosaic = self.mosaic(Size::new(width + last * SERIES_STEP.0, height + last * SERIES_STEP.1))?;
        let cut = |number: u32| {
            let mut frame = Frame::filled(input.size, [0, 0, 0, 255]);
            let (from, to) = (mosaic.row_stride_bytes(), frame.row_stride_bytes());
            let left = (number * SERIES_STEP.0) as usize * BYTES_PER_PIXEL;
            let rows = mosaic.pixels().chunks_exact(from).skip((number * SERIES_STEP.1) as usize);
            for (row, out) in rows.zip(frame.pixels_mut().chunks_exact_mut(to)) {
                out.copy_from_slice(&row[left..left + to]);
            }
            encoded(frame, input)
        };
        (0..n as u32).map(cut).collect()
    }
    /// Opaque tiles of the photographs in turn, every other one mirrored, with noise.
    fn mosaic(&self, size: Size) -> Result<Frame, BenchError> {
        let columns = (size.width + TILE.width / 2) / TILE.width;
        let rows = (size.height + TILE.height / 2) / TILE.height;
        let (columns, rows) = (columns.max(1), rows.max(1));
        let mut frame = Frame::filled(size, [0, 0, 0, 255]);
        for row in 0..rows {
            for column in 0..columns {
                let (left, right) = (size.width * column / columns, size.width * (column + 1) / columns);
                let (top, bottom) = (size.height * row / rows, size.height * (row + 1) / rows);
                let number = (row * columns + column) as usize;
                // A stride of its own for each row keeps equal photographs from standing in columns.
                let photo = &self.frames[(number + row as usize) % self.frames.len()];
                enlarge(photo, &mut frame, Rect::new(left, top, right - left, bottom - top), number % 2 == 1);
            }
        }
        add_noise(&mut frame);
        Ok(frame)
    }
}

/// A frame as the file that the input says.
fn encoded(mut frame: Frame, input: &Input) -> Result<Vec<u8>, BenchError> {
    if input.alpha {
        fade(&mut frame);
        frame = Frame::new(input.size, true, frame.into_pixels())?;
    }
    let encoding = Encoding {
        format: input.format,
        quality: Quality::Fixed(input.quality),
        chroma: Some(ChromaSampling::Half),
        progressive: input.progressive,
    };
    Ok(codec::encode(&frame, &encoding, &Limits::default())?.bytes)
}

/// Decodes every pixel of a file.
pub fn whole(bytes: &[u8], limits: &Limits) -> Result<Frame, BenchError> {
    let size = codec::probe(bytes, limits)?.size;
    let demand = Demand { size, scale: 1.0, region: Rect::whole(size) };
    Ok(codec::decode(bytes, &demand, limits)?.0)
}

/// Draws the middle of a photograph over a tile so that it covers it, by Catmull-Rom interpolation.
fn enlarge(photo: &Frame, out: &mut Frame, tile: Rect, mirrored: bool) {
    let (width, height) = (photo.size().width as f32, photo.size().height as f32);
    let step = (width / tile.width as f32).min(height / tile.height as f32);
    let left = (width - step * tile.width as f32) / 2.0;
    let top = (height - step * tile.height as f32) / 2.0;
    let columns: Vec<Taps> =
        (0..tile.width).map(|x| Taps::at(left + (x as f32 + 0.5) * step, photo.size().width)).collect();
    let stride = out.row_stride_bytes();
    let mut mixed = vec![[0_f32; 3]; photo.size().width as usize];
    for y in 0..tile.height {
        let rows = Taps::at(top + (y as f32 + 0.5) * step, photo.size().height);
        for (x, mixed) in mixed.iter_mut().enumerate() {
            *mixed = [0.0; 3];
            for (row, weight) in rows.indices.iter().zip(rows.weights) {
                let pixel = photo.pixel(x as u32, *row);
                for (sum, value) in mixed.iter_mut().zip(pixel) {
                    *sum += weight * f32::from(value);
                }
            }
        }
        let start = (tile.y + y) as usize * stride + tile.x as usize * BYTES_PER_PIXEL;
        let line = &mut out.pixels_mut()[start..][..tile.width as usize * BYTES_PER_PIXEL];
        for (x, pixel) in line.chunks_exact_mut(BYTES_PER_PIXEL).enumerate() {
            let taps = &columns[if mirrored { columns.len() - 1 - x } else { x }];
            for (channel, value) in pixel.iter_mut().take(3).enumerate() {
                let sum: f32 =
                    taps.indices.iter().zip(taps.weights).map(|(i, w)| w * mixed[*i as usize][channel]).sum();
                *value = (sum + 0.5) as u8;
            }
        }
    }
}

/// The four pixels around a position, and their Catmull-Rom weights.
struct Taps {
    indices: [u32; 4],
    weights: [f32; 4],
}

impl Taps {
    /// `position` in pixels, where pixel `k` spans `[k, k + 1]`; positions outside take the pixel at the edge.
    fn at(position: f32, length: u32) -> Taps {
        let first = (position - 0.5).floor();
        let t = position - 0.5 - first;
        let weights = [
            ((-0.5 * t + 1.0) * t - 0.5) * t,
            (1.5 * t - 2.5) * t * t + 1.0,
            ((-1.5 * t + 2.0) * t + 0.5) * t,
            (0.5 * t - 0.5) * t * t,
        ];
        let index = |offset: f32| (first + offset).clamp(0.0, length as f32 - 1.0) as u32;
        Taps { indices: [index(-1.0), index(0.0), index(1.0), index(2.0)], weights }
    }
}

/// Noise as of a sensor: of every channel on its own, and stronger where there is more light.
fn add_noise(frame: &mut Frame) {
    let mut random = Random(0x9E37_79B9_7F4A_7C15);
    for pixel in frame.pixels_mut().chunks_exact_mut(BYTES_PER_PIXEL) {
        for value in pixel.iter_mut().take(3) {
            let level = f32::from(*value);
            *value = (level + random.normal() * (READ_NOISE + SHOT_NOISE * level.sqrt()) + 0.5) as u8;
        }
    }
}

/// Alpha falls off towards the corners.
fn fade(frame: &mut Frame) {
    let (width, height) = (frame.size().width as f32, frame.size().height as f32);
    let columns = frame.size().width as usize;
    for (at, pixel) in frame.pixels_mut().chunks_exact_mut(BYTES_PER_PIXEL).enumerate() {
        let x = ((at % columns) as f32 + 0.5) / width * 2.0 - 1.0;
        let y = ((at / columns) as f32 + 0.5) / height * 2.0 - 1.0;
        pixel[3] = ((1.5 - (x * x + y * y)) * 255.0).clamp(0.0, 255.0) as u8;
    }
}

/// xorshift64*: quick and the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// Nearly normal with mean 0 and deviation 1: the sum of four uniform numbers.
    fn normal(&mut self) -> f32 {
        let bits = self.next();
        let sum: u32 = (0..4).map(|part| (bits >> (part * 16)) as u32 & 0xFFFF).sum();
        // Four numbers from 0 to 1 have the mean 2 and the variance 1/3.
        (sum as f32 / 65_535.0 - 2.0) * 3_f32.sqrt()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn photos() -> Photos {
        let samples: [&[u8]; 4] = [
            include_bytes!("../../api/assets/samples/astronaut.png"),
            include_bytes!("../../api/assets/samples/chelsea.png"),
            include_bytes!("../../api/assets/samples/coffee.png"),
            include_bytes!("../../api/assets/samples/rocket.jpg"),
        ];
        Photos::decode(&samples).unwrap()
    }

    #[test]
    fn the_same_photographs_give_the_same_bytes() {
        let input = Input { size: Size::new(500, 400), ..PHOTO_2MP };
        assert_eq!(photos().make(&input).unwrap(), photos().make(&input).unwrap());
    }

    #[test]
    fn a_photograph_weighs_what_cameras_make_of_it() {
        let bytes = photos().make(&PHOTO_2MP).unwrap();
        let bits_per_pixel = bytes.len() as f64 * 8.0 / PHOTO_2MP.size.pixels() as f64;
        assert!(
            (1.7..2.7).contains(&bits_per_pixel),
            "{bits_per_pixel}: 12 MP would weigh {} MB",
            bits_per_pixel * 1.524
        );
        let found = codec::probe(&bytes, &Limits::default()).unwrap();
        assert_eq!((found.size, found.format), (PHOTO_2MP.size, Format::Jpeg));
    }

    #[test]
    fn formats_and_alpha_are_as_stated() {
        for (input, alpha) in [(PNG_2MP, true), (WEBP_12MP, false), (PROGRESSIVE_12MP, false)] {
            let bytes = photos().make(&Input { size: Size::new(160, 120), ..input }).unwrap();
            let found = codec::probe(&bytes, &Limits::default()).unwrap();
            assert_eq!((found.format, found.has_alpha), (input.format, alpha), "{}", input.name);
            if alpha {
                let frame = whole(&bytes, &Limits::default()).unwrap();
                assert!(frame.pixel(0, 0)[3] == 0 && frame.pixel(80, 60)[3] == 255);
            }
        }
    }

    #[test]
    fn a_series_holds_different_pictures_of_one_kind() {
        let input = Input { size: Size::new(320, 240), ..PHOTO_2MP };
        let files = photos().series(&input, 4).unwrap();
        assert_eq!((files.len(), photos().series(&input, 0).unwrap().len()), (4, 0));
        let lengths: Vec<usize> = files.iter().map(Vec::len).collect();
        for (number, file) in files.iter().enumerate() {
            let found = codec::probe(file, &Limits::default()).unwrap();
            assert_eq!((found.size, found.format), (input.size, input.format));
            assert!(files[..number].iter().all(|other| other != file), "{number}");
            // They cost a decoder about the same.
            assert!(file.len() * 10 > lengths[0] * 8 && file.len() * 8 < lengths[0] * 10, "{lengths:?}");
        }
        let frames: Vec<Frame> = files.iter().map(|file| whole(file, &Limits::default()).unwrap()).collect();
        let (step_x, step_y) = SERIES_STEP;
        let distance = |x: u32, y: u32| {
            let (one, other) = (frames[0].pixel(x + step_x, y + step_y), frames[1].pixel(x, y));
            one[1].abs_diff(other[1])
        };
        let sum: u32 = (0..200).map(|at| u32::from(distance(at, at / 2))).sum();
        assert!(sum / 200 < 6, "the second cut-out is not the first, moved: {sum}");
    }

    #[test]
    fn noise_has_no_bias() {
        let mut random = Random(1);
        let values: Vec<f32> = (0..100_000).map(|_| random.normal()).collect();
        let mean = values.iter().sum::<f32>() / values.len() as f32;
        let variance = values.iter().map(|value| value * value).sum::<f32>() / values.len() as f32;
        assert!(mean.abs() < 0.02 && (variance - 1.0).abs() < 0.02, "{mean} {variance}");
    }

    #[test]
    fn nothing_to_start_from_is_an_error() {
        assert!(Photos::decode(&[]).is_err());
        assert!(Photos::decode(&[b"no picture"]).is_err());
    }
}
