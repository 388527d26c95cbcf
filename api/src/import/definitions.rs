//! What an account has defined: metadata fields, named transformations, upload presets and mappings, folders. Each is made
//! by the same call that a client would make here; what is here already stays as it is.

use super::account::{Account, AccountError};
use super::spelling::chain;
use super::{Failure, Importer};
use crate::service::call::{ApiError, Params};
use serde_json::Value;
use std::collections::BTreeMap;

/// Settings of a preset that are chains of transformations.
const CHAINS: &[&str] = &["transformation", "eager"];

/// How many of one kind were made, were here, and failed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Count {
    pub made: u64,
    pub present: u64,
    pub failed: u64,
}

/// What became of the definitions of an account.
#[derive(Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Definitions {
    pub counts: BTreeMap<&'static str, Count>,
    pub failures: Vec<Failure>,
}

impl Definitions {
    fn count(&mut self, kind: &'static str, name: &str, outcome: Result<(), ApiError>) {
        let count = self.counts.entry(kind).or_default();
        match outcome {
            Ok(()) => count.made += 1,
            Err(error) if is_conflict(&error) => count.present += 1,
            Err(error) => {
                count.failed += 1;
                self.failures.push(Failure { what: format!("{kind} {name}"), reason: error.to_string() });
            }
        }
    }
}

fn is_conflict(error: &ApiError) -> bool {
    // Fields answer 400 where others answer 409, as the real service does.
    matches!(error, ApiError::Conflict(_)) || error.to_string().ends_with("already exists")
}

/// Copies all definitions; with `dry_run` they are only counted, as made. Fails where the account cannot be read.
pub async fn copy_definitions(
    importer: &Importer,
    account: &Account,
    dry_run: bool,
) -> Result<Definitions, AccountError> {
    let mut done = Definitions::default();
    let (library, caller) = (&importer.library, &importer.caller);
    // The lists of some kinds are the whole answer.
    let fields = account.call(&["metadata_fields"], &[]).await?;
    for field in fields["metadata_fields"].as_array().into_iter().flatten() {
        let name = field["external_id"].as_str().unwrap_or_default();
        let params = texts(field, &[]);
        let made = if dry_run { Ok(()) } else { library.create_field(caller, &params).await.map(drop) };
        done.count("metadata_field", name, made);
    }
    for listed in account.all(&["transformations"], &[("named", "true")], "transformations").await? {
        let name = listed["name"].as_str().unwrap_or_default();
        let plain = name.strip_prefix("t_").unwrap_or(name);
        let details = account.call(&["transformations"], &[("transformation", name), ("max_results", "1")]).await?;
        let made = match chain(&details["info"]) {
            Err(reason) => Err(ApiError::BadRequest(reason)),
            Ok(_) if dry_run => Ok(()),
            Ok(text) => {
                let allowed = details["allowed_for_strict"].as_bool().unwrap_or(false);
                make_transformation(importer, plain, &text, allowed).await
            }
        };
        done.count("transformation", plain, made);
    }
    for preset in account.all(&["upload_presets"], &[], "presets").await? {
        let name = preset["name"].as_str().unwrap_or_default();
        let made = match preset_params(&preset) {
            Err(reason) => Err(ApiError::BadRequest(reason)),
            Ok(_) if dry_run => Ok(()),
            Ok(params) => library.create_preset(caller, &params).await.map(drop),
        };
        done.count("upload_preset", name, made);
    }
    for mapping in account.all(&["upload_mappings"], &[], "mappings").await? {
        let name = mapping["folder"].as_str().unwrap_or_default();
        let params = texts(&mapping, &["external_id"]);
        let made = if dry_run { Ok(()) } else { library.create_mapping(caller, &params).await.map(drop) };
        done.count("upload_mapping", name, made);
    }
    let mut open = vec![String::new()];
    while let Some(folder) = open.pop() {
        let path: Vec<&str> =
            std::iter::once("folders").chain(folder.split('/').filter(|part| !part.is_empty())).collect();
        for found in account.all(&path, &[], "folders").await? {
            let Some(below) = found["path"].as_str().filter(|path| !path.is_empty()) else { continue };
            let made = if dry_run { Ok(()) } else { library.create_folder(caller, below).await.map(drop) };
            done.count("folder", below, made);
            open.push(below.to_owned());
        }
    }
    Ok(done)
}

async fn make_transformation(importer: &Importer, name: &str, text: &str, allowed: bool) -> Result<(), ApiError> {
    let pairs = [("name", name), ("transformation", text)];
    let params = Params::from(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec());
    importer.library.create_transformation(&importer.caller, &params).await?;
    if allowed {
        let pairs = [("transformation", name), ("allowed_for_strict", "true")];
        let params = Params::from(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec());
        importer.library.update_transformation(&importer.caller, &params).await?;
    }
    Ok(())
}

/// An object as parameters: texts as they are, the rest as JSON.
fn texts(object: &Value, without: &[&str]) -> Params {
    let entries = object.as_object().into_iter().flatten();
    let kept = entries.filter(|(name, value)| !value.is_null() && !without.contains(&name.as_str()));
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    Params::from(kept.map(|(name, value)| (name.clone(), text(value))).collect::<Vec<_>>())
}

/// The parameters of the call that makes a preset like one that was listed.
fn preset_params(preset: &Value) -> Result<Params, String> {
    let mut params = vec![
        ("name".to_owned(), preset["name"].as_str().unwrap_or_default().to_owned()),
        ("unsigned".to_owned(), preset["unsigned"].as_bool().unwrap_or(false).to_string()),
    ];
    for (name, value) in preset["settings"].as_object().into_iter().flatten() {
        let text = match value {
            Value::Null => continue,
            Value::Array(chains) if name == "eager" => {
                chains.iter().map(chain).collect::<Result<Vec<_>, String>>()?.join("|")
            }
            chained if CHAINS.contains(&name.as_str()) => chain(chained)?,
            Value::Object(_) if matches!(name.as_str(), "context" | "metadata") => {
                super::pairs_text(&super::account::pairs(value))
            }
            Value::Array(entries) if entries.iter().all(Value::is_string) => {
                entries.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(",")
            }
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        params.push((name.clone(), text));
    }
    Ok(Params::from(params))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    #[test]
    fn presets_become_the_call_that_makes_them() {
        let preset = json!({
            "name": "web", "unsigned": true,
            "settings": {
                "tags": ["a", "b"], "folder": "in", "overwrite": false, "context": { "k": "v|w" },
                "transformation": [{ "width": 100, "crop": "limit" }, { "angle": 90 }],
                "eager": [{ "width": 10, "crop": "scale" }, { "height": 20, "crop": "fit" }],
                "notification_url": null,
            },
        });
        let params = preset_params(&preset).unwrap();
        for (name, value) in [
            ("name", "web"),
            ("unsigned", "true"),
            ("tags", "a,b"),
            ("folder", "in"),
            ("overwrite", "false"),
            ("context", "k=v\\|w"),
            ("transformation", "c_limit,w_100/a_90"),
            ("eager", "c_scale,w_10|c_fit,h_20"),
        ] {
            assert_eq!(params.text(name), Some(value), "{name}");
        }
        assert!(!params.sent("notification_url"));
        let strange = json!({ "name": "x", "settings": { "transformation": [{ "novelty": 1 }] } });
        assert!(preset_params(&strange).unwrap_err().contains("novelty"));
    }
}
