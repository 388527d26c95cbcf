//! Folders as things of their own: those that were created, and those that assets lie in.

use futures::FutureExt;

use super::{
    super::{
        Result,
        record::{self, Columns, Value},
        sql::{Record, Sql, text},
    },
    Library, assets,
    filter::LAST_CHARACTER,
};
use crate::domain::{CloudId, Timestamp, VersionId};

/// One folder of a cloud.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folder {
    /// From the root, without slashes at its ends.
    pub path: String,
    pub name: String,
    pub external_id: String,
    pub created_at: Timestamp,
}

pub(super) const COLUMNS: &str = "path, name, external_id, created_at";

pub(super) fn read(row: &Record) -> Result<Folder> {
    Ok(Folder {
        path: row.text(0)?,
        name: row.text(1)?,
        external_id: row.text(2)?,
        created_at: Timestamp::from_unix_micros(row.number(3)?),
    })
}

/// Creates a folder and those above it, where they are missing.
pub(super) async fn ensure(sql: &mut dyn Sql, cloud: &CloudId, path: &str) -> Result<()> {
    let mut parent = String::new();
    for name in path.split('/').filter(|name| !name.is_empty()) {
        let path = if parent.is_empty() { name.to_owned() } else { format!("{parent}/{name}") };
        let values = [
            text(cloud.as_str()),
            Value::Text(record::text("a folder", &path)?),
            text(parent),
            text(name),
            // An opaque id that stays when the folder is moved.
            text(VersionId::random().as_str()),
            Value::Number(Timestamp::now().unix_micros()),
        ];
        let insert = "INSERT INTO folders (cloud, path, parent, name, external_id, created_at)
                      VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (cloud, path) DO NOTHING";
        sql.execute(insert, &values).await?;
        parent = path;
    }
    Ok(())
}

/// What became of a folder that was to be removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FolderRemoval {
    /// Paths of the removed folder and those below it.
    Done(Vec<String>),
    Missing,
    NotEmpty,
}

impl Library {
    /// Creates a folder and those above it, where they are missing.
    pub async fn create_folder(&self, cloud: &CloudId, path: &str) -> Result<()> {
        let (cloud, path) = (cloud.clone(), path.to_owned());
        self.write("create a folder", move |sql| async move { ensure(sql, &cloud, &path).await }.boxed()).await
    }

    pub async fn folder(&self, cloud: &CloudId, path: &str) -> Result<Option<Folder>> {
        let (cloud, path) = (cloud.clone(), path.to_owned());
        self.read("find a folder", move |sql| {
            async move {
                let query = format!("SELECT {COLUMNS} FROM folders WHERE cloud = ? AND path = ?");
                let rows = sql.query(&query, &[text(cloud.as_str()), text(path)]).await?;
                rows.first().map(read).transpose()
            }
            .boxed()
        })
        .await
    }

    /// At most `limit` folders directly below a folder (the empty text is the root) from behind the name `after` on, and
    /// how many there are in all.
    pub async fn subfolders(
        &self,
        cloud: &CloudId,
        parent: &str,
        after: &str,
        limit: u32,
    ) -> Result<(Vec<Folder>, u64)> {
        let (cloud, parent, after) = (cloud.clone(), parent.to_owned(), after.to_owned());
        self.read("list folders", move |sql| {
            async move {
                let count = sql
                    .query(
                        "SELECT count(*) FROM folders WHERE cloud = ? AND parent = ?",
                        &[text(cloud.as_str()), text(parent.as_str())],
                    )
                    .await?;
                let count = count.first().map(|row| row.number(0)).transpose()?.unwrap_or(0);
                let query = format!(
                    "SELECT {COLUMNS} FROM folders WHERE cloud = ? AND parent = ? AND name > ? ORDER BY name LIMIT ?"
                );
                let values = [text(cloud.as_str()), text(parent), text(after), Value::Number(limit.into())];
                let folders = sql.query(&query, &values).await?.iter().map(read).collect::<Result<_>>()?;
                Ok((folders, count.unsigned_abs()))
            }
            .boxed()
        })
        .await
    }

    /// Moves a folder with everything in it: false when there is none. Public ids stay as they are.
    pub async fn move_folder(&self, cloud: &CloudId, from: &str, to: &str) -> Result<bool> {
        let (cloud, from, to) = (cloud.clone(), from.to_owned(), to.to_owned());
        self.write("move a folder", move |sql| {
            async move {
                let of = |path: &str| {
                    vec![
                        text(cloud.as_str()),
                        text(path),
                        text(format!("{path}/")),
                        text(format!("{path}/{LAST_CHARACTER}")),
                    ]
                };
                let tree = "cloud = ? AND (path = ? OR (path >= ? AND path < ?))";
                let found = sql.query(&format!("SELECT {COLUMNS} FROM folders WHERE {tree}"), &of(&from)).await?;
                let folders = found.iter().map(read).collect::<Result<Vec<_>>>()?;
                if !folders.iter().any(|folder| folder.path == from) {
                    return Ok(false);
                }
                sql.execute(&format!("DELETE FROM folders WHERE {tree}"), &of(&from)).await?;
                ensure(sql, &cloud, &to).await?;
                for folder in folders {
                    let path = format!("{to}{}", &folder.path[from.len()..]);
                    ensure(sql, &cloud, &path).await?;
                    let update = "UPDATE folders SET external_id = ?, created_at = ? WHERE cloud = ? AND path = ?";
                    let values = [
                        text(folder.external_id),
                        Value::Number(folder.created_at.unix_micros()),
                        text(cloud.as_str()),
                        text(path),
                    ];
                    sql.execute(update, &values).await?;
                }
                let tree = "cloud = ? AND (asset_folder = ? OR (asset_folder >= ? AND asset_folder < ?))";
                let query =
                    format!("SELECT {} FROM assets WHERE {tree}{}", record::ASSET_COLUMNS, sql.dialect().for_update());
                let rows = sql.query(&query, &of(&from)).await?;
                for row in &rows {
                    let mut asset = record::read_asset(row)?;
                    asset.asset_folder = format!("{to}{}", &asset.asset_folder[from.len()..]);
                    asset.updated_at = Timestamp::now();
                    assets::update(sql, &asset).await?;
                    assets::index(sql, &asset, false).await?;
                }
                Ok(true)
            }
            .boxed()
        })
        .await
    }

    /// Removes a folder that holds no assets, with the folders below it. In a cloud with fixed folders (`fixed`) assets
    /// lie where their public ids say, else in their `asset_folder`.
    pub async fn remove_folder(&self, cloud: &CloudId, path: &str, fixed: bool) -> Result<FolderRemoval> {
        let (cloud, path) = (cloud.clone(), path.to_owned());
        self.write("remove a folder", move |sql| {
            async move {
                let (start, end) = (format!("{path}/"), format!("{path}/{LAST_CHARACTER}"));
                let of = [text(cloud.as_str()), text(path.as_str()), text(start.as_str()), text(end.as_str())];
                let tree = "cloud = ? AND (path = ? OR (path >= ? AND path < ?))";
                let inside = if fixed {
                    let query = "SELECT id FROM assets
                                 WHERE cloud = ? AND public_id >= ? AND public_id < ? AND placeholder = ? LIMIT 1";
                    let values = [text(cloud.as_str()), text(start), text(end), Value::Flag(false)];
                    sql.query(query, &values).await?
                } else {
                    let query = "SELECT id FROM assets
                                 WHERE cloud = ? AND (asset_folder = ? OR (asset_folder >= ? AND asset_folder < ?))
                                   AND placeholder = ? LIMIT 1";
                    let mut values = of.to_vec();
                    values.push(Value::Flag(false));
                    sql.query(query, &values).await?
                };
                if !inside.is_empty() {
                    return Ok(FolderRemoval::NotEmpty);
                }
                let rows = sql.query(&format!("DELETE FROM folders WHERE {tree} RETURNING path"), &of).await?;
                let mut paths = rows.iter().map(|row| row.text(0)).collect::<Result<Vec<_>>>()?;
                paths.sort();
                Ok(if paths.first() == Some(&path) { FolderRemoval::Done(paths) } else { FolderRemoval::Missing })
            }
            .boxed()
        })
        .await
    }
}
