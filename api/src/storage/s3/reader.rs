//! Reading: one request, and another from where the first broke off.

use std::ops::Range;
use std::sync::Arc;

use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::primitives::ByteStream;
use bytes::Bytes;
use futures::stream;
use md5::{Digest, Md5};

use super::super::{BlobKey, BlobReader, Result, StorageError, checked_range};
use super::fault::Fault;
use super::{Inner, MD5_NAME};

/// Ends of ranges beyond this are surely beyond the blob, and some servers cannot read them.
const MOST_BLOB_BYTES: u64 = 1 << 50;

/// A blob's bytes on their way.
pub(super) struct Body {
    inner: Arc<Inner>,
    key: BlobKey,
    /// What the server calls this content; what a second request must find unchanged.
    etag: Option<String>,
    stream: ByteStream,
    /// What has not come yet.
    rest: Range<u64>,
    /// How often the request may still be repeated.
    retries: u32,
    /// The sum so far and what it must be, where the whole blob is read and its sum is known.
    sum: Option<(Md5, String)>,
}

impl Body {
    pub(super) async fn open(inner: Arc<Inner>, key: BlobKey, range: Option<Range<u64>>) -> Result<BlobReader> {
        if let Some(range) = &range
            && (range.is_empty() || range.end > MOST_BLOB_BYTES)
        {
            return Self::open_nothing(&inner, &key, range.clone()).await;
        }
        let asked = match get(&inner, &key, range.as_ref(), None).await {
            Err(fault) if fault.is_bad_range() => {
                return Self::open_nothing(&inner, &key, range.unwrap_or(0..0)).await;
            }
            Err(fault) if fault.is_no_bucket() && inner.place.is_per_cloud() => {
                return Err(StorageError::NotFound(key));
            }
            asked => asked.map_err(|fault| inner.failed("read", &key, fault))?,
        };
        let rest = match extent(&asked, range.as_ref()) {
            Ok((found, size)) => {
                let wanted = checked_range(range.clone(), size)?;
                if found != wanted {
                    let cause = format!("bytes {found:?} were sent where {wanted:?} were asked for");
                    return Err(inner.failed("read", &key, Fault::unavailable(cause)));
                }
                found
            }
            Err(cause) => return Err(inner.failed("read", &key, Fault::unavailable(cause))),
        };
        let expected = asked.metadata().and_then(|metadata| metadata.get(MD5_NAME)).filter(|_| range.is_none());
        let sum = expected.map(|expected| (Md5::new(), expected.clone()));
        let retries = inner.options.timing.attempts.saturating_sub(1);
        let length = rest.end - rest.start;
        let body = Self { inner, key, etag: asked.e_tag, stream: asked.body, rest, retries, sum };
        let chunks =
            stream::try_unfold(body, |mut body| async move { Ok(body.next().await?.map(|chunk| (chunk, body))) });
        Ok(BlobReader::new(length, Box::pin(chunks)))
    }

    /// A range that no request can ask for: it is empty, or wrong.
    async fn open_nothing(inner: &Inner, key: &BlobKey, range: Range<u64>) -> Result<BlobReader> {
        let size = inner.size(key).await?.ok_or_else(|| StorageError::NotFound(key.clone()))?;
        let range = checked_range(Some(range), size)?;
        if range.is_empty() {
            return Ok(BlobReader::new(0, Box::pin(stream::empty())));
        }
        Err(inner.failed("read", key, Fault::unavailable(format!("range {range:?} of {size} bytes was refused"))))
    }

    async fn next(&mut self) -> Result<Option<Bytes>> {
        loop {
            let next = tokio::time::timeout(self.inner.options.timing.attempt, self.stream.next()).await;
            let cause = match next {
                Ok(Some(Ok(chunk))) if chunk.is_empty() => continue,
                Ok(Some(Ok(chunk))) => return self.take(chunk).map(Some),
                Ok(None) if self.rest.is_empty() => return self.finish(),
                Ok(None) => "the answer ended too early".to_owned(),
                Ok(Some(Err(error))) => error.to_string(),
                Err(_) => "the server fell silent".to_owned(),
            };
            // Nothing more is wanted: an error after the last byte is none of ours.
            if self.rest.is_empty() {
                return self.finish();
            }
            self.resume(cause).await?;
        }
    }

    fn take(&mut self, chunk: Bytes) -> Result<Bytes> {
        let length = chunk.len() as u64;
        if length > self.rest.end - self.rest.start {
            return Err(self.damaged("more bytes came than were announced"));
        }
        self.rest.start += length;
        if let Some((sum, _)) = &mut self.sum {
            sum.update(&chunk);
        }
        Ok(chunk)
    }

    fn finish(&mut self) -> Result<Option<Bytes>> {
        if let Some((sum, expected)) = self.sum.take()
            && hex::encode(sum.finalize()) != expected
        {
            return Err(self.damaged("its MD5 is not that of the bytes that were stored"));
        }
        Ok(None)
    }

    fn damaged(&self, reason: &str) -> StorageError {
        tracing::error!(key = %self.key, reason, "a blob is damaged");
        StorageError::Corrupted { key: self.key.clone(), reason: reason.to_owned() }
    }

    /// Asks for the rest.
    async fn resume(&mut self, cause: String) -> Result<()> {
        if self.retries == 0 {
            return Err(self.inner.failed("read", &self.key, Fault::unavailable(cause)));
        }
        self.retries -= 1;
        tracing::warn!(key = %self.key, cause, from = self.rest.start, "reading a blob broke off and goes on");
        tokio::time::sleep(self.inner.options.timing.first_pause).await;
        let asked = get(&self.inner, &self.key, Some(&self.rest), self.etag.as_deref()).await;
        let asked = asked.map_err(|fault| self.inner.failed("go on reading", &self.key, fault))?;
        match extent(&asked, Some(&self.rest)) {
            Ok((found, _)) if found == self.rest => {
                self.stream = asked.body;
                Ok(())
            }
            _ => Err(self.damaged("its length has changed while it was read")),
        }
    }
}

async fn get(
    inner: &Inner,
    key: &BlobKey,
    range: Option<&Range<u64>>,
    etag: Option<&str>,
) -> std::result::Result<GetObjectOutput, Fault> {
    let range = range.map(|range| format!("bytes={}-{}", range.start, range.end.saturating_sub(1)));
    inner
        .client
        .get_object()
        .bucket(inner.place.bucket_of(key))
        .key(inner.place.name_of(key))
        .set_range(range)
        .set_if_match(etag.map(str::to_owned))
        .send()
        .await
        .map_err(Fault::from)
}

/// Which bytes an answer has, and the size of the whole blob.
fn extent(answer: &GetObjectOutput, range: Option<&Range<u64>>) -> std::result::Result<(Range<u64>, u64), String> {
    let length = answer.content_length().and_then(|length| u64::try_from(length).ok());
    let length = length.ok_or("an answer without a length")?;
    let Some(text) = answer.content_range() else {
        // A server may give the whole blob where the whole was asked for as a range, but no more.
        return match range {
            Some(_) if range != Some(&(0..length)) => Err("the server takes no ranges".to_owned()),
            _ => Ok((0..length, length)),
        };
    };
    let parsed = text.trim().strip_prefix("bytes ").and_then(|text| {
        let (ends, size) = text.split_once('/')?;
        let (first, last) = ends.split_once('-')?;
        Some((first.parse::<u64>().ok()?..last.parse::<u64>().ok()?.checked_add(1)?, size.parse::<u64>().ok()?))
    });
    match parsed {
        Some((found, size)) if found.start <= found.end && found.end - found.start == length => Ok((found, size)),
        _ => Err(format!("a range that cannot be: {text:?} of {length} bytes")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(length: Option<i64>, range: Option<&str>) -> GetObjectOutput {
        GetObjectOutput::builder().set_content_length(length).set_content_range(range.map(str::to_owned)).build()
    }

    #[test]
    fn extents_are_read_and_doubted() {
        assert_eq!(extent(&answer(Some(5), None), None), Ok((0..5, 5)));
        assert_eq!(extent(&answer(Some(5), None), Some(&(0..5))), Ok((0..5, 5)));
        assert_eq!(extent(&answer(Some(3), Some("bytes 2-4/9")), Some(&(2..5))), Ok((2..5, 9)));
        for (length, range) in [
            (None, None),
            (Some(-1), None),
            (Some(5), None),
            (Some(3), Some("bytes 2-5/9")),
            (Some(3), Some("bytes 2-4/*")),
            (Some(0), Some("bytes 18446744073709551615-18446744073709551615/1")),
            (Some(3), Some("2-4")),
        ] {
            assert!(extent(&answer(length, range), Some(&(2..5))).is_err(), "{length:?} {range:?}");
        }
    }
}
