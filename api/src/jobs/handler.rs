//! What a kind of job does, and what can become of one run of it.

use super::clock::Clock;
use crate::catalog::library::Library;
use crate::domain::{Job, NewJob, Timestamp};
use async_trait::async_trait;
use serde_json::Value;
use std::time::Duration;

/// First wait after a failure; each further one is twice as long.
const BACKOFF: Duration = Duration::from_secs(10);
/// Longest wait after a failure.
const MAX_BACKOFF: Duration = Duration::from_secs(3600);

/// One run of a job.
pub struct Run {
    pub job: Job,
    pub library: Library,
    pub clock: Clock,
    /// Under which the job is held.
    pub lease: String,
}

/// A run that came to its end.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Finished {
    /// Kept with the job.
    pub report: Value,
    /// Jobs that follow, enqueued in the transaction that ends this one.
    pub then: Vec<NewJob>,
}

/// A run that did not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// It may go better later.
    Retry(String),
    /// It never will.
    Permanent(String),
    /// Another worker has the job, or nobody has it any longer: nothing is to be recorded.
    Lost,
}

impl Failure {
    /// A failure of the server's own parts.
    pub fn retry(error: impl std::fmt::Display) -> Self {
        Failure::Retry(error.to_string())
    }
}

impl Run {
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Records from where another worker would go on.
    pub async fn progress(&self, progress: &Value) -> Result<(), Failure> {
        match self.library.record_progress(&self.lease, &self.job.id, progress).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(Failure::Lost),
            Err(error) => Err(Failure::retry(error)),
        }
    }
}

/// Runs jobs of one kind. A run may be repeated, also after it did its work, when its end could not be recorded.
#[async_trait]
pub trait Handler: Send + Sync {
    async fn run(&self, run: &Run) -> Result<Finished, Failure>;

    /// How long to wait after a failed attempt, counted from 1. `roll` is random, from 0 to 1.
    fn wait(&self, attempt: u32, roll: f64) -> Duration {
        backoff(attempt, roll)
    }
}

/// Twice as long after every attempt, and from three to five quarters of that, so that what failed together does not come
/// back together.
pub fn backoff(attempt: u32, roll: f64) -> Duration {
    let doubled = BACKOFF.saturating_mul(1_u32.checked_shl(attempt.saturating_sub(1).min(30)).unwrap_or(u32::MAX));
    doubled.min(MAX_BACKOFF).mul_f64(0.75 + roll.clamp(0.0, 1.0) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_and_end_at_an_hour() {
        let middle = |attempt| backoff(attempt, 0.5).as_secs();
        assert_eq!([1, 2, 3, 8, 9, 10, 1000].map(middle), [10, 20, 40, 1280, 2560, 3600, 3600]);
        assert_eq!((backoff(1, 0.0).as_millis(), backoff(1, 1.0).as_millis()), (7500, 12500));
    }
}
