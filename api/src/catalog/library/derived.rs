//! Derived pictures, as the library sees them.

use std::collections::BTreeSet;

use futures::FutureExt;

use super::{
    super::{
        Result,
        record::{self, Columns, DERIVED_COLUMNS, Value},
        sql::{Sql, text},
    },
    Library, blobs,
};
use crate::domain::{Asset, AssetId, BlobKey, CloudId, Derived, Timestamp};

/// Where a list of derived pictures goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DerivedCursor {
    pub created_at: Timestamp,
    pub key: String,
}

/// One page of derived pictures, each with its asset.
#[derive(Debug, Clone, PartialEq)]
pub struct DerivedPage {
    pub derived: Vec<(Derived, Asset)>,
    /// `None` on the last page.
    pub next: Option<DerivedCursor>,
}

/// Removes the derived pictures of an asset; what was their blobs is still to be settled.
pub(super) async fn remove_of(sql: &mut dyn Sql, asset: &AssetId) -> Result<BTreeSet<BlobKey>> {
    let rows = sql.query("DELETE FROM derived WHERE asset = ? RETURNING blob", &[text(asset.as_str())]).await?;
    rows.iter().map(record::read_blob).collect()
}

impl Library {
    /// At most `limit` derived pictures of an asset, or of all assets under a transformation, newest first.
    pub async fn derived_page(
        &self,
        cloud: &CloudId,
        of: DerivedOf,
        limit: u32,
        after: Option<DerivedCursor>,
    ) -> Result<DerivedPage> {
        let cloud = cloud.clone();
        self.read("list derived pictures", move |sql| {
            async move {
                let (column, wanted) = match &of {
                    DerivedOf::Asset(id) => ("asset", id.to_string()),
                    DerivedOf::Transformation(text) => ("transformation", text.clone()),
                };
                let columns: Vec<String> =
                    DERIVED_COLUMNS.split(',').map(|name| format!("d.{}", name.trim())).collect();
                let assets = if matches!(of, DerivedOf::Asset(_)) {
                    "a.id = d.asset"
                } else {
                    "a.id = d.asset AND NOT a.placeholder"
                };
                let query = format!(
                    "SELECT {} FROM derived d JOIN assets a ON {assets}
                     WHERE a.cloud = ? AND d.{column} = ? AND (d.created_at < ? OR (d.created_at = ? AND d.key > ?))
                     ORDER BY d.created_at DESC, d.key LIMIT ?",
                    columns.join(", ")
                );
                let start = after.as_ref().map_or(i64::MAX, |after| after.created_at.unix_micros());
                let key = after.as_ref().map_or("", |after| after.key.as_str());
                let values = [
                    text(cloud.as_str()),
                    text(wanted),
                    Value::Number(start),
                    Value::Number(start),
                    text(key),
                    Value::Number(i64::from(limit) + 1),
                ];
                let rows = sql.query(&query, &values).await?;
                let more = rows.len() > limit as usize;
                let mut derived = Vec::new();
                for row in rows.iter().take(limit as usize) {
                    let picture: Derived = record::read_derived(row)?;
                    if let Some(asset) = super::assets::find_by_id(sql, &picture.asset).await? {
                        derived.push((picture, asset));
                    }
                }
                let next = derived
                    .last()
                    .filter(|_| more)
                    .map(|(picture, _)| DerivedCursor { created_at: picture.created_at, key: picture.key.to_string() });
                Ok(DerivedPage { derived, next })
            }
            .boxed()
        })
        .await
    }

    /// Removes the derived pictures of a cloud whose keys begin with the given ids: of each id whether there was one, and
    /// the blobs that no row names any longer.
    pub async fn delete_derived(&self, cloud: &CloudId, ids: &[String]) -> Result<(Vec<bool>, Vec<BlobKey>)> {
        let (cloud, ids) = (cloud.clone(), ids.to_vec());
        self.write("delete derived pictures", move |sql| {
            async move {
                let (mut found, mut touched) = (Vec::new(), BTreeSet::new());
                for id in &ids {
                    // Keys are hexadecimal: `g` lies behind all that begin with the id.
                    let delete = "DELETE FROM derived WHERE key >= ? AND key < ?
                                  AND asset IN (SELECT id FROM assets WHERE cloud = ?) RETURNING blob";
                    let hexadecimal = id.len() >= 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
                    let rows = if hexadecimal {
                        sql.query(delete, &[text(id.as_str()), text(format!("{id}g")), text(cloud.as_str())]).await?
                    } else {
                        Vec::new()
                    };
                    found.push(!rows.is_empty());
                    for row in &rows {
                        touched.insert(record::read_blob(row)?);
                    }
                }
                Ok((found, blobs::settle(sql, touched).await?))
            }
            .boxed()
        })
        .await
    }

    /// Removes the derived pictures of an asset, or only those under some transformations (canonical texts): how many, and
    /// the blobs that no row names any longer.
    pub async fn delete_derived_of(
        &self,
        asset: &AssetId,
        transformations: Option<Vec<String>>,
    ) -> Result<(u64, Vec<BlobKey>)> {
        let asset = asset.clone();
        self.write("delete derived pictures", move |sql| {
            async move {
                let mut rows = Vec::new();
                match transformations {
                    None => {
                        let delete = "DELETE FROM derived WHERE asset = ? RETURNING blob";
                        rows.extend(sql.query(delete, &[text(asset.as_str())]).await?);
                    }
                    Some(texts) => {
                        let delete = "DELETE FROM derived WHERE asset = ? AND transformation = ? RETURNING blob";
                        for transformation in texts {
                            rows.extend(sql.query(delete, &[text(asset.as_str()), text(transformation)]).await?);
                        }
                    }
                }
                let touched = rows.iter().map(record::read_blob).collect::<Result<BTreeSet<_>>>()?;
                Ok((rows.len() as u64, blobs::settle(sql, touched).await?))
            }
            .boxed()
        })
        .await
    }

    /// Distinct transformations of the derived pictures of a cloud, in order, from behind `after` on.
    pub async fn used_transformations(&self, cloud: &CloudId, after: &str, limit: u32) -> Result<Vec<String>> {
        let (cloud, after) = (cloud.clone(), after.to_owned());
        self.read("list transformations", move |sql| {
            async move {
                let query = "SELECT DISTINCT d.transformation FROM derived d JOIN assets a ON a.id = d.asset
                             WHERE a.cloud = ? AND d.transformation > ? ORDER BY d.transformation LIMIT ?";
                let values = [text(cloud.as_str()), text(after), Value::Number(limit.into())];
                sql.query(query, &values).await?.iter().map(|row| row.text(0)).collect()
            }
            .boxed()
        })
        .await
    }
}

/// Whose derived pictures are listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DerivedOf {
    Asset(AssetId),
    /// Canonical text.
    Transformation(String),
}
