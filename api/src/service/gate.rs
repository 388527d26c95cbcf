//! Keeps an overload short: while the renderer takes no more, only a few requests at a time may ask the catalog whether
//! theirs is answered otherwise, and the others are refused at once.

use std::sync::Arc;
use tintype_scheduler::Scheduler;
use tokio::sync::{Semaphore, SemaphorePermit};

/// Requests that may look at once while the renderer is full: enough for pictures that are kept, or being made, to be
/// found, and too few to queue up before the catalog.
const LOOKS: usize = 16;

/// Lets misses in.
pub struct Gate {
    scheduler: Arc<Scheduler>,
    looks: Semaphore,
}

/// Held while a request looks.
pub enum Pass<'g> {
    /// There is no overload.
    Free,
    Counted(#[allow(dead_code, reason = "it is held, not read")] SemaphorePermit<'g>),
}

impl Gate {
    pub fn new(scheduler: Arc<Scheduler>) -> Self {
        Gate { scheduler, looks: Semaphore::new(LOOKS) }
    }

    /// Whether a request may look now; `None` means that it is to be refused as busy.
    pub fn enter(&self) -> Option<Pass<'_>> {
        if !self.scheduler.is_full() {
            return Some(Pass::Free);
        }
        self.looks.try_acquire().ok().map(Pass::Counted)
    }
}
