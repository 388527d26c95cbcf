//! What can go wrong with stored bytes.

use std::io;

use super::BlobKey;

/// Failure of a blob store.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StorageError {
    #[error("blob {0} is not in the store")]
    NotFound(BlobKey),
    /// The caller asked for bytes that the blob does not have.
    #[error("range {start}..{end} is not within the {size} bytes of the blob")]
    Range { start: u64, end: u64, size: u64 },
    #[error("the store is full while trying to {0}")]
    Full(String),
    #[error("permission denied while trying to {0}")]
    Denied(String),
    /// The store does not answer, or says that it cannot just now; the same request may succeed later.
    #[error("the blob store is unavailable: {0}")]
    Unavailable(String),
    /// The bytes that came are not those that were stored.
    #[error("blob {key} is damaged: {reason}")]
    Corrupted { key: BlobKey, reason: String },
    #[error("could not {operation}")]
    Io {
        operation: String,
        #[source]
        source: io::Error,
    },
}

impl StorageError {
    /// Whether this one blob is lost or damaged, rather than the store out of order.
    pub fn is_of_the_blob(&self) -> bool {
        matches!(self, Self::NotFound(_) | Self::Corrupted { .. } | Self::Io { .. })
    }

    /// Names the operation, and sorts out the causes that a person can do something about.
    pub(crate) fn io(operation: impl Into<String>, source: io::Error) -> Self {
        let operation = operation.into();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
                Self::Full(operation)
            }
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Self::Denied(operation),
            _ => Self::Io { operation, source },
        }
    }
}
