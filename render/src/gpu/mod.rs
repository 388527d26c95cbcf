//! The GPU backend: many jobs of different sizes and chains in one command buffer.
//!
//! A batch goes through these hands: [`check`] refuses unsound jobs, [`arena`] lays out each job, [`window`] packs jobs
//! under the limits of the device and the budget, [`schedule`] writes the tables that tell each workgroup which job and
//! which tile it serves, and [`run`] uploads, submits and reads back. wgpu is used nowhere else in the product.

mod arena;
mod check;
mod counters;
mod device;
mod memory;
mod pipelines;
mod run;
mod schedule;
mod window;

pub use counters::BatchCounters;
pub use device::{AdapterKind, AdapterSummary, OpenError, adapters};

use crate::backend::{Backend, BackendKind, FallbackReason, Job, JobResult, Output, Source};
use crate::frame::{BYTES_PER_PIXEL, Frame};
use crate::plan::bind::Kernel;
use device::{Device, guarded};
use memory::Memory;
use parking_lot::Mutex;
use pipelines::Pipeline;
use run::Engine;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use window::{Packing, Window, WindowLimits};

/// How a device is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GpuOptions {
    /// The most that all buffers of the backend may hold together, on the device and mapped.
    pub budget_bytes: u64,
    /// How long one window may take before the device counts as hung.
    pub timeout: Duration,
}

impl Default for GpuOptions {
    fn default() -> Self {
        GpuOptions { budget_bytes: 1 << 30, timeout: Duration::from_secs(30) }
    }
}

/// State that only the thread that runs a batch touches.
#[derive(Debug, Default)]
struct Running {
    memory: Memory,
    last: BatchCounters,
    totals: BatchCounters,
}

/// An open adapter with its compiled kernels.
///
/// Any thread may call it; batches run one after the other. Once the device is lost every job is refused, and the
/// backend has to be opened anew.
pub struct GpuBackend {
    /// `None` only while the backend is dropped.
    parts: Option<Parts>,
}

struct Parts {
    device: Device,
    pipelines: Vec<Pipeline>,
    limits: WindowLimits,
    running: Mutex<Running>,
}

impl Drop for GpuBackend {
    fn drop(&mut self) {
        let Some(parts) = self.parts.take() else { return };
        if parts.device.can_be_dropped() {
            // wgpu asserts, on its way out, what a lost device need not fulfil.
            if let Err(message) = guarded(|| drop(parts)) {
                tracing::warn!(message, "taking a device down failed");
            }
        } else {
            // Dropping waits for the device without a limit; a hung one is leaked instead.
            tracing::warn!(adapter = parts.device.summary.name, "a hung device is left behind");
            std::mem::forget(parts);
        }
    }
}

impl fmt::Debug for GpuBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GpuBackend").field("adapter", self.adapter()).field("limits", &self.parts().limits).finish()
    }
}

impl GpuBackend {
    /// Opens the strongest adapter that `allow` accepts and compiles every kernel for it. Never panics.
    pub fn open(allow: impl Fn(&AdapterSummary) -> bool, options: GpuOptions) -> Result<GpuBackend, OpenError> {
        let device = Device::open(&allow, options.timeout)?;
        let compiled = guarded(|| pipelines::compile(&device)).map_err(FallbackReason::DeviceError);
        let pipelines = compiled
            .and_then(|result| result)
            .map_err(|reason| OpenError::Failed { name: device.summary.name.clone(), what: reason.to_string() })?;
        let limits = WindowLimits {
            // Kernels count bytes in 32 bits on some drivers.
            binding_bytes: device.limits.max_storage_buffer_binding_size.min(u64::from(u32::MAX)) & !3,
            buffer_bytes: device.limits.max_buffer_size,
            budget_bytes: options.budget_bytes,
            alignment_bytes: u64::from(device.limits.min_storage_buffer_offset_alignment).max(16),
        };
        Ok(GpuBackend { parts: Some(Parts { device, pipelines, limits, running: Mutex::default() }) })
    }

    fn parts(&self) -> &Parts {
        self.parts.as_ref().expect("parts are there until the backend is dropped")
    }

    /// What the backend runs on.
    pub fn adapter(&self) -> &AdapterSummary {
        &self.parts().device.summary
    }

    /// Costs of the batch that ended last.
    pub fn last_counters(&self) -> BatchCounters {
        self.parts().running.lock().last
    }

    /// Costs of all batches so far.
    pub fn total_counters(&self) -> BatchCounters {
        self.parts().running.lock().totals
    }

    /// Gives the device up, from any thread, as if it had been lost: for tests and drills.
    pub fn lose(&self) {
        self.parts().device.lose("given up on demand");
    }
}

impl Parts {
    fn execute(&self, jobs: &[Job]) -> Vec<JobResult> {
        let mut running = self.running.lock();
        if let Some(lost) = self.device.lost() {
            running.last = BatchCounters::default();
            return jobs.iter().map(|_| Err(lost.clone())).collect();
        }
        let mut counters = BatchCounters::default();
        let packing = Packing::new(jobs, &self.limits);
        let mut results: Vec<Option<JobResult>> = jobs.iter().map(|_| None).collect();
        for (index, reason) in packing.refused {
            results[index] = Some(Err(reason));
        }
        for (index, frame) in packing.untouched {
            results[index] = Some(Ok(Output::Rgba(frame)));
            counters.jobs += 1;
        }
        for window in &packing.windows {
            let outcome = match self.device.lost() {
                Some(lost) => Err(lost),
                None => self.run(&mut running, jobs, window, &mut counters),
            };
            match outcome {
                Ok(frames) => {
                    counters.jobs += frames.len() as u64;
                    for (seat, frame) in window.seats.iter().zip(frames) {
                        results[seat.job] = Some(Ok(Output::Rgba(frame)));
                    }
                }
                Err(reason) => {
                    for seat in &window.seats {
                        results[seat.job] = Some(Err(reason.clone()));
                    }
                }
            }
        }
        running.last = counters;
        running.totals += counters;
        let missing = || Err(FallbackReason::DeviceError("the job was not run".into()));
        results.into_iter().map(|result| result.unwrap_or_else(missing)).collect()
    }

    /// Runs a window; whatever happens inside of wgpu comes back as a reason.
    fn run(
        &self,
        running: &mut Running,
        jobs: &[Job],
        window: &Window,
        counters: &mut BatchCounters,
    ) -> Result<Vec<Frame>, FallbackReason> {
        let engine = Engine { device: &self.device, pipelines: &self.pipelines, limits: self.limits };
        let result = guarded(|| engine.run(&mut running.memory, jobs, window, counters)).unwrap_or_else(|message| {
            self.device.lose(&message);
            Err(FallbackReason::DeviceLost(message))
        });
        if result.is_err() {
            // A failed mapping may leave a buffer in any state.
            if let Err(message) = guarded(|| running.memory.clear()) {
                tracing::warn!(message, "releasing device memory failed");
            }
        }
        result
    }
}

impl Backend for GpuBackend {
    fn kind(&self) -> BackendKind {
        BackendKind::Gpu
    }

    fn name(&self) -> String {
        let adapter = self.adapter();
        format!("{} ({}, {})", adapter.name, adapter.kind, adapter.backend)
    }

    fn healthy(&self) -> bool {
        self.parts().device.lost().is_none()
    }

    fn execute(&self, jobs: &[Job]) -> Vec<JobResult> {
        let in_pixels: Vec<Job> = jobs.iter().map(in_pixels).collect();
        self.parts().execute(&in_pixels)
    }
}

/// The job with its planes made into pixels, which is what goes to the device.
fn in_pixels(job: &Job) -> Job {
    let sources = job.sources.iter().map(|source| match source {
        Source::Rgba(frame) => Source::Rgba(frame.clone()),
        Source::Planar(planes) => Source::Rgba(Arc::new(planes.to_frame())),
    });
    Job { plan: job.plan.clone(), sources: sources.collect() }
}

/// The answer to a job that only loads a source: nothing for a device to do.
fn untouched(job: &Job) -> Option<Frame> {
    let plan = &job.plan;
    let Kernel::Load { source } = plan.kernels[usize::from(plan.output.0)] else { return None };
    let frame = check::frame(job, source)?;
    let mut pixels = frame.pixels().to_vec();
    if !plan.alpha(plan.output) && frame.has_alpha() {
        for pixel in pixels.chunks_exact_mut(BYTES_PER_PIXEL) {
            pixel[BYTES_PER_PIXEL - 1] = 255;
        }
    }
    Frame::new(frame.size(), plan.alpha(plan.output), pixels).ok()
}
