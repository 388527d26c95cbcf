//! Lists of assets (api.md 4.2).

use super::view::{self, View};
use super::{LibraryService, cursor};
use crate::catalog::library::{AssetFilter, Selection};
use crate::domain::{Asset, AssetId, DeliveryType, ResourceType, Timestamp};
use crate::service::access::Caller;
use crate::service::call::{ApiError, Params};
use serde_json::{Map, Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::{Iso8601, Rfc2822};
use time::macros::format_description;

/// Most ids that one call names.
const MAX_IDS: usize = 100;

/// Fields that a list can be narrowed to.
const FIELDS: &[&str] = &[
    "asset_folder",
    "folder",
    "filename",
    "format",
    "version",
    "version_id",
    "signature",
    "resource_type",
    "type",
    "created_at",
    "uploaded_at",
    "bytes",
    "backup_bytes",
    "width",
    "height",
    "aspect_ratio",
    "access_control",
    "metadata",
    "context",
    "tags",
    "pixels",
    "custom",
    "moderation",
    "url",
    "secure_url",
    "status",
    "etag",
    "display_name",
    "access_mode",
];

/// Which list a call asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listing {
    /// `resources/{rt}` and `resources/{rt}/{type}`
    Typed(ResourceType, Option<DeliveryType>),
    /// `resources/{rt}/tags/{tag}`
    Tag(ResourceType, String),
    /// `resources/{rt}/context`
    Context(ResourceType),
    /// `resources/{rt}/moderations/{kind}/{status}`
    Moderation(ResourceType, String, String),
    /// `resources/by_asset_ids`
    AssetIds,
    /// `resources/by_asset_folder`
    AssetFolder,
}

/// A point in time as ISO 8601, RFC 1123 or a plain date.
pub fn parse_time(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    let parsed = OffsetDateTime::parse(text, &Iso8601::DEFAULT).ok();
    let parsed = parsed.or_else(|| OffsetDateTime::parse(&text.replace("GMT", "+0000"), &Rfc2822).ok());
    let parsed = parsed.or_else(|| {
        let format = format_description!("[year]-[month]-[day] [hour]:[minute]:[second] UTC");
        time::PrimitiveDateTime::parse(text, &format).ok().map(time::PrimitiveDateTime::assume_utc)
    });
    let parsed = parsed.or_else(|| {
        let format = format_description!("[year]-[month]-[day]");
        time::Date::parse(text, &format).ok().map(|date| date.midnight().assume_utc())
    });
    let micros = parsed?.unix_timestamp_nanos() / 1000;
    Some(Timestamp::from_unix_micros(i64::try_from(micros).ok()?))
}

impl LibraryService {
    /// A page of a list.
    pub async fn list(&self, caller: &Caller, listing: Listing, params: &Params) -> Result<Value, ApiError> {
        let mut filter = AssetFilter::all(caller.cloud.id.clone());
        filter.ascending = match params.text("direction").map(str::to_ascii_lowercase).as_deref() {
            None | Some("desc" | "-1") => false,
            Some("asc" | "1") => true,
            Some(other) => return Err(ApiError::invalid("direction", other)),
        };
        let mut with_count = false;
        match listing {
            Listing::Typed(kind, delivery_type) => {
                filter.resource_type = Some(kind);
                filter.delivery_type = delivery_type;
                let ids = params.values("public_ids");
                let prefix = params.text("prefix");
                filter.selection = match (ids.is_empty(), prefix) {
                    (false, _) if ids.len() > MAX_IDS => return Err(too_many("public_ids")),
                    (false, _) => Selection::PublicIds(ids),
                    (true, Some(prefix)) => Selection::Prefix(prefix.to_owned()),
                    (true, None) => Selection::All,
                };
                if let Some(start) = params.text("start_at").filter(|_| filter.selection == Selection::All) {
                    let start = parse_time(start).ok_or_else(|| ApiError::invalid("start_at", start))?;
                    filter.start_at = Some(start);
                }
            }
            Listing::Tag(kind, tag) => {
                filter.resource_type = Some(kind);
                filter.selection = Selection::Tag(tag);
            }
            Listing::Context(kind) => {
                filter.resource_type = Some(kind);
                let value = params.text("value").map(str::to_owned);
                filter.selection = Selection::Context { key: params.required("key")?.to_owned(), value };
            }
            Listing::Moderation(kind, name, status) => {
                if !["pending", "approved", "rejected", "queued", "aborted"].contains(&status.as_str()) {
                    return Err(ApiError::invalid("status", &status));
                }
                filter.resource_type = Some(kind);
                filter.selection = Selection::Moderation { kind: name, status };
            }
            Listing::AssetIds => {
                let ids = params.values("asset_ids");
                if ids.is_empty() {
                    return Err(ApiError::missing_param("asset_ids"));
                }
                if ids.len() > MAX_IDS {
                    return Err(too_many("asset_ids"));
                }
                filter.selection = Selection::AssetIds(ids.iter().filter_map(|id| AssetId::new(id).ok()).collect());
            }
            Listing::AssetFolder => {
                with_count = true;
                let folder = params.required("asset_folder")?.trim_matches('/');
                filter.selection = Selection::AssetFolder(folder.to_owned());
            }
        }
        if matches!(&filter.selection, Selection::AssetIds(ids) if ids.is_empty()) {
            return Ok(json!({ "resources": [] }));
        }
        let shape = Shape::of(params)?;
        let after = cursor::read_assets(params)?;
        let page = self.parts.library.list(&filter, params.max_results(10)?, after).await?;
        let view = self.view(caller).await?;
        let resources: Vec<Value> = page.assets.iter().map(|asset| shape.entry(&view, asset)).collect();
        let mut answer = json!({ "resources": resources });
        if with_count {
            answer["total_count"] = json!(self.parts.library.count(&filter).await?);
        }
        if let Some(next) = &page.next {
            answer["next_cursor"] = json!(cursor::write_assets(next));
        }
        Ok(answer)
    }
}

fn too_many(name: &str) -> ApiError {
    ApiError::BadRequest(format!("Too many {name}. Maximum is {MAX_IDS}."))
}

/// Which parts of an asset an entry shows.
struct Shape {
    fields: Vec<String>,
    tags: bool,
    context: bool,
    metadata: bool,
    moderations: bool,
}

impl Shape {
    fn of(params: &Params) -> Result<Self, ApiError> {
        let fields = params.list("fields");
        if let Some(unknown) = fields.iter().find(|field| !FIELDS.contains(&field.as_str()) && !is_basic(field)) {
            return Err(ApiError::invalid("fields", unknown));
        }
        Ok(Shape {
            fields,
            tags: params.is_set("tags")?,
            context: params.is_set("context")?,
            metadata: params.is_set("metadata")?,
            moderations: params.is_set("moderations")?,
        })
    }

    fn entry(&self, view: &View, asset: &Asset) -> Value {
        if !self.fields.is_empty() {
            return self.narrow(view, asset);
        }
        let mut body = view.summary(asset);
        if self.tags {
            body.insert("tags".to_owned(), json!(asset.tags));
        }
        if self.context && !asset.context.is_empty() {
            body.insert("context".to_owned(), json!({ "custom": asset.context }));
        }
        if self.metadata {
            body.insert("metadata".to_owned(), Value::Object(asset.metadata.clone()));
        }
        if self.moderations && !asset.details.moderation.is_empty() {
            body.insert("moderation".to_owned(), view::moderation(asset, true));
        }
        Value::Object(body)
    }

    /// Only what was asked for, and what identifies the asset.
    fn narrow(&self, view: &View, asset: &Asset) -> Value {
        let mut all = view.found(asset);
        all.extend(view.details(asset));
        all.insert("tags".to_owned(), json!(asset.tags));
        all.insert("context".to_owned(), json!({ "custom": asset.context }));
        all.insert("metadata".to_owned(), Value::Object(asset.metadata.clone()));
        all.insert("custom".to_owned(), json!(asset.context));
        let folder = if all.contains_key("folder") { "folder" } else { "asset_folder" };
        let wanted = |name: &str| is_basic(name) || name == folder || self.fields.iter().any(|field| field == name);
        Value::Object(all.into_iter().filter(|(name, _)| wanted(name)).collect::<Map<_, _>>())
    }
}

/// Fields that every entry has.
fn is_basic(name: &str) -> bool {
    matches!(name, "asset_id" | "public_id")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn times_have_many_forms() {
        for text in [
            "2023-11-14T22:13:20Z",
            "2023-11-14T23:13:20+01:00",
            "Tue, 14 Nov 2023 22:13:20 GMT",
            "2023-11-14 22:13:20 UTC",
        ] {
            assert_eq!(parse_time(text).unwrap().unix_seconds(), 1_700_000_000, "{text}");
        }
        assert_eq!(parse_time("1970-01-02").unwrap().unix_seconds(), 86_400);
        assert!(parse_time("yesterday").is_none() && parse_time("").is_none());
    }
}
