//! Values of structured metadata, held to their fields (api.md 3.1 and 4.11).

use super::LibraryService;
use crate::catalog::library::DefinitionKind;
use crate::domain::{Asset, Metadata};
use crate::service::access::Caller;
use crate::service::call::{ApiError, Params, shown};
use crate::service::params;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Values to set, and fields to clear.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct MetadataChange {
    set: Metadata,
    clear: Vec<String>,
}

impl MetadataChange {
    /// Merges the values into an asset's: whether that changed anything.
    pub fn apply(&self, asset: &mut Asset) -> bool {
        let before = asset.metadata.clone();
        for field in &self.clear {
            asset.metadata.remove(field);
        }
        asset.metadata.extend(self.set.clone());
        asset.metadata != before
    }

    /// The values alone, for an asset that has none yet.
    pub fn into_values(self) -> Metadata {
        self.set
    }
}

impl LibraryService {
    /// The metadata of a new asset: the values of the call, and the defaults of mandatory fields.
    pub async fn metadata_of_upload(&self, caller: &Caller, params: &Params) -> Result<MetadataChange, ApiError> {
        let mut change = self.metadata_change(caller, params).await?;
        for field in self.live_fields(caller).await? {
            let default = &field.body["default_value"];
            if field.body["mandatory"] == json!(true) && !default.is_null() && !change.set.contains_key(&field.name) {
                change.set.insert(field.name.clone(), default.clone());
            }
        }
        Ok(change)
    }

    /// Reads the parameter `metadata` and checks its values. With `clear_invalid` values that do not hold are left out.
    pub async fn metadata_change(&self, caller: &Caller, params: &Params) -> Result<MetadataChange, ApiError> {
        let Some(text) = params.text("metadata") else { return Ok(MetadataChange::default()) };
        let given = read(text)?;
        let clear_invalid = params.is_set("clear_invalid")?;
        let mut unknown = Vec::new();
        let mut change = MetadataChange::default();
        for (field, value) in given {
            let found = self.parts.library.definition(&caller.cloud.id, DefinitionKind::MetadataField, &field).await?;
            let Some(definition) = found.filter(|found| found.body["deleted"] != json!(true)) else {
                unknown.push(field);
                continue;
            };
            if value.is_null() || value == json!("") {
                change.clear.push(field);
                continue;
            }
            match checked(&definition.body, &value) {
                Some(value) => {
                    change.set.insert(field, value);
                }
                None if clear_invalid => change.clear.push(field),
                None => {
                    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                    return Err(ApiError::BadRequest(format!("'{}' is not valid for field '{field}'", shown(&text))));
                }
            }
        }
        if !unknown.is_empty() {
            return Err(ApiError::BadRequest(format!("Metadata External IDs do not exist: {}", json!(unknown))));
        }
        Ok(change)
    }
}

/// `field=value|…`, or a JSON object.
fn read(text: &str) -> Result<Map<String, Value>, ApiError> {
    if text.trim_start().starts_with('{') {
        return match serde_json::from_str(text) {
            Ok(Value::Object(fields)) => Ok(fields),
            _ => Err(ApiError::invalid("metadata", text)),
        };
    }
    let pairs: BTreeMap<String, String> =
        params::parse_context(text).map_err(|_| ApiError::invalid("metadata", text))?;
    let value = |text: String| match serde_json::from_str(&text) {
        Ok(list @ Value::Array(_)) => list,
        _ => Value::String(text),
    };
    Ok(pairs.into_iter().map(|(field, text)| (field, value(text))).collect())
}

/// The value as it is kept, if the field's type and validation allow it.
pub fn checked(field: &Value, value: &Value) -> Option<Value> {
    let text = || match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    let kept = match field["type"].as_str()? {
        "string" => Value::String(text()?),
        "integer" => json!(text()?.trim().parse::<i64>().ok()?),
        "date" => Value::String(text().filter(|text| is_date(text))?),
        "enum" => Value::String(text().filter(|text| in_datasource(field, text))?),
        "set" => {
            let entries: Vec<String> = match value {
                Value::Array(entries) => {
                    entries.iter().map(|entry| entry.as_str().map(str::to_owned)).collect::<Option<_>>()?
                }
                _ => text()?.split(',').map(|entry| entry.trim().to_owned()).collect(),
            };
            if !entries.iter().all(|entry| in_datasource(field, entry)) {
                return None;
            }
            json!(entries)
        }
        _ => return None,
    };
    holds(&field["validation"], &kept).then_some(kept)
}

fn is_date(text: &str) -> bool {
    let format = time::macros::format_description!("[year]-[month]-[day]");
    time::Date::parse(text, &format).is_ok()
}

fn in_datasource(field: &Value, id: &str) -> bool {
    let values = field["datasource"]["values"].as_array();
    values.is_some_and(|values| {
        values.iter().any(|entry| entry["external_id"] == id && entry["state"] != json!("inactive"))
    })
}

/// Whether a value keeps a rule; there may be none.
pub fn holds(rule: &Value, value: &Value) -> bool {
    if rule.is_null() {
        return true;
    }
    match rule["type"].as_str() {
        Some("and") => rule["rules"].as_array().is_some_and(|rules| rules.iter().all(|rule| holds(rule, value))),
        Some("strlen") => value.as_str().is_some_and(|text| {
            let length = text.chars().count() as i64;
            rule["min"].as_i64().is_none_or(|min| length >= min) && rule["max"].as_i64().is_none_or(|max| length <= max)
        }),
        Some(kind @ ("greater_than" | "less_than")) => {
            // Dates are ordered as their texts.
            let order = match (value, &rule["value"]) {
                (Value::Number(one), Value::Number(two)) => one.as_f64().partial_cmp(&two.as_f64()),
                (Value::String(one), Value::String(two)) => Some(one.cmp(two)),
                _ => None,
            };
            let equals = rule["equals"].as_bool().unwrap_or(false);
            match order {
                Some(std::cmp::Ordering::Equal) => equals,
                Some(std::cmp::Ordering::Greater) => kind == "greater_than",
                Some(std::cmp::Ordering::Less) => kind == "less_than",
                None => false,
            }
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn values_are_held_to_their_fields() {
        let integer = json!({ "type": "integer", "validation": { "type": "and", "rules": [
            { "type": "greater_than", "value": 5, "equals": true }, { "type": "less_than", "value": 9 }] } });
        assert_eq!(checked(&integer, &json!("5")), Some(json!(5)));
        assert_eq!(checked(&integer, &json!(8)), Some(json!(8)));
        for wrong in [json!("4"), json!(9), json!("x"), json!([5])] {
            assert_eq!(checked(&integer, &wrong), None, "{wrong}");
        }
        let date = json!({ "type": "date", "validation": { "type": "less_than", "value": "2026-01-01" } });
        assert_eq!(checked(&date, &json!("2025-12-31")), Some(json!("2025-12-31")));
        assert_eq!(checked(&date, &json!("2026-01-01")), None);
        assert_eq!(checked(&date, &json!("31.12.2025")), None);
        let set = json!({ "type": "set", "datasource": { "values": [
            { "external_id": "a", "value": "A", "state": "active" }, { "external_id": "b", "state": "inactive" }] } });
        assert_eq!(checked(&set, &json!(["a"])), Some(json!(["a"])));
        assert_eq!(checked(&set, &json!(["a", "b"])), None);
        let text = json!({ "type": "string", "validation": { "type": "strlen", "min": 2, "max": 3 } });
        assert_eq!(checked(&text, &json!("äö")), Some(json!("äö")));
        assert_eq!(checked(&text, &json!("ä")), None);
    }

    #[test]
    fn both_spellings_are_read() {
        let pairs = read(r#"year=2025|kinds=["a","b"]|note=x\=y"#).unwrap();
        assert_eq!(Value::Object(pairs), json!({ "year": "2025", "kinds": ["a", "b"], "note": "x=y" }));
        assert_eq!(Value::Object(read(r#"{"year":2025}"#).unwrap()), json!({ "year": 2025 }));
        assert!(read("[1]").is_err());
    }
}
