//! Writing: one request for a small blob, a multipart upload for a large one.

use std::io;
use std::sync::Arc;

use async_trait::async_trait;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use md5::{Digest, Md5};
use tokio::runtime::Handle;
use tokio::task::JoinSet;

use super::super::{BlobKey, BlobWriter, Result, StorageError};
use super::fault::Fault;
use super::{Inner, MD5_NAME, PART_BYTES};

/// Parts of one blob on their way at once.
const PARTS_OF_A_WRITER: usize = 3;
/// S3 takes parts up to this number.
const MOST_PARTS: i32 = 10_000;
/// Parts of the first size; some servers want all parts but the last to be equal, so growth begins late.
const EQUAL_PARTS: i32 = 5_000;
/// Parts of each further size.
const PARTS_OF_A_SIZE: i32 = 400;
/// Largest part; S3's limit is 5 GiB.
const MOST_PART_BYTES: u64 = 4 << 30;

/// Bytes of a part, by its number from 1. All 10,000 together are more than the 5 TiB that an object may have.
fn part_bytes(number: i32) -> u64 {
    let doublings = (number - EQUAL_PARTS).max(0).saturating_add(PARTS_OF_A_SIZE - 1) / PARTS_OF_A_SIZE;
    (PART_BYTES << doublings.min(10)).min(MOST_PART_BYTES)
}

/// An upload in parts that the server knows of.
struct Upload {
    id: String,
    next: i32,
    tasks: JoinSet<Result<CompletedPart>>,
    done: Vec<CompletedPart>,
}

pub(super) struct S3Writer {
    inner: Arc<Inner>,
    key: BlobKey,
    bucket: String,
    name: String,
    /// What is not yet on its way: less than a part.
    waiting: Vec<Bytes>,
    waiting_bytes: u64,
    written: u64,
    upload: Option<Upload>,
    /// True while a write runs and after one has failed or was given up.
    broken: bool,
}

impl S3Writer {
    pub(super) fn new(inner: Arc<Inner>, key: BlobKey) -> Self {
        let (bucket, name) = (inner.place.bucket_of(&key), inner.place.name_of(&key));
        Self {
            inner,
            key,
            bucket,
            name,
            waiting: Vec::new(),
            waiting_bytes: 0,
            written: 0,
            upload: None,
            broken: false,
        }
    }

    /// The first `length` of the waiting bytes in one piece.
    fn take(&mut self, length: u64) -> Bytes {
        let mut part = BytesMut::new();
        let mut rest = Vec::new();
        // A part is at most what is waiting, which is in memory.
        let length = length as usize;
        part.reserve(length.min(self.waiting_bytes as usize));
        for mut chunk in self.waiting.drain(..) {
            let wanted = (length - part.len()).min(chunk.len());
            part.extend_from_slice(&chunk.split_to(wanted));
            if !chunk.is_empty() {
                rest.push(chunk);
            }
        }
        self.waiting = rest;
        self.waiting_bytes -= part.len() as u64;
        part.freeze()
    }

    async fn begin(&mut self) -> Result<()> {
        if self.upload.is_some() {
            return Ok(());
        }
        let ask = || self.inner.client.create_multipart_upload().bucket(&self.bucket).key(&self.name).send();
        let begun = match ask().await.map_err(Fault::from) {
            Err(fault) if fault.is_no_bucket() && self.inner.place.is_per_cloud() => {
                self.inner.create_bucket(&self.bucket).await?;
                ask().await.map_err(Fault::from)
            }
            begun => begun,
        };
        let id = begun
            .and_then(|begun| {
                begun.upload_id.ok_or_else(|| Fault::unavailable("a multipart upload was begun without an id"))
            })
            .map_err(|fault| self.inner.failed("begin to write", &self.key, fault))?;
        self.upload = Some(Upload { id, next: 1, tasks: JoinSet::new(), done: Vec::new() });
        Ok(())
    }

    /// Sends a part off; waits while too many are on their way.
    async fn send(&mut self, part: Bytes) -> Result<()> {
        self.begin().await?;
        let permit = Arc::clone(&self.inner.in_flight).acquire_owned().await;
        let Some(upload) = &mut self.upload else { return Err(broken()) };
        if upload.next > MOST_PARTS {
            return Err(StorageError::Full(format!("write {}: it has more than {MOST_PARTS} parts", self.name)));
        }
        let number = upload.next;
        upload.next += 1;
        let request = self
            .inner
            .client
            .upload_part()
            .bucket(&self.bucket)
            .key(&self.name)
            .upload_id(&upload.id)
            .part_number(number)
            .content_length(i64::try_from(part.len()).unwrap_or(i64::MAX));
        let (inner, key) = (Arc::clone(&self.inner), self.key.clone());
        upload.tasks.spawn(async move {
            let _permit = permit;
            let request = request.content_md5(STANDARD.encode(Md5::digest(&part)));
            let sent = request.body(ByteStream::from(part)).send().await;
            let sent = sent.map_err(|error| inner.failed(&format!("write part {number} of"), &key, error))?;
            Ok(CompletedPart::builder()
                .part_number(number)
                .set_e_tag(sent.e_tag)
                .set_checksum_crc32(sent.checksum_crc32)
                .build())
        });
        while upload.tasks.len() >= PARTS_OF_A_WRITER {
            upload.wait().await?;
        }
        Ok(())
    }

    /// The whole blob in one request.
    async fn put(&mut self) -> Result<()> {
        let body = self.take(self.waiting_bytes);
        let sum = Md5::digest(&body);
        let ask = || {
            self.inner
                .client
                .put_object()
                .bucket(&self.bucket)
                .key(&self.name)
                .content_length(i64::try_from(body.len()).unwrap_or(i64::MAX))
                .content_md5(STANDARD.encode(sum))
                .metadata(MD5_NAME, hex::encode(sum))
                .content_type("application/octet-stream")
                .body(ByteStream::from(body.clone()))
                .send()
        };
        let put = match ask().await.map_err(Fault::from) {
            Err(fault) if fault.is_no_bucket() && self.inner.place.is_per_cloud() => {
                self.inner.create_bucket(&self.bucket).await?;
                ask().await.map_err(Fault::from)
            }
            put => put,
        };
        put.map(drop).map_err(|fault| self.inner.failed("write", &self.key, fault))
    }

    /// Joins the parts. An answer may be lost after the server has done it, and then asking again finds no upload: the
    /// blob's length tells.
    async fn complete(&mut self) -> Result<()> {
        let Some(upload) = &mut self.upload else { return Err(broken()) };
        while !upload.tasks.is_empty() {
            upload.wait().await?;
        }
        upload.done.sort_by_key(CompletedPart::part_number);
        let parts = CompletedMultipartUpload::builder().set_parts(Some(upload.done.clone())).build();
        let request = self.inner.client.complete_multipart_upload();
        let request = request.bucket(&self.bucket).key(&self.name).upload_id(&upload.id).multipart_upload(parts);
        if let Err(fault) = request.send().await.map_err(Fault::from)
            && (fault.code() != "NoSuchUpload" || self.inner.size(&self.key).await? != Some(self.written))
        {
            return Err(self.inner.failed("finish writing", &self.key, fault));
        }
        self.upload = None;
        Ok(())
    }
}

impl Upload {
    /// Waits for one part.
    async fn wait(&mut self) -> Result<()> {
        match self.tasks.join_next().await {
            Some(Ok(part)) => self.done.push(part?),
            Some(Err(error)) => return Err(StorageError::io("write a part of a blob", io::Error::other(error))),
            None => {}
        }
        Ok(())
    }
}

fn broken() -> StorageError {
    StorageError::io("go on with a blob", io::Error::other("an earlier write failed or was given up"))
}

#[async_trait]
impl BlobWriter for S3Writer {
    async fn write(&mut self, chunk: Bytes) -> Result<()> {
        if std::mem::replace(&mut self.broken, true) {
            return Err(broken());
        }
        let length = chunk.len() as u64;
        self.waiting_bytes += length;
        self.waiting.push(chunk);
        loop {
            let wanted = part_bytes(self.upload.as_ref().map_or(1, |upload| upload.next));
            // The last part must not be empty.
            if self.waiting_bytes <= wanted {
                break;
            }
            let part = self.take(wanted);
            self.send(part).await?;
        }
        self.written += length;
        self.broken = false;
        Ok(())
    }

    fn written(&self) -> u64 {
        self.written
    }

    /// The blob is there once the server has answered. Where no answer comes although the server has the blob, it is one
    /// that no row names.
    async fn commit(mut self: Box<Self>) -> Result<BlobKey> {
        if std::mem::replace(&mut self.broken, true) {
            return Err(broken());
        }
        if self.upload.is_none() {
            self.put().await?;
        } else {
            let last = self.take(self.waiting_bytes);
            self.send(last).await?;
            self.complete().await?;
        }
        Ok(self.key.clone())
    }
}

impl Drop for S3Writer {
    /// Tells the server to forget the parts. Where that cannot be done, the sweep of unfinished uploads does it.
    fn drop(&mut self) {
        let Some(Upload { id, mut tasks, .. }) = self.upload.take() else { return };
        tasks.abort_all();
        let Ok(runtime) = Handle::try_current() else { return };
        let (inner, key) = (Arc::clone(&self.inner), self.key.clone());
        let (bucket, name) = (std::mem::take(&mut self.bucket), std::mem::take(&mut self.name));
        runtime.spawn(async move {
            // A part that arrives after the abort would stay.
            while tasks.join_next().await.is_some() {}
            let aborted = inner.client.abort_multipart_upload().bucket(bucket).key(name).upload_id(id).send().await;
            if let Err(fault) = aborted.map_err(Fault::from)
                && fault.code() != "NoSuchUpload"
            {
                let _ = inner.failed("abort the upload of", &key, fault);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_thousand_parts_hold_the_largest_object() {
        assert_eq!((part_bytes(1), part_bytes(EQUAL_PARTS)), (PART_BYTES, PART_BYTES));
        assert_eq!(part_bytes(EQUAL_PARTS + 1), 2 * PART_BYTES);
        assert_eq!(part_bytes(EQUAL_PARTS + PARTS_OF_A_SIZE), 2 * PART_BYTES);
        let all: u64 = (1..=MOST_PARTS).map(part_bytes).sum();
        assert!(all >= 5 << 40, "{all}");
        assert!((1..=MOST_PARTS).all(|number| part_bytes(number) <= MOST_PART_BYTES));
    }
}
