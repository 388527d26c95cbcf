//! What the scheduler needs of the renderer besides a backend.

use bytes::Bytes;
use std::sync::Arc;
use tintype_render::backend::Output;
use tintype_render::cpu::CpuBackend;
use tintype_render::face::FaceDetector;
use tintype_render::pipeline::{self, BaseDemand, Picture, Prepared, Request, SharedBase, Streamed};
use tintype_render::plan::Encoding;
use tintype_render::{Limits, Result};

/// The steps of a render before and after the backend. Called from many threads at once; a panic costs one work.
pub trait Pipeline: Send + Sync {
    /// Upper bound of the bytes that the request holds at once, beside its compressed sources. Quick: runs on an async thread.
    fn cost_bytes(&self, request: &Request) -> Result<u64>;

    /// Decodes and binds; `sources` are in the order of [`pipeline::source_ids`].
    fn prepare(&self, request: &Request, sources: &[Bytes]) -> Result<Prepared>;

    /// Whether a request that needs so much of its base, and shares it with nobody, is better done by `stream`. Quick.
    fn is_streamed(&self, _demand: &BaseDemand) -> bool {
        false
    }

    /// Decodes and renders on the processor at once, where that takes less memory; `None` where it does not. `held` is told
    /// the bytes of the base that are held at once.
    fn stream(&self, _request: &Request, _sources: &[Bytes], _held: &mut dyn FnMut(u64)) -> Result<Option<Streamed>> {
        Ok(None)
    }

    /// What the request needs of its base, when it can share the decode of it with others. Quick, like `cost_bytes`.
    fn base_demand(&self, request: &Request) -> Option<BaseDemand>;

    /// Decodes a base for every request whose demand is covered.
    fn decode_base(&self, bytes: &Bytes, demand: &BaseDemand) -> Result<SharedBase>;

    /// As `prepare`, with the base decoded already.
    fn prepare_from(&self, base: &SharedBase, request: &Request, sources: &[Bytes]) -> Result<Prepared>;

    /// Bytes that decoding these sources takes beside what `cost_bytes` says, as only they can tell. Quick.
    fn hidden_bytes(&self, sources: &[Bytes]) -> u64;

    /// Encodes.
    fn finish(&self, output: Output, encoding: &Encoding) -> Result<Picture>;
}

/// The renderer's own steps under the server's limits.
pub struct RenderPipeline {
    faces: Arc<FaceDetector>,
    limits: Limits,
    cpu: CpuBackend,
}

impl RenderPipeline {
    /// Joins a face detector and limits to the renderer.
    pub fn new(faces: Arc<FaceDetector>, limits: Limits) -> Self {
        RenderPipeline { faces, limits, cpu: CpuBackend::new() }
    }
}

impl Pipeline for RenderPipeline {
    fn cost_bytes(&self, request: &Request) -> Result<u64> {
        pipeline::cost_bytes(request, &self.limits)
    }

    fn prepare(&self, request: &Request, sources: &[Bytes]) -> Result<Prepared> {
        pipeline::prepare(request, sources, &self.faces, &self.limits)
    }

    fn is_streamed(&self, demand: &BaseDemand) -> bool {
        demand.is_large()
    }

    fn stream(&self, request: &Request, sources: &[Bytes], held: &mut dyn FnMut(u64)) -> Result<Option<Streamed>> {
        pipeline::stream(request, sources, &self.cpu, &self.limits, held)
    }

    fn base_demand(&self, request: &Request) -> Option<BaseDemand> {
        BaseDemand::of(request, &self.limits)
    }

    fn decode_base(&self, bytes: &Bytes, demand: &BaseDemand) -> Result<SharedBase> {
        pipeline::decode_base(bytes, demand, &self.limits)
    }

    fn prepare_from(&self, base: &SharedBase, request: &Request, sources: &[Bytes]) -> Result<Prepared> {
        pipeline::prepare_from(base, request, sources, &self.faces, &self.limits)
    }

    fn hidden_bytes(&self, sources: &[Bytes]) -> u64 {
        // One source is decoded at a time.
        sources.iter().map(|bytes| pipeline::coefficient_bytes(bytes)).max().unwrap_or(0)
    }

    fn finish(&self, output: Output, encoding: &Encoding) -> Result<Picture> {
        pipeline::finish(output, encoding, &self.limits)
    }
}
