//! What each kernel moves a second, against what a plain copy moves.
//!
//! A kernel is measured by a plan that is little else: the bytes are those of the decoded source and of the result, so that a
//! plan of several passes shows what its intermediates cost.

use crate::call::Call;
use crate::corpus::{self, Input, Photos};
use crate::measure::{Summary, order};
use crate::workloads::Workload;
use crate::{BenchBackend, BenchError, Options, progress};
use bytes::Bytes;
use serde::Serialize;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tintype_render::Limits;
use tintype_render::backend::{Job, Source};
use tintype_render::face::FaceDetector;
use tintype_render::frame::BYTES_PER_PIXEL;
use tintype_render::language::Format;
use tintype_render::pipeline;
use tintype_render::plan::facts::Profile;
use tintype_render::plan::geometry::Size;

/// Name by which kernels are asked for.
pub const KERNELS: &str = "kernels";
const SIDES: [u32; 3] = [512, 1024, 2048];
/// Kernel, and a transformation that is little else.
const PLANS: [(&str, &str); 8] = [
    ("resample", "c_scale,w_0.5"),
    ("resample, enlarging", "c_scale,w_1.5"),
    ("canvas", "c_pad,w_1.1,h_1.1,b_white"),
    ("mask", "r_20"),
    ("border", "bo_5px_solid_black"),
    ("opacity", "o_50"),
    ("orient", "a_90"),
    ("composite", "l_cloudinary_icon,w_1.0,fl_relative"),
];
const COPY_BYTES: usize = 128 << 20;
const LEAST_COPY_BYTES: usize = 16 << 20;
const ROUND: Duration = Duration::from_millis(40);

/// One kernel on one backend at one size.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct KernelRow {
    pub kernel: &'static str,
    pub backend: String,
    /// Side of the square source, in pixels.
    pub side: u32,
    pub ms: Summary,
    pub bytes_per_second: f64,
    /// Of what a copy moves, where the backend computes in the memory that was measured.
    pub bandwidth_share: f64,
}

/// What memory bears: bytes a second, read and written, of a copy that is larger than the caches, the best of a few.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct MemoryBandwidth {
    /// One thread, as one picture on the CPU has.
    pub copy_bytes_per_second: f64,
    /// A thread for every core.
    pub all_cores_bytes_per_second: f64,
}

impl MemoryBandwidth {
    pub fn measure() -> MemoryBandwidth {
        let n_cores = std::thread::available_parallelism().map_or(1, usize::from);
        MemoryBandwidth { copy_bytes_per_second: copies(1), all_cores_bytes_per_second: copies(n_cores) }
    }
}

/// So many copies at the same time; together they are as large as one would be alone, and at least as large as a cache.
fn copies(n: usize) -> f64 {
    let bytes = (COPY_BYTES / n).max(LEAST_COPY_BYTES);
    let mut blocks: Vec<(Vec<u8>, Vec<u8>)> = (0..n).map(|_| (vec![1; bytes], vec![0; bytes])).collect();
    let mut best = f64::INFINITY;
    for _ in 0..5 {
        let started = Instant::now();
        std::thread::scope(|scope| {
            for (from, to) in &mut blocks {
                scope.spawn(move || {
                    to.copy_from_slice(black_box(from));
                    black_box(to);
                });
            }
        });
        best = best.min(started.elapsed().as_secs_f64());
    }
    2.0 * (bytes * n) as f64 / best.max(1e-9)
}

struct Subject<'a> {
    kernel: &'static str,
    backend: &'a BenchBackend,
    side: u32,
    job: Job,
    bytes: f64,
    samples: Vec<f64>,
}

/// Measures every kernel on every backend at three sizes, interleaved. What a backend refuses is told to `progress`.
pub fn run(options: &Options, photos: &Photos, bandwidth: f64) -> Result<Vec<KernelRow>, BenchError> {
    let detector = Arc::new(FaceDetector::new()?);
    let mut subjects = Vec::new();
    for side in SIDES {
        let input = Input { name: "square", size: Size::new(side, side), format: Format::Png, ..corpus::PHOTO_2MP };
        let source = Bytes::from(photos.make(&input)?);
        for (kernel, text) in PLANS {
            for backend in &options.backends {
                match prepare(options, &input, &source, text, backend, &detector) {
                    Ok((job, bytes)) => {
                        subjects.push(Subject { kernel, backend, side, job, bytes, samples: Vec::new() });
                    }
                    Err(error) => (options.progress)(&format!("{kernel} on {} is left out: {error}", backend.name)),
                }
            }
        }
    }
    let begun = Instant::now();
    for round in 0..options.rounds {
        (options.progress)(&progress(KERNELS, round, options.rounds, begun));
        for at in order(subjects.len(), round) {
            let subject = &mut subjects[at];
            let started = Instant::now();
            let mut n = 0.0;
            while started.elapsed() < ROUND {
                execute(subject.backend, &subject.job)?;
                n += 1.0;
            }
            subject.samples.push(started.elapsed().as_secs_f64() * 1e3 / n);
        }
    }
    let row = |subject: &Subject<'_>| {
        let ms = Summary::of(&subject.samples)?;
        let bytes_per_second = subject.bytes / (ms.median / 1e3).max(1e-9);
        Some(KernelRow {
            kernel: subject.kernel,
            backend: subject.backend.name.clone(),
            side: subject.side,
            ms,
            bytes_per_second,
            bandwidth_share: bytes_per_second / bandwidth.max(1.0),
        })
    };
    Ok(subjects.iter().filter_map(row).collect())
}

/// A job and the bytes that it has to move at least.
fn prepare(
    options: &Options,
    input: &Input,
    source: &Bytes,
    text: &'static str,
    backend: &BenchBackend,
    detector: &Arc<FaceDetector>,
) -> Result<(Job, f64), BenchError> {
    let transformations: &'static [&'static str] = Box::leak(Box::new([text]));
    let workload = Workload { name: KERNELS, title: text, input: *input, transformations, output: None };
    let call = Call::new(&workload, source, &options.logo, Profile::Quality, backend, detector.clone())?;
    let request = call.requests.first().ok_or_else(|| BenchError::Input("nothing is asked for".into()))?;
    let job = pipeline::prepare(request, &call.sources, detector, &Limits::default())?.job;
    let read: u64 = job
        .sources
        .iter()
        .map(|source| match source {
            Source::Rgba(frame) => frame.size().pixels(),
            _ => 0,
        })
        .sum();
    let written = execute(backend, &job)?;
    Ok((job, (read + written) as f64 * BYTES_PER_PIXEL as f64))
}

/// Pixels of the result.
fn execute(backend: &BenchBackend, job: &Job) -> Result<u64, BenchError> {
    let result = backend.backend.execute(std::slice::from_ref(job)).pop();
    let result = result.ok_or_else(|| BenchError::Render("the backend answered nothing".into()))?;
    let output = result.map_err(|reason| BenchError::Render(format!("{}: {reason}", backend.name)))?;
    Ok(output.into_frame().size().pixels())
}
