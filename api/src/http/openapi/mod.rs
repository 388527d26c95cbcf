//! The API as an OpenAPI document and as a page that people read, both from one table.

mod operations;
mod page;
mod parameters;
mod schemas;

pub use operations::{Group, OPERATIONS, Operation};
pub use page::page;

use parameters::{PARAMETERS, PATH, Parameter};
use serde_json::{Map, Value, json};

/// A parameter of an operation.
struct Used {
    parameter: &'static Parameter,
    required: bool,
}

/// The parameters of query or body, in the order of the table. What is not in the dictionary is left out, which a test
/// forbids.
fn used(operation: &Operation) -> Vec<Used> {
    let names = operation.params.split_whitespace().map(|word| (word.trim_end_matches('!'), word.ends_with('!')));
    names
        .filter_map(|(id, required)| {
            let parameter = PARAMETERS.iter().find(|parameter| parameter.id == id)?;
            Some(Used { parameter, required })
        })
        .collect()
}

/// The parameters of a path, the group's first.
fn in_path(operation: &Operation) -> Vec<&'static Parameter> {
    let text = format!("{}{}", operation.group.base(), operation.path);
    let names = text.split('{').skip(1).filter_map(|rest| rest.split_once('}').map(|(name, _)| name.to_owned()));
    names.filter_map(|name| PATH.iter().find(|parameter| parameter.name == name)).collect()
}

fn schema_of(kind: &str) -> Value {
    match kind {
        "array" => json!({ "type": "array", "items": { "type": "string" } }),
        "file" => json!({ "type": "string", "format": "binary" }),
        "object" => json!({ "description": "JSON" }),
        kind => json!({ "type": kind }),
    }
}

/// The document (OpenAPI 3.1). `base_url` is how clients reach this server.
pub fn document(base_url: &str) -> Value {
    let mut paths: Map<String, Value> = Map::new();
    for operation in OPERATIONS {
        let path = format!("{}{}", operation.group.base(), operation.path);
        let entry = paths.entry(path).or_insert_with(|| json!({}));
        entry[operation.method.to_ascii_lowercase()] = described(operation);
    }
    let tags: Vec<Value> =
        Group::ALL.iter().map(|group| json!({ "name": group.name(), "description": group.about() })).collect();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Tintype",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "The Upload, Admin, Search and Provisioning APIs as clients of Cloudinary use them. Parameters may \
                come in the query or in the body, which may be JSON, a form, or multipart; a list may be repeated as `name`, \
                `name[]` or `name[0]`. Every error is `{\"error\": {\"message\": …}}`.",
            "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
        },
        "servers": [{ "url": base_url }],
        "tags": tags,
        "security": [{ "basic": [] }],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "basic": {
                    "type": "http", "scheme": "basic",
                    "description": "API key and secret; for the provisioning API a provisioning key and its secret.",
                },
                "signature": {
                    "type": "apiKey", "in": "query", "name": "signature",
                    "description": "SHA-1 or SHA-256, in hex, of the sorted parameters without file, cloud_name, \
                        resource_type and api_key, joined as name=value with &, followed by the secret; sent with api_key and \
                        a timestamp of the last hour.",
                },
            },
            "schemas": schemas::schemas(),
        },
    })
}

fn described(operation: &Operation) -> Value {
    let body = operation.method != "GET";
    let mut parameters: Vec<Value> = in_path(operation)
        .into_iter()
        .map(|parameter| {
            json!({
                "name": parameter.name, "in": "path", "required": true, "description": parameter.about,
                "schema": schema_of(parameter.kind),
            })
        })
        .collect();
    let used = used(operation);
    if !body {
        parameters.extend(used.iter().map(|Used { parameter, required }| {
            json!({
                "name": parameter.name, "in": "query", "required": required, "description": parameter.about,
                "schema": schema_of(parameter.kind),
            })
        }));
    }
    let ok = match operation.answer {
        "File" => json!({ "description": "The file", "content": { "application/octet-stream": {} } }),
        name => json!({
            "description": "Done",
            "content": { "application/json": { "schema": { "$ref": format!("#/components/schemas/{name}") } } },
        }),
    };
    let error = json!({
        "description": "Refused, with the reason",
        "content": { "application/json": { "schema": { "$ref": "#/components/schemas/Error" } } },
    });
    let mut entry = json!({
        "tags": [operation.group.name()],
        "operationId": operation_id(operation),
        "summary": operation.summary,
        "parameters": parameters,
        "responses": { "200": ok, "default": error },
    });
    if matches!(operation.group, Group::Upload | Group::Download) {
        entry["security"] = json!([{ "signature": [] }, { "basic": [] }]);
    }
    if body && !used.is_empty() {
        let properties: Map<String, Value> = used
            .iter()
            .map(|Used { parameter, .. }| {
                let mut schema = schema_of(parameter.kind);
                schema["description"] = json!(parameter.about);
                (parameter.name.to_owned(), schema)
            })
            .collect();
        let required: Vec<&str> =
            used.iter().filter(|used| used.required).map(|Used { parameter, .. }| parameter.name).collect();
        let mut schema = json!({ "type": "object", "properties": properties });
        if !required.is_empty() {
            schema["required"] = json!(required);
        }
        let kinds: &[&str] = match operation.group {
            Group::Upload => &["multipart/form-data", "application/x-www-form-urlencoded"],
            _ => &["application/json", "application/x-www-form-urlencoded"],
        };
        let content: Map<String, Value> =
            kinds.iter().map(|kind| ((*kind).to_owned(), json!({ "schema": schema }))).collect();
        entry["requestBody"] = json!({ "content": content });
    }
    entry
}

/// A name that is unique: the method and the words of the path.
fn operation_id(operation: &Operation) -> String {
    let mut id = operation.method.to_ascii_lowercase();
    if operation.group == Group::Provisioning {
        id += "_provisioning";
    }
    for word in operation.path.split(['/', '.']).filter(|word| !word.is_empty()) {
        id += "_";
        match word.strip_prefix('{').and_then(|word| word.strip_suffix('}')) {
            Some(name) => {
                id += "by_";
                id += name;
            }
            None => id += word,
        }
    }
    id
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_tables_fit_together() {
        let mut ids = BTreeSet::new();
        let mut known: BTreeSet<&str> = PARAMETERS.iter().map(|parameter| parameter.id).collect();
        assert_eq!(known.len(), PARAMETERS.len(), "a parameter stands twice");
        let schemas = schemas::schemas();
        for operation in OPERATIONS {
            let path = operation.path;
            assert!(ids.insert(operation_id(operation)), "{} {path} stands twice", operation.method);
            let words = operation.params.split_whitespace().count();
            assert_eq!(used(operation).len(), words, "{path}: a parameter is not in the dictionary");
            let named = operation.group.base().matches('{').count() + path.matches('{').count();
            assert_eq!(in_path(operation).len(), named, "{path}: a name in the path is not in the dictionary");
            assert!(
                operation.answer == "File" || schemas.get(operation.answer).is_some(),
                "{path}: {}",
                operation.answer
            );
            for Used { parameter, .. } in used(operation) {
                known.remove(parameter.id);
            }
        }
        assert!(known.is_empty(), "nothing uses {known:?}");
    }

    #[test]
    fn references_lead_somewhere() {
        fn look(value: &Value, document: &Value) {
            match value {
                Value::Object(entries) => {
                    if let Some(Value::String(reference)) = entries.get("$ref") {
                        let pointer = reference.strip_prefix('#').unwrap();
                        assert!(document.pointer(pointer).is_some(), "{reference}");
                    }
                    entries.values().for_each(|value| look(value, document));
                }
                Value::Array(entries) => entries.iter().for_each(|value| look(value, document)),
                _ => {}
            }
        }
        let document = document("http://localhost:8080");
        look(&document, &document);
    }

    /// A change of the API shows in a change of this file. `TINTYPE_BLESS=1` writes it anew.
    #[test]
    fn the_document_is_the_one_that_is_kept() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/assets/openapi.json");
        let text = format!("{:#}\n", document("http://localhost:8080"));
        if std::env::var("TINTYPE_BLESS").is_ok_and(|value| value == "1") {
            std::fs::write(path, &text).unwrap();
        }
        let kept = std::fs::read_to_string(path).unwrap_or_default();
        assert!(kept == text, "api/assets/openapi.json is not what the tables say; `make bless` writes it");
    }
}
