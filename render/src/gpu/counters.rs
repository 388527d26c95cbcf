//! What a batch cost, counted by the executor: true on any device, however slow. [`crate::forecast`] says from the jobs
//! alone what these should be.

use serde::Serialize;
use std::ops::AddAssign;
use std::time::Duration;

/// Costs of one batch, or of all batches together.
///
/// Times are zero unless [`super::GpuOptions::clock`] is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct BatchCounters {
    /// Jobs that were answered with a picture.
    pub jobs: u64,
    /// Command buffers that were submitted; one for each window.
    pub submissions: u64,
    /// Kernel launches. Bounded by depth of the chains times kinds of kernels times windows.
    pub dispatches: u64,
    /// Bytes of sources and tables that went to the device.
    pub bytes_up: u64,
    /// Of these, the bytes that are not pixels: weights, structures, tiles.
    pub bytes_tables: u64,
    /// Bytes of outputs that came back.
    pub bytes_down: u64,
    /// Bytes of surfaces that were cleared, so that nobody finds them there.
    pub bytes_zeroed: u64,
    /// Groups of jobs that lay in the arena at the same time.
    pub windows: u64,
    /// Of these, how many were staged while an earlier one was still on the device or not yet read back.
    pub windows_overlapped: u64,
    /// Buffers that had to be made, because none that was left from before was large enough.
    pub buffers_made: u64,
    /// The most that the arena held.
    pub arena_bytes: u64,
    /// Time in which the host wrote sources and tables into staging memory.
    pub staging: Duration,
    /// Time in which the host took outputs out.
    pub reading: Duration,
    /// Of both, the time in which a window was on the device.
    pub overlap: Duration,
    /// Time in which the host waited for the device and did nothing else.
    pub waiting: Duration,
}

impl AddAssign for BatchCounters {
    fn add_assign(&mut self, other: Self) {
        self.jobs += other.jobs;
        self.submissions += other.submissions;
        self.dispatches += other.dispatches;
        self.bytes_up += other.bytes_up;
        self.bytes_tables += other.bytes_tables;
        self.bytes_down += other.bytes_down;
        self.bytes_zeroed += other.bytes_zeroed;
        self.windows += other.windows;
        self.windows_overlapped += other.windows_overlapped;
        self.buffers_made += other.buffers_made;
        self.arena_bytes = self.arena_bytes.max(other.arena_bytes);
        self.staging += other.staging;
        self.reading += other.reading;
        self.overlap += other.overlap;
        self.waiting += other.waiting;
    }
}

/// A clock from outside: the renderer has none. The time since any fixed moment; never goes back.
#[derive(Debug, Clone, Copy)]
pub struct Clock(pub fn() -> Duration);

impl PartialEq for Clock {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::fn_addr_eq(self.0, other.0)
    }
}

impl Eq for Clock {}

/// Measures spans if there is a clock.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stopwatch {
    clock: Option<Clock>,
    begun: Duration,
}

impl Stopwatch {
    pub fn start(clock: Option<Clock>) -> Self {
        Stopwatch { clock, begun: clock.map_or(Duration::ZERO, |clock| (clock.0)()) }
    }

    /// Time since the start; zero without a clock.
    pub fn elapsed(&self) -> Duration {
        self.clock.map_or(Duration::ZERO, |clock| (clock.0)().saturating_sub(self.begun))
    }
}
