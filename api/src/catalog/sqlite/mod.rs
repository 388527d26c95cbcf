//! The embedded catalog: one SQLite file in WAL mode. One connection writes, a few read; a commit is on disk when it
//! returns (`synchronous = FULL`).

mod assets;
mod clouds;
mod derived;
mod open;
mod row;
mod session;
mod usage;

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use async_trait::async_trait;
use futures::FutureExt;
use parking_lot::Mutex;
use rusqlite::{Connection, Transaction, TransactionBehavior};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{
    AssetCursor, AssetPage, Catalog, CatalogError, DeletedAsset, EvictedDerived, Migration, PutAsset, PutDerived,
    Result, library, migration, record, seal::Sealer,
};
use crate::domain::{
    ApiKey, Asset, AssetId, AssetKey, BlobKey, Cloud, CloudId, CloudName, Day, Derived, DerivedKey, NewAsset, Region,
    Timestamp, Usage, UsageDelta, VersionId,
};
use row::Failure;

/// Result of the work inside one transaction.
type Work<T> = std::result::Result<T, Failure>;

/// Connections that read. WAL readers never wait for the writer.
const N_READERS: usize = 4;

/// The catalog in one SQLite file.
pub struct SqliteCatalog {
    writer: Connections,
    readers: Connections,
    sealer: Sealer,
    /// The steps of the schema that this program knows.
    steps: Vec<Migration>,
    /// Whether a second store gets copies of originals.
    keeps_copies: AtomicBool,
}

impl SqliteCatalog {
    /// Opens the file, creating it (mode 0600) and the folders above it if need be, and brings its schema up to date.
    /// `key` encrypts the API secrets. [`CatalogError::WrongKey`] when they were encrypted with another one,
    /// [`CatalogError::Schema`] when a newer program has changed the file so that this one does not work with it.
    pub async fn open(path: &Path, key: [u8; 32]) -> Result<Self> {
        Self::open_with(path, key, &[]).await
    }

    /// As [`SqliteCatalog::open`], for a program that knows these later steps too.
    pub async fn open_with(path: &Path, key: [u8; 32], later: &[Migration]) -> Result<Self> {
        let (path, steps) = (path.to_owned(), [open::MIGRATIONS, later].concat());
        blocking("open", move || {
            let sealer = Sealer::new(&key);
            let writer = open::writer(&path, &sealer, &steps)?;
            let readers = (0..N_READERS).map(|_| open::reader(&path)).collect::<Result<Vec<_>>>()?;
            Ok(Self::over(Connections::new(vec![writer]), Connections::new(readers), sealer, steps))
        })
        .await
    }

    /// A catalog in memory that ends with the process, for tests and for `tintype dev`. One connection does everything,
    /// one transaction after the other.
    pub async fn in_memory() -> Result<Self> {
        blocking("open", move || {
            let sealer = Sealer::new(&rand::random());
            let only = Connections::new(vec![open::in_memory(&sealer)?]);
            Ok(Self::over(only.clone(), only, sealer, open::MIGRATIONS.to_vec()))
        })
        .await
    }

    fn over(writer: Connections, readers: Connections, sealer: Sealer, steps: Vec<Migration>) -> Self {
        Self { writer, readers, sealer, steps, keeps_copies: AtomicBool::new(false) }
    }

    pub(in crate::catalog) fn keep_copies(&self) {
        self.keeps_copies.store(true, Ordering::Relaxed);
    }

    /// Runs `work` as one read transaction: all of its queries see the same state.
    async fn read<T: Send + 'static>(
        &self,
        operation: &'static str,
        work: impl FnOnce(&Transaction<'_>) -> Work<T> + Send + 'static,
    ) -> Result<T> {
        self.readers.transact(operation, TransactionBehavior::Deferred, work).await
    }

    /// Runs `work` as one write transaction. When the future is dropped meanwhile, the transaction is still completed.
    async fn write<T: Send + 'static>(
        &self,
        operation: &'static str,
        work: impl FnOnce(&Transaction<'_>) -> Work<T> + Send + 'static,
    ) -> Result<T> {
        self.writer.transact(operation, TransactionBehavior::Immediate, work).await
    }
}

/// Connections that are lent to one transaction each.
#[derive(Clone)]
struct Connections {
    /// One permit for each idle connection.
    idle_count: Arc<Semaphore>,
    idle: Arc<Mutex<Vec<Connection>>>,
}

impl Connections {
    fn new(connections: Vec<Connection>) -> Self {
        Self { idle_count: Arc::new(Semaphore::new(connections.len())), idle: Arc::new(Mutex::new(connections)) }
    }

    /// Waits for an idle connection without holding a thread.
    async fn lend(&self) -> Result<(OwnedSemaphorePermit, Arc<Mutex<Vec<Connection>>>)> {
        let permit = Arc::clone(&self.idle_count).acquire_owned().await.map_err(|_| gone())?;
        Ok((permit, Arc::clone(&self.idle)))
    }

    /// Waits for an idle connection, then works on it where it may block.
    async fn transact<T: Send + 'static>(
        &self,
        operation: &'static str,
        behavior: TransactionBehavior,
        work: impl FnOnce(&Transaction<'_>) -> Work<T> + Send + 'static,
    ) -> Result<T> {
        let (permit, idle) = self.lend().await?;
        blocking(operation, move || {
            let mut lent = Lent::take(permit, idle)?;
            let connection = lent.connection()?;
            let outcome = (|| {
                let transaction = connection.transaction_with_behavior(behavior)?;
                let value = work(&transaction)?;
                transaction.commit()?;
                Ok(value)
            })();
            outcome.map_err(|failure: Failure| failure.during(operation))
        })
        .await
    }
}

/// A connection that goes back also when the work on it panics; its transaction has been rolled back by then.
struct Lent {
    connection: Option<Connection>,
    idle: Arc<Mutex<Vec<Connection>>>,
    _permit: OwnedSemaphorePermit,
}

fn gone() -> CatalogError {
    CatalogError::Unavailable("it is closed".to_owned())
}

impl Lent {
    fn take(permit: OwnedSemaphorePermit, idle: Arc<Mutex<Vec<Connection>>>) -> Result<Self> {
        let connection = idle.lock().pop().ok_or_else(gone)?;
        // Fields are dropped in order: the connection is idle again before its permit is.
        Ok(Lent { connection: Some(connection), idle, _permit: permit })
    }

    fn connection(&mut self) -> Result<&mut Connection> {
        self.connection.as_mut().ok_or_else(gone)
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.idle.lock().extend(self.connection.take());
    }
}

/// Runs database work where it may block.
async fn blocking<T: Send + 'static>(
    operation: &'static str,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(CatalogError::Internal { operation, detail: error.to_string() }),
    }
}

#[async_trait]
impl Catalog for SqliteCatalog {
    async fn create_cloud(&self, cloud: &Cloud, first_key: &ApiKey) -> Result<()> {
        record::check_first_key(cloud, first_key)?;
        let sealed = self.sealer.seal_secret(&first_key.cloud, &first_key.key, &first_key.secret)?;
        let (cloud, key) = (record::cloud_values(cloud), record::api_key_values(first_key, sealed)?);
        self.write("create a cloud", move |transaction| clouds::create(transaction, &cloud, &key)).await
    }

    async fn cloud(&self, id: &CloudId) -> Result<Option<Cloud>> {
        let id = id.to_string();
        self.read("find a cloud", move |transaction| clouds::find(transaction, "id", &id)).await
    }

    async fn cloud_by_name(&self, name: &CloudName) -> Result<Option<Cloud>> {
        let name = name.to_string();
        self.read("find a cloud", move |transaction| clouds::find(transaction, "name", &name)).await
    }

    async fn clouds(&self) -> Result<Vec<Cloud>> {
        self.read("list clouds", clouds::all).await
    }

    async fn add_api_key(&self, key: &ApiKey) -> Result<()> {
        let sealed = self.sealer.seal_secret(&key.cloud, &key.key, &key.secret)?;
        let values = record::api_key_values(key, sealed)?;
        self.write("add an API key", move |transaction| clouds::add_key(transaction, &values)).await
    }

    async fn api_key(&self, key: &str) -> Result<Option<ApiKey>> {
        let (key, sealer) = (key.to_owned(), self.sealer.clone());
        self.read("find an API key", move |transaction| clouds::find_key(transaction, &key, &sealer)).await
    }

    async fn api_keys(&self, cloud: &CloudId) -> Result<Vec<ApiKey>> {
        let (cloud, sealer) = (cloud.to_string(), self.sealer.clone());
        self.read("list API keys", move |transaction| clouds::keys_of(transaction, &cloud, &sealer)).await
    }

    async fn put_asset(&self, asset: &NewAsset, overwrite: bool) -> Result<PutAsset> {
        let asset = asset.clone();
        self.session("record an upload", true, move |sql| {
            async move { library::assets::put(sql, &asset, overwrite).await }.boxed()
        })
        .await
    }

    async fn asset(&self, key: &AssetKey) -> Result<Option<Asset>> {
        let key = key.clone();
        Ok(self
            .session("find an asset", false, move |sql| async move { library::assets::find(sql, &key).await }.boxed())
            .await?
            .filter(|asset| !asset.placeholder))
    }

    async fn asset_by_id(&self, id: &AssetId) -> Result<Option<Asset>> {
        let id = id.clone();
        Ok(self
            .session("find an asset", false, move |sql| {
                async move { library::assets::find_by_id(sql, &id).await }.boxed()
            })
            .await?
            .filter(|asset| !asset.placeholder))
    }

    async fn set_faces(&self, id: &AssetId, version_id: &VersionId, faces: &[Region]) -> Result<bool> {
        let (id, version_id, faces) = (id.to_string(), version_id.to_string(), record::faces_to_json(faces)?);
        self.write("record faces", move |transaction| assets::set_faces(transaction, &id, &version_id, &faces)).await
    }

    async fn delete_asset(&self, key: &AssetKey) -> Result<Option<DeletedAsset>> {
        let key = key.clone();
        self.session("delete an asset", true, move |sql| {
            async move { library::removal::delete(sql, &key).await }.boxed()
        })
        .await
    }

    async fn list_assets(&self, cloud: &CloudId, limit: u32, after: Option<&AssetCursor>) -> Result<AssetPage> {
        let (cloud, after) = (cloud.to_string(), after.cloned());
        self.read("list assets", move |transaction| assets::list(transaction, &cloud, limit, after)).await
    }

    async fn put_derived(&self, derived: &Derived) -> Result<PutDerived> {
        let derived = derived.clone();
        self.write("record a derived picture", move |transaction| derived::put(transaction, &derived)).await
    }

    async fn derived(&self, key: &DerivedKey) -> Result<Option<Derived>> {
        let key = key.to_string();
        self.read("find a derived picture", move |transaction| derived::find(transaction, &key)).await
    }

    async fn derived_of(&self, asset: &AssetId, limit: u32) -> Result<Vec<Derived>> {
        let asset = asset.to_string();
        self.read("list derived pictures", move |transaction| derived::of_asset(transaction, &asset, limit)).await
    }

    async fn touch_derived(&self, keys: &[DerivedKey], at: Timestamp) -> Result<()> {
        if keys.is_empty() {
            return Ok(());
        }
        let keys = keys.to_vec();
        self.write("record uses", move |transaction| derived::touch(transaction, &keys, at.unix_micros())).await
    }

    async fn delete_derived_of(&self, asset: &AssetId) -> Result<Vec<BlobKey>> {
        let asset = asset.to_string();
        self.write("delete derived pictures", move |transaction| {
            let blobs = derived::remove_of(transaction, &asset)?;
            derived::settle(transaction, blobs)
        })
        .await
    }

    async fn derived_bytes(&self) -> Result<u64> {
        self.read("sum up derived pictures", derived::bytes).await
    }

    async fn evict_derived(&self, most_bytes: u64, limit: u32) -> Result<EvictedDerived> {
        self.write("evict derived pictures", move |transaction| derived::evict(transaction, most_bytes, limit)).await
    }

    async fn garbage(&self, limit: u32) -> Result<Vec<BlobKey>> {
        self.read("list garbage", move |transaction| derived::garbage(transaction, limit)).await
    }

    async fn forget_garbage(&self, blobs: &[BlobKey]) -> Result<()> {
        let blobs = blobs.to_vec();
        self.write("forget garbage", move |transaction| derived::forget(transaction, &blobs)).await
    }

    async fn referenced(&self, blob: &BlobKey) -> Result<bool> {
        let blob = blob.clone();
        self.read("look for uses of a blob", move |transaction| derived::referenced(transaction, &blob)).await
    }

    async fn add_usage(&self, cloud: &CloudId, day: Day, delta: UsageDelta) -> Result<()> {
        let cloud = cloud.to_string();
        self.write("count usage", move |transaction| usage::add(transaction, &cloud, day, delta)).await
    }

    async fn usage(&self, cloud: &CloudId, since: Day) -> Result<Usage> {
        let cloud = cloud.to_string();
        self.read("sum up usage", move |transaction| usage::sum(transaction, &cloud, since)).await
    }

    async fn setting(&self, name: &str) -> Result<Option<String>> {
        let name = name.to_owned();
        self.read("read a setting", move |transaction| usage::setting(transaction, &name)).await
    }

    async fn set_setting(&self, name: &str, value: &str) -> Result<()> {
        let (name, value) = (record::text("a setting's name", name)?, record::text("a setting", value)?);
        self.write("write a setting", move |transaction| usage::set_setting(transaction, &name, &value)).await
    }

    async fn ping(&self) -> Result<()> {
        let wanted = self.read("answer", |transaction| {
            let sql = "SELECT coalesce(max(coalesce(compatible_from, number)), 0) FROM migrations";
            Ok(transaction.query_row(sql, [], |row| row.get(0))?)
        });
        migration::check(&self.steps, wanted.await?)
    }

    fn kind(&self) -> &'static str {
        "sqlite"
    }
}
