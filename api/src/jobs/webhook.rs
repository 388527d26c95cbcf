//! One notification to one address: signed when it is sent, and sent again 3, 6 and 9 minutes after a failure.

use super::WEBHOOK;
use super::handler::{Failure, Finished, Handler, Run};
use super::notify::{Notifier, NotifyError, sign};
use crate::auth::signature::Algorithm;
use crate::catalog::Catalog;
use crate::domain::{ApiKey, AssetId, CloudId, NewJob, Timestamp};
use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest, Sha256};
use std::sync::Arc;
use std::time::Duration;

/// The first sending and three more.
const MAX_ATTEMPTS: u32 = 4;
/// Notifications go before renderings.
const PRIORITY: i64 = -10;

/// What the job holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Webhook {
    pub url: String,
    /// Type of the notification, for lists of jobs.
    pub event: String,
    /// The exact text that is signed and sent.
    pub body: String,
    /// API key whose secret signs.
    pub key: String,
}

impl Webhook {
    /// The job. Notifications of one asset to one address are delivered in their order.
    pub fn job(&self, cloud: &CloudId, asset: Option<&AssetId>, now: Timestamp) -> NewJob {
        let address = hex::encode(&Sha256::digest(self.url.as_bytes())[..8]);
        let payload = serde_json::to_value(self).unwrap_or_default();
        NewJob {
            queue: asset.map_or_else(String::new, |asset| format!("webhook:{asset}:{address}")),
            priority: PRIORITY,
            max_attempts: MAX_ATTEMPTS,
            ..NewJob::new(cloud.clone(), WEBHOOK, payload, now)
        }
    }
}

/// Sends notifications.
pub struct WebhookHandler {
    catalog: Arc<dyn Catalog>,
    notifier: Arc<dyn Notifier>,
}

impl WebhookHandler {
    pub fn new(catalog: Arc<dyn Catalog>, notifier: Arc<dyn Notifier>) -> Self {
        WebhookHandler { catalog, notifier }
    }
}

/// The key pair that signs: that of the call, or where it is gone the oldest of the cloud.
pub async fn signing_key(catalog: &dyn Catalog, cloud: &CloudId, key: &str) -> Result<ApiKey, Failure> {
    if let Some(found) = catalog.api_key(key).await.map_err(Failure::retry)?
        && found.cloud == *cloud
        && found.enabled
    {
        return Ok(found);
    }
    let keys = catalog.api_keys(cloud).await.map_err(Failure::retry)?;
    let found = keys.into_iter().find(|key| key.enabled);
    found.ok_or_else(|| Failure::Permanent("the cloud has no key that is enabled".to_owned()))
}

#[async_trait]
impl Handler for WebhookHandler {
    async fn run(&self, run: &Run) -> Result<Finished, Failure> {
        let webhook: Webhook = serde_json::from_value(run.job.payload.clone())
            .map_err(|error| Failure::Permanent(format!("the job is malformed: {error}")))?;
        let key = signing_key(&*self.catalog, &run.job.cloud, &webhook.key).await?;
        let timestamp_s = run.now().unix_seconds();
        let signature = sign(webhook.body.as_bytes(), timestamp_s, key.secret.expose(), Algorithm::Sha1);
        let headers = [
            ("content-type", "application/json".to_owned()),
            ("x-cld-timestamp", timestamp_s.to_string()),
            ("x-cld-signature", signature),
        ];
        match self.notifier.post(&webhook.url, &headers, Bytes::from(webhook.body)).await {
            Ok(200) => Ok(Finished { report: json!({ "status": 200 }), then: Vec::new() }),
            Ok(status) => Err(Failure::Retry(format!("the address answered with status {status}"))),
            Err(error @ (NotifyError::NotConfigured | NotifyError::Refused(_))) => {
                Err(Failure::Permanent(error.to_string()))
            }
            Err(error @ NotifyError::Failed(_)) => Err(Failure::Retry(error.to_string())),
        }
    }

    fn wait(&self, attempt: u32, _: f64) -> Duration {
        Duration::from_secs(180).saturating_mul(attempt)
    }
}
