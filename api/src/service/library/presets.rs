//! Upload presets: parameters that calls refer to by a name (api.md 3.8 and 4.8).

use super::long_names::components;
use super::{LibraryService, cursor};
use crate::catalog::library::{Definition, DefinitionKind};
use crate::service::access::Caller;
use crate::service::call::{ApiError, Params, shown};
use crate::service::params;
use rand::Rng;
use serde_json::{Map, Value, json};

const KIND: DefinitionKind = DefinitionKind::UploadPreset;

/// Parameters of a call that are not options of uploads.
const ATTRIBUTES: &[&str] = &["name", "unsigned", "external_id", "timestamp", "api_key", "signature", "upload_preset"];

/// Options whose values are flags.
const FLAGS: &[&str] = &[
    "overwrite",
    "use_filename",
    "unique_filename",
    "discard_original_filename",
    "invalidate",
    "eager_async",
    "async",
    "backup",
    "faces",
    "colors",
    "phash",
    "exif",
    "image_metadata",
    "media_metadata",
    "quality_analysis",
    "accessibility_analysis",
    "cinemagraph_analysis",
    "return_delete_token",
    "disallow_public_id",
    "live",
    "use_asset_folder_as_public_id_prefix",
    "use_filename_as_display_name",
    "unique_display_name",
    "clear_invalid",
];

/// A preset as answers show it.
fn entry(definition: &Definition) -> Value {
    let body = &definition.body;
    let mut settings = Map::new();
    let options = body["options"].as_object().into_iter().flatten();
    for (name, value) in options {
        settings.insert(name.clone(), setting(name, value.as_str().unwrap_or_default()));
    }
    json!({
        "name": definition.name,
        "unsigned": body["unsigned"],
        "settings": settings,
        "external_id": body["external_id"],
    })
}

/// An option's value, parsed.
fn setting(name: &str, text: &str) -> Value {
    if FLAGS.contains(&name) {
        return json!(matches!(text, "1" | "true"));
    }
    match name {
        "tags" | "allowed_formats" => {
            json!(text.split(',').map(str::trim).filter(|entry| !entry.is_empty()).collect::<Vec<_>>())
        }
        "context" => params::parse_context(text).map_or_else(|_| json!(text), |pairs| json!(pairs)),
        "metadata" => params::parse_context(text).map_or_else(|_| json!(text), |pairs| json!(pairs)),
        "transformation" => json!(components(text)),
        "eager" => {
            json!(text.split('|').filter(|entry| !entry.is_empty()).map(components).collect::<Vec<_>>().concat())
        }
        "responsive_breakpoints" | "access_control" => serde_json::from_str(text).unwrap_or_else(|_| json!(text)),
        _ => json!(text),
    }
}

/// The options of a call, in their wire encoding.
fn options(given: &Params) -> Result<Map<String, Value>, ApiError> {
    let mut options = Map::new();
    for (name, _) in given.pairs() {
        let name = crate::auth::signature::list_name(name);
        if ATTRIBUTES.contains(&name) || options.contains_key(name) {
            continue;
        }
        if !params::is_known(name) && !["live", "disallow_public_id"].contains(&name) {
            return Err(ApiError::BadRequest(format!("Unknown parameter {} for an upload preset", shown(name))));
        }
        let values = given.values(name);
        if !values.is_empty() {
            options.insert(name.to_owned(), json!(values.join(",")));
        }
    }
    Ok(options)
}

fn missing(name: &str) -> ApiError {
    ApiError::NotFound(format!("Can't find upload preset named {}", shown(name)))
}

impl LibraryService {
    /// `GET /upload_presets`
    pub async fn presets(&self, caller: &Caller, params: &Params) -> Result<Value, ApiError> {
        let after = cursor::read_text(params)?;
        let limit = params.max_results(10)?;
        let page = self.parts.library.definitions(&caller.cloud.id, KIND, "", &after, limit).await?;
        let next = page.definitions.last().filter(|_| page.more).map(|last| cursor::write_text(&last.name));
        let mut body = json!({ "presets": page.definitions.iter().map(entry).collect::<Vec<_>>() });
        if let Some(next) = next {
            body["next_cursor"] = json!(next);
        }
        Ok(body)
    }

    /// `GET /upload_presets/{name}`
    pub async fn preset(&self, caller: &Caller, name: &str) -> Result<Value, ApiError> {
        let found = self.parts.library.definition(&caller.cloud.id, KIND, name).await?;
        found.as_ref().map(entry).ok_or_else(|| missing(name))
    }

    /// `POST /upload_presets`
    pub async fn create_preset(&self, caller: &Caller, params: &Params) -> Result<Value, ApiError> {
        let name = match params.text("name") {
            Some(name) => name.to_owned(),
            None => {
                let mut random = rand::rng();
                (0..8).map(|_| char::from(random.random_range(b'a'..=b'z'))).collect()
            }
        };
        if name.chars().count() > 255 || name.chars().any(|c| c.is_control() || c == '/') {
            return Err(ApiError::BadRequest(format!("Invalid upload preset name {}", shown(&name))));
        }
        let body = json!({
            "unsigned": params.is_set("unsigned")?,
            "options": options(params)?,
            "external_id": hex::encode(rand::random::<[u8; 16]>()),
        });
        if !self.parts.library.define(&caller.cloud.id, KIND, &name, body).await? {
            return Err(ApiError::Conflict(format!("Upload preset {} already exists", shown(&name))));
        }
        Ok(json!({ "message": "created", "name": name }))
    }

    /// `PUT /upload_presets/{name}`: only what is given changes.
    pub async fn update_preset(&self, caller: &Caller, name: &str, params: &Params) -> Result<Value, ApiError> {
        let unsigned = params.flag("unsigned")?;
        let given = options(params)?;
        let change = move |body: &mut Value| {
            if let Some(unsigned) = unsigned {
                body["unsigned"] = json!(unsigned);
            }
            for (name, value) in given {
                body["options"][name] = value;
            }
            Ok::<(), ()>(())
        };
        let changed = self.parts.library.redefine(&caller.cloud.id, KIND, name, change).await?;
        changed.map(|_| json!({ "message": "updated" })).ok_or_else(|| missing(name))
    }

    /// `DELETE /upload_presets/{name}`
    pub async fn delete_preset(&self, caller: &Caller, name: &str) -> Result<Value, ApiError> {
        match self.parts.library.undefine(&caller.cloud.id, KIND, name).await? {
            true => Ok(json!({ "message": "deleted" })),
            false => Err(missing(name)),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn settings_are_parsed() {
        let pairs = [
            ("name", "p"),
            ("timestamp", "1"),
            ("overwrite", "1"),
            ("tags", "a, b"),
            ("context", "k=v"),
            ("allowed_formats[]", "jpg"),
            ("allowed_formats[]", "png"),
            ("transformation", "c_fill,w_100"),
            ("eager", "w_5|w_6/png"),
            ("folder", "x"),
            ("live", "true"),
        ];
        let given: Params = pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec().into();
        let options = options(&given).unwrap();
        let settings: Map<String, Value> =
            options.iter().map(|(name, value)| (name.clone(), setting(name, value.as_str().unwrap()))).collect();
        let wanted = json!({
            "overwrite": true, "tags": ["a", "b"], "context": { "k": "v" }, "allowed_formats": ["jpg", "png"],
            "transformation": [{ "crop": "fill", "width": 100 }],
            "eager": [{ "width": 5 }, { "width": 6, "extension": "png" }], "folder": "x", "live": true,
        });
        assert_eq!(Value::Object(settings), wanted);
        let odd: Params = vec![("novelty".to_owned(), "1".to_owned())].into();
        assert!(super::options(&odd).is_err());
    }
}
