//! Bounded CPU threads for decoding, encoding and the CPU backend.

use crate::lane::{Lane, PerLane};
use crate::priority::{Way, give_way};
use parking_lot::{Condvar, Mutex};
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

pub(crate) type Task = Box<dyn FnOnce() + Send>;

/// An eager task that has waited for so long is taken by a thread that does get its share of a busy machine.
const MOST_EAGER_WAIT: Duration = Duration::from_secs(5);
/// For so long after an interactive task the last of the eager threads stands aside.
const QUIET_AFTER: Duration = Duration::from_millis(100);

/// Which end of a render a task is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// Starts a render.
    Opening,
    /// Ends one, and goes first: it is what frees memory.
    Closing,
}

/// Named threads for each lane, all started once, and a queue in front of them.
///
/// Every queued task holds a permit, so admission bounds the queues. Eager tasks have threads of their own that give way to
/// all others, because a thread that encodes cannot be interrupted: they use what interactive ones leave. That alone would
/// have all cores taken whenever an interactive task comes, and the system is slow to move one that shares its core to
/// another; so one core is left free while such tasks come. Where they leave nothing, one more thread takes what has waited
/// for too long, so that an upload that waits for its eager pictures does end.
pub(crate) struct Pool {
    groups: PerLane<Arc<Group>>,
    traffic: Arc<Traffic>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// The threads of one lane.
struct Group {
    lane: Lane,
    state: Mutex<State>,
    wake: Condvar,
    /// Wakes the threads that do not take all that comes.
    wake_others: Condvar,
    traffic: Arc<Traffic>,
}

/// When there were interactive tasks.
struct Traffic {
    epoch: Instant,
    n_open: AtomicUsize,
    /// Milliseconds after the epoch.
    last_ended_ms: AtomicU64,
}

impl Traffic {
    fn new() -> Self {
        // Whoever asks at once finds that nothing has come for long.
        let epoch = Instant::now();
        let epoch = epoch.checked_sub(QUIET_AFTER).unwrap_or(epoch);
        Traffic { epoch, n_open: AtomicUsize::new(0), last_ended_ms: AtomicU64::new(0) }
    }

    /// Until when an eager thread leaves its core to interactive tasks, as far as is known now.
    fn quiet_at(&self) -> Instant {
        let last = match self.n_open.load(Relaxed) {
            0 => self.epoch + Duration::from_millis(self.last_ended_ms.load(Relaxed)),
            _ => Instant::now(),
        };
        last + QUIET_AFTER
    }

    fn ended(&self) {
        let now_ms = u64::try_from(self.epoch.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last_ended_ms.fetch_max(now_ms, Relaxed);
        self.n_open.fetch_sub(1, Relaxed);
    }
}

/// Which tasks of its lane a thread takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seat {
    All,
    /// All while no interactive ones come.
    WhileQuiet,
    /// Those that have waited for too long.
    Overdue,
}

#[derive(Default)]
struct State {
    opening: VecDeque<Queued>,
    closing: VecDeque<Queued>,
    closed: bool,
}

struct Queued {
    since: Instant,
    task: Task,
}

impl State {
    /// Since when the one has waited that has waited longest.
    fn oldest(&self) -> Option<Instant> {
        let first = |queue: &VecDeque<Queued>| queue.front().map(|queued| queued.since);
        first(&self.closing).into_iter().chain(first(&self.opening)).min()
    }

    fn next(&mut self) -> Option<Task> {
        self.closing.pop_front().or_else(|| self.opening.pop_front()).map(|queued| queued.task)
    }

    /// The one that has waited longest.
    fn next_oldest(&mut self) -> Option<Task> {
        let oldest = self.oldest();
        let queue = [&mut self.opening, &mut self.closing]
            .into_iter()
            .find(|queue| queue.front().map(|queued| queued.since) == oldest)?;
        queue.pop_front().map(|queued| queued.task)
    }
}

impl Pool {
    /// Starts so many threads for each lane, and one for eager tasks that have waited for too long.
    pub fn start(n_threads: usize) -> std::io::Result<Self> {
        let traffic = Arc::new(Traffic::new());
        let group = |lane| Arc::new(Group::new(lane, traffic.clone()));
        let groups = PerLane { interactive: group(Lane::Interactive), eager: group(Lane::Eager) };
        // Threads that did start end when this is dropped on the way out.
        let pool = Pool { groups, traffic, threads: Mutex::default() };
        for (lane, index) in Lane::ALL.into_iter().flat_map(|lane| (0..n_threads).map(move |index| (lane, index))) {
            let is_last = index > 0 && index + 1 == n_threads;
            match lane {
                Lane::Interactive => pool.add(lane, format!("tintype-cpu-{index}"), Seat::All)?,
                Lane::Eager if is_last => pool.add(lane, format!("tintype-low-{index}"), Seat::WhileQuiet)?,
                Lane::Eager => pool.add(lane, format!("tintype-low-{index}"), Seat::All)?,
            }
        }
        pool.add(Lane::Eager, "tintype-relief".into(), Seat::Overdue)?;
        Ok(pool)
    }

    fn add(&self, lane: Lane, name: String, seat: Seat) -> std::io::Result<()> {
        let group = self.groups[lane].clone();
        let thread = Builder::new().name(name).spawn(move || group.run(seat))?;
        self.threads.lock().push(thread);
        Ok(())
    }

    /// Queues a task. After the pool was closed the task is dropped unrun.
    pub fn spawn(&self, lane: Lane, order: Order, task: Task) {
        let group = &self.groups[lane];
        let mut state = group.state.lock();
        if state.closed {
            drop(state);
            return drop(task);
        }
        if lane == Lane::Interactive {
            self.traffic.n_open.fetch_add(1, Relaxed);
        }
        let queued = Queued { since: Instant::now(), task };
        match order {
            Order::Opening => state.opening.push_back(queued),
            Order::Closing => state.closing.push_back(queued),
        }
        drop(state);
        group.wake.notify_one();
        group.wake_others.notify_all();
    }

    /// Drops what is queued; threads end after the task they are at.
    pub fn close(&self) {
        for lane in Lane::ALL {
            let group = &self.groups[lane];
            let mut state = group.state.lock();
            state.closed = true;
            let queued = (std::mem::take(&mut state.opening), std::mem::take(&mut state.closing));
            drop(state);
            group.wake.notify_all();
            group.wake_others.notify_all();
            drop(queued);
        }
    }

    /// Waits for the threads to end. Blocks; for use after [`Pool::close`], never from a thread of the pool.
    pub fn join(&self) {
        for thread in std::mem::take(&mut *self.threads.lock()) {
            // A panic of a task is caught inside, so a thread has nothing to report.
            let _ = thread.join();
        }
    }
}

impl Drop for Pool {
    /// Does not wait: the last owner may be a thread of this pool.
    fn drop(&mut self) {
        self.close();
    }
}

impl Group {
    fn new(lane: Lane, traffic: Arc<Traffic>) -> Self {
        Group { lane, state: Mutex::default(), wake: Condvar::new(), wake_others: Condvar::new(), traffic }
    }

    fn run(&self, seat: Seat) {
        let way = match (self.lane, seat) {
            (Lane::Interactive, _) => Way::Interactive,
            (Lane::Eager, Seat::Overdue) => Way::Low,
            (Lane::Eager, _) => Way::Leftover,
        };
        if !give_way(way) {
            tracing::warn!(lane = self.lane.label(), "threads that render could not be given a lower priority");
        }
        let wake = if seat == Seat::All { &self.wake } else { &self.wake_others };
        let mut state = self.state.lock();
        loop {
            let due = state.oldest().map(|since| self.due(seat, since));
            match due {
                Some(due) if due <= Instant::now() => {
                    let task = if seat == Seat::Overdue { state.next_oldest() } else { state.next() };
                    drop(state);
                    task.into_iter().for_each(|task| self.perform(task));
                    state = self.state.lock();
                }
                _ if state.closed => return,
                Some(due) => drop(wake.wait_until(&mut state, due)),
                None => wake.wait(&mut state),
            }
        }
    }

    /// When a thread may take a task that waits since then.
    fn due(&self, seat: Seat, since: Instant) -> Instant {
        match seat {
            Seat::All => since,
            Seat::WhileQuiet => since.max(self.traffic.quiet_at()),
            Seat::Overdue => since + MOST_EAGER_WAIT,
        }
    }

    fn perform(&self, task: Task) {
        if catch_unwind(AssertUnwindSafe(task)).is_err() {
            tracing::error!(task.lane = self.lane.label(), "a task of the pool panicked outside of a stage");
        }
        if self.lane == Lane::Interactive {
            self.traffic.ended();
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use std::sync::mpsc;

    /// Queues named tasks behind one that holds the only thread, and gives the order in which they ran.
    fn order_of(tasks: &[(Order, &'static str)]) -> Vec<&'static str> {
        let pool = Pool::start(1).unwrap();
        let (open, gate) = mpsc::channel::<()>();
        let (ran, log) = mpsc::channel();
        let (begun, begins) = mpsc::channel();
        pool.spawn(
            Lane::Interactive,
            Order::Opening,
            Box::new(move || {
                begun.send(()).unwrap();
                gate.recv().unwrap();
            }),
        );
        begins.recv().unwrap();
        for &(order, name) in tasks {
            let ran = ran.clone();
            pool.spawn(Lane::Interactive, order, Box::new(move || ran.send(name).unwrap()));
        }
        open.send(()).unwrap();
        drop(ran);
        log.iter().collect()
    }

    #[test]
    fn what_ends_a_render_goes_first() {
        use Order::{Closing, Opening};
        let order = order_of(&[(Opening, "o1"), (Opening, "o2"), (Closing, "c1"), (Opening, "o3"), (Closing, "c2")]);
        assert_eq!(order, ["c1", "c2", "o1", "o2", "o3"]);
    }

    #[test]
    fn eager_tasks_have_threads_of_their_own() {
        let pool = Pool::start(1).unwrap();
        let (open, gate) = mpsc::channel::<()>();
        let (ran, log) = mpsc::channel();
        let eager = ran.clone();
        pool.spawn(
            Lane::Eager,
            Order::Opening,
            Box::new(move || {
                gate.recv().unwrap();
                eager.send("eager").unwrap();
            }),
        );
        pool.spawn(Lane::Interactive, Order::Opening, Box::new(move || ran.send("interactive").unwrap()));
        // The eager task cannot end before this receives.
        assert_eq!(log.recv().unwrap(), "interactive");
        open.send(()).unwrap();
        assert_eq!(log.recv().unwrap(), "eager");
    }

    /// Queues a task that stays until the sender is dropped; returns once it has begun.
    fn hold(pool: &Pool, lane: Lane) -> mpsc::Sender<()> {
        let (open, gate) = mpsc::channel::<()>();
        let (begun, begins) = mpsc::channel();
        let task = move || {
            begun.send(()).unwrap();
            assert!(gate.recv().is_err());
        };
        pool.spawn(lane, Order::Opening, Box::new(task));
        begins.recv().unwrap();
        open
    }

    /// When an eager task is done that is queued now, and the thread that does it.
    fn eager(pool: &Pool) -> (Duration, String) {
        let (ran, log) = mpsc::channel();
        let name = || std::thread::current().name().unwrap_or_default().to_owned();
        let asked = Instant::now();
        pool.spawn(Lane::Eager, Order::Opening, Box::new(move || ran.send((asked.elapsed(), name())).unwrap()));
        log.recv().unwrap()
    }

    /// The only thread of the lane is held; what waits behind it is done all the same.
    #[test]
    fn an_eager_task_that_waited_for_too_long_is_taken_by_another_thread() {
        let pool = Pool::start(1).unwrap();
        let held = hold(&pool, Lane::Eager);
        let (waited, thread) = eager(&pool);
        assert!(waited >= MOST_EAGER_WAIT && thread == "tintype-relief", "{waited:?} {thread}");
        drop(held);
        pool.close();
        pool.join();
    }

    #[test]
    fn a_core_is_left_free_while_interactive_tasks_come() {
        let pool = Pool::start(2).unwrap();
        // Nothing else comes: both threads are there.
        let first = hold(&pool, Lane::Eager);
        let (_, thread) = eager(&pool);
        drop(first);
        assert_ne!(thread, "tintype-relief");
        // The one that takes everything is held; the other waits until the interactive task has ended, and a while after.
        let interactive = hold(&pool, Lane::Interactive);
        let first = hold(&pool, Lane::Eager);
        let release = std::thread::spawn(move || {
            std::thread::sleep(QUIET_AFTER);
            drop(interactive);
        });
        let (waited, thread) = eager(&pool);
        assert!(
            waited >= 2 * QUIET_AFTER - Duration::from_millis(5) && thread == "tintype-low-1",
            "{waited:?} {thread}"
        );
        release.join().unwrap();
        drop(first);
        pool.close();
        pool.join();
    }

    #[test]
    fn a_panic_costs_one_task_and_no_thread() {
        let pool = Pool::start(1).unwrap();
        let (ran, log) = mpsc::channel();
        pool.spawn(Lane::Eager, Order::Opening, Box::new(|| panic!("planned")));
        pool.spawn(Lane::Eager, Order::Opening, Box::new(move || ran.send(()).unwrap()));
        log.recv().unwrap();
        pool.close();
        pool.join();
    }

    #[test]
    fn a_closed_pool_drops_tasks_unrun() {
        let pool = Pool::start(1).unwrap();
        pool.close();
        let (ran, log) = mpsc::channel::<()>();
        pool.spawn(Lane::Interactive, Order::Closing, Box::new(move || ran.send(()).unwrap()));
        assert!(log.recv().is_err());
        pool.join();
    }
}
