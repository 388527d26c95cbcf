//! The answer to an upload, and its JSON (api.md 3.5).

use super::deliver_types::DeliveryError;
use super::library::FolderMode;
use super::library::view::{self, View, display_name, folder_of, iso_time};
use super::params::{EagerEntry, EagerExtension};
use super::pictures::EagerPicture;
use crate::auth::signature::{self, Algorithm};
use crate::catalog::PutOutcome;
use crate::domain::{ApiKey, Asset, ResourceType};
use serde_json::{Map, Value, json};

/// One entry of `eager` with what became of it.
#[derive(Debug)]
pub struct EagerAnswer {
    pub entry: EagerEntry,
    pub state: EagerState,
}

/// What became of an eager picture.
#[derive(Debug)]
pub enum EagerState {
    Done(EagerPicture),
    Failed(DeliveryError),
    /// It is rendered after the answer.
    Processing {
        batch_id: String,
    },
}

impl From<Result<EagerPicture, DeliveryError>> for EagerState {
    fn from(result: Result<EagerPicture, DeliveryError>) -> Self {
        result.map_or_else(EagerState::Failed, EagerState::Done)
    }
}

/// An acknowledged upload.
#[derive(Debug)]
pub struct UploadAnswer {
    pub view: View,
    /// The key that made the call: it signs the answer.
    pub key: ApiKey,
    pub asset: Asset,
    pub outcome: PutOutcome,
    pub eager: Vec<EagerAnswer>,
    /// The client's name of the call, or ours where it is not done with the answer.
    pub batch_id: Option<String>,
    /// Blocks of analysis that the caller asked for, by their names.
    pub analysis: Map<String, Value>,
    /// With this a browser may take the upload back.
    pub delete_token: Option<String>,
    /// Whether this call completed a file that came in parts.
    pub done: bool,
}

impl UploadAnswer {
    /// The body of the answer, with its fields in the customary order.
    pub fn to_json(&self) -> Value {
        let asset = &self.asset;
        let public_id = asset.key.public_id.as_str();
        let version = asset.version;
        let signed_version = i64::try_from(version).unwrap_or(i64::MAX);
        let url = self.view.url(asset, "", Some(&asset.format));
        let raw = asset.key.resource_type == ResourceType::Raw;
        let mut body = Map::new();
        let mut put = |name: &str, value: Value| {
            body.insert(name.to_owned(), value);
        };
        put("asset_id", json!(asset.id.as_str()));
        put("public_id", json!(public_id));
        put("version", json!(version));
        put("version_id", json!(asset.version_id.as_str()));
        let secret = self.key.secret.expose();
        put("signature", json!(signature::sign_response(public_id, signed_version, secret, Algorithm::Sha1)));
        if asset.upright_size.width > 0 {
            put("width", json!(asset.upright_size.width));
            put("height", json!(asset.upright_size.height));
        }
        if !raw {
            put("format", json!(asset.format));
        }
        put("resource_type", json!(asset.key.resource_type.as_str()));
        put("created_at", json!(iso_time(asset.created_at)));
        put("tags", json!(asset.tags));
        if asset.key.resource_type == ResourceType::Image {
            put("pages", json!(asset.details.pages.max(1)));
        }
        if asset.key.resource_type == ResourceType::Video {
            put("pages", json!(0));
        }
        put("bytes", json!(asset.bytes));
        put("type", json!(asset.key.delivery_type.as_str()));
        put("etag", json!(asset.etag));
        put("placeholder", json!(false));
        put("url", json!(url));
        put("secure_url", json!(url));
        match self.view.folder_mode {
            FolderMode::Fixed => put("folder", json!(folder_of(public_id))),
            FolderMode::Dynamic => {
                put("asset_folder", json!(asset.asset_folder));
                put("display_name", json!(display_name(asset)));
            }
        }
        put("access_mode", json!(asset.access_mode.as_str()));
        match self.outcome {
            PutOutcome::Created => {}
            PutOutcome::Overwritten => put("overwritten", json!(true)),
            PutOutcome::Existing => put("existing", json!(true)),
        }
        if !asset.original_filename.is_empty() {
            put("original_filename", json!(asset.original_filename));
        }
        if !asset.context.is_empty() {
            put("context", json!({ "custom": asset.context }));
        }
        if !asset.metadata.is_empty() {
            put("metadata", Value::Object(asset.metadata.clone()));
        }
        if !asset.details.moderation.is_empty() {
            put("moderation", view::moderation(asset, false));
        }
        if !asset.details.access_control.is_empty() {
            put("access_control", json!(asset.details.access_control));
        }
        for (name, value) in &asset.details.video {
            put(name, value.clone());
        }
        for (name, value) in &self.analysis {
            put(name, value.clone());
        }
        if !self.eager.is_empty() {
            put("eager", Value::Array(self.eager.iter().map(|eager| eager_entry(&self.view, asset, eager)).collect()));
        }
        if let Some(batch_id) = &self.batch_id {
            put("batch_id", json!(batch_id));
        }
        if let Some(token) = &self.delete_token {
            put("delete_token", json!(token));
        }
        put("api_key", json!(self.key.key));
        if self.done {
            put("done", json!(true));
        }
        body.into()
    }
}

/// One entry of `eager`, in answers and in notifications.
pub fn eager_entry(view: &View, asset: &Asset, EagerAnswer { entry, state }: &EagerAnswer) -> Value {
    let extension = match entry.extension {
        EagerExtension::Original => Some(asset.format.as_str()),
        EagerExtension::Named(format) => Some(format.extension()),
        EagerExtension::None => None,
    };
    let url = view.url(asset, &entry.transformation, extension);
    match state {
        EagerState::Done(picture) => json!({
            "transformation": entry.given,
            "width": picture.width,
            "height": picture.height,
            "bytes": picture.bytes,
            "format": picture.format,
            "url": url,
            "secure_url": url,
        }),
        EagerState::Processing { batch_id } => json!({
            "transformation": entry.given,
            "status": "processing",
            "batch_id": batch_id,
            "url": url,
            "secure_url": url,
        }),
        EagerState::Failed(error) => {
            // The upload itself is durable, so it is answered; the texts of our own faults stay in the log.
            let reason = match error {
                DeliveryError::Unavailable(_) | DeliveryError::Internal(_) => "Internal error".to_owned(),
                DeliveryError::Render(error) if error.is_internal() => "Internal error".to_owned(),
                other => other.to_string(),
            };
            json!({
                "transformation": entry.given,
                "status": "failed",
                "reason": reason,
                "url": url,
                "secure_url": url,
            })
        }
    }
}
