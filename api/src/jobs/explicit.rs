//! A call of `explicit` that was answered before it was done (api.md 3.7).

use super::EXPLICIT;
use super::announce::Occasion;
use super::eager::{caller, from_api};
use super::events;
use super::handler::{Failure, Finished, Handler, Run};
use crate::domain::{NewJob, Timestamp};
use crate::service::call::{ApiError, Params};
use crate::service::library::LibraryService;
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// What the job holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExplicitJob {
    pub resource_type: String,
    /// Parameters of the call, in the order received, without credentials.
    pub params: Vec<(String, String)>,
    pub key: String,
    pub url: Option<String>,
    pub batch_id: String,
    /// Time of the call, in Unix microseconds.
    pub at: i64,
}

/// The job that does the call. The batch id of the occasion names it to the client.
pub fn job(occasion: &Occasion, resource_type: &str, params: &Params) -> NewJob {
    let secret = ["signature", "api_key", "timestamp", "async"];
    let kept = params.pairs().iter().filter(|(name, _)| !secret.contains(&name.as_str())).cloned();
    let payload = ExplicitJob {
        resource_type: resource_type.to_owned(),
        params: kept.collect(),
        key: occasion.key.clone(),
        url: occasion.url.clone(),
        batch_id: occasion.batch_id.clone().unwrap_or_default(),
        at: occasion.at.unix_micros(),
    };
    NewJob::new(occasion.cloud.clone(), EXPLICIT, serde_json::to_value(payload).unwrap_or_default(), occasion.at)
}

/// Does calls of `explicit`.
pub struct ExplicitHandler {
    library: LibraryService,
}

impl ExplicitHandler {
    pub fn new(library: LibraryService) -> Self {
        ExplicitHandler { library }
    }
}

#[async_trait]
impl Handler for ExplicitHandler {
    async fn run(&self, run: &Run) -> Result<Finished, Failure> {
        let malformed = |error: &dyn std::fmt::Display| Failure::Permanent(format!("the job is malformed: {error}"));
        let job: ExplicitJob = serde_json::from_value(run.job.payload.clone()).map_err(|error| malformed(&error))?;
        let kind = job.resource_type.parse().map_err(|error| malformed(&error))?;
        let caller = caller(&self.library, &run.job.cloud, &job.key).await?;
        let occasion = Occasion {
            cloud: run.job.cloud.clone(),
            key: job.key,
            url: job.url,
            batch_id: Some(job.batch_id).filter(|id| !id.is_empty()),
            at: Timestamp::from_unix_micros(job.at),
        };
        let mut params = job.params;
        if let Some(batch_id) = &occasion.batch_id {
            params.retain(|(name, _)| name != "batch_id");
            params.push(("batch_id".to_owned(), batch_id.clone()));
        }
        let params = Params::from(params);
        let (event, report) = match self.library.explicit_now(&caller, kind, &params).await {
            Ok((asset, answer)) => (events::explicit(&asset, &answer), json!({ "asset_id": asset.id.as_str() })),
            Err(error) if run.job.is_last_attempt() || !is_ours(&error) => {
                let message = if is_ours(&error) { "Internal error".to_owned() } else { error.to_string() };
                (events::error(params.text("public_id").unwrap_or_default(), &message), json!({ "error": message }))
            }
            Err(error) => return Err(from_api(error)),
        };
        let then = self.library.parts().announcer.jobs(&occasion, &event).await.map_err(from_api)?;
        Ok(Finished { report, then })
    }
}

/// Whether the fault is the server's, so that the call may go well later.
pub(super) fn is_ours(error: &ApiError) -> bool {
    match error {
        ApiError::Catalog(_) | ApiError::Storage(_) | ApiError::Internal(_) => true,
        ApiError::Upload(error) => error.may_pass(),
        _ => false,
    }
}

/// The answer to a call that is done later.
pub fn pending(resource_type: &str, delivery_type: &str, public_id: Option<&str>, batch_id: &str) -> Value {
    let mut answer = json!({
        "status": "pending",
        "resource_type": resource_type,
        "type": delivery_type,
        "batch_id": batch_id,
    });
    if let Some(public_id) = public_id {
        answer["public_id"] = json!(public_id);
    }
    answer
}
