//! What clients are told of, as the bodies of notifications (api.md 6.2).

use crate::domain::{Asset, AssetId, Timestamp};
use crate::service::library::view::display_name;
use parking_lot::Mutex;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use time::OffsetDateTime;
use time::macros::format_description;

/// Something that happened.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    pub kind: &'static str,
    /// What stands in the notification beside its envelope.
    pub body: Map<String, Value>,
    /// The asset that it is about, where it is about one: its notifications keep their order.
    pub asset: Option<AssetId>,
}

fn moment(time: Timestamp) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(time.unix_micros()) * 1000)
        .unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

pub(super) fn second_text(time: Timestamp) -> String {
    let format = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]+00:00");
    moment(time).format(&format).unwrap_or_default()
}

pub(super) fn microsecond_text(time: Timestamp) -> String {
    let format = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:6]Z");
    moment(time).format(&format).unwrap_or_default()
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(body) => body,
        _ => Map::new(),
    }
}

fn one(kind: &'static str, asset: &Asset, body: Value) -> Event {
    Event { kind, body: object(body), asset: Some(asset.id.clone()) }
}

/// An upload, from its answer.
pub fn uploaded(asset: &Asset, answer: &Value) -> Event {
    let mut body = object(answer.clone());
    body.remove("signature");
    Event { kind: "upload", body, asset: Some(asset.id.clone()) }
}

/// A call of `explicit` that was asked to tell, from its answer.
pub fn explicit(asset: &Asset, answer: &Value) -> Event {
    Event { kind: "explicit", ..uploaded(asset, answer) }
}

/// Eager pictures that were rendered after the answer.
pub fn eager(asset: &Asset, entries: Vec<Value>, api_key: &str) -> Event {
    let body = json!({
        "eager": entries,
        "asset_id": asset.id.as_str(),
        "public_id": asset.key.public_id.as_str(),
        "api_key": api_key,
    });
    one("eager", asset, body)
}

/// A call that failed after its answer.
pub fn error(public_id: &str, message: &str) -> Event {
    let body = json!({ "error": { "message": message }, "public_id": public_id });
    Event { kind: "error", body: object(body), asset: None }
}

pub fn renamed(asset: &Asset, from: &str) -> Event {
    let body = json!({
        "asset_id": asset.id.as_str(),
        "resource_type": asset.key.resource_type.as_str(),
        "type": asset.key.delivery_type.as_str(),
        "from_public_id": from,
        "to_public_id": asset.key.public_id.as_str(),
        "asset_folder": asset.asset_folder,
        "display_name": display_name(asset),
    });
    one("rename", asset, body)
}

pub fn deleted(assets: &[Asset]) -> Option<Event> {
    let resources: Vec<Value> = assets
        .iter()
        .map(|asset| {
            json!({
                "resource_type": asset.key.resource_type.as_str(),
                "type": asset.key.delivery_type.as_str(),
                "asset_id": asset.id.as_str(),
                "public_id": asset.key.public_id.as_str(),
                "version": asset.version,
                "asset_folder": asset.asset_folder,
                "display_name": display_name(asset),
            })
        })
        .collect();
    let only = match assets {
        [] => return None,
        [asset] => Some(asset.id.clone()),
        _ => None,
    };
    Some(Event { kind: "delete", body: object(json!({ "resources": resources })), asset: only })
}

/// `create_folder` or `delete_folder`.
pub fn folder(kind: &'static str, path: &str) -> Event {
    let name = path.rsplit('/').next().unwrap_or(path);
    Event { kind, body: object(json!({ "folder_path": path, "folder_name": name })), asset: None }
}

pub fn folder_moved(from: &str, to: &str) -> Event {
    let body = object(json!({ "from_path": from, "to_path": to }));
    Event { kind: "move_or_rename_asset_folder", body, asset: None }
}

/// What changed between two states of assets: at most one event of each kind, but one of `moderation` for each asset.
pub fn changes(pairs: &[(Asset, Asset)]) -> Vec<Event> {
    let mut events = Vec::new();
    let mut push = |kind: &'static str, resources: Value, assets: Vec<&Asset>, more: Value| {
        let asset = if let [asset] = assets[..] { Some(asset.id.clone()) } else { None };
        let mut body = object(more);
        body.insert("resources".to_owned(), resources);
        if !assets.is_empty() {
            events.push(Event { kind, body, asset });
        }
    };
    let differing = |differs: &dyn Fn(&Asset, &Asset) -> bool| -> Vec<&(Asset, Asset)> {
        pairs.iter().filter(|(old, new)| differs(old, new)).collect()
    };
    let assets = |found: &[&(Asset, Asset)]| -> Vec<&Asset> {
        // The references live as long as `pairs`, not as the list of them.
        let ids: BTreeSet<&str> = found.iter().map(|(_, new)| new.id.as_str()).collect();
        pairs.iter().map(|(_, new)| new).filter(|new| ids.contains(new.id.as_str())).collect()
    };
    let named = |asset: &Asset, fields: Value| {
        let mut entry = object(json!({
            "asset_id": asset.id.as_str(),
            "public_id": asset.key.public_id.as_str(),
            "resource_type": asset.key.resource_type.as_str(),
            "type": asset.key.delivery_type.as_str(),
        }));
        entry.extend(object(fields));
        entry
    };
    let list = |found: &[&(Asset, Asset)], entry: &dyn Fn(&Asset, &Asset) -> Value| -> Value {
        found.iter().map(|(old, new)| Value::Object(named(new, entry(old, new)))).collect()
    };
    let map = |found: &[&(Asset, Asset)], entry: &dyn Fn(&Asset, &Asset) -> Value| -> Value {
        let one = |(old, new): &&(Asset, Asset)| {
            let mut fields = named(new, entry(old, new));
            fields.remove("public_id");
            (new.key.public_id.to_string(), Value::Object(fields))
        };
        Value::Object(found.iter().map(one).collect())
    };

    let found = differing(&|old, new| old.tags != new.tags);
    let entry = |old: &Asset, new: &Asset| {
        let added: Vec<&String> = new.tags.iter().filter(|tag| !old.tags.contains(tag)).collect();
        let removed: Vec<&String> = old.tags.iter().filter(|tag| !new.tags.contains(tag)).collect();
        json!({ "added": added, "removed": removed, "updated": [] })
    };
    push("resource_tags_changed", list(&found, &entry), assets(&found), json!({ "source": "api" }));

    let found = differing(&|old, new| old.context != new.context);
    let entry = |old: &Asset, new: &Asset| {
        let added: BTreeMap<_, _> = new.context.iter().filter(|(key, _)| !old.context.contains_key(*key)).collect();
        let removed: Vec<&String> = old.context.keys().filter(|key| !new.context.contains_key(*key)).collect();
        let is_other = |key: &String, value: &String| old.context.get(key).is_some_and(|before| before != value);
        let updated: BTreeMap<_, _> = new.context.iter().filter(|(key, value)| is_other(key, value)).collect();
        json!({ "added": added, "removed": removed, "updated": updated })
    };
    push("resource_context_changed", map(&found, &entry), assets(&found), json!({}));

    let found = differing(&|old, new| old.metadata != new.metadata);
    let entry = |old: &Asset, new: &Asset| json!({ "previous_metadata": old.metadata, "new_metadata": new.metadata });
    push("resource_metadata_changed", map(&found, &entry), assets(&found), json!({}));

    let found = differing(&|old, new| old.display_name != new.display_name);
    let entry = |old: &Asset, new: &Asset| json!({ "previous_display_name": display_name(old), "new_display_name": display_name(new) });
    push("resource_display_name_changed", map(&found, &entry), assets(&found), json!({}));

    let found = differing(&|old, new| old.details.access_control != new.details.access_control);
    let entry = |old: &Asset, new: &Asset| {
        json!({
            "previous_access_control": old.details.access_control,
            "new_access_control": new.details.access_control,
        })
    };
    push("access_control_changed", list(&found, &entry), assets(&found), json!({}));

    let found = differing(&|old, new| old.asset_folder != new.asset_folder);
    let entry = |old: &Asset, new: &Asset| {
        json!({
            "from_asset_folder": old.asset_folder,
            "to_asset_folder": new.asset_folder,
            "display_name": display_name(new),
        })
    };
    push("move", map(&found, &entry), assets(&found), json!({}));

    for (old, new) in pairs {
        for state in new.details.moderation.iter().filter(|state| !old.details.moderation.contains(state)) {
            let body = json!({
                "public_id": new.key.public_id.as_str(),
                "asset_id": new.id.as_str(),
                "moderation_kind": state.kind,
                "moderation_status": state.status,
                "moderation_response": "moderation_done",
                "moderation_updated_at": second_text(Timestamp::from_unix_micros(state.updated_at)),
            });
            events.push(one("moderation", new, body));
        }
    }
    events
}

/// States of assets before and after a change, noted by [`observe`].
#[derive(Debug, Clone, Default)]
pub struct Seen(Arc<Mutex<Vec<(Asset, Asset)>>>);

impl Seen {
    /// What was noted; of several notes on one asset the last one.
    pub fn take(&self) -> Vec<(Asset, Asset)> {
        let mut pairs: Vec<(Asset, Asset)> = Vec::new();
        for pair in std::mem::take(&mut *self.0.lock()) {
            pairs.retain(|(_, known)| known.id != pair.1.id);
            pairs.push(pair);
        }
        pairs
    }
}

/// The same change, which notes what it did.
pub fn observe<F: Fn(&mut Asset) -> bool + Clone + Send + Sync + 'static>(
    change: F,
) -> (impl Fn(&mut Asset) -> bool + Clone + Send + Sync + 'static, Seen) {
    let seen = Seen::default();
    let notes = seen.clone();
    let observed = move |asset: &mut Asset| {
        let before = asset.clone();
        let changed = change(asset);
        if changed && before != *asset {
            notes.0.lock().push((before, asset.clone()));
        }
        changed
    };
    (observed, seen)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_the_forms_of_the_specification() {
        let time = Timestamp::from_unix_micros(1_767_225_601_123_456);
        assert_eq!(second_text(time), "2026-01-01T00:00:01+00:00");
        assert_eq!(microsecond_text(time), "2026-01-01T00:00:01.123456Z");
    }
}
