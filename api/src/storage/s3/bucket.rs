//! A bucket that is not one of ours: listed and read by the names that its owner gave, and never written to.

use std::ops::Range;

use aws_sdk_s3::Client;
use aws_sdk_s3::operation::get_object::GetObjectOutput;
use futures::stream;

use super::super::{BlobKey, BlobReader, Result, StorageError};
use super::client::{self, S3Options};
use super::fault::Fault;

/// Most names in one page.
const PAGE: i32 = 1000;

/// Somebody's bucket. The options' prefix may be any text here.
pub struct Bucket {
    client: Client,
    options: S3Options,
    page: i32,
}

/// One object of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    pub name: String,
    pub bytes: u64,
    /// MD5 in hex, where the server's ETag is one: not of what was uploaded in parts.
    pub md5: Option<String>,
    /// What the server calls this content.
    pub etag: String,
}

/// Some objects in the order of their names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectPage {
    pub objects: Vec<Object>,
    /// What the next page goes on from; `None` at the end.
    pub next: Option<String>,
}

impl Bucket {
    pub fn new(options: S3Options) -> Self {
        Self { client: client::client(&options), options, page: PAGE }
    }

    /// The same with other pages, of at most `names` names.
    pub fn with_page(self, names: u16) -> Self {
        Self { page: names.clamp(1, 1000).into(), ..self }
    }

    /// Name of the bucket.
    pub fn name(&self) -> &str {
        &self.options.bucket
    }

    /// Start of the names that are listed.
    pub fn prefix(&self) -> &str {
        &self.options.prefix
    }

    fn failed(&self, doing: &str, fault: Fault) -> StorageError {
        fault.about(format!("{doing} bucket {} on {}", self.options.bucket, self.options.server()), None)
    }

    /// The objects after a name.
    pub async fn page(&self, after: Option<&str>) -> Result<ObjectPage> {
        let request = self.client.list_objects_v2().bucket(&self.options.bucket).prefix(&self.options.prefix);
        let request = request.set_start_after(after.map(str::to_owned)).max_keys(self.page);
        let listed = request.send().await.map_err(|error| self.failed("list", Fault::from(error)))?;
        let objects: Vec<Object> = listed
            .contents()
            .iter()
            .filter_map(|object| {
                let etag = object.e_tag().unwrap_or_default().trim_matches('"').to_ascii_lowercase();
                let is_md5 = etag.len() == 32 && etag.bytes().all(|byte| byte.is_ascii_hexdigit());
                Some(Object {
                    name: object.key()?.to_owned(),
                    bytes: object.size().and_then(|size| u64::try_from(size).ok()).unwrap_or(0),
                    md5: is_md5.then_some(etag),
                    etag: object.e_tag().unwrap_or_default().to_owned(),
                })
            })
            .collect();
        let more = listed.is_truncated().unwrap_or(false);
        Ok(ObjectPage { next: objects.last().filter(|_| more).map(|object| object.name.clone()), objects })
    }

    /// The bytes of an object.
    pub async fn open(&self, name: &str) -> Result<BlobReader> {
        let asked = self.client.get_object().bucket(&self.options.bucket).key(name).send().await;
        let object = asked.map_err(|error| self.failed("read from", Fault::from(error)))?;
        Ok(self.reader(object))
    }

    /// Some bytes of an object that is still what it was: [`StorageError::Corrupted`] of `key` where it was replaced.
    pub async fn open_unchanged(&self, key: &BlobKey, name: &str, etag: &str, range: Range<u64>) -> Result<BlobReader> {
        if range.is_empty() {
            return Ok(BlobReader::new(0, Box::pin(stream::empty())));
        }
        let replaced = || {
            let reason = format!("object {name} of bucket {} was replaced", self.options.bucket);
            StorageError::Corrupted { key: key.clone(), reason }
        };
        let asked = self.client.get_object().bucket(&self.options.bucket).key(name).if_match(etag);
        let asked = asked.range(format!("bytes={}-{}", range.start, range.end - 1)).send().await;
        let object = match asked.map_err(Fault::from) {
            Err(fault) if fault.is_changed() => return Err(replaced()),
            Err(fault) => {
                let doing = format!("read {name} of bucket {} on {}", self.options.bucket, self.options.server());
                return Err(fault.about(doing, Some(key)));
            }
            Ok(object) => object,
        };
        // Not every server knows the condition.
        let is_other = object.e_tag().is_some_and(|found| found.trim_matches('"') != etag.trim_matches('"'));
        let reader = self.reader(object);
        if is_other || reader.length() != range.end - range.start {
            return Err(replaced());
        }
        Ok(reader)
    }

    /// Bytes of an object, `None` where there is none of that name.
    pub async fn size(&self, name: &str) -> Result<Option<u64>> {
        let asked = self.client.head_object().bucket(&self.options.bucket).key(name).send().await;
        match asked.map_err(Fault::from) {
            Ok(head) => Ok(head.content_length().and_then(|length| u64::try_from(length).ok())),
            Err(fault) if fault.is_missing() => Ok(None),
            Err(fault) => Err(self.failed("measure an object of", fault)),
        }
    }

    fn reader(&self, object: GetObjectOutput) -> BlobReader {
        let length = object.content_length().and_then(|length| u64::try_from(length).ok()).unwrap_or(0);
        let limit = self.options.timing.attempt;
        let failed = |cause: String| StorageError::Unavailable(format!("an object broke off: {cause}"));
        let chunks = stream::try_unfold(object.body, move |mut body| async move {
            match tokio::time::timeout(limit, body.next()).await {
                Ok(Some(Ok(chunk))) => Ok(Some((chunk, body))),
                Ok(None) => Ok(None),
                Ok(Some(Err(error))) => Err(failed(error.to_string())),
                Err(_) => Err(failed("the server fell silent".to_owned())),
            }
        });
        BlobReader::new(length, Box::pin(chunks))
    }
}
