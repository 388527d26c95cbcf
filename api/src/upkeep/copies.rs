//! Originals and their copies in the second store, against each other.

use super::{Problem, UpkeepError};
use crate::catalog::library::{Library, NamedBlob};
use crate::domain::BlobKey;
use crate::storage::{Backup, BlobStore, Expected, StorageError, fault};
use serde::Serialize;

/// Blobs of one page of the second store.
const PAGE: usize = 500;

/// How the second store is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct CopyTotals {
    /// Originals and kept versions that had no copy.
    pub missing: u64,
    /// Those whose copy was not theirs.
    pub damaged: u64,
    /// Copies that were made.
    pub copied: u64,
    /// Originals and kept versions that were brought back.
    pub restored: u64,
    /// Blobs in the second store.
    pub blobs: u64,
    /// Copies of what was deleted; they go when their time is over.
    pub of_deleted: u64,
    /// Blobs of which nothing is known.
    pub strays: u64,
    /// Those of them that go from now on like copies of what was deleted.
    pub strays_noted: u64,
}

/// The copy of one row's blob.
#[derive(Debug, Default)]
pub(super) struct CopyState {
    /// What was wrong with it.
    pub problem: Option<Problem>,
    /// There was a good one.
    pub is_good: bool,
    pub was_copied: bool,
    pub was_restored: bool,
}

impl CopyTotals {
    pub(super) fn count(&mut self, state: &CopyState) {
        match state.problem {
            Some(Problem::NoCopy) => self.missing += 1,
            Some(_) => self.damaged += 1,
            None => {}
        }
        self.copied += u64::from(state.was_copied);
        self.restored += u64::from(state.was_restored);
    }

    /// Originals and kept versions that have no good copy still.
    pub fn lacking(&self) -> u64 {
        (self.missing + self.damaged).saturating_sub(self.copied)
    }
}

/// Looks at the copy of a row's blob, whose own problem is known. With `mend` the good one of the two is copied over the
/// other.
pub(super) async fn look(
    library: &Library,
    backup: &Backup,
    named: &NamedBlob,
    problem: &Option<Problem>,
    deep: bool,
    mend: bool,
) -> Result<CopyState, UpkeepError> {
    let expected = Expected { bytes: named.bytes, md5: named.md5.clone() };
    let found = fault(&**backup.copies(), &named.blob, &expected, deep).await?;
    let mut state = CopyState { is_good: found.is_none(), ..CopyState::default() };
    match found {
        None if problem.is_some() && mend => match backup.restore(&named.blob, &expected).await {
            Ok(()) => state.was_restored = true,
            // Its length alone was right.
            Err(StorageError::Corrupted { reason, .. }) => {
                state.is_good = false;
                state.problem = Some(Problem::BadCopy { reason });
            }
            Err(error) => return Err(error.into()),
        },
        None => {}
        // A row that went meanwhile is no fault.
        Some(_) if problem.is_none() && library.original_of(&named.blob).await?.is_none() => {}
        Some(error) => {
            state.problem = Some(match error {
                StorageError::NotFound(_) => Problem::NoCopy,
                StorageError::Corrupted { reason, .. } => Problem::BadCopy { reason },
                other => Problem::BadCopy { reason: other.to_string() },
            });
            if problem.is_none() && mend {
                // It is noted first, so that no copy is there of which nothing is known.
                library.note_copies(std::slice::from_ref(&named.blob)).await?;
                match backup.keep(&named.blob, &expected).await {
                    Ok(()) => state.was_copied = true,
                    // Damaged, though of the right length, or deleted meanwhile.
                    Err(StorageError::Corrupted { .. } | StorageError::NotFound(_)) => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
    }
    Ok(state)
}

/// Counts what is in the second store. With `note` those of which nothing is known are kept as long as if they had been
/// deleted now.
pub(super) async fn look_through(
    library: &Library,
    store: &dyn BlobStore,
    note: bool,
    totals: &mut CopyTotals,
) -> Result<(), UpkeepError> {
    let mut after: Option<BlobKey> = None;
    loop {
        let page = store.list(after.as_ref(), PAGE).await?;
        let Some(last) = page.last() else { return Ok(()) };
        after = Some(last.clone());
        let found = library.look_at_copies(&page).await?;
        totals.blobs += page.len() as u64;
        totals.of_deleted += found.of_deleted;
        totals.strays += found.strays.len() as u64;
        if note {
            // Those of originals too: they may have been brought here by hand.
            library.note_copies(&page).await?;
            totals.strays_noted += found.strays.len() as u64;
        }
    }
}
