//! Uploaded originals.

use std::collections::BTreeSet;

use rusqlite::{Transaction, params_from_iter};

use super::{
    super::{
        AssetCursor, AssetPage, CatalogError, DeletedAsset, PutAsset, PutOutcome,
        record::{self, ASSET_COLUMNS},
    },
    Work, derived,
    row::placeholders,
};
use crate::domain::{Asset, AssetKey, BlobKey, NewAsset};

pub(super) fn find(transaction: &Transaction<'_>, key: &AssetKey) -> Work<Option<Asset>> {
    let sql = format!(
        "SELECT {ASSET_COLUMNS} FROM assets
         WHERE cloud = ? AND resource_type = ? AND delivery_type = ? AND public_id = ?"
    );
    let mut statement = transaction.prepare_cached(&sql)?;
    let mut rows = statement.query([
        key.cloud.as_str(),
        key.resource_type.as_str(),
        key.delivery_type.as_str(),
        key.public_id.as_str(),
    ])?;
    rows.next()?.map(record::read_asset).transpose()
}

pub(super) fn find_by_id(transaction: &Transaction<'_>, id: &str) -> Work<Option<Asset>> {
    let mut statement = transaction.prepare_cached(&format!("SELECT {ASSET_COLUMNS} FROM assets WHERE id = ?"))?;
    let mut rows = statement.query([id])?;
    rows.next()?.map(record::read_asset).transpose()
}

pub(super) fn put(transaction: &Transaction<'_>, new: &NewAsset, overwrite: bool) -> Work<PutAsset> {
    let old = find(transaction, &new.key)?;
    let mut blobs = BTreeSet::from([new.blob.clone()]);
    let (asset, outcome) = match old {
        Some(old) if !overwrite => (old, PutOutcome::Existing),
        None => {
            cloud_exists(transaction, &new.key)?;
            let asset = record::uploaded(new, None)?;
            let values = record::asset_values(&asset)?;
            let sql = format!("INSERT INTO assets ({ASSET_COLUMNS}) VALUES ({})", placeholders(&values));
            transaction.prepare_cached(&sql)?.execute(params_from_iter(values))?;
            (asset, PutOutcome::Created)
        }
        Some(old) => {
            let asset = record::uploaded(new, Some(&old))?;
            blobs.extend(derived::remove_of(transaction, asset.id.as_str())?);
            blobs.insert(old.blob);
            let values = record::asset_values(&asset)?;
            let sql = format!("UPDATE assets SET ({ASSET_COLUMNS}) = ({}) WHERE id = ?", placeholders(&values));
            let id = record::Value::Text(asset.id.to_string());
            transaction.prepare_cached(&sql)?.execute(params_from_iter(values.iter().chain([&id])))?;
            (asset, PutOutcome::Overwritten)
        }
    };
    Ok(PutAsset { asset, outcome, freed_blobs: derived::settle(transaction, blobs)? })
}

fn cloud_exists(transaction: &Transaction<'_>, key: &AssetKey) -> Work<()> {
    if transaction.prepare_cached("SELECT 1 FROM clouds WHERE id = ?")?.exists([key.cloud.as_str()])? {
        Ok(())
    } else {
        Err(CatalogError::NotFound("the cloud").into())
    }
}

pub(super) fn set_faces(transaction: &Transaction<'_>, id: &str, version_id: &str, faces: &str) -> Work<bool> {
    let mut statement = transaction.prepare_cached("UPDATE assets SET faces = ? WHERE id = ? AND version_id = ?")?;
    Ok(statement.execute([faces, id, version_id])? == 1)
}

pub(super) fn delete(transaction: &Transaction<'_>, key: &AssetKey) -> Work<Option<DeletedAsset>> {
    let Some(asset) = find(transaction, key)? else { return Ok(None) };
    let mut blobs: BTreeSet<BlobKey> = derived::remove_of(transaction, asset.id.as_str())?;
    blobs.insert(asset.blob.clone());
    transaction.prepare_cached("DELETE FROM assets WHERE id = ?")?.execute([asset.id.as_str()])?;
    Ok(Some(DeletedAsset { freed_blobs: derived::settle(transaction, blobs)?, asset }))
}

pub(super) fn list(
    transaction: &Transaction<'_>,
    cloud: &str,
    limit: u32,
    after: Option<AssetCursor>,
) -> Work<AssetPage> {
    let sql = format!(
        "SELECT {ASSET_COLUMNS} FROM assets WHERE cloud = ? AND (public_id, id) > (?, ?) ORDER BY public_id, id LIMIT ?"
    );
    let mut statement = transaction.prepare_cached(&sql)?;
    // A public id is never empty, so that the empty text lies before all of them.
    let (public_id, id) = after.as_ref().map_or(("", ""), |after| (after.public_id.as_str(), after.id.as_str()));
    let mut rows = statement.query((cloud, public_id, id, i64::from(limit) + 1))?;
    let mut assets = Vec::new();
    while let Some(row) = rows.next()? {
        assets.push(record::read_asset(row)?);
    }
    Ok(record::page(assets, limit, after))
}
