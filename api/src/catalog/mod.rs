//! What the server knows about clouds, assets and derived pictures: every query the product needs, named by intent.
//!
//! Two implementations keep one set of rules, held to them by one conformance suite: text is compared and ordered by its
//! bytes, points in time are integers (unix microseconds; versions are unix seconds; days are days since 1970-01-01).
//! Blobs that lose their last row are written to a garbage list in the same transaction, so that a crash leaks none.

pub mod conformance;
mod error;
pub mod library;
mod migration;
pub mod postgres;
mod record;
mod seal;
mod sql;
pub mod sqlite;

use async_trait::async_trait;

use crate::domain::{
    ApiKey, Asset, AssetId, AssetKey, BlobKey, Cloud, CloudId, CloudName, Day, Derived, DerivedKey, NewAsset, PublicId,
    Region, Timestamp, Usage, UsageDelta, VersionId,
};

pub use error::CatalogError;
pub use migration::Migration;

/// Result of a catalog query.
pub type Result<T> = std::result::Result<T, CatalogError>;

/// Whether a catalog's check value was written with `key`: [`CatalogError::WrongKey`] when it was not.
pub fn fits(key: &[u8; 32], key_check: &[u8]) -> Result<()> {
    seal::Sealer::new(key).verify(key_check)
}

/// What became of an upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PutOutcome {
    /// There was no asset under the key.
    Created,
    /// The asset has the new content now; its derived pictures are gone.
    Overwritten,
    /// There was an asset and it is as it was.
    Existing,
}

/// Answer to [`Catalog::put_asset`].
#[derive(Debug, Clone, PartialEq)]
pub struct PutAsset {
    /// The asset as it is now.
    pub asset: Asset,
    pub outcome: PutOutcome,
    /// Blobs that no row names any longer. After `Existing` that is the blob of the refused upload. They are on the
    /// garbage list; a caller may delete them at once and then call [`Catalog::forget_garbage`].
    pub freed_blobs: Vec<BlobKey>,
}

/// Answer to [`Catalog::put_derived`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PutDerived {
    /// False when the asset is gone or has another version by now; then nothing was written.
    pub kept: bool,
    /// Blobs that no row names any longer (the replaced one, or that of the refused picture), as in [`PutAsset`].
    pub freed_blobs: Vec<BlobKey>,
}

/// Answer to [`Catalog::evict_derived`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EvictedDerived {
    /// Pictures that were removed. As many as the limit means that more may have to go.
    pub count: u32,
    /// Bytes of these pictures.
    pub bytes: u64,
    /// As in [`PutAsset`].
    pub freed_blobs: Vec<BlobKey>,
}

/// Answer to [`Catalog::delete_asset`].
#[derive(Debug, Clone, PartialEq)]
pub struct DeletedAsset {
    /// The asset as it was.
    pub asset: Asset,
    /// As in [`PutAsset`]: the original's blob and those of its derived pictures.
    pub freed_blobs: Vec<BlobKey>,
}

/// Where a listing goes on: after this public id, and within it after this asset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AssetCursor {
    pub public_id: PublicId,
    pub id: AssetId,
}

/// One page of a listing.
#[derive(Debug, Clone, PartialEq)]
pub struct AssetPage {
    pub assets: Vec<Asset>,
    /// `None` on the last page.
    pub next: Option<AssetCursor>,
}

/// The server's records. All methods are safe to call concurrently; each is one transaction.
#[async_trait]
pub trait Catalog: Send + Sync {
    /// Creates a cloud together with its first key. [`CatalogError::Conflict`] when the name, id or key is taken.
    async fn create_cloud(&self, cloud: &Cloud, first_key: &ApiKey) -> Result<()>;
    async fn cloud(&self, id: &CloudId) -> Result<Option<Cloud>>;
    async fn cloud_by_name(&self, name: &CloudName) -> Result<Option<Cloud>>;
    /// All clouds by name.
    async fn clouds(&self) -> Result<Vec<Cloud>>;

    /// Adds a key to an existing cloud.
    async fn add_api_key(&self, key: &ApiKey) -> Result<()>;
    /// The key pair, enabled or not.
    async fn api_key(&self, key: &str) -> Result<Option<ApiKey>>;
    /// The keys of a cloud, oldest first.
    async fn api_keys(&self, cloud: &CloudId) -> Result<Vec<ApiKey>>;

    /// Records an upload whose blob is durable. Where the key is taken and `overwrite` holds, the asset keeps id and
    /// creation time, gets a new version id and a version of at least one more than before, and loses its derived
    /// pictures; without `overwrite` it stays as it was.
    async fn put_asset(&self, asset: &NewAsset, overwrite: bool) -> Result<PutAsset>;
    async fn asset(&self, key: &AssetKey) -> Result<Option<Asset>>;
    async fn asset_by_id(&self, id: &AssetId) -> Result<Option<Asset>>;
    /// Records the faces found in one version; false when the asset is gone or has another version by now.
    async fn set_faces(&self, id: &AssetId, version_id: &VersionId, faces: &[Region]) -> Result<bool>;
    /// Removes an asset and its derived pictures; `None` when there is no such asset.
    async fn delete_asset(&self, key: &AssetKey) -> Result<Option<DeletedAsset>>;
    /// At most `limit` assets of a cloud, ordered by the bytes of the public id.
    async fn list_assets(&self, cloud: &CloudId, limit: u32, after: Option<&AssetCursor>) -> Result<AssetPage>;

    /// Records a rendered picture whose blob is durable, replacing one with the same key, if the asset still has the
    /// version that it was rendered from.
    async fn put_derived(&self, derived: &Derived) -> Result<PutDerived>;
    async fn derived(&self, key: &DerivedKey) -> Result<Option<Derived>>;
    /// At most `limit` derived pictures of an asset, newest first.
    async fn derived_of(&self, asset: &AssetId, limit: u32) -> Result<Vec<Derived>>;
    /// Records a use of each; an older point in time than the recorded one changes nothing, and keys without a picture are
    /// passed over. A picture that another transaction works on may be passed over too: uses are recorded coarsely.
    async fn touch_derived(&self, keys: &[DerivedKey], at: Timestamp) -> Result<()>;
    /// Removes the derived pictures of an asset, which stays as it is. Gives the blobs that no row names any longer, as in
    /// [`PutAsset`].
    async fn delete_derived_of(&self, asset: &AssetId) -> Result<Vec<BlobKey>>;
    /// Bytes of all derived pictures.
    async fn derived_bytes(&self) -> Result<u64>;
    /// Removes derived pictures, the least recently used first and of those used at the same time the lesser key, until
    /// the others have at most `most_bytes`, but at most `limit` of them.
    async fn evict_derived(&self, most_bytes: u64, limit: u32) -> Result<EvictedDerived>;

    /// At most `limit` blobs that no row names, longest waiting first: to be deleted from the store, then forgotten.
    async fn garbage(&self, limit: u32) -> Result<Vec<BlobKey>>;
    /// Takes blobs off the garbage list after they were deleted from the store.
    async fn forget_garbage(&self, blobs: &[BlobKey]) -> Result<()>;
    /// Whether an asset or a derived picture names the blob.
    async fn referenced(&self, blob: &BlobKey) -> Result<bool>;

    /// Adds to the counters of a cloud's day.
    async fn add_usage(&self, cloud: &CloudId, day: Day, delta: UsageDelta) -> Result<()>;
    /// Counters of a cloud over the days from `since` on, and what it has stored now.
    async fn usage(&self, cloud: &CloudId, since: Day) -> Result<Usage>;

    /// A value of the server's own state, by name.
    async fn setting(&self, name: &str) -> Result<Option<String>>;
    async fn set_setting(&self, name: &str, value: &str) -> Result<()>;

    /// Answers when the database does, and its schema still is one that this program works with: for readiness checks.
    /// [`CatalogError::Schema`] where a newer program has left this one behind.
    async fn ping(&self) -> Result<()>;
    /// Name of the kind of database, for logs and reports: `sqlite`, `postgres`.
    fn kind(&self) -> &'static str;
}
