//! Rows and blobs against each other. Both are read in pages, so that the memory does not grow with them, and every
//! finding is looked at twice: what changes between two looks is a server at work and no fault.
//!
//! A blob without a row is deleted only when the store has had it for longer than the grace age, because an upload
//! writes its blob before its row. The catalog is asked last, in the transaction that puts the blob on the garbage list;
//! a row that is written at the same time takes it off again or is waited for. The store is only told to delete what that
//! transaction has left on the list, so that a crash in between leaves nothing unknown.

use super::UpkeepError;
use super::copies::{self, CopyState, CopyTotals};
use crate::catalog::Catalog;
use crate::catalog::library::{Holder, Library, NamedBlob};
use crate::domain::{BlobKey, Timestamp};
use crate::storage::{Backup, BlobStore, StorageError, Stored};
use futures::{StreamExt, TryStreamExt, stream};
use md5::{Digest, Md5};
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Rows or blobs of one page.
const PAGE: u32 = 500;
/// So many orphans are deleted without a question, even where there is little else.
const UNQUESTIONED: u64 = 100;

/// What is looked at, and what is done about it.
#[derive(Debug, Clone, Copy)]
pub struct VerifyOptions {
    /// Reads every blob and compares its MD5; otherwise only lengths are compared.
    pub deep: bool,
    /// Deletes orphans and garbage, and rows of derived pictures whose blob is lost or damaged. With a second store: copies
    /// what has no good copy, and brings back what has one.
    pub repair: bool,
    /// Also removes rows of originals, versions and parts whose blob is lost.
    pub drop_missing: bool,
    /// Also deletes orphans when they are more than the blobs that rows name.
    pub all_orphans: bool,
    /// Also removes rows when more of them have no blob than have one.
    pub all_missing: bool,
    /// Blobs that are younger belong to an upload that may still be on its way.
    pub grace: Duration,
    /// Blobs that are looked at at once.
    pub concurrency: usize,
}

impl Default for VerifyOptions {
    fn default() -> Self {
        VerifyOptions {
            deep: false,
            repair: false,
            drop_missing: false,
            all_orphans: false,
            all_missing: false,
            grace: Duration::from_secs(24 * 3600),
            concurrency: 16,
        }
    }
}

/// What is wrong with a row or a blob.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "problem")]
pub enum Problem {
    /// A row names a blob that is not there.
    Missing,
    /// The blob has another length than its row says, other bytes, or cannot be read.
    Damaged { reason: String },
    /// No row names the blob.
    Orphan { bytes: u64 },
    /// The second store has no copy of the blob.
    NoCopy,
    /// The copy in the second store has another length, other bytes, or cannot be read.
    BadCopy { reason: String },
}

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    #[serde(flatten)]
    pub problem: Problem,
    /// `original`, `version`, `derived`, `part`, or `blob` for one without a row.
    pub of: &'static str,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub cloud: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    pub blob: String,
    /// Whether the row or the blob was removed.
    pub removed: bool,
    /// Whether it was copied from the other store, and is as it should be now.
    pub mended: bool,
}

/// How the rows of one kind are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    pub rows: u64,
    pub bytes: u64,
    pub missing: u64,
    pub damaged: u64,
    pub removed: u64,
    /// Lost or damaged, but with a good copy in the second store. Where they were brought back they are not counted as
    /// lost or damaged.
    pub has_copy: u64,
}

/// How it ended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// By the kind of row.
    pub rows: BTreeMap<&'static str, Counts>,
    /// Blobs in the store.
    pub blobs: u64,
    pub orphans: u64,
    pub orphan_bytes: u64,
    /// Blobs without a row that are younger than the grace age.
    pub young: u64,
    /// Blobs without a row whose age the store cannot tell: they are left alone.
    pub ageless: u64,
    pub orphans_removed: u64,
    /// Orphans were to be removed and were not, because they are more than the blobs that rows name.
    pub too_many_orphans: bool,
    /// Rows were to be removed and were not, because more of them have no blob than have one.
    pub too_many_missing: bool,
    /// Entries of the garbage list.
    pub garbage: u64,
    pub garbage_removed: u64,
    /// The second store, where there is one.
    pub copies: Option<CopyTotals>,
}

impl Totals {
    /// Originals and kept versions that cannot be given back as they came, and whose rows are still there or were there.
    pub fn lost(&self) -> u64 {
        let of = |holder: Holder| self.rows.get(holder.as_str()).map_or(0, |counts| counts.missing + counts.damaged);
        of(Holder::Original) + of(Holder::Version)
    }

    /// Those of them that have a good copy in the second store.
    pub fn restorable(&self) -> u64 {
        self.rows.values().map(|counts| counts.has_copy).sum()
    }
}

/// Compares the rows of a catalog with the blobs of a store, also beside servers that use both.
pub struct Verifier {
    pub catalog: Arc<dyn Catalog>,
    pub library: Library,
    pub blobs: Arc<dyn BlobStore>,
    /// The second store.
    pub copies: Option<Arc<dyn BlobStore>>,
}

impl Verifier {
    /// Looks at everything, and tells each finding as it comes.
    pub async fn run(
        &self,
        options: VerifyOptions,
        tell: &mut (dyn FnMut(Finding) + Send),
    ) -> Result<Totals, UpkeepError> {
        let mut totals = Totals { copies: self.copies.as_ref().map(|_| CopyTotals::default()), ..Totals::default() };
        let mut of_rows = options;
        if options.repair || options.drop_missing {
            // Rows are counted before any is removed: a store that is not this catalog's, or is not mounted, would make all of
            // them such.
            let looking = VerifyOptions { repair: false, drop_missing: false, deep: false, ..options };
            let (mut rows, mut missing) = (0, 0);
            for holder in Holder::ALL {
                let counts = self.rows(holder, looking, false, &mut CopyTotals::default(), &mut |_| {}).await?;
                rows += counts.rows;
                missing += counts.missing.saturating_sub(counts.has_copy);
            }
            totals.too_many_missing = !options.all_missing && missing > UNQUESTIONED.max(rows.saturating_sub(missing));
            if totals.too_many_missing {
                of_rows = VerifyOptions { repair: false, drop_missing: false, ..options };
            }
        }
        for holder in Holder::ALL {
            let mut unused = CopyTotals::default();
            let copies = totals.copies.as_mut().unwrap_or(&mut unused);
            // What is only copied needs no care.
            let counts = self.rows(holder, of_rows, options.repair, copies, tell).await?;
            totals.rows.insert(holder.as_str(), counts);
        }
        if let (Some(store), Some(found)) = (&self.copies, &mut totals.copies) {
            copies::look_through(&self.library, &**store, options.repair, found).await?;
        }
        // Orphans are counted before any is deleted: a catalog that is not this store's would make all of them such.
        let removing = options.repair && {
            let mut seen = Totals::default();
            self.orphans(options, false, &mut seen, &mut |_| {}).await?;
            let others = seen.blobs.saturating_sub(seen.orphans);
            totals.too_many_orphans = !options.all_orphans && seen.orphans > UNQUESTIONED.max(others);
            !totals.too_many_orphans
        };
        self.orphans(options, removing, &mut totals, tell).await?;
        self.garbage(options.repair, &mut totals).await?;
        Ok(totals)
    }

    /// The rows of one kind and their blobs.
    async fn rows(
        &self,
        holder: Holder,
        options: VerifyOptions,
        mend: bool,
        copies: &mut CopyTotals,
        tell: &mut (dyn FnMut(Finding) + Send),
    ) -> Result<Counts, UpkeepError> {
        let (mut counts, mut after) = (Counts::default(), None);
        let backup = match holder {
            Holder::Original | Holder::Version => {
                self.copies.as_ref().map(|copies| Backup::new(self.blobs.clone(), copies.clone()))
            }
            Holder::Derived | Holder::Part => None,
        };
        loop {
            let page = self.library.named_blobs(holder, after, PAGE).await?;
            let Some(last) = page.last() else { return Ok(counts) };
            after = Some(last.place.clone());
            let full = page.len() == PAGE as usize;
            counts.rows += page.len() as u64;
            counts.bytes += page.iter().map(|named| named.bytes).sum::<u64>();
            let looks = page.into_iter().map(|named| async {
                let problem = self.look(&named, options.deep).await?;
                let copy = match &backup {
                    None => CopyState::default(),
                    Some(backup) => copies::look(&self.library, backup, &named, &problem, options.deep, mend).await?,
                };
                Ok::<_, UpkeepError>((named, problem, copy))
            });
            let mut looks = stream::iter(looks).buffered(options.concurrency.max(1));
            while let Some(found) = looks.try_next().await? {
                let (named, problem, copy) = found;
                let finding = |problem: Problem, mended: bool| Finding {
                    problem,
                    of: holder.as_str(),
                    cloud: named.cloud_name.clone(),
                    name: named.name.clone(),
                    blob: named.blob.to_string(),
                    removed: false,
                    mended,
                };
                copies.count(&copy);
                if let Some(problem) = copy.problem {
                    tell(finding(problem, copy.was_copied));
                }
                let Some(problem) = problem else { continue };
                if copy.was_restored {
                    tell(finding(problem, true));
                    continue;
                }
                counts.has_copy += u64::from(copy.is_good);
                let lost = problem == Problem::Missing;
                let removable = match holder {
                    Holder::Derived => options.repair,
                    Holder::Original | Holder::Version | Holder::Part => options.drop_missing && lost && !copy.is_good,
                };
                let removed = match removable {
                    true => match self.library.drop_row(&named).await? {
                        Some(freed) => {
                            self.remove(&freed).await?;
                            true
                        }
                        // The row has changed since it was read.
                        None => continue,
                    },
                    false => false,
                };
                counts.removed += u64::from(removed);
                *(if lost { &mut counts.missing } else { &mut counts.damaged }) += 1;
                tell(Finding { removed, ..finding(problem, false) });
            }
            if !full {
                return Ok(counts);
            }
        }
    }

    /// What is wrong with the blob of a row.
    async fn look(&self, named: &NamedBlob, deep: bool) -> Result<Option<Problem>, UpkeepError> {
        let problem = match self.blobs.size(&named.blob).await? {
            None => Some(Problem::Missing),
            Some(bytes) if bytes != named.bytes => {
                Some(Problem::Damaged { reason: format!("{bytes} bytes instead of {}", named.bytes) })
            }
            Some(_) if deep => self.read(named).await?,
            Some(_) => None,
        };
        // A blob goes with its last row; that this one went is only known now.
        match problem {
            Some(_) if !self.catalog.referenced(&named.blob).await? => Ok(None),
            problem => Ok(problem),
        }
    }

    async fn read(&self, named: &NamedBlob) -> Result<Option<Problem>, UpkeepError> {
        match md5_of(&*self.blobs, &named.blob).await {
            Ok((bytes, _)) if bytes != named.bytes => {
                Ok(Some(Problem::Damaged { reason: format!("{bytes} bytes instead of {}", named.bytes) }))
            }
            Ok((_, md5)) => Ok(named
                .md5
                .as_ref()
                .filter(|expected| **expected != md5)
                .map(|expected| Problem::Damaged { reason: format!("its MD5 is {md5} instead of {expected}") })),
            Err(StorageError::NotFound(_)) => Ok(Some(Problem::Missing)),
            // A disk that gives some bytes no longer is a fault of those blobs.
            Err(error @ (StorageError::Corrupted { .. } | StorageError::Io { .. })) => {
                Ok(Some(Problem::Damaged { reason: error.to_string() }))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Blobs that neither a row nor the garbage list names.
    async fn orphans(
        &self,
        options: VerifyOptions,
        remove: bool,
        totals: &mut Totals,
        tell: &mut (dyn FnMut(Finding) + Send),
    ) -> Result<(), UpkeepError> {
        let grace = i64::try_from(options.grace.as_micros()).unwrap_or(i64::MAX);
        let mut after: Option<BlobKey> = None;
        loop {
            let page = self.blobs.list(after.as_ref(), PAGE as usize).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = Some(last.clone());
            totals.blobs += page.len() as u64;
            let unknown = self.library.unknown_blobs(&page).await?;
            let looks = unknown.into_iter().map(|blob| async {
                let stored = self.blobs.stored(&blob).await?;
                Ok::<_, UpkeepError>(stored.map(|stored| (blob, stored)))
            });
            let mut looks = stream::iter(looks).buffered(options.concurrency.max(1));
            let mut orphans = Vec::new();
            while let Some(found) = looks.try_next().await? {
                // One that is gone by now was collected by a server.
                let Some((blob, Stored { bytes, since })) = found else { continue };
                match since {
                    Some(since) if Timestamp::now().unix_micros().saturating_sub(since.unix_micros()) >= grace => {
                        orphans.push((blob, bytes));
                    }
                    Some(_) => totals.young += 1,
                    None => totals.ageless += 1,
                }
            }
            drop(looks);
            let mut removed = Vec::new();
            if remove {
                let blobs: Vec<BlobKey> = orphans.iter().map(|(blob, _)| blob.clone()).collect();
                removed = self.library.disown_blobs(&blobs).await?;
                self.remove(&removed).await?;
            }
            for (blob, bytes) in orphans {
                let gone = removed.contains(&blob);
                if remove && !gone {
                    // A row names it by now.
                    continue;
                }
                totals.orphans += 1;
                totals.orphan_bytes += bytes;
                totals.orphans_removed += u64::from(gone);
                let blob = blob.to_string();
                let (cloud, name) = (String::new(), String::new());
                tell(Finding {
                    problem: Problem::Orphan { bytes },
                    of: "blob",
                    cloud,
                    name,
                    blob,
                    removed: gone,
                    mended: false,
                });
            }
        }
    }

    /// The garbage list: a running server empties it every minute.
    async fn garbage(&self, remove: bool, totals: &mut Totals) -> Result<(), UpkeepError> {
        let mut after = None;
        loop {
            let page = self.library.garbage_list(after, PAGE).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = Some(last.place);
            totals.garbage += page.len() as u64;
            if remove {
                let blobs: Vec<BlobKey> = page.into_iter().map(|entry| entry.blob).collect();
                let free = self.library.disown_blobs(&blobs).await?;
                self.remove(&free).await?;
                totals.garbage_removed += free.len() as u64;
            }
        }
    }

    /// Deletes blobs that are on the garbage list, and takes them off it.
    async fn remove(&self, blobs: &[BlobKey]) -> Result<(), UpkeepError> {
        if !blobs.is_empty() {
            self.blobs.delete_all(blobs).await?;
            self.catalog.forget_garbage(blobs).await?;
        }
        Ok(())
    }
}

/// Length and MD5 of what a store gives.
async fn md5_of(store: &dyn BlobStore, blob: &BlobKey) -> Result<(u64, String), StorageError> {
    let (mut reader, mut hash, mut bytes) = (store.open(blob, None).await?, Md5::new(), 0_u64);
    while let Some(chunk) = reader.next().await {
        let chunk = chunk?;
        bytes += chunk.len() as u64;
        hash.update(&chunk);
    }
    Ok((bytes, hex::encode(hash.finalize())))
}
