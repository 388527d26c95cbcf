//! What goes into the scheduler and what comes out of it.

use crate::lane::Lane;
use async_trait::async_trait;
use bytes::Bytes;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tintype_render::backend::{BackendKind, FallbackReason};
use tintype_render::pipeline::{FoundFaces, Picture, Request};

/// Names a picture: two works of one key give the same bytes, so only one of them runs.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct WorkKey([u8; 32]);

impl WorkKey {
    /// Wraps a digest of everything that decides the picture.
    pub const fn new(digest: [u8; 32]) -> Self {
        WorkKey(digest)
    }

    /// The digest.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl From<[u8; 32]> for WorkKey {
    fn from(digest: [u8; 32]) -> Self {
        WorkKey(digest)
    }
}

impl fmt::Debug for WorkKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WorkKey(")?;
        for byte in &self.0[..6] {
            write!(f, "{byte:02x}")?;
        }
        f.write_str("…)")
    }
}

/// Names the content of a base: works of one key read the same bytes, so that only one of them has to read and decode them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SourceKey([u8; 32]);

impl SourceKey {
    /// Wraps a digest that no two contents share.
    pub const fn new(digest: [u8; 32]) -> Self {
        SourceKey(digest)
    }
}

/// One picture to be made.
#[derive(Clone)]
pub struct Work {
    /// Tickets of one key share one render.
    pub key: WorkKey,
    pub lane: Lane,
    pub request: Request,
    /// Where the compressed pictures come from; asked only after the work was admitted.
    pub sources: Arc<dyn SourceReader>,
    /// What the base is; `None` shares nothing with others.
    pub base: Option<SourceKey>,
    /// Work that is not being decoded by then is dropped with [`WorkError::Expired`]. When several tickets share a flight,
    /// the latest deadline counts.
    pub deadline: Option<tokio::time::Instant>,
}

/// Reads compressed pictures from wherever they are stored.
#[async_trait]
pub trait SourceReader: Send + Sync {
    /// The bytes of one picture: `None` is the base, `Some` the public id of a layer, as
    /// [`tintype_render::pipeline::source_ids`] names them. The future is dropped when nobody waits any longer.
    async fn read(&self, source: &Option<String>) -> Result<Bytes, SourceError>;
}

/// Why a source could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// There is no such picture.
    #[error("source is missing: {0}")]
    Missing(String),
    /// It is there, with other bytes than were stored.
    #[error("source is damaged: {0}")]
    Damaged(String),
    /// The store does not answer now.
    #[error("source cannot be read now: {0}")]
    Unavailable(String),
    /// The store failed.
    #[error("source could not be read: {0}")]
    Failed(String),
}

/// A finished work.
#[derive(Debug, Clone)]
pub struct Rendered {
    pub picture: Picture,
    /// Faces that were looked for on the way, to be kept with the assets.
    pub found: Vec<FoundFaces>,
    /// Where the pixels were made.
    pub backend: BackendKind,
    /// Why the GPU did not make them although there is one.
    pub fallback: Option<FallbackReason>,
    pub timings: Timings,
}

/// Where the time of one work went. The parts add up to the time from submission to answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Timings {
    /// Every wait: for the permit, a thread, the batch.
    pub queue: Duration,
    /// Reading the compressed sources.
    pub read: Duration,
    /// Decoding, measuring and planning.
    pub decode: Duration,
    /// The backend; for a job of a batch, the whole batch.
    pub render: Duration,
    /// Encoding.
    pub encode: Duration,
}

/// Why a work has no picture. Shared by all tickets of a flight and not remembered after it.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum WorkError {
    /// The queue is full; ask again later.
    #[error("the renderer is busy")]
    Busy,
    /// The deadline passed before the work was started.
    #[error("the renderer did not get to the work in time")]
    Expired,
    /// The server is going down.
    #[error("the renderer is shutting down")]
    ShuttingDown,
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error(transparent)]
    Render(#[from] tintype_render::Error),
    /// A fault of the server, such as a caught panic; the text is for the log.
    #[error("internal fault: {0}")]
    Internal(String),
}
