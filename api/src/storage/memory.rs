//! Blobs in memory: a complete store for tests and throwaway servers. Nothing outlives the process.

use std::{collections::BTreeMap, ops::Bound, ops::Range, sync::Arc};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures::stream;
use parking_lot::RwLock;

use super::{BlobKey, BlobReader, BlobStore, BlobWriter, Result, StorageError, checked_range};

type Blobs = Arc<RwLock<BTreeMap<BlobKey, Bytes>>>;

/// A store in the memory of the process.
#[derive(Debug, Default)]
pub struct MemoryStore {
    blobs: Blobs,
}

impl MemoryStore {
    pub fn new() -> Self {
        Self::default()
    }
}

#[async_trait]
impl BlobStore for MemoryStore {
    async fn create_as(&self, key: BlobKey) -> Result<Box<dyn BlobWriter>> {
        Ok(Box::new(MemoryWriter { blobs: Arc::clone(&self.blobs), key, bytes: BytesMut::new() }))
    }

    async fn read(&self, key: &BlobKey) -> Result<Bytes> {
        self.blobs.read().get(key).cloned().ok_or_else(|| StorageError::NotFound(key.clone()))
    }

    async fn open(&self, key: &BlobKey, range: Option<Range<u64>>) -> Result<BlobReader> {
        let whole = self.read(key).await?;
        let range = checked_range(range, whole.len() as u64)?;
        // Both ends are at most the length of `whole`, which is a usize.
        let part = whole.slice(range.start as usize..range.end as usize);
        Ok(BlobReader::new(part.len() as u64, Box::pin(stream::once(async move { Ok(part) }))))
    }

    async fn size(&self, key: &BlobKey) -> Result<Option<u64>> {
        Ok(self.blobs.read().get(key).map(|bytes| bytes.len() as u64))
    }

    async fn delete(&self, key: &BlobKey) -> Result<()> {
        self.blobs.write().remove(key);
        Ok(())
    }

    async fn list(&self, after: Option<&BlobKey>, limit: usize) -> Result<Vec<BlobKey>> {
        let from = after.map_or(Bound::Unbounded, |key| Bound::Excluded(key.clone()));
        Ok(self.blobs.read().range((from, Bound::Unbounded)).take(limit).map(|(key, _)| key.clone()).collect())
    }

    fn kind(&self) -> &'static str {
        "memory"
    }
}

struct MemoryWriter {
    blobs: Blobs,
    key: BlobKey,
    bytes: BytesMut,
}

#[async_trait]
impl BlobWriter for MemoryWriter {
    async fn write(&mut self, chunk: Bytes) -> Result<()> {
        self.bytes.extend_from_slice(&chunk);
        Ok(())
    }

    fn written(&self) -> u64 {
        self.bytes.len() as u64
    }

    async fn commit(self: Box<Self>) -> Result<BlobKey> {
        self.blobs.write().insert(self.key.clone(), self.bytes.freeze());
        Ok(self.key)
    }
}
