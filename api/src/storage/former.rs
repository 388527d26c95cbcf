//! A store that has moved: new blobs go to its new place, older ones are found where they were.

use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use super::{BlobKey, BlobReader, BlobStore, BlobWriter, Result, StorageError, Stored, transfer};
use crate::domain::CloudId;

/// Two stores as one: only the first is written to.
pub struct Moved {
    now: Arc<dyn BlobStore>,
    before: Arc<dyn BlobStore>,
}

impl Moved {
    pub fn new(now: Arc<dyn BlobStore>, before: Arc<dyn BlobStore>) -> Self {
        Moved { now, before }
    }
}

#[async_trait]
impl BlobStore for Moved {
    async fn create_as(&self, key: BlobKey) -> Result<Box<dyn BlobWriter>> {
        self.now.create_as(key).await
    }

    async fn create(&self) -> Result<Box<dyn BlobWriter>> {
        self.now.create().await
    }

    async fn create_for(&self, cloud: &CloudId) -> Result<Box<dyn BlobWriter>> {
        self.now.create_for(cloud).await
    }

    async fn read(&self, key: &BlobKey) -> Result<Bytes> {
        match self.now.read(key).await {
            Err(StorageError::NotFound(_)) => self.before.read(key).await,
            found => found,
        }
    }

    async fn open(&self, key: &BlobKey, range: Option<Range<u64>>) -> Result<BlobReader> {
        match self.now.open(key, range.clone()).await {
            Err(StorageError::NotFound(_)) => self.before.open(key, range).await,
            found => found,
        }
    }

    async fn size(&self, key: &BlobKey) -> Result<Option<u64>> {
        match self.now.size(key).await? {
            None => self.before.size(key).await,
            found => Ok(found),
        }
    }

    async fn stored(&self, key: &BlobKey) -> Result<Option<Stored>> {
        match self.now.stored(key).await? {
            None => self.before.stored(key).await,
            found => Ok(found),
        }
    }

    async fn md5(&self, key: &BlobKey) -> Result<Option<String>> {
        match self.now.size(key).await? {
            None => self.before.md5(key).await,
            Some(_) => self.now.md5(key).await,
        }
    }

    async fn delete(&self, key: &BlobKey) -> Result<()> {
        self.before.delete(key).await?;
        self.now.delete(key).await
    }

    async fn delete_all(&self, keys: &[BlobKey]) -> Result<()> {
        self.before.delete_all(keys).await?;
        self.now.delete_all(keys).await
    }

    async fn copy(&self, from: &BlobKey, to: &BlobKey) -> Result<()> {
        match self.now.copy(from, to).await {
            Err(StorageError::NotFound(_)) => {
                transfer(self.before.open(from, None).await?, self.now.create_as(to.clone()).await?).await
            }
            copied => copied,
        }
    }

    async fn remove_unfinished(&self) -> Result<u64> {
        Ok(self.now.remove_unfinished().await? + self.before.remove_unfinished().await?)
    }

    async fn list(&self, after: Option<&BlobKey>, limit: usize) -> Result<Vec<BlobKey>> {
        let mut keys = self.now.list(after, limit).await?;
        keys.extend(self.before.list(after, limit).await?);
        keys.sort_unstable();
        keys.dedup();
        keys.truncate(limit);
        Ok(keys)
    }

    fn kind(&self) -> &'static str {
        self.now.kind()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::MemoryStore;
    use super::*;

    async fn put(store: &dyn BlobStore, bytes: &'static [u8]) -> BlobKey {
        let mut writer = store.create().await.unwrap();
        writer.write(Bytes::from_static(bytes)).await.unwrap();
        writer.commit().await.unwrap()
    }

    #[tokio::test]
    async fn older_blobs_are_found_and_go_and_new_ones_lie_in_the_new_place() {
        let (now, before) = (Arc::new(MemoryStore::new()), Arc::new(MemoryStore::new()));
        let old = put(&*before, b"old").await;
        let store = Moved::new(now.clone(), before.clone());
        let new = put(&store, b"new").await;
        assert_eq!((now.size(&new).await.unwrap(), before.size(&new).await.unwrap()), (Some(3), None));
        assert_eq!((store.read(&old).await.unwrap(), store.read(&new).await.unwrap()), ("old".into(), "new".into()));
        let mut both = vec![old.clone(), new.clone()];
        both.sort();
        assert_eq!(store.list(None, 10).await.unwrap(), both);
        assert_eq!(store.list(None, 1).await.unwrap(), both[..1]);
        assert_eq!(store.list(Some(&both[0]), 10).await.unwrap(), both[1..]);
        let copy = BlobKey::random();
        store.copy(&old, &copy).await.unwrap();
        assert_eq!(now.read(&copy).await.unwrap(), "old");
        store.delete_all(&[old.clone(), new.clone()]).await.unwrap();
        assert_eq!((store.size(&old).await.unwrap(), store.size(&new).await.unwrap()), (None, None));
        assert!(matches!(store.read(&old).await, Err(StorageError::NotFound(_))));
    }
}
