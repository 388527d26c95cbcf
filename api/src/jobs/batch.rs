//! Eager batches: transformations over many assets, page by page. Each page that is done is recorded with the counts, so
//! that another worker goes on behind it; what it renders again is found in the store.

use super::EAGER_BATCH;
use super::clock::between;
use super::eager::{caller, expand, from_api, may_pass};
use super::handler::{Failure, Finished, Handler, Run};
use crate::catalog::library::{
    AssetFilter, LibraryCursor, LibraryPage, SearchCursor, SearchQuery, Selection, SortKey, SortValue,
};
use crate::domain::{Asset, AssetId, Cloud, CloudId, Job, JobState, NewJob, ResourceType, Timestamp};
use crate::search::{self, Filter, NumberColumn, QueryError, Scope, SortColumn};
use crate::service::deliver_types::DeliveryError;
use crate::service::library::view::iso_time;
use crate::service::library::{FolderMode, LibraryService};
use crate::service::params::{self, EagerEntry};
use async_trait::async_trait;
use futures::FutureExt;
use futures::stream::{self, StreamExt};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::time::Duration;

/// Assets of one page.
const PAGE: u32 = 50;
/// Errors that a report lists.
const MAX_ERRORS: usize = 100;
/// Longest text of an error in a report, in characters.
const MAX_ERROR_CHARS: usize = 300;
/// How often a picture is tried while the server is busy, and how long between two attempts.
const N_ATTEMPTS: u32 = 120;
const PAUSE: Duration = Duration::from_millis(500);
/// Batches go behind the eager pictures of single calls.
const PRIORITY: i64 = 10;
/// How often a batch may fail without getting a page further.
const MAX_ATTEMPTS: u32 = 10;

/// Which images of a cloud.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BatchSelection {
    All,
    /// Beginning of the public id.
    Prefix(String),
    Tag(String),
    /// An asset folder with those below it.
    Folder(String),
    /// What a search finds. Relative times in it are relative to the beginning of the batch.
    Expression(String),
}

/// What a batch is to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    /// As in `eager`, with formats.
    pub transformations: Vec<String>,
    pub selection: BatchSelection,
}

/// How far a batch is.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct BatchProgress {
    /// Creation time and id of the last asset that is done.
    pub cursor: Option<(i64, String)>,
    pub assets: u64,
    /// Pictures that are there now.
    pub done: u64,
    pub failed: u64,
    /// Pictures of assets that were deleted meanwhile, or that are no images.
    pub skipped: u64,
    /// The first errors.
    pub errors: Vec<BatchError>,
    /// Time spent on pages that are done, in milliseconds.
    pub active_ms: u64,
}

/// One picture that could not be rendered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchError {
    pub public_id: String,
    pub transformation: String,
    pub reason: String,
}

impl Batch {
    /// The job. While it waits or runs, the same batch is not begun a second time.
    pub fn job(&self, cloud: &CloudId, now: Timestamp) -> NewJob {
        let payload = serde_json::to_value(self).unwrap_or_default();
        let digest = hex::encode(Sha256::digest(payload.to_string().as_bytes()));
        NewJob {
            unique_key: format!("eager_batch:{cloud}:{digest}"),
            priority: PRIORITY,
            max_attempts: MAX_ATTEMPTS,
            ..NewJob::new(cloud.clone(), EAGER_BATCH, payload, now)
        }
    }

    /// The images, unless they have to be searched for.
    fn filter(&self, cloud: &CloudId) -> Option<AssetFilter> {
        let selection = match self.selection.clone() {
            BatchSelection::All => Selection::All,
            BatchSelection::Prefix(prefix) => Selection::Prefix(prefix),
            BatchSelection::Tag(tag) => Selection::Tag(tag),
            BatchSelection::Folder(folder) => Selection::AssetFolderTree(folder),
            BatchSelection::Expression(_) => return None,
        };
        let resource_type = Some(ResourceType::Image);
        Some(AssetFilter { resource_type, ascending: true, selection, ..AssetFilter::all(cloud.clone()) })
    }
}

impl BatchProgress {
    /// How far the batch of a job is.
    pub fn of(job: &Job) -> Self {
        serde_json::from_value(job.progress.clone()).unwrap_or_default()
    }

    /// Pictures per second of the time spent.
    pub fn rate(&self) -> f64 {
        let count = (self.done + self.failed) as f64;
        if self.active_ms == 0 { 0.0 } else { (count * 1e5 / self.active_ms as f64).round() / 100.0 }
    }
}

/// The assets that an expression means, or what is wrong with it.
pub fn check_expression(text: &str, scope: Scope) -> Result<Filter, QueryError> {
    Filter::new(&search::parse(text)?, scope)
}

/// A batch for clients: our own extension of the API.
pub fn describe(job: &Job) -> Value {
    let progress = BatchProgress::of(job);
    let state = match job.state {
        JobState::Waiting => "waiting",
        JobState::Running => "running",
        JobState::Done => "done",
        JobState::Dead => "failed",
    };
    let mut body = json!({
        "batch_id": job.id.as_str(),
        "state": state,
        "transformations": job.payload["transformations"],
        "selection": job.payload["selection"],
        "created_at": iso_time(job.created_at),
        "assets": progress.assets,
        "done": progress.done,
        "failed": progress.failed,
        "skipped": progress.skipped,
        "pictures_per_second": progress.rate(),
        "errors": progress.errors,
    });
    if let Some(at) = job.finished_at {
        body["finished_at"] = json!(iso_time(at));
    }
    if job.state != JobState::Done && !job.error.is_empty() {
        body["error"] = json!(job.error);
    }
    body
}

/// Runs batches.
pub struct BatchHandler {
    library: LibraryService,
    /// Assets that are rendered at once.
    parallel: usize,
}

impl BatchHandler {
    pub fn new(library: LibraryService, parallel: usize) -> Self {
        BatchHandler { library, parallel: parallel.max(1) }
    }

    /// One page of assets, oldest first.
    async fn page(
        &self,
        batch: &Batch,
        job: &Job,
        cloud: &Cloud,
        after: Option<LibraryCursor>,
    ) -> Result<LibraryPage, Failure> {
        let library = self.library.library();
        let BatchSelection::Expression(text) = &batch.selection else {
            let filter = batch.filter(&cloud.id).ok_or_else(|| Failure::Permanent("nothing is selected".to_owned()))?;
            return library.list(&filter, PAGE, after).await.map_err(Failure::retry);
        };
        let fixed_folders = self.library.settings_of(cloud).await.map_err(from_api)?.folder_mode == FolderMode::Fixed;
        let filter = check_expression(text, Scope { now: job.created_at, fixed_folders });
        let column = SortColumn::Number(NumberColumn::CreatedAt);
        let query = SearchQuery {
            cloud: cloud.id.clone(),
            filter: filter.map_err(|error| Failure::Permanent(error.to_string()))?,
            sort: vec![SortKey { column, descending: false }],
            limit: PAGE,
            after: after.map(|cursor| SearchCursor {
                values: vec![SortValue::Number(cursor.created_at.unix_micros())],
                id: cursor.id,
            }),
            aggregates: Vec::new(),
        };
        let page = library.search(&query).await.map_err(Failure::retry)?;
        let last = page.assets.last().map(|asset| LibraryCursor { created_at: asset.created_at, id: asset.id.clone() });
        Ok(LibraryPage { next: last.filter(|_| page.next.is_some()), assets: page.assets })
    }

    /// Renders one asset of a page; `None` when it is gone, or no image.
    async fn one(
        &self,
        cloud: &Cloud,
        listed: &Asset,
        entries: &[EagerEntry],
    ) -> Result<Option<Vec<Option<String>>>, Failure> {
        if listed.key.resource_type != ResourceType::Image {
            return Ok(None);
        }
        // Nobody needs pictures of what was deleted since the page was read.
        let found = self.library.library().asset_by_id(&cloud.id, &listed.id).await.map_err(Failure::retry)?;
        match found.filter(|asset| !asset.placeholder) {
            None => Ok(None),
            Some(asset) => self.render(cloud, &asset, entries).await.map(Some),
        }
    }

    /// Renders all entries of an asset, waiting while the server is busy: for each why it failed, if it did.
    async fn render(
        &self,
        cloud: &Cloud,
        asset: &Asset,
        entries: &[EagerEntry],
    ) -> Result<Vec<Option<String>>, Failure> {
        let eager = &self.library.parts().eager;
        let mut results = eager.render(cloud, asset, entries).await;
        for _ in 1..N_ATTEMPTS {
            if !results.iter().any(|result| matches!(result, Err(DeliveryError::Busy { .. }))) {
                break;
            }
            tokio::time::sleep(PAUSE).await;
            results = eager.render(cloud, asset, entries).await;
        }
        if results.iter().any(|result| matches!(result, Err(DeliveryError::Busy { .. }))) {
            return Err(Failure::Retry("the server stayed busy".to_owned()));
        }
        let text = |error: DeliveryError| {
            let reason = if may_pass(&error) { "internal error".to_owned() } else { error.to_string() };
            if may_pass(&error) {
                tracing::warn!(asset = %asset.id, %error, "a picture of an eager batch failed");
            }
            reason.chars().take(MAX_ERROR_CHARS).collect()
        };
        Ok(results.into_iter().map(|result| result.err().map(text)).collect())
    }
}

#[async_trait]
impl Handler for BatchHandler {
    async fn run(&self, run: &Run) -> Result<Finished, Failure> {
        let malformed = |error: &dyn std::fmt::Display| Failure::Permanent(format!("the job is malformed: {error}"));
        let batch: Batch = serde_json::from_value(run.job.payload.clone()).map_err(|error| malformed(&error))?;
        let mut entries = params::parse_eager(&batch.transformations.join("|")).map_err(|error| malformed(&error))?;
        let cloud = caller(&self.library, &run.job.cloud, "").await?.cloud;
        expand(&self.library, &cloud.id, &mut entries).await?;
        let mut progress = BatchProgress::of(&run.job);
        loop {
            let begun = run.now();
            let after = match &progress.cursor {
                None => None,
                Some((created_at, id)) => Some(LibraryCursor {
                    created_at: Timestamp::from_unix_micros(*created_at),
                    id: AssetId::new(id.as_str()).map_err(|error| malformed(&error))?,
                }),
            };
            let page = self.page(&batch, &run.job, &cloud, after).await?;
            // Boxed one by one: the compiler cannot follow a closure over borrowed assets here.
            let mut works = Vec::with_capacity(page.assets.len());
            for asset in &page.assets {
                works.push(self.one(&cloud, asset, &entries).boxed());
            }
            let outcomes: Vec<_> = stream::iter(works).buffered(self.parallel).collect().await;
            for (asset, outcome) in page.assets.iter().zip(outcomes) {
                progress.assets += 1;
                let Some(results) = outcome? else {
                    progress.skipped += entries.len() as u64;
                    continue;
                };
                for (entry, error) in entries.iter().zip(results) {
                    let Some(reason) = error else {
                        progress.done += 1;
                        continue;
                    };
                    progress.failed += 1;
                    if progress.errors.len() < MAX_ERRORS {
                        let (public_id, transformation) = (asset.key.public_id.to_string(), entry.given.clone());
                        progress.errors.push(BatchError { public_id, transformation, reason });
                    }
                }
            }
            if let Some(last) = page.assets.last() {
                progress.cursor = Some((last.created_at.unix_micros(), last.id.to_string()));
            }
            let spent = between(begun, run.now()).as_millis();
            progress.active_ms = progress.active_ms.saturating_add(u64::try_from(spent).unwrap_or(u64::MAX));
            let report = serde_json::to_value(&progress).unwrap_or_default();
            if page.next.is_none() {
                return Ok(Finished { report, then: Vec::new() });
            }
            run.progress(&report).await?;
        }
    }
}
