//! Changing what is known of an asset (api.md 3.10 and 4.4).

use super::LibraryService;
use crate::domain::{Asset, AssetDetails, AssetKey, Moderation, Region, Timestamp};
use crate::jobs::events;
use crate::service::access::Caller;
use crate::service::asset_headers;
use crate::service::call::{ApiError, Params, shown};
use crate::service::own_quality::own_quality;
use crate::service::params;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Longest display name, in characters.
const MAX_NAME_CHARS: usize = 255;

/// Add-ons that this server does not have: asking for one is told apart from a misspelling.
const ADD_ONS: &[&str] = &[
    "auto_tagging",
    "ocr",
    "raw_convert",
    "categorization",
    "detection",
    "similarity_search",
    "background_removal",
    "visual_search",
    "auto_transcription",
    "auto_chaptering",
];

/// What a call wants changed; `None` leaves a thing as it is.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Edit {
    pub tags: Option<Vec<String>>,
    pub context: Option<BTreeMap<String, String>>,
    pub face_coordinates: Option<Vec<Region>>,
    pub custom_coordinates: Option<Vec<Region>>,
    pub regions: Option<Map<String, Value>>,
    pub moderation_status: Option<String>,
    /// A kind of moderation that begins now.
    pub moderation: Option<String>,
    pub access_control: Option<Vec<Value>>,
    pub quality_override: Option<String>,
    pub headers: Option<String>,
    pub asset_folder: Option<String>,
    pub display_name: Option<String>,
}

impl Edit {
    /// Reads what `update` and `explicit` have in common.
    pub fn read(params: &Params) -> Result<Self, ApiError> {
        for name in ADD_ONS {
            if let Some(value) = params.text(name).filter(|value| !matches!(*value, "0" | "false")) {
                return Err(ApiError::BadRequest(format!("Illegal value for {name}: {}", shown(value))));
            }
        }
        let bad = |error: params::ParamError| ApiError::BadRequest(error.to_string());
        if params.is_set("unique_display_name")? {
            return Err(bad(params::ParamError::Unsupported("unique_display_name".to_owned())));
        }
        let text = |name: &str| params.text(name).map(str::to_owned);
        let tags = match params.sent("tags") {
            true => Some(params::parse_tags(&params.values("tags").join(",")).map_err(bad)?),
            false => None,
        };
        let context = match params.sent("context") {
            true => Some(params::parse_context(params.text("context").unwrap_or_default()).map_err(bad)?),
            false => None,
        };
        let regions = |name: &'static str| -> Result<Option<Vec<Region>>, ApiError> {
            params.text(name).map(|text| params::parse_regions(name, text).map_err(bad)).transpose()
        };
        let display_name = text("display_name");
        if let Some(name) = &display_name {
            check_display_name(name)?;
        }
        let moderation_status = text("moderation_status");
        if let Some(status) =
            moderation_status.as_deref().filter(|status| !["approved", "rejected", "pending"].contains(status))
        {
            return Err(ApiError::BadRequest(format!("Illegal value for moderation_status: {}", shown(status))));
        }
        let moderation = text("moderation");
        if let Some(kind) = moderation.as_deref().filter(|kind| *kind != "manual") {
            return Err(ApiError::BadRequest(format!("Moderation {} moderation is not valid", shown(kind))));
        }
        Ok(Edit {
            tags,
            context,
            face_coordinates: regions("face_coordinates")?,
            custom_coordinates: regions("custom_coordinates")?,
            regions: match params.json("regions")? {
                None => None,
                Some(Value::Object(regions)) => Some(regions),
                Some(other) => return Err(ApiError::invalid("regions", &other.to_string())),
            },
            moderation_status,
            moderation,
            access_control: match params.sent("access_control") {
                true => Some(access_rules(params.json_list("access_control")?)?),
                false => None,
            },
            quality_override: match params.sent("quality_override") {
                true => Some(quality(params.text("quality_override").unwrap_or_default())?),
                false => None,
            },
            headers: match params.sent("headers") {
                true => Some(headers(params.text("headers").unwrap_or_default())?),
                false => None,
            },
            asset_folder: match params.sent("asset_folder") {
                true => Some(folder_path(params.text("asset_folder").unwrap_or_default())?),
                false => None,
            },
            display_name,
        })
    }

    /// What an upload notes of its asset besides the columns.
    pub fn details(&self, start: AssetDetails) -> AssetDetails {
        let pending = self.moderation.as_ref().map(|kind| Moderation {
            kind: kind.clone(),
            status: "pending".to_owned(),
            updated_at: Timestamp::now().unix_micros(),
        });
        AssetDetails {
            moderation: pending.into_iter().collect(),
            access_control: self.access_control.clone().unwrap_or_default(),
            regions: self.regions.clone().unwrap_or_default(),
            quality_override: self.quality_override.clone().unwrap_or_default(),
            headers: self.headers.clone().unwrap_or_default(),
            ..start
        }
    }

    /// Applies the changes: whether there was one.
    pub fn apply(&self, asset: &mut Asset) -> bool {
        let before = asset.clone();
        let set = |target: &mut String, value: &Option<String>| {
            if let Some(value) = value {
                target.clone_from(value);
            }
        };
        if let Some(tags) = &self.tags {
            asset.tags.clone_from(tags);
        }
        if let Some(context) = &self.context {
            asset.context.clone_from(context);
        }
        // Kept as they were given, unlike an upload's: they are cut where a picture is rendered.
        if let Some(regions) = &self.face_coordinates {
            asset.face_coordinates.clone_from(regions);
        }
        if let Some(regions) = &self.custom_coordinates {
            asset.custom_coordinates.clone_from(regions);
        }
        if let Some(regions) = &self.regions {
            asset.details.regions.clone_from(regions);
        }
        if let Some(rules) = &self.access_control {
            asset.details.access_control.clone_from(rules);
        }
        set(&mut asset.details.quality_override, &self.quality_override);
        set(&mut asset.details.headers, &self.headers);
        set(&mut asset.asset_folder, &self.asset_folder);
        set(&mut asset.display_name, &self.display_name);
        if let Some(kind) = &self.moderation {
            moderate(asset, kind, "pending");
        }
        if let Some(status) = &self.moderation_status {
            moderate(asset, "manual", status);
        }
        *asset != before
    }
}

/// A value of `q`, or nothing.
fn quality(text: &str) -> Result<String, ApiError> {
    if !text.is_empty() && own_quality(text).is_none() {
        return Err(ApiError::invalid("quality_override", text));
    }
    Ok(text.to_owned())
}

fn headers(text: &str) -> Result<String, ApiError> {
    match asset_headers::parse(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(line) => Err(ApiError::invalid("headers", &line)),
    }
}

/// Sets the state of one kind of moderation.
fn moderate(asset: &mut Asset, kind: &str, status: &str) {
    let states = &mut asset.details.moderation;
    let now = Timestamp::now().unix_micros();
    match states.iter_mut().find(|state| state.kind == kind) {
        Some(state) => (state.status, state.updated_at) = (status.to_owned(), now),
        None => states.push(Moderation { kind: kind.to_owned(), status: status.to_owned(), updated_at: now }),
    }
}

/// A folder's path without slashes at its ends.
pub fn folder_path(text: &str) -> Result<String, ApiError> {
    let path = text.trim_matches('/');
    let wrong = path.len() > 1000
        || path.chars().any(|character| character.is_control() || "?&#\\%<>+".contains(character))
        || path.split('/').any(|part| matches!(part, "." | "..") || part != part.trim())
        || (path.split('/').any(str::is_empty) && !path.is_empty());
    if wrong { Err(ApiError::BadRequest(format!("Invalid folder path {}", shown(text)))) } else { Ok(path.to_owned()) }
}

pub fn check_display_name(name: &str) -> Result<(), ApiError> {
    if name.contains('/') || name.chars().count() > MAX_NAME_CHARS || name.chars().any(char::is_control) {
        return Err(ApiError::BadRequest(format!("Invalid display_name {}", shown(name))));
    }
    Ok(())
}

/// Rules of access, with their times made ISO 8601 in UTC.
pub fn access_rules(given: Vec<Value>) -> Result<Vec<Value>, ApiError> {
    let wrong = |rule: &Value| ApiError::BadRequest(format!("Invalid access_control {}", shown(&rule.to_string())));
    let mut rules = Vec::new();
    for rule in given {
        let Value::Object(fields) = &rule else { return Err(wrong(&rule)) };
        let kind = fields.get("access_type").and_then(Value::as_str);
        if !matches!(kind, Some("anonymous" | "token")) {
            return Err(wrong(&rule));
        }
        let mut normal = Map::new();
        for (name, value) in fields {
            let value = match (name.as_str(), value) {
                ("access_type" | "key", Value::String(_)) => value.clone(),
                ("start" | "end", Value::Null) => continue,
                ("start" | "end", Value::String(text)) => {
                    let at = parse_rule_time(text).ok_or_else(|| wrong(&rule))?;
                    super::view::iso_time(at).into()
                }
                _ => return Err(wrong(&rule)),
            };
            normal.insert(name.clone(), value);
        }
        rules.push(Value::Object(normal));
    }
    Ok(rules)
}

fn parse_rule_time(text: &str) -> Option<Timestamp> {
    super::listing::parse_time(text).or_else(|| {
        let format = time::macros::format_description!(
            "[year]-[month]-[day] [hour]:[minute] [offset_hour sign:mandatory][offset_minute]"
        );
        let at = time::OffsetDateTime::parse(text, &format).ok()?;
        Some(Timestamp::from_unix_seconds(at.unix_timestamp()))
    })
}

impl LibraryService {
    /// `POST /resources/{rt}/{type}/{pid}`
    pub async fn update(&self, caller: &Caller, key: &AssetKey, params: &Params) -> Result<Value, ApiError> {
        let edit = Edit::read(params)?;
        let metadata = self.metadata_change(caller, params).await?;
        let change = move |asset: &mut Asset| {
            let edited = edit.apply(asset);
            metadata.apply(asset) || edited
        };
        let (change, seen) = events::observe(change);
        let changed = self.parts.library.change_asset(key, change).await?;
        let asset = changed.ok_or_else(|| ApiError::missing_resource(key.public_id.as_str()))?;
        self.after_change(&caller.cloud.id, &[]).await;
        self.tell_changes(caller, params, &seen).await?;
        self.details(caller, &asset, &Params::default()).await
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    #[test]
    fn rules_of_access_get_iso_times() {
        let rules = access_rules(vec![
            json!({ "access_type": "anonymous", "start": "2019-02-22 16:20:57 +0200", "end": null }),
        ]);
        assert!(rules.is_err(), "seconds with an offset are not a form that clients send");
        let rules = access_rules(vec![
            json!({ "access_type": "anonymous", "start": "2019-02-22 16:20 +0200", "end": "2020-01-01T00:00:00Z" }),
        ]);
        let wanted =
            json!({ "access_type": "anonymous", "start": "2019-02-22T14:20:00Z", "end": "2020-01-01T00:00:00Z" });
        assert_eq!(rules.unwrap(), [wanted]);
        for wrong in [json!("x"), json!({}), json!({ "access_type": "all" }), json!({ "access_type": "token", "x": 1 })]
        {
            assert!(access_rules(vec![wrong]).is_err());
        }
    }

    #[test]
    fn folders_are_paths() {
        assert_eq!(folder_path("/a/b c/").unwrap(), "a/b c");
        assert_eq!(folder_path("").unwrap(), "");
        for wrong in ["a//b", "a/../b", "a?b", " a", "a/ b"] {
            assert!(folder_path(wrong).is_err(), "{wrong}");
        }
    }
}
