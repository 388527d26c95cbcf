//! Who is told of what happened: the address of the call, else those of the cloud and of its triggers (api.md 6.1).

use super::events::{Event, microsecond_text, second_text};
use super::queue::JobQueue;
use super::webhook::Webhook;
use crate::catalog::Catalog;
use crate::catalog::library::DefinitionKind;
use crate::domain::{CloudId, NewJob, Timestamp};
use crate::service::call::{ApiError, shown};
use crate::service::library::CloudSettings;
use parking_lot::Mutex;
use serde_json::{Map, Value, json};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Types that a trigger can name.
pub const EVENT_TYPES: &[&str] = &[
    "all",
    "upload",
    "eager",
    "rename",
    "delete",
    "resource_tags_changed",
    "resource_context_changed",
    "resource_metadata_changed",
    "resource_display_name_changed",
    "access_control_changed",
    "move",
    "create_folder",
    "delete_folder",
    "move_or_rename_asset_folder",
    "moderation",
    "moderation_summary",
    "publish",
    "access_mode_change",
    "error",
    "multi",
    "sprite",
    "explode",
    "generate_archive",
    "info",
    "related_assets",
];
/// Triggers of one cloud that count.
pub const MAX_TRIGGERS: u32 = 100;
/// For how long the addresses of a cloud are believed: triggers that another node changed count after it.
const ADDRESSES_AGE: Duration = Duration::from_secs(2);
/// Longest address.
const MAX_URL_BYTES: usize = 2000;

/// The call in which something happened.
#[derive(Debug, Clone)]
pub struct Occasion {
    pub cloud: CloudId,
    /// API key of the call, which signs.
    pub key: String,
    /// The address that the call named: then nobody else is told.
    pub url: Option<String>,
    pub batch_id: Option<String>,
    pub at: Timestamp,
}

/// Refuses what cannot be called.
pub fn check_url(name: &str, url: &str) -> Result<(), ApiError> {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    let host = rest.and_then(|rest| rest.split(['/', '?', '#']).next()).unwrap_or_default();
    if host.is_empty() || url.len() > MAX_URL_BYTES || !url.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(ApiError::invalid(name, &shown(url)));
    }
    Ok(())
}

/// Whom a cloud tells.
#[derive(Debug, Default)]
struct Addresses {
    /// Of every event.
    all: Vec<String>,
    /// Event type and address.
    triggers: Vec<(String, String)>,
}

impl Addresses {
    fn of(&self, kind: &str) -> BTreeSet<&str> {
        let triggered = self.triggers.iter().filter(|(event, _)| event == kind || event == "all").map(|(_, url)| url);
        self.all.iter().chain(triggered).map(String::as_str).collect()
    }
}

/// Addresses of a cloud, and when they were looked up.
type Known = (Instant, Arc<Addresses>);

/// Tells clients of events. Cheap to clone.
#[derive(Clone)]
pub struct Announcer {
    catalog: Arc<dyn Catalog>,
    queue: JobQueue,
    known: Arc<Mutex<HashMap<CloudId, Known>>>,
}

impl Announcer {
    pub fn new(catalog: Arc<dyn Catalog>, queue: JobQueue) -> Self {
        Announcer { catalog, queue, known: Arc::default() }
    }

    pub fn queue(&self) -> &JobQueue {
        &self.queue
    }

    pub fn now(&self) -> Timestamp {
        self.queue.clock().now()
    }

    /// Looks for the addresses of a cloud anew.
    pub fn forget(&self, cloud: &CloudId) {
        self.known.lock().remove(cloud);
    }

    async fn addresses(&self, cloud: &CloudId) -> Result<Arc<Addresses>, ApiError> {
        if let Some((since, addresses)) = self.known.lock().get(cloud)
            && since.elapsed() < ADDRESSES_AGE
        {
            return Ok(addresses.clone());
        }
        let settings = CloudSettings::load(&*self.catalog, cloud).await?;
        let library = self.queue.library();
        let triggers = library.definitions(cloud, DefinitionKind::Trigger, "", "", MAX_TRIGGERS).await?;
        let text = |body: &Value, name: &str| body[name].as_str().unwrap_or_default().to_owned();
        let webhooks = triggers.definitions.iter().filter(|trigger| trigger.body["uri_type"] == "webhook");
        let addresses = Arc::new(Addresses {
            all: settings.notification_urls,
            triggers: webhooks.map(|found| (text(&found.body, "event_type"), text(&found.body, "uri"))).collect(),
        });
        self.known.lock().insert(cloud.clone(), (Instant::now(), addresses.clone()));
        Ok(addresses)
    }

    /// The jobs that tell of an event: none when nobody wants to know.
    pub async fn jobs(&self, occasion: &Occasion, event: &Event) -> Result<Vec<NewJob>, ApiError> {
        let known;
        let urls = match &occasion.url {
            Some(url) => BTreeSet::from([url.as_str()]),
            None => {
                known = self.addresses(&occasion.cloud).await?;
                known.of(event.kind)
            }
        };
        if urls.is_empty() {
            return Ok(Vec::new());
        }
        let now = self.now();
        let body = Value::Object(envelope(occasion, event, now)).to_string();
        let job = |url: &str| {
            let (url, event_type) = (url.to_owned(), event.kind.to_owned());
            let webhook = Webhook { url, event: event_type, body: body.clone(), key: occasion.key.clone() };
            webhook.job(&occasion.cloud, event.asset.as_ref(), now)
        };
        Ok(urls.into_iter().map(job).collect())
    }

    /// Tells of events. They are recorded when it returns, and delivered later.
    pub async fn tell(&self, occasion: &Occasion, events: &[Event]) -> Result<(), ApiError> {
        let mut jobs = Vec::new();
        for event in events {
            jobs.extend(self.jobs(occasion, event).await?);
        }
        self.enqueue(jobs).await
    }

    pub async fn enqueue(&self, jobs: Vec<NewJob>) -> Result<(), ApiError> {
        self.queue.enqueue(jobs).await?;
        Ok(())
    }
}

fn envelope(occasion: &Occasion, event: &Event, now: Timestamp) -> Map<String, Value> {
    let mut body = Map::new();
    body.insert("notification_type".to_owned(), json!(event.kind));
    body.insert("timestamp".to_owned(), json!(second_text(now)));
    body.insert("request_id".to_owned(), json!(hex::encode(rand::random::<[u8; 16]>())));
    body.extend(event.body.clone());
    if let Some(batch_id) = &occasion.batch_id {
        body.insert("batch_id".to_owned(), json!(batch_id));
    }
    body.insert("signature_key".to_owned(), json!(occasion.key));
    let by = json!({ "source": "api", "id": occasion.key });
    let context = json!({ "triggered_at": microsecond_text(occasion.at), "triggered_by": by });
    body.insert("notification_context".to_owned(), context);
    body
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn addresses_are_those_of_the_web() {
        for good in ["http://localhost:1/x?y=z", "https://example.com"] {
            assert!(check_url("notification_url", good).is_ok(), "{good}");
        }
        let long = format!("http://x/{}", "y".repeat(MAX_URL_BYTES));
        for bad in ["", "ftp://x", "http://", "http:///x", "http://a b", "http://x\r\nh: y", "https://ü", &long] {
            assert!(check_url("notification_url", bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn triggers_are_told_of_their_type_and_each_address_once() {
        let addresses = Addresses {
            all: vec!["http://a".to_owned()],
            triggers: [("upload", "http://b"), ("all", "http://a"), ("delete", "http://c")]
                .map(|(event, url)| (event.to_owned(), url.to_owned()))
                .into(),
        };
        assert_eq!(addresses.of("upload").into_iter().collect::<Vec<_>>(), ["http://a", "http://b"]);
        assert_eq!(addresses.of("delete").into_iter().collect::<Vec<_>>(), ["http://a", "http://c"]);
    }
}
