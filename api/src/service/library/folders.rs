//! Folders of a cloud (api.md 4.9).

use super::edit::folder_path;
use super::{FolderMode, LibraryService, cursor};
use crate::catalog::library::{Folder, FolderRemoval};
use crate::jobs::events;
use crate::service::access::Caller;
use crate::service::call::{ApiError, Params, shown};
use serde_json::{Value, json};

fn entry(folder: &Folder) -> Value {
    json!({ "name": folder.name, "path": folder.path, "external_id": folder.external_id })
}

fn missing(path: &str) -> ApiError {
    ApiError::NotFound(format!("Can't find folder with path {}", shown(path)))
}

fn name_of(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

impl LibraryService {
    /// `GET /folders` and `GET /folders/{path}`; the empty path is the root.
    pub async fn folders(&self, caller: &Caller, path: &str, params: &Params) -> Result<Value, ApiError> {
        let path = folder_path(path)?;
        let library = &self.parts.library;
        let cloud = &caller.cloud.id;
        let limit = params.max_results(500)?;
        let after = cursor::read_text(params)?;
        let (folders, count) = library.subfolders(cloud, &path, &after, limit + 1).await?;
        if folders.is_empty() && !path.is_empty() && library.folder(cloud, &path).await?.is_none() {
            return Err(missing(&path));
        }
        let more = folders.len() > limit as usize;
        let shown = &folders[..folders.len().min(limit as usize)];
        let next = shown.last().filter(|_| more).map(|folder| cursor::write_text(&folder.name));
        Ok(json!({
            "folders": shown.iter().map(entry).collect::<Vec<_>>(),
            "next_cursor": next,
            "total_count": count,
        }))
    }

    /// `POST /folders/{path}`
    pub async fn create_folder(&self, caller: &Caller, path: &str) -> Result<Value, ApiError> {
        let path = folder_path(path)?;
        if path.is_empty() {
            return Err(ApiError::missing_param("path"));
        }
        self.parts.library.create_folder(&caller.cloud.id, &path).await?;
        self.tell(caller, &Params::default(), &[events::folder("create_folder", &path)]).await?;
        Ok(json!({ "success": true, "path": path, "name": name_of(&path) }))
    }

    /// `PUT /folders/{path}`
    pub async fn move_folder(&self, caller: &Caller, path: &str, params: &Params) -> Result<Value, ApiError> {
        if self.settings_of(&caller.cloud).await?.folder_mode == FolderMode::Fixed {
            return Err(ApiError::Unauthorized("Folder Renaming is not allowed in this cloud".to_owned()));
        }
        let (from, to) = (folder_path(path)?, folder_path(params.required("to_folder")?)?);
        if to.is_empty() || from.is_empty() || to == from || to.starts_with(&format!("{from}/")) {
            return Err(ApiError::invalid("to_folder", &to));
        }
        if !self.parts.library.move_folder(&caller.cloud.id, &from, &to).await? {
            return Err(ApiError::NotFound("Cannot find source folder".to_owned()));
        }
        self.after_change(&caller.cloud.id, &[]).await;
        self.tell(caller, params, &[events::folder_moved(&from, &to)]).await?;
        let end = |path: &str| json!({ "name": name_of(path), "path": path });
        Ok(json!({ "from": end(&from), "to": end(&to) }))
    }

    /// `DELETE /folders/{path}`
    pub async fn remove_folder(&self, caller: &Caller, path: &str) -> Result<Value, ApiError> {
        let path = folder_path(path)?;
        let fixed = self.settings_of(&caller.cloud).await?.folder_mode == FolderMode::Fixed;
        match self.parts.library.remove_folder(&caller.cloud.id, &path, fixed).await? {
            FolderRemoval::Done(paths) => {
                let gone: Vec<_> = paths.iter().map(|path| events::folder("delete_folder", path)).collect();
                self.tell(caller, &Params::default(), &gone).await?;
                Ok(json!({ "deleted": paths }))
            }
            FolderRemoval::Missing => Err(missing(&path)),
            FolderRemoval::NotEmpty => Err(ApiError::BadRequest("Folder is not empty".to_owned())),
        }
    }
}
