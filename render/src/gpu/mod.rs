//! The GPU backend: many jobs of different sizes and chains in one command buffer.
//!
//! A batch goes through these hands: [`check`] refuses unsound jobs, [`arena`] lays out each job, [`window`] packs jobs
//! under the limits of the device and the budget, [`schedule`] writes the tables that tell each workgroup which job and
//! which tile it serves, [`wire`] knows in which form pictures travel, [`memory`] owns the buffers and the ring of
//! staging slots, and [`run`] uploads, submits and reads back. wgpu is used nowhere else in the product.

mod arena;
mod cache;
mod check;
mod counters;
mod device;
mod memory;
mod pipelines;
mod run;
mod schedule;
#[cfg(test)]
mod tests;
mod window;
mod wire;

pub use cache::{CacheUse, PipelineCacheStore, PipelineCaches};
pub use counters::{BatchCounters, Clock};
pub use device::{AdapterKind, AdapterSummary, OpenError, adapters};

use crate::backend::{Backend, BackendKind, Begun, FallbackReason, Job, JobResult, Output, Source};
use crate::frame::{BYTES_PER_PIXEL, Frame};
use crate::plan::bind::Kernel;
use cache::PipelineCache;
use device::{Device, guarded};
use memory::{Lent, Memory};
use parking_lot::{Mutex, RwLock};
use pipelines::Pipeline;
use run::{Engine, Flight};
use std::borrow::Cow;
use std::collections::{HashMap, VecDeque};
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
    /// Windows that may be on their way at the same time, at least 1: with 3, one is staged while another is computed
    /// and a third is read back.
    pub slots: usize,
    /// Whether surfaces are cleared on the device as soon as their window is done, so that no later job can find them.
    pub zero_memory: bool,
    /// Measures times for the counters and for calibration; without it counters stay zero and nothing is calibrated.
    pub clock: Option<Clock>,
    /// Where compiled kernels are kept from one start to the next.
    pub pipeline_caches: Option<PipelineCaches>,
    /// Threads on which the CPU would render instead, for the choice between both.
    pub cpu_threads: usize,
}

impl Default for GpuOptions {
    fn default() -> Self {
        GpuOptions {
            budget_bytes: 1 << 30,
            timeout: Duration::from_secs(30),
            slots: 3,
            zero_memory: true,
            clock: None,
            pipeline_caches: None,
            cpu_threads: 1,
        }
    }
}

/// State that only the thread that runs a batch touches.
#[derive(Debug, Default)]
struct Running {
    memory: Memory,
    /// Windows on their way, in the order of their submission, each with the number of its batch.
    flights: VecDeque<(u64, Flight)>,
    batches: HashMap<u64, Batch>,
    next_batch: u64,
    last: BatchCounters,
    totals: BatchCounters,
}

/// A batch that was begun.
#[derive(Debug)]
struct Batch {
    results: Vec<Option<JobResult>>,
    counters: BatchCounters,
}

/// An open adapter with its compiled kernels.
///
/// Any thread may call it; batches run one after the other. Once the device is lost every job is refused until
/// [`GpuBackend::reopen`].
pub struct GpuBackend {
    summary: AdapterSummary,
    options: GpuOptions,
    owner: RwLock<Arc<Owner>>,
}

/// Takes a device down in a way that neither panics nor waits forever.
struct Owner {
    /// `None` only while it is dropped.
    parts: Option<Parts>,
}

struct Parts {
    device: Device,
    pipelines: Vec<Pipeline>,
    cache_use: CacheUse,
    limits: WindowLimits,
    options: GpuOptions,
    running: Mutex<Running>,
}

impl Drop for Owner {
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

impl Owner {
    fn parts(&self) -> &Parts {
        self.parts.as_ref().expect("parts are there until the owner is dropped")
    }
}

impl fmt::Debug for GpuBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GpuBackend").field("adapter", &self.summary).field("options", &self.options).finish()
    }
}

impl GpuBackend {
    /// Opens the strongest adapter that `allow` accepts and compiles every kernel for it. Never panics.
    pub fn open(allow: impl Fn(&AdapterSummary) -> bool, options: GpuOptions) -> Result<GpuBackend, OpenError> {
        let parts = Parts::open(&allow, &options)?;
        let summary = parts.device.summary.clone();
        Ok(GpuBackend { summary, options, owner: RwLock::new(Arc::new(Owner { parts: Some(parts) })) })
    }

    /// Opens the same adapter anew, for example after its device was lost. What was on its way is gone.
    pub fn reopen(&self) -> Result<(), OpenError> {
        let parts = Parts::open(&|adapter| adapter.is_same(&self.summary), &self.options)?;
        let old = std::mem::replace(&mut *self.owner.write(), Arc::new(Owner { parts: Some(parts) }));
        drop(old);
        Ok(())
    }

    fn owner(&self) -> Arc<Owner> {
        Arc::clone(&self.owner.read())
    }

    /// What the backend runs on.
    pub fn adapter(&self) -> &AdapterSummary {
        &self.summary
    }

    /// What became of the cache of compiled kernels when it was opened.
    pub fn cache_use(&self) -> CacheUse {
        self.owner().parts().cache_use
    }

    /// How it is used.
    pub fn options(&self) -> &GpuOptions {
        &self.options
    }

    /// Costs of the batch that ended last.
    pub fn last_counters(&self) -> BatchCounters {
        self.owner().parts().running.lock().last
    }

    /// Costs of all batches since the adapter was opened.
    pub fn total_counters(&self) -> BatchCounters {
        self.owner().parts().running.lock().totals
    }

    /// Gives the device up, from any thread, as if it had been lost: for drills, and for one that fails its proof.
    pub fn lose(&self) {
        self.owner().parts().device.lose("given up on demand");
    }
}

impl Parts {
    fn open(allow: &dyn Fn(&AdapterSummary) -> bool, options: &GpuOptions) -> Result<Parts, OpenError> {
        let device = Device::open(allow, options.timeout)?;
        let caches = options.pipeline_caches.as_ref();
        let compiled = guarded(|| {
            let cache = device.scoped(|| Ok(PipelineCache::open(&device, caches)))?;
            let pipelines = pipelines::compile(&device, &cache)?;
            cache.keep(&device, caches);
            Ok((pipelines, cache.found))
        });
        let compiled = compiled.map_err(FallbackReason::DeviceError);
        let (pipelines, cache_use) = compiled
            .and_then(|result| result)
            .map_err(|reason| OpenError::Failed { name: device.summary.name.clone(), what: reason.to_string() })?;
        let limits = WindowLimits {
            // Kernels count bytes in 32 bits on some drivers.
            binding_bytes: device.limits.max_storage_buffer_binding_size.min(u64::from(u32::MAX)) & !3,
            buffer_bytes: device.limits.max_buffer_size & !3,
            budget_bytes: options.budget_bytes,
            alignment_bytes: u64::from(device.limits.min_storage_buffer_offset_alignment).max(16),
            slots: options.slots.max(1) as u64,
        };
        Ok(Parts { device, pipelines, cache_use, limits, options: options.clone(), running: Mutex::default() })
    }

    fn engine(&self) -> Engine<'_> {
        Engine {
            device: &self.device,
            pipelines: &self.pipelines,
            limits: self.limits,
            clock: self.options.clock,
            zero_memory: self.options.zero_memory,
        }
    }

    /// Sends all windows of a batch on their way, as far as there is room; gives the batch's number.
    fn begin(&self, jobs: &[Job]) -> u64 {
        let mut running = self.running.lock();
        let number = running.next_batch;
        running.next_batch += 1;
        let mut batch = Batch { results: jobs.iter().map(|_| None).collect(), counters: BatchCounters::default() };
        if let Some(lost) = self.device.lost() {
            batch.results = jobs.iter().map(|_| Some(Err(lost.clone()))).collect();
            running.batches.insert(number, batch);
            return number;
        }
        let packing = Packing::new(jobs, &self.limits);
        for (index, reason) in packing.refused {
            batch.results[index] = Some(Err(reason));
        }
        for (index, frame) in packing.untouched {
            batch.results[index] = Some(Ok(Output::Rgba(frame)));
            batch.counters.jobs += 1;
        }
        running.batches.insert(number, batch);
        let mut failed: Option<FallbackReason> = None;
        for window in &packing.windows {
            // What an earlier window was to bring up is not there when that one failed.
            let inherited = failed.take().filter(|_| window.inherits);
            let outcome = match (self.device.lost(), inherited) {
                (Some(reason), _) | (None, Some(reason)) => Err(reason),
                (None, None) => self.launch(&mut running, number, jobs, window),
            };
            match outcome {
                Ok(flight) => running.flights.push_back((number, flight)),
                Err(reason) => {
                    let seats = window.seats.iter().map(|seat| seat.job);
                    refuse(running.batches.get_mut(&number), seats, &reason);
                    failed = Some(reason);
                }
            }
        }
        number
    }

    /// Launches a window; brings others home first where it needs their room. Whatever happens inside of wgpu comes
    /// back as a reason.
    fn launch(
        &self,
        running: &mut Running,
        number: u64,
        jobs: &[Job],
        window: &Window,
    ) -> Result<Flight, FallbackReason> {
        loop {
            let lent = Lent {
                slots: running.flights.len(),
                bytes: running.flights.iter().map(|(_, flight)| flight.bytes()).sum(),
            };
            let mut counters = BatchCounters::default();
            let result = guarded(|| self.engine().launch(&mut running.memory, lent, jobs, window, &mut counters));
            if let Some(batch) = running.batches.get_mut(&number) {
                batch.counters += counters;
            }
            let result = self.flatten(result);
            match result {
                Ok(Some(flight)) => return Ok(flight),
                Ok(None) if lent.slots > 0 => self.land_first(running),
                Ok(None) => return Err(FallbackReason::TooLarge("no room for a window that was to fit".into())),
                Err(reason) => {
                    // The arena may hold pictures that nothing cleared.
                    self.discard(|| running.memory.drop_work());
                    return Err(reason);
                }
            }
        }
    }

    /// Brings the window home that was sent first.
    fn land_first(&self, running: &mut Running) {
        let Some((number, flight)) = running.flights.pop_front() else { return };
        let seats: Vec<_> = flight.jobs().collect();
        let mut counters = BatchCounters::default();
        let others = running.flights.len();
        let result = guarded(|| self.engine().land(&mut running.memory, flight, others, &mut counters));
        let batch = running.batches.get_mut(&number);
        match self.flatten(result) {
            Ok(outputs) => {
                if let Some(batch) = batch {
                    counters.jobs += outputs.len() as u64;
                    batch.counters += counters;
                    for (job, output) in outputs {
                        batch.results[job] = Some(Ok(output));
                    }
                }
            }
            Err(reason) => {
                refuse(batch, seats.into_iter(), &reason);
                self.discard(|| running.memory.drop_work());
            }
        }
    }

    /// The answers of a batch, when all of its windows are home. Nothing for a batch that there is not.
    fn end(&self, number: u64) -> Vec<JobResult> {
        let mut running = self.running.lock();
        while running.flights.iter().any(|(batch, _)| *batch == number) {
            self.land_first(&mut running);
        }
        let Some(batch) = running.batches.remove(&number) else { return Vec::new() };
        running.last = batch.counters;
        running.totals += batch.counters;
        let missing = || Err(FallbackReason::DeviceError("the job was not run".into()));
        batch.results.into_iter().map(|result| result.unwrap_or_else(missing)).collect()
    }

    /// A panic inside of wgpu costs the device.
    fn flatten<T>(&self, result: Result<Result<T, FallbackReason>, String>) -> Result<T, FallbackReason> {
        result.unwrap_or_else(|message| {
            self.device.lose(&message);
            Err(FallbackReason::DeviceLost(message))
        })
    }

    fn discard(&self, calls: impl FnOnce()) {
        if let Err(message) = guarded(calls) {
            tracing::warn!(message, "releasing device memory failed");
        }
    }
}

fn refuse(batch: Option<&mut Batch>, jobs: impl Iterator<Item = usize>, reason: &FallbackReason) {
    let Some(batch) = batch else { return };
    for job in jobs {
        batch.results[job] = Some(Err(reason.clone()));
    }
}

impl Backend for GpuBackend {
    fn kind(&self) -> BackendKind {
        BackendKind::Gpu
    }

    fn name(&self) -> String {
        format!("{} ({}, {})", self.summary.name, self.summary.kind, self.summary.backend)
    }

    fn healthy(&self) -> bool {
        self.owner().parts().device.lost().is_none()
    }

    fn execute(&self, jobs: &[Job]) -> Vec<JobResult> {
        let owner = self.owner();
        let number = owner.parts().begin(jobs);
        owner.parts().end(number)
    }

    fn begin(&self, jobs: &[Job]) -> Begun {
        Begun::Pending(self.owner().parts().begin(jobs))
    }

    fn end(&self, number: u64) -> Vec<JobResult> {
        self.owner().parts().end(number)
    }
}

/// The answer to a job that only loads a source: nothing for a device to do.
fn untouched(job: &Job) -> Option<Frame> {
    let plan = &job.plan;
    let Kernel::Load { source } = plan.kernels[usize::from(plan.output.0)] else { return None };
    let frame = match job.sources.get(source)? {
        Source::Rgba(frame) => Cow::Borrowed(&**frame),
        Source::Planar(planes) => Cow::Owned(planes.to_frame()),
    };
    let mut pixels = frame.pixels().to_vec();
    if !plan.alpha(plan.output) && frame.has_alpha() {
        for pixel in pixels.chunks_exact_mut(BYTES_PER_PIXEL) {
            pixel[BYTES_PER_PIXEL - 1] = 255;
        }
    }
    Frame::new(frame.size(), plan.alpha(plan.output), pixels).ok()
}
