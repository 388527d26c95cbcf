//! How many remote reads may go on at once, in all and at one host, and how many may wait.

use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Entries of the table of hosts at which those without a read are dropped from it.
const TIDY_HOSTS: usize = 1024;

/// Lets reads in.
pub(super) struct Gate {
    total: Arc<Semaphore>,
    per_host: usize,
    hosts: Mutex<HashMap<String, Weak<Semaphore>>>,
    waiting: AtomicUsize,
    max_waiting: usize,
}

/// The right to one read; dropping it lets the next one in.
#[derive(Debug)]
pub(super) struct Admission {
    _host: OwnedSemaphorePermit,
    _total: OwnedSemaphorePermit,
}

/// Nobody else may wait.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Full;

struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Gate {
    pub(super) fn new(total: usize, per_host: usize, max_waiting: usize) -> Self {
        Gate {
            total: Arc::new(Semaphore::new(total.clamp(1, 1 << 20))),
            per_host: per_host.clamp(1, 1 << 20),
            hosts: Mutex::new(HashMap::new()),
            waiting: AtomicUsize::new(0),
            max_waiting,
        }
    }

    /// Waits for a turn at `host`, first among the reads of that host, so that those of a slow one hold up no others.
    pub(super) async fn enter(&self, host: &str) -> Result<Admission, Full> {
        let of_host = self.host(host);
        let free = Arc::clone(&of_host).try_acquire_owned().ok().zip(Arc::clone(&self.total).try_acquire_owned().ok());
        if let Some((host, total)) = free {
            return Ok(Admission { _host: host, _total: total });
        }
        let already = self.waiting.fetch_add(1, Ordering::AcqRel);
        let _waiting = Waiting(&self.waiting);
        if already >= self.max_waiting {
            return Err(Full);
        }
        let host = of_host.acquire_owned().await.map_err(|_| Full)?;
        let total = Arc::clone(&self.total).acquire_owned().await.map_err(|_| Full)?;
        Ok(Admission { _host: host, _total: total })
    }

    fn host(&self, host: &str) -> Arc<Semaphore> {
        let mut hosts = self.hosts.lock();
        if let Some(found) = hosts.get(host).and_then(Weak::upgrade) {
            return found;
        }
        if hosts.len() >= TIDY_HOSTS {
            hosts.retain(|_, semaphore| semaphore.strong_count() > 0);
        }
        let made = Arc::new(Semaphore::new(self.per_host));
        hosts.insert(host.to_owned(), Arc::downgrade(&made));
        made
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use futures::FutureExt;

    #[test]
    fn reads_are_counted_in_all_and_by_host_and_the_queue_is_bounded() {
        let gate = Gate::new(2, 1, 1);
        let first = gate.enter("a").now_or_never().unwrap().unwrap();
        let mut second = Box::pin(gate.enter("a"));
        assert!((&mut second).now_or_never().is_none(), "one at a time of a host");
        assert_eq!(gate.enter("a").now_or_never().unwrap().unwrap_err(), Full);
        let other = gate.enter("b").now_or_never().unwrap().unwrap();
        assert_eq!(gate.enter("c").now_or_never().unwrap().unwrap_err(), Full);
        drop(first);
        let second = (&mut second).now_or_never().unwrap().unwrap();
        drop((second, other));
        assert!(gate.enter("a").now_or_never().unwrap().is_ok());
    }

    #[test]
    fn one_who_leaves_the_queue_makes_room_and_the_table_stays_small() {
        let gate = Gate::new(1, 1, 1);
        let held = gate.enter("a").now_or_never().unwrap().unwrap();
        for _ in 0..3 {
            assert!(gate.enter("a").now_or_never().is_none());
        }
        drop(held);
        for n in 0..3 * TIDY_HOSTS {
            gate.enter(&n.to_string()).now_or_never().unwrap().unwrap();
        }
        assert!(gate.hosts.lock().len() <= TIDY_HOSTS);
    }
}
