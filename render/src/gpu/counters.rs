//! What a batch cost, counted by the executor: true on any device, however slow.

use serde::Serialize;
use std::ops::AddAssign;

/// Costs of one batch, or of all batches together.
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
    /// Groups of jobs that lay in the arena at the same time.
    pub windows: u64,
    /// The most that the arena held.
    pub arena_bytes: u64,
}

impl AddAssign for BatchCounters {
    fn add_assign(&mut self, other: Self) {
        self.jobs += other.jobs;
        self.submissions += other.submissions;
        self.dispatches += other.dispatches;
        self.bytes_up += other.bytes_up;
        self.bytes_tables += other.bytes_tables;
        self.bytes_down += other.bytes_down;
        self.windows += other.windows;
        self.arena_bytes = self.arena_bytes.max(other.arena_bytes);
    }
}
