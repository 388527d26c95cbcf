//! The answer to an upload, and its JSON (api.md 3.5).

use super::deliver_types::DeliveryError;
use super::params::{EagerEntry, EagerExtension};
use super::pictures::EagerPicture;
use crate::auth::signature::{self, Algorithm, UrlSignature};
use crate::catalog::PutOutcome;
use crate::domain::{ApiKey, Asset, CloudName, DeliveryType, Region, Secret, Timestamp};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value, json};
use time::OffsetDateTime;
use time::macros::format_description;

/// What SDKs leave unescaped in a public id.
const SOURCE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'_').remove(b'.').remove(b'-').remove(b'/').remove(b':');
/// What cannot stand in a path: a transformation is otherwise put there as it was written, for that is what is signed.
const TRANSFORMATION: &AsciiSet =
    &percent_encoding::CONTROLS.add(b' ').add(b'"').add(b'#').add(b'<').add(b'>').add(b'?').add(b'`');

/// One entry of `eager` with what became of it.
#[derive(Debug)]
pub struct EagerAnswer {
    pub entry: EagerEntry,
    pub result: Result<EagerPicture, DeliveryError>,
}

/// An acknowledged upload.
#[derive(Debug)]
pub struct UploadAnswer {
    pub public_base_url: String,
    pub cloud: CloudName,
    /// The key that made the call: it signs the answer.
    pub key: ApiKey,
    /// Signs addresses of assets that are not public.
    pub url_secret: Secret,
    pub asset: Asset,
    pub outcome: PutOutcome,
    pub eager: Vec<EagerAnswer>,
    /// Whether the caller asked for the faces.
    pub with_faces: bool,
}

impl UploadAnswer {
    /// The body of the answer, with its fields in the customary order.
    pub fn to_json(&self) -> Value {
        let asset = &self.asset;
        let public_id = asset.key.public_id.as_str();
        let version = asset.version;
        let signed_version = i64::try_from(version).unwrap_or(i64::MAX);
        let url = self.url("", Some(&asset.format));
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
        put("width", json!(asset.upright_size.width));
        put("height", json!(asset.upright_size.height));
        put("format", json!(asset.format));
        put("resource_type", json!(asset.key.resource_type.as_str()));
        put("created_at", json!(iso_time(asset.created_at)));
        put("tags", json!(asset.tags));
        put("bytes", json!(asset.bytes));
        put("type", json!(asset.key.delivery_type.as_str()));
        put("etag", json!(asset.etag));
        put("placeholder", json!(false));
        put("url", json!(url));
        put("secure_url", json!(url));
        put("folder", json!(public_id.rsplit_once('/').map_or("", |(folder, _)| folder)));
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
        if self.with_faces {
            put("faces", Value::Array(asset.face_coordinates.iter().map(region).collect()));
        }
        if !self.eager.is_empty() {
            put("eager", Value::Array(self.eager.iter().map(|eager| self.eager_json(eager)).collect()));
        }
        put("api_key", json!(self.key.key));
        body.into()
    }

    fn eager_json(&self, EagerAnswer { entry, result }: &EagerAnswer) -> Value {
        let extension = match entry.extension {
            EagerExtension::Original => Some(self.asset.format.as_str()),
            EagerExtension::Named(format) => Some(format.extension()),
            EagerExtension::None => None,
        };
        let url = self.url(&entry.transformation, extension);
        match result {
            Ok(picture) => json!({
                "transformation": entry.given,
                "width": picture.width,
                "height": picture.height,
                "bytes": picture.bytes,
                "format": picture.format,
                "url": url,
                "secure_url": url,
            }),
            Err(error) => {
                // The upload itself is durable, so it is answered; the texts of our own faults stay in the log.
                let reason = match error {
                    DeliveryError::Internal(_) => "Internal error".to_owned(),
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

    /// Address of the asset under a transformation, which may be empty.
    fn url(&self, transformation: &str, extension: Option<&str>) -> String {
        let key = &self.asset.key;
        let transformation = utf8_percent_encode(transformation, TRANSFORMATION).to_string();
        let mut source = utf8_percent_encode(key.public_id.as_str(), SOURCE).to_string();
        if let Some(extension) = extension {
            source.push('.');
            source.push_str(extension);
        }
        let mut url = format!("{}/{}/{}/{}", self.public_base_url, self.cloud, key.resource_type, key.delivery_type);
        let derived = !transformation.is_empty();
        let signed = match key.delivery_type {
            DeliveryType::Upload | DeliveryType::Text | DeliveryType::Sprite | DeliveryType::Multi => false,
            DeliveryType::Private => !derived,
            DeliveryType::Authenticated => true,
        };
        if signed {
            let to_sign = if derived { format!("{transformation}/{source}") } else { source.clone() };
            let text = signature::sign_url(&to_sign, self.url_secret.expose(), UrlSignature::Sha1);
            url.push_str(&format!("/s--{text}--"));
        }
        if derived {
            url.push('/');
            url.push_str(&transformation);
        }
        format!("{url}/v{}/{source}", self.asset.version)
    }
}

/// Whole numbers are written without a point, as they were sent.
fn region(region: &Region) -> Value {
    region
        .iter()
        .map(|number| if number.fract() == 0.0 { json!(*number as i64) } else { json!(number) })
        .collect::<Vec<Value>>()
        .into()
}

fn iso_time(time: Timestamp) -> String {
    let format = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]Z");
    OffsetDateTime::from_unix_timestamp(time.unix_seconds())
        .ok()
        .and_then(|time| time.format(&format).ok())
        .unwrap_or_else(|| "1970-01-01T00:00:00Z".to_owned())
}
