//! Workloads as library calls: bytes in, bytes out, in this process.

use crate::corpus::Photos;
use crate::measure::{Stopwatch, Summary, memory_of, order, release_freed, reset_peak};
use crate::quality;
use crate::workloads::{LOGO, Workload};
use crate::{BenchBackend, BenchError, Options, profile_name};
use bytes::Bytes;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use tintype_render::face::FaceDetector;
use tintype_render::frame::Frame;
use tintype_render::language::parse;
use tintype_render::pipeline::{self, Picture, Request};
use tintype_render::plan::facts::{Facts, Profile, Purpose, SourceFacts};
use tintype_render::{Limits, codec};

/// A round repeats short work until it took about this long, so that the clock's grain does not matter.
const ROUND_MS: f64 = 120.0;
const MAX_REPEATS: usize = 50;

/// One line of the table: times of a whole call and of its stages, in milliseconds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LibraryRow {
    pub workload: &'static str,
    pub profile: &'static str,
    pub backend: String,
    pub wall_ms: Summary,
    /// Of all threads, those of a software driver included.
    pub cpu_ms: Summary,
    /// CPU time against the first line of the same workload, round by round.
    pub cpu_ratio: Summary,
    pub decode_ms: Summary,
    pub render_ms: Summary,
    pub encode_ms: Summary,
    pub bytes: usize,
    /// SSIMULACRA2 against the linear-light reference.
    pub ssimulacra2: f64,
    /// What became resident during a call, beyond what was before: the buffers that a backend keeps for its next call are
    /// not counted.
    pub peak_extra_bytes: u64,
}

/// One call with its stages.
#[derive(Debug, Clone, Copy, Default)]
struct Sample {
    wall_ms: f64,
    cpu_ms: f64,
    decode_ms: f64,
    render_ms: f64,
    encode_ms: f64,
}

/// A workload under one profile on one backend.
struct Subject<'a> {
    workload: &'a Workload,
    profile: Profile,
    backend: &'a BenchBackend,
    request: Request,
    sources: Vec<Bytes>,
    repeats: usize,
    samples: Vec<Sample>,
    picture: Picture,
    ssimulacra2: f64,
    peak_extra_bytes: u64,
}

/// Runs every workload on every backend under both profiles, interleaved.
pub fn run(options: &Options, photos: &Photos, workloads: &[&Workload]) -> Result<Vec<LibraryRow>, BenchError> {
    let detector = FaceDetector::new()?;
    let mut inputs: BTreeMap<&'static str, Bytes> = BTreeMap::new();
    let mut subjects = Vec::new();
    for workload in workloads {
        let input = match inputs.get(workload.input.name) {
            Some(bytes) => bytes.clone(),
            None => {
                (options.progress)(&format!("making {}", workload.input.name));
                let bytes = Bytes::from(photos.make(&workload.input)?);
                inputs.insert(workload.input.name, bytes.clone());
                bytes
            }
        };
        (options.progress)(&format!("{}: {}", workload.name, workload.title));
        let mut reference = None;
        for profile in [Profile::Quality, Profile::Fast] {
            for backend in &options.backends {
                subjects.push(prepare(options, workload, &input, profile, backend, &detector, &mut reference)?);
            }
        }
    }
    for round in 0..options.rounds {
        (options.progress)(&format!("round {} of {}", round + 1, options.rounds));
        for at in order(subjects.len(), round) {
            measure(&mut subjects[at], &detector)?;
        }
    }
    let rows = subjects.iter().map(|subject| {
        let first = subjects.iter().find(|first| first.workload.name == subject.workload.name).unwrap_or(subject);
        row(subject, first)
    });
    rows.collect()
}

fn prepare<'a>(
    options: &'a Options,
    workload: &'a Workload,
    input: &Bytes,
    profile: Profile,
    backend: &'a BenchBackend,
    detector: &FaceDetector,
    reference: &mut Option<Frame>,
) -> Result<Subject<'a>, BenchError> {
    let limits = Limits::default();
    let transformation = Arc::new(parse(workload.transformation, &limits)?);
    let layers = transformation.layer_ids();
    let mut facts = Facts { base: facts_of(input)?, layers: BTreeMap::new() };
    let mut sources = vec![input.clone()];
    for id in layers {
        if id != LOGO {
            return Err(BenchError::Input(format!("{} names the layer {id}, only {LOGO} is there", workload.name)));
        }
        facts.layers.insert(id.to_owned(), facts_of(&options.logo)?);
        sources.push(options.logo.clone());
    }
    let request = Request { transformation, facts, purpose: Purpose { profile, ..Purpose::default() } };
    // The first call compiles kernels and fills pools; the second tells how often a round has to repeat.
    once(&request, &sources, backend, detector)?;
    let (sample, picture) = once(&request, &sources, backend, detector)?;
    let reference = match reference {
        Some(reference) => reference,
        None => reference.insert(quality::reference(&request, &sources)?),
    };
    let ssimulacra2 = quality::score(reference, &picture.bytes)?;
    let repeats = (ROUND_MS / sample.wall_ms.max(0.1)).ceil().clamp(1.0, MAX_REPEATS as f64) as usize;
    let samples = Vec::with_capacity(options.rounds);
    Ok(Subject {
        workload,
        profile,
        backend,
        request,
        sources,
        repeats,
        samples,
        picture,
        ssimulacra2,
        peak_extra_bytes: 0,
    })
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

/// One call, from compressed bytes to compressed bytes.
fn once(
    request: &Request,
    sources: &[Bytes],
    backend: &BenchBackend,
    detector: &FaceDetector,
) -> Result<(Sample, Picture), BenchError> {
    let limits = Limits::default();
    let watch = Stopwatch::start();
    let prepared = pipeline::prepare(request, sources, detector, &limits)?;
    let decoded_ms = watch.wall_ms();
    let mut results = backend.backend.execute(std::slice::from_ref(&prepared.job));
    let result = results.pop().ok_or_else(|| BenchError::Render("the backend answered nothing".into()))?;
    let output = result.map_err(|reason| BenchError::Render(format!("{}: {reason}", backend.name)))?;
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

/// Adds the mean of one round.
fn measure(subject: &mut Subject<'_>, detector: &FaceDetector) -> Result<(), BenchError> {
    let own = std::process::id();
    // Systems without /proc have no memory column; everything else is still true there.
    release_freed();
    let before = reset_peak(own).ok().and_then(|()| memory_of(own));
    let mut sum = Sample::default();
    for _ in 0..subject.repeats {
        let (sample, _) = once(&subject.request, &subject.sources, subject.backend, detector)?;
        sum.wall_ms += sample.wall_ms;
        sum.cpu_ms += sample.cpu_ms;
        sum.decode_ms += sample.decode_ms;
        sum.render_ms += sample.render_ms;
        sum.encode_ms += sample.encode_ms;
    }
    if let (Some(before), Some(after)) = (before, memory_of(own)) {
        let extra = after.peak_bytes.saturating_sub(before.resident_bytes);
        subject.peak_extra_bytes = subject.peak_extra_bytes.max(extra);
    }
    let n = subject.repeats as f64;
    subject.samples.push(Sample {
        wall_ms: sum.wall_ms / n,
        cpu_ms: sum.cpu_ms / n,
        decode_ms: sum.decode_ms / n,
        render_ms: sum.render_ms / n,
        encode_ms: sum.encode_ms / n,
    });
    Ok(())
}

fn row(subject: &Subject<'_>, first: &Subject<'_>) -> Result<LibraryRow, BenchError> {
    let values = |of: &Subject<'_>, read: fn(&Sample) -> f64| of.samples.iter().map(read).collect::<Vec<f64>>();
    let none = || BenchError::Input("no round was run".into());
    let summary = |read| Summary::of(&values(subject, read)).ok_or_else(none);
    let cpu = |of| values(of, |sample| sample.cpu_ms);
    Ok(LibraryRow {
        workload: subject.workload.name,
        profile: profile_name(subject.profile),
        backend: subject.backend.name.clone(),
        wall_ms: summary(|sample| sample.wall_ms)?,
        cpu_ms: summary(|sample| sample.cpu_ms)?,
        cpu_ratio: Summary::of_ratios(&cpu(subject), &cpu(first)).ok_or_else(none)?,
        decode_ms: summary(|sample| sample.decode_ms)?,
        render_ms: summary(|sample| sample.render_ms)?,
        encode_ms: summary(|sample| sample.encode_ms)?,
        bytes: subject.picture.bytes.len(),
        ssimulacra2: subject.ssimulacra2,
        peak_extra_bytes: subject.peak_extra_bytes,
    })
}
