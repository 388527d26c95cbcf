//! The scheduler with small real doubles: a pipeline that makes tiny frames, backends that copy them, planned failures.

#![allow(clippy::unwrap_used, clippy::panic)]

mod batches;
mod doubles;
mod ending;
mod faults;
mod flights;
mod lanes;
mod overload;
mod sharing;
mod streaming;
