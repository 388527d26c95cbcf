//! Transformations as things of a cloud: named ones, allowed ones, and those in use (api.md 4.7).

use super::long_names::{components, normalized};
use super::{LibraryService, cursor};
use crate::catalog::library::{DefinitionKind, DerivedOf};
use crate::domain::{Cloud, CloudId};
use crate::service::access::Caller;
use crate::service::call::{ApiError, Params, shown};
use crate::service::params::EagerEntry;
use serde_json::{Value, json};
use tintype_render::{Limits, language};

const KIND: DefinitionKind = DefinitionKind::Transformation;
/// How deep named transformations may stand in each other.
const MAX_DEPTH: usize = 10;
/// Most of them that one transformation may name.
const MAX_NAMES: usize = 50;

/// Named transformations are kept under `t_<name>`, unnamed ones under their normalized text.
fn key_of(text: &str) -> String {
    normalized(text)
}

fn named_key(name: &str) -> String {
    format!("t_{name}")
}

fn missing(text: &str) -> ApiError {
    ApiError::NotFound(format!("Can't find transformation {}", shown(text)))
}

impl LibraryService {
    /// The key of a transformation that a call names: a text, or a name with or without `t_`.
    async fn find_key(&self, cloud: &CloudId, text: &str) -> Result<Option<(String, Value)>, ApiError> {
        let library = &self.parts.library;
        for key in [key_of(text), named_key(text)] {
            if let Some(found) = library.definition(cloud, KIND, &key).await? {
                return Ok(Some((key, found.body)));
            }
        }
        Ok(None)
    }

    /// `GET /transformations`, of one or of all.
    pub async fn transformations(&self, caller: &Caller, params: &Params) -> Result<Value, ApiError> {
        match params.text("transformation") {
            Some(text) => self.transformation(caller, text, params).await,
            None => self.all_transformations(caller, params).await,
        }
    }

    async fn all_transformations(&self, caller: &Caller, params: &Params) -> Result<Value, ApiError> {
        let library = &self.parts.library;
        let cloud = &caller.cloud.id;
        let limit = params.max_results(10)?;
        let named = params.flag("named")?;
        let after = cursor::read_text(params)?;
        // Both lists are ordered by their bytes, so that a page of their union is within a page of each.
        let prefix = if named == Some(true) { "t_" } else { "" };
        let defined = library.definitions(cloud, KIND, prefix, &after, limit + 1).await?.definitions;
        let used = match named {
            Some(true) => Vec::new(),
            _ => library.used_transformations(cloud, &after, limit + 1).await?,
        };
        let mut entries: Vec<(String, Value)> = Vec::new();
        for definition in defined {
            let is_named = definition.name.starts_with("t_");
            if named == Some(false) && is_named {
                continue;
            }
            let canonical =
                self.canonical_of(cloud, definition.body["transformation"].as_str().unwrap_or_default()).await;
            let used = used.contains(&definition.name)
                || !library
                    .derived_page(cloud, DerivedOf::Transformation(canonical), 1, None)
                    .await?
                    .derived
                    .is_empty();
            let entry = json!({
                "name": definition.name,
                "allowed_for_strict": definition.body["allowed_for_strict"],
                "used": used,
                "named": is_named,
            });
            entries.push((definition.name, entry));
        }
        for text in used {
            if !text.is_empty() && !entries.iter().any(|(name, _)| *name == text) {
                let entry = json!({ "name": text, "allowed_for_strict": false, "used": true, "named": false });
                entries.push((text, entry));
            }
        }
        entries.sort_by(|one, other| one.0.cmp(&other.0));
        let more = entries.len() > limit as usize;
        entries.truncate(limit as usize);
        let next = entries.last().filter(|_| more).map(|(name, _)| cursor::write_text(name));
        let mut body = json!({ "transformations": entries.into_iter().map(|(_, entry)| entry).collect::<Vec<_>>() });
        if let Some(next) = next {
            body["next_cursor"] = json!(next);
        }
        Ok(body)
    }

    /// The text under which pictures of a transformation are recorded; the text itself where it cannot be read.
    async fn canonical_of(&self, cloud: &CloudId, text: &str) -> String {
        let expanded = self.expand(cloud, text).await.unwrap_or_else(|_| text.to_owned());
        super::deletion::canonical(&expanded).unwrap_or(expanded)
    }

    async fn transformation(&self, caller: &Caller, text: &str, params: &Params) -> Result<Value, ApiError> {
        let cloud = &caller.cloud.id;
        let found = self.find_key(cloud, text).await?;
        let (name, body) = match &found {
            Some((key, body)) => (key.clone(), body.clone()),
            None => (key_of(text), json!({ "transformation": text, "allowed_for_strict": false })),
        };
        let definition = body["transformation"].as_str().unwrap_or_default();
        let canonical = self.canonical_of(cloud, definition).await;
        let after = cursor::read_derived(params, "next_cursor")?;
        let of = DerivedOf::Transformation(canonical);
        let page = self.parts.library.derived_page(cloud, of, params.max_results(10)?, after).await?;
        if found.is_none() && page.derived.is_empty() {
            return Err(missing(text));
        }
        let view = self.view(caller).await?;
        let derived: Vec<Value> = page
            .derived
            .iter()
            .map(|(derived, asset)| {
                let mut entry = view.derived(derived, asset);
                entry.remove("transformation");
                entry.insert("public_id".to_owned(), json!(asset.key.public_id.as_str()));
                entry.insert("resource_type".to_owned(), json!(asset.key.resource_type.as_str()));
                entry.insert("type".to_owned(), json!(asset.key.delivery_type.as_str()));
                Value::Object(entry)
            })
            .collect();
        let mut answer = json!({
            "name": name,
            "allowed_for_strict": body["allowed_for_strict"],
            "used": !derived.is_empty(),
            "named": name.starts_with("t_") && found.is_some(),
            "info": components(definition),
            "derived": derived,
        });
        if let Some(next) = &page.next {
            answer["next_cursor"] = json!(cursor::write_derived(next));
        }
        Ok(answer)
    }

    /// `POST /transformations`
    pub async fn create_transformation(&self, caller: &Caller, params: &Params) -> Result<Value, ApiError> {
        let (name, text) = (params.required("name")?, params.required("transformation")?);
        self.check_definition(caller, name, text).await?;
        // A name that is a transformation makes an allowed, unnamed entry.
        let unnamed = normalized(name) == normalized(text);
        if !unnamed {
            check_name(name)?;
        }
        let key = if unnamed { key_of(text) } else { named_key(name.strip_prefix("t_").unwrap_or(name)) };
        let allowed = params.flag("allowed_for_strict")?.unwrap_or(true);
        let body = json!({ "transformation": text, "allowed_for_strict": allowed });
        if !self.parts.library.define(&caller.cloud.id, KIND, &key, body).await? {
            return Err(ApiError::Conflict(format!("Transformation {} already exists", shown(name))));
        }
        self.after_change(&caller.cloud.id, &[]).await;
        Ok(json!({ "message": "created" }))
    }

    /// `PUT /transformations`
    pub async fn update_transformation(&self, caller: &Caller, params: &Params) -> Result<Value, ApiError> {
        let cloud = &caller.cloud.id;
        let text = params.required("transformation")?;
        let allowed = params.flag("allowed_for_strict")?;
        let update = params.text("unsafe_update").map(str::to_owned);
        if let Some(update) = &update {
            self.check_definition(caller, text, update).await?;
        }
        match self.find_key(cloud, text).await? {
            Some((key, _)) => {
                let change = move |body: &mut Value| {
                    if let Some(allowed) = allowed {
                        body["allowed_for_strict"] = json!(allowed);
                    }
                    if let Some(update) = update {
                        body["transformation"] = json!(update);
                    }
                    Ok::<(), ()>(())
                };
                self.parts.library.redefine(cloud, KIND, &key, change).await?;
            }
            // One that is only in use gets an entry of its own once something is said of it.
            None => {
                self.transformation(caller, text, params).await?;
                let body = json!({ "transformation": text, "allowed_for_strict": allowed.unwrap_or(false) });
                self.parts.library.define(cloud, KIND, &key_of(text), body).await?;
            }
        }
        self.after_change(cloud, &[]).await;
        Ok(json!({ "message": "updated" }))
    }

    /// `DELETE /transformations`: with it go the pictures that it made.
    pub async fn delete_transformation(&self, caller: &Caller, params: &Params) -> Result<Value, ApiError> {
        let cloud = &caller.cloud.id;
        let text = params.required("transformation")?;
        let found = self.find_key(cloud, text).await?;
        let definition = found.as_ref().and_then(|(_, body)| body["transformation"].as_str()).unwrap_or(text);
        let of = DerivedOf::Transformation(self.canonical_of(cloud, definition).await);
        let mut removed = false;
        loop {
            let page = self.parts.library.derived_page(cloud, of.clone(), 100, None).await?;
            if page.derived.is_empty() {
                break;
            }
            let keys: Vec<String> = page.derived.iter().map(|(derived, _)| derived.key.to_string()).collect();
            let (_, freed) = self.parts.library.delete_derived(cloud, &keys).await?;
            self.after_change(cloud, &freed).await;
            removed = true;
        }
        let undefined = match found {
            Some((key, _)) => self.parts.library.undefine(cloud, KIND, &key).await?,
            None => false,
        };
        if !removed && !undefined {
            return Err(missing(text));
        }
        self.after_change(cloud, &[]).await;
        Ok(json!({ "message": "deleted" }))
    }

    /// A definition has to be a transformation that this server can read, and must not lead back to itself.
    async fn check_definition(&self, caller: &Caller, name: &str, text: &str) -> Result<(), ApiError> {
        let own = name.strip_prefix("t_").unwrap_or(name);
        let expanded = self.expand_with(&caller.cloud.id, text, Some(own)).await?;
        let limits = Limits::default();
        // A format may stand at the end.
        let parsed = language::parse_eager(&expanded, &limits);
        parsed.map(|_| ()).map_err(|error| ApiError::BadRequest(error.to_string()))
    }

    /// Whether a cloud makes a transformation for anyone: those that are allowed, as they were written, where it is strict.
    pub async fn allows(&self, cloud: &Cloud, text: &str) -> Result<bool, ApiError> {
        if !self.recent_settings(cloud).await?.strict_transformations {
            return Ok(true);
        }
        let found = self.parts.library.definition(&cloud.id, KIND, &key_of(text)).await?;
        Ok(found.is_some_and(|found| found.body["allowed_for_strict"] == json!(true)))
    }

    /// The transformation with every named one replaced by its definition.
    pub async fn expand(&self, cloud: &CloudId, text: &str) -> Result<String, ApiError> {
        self.expand_with(cloud, text, None).await
    }

    /// Replaces named transformations in entries of `eager`.
    pub async fn expand_eager(&self, cloud: &CloudId, entries: &mut [EagerEntry]) -> Result<(), ApiError> {
        for entry in entries {
            entry.expanded = self.expand(cloud, &entry.transformation).await?;
        }
        Ok(())
    }

    /// As [`LibraryService::expand`]; `forbidden` is a name that must not be met.
    async fn expand_with(&self, cloud: &CloudId, text: &str, forbidden: Option<&str>) -> Result<String, ApiError> {
        if !text.split(['/', ',']).any(|part| part.starts_with("t_")) {
            return Ok(text.to_owned());
        }
        let mut seen = 0;
        let mut work: Vec<(String, usize)> = vec![(text.to_owned(), 0)];
        let mut done: Vec<String> = Vec::new();
        // Components are taken from the front; a definition is put back in front of what remains.
        while let Some((chain, depth)) = work.pop() {
            let Some((first, rest)) = split_first(&chain) else { continue };
            if let Some(rest) = rest {
                work.push((rest, depth));
            }
            let named = first.split(',').find_map(|part| part.strip_prefix("t_")).filter(|name| !name.is_empty());
            let Some(name) = named else {
                done.push(first);
                continue;
            };
            seen += 1;
            if depth >= MAX_DEPTH || seen > MAX_NAMES {
                return Err(ApiError::BadRequest("Named transformations are nested too deeply".to_owned()));
            }
            let others: Vec<&str> =
                first.split(',').filter(|part| !part.starts_with("t_") && !part.is_empty()).collect();
            if !others.is_empty() {
                work.push((others.join(","), depth));
            }
            for chain in self.named(cloud, name, forbidden).await?.into_iter().rev() {
                work.push((chain, depth + 1));
            }
        }
        Ok(done.join("/"))
    }

    /// The definitions that a value of `t_` names: one, or several joined with dots.
    async fn named(&self, cloud: &CloudId, value: &str, forbidden: Option<&str>) -> Result<Vec<String>, ApiError> {
        let value = percent_encoding::percent_decode_str(value).decode_utf8_lossy().into_owned();
        let unknown = |name: &str| ApiError::BadRequest(format!("Unknown transformation {}", shown(name)));
        let find = async |name: &str| -> Result<Option<String>, ApiError> {
            if forbidden == Some(name) {
                return Err(ApiError::BadRequest(format!("Transformation {} leads back to itself", shown(name))));
            }
            let found = self.parts.library.definition(cloud, KIND, &named_key(name)).await?;
            Ok(found.and_then(|found| found.body["transformation"].as_str().map(with_format)))
        };
        if let Some(text) = find(&value).await? {
            return Ok(vec![text]);
        }
        let mut texts = Vec::new();
        for name in value.split('.') {
            texts.push(find(name).await?.ok_or_else(|| unknown(name))?);
        }
        Ok(texts)
    }
}

/// A format at the end of a definition counts as `f_`; automatic ones have no effect there.
fn with_format(text: &str) -> String {
    let mut segments: Vec<String> = text.split('/').map(str::to_owned).collect();
    if let Some(last) = segments.last().cloned()
        && segments.len() > 1
        && !last.contains('_')
    {
        segments.pop();
        if !last.is_empty() {
            segments.push(format!("f_{last}"));
        }
    }
    let ignored = ["f_auto", "dpr_auto", "w_auto"];
    let component =
        |segment: &String| segment.split(',').filter(|part| !ignored.contains(part)).collect::<Vec<_>>().join(",");
    segments.iter().map(component).filter(|segment| !segment.is_empty()).collect::<Vec<_>>().join("/")
}

fn split_first(chain: &str) -> Option<(String, Option<String>)> {
    let chain = chain.trim_start_matches('/');
    if chain.is_empty() {
        return None;
    }
    Some(match chain.split_once('/') {
        Some((first, rest)) => (first.to_owned(), Some(rest.to_owned())),
        None => (chain.to_owned(), None),
    })
}

fn check_name(name: &str) -> Result<(), ApiError> {
    let legal = |c: char| c.is_alphanumeric() || " -_.".contains(c);
    if name.chars().count() > 255 || !name.chars().all(legal) {
        return Err(ApiError::BadRequest(format!("Invalid transformation name {}", shown(name))));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_at_the_end_of_a_definition_count() {
        assert_eq!(with_format("c_pad,w_300/jpg"), "c_pad,w_300/f_jpg");
        assert_eq!(with_format("w_300/"), "w_300");
        assert_eq!(with_format("w_300,f_auto/dpr_auto"), "w_300");
        assert_eq!(with_format("w_300"), "w_300");
    }
}
