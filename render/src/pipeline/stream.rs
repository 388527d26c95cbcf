//! Large pictures that are resampled while they are decoded, so that nothing of their size is ever held.

use super::{Request, decode};
use crate::backend::{Job, Output, Source};
use crate::bands::PlaneBands;
use crate::codec;
use crate::cpu::CpuBackend;
use crate::error::Result;
use crate::frame::Frame;
use crate::limits::Limits;
use crate::pipeline::BaseDemand;
use crate::plan::facts::Stage;
use crate::plan::geometry::Size;
use crate::plan::{self, Encoding};
use bytes::Bytes;
use std::sync::Arc;

/// What the processor made of a request.
#[derive(Debug)]
pub struct Streamed {
    pub output: Output,
    pub encoding: Encoding,
}

/// Decodes and renders on the processor at once. `sources[i]` are the bytes of [`super::source_ids`]`[i]`. `held` is told
/// the bytes of the base that are held at once instead of all of it. The picture is that of [`super::prepare`] and of
/// [`CpuBackend::run`] in every bit.
///
/// `None` for what is not done this way: small pictures and other formats than JPEG, bases that more than one step reads,
/// requests for which faces must be looked for first, and files that our own decoder does not read to their end.
///
/// Errors: what the planner refuses, limits, and layers that cannot be decoded.
pub fn stream(
    request: &Request,
    sources: &[Bytes],
    backend: &CpuBackend,
    limits: &Limits,
    held: &mut dyn FnMut(u64),
) -> Result<Option<Streamed>> {
    let Stage::Done(plan) = plan::resolve(&request.transformation, &request.facts, &request.purpose, limits)? else {
        return Ok(None);
    };
    let (Some(demand), Some(base)) = (plan.sources.first(), sources.first()) else { return Ok(None) };
    let is_large =
        BaseDemand::new(demand.clone(), plan.page, request.facts.base.format, plan.only_resamples(0)).is_large();
    if !is_large || plan.page > 0 || plan.sources.len() != sources.len() {
        return Ok(None);
    }
    let Some(mut reader) = codec::open_planes(base, demand, limits)? else { return Ok(None) };
    // Nobody looks at what stands for the base.
    let nothing = Frame::filled(Size::new(1, 1), [0, 0, 0, 255]);
    let (mut frames, mut given) = (vec![Source::Rgba(Arc::new(nothing))], vec![reader.decoded()]);
    for (source, bytes) in sources.iter().enumerate().skip(1) {
        let (frame, decoded) = decode(&plan, source, bytes, limits)?;
        frames.push(frame);
        given.push(decoded);
    }
    let bound = plan.bind(&given)?;
    let job = Job { plan: Arc::new(bound), sources: frames };
    let bands: &mut dyn PlaneBands = &mut reader;
    let output = backend.run_bands(&job, bands, held);
    Ok(output.map(|output| Streamed { output, encoding: plan.encoding }))
}
