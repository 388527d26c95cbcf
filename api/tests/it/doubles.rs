//! Small real things that stand for large ones: a catalog and a blob store in memory, a picture reader that knows PNG
//! headers, a deliverer with one picture.
#![allow(clippy::unwrap_used, clippy::panic)]

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures::stream::{self, BoxStream, StreamExt};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use tintype_api::catalog::{
    AssetCursor, AssetPage, Catalog, CatalogError, DeletedAsset, EvictedDerived, PutAsset, PutDerived, PutOutcome,
    Result,
};
use tintype_api::domain::{
    ApiKey, Asset, AssetId, AssetKey, BlobKey, Cloud, CloudId, CloudName, Day, Derived, DerivedKey, NewAsset,
    Orientation, PixelSize, Region, Timestamp, Usage, UsageDelta, VersionId,
};
use tintype_api::service::deliver_types::{
    CachePolicy, ContentFacts, Deliver, DeliveryAnswer, DeliveryBody, DeliveryError, DeliveryRequest, FileFacts,
    StageTiming, StoredBody, VaryOn,
};
use tintype_api::service::params::EagerEntry;
use tintype_api::service::pictures::{Eager, EagerPicture, MadePicture, PictureError, PictureFacts, Pictures};
use tintype_api::storage::{self, BlobReader, BlobStore, BlobWriter, StorageError};
use tintype_render::language::Format;

/// Clouds, keys and assets in memory. What no upload needs answers that it is unavailable.
#[derive(Default)]
pub struct TestCatalog {
    clouds: Mutex<Vec<Cloud>>,
    keys: Mutex<Vec<ApiKey>>,
    assets: Mutex<Vec<Asset>>,
    garbage: Mutex<Vec<BlobKey>>,
    /// Makes the next `put_asset` fail.
    pub broken: AtomicBool,
}

impl TestCatalog {
    pub fn assets(&self) -> Vec<Asset> {
        self.assets.lock().clone()
    }

    pub fn garbage_len(&self) -> usize {
        self.garbage.lock().len()
    }
}

fn unavailable<T>() -> Result<T> {
    Err(CatalogError::Unavailable("not part of this double".to_owned()))
}

#[async_trait]
impl Catalog for TestCatalog {
    async fn create_cloud(&self, cloud: &Cloud, first_key: &ApiKey) -> Result<()> {
        self.clouds.lock().push(cloud.clone());
        self.keys.lock().push(first_key.clone());
        Ok(())
    }
    async fn cloud(&self, id: &CloudId) -> Result<Option<Cloud>> {
        Ok(self.clouds.lock().iter().find(|cloud| cloud.id == *id).cloned())
    }
    async fn cloud_by_name(&self, name: &CloudName) -> Result<Option<Cloud>> {
        Ok(self.clouds.lock().iter().find(|cloud| cloud.name == *name).cloned())
    }
    async fn clouds(&self) -> Result<Vec<Cloud>> {
        Ok(self.clouds.lock().clone())
    }
    async fn add_api_key(&self, key: &ApiKey) -> Result<()> {
        self.keys.lock().push(key.clone());
        Ok(())
    }
    async fn api_key(&self, key: &str) -> Result<Option<ApiKey>> {
        Ok(self.keys.lock().iter().find(|found| found.key == key).cloned())
    }
    async fn api_keys(&self, cloud: &CloudId) -> Result<Vec<ApiKey>> {
        Ok(self.keys.lock().iter().filter(|key| key.cloud == *cloud).cloned().collect())
    }
    async fn put_asset(&self, new: &NewAsset, overwrite: bool) -> Result<PutAsset> {
        if self.broken.swap(false, Ordering::SeqCst) {
            return unavailable();
        }
        let mut assets = self.assets.lock();
        let position = assets.iter().position(|asset| asset.key == new.key);
        if let (Some(position), false) = (position, overwrite) {
            let freed_blobs = vec![new.blob.clone()];
            self.garbage.lock().extend(freed_blobs.clone());
            let asset = assets[position].clone();
            return Ok(PutAsset { asset, outcome: PutOutcome::Existing, freed_blobs });
        }
        let old = position.map(|position| assets.remove(position));
        let asset = Asset::uploaded(new, old.as_ref()).unwrap();
        assets.push(asset.clone());
        let outcome = if old.is_some() { PutOutcome::Overwritten } else { PutOutcome::Created };
        let freed_blobs: Vec<BlobKey> = old.into_iter().map(|old| old.blob).collect();
        self.garbage.lock().extend(freed_blobs.clone());
        Ok(PutAsset { asset, outcome, freed_blobs })
    }
    async fn asset(&self, key: &AssetKey) -> Result<Option<Asset>> {
        Ok(self.assets.lock().iter().find(|asset| asset.key == *key).cloned())
    }
    async fn asset_by_id(&self, id: &AssetId) -> Result<Option<Asset>> {
        Ok(self.assets.lock().iter().find(|asset| asset.id == *id).cloned())
    }
    async fn set_faces(&self, _: &AssetId, _: &VersionId, _: &[Region]) -> Result<bool> {
        unavailable()
    }
    async fn delete_asset(&self, _: &AssetKey) -> Result<Option<DeletedAsset>> {
        unavailable()
    }
    async fn list_assets(&self, _: &CloudId, _: u32, _: Option<&AssetCursor>) -> Result<AssetPage> {
        unavailable()
    }
    async fn put_derived(&self, _: &Derived) -> Result<PutDerived> {
        unavailable()
    }
    async fn derived(&self, _: &DerivedKey) -> Result<Option<Derived>> {
        unavailable()
    }
    async fn derived_of(&self, _: &AssetId, _: u32) -> Result<Vec<Derived>> {
        unavailable()
    }
    async fn touch_derived(&self, _: &[DerivedKey], _: Timestamp) -> Result<()> {
        unavailable()
    }
    async fn delete_derived_of(&self, _: &AssetId) -> Result<Vec<BlobKey>> {
        unavailable()
    }
    async fn derived_bytes(&self) -> Result<u64> {
        unavailable()
    }
    async fn evict_derived(&self, _: u64, _: u32) -> Result<EvictedDerived> {
        unavailable()
    }
    async fn garbage(&self, limit: u32) -> Result<Vec<BlobKey>> {
        Ok(self.garbage.lock().iter().take(limit as usize).cloned().collect())
    }
    async fn forget_garbage(&self, blobs: &[BlobKey]) -> Result<()> {
        self.garbage.lock().retain(|blob| !blobs.contains(blob));
        Ok(())
    }
    async fn referenced(&self, blob: &BlobKey) -> Result<bool> {
        Ok(self.assets.lock().iter().any(|asset| asset.blob == *blob))
    }
    async fn add_usage(&self, _: &CloudId, _: Day, _: UsageDelta) -> Result<()> {
        unavailable()
    }
    async fn usage(&self, _: &CloudId, _: Day) -> Result<Usage> {
        unavailable()
    }
    async fn setting(&self, _: &str) -> Result<Option<String>> {
        Ok(None)
    }
    async fn set_setting(&self, _: &str, _: &str) -> Result<()> {
        unavailable()
    }
    async fn ping(&self) -> Result<()> {
        Ok(())
    }
    fn kind(&self) -> &'static str {
        "test"
    }
}

/// Blobs in memory; counts the writers that are open and the largest piece that was written.
#[derive(Default, Clone)]
pub struct TestBlobs {
    blobs: Arc<Mutex<BTreeMap<BlobKey, Bytes>>>,
    pub open_writers: Arc<AtomicUsize>,
    pub largest_piece: Arc<AtomicUsize>,
}

impl TestBlobs {
    pub fn len(&self) -> usize {
        self.blobs.lock().len()
    }
}

struct TestWriter {
    store: TestBlobs,
    key: BlobKey,
    bytes: BytesMut,
}

impl Drop for TestWriter {
    fn drop(&mut self) {
        self.store.open_writers.fetch_sub(1, Ordering::SeqCst);
    }
}

#[async_trait]
impl BlobStore for TestBlobs {
    async fn create_as(&self, key: BlobKey) -> storage::Result<Box<dyn BlobWriter>> {
        self.open_writers.fetch_add(1, Ordering::SeqCst);
        Ok(Box::new(TestWriter { store: self.clone(), key, bytes: BytesMut::new() }))
    }
    async fn read(&self, key: &BlobKey) -> storage::Result<Bytes> {
        self.blobs.lock().get(key).cloned().ok_or_else(|| StorageError::NotFound(key.clone()))
    }
    async fn open(&self, key: &BlobKey, range: Option<Range<u64>>) -> storage::Result<BlobReader> {
        let whole = self.read(key).await?;
        let range = range.unwrap_or(0..whole.len() as u64);
        let part = whole.slice(range.start as usize..range.end as usize);
        Ok(BlobReader::new(part.len() as u64, stream::once(async move { Ok(part) }).boxed()))
    }
    async fn size(&self, key: &BlobKey) -> storage::Result<Option<u64>> {
        Ok(self.blobs.lock().get(key).map(|bytes| bytes.len() as u64))
    }
    async fn delete(&self, key: &BlobKey) -> storage::Result<()> {
        self.blobs.lock().remove(key);
        Ok(())
    }
    async fn list(&self, _: Option<&BlobKey>, _: usize) -> storage::Result<Vec<BlobKey>> {
        Ok(self.blobs.lock().keys().cloned().collect())
    }
    fn kind(&self) -> &'static str {
        "test"
    }
}

#[async_trait]
impl BlobWriter for TestWriter {
    async fn write(&mut self, chunk: Bytes) -> storage::Result<()> {
        self.store.largest_piece.fetch_max(chunk.len(), Ordering::SeqCst);
        self.bytes.extend_from_slice(&chunk);
        Ok(())
    }
    fn written(&self) -> u64 {
        self.bytes.len() as u64
    }
    async fn commit(mut self: Box<Self>) -> storage::Result<BlobKey> {
        let key = self.key.clone();
        let bytes = std::mem::take(&mut self.bytes).freeze();
        self.store.blobs.lock().insert(key.clone(), bytes);
        Ok(key)
    }
}

/// Reads the header of PNG; "converts" to a PNG-like file that says which format it is.
pub struct TestPictures;

#[async_trait]
impl Pictures for TestPictures {
    async fn inspect(&self, bytes: Bytes) -> std::result::Result<PictureFacts, PictureError> {
        let facts = |format, width, height| PictureFacts {
            format,
            stored_size: PixelSize { width, height },
            orientation: Orientation::UPRIGHT,
            has_alpha: true,
            pages: 1,
        };
        if let Some(rest) = bytes.strip_prefix(b"converted to webp from ") {
            return Ok(facts(Format::WebP, rest.len() as u32, 1));
        }
        if bytes.len() < 24 || !bytes.starts_with(b"\x89PNG\r\n\x1a\n") {
            return Err(tintype_render::Error::Decode("no known signature".to_owned()).into());
        }
        let number = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
        Ok(facts(Format::Png, number(16), number(20)))
    }

    async fn convert(&self, _: Bytes, _: &str, format: Format) -> std::result::Result<Bytes, PictureError> {
        match format {
            Format::WebP => Ok(Bytes::from_static(b"converted to webp from png")),
            other => Err(PictureError::Internal(format!("no conversion to {other:?}"))),
        }
    }
}

/// Refuses `w_bad` early and fails on `w_late`; everything else is 1×2 in 3 bytes.
pub struct TestEager;

#[async_trait]
impl Eager for TestEager {
    fn check(&self, entry: &EagerEntry) -> std::result::Result<(), tintype_render::Error> {
        match entry.transformation.as_str() {
            "w_bad" => Err(tintype_render::Error::invalid("width", "bad", 2..5)),
            _ => Ok(()),
        }
    }
    async fn render(
        &self,
        _: &Cloud,
        asset: &Asset,
        entries: &[EagerEntry],
    ) -> Vec<std::result::Result<EagerPicture, DeliveryError>> {
        entries
            .iter()
            .map(|entry| match entry.transformation.as_str() {
                "w_late" => Err(tintype_render::Error::MissingLayer("logo".to_owned()).into()),
                "w_ours" => Err(DeliveryError::Internal("secret detail".to_owned())),
                _ => Ok(EagerPicture { width: 1, height: 2, bytes: 3, format: asset.format.clone() }),
            })
            .collect()
    }
    async fn picture(
        &self,
        _: &Cloud,
        _: &Asset,
        entry: &EagerEntry,
    ) -> std::result::Result<Option<MadePicture>, DeliveryError> {
        Err(DeliveryError::Internal(format!("{} is rendered nowhere", entry.transformation)))
    }
    async fn measure(&self, _: &Asset, entry: &EagerEntry) -> std::result::Result<EagerPicture, DeliveryError> {
        Err(DeliveryError::Internal(format!("{} is measured nowhere", entry.transformation)))
    }
    async fn find_faces(&self, _: &Asset) -> std::result::Result<Vec<Region>, DeliveryError> {
        Ok(vec![])
    }
    async fn describe(
        &self,
        _: &Asset,
    ) -> std::result::Result<serde_json::Map<String, serde_json::Value>, DeliveryError> {
        Err(DeliveryError::Internal("nobody looks".to_owned()))
    }
}

/// One picture under `/demo/image/upload/cat.jpg`, the same below `v1/` and, from a store, below `stored/`.
pub struct TestDeliver {
    pub seen: Mutex<Vec<DeliveryRequest>>,
}

pub const PICTURE: &[u8] = b"0123456789";

struct StoredPicture;

#[async_trait]
impl StoredBody for StoredPicture {
    fn length(&self) -> u64 {
        PICTURE.len() as u64
    }
    async fn open(
        self: Box<Self>,
        range: Range<u64>,
    ) -> std::result::Result<BoxStream<'static, io::Result<Bytes>>, DeliveryError> {
        let part = &PICTURE[range.start as usize..range.end as usize];
        let pieces: Vec<io::Result<Bytes>> = part.chunks(3).map(|piece| Ok(Bytes::from_static(piece))).collect();
        Ok(stream::iter(pieces).boxed())
    }
}

#[async_trait]
impl Deliver for TestDeliver {
    async fn deliver(&self, request: DeliveryRequest) -> std::result::Result<DeliveryAnswer, DeliveryError> {
        self.seen.lock().push(request.clone());
        let (stored, cache) = match request.path.as_str() {
            "/demo/image/upload/cat.jpg" => (false, CachePolicy::Revalidate { max_age: Duration::from_secs(3600) }),
            "/demo/image/upload/v1/cat.jpg" => (false, CachePolicy::Immutable),
            "/demo/image/upload/stored/cat.jpg" => (true, CachePolicy::Immutable),
            "/demo/image/upload/panic.jpg" => panic!("a planned panic"),
            "/demo/image/upload/busy.jpg" => {
                return Err(DeliveryError::Busy { retry_after: Duration::from_secs(2) });
            }
            "/demo/image/upload/slow.jpg" => {
                tokio::time::sleep(Duration::from_secs(3600)).await;
                return Err(DeliveryError::Internal("unreachable in time".to_owned()));
            }
            "/demo/image/upload/w_abc/cat.jpg" => {
                return Err(tintype_render::Error::invalid("width", "abc", 2..5).into());
            }
            "/demo/image/upload/s--wrong---/cat.jpg" => {
                return Err(DeliveryError::Unauthorized("Invalid Signature".to_owned()));
            }
            other => return Err(DeliveryError::NotFound(other.trim_start_matches('/').to_owned())),
        };
        let file =
            FileFacts { width: 4, height: 3, bytes: PICTURE.len() as u64, format: "jpg".to_owned(), created_s: 1000 };
        Ok(DeliveryAnswer {
            body: if stored {
                DeliveryBody::Stored(Box::new(StoredPicture))
            } else {
                DeliveryBody::Bytes(Bytes::from_static(PICTURE))
            },
            content_type: "image/jpeg".to_owned(),
            etag: "781e5e245d69b566979b86e28d23f2c7".to_owned(),
            last_modified_s: 784_111_777,
            cache,
            vary: vec![VaryOn::Accept],
            timings: vec![StageTiming {
                stage: "lookup",
                duration: Duration::from_millis(1),
                description: Some("hit"),
            }],
            content: Some(ContentFacts { file, original: None }),
            attachment: None,
            headers: vec![],
            warning: None,
        })
    }
}
