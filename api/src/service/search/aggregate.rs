//! Counts of matches by a field.

use crate::catalog::library::{Aggregate, Counts};
use crate::domain::ResourceType;
use crate::search::{NumberColumn, TextColumn};
use crate::service::call::{ApiError, Params};
use serde_json::{Map, Value, json};

/// Most aggregations of a search, and most ranges of one.
const MAX_AGGREGATIONS: usize = 10;
const MAX_RANGES: usize = 100;

/// One aggregation that was asked for.
pub struct Aggregation {
    name: &'static str,
    pub aggregate: Aggregate,
    /// Names of the ranges.
    keys: Vec<String>,
}

/// Reads `aggregate`: names, or objects with ranges.
pub fn read(params: &Params) -> Result<Vec<Aggregation>, ApiError> {
    let mut aggregations = Vec::new();
    for text in params.values("aggregate") {
        match serde_json::from_str(&text) {
            Ok(Value::Array(entries)) => {
                for entry in entries {
                    aggregations.push(read_one(&entry)?);
                }
            }
            Ok(Value::Object(entry)) => aggregations.push(read_one(&Value::Object(entry))?),
            _ => {
                for name in text.split(',') {
                    aggregations.push(read_one(&json!(name.trim()))?);
                }
            }
        }
    }
    if aggregations.len() > MAX_AGGREGATIONS {
        return Err(ApiError::BadRequest(format!("Too many aggregate. Maximum is {MAX_AGGREGATIONS}.")));
    }
    Ok(aggregations)
}

fn read_one(entry: &Value) -> Result<Aggregation, ApiError> {
    let invalid = || ApiError::invalid("aggregate", &entry.to_string());
    let (name, ranges) = match entry {
        Value::String(name) => (name.as_str(), None),
        Value::Object(fields) => {
            let name = fields.get("type").and_then(Value::as_str).ok_or_else(invalid)?;
            (name, fields.get("ranges"))
        }
        _ => return Err(invalid()),
    };
    let by_value = |name, column| Aggregation { name, aggregate: Aggregate::Values(column), keys: Vec::new() };
    let (name, column, resource_type, scale) = match name {
        "format" => return Ok(by_value("format", TextColumn::Format)),
        "resource_type" => return Ok(by_value("resource_type", TextColumn::ResourceType)),
        "type" => return Ok(by_value("type", TextColumn::DeliveryType)),
        "bytes" => ("bytes", NumberColumn::Bytes, None, 1.0),
        "image_pixels" => ("image_pixels", NumberColumn::Pixels, Some(ResourceType::Image), 1.0),
        "video_pixels" => ("video_pixels", NumberColumn::Pixels, Some(ResourceType::Video), 1.0),
        "duration" => ("duration", NumberColumn::Duration, None, 1000.0),
        _ => return Err(invalid()),
    };
    let ranges = ranges.and_then(Value::as_array).ok_or_else(invalid)?;
    if ranges.is_empty() || ranges.len() > MAX_RANGES {
        return Err(invalid());
    }
    let (mut keys, mut spans) = (Vec::new(), Vec::new());
    for range in ranges {
        let end = |name: &str| match range.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => {
                let number =
                    value.as_f64().or_else(|| value.as_str()?.parse().ok()).filter(|number| number.is_finite());
                // The cast holds numbers that are too large at the end of the range.
                number.map(|number: f64| Some((number * scale).ceil() as i64)).ok_or_else(invalid)
            }
        };
        let key = range.get("key").and_then(Value::as_str).ok_or_else(invalid)?;
        spans.push((end("from")?, end("to")?));
        keys.push(key.to_owned());
    }
    Ok(Aggregation { name, aggregate: Aggregate::Ranges { column, resource_type, ranges: spans }, keys })
}

/// The counts by the names of aggregations.
pub fn answer(aggregations: &[Aggregation], counts: &[Counts]) -> Value {
    let mut body = Map::new();
    for (aggregation, counts) in aggregations.iter().zip(counts) {
        let entries: Map<String, Value> = match counts {
            Counts::Values(values) => values.iter().map(|(value, count)| (value.clone(), json!(count))).collect(),
            Counts::Ranges(ranges) => {
                aggregation.keys.iter().zip(ranges).map(|(key, count)| (key.clone(), json!(count))).collect()
            }
        };
        body.insert(aggregation.name.to_owned(), Value::Object(entries));
    }
    Value::Object(body)
}
