//! Which originals a second store has copies of. What a transaction does to originals is followed in the same transaction: a
//! new one gets a job that copies it, one that lost its last row gets the time since when its copy is kept for nothing.

use std::collections::{BTreeMap, BTreeSet};

use futures::FutureExt;
use serde_json::json;

use super::{
    super::{
        Result,
        record::{self, Columns, Value},
        sql::{Sql, marks, rows_of_marks, text},
    },
    Library, jobs,
};
use crate::domain::{BlobKey, CloudId, JobKind, NewJob, Timestamp};

/// Brings both stores in line for one original.
pub const COPY_JOB: JobKind = JobKind::known("copy");
/// Everything else of the cloud goes first.
const PRIORITY: i64 = 100;
/// With an hour between two attempts that is more than a week.
const MAX_ATTEMPTS: u32 = 200;
/// Blobs that one statement takes.
const CHUNK: usize = 500;

/// An original, or a kept version, by its blob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OriginalBlob {
    pub blob: BlobKey,
    pub cloud: CloudId,
    pub bytes: u64,
    /// In hexadecimal, where the row has one.
    pub md5: Option<String>,
}

/// Some blobs of the second store.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CopiesFound {
    pub of_originals: u64,
    /// Of what was deleted; they go in their time.
    pub of_deleted: u64,
    /// Nothing is known of them.
    pub strays: Vec<BlobKey>,
}

/// The job that makes both stores hold an original. With `deep` what they hold is read, and such a job does not count as
/// the one that only copies.
pub fn copy_job(original: &OriginalBlob, deep: bool, now: Timestamp) -> NewJob {
    let blob = original.blob.as_str();
    NewJob {
        unique_key: format!("{}:{blob}", if deep { "mend" } else { "copy" }),
        priority: PRIORITY,
        max_attempts: MAX_ATTEMPTS,
        ..NewJob::new(original.cloud.clone(), COPY_JOB, json!({ "blob": blob, "deep": deep }), now)
    }
}

fn keys_of<'a>(blobs: impl IntoIterator<Item = &'a BlobKey>) -> Vec<Value> {
    blobs.into_iter().map(|blob| text(blob.as_str())).collect()
}

/// Those of at most [`CHUNK`] blobs that are originals or kept versions.
async fn originals(sql: &mut dyn Sql, keys: &[Value]) -> Result<BTreeMap<BlobKey, OriginalBlob>> {
    if keys.is_empty() {
        return Ok(BTreeMap::new());
    }
    let list = marks(keys.len());
    let query = format!(
        "SELECT blob, cloud, bytes, etag FROM assets WHERE NOT placeholder AND blob IN ({list})
         UNION SELECT v.blob, a.cloud, v.bytes, v.etag FROM asset_versions v JOIN assets a ON a.id = v.asset
         WHERE v.blob IN ({list})"
    );
    let mut found = BTreeMap::new();
    for row in sql.query_once(&query, &[keys, keys].concat()).await? {
        let blob = record::read_blob(&row)?;
        let original = OriginalBlob {
            blob: blob.clone(),
            cloud: record::parsed("cloud id", &row.text(1)?)?,
            bytes: record::unsigned("size of the file", row.number(2)?)?,
            md5: Some(row.text(3)?).filter(|md5| !md5.is_empty()),
        };
        found.insert(blob, original);
    }
    Ok(found)
}

/// Those of some blobs that are noted as copies.
async fn noted(sql: &mut dyn Sql, keys: &[Value]) -> Result<BTreeSet<BlobKey>> {
    if keys.is_empty() {
        return Ok(BTreeSet::new());
    }
    let query = format!("SELECT blob FROM copies WHERE blob IN ({})", marks(keys.len()));
    sql.query_once(&query, keys).await?.iter().map(record::read_blob).collect()
}

async fn note(sql: &mut dyn Sql, blobs: &[&BlobKey], freed_at: Timestamp) -> Result<()> {
    if blobs.is_empty() {
        return Ok(());
    }
    let insert = format!(
        "INSERT INTO copies (blob, freed_at) VALUES {} ON CONFLICT (blob) DO NOTHING",
        rows_of_marks(blobs.len(), 2)
    );
    let values: Vec<_> = blobs.iter().flat_map(|blob| [text(blob.as_str()), jobs::at(freed_at)]).collect();
    sql.execute_once(&insert, &values).await?;
    Ok(())
}

/// From now on these are copies of nothing.
async fn free_copies(sql: &mut dyn Sql, blobs: &[&BlobKey], now: Timestamp) -> Result<()> {
    if blobs.is_empty() {
        return Ok(());
    }
    let update = format!("UPDATE copies SET freed_at = ? WHERE freed_at = 0 AND blob IN ({})", marks(blobs.len()));
    let values = [vec![jobs::at(now)], keys_of(blobs.iter().copied())].concat();
    sql.execute_once(&update, &values).await?;
    Ok(())
}

/// These are copies of originals, perhaps again.
async fn keep_copies(sql: &mut dyn Sql, blobs: &[&BlobKey]) -> Result<()> {
    if blobs.is_empty() {
        return Ok(());
    }
    let update = format!("UPDATE copies SET freed_at = 0 WHERE freed_at > 0 AND blob IN ({})", marks(blobs.len()));
    sql.execute_once(&update, &keys_of(blobs.iter().copied())).await?;
    Ok(())
}

/// Follows what a transaction did to at most [`CHUNK`] blobs: rows name the ones, and no longer name the others.
pub(super) async fn follow(sql: &mut dyn Sql, named: &BTreeSet<BlobKey>, free: &[BlobKey]) -> Result<()> {
    if !sql.keeps_copies() {
        return Ok(());
    }
    let now = Timestamp::now();
    free_copies(sql, &free.iter().collect::<Vec<_>>(), now).await?;
    let originals = originals(sql, &keys_of(named)).await?;
    let known = noted(sql, &keys_of(originals.keys())).await?;
    keep_copies(sql, &known.iter().collect::<Vec<_>>()).await?;
    let fresh: Vec<&OriginalBlob> = originals.values().filter(|original| !known.contains(&original.blob)).collect();
    let blobs: Vec<&BlobKey> = fresh.iter().map(|original| &original.blob).collect();
    note(sql, &blobs, Timestamp::default()).await?;
    let wanted: Vec<NewJob> = fresh.into_iter().map(|original| copy_job(original, false, now)).collect();
    jobs::enqueue(sql, &wanted, now).await?;
    Ok(())
}

impl Library {
    /// From now on this process has copies made of every original. Without it what is copied already is not forgotten, but
    /// nothing is added.
    pub fn keep_copies(&self) {
        match &self.database {
            super::Database::Sqlite(catalog) => catalog.keep_copies(),
            super::Database::Postgres(catalog) => catalog.keep_copies(),
        }
    }

    /// The original or kept version that a blob is; `None` when no such row names it.
    pub async fn original_of(&self, blob: &BlobKey) -> Result<Option<OriginalBlob>> {
        let blob = blob.clone();
        self.read("find an original", move |sql| {
            async move { Ok(originals(sql, &keys_of([&blob])).await?.remove(&blob)) }.boxed()
        })
        .await
    }

    /// Whether a blob is noted as a copy.
    pub async fn is_copied(&self, blob: &BlobKey) -> Result<bool> {
        let blob = blob.clone();
        self.read("find a copy", move |sql| {
            async move { Ok(noted(sql, &keys_of([&blob])).await?.contains(&blob)) }.boxed()
        })
        .await
    }

    /// Notes copies that exist or are about to be made; those of which no original is there are kept as long as if it had
    /// been deleted now. Gives those that were not noted before.
    pub async fn note_copies(&self, blobs: &[BlobKey]) -> Result<Vec<BlobKey>> {
        let blobs: BTreeSet<BlobKey> = blobs.iter().cloned().collect();
        if blobs.is_empty() {
            return Ok(Vec::new());
        }
        self.write("note copies", move |sql| {
            async move {
                let (all, now): (Vec<BlobKey>, _) = (blobs.into_iter().collect(), Timestamp::now());
                let mut fresh = Vec::new();
                for chunk in all.chunks(CHUNK) {
                    let keys = keys_of(chunk);
                    let (originals, known) = (originals(sql, &keys).await?, noted(sql, &keys).await?);
                    let (named, free): (Vec<&BlobKey>, Vec<&BlobKey>) =
                        chunk.iter().partition(|blob| originals.contains_key(*blob));
                    free_copies(sql, &free, now).await?;
                    keep_copies(sql, &named).await?;
                    note(sql, &named, Timestamp::default()).await?;
                    note(sql, &free, now).await?;
                    fresh.extend(chunk.iter().filter(|blob| !known.contains(*blob)).cloned());
                }
                Ok(fresh)
            }
            .boxed()
        })
        .await
    }

    /// Whose copies some blobs of the second store are.
    pub async fn look_at_copies(&self, blobs: &[BlobKey]) -> Result<CopiesFound> {
        let blobs = blobs.to_vec();
        self.read("look at copies", move |sql| {
            async move {
                let mut found = CopiesFound::default();
                for chunk in blobs.chunks(CHUNK) {
                    let keys = keys_of(chunk);
                    let (originals, known) = (originals(sql, &keys).await?, noted(sql, &keys).await?);
                    for blob in chunk {
                        match (originals.contains_key(blob), known.contains(blob)) {
                            (true, _) => found.of_originals += 1,
                            (false, true) => found.of_deleted += 1,
                            (false, false) => found.strays.push(blob.clone()),
                        }
                    }
                }
                Ok(found)
            }
            .boxed()
        })
        .await
    }

    /// At most `limit` copies whose originals went at that time or earlier.
    pub async fn copies_freed_until(&self, time: Timestamp, limit: u32) -> Result<Vec<BlobKey>> {
        self.read("list copies of what was deleted", move |sql| {
            async move {
                let query = "SELECT blob FROM copies WHERE freed_at > 0 AND freed_at <= ? ORDER BY freed_at LIMIT ?";
                let values = [jobs::at(time), Value::Number(limit.into())];
                sql.query(query, &values).await?.iter().map(record::read_blob).collect()
            }
            .boxed()
        })
        .await
    }

    /// Forgets copies that were deleted. Of those that are originals again meanwhile another copy is made.
    pub async fn forget_copies(&self, blobs: &[BlobKey]) -> Result<()> {
        let blobs = blobs.to_vec();
        self.write("forget copies", move |sql| {
            async move {
                for chunk in blobs.chunks(CHUNK) {
                    let keys = keys_of(chunk);
                    let delete = format!("DELETE FROM copies WHERE freed_at > 0 AND blob IN ({})", marks(keys.len()));
                    sql.execute_once(&delete, &keys).await?;
                    let back = noted(sql, &keys).await?;
                    let (originals, now) = (originals(sql, &keys_of(&back)).await?, Timestamp::now());
                    let wanted: Vec<NewJob> =
                        originals.values().map(|original| copy_job(original, false, now)).collect();
                    jobs::enqueue(sql, &wanted, now).await?;
                }
                Ok(())
            }
            .boxed()
        })
        .await
    }
}
