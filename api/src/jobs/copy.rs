//! Copies of originals in a second store. The transaction that records an original enqueues the job that copies it (see
//! `catalog/library/copies.rs`); a reader that finds an original lost or damaged enqueues one that brings it back. Both are
//! the same work: make the two stores hold what the row says. Copies of what was deleted go after a time of grace.

use super::clock::before;
use super::handler::{Failure, Finished, Handler, Run};
use super::queue::JobQueue;
use crate::catalog::library::{Library, OriginalBlob, copy_job};
use crate::domain::{BlobKey, Timestamp};
use crate::storage::{Backup, Expected, Mirrored, StorageError};
use async_trait::async_trait;
use serde::Deserialize;
use serde_json::json;
use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Copies that are deleted at once.
const PAGE: u32 = 100;

/// What the job holds.
#[derive(Debug, Deserialize)]
struct CopyJob {
    blob: String,
    /// Whether what the stores hold is read, not only measured.
    #[serde(default)]
    deep: bool,
}

/// What became of copies since the start of the process.
#[derive(Debug, Default)]
pub struct CopyCounts {
    copied: AtomicU64,
    restored: AtomicU64,
    lost: AtomicU64,
    removed: AtomicU64,
}

impl CopyCounts {
    pub fn restored(&self) -> u64 {
        self.restored.load(Ordering::Relaxed)
    }

    pub fn render(&self) -> String {
        let mut text = String::from(
            "# HELP tintype_copies_total Copies of originals between the two stores, by what became of them.\n\
             # TYPE tintype_copies_total counter\n",
        );
        let counts =
            [("copied", &self.copied), ("restored", &self.restored), ("lost", &self.lost), ("removed", &self.removed)];
        for (outcome, count) in counts {
            // Writing to a text cannot fail.
            let _ = writeln!(text, "tintype_copies_total{{outcome=\"{outcome}\"}} {}", count.load(Ordering::Relaxed));
        }
        text
    }
}

/// Makes both stores hold an original.
pub struct CopyHandler {
    backup: Backup,
    counts: Arc<CopyCounts>,
}

impl CopyHandler {
    pub fn new(backup: Backup, counts: Arc<CopyCounts>) -> Self {
        CopyHandler { backup, counts }
    }
}

#[async_trait]
impl Handler for CopyHandler {
    async fn run(&self, run: &Run) -> Result<Finished, Failure> {
        let malformed = |error: &dyn std::fmt::Display| Failure::Permanent(format!("the job is malformed: {error}"));
        let job: CopyJob = serde_json::from_value(run.job.payload.clone()).map_err(|error| malformed(&error))?;
        let blob = BlobKey::new(job.blob).map_err(|error| malformed(&error))?;
        let finished = |outcome: &str| Ok(Finished { report: json!({ "outcome": outcome }), then: Vec::new() });
        let Some(OriginalBlob { bytes, md5, .. }) = run.library.original_of(&blob).await.map_err(Failure::retry)?
        else {
            return finished("deleted");
        };
        let done = self.backup.mirror(&blob, &Expected { bytes, md5 }, job.deep).await;
        // Whatever was deleted meanwhile must not come back.
        if run.library.original_of(&blob).await.map_err(Failure::retry)?.is_none() {
            self.undo(&run.library, &blob, done.ok()).await?;
            return finished("deleted");
        }
        match done {
            Ok(mirrored) => {
                match mirrored {
                    Mirrored::Copied => self.counts.copied.fetch_add(1, Ordering::Relaxed),
                    Mirrored::Restored => {
                        tracing::warn!(%blob, "an original was brought back from its copy");
                        self.counts.restored.fetch_add(1, Ordering::Relaxed)
                    }
                    Mirrored::Nothing => 0,
                };
                finished(mirrored.as_str())
            }
            // Neither store has it: somebody has to look.
            Err(error @ (StorageError::NotFound(_) | StorageError::Corrupted { .. })) => {
                self.counts.lost.fetch_add(1, Ordering::Relaxed);
                Err(Failure::Permanent(format!("the original is lost or damaged, and has no good copy: {error}")))
            }
            Err(error) => Err(Failure::retry(error)),
        }
    }
}

impl CopyHandler {
    /// The original was deleted while it was copied.
    async fn undo(&self, library: &Library, blob: &BlobKey, done: Option<Mirrored>) -> Result<(), Failure> {
        match done {
            Some(Mirrored::Restored) => {
                // The garbage list has the first store delete it.
                library.disown_blobs(std::slice::from_ref(blob)).await.map_err(Failure::retry)?;
            }
            // Noted copies go in their time; this one may have been forgotten before it was there.
            Some(Mirrored::Copied) if !library.is_copied(blob).await.map_err(Failure::retry)? => {
                self.backup.copies().delete(blob).await.map_err(Failure::retry)?;
            }
            _ => {}
        }
        Ok(())
    }
}

/// Enqueues the job that brings an original back which the first store has lost or damaged.
pub async fn bring_back(queue: &JobQueue, blob: &BlobKey) {
    let enqueue = async {
        match queue.library().original_of(blob).await? {
            Some(original) => queue.enqueue(vec![copy_job(&original, true, queue.clock().now())]).await.map(drop),
            // Deleted meanwhile: then it is no loss.
            None => Ok(()),
        }
    };
    if let Err(error) = enqueue.await {
        tracing::warn!(%blob, %error, "a lost original is not brought back before it is read again");
    }
}

/// Deletes copies of what was deleted longer ago than `grace`, and gives how many there were.
pub async fn remove_old(
    library: &Library,
    backup: &Backup,
    counts: &CopyCounts,
    grace: Duration,
    now: Timestamp,
) -> Result<u64, String> {
    let until = before(now, grace);
    let mut removed = 0;
    loop {
        let blobs = library.copies_freed_until(until, PAGE).await.map_err(|error| error.to_string())?;
        if blobs.is_empty() {
            return Ok(removed);
        }
        backup.copies().delete_all(&blobs).await.map_err(|error| error.to_string())?;
        library.forget_copies(&blobs).await.map_err(|error| error.to_string())?;
        removed += blobs.len() as u64;
        counts.removed.fetch_add(blobs.len() as u64, Ordering::Relaxed);
    }
}
