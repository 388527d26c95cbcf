//! Permits by count and by bytes: what may run at once, and who is next.

use crate::config::Config;
use crate::lane::{Lane, PerLane, Turn};
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};
use tokio::sync::{Notify, oneshot};

/// Bounds of what runs and of what waits.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AdmissionLimits {
    pub max_jobs: usize,
    pub budget_bytes: u64,
    pub max_waiting: PerLane<usize>,
}

impl From<&Config> for AdmissionLimits {
    fn from(config: &Config) -> Self {
        AdmissionLimits {
            max_jobs: config.max_in_flight,
            budget_bytes: config.budget_bytes,
            max_waiting: PerLane { interactive: config.max_waiting_interactive, eager: config.max_waiting_eager },
        }
    }
}

/// Why nobody may even wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// The lane's queue is full.
    Full,
    /// The work alone costs more than there is.
    TooCostly,
    Closed,
}

/// What is in use and what waits, for the metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Occupancy {
    pub jobs: usize,
    pub bytes: u64,
    pub running: PerLane<usize>,
    pub waiting: PerLane<usize>,
}

/// What a lane could still take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Room {
    pub free: usize,
    pub places: usize,
}

/// The queue in front of everything that costs memory.
///
/// A permit is one slot and so many bytes, taken together, so that no work holds the one while it waits for the other. Each
/// lane is served strictly in order, and a head that does not fit holds up those behind it: what ends makes room for it
/// first, so a large work is not starved by small ones. Eager works together use at most three quarters of slots and bytes,
/// so that an interactive one finds room however many of them there are; a single one may use all.
#[derive(Clone)]
pub(crate) struct Admission {
    shared: Arc<Shared>,
}

struct Shared {
    limits: AdmissionLimits,
    state: Mutex<State>,
    idle: Notify,
}

#[derive(Default)]
struct State {
    closed: bool,
    next_id: u64,
    queues: PerLane<VecDeque<Entry>>,
    used: PerLane<Used>,
    turn: Turn,
}

#[derive(Default, Clone, Copy)]
struct Used {
    jobs: usize,
    bytes: u64,
}

struct Entry {
    id: u64,
    bytes: u64,
    grant: oneshot::Sender<Permit>,
}

/// Permits that were granted under the lock and are handed over outside of it: a permit nobody takes is given back, which
/// locks again.
type Grants = Vec<(oneshot::Sender<Permit>, Permit)>;

impl Admission {
    pub fn new(limits: AdmissionLimits) -> Self {
        Admission { shared: Arc::new(Shared { limits, state: Mutex::default(), idle: Notify::new() }) }
    }

    /// Enters the queue of a lane, or refuses at once.
    pub fn ask(&self, lane: Lane, bytes: u64) -> Result<Waiter, Refused> {
        if bytes > self.shared.limits.budget_bytes {
            return Err(Refused::TooCostly);
        }
        let (grant, permit) = oneshot::channel();
        let mut state = self.shared.state.lock();
        if state.closed {
            return Err(Refused::Closed);
        }
        let id = state.next_id;
        state.next_id += 1;
        state.queues[lane].push_back(Entry { id, bytes, grant });
        let grants = self.shared.grant(&mut state);
        let full = state.queues[lane].len() > self.shared.limits.max_waiting[lane];
        // The newest entry is the one too many: those before it were within the bound when they came.
        let refused = if full { state.queues[lane].pop_back() } else { None };
        drop(state);
        hand_over(grants);
        match refused {
            Some(_) => Err(Refused::Full),
            None => Ok(Waiter { shared: self.shared.clone(), id, permit }),
        }
    }

    /// Grants nothing more; whoever waits is told so. Permits that were granted stay good.
    pub fn close(&self) {
        let mut state = self.shared.state.lock();
        state.closed = true;
        let waiting = std::mem::take(&mut state.queues);
        drop(state);
        drop(waiting);
        self.shared.idle.notify_waiters();
    }

    /// Resolves once no permit is out and nobody waits.
    pub async fn drained(&self) {
        loop {
            let idle = self.shared.idle.notified();
            tokio::pin!(idle);
            idle.as_mut().enable();
            let now = self.occupancy();
            if now.jobs == 0 && now.waiting == PerLane::default() {
                return;
            }
            idle.await;
        }
    }

    /// Slots that a work of the lane would get without waiting, as far as their number goes, and places in its queue.
    pub fn room(&self, lane: Lane) -> Room {
        let state = self.shared.state.lock();
        let n_waiting = state.queues[lane].len();
        let free = if n_waiting == 0 { self.shared.limits.max_jobs.saturating_sub(state.total().jobs) } else { 0 };
        Room { free, places: self.shared.limits.max_waiting[lane].saturating_sub(n_waiting) }
    }

    pub fn occupancy(&self) -> Occupancy {
        let state = self.shared.state.lock();
        let total = state.total();
        Occupancy {
            jobs: total.jobs,
            bytes: total.bytes,
            running: PerLane { interactive: state.used.interactive.jobs, eager: state.used.eager.jobs },
            waiting: PerLane { interactive: state.queues.interactive.len(), eager: state.queues.eager.len() },
        }
    }
}

impl State {
    fn total(&self) -> Used {
        Used {
            jobs: self.used.interactive.jobs + self.used.eager.jobs,
            bytes: self.used.interactive.bytes.saturating_add(self.used.eager.bytes),
        }
    }

    fn remove(&mut self, id: u64) -> Option<(Lane, Entry)> {
        Lane::ALL.into_iter().find_map(|lane| {
            let at = self.queues[lane].iter().position(|entry| entry.id == id)?;
            self.queues[lane].remove(at).map(|entry| (lane, entry))
        })
    }
}

impl Shared {
    /// Grants whatever fits, in order.
    fn grant(self: &Arc<Self>, state: &mut State) -> Grants {
        let mut grants = Vec::new();
        loop {
            let eager_waits = !state.queues.eager.is_empty();
            let eager_may = state.queues.eager.front().is_some_and(|head| self.within_eager_share(state, head.bytes));
            let Some(lane) = state.turn.peek(!state.queues.interactive.is_empty(), eager_may) else { break };
            let total = state.total();
            let fits = |head: &Entry| {
                total.jobs < self.limits.max_jobs
                    && total.bytes.checked_add(head.bytes).is_some_and(|sum| sum <= self.limits.budget_bytes)
            };
            if !state.queues[lane].front().is_some_and(fits) {
                break;
            }
            let Some(head) = state.queues[lane].pop_front() else { break };
            state.turn.served(lane, eager_waits);
            state.used[lane].jobs += 1;
            state.used[lane].bytes += head.bytes;
            let bytes = AtomicU64::new(head.bytes);
            grants.push((head.grant, Permit { shared: self.clone(), lane, bytes }));
        }
        grants
    }

    fn within_eager_share(&self, state: &State, bytes: u64) -> bool {
        let used = state.used.eager;
        let max_jobs = self.limits.max_jobs - self.limits.max_jobs / 4;
        let max_bytes = self.limits.budget_bytes - self.limits.budget_bytes / 4;
        used.jobs == 0 || (used.jobs < max_jobs && used.bytes.saturating_add(bytes) <= max_bytes)
    }

    fn release(self: &Arc<Self>, lane: Lane, jobs: usize, bytes: u64) {
        let mut state = self.state.lock();
        state.used[lane].jobs -= jobs;
        state.used[lane].bytes -= bytes;
        self.settle(state);
    }

    /// Grants what has become possible and wakes whoever waits for the end.
    fn settle(self: &Arc<Self>, mut state: parking_lot::MutexGuard<'_, State>) {
        let grants = self.grant(&mut state);
        let idle = state.total().jobs == 0;
        drop(state);
        hand_over(grants);
        if idle {
            self.idle.notify_waiters();
        }
    }
}

fn hand_over(grants: Grants) {
    for (grant, permit) in grants {
        // Refused when the waiter has just left; the permit comes back by being dropped.
        let _ = grant.send(permit);
    }
}

/// A place in the queue. Dropping it leaves the queue.
pub(crate) struct Waiter {
    shared: Arc<Shared>,
    id: u64,
    permit: oneshot::Receiver<Permit>,
}

impl Waiter {
    /// Moves to the end of the interactive queue, if there is room and the permit is not granted yet.
    pub fn promote(&self) {
        let mut state = self.shared.state.lock();
        let room = state.queues.interactive.len() < self.shared.limits.max_waiting.interactive;
        let eager = state.queues.eager.iter().position(|entry| entry.id == self.id);
        if let (true, Some(at)) = (room, eager)
            && let Some(entry) = state.queues.eager.remove(at)
        {
            state.queues.interactive.push_back(entry);
            self.shared.settle(state);
        }
    }
}

impl Future for Waiter {
    /// `None` when admission was closed.
    type Output = Option<Permit>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.permit).poll(context).map(Result::ok)
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        let mut state = self.shared.state.lock();
        if state.remove(self.id).is_some() {
            self.shared.settle(state);
        }
    }
}

/// The right to use one slot and so many bytes, given back on drop.
pub(crate) struct Permit {
    shared: Arc<Shared>,
    lane: Lane,
    /// Changed under the lock of admission only.
    bytes: AtomicU64,
}

impl Permit {
    /// The lane whose share it is of.
    pub fn lane(&self) -> Lane {
        self.lane
    }

    /// Adds bytes that are there already, such as sources that were read. May overdraw the budget; others then wait longer.
    pub fn charge(&self, bytes: u64) {
        let mut state = self.shared.state.lock();
        let used = &mut state.used[self.lane].bytes;
        // Whatever the counter cannot hold is not charged, so that the release is exact.
        let charged = bytes.min(u64::MAX - *used);
        *used += charged;
        self.bytes.fetch_add(charged, Relaxed);
    }

    /// Moves so many of its bytes, or all it has, into a charge of their own.
    pub fn split(&self, bytes: u64) -> Charge {
        let _state = self.shared.state.lock();
        let moved = bytes.min(self.bytes.load(Relaxed));
        self.bytes.fetch_sub(moved, Relaxed);
        Charge { shared: self.shared.clone(), lane: self.lane, bytes: moved }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.shared.release(self.lane, 1, *self.bytes.get_mut());
    }
}

/// Bytes of what several works hold together, given back on drop. It has no slot: it only lives as long as works that do.
pub(crate) struct Charge {
    shared: Arc<Shared>,
    lane: Lane,
    bytes: u64,
}

impl Charge {
    /// Takes the bytes of another charge over.
    pub fn absorb(&mut self, mut other: Charge) {
        debug_assert!(self.lane == other.lane, "charges of two lanes are counted apart");
        self.bytes += std::mem::take(&mut other.bytes);
    }

    /// Gives back what exceeds so many bytes.
    pub fn trim(&mut self, bytes: u64) {
        let excess = self.bytes.saturating_sub(bytes);
        if excess > 0 {
            self.bytes -= excess;
            self.shared.release(self.lane, 0, excess);
        }
    }

    #[cfg(test)]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.shared.release(self.lane, 0, self.bytes);
    }
}

#[cfg(test)]
#[path = "admission_tests.rs"]
mod tests;
