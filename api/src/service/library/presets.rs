//! Upload presets: parameters that calls refer to by a name (api.md 3.8 and 4.8).

use super::long_names::components;
use super::{LibraryService, cursor};
use crate::catalog::library::{Definition, DefinitionKind};
use crate::domain::CloudId;
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

/// Parameters that an unsigned upload may bring.
const UNSIGNED: &[&str] = &[
    "upload_preset",
    "callback",
    "public_id",
    "folder",
    "asset_folder",
    "tags",
    "context",
    "metadata",
    "face_coordinates",
    "custom_coordinates",
    "source",
    "filename_override",
    "manifest_transformation",
    "manifest_json",
    "template",
    "template_vars",
    "regions",
    "public_id_prefix",
];

/// Parameters that some clients send with every call, and that an unsigned upload does not use.
const IGNORED: &[&str] =
    &["file", "api_key", "timestamp", "resource_type", "cloud_name", "display_name", "use_filename_as_display_name"];

/// A preset as an upload uses it.
#[derive(Debug, Clone, PartialEq)]
pub struct Preset {
    pub unsigned: bool,
    options: Map<String, Value>,
}

impl Preset {
    fn text(&self, name: &str) -> Option<&str> {
        self.options.get(name).and_then(Value::as_str).filter(|text| !text.is_empty())
    }

    /// Whether callers may not choose the public id.
    pub fn disallows_public_id(&self) -> bool {
        matches!(self.text("disallow_public_id"), Some("1" | "true"))
    }

    /// The options together with the parameters of a call. Tags are united, context and metadata merged by key; on
    /// other conflicts a signed call wins over the preset, and the preset over an unsigned call.
    pub fn combine(&self, given: &[(String, String)], signed: bool) -> Vec<(String, String)> {
        let params = Params::from(given.to_vec());
        let mut all: Vec<(String, String)> = Vec::new();
        for (name, value) in given {
            let plain = crate::auth::signature::list_name(name);
            let preset = self.text(plain);
            let merged = matches!(plain, "tags" | "context" | "metadata");
            if preset.is_none() || (signed && !merged && params.text(plain).is_some()) {
                all.push((name.clone(), value.clone()));
            }
        }
        for (name, _) in &self.options {
            let Some(option) = self.text(name) else { continue };
            let own = params.values(name).join(",");
            let value = match name.as_str() {
                _ if own.is_empty() => option.to_owned(),
                "tags" => format!("{option},{own}"),
                // Of two values of a key the later one counts.
                "context" | "metadata" if signed => format!("{option}|{own}"),
                "context" | "metadata" => format!("{own}|{option}"),
                _ if signed => continue,
                _ => option.to_owned(),
            };
            all.push((name.clone(), value));
        }
        if !signed {
            all.retain(|(name, _)| name != "overwrite");
            all.push(("overwrite".to_owned(), "false".to_owned()));
        }
        all
    }
}

/// Refuses what an unsigned upload may not bring.
pub fn check_unsigned(given: &[(String, String)]) -> Result<(), ApiError> {
    let mut wrong: Vec<&str> = Vec::new();
    for (name, value) in given {
        let name = crate::auth::signature::list_name(name);
        if !value.is_empty() && !UNSIGNED.contains(&name) && !IGNORED.contains(&name) && !wrong.contains(&name) {
            wrong.push(name);
        }
    }
    if wrong.is_empty() {
        return Ok(());
    }
    let capital = |name: &&str| {
        let mut letters = name.chars();
        letters.next().map_or(String::new(), |first| first.to_uppercase().collect::<String>() + letters.as_str())
    };
    let messages: Vec<String> = wrong
        .iter()
        .map(|name| {
            format!(
                "{} parameter is not allowed when using unsigned upload. Only {} upload parameters are allowed.",
                capital(name),
                UNSIGNED.join(", ")
            )
        })
        .collect();
    Err(ApiError::BadRequest(messages.join(", ")))
}

fn missing(name: &str) -> ApiError {
    ApiError::NotFound(format!("Can't find upload preset named {}", shown(name)))
}

impl LibraryService {
    /// The preset that an upload names.
    pub async fn find_preset(&self, cloud: &CloudId, name: &str) -> Result<Option<Preset>, ApiError> {
        let found = self.parts.library.definition(cloud, KIND, name).await?;
        Ok(found.map(|found| Preset {
            unsigned: found.body["unsigned"] == json!(true),
            options: found.body["options"].as_object().cloned().unwrap_or_default(),
        }))
    }

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

    #[test]
    fn presets_and_calls_are_combined() {
        let options = json!({ "tags": "a,b", "context": "k=preset|x=1", "folder": "f", "use_filename": "1" });
        let preset = Preset { unsigned: true, options: options.as_object().cloned().unwrap() };
        let given = [("tags", "c"), ("context", "k=call"), ("folder", "g"), ("public_id", "p")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()));
        let value = |all: &[(String, String)], name: &str| Params::from(all.to_vec()).text(name).unwrap().to_owned();
        let signed = preset.combine(&given, true);
        assert_eq!((value(&signed, "tags"), value(&signed, "folder")), ("a,b,c".into(), "g".into()));
        assert_eq!(
            (value(&signed, "context"), value(&signed, "use_filename")),
            ("k=preset|x=1|k=call".into(), "1".into())
        );
        let unsigned = preset.combine(&given, false);
        assert_eq!((value(&unsigned, "folder"), value(&unsigned, "public_id")), ("f".into(), "p".into()));
        assert_eq!(
            (value(&unsigned, "context"), value(&unsigned, "overwrite")),
            ("k=call|k=preset|x=1".into(), "false".into())
        );
        assert!(check_unsigned(&given).is_ok());
        let wrong = check_unsigned(&[("eager".to_owned(), "w_1".to_owned())]).unwrap_err().to_string();
        assert!(
            wrong.starts_with("Eager parameter is not allowed when using unsigned upload. Only upload_preset,"),
            "{wrong}"
        );
    }
}
