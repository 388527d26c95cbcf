//! The bytes of a blob as a stream of chunks.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Bytes, BytesMut};
use futures::{Stream, StreamExt, stream::BoxStream};

use super::Result;

/// An opened blob or range: how long it is, and its bytes as they are read.
pub struct BlobReader {
    length: u64,
    chunks: BoxStream<'static, Result<Bytes>>,
}

impl BlobReader {
    /// `chunks` must together have `length` bytes unless it ends with an error.
    pub fn new(length: u64, chunks: BoxStream<'static, Result<Bytes>>) -> Self {
        Self { length, chunks }
    }

    /// Bytes that the stream will give: those of the range where one was asked for.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Everything in one piece.
    pub async fn collect(mut self) -> Result<Bytes> {
        let mut whole = BytesMut::new();
        while let Some(chunk) = self.next().await {
            whole.extend_from_slice(&chunk?);
        }
        Ok(whole.freeze())
    }
}

impl Stream for BlobReader {
    type Item = Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.chunks.poll_next_unpin(context)
    }
}

impl fmt::Debug for BlobReader {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("BlobReader").field("length", &self.length).finish_non_exhaustive()
    }
}
