//! Assets as JSON, in the forms of the APIs (api.md 3.5, 4.2, 4.3 and 4.12).

use super::settings::FolderMode;
use crate::auth::signature::{self, UrlSignature};
use crate::domain::{Asset, AssetVersion, CloudName, DeliveryType, Derived, Region, ResourceType, Secret, Timestamp};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value, json};
use time::OffsetDateTime;
use time::macros::format_description;

/// What SDKs leave unescaped in a public id.
const SOURCE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'_').remove(b'.').remove(b'-').remove(b'/').remove(b':');
/// What cannot stand in a path: a transformation is otherwise put there as it was written, for that is what is signed.
const TRANSFORMATION: &AsciiSet =
    &percent_encoding::CONTROLS.add(b' ').add(b'"').add(b'#').add(b'<').add(b'>').add(b'?').add(b'`');

/// How assets of one cloud are shown.
#[derive(Debug, Clone)]
pub struct View {
    pub public_base_url: String,
    pub cloud: CloudName,
    /// Signs addresses of assets that are not public.
    pub url_secret: Secret,
    pub folder_mode: FolderMode,
}

impl View {
    /// Address of an asset under a transformation, which may be empty.
    pub fn url(&self, asset: &Asset, transformation: &str, extension: Option<&str>) -> String {
        let key = &asset.key;
        let transformation = utf8_percent_encode(transformation, TRANSFORMATION).to_string();
        let mut source = utf8_percent_encode(key.public_id.as_str(), SOURCE).to_string();
        // Public ids of raw files hold their extension.
        if let Some(extension) =
            extension.filter(|extension| !extension.is_empty() && key.resource_type != ResourceType::Raw)
        {
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
        format!("{url}/v{}/{source}", asset.version)
    }

    fn put_folder(&self, body: &mut Map<String, Value>, asset: &Asset) {
        match self.folder_mode {
            FolderMode::Fixed => {
                body.insert("folder".to_owned(), json!(folder_of(asset.key.public_id.as_str())));
            }
            FolderMode::Dynamic => {
                body.insert("asset_folder".to_owned(), json!(asset.asset_folder));
                body.insert("display_name".to_owned(), json!(display_name(asset)));
            }
        }
    }

    /// An entry of a list.
    pub fn summary(&self, asset: &Asset) -> Map<String, Value> {
        let mut body = Map::new();
        let mut put = |name: &str, value: Value| {
            body.insert(name.to_owned(), value);
        };
        put("asset_id", json!(asset.id.as_str()));
        put("public_id", json!(asset.key.public_id.as_str()));
        if asset.key.resource_type != ResourceType::Raw {
            put("format", json!(asset.format));
        }
        put("version", json!(asset.version));
        put("resource_type", json!(asset.key.resource_type.as_str()));
        put("type", json!(asset.key.delivery_type.as_str()));
        if asset.placeholder {
            put("placeholder", json!(true));
        }
        put("created_at", json!(iso_time(asset.created_at)));
        put("bytes", json!(if asset.placeholder { 0 } else { asset.bytes }));
        if asset.upright_size.width > 0 {
            put("width", json!(asset.upright_size.width));
            put("height", json!(asset.upright_size.height));
        }
        if asset.backed_up {
            put("backup", json!(true));
        }
        self.put_folder(&mut body, asset);
        let mut put = |name: &str, value: Value| {
            body.insert(name.to_owned(), value);
        };
        put("access_mode", json!(asset.access_mode.as_str()));
        let url = self.url(asset, "", Some(&asset.format));
        put("url", json!(url));
        put("secure_url", json!(url));
        body
    }

    /// Everything that is known of an asset, without what has to be asked for.
    pub fn details(&self, asset: &Asset) -> Map<String, Value> {
        let mut body = self.summary(asset);
        let mut put = |name: &str, value: Value| {
            body.insert(name.to_owned(), value);
        };
        put("etag", json!(asset.etag));
        put("version_id", json!(asset.version_id.as_str()));
        if !asset.original_filename.is_empty() {
            put("original_filename", json!(asset.original_filename));
        }
        if !asset.tags.is_empty() {
            put("tags", json!(asset.tags));
        }
        if !asset.context.is_empty() {
            put("context", json!({ "custom": asset.context }));
        }
        if !asset.metadata.is_empty() {
            put("metadata", Value::Object(asset.metadata.clone()));
        }
        if !asset.details.moderation.is_empty() {
            put("moderation", moderation(asset, true));
        }
        if !asset.details.access_control.is_empty() {
            put("access_control", json!(asset.details.access_control));
        }
        if !asset.details.quality_override.is_empty() {
            put("quality_override", json!(asset.details.quality_override));
        }
        if !asset.details.regions.is_empty() {
            put("regions", Value::Object(asset.details.regions.clone()));
        }
        if asset.key.resource_type == ResourceType::Image {
            put("pages", json!(asset.details.pages.max(1)));
        }
        for (name, value) in &asset.details.video {
            put(name, value.clone());
        }
        put("last_updated", last_updated(asset));
        body
    }

    /// An entry of a search's answer, without what has to be asked for.
    pub fn found(&self, asset: &Asset) -> Map<String, Value> {
        let mut body = Map::new();
        let mut put = |name: &str, value: Value| {
            body.insert(name.to_owned(), value);
        };
        let public_id = asset.key.public_id.as_str();
        put("asset_id", json!(asset.id.as_str()));
        put("public_id", json!(public_id));
        match self.folder_mode {
            FolderMode::Fixed => put("folder", json!(folder_of(public_id))),
            FolderMode::Dynamic => put("asset_folder", json!(asset.asset_folder)),
        }
        put("filename", json!(public_id.rsplit('/').next().unwrap_or(public_id)));
        if self.folder_mode == FolderMode::Dynamic {
            put("display_name", json!(display_name(asset)));
        }
        put("format", json!(asset.format));
        put("version", json!(asset.version));
        put("resource_type", json!(asset.key.resource_type.as_str()));
        put("type", json!(asset.key.delivery_type.as_str()));
        put("created_at", json!(iso_offset_time(asset.created_at)));
        put("uploaded_at", json!(iso_offset_time(asset.uploaded_at)));
        put("bytes", json!(asset.bytes));
        put("backup_bytes", json!(if asset.backed_up { asset.bytes } else { 0 }));
        let (width, height) = (asset.upright_size.width, asset.upright_size.height);
        if width > 0 && height > 0 {
            put("width", json!(width));
            put("height", json!(height));
            put("aspect_ratio", json!((f64::from(width) / f64::from(height) * 1e5).round() / 1e5));
            put("pixels", json!(u64::from(width) * u64::from(height)));
        }
        if asset.key.resource_type == ResourceType::Image {
            put("pages", json!(asset.details.pages.max(1)));
        }
        let url = self.url(asset, "", Some(&asset.format));
        put("url", json!(url));
        put("secure_url", json!(url));
        put("status", json!(if asset.placeholder { "deleted" } else { "active" }));
        put("access_mode", json!(asset.access_mode.as_str()));
        let control = &asset.details.access_control;
        put("access_control", if control.is_empty() { Value::Null } else { json!(control) });
        put("etag", json!(asset.etag));
        put("created_by", json!({ "access_key": asset.api_key }));
        put("uploaded_by", json!({ "access_key": asset.api_key }));
        put("last_updated", last_updated(asset));
        body
    }

    /// A derived picture.
    pub fn derived(&self, derived: &Derived, asset: &Asset) -> Map<String, Value> {
        let mut body = Map::new();
        let mut put = |name: &str, value: Value| {
            body.insert(name.to_owned(), value);
        };
        put("transformation", json!(derived.transformation));
        put("format", json!(derived.format));
        put("bytes", json!(derived.bytes));
        put("id", json!(&derived.key.as_str()[..32]));
        let url = self.url(asset, &derived.transformation, Some(&derived.format));
        put("url", json!(url));
        put("secure_url", json!(url));
        body
    }
}

/// A kept version.
pub fn version(version: &AssetVersion) -> Value {
    json!({
        "version_id": version.version_id.as_str(),
        "version": version.version.to_string(),
        "size": version.bytes,
        "time": iso_time(version.uploaded_at),
        "restorable": true,
    })
}

/// The name that people see: the last part of the public id unless there is another.
pub fn display_name(asset: &Asset) -> &str {
    let public_id = asset.key.public_id.as_str();
    match asset.display_name.as_str() {
        "" => public_id.rsplit('/').next().unwrap_or(public_id),
        name => name,
    }
}

/// The folder that a public id spells.
pub fn folder_of(public_id: &str) -> &str {
    public_id.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// States of moderation, with the time of the last change or without.
pub fn moderation(asset: &Asset, with_time: bool) -> Value {
    let state = |state: &crate::domain::Moderation| {
        let mut body = json!({ "kind": state.kind, "status": state.status });
        if with_time {
            body["updated_at"] = json!(iso_time(Timestamp::from_unix_micros(state.updated_at)));
        }
        body
    };
    asset.details.moderation.iter().map(state).collect::<Vec<_>>().into()
}

/// When the asset and its aspects changed last.
fn last_updated(asset: &Asset) -> Value {
    let mut body = Map::new();
    body.insert("updated_at".to_owned(), json!(iso_offset_time(asset.updated_at)));
    for (aspect, at) in &asset.details.touched {
        body.insert(aspect.clone(), json!(iso_offset_time(Timestamp::from_unix_micros(*at))));
    }
    Value::Object(body)
}

/// Rectangles; whole numbers are written without a point, as they were sent.
pub fn regions(regions: &[Region]) -> Value {
    let number = |number: &f64| if number.fract() == 0.0 { json!(*number as i64) } else { json!(number) };
    regions.iter().map(|region| region.iter().map(number).collect::<Vec<Value>>()).collect::<Vec<_>>().into()
}

fn formatted(time: Timestamp, format: &(impl time::formatting::Formattable + ?Sized)) -> String {
    OffsetDateTime::from_unix_timestamp(time.unix_seconds())
        .ok()
        .and_then(|time| time.format(format).ok())
        .unwrap_or_else(|| "1970-01-01T00:00:00Z".to_owned())
}

/// `2026-01-01T00:00:00Z`
pub fn iso_time(time: Timestamp) -> String {
    formatted(time, &format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]Z"))
}

/// `2026-01-01T00:00:00+00:00`
pub fn iso_offset_time(time: Timestamp) -> String {
    formatted(time, &format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]+00:00"))
}
