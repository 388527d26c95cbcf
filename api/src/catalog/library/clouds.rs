//! Changing clouds and their keys: renaming, removing, switching keys off and on.

use std::collections::BTreeSet;

use futures::FutureExt;

use super::{
    super::{
        CatalogError, Result,
        record::{self, Columns, Value},
        sql::{Sql, text},
    },
    Library, assets, blobs, removal,
};
use crate::domain::{AssetId, BlobKey, CloudId, CloudName, Timestamp};

/// What people call a key, and when it last changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyLabel {
    pub key: String,
    pub name: String,
    /// `None` for a key that never changed.
    pub updated_at: Option<Timestamp>,
}

/// What became of a change to a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyOutcome {
    Done,
    /// The cloud has no such key.
    Missing,
    /// Nothing was done: no key of the cloud would be enabled any longer.
    LastEnabled,
}

/// What became of a cloud that was to be removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CloudRemoval {
    /// Blobs that no row names any longer. They are on the garbage list.
    Done(Vec<BlobKey>),
    Missing,
    /// It has assets.
    NotEmpty,
}

/// A change to a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyChange {
    Enable(bool),
    Name(String),
    Remove,
}

/// Holds a cloud's row until the transaction ends, so that changes of its keys see each other; false when it is gone.
async fn lock(sql: &mut dyn Sql, cloud: &CloudId) -> Result<bool> {
    let query = format!("SELECT id FROM clouds WHERE id = ?{}", sql.dialect().for_update());
    Ok(!sql.query(&query, &[text(cloud.as_str())]).await?.is_empty())
}

async fn count(sql: &mut dyn Sql, query: &str, values: &[Value]) -> Result<u64> {
    let rows = sql.query(query, values).await?;
    Ok(rows.first().map(|row| row.number(0)).transpose()?.unwrap_or(0).unsigned_abs())
}

impl Library {
    /// Gives a cloud another name: false when there is no such cloud. [`CatalogError::Conflict`] when the name is taken.
    pub async fn rename_cloud(&self, cloud: &CloudId, name: &CloudName) -> Result<bool> {
        let (cloud, name) = (cloud.clone(), name.clone());
        self.write("rename a cloud", move |sql| {
            async move {
                let values = [text(name.as_str()), text(cloud.as_str())];
                if count(sql, "SELECT count(*) FROM clouds WHERE name = ? AND id <> ?", &values).await? > 0 {
                    return Err(CatalogError::Conflict("the cloud name"));
                }
                Ok(sql.execute("UPDATE clouds SET name = ? WHERE id = ?", &values).await? == 1)
            }
            .boxed()
        })
        .await
    }

    /// How many assets a cloud has, placeholders too.
    pub async fn count_assets(&self, cloud: &CloudId) -> Result<u64> {
        let cloud = cloud.clone();
        self.read("count assets", move |sql| {
            async move { count(sql, "SELECT count(*) FROM assets WHERE cloud = ?", &[text(cloud.as_str())]).await }
                .boxed()
        })
        .await
    }

    /// Removes at most `limit` assets of a cloud with their derived pictures and backups. Gives how many there were, and
    /// blobs that no row names any longer.
    pub async fn erase_assets(&self, cloud: &CloudId, limit: u32) -> Result<(u64, Vec<BlobKey>)> {
        let cloud = cloud.clone();
        self.write("remove the assets of a cloud", move |sql| {
            async move {
                let values = [text(cloud.as_str()), Value::Number(limit.into())];
                let rows = sql.query("SELECT id FROM assets WHERE cloud = ? ORDER BY id LIMIT ?", &values).await?;
                let (mut erased, mut touched) = (0, BTreeSet::new());
                for row in rows {
                    let id: AssetId = record::parsed("asset id", &row.text(0)?)?;
                    if let Some(asset) = assets::lock_by_id(sql, &cloud, &id).await? {
                        touched.extend(removal::erase(sql, &asset).await?);
                        erased += 1;
                    }
                }
                Ok((erased, blobs::settle(sql, touched).await?))
            }
            .boxed()
        })
        .await
    }

    /// Removes a cloud that has no assets, with its keys, folders, definitions, unfinished uploads, jobs, counters and
    /// settings.
    pub async fn remove_cloud(&self, cloud: &CloudId) -> Result<CloudRemoval> {
        let cloud = cloud.clone();
        self.write("remove a cloud", move |sql| {
            async move {
                let id = [text(cloud.as_str())];
                if !lock(sql, &cloud).await? {
                    return Ok(CloudRemoval::Missing);
                }
                if count(sql, "SELECT count(*) FROM assets WHERE cloud = ?", &id).await? > 0 {
                    return Ok(CloudRemoval::NotEmpty);
                }
                let mut touched = BTreeSet::new();
                let parts = "DELETE FROM chunks WHERE upload IN (SELECT id FROM chunked_uploads WHERE cloud = ?)
                             RETURNING blob";
                for row in sql.query(parts, &id).await? {
                    touched.insert(record::read_blob(&row)?);
                }
                for table in ["chunked_uploads", "folders", "definitions", "jobs", "usage", "api_keys"] {
                    sql.execute(&format!("DELETE FROM {table} WHERE cloud = ?"), &id).await?;
                }
                sql.execute("DELETE FROM settings WHERE name = ?", &[text(format!("cloud.{cloud}"))]).await?;
                sql.execute("DELETE FROM clouds WHERE id = ?", &id).await?;
                Ok(CloudRemoval::Done(blobs::settle(sql, touched).await?))
            }
            .boxed()
        })
        .await
    }

    /// What the keys of a cloud are called, in no order.
    pub async fn key_labels(&self, cloud: &CloudId) -> Result<Vec<KeyLabel>> {
        let cloud = cloud.clone();
        self.read("list names of keys", move |sql| {
            async move {
                let query = "SELECT key, name, updated_at FROM api_keys WHERE cloud = ?";
                let rows = sql.query(query, &[text(cloud.as_str())]).await?;
                rows.iter()
                    .map(|row| {
                        let updated_at = Some(row.number(2)?).filter(|at| *at != 0).map(Timestamp::from_unix_micros);
                        Ok(KeyLabel { key: row.text(0)?, name: row.text(1)?, updated_at })
                    })
                    .collect()
            }
            .boxed()
        })
        .await
    }

    /// Changes a key of a cloud. Unless `force`, the last enabled one can neither be removed nor switched off.
    pub async fn change_key(&self, cloud: &CloudId, key: &str, change: KeyChange, force: bool) -> Result<KeyOutcome> {
        let (cloud, key) = (cloud.clone(), key.to_owned());
        self.write("change an API key", move |sql| {
            async move {
                if !lock(sql, &cloud).await? {
                    return Ok(KeyOutcome::Missing);
                }
                let row = [text(cloud.as_str()), text(key)];
                let known = sql.query("SELECT enabled FROM api_keys WHERE cloud = ? AND key = ?", &row).await?;
                let Some(known) = known.first() else { return Ok(KeyOutcome::Missing) };
                let loses = known.flag(0)? && matches!(change, KeyChange::Remove | KeyChange::Enable(false));
                if loses && !force {
                    let others = "SELECT count(*) FROM api_keys WHERE cloud = ? AND key <> ? AND enabled";
                    if count(sql, others, &row).await? == 0 {
                        return Ok(KeyOutcome::LastEnabled);
                    }
                }
                let [cloud, key] = row;
                let now = Value::Number(Timestamp::now().unix_micros());
                let (statement, values) = match change {
                    KeyChange::Remove => ("DELETE FROM api_keys WHERE cloud = ? AND key = ?", vec![cloud, key]),
                    KeyChange::Enable(enabled) => (
                        "UPDATE api_keys SET enabled = ?, updated_at = ? WHERE cloud = ? AND key = ?",
                        vec![Value::Flag(enabled), now, cloud, key],
                    ),
                    KeyChange::Name(name) => (
                        "UPDATE api_keys SET name = ?, updated_at = ? WHERE cloud = ? AND key = ?",
                        vec![Value::Text(record::text("the name of a key", &name)?), now, cloud, key],
                    ),
                };
                sql.execute(statement, &values).await?;
                Ok(KeyOutcome::Done)
            }
            .boxed()
        })
        .await
    }
}
