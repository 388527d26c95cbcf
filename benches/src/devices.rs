//! Adapters: what calibration measured of them, and what batches on them reach of the paper model.
//!
//! The model is of cards. An adapter that is software computes on the CPU, so that nothing is expected of it; its batches are
//! still run, for the counters of the executor are as true there as anywhere.

use crate::call::Call;
use crate::corpus::Photos;
use crate::measure::{Summary, order};
use crate::workloads::Workload;
use crate::{BenchError, Options, profile_name, progress};
use bytes::Bytes;
use serde::Serialize;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use tintype_render::backend::{Backend, FallbackReason, Job};
use tintype_render::choice::{CostModel, KernelKind, ProvenGpu, calibrate};
use tintype_render::cpu::CpuBackend;
use tintype_render::face::FaceDetector;
use tintype_render::forecast::paper::{Assumptions, Estimate, card_named};
use tintype_render::forecast::{Launches, Shape, launches, least};
use tintype_render::gpu::{AdapterKind, BatchCounters, Clock};
use tintype_render::plan::facts::Profile;

/// Originals of a batch on an adapter that is software, where more only take longer.
const SOFTWARE_BATCH: u64 = 2;

/// An adapter, and what was measured of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AdapterRow {
    pub name: String,
    pub kind: AdapterKind,
    pub driver: String,
    /// `None` where it was too quick to be told from nothing.
    pub upload_bytes_per_second: Option<f64>,
    pub readback_bytes_per_second: Option<f64>,
    /// What a batch costs however small it is: launch, fence and waiting.
    pub batch_us: f64,
    pub kernels: Vec<RateRow>,
}

/// One kernel, in multiplications of a pixel for resampling and in pixels for all others, a second.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RateRow {
    pub kernel: &'static str,
    pub device_per_second: f64,
    pub cpu_thread_per_second: f64,
}

/// A workload as batches of one device: upload, kernels and readback, without decoding and encoding.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BatchRow {
    pub workload: &'static str,
    pub profile: &'static str,
    pub adapter: String,
    pub n_originals: u64,
    /// Originals.
    pub per_second: Summary,
    /// Of the paper model, for the same jobs; `None` where it has no such card.
    pub expected_per_second: Option<f64>,
    /// Measured over expected.
    pub of_expected: Option<f64>,
    pub submissions: u64,
    pub windows: u64,
    pub dispatches: u64,
    /// The most dispatches that chains and windows explain.
    pub dispatches_at_most: u64,
    /// Bytes that went up, tables left out, and came down, over the least possible.
    pub bytes_of_least: f64,
    /// Milliseconds of a batch in which the host filled and emptied staging memory, and the part of them in which the
    /// device computed.
    pub host_ms: f64,
    pub overlapped: f64,
    /// Milliseconds of a batch in which the host only waited for the device.
    pub waiting_ms: f64,
}

/// The time since the first question.
pub fn clock() -> Duration {
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed()
}

/// What was measured of every adapter that takes part, now where it was not at the start.
pub fn adapters(options: &Options, notes: &mut Vec<String>) -> Vec<AdapterRow> {
    let mut rows = Vec::new();
    for device in options.backends.iter().flat_map(|backend| &backend.devices) {
        let gpu = device.gpu();
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let model = match device.model() {
            Some(model) => Ok(*model),
            None => calibrate(&**gpu, &CpuBackend::new(), Clock(clock), threads),
        };
        match model {
            Ok(model) => rows.push(adapter(device, &model)),
            Err(reason) => notes.push(format!("{} could not be calibrated: {reason}.", gpu.name())),
        }
    }
    rows
}

fn adapter(device: &ProvenGpu, model: &CostModel) -> AdapterRow {
    let summary = device.gpu().adapter();
    let per_second = |ns: f64| (ns > 0.0).then(|| 1e9 / ns);
    let rate = |kind: KernelKind| RateRow {
        kernel: kind.label(),
        device_per_second: 1e9 / model.device.unit_ns[kind as usize].max(f64::MIN_POSITIVE),
        cpu_thread_per_second: 1e9 / model.cpu.unit_ns[kind as usize].max(f64::MIN_POSITIVE),
    };
    AdapterRow {
        name: summary.name.clone(),
        kind: summary.kind,
        driver: summary.driver.clone(),
        upload_bytes_per_second: per_second(model.device.up_ns),
        readback_bytes_per_second: per_second(model.device.down_ns),
        batch_us: model.device.batch_ns / 1e3,
        kernels: KernelKind::ALL.into_iter().map(rate).collect(),
    }
}

/// Why a row of a device has no figure of the paper model.
pub fn no_expectation(adapters: &[AdapterRow]) -> Option<String> {
    if adapters.is_empty() {
        return Some("No adapter renders here, so that nothing can be held against the paper model of cards.".into());
    }
    let software = adapters.iter().filter(|adapter| adapter.kind == AdapterKind::Software);
    let unknown =
        adapters.iter().filter(|adapter| adapter.kind != AdapterKind::Software && card_named(&adapter.name).is_none());
    let mut why: Vec<String> = software
        .map(|adapter| format!("{} is software: the paper model is of cards, and expects nothing of it.", adapter.name))
        .collect();
    why.extend(unknown.map(|adapter| format!("The paper model has no card that is called {}.", adapter.name)));
    (!why.is_empty()).then(|| why.join(" "))
}

struct Subject<'a> {
    workload: &'a Workload,
    profile: Profile,
    device: &'a ProvenGpu,
    n_originals: u64,
    jobs: Vec<Job>,
    shapes: Vec<Shape>,
    samples: Vec<f64>,
    counters: BatchCounters,
}

/// Runs every workload as batches on every device, interleaved. What a device refuses becomes a note.
pub fn run(
    options: &Options,
    photos: &Photos,
    workloads: &[&Workload],
    notes: &mut Vec<String>,
) -> Result<Vec<BatchRow>, BenchError> {
    let devices: Vec<&Arc<ProvenGpu>> = options.backends.iter().flat_map(|backend| &backend.devices).collect();
    let detector = Arc::new(FaceDetector::new()?);
    let mut rows = Vec::new();
    // One workload after the other: batches of originals are large.
    for workload in workloads.iter().filter(|_| !devices.is_empty()) {
        let input = Bytes::from(photos.make(&workload.input)?);
        let mut subjects = Vec::new();
        for device in &devices {
            for profile in options.profiles() {
                let wanted = prepare(options, workload, &input, profile, device, &detector);
                let mut subject = wanted?;
                match batch(&mut subject) {
                    // The first one makes buffers.
                    Ok(()) => {
                        subject.samples.clear();
                        subjects.push(subject);
                    }
                    Err(reason) => notes.push(format!("{} as batches on {}: {reason}.", workload.name, device.name())),
                }
            }
        }
        let started = Instant::now();
        for round in 0..options.rounds {
            (options.progress)(&progress(&format!("{} in batches", workload.name), round, options.rounds, started));
            for at in order(subjects.len(), round) {
                batch(&mut subjects[at]).map_err(|reason| BenchError::Render(reason.to_string()))?;
            }
        }
        rows.extend(subjects.iter().filter_map(row));
    }
    Ok(rows)
}

fn prepare<'a>(
    options: &Options,
    workload: &'a Workload,
    input: &Bytes,
    profile: Profile,
    device: &'a ProvenGpu,
    detector: &Arc<FaceDetector>,
) -> Result<Subject<'a>, BenchError> {
    let backend = options.backends.first().ok_or_else(|| BenchError::Input("there is no backend".into()))?;
    let call = Call::new(workload, input, &options.logo, profile, backend, detector.clone())?;
    let software = device.gpu().adapter().kind == AdapterKind::Software;
    let n_originals = if software { SOFTWARE_BATCH } else { Assumptions::default().batch };
    let mut jobs = Vec::new();
    for _ in 0..n_originals {
        // Decoded anew each time, so that they are different pictures to the executor.
        jobs.extend(call.jobs()?);
    }
    let shapes = jobs.iter().map(Shape::of).collect();
    let counters = BatchCounters::default();
    Ok(Subject { workload, profile, device, n_originals, jobs, shapes, samples: Vec::new(), counters })
}

/// One batch: originals a second, and what the executor counted.
fn batch(subject: &mut Subject<'_>) -> Result<(), FallbackReason> {
    // The device itself: what calibration would leave to the CPU is measured too.
    let gpu = subject.device.gpu();
    let started = Instant::now();
    let answers = gpu.execute(&subject.jobs);
    let took_s = started.elapsed().as_secs_f64();
    for answer in answers {
        answer?;
    }
    subject.counters = gpu.last_counters();
    subject.samples.push(subject.n_originals as f64 / took_s.max(1e-9));
    Ok(())
}

fn row(subject: &Subject<'_>) -> Option<BatchRow> {
    let summary = subject.device.gpu().adapter();
    let per_second = Summary::of(&subject.samples)?;
    let card = card_named(&summary.name).filter(|_| summary.kind != AdapterKind::Software);
    let expected_per_second =
        card.map(|card| Estimate::of(&subject.shapes, subject.n_originals, card, &Assumptions::default()).per_second());
    let counters = &subject.counters;
    let launches: Launches = launches(&subject.shapes);
    let host = counters.staging + counters.reading;
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    Some(BatchRow {
        workload: subject.workload.name,
        profile: profile_name(subject.profile),
        adapter: summary.name.clone(),
        n_originals: subject.n_originals,
        per_second,
        expected_per_second,
        of_expected: expected_per_second.map(|expected| per_second.median / expected.max(1e-9)),
        submissions: counters.submissions,
        windows: counters.windows,
        dispatches: counters.dispatches,
        dispatches_at_most: launches.at_most(counters.windows),
        bytes_of_least: least(&subject.shapes)
            .ratio(counters.bytes_up.saturating_sub(counters.bytes_tables), counters.bytes_down),
        host_ms: ms(host),
        overlapped: if host.is_zero() { 0.0 } else { counters.overlap.as_secs_f64() / host.as_secs_f64() },
        waiting_ms: ms(counters.waiting),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn adapter(name: &str, kind: AdapterKind) -> AdapterRow {
        AdapterRow {
            name: name.into(),
            kind,
            driver: String::new(),
            upload_bytes_per_second: None,
            readback_bytes_per_second: None,
            batch_us: 1.0,
            kernels: Vec::new(),
        }
    }

    #[test]
    fn a_missing_expectation_is_explained() {
        assert!(no_expectation(&[]).is_some_and(|why| why.contains("No adapter")));
        let software = adapter("llvmpipe", AdapterKind::Software);
        assert!(no_expectation(&[software]).is_some_and(|why| why.contains("llvmpipe is software")));
        let unknown = adapter("Radeon 780M", AdapterKind::Integrated);
        assert!(no_expectation(&[unknown]).is_some_and(|why| why.contains("no card that is called Radeon 780M")));
        assert_eq!(no_expectation(&[adapter("NVIDIA L4", AdapterKind::Discrete)]), None);
    }
}
