//! The way into the queue of jobs.

use super::clock::Clock;
use crate::catalog::Result;
use crate::catalog::library::{Enqueued, Library};
use crate::domain::NewJob;
use std::sync::Arc;
use tokio::sync::watch;

/// Enqueues jobs and wakes the workers of this process. Cheap to clone.
#[derive(Clone)]
pub struct JobQueue {
    library: Library,
    clock: Clock,
    wake: Arc<watch::Sender<u64>>,
}

impl JobQueue {
    pub fn new(library: Library, clock: Clock) -> Self {
        JobQueue { library, clock, wake: Arc::new(watch::Sender::new(0)) }
    }

    pub fn library(&self) -> &Library {
        &self.library
    }

    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Records jobs in one transaction: once it returns they will be done, even if this process ends.
    pub async fn enqueue(&self, jobs: Vec<NewJob>) -> Result<Vec<Enqueued>> {
        let answers = self.library.enqueue_jobs(jobs, self.clock.now()).await?;
        if answers.iter().any(|answer| answer.fresh) {
            self.wake();
        }
        Ok(answers)
    }

    /// Tells the workers of this process to look.
    pub fn wake(&self) {
        self.wake.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Changes with every call of [`JobQueue::wake`].
    pub fn woken(&self) -> watch::Receiver<u64> {
        self.wake.subscribe()
    }

    /// Wakes the workers of this process for jobs of other processes, for as long as it is polled.
    pub async fn listen(&self) {
        self.library.listen_for_jobs(|| self.wake()).await;
    }
}
