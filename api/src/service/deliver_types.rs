//! What a delivery is asked and what it answers, in plain types. HTTP translates both ways; the service knows no HTTP.

use super::derive::DeriveError;
use crate::catalog::CatalogError;
use crate::page_file::PageFile;
use crate::storage::{Fault, StorageError};
use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use std::fmt;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

/// A request for a picture.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DeliveryRequest {
    /// Path as received: still percent-encoded, beginning with `/`, without the query.
    pub path: String,
    /// Query as received, without `?`.
    pub query: Option<String>,
    /// Value of `Host`.
    pub host: Option<String>,
    /// Value of `Accept`; several headers are joined with commas.
    pub accept: Option<String>,
    /// Value of `Cookie`.
    pub cookie: Option<String>,
    /// True for HEAD: the answer's body will not be read.
    pub head: bool,
}

/// Delivers originals and derivatives.
///
/// Conditional requests and ranges are none of the service's business: it answers with the whole picture, whose body is
/// only opened when it is sent.
#[async_trait]
pub trait Deliver: Send + Sync {
    async fn deliver(&self, request: DeliveryRequest) -> Result<DeliveryAnswer, DeliveryError>;

    /// An answer that lies in memory, counted as delivered. `write` makes the caller's own form of everything but the
    /// body; it is called once, and what it gave is kept with the answer.
    fn kept(&self, path: &str, accept: Option<&str>, write: &dyn Fn(DeliveryAnswer) -> Bytes) -> Option<KeptAnswer> {
        let _ = (path, accept, write);
        None
    }
}

/// See [`Deliver::kept`].
#[derive(Debug, Clone)]
pub struct KeptAnswer {
    pub head: Bytes,
    pub body: Bytes,
    /// The body once more, where it is sent so often that it lies in a file.
    pub pages: Option<Arc<PageFile>>,
}

/// A picture that can be delivered.
#[derive(Debug)]
pub struct DeliveryAnswer {
    pub body: DeliveryBody,
    /// Value of `Content-Type`, from the actual format.
    pub content_type: String,
    /// Hexadecimal MD5 of the body, without quotes.
    pub etag: String,
    /// When the file came into being, Unix seconds.
    pub last_modified_s: i64,
    pub cache: CachePolicy,
    /// Request headers that the choice of the answer depended on.
    pub vary: Vec<VaryOn>,
    /// Time of each stage, in order.
    pub timings: Vec<StageTiming>,
    /// What the picture is, for `Server-Timing`; `None` for files that are no pictures.
    pub content: Option<ContentFacts>,
    /// File name under which a browser is to save it (`fl_attachment`).
    pub attachment: Option<String>,
    /// What the asset's owner adds to the headers.
    pub headers: Vec<(&'static str, String)>,
    /// What is wrong although there is a picture, such as the reason for a placeholder.
    pub warning: Option<String>,
}

/// The bytes of an answer.
pub enum DeliveryBody {
    /// In memory.
    Bytes(Bytes),
    /// Read from where it is stored when it is sent.
    Stored(Box<dyn StoredBody>),
}

impl DeliveryBody {
    /// Bytes of the whole body.
    pub fn length(&self) -> u64 {
        match self {
            DeliveryBody::Bytes(bytes) => bytes.len() as u64,
            DeliveryBody::Stored(stored) => stored.length(),
        }
    }
}

impl fmt::Debug for DeliveryBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self {
            DeliveryBody::Bytes(_) => "Bytes",
            DeliveryBody::Stored(_) => "Stored",
        };
        f.debug_tuple(kind).field(&self.length()).finish()
    }
}

/// A body that lies in a store.
#[async_trait]
pub trait StoredBody: Send {
    /// Bytes of the whole body.
    fn length(&self) -> u64;

    /// Opens the given bytes, which lie within the body.
    async fn open(self: Box<Self>, range: Range<u64>) -> Result<BoxStream<'static, io::Result<Bytes>>, DeliveryError>;
}

/// How long an answer may be kept, by whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CachePolicy {
    /// The address names a version: it will never mean another picture.
    Immutable,
    /// The address names no version.
    Revalidate { max_age: Duration },
    /// A better picture of the same address is being made.
    Provisional { max_age: Duration },
    /// Only for the client that asked, and not for long.
    Private { max_age: Duration },
}

/// A request header that an answer depended on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VaryOn {
    Accept,
    SaveData,
    Dpr,
    Width,
    ViewportWidth,
}

/// How long one stage took.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StageTiming {
    /// A token such as `decode`, `render`, `encode`.
    pub stage: &'static str,
    pub duration: Duration,
    /// Such as `hit` or `gpu`.
    pub description: Option<&'static str>,
}

/// What the picture is. Clients read it from `Server-Timing`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContentFacts {
    pub file: FileFacts,
    /// The original that a derivative was made from; `None` when the answer is the original.
    pub original: Option<FileFacts>,
}

/// One picture file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileFacts {
    /// Pixels, upright.
    pub width: u32,
    pub height: u32,
    pub bytes: u64,
    /// Extension, such as `jpg`.
    pub format: String,
    /// Unix seconds.
    pub created_s: i64,
}

/// Why there is no picture.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum DeliveryError {
    /// The address or the transformation is malformed, or asks for what is not built.
    #[error("{0}")]
    Invalid(String),
    /// The signature is missing or wrong, or the asset is not for everybody.
    #[error("{0}")]
    Unauthorized(String),
    /// There is no such asset; the text is its public id, or the path when it names none.
    #[error("Resource not found - {0}")]
    NotFound(String),
    /// The asset is to be fetched from elsewhere, and that failed; the text says how.
    #[error("{0}")]
    Remote(String),
    /// The renderer refused; whose fault it is follows from the error.
    #[error("{0}")]
    Render(#[from] tintype_render::Error),
    /// Everything is in use; a later attempt may succeed.
    #[error("the server is busy, try again in {} s", retry_after.as_secs())]
    Busy { retry_after: Duration },
    /// The catalog or the storage cannot be reached now; a later attempt may succeed. The text is for the log.
    #[error("{0}")]
    Unavailable(String),
    /// The original is lost or damaged, and no copy of it is better. The detail is for the log.
    #[error("The stored file of this resource is {}", fault.as_str())]
    Lost { fault: Fault, detail: String },
    /// Ours. The text is for the log.
    #[error("{0}")]
    Internal(String),
}

impl From<CatalogError> for DeliveryError {
    fn from(error: CatalogError) -> Self {
        match error {
            CatalogError::Unavailable(_) => DeliveryError::Unavailable(error.to_string()),
            other => DeliveryError::Internal(other.to_string()),
        }
    }
}

impl From<StorageError> for DeliveryError {
    fn from(error: StorageError) -> Self {
        match error {
            StorageError::Unavailable(_) => DeliveryError::Unavailable(error.to_string()),
            StorageError::NotFound(_) => DeliveryError::Lost { fault: Fault::Missing, detail: error.to_string() },
            StorageError::Corrupted { .. } => DeliveryError::Lost { fault: Fault::Damaged, detail: error.to_string() },
            other => DeliveryError::Internal(other.to_string()),
        }
    }
}

impl From<DeriveError> for DeliveryError {
    /// Of what is not about a client or the load.
    fn from(error: DeriveError) -> Self {
        match error {
            DeriveError::Catalog(error) => error.into(),
            DeriveError::Storage(error) => error.into(),
            DeriveError::Gone(detail) => DeliveryError::Lost { fault: Fault::Missing, detail },
            DeriveError::Damaged(detail) => DeliveryError::Lost { fault: Fault::Damaged, detail },
            DeriveError::Unavailable(detail) => DeliveryError::Unavailable(detail),
            other => DeliveryError::Internal(other.to_string()),
        }
    }
}
