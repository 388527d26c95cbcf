//! One library call of a workload: compressed bytes in, compressed bytes out, in this process.

use crate::measure::Stopwatch;
use crate::workloads::{LOGO, Workload};
use crate::{BenchBackend, BenchError};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::Arc;
use tintype_render::backend::Job;
use tintype_render::face::FaceDetector;
use tintype_render::language::parse;
use tintype_render::pipeline::{self, BaseDemand, Picture, Prepared, Request, SharedBase};
use tintype_render::plan::facts::{AcceptClass, Facts, Profile, Purpose, SourceFacts};
use tintype_render::{Limits, codec};

/// Times of one call and of its stages, in milliseconds.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sample {
    pub wall_ms: f64,
    /// Of all threads, those of a software driver included.
    pub cpu_ms: f64,
    pub decode_ms: f64,
    pub render_ms: f64,
    pub encode_ms: f64,
}

impl Sample {
    pub(crate) fn add(&mut self, other: &Sample) {
        self.wall_ms += other.wall_ms;
        self.cpu_ms += other.cpu_ms;
        self.decode_ms += other.decode_ms;
        self.render_ms += other.render_ms;
        self.encode_ms += other.encode_ms;
    }

    pub(crate) fn divided(&self, n: f64) -> Sample {
        Sample {
            wall_ms: self.wall_ms / n,
            cpu_ms: self.cpu_ms / n,
            decode_ms: self.decode_ms / n,
            render_ms: self.render_ms / n,
            encode_ms: self.encode_ms / n,
        }
    }
}

/// A workload under one profile, ready to run again and again.
pub struct Call {
    /// One for each transformation.
    pub requests: Vec<Request>,
    pub sources: Vec<Bytes>,
    detector: Arc<FaceDetector>,
    backend: BenchBackend,
}

impl Call {
    /// Errors: a transformation that cannot be parsed, a layer other than [`LOGO`], an input that is no picture.
    pub fn new(
        workload: &Workload,
        input: &Bytes,
        logo: &Bytes,
        profile: Profile,
        backend: &BenchBackend,
        detector: Arc<FaceDetector>,
    ) -> Result<Call, BenchError> {
        Call::of(workload.name, workload.transformations, input, logo, profile, backend, detector)
    }

    /// The same for transformations that no workload names; `name` is for errors.
    pub fn of(
        name: &str,
        transformations: &[&str],
        input: &Bytes,
        logo: &Bytes,
        profile: Profile,
        backend: &BenchBackend,
        detector: Arc<FaceDetector>,
    ) -> Result<Call, BenchError> {
        let limits = Limits::default();
        // The peers' libraries write WebP where a workload leaves the format to the client.
        let accept = AcceptClass { webp: true, avif: false };
        let mut sources = vec![input.clone()];
        let mut requests = Vec::new();
        for text in transformations {
            let transformation = Arc::new(parse(text, &limits)?);
            let mut facts = Facts { base: facts_of(input)?, layers: BTreeMap::new() };
            for id in transformation.layer_ids() {
                if id != LOGO {
                    return Err(BenchError::Input(format!("{name} names the layer {id}, not {LOGO}")));
                }
                facts.layers.insert(id.to_owned(), facts_of(logo)?);
                sources.truncate(1);
                sources.push(logo.clone());
            }
            let purpose = Purpose { profile, accept, ..Purpose::default() };
            requests.push(Request { transformation, facts, purpose });
        }
        Ok(Call { requests, sources, detector, backend: backend.clone() })
    }

    /// Makes every picture once. Several pictures share the decode of their base, as they do in the server.
    pub fn run(&self) -> Result<(Sample, Vec<Picture>), BenchError> {
        let limits = Limits::default();
        let mut sum = Sample::default();
        let mut pictures = Vec::with_capacity(self.requests.len());
        let base = match self.shared_demand(&limits) {
            Some(demand) => {
                let watch = Stopwatch::start();
                let base = pipeline::decode_base(&self.sources[0], &demand, &limits)?;
                let wall_ms = watch.wall_ms();
                sum.add(&Sample { wall_ms, cpu_ms: watch.cpu_ms(), decode_ms: wall_ms, ..Sample::default() });
                Some(base)
            }
            None => None,
        };
        for request in &self.requests {
            let (sample, picture) = self.once(request, base.as_ref())?;
            sum.add(&sample);
            pictures.push(picture);
        }
        Ok((sum, pictures))
    }

    /// One job for each request, of one decode: what a backend is given. Every call decodes anew.
    pub(crate) fn jobs(&self) -> Result<Vec<Job>, BenchError> {
        let limits = Limits::default();
        let base = self.shared_demand(&limits);
        let base = base.map(|demand| pipeline::decode_base(&self.sources[0], &demand, &limits)).transpose()?;
        let jobs =
            self.requests.iter().map(|request| self.prepared(request, base.as_ref()).map(|prepared| prepared.job));
        jobs.collect()
    }

    fn prepared(&self, request: &Request, base: Option<&SharedBase>) -> Result<Prepared, BenchError> {
        let limits = Limits::default();
        Ok(match base {
            Some(base) => pipeline::prepare_from(base, request, &self.sources, &self.detector, &limits)?,
            None => pipeline::prepare(request, &self.sources, &self.detector, &limits)?,
        })
    }

    /// What all requests together need of the base; `None` for a single one, and where one decode cannot serve all.
    fn shared_demand(&self, limits: &Limits) -> Option<BaseDemand> {
        let mut demands = self.requests.iter().map(|request| BaseDemand::of(request, limits));
        let first = demands.next()??;
        let several = self.requests.len() > 1;
        demands.try_fold(first, |sum, demand| sum.union(&demand?)).filter(|_| several)
    }

    fn once(&self, request: &Request, base: Option<&SharedBase>) -> Result<(Sample, Picture), BenchError> {
        let limits = Limits::default();
        let watch = Stopwatch::start();
        let prepared = self.prepared(request, base)?;
        let decoded_ms = watch.wall_ms();
        let mut results = self.backend.backend.execute(std::slice::from_ref(&prepared.job));
        let result = results.pop().ok_or_else(|| BenchError::Render("the backend answered nothing".into()))?;
        let output = result.map_err(|reason| BenchError::Render(format!("{}: {reason}", self.backend.name)))?;
        let rendered_ms = watch.wall_ms();
        // Without its sources a call holds no more than the server does while it encodes.
        drop(prepared.job);
        let picture = pipeline::finish(output, &prepared.encoding, &limits)?;
        let wall_ms = watch.wall_ms();
        let sample = Sample {
            wall_ms,
            cpu_ms: watch.cpu_ms(),
            decode_ms: decoded_ms,
            render_ms: rendered_ms - decoded_ms,
            encode_ms: wall_ms - rendered_ms,
        };
        Ok((sample, picture))
    }
}

impl std::fmt::Debug for Call {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Call").field("requests", &self.requests.len()).field("backend", &self.backend).finish()
    }
}

fn facts_of(bytes: &[u8]) -> Result<SourceFacts, BenchError> {
    let found = codec::probe(bytes, &Limits::default())?;
    Ok(SourceFacts {
        size: found.size,
        orientation: found.orientation,
        format: found.format,
        has_alpha: found.has_alpha,
        faces: None,
        custom: vec![],
    })
}
