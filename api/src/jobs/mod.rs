//! Work in the background: jobs of the catalog, the worker that runs them, and what each kind of job does.

pub mod announce;
pub mod batch;
pub mod clock;
pub mod copy;
pub mod eager;
pub mod events;
pub mod explicit;
pub mod handler;
pub mod make;
pub mod metrics;
pub mod notify;
pub mod queue;
pub mod upload;
pub mod webhook;
pub mod worker;

pub use crate::catalog::library::COPY_JOB as COPY;
use crate::domain::JobKind;

/// Eager pictures of one asset.
pub const EAGER: JobKind = JobKind::known("eager");
/// Eager pictures of many assets.
pub const EAGER_BATCH: JobKind = JobKind::known("eager_batch");
/// A call of `explicit` that does not wait.
pub const EXPLICIT: JobKind = JobKind::known("explicit");
/// A sprite, an animation or pages that are made after the answer.
pub const MAKE: JobKind = JobKind::known("make");
/// An upload that is done after the answer.
pub const UPLOAD: JobKind = JobKind::known("upload");
/// One notification to one address.
pub const WEBHOOK: JobKind = JobKind::known("webhook");
