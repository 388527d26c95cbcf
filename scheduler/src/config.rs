//! What the scheduler may use, and what it refuses to start with.

use crate::batch::BatchLimits;
use std::time::Duration;

/// Longest time for which a job waits for others under load.
const MAX_BATCH_WAIT: Duration = Duration::from_millis(2);
/// More threads than this is a typing mistake.
const MAX_THREADS: usize = 1024;

/// Bounds of everything that can pile up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Threads that decode, encode and run the CPU backend for interactive works; as many again do so for eager ones, with
    /// what they leave of the machine.
    pub n_threads: usize,
    /// Works that hold a permit at once.
    pub max_in_flight: usize,
    /// Interactive works that wait for a permit at most; one more is answered Busy.
    pub max_waiting_interactive: usize,
    /// Eager works that wait for a permit at most; one more is answered Busy.
    pub max_waiting_eager: usize,
    /// An interactive work that would have to wait for longer than this, by what works take of late, is answered Busy at
    /// once. Nobody who finds a free thread is refused.
    pub max_wait: Duration,
    /// Bytes that all permits together may stand for. A work that costs more than this can never run.
    pub budget_bytes: u64,
    /// Jobs of one batch at most.
    pub batch_max_jobs: usize,
    /// Bytes of surfaces of one batch at most; a larger job goes alone.
    pub batch_max_bytes: u64,
    /// How long a job waits for others under load, at most 2 ms.
    pub batch_wait: Duration,
}

impl Default for Config {
    /// As many threads as cores, and 512 MiB: the server derives the budget from the memory that it may use.
    fn default() -> Self {
        let n_threads = std::thread::available_parallelism().map_or(1, usize::from);
        let batch_max_jobs = 32;
        Config {
            n_threads,
            // Enough for two full batches, one prepared while the other runs, next to what the threads hold.
            max_in_flight: 2 * batch_max_jobs + n_threads,
            max_waiting_interactive: 256,
            max_waiting_eager: 256,
            // A queue that is full when more comes is empty again after as long: two seconds of it are left for a machine
            // that has slowed down meanwhile, so that misses are served again 5 s after an overload.
            max_wait: Duration::from_secs(3),
            budget_bytes: 512 << 20,
            batch_max_jobs,
            batch_max_bytes: 512 << 20,
            batch_wait: MAX_BATCH_WAIT,
        }
    }
}

impl Config {
    /// Refuses values under which no work could run, or that break a promise of the documentation.
    pub fn validate(&self) -> Result<(), StartError> {
        let invalid = |text: String| Err(StartError::Config(text));
        if self.n_threads == 0 || self.n_threads > MAX_THREADS {
            return invalid(format!("n_threads must be 1 to {MAX_THREADS}, not {}", self.n_threads));
        }
        if self.max_in_flight == 0 {
            return invalid("max_in_flight must be at least 1".into());
        }
        if self.budget_bytes == 0 {
            return invalid("budget_bytes must be at least 1".into());
        }
        if self.batch_max_jobs == 0 || self.batch_max_bytes == 0 {
            return invalid("batch_max_jobs and batch_max_bytes must be at least 1".into());
        }
        if self.batch_wait > MAX_BATCH_WAIT {
            return invalid(format!("batch_wait must be at most {MAX_BATCH_WAIT:?}, not {:?}", self.batch_wait));
        }
        Ok(())
    }

    pub(crate) fn batch_limits(&self) -> BatchLimits {
        BatchLimits { max_jobs: self.batch_max_jobs, max_bytes: self.batch_max_bytes, max_wait: self.batch_wait }
    }
}

/// Why the scheduler did not start.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    #[error("scheduler configuration: {0}")]
    Config(String),
    /// Started outside of a tokio runtime, which drives the reading of sources.
    #[error("the scheduler must be started inside of a tokio runtime")]
    NoRuntime,
    #[error("a thread could not be started: {0}")]
    Thread(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_valid() {
        assert_eq!(Config::default().validate(), Ok(()));
    }

    #[test]
    fn one_step_outside_of_each_bound_is_refused() {
        let refused = [
            Config { n_threads: 0, ..Config::default() },
            Config { n_threads: MAX_THREADS + 1, ..Config::default() },
            Config { max_in_flight: 0, ..Config::default() },
            Config { budget_bytes: 0, ..Config::default() },
            Config { batch_max_jobs: 0, ..Config::default() },
            Config { batch_max_bytes: 0, ..Config::default() },
            Config { batch_wait: MAX_BATCH_WAIT + Duration::from_micros(1), ..Config::default() },
        ];
        for config in refused {
            assert!(matches!(config.validate(), Err(StartError::Config(_))), "{config:?}");
        }
        assert_eq!(Config { n_threads: MAX_THREADS, ..Config::default() }.validate(), Ok(()));
    }
}
