//! The single thread that owns the device: collects prepared jobs, runs them in batches, and notices when the device is gone.

use crate::batch::{BatchLimits, Decision, Device, StopReason, Waiting, form};
use crate::engine::panic_text;
use crate::lane::{Lane, Turn};
use crate::metrics::Metrics;
use parking_lot::{Condvar, Mutex};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};
use tintype_render::backend::{Backend, FallbackReason, Job, JobResult};
use tintype_render::frame::BYTES_PER_PIXEL;

/// A job that the device has had its chance at.
pub(crate) struct Executed {
    pub job: Job,
    pub result: JobResult,
    /// Time of the whole batch on the device.
    pub took: Duration,
}

/// Called on the dispatcher's thread; must only hand the job on.
pub(crate) type Then = Box<dyn FnOnce(Executed) + Send>;

pub(crate) struct Dispatcher {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    backend: Arc<dyn Backend>,
    limits: BatchLimits,
    metrics: Arc<Metrics>,
    queue: Mutex<Queue>,
    wake: Condvar,
    lost: AtomicBool,
    n_coming: AtomicUsize,
}

#[derive(Default)]
struct Queue {
    entries: Vec<Entry>,
    closed: bool,
}

struct Entry {
    waiting: Waiting,
    job: Job,
    then: Then,
}

impl Dispatcher {
    pub fn start(backend: Arc<dyn Backend>, limits: BatchLimits, metrics: Arc<Metrics>) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            backend,
            limits,
            metrics,
            queue: Mutex::default(),
            wake: Condvar::new(),
            lost: AtomicBool::new(false),
            n_coming: AtomicUsize::new(0),
        });
        let owner = shared.clone();
        let thread = Builder::new().name("tintype-device".into()).spawn(move || owner.run())?;
        Ok(Dispatcher { shared, thread: Mutex::new(Some(thread)) })
    }

    /// False once the device was lost; it is not used again.
    pub fn usable(&self) -> bool {
        self.shared.usable()
    }

    /// Announces a job that is being prepared, so that a batch may wait for it.
    pub fn expect(&self) -> Coming {
        self.shared.n_coming.fetch_add(1, Ordering::Relaxed);
        Coming(self.shared.clone())
    }

    /// Queues a job that was expected; admission bounds the queue. After the dispatcher was closed the job is dropped.
    pub fn submit(&self, lane: Lane, job: Job, coming: Coming, then: Then) {
        let waiting = Waiting { lane, bytes: surface_bytes(&job), arrived: Instant::now() };
        let mut queue = self.shared.queue.lock();
        if queue.closed {
            drop(queue);
            return drop(then);
        }
        queue.entries.push(Entry { waiting, job, then });
        // Under the lock: whoever forms a batch sees the job either as coming or as waiting.
        drop(coming);
        drop(queue);
        self.shared.wake.notify_one();
    }

    /// Drops what is queued; the thread ends after the batch it is at.
    pub fn close(&self) {
        let mut queue = self.shared.queue.lock();
        queue.closed = true;
        let queued = std::mem::take(&mut queue.entries);
        drop(queue);
        self.shared.wake.notify_one();
        drop(queued);
    }

    /// Waits for the thread to end. Blocks; for use after [`Dispatcher::close`].
    pub fn join(&self) {
        let thread = self.thread.lock().take();
        if let Some(thread) = thread {
            // The loop catches panics of the backend, so the thread has nothing to report.
            let _ = thread.join();
        }
    }
}

impl Drop for Dispatcher {
    fn drop(&mut self) {
        self.close();
    }
}

/// A job on its way; see [`Dispatcher::expect`].
pub(crate) struct Coming(Arc<Shared>);

impl Drop for Coming {
    fn drop(&mut self) {
        if self.0.n_coming.fetch_sub(1, Ordering::Relaxed) == 1 {
            // A batch need not wait any longer for what does not come.
            self.0.wake.notify_one();
        }
    }
}

impl Shared {
    fn usable(&self) -> bool {
        !self.lost.load(Ordering::Acquire) && self.backend.healthy()
    }

    fn run(&self) {
        let mut turn = Turn::default();
        // Whether a batch ended just before what waits now; only then can waiting for more pay.
        let mut busy = false;
        while let Some((entries, reason)) = self.next(&mut turn, &mut busy) {
            busy = true;
            if self.usable() {
                self.execute(entries, reason);
            } else {
                self.refuse(entries);
            }
        }
    }

    /// Blocks until a batch is due. `None` when closed.
    fn next(&self, turn: &mut Turn, busy: &mut bool) -> Option<(Vec<Entry>, StopReason)> {
        let mut queue = self.queue.lock();
        loop {
            if queue.closed {
                return None;
            }
            let waiting: Vec<Waiting> = queue.entries.iter().map(|entry| entry.waiting).collect();
            let coming = self.n_coming.load(Ordering::Relaxed) > 0;
            let device = if *busy && coming { Device::Loaded } else { Device::Idle };
            match form(&waiting, Instant::now(), device, *turn, &self.limits) {
                Decision::Empty => {
                    *busy = false;
                    self.wake.wait(&mut queue);
                }
                Decision::Wait(until) => {
                    self.wake.wait_until(&mut queue, until);
                }
                Decision::Run { batch, reason, turn: next } => {
                    *turn = next;
                    return Some((take(&mut queue.entries, &batch), reason));
                }
            }
        }
    }

    fn execute(&self, entries: Vec<Entry>, reason: StopReason) {
        let bytes = entries.iter().map(|entry| entry.waiting.bytes).fold(0, u64::saturating_add);
        let (jobs, thens): (Vec<Job>, Vec<Then>) = entries.into_iter().map(|entry| (entry.job, entry.then)).unzip();
        let begun = Instant::now();
        let results = catch_unwind(AssertUnwindSafe(|| self.backend.execute(&jobs))).unwrap_or_else(|panic| {
            let text = panic_text(&*panic);
            tracing::error!(device.name = self.backend.name(), panic = text, "the device backend panicked");
            vec![Err(FallbackReason::DeviceError(format!("the backend panicked: {text}"))); jobs.len()]
        });
        let took = begun.elapsed();
        self.metrics.batch(reason, jobs.len(), bytes);
        let silent = || Err(FallbackReason::DeviceError("the backend gave no result for the job".into()));
        let results = results.into_iter().chain(std::iter::repeat_with(silent));
        for ((job, then), result) in jobs.into_iter().zip(thens).zip(results) {
            if let Err(FallbackReason::DeviceLost(text)) = &result
                && !self.lost.swap(true, Ordering::AcqRel)
            {
                tracing::warn!(
                    device.name = self.backend.name(),
                    reason = text,
                    "the device is lost; the cpu takes over"
                );
            }
            then(Executed { job, result, took });
        }
    }

    fn refuse(&self, entries: Vec<Entry>) {
        for Entry { job, then, .. } in entries {
            then(Executed { job, result: Err(lost_earlier()), took: Duration::ZERO });
        }
    }
}

/// The reason of every job that would have gone to a device that is gone.
pub(crate) fn lost_earlier() -> FallbackReason {
    FallbackReason::DeviceLost("lost earlier".into())
}

/// Bytes of all surfaces of a job, decoded sources included.
fn surface_bytes(job: &Job) -> u64 {
    job.plan.sizes.iter().map(|size| size.pixels().saturating_mul(BYTES_PER_PIXEL as u64)).fold(0, u64::saturating_add)
}

/// Takes the entries of a batch out, in the batch's order; the others keep theirs.
fn take(entries: &mut Vec<Entry>, batch: &[usize]) -> Vec<Entry> {
    let mut all: Vec<Option<Entry>> = entries.drain(..).map(Some).collect();
    let taken = batch.iter().filter_map(|&index| all.get_mut(index).and_then(Option::take)).collect();
    entries.extend(all.into_iter().flatten());
    taken
}
