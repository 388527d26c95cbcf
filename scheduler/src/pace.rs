//! How long works take of late, and so how long those that wait would have to.

use crate::lane::{Lane, PerLane};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Of how many works the mean is taken, about.
const MEMORY: u64 = 32;

/// The mean time that a thread spends on a work of each lane.
pub(crate) struct Pace {
    n_threads: u64,
    /// 0: no work was done yet.
    mean_ns: PerLane<AtomicU64>,
}

impl Pace {
    pub fn new(n_threads: usize) -> Self {
        Pace { n_threads: n_threads.max(1) as u64, mean_ns: PerLane::default() }
    }

    /// Notes what one work took. Two at the same time may lose one of them, which a mean can bear.
    pub fn worked(&self, lane: Lane, took: Duration) {
        let took = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX / MEMORY).clamp(1, u64::MAX / MEMORY);
        let mean = self.mean_ns[lane].load(Relaxed);
        let next = if mean == 0 { took } else { (mean / MEMORY * (MEMORY - 1)).saturating_add(took / MEMORY).max(1) };
        self.mean_ns[lane].store(next, Relaxed);
    }

    /// Until a work is done that comes after `n_ahead` others of its lane.
    pub fn expected(&self, lane: Lane, n_ahead: usize) -> Duration {
        let rounds = (n_ahead as u64).saturating_add(1).div_ceil(self.n_threads);
        Duration::from_nanos(self.mean_ns[lane].load(Relaxed).saturating_mul(rounds))
    }

    /// How many works may be ahead of one that is expected to be done within `wait`; `None` while nothing is known.
    pub fn most_ahead(&self, lane: Lane, wait: Duration) -> Option<usize> {
        let mean_ns = u128::from(self.mean_ns[lane].load(Relaxed));
        let rounds = wait.as_nanos().checked_div(mean_ns)?;
        let works = rounds.saturating_mul(u128::from(self.n_threads)).saturating_sub(1);
        Some(usize::try_from(works).unwrap_or(usize::MAX))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_waits_takes_the_mean_for_every_round_of_the_threads() {
        let pace = Pace::new(2);
        assert_eq!(pace.expected(Lane::Interactive, 1000), Duration::ZERO, "nothing is known");
        pace.worked(Lane::Interactive, Duration::from_millis(100));
        assert_eq!(pace.expected(Lane::Interactive, 0), Duration::from_millis(100));
        assert_eq!(pace.expected(Lane::Interactive, 9), Duration::from_millis(500));
        assert_eq!(pace.expected(Lane::Eager, 9), Duration::ZERO);
    }

    #[test]
    fn the_most_that_may_be_ahead_is_what_still_ends_in_time() {
        let (pace, wait) = (Pace::new(2), Duration::from_millis(500));
        assert_eq!(pace.most_ahead(Lane::Interactive, wait), None);
        for took in [100, 70, 499, 501] {
            let pace = Pace::new(2);
            pace.worked(Lane::Interactive, Duration::from_millis(took));
            let most = pace.most_ahead(Lane::Interactive, wait).unwrap();
            let in_time = |n_ahead| pace.expected(Lane::Interactive, n_ahead) <= wait;
            assert!(!in_time(most + 1), "{took}");
            assert_eq!(in_time(most), took <= 500, "{took}");
        }
    }

    #[test]
    fn one_long_work_hardly_matters_and_many_do() {
        let pace = Pace::new(1);
        let (usual, long) = (Duration::from_millis(20), Duration::from_secs(2));
        pace.worked(Lane::Interactive, usual);
        pace.worked(Lane::Interactive, long);
        assert!(pace.expected(Lane::Interactive, 0) < Duration::from_millis(100));
        for _ in 0..200 {
            pace.worked(Lane::Interactive, long);
        }
        assert!(pace.expected(Lane::Interactive, 0) > Duration::from_millis(1900));
        for _ in 0..400 {
            pace.worked(Lane::Interactive, usual);
        }
        assert!(pace.expected(Lane::Interactive, 0) < Duration::from_millis(30));
    }
}
