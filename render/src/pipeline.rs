//! Joins decoding, planning, a backend and encoding.

use crate::backend::{Job, Output};
use crate::error::{Error, Result};
use crate::face::FaceDetector;
use crate::language::{Format, Transformation};
use crate::limits::Limits;
use crate::plan::Encoding;
use crate::plan::facts::{Facts, Purpose};
use crate::plan::geometry::{RectF, Size};
use bytes::Bytes;
use std::sync::Arc;

/// One picture that is asked for.
#[derive(Debug, Clone)]
pub struct Request {
    pub transformation: Arc<Transformation>,
    pub facts: Facts,
    pub purpose: Purpose,
}

/// Faces that were looked for on the way, to be kept with the asset.
#[derive(Debug, Clone, PartialEq)]
pub struct FoundFaces {
    /// Public id of the layer, `None` for the base.
    pub layer: Option<String>,
    /// Pixels of the upright picture, largest first.
    pub faces: Vec<RectF>,
}

/// A decoded and bound picture, ready for a backend.
#[derive(Debug, Clone)]
pub struct Prepared {
    pub job: Job,
    pub encoding: Encoding,
    pub found: Vec<FoundFaces>,
}

/// The finished picture.
#[derive(Debug, Clone)]
pub struct Picture {
    pub bytes: Bytes,
    pub format: Format,
    pub size: Size,
    /// The number that a lossy encoder was given.
    pub quality: Option<u8>,
}

/// Public ids of the pictures to read, in order of source: `None` is the base, then every layer.
pub fn source_ids(request: &Request) -> Vec<Option<String>> {
    let layers = request.transformation.layer_ids();
    std::iter::once(None).chain(layers.into_iter().map(|id| Some(id.to_owned()))).collect()
}

/// Upper bound of the bytes that rendering the request holds at once, beside the compressed sources. Known before a byte
/// of them is read.
pub fn cost_bytes(_request: &Request, _limits: &Limits) -> Result<u64> {
    Err(Error::Device("the planner is not joined yet".into()))
}

/// Decodes, measures where the plan asks for it, and binds. `sources[i]` are the bytes of `source_ids()[i]`.
pub fn prepare(_request: &Request, _sources: &[Bytes], _faces: &FaceDetector, _limits: &Limits) -> Result<Prepared> {
    Err(Error::Device("the planner is not joined yet".into()))
}

/// Encodes what a backend made.
pub fn finish(_output: Output, _encoding: &Encoding, _limits: &Limits) -> Result<Picture> {
    Err(Error::Device("the encoder is not joined yet".into()))
}
