//! Where bytes are kept: originals and derived pictures as blobs under opaque keys.
//!
//! A blob is written once, never changed, and read whole or by range. A key exists only after its bytes are
//! durable, so a catalog row that names a blob can be written right after `commit` returns.

mod backup;
pub mod conformance;
mod error;
mod folders;
mod former;
mod fs;
mod guarded;
mod in_place;
mod memory;
mod reader;
pub mod s3;

use std::ops::Range;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;

pub use crate::domain::BlobKey;
use crate::domain::{CloudId, Timestamp};
pub use backup::{Backup, Expected, Mirrored, fault};
pub use error::StorageError;
pub use former::Moved;
pub use fs::FsStore;
pub use guarded::{Fault, FaultCounts, GuardedStore};
pub use in_place::{InPlace, Reference};
pub use memory::MemoryStore;
pub use reader::BlobReader;
pub use s3::S3Store;

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

/// Writes all that `reader` gives and commits it.
async fn transfer(mut reader: BlobReader, mut writer: Box<dyn BlobWriter>) -> Result<()> {
    while let Some(chunk) = reader.next().await {
        writer.write(chunk?).await?;
    }
    writer.commit().await.map(drop)
}

/// What a store knows of a blob without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stored {
    pub bytes: u64,
    /// Since when the store has had the blob under this key, or a little longer; `None` where it cannot tell.
    pub since: Option<Timestamp>,
}

/// A store of immutable blobs.
#[async_trait]
pub trait BlobStore: Send + Sync {
    /// Begins a blob under a given key, for copies between stores. Nothing is visible until the writer commits; a blob
    /// that has the key already is then replaced.
    async fn create_as(&self, key: BlobKey) -> Result<Box<dyn BlobWriter>>;

    /// Begins a new blob of no particular cloud.
    async fn create(&self) -> Result<Box<dyn BlobWriter>> {
        self.create_as(BlobKey::random()).await
    }

    /// Begins a new blob of a cloud, which its key tells: a store may keep every cloud in a place of its own.
    async fn create_for(&self, cloud: &CloudId) -> Result<Box<dyn BlobWriter>> {
        self.create_as(BlobKey::random_of(cloud)).await
    }

    /// Begins a blob of a cloud whose bytes stay in a bucket: what is written is counted, and only a reference is kept.
    /// [`StorageError::Denied`] where the store may not read the bucket.
    async fn create_reference(&self, _cloud: &CloudId, reference: &Reference) -> Result<Box<dyn BlobWriter>> {
        Err(StorageError::Denied(format!("refer to bucket {}: this store keeps all bytes itself", reference.bucket)))
    }

    /// The whole blob in memory. The caller knows from the catalog that it may be that large.
    async fn read(&self, key: &BlobKey) -> Result<Bytes>;

    /// The blob, or the bytes of `range` of it, as a stream. A range must lie within the blob: an end beyond it or a
    /// start beyond the end is [`StorageError::Range`].
    async fn open(&self, key: &BlobKey, range: Option<Range<u64>>) -> Result<BlobReader>;

    /// As [`BlobStore::read`], of an original: [`StorageError::Corrupted`] when its bytes are not those that were stored.
    async fn read_original(&self, key: &BlobKey, expected: &Expected) -> Result<Bytes> {
        let whole = self.read(key).await?;
        expected.check(key, &whole)?;
        Ok(whole)
    }

    /// As [`BlobStore::open`], of an original of so many bytes: [`StorageError::Corrupted`] when it has not as many. A range
    /// must lie within them.
    async fn open_original(&self, key: &BlobKey, bytes: u64, range: Option<Range<u64>>) -> Result<BlobReader> {
        let expected = Expected::of_length(bytes);
        match self.open(key, range.clone()).await {
            Err(StorageError::Range { end, size, .. }) if end <= bytes => {
                Err(StorageError::Corrupted { key: key.clone(), reason: format!("{size} bytes instead of {bytes}") })
            }
            Ok(reader) if range.is_none() => {
                expected.check_length(key, reader.length())?;
                Ok(reader)
            }
            opened => opened,
        }
    }

    /// Whether an original is there with all of its bytes: [`StorageError::NotFound`] or [`StorageError::Corrupted`] when not.
    async fn check_original(&self, key: &BlobKey, bytes: u64) -> Result<()> {
        match self.size(key).await? {
            None => Err(StorageError::NotFound(key.clone())),
            Some(found) => Expected::of_length(bytes).check_length(key, found),
        }
    }

    /// Bytes of the blob, `None` when there is no such blob.
    async fn size(&self, key: &BlobKey) -> Result<Option<u64>>;

    /// Length and age of the blob, `None` when there is no such blob.
    async fn stored(&self, key: &BlobKey) -> Result<Option<Stored>> {
        Ok(self.size(key).await?.map(|bytes| Stored { bytes, since: None }))
    }

    /// MD5 of the blob in hexadecimal, where the store knows it without reading.
    async fn md5(&self, _key: &BlobKey) -> Result<Option<String>> {
        Ok(None)
    }

    /// Removes the blob; one that is not there is no error.
    async fn delete(&self, key: &BlobKey) -> Result<()>;

    /// Removes many blobs; those that are not there are no error. After an error some may be gone and some not.
    async fn delete_all(&self, keys: &[BlobKey]) -> Result<()> {
        for key in keys {
            self.delete(key).await?;
        }
        Ok(())
    }

    /// Copies a blob to another key of the same store, without moving the bytes through here where the store can.
    async fn copy(&self, from: &BlobKey, to: &BlobKey) -> Result<()> {
        let reader = self.open(from, None).await?;
        transfer(reader, self.create_as(to.clone()).await?).await
    }

    /// Removes what writers of processes that have ended left unfinished, where the store cannot do so at its start.
    /// Gives how many there were.
    async fn remove_unfinished(&self) -> Result<u64> {
        Ok(0)
    }

    /// At most `limit` keys greater than `after`, in ascending order. Fewer than `limit` means that there are no more.
    async fn list(&self, after: Option<&BlobKey>, limit: usize) -> Result<Vec<BlobKey>>;

    /// Name of the kind of store, for logs and reports: `folder`, `memory`, `s3`.
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
