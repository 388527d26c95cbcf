//! Bringing a backup back: clouds, then blobs, then the rows that name them. All of it may be done again: what is there
//! already stays, so that a restore that was interrupted goes on when it is run again.

use super::backup::ABSENT;
use super::copying::{Listed, copy, finding, holds, next_listed, open_file};
use super::snapshot::{LineReader, Manifest, Snapshot};
use super::{Finding, Problem, UpkeepError};
use crate::catalog::Catalog;
use crate::catalog::library::{BLOBS, ImportTable, Imported, Library, TABLES_OF_BACKUP};
use crate::domain::BlobKey;
use crate::storage::BlobStore;
use futures::{StreamExt, TryStreamExt, stream};
use serde::Serialize;
use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::sync::Arc;

/// Rows of one transaction.
const PAGE: usize = 500;

/// How a backup is brought back.
#[derive(Debug, Clone, Copy)]
pub struct RestoreOptions {
    /// Also into a catalog that has clouds: what is there stays, what is not is added.
    pub force: bool,
    /// Blobs on their way at once.
    pub concurrency: usize,
}

/// What was brought back.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct RestoreReport {
    pub snapshot: String,
    /// Rows by table.
    pub rows: BTreeMap<&'static str, Imported>,
    pub copied: u64,
    pub copied_bytes: u64,
    /// Blobs that were in the store already.
    pub present: u64,
    /// Blobs that the backup does not have because they went or were lost before.
    pub absent: u64,
    /// Blobs of the backup that are lost or damaged there.
    pub lost: u64,
}

/// The named snapshot of a folder, or its newest finished one, compared with its manifest.
pub fn choose(root: &Path, name: Option<&str>) -> Result<(Snapshot, Manifest), UpkeepError> {
    let all = Snapshot::all(root)?;
    let found = match name {
        Some(name) => all.into_iter().find(|snapshot| snapshot.name == name),
        None => all.into_iter().rfind(Snapshot::is_finished),
    };
    let Some(snapshot) = found else {
        return Err(UpkeepError::Refused(format!(
            "{} holds no finished backup{}",
            root.display(),
            name.map_or_else(String::new, |name| format!(" of the name {name}"))
        )));
    };
    let manifest = snapshot.manifest()?;
    snapshot.check(&manifest)?;
    for table in TABLES_OF_BACKUP.iter().chain(&[BLOBS, ABSENT]) {
        if !manifest.files.contains_key(*table) {
            return Err(UpkeepError::Refused(format!("the backup {} has no {table}", snapshot.name)));
        }
    }
    Ok((snapshot, manifest))
}

/// Brings a snapshot of the folder `root` back into a catalog and a store.
pub async fn restore(
    root: &Path,
    snapshot: &Snapshot,
    catalog: &dyn Catalog,
    library: &Library,
    blobs: &dyn BlobStore,
    options: RestoreOptions,
    tell: &mut (dyn FnMut(Finding) + Send),
) -> Result<RestoreReport, UpkeepError> {
    let under_way = catalog.setting(Library::RESTORE_SETTING).await?;
    let goes_on = under_way.as_deref() == Some(snapshot.name.as_str());
    if !goes_on && !options.force && !catalog.clouds().await?.is_empty() {
        return Err(UpkeepError::Refused(
            "the catalog has clouds already; --force adds what it lacks and leaves the rest as it is".to_owned(),
        ));
    }
    catalog.set_setting(Library::RESTORE_SETTING, &snapshot.name).await?;
    let mut report = RestoreReport { snapshot: snapshot.name.clone(), ..RestoreReport::default() };
    let mut absent = HashSet::new();
    let mut reader = LineReader::open(&snapshot.file(ABSENT))?;
    while let Some(line) = reader.next_line()? {
        let key = serde_json::from_str::<String>(&line).ok().and_then(|key| BlobKey::new(key).ok());
        absent.insert(key.ok_or_else(|| UpkeepError::Refused(format!("{line} is no key of a blob")))?);
    }
    report.absent = absent.len() as u64;

    // A name that is taken is told before anything is copied.
    let (first, others) = TABLES_OF_BACKUP.split_at(1);
    for table in first {
        report.rows.insert(table, rows(snapshot, table, library, &Arc::default()).await?);
    }
    let mut listed = LineReader::open(&snapshot.file(BLOBS))?;
    loop {
        let batch = next_listed(&mut listed)?;
        if batch.is_empty() {
            break;
        }
        let wanted: Vec<Listed> = batch.into_iter().filter(|blob| !absent.contains(&blob.key)).collect();
        let copying = wanted.into_iter().map(|blob| async {
            let outcome = bring(&root.join("blobs"), blobs, &blob).await?;
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
                Outcome::Lost(problem) => {
                    report.lost += 1;
                    tell(finding(&blob, problem));
                    absent.insert(blob.key);
                }
            }
        }
    }
    let absent = Arc::new(absent);
    for table in others {
        report.rows.insert(table, rows(snapshot, table, library, &absent).await?);
    }
    catalog.set_setting(Library::RESTORE_SETTING, "").await?;
    Ok(report)
}

/// What became of a blob.
enum Outcome {
    Present,
    Copied,
    Lost(Problem),
}

async fn bring(from: &Path, to: &dyn BlobStore, blob: &Listed) -> Result<Outcome, UpkeepError> {
    if holds(to, blob).await? {
        return Ok(Outcome::Present);
    }
    let problem = match open_file(from, &blob.key).await? {
        None => Some(Problem::Missing),
        Some(reader) => copy(reader, to, blob).await?,
    };
    Ok(problem.map_or(Outcome::Copied, Outcome::Lost))
}

/// Inserts the rows of one table.
async fn rows(
    snapshot: &Snapshot,
    table: &str,
    library: &Library,
    absent: &Arc<HashSet<BlobKey>>,
) -> Result<Imported, UpkeepError> {
    let mut reader = LineReader::open(&snapshot.file(table))?;
    let header = reader.next_line()?.unwrap_or_default();
    let table = Arc::new(ImportTable::new(&header)?);
    let mut sum = Imported::default();
    loop {
        let mut lines = Vec::new();
        while lines.len() < PAGE {
            let Some(line) = reader.next_line()? else { break };
            lines.push(line);
        }
        if lines.is_empty() {
            return Ok(sum);
        }
        let Imported { inserted, present, left_out } = library.import_rows(&table, lines, absent).await?;
        sum.inserted += inserted;
        sum.present += present;
        sum.left_out += left_out;
    }
}
