//! Everything about many blobs at once: listing, deletion, and uploads that nobody finishes.

use std::collections::BTreeMap;
use std::time::SystemTime;

use aws_sdk_s3::types::{Delete, ObjectIdentifier};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures::stream::{self, StreamExt, TryStreamExt};
use md5::{Digest, Md5};

use super::super::{BlobKey, Result, StorageError};
use super::Inner;
use super::fault::Fault;

/// Most names in one request.
const PAGE: usize = 1000;
/// Requests at once where a server cannot delete many blobs in one.
const DELETES_AT_ONCE: usize = 8;

impl Inner {
    /// The store's buckets as they are now.
    async fn buckets(&self) -> Result<Vec<String>> {
        if !self.place.is_per_cloud() {
            return Ok(vec![self.place.bucket().to_owned()]);
        }
        let mut buckets = Vec::new();
        let mut more = None;
        loop {
            let listed = self.client.list_buckets().set_continuation_token(more).send().await;
            let listed = listed
                .map_err(|error| Fault::from(error).about(self.doing("list buckets", self.place.bucket()), None))?;
            let names = listed.buckets().iter().filter_map(|bucket| bucket.name());
            buckets.extend(names.filter(|name| self.place.is_of_a_cloud(name)).map(str::to_owned));
            more = listed.continuation_token;
            if more.is_none() {
                return Ok(buckets);
            }
        }
    }

    /// At most `limit` keys greater than `after`, ascending: names have the order of their keys.
    pub(super) async fn list(&self, after: Option<&BlobKey>, limit: usize) -> Result<Vec<BlobKey>> {
        let mut keys = Vec::new();
        for bucket in self.buckets().await? {
            self.list_bucket(&bucket, after, limit, &mut keys).await?;
        }
        keys.sort_unstable();
        keys.truncate(limit);
        Ok(keys)
    }

    async fn list_bucket(
        &self,
        bucket: &str,
        after: Option<&BlobKey>,
        limit: usize,
        keys: &mut Vec<BlobKey>,
    ) -> Result<()> {
        let enough = keys.len().saturating_add(limit);
        let mut start = after.map(|key| self.place.name_of(key));
        let mut first = true;
        // Even a listing of nothing asks the server once.
        while first || keys.len() < enough {
            first = false;
            let page = enough.saturating_sub(keys.len()).clamp(1, PAGE);
            let request = self.client.list_objects_v2().bucket(bucket).prefix(self.place.prefix());
            let request = request.set_start_after(start.take()).max_keys(i32::try_from(page).unwrap_or(i32::MAX));
            let listed = match request.send().await.map_err(Fault::from) {
                Err(fault) if fault.is_no_bucket() && self.place.is_per_cloud() => return Ok(()),
                listed => listed.map_err(|fault| fault.about(self.doing("list blobs", bucket), None))?,
            };
            for object in listed.contents() {
                keys.extend(object.key().and_then(|name| self.place.key_of(name)));
            }
            // The last name is as good as a token, and every server knows it.
            start = listed.contents().last().and_then(|object| object.key()).map(str::to_owned);
            if !listed.is_truncated().unwrap_or(false) || start.is_none() {
                break;
            }
        }
        keys.truncate(enough);
        Ok(())
    }

    pub(super) async fn delete_all(&self, keys: &[BlobKey]) -> Result<()> {
        let mut by_bucket: BTreeMap<String, Vec<&BlobKey>> = BTreeMap::new();
        for key in keys {
            by_bucket.entry(self.place.bucket_of(key)).or_default().push(key);
        }
        for (bucket, keys) in by_bucket {
            for page in keys.chunks(PAGE) {
                self.delete_page(&bucket, page).await?;
            }
        }
        Ok(())
    }

    async fn delete_page(&self, bucket: &str, keys: &[&BlobKey]) -> Result<()> {
        let doing = || self.doing(format_args!("delete {} blobs", keys.len()), bucket);
        let names = keys.iter().filter_map(|key| ObjectIdentifier::builder().key(self.place.name_of(key)).build().ok());
        let names = Delete::builder().set_objects(Some(names.collect())).quiet(true).build();
        let names = names.map_err(|error| StorageError::io(doing(), std::io::Error::other(error)))?;
        let request = self.client.delete_objects().bucket(bucket).delete(names).customize();
        // Older servers insist on the MD5 of this request alone; the SDK sends a CRC.
        let request = request.mutate_request(|request| {
            if let Some(sum) = request.body().bytes().map(|body| STANDARD.encode(Md5::digest(body))) {
                request.headers_mut().insert("content-md5", sum);
            }
        });
        match request.send().await.map_err(Fault::from) {
            Ok(done) => {
                // One that is not there is no error to us.
                let failed = done.errors().iter().find(|error| error.code() != Some("NoSuchKey"));
                let Some(failed) = failed else { return Ok(()) };
                let (code, message) = (failed.code().unwrap_or_default(), failed.message().unwrap_or_default());
                let cause = format!("{}: {code}: {message}", failed.key().unwrap_or_default());
                Err(Fault::unavailable(cause).about(doing(), None))
            }
            Err(fault) if fault.is_no_bucket() && self.place.is_per_cloud() => Ok(()),
            Err(fault) if fault.is_of_the_request() => {
                stream::iter(keys).map(Ok).try_for_each_concurrent(DELETES_AT_ONCE, |key| self.delete_one(key)).await
            }
            Err(fault) => Err(fault.about(doing(), None)),
        }
    }

    async fn delete_one(&self, key: &BlobKey) -> Result<()> {
        let request = self.client.delete_object().bucket(self.place.bucket_of(key)).key(self.place.name_of(key));
        match request.send().await.map_err(Fault::from) {
            Err(fault) if fault.is_missing() => Ok(()),
            Err(fault) => Err(self.failed("delete", key, fault)),
            Ok(_) => Ok(()),
        }
    }

    /// Aborts the multipart uploads that are older than any writer lives.
    pub(super) async fn remove_unfinished(&self) -> Result<u64> {
        let before = SystemTime::now().checked_sub(self.options.timing.stale_after);
        let mut removed = 0;
        for bucket in self.buckets().await? {
            let (mut after_key, mut after_id) = (None, None);
            loop {
                let request = self.client.list_multipart_uploads().bucket(&bucket).prefix(self.place.prefix());
                let request = request.set_key_marker(after_key.take()).set_upload_id_marker(after_id.take());
                let listed = request.send().await;
                let listed = listed
                    .map_err(|error| Fault::from(error).about(self.doing("list unfinished uploads", &bucket), None))?;
                for upload in listed.uploads() {
                    let begun = upload.initiated().and_then(|begun| SystemTime::try_from(*begun).ok());
                    let stale = begun.zip(before).is_some_and(|(begun, before)| begun < before);
                    let (Some(name), Some(id)) = (upload.key(), upload.upload_id()) else { continue };
                    let Some(key) = self.place.key_of(name).filter(|_| stale) else { continue };
                    let abort = self.client.abort_multipart_upload().bucket(&bucket).key(name).upload_id(id);
                    match abort.send().await.map_err(Fault::from) {
                        Err(fault) if fault.code() != "NoSuchUpload" => {
                            return Err(self.failed("abort the upload of", &key, fault));
                        }
                        _ => removed += 1,
                    }
                }
                (after_key, after_id) = (listed.next_key_marker, listed.next_upload_id_marker);
                if !listed.is_truncated.unwrap_or(false) || after_key.is_none() {
                    break;
                }
            }
        }
        if removed > 0 {
            tracing::info!(removed, "unfinished uploads were removed");
        }
        Ok(removed)
    }
}
