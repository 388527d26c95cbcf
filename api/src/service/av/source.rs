//! A stored file as something to read and seek in, for libraries that parse headers.

use crate::domain::BlobKey;
use crate::storage::BlobStore;
use bytes::Bytes;
use futures::TryStreamExt;
use std::io::{Error, Read, Result, Seek, SeekFrom};
use std::sync::Arc;
use tokio::runtime::Handle;

/// Bytes that are fetched at a time.
const WINDOW_BYTES: u64 = 64 << 10;
/// Bytes and requests that the headers of one file may cost: a file can lead a parser around in it.
const MOST_BYTES: u64 = 64 << 20;
const MOST_FETCHES: u32 = 2048;

/// Reads a blob by ranges, for use outside of the runtime's threads. Errors when the parser wants too much of it.
pub struct BlobSource {
    store: Arc<dyn BlobStore>,
    blob: BlobKey,
    n_bytes: u64,
    runtime: Handle,
    position: u64,
    window: Bytes,
    window_start: u64,
    bytes_left: u64,
    fetches_left: u32,
}

impl BlobSource {
    pub fn new(store: Arc<dyn BlobStore>, blob: BlobKey, n_bytes: u64, runtime: Handle) -> Self {
        BlobSource {
            store,
            blob,
            n_bytes,
            runtime,
            position: 0,
            window: Bytes::new(),
            window_start: 0,
            bytes_left: MOST_BYTES,
            fetches_left: MOST_FETCHES,
        }
    }

    /// Length of the file.
    pub fn n_bytes(&self) -> u64 {
        self.n_bytes
    }

    /// What of the window follows the position.
    fn ahead(&self) -> &[u8] {
        let skipped = self.position.checked_sub(self.window_start).and_then(|skipped| usize::try_from(skipped).ok());
        skipped.and_then(|skipped| self.window.get(skipped..)).unwrap_or_default()
    }

    fn fetch(&mut self) -> Result<()> {
        let end = self.position.saturating_add(WINDOW_BYTES).min(self.n_bytes);
        let n_bytes = end - self.position;
        if n_bytes > self.bytes_left || self.fetches_left == 0 {
            return Err(Error::other("the headers of the file are too long or too scattered"));
        }
        self.bytes_left -= n_bytes;
        self.fetches_left -= 1;
        let (store, blob, range) = (&self.store, &self.blob, self.position..end);
        let fetched = self.runtime.block_on(async {
            let chunks: Vec<Bytes> = store.open(blob, Some(range)).await?.try_collect().await?;
            Ok::<_, crate::storage::StorageError>(chunks.concat())
        });
        self.window = fetched.map_err(Error::other)?.into();
        self.window_start = self.position;
        Ok(())
    }
}

impl Read for BlobSource {
    fn read(&mut self, into: &mut [u8]) -> Result<usize> {
        if into.is_empty() || self.position >= self.n_bytes {
            return Ok(0);
        }
        if self.ahead().is_empty() {
            self.fetch()?;
        }
        let ahead = self.ahead();
        let n = ahead.len().min(into.len());
        into[..n].copy_from_slice(&ahead[..n]);
        self.position += n as u64;
        Ok(n)
    }
}

impl Seek for BlobSource {
    fn seek(&mut self, to: SeekFrom) -> Result<u64> {
        let position = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::Current(by) => self.position.checked_add_signed(by),
            SeekFrom::End(by) => self.n_bytes.checked_add_signed(by),
        };
        self.position = position.ok_or_else(|| Error::other("a position before the beginning"))?;
        Ok(self.position)
    }
}
