//! `folders/search`

use super::{DEFAULT_RESULTS, cursor, expression, millis, sort_by};
use crate::catalog::library::{Folder, FolderColumn};
use crate::domain::Timestamp;
use crate::search::FolderFilter;
use crate::service::access::Caller;
use crate::service::call::{ApiError, Params};
use crate::service::library::LibraryService;
use crate::service::library::view::iso_time;
use serde_json::{Value, json};
use std::time::Instant;

fn entry(folder: &Folder) -> Value {
    json!({
        "name": folder.name,
        "path": folder.path,
        "external_id": folder.external_id,
        "created_at": iso_time(folder.created_at),
    })
}

impl LibraryService {
    /// `folders/search`, by path unless the call sorts otherwise.
    pub async fn search_folders(&self, caller: &Caller, params: &Params) -> Result<Value, ApiError> {
        let started = Instant::now();
        let expression = expression(params)?;
        let mut order = Vec::new();
        for (name, descending) in sort_by(params)? {
            let column = match name.as_str() {
                "name" => FolderColumn::Name,
                "path" => FolderColumn::Path,
                "created_at" => FolderColumn::CreatedAt,
                "score" => continue,
                other => return Err(ApiError::invalid("sort_by", other)),
            };
            order.push((column, descending));
        }
        let names: Vec<String> = order.iter().map(|key| format!("{key:?}")).collect();
        let cloud = &caller.cloud.id;
        let fingerprint = cursor::fingerprint("folders", cloud, &expression, &names);
        let after = cursor::read_folders(params, &fingerprint)?;
        let now = after.as_ref().map_or_else(Timestamp::now, |(now, _)| *now);
        let filter = FolderFilter::new(&expression, now)?;
        let limit = params.max_results(DEFAULT_RESULTS)?;
        let after = after.map(|(_, folder)| folder);
        let page = self.library().search_folders(cloud, &filter, &order, limit, after).await?;
        let mut answer = json!({
            "total_count": page.total,
            "time": millis(started),
            "folders": page.folders.iter().map(entry).collect::<Vec<_>>(),
        });
        if let Some(last) = page.folders.last().filter(|_| page.more) {
            answer["next_cursor"] = json!(cursor::write_folders(&fingerprint, now, last));
        }
        Ok(answer)
    }
}
