//! The catalog in one SQLite file: the embedded default.
//!
//! Write-ahead log with `synchronous=FULL`, so that a committed row survives a power cut. One connection writes; a few
//! read beside it. Every query runs on a blocking thread.

mod assets;
mod clouds;
mod connections;
mod derived;
mod usage;

use super::secrets::SecretBox;
use super::{AssetCursor, AssetPage, Catalog, DeletedAsset, PutAsset, PutDerived, Result};
use crate::domain::{
    ApiKey, Asset, AssetId, AssetKey, BlobKey, Cloud, CloudId, CloudName, Day, Derived, DerivedKey, NewAsset, Region,
    Timestamp, Usage, UsageDelta, VersionId,
};
use async_trait::async_trait;
use connections::Connections;
use std::path::Path;
use std::sync::Arc;

/// A catalog in a file.
pub struct SqliteCatalog {
    connections: Arc<Connections>,
    secrets: SecretBox,
}

impl SqliteCatalog {
    /// Opens the file, creating and migrating it as needed. `key` encrypts API secrets.
    ///
    /// Errors: [`super::CatalogError::WrongKey`] when the secrets in it were written with another key.
    pub async fn open(path: &Path, key: [u8; 32]) -> Result<Self> {
        let secrets = SecretBox::new(key);
        let (path, check) = (path.to_owned(), secrets.clone());
        let connections = Connections::blocking(move || Connections::open(&path, &check)).await?;
        Ok(SqliteCatalog { connections: Arc::new(connections), secrets })
    }
}

#[async_trait]
impl Catalog for SqliteCatalog {
    async fn create_cloud(&self, cloud: &Cloud, first_key: &ApiKey) -> Result<()> {
        let (cloud, key) = (cloud.clone(), first_key.clone());
        let sealed = self.secrets.seal(&key.key, key.secret.expose())?;
        self.connections
            .write(move |transaction| {
                clouds::insert_cloud(transaction, &cloud)?;
                clouds::insert_key(transaction, &key, &sealed)
            })
            .await
    }

    async fn cloud(&self, id: &CloudId) -> Result<Option<Cloud>> {
        let id = id.clone();
        self.connections.read(move |connection| clouds::by_id(connection, &id)).await
    }

    async fn cloud_by_name(&self, name: &CloudName) -> Result<Option<Cloud>> {
        let name = name.clone();
        self.connections.read(move |connection| clouds::by_name(connection, &name)).await
    }

    async fn clouds(&self) -> Result<Vec<Cloud>> {
        self.connections.read(|connection| clouds::all(connection)).await
    }

    async fn add_api_key(&self, key: &ApiKey) -> Result<()> {
        let key = key.clone();
        let sealed = self.secrets.seal(&key.key, key.secret.expose())?;
        self.connections.write(move |transaction| clouds::insert_key(transaction, &key, &sealed)).await
    }

    async fn api_key(&self, key: &str) -> Result<Option<ApiKey>> {
        let (key, secrets) = (key.to_owned(), self.secrets.clone());
        self.connections.read(move |connection| clouds::key(connection, &secrets, &key)).await
    }

    async fn api_keys(&self, cloud: &CloudId) -> Result<Vec<ApiKey>> {
        let (cloud, secrets) = (cloud.clone(), self.secrets.clone());
        self.connections.read(move |connection| clouds::keys(connection, &secrets, &cloud)).await
    }

    async fn put_asset(&self, asset: &NewAsset, overwrite: bool) -> Result<PutAsset> {
        let asset = asset.clone();
        self.connections.write(move |transaction| assets::put(transaction, &asset, overwrite)).await
    }

    async fn asset(&self, key: &AssetKey) -> Result<Option<Asset>> {
        let key = key.clone();
        self.connections.read(move |connection| assets::by_key(connection, &key)).await
    }

    async fn asset_by_id(&self, id: &AssetId) -> Result<Option<Asset>> {
        let id = id.clone();
        self.connections.read(move |connection| assets::by_id(connection, &id)).await
    }

    async fn set_faces(&self, id: &AssetId, version_id: &VersionId, faces: &[Region]) -> Result<bool> {
        let (id, version_id, faces) = (id.clone(), version_id.clone(), faces.to_vec());
        self.connections.write(move |transaction| assets::set_faces(transaction, &id, &version_id, faces)).await
    }

    async fn delete_asset(&self, key: &AssetKey) -> Result<Option<DeletedAsset>> {
        let key = key.clone();
        self.connections.write(move |transaction| assets::delete(transaction, &key)).await
    }

    async fn list_assets(&self, cloud: &CloudId, limit: u32, after: Option<&AssetCursor>) -> Result<AssetPage> {
        let (cloud, after) = (cloud.clone(), after.cloned());
        self.connections.read(move |connection| assets::list(connection, &cloud, limit, after.as_ref())).await
    }

    async fn put_derived(&self, derived: &Derived) -> Result<PutDerived> {
        let derived = derived.clone();
        self.connections.write(move |transaction| derived::put(transaction, &derived)).await
    }

    async fn derived(&self, key: &DerivedKey) -> Result<Option<Derived>> {
        let key = key.clone();
        self.connections.read(move |connection| derived::by_key(connection, &key)).await
    }

    async fn derived_of(&self, asset: &AssetId, limit: u32) -> Result<Vec<Derived>> {
        let asset = asset.clone();
        self.connections.read(move |connection| derived::of(connection, &asset, limit)).await
    }

    async fn touch_derived(&self, key: &DerivedKey, at: Timestamp) -> Result<()> {
        let key = key.clone();
        self.connections.write(move |transaction| derived::touch(transaction, &key, at)).await
    }

    async fn garbage(&self, limit: u32) -> Result<Vec<BlobKey>> {
        self.connections.read(move |connection| derived::garbage(connection, limit)).await
    }

    async fn forget_garbage(&self, blobs: &[BlobKey]) -> Result<()> {
        let blobs = blobs.to_vec();
        self.connections.write(move |transaction| derived::forget_garbage(transaction, &blobs)).await
    }

    async fn referenced(&self, blob: &BlobKey) -> Result<bool> {
        let blob = blob.clone();
        self.connections.read(move |connection| derived::referenced(connection, &blob)).await
    }

    async fn add_usage(&self, cloud: &CloudId, day: Day, delta: UsageDelta) -> Result<()> {
        let cloud = cloud.clone();
        self.connections.write(move |transaction| usage::add(transaction, &cloud, day, delta)).await
    }

    async fn usage(&self, cloud: &CloudId, since: Day) -> Result<Usage> {
        let cloud = cloud.clone();
        self.connections.read(move |connection| usage::sum(connection, &cloud, since)).await
    }

    async fn setting(&self, name: &str) -> Result<Option<String>> {
        let name = name.to_owned();
        self.connections.read(move |connection| usage::setting(connection, &name)).await
    }

    async fn set_setting(&self, name: &str, value: &str) -> Result<()> {
        let (name, value) = (name.to_owned(), value.to_owned());
        self.connections.write(move |transaction| usage::set_setting(transaction, &name, &value)).await
    }

    async fn ping(&self) -> Result<()> {
        self.connections.read(|connection| usage::setting(connection, "ping").map(|_| ())).await
    }

    fn kind(&self) -> &'static str {
        "sqlite"
    }
}
