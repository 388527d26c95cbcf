//! What people do to a whole server now and then: compare its rows with its blobs, back it up, bring it back.

mod backup;
mod copies;
mod copying;
mod restore;
mod snapshot;
mod verify;

pub use backup::{BackupOptions, BackupReport, back_up};
pub use copies::CopyTotals;
pub use restore::{RestoreOptions, RestoreReport, choose, restore};
pub use snapshot::{Manifest, Snapshot};
pub use verify::{Counts, Finding, Problem, Totals, Verifier, VerifyOptions};

use crate::catalog::CatalogError;
use crate::storage::StorageError;
use std::path::PathBuf;

/// Why a work on the whole server ended early.
#[derive(Debug, thiserror::Error)]
pub enum UpkeepError {
    #[error("catalog: {0}")]
    Catalog(#[from] CatalogError),
    #[error("storage: {0}")]
    Storage(#[from] StorageError),
    #[error("{}: {error}", path.display())]
    File { path: PathBuf, error: std::io::Error },
    /// A sentence for the person who asked.
    #[error("{0}")]
    Refused(String),
}
