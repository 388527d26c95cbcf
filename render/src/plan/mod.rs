//! From a transformation and facts to a plan: numbers only, every default resolved, nothing left to decide.

pub mod bind;
mod builder;
mod crop;
mod encoding;
pub mod facts;
pub mod geometry;
mod gravity;
mod layer;
mod rational;
mod resolve;
pub mod step;
pub mod weights;

pub use encoding::resolve as resolve_encoding;
pub use resolve::{page, resolve};

use crate::language::{ChromaSampling, Format, QualityLevel};
use serde::Serialize;
use step::{Demand, Op, Step, SurfaceId};

/// Everything that is done to make one picture.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Plan {
    /// What is read: the base first, then every layer.
    pub sources: Vec<Demand>,
    /// Which picture of the base's file is read, counted from 0.
    pub page: u32,
    /// Operations in an order in which every input is there before it is used.
    pub steps: Vec<Step>,
    /// The surface that is encoded.
    pub output: SurfaceId,
    /// How it is encoded.
    pub encoding: Encoding,
}

impl Plan {
    /// Whether any step loads a source.
    pub fn reads(&self, source: usize) -> bool {
        self.loads(source).next().is_some()
    }

    /// Whether a source is read, and by nothing but resampling.
    pub fn only_resamples(&self, source: usize) -> bool {
        let is_resampled = |load: SurfaceId| {
            let mut readers = self.steps.iter().filter(|step| step.op.inputs().any(|input| input == load));
            load != self.output && readers.all(|step| matches!(step.op, Op::Resample { .. }))
        };
        self.reads(source) && self.loads(source).all(is_resampled)
    }

    fn loads(&self, source: usize) -> impl Iterator<Item = SurfaceId> {
        let is_load = move |step: &Step| matches!(step.op, Op::Load { source: loaded } if loaded == source);
        (0..).zip(&self.steps).filter(move |(_, step)| is_load(step)).map(|(index, _)| SurfaceId(index))
    }
}

/// How the result is encoded; nothing is left to the encoder's taste.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Encoding {
    pub format: Format,
    pub quality: Quality,
    /// `None`: 4:4:4 from quality 90 on, else 4:2:0.
    pub chroma: Option<ChromaSampling>,
    /// Progressive JPEG.
    pub progressive: bool,
}

/// Quality of a lossy encoding; PNG ignores it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Quality {
    /// 1 to 100.
    Fixed(u8),
    /// Chosen for the picture so that it looks as good as the level promises.
    Auto(QualityLevel),
}
