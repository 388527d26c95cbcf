//! The way to the addresses of other servers, and how what is sent there is signed (api.md 6.3).

use crate::auth::signature::Algorithm;
use crate::fetch::{FetchError, RemoteClient};
use async_trait::async_trait;
use bytes::Bytes;
use sha1::Sha1;
use sha2::{Digest, Sha256};

/// Why a notification could not be delivered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotifyError {
    /// This server was put together without a way to others.
    #[error("this server has no client for notifications")]
    NotConfigured,
    /// The address will never be called: it is malformed, or not allowed.
    #[error("the address is refused: {0}")]
    Refused(String),
    /// It may go better later.
    #[error("{0}")]
    Failed(String),
}

/// Calls addresses of other servers.
#[async_trait]
pub trait Notifier: Send + Sync {
    /// Sends one POST and gives the status of the answer. Redirects are not followed: an answer with one is its status.
    async fn post(&self, url: &str, headers: &[(&'static str, String)], body: Bytes) -> Result<u16, NotifyError>;
}

/// Calls nobody, and says so.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoNotifier;

#[async_trait]
impl Notifier for NoNotifier {
    async fn post(&self, _: &str, _: &[(&'static str, String)], _: Bytes) -> Result<u16, NotifyError> {
        Err(NotifyError::NotConfigured)
    }
}

/// The client for remote addresses, under its rules: what may not be fetched may not be notified either.
#[async_trait]
impl Notifier for RemoteClient {
    async fn post(&self, url: &str, headers: &[(&'static str, String)], body: Bytes) -> Result<u16, NotifyError> {
        let is_type = |name: &str| name.eq_ignore_ascii_case("content-type");
        let content_type = headers.iter().find(|(name, _)| is_type(name)).map(|(_, value)| value.as_str());
        let others: Vec<(&str, &str)> =
            headers.iter().filter(|(name, _)| !is_type(name)).map(|(name, value)| (*name, value.as_str())).collect();
        RemoteClient::post(self, url, &others, content_type.unwrap_or("application/json"), body).await.map_err(
            |error| match error {
                FetchError::Unsupported { .. } => NotifyError::Refused(error.to_string()),
                other => NotifyError::Failed(other.to_string()),
            },
        )
    }
}

/// Signature of a notification: a plain digest of body, timestamp and secret, in hexadecimal.
pub fn sign(body: &[u8], timestamp_s: i64, secret: &str, algorithm: Algorithm) -> String {
    let timestamp = timestamp_s.to_string();
    let parts = [body, timestamp.as_bytes(), secret.as_bytes()];
    match algorithm {
        Algorithm::Sha1 => hex::encode(parts.iter().fold(Sha1::new(), Digest::chain_update).finalize()),
        Algorithm::Sha256 => hex::encode(parts.iter().fold(Sha256::new(), Digest::chain_update).finalize()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_are_those_of_the_specification() {
        let body = br#"{"notification_type":"upload","public_id":"cat/meow"}"#;
        assert_eq!(sign(body, 1_700_000_000, "s3cr3t", Algorithm::Sha1), "fe7a3bc90052293ea1ad440ba4e963cd31f63bf6");
        assert_eq!(
            sign(body, 1_700_000_000, "s3cr3t", Algorithm::Sha256),
            "83a3828729425f0c8d0eb77c8fcad43153aeef647d4f531c3fbb4ec165163633"
        );
    }
}
