//! Eager batches over the API: `POST`, `GET` and `DELETE /eager_batches`, an extension of ours.

use super::edit::folder_path;
use super::{FolderMode, LibraryService};
use crate::catalog::library::JobFilter;
use crate::domain::{Job, JobId};
use crate::jobs::EAGER_BATCH;
use crate::jobs::batch::{Batch, BatchSelection, check_expression, describe};
use crate::search::Scope;
use crate::service::access::Caller;
use crate::service::call::{ApiError, Params, shown};
use crate::service::params;
use serde_json::{Value, json};

fn missing(id: &str) -> ApiError {
    ApiError::NotFound(format!("Eager batch not found - {}", shown(id)))
}

impl LibraryService {
    /// The batch that a call describes.
    async fn read_batch(&self, caller: &Caller, params: &Params) -> Result<Batch, ApiError> {
        let text = params.values("transformations").join("|");
        let mut entries = params::parse_eager(&text).map_err(|error| ApiError::BadRequest(error.to_string()))?;
        if entries.is_empty() {
            return Err(ApiError::missing_param("transformations"));
        }
        self.expand_eager(&caller.cloud.id, &mut entries).await?;
        for entry in &entries {
            self.parts.eager.check(entry).map_err(|error| ApiError::BadRequest(error.to_string()))?;
        }
        let text = |name: &str| params.text(name).map(str::to_owned);
        let folder = params.text("asset_folder").map(folder_path).transpose()?;
        let all = params.is_set("all")?.then_some(BatchSelection::All);
        if let Some(expression) = params.text("expression") {
            let fixed_folders = self.settings_of(&caller.cloud).await?.folder_mode == FolderMode::Fixed;
            check_expression(expression, Scope { now: self.parts.announcer.now(), fixed_folders })?;
        }
        let given = [
            text("prefix").map(BatchSelection::Prefix),
            text("tag").map(BatchSelection::Tag),
            folder.map(BatchSelection::Folder),
            text("expression").map(BatchSelection::Expression),
            all,
        ];
        let mut given = given.into_iter().flatten();
        match (given.next(), given.next()) {
            (Some(selection), None) => {
                Ok(Batch { transformations: entries.into_iter().map(|entry| entry.given).collect(), selection })
            }
            _ => Err(ApiError::BadRequest(
                "Exactly one of prefix, tag, asset_folder, expression and all must be given".to_owned(),
            )),
        }
    }

    async fn batch_job(&self, caller: &Caller, id: &str) -> Result<Job, ApiError> {
        let id = JobId::new(id).map_err(|_| missing(id))?;
        let found = self.parts.library.job(&caller.cloud.id, &id).await?;
        found.filter(|job| job.kind == EAGER_BATCH).ok_or_else(|| missing(id.as_str()))
    }

    /// `POST /eager_batches`. The same batch that still waits or runs is the answer instead of a second one.
    pub async fn start_batch(&self, caller: &Caller, params: &Params) -> Result<Value, ApiError> {
        let job = self.read_batch(caller, params).await?.job(&caller.cloud.id, self.parts.announcer.now());
        let enqueued = self.parts.announcer.queue().enqueue(vec![job]).await?;
        let enqueued = enqueued.first().ok_or_else(|| ApiError::Internal("a batch got no job".to_owned()))?;
        let mut body = self.batch(caller, enqueued.id.as_str()).await?;
        body["existing"] = json!(!enqueued.fresh);
        Ok(body)
    }

    /// `GET /eager_batches/{id}`
    pub async fn batch(&self, caller: &Caller, id: &str) -> Result<Value, ApiError> {
        Ok(describe(&self.batch_job(caller, id).await?))
    }

    /// `GET /eager_batches`: the newest ones.
    pub async fn batches(&self, caller: &Caller, params: &Params) -> Result<Value, ApiError> {
        let filter =
            JobFilter { cloud: Some(caller.cloud.id.clone()), kind: Some(EAGER_BATCH), ..JobFilter::default() };
        let page = self.parts.library.jobs(&filter, params.max_results(10)?, None).await?;
        Ok(json!({ "eager_batches": page.jobs.iter().map(describe).collect::<Vec<_>>() }))
    }

    /// `DELETE /eager_batches/{id}`: what is rendered stays.
    pub async fn stop_batch(&self, caller: &Caller, id: &str) -> Result<Value, ApiError> {
        let job = self.batch_job(caller, id).await?;
        let filter = JobFilter { ids: vec![job.id], ..JobFilter::default() };
        self.parts.library.drop_jobs(&filter).await?;
        Ok(json!({ "message": "deleted" }))
    }
}
