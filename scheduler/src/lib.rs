//! When and where renders run; never what they mean.
//!
//! Three entrances (HTTP, jobs, bench) meet at one function, [`Scheduler::submit`]. A work joins or starts the one flight of
//! its key, waits for one permit of (one slot, so many bytes), reads its sources, is decoded on the pool,
//! rendered by the GPU in a batch with others or by the CPU where it stands, and encoded on the pool. What a picture is and
//! how much it costs is the renderer's to say, through [`Pipeline`].

mod admission;
mod batch;
mod config;
mod dispatch;
mod engine;
mod flight;
mod lane;
mod metrics;
mod pace;
mod party;
mod pipeline;
mod pool;
mod priority;
mod scheduler;
mod work;

pub use batch::{BatchLimits, Decision, Device, StopReason, Waiting, form};
pub use config::{Config, StartError};
pub use flight::Ticket;
pub use lane::{Lane, PerLane, Turn};
pub use metrics::{Histogram, MetricsSnapshot, Outcome, Stage};
pub use pipeline::{Pipeline, RenderPipeline};
pub use scheduler::Scheduler;
pub use work::{Rendered, SourceError, SourceKey, SourceReader, Timings, Work, WorkError, WorkKey};
