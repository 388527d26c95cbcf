//! Versions that are kept as backups, and restoring from them.

use std::collections::BTreeSet;

use futures::FutureExt;

use super::{
    super::{
        Result,
        record::{self, VERSION_COLUMNS},
        sql::text,
    },
    Library, assets, blobs, derived, removal,
};
use crate::domain::{Asset, AssetId, AssetVersion, BlobKey, CloudId, Timestamp, VersionId};

impl Library {
    /// Versions that are kept of an asset, oldest first.
    pub async fn versions(&self, asset: &AssetId) -> Result<Vec<AssetVersion>> {
        let asset = asset.clone();
        self.read("list versions", move |sql| {
            async move {
                let query = format!("SELECT {VERSION_COLUMNS} FROM asset_versions WHERE asset = ? ORDER BY version");
                sql.query(&query, &[text(asset.as_str())]).await?.iter().map(record::read_version).collect()
            }
            .boxed()
        })
        .await
    }

    /// Makes a kept version (the newest one unless named) the content of its asset again, with a new version number.
    /// `None` when there is no such asset or version.
    pub async fn restore(
        &self,
        cloud: &CloudId,
        asset: &AssetId,
        version: Option<VersionId>,
    ) -> Result<Option<(Asset, Vec<BlobKey>)>> {
        let (cloud, id) = (cloud.clone(), asset.clone());
        self.write("restore an asset", move |sql| {
            async move {
                let Some(old) = assets::lock_by_id(sql, &cloud, &id).await? else { return Ok(None) };
                let kept = match version {
                    None => removal::newest_version(sql, &id).await?,
                    Some(version) => {
                        let query =
                            format!("SELECT {VERSION_COLUMNS} FROM asset_versions WHERE asset = ? AND version_id = ?");
                        let rows = sql.query(&query, &[text(id.as_str()), text(version.as_str())]).await?;
                        rows.first().map(record::read_version).transpose()?
                    }
                };
                let Some(kept) = kept else { return Ok(None) };
                let now = Timestamp::now();
                let mut touched = derived::remove_of(sql, &id).await?;
                touched.insert(old.blob.clone());
                let mut asset = Asset {
                    version: u64::try_from(now.unix_seconds()).unwrap_or(0).max(old.version.saturating_add(1)),
                    version_id: kept.version_id,
                    blob: kept.blob,
                    bytes: kept.bytes,
                    uploaded_at: now,
                    updated_at: now,
                    format: kept.format,
                    stored_size: kept.stored_size,
                    upright_size: kept.orientation.upright(kept.stored_size),
                    orientation: kept.orientation,
                    has_alpha: kept.has_alpha,
                    etag: kept.etag,
                    placeholder: false,
                    ..old.clone()
                };
                if asset.etag != old.etag {
                    // What was found in the other content says nothing of this one.
                    asset.faces = None;
                    asset.details.analysis.clear();
                }
                assets::update(sql, &asset).await?;
                assets::index(sql, &asset, false).await?;
                Ok(Some((asset, blobs::settle(sql, touched).await?)))
            }
            .boxed()
        })
        .await
    }

    /// Forgets kept versions: of each whether there was one, and the blobs that no row names any longer. A placeholder
    /// that loses its last version goes too.
    pub async fn delete_versions(
        &self,
        cloud: &CloudId,
        asset: &AssetId,
        versions: &[VersionId],
    ) -> Result<Option<(Vec<bool>, Vec<BlobKey>)>> {
        let (cloud, id, versions) = (cloud.clone(), asset.clone(), versions.to_vec());
        self.write("delete versions", move |sql| {
            async move {
                let Some(mut asset) = assets::lock_by_id(sql, &cloud, &id).await? else { return Ok(None) };
                let (mut found, mut touched) = (Vec::new(), BTreeSet::new());
                for version in &versions {
                    let delete = "DELETE FROM asset_versions WHERE asset = ? AND version_id = ? RETURNING blob";
                    let rows = sql.query(delete, &[text(id.as_str()), text(version.as_str())]).await?;
                    found.push(!rows.is_empty());
                    for row in &rows {
                        touched.insert(record::read_blob(row)?);
                    }
                }
                match removal::newest_version(sql, &id).await? {
                    None if asset.placeholder => touched.extend(removal::erase(sql, &asset).await?),
                    None => {
                        asset.backed_up = false;
                        assets::update(sql, &asset).await?;
                    }
                    Some(newest) if asset.placeholder => {
                        asset.blob = newest.blob;
                        assets::update(sql, &asset).await?;
                    }
                    Some(_) => {}
                }
                Ok(Some((found, blobs::settle(sql, touched).await?)))
            }
            .boxed()
        })
        .await
    }
}
