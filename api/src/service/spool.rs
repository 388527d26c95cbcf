//! An upload on its way into the blob store: counted and hashed as it arrives, committed only when all is well.

use super::upload::UploadError;
use crate::storage::BlobWriter;
use bytes::Bytes;
use md5::{Digest, Md5};
use std::fmt;
use tokio::sync::OwnedSemaphorePermit;

/// Bytes that are being received. Dropping it leaves nothing in the store.
pub struct Spool {
    /// `None` once the file is too large: the rest is counted, not kept.
    writer: Option<Box<dyn BlobWriter>>,
    md5: Md5,
    received: u64,
    max: u64,
    permit: OwnedSemaphorePermit,
}

/// A received file, not yet durable.
pub(super) struct Spooled {
    pub writer: Box<dyn BlobWriter>,
    /// Hexadecimal.
    pub md5: String,
    pub bytes: u64,
    /// Held until the upload is done, because that bounds the uploads in progress.
    pub permit: OwnedSemaphorePermit,
}

impl Spool {
    pub(super) fn new(writer: Box<dyn BlobWriter>, max: u64, permit: OwnedSemaphorePermit) -> Self {
        Spool { writer: Some(writer), md5: Md5::new(), received: 0, max, permit }
    }

    /// Takes the next bytes of the file.
    pub async fn write(&mut self, chunk: Bytes) -> Result<(), UploadError> {
        self.received = self.received.saturating_add(chunk.len() as u64);
        if self.received > self.max {
            self.writer = None;
        }
        let Some(writer) = &mut self.writer else { return Ok(()) };
        self.md5.update(&chunk);
        writer.write(chunk).await.map_err(UploadError::Storage)
    }

    /// Most bytes that are kept.
    pub(super) fn max_bytes(&self) -> u64 {
        self.max
    }

    /// Bytes that were received, kept or not.
    pub fn received(&self) -> u64 {
        self.received
    }

    pub(super) fn finish(self) -> Result<Spooled, UploadError> {
        if self.received == 0 {
            return Err(UploadError::EmptyFile);
        }
        let writer = self.writer.ok_or(UploadError::TooLarge { got: self.received, max: self.max })?;
        Ok(Spooled { writer, md5: hex::encode(self.md5.finalize()), bytes: self.received, permit: self.permit })
    }
}

impl fmt::Debug for Spool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spool").field("received", &self.received).field("max", &self.max).finish_non_exhaustive()
    }
}
