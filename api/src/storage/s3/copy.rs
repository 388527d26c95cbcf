//! Copies that the server makes itself.

use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};

use super::super::{BlobKey, Result, StorageError};
use super::Inner;
use super::fault::Fault;

/// Largest object that one request copies.
const MOST_COPIED_AT_ONCE: u64 = 5 << 30;
/// Bytes of a part beyond that: 5 TiB in at most 5120 of them.
const PART_BYTES: u64 = 1 << 30;

impl Inner {
    pub(super) async fn copy(&self, from: &BlobKey, to: &BlobKey) -> Result<()> {
        self.copy_in_parts_above(MOST_COPIED_AT_ONCE, PART_BYTES, from, to).await
    }

    /// The same with other sizes.
    pub(super) async fn copy_in_parts_above(
        &self,
        most_at_once: u64,
        part_bytes: u64,
        from: &BlobKey,
        to: &BlobKey,
    ) -> Result<()> {
        let size = self.size(from).await?.ok_or_else(|| StorageError::NotFound(from.clone()))?;
        let bucket = self.place.bucket_of(to);
        if bucket != self.place.bucket_of(from) {
            self.ensure_bucket(&bucket).await?;
        }
        // Neither part of it has a character that must be written otherwise in a header.
        let source = format!("{}/{}", self.place.bucket_of(from), self.place.name_of(from));
        if size > most_at_once {
            return self.copy_parts(&source, size, part_bytes, to).await;
        }
        let request = self.client.copy_object().copy_source(source).bucket(bucket).key(self.place.name_of(to));
        let copied = request.send().await.map(drop).map_err(Fault::from);
        copied.map_err(|fault| self.failed(&format!("copy {from} to"), to, fault))
    }

    async fn ensure_bucket(&self, bucket: &str) -> Result<()> {
        match self.client.head_bucket().bucket(bucket).send().await.map_err(Fault::from) {
            Err(fault) if fault.is_missing() || fault.is_no_bucket() => self.create_bucket(bucket).await,
            Err(fault) => Err(fault.about(self.doing("look for a bucket", bucket), None)),
            Ok(_) => Ok(()),
        }
    }

    async fn copy_parts(&self, source: &str, size: u64, part_bytes: u64, to: &BlobKey) -> Result<()> {
        let (bucket, name) = (self.place.bucket_of(to), self.place.name_of(to));
        let begun = self.client.create_multipart_upload().bucket(&bucket).key(&name).send().await;
        let id = begun
            .map_err(Fault::from)
            .and_then(|begun| begun.upload_id.ok_or_else(|| Fault::unavailable("a copy was begun without an id")))
            .map_err(|fault| self.failed("begin to copy to", to, fault))?;
        let copied = self.copy_each(source, size, part_bytes, (&bucket, &name, &id)).await;
        if let Err(fault) = copied {
            // What this cannot remove, the sweep of unfinished uploads does.
            let _ = self.client.abort_multipart_upload().bucket(&bucket).key(&name).upload_id(&id).send().await;
            return Err(self.failed("copy in parts to", to, fault));
        }
        Ok(())
    }

    async fn copy_each(
        &self,
        source: &str,
        size: u64,
        part_bytes: u64,
        (bucket, name, id): (&str, &str, &str),
    ) -> std::result::Result<(), Fault> {
        let mut done = Vec::new();
        let (mut start, mut number) = (0, 1);
        while start < size {
            let end = start.saturating_add(part_bytes).min(size);
            let request = self.client.upload_part_copy().copy_source(source).bucket(bucket).key(name).upload_id(id);
            let range = format!("bytes={start}-{}", end - 1);
            let copied = request.part_number(number).copy_source_range(range).send().await?;
            let tag = copied.copy_part_result.and_then(|result| result.e_tag);
            done.push(CompletedPart::builder().part_number(number).set_e_tag(tag).build());
            (start, number) = (end, number + 1);
        }
        let parts = CompletedMultipartUpload::builder().set_parts(Some(done)).build();
        let request = self.client.complete_multipart_upload().bucket(bucket).key(name).upload_id(id);
        request.multipart_upload(parts).send().await?;
        Ok(())
    }
}
