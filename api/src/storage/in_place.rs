//! Blobs that lie in somebody's bucket and stay there: what is kept here is a reference to an object, under a key that says
//! so. The object is only read, and only for as long as it is the one that was referred to; deleting the blob deletes the
//! reference. A backup holds the bytes themselves, and a restored blob is an ordinary one.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use serde::{Deserialize, Serialize};

use super::s3::Bucket;
use super::{BlobKey, BlobReader, BlobStore, BlobWriter, Result, StorageError, Stored, checked_range};
use crate::domain::CloudId;

/// What a reference begins with, before its JSON.
const MAGIC: &[u8] = b"\0tintype reference 1\n";
/// Longest reference: names of objects have at most 1024 bytes.
const MOST_BYTES: u64 = 16 << 10;
/// What a read takes at once before any bytes have come.
const MOST_RESERVED: u64 = 64 << 20;

/// An object of a bucket, as it was when it became an asset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reference {
    pub bucket: String,
    pub object: String,
    /// What the server calls its content.
    pub etag: String,
    pub bytes: u64,
}

/// A store some of whose blobs are references.
pub struct InPlace {
    inner: Arc<dyn BlobStore>,
    buckets: BTreeMap<String, Bucket>,
}

impl InPlace {
    /// Objects of these buckets may be referred to.
    pub fn new(inner: Arc<dyn BlobStore>, buckets: impl IntoIterator<Item = Bucket>) -> Self {
        let buckets = buckets.into_iter().map(|bucket| (bucket.name().to_owned(), bucket)).collect();
        InPlace { inner, buckets }
    }

    /// What the blob refers to; `None` where the bytes are here.
    async fn reference(&self, key: &BlobKey) -> Result<Option<Reference>> {
        if !key.is_reference() {
            return Ok(None);
        }
        let mut reader = self.inner.open(key, None).await?;
        if reader.length() > MOST_BYTES {
            return Ok(None);
        }
        let mut bytes = Vec::new();
        while let Some(chunk) = reader.next().await {
            bytes.extend_from_slice(&chunk?);
        }
        let Some(json) = bytes.strip_prefix(MAGIC) else { return Ok(None) };
        let damaged =
            |error: serde_json::Error| StorageError::Corrupted { key: key.clone(), reason: error.to_string() };
        serde_json::from_slice(json).map(Some).map_err(damaged)
    }

    fn bucket(&self, reference: &Reference) -> Result<&Bucket> {
        self.buckets.get(&reference.bucket).ok_or_else(|| {
            StorageError::Denied(format!(
                "read {} of bucket {}, which is not among external_s3_buckets",
                reference.object, reference.bucket
            ))
        })
    }
}

#[async_trait]
impl BlobStore for InPlace {
    async fn create_as(&self, key: BlobKey) -> Result<Box<dyn BlobWriter>> {
        self.inner.create_as(key).await
    }

    async fn create(&self) -> Result<Box<dyn BlobWriter>> {
        self.inner.create().await
    }

    async fn create_for(&self, cloud: &CloudId) -> Result<Box<dyn BlobWriter>> {
        self.inner.create_for(cloud).await
    }

    async fn create_reference(&self, cloud: &CloudId, reference: &Reference) -> Result<Box<dyn BlobWriter>> {
        self.bucket(reference)?;
        let key = BlobKey::reference_of(cloud);
        Ok(Box::new(ReferenceWriter { inner: self.inner.clone(), key, reference: reference.clone(), written: 0 }))
    }

    async fn read(&self, key: &BlobKey) -> Result<Bytes> {
        if !key.is_reference() {
            return self.inner.read(key).await;
        }
        let mut reader = self.open(key, None).await?;
        let mut whole = BytesMut::with_capacity(reader.length().min(MOST_RESERVED) as usize);
        while let Some(chunk) = reader.next().await {
            whole.extend_from_slice(&chunk?);
        }
        Ok(whole.freeze())
    }

    async fn open(&self, key: &BlobKey, range: Option<Range<u64>>) -> Result<BlobReader> {
        match self.reference(key).await? {
            None => self.inner.open(key, range).await,
            Some(reference) => {
                let range = checked_range(range, reference.bytes)?;
                self.bucket(&reference)?.open_unchanged(key, &reference.object, &reference.etag, range).await
            }
        }
    }

    async fn size(&self, key: &BlobKey) -> Result<Option<u64>> {
        match self.reference(key).await {
            Ok(None) => self.inner.size(key).await,
            Ok(Some(reference)) => self.bucket(&reference)?.size(&reference.object).await,
            Err(StorageError::NotFound(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Of a reference: what there is of it here.
    async fn stored(&self, key: &BlobKey) -> Result<Option<Stored>> {
        self.inner.stored(key).await
    }

    async fn md5(&self, key: &BlobKey) -> Result<Option<String>> {
        if key.is_reference() {
            return Ok(None);
        }
        self.inner.md5(key).await
    }

    async fn delete(&self, key: &BlobKey) -> Result<()> {
        self.inner.delete(key).await
    }

    async fn delete_all(&self, keys: &[BlobKey]) -> Result<()> {
        self.inner.delete_all(keys).await
    }

    async fn copy(&self, from: &BlobKey, to: &BlobKey) -> Result<()> {
        match self.reference(from).await? {
            None => self.inner.copy(from, to).await,
            Some(_) => super::transfer(self.open(from, None).await?, self.create_as(to.clone()).await?).await,
        }
    }

    async fn remove_unfinished(&self) -> Result<u64> {
        self.inner.remove_unfinished().await
    }

    async fn list(&self, after: Option<&BlobKey>, limit: usize) -> Result<Vec<BlobKey>> {
        self.inner.list(after, limit).await
    }

    fn kind(&self) -> &'static str {
        self.inner.kind()
    }
}

/// Takes the bytes of an object, and keeps where they are.
struct ReferenceWriter {
    inner: Arc<dyn BlobStore>,
    key: BlobKey,
    reference: Reference,
    written: u64,
}

#[async_trait]
impl BlobWriter for ReferenceWriter {
    async fn write(&mut self, chunk: Bytes) -> Result<()> {
        self.written += chunk.len() as u64;
        Ok(())
    }

    fn written(&self) -> u64 {
        self.written
    }

    async fn commit(self: Box<Self>) -> Result<BlobKey> {
        let Self { inner, key, reference, written } = *self;
        if written != reference.bytes {
            let reason = format!("{written} bytes came of an object of {}", reference.bytes);
            return Err(StorageError::Corrupted { key, reason });
        }
        let failed = |error: serde_json::Error| StorageError::Corrupted { key: key.clone(), reason: error.to_string() };
        let mut text = MAGIC.to_vec();
        text.extend(serde_json::to_vec(&reference).map_err(failed)?);
        let mut writer = inner.create_as(key).await?;
        writer.write(text.into()).await?;
        writer.commit().await
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::MemoryStore;
    use super::*;

    async fn put(store: &InPlace, key: BlobKey, bytes: &'static [u8]) {
        let mut writer = store.create_as(key).await.unwrap();
        writer.write(Bytes::from_static(bytes)).await.unwrap();
        writer.commit().await.unwrap();
    }

    #[tokio::test]
    async fn only_marked_keys_are_followed_and_only_where_a_reference_lies_under_them() {
        const FORGED: &[u8] =
            b"\0tintype reference 1\n{\"bucket\":\"other\",\"object\":\"secret\",\"etag\":\"x\",\"bytes\":3}";
        let store = InPlace::new(Arc::new(MemoryStore::new()), []);
        let cloud = CloudId::random();
        let (plain, marked) = (BlobKey::random_of(&cloud), BlobKey::reference_of(&cloud));
        put(&store, plain.clone(), FORGED).await;
        assert_eq!(store.read(&plain).await.unwrap(), FORGED, "an upload is never followed");
        put(&store, marked.clone(), b"restored").await;
        assert_eq!(store.read(&marked).await.unwrap(), "restored");
        assert_eq!(store.size(&marked).await.unwrap(), Some(8));
        put(&store, marked.clone(), FORGED).await;
        let refused = store.read(&marked).await.unwrap_err();
        assert!(matches!(&refused, StorageError::Denied(text) if text.contains("external_s3_buckets")), "{refused}");
        let reference = Reference { bucket: "other".to_owned(), object: "a".to_owned(), etag: String::new(), bytes: 1 };
        assert!(store.create_reference(&cloud, &reference).await.is_err());
        store.delete(&marked).await.unwrap();
        assert_eq!(store.size(&marked).await.unwrap(), None);
    }
}
