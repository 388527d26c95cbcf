//! The threads that own the devices, one each: they collect prepared jobs, run them in batches, notice when a device is
//! gone, and try to get it back.
//!
//! All devices take from one queue when they have room, so that work goes to the least loaded, and a slow device takes
//! less. A thread stages the next batch while its device is at the one before, unless another device is idle.

use crate::batch::{BatchLimits, Decision, Device, StopReason, Waiting, form};
use crate::engine::panic_text;
use crate::lane::{Lane, Turn};
use crate::metrics::Metrics;
use parking_lot::{Condvar, Mutex};
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};
use tintype_render::backend::{Backend, Begun, FallbackReason, Job, JobResult};
use tintype_render::frame::BYTES_PER_PIXEL;

/// Batches that one device is given at the same time: one that it computes, one that is staged.
const MAX_FLYING: usize = 2;

/// When a lost device is tried again: after `first`, and after twice the time whenever that fails, up to `most`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Backoff {
    pub first: Duration,
    pub most: Duration,
}

const BACKOFF: Backoff = Backoff { first: Duration::from_secs(1), most: Duration::from_secs(300) };

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
    threads: Mutex<Vec<JoinHandle<()>>>,
}

struct Shared {
    members: Vec<Member>,
    limits: BatchLimits,
    backoff: Backoff,
    metrics: Arc<Metrics>,
    queue: Mutex<Queue>,
    wake: Condvar,
    n_coming: AtomicUsize,
}

/// One device.
struct Member {
    backend: Arc<dyn Backend>,
    lost: AtomicBool,
}

#[derive(Default)]
struct Queue {
    entries: Vec<Entry>,
    turn: Turn,
    /// Devices that have nothing to do and would take a job at once.
    n_idle: usize,
    closed: bool,
}

struct Entry {
    waiting: Waiting,
    job: Job,
    then: Then,
}

/// What the thread of a device has to do next.
enum Step {
    Run(Vec<Entry>, StopReason),
    /// The batch that was begun first is to be ended.
    Land,
    /// No device is left for these.
    Refuse(Vec<Entry>),
    Revive,
    End,
}

/// A batch that a device is at.
struct Flying {
    number: u64,
    jobs: Vec<Job>,
    thens: Vec<Then>,
    begun: Instant,
}

/// What the thread of a device remembers.
struct Watch {
    flying: VecDeque<Flying>,
    /// Whether a batch ended just before what waits now; only then can waiting for more pay.
    busy: bool,
    retry_at: Instant,
    pause: Duration,
}

impl Dispatcher {
    /// Starts a thread for the backend, or for each of its members.
    pub fn start(backend: Arc<dyn Backend>, limits: BatchLimits, metrics: Arc<Metrics>) -> std::io::Result<Self> {
        Self::start_with(backend, limits, metrics, BACKOFF)
    }

    /// The same with another patience for lost devices.
    pub fn start_with(
        backend: Arc<dyn Backend>,
        limits: BatchLimits,
        metrics: Arc<Metrics>,
        backoff: Backoff,
    ) -> std::io::Result<Self> {
        let mut backends = backend.members();
        if backends.is_empty() {
            backends.push(backend);
        }
        let members = backends.into_iter().map(|backend| Member { backend, lost: AtomicBool::new(false) }).collect();
        let shared = Arc::new(Shared {
            members,
            limits,
            backoff,
            metrics,
            queue: Mutex::default(),
            wake: Condvar::new(),
            n_coming: AtomicUsize::new(0),
        });
        let dispatcher = Dispatcher { shared: shared.clone(), threads: Mutex::default() };
        for index in 0..shared.members.len() {
            let owner = shared.clone();
            let name = if index == 0 { "tintype-device".into() } else { format!("tintype-device-{index}") };
            // When one thread cannot be started, dropping the dispatcher ends the others.
            let thread = Builder::new().name(name).spawn(move || owner.run(&owner.members[index]))?;
            dispatcher.threads.lock().push(thread);
        }
        Ok(dispatcher)
    }

    /// False while every device is lost.
    pub fn usable(&self) -> bool {
        let usable = self.shared.any_usable();
        if !usable && self.shared.members.iter().any(|member| !member.lost.load(Ordering::Acquire)) {
            // One that was lost while it had nothing to do is not given anything, so its thread has to be told.
            self.shared.wake.notify_all();
        }
        usable
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
        self.shared.wake.notify_all();
    }

    /// Drops what is queued; the threads end after the batches they are at.
    pub fn close(&self) {
        let mut queue = self.shared.queue.lock();
        queue.closed = true;
        let queued = std::mem::take(&mut queue.entries);
        drop(queue);
        self.shared.wake.notify_all();
        drop(queued);
    }

    /// Waits for the threads to end. Blocks; for use after [`Dispatcher::close`].
    pub fn join(&self) {
        let threads = std::mem::take(&mut *self.threads.lock());
        for thread in threads {
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
            self.0.wake.notify_all();
        }
    }
}

impl Member {
    fn usable(&self) -> bool {
        !self.lost.load(Ordering::Acquire) && self.backend.healthy()
    }

    /// Calls the backend; a panic is an error of every job.
    fn guarded<T>(&self, calls: impl FnOnce() -> T) -> Result<T, FallbackReason> {
        catch_unwind(AssertUnwindSafe(calls)).map_err(|panic| {
            let text = panic_text(&*panic);
            tracing::error!(device.name = self.backend.name(), panic = text, "the device backend panicked");
            FallbackReason::DeviceError(format!("the backend panicked: {text}"))
        })
    }
}

impl Shared {
    fn any_usable(&self) -> bool {
        self.members.iter().any(Member::usable)
    }

    fn run(&self, member: &Member) {
        let mut watch = Watch {
            flying: VecDeque::new(),
            busy: false,
            retry_at: Instant::now() + self.backoff.first,
            pause: self.backoff.first,
        };
        loop {
            match self.next(member, &mut watch) {
                Step::Run(entries, reason) => {
                    watch.busy = true;
                    self.begin(member, entries, reason, &mut watch);
                }
                Step::Land => self.land(member, &mut watch),
                Step::Refuse(entries) => self.refuse(entries),
                Step::Revive => self.revive(member, &mut watch),
                Step::End => break,
            }
        }
        while !watch.flying.is_empty() {
            self.land(member, &mut watch);
        }
    }

    /// Blocks until there is something to do.
    fn next(&self, member: &Member, watch: &mut Watch) -> Step {
        let mut queue = self.queue.lock();
        loop {
            if queue.closed {
                return Step::End;
            }
            if !watch.flying.is_empty() && (watch.flying.len() >= MAX_FLYING || !member.usable()) {
                return Step::Land;
            }
            if !member.usable() {
                if !queue.entries.is_empty() && !self.any_usable() {
                    return Step::Refuse(std::mem::take(&mut queue.entries));
                }
                self.note_loss(member, watch, "it is no longer healthy");
                if Instant::now() >= watch.retry_at {
                    return Step::Revive;
                }
                self.wake.wait_until(&mut queue, watch.retry_at);
                continue;
            }
            let waiting: Vec<Waiting> = queue.entries.iter().map(|entry| entry.waiting).collect();
            let coming = self.n_coming.load(Ordering::Relaxed) > 0;
            let device = if watch.busy && coming { Device::Loaded } else { Device::Idle };
            let until = match form(&waiting, Instant::now(), device, queue.turn, &self.limits) {
                // Another device has nothing to do, and is quicker than one that is at a batch.
                Decision::Run { .. } if !watch.flying.is_empty() && queue.n_idle > 0 => return Step::Land,
                Decision::Run { batch, reason, turn } => {
                    queue.turn = turn;
                    return Step::Run(take(&mut queue.entries, &batch), reason);
                }
                _ if !watch.flying.is_empty() => return Step::Land,
                Decision::Wait(until) => Some(until),
                Decision::Empty => None,
            };
            queue.n_idle += 1;
            match until {
                Some(until) => {
                    self.wake.wait_until(&mut queue, until);
                }
                None => {
                    watch.busy = false;
                    self.wake.wait(&mut queue);
                }
            }
            queue.n_idle -= 1;
        }
    }

    /// Gives a batch to the device.
    fn begin(&self, member: &Member, entries: Vec<Entry>, reason: StopReason, watch: &mut Watch) {
        let bytes = entries.iter().map(|entry| entry.waiting.bytes).fold(0, u64::saturating_add);
        let (jobs, thens): (Vec<Job>, Vec<Then>) = entries.into_iter().map(|entry| (entry.job, entry.then)).unzip();
        let begun = Instant::now();
        let answer = member.guarded(|| member.backend.begin(&jobs));
        self.metrics.batch(reason, jobs.len(), bytes);
        let flying = |number| Flying { number, jobs, thens, begun };
        match answer {
            Ok(Begun::Pending(number)) => watch.flying.push_back(flying(number)),
            Ok(Begun::Done(results)) => self.hand_on(member, flying(0), Ok(results), watch),
            Err(reason) => self.hand_on(member, flying(0), Err(reason), watch),
        }
    }

    /// Waits for the batch that was begun first.
    fn land(&self, member: &Member, watch: &mut Watch) {
        let Some(flying) = watch.flying.pop_front() else { return };
        let results = member.guarded(|| member.backend.end(flying.number));
        self.hand_on(member, flying, results, watch);
    }

    fn hand_on(
        &self,
        member: &Member,
        flying: Flying,
        results: Result<Vec<JobResult>, FallbackReason>,
        watch: &mut Watch,
    ) {
        let Flying { jobs, thens, begun, .. } = flying;
        let took = begun.elapsed();
        let results = results.unwrap_or_else(|reason| vec![Err(reason); jobs.len()]);
        let silent = || Err(FallbackReason::DeviceError("the backend gave no result for the job".into()));
        let results = results.into_iter().chain(std::iter::repeat_with(silent));
        for ((job, then), result) in jobs.into_iter().zip(thens).zip(results) {
            match &result {
                Err(FallbackReason::DeviceLost(text)) => self.note_loss(member, watch, text),
                // It works: the next loss is a new one.
                Ok(_) => watch.pause = self.backoff.first,
                Err(_) => {}
            }
            then(Executed { job, result, took });
        }
    }

    fn note_loss(&self, member: &Member, watch: &mut Watch, why: &str) {
        if member.lost.swap(true, Ordering::AcqRel) {
            return;
        }
        watch.retry_at = Instant::now() + watch.pause;
        let (name, again) = (member.backend.name(), watch.pause);
        tracing::warn!(device.name = name, reason = why, ?again, "the device is lost; others and the cpu take over");
    }

    /// Tries to get the device back; its start-up proof is the backend's to run.
    fn revive(&self, member: &Member, watch: &mut Watch) {
        let name = member.backend.name();
        let outcome = member.guarded(|| member.backend.revive()).and_then(|result| result);
        match outcome {
            Ok(()) => {
                member.lost.store(false, Ordering::Release);
                tracing::info!(device.name = name, "the device is back");
            }
            Err(reason) => tracing::debug!(device.name = name, %reason, "the device is still lost"),
        }
        // Also after a success: a device that is lost again before it made a picture waits longer.
        watch.pause = (watch.pause * 2).min(self.backoff.most);
        watch.retry_at = Instant::now() + watch.pause;
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

#[cfg(test)]
#[path = "dispatch_tests.rs"]
mod tests;
