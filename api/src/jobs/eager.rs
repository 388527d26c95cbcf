//! Eager pictures of one asset, rendered after the answer to the call that asked for them (api.md 3.6).

use super::EAGER;
use super::announce::Occasion;
use super::events;
use super::handler::{Failure, Finished, Handler, Run};
use super::webhook::signing_key;
use crate::domain::{Asset, AssetId, CloudId, NewJob, Timestamp, VersionId};
use crate::service::access::Caller;
use crate::service::answer::{EagerAnswer, EagerState, eager_entry};
use crate::service::call::ApiError;
use crate::service::deliver_types::DeliveryError;
use crate::service::library::LibraryService;
use crate::service::params::{self, EagerEntry};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::json;

/// What the job holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EagerJob {
    pub asset_id: String,
    /// The content that the pictures are of: those of an older one are not rendered.
    pub version_id: String,
    /// As given, with formats.
    pub transformations: Vec<String>,
    /// API key of the call.
    pub key: String,
    pub batch_id: String,
    /// The address that the call named.
    pub url: Option<String>,
    /// Time of the call, in Unix microseconds.
    pub at: i64,
}

/// Whether a later attempt may end otherwise.
pub(super) fn may_pass(error: &DeliveryError) -> bool {
    match error {
        DeliveryError::Busy { .. }
        | DeliveryError::Unavailable(_)
        | DeliveryError::Lost { .. }
        | DeliveryError::Internal(_) => true,
        DeliveryError::Render(error) => error.is_internal(),
        _ => false,
    }
}

/// The job that renders what a call asked for. The address of the occasion is the one for eager results.
pub fn job(occasion: &Occasion, asset: &Asset, entries: &[EagerEntry], batch_id: &str) -> NewJob {
    let payload = EagerJob {
        asset_id: asset.id.to_string(),
        version_id: asset.version_id.to_string(),
        transformations: entries.iter().map(|entry| entry.given.clone()).collect(),
        key: occasion.key.clone(),
        batch_id: batch_id.to_owned(),
        url: occasion.url.clone(),
        at: occasion.at.unix_micros(),
    };
    NewJob::new(occasion.cloud.clone(), EAGER, serde_json::to_value(payload).unwrap_or_default(), occasion.at)
}

/// Renders eager pictures.
pub struct EagerHandler {
    library: LibraryService,
}

impl EagerHandler {
    pub fn new(library: LibraryService) -> Self {
        EagerHandler { library }
    }
}

/// The cloud and the key of the call that a job comes from.
pub(super) async fn caller(library: &LibraryService, cloud: &CloudId, key: &str) -> Result<Caller, Failure> {
    let catalog = &*library.parts().catalog;
    let found = catalog.cloud(cloud).await.map_err(Failure::retry)?;
    let cloud = found.ok_or_else(|| Failure::Permanent("the cloud is gone".to_owned()))?;
    let key = signing_key(catalog, &cloud.id, key).await?;
    Ok(Caller { cloud, key })
}

/// Replaces the names of transformations.
pub(super) async fn expand(
    library: &LibraryService,
    cloud: &CloudId,
    entries: &mut [EagerEntry],
) -> Result<(), Failure> {
    match library.expand_eager(cloud, entries).await {
        Ok(()) => Ok(()),
        Err(error @ (ApiError::Catalog(_) | ApiError::Internal(_))) => Err(from_api(error)),
        Err(error) => Err(Failure::Permanent(error.to_string())),
    }
}

pub(super) fn from_api(error: ApiError) -> Failure {
    Failure::Retry(error.to_string())
}

#[async_trait]
impl Handler for EagerHandler {
    async fn run(&self, run: &Run) -> Result<Finished, Failure> {
        let malformed = |error: &dyn std::fmt::Display| Failure::Permanent(format!("the job is malformed: {error}"));
        let job: EagerJob = serde_json::from_value(run.job.payload.clone()).map_err(|error| malformed(&error))?;
        let id = AssetId::new(job.asset_id.as_str()).map_err(|error| malformed(&error))?;
        let version = VersionId::new(job.version_id.as_str()).map_err(|error| malformed(&error))?;
        let mut entries = params::parse_eager(&job.transformations.join("|")).map_err(|error| malformed(&error))?;
        let caller = caller(&self.library, &run.job.cloud, &job.key).await?;
        expand(&self.library, &run.job.cloud, &mut entries).await?;
        let parts = self.library.parts();
        let found = parts.library.asset_by_id(&run.job.cloud, &id).await.map_err(Failure::retry)?;
        let Some(asset) = found.filter(|asset| !asset.placeholder && asset.version_id == version) else {
            return Ok(Finished {
                report: json!({ "skipped": "the asset was replaced or deleted" }),
                then: Vec::new(),
            });
        };
        let results = parts.eager.render(&caller.cloud, &asset, &entries).await;
        if !run.job.is_last_attempt()
            && let Some(error) = results.iter().filter_map(|result| result.as_ref().err()).find(|error| may_pass(error))
        {
            return Err(Failure::Retry(error.to_string()));
        }
        let failed = results.iter().filter(|result| result.is_err()).count();
        let report = json!({ "rendered": results.len() - failed, "failed": failed });
        let view = self.library.view(&caller).await.map_err(from_api)?;
        let entries = entries.into_iter().zip(results);
        let entries = entries.map(|(entry, result)| EagerAnswer { entry, state: EagerState::from(result) });
        let entries = entries.map(|answer| eager_entry(&view, &asset, &answer)).collect();
        let occasion = Occasion {
            cloud: run.job.cloud.clone(),
            key: job.key,
            url: job.url,
            batch_id: Some(job.batch_id),
            at: Timestamp::from_unix_micros(job.at),
        };
        let event = events::eager(&asset, entries, &occasion.key);
        let then = parts.announcer.jobs(&occasion, &event).await.map_err(from_api)?;
        Ok(Finished { report, then })
    }
}
