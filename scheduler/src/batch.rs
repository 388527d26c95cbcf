//! Which of the waiting jobs go into the next batch: a pure function, so that every rule can be tested without a device.

use crate::lane::{Lane, Turn};
use std::time::{Duration, Instant};

/// A job that is ready for the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiting {
    pub lane: Lane,
    /// Bytes of all its surfaces.
    pub bytes: u64,
    pub arrived: Instant,
}

/// Bounds of one batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchLimits {
    pub max_jobs: usize,
    /// A job that is larger by itself goes alone; the backend says whether it can do it.
    pub max_bytes: u64,
    /// How long the oldest job waits for others.
    pub max_wait: Duration,
}

/// Whether waiting could pay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Device {
    /// It has nothing to do, or nothing more is on its way: every moment of waiting is lost.
    Idle,
    /// Batch follows batch and more jobs are being prepared.
    Loaded,
}

/// Why a batch was closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StopReason {
    /// The device had nothing else to do.
    Idle,
    /// `max_jobs` was reached.
    Jobs,
    /// The next job in turn would pass `max_bytes`.
    Bytes,
    /// The oldest job has waited for `max_wait`.
    Age,
}

impl StopReason {
    /// All reasons, in the order of their index.
    pub const ALL: [StopReason; 4] = [StopReason::Idle, StopReason::Jobs, StopReason::Bytes, StopReason::Age];

    /// Stable name for counters.
    pub const fn label(self) -> &'static str {
        match self {
            StopReason::Idle => "idle",
            StopReason::Jobs => "jobs",
            StopReason::Bytes => "bytes",
            StopReason::Age => "age",
        }
    }
}

/// What to do now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Run these, by index into what waits; `turn` is whose turn it is afterwards.
    Run { batch: Vec<usize>, reason: StopReason, turn: Turn },
    /// Ask again when a job arrives, or at this moment.
    Wait(Instant),
    /// Nothing waits.
    Empty,
}

/// Decides on the next batch. `waiting` is in order of arrival.
///
/// Jobs of one lane keep their order and none is passed over for being large: the batch closes before the first that does not
/// fit, and that one is the first of the next batch. Between lanes `turn` decides.
pub fn form(waiting: &[Waiting], now: Instant, device: Device, turn: Turn, limits: &BatchLimits) -> Decision {
    let Some(oldest) = waiting.iter().map(|job| job.arrived).min() else {
        return Decision::Empty;
    };
    let (batch, full, turn) = select(waiting, turn, limits);
    let due = oldest + limits.max_wait;
    let reason = match full {
        Some(reason) => reason,
        None if device == Device::Idle => StopReason::Idle,
        None if now >= due => StopReason::Age,
        None => return Decision::Wait(due),
    };
    Decision::Run { batch, reason, turn }
}

/// As many jobs as the limits allow, at least one, and the limit that stopped the selection.
fn select(waiting: &[Waiting], mut turn: Turn, limits: &BatchLimits) -> (Vec<usize>, Option<StopReason>, Turn) {
    let of = |lane| waiting.iter().enumerate().filter(move |(_, job)| job.lane == lane).peekable();
    let mut interactive = of(Lane::Interactive);
    let mut eager = of(Lane::Eager);
    let mut batch = Vec::with_capacity(waiting.len().min(limits.max_jobs));
    let mut bytes = 0_u64;
    while let Some(lane) = turn.peek(interactive.peek().is_some(), eager.peek().is_some()) {
        let eager_waits = eager.peek().is_some();
        let queue = match lane {
            Lane::Interactive => &mut interactive,
            Lane::Eager => &mut eager,
        };
        let Some(&(index, job)) = queue.peek() else { break };
        let total = bytes.saturating_add(job.bytes);
        if total > limits.max_bytes && !batch.is_empty() {
            return (batch, Some(StopReason::Bytes), turn);
        }
        bytes = total;
        batch.push(index);
        queue.next();
        turn.served(lane, eager_waits);
        if batch.len() >= limits.max_jobs {
            return (batch, Some(StopReason::Jobs), turn);
        }
        if bytes >= limits.max_bytes {
            return (batch, Some(StopReason::Bytes), turn);
        }
    }
    (batch, None, turn)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use proptest::prelude::*;

    const LIMITS: BatchLimits = BatchLimits { max_jobs: 4, max_bytes: 100, max_wait: Duration::from_millis(2) };

    fn jobs(start: Instant, list: &[(Lane, u64, u64)]) -> Vec<Waiting> {
        list.iter()
            .map(|&(lane, bytes, us)| Waiting { lane, bytes, arrived: start + Duration::from_micros(us) })
            .collect()
    }

    /// Runs `form` at `us` microseconds and prints the outcome shortly.
    fn check(list: &[(Lane, u64, u64)], us: u64, device: Device, expect: &str) {
        let start = Instant::now();
        let decision = form(&jobs(start, list), start + Duration::from_micros(us), device, Turn::default(), &LIMITS);
        let printed = match decision {
            Decision::Run { batch, reason, .. } => format!("{batch:?} {}", reason.label()),
            Decision::Wait(until) => format!("wait {}", (until - start).as_micros()),
            Decision::Empty => "empty".into(),
        };
        assert_eq!(printed, expect, "{list:?} at {us} {device:?}");
    }

    #[test]
    fn rules() {
        use Device::{Idle, Loaded};
        use Lane::{Eager as E, Interactive as I};
        check(&[], 0, Idle, "empty");
        check(&[], 0, Loaded, "empty");
        // An idle device never waits.
        check(&[(I, 10, 0)], 0, Idle, "[0] idle");
        check(&[(E, 10, 0)], 0, Idle, "[0] idle");
        // Under load the oldest decides how long, whatever its lane.
        check(&[(I, 10, 500)], 600, Loaded, "wait 2500");
        check(&[(E, 10, 100), (I, 10, 500)], 600, Loaded, "wait 2100");
        check(&[(I, 10, 500)], 2499, Loaded, "wait 2500");
        check(&[(I, 10, 500)], 2500, Loaded, "[0] age");
        check(&[(I, 10, 0), (I, 10, 1900)], 2000, Loaded, "[0, 1] age");
        // A full batch never waits.
        check(&[(I, 1, 0), (I, 1, 0), (I, 1, 0), (I, 1, 0), (I, 1, 0)], 0, Loaded, "[0, 1, 2, 3] jobs");
        check(&[(I, 60, 0), (I, 40, 0), (I, 1, 0)], 0, Loaded, "[0, 1] bytes");
        check(&[(I, 60, 0), (I, 41, 0), (I, 1, 0)], 0, Loaded, "[0] bytes");
        // A job above the limit goes alone.
        check(&[(I, 500, 0), (I, 1, 0)], 0, Loaded, "[0] bytes");
        // Interactive first, and every fourth is eager.
        check(&[(E, 1, 0), (E, 1, 0), (I, 1, 1)], 0, Idle, "[2, 0, 1] idle");
        check(&[(E, 1, 0), (E, 1, 0), (I, 1, 1), (I, 1, 1), (I, 1, 1), (I, 1, 1)], 0, Idle, "[2, 3, 4, 0] jobs");
    }

    fn any_job() -> impl Strategy<Value = (bool, u64, u64)> {
        (any::<bool>(), prop_oneof![4 => 0_u64..60, 1 => 60_u64..300], 0_u64..5000)
    }

    proptest! {
        /// Whatever waits, running batch after batch serves every job once, in order within its lane, under the limits, and
        /// serves an eager job at least once in four while both lanes wait.
        #[test]
        fn every_job_is_served_once_in_order_and_under_the_limits(
            mut list in prop::collection::vec(any_job(), 0..60),
            max_jobs in 1_usize..10,
            max_bytes in 1_u64..200,
            loaded in any::<bool>(),
        ) {
            list.sort_by_key(|job| job.2);
            let limits = BatchLimits { max_jobs, max_bytes, max_wait: Duration::from_millis(2) };
            let start = Instant::now();
            let now = start + Duration::from_micros(5000);
            let mut left: Vec<(usize, Waiting)> = list.iter().enumerate().map(|(id, &(eager, bytes, us))| {
                let lane = if eager { Lane::Eager } else { Lane::Interactive };
                (id, Waiting { lane, bytes, arrived: start + Duration::from_micros(us) })
            }).collect();
            let device = if loaded { Device::Loaded } else { Device::Idle };
            let mut turn = Turn::default();
            let mut last = [None, None];
            let mut passed = 0;
            let mut waits = 0;
            while !left.is_empty() {
                let waiting: Vec<Waiting> = left.iter().map(|(_, job)| *job).collect();
                let (batch, next) = match form(&waiting, now, device, turn, &limits) {
                    Decision::Run { batch, turn, .. } => (batch, turn),
                    Decision::Wait(until) => {
                        prop_assert!(loaded && until > now);
                        // Time passes: everything is old enough then.
                        waits += 1;
                        prop_assert!(waits < 100);
                        match form(&waiting, until, device, turn, &limits) {
                            Decision::Run { batch, turn, .. } => (batch, turn),
                            other => return Err(TestCaseError::fail(format!("{other:?}"))),
                        }
                    }
                    Decision::Empty => return Err(TestCaseError::fail("empty with work waiting")),
                };
                turn = next;
                prop_assert!(!batch.is_empty() && batch.len() <= max_jobs);
                let bytes: u64 = batch.iter().map(|&index| waiting[index].bytes).sum();
                prop_assert!(bytes <= max_bytes || batch.len() == 1);
                let mut taken = vec![false; left.len()];
                for &index in &batch {
                    prop_assert!(!taken[index]);
                    let eager_waits =
                        left.iter().zip(&taken).any(|((_, job), taken)| job.lane == Lane::Eager && !taken);
                    taken[index] = true;
                    let (id, job) = left[index];
                    let lane = job.lane as usize;
                    prop_assert!(last[lane].is_none_or(|before| before < id));
                    last[lane] = Some(id);
                    passed = if job.lane == Lane::Interactive && eager_waits { passed + 1 } else { 0 };
                    prop_assert!(passed <= 3);
                }
                let mut index = 0;
                left.retain(|_| { index += 1; !taken[index - 1] });
            }
        }
    }
}
