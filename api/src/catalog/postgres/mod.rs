//! The catalog on PostgreSQL, for many nodes that share it. Connections are pooled, statements prepared once for each
//! connection, and a connection is asked whether it lives before it is lent, so that a server's restart is survived.

mod assets;
mod clouds;
mod derived;
mod listen;
mod notices;
mod open;
mod row;
mod session;
mod usage;

use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use deadpool_postgres::{Client, Pool, Transaction};
use futures::FutureExt;
use tokio_postgres::{Row, types::ToSql};

use super::{
    AssetCursor, AssetPage, Catalog, CatalogError, DeletedAsset, EvictedDerived, Migration, PutAsset, PutDerived,
    Result, library, migration,
    record::{self, Columns},
    seal::Sealer,
    sql::Channel,
};
use crate::domain::{
    ApiKey, Asset, AssetId, AssetKey, BlobKey, Cloud, CloudId, CloudName, Day, Derived, DerivedKey, NewAsset, Region,
    Timestamp, Usage, UsageDelta, VersionId,
};
use notices::Notices;
use row::Failure;

/// Result of the work inside one transaction.
type Work<T> = std::result::Result<T, Failure>;

/// Values of a statement's parameters, in order.
type Parameters<'a> = &'a [&'a (dyn ToSql + Sync)];

/// The catalog in a PostgreSQL database.
pub struct PostgresCatalog {
    pool: Pool,
    /// For connections that are not of the pool.
    config: tokio_postgres::Config,
    sealer: Sealer,
    /// The steps of the schema that this program knows.
    steps: Vec<Migration>,
    notices: Notices,
    /// Whether a second store gets copies of originals.
    keeps_copies: AtomicBool,
}

impl PostgresCatalog {
    /// Connects to the database that `url` names (`postgres://user:password@host/database`, or a unix socket as an
    /// encoded host; without TLS) and brings its schema up to date. The database's encoding must be UTF8. `key`
    /// encrypts the API secrets. [`CatalogError::WrongKey`] when they were encrypted with another one,
    /// [`CatalogError::Unavailable`] when the server cannot be reached, [`CatalogError::Schema`] when a newer program has
    /// changed the database so that this one does not work with it.
    pub async fn open(url: &str, key: [u8; 32]) -> Result<Self> {
        Self::open_with(url, key, &[]).await
    }

    /// As [`PostgresCatalog::open`], for a program that knows these later steps too.
    pub async fn open_with(url: &str, key: [u8; 32], later: &[Migration]) -> Result<Self> {
        let steps = [open::MIGRATIONS, later].concat();
        let sealer = Sealer::new(&key);
        let config = open::config(url)?;
        let pool = open::pool(config.clone())?;
        let mut client = client(&pool).await?;
        open::prepare(&mut client, &sealer, &steps).await.map_err(|failure| failure.during("open"))?;
        drop(client);
        let notices = Notices::start(pool.clone());
        Ok(Self { pool, config, sealer, steps, notices, keeps_copies: AtomicBool::new(false) })
    }

    pub(in crate::catalog) fn keep_copies(&self) {
        self.keeps_copies.store(true, Ordering::Relaxed);
    }

    /// The rows that answer one statement, which is a transaction of its own.
    async fn query(&self, operation: &'static str, sql: &str, parameters: Parameters<'_>) -> Result<Vec<Row>> {
        let client = client(&self.pool).await?;
        let query = async { Ok(client.query(&client.prepare_cached(sql).await?, parameters).await?) };
        query.await.map_err(|failure: Failure| failure.during(operation))
    }

    /// Runs one statement and counts the rows that it changed.
    async fn execute(&self, operation: &'static str, sql: &str, parameters: Parameters<'_>) -> Result<u64> {
        let client = client(&self.pool).await?;
        let execute = async { Ok(client.execute(&client.prepare_cached(sql).await?, parameters).await?) };
        let changed = execute.await.map_err(|failure: Failure| failure.during(operation))?;
        if notices::is_followed(sql) {
            self.notices.tell([Channel::Changes]);
        }
        Ok(changed)
    }

    /// Runs `work` as one transaction of level READ COMMITTED; the parts of it that must not meet others take locks.
    async fn transact<T>(
        &self,
        operation: &'static str,
        work: impl AsyncFnOnce(&Transaction<'_>) -> Work<T> + Clone,
    ) -> Result<T> {
        let mut tries = session::Tries::default();
        loop {
            let mut client = client(&self.pool).await?;
            let outcome = async {
                let transaction = client.transaction().await?;
                let value = work.clone()(&transaction).await?;
                transaction.commit().await?;
                Ok(value)
            };
            match outcome.await.map_err(|failure: Failure| failure.during(operation)) {
                Err(error) => tries.pause(error).await?,
                done => return done,
            }
        }
    }
}

async fn client(pool: &Pool) -> Result<Client> {
    pool.get().await.map_err(|error| CatalogError::Unavailable(row::described(&error)))
}

#[async_trait]
impl Catalog for PostgresCatalog {
    async fn create_cloud(&self, cloud: &Cloud, first_key: &ApiKey) -> Result<()> {
        record::check_first_key(cloud, first_key)?;
        let sealed = self.sealer.seal_secret(&first_key.cloud, &first_key.key, &first_key.secret)?;
        let (cloud, key) = (record::cloud_values(cloud), record::api_key_values(first_key, sealed)?);
        self.transact("create a cloud", async |transaction| clouds::create(transaction, &cloud, &key).await).await?;
        self.notices.tell([Channel::Changes]);
        Ok(())
    }

    async fn cloud(&self, id: &CloudId) -> Result<Option<Cloud>> {
        clouds::find(self, "id", id.as_str()).await
    }

    async fn cloud_by_name(&self, name: &CloudName) -> Result<Option<Cloud>> {
        clouds::find(self, "name", name.as_str()).await
    }

    async fn clouds(&self) -> Result<Vec<Cloud>> {
        clouds::all(self).await
    }

    async fn add_api_key(&self, key: &ApiKey) -> Result<()> {
        let sealed = self.sealer.seal_secret(&key.cloud, &key.key, &key.secret)?;
        let values = record::api_key_values(key, sealed)?;
        self.transact("add an API key", async |transaction| clouds::add_key(transaction, &values).await).await?;
        self.notices.tell([Channel::Changes]);
        Ok(())
    }

    async fn api_key(&self, key: &str) -> Result<Option<ApiKey>> {
        clouds::find_key(self, key).await
    }

    async fn api_keys(&self, cloud: &CloudId) -> Result<Vec<ApiKey>> {
        clouds::keys_of(self, cloud).await
    }

    async fn put_asset(&self, asset: &NewAsset, overwrite: bool) -> Result<PutAsset> {
        let asset = asset.clone();
        self.write_session("record an upload", move |sql| {
            async move { library::assets::put(sql, &asset, overwrite).await }.boxed()
        })
        .await
    }

    async fn asset(&self, key: &AssetKey) -> Result<Option<Asset>> {
        let key = key.clone();
        Ok(self
            .read_session("find an asset", move |sql| async move { library::assets::find(sql, &key).await }.boxed())
            .await?
            .filter(|asset| !asset.placeholder))
    }

    async fn asset_by_id(&self, id: &AssetId) -> Result<Option<Asset>> {
        let id = id.clone();
        Ok(self
            .read_session("find an asset", move |sql| {
                async move { library::assets::find_by_id(sql, &id).await }.boxed()
            })
            .await?
            .filter(|asset| !asset.placeholder))
    }

    async fn set_faces(&self, id: &AssetId, version_id: &VersionId, faces: &[Region]) -> Result<bool> {
        let faces = record::faces_to_json(faces)?;
        let sql = "UPDATE assets SET faces = $1 WHERE id = $2 AND version_id = $3";
        Ok(self.execute("record faces", sql, &[&faces, &id.as_str(), &version_id.as_str()]).await? == 1)
    }

    async fn delete_asset(&self, key: &AssetKey) -> Result<Option<DeletedAsset>> {
        let key = key.clone();
        self.write_session("delete an asset", move |sql| {
            async move { library::removal::delete(sql, &key).await }.boxed()
        })
        .await
    }

    async fn list_assets(&self, cloud: &CloudId, limit: u32, after: Option<&AssetCursor>) -> Result<AssetPage> {
        assets::list(self, cloud, limit, after).await
    }

    async fn put_derived(&self, derived: &Derived) -> Result<PutDerived> {
        self.transact("record a derived picture", async |transaction| derived::put(transaction, derived).await).await
    }

    async fn derived(&self, key: &DerivedKey) -> Result<Option<Derived>> {
        derived::find(self, key).await
    }

    async fn derived_of(&self, asset: &AssetId, limit: u32) -> Result<Vec<Derived>> {
        derived::of_asset(self, asset, limit).await
    }

    async fn touch_derived(&self, keys: &[DerivedKey], at: Timestamp) -> Result<()> {
        let keys: Vec<&str> = keys.iter().map(DerivedKey::as_str).collect();
        // Nodes that record the same uses at the same time must not wait for each other in different orders.
        let sql = "UPDATE derived SET last_used_at = $2 WHERE key IN (
                       SELECT key FROM derived WHERE key = ANY ($1) AND last_used_at < $2 ORDER BY key
                       FOR UPDATE SKIP LOCKED)";
        self.execute("record uses", sql, &[&keys, &at.unix_micros()]).await?;
        Ok(())
    }

    async fn delete_derived_of(&self, asset: &AssetId) -> Result<Vec<BlobKey>> {
        self.transact("delete derived pictures", async |transaction| derived::delete_of(transaction, asset).await).await
    }

    async fn derived_bytes(&self) -> Result<u64> {
        derived::bytes(self).await
    }

    async fn evict_derived(&self, most_bytes: u64, limit: u32) -> Result<EvictedDerived> {
        self.transact("evict derived pictures", async |transaction| {
            derived::evict(transaction, most_bytes, limit).await
        })
        .await
    }

    async fn garbage(&self, limit: u32) -> Result<Vec<BlobKey>> {
        derived::garbage(self, limit).await
    }

    async fn forget_garbage(&self, blobs: &[BlobKey]) -> Result<()> {
        let blobs: Vec<&str> = blobs.iter().map(BlobKey::as_str).collect();
        self.execute("forget garbage", "DELETE FROM garbage WHERE blob = ANY ($1)", &[&blobs]).await?;
        Ok(())
    }

    async fn referenced(&self, blob: &BlobKey) -> Result<bool> {
        let sql = "SELECT 1 FROM assets WHERE blob = $1 UNION ALL SELECT 1 FROM derived WHERE blob = $1
                   UNION ALL SELECT 1 FROM asset_versions WHERE blob = $1 UNION ALL SELECT 1 FROM chunks WHERE blob = $1 LIMIT 1";
        Ok(!self.query("look for uses of a blob", sql, &[&blob.as_str()]).await?.is_empty())
    }

    async fn add_usage(&self, cloud: &CloudId, day: Day, delta: UsageDelta) -> Result<()> {
        usage::add(self, cloud, day, delta).await
    }

    async fn usage(&self, cloud: &CloudId, since: Day) -> Result<Usage> {
        usage::sum(self, cloud, since).await
    }

    async fn setting(&self, name: &str) -> Result<Option<String>> {
        usage::setting(self, name).await
    }

    async fn set_setting(&self, name: &str, value: &str) -> Result<()> {
        usage::set_setting(self, name, value).await
    }

    async fn ping(&self) -> Result<()> {
        let sql = "SELECT coalesce(max(coalesce(compatible_from, number)), 0) FROM migrations";
        let rows = self.query("answer", sql, &[]).await?;
        let wanted: Work<i64> = rows.first().map_or(Ok(0), |row| row.number(0));
        migration::check(&self.steps, wanted.map_err(|failure| failure.during("answer"))?)
    }

    fn kind(&self) -> &'static str {
        "postgres"
    }
}
