//! An account of Cloudinary, or of anything else with its Admin API: read, page by page, and never changed.

use super::{Failure, Item, ItemFile, Items, pairs_text};
use crate::auth::signature::{self, Algorithm, Version};
use crate::domain::{DeliveryType, ResourceType, Secret, Timestamp};
use crate::fetch::{ContentTypes, Failure as FetchFailure, FetchError, RemoteClient};
use futures::stream;
use serde_json::{Value, json};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::Instant;
use url::Url;

/// Where accounts are, unless the address says otherwise.
const HOME: &str = "https://api.cloudinary.com";
/// Longest answer.
const MAX_ANSWER_BYTES: u64 = 64 << 20;
/// Entries of a page.
const PAGE: &str = "500";
/// Tries of a call that failed for a reason that passes.
const ATTEMPTS: u32 = 5;
/// How often a call waits for the account's limit of calls, which is counted by the hour.
const LIMIT_WAITS: u32 = 70;

/// Why an account cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    #[error("the account must be given as cloudinary://<api key>:<api secret>@<cloud name>: {0}")]
    Address(String),
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error("{call} did not answer with the JSON that was expected: {detail}")]
    Answer { call: String, detail: String },
}

/// An account, read through the one client for remote addresses.
#[derive(Clone)]
pub struct Account {
    client: RemoteClient,
    base: Url,
    cloud: String,
    key: String,
    secret: Secret,
    /// When the next call may be made, and how far calls are apart.
    next: Arc<Mutex<Instant>>,
    apart: Duration,
    /// How long is waited when the account's limit of calls is reached.
    limit_pause: Duration,
}

impl Account {
    /// From the address that SDKs take; `upload_prefix` in its query names another server than Cloudinary's own. Calls of
    /// the Admin API are at least `apart` from each other.
    pub fn new(
        client: RemoteClient,
        address: &str,
        apart: Duration,
        limit_pause: Duration,
    ) -> Result<Self, AccountError> {
        let wrong = |reason: &str| AccountError::Address(reason.to_owned());
        let url = Url::parse(address).map_err(|error| wrong(&error.to_string()))?;
        if url.scheme() != "cloudinary" {
            return Err(wrong("it does not begin with cloudinary://"));
        }
        let decoded = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned();
        let (key, secret) = (decoded(url.username()), decoded(url.password().unwrap_or_default()));
        let cloud = url.host_str().unwrap_or_default().to_owned();
        if key.is_empty() || secret.is_empty() || cloud.is_empty() {
            return Err(wrong("the key, the secret or the cloud is missing"));
        }
        let prefix = url.query_pairs().find(|(name, _)| name == "upload_prefix").map(|(_, value)| value.into_owned());
        let base = Url::parse(prefix.as_deref().unwrap_or(HOME)).map_err(|error| wrong(&error.to_string()))?;
        if !matches!(base.scheme(), "http" | "https") || !base.has_host() {
            return Err(wrong("upload_prefix is no http or https address"));
        }
        let next = Arc::new(Mutex::new(Instant::now()));
        Ok(Account { client, base, cloud, key, secret: Secret::new(secret), next, apart, limit_pause })
    }

    /// Name of the account's cloud.
    pub fn cloud(&self) -> &str {
        &self.cloud
    }

    fn url(&self, path: &[&str], query: &[(&str, &str)]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut parts) = url.path_segments_mut() {
            parts.pop_if_empty().extend(["v1_1", self.cloud.as_str()]).extend(path);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url
    }

    /// One call of the Admin API. It waits where the account's limit of calls is reached, and tries again what may pass.
    pub(super) async fn call(&self, path: &[&str], query: &[(&str, &str)]) -> Result<Value, AccountError> {
        let mut url = self.url(path, query);
        let (mut attempts, mut waits) = (0, 0);
        // The client takes credentials from the address, and tells nobody.
        let _ = url.set_username(&self.key);
        let _ = url.set_password(Some(self.secret.expose()));
        loop {
            self.take_turn().await;
            let failure = match self.read(url.as_str()).await {
                Ok(bytes) => {
                    let detail = |error: serde_json::Error| AccountError::Answer {
                        call: path.join("/"),
                        detail: error.to_string(),
                    };
                    return serde_json::from_slice(&bytes).map_err(detail);
                }
                Err(failure) => failure,
            };
            match &failure {
                FetchError::Failed { failure: FetchFailure::Status(420 | 429), .. } if waits < LIMIT_WAITS => {
                    waits += 1;
                    tracing::warn!("the account's limit of calls is reached; waiting");
                    tokio::time::sleep(self.limit_pause).await;
                }
                FetchError::Busy
                | FetchError::Failed {
                    failure: FetchFailure::Status(500..=599) | FetchFailure::Timeout | FetchFailure::Incomplete,
                    ..
                } if attempts + 1 < ATTEMPTS => {
                    attempts += 1;
                    tracing::warn!(error = %failure, "a call of the account is tried again");
                    tokio::time::sleep(Duration::from_millis(500 << attempts)).await;
                }
                _ => return Err(failure.into()),
            }
        }
    }

    async fn take_turn(&self) {
        let mut next = self.next.lock().await;
        let turn = (*next).max(Instant::now());
        *next = turn + self.apart;
        drop(next);
        tokio::time::sleep_until(turn).await;
    }

    async fn read(&self, address: &str) -> Result<Vec<u8>, FetchError> {
        let mut file = self.client.get(address, MAX_ANSWER_BYTES, ContentTypes::Any).await?;
        let mut bytes = Vec::new();
        while let Some(piece) = file.next().await? {
            bytes.extend_from_slice(&piece);
        }
        Ok(bytes)
    }

    /// All entries of a list over its pages.
    pub(super) async fn all(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
        list: &str,
    ) -> Result<Vec<Value>, AccountError> {
        let mut entries = Vec::new();
        let mut cursor: Option<String> = None;
        loop {
            let mut query: Vec<(&str, &str)> = query.to_vec();
            query.push(("max_results", PAGE));
            query.extend(cursor.as_deref().map(|cursor| ("next_cursor", cursor)));
            let mut page = self.call(path, &query).await?;
            if let Value::Array(found) = page[list].take() {
                entries.extend(found);
            }
            match page["next_cursor"].as_str().filter(|next| Some(*next) != cursor.as_deref()) {
                Some(next) => cursor = Some(next.to_owned()),
                None => return Ok(entries),
            }
        }
    }

    /// All assets of the account: images, then videos, then raw files; public ones, then private, then authenticated.
    pub fn assets(&self, dynamic_folders: bool) -> Items {
        let lists: VecDeque<(ResourceType, DeliveryType)> =
            [ResourceType::Image, ResourceType::Video, ResourceType::Raw]
                .into_iter()
                .flat_map(|kind| {
                    [DeliveryType::Upload, DeliveryType::Private, DeliveryType::Authenticated]
                        .map(|delivery| (kind, delivery))
                })
                .collect();
        let start = Listing { account: self.clone(), lists, cursor: None, found: VecDeque::new(), dynamic_folders };
        Box::pin(stream::unfold(start, |mut listing| async move {
            let next = listing.next().await?;
            Some((next, listing))
        }))
    }

    /// A signed address of an original, whatever its type of delivery.
    fn download_url(&self, kind: ResourceType, delivery: DeliveryType, public_id: &str, format: &str) -> String {
        let timestamp = Timestamp::now().unix_seconds().to_string();
        let mut params = vec![("public_id", public_id), ("timestamp", timestamp.as_str()), ("type", delivery.as_str())];
        if !format.is_empty() && kind != ResourceType::Raw {
            params.push(("format", format));
        }
        let signature =
            signature::sign_params(params.iter().copied(), self.secret.expose(), Version::V1, Algorithm::Sha1);
        params.extend([("signature", signature.as_str()), ("api_key", self.key.as_str())]);
        self.url(&[kind.as_str(), "download"], &params).into()
    }

    fn item(&self, kind: ResourceType, delivery: DeliveryType, found: &Value, dynamic: bool) -> Result<Item, Failure> {
        let text = |name: &str| found[name].as_str().unwrap_or_default();
        let public_id = text("public_id").to_owned();
        if public_id.is_empty() {
            return Err(Failure {
                what: format!("{kind}/{delivery}"),
                reason: "an asset without a public id".to_owned(),
            });
        }
        let mut params = Vec::new();
        let mut put = |name: &str, value: String| {
            if !value.is_empty() {
                params.push((name.to_owned(), value));
            }
        };
        let tags: Vec<&str> = found["tags"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        put("tags", tags.join(","));
        put("context", pairs_text(&pairs(found["context"].get("custom").unwrap_or(&found["context"]))));
        put("metadata", pairs_text(&pairs(&found["metadata"])));
        if dynamic {
            put("asset_folder", text("asset_folder").to_owned());
            put("display_name", text("display_name").to_owned());
        }
        if text("access_mode") == "authenticated" {
            put("access_mode", "authenticated".to_owned());
        }
        if found["access_control"].is_array() {
            put("access_control", found["access_control"].to_string());
        }
        // The plain address needs no call that an account counts, but it is open only to some.
        let open = delivery == DeliveryType::Upload
            && text("access_mode") != "authenticated"
            && !found["access_control"].is_array();
        let plain = if self.base.scheme() == "https" { text("secure_url") } else { text("url") };
        let address = match (open, plain) {
            (true, address) if !address.is_empty() => address.to_owned(),
            _ => self.download_url(kind, delivery, &public_id, text("format")),
        };
        let extension = if kind == ResourceType::Raw || text("format").is_empty() {
            String::new()
        } else {
            format!(".{}", text("format"))
        };
        let name = match text("original_filename") {
            "" => public_id.rsplit('/').next().unwrap_or_default(),
            name => name,
        };
        Ok(Item {
            filename: format!("{name}{extension}"),
            file: ItemFile::Address(address),
            reference: None,
            resource_type: kind,
            delivery_type: delivery,
            public_id,
            bytes: found["bytes"].as_u64(),
            md5: Some(text("etag").to_owned()).filter(|etag| etag.len() == 32),
            params,
        })
    }
}

/// Values of an object as texts; lists as JSON, as uploads take them.
pub(super) fn pairs(value: &Value) -> BTreeMap<String, String> {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    value.as_object().into_iter().flatten().map(|(name, value)| (name.clone(), text(value))).collect()
}

/// The lists of an account on their way.
struct Listing {
    account: Account,
    /// The current one first.
    lists: VecDeque<(ResourceType, DeliveryType)>,
    cursor: Option<String>,
    found: VecDeque<Result<Item, Failure>>,
    dynamic_folders: bool,
}

impl Listing {
    async fn next(&mut self) -> Option<Result<Item, Failure>> {
        loop {
            if let Some(item) = self.found.pop_front() {
                return Some(item);
            }
            let (kind, delivery) = *self.lists.front()?;
            let mut query = vec![("max_results", PAGE), ("tags", "true"), ("context", "true"), ("metadata", "true")];
            query.extend(self.cursor.as_deref().map(|cursor| ("next_cursor", cursor)));
            let answered = self.account.call(&["resources", kind.as_str(), delivery.as_str()], &query).await;
            let page = match answered {
                Ok(page) => page,
                Err(error) => {
                    self.lists.pop_front();
                    self.cursor = None;
                    return Some(Err(Failure {
                        what: format!("the list of {kind}/{delivery}"),
                        reason: error.to_string(),
                    }));
                }
            };
            let account = &self.account;
            let found = page["resources"].as_array().into_iter().flatten();
            self.found = found
                // What was deleted and is kept as a backup has no file.
                .filter(|found| found["placeholder"] != json!(true))
                .map(|found| account.item(kind, delivery, found, self.dynamic_folders))
                .collect();
            let next =
                page["next_cursor"].as_str().map(str::to_owned).filter(|next| Some(next) != self.cursor.as_ref());
            if next.is_none() {
                self.lists.pop_front();
            }
            self.cursor = next;
        }
    }
}
