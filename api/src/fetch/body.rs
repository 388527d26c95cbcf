//! A remote file while it is read: counted and timed piece by piece.

use super::error::{Failure, FetchError};
use super::gate::Admission;
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::HeaderMap;
use hyper::body::Incoming;
use std::fmt;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

/// What the last answer said about a file.
#[derive(Debug, Clone)]
pub struct RemoteHead {
    /// From 200 to 299.
    pub status: u16,
    pub headers: HeaderMap,
    /// Last part of the path that the caller gave, decoded; may be empty, and may hold any character.
    pub filename: String,
    /// As the server declares it; `None` when it does not say. Of a file that is read it is at most the maximum.
    pub content_length: Option<u64>,
}

impl RemoteHead {
    /// Value of `Content-Type`, if it is readable.
    pub fn content_type(&self) -> Option<&str> {
        self.headers.get(hyper::header::CONTENT_TYPE)?.to_str().ok()
    }
}

/// Ends the connection together with its reader.
pub(super) struct Driver(pub(super) JoinHandle<()>);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Ceilings of one body.
pub(super) struct BodyCeilings {
    pub(super) max_bytes: u64,
    pub(super) idle: Duration,
    pub(super) deadline: Instant,
}

/// A file that is being read. Dropping it closes the connection.
pub struct RemoteFile {
    pub head: RemoteHead,
    body: Incoming,
    received: u64,
    ceilings: BodyCeilings,
    /// As errors show it.
    url: String,
    _driver: Driver,
    _admission: Admission,
}

impl RemoteFile {
    pub(super) fn new(
        head: RemoteHead,
        body: Incoming,
        ceilings: BodyCeilings,
        url: String,
        driver: Driver,
        admission: Admission,
    ) -> Self {
        RemoteFile { head, body, received: 0, ceilings, url, _driver: driver, _admission: admission }
    }

    /// The next piece, or `None` at the end. After an error nothing more can be read.
    pub async fn next(&mut self) -> Result<Option<Bytes>, FetchError> {
        loop {
            let until = self.ceilings.deadline.min(Instant::now() + self.ceilings.idle);
            let frame = match timeout_at(until, self.body.frame()).await {
                Err(_) => return Err(self.failed(Failure::Timeout)),
                Ok(None) => return Ok(None),
                Ok(Some(Err(error))) => {
                    tracing::debug!(%error, "a remote body broke off");
                    return Err(self.failed(Failure::Incomplete));
                }
                Ok(Some(Ok(frame))) => frame,
            };
            // Trailers say nothing that is needed here.
            let Ok(piece) = frame.into_data() else { continue };
            if piece.is_empty() {
                continue;
            }
            self.received = self.received.saturating_add(piece.len() as u64);
            if self.received > self.ceilings.max_bytes {
                return Err(FetchError::TooLarge { got: self.received, max: self.ceilings.max_bytes });
            }
            return Ok(Some(piece));
        }
    }

    fn failed(&self, failure: Failure) -> FetchError {
        FetchError::Failed { url: self.url.clone(), failure }
    }
}

impl fmt::Debug for RemoteFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteFile").field("head", &self.head).field("received", &self.received).finish_non_exhaustive()
    }
}
