//! What the errors of the server and of the way to it mean.

use std::error::Error;
use std::io;

use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};

use super::super::{BlobKey, StorageError};

/// Longest cause in a message: a server may answer with a page.
const MAX_CAUSE: usize = 300;

/// An error of one request, sorted.
#[derive(Debug)]
pub(super) struct Fault {
    kind: Kind,
    /// Code that the server gave, empty without one.
    code: String,
    cause: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Missing,
    NoBucket,
    Denied,
    Full,
    Unavailable,
    Damaged,
    BadRange,
    Other,
}

impl<E> From<SdkError<E, HttpResponse>> for Fault
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
{
    fn from(error: SdkError<E, HttpResponse>) -> Self {
        let status = error.raw_response().map_or(0, |response| response.status().as_u16());
        let code = error.code().unwrap_or_default().to_owned();
        let kind = match (&error, status, &*code) {
            (SdkError::TimeoutError(_) | SdkError::DispatchFailure(_), ..) => Kind::Unavailable,
            (SdkError::ConstructionFailure(_), ..) => Kind::Other,
            (.., "NoSuchBucket") => Kind::NoBucket,
            (.., "BadDigest" | "XAmzContentSHA256Mismatch" | "InvalidDigest") => Kind::Damaged,
            (_, 507, _) | (.., "QuotaExceeded" | "XMinioStorageFull" | "InsufficientStorage") => Kind::Full,
            (_, 404, _) => Kind::Missing,
            (_, 416, _) => Kind::BadRange,
            (_, 401 | 403, _) => Kind::Denied,
            (_, 408 | 429 | 500..=599, _) => Kind::Unavailable,
            (SdkError::ResponseError(_), ..) => Kind::Unavailable,
            (.., "RequestTimeout" | "SlowDown" | "InternalError" | "ServiceUnavailable") => Kind::Unavailable,
            _ => Kind::Other,
        };
        let cause = match &error {
            SdkError::TimeoutError(_) => "no answer in time".to_owned(),
            SdkError::ServiceError(_) => {
                let message = error.message().unwrap_or_default();
                match (&*code, message) {
                    ("", "") => format!("status {status}"),
                    (code, "") => format!("status {status}, {code}"),
                    (code, message) => format!("status {status}, {code}: {message}"),
                }
            }
            other => chain(other),
        };
        Self { kind, code, cause: cause.chars().take(MAX_CAUSE).collect() }
    }
}

/// An error and what is behind it, without what only repeats.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        let part = error.to_string();
        if !text.contains(&part) {
            text = format!("{text}: {part}");
        }
        next = error.source();
    }
    text
}

impl Fault {
    /// A failure that is known without the server's word.
    pub(super) fn unavailable(cause: impl Into<String>) -> Self {
        Self { kind: Kind::Unavailable, code: String::new(), cause: cause.into() }
    }

    pub(super) fn is_missing(&self) -> bool {
        self.kind == Kind::Missing
    }

    /// Whether the object is not the one that was asked for.
    pub(super) fn is_changed(&self) -> bool {
        self.code == "PreconditionFailed"
    }

    pub(super) fn is_bad_range(&self) -> bool {
        self.kind == Kind::BadRange
    }

    pub(super) fn is_no_bucket(&self) -> bool {
        self.kind == Kind::NoBucket
    }

    pub(super) fn code(&self) -> &str {
        &self.code
    }

    /// Whether the request as such, rather than its moment, does not please the server.
    pub(super) fn is_of_the_request(&self) -> bool {
        matches!(self.kind, Kind::Other | Kind::Damaged | Kind::Missing) || self.code == "NotImplemented"
    }

    /// What the users of the store are told. `operation` says what was tried, on which bucket and where.
    pub(super) fn about(self, operation: String, key: Option<&BlobKey>) -> StorageError {
        let Self { kind, cause, .. } = self;
        let told = format!("{operation} ({cause})");
        let error = match (kind, key) {
            (Kind::Missing, Some(key)) => return StorageError::NotFound(key.clone()),
            (Kind::Damaged, Some(key)) => StorageError::Corrupted { key: key.clone(), reason: told },
            (Kind::Denied, _) => StorageError::Denied(told),
            (Kind::Full, _) => StorageError::Full(told),
            (Kind::Unavailable, _) => StorageError::Unavailable(format!("could not {told}")),
            (Kind::NoBucket, _) => StorageError::Unavailable(format!("could not {operation}: there is no such bucket")),
            _ => StorageError::Io { operation: told, source: io::Error::other(cause) },
        };
        tracing::warn!(error = %error, "the S3 server refused or failed");
        error
    }
}
