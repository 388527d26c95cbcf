//! A second store that keeps copies of blobs under their own keys.

use std::sync::Arc;

use super::{BlobKey, BlobStore, Result, StorageError, transfer};

/// A store and the one that holds its copies; each may be of any kind.
#[derive(Clone)]
pub struct Backup {
    primary: Arc<dyn BlobStore>,
    copies: Arc<dyn BlobStore>,
}

impl Backup {
    pub fn new(primary: Arc<dyn BlobStore>, copies: Arc<dyn BlobStore>) -> Self {
        Self { primary, copies }
    }

    /// The store of the copies.
    pub fn copies(&self) -> &Arc<dyn BlobStore> {
        &self.copies
    }

    /// Copies a blob to the second store; returns when the copy is durable. A whole copy that is there already stays.
    pub async fn keep(&self, key: &BlobKey) -> Result<()> {
        copy(&*self.primary, &*self.copies, key).await
    }

    /// Brings a blob back from the second store, also over a damaged one: whatever the first store has under the key is
    /// replaced.
    pub async fn restore(&self, key: &BlobKey) -> Result<()> {
        let reader = self.copies.open(key, None).await?;
        transfer(reader, self.primary.create_as(key.clone()).await?).await?;
        same_size(&*self.copies, &*self.primary, key).await
    }

    /// Removes a blob from both stores, from the second first: what is left after a failure is still listed by the first.
    pub async fn delete(&self, key: &BlobKey) -> Result<()> {
        self.copies.delete(key).await?;
        self.primary.delete(key).await
    }
}

async fn copy(from: &dyn BlobStore, to: &dyn BlobStore, key: &BlobKey) -> Result<()> {
    let reader = from.open(key, None).await?;
    if to.size(key).await? == Some(reader.length()) {
        return Ok(());
    }
    transfer(reader, to.create_as(key.clone()).await?).await?;
    same_size(from, to, key).await
}

async fn same_size(from: &dyn BlobStore, to: &dyn BlobStore, key: &BlobKey) -> Result<()> {
    let (expected, found) = (from.size(key).await?, to.size(key).await?);
    if expected.is_some() && expected == found {
        return Ok(());
    }
    Err(StorageError::Corrupted { key: key.clone(), reason: format!("{expected:?} bytes were copied as {found:?}") })
}
