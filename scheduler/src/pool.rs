//! Bounded CPU threads for decoding, encoding and the CPU backend.

use crate::lane::{Lane, PerLane};
use crate::priority::give_way;
use parking_lot::{Condvar, Mutex};
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};

pub(crate) type Task = Box<dyn FnOnce() + Send>;

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
/// all others, because a thread that encodes cannot be interrupted: they use what interactive ones leave.
pub(crate) struct Pool {
    groups: PerLane<Arc<Group>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// The threads of one lane.
struct Group {
    lane: Lane,
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Default)]
struct State {
    opening: VecDeque<Task>,
    closing: VecDeque<Task>,
    closed: bool,
}

impl Pool {
    /// Starts so many threads for each lane.
    pub fn start(n_threads: usize) -> std::io::Result<Self> {
        let group = |lane| Arc::new(Group { lane, state: Mutex::default(), wake: Condvar::new() });
        let groups = PerLane { interactive: group(Lane::Interactive), eager: group(Lane::Eager) };
        // Threads that did start end when this is dropped on the way out.
        let pool = Pool { groups, threads: Mutex::default() };
        for (lane, index) in Lane::ALL.into_iter().flat_map(|lane| (0..n_threads).map(move |index| (lane, index))) {
            let group = pool.groups[lane].clone();
            let name = match lane {
                Lane::Interactive => format!("tintype-cpu-{index}"),
                Lane::Eager => format!("tintype-low-{index}"),
            };
            let thread = Builder::new().name(name).spawn(move || group.run())?;
            pool.threads.lock().push(thread);
        }
        Ok(pool)
    }

    /// Queues a task. After the pool was closed the task is dropped unrun.
    pub fn spawn(&self, lane: Lane, order: Order, task: Task) {
        let group = &self.groups[lane];
        let mut state = group.state.lock();
        if state.closed {
            drop(state);
            return drop(task);
        }
        match order {
            Order::Opening => state.opening.push_back(task),
            Order::Closing => state.closing.push_back(task),
        }
        drop(state);
        group.wake.notify_one();
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
    fn run(&self) {
        if self.lane == Lane::Eager && !give_way() {
            tracing::warn!("threads for eager work could not be given a low priority");
        }
        let mut state = self.state.lock();
        loop {
            if let Some(task) = state.closing.pop_front().or_else(|| state.opening.pop_front()) {
                drop(state);
                if catch_unwind(AssertUnwindSafe(task)).is_err() {
                    tracing::error!(task.lane = self.lane.label(), "a task of the pool panicked outside of a stage");
                }
                state = self.state.lock();
            } else if state.closed {
                return;
            } else {
                self.wake.wait(&mut state);
            }
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
