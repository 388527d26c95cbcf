//! Where bytes are kept: originals and derived pictures as blobs under opaque keys.
//!
//! A blob is written once, never changed, and read whole or by range. A key exists only after its bytes are
//! durable, so a catalog row that names a blob can be written right after `commit` returns.

pub mod conformance;
mod error;
mod folders;
mod fs;
mod memory;
mod reader;

use std::ops::Range;

use async_trait::async_trait;
use bytes::Bytes;

pub use crate::domain::BlobKey;
pub use error::StorageError;
pub use fs::FsStore;
pub use memory::MemoryStore;
pub use reader::BlobReader;

/// Result of a storage operation.
pub type Result<T> = std::result::Result<T, StorageError>;

/// Where a blob lies under its store's root: `ab/cd/abcd…`, with `/` as separator. Two levels of 256 folders keep each
/// folder small.
pub fn path_of(key: &BlobKey) -> String {
    let text = key.as_str();
    format!("{}/{}/{}", &text[..2], &text[2..4], text)
}

/// The range itself, or the whole of `size` bytes where none was asked for.
fn checked_range(range: Option<Range<u64>>, size: u64) -> Result<Range<u64>> {
    match range {
        None => Ok(0..size),
        Some(Range { start, end }) if start <= end && end <= size => Ok(start..end),
        Some(Range { start, end }) => Err(StorageError::Range { start, end, size }),
    }
}

/// A store of immutable blobs.
#[async_trait]
pub trait BlobStore: Send + Sync {
    /// Begins a new blob. Nothing is visible until the writer commits.
    async fn create(&self) -> Result<Box<dyn BlobWriter>>;

    /// The whole blob in memory. The caller knows from the catalog that it may be that large.
    async fn read(&self, key: &BlobKey) -> Result<Bytes>;

    /// The blob, or the bytes of `range` of it, as a stream. A range must lie within the blob: an end beyond it or a
    /// start beyond the end is [`StorageError::Range`].
    async fn open(&self, key: &BlobKey, range: Option<Range<u64>>) -> Result<BlobReader>;

    /// Bytes of the blob, `None` when there is no such blob.
    async fn size(&self, key: &BlobKey) -> Result<Option<u64>>;

    /// Removes the blob; one that is not there is no error.
    async fn delete(&self, key: &BlobKey) -> Result<()>;

    /// At most `limit` keys greater than `after`, in ascending order. Fewer than `limit` means that there are no more.
    async fn list(&self, after: Option<&BlobKey>, limit: usize) -> Result<Vec<BlobKey>>;

    /// Name of the kind of store, for logs and reports: `folder`, `memory`.
    fn kind(&self) -> &'static str;
}

/// A blob that is being written. Dropped before `commit`, it leaves nothing.
#[async_trait]
pub trait BlobWriter: Send {
    /// Appends `chunk`. After an error the writer can only be dropped.
    async fn write(&mut self, chunk: Bytes) -> Result<()>;

    /// Bytes taken so far.
    fn written(&self) -> u64;

    /// Makes the bytes durable under a new key and returns it.
    async fn commit(self: Box<Self>) -> Result<BlobKey>;
}
