//! Bounded CPU threads for decoding, encoding and the CPU backend.

use crate::lane::{Lane, PerLane, Turn};
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

/// Named threads in front of one queue of two lanes.
///
/// Every queued task holds a permit, so admission bounds the queue. Eager tasks leave one thread free where there are two or
/// more, because a thread that encodes cannot be interrupted; where there is one, the turn shares it.
pub(crate) struct Pool {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

struct Shared {
    state: Mutex<State>,
    wake: Condvar,
    max_eager: usize,
}

#[derive(Default)]
struct State {
    opening: PerLane<VecDeque<Task>>,
    closing: PerLane<VecDeque<Task>>,
    n_eager_running: usize,
    turn: Turn,
    closed: bool,
}

impl State {
    fn waits(&self, lane: Lane) -> bool {
        !self.closing[lane].is_empty() || !self.opening[lane].is_empty()
    }

    fn next(&mut self, max_eager: usize) -> Option<(Lane, Task)> {
        let eager_waits = self.waits(Lane::Eager);
        let eager_may = eager_waits && self.n_eager_running < max_eager;
        let lane = self.turn.peek(self.waits(Lane::Interactive), eager_may)?;
        let task = self.closing[lane].pop_front().or_else(|| self.opening[lane].pop_front())?;
        self.turn.served(lane, eager_waits);
        if lane == Lane::Eager {
            self.n_eager_running += 1;
        }
        Some((lane, task))
    }
}

impl Pool {
    pub fn start(n_threads: usize) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            wake: Condvar::new(),
            max_eager: n_threads.saturating_sub(1).max(1),
        });
        // Threads that did start end when this is dropped on the way out.
        let pool = Pool { shared, threads: Mutex::default() };
        for index in 0..n_threads {
            let shared = pool.shared.clone();
            let thread = Builder::new().name(format!("tintype-cpu-{index}")).spawn(move || shared.run())?;
            pool.threads.lock().push(thread);
        }
        Ok(pool)
    }

    /// Queues a task. After the pool was closed the task is dropped unrun.
    pub fn spawn(&self, lane: Lane, order: Order, task: Task) {
        let mut state = self.shared.state.lock();
        if state.closed {
            drop(state);
            return drop(task);
        }
        let queues = match order {
            Order::Opening => &mut state.opening,
            Order::Closing => &mut state.closing,
        };
        queues[lane].push_back(task);
        drop(state);
        self.shared.wake.notify_one();
    }

    /// Drops what is queued; threads end after the task they are at.
    pub fn close(&self) {
        let mut state = self.shared.state.lock();
        state.closed = true;
        let queued = (std::mem::take(&mut state.opening), std::mem::take(&mut state.closing));
        drop(state);
        self.shared.wake.notify_all();
        drop(queued);
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

impl Shared {
    fn run(&self) {
        let mut state = self.state.lock();
        loop {
            if let Some((lane, task)) = state.next(self.max_eager) {
                drop(state);
                if catch_unwind(AssertUnwindSafe(task)).is_err() {
                    tracing::error!(task.lane = lane.label(), "a task of the pool panicked outside of a stage");
                }
                state = self.state.lock();
                if lane == Lane::Eager {
                    state.n_eager_running -= 1;
                    // Threads that had to leave eager work alone may take it now.
                    if state.waits(Lane::Eager) {
                        self.wake.notify_one();
                    }
                }
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
    fn order_of(tasks: &[(Lane, Order, &'static str)]) -> Vec<&'static str> {
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
        for &(lane, order, name) in tasks {
            let ran = ran.clone();
            pool.spawn(lane, order, Box::new(move || ran.send(name).unwrap()));
        }
        open.send(()).unwrap();
        drop(ran);
        log.iter().collect()
    }

    #[test]
    fn interactive_goes_first_and_eager_has_its_share() {
        use Lane::{Eager, Interactive};
        use Order::{Closing, Opening};
        let order = order_of(&[
            (Eager, Opening, "e1"),
            (Eager, Closing, "e2"),
            (Interactive, Opening, "i1"),
            (Interactive, Opening, "i2"),
            (Interactive, Closing, "i3"),
            (Interactive, Opening, "i4"),
        ]);
        assert_eq!(order, ["i3", "i1", "i2", "e2", "i4", "e1"]);
    }

    #[test]
    fn eager_tasks_leave_one_thread_free() {
        let pool = Pool::start(2).unwrap();
        let (open, gate) = mpsc::channel::<()>();
        let gate = Arc::new(Mutex::new(gate));
        let (ran, log) = mpsc::channel();
        for _ in 0..4 {
            let (gate, ran) = (gate.clone(), ran.clone());
            pool.spawn(
                Lane::Eager,
                Order::Opening,
                Box::new(move || {
                    gate.lock().recv().unwrap();
                    ran.send("eager").unwrap();
                }),
            );
        }
        pool.spawn(Lane::Interactive, Order::Opening, Box::new(move || ran.send("interactive").unwrap()));
        // No eager task can end before this receives: only the free thread can have run it.
        assert_eq!(log.recv().unwrap(), "interactive");
        for _ in 0..4 {
            open.send(()).unwrap();
        }
        assert_eq!(log.iter().count(), 4);
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
