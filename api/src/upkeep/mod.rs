//! What people do to a whole server now and then: compare its rows with its blobs.

mod verify;

pub use verify::{Counts, Finding, Problem, Totals, Verifier, VerifyOptions};

use crate::catalog::CatalogError;
use crate::storage::StorageError;

/// Why a work on the whole server ended early.
#[derive(Debug, thiserror::Error)]
pub enum UpkeepError {
    #[error("catalog: {0}")]
    Catalog(#[from] CatalogError),
    #[error("storage: {0}")]
    Storage(#[from] StorageError),
}
