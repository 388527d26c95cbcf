//! Removing assets: an asset with a backup leaves a placeholder, from which it can be restored.

use std::collections::BTreeSet;

use futures::FutureExt;

use super::{
    super::{
        Result,
        record::{self, VERSION_COLUMNS},
        sql::{Sql, text},
    },
    Library, assets, blobs, derived,
};
use crate::domain::{Asset, AssetId, AssetKey, AssetVersion, BlobKey, CloudId};

/// Which asset is removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Removal {
    Key(AssetKey),
    Id(CloudId, AssetId),
}

/// Answer to [`Library::remove`].
#[derive(Debug, Clone, PartialEq)]
pub struct Removed {
    /// The asset as it was.
    pub asset: Asset,
    /// Derived pictures that went with it.
    pub derived: u64,
    pub freed_blobs: Vec<BlobKey>,
}

/// The newest version that is kept of an asset.
pub(super) async fn newest_version(sql: &mut dyn Sql, asset: &AssetId) -> Result<Option<AssetVersion>> {
    let query = format!("SELECT {VERSION_COLUMNS} FROM asset_versions WHERE asset = ? ORDER BY version DESC LIMIT 1");
    let rows = sql.query(&query, &[text(asset.as_str())]).await?;
    rows.first().map(record::read_version).transpose()
}

/// Removes a locked asset with all that belongs to it, backups too. The blobs are still to be settled.
pub(in crate::catalog) async fn erase(sql: &mut dyn Sql, asset: &Asset) -> Result<BTreeSet<BlobKey>> {
    let id = [text(asset.id.as_str())];
    let mut touched = derived::remove_of(sql, &asset.id).await?;
    touched.insert(asset.blob.clone());
    for row in sql.query("DELETE FROM asset_versions WHERE asset = ? RETURNING blob", &id).await? {
        touched.insert(record::read_blob(&row)?);
    }
    // Labels, words and relations go with the row.
    sql.execute("DELETE FROM assets WHERE id = ?", &id).await?;
    Ok(touched)
}

/// Removes a locked asset, or leaves a placeholder.
pub(super) async fn remove(sql: &mut dyn Sql, asset: &Asset) -> Result<(u64, BTreeSet<BlobKey>)> {
    match newest_version(sql, &asset.id).await? {
        None => {
            let derived = derived::remove_of(sql, &asset.id).await?;
            let count = derived.len() as u64;
            let mut touched = erase(sql, asset).await?;
            touched.extend(derived);
            Ok((count, touched))
        }
        Some(version) => {
            let mut touched = derived::remove_of(sql, &asset.id).await?;
            let count = touched.len() as u64;
            touched.insert(asset.blob.clone());
            let placeholder = Asset { placeholder: true, blob: version.blob, ..asset.clone() };
            assets::update(sql, &placeholder).await?;
            assets::index(sql, &placeholder, false).await?;
            Ok((count, touched))
        }
    }
}

pub(in crate::catalog) async fn delete(
    sql: &mut dyn Sql,
    key: &AssetKey,
) -> Result<Option<super::super::DeletedAsset>> {
    let Some(asset) = assets::lock(sql, key).await?.filter(|asset| !asset.placeholder) else { return Ok(None) };
    let (_, touched) = remove(sql, &asset).await?;
    Ok(Some(super::super::DeletedAsset { freed_blobs: blobs::settle(sql, touched).await?, asset }))
}

impl Library {
    /// Removes an asset and its derived pictures; `None` when there is none, or only a placeholder.
    pub async fn remove(&self, removal: &Removal) -> Result<Option<Removed>> {
        let removal = removal.clone();
        self.write("delete an asset", move |sql| {
            async move {
                let found = match &removal {
                    Removal::Key(key) => assets::lock(sql, key).await?,
                    Removal::Id(cloud, id) => assets::lock_by_id(sql, cloud, id).await?,
                };
                let Some(asset) = found.filter(|asset| !asset.placeholder) else { return Ok(None) };
                let (derived, touched) = remove(sql, &asset).await?;
                Ok(Some(Removed { freed_blobs: blobs::settle(sql, touched).await?, derived, asset }))
            }
            .boxed()
        })
        .await
    }
}
