//! Sprites, animations and pages that are made after the answer (api.md 3.7 and 3.15).

use super::MAKE;
use super::announce::Occasion;
use super::eager::{caller, from_api};
use super::events;
use super::explicit::is_ours;
use super::handler::{Failure, Finished, Handler, Run};
use crate::domain::{NewJob, Timestamp};
use crate::service::call::Params;
use crate::service::library::{LibraryService, Made};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::json;

/// What the job holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MakeJob {
    pub action: Made,
    /// Parameters of the call, in the order received, without credentials.
    pub params: Vec<(String, String)>,
    pub key: String,
    pub url: Option<String>,
    pub batch_id: String,
    /// Time of the call, in Unix microseconds.
    pub at: i64,
}

/// Parameters of a call that mean nothing once it was proved who calls.
pub const CREDENTIALS: &[&str] = &["signature", "api_key", "timestamp", "async", "mode"];

/// The job that does the call. The batch id of the occasion names it to the client.
pub fn job(occasion: &Occasion, action: Made, params: &Params) -> NewJob {
    let kept = params.pairs().iter().filter(|(name, _)| !CREDENTIALS.contains(&name.as_str())).cloned();
    let payload = MakeJob {
        action,
        params: kept.collect(),
        key: occasion.key.clone(),
        url: occasion.url.clone(),
        batch_id: occasion.batch_id.clone().unwrap_or_default(),
        at: occasion.at.unix_micros(),
    };
    NewJob::new(occasion.cloud.clone(), MAKE, serde_json::to_value(payload).unwrap_or_default(), occasion.at)
}

/// Makes them.
pub struct MakeHandler {
    library: LibraryService,
}

impl MakeHandler {
    pub fn new(library: LibraryService) -> Self {
        MakeHandler { library }
    }
}

#[async_trait]
impl Handler for MakeHandler {
    async fn run(&self, run: &Run) -> Result<Finished, Failure> {
        let malformed = |error: serde_json::Error| Failure::Permanent(format!("the job is malformed: {error}"));
        let job: MakeJob = serde_json::from_value(run.job.payload.clone()).map_err(malformed)?;
        let caller = caller(&self.library, &run.job.cloud, &job.key).await?;
        let params = Params::from(job.params);
        let (event, report) = match self.library.make_now(&caller, &params, job.action).await {
            Ok(event) => {
                let asset = event.asset.as_ref().map(|id| id.as_str().to_owned());
                (event, json!({ "asset_id": asset }))
            }
            Err(error) if run.job.is_last_attempt() || !is_ours(&error) => {
                let message = if is_ours(&error) { "Internal error".to_owned() } else { error.to_string() };
                let name = params.text("public_id").or(params.text("tag")).unwrap_or_default();
                (events::error(name, &message), json!({ "error": message }))
            }
            Err(error) => return Err(from_api(error)),
        };
        let occasion = Occasion {
            cloud: run.job.cloud.clone(),
            key: job.key,
            url: job.url,
            batch_id: Some(job.batch_id).filter(|id| !id.is_empty()),
            at: Timestamp::from_unix_micros(job.at),
        };
        let then = self.library.parts().announcer.jobs(&occasion, &event).await.map_err(from_api)?;
        Ok(Finished { report, then })
    }
}
