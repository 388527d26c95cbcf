//! Originals: written with everything that they are found by. The row of an asset is locked before anything that belongs
//! to it is changed.

use std::collections::BTreeSet;

use futures::FutureExt;

use super::{
    super::{
        CatalogError, PutAsset, PutOutcome, Result,
        record::{self, ASSET_COLUMNS, VERSION_COLUMNS, Value},
        sql::{Sql, marks, rows_of_marks, text},
    },
    Library, blobs, derived, terms,
};
use crate::domain::{Asset, AssetId, AssetKey, CloudId, NewAsset, Timestamp};

/// How often an upload starts over when its asset is deleted between two of its statements.
const N_ATTEMPTS: usize = 10;
/// Rows of an index that one statement inserts.
const CHUNK: usize = 400;

const BY_KEY: &str = "cloud = ? AND resource_type = ? AND delivery_type = ? AND public_id = ?";

/// Answer to [`Library::rename`].
#[derive(Debug, Clone, PartialEq)]
pub enum Renamed {
    /// The asset under its new key, and the blobs that no row names any longer.
    Done { asset: Box<Asset>, freed_blobs: Vec<crate::domain::BlobKey> },
    /// There is no asset under the old key.
    Missing,
    /// There is one under the new key, which was not to be replaced.
    Taken,
}

pub(super) fn key_values(key: &AssetKey) -> Vec<Value> {
    vec![
        text(key.cloud.as_str()),
        text(key.resource_type.as_str()),
        text(key.delivery_type.as_str()),
        text(key.public_id.as_str()),
    ]
}

/// The asset under a key, also one that is only a placeholder.
pub(in crate::catalog) async fn find(sql: &mut dyn Sql, key: &AssetKey) -> Result<Option<Asset>> {
    let rows = sql.query(&format!("SELECT {ASSET_COLUMNS} FROM assets WHERE {BY_KEY}"), &key_values(key)).await?;
    rows.first().map(record::read_asset).transpose()
}

pub(in crate::catalog) async fn find_by_id(sql: &mut dyn Sql, id: &AssetId) -> Result<Option<Asset>> {
    let query = format!("SELECT {ASSET_COLUMNS} FROM assets WHERE id = ?");
    let rows = sql.query(&query, &[text(id.as_str())]).await?;
    rows.first().map(record::read_asset).transpose()
}

/// The asset, locked until the transaction ends.
pub(super) async fn lock(sql: &mut dyn Sql, key: &AssetKey) -> Result<Option<Asset>> {
    let query = format!("SELECT {ASSET_COLUMNS} FROM assets WHERE {BY_KEY}{}", sql.dialect().for_update());
    let rows = sql.query(&query, &key_values(key)).await?;
    rows.first().map(record::read_asset).transpose()
}

/// As [`lock`], by the id and within a cloud.
pub(super) async fn lock_by_id(sql: &mut dyn Sql, cloud: &CloudId, id: &AssetId) -> Result<Option<Asset>> {
    let query = format!("SELECT {ASSET_COLUMNS} FROM assets WHERE id = ? AND cloud = ?{}", sql.dialect().for_update());
    let rows = sql.query(&query, &[text(id.as_str()), text(cloud.as_str())]).await?;
    rows.first().map(record::read_asset).transpose()
}

/// Writes all columns of an asset that exists.
pub(super) async fn update(sql: &mut dyn Sql, asset: &Asset) -> Result<()> {
    let mut values = record::asset_values(asset)?;
    let update = format!("UPDATE assets SET ({ASSET_COLUMNS}) = ({}) WHERE id = ?", marks(values.len()));
    values.push(text(asset.id.as_str()));
    sql.execute(&update, &values).await?;
    Ok(())
}

/// Makes the labels and words of an asset those that its row implies; a placeholder has none.
pub(super) async fn index(sql: &mut dyn Sql, asset: &Asset, fresh: bool) -> Result<()> {
    if !fresh {
        let id = [text(asset.id.as_str())];
        sql.execute("DELETE FROM labels WHERE asset = ?", &id).await?;
        sql.execute("DELETE FROM words WHERE asset = ?", &id).await?;
    }
    if asset.placeholder {
        return Ok(());
    }
    let labels: Vec<_> = terms::labels(asset).into_iter().collect();
    for chunk in labels.chunks(CHUNK) {
        let insert = format!(
            "INSERT INTO labels (asset, cloud, resource_type, kind, name, value, number) VALUES {}",
            rows_of_marks(chunk.len(), 7)
        );
        let mut values = Vec::with_capacity(chunk.len() * 7);
        for label in chunk {
            values.extend([
                text(asset.id.as_str()),
                text(asset.key.cloud.as_str()),
                text(asset.key.resource_type.as_str()),
                text(label.kind),
                Value::Text(record::text("a label", &label.name)?),
                Value::Text(record::text("a label", &label.value)?),
                Value::OptionalNumber(label.number),
            ]);
        }
        sql.execute_once(&insert, &values).await?;
    }
    let words: Vec<_> = terms::words(asset).into_iter().collect();
    for chunk in words.chunks(CHUNK) {
        let insert = format!("INSERT INTO words (cloud, word, field, asset) VALUES {}", rows_of_marks(chunk.len(), 4));
        let mut values = Vec::with_capacity(chunk.len() * 4);
        for (word, field) in chunk {
            values.extend([
                text(asset.key.cloud.as_str()),
                Value::Text(record::text("a word", word)?),
                Value::Text(record::text("a field", field)?),
                text(asset.id.as_str()),
            ]);
        }
        sql.execute_once(&insert, &values).await?;
    }
    Ok(())
}

/// Inserts the asset of a first upload; `None` when there is one under the key already. PostgreSQL waits for another
/// upload of the same key that is about to insert.
async fn insert(sql: &mut dyn Sql, asset: &Asset) -> Result<bool> {
    let values = record::asset_values(asset)?;
    let insert = format!(
        "INSERT INTO assets ({ASSET_COLUMNS}) VALUES ({})
         ON CONFLICT (cloud, resource_type, delivery_type, public_id) DO NOTHING",
        marks(values.len())
    );
    Ok(sql.execute(&insert, &values).await? == 1)
}

/// Keeps the present content as a version.
async fn keep_version(sql: &mut dyn Sql, asset: &Asset) -> Result<()> {
    let values = record::version_values(asset)?;
    let insert = format!(
        "INSERT INTO asset_versions ({VERSION_COLUMNS}) VALUES ({}) ON CONFLICT (asset, version_id) DO NOTHING",
        marks(values.len())
    );
    sql.execute(&insert, &values).await?;
    Ok(())
}

pub(in crate::catalog) async fn put(sql: &mut dyn Sql, new: &NewAsset, overwrite: bool) -> Result<PutAsset> {
    let known = sql.query("SELECT id FROM clouds WHERE id = ?", &[text(new.key.cloud.as_str())]).await?;
    if known.is_empty() {
        return Err(CatalogError::NotFound("the cloud"));
    }
    for _ in 0..N_ATTEMPTS {
        let mut touched = BTreeSet::from([new.blob.clone()]);
        let (asset, outcome) = match lock(sql, &new.key).await? {
            Some(old) if !overwrite && !old.placeholder => (old, PutOutcome::Existing),
            Some(old) => {
                let asset = record::uploaded(new, Some(&old))?;
                touched.extend(derived::remove_of(sql, &asset.id).await?);
                touched.insert(old.blob);
                update(sql, &asset).await?;
                index(sql, &asset, false).await?;
                (asset, if old.placeholder { PutOutcome::Created } else { PutOutcome::Overwritten })
            }
            None => {
                let asset = record::uploaded(new, None)?;
                if !insert(sql, &asset).await? {
                    // Another upload was faster: its row is there now and can be locked.
                    continue;
                }
                index(sql, &asset, true).await?;
                (asset, PutOutcome::Created)
            }
        };
        if new.backup && outcome != PutOutcome::Existing {
            keep_version(sql, &asset).await?;
        }
        if outcome != PutOutcome::Existing && !asset.asset_folder.is_empty() {
            super::folders::ensure(sql, &asset.key.cloud, &asset.asset_folder).await?;
        }
        return Ok(PutAsset { asset, outcome, freed_blobs: blobs::settle(sql, touched).await? });
    }
    Err(CatalogError::Unavailable("the asset was created and deleted again and again".to_owned()))
}

impl Library {
    /// The asset under a key, also one that is only a placeholder.
    pub async fn asset(&self, key: &AssetKey) -> Result<Option<Asset>> {
        let key = key.clone();
        self.read("find an asset", move |sql| async move { find(sql, &key).await }.boxed()).await
    }

    /// The asset of a cloud by its id, also one that is only a placeholder.
    pub async fn asset_by_id(&self, cloud: &CloudId, id: &AssetId) -> Result<Option<Asset>> {
        let (cloud, id) = (cloud.clone(), id.clone());
        Ok(self
            .read("find an asset", move |sql| async move { find_by_id(sql, &id).await }.boxed())
            .await?
            .filter(|asset| asset.key.cloud == cloud))
    }

    /// Changes assets, each in a transaction of its own, and gives those that were there, as they are now. `change`
    /// returns whether it changed anything, and may be called more than once. It must leave id, key and content alone.
    pub async fn change_assets(
        &self,
        keys: &[AssetKey],
        change: impl Fn(&mut Asset) -> bool + Clone + Send + Sync + 'static,
    ) -> Result<Vec<Asset>> {
        let mut changed = Vec::new();
        for key in keys {
            changed.extend(self.change_asset(key, change.clone()).await?);
        }
        Ok(changed)
    }

    /// As [`Library::change_assets`], for one.
    pub async fn change_asset(
        &self,
        key: &AssetKey,
        change: impl FnOnce(&mut Asset) -> bool + Clone + Send + 'static,
    ) -> Result<Option<Asset>> {
        let key = key.clone();
        self.write("change an asset", move |sql| {
            async move {
                let Some(asset) = lock(sql, &key).await? else { return Ok(None) };
                Ok(Some(apply(sql, asset, change).await?))
            }
            .boxed()
        })
        .await
    }

    /// Moves an asset to another key; with it go its derived pictures' addresses, so that those pictures are removed.
    /// Where folders are fixed (`fixed`) it lies in the folder of its new public id.
    pub async fn rename(&self, from: &AssetKey, to: &AssetKey, overwrite: bool, fixed: bool) -> Result<Renamed> {
        let (from, to) = (from.clone(), to.clone());
        self.write("rename an asset", move |sql| async move { rename(sql, &from, to, overwrite, fixed).await }.boxed())
            .await
    }

    /// Writes the labels and words of every asset anew; how many there are. For catalogs that were written by a program
    /// which knew other labels.
    pub async fn reindex(&self) -> Result<u64> {
        let (mut after, mut count) = (String::new(), 0);
        loop {
            let start = after.clone();
            let page: Vec<Asset> = self
                .write("index assets", move |sql| {
                    async move {
                        let query = format!("SELECT {ASSET_COLUMNS} FROM assets WHERE id > ? ORDER BY id LIMIT 500");
                        let rows = sql.query(&query, &[text(start)]).await?;
                        let assets = rows.iter().map(record::read_asset).collect::<Result<Vec<_>>>()?;
                        for asset in &assets {
                            index(sql, asset, false).await?;
                        }
                        Ok(assets)
                    }
                    .boxed()
                })
                .await?;
            let Some(last) = page.last() else { return Ok(count) };
            after = last.id.to_string();
            count += page.len() as u64;
        }
    }
}

/// Changes a locked asset.
async fn apply(sql: &mut dyn Sql, mut asset: Asset, change: impl FnOnce(&mut Asset) -> bool) -> Result<Asset> {
    let old = asset.clone();
    if !change(&mut asset) || asset == old {
        return Ok(old);
    }
    let now = Timestamp::now();
    let mut touch = |aspect: &str| asset.details.touched.insert(aspect.to_owned(), now.unix_micros());
    if old.tags != asset.tags {
        touch("tags_updated_at");
    }
    if old.context != asset.context {
        touch("context_updated_at");
    }
    if old.metadata != asset.metadata {
        touch("metadata_updated_at");
    }
    if old.details.access_control != asset.details.access_control {
        touch("access_control_updated_at");
    }
    asset.updated_at = now;
    update(sql, &asset).await?;
    index(sql, &asset, false).await?;
    if asset.asset_folder != old.asset_folder && !asset.asset_folder.is_empty() {
        super::folders::ensure(sql, &asset.key.cloud, &asset.asset_folder).await?;
    }
    Ok(asset)
}

async fn rename(sql: &mut dyn Sql, from: &AssetKey, to: AssetKey, overwrite: bool, fixed: bool) -> Result<Renamed> {
    // In one order, so that two that go opposite ways do not wait for each other.
    let place = |key: &AssetKey| (key.public_id.to_string(), key.delivery_type.as_str(), key.resource_type.as_str());
    let (asset, target) = if place(from) <= place(&to) {
        let asset = lock(sql, from).await?;
        (asset, lock(sql, &to).await?)
    } else {
        let target = lock(sql, &to).await?;
        (lock(sql, from).await?, target)
    };
    let Some(mut asset) = asset.filter(|asset| !asset.placeholder) else { return Ok(Renamed::Missing) };
    let mut touched = BTreeSet::new();
    if *from != to {
        if let Some(target) = target {
            if !overwrite && !target.placeholder {
                return Ok(Renamed::Taken);
            }
            touched.extend(super::removal::erase(sql, &target).await?);
        }
        touched.extend(derived::remove_of(sql, &asset.id).await?);
        asset.key = to;
        if fixed {
            asset.asset_folder =
                asset.key.public_id.as_str().rsplit_once('/').map_or("", |(folder, _)| folder).to_owned();
            super::folders::ensure(sql, &asset.key.cloud, &asset.asset_folder).await?;
        }
        let now = Timestamp::now();
        asset.details.touched.insert("public_id_updated_at".to_owned(), now.unix_micros());
        asset.updated_at = now;
        update(sql, &asset).await?;
        index(sql, &asset, false).await?;
    }
    let freed_blobs = blobs::settle(sql, touched).await?;
    Ok(Renamed::Done { asset: Box::new(asset), freed_blobs })
}
