//! What the scheduler needs of the renderer besides a backend.

use bytes::Bytes;
use std::sync::Arc;
use tintype_render::backend::Output;
use tintype_render::face::FaceDetector;
use tintype_render::pipeline::{self, Picture, Prepared, Request};
use tintype_render::plan::Encoding;
use tintype_render::{Limits, Result};

/// The steps of a render before and after the backend. Called from many threads at once; a panic costs one work.
pub trait Pipeline: Send + Sync {
    /// Upper bound of the bytes that the request holds at once, beside its compressed sources. Quick: runs on an async thread.
    fn cost_bytes(&self, request: &Request) -> Result<u64>;

    /// Decodes and binds; `sources` are in the order of [`pipeline::source_ids`].
    fn prepare(&self, request: &Request, sources: &[Bytes]) -> Result<Prepared>;

    /// Encodes.
    fn finish(&self, output: Output, encoding: &Encoding) -> Result<Picture>;
}

/// The renderer's own steps under the server's limits.
pub struct RenderPipeline {
    faces: Arc<FaceDetector>,
    limits: Limits,
}

impl RenderPipeline {
    /// Joins a face detector and limits to the renderer.
    pub fn new(faces: Arc<FaceDetector>, limits: Limits) -> Self {
        RenderPipeline { faces, limits }
    }
}

impl Pipeline for RenderPipeline {
    fn cost_bytes(&self, request: &Request) -> Result<u64> {
        pipeline::cost_bytes(request, &self.limits)
    }

    fn prepare(&self, request: &Request, sources: &[Bytes]) -> Result<Prepared> {
        pipeline::prepare(request, sources, &self.faces, &self.limits)
    }

    fn finish(&self, output: Output, encoding: &Encoding) -> Result<Picture> {
        pipeline::finish(output, encoding, &self.limits)
    }
}
