//! An upload that was answered before it was done (api.md 3.7).

use super::UPLOAD;
use super::announce::Occasion;
use super::eager::{caller, from_api};
use super::events;
use super::handler::{Failure, Finished, Handler, Run};
use crate::domain::{NewJob, Timestamp};
use crate::service::later::Later;
use crate::service::library::LibraryService;
use crate::service::upload::UploadService;
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::json;

/// What the job holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UploadJob {
    /// As in the path of the call.
    pub kind: String,
    /// Parameters of the call together with those of its preset, without credentials.
    pub params: Vec<(String, String)>,
    pub key: String,
    pub url: Option<String>,
    pub batch_id: String,
    /// Time of the call, in Unix microseconds.
    pub at: i64,
    /// Under which the received file is kept.
    pub staged: Option<String>,
    /// The address from which the file is fetched, where it was not received.
    pub remote: Option<String>,
    pub filename: String,
    /// What the asset is called, where the call settled it: a second run makes no second asset.
    pub public_id: Option<String>,
}

/// Parameters of a call for its job.
pub fn kept(params: &[(String, String)], batch_id: &str) -> Vec<(String, String)> {
    let gone = ["signature", "api_key", "timestamp", "async", "upload_preset", "batch_id"];
    let kept = params.iter().filter(|(name, _)| !gone.contains(&name.as_str())).cloned();
    kept.chain([("batch_id".to_owned(), batch_id.to_owned())]).collect()
}

/// The job that does the upload.
pub fn job(occasion: &Occasion, payload: &UploadJob) -> NewJob {
    NewJob::new(occasion.cloud.clone(), UPLOAD, serde_json::to_value(payload).unwrap_or_default(), occasion.at)
}

/// Does uploads.
pub struct UploadHandler {
    library: LibraryService,
    uploads: UploadService,
}

impl UploadHandler {
    pub fn new(library: LibraryService, uploads: UploadService) -> Self {
        UploadHandler { library, uploads }
    }
}

#[async_trait]
impl Handler for UploadHandler {
    async fn run(&self, run: &Run) -> Result<Finished, Failure> {
        let malformed = |error: serde_json::Error| Failure::Permanent(format!("the job is malformed: {error}"));
        let job: UploadJob = serde_json::from_value(run.job.payload.clone()).map_err(malformed)?;
        let caller = caller(&self.library, &run.job.cloud, &job.key).await?;
        // A failure is noted before the file goes, so that a second run tells of it too.
        let message = match run.job.progress["failed"].as_str() {
            Some(message) => message.to_owned(),
            None => match self.uploads.run_later(caller, job.clone()).await {
                Ok(Later::Done(answer)) => {
                    self.forget(&job).await?;
                    let report = json!({ "asset_id": answer.asset.id.as_str() });
                    return Ok(Finished { report, then: Vec::new() });
                }
                Ok(Later::DoneBefore) => {
                    let report = json!({ "skipped": "an earlier run did it" });
                    return Ok(Finished { report, then: Vec::new() });
                }
                Err(error) if error.may_pass() && !run.job.is_last_attempt() => return Err(Failure::retry(error)),
                Err(error) if error.may_pass() => "Internal error".to_owned(),
                Err(error) => error.to_string(),
            },
        };
        run.progress(&json!({ "failed": message })).await?;
        self.forget(&job).await?;
        let occasion = Occasion {
            cloud: run.job.cloud.clone(),
            key: job.key,
            url: job.url,
            batch_id: Some(job.batch_id),
            at: Timestamp::from_unix_micros(job.at),
        };
        let event = events::error(job.public_id.as_deref().unwrap_or_default(), &message);
        let then = self.library.parts().announcer.jobs(&occasion, &event).await.map_err(from_api)?;
        Ok(Finished { report: json!({ "error": message }), then })
    }
}

impl UploadHandler {
    async fn forget(&self, job: &UploadJob) -> Result<(), Failure> {
        match &job.staged {
            Some(id) => self.uploads.forget_staged(id).await.map_err(Failure::retry),
            None => Ok(()),
        }
    }
}
