//! Finds faces, for gravities.
//!
//! BlazeFace (full range, 192x192) looks at the whole picture first; where it sees nothing, at overlapping tiles, in which
//! small faces are larger. Weights and their licence are in `render/assets/models`.

use crate::backend::{Job, Source};
use crate::cpu::CpuBackend;
use crate::error::{Error, Result};
use crate::frame::Frame;
use crate::plan::bind::{BoundPlan, Kernel};
use crate::plan::geometry::{RectF, Size};
use crate::plan::step::{Filter, Light, SurfaceId};
use crate::plan::weights::Axis;
use rten::{Model, RunOptions, ThreadPool, Value};
use rten_tensor::prelude::*;
use rten_tensor::{NdTensor, Tensor};
use std::sync::Arc;

/// Side of the model's input in pixels.
const INPUT: u32 = 192;
/// Cells along one side of the model's grid, one anchor each.
const GRID: usize = 48;
/// Least score of a face in the whole picture. Measured: the sample portrait scores 0.94, cats stay under 0.4.
const WHOLE_SCORE: f32 = 0.6;
/// Least score of a face in a tile; there are more tiles, hence more chances to be wrong. Measured: tiles of the samples
/// without a face stay under 0.5.
const TILE_SCORE: f32 = 0.7;
/// Share of their union that two boxes of one face have in common.
const SAME_FACE: f64 = 0.3;
/// Least side of a tile in pixels.
const TILE_MIN_PX: u32 = 128;
/// The model's box ends at eyebrows and mouth corners. People mean the whole face, so each side is moved by this share of
/// the box: left and right, top, bottom.
const MARGINS: (f64, f64, f64) = (0.05, 0.25, 0.05);

/// A loaded detector. Loading takes some milliseconds; detection runs on the calling thread.
pub struct FaceDetector {
    model: Model,
    threads: Arc<ThreadPool>,
    backend: CpuBackend,
}

impl std::fmt::Debug for FaceDetector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FaceDetector")
    }
}

/// A box with its score.
#[derive(Debug, Clone, Copy)]
struct Found {
    rect: RectF,
    score: f32,
}

impl FaceDetector {
    /// Loads the weights that are part of the program.
    pub fn new() -> Result<Self> {
        let weights = include_bytes!("../assets/models/blazeface_full_range.onnx");
        let model = Model::load_static_slice(weights).map_err(|error| Error::Device(format!("face model: {error}")))?;
        Ok(FaceDetector { model, threads: Arc::new(ThreadPool::with_num_threads(1)), backend: CpuBackend::new() })
    }

    /// Faces in pixels of the frame, clipped to it, largest first. A model that fails finds nothing.
    pub fn detect(&self, frame: &Frame) -> Vec<RectF> {
        let size = frame.size();
        let source = Arc::new(frame.clone());
        let whole = RectF::new(0.0, 0.0, f64::from(size.width), f64::from(size.height));
        let mut found = merged(self.look(&source, whole, WHOLE_SCORE));
        for parts in [2, 3] {
            // A tile of fewer pixels than the model's input shows nothing that the larger tiles did not.
            if found.is_empty() && size.width.min(size.height) >= parts * TILE_MIN_PX {
                let tiles = tiles(size, parts).into_iter();
                found = merged(tiles.flat_map(|tile| self.look(&source, tile, TILE_SCORE)).collect());
            }
        }
        let mut faces: Vec<RectF> = found.into_iter().filter_map(|face| widened(face.rect, size)).collect();
        faces.sort_by(|a, b| b.area().total_cmp(&a.area()));
        faces
    }

    /// Faces in one region, in pixels of the frame.
    fn look(&self, frame: &Arc<Frame>, region: RectF, least: f32) -> Vec<Found> {
        let (input, scale) = match self.letterboxed(frame, region) {
            Ok(made) => made,
            Err(error) => {
                tracing::warn!(error = %error, "the picture could not be prepared for face detection");
                return vec![];
            }
        };
        let (Some(input_id), outputs) = (self.model.input_ids().first().copied(), self.model.output_ids()) else {
            return vec![];
        };
        let options = RunOptions::default().with_thread_pool(Some(self.threads.clone()));
        let values = match self.model.run(vec![(input_id, input.into())], outputs, Some(options)) {
            Ok(values) => values,
            Err(error) => {
                tracing::warn!(error = %error, "face detection failed");
                return vec![];
            }
        };
        let (mut boxes, mut scores) = (Vec::new(), Vec::new());
        for value in values {
            let Value::FloatTensor(tensor) = value else { continue };
            let width = tensor.shape().last().copied().unwrap_or(0);
            let numbers: Tensor<f32> = tensor;
            if width == 16 {
                boxes = numbers.to_vec();
            } else {
                scores = numbers.to_vec();
            }
        }
        let mut found = Vec::new();
        for (index, (numbers, logit)) in boxes.chunks_exact(16).zip(&scores).enumerate() {
            let score = 1.0 / (1.0 + (-logit).exp());
            if score < least {
                continue;
            }
            let anchor = |cell: usize| (cell as f64 + 0.5) / GRID as f64 * f64::from(INPUT);
            let center_x = anchor(index % GRID) + f64::from(numbers[0]);
            let center_y = anchor(index / GRID) + f64::from(numbers[1]);
            let (width, height) = (f64::from(numbers[2]), f64::from(numbers[3]));
            if !(width > 0.0 && height > 0.0) {
                continue;
            }
            let rect = RectF::new(
                region.x + (center_x - width / 2.0) / scale,
                region.y + (center_y - height / 2.0) / scale,
                width / scale,
                height / scale,
            );
            found.push(Found { rect, score });
        }
        found
    }

    /// The region, fitted into the upper left of the model's input, and by how much it was scaled. Values are -1 to 1.
    fn letterboxed(&self, frame: &Arc<Frame>, region: RectF) -> Result<(NdTensor<f32, 4>, f64)> {
        let scale = f64::from(INPUT) / region.width.max(region.height);
        let side = |length: f64| ((length * scale).round() as u32).clamp(1, INPUT);
        let size = Size::new(side(region.width), side(region.height));
        let axis = |start: f64, length: f64, input: u32, scaled: u32| {
            let axis = Axis {
                region_start: start,
                region_length: length,
                input_start: 0,
                input_end: input,
                scaled_length: scaled,
                window_start: 0,
                window_length: scaled,
            };
            Arc::new(axis.weights(Filter::Lanczos3))
        };
        let plan = BoundPlan {
            kernels: vec![
                Kernel::Load { source: 0 },
                Kernel::Resample {
                    input: SurfaceId(0),
                    horizontal: axis(region.x, region.width, frame.size().width, size.width),
                    vertical: axis(region.y, region.height, frame.size().height, size.height),
                    light: Light::Encoded,
                    chroma: None,
                },
            ],
            sizes: vec![frame.size(), size],
            alphas: vec![frame.has_alpha(), frame.has_alpha()],
            output: SurfaceId(1),
        };
        let job = Job { plan: Arc::new(plan), sources: vec![Source::Rgba(frame.clone())] };
        let small = self.backend.run(&job).map_err(|error| Error::Device(error.to_string()))?.into_frame();
        let mut input = NdTensor::zeros([1, INPUT as usize, INPUT as usize, 3]);
        for y in 0..size.height {
            for (x, pixel) in small.row(y).chunks_exact(4).enumerate() {
                for channel in 0..3 {
                    input[[0, y as usize, x, channel]] = f32::from(pixel[channel]) / 127.5 - 1.0;
                }
            }
        }
        Ok((input, scale))
    }
}

/// Squares of a part of the longer side that overlap by half, over the whole picture.
fn tiles(size: Size, parts: u32) -> Vec<RectF> {
    let side = size.width.max(size.height) / parts;
    let starts = |length: u32| {
        let room = length.saturating_sub(side);
        let steps = (2 * room).div_ceil(side.max(1));
        (0..=steps).map(move |step| f64::from(room) * f64::from(step) / f64::from(steps.max(1))).collect::<Vec<_>>()
    };
    let (width, height) = (f64::from(side.min(size.width)), f64::from(side.min(size.height)));
    let columns = starts(size.width);
    starts(size.height)
        .into_iter()
        .flat_map(|y| columns.iter().map(move |x| RectF::new(*x, y, width, height)).collect::<Vec<_>>())
        .collect()
}

/// One box for each face: boxes that overlap become their mean, weighted by score.
fn merged(mut found: Vec<Found>) -> Vec<Found> {
    found.sort_by(|a, b| b.score.total_cmp(&a.score));
    let mut faces: Vec<Found> = Vec::new();
    while let Some(best) = found.first().copied() {
        let (same, others): (Vec<Found>, Vec<Found>) =
            found.into_iter().partition(|other| overlap(best.rect, other.rect) >= SAME_FACE);
        let total: f64 = same.iter().map(|one| f64::from(one.score)).sum();
        let mean = |value: fn(&RectF) -> f64| {
            same.iter().map(|one| value(&one.rect) * f64::from(one.score)).sum::<f64>() / total
        };
        let rect = RectF::new(mean(|r| r.x), mean(|r| r.y), mean(|r| r.width), mean(|r| r.height));
        faces.push(Found { rect, score: best.score });
        found = others;
    }
    faces
}

/// Common area over the area of both together.
fn overlap(a: RectF, b: RectF) -> f64 {
    let width = (a.x + a.width).min(b.x + b.width) - a.x.max(b.x);
    let height = (a.y + a.height).min(b.y + b.height) - a.y.max(b.y);
    let common = width.max(0.0) * height.max(0.0);
    common / (a.area() + b.area() - common)
}

/// The box with its margins, clipped to the picture and rounded to whole pixels; none when nothing of it is inside.
fn widened(rect: RectF, size: Size) -> Option<RectF> {
    let (sides, top, bottom) = MARGINS;
    let left = (rect.x - rect.width * sides).max(0.0).round();
    let upper = (rect.y - rect.height * top).max(0.0).round();
    let right = (rect.x + rect.width * (1.0 + sides)).min(f64::from(size.width)).round();
    let lower = (rect.y + rect.height * (1.0 + bottom)).min(f64::from(size.height)).round();
    (right > left && lower > upper).then(|| RectF::new(left, upper, right - left, lower - upper))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::plan::geometry::Rect;
    use crate::plan::step::Demand;
    use crate::{Limits, codec};
    use std::path::Path;

    fn sample(name: &str) -> Frame {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../api/assets/samples").join(name);
        let bytes = std::fs::read(path).unwrap();
        let size = codec::probe(&bytes, &Limits::default()).unwrap().size;
        codec::decode(&bytes, &Demand { size, scale: 1.0, region: Rect::whole(size) }, &Limits::default()).unwrap().0
    }

    #[test]
    fn the_portrait_has_one_face_where_it_is() {
        let faces = FaceDetector::new().unwrap().detect(&sample("astronaut.png"));
        assert_eq!(faces.len(), 1, "{faces:?}");
        let (x, y) = faces[0].center();
        assert!((x - 224.0).abs() < 15.0 && (y - 115.0).abs() < 25.0, "{faces:?}");
        assert!((70.0..160.0).contains(&faces[0].width), "{faces:?}");
    }

    #[test]
    fn cats_cups_and_rockets_have_none() {
        let detector = FaceDetector::new().unwrap();
        for name in ["chelsea.png", "coffee.png", "rocket.jpg"] {
            assert_eq!(detector.detect(&sample(name)), vec![], "{name}");
        }
    }

    #[test]
    fn a_small_face_in_a_large_picture_is_found_in_a_tile() {
        let face = sample("astronaut.png");
        let mut large = Frame::filled(Size::new(1600, 1200), [90, 110, 130, 255]);
        let stride = large.row_stride_bytes();
        // Half of the portrait's size, in the lower right.
        for y in 0..256_u32 {
            for x in 0..256_u32 {
                let at = (y as usize + 900) * stride + (x as usize + 1300) * 4;
                large.pixels_mut()[at..at + 4].copy_from_slice(&face.pixel(x * 2, y * 2));
            }
        }
        let faces = FaceDetector::new().unwrap().detect(&large);
        assert_eq!(faces.len(), 1, "{faces:?}");
        let (x, y) = faces[0].center();
        assert!((x - 1412.0).abs() < 12.0 && (y - 957.0).abs() < 12.0, "{faces:?}");
    }

    #[test]
    fn tiles_cover_the_picture() {
        for size in [Size::new(1024, 768), Size::new(300, 1000), Size::new(400, 400), Size::new(257, 256)] {
            let tiles = tiles(size, 3);
            let right = tiles.iter().map(|tile| tile.x + tile.width).fold(0.0, f64::max);
            let bottom = tiles.iter().map(|tile| tile.y + tile.height).fold(0.0, f64::max);
            assert!(right >= f64::from(size.width) - 1e-9 && bottom >= f64::from(size.height) - 1e-9, "{size}");
            assert!(tiles.len() <= 40, "{size}: {}", tiles.len());
        }
    }
}
