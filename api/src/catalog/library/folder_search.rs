//! Searches for folders: they are few, so that they are read and compared here.

use std::cmp::Ordering;

use futures::FutureExt;

use super::{
    super::{Result, record::Value, sql::text},
    Folder, Library,
    filter::LAST_CHARACTER,
    folders::{COLUMNS, read},
};
use crate::{domain::CloudId, search::FolderFilter};

/// Folders that are read at once.
const CHUNK: i64 = 2000;

/// What folders are sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FolderColumn {
    Name,
    Path,
    CreatedAt,
}

/// One page of folders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FolderPage {
    pub folders: Vec<Folder>,
    /// Whether there are more.
    pub more: bool,
    /// Matches on all pages.
    pub total: u64,
}

/// The order of a search: by columns, descending where the flag says so, and then by path.
pub type FolderOrder = [(FolderColumn, bool)];

fn compare(order: &FolderOrder, one: &Folder, other: &Folder) -> Ordering {
    let by_column = |(column, descending): &(FolderColumn, bool)| {
        let ordering = match column {
            FolderColumn::Name => one.name.cmp(&other.name),
            FolderColumn::Path => one.path.cmp(&other.path),
            FolderColumn::CreatedAt => one.created_at.cmp(&other.created_at),
        };
        if *descending { ordering.reverse() } else { ordering }
    };
    order.iter().map(by_column).find(|ordering| ordering.is_ne()).unwrap_or_else(|| one.path.cmp(&other.path))
}

impl Library {
    /// At most `limit` folders that meet a filter, from behind the folder `after` on.
    pub async fn search_folders(
        &self,
        cloud: &CloudId,
        filter: &FolderFilter,
        order: &FolderOrder,
        limit: u32,
        after: Option<Folder>,
    ) -> Result<FolderPage> {
        let (cloud, filter, order) = (cloud.clone(), filter.clone(), order.to_vec());
        self.read("search folders", move |sql| {
            async move {
                let query = format!(
                    "SELECT {COLUMNS} FROM folders WHERE cloud = ? AND path > ? AND path >= ? AND path < ?
                     ORDER BY path LIMIT ?"
                );
                let beginning = filter.beginning().to_owned();
                let (mut found, mut total, mut behind) = (Vec::new(), 0, String::new());
                loop {
                    let values = [
                        text(cloud.as_str()),
                        text(behind.as_str()),
                        text(beginning.as_str()),
                        text(format!("{beginning}{LAST_CHARACTER}")),
                        Value::Number(CHUNK),
                    ];
                    let rows = sql.query(&query, &values).await?;
                    for row in &rows {
                        let folder = read(row)?;
                        behind.clone_from(&folder.path);
                        if filter.matches(&folder.name, &folder.path, folder.created_at) {
                            total += 1;
                            if after.as_ref().is_none_or(|after| compare(&order, &folder, after).is_gt()) {
                                found.push(folder);
                            }
                        }
                    }
                    if (rows.len() as i64) < CHUNK {
                        break;
                    }
                }
                found.sort_by(|one, other| compare(&order, one, other));
                let more = found.len() > limit as usize;
                found.truncate(limit as usize);
                Ok(FolderPage { folders: found, more, total })
            }
            .boxed()
        })
        .await
    }
}
