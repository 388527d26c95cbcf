//! What a cloud has used.

/// What one stretch of work adds to a day's counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct UsageDelta {
    pub transformations: u64,
    pub bandwidth_bytes: u64,
    pub requests: u64,
}

/// Sums of the counters of a cloud, and what it has stored now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    pub transformations: u64,
    pub bandwidth_bytes: u64,
    pub requests: u64,
    /// Assets that exist now.
    pub objects: u64,
    /// Bytes of originals and derived pictures that exist now.
    pub storage_bytes: u64,
    /// Derived pictures that exist now.
    pub derived: u64,
}
