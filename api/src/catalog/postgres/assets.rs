//! Uploaded originals. The row of an asset is locked before anything that belongs to it is changed.

use std::collections::BTreeSet;

use deadpool_postgres::Transaction;

use super::{
    super::{
        AssetCursor, AssetPage, CatalogError, DeletedAsset, PutAsset, PutOutcome, Result,
        record::{self, ASSET_COLUMNS},
    },
    PostgresCatalog, Work, derived,
    row::{parameters, placeholders, query},
};
use crate::domain::{Asset, AssetId, AssetKey, CloudId, NewAsset};

/// How often an upload starts over when its asset is deleted between two of its statements.
const N_ATTEMPTS: usize = 10;

const BY_KEY: &str = "cloud = $1 AND resource_type = $2 AND delivery_type = $3 AND public_id = $4";

fn key_texts(key: &AssetKey) -> [&str; 4] {
    [key.cloud.as_str(), key.resource_type.as_str(), key.delivery_type.as_str(), key.public_id.as_str()]
}

pub(super) async fn find(catalog: &PostgresCatalog, key: &AssetKey) -> Result<Option<Asset>> {
    let [cloud, resource_type, delivery_type, public_id] = key_texts(key);
    let sql = format!("SELECT {ASSET_COLUMNS} FROM assets WHERE {BY_KEY}");
    let rows = catalog.query("find an asset", &sql, &[&cloud, &resource_type, &delivery_type, &public_id]).await?;
    rows.first().map(record::read_asset).transpose().map_err(|failure| failure.during("find an asset"))
}

pub(super) async fn find_by_id(catalog: &PostgresCatalog, id: &AssetId) -> Result<Option<Asset>> {
    let sql = format!("SELECT {ASSET_COLUMNS} FROM assets WHERE id = $1");
    let rows = catalog.query("find an asset", &sql, &[&id.as_str()]).await?;
    rows.first().map(record::read_asset).transpose().map_err(|failure| failure.during("find an asset"))
}

/// The asset, locked until the transaction ends.
async fn lock(transaction: &Transaction<'_>, key: &AssetKey) -> Work<Option<Asset>> {
    let [cloud, resource_type, delivery_type, public_id] = key_texts(key);
    let sql = format!("SELECT {ASSET_COLUMNS} FROM assets WHERE {BY_KEY} FOR UPDATE");
    let rows = query(transaction, &sql, &[&cloud, &resource_type, &delivery_type, &public_id]).await?;
    rows.first().map(record::read_asset).transpose()
}

/// Inserts the asset of a first upload; `None` when there is one under the key already. Waits for another upload of
/// the same key that is about to insert.
async fn insert(transaction: &Transaction<'_>, new: &NewAsset) -> Work<Option<Asset>> {
    let asset = record::uploaded(new, None)?;
    let values = record::asset_values(&asset)?;
    let sql = format!(
        "INSERT INTO assets ({ASSET_COLUMNS}) VALUES ({})
         ON CONFLICT (cloud, resource_type, delivery_type, public_id) DO NOTHING RETURNING 1",
        placeholders(&values)
    );
    let inserted = query(transaction, &sql, &parameters(&values)).await?;
    Ok((!inserted.is_empty()).then_some(asset))
}

pub(super) async fn put(transaction: &Transaction<'_>, new: &NewAsset, overwrite: bool) -> Work<PutAsset> {
    for _ in 0..N_ATTEMPTS {
        let mut blobs = BTreeSet::from([new.blob.clone()]);
        let (asset, outcome) = match lock(transaction, &new.key).await? {
            Some(old) if !overwrite => (old, PutOutcome::Existing),
            Some(old) => {
                let asset = record::uploaded(new, Some(&old))?;
                blobs.extend(derived::remove_of(transaction, &asset.id).await?);
                blobs.insert(old.blob);
                let values = record::asset_values(&asset)?;
                // The first column is the id.
                let sql = format!("UPDATE assets SET ({ASSET_COLUMNS}) = ({}) WHERE id = $1", placeholders(&values));
                query(transaction, &sql, &parameters(&values)).await?;
                (asset, PutOutcome::Overwritten)
            }
            None => match insert(transaction, new).await? {
                Some(asset) => (asset, PutOutcome::Created),
                // Another upload was faster: its row is there now and can be locked.
                None => continue,
            },
        };
        return Ok(PutAsset { asset, outcome, freed_blobs: derived::settle(transaction, blobs).await? });
    }
    Err(CatalogError::Unavailable("the asset was created and deleted again and again".to_owned()).into())
}

pub(super) async fn delete(transaction: &Transaction<'_>, key: &AssetKey) -> Work<Option<DeletedAsset>> {
    let Some(asset) = lock(transaction, key).await? else { return Ok(None) };
    let mut blobs = derived::remove_of(transaction, &asset.id).await?;
    blobs.insert(asset.blob.clone());
    query(transaction, "DELETE FROM assets WHERE id = $1", &[&asset.id.as_str()]).await?;
    Ok(Some(DeletedAsset { freed_blobs: derived::settle(transaction, blobs).await?, asset }))
}

pub(super) async fn list(
    catalog: &PostgresCatalog,
    cloud: &CloudId,
    limit: u32,
    after: Option<&AssetCursor>,
) -> Result<AssetPage> {
    let sql = format!(
        "SELECT {ASSET_COLUMNS} FROM assets WHERE cloud = $1 AND (public_id, id) > ($2, $3)
         ORDER BY public_id, id LIMIT $4"
    );
    // A public id is never empty, so that the empty text lies before all of them.
    let (public_id, id) = after.map_or(("", ""), |after| (after.public_id.as_str(), after.id.as_str()));
    let wanted = i64::from(limit) + 1;
    let rows = catalog.query("list assets", &sql, &[&cloud.as_str(), &public_id, &id, &wanted]).await?;
    let assets = rows.iter().map(record::read_asset).collect::<Work<_>>();
    Ok(record::page(assets.map_err(|failure| failure.during("list assets"))?, limit, after.cloned()))
}
