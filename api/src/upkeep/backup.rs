//! Writing a backup: first the rows, as they are at one moment, then the blobs that they name, then the manifest. A blob
//! whose row went meanwhile is gone too and noted as absent; one that is there is not copied again.

use super::copying::{Listed, copy, finding, holds, next_listed};
use super::snapshot::{LineReader, LineWriter, Manifest, Snapshot, VERSION, create_folder, failed, sync_folder};
use super::{Finding, Problem, UpkeepError};
use crate::catalog::Catalog;
use crate::catalog::library::{BLOBS, Library};
use crate::domain::{BlobKey, Timestamp};
use crate::service::library::view::iso_time;
use crate::storage::{BlobStore, FsStore, StorageError};
use futures::{StreamExt, TryStreamExt, stream};
use parking_lot::Mutex;
use serde::Serialize;
use serde_json::json;
use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

/// Name of the list of blobs that are not in the backup.
pub(super) const ABSENT: &str = "absent";

/// How a backup is written.
#[derive(Debug, Clone, Copy)]
pub struct BackupOptions {
    /// Blobs on their way at once.
    pub concurrency: usize,
    /// So many snapshots are kept, the newest ones, with their blobs; all without it.
    pub keep: Option<usize>,
}

/// What a backup holds and what it cost.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct BackupReport {
    pub snapshot: String,
    /// Rows by table.
    pub rows: BTreeMap<String, u64>,
    pub copied: u64,
    pub copied_bytes: u64,
    /// Blobs that an earlier backup brought.
    pub present: u64,
    /// Blobs whose row went while the backup was written.
    pub gone: u64,
    /// Blobs that rows name and that are lost or damaged.
    pub lost: u64,
    pub snapshots_removed: u64,
    pub blobs_removed: u64,
}

/// What became of a blob.
enum Outcome {
    Present,
    Copied,
    Gone,
    Lost(Problem),
}

/// Writes a snapshot of a server, which may go on working, into a folder.
pub async fn back_up(
    catalog: &dyn Catalog,
    library: &Library,
    blobs: &dyn BlobStore,
    root: &Path,
    options: BackupOptions,
    tell: &mut (dyn FnMut(Finding) + Send),
) -> Result<BackupReport, UpkeepError> {
    create_folder(root)?;
    let lock = root.join("lock");
    let lock = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&lock)
        .map_err(failed(&lock))?;
    if lock.try_lock().is_err() {
        return Err(UpkeepError::Refused("another backup is being written into this folder".to_owned()));
    }
    let copies = &FsStore::open(root.join("blobs")).await?;
    let now = Timestamp::now();
    let created_at = iso_time(now);
    let name = format!("{}-{:06}", created_at.replace(':', "-"), now.unix_micros().rem_euclid(1_000_000));
    let snapshot = Snapshot { folder: root.join("snapshots").join(&name), name };
    create_folder(&snapshot.folder)?;
    sync_folder(&root.join("snapshots"))?;
    sync_folder(root)?;

    let (mut files, key_check) = write_rows(library, &snapshot).await?;
    let rows = |(table, facts): (&String, &super::snapshot::FileFacts)| (table.clone(), facts.lines.saturating_sub(1));
    let mut report = BackupReport {
        snapshot: snapshot.name.clone(),
        rows: files.iter().filter(|(table, _)| *table != BLOBS).map(rows).collect(),
        ..BackupReport::default()
    };
    let absent = snapshot.file(ABSENT);
    let mut absent_writer = LineWriter::create(&absent).map_err(failed(&absent))?;
    let mut listed = LineReader::open(&snapshot.file(BLOBS))?;
    // What the last finished backup listed was compared when it was copied.
    let last = Snapshot::all(root)?.into_iter().rfind(Snapshot::is_finished);
    let mut known = last.map(|last| Sorted::open(&last.file(BLOBS))).transpose()?;
    loop {
        let batch = next_listed(&mut listed)?;
        if batch.is_empty() {
            break;
        }
        let mut looked_at = Vec::with_capacity(batch.len());
        for blob in batch {
            let compared = known.as_mut().map_or(Ok(false), |known| known.has(&blob.key))?;
            looked_at.push((blob, compared));
        }
        let copying = looked_at.into_iter().map(|(blob, compared)| async move {
            let outcome = keep(catalog, blobs, copies, &blob, compared).await?;
            Ok::<_, UpkeepError>((blob, outcome))
        });
        let mut copying = stream::iter(copying).buffered(options.concurrency.max(1));
        while let Some((blob, outcome)) = copying.try_next().await? {
            match outcome {
                Outcome::Present => report.present += 1,
                Outcome::Copied => {
                    report.copied += 1;
                    report.copied_bytes += blob.bytes;
                }
                Outcome::Gone | Outcome::Lost(_) => {
                    absent_writer.write(&json!(blob.key.as_str()).to_string()).map_err(failed(&absent))?;
                    match outcome {
                        Outcome::Lost(problem) => {
                            report.lost += 1;
                            tell(finding(&blob, problem));
                        }
                        _ => report.gone += 1,
                    }
                }
            }
        }
    }
    files.insert(ABSENT.to_owned(), absent_writer.finish().map_err(failed(&absent))?);
    snapshot.finish(&Manifest {
        tintype_backup: VERSION,
        program: env!("CARGO_PKG_VERSION").to_owned(),
        created_at,
        catalog: catalog.kind().to_owned(),
        key_check: hex::encode(key_check),
        files,
    })?;
    if let Some(keep) = options.keep {
        prune(root, copies, keep.max(1), &mut report).await?;
    }
    Ok(report)
}

/// Writes the files of all tables; gives what they hold, and by what the secret key is known.
async fn write_rows(
    library: &Library,
    snapshot: &Snapshot,
) -> Result<(BTreeMap<String, super::snapshot::FileFacts>, Vec<u8>), UpkeepError> {
    let first = LineWriter::create(&snapshot.file(BLOBS)).map_err(failed(&snapshot.file(BLOBS)))?;
    let writers = Arc::new(Mutex::new(BTreeMap::from([(BLOBS, first)])));
    let (shared, folder) = (writers.clone(), snapshot.clone());
    let key_check = library
        .export(Box::new(move |table, line| {
            let mut writers = shared.lock();
            match writers.get_mut(table) {
                Some(writer) => writer.write(&line),
                None => {
                    let mut writer = LineWriter::create(&folder.file(table))?;
                    writer.write(&line)?;
                    writers.insert(table, writer);
                    Ok(())
                }
            }
        }))
        .await?;
    let mut files = BTreeMap::new();
    for (table, writer) in std::mem::take(&mut *writers.lock()) {
        files.insert(table.to_owned(), writer.finish().map_err(failed(&snapshot.file(table)))?);
    }
    Ok((files, key_check))
}

/// Copies one blob unless it is there. One that no finished backup has `compared` is read first: a right length alone says
/// little of what an interrupted one left.
async fn keep(
    catalog: &dyn Catalog,
    blobs: &dyn BlobStore,
    copies: &FsStore,
    blob: &Listed,
    compared: bool,
) -> Result<Outcome, UpkeepError> {
    let is_there = match compared {
        true => copies.size(&blob.key).await? == Some(blob.bytes),
        false => holds(copies, blob).await?,
    };
    if is_there {
        return Ok(Outcome::Present);
    }
    let problem = match blobs.open_original(&blob.key, blob.bytes, None).await {
        Ok(reader) => copy(reader, copies, blob).await?,
        Err(StorageError::NotFound(_)) => Some(Problem::Missing),
        Err(error @ (StorageError::Corrupted { .. } | StorageError::Io { .. })) => {
            Some(Problem::Damaged { reason: error.to_string() })
        }
        Err(error) => return Err(error.into()),
    };
    Ok(match problem {
        None => Outcome::Copied,
        Some(problem) if catalog.referenced(&blob.key).await? => Outcome::Lost(problem),
        Some(_) => Outcome::Gone,
    })
}

/// Removes all but the newest snapshots, then the blobs that none of these lists.
async fn prune(root: &Path, copies: &FsStore, keep: usize, report: &mut BackupReport) -> Result<(), UpkeepError> {
    let all = Snapshot::all(root)?;
    let (finished, unfinished): (Vec<_>, Vec<_>) = all.into_iter().partition(Snapshot::is_finished);
    let (old, kept) = finished.split_at(finished.len().saturating_sub(keep));
    // Nobody else writes here: what is not finished never will be.
    for snapshot in old.iter().chain(&unfinished) {
        snapshot.remove()?;
        report.snapshots_removed += 1;
    }
    let mut lists = Vec::new();
    for snapshot in kept {
        lists.push(Sorted::open(&snapshot.file(BLOBS))?);
    }
    let mut after: Option<BlobKey> = None;
    loop {
        let page = copies.list(after.as_ref(), 1000).await?;
        let Some(last) = page.last() else { return Ok(()) };
        after = Some(last.clone());
        for key in page {
            let mut named = false;
            for list in &mut lists {
                named |= list.has(&key)?;
            }
            if !named {
                copies.delete(&key).await?;
                report.blobs_removed += 1;
            }
        }
    }
}

/// A list of blobs in the order of their keys, which is asked in that order.
struct Sorted {
    reader: LineReader,
    batch: std::vec::IntoIter<Listed>,
    next: Option<BlobKey>,
}

impl Sorted {
    fn open(path: &Path) -> Result<Self, UpkeepError> {
        let mut list = Sorted { reader: LineReader::open(path)?, batch: Vec::new().into_iter(), next: None };
        list.advance()?;
        Ok(list)
    }

    fn advance(&mut self) -> Result<(), UpkeepError> {
        self.next = match self.batch.next() {
            Some(listed) => Some(listed.key),
            None => {
                self.batch = next_listed(&mut self.reader)?.into_iter();
                self.batch.next().map(|listed| listed.key)
            }
        };
        Ok(())
    }

    fn has(&mut self, key: &BlobKey) -> Result<bool, UpkeepError> {
        while self.next.as_ref().is_some_and(|next| next < key) {
            self.advance()?;
        }
        Ok(self.next.as_ref() == Some(key))
    }
}
