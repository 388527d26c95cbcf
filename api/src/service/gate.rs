//! Keeps an overload short: misses that the renderer could not take are refused before they ask the catalog.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use tintype_scheduler::Scheduler;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Requests that may look at once while the renderer is full: enough for pictures that are kept, or being made, to be
/// found, and too few to queue up before the catalog.
const LOOKS: usize = 16;

/// Lets misses in.
pub struct Gate {
    scheduler: Arc<Scheduler>,
    /// Requests that were let in and do not stand in the renderer's queue yet. Each may need a place there: a flood that
    /// arrives before the queue has grown would be refused only after it had waited for the catalog.
    looking: Arc<AtomicUsize>,
    looks: Arc<Semaphore>,
}

/// Held while a request looks for its picture, until it asks the renderer.
pub struct Pass(#[allow(dead_code, reason = "it is held, not read")] Kind);

enum Kind {
    /// There is a place in the queue for whoever finds nothing.
    Free(#[allow(dead_code, reason = "it is held, not read")] Looking),
    Counted(#[allow(dead_code, reason = "it is held, not read")] OwnedSemaphorePermit),
}

/// One that looks.
struct Looking(Arc<AtomicUsize>);

impl Drop for Looking {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

impl Gate {
    pub fn new(scheduler: Arc<Scheduler>) -> Self {
        Gate { scheduler, looking: Arc::default(), looks: Arc::new(Semaphore::new(LOOKS)) }
    }

    /// Whether a request may look now; `None` means that it is to be refused as busy.
    pub fn enter(&self) -> Option<Pass> {
        let before = self.looking.fetch_add(1, Relaxed);
        let looking = Looking(self.looking.clone());
        if before < self.scheduler.room() {
            return Some(Pass(Kind::Free(looking)));
        }
        drop(looking);
        let look = self.looks.clone().try_acquire_owned().ok();
        if look.is_none() {
            self.scheduler.count_refused();
        }
        look.map(|permit| Pass(Kind::Counted(permit)))
    }
}
