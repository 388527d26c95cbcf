//! From a transformation and facts to a plan: numbers only, every default resolved, nothing left to decide.

pub mod bind;
pub mod facts;
pub mod geometry;
pub mod step;
pub mod weights;

use crate::language::{ChromaSampling, Format, QualityLevel};
use serde::Serialize;
use step::{Demand, Step, SurfaceId};

/// Everything that is done to make one picture.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Plan {
    /// What is read: the base first, then every layer.
    pub sources: Vec<Demand>,
    /// Operations in an order in which every input is there before it is used.
    pub steps: Vec<Step>,
    /// The surface that is encoded.
    pub output: SurfaceId,
    /// How it is encoded.
    pub encoding: Encoding,
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
