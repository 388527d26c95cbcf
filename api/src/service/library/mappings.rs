//! Upload mappings: folders whose assets are fetched from elsewhere on the first request (api.md 4.8).

use super::edit::folder_path;
use super::{LibraryService, cursor};
use crate::catalog::CatalogError;
use crate::catalog::library::{Definition, DefinitionKind};
use crate::domain::CloudId;
use crate::service::access::Caller;
use crate::service::call::{ApiError, Params, shown};
use serde_json::{Value, json};

const KIND: DefinitionKind = DefinitionKind::UploadMapping;

fn entry(definition: &Definition) -> Value {
    json!({ "folder": definition.name, "template": definition.body["template"] })
}

fn missing(folder: &str) -> ApiError {
    ApiError::NotFound(format!("Can't find upload mapping for folder {}", shown(folder)))
}

/// A template is the beginning of an address.
fn template(params: &Params) -> Result<String, ApiError> {
    let text = params.required("template")?;
    let known = ["http://", "https://", "s3://", "ftp://", "gs://"].iter().any(|scheme| text.starts_with(scheme));
    if !known || text.len() > 2000 || text.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err(ApiError::invalid("template", text));
    }
    Ok(text.to_owned())
}

impl LibraryService {
    /// The innermost of these folders that is mapped, and the beginning of the addresses that it stands for.
    pub async fn mapping_above(
        &self,
        cloud: &CloudId,
        folders: &[&str],
    ) -> Result<Option<(String, String)>, CatalogError> {
        let found = self.parts.library.longest_definition(cloud, KIND, folders).await?;
        Ok(found.and_then(|found| {
            let template = found.body["template"].as_str()?.to_owned();
            Some((found.name, template))
        }))
    }

    /// `GET /upload_mappings`, of one folder or of all.
    pub async fn mappings(&self, caller: &Caller, params: &Params) -> Result<Value, ApiError> {
        let library = &self.parts.library;
        if let Some(folder) = params.text("folder") {
            let found = library.definition(&caller.cloud.id, KIND, folder).await?;
            return found.as_ref().map(entry).ok_or_else(|| missing(folder));
        }
        let after = cursor::read_text(params)?;
        let page = library.definitions(&caller.cloud.id, KIND, "", &after, params.max_results(10)?).await?;
        let next = page.definitions.last().filter(|_| page.more).map(|last| cursor::write_text(&last.name));
        let mut body = json!({ "mappings": page.definitions.iter().map(entry).collect::<Vec<_>>() });
        if let Some(next) = next {
            body["next_cursor"] = json!(next);
        }
        Ok(body)
    }

    /// `POST /upload_mappings`
    pub async fn create_mapping(&self, caller: &Caller, params: &Params) -> Result<Value, ApiError> {
        let folder = folder_path(params.required("folder")?)?;
        let body = json!({ "template": template(params)? });
        if !self.parts.library.define(&caller.cloud.id, KIND, &folder, body).await? {
            return Err(ApiError::Conflict(format!("Upload mapping for folder {folder} already exists")));
        }
        Ok(json!({ "message": "created", "folder": folder }))
    }

    /// `PUT /upload_mappings`
    pub async fn update_mapping(&self, caller: &Caller, params: &Params) -> Result<Value, ApiError> {
        let folder = params.required("folder")?;
        let template = template(params)?;
        let change = move |body: &mut Value| {
            body["template"] = json!(template);
            Ok::<(), ()>(())
        };
        let changed = self.parts.library.redefine(&caller.cloud.id, KIND, folder, change).await?;
        changed.map(|_| json!({ "message": "updated" })).ok_or_else(|| missing(folder))
    }

    /// `DELETE /upload_mappings`
    pub async fn delete_mapping(&self, caller: &Caller, params: &Params) -> Result<Value, ApiError> {
        let folder = params.required("folder")?;
        match self.parts.library.undefine(&caller.cloud.id, KIND, folder).await? {
            true => Ok(json!({ "message": "deleted" })),
            false => Err(missing(folder)),
        }
    }
}
