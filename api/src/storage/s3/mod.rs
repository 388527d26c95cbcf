//! Blobs as objects of a server that speaks S3.
//!
//! Layout: `prefix/ab/cd/abcd…` in one bucket, or in one bucket for each cloud. A blob of at most [`PART_BYTES`] is one
//! request with its MD5 as metadata, so that a read can be checked; a larger one is a multipart upload, which a crash
//! leaves invisible and [`BlobStore::remove_unfinished`] removes.

mod bucket;
mod client;
mod copy;
mod fault;
mod listing;
mod place;
mod reader;
mod writer;

use std::fmt::Display;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use aws_sdk_s3::Client;
use aws_sdk_s3::types::{BucketLocationConstraint, CreateBucketConfiguration};
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use tokio::sync::Semaphore;

use super::{BlobKey, BlobReader, BlobStore, BlobWriter, Result, StorageError, Stored};
use crate::domain::Timestamp;
pub use bucket::{Bucket, Object, ObjectPage};
pub use client::{Checksums, S3Options, Timing};
use fault::Fault;
use place::Place;
use reader::Body;
use writer::S3Writer;

/// Bytes of the first parts of an upload: the least that S3 permits, for each writer holds one in memory.
pub const PART_BYTES: u64 = 5 << 20;
/// Parts of all writers together that are on their way at once.
const PARTS_IN_FLIGHT: usize = 16;
/// Metadata with the MD5 of the whole blob, in hexadecimal.
const MD5_NAME: &str = "tintype-md5";
/// What a read takes at once before it looks at the blob's length: beyond this the memory grows with what has come.
const MOST_RESERVED: u64 = 64 << 20;

/// What the parts of one store share.
struct Inner {
    client: Client,
    place: Place,
    options: S3Options,
    in_flight: Arc<Semaphore>,
}

impl Inner {
    /// `write blob … to bucket … at …`.
    fn doing(&self, what: impl Display, bucket: &str) -> String {
        format!("{what}, bucket {bucket} at {}", self.options.server())
    }

    fn failed(&self, verb: &str, key: &BlobKey, fault: impl Into<Fault>) -> StorageError {
        let operation = self.doing(format_args!("{verb} {}", self.place.name_of(key)), &self.place.bucket_of(key));
        fault.into().about(operation, Some(key))
    }

    /// Makes the bucket of a cloud. That another node was faster is no error.
    async fn create_bucket(&self, bucket: &str) -> Result<()> {
        // This region alone must not be named.
        let elsewhere = (self.options.region != "us-east-1").then(|| {
            CreateBucketConfiguration::builder()
                .location_constraint(BucketLocationConstraint::from(self.options.region.as_str()))
                .build()
        });
        let made = self.client.create_bucket().bucket(bucket).set_create_bucket_configuration(elsewhere).send().await;
        match made.map_err(Fault::from) {
            Err(fault) if fault.code() != "BucketAlreadyOwnedByYou" => {
                Err(fault.about(self.doing("create a bucket", bucket), None))
            }
            _ => {
                tracing::info!(bucket, "a bucket for a cloud");
                Ok(())
            }
        }
    }

    /// Bytes of a blob, `None` when there is none.
    async fn size(&self, key: &BlobKey) -> Result<Option<u64>> {
        Ok(self.stored(key).await?.map(|stored| stored.bytes))
    }

    /// Bytes of a blob and when it was written, by the server's clock, or when that was begun; `None` when there is none.
    async fn stored(&self, key: &BlobKey) -> Result<Option<Stored>> {
        let (bucket, name) = (self.place.bucket_of(key), self.place.name_of(key));
        match self.client.head_object().bucket(bucket).key(name).send().await.map_err(Fault::from) {
            Ok(head) => match head.content_length().and_then(|length| u64::try_from(length).ok()) {
                Some(bytes) => {
                    let since = head.last_modified().map(|time| Timestamp::from_unix_seconds(time.secs()));
                    Ok(Some(Stored { bytes, since }))
                }
                None => Err(self.failed("measure", key, Fault::unavailable("an answer without a length"))),
            },
            Err(fault) if fault.is_missing() => Ok(None),
            Err(fault) if fault.is_no_bucket() && self.place.is_per_cloud() => Ok(None),
            Err(fault) => Err(self.failed("measure", key, fault)),
        }
    }
}

/// A store on an S3 server.
pub struct S3Store {
    inner: Arc<Inner>,
}

impl S3Store {
    /// Asks the server whether the bucket is there and the credentials are right; the error is a sentence for the person
    /// who configured it. Buckets of clouds are made later.
    pub async fn open(options: S3Options) -> Result<Self> {
        let store = Self::unasked(options)?;
        store.list(None, 1).await?;
        Ok(store)
    }

    /// As [`S3Store::open`], of a server that may not answer now.
    pub fn unasked(options: S3Options) -> Result<Self> {
        let place = Place::new(&options.bucket, &options.prefix)
            .map_err(|reason| StorageError::Unavailable(format!("bucket {} or its prefix {reason}", options.bucket)))?;
        let client = client::client(&options);
        let in_flight = Arc::new(Semaphore::new(PARTS_IN_FLIGHT));
        Ok(Self { inner: Arc::new(Inner { client, place, options, in_flight }) })
    }

    /// Copies as a blob beyond 5 GiB is copied, in parts of `part_bytes`; S3 takes no parts below 5 MiB but the last.
    pub async fn copy_in_parts(&self, part_bytes: u64, from: &BlobKey, to: &BlobKey) -> Result<()> {
        self.inner.copy_in_parts_above(0, part_bytes.max(PART_BYTES), from, to).await
    }
}

#[async_trait]
impl BlobStore for S3Store {
    async fn create_as(&self, key: BlobKey) -> Result<Box<dyn BlobWriter>> {
        Ok(Box::new(S3Writer::new(Arc::clone(&self.inner), key)))
    }

    async fn create(&self) -> Result<Box<dyn BlobWriter>> {
        if self.inner.place.is_per_cloud() {
            let reason = "create a blob of no cloud: each cloud has a bucket of its own";
            return Err(StorageError::io(reason, std::io::Error::other("no cloud was named")));
        }
        self.create_as(BlobKey::random()).await
    }

    async fn read(&self, key: &BlobKey) -> Result<Bytes> {
        let mut reader = self.open(key, None).await?;
        let mut whole = BytesMut::with_capacity(reader.length().min(MOST_RESERVED) as usize);
        while let Some(chunk) = reader.next().await {
            whole.extend_from_slice(&chunk?);
        }
        Ok(whole.freeze())
    }

    async fn open(&self, key: &BlobKey, range: Option<Range<u64>>) -> Result<BlobReader> {
        Body::open(Arc::clone(&self.inner), key.clone(), range).await
    }

    async fn size(&self, key: &BlobKey) -> Result<Option<u64>> {
        self.inner.size(key).await
    }

    async fn stored(&self, key: &BlobKey) -> Result<Option<Stored>> {
        self.inner.stored(key).await
    }

    async fn md5(&self, key: &BlobKey) -> Result<Option<String>> {
        let inner = &self.inner;
        let asked = inner.client.head_object().bucket(inner.place.bucket_of(key)).key(inner.place.name_of(key));
        match asked.send().await.map_err(Fault::from) {
            Ok(head) => Ok(head.metadata().and_then(|metadata| metadata.get(MD5_NAME)).cloned()),
            Err(fault) if fault.is_missing() || fault.is_no_bucket() && inner.place.is_per_cloud() => Ok(None),
            Err(fault) => Err(inner.failed("measure", key, fault)),
        }
    }

    async fn delete(&self, key: &BlobKey) -> Result<()> {
        let inner = &self.inner;
        let request = inner.client.delete_object().bucket(inner.place.bucket_of(key)).key(inner.place.name_of(key));
        match request.send().await.map_err(Fault::from) {
            Err(fault) if fault.is_missing() || fault.is_no_bucket() && inner.place.is_per_cloud() => Ok(()),
            Err(fault) => Err(inner.failed("delete", key, fault)),
            Ok(_) => Ok(()),
        }
    }

    async fn delete_all(&self, keys: &[BlobKey]) -> Result<()> {
        self.inner.delete_all(keys).await
    }

    async fn copy(&self, from: &BlobKey, to: &BlobKey) -> Result<()> {
        self.inner.copy(from, to).await
    }

    async fn list(&self, after: Option<&BlobKey>, limit: usize) -> Result<Vec<BlobKey>> {
        self.inner.list(after, limit).await
    }

    async fn remove_unfinished(&self) -> Result<u64> {
        self.inner.remove_unfinished().await
    }

    fn kind(&self) -> &'static str {
        "s3"
    }
}
