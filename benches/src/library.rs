//! Workloads as library calls: bytes in, bytes out, in this process.

use crate::call::{Call, Sample};
use crate::corpus::Photos;
use crate::measure::{Summary, memory_of, order, release_freed, reset_peak};
use crate::quality;
use crate::workloads::Workload;
use crate::{BenchBackend, BenchError, Options, profile_name, progress};
use bytes::Bytes;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;
use tintype_render::face::FaceDetector;
use tintype_render::frame::Frame;
use tintype_render::language::Format;
use tintype_render::plan::facts::Profile;

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
    /// Of all pictures together.
    pub bytes: usize,
    /// SSIMULACRA2 against the linear-light reference, of the middle picture; none for AVIF, which cannot be read.
    pub ssimulacra2: Option<f64>,
    /// What became resident during a call, beyond what was before: the buffers that a backend keeps for its next call are
    /// not counted.
    pub peak_extra_bytes: u64,
}

/// A workload under one profile on one backend.
struct Subject<'a> {
    workload: &'a Workload,
    profile: Profile,
    backend: &'a BenchBackend,
    call: Call,
    repeats: usize,
    samples: Vec<Sample>,
    bytes: usize,
    ssimulacra2: Option<f64>,
    peak_extra_bytes: u64,
}

/// Runs every workload on every backend under both profiles, interleaved. What a backend other than the first refuses becomes
/// a note.
pub fn run(
    options: &Options,
    photos: &Photos,
    workloads: &[&Workload],
    notes: &mut Vec<String>,
) -> Result<Vec<LibraryRow>, BenchError> {
    let detector = Arc::new(FaceDetector::new()?);
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
        for profile in options.profiles() {
            for (number, backend) in options.backends.iter().enumerate() {
                match prepare(options, workload, &input, profile, backend, &detector, &mut reference) {
                    Ok(subject) => subjects.push(subject),
                    Err(BenchError::Render(reason)) if number > 0 => notes.push(format!(
                        "{} {} on {} is left out: {reason}.",
                        workload.name,
                        profile_name(profile),
                        backend.name
                    )),
                    Err(error) => return Err(error),
                }
            }
        }
    }
    let started = Instant::now();
    for round in 0..if subjects.is_empty() { 0 } else { options.rounds } {
        (options.progress)(&progress("library", round, options.rounds, started));
        for at in order(subjects.len(), round) {
            measure(&mut subjects[at])?;
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
    detector: &Arc<FaceDetector>,
    reference: &mut Option<Frame>,
) -> Result<Subject<'a>, BenchError> {
    let call = Call::new(workload, input, &options.logo, profile, backend, detector.clone())?;
    // The first call compiles kernels and fills pools; the second tells how often a round has to repeat.
    call.run()?;
    let (sample, pictures) = call.run()?;
    // The middle one of several pictures stands for all of them.
    let shown = pictures.len() / 2;
    let picture = pictures.get(shown).ok_or_else(|| BenchError::Input("no picture was asked for".into()))?;
    let ssimulacra2 = if picture.format == Format::Avif {
        None
    } else {
        let reference = match reference {
            Some(reference) => reference,
            None => reference.insert(quality::reference(&call.requests[shown], &call.sources)?),
        };
        Some(quality::score(reference, &picture.bytes)?)
    };
    let bytes = pictures.iter().map(|picture| picture.bytes.len()).sum();
    let repeats = (ROUND_MS / sample.wall_ms.max(0.1)).ceil().clamp(1.0, MAX_REPEATS as f64) as usize;
    let samples = Vec::with_capacity(options.rounds);
    Ok(Subject { workload, profile, backend, call, repeats, samples, bytes, ssimulacra2, peak_extra_bytes: 0 })
}

/// Adds the mean of one round.
fn measure(subject: &mut Subject<'_>) -> Result<(), BenchError> {
    let own = std::process::id();
    // Systems without /proc have no memory column; everything else is still true there.
    release_freed();
    let before = reset_peak(own).ok().and_then(|()| memory_of(own));
    let mut sum = Sample::default();
    for _ in 0..subject.repeats {
        sum.add(&subject.call.run()?.0);
    }
    if let (Some(before), Some(after)) = (before, memory_of(own)) {
        let extra = after.peak_bytes.saturating_sub(before.resident_bytes);
        subject.peak_extra_bytes = subject.peak_extra_bytes.max(extra);
    }
    subject.samples.push(sum.divided(subject.repeats as f64));
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
        bytes: subject.bytes,
        ssimulacra2: subject.ssimulacra2,
        peak_extra_bytes: subject.peak_extra_bytes,
    })
}
