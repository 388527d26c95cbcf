//! The client of the SDK with our timeouts, retries and checksums.

use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::{RetryConfig, RetryPartition, TokenBucket};
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{
    BehaviorVersion, Config, Credentials, Region, RequestChecksumCalculation, ResponseChecksumValidation,
    StalledStreamProtectionConfig,
};
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};

use super::place::Place;
use crate::domain::Secret;

/// When additional checksums go over the wire. Content-MD5 and the signed SHA-256 of the body always do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checksums {
    /// Only where the protocol demands it: what older and other servers understand.
    WhenRequired,
    /// CRC-32 with every upload, checked again by the client on reads.
    WhenSupported,
}

/// Patience with the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timing {
    pub connect: Duration,
    /// One try of one request, and the longest silence within a body.
    pub attempt: Duration,
    /// Most tries of one request.
    pub attempts: u32,
    /// Pause before the second try; it doubles with each further one.
    pub first_pause: Duration,
    /// Age at which an unfinished upload counts as left behind.
    pub stale_after: Duration,
}

impl Timing {
    /// All tries of a request together.
    pub(super) fn operation(&self) -> Duration {
        self.attempt.saturating_mul(2)
    }
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(3),
            attempt: Duration::from_secs(20),
            attempts: 4,
            first_pause: Duration::from_millis(200),
            stale_after: Duration::from_secs(24 * 3600),
        }
    }
}

/// An S3 server, a place on it, and how to speak to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct S3Options {
    /// Address of the server; `None` is that of Amazon's in the region.
    pub endpoint: Option<String>,
    pub region: String,
    /// May contain `{cloud}` for one bucket for each cloud; those are made when they are first needed.
    pub bucket: String,
    /// Start of every name in the bucket.
    pub prefix: String,
    pub access_key_id: String,
    pub secret_access_key: Secret,
    /// `endpoint/bucket` rather than `bucket.endpoint`.
    pub path_style: bool,
    pub checksums: Checksums,
    pub timing: Timing,
}

impl S3Options {
    /// Whether bucket and prefix can be ones; else whether the prefix is the wrong one, and why.
    pub fn check_place(bucket: &str, prefix: &str) -> Result<(), (bool, &'static str)> {
        Place::new(bucket, "").map_err(|reason| (false, reason))?;
        Place::new(bucket, prefix).map(drop).map_err(|reason| (true, reason))
    }

    /// Where this is, for messages.
    pub(super) fn server(&self) -> String {
        self.endpoint.clone().unwrap_or_else(|| format!("Amazon S3 in {}", self.region))
    }
}

pub(super) fn client(options: &S3Options) -> Client {
    let http = Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https();
    let secret = options.secret_access_key.expose();
    let (requests, responses) = match options.checksums {
        Checksums::WhenRequired => (RequestChecksumCalculation::WhenRequired, ResponseChecksumValidation::WhenRequired),
        Checksums::WhenSupported => {
            (RequestChecksumCalculation::WhenSupported, ResponseChecksumValidation::WhenSupported)
        }
    };
    let timing = &options.timing;
    let mut config = Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .http_client(http)
        .credentials_provider(Credentials::new(&options.access_key_id, secret, None, None, "tintype"))
        .region(Region::new(options.region.clone()))
        .force_path_style(options.path_style)
        .request_checksum_calculation(requests)
        .response_checksum_validation(responses)
        .retry_config(
            RetryConfig::standard()
                .with_max_attempts(timing.attempts.max(1))
                .with_initial_backoff(timing.first_pause)
                .with_max_backoff(timing.attempt),
        )
        .timeout_config(
            TimeoutConfig::builder()
                .connect_timeout(timing.connect)
                .operation_attempt_timeout(timing.attempt)
                .operation_timeout(timing.operation())
                .build(),
        )
        // What a failing server used up of its retries must not be missing for another one.
        .retry_partition(RetryPartition::custom("tintype").token_bucket(TokenBucket::default()).build())
        // Bodies have a limit of their own, which knows whether the server or the reader is slow.
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
    if let Some(endpoint) = &options.endpoint {
        config = config.endpoint_url(endpoint);
    }
    Client::from_conf(config.build())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use aws_sdk_s3::presigning::PresigningConfig;

    async fn address(endpoint: Option<&str>, path_style: bool) -> String {
        let options = S3Options {
            endpoint: endpoint.map(str::to_owned),
            region: "eu-central-1".into(),
            bucket: "pictures".into(),
            prefix: String::new(),
            access_key_id: "key".into(),
            secret_access_key: Secret::new("geheim"),
            path_style,
            checksums: Checksums::WhenRequired,
            timing: Timing::default(),
        };
        let for_a_minute = PresigningConfig::expires_in(Duration::from_secs(60)).unwrap();
        let request =
            client(&options).get_object().bucket("pictures").key("ab/cd").presigned(for_a_minute).await.unwrap();
        assert!(!request.uri().contains("geheim"));
        request.uri().split('?').next().unwrap().to_owned()
    }

    #[tokio::test]
    async fn both_styles_of_addresses() {
        let own = Some("https://s3.example.com:9000");
        assert_eq!(address(own, true).await, "https://s3.example.com:9000/pictures/ab/cd");
        assert_eq!(address(own, false).await, "https://pictures.s3.example.com:9000/ab/cd");
        assert_eq!(address(None, false).await, "https://pictures.s3.eu-central-1.amazonaws.com/ab/cd");
    }
}
