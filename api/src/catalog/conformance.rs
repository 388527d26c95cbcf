//! The suite that every catalog passes. It panics where a catalog breaks a rule; only tests call it.
#![allow(clippy::unwrap_used, clippy::panic)]

mod assets;
mod clouds;
mod copies;
mod derived;
mod epochs;
mod eviction;
mod export;
mod inventory;
mod jobs;
mod library;
mod persistence;
mod search;
mod tenants;
mod usage;

use std::sync::Arc;

use super::{Catalog, library::Library};
use crate::domain::{
    AccessMode, ApiKey, Asset, AssetDetails, AssetKey, BlobKey, Cloud, CloudId, CloudName, DeliveryType, Derived,
    DerivedKey, Moderation, NewAsset, Orientation, PixelSize, PublicId, ResourceType, Timestamp,
};

pub use export::{exported, import};
pub use persistence::{Kept, check, fill};

/// Runs the whole suite on an empty catalog.
pub async fn run<C: Catalog + 'static>(catalog: Arc<C>)
where
    Library: From<Arc<C>>,
{
    let library = Library::from(Arc::clone(&catalog));
    let catalog: Arc<dyn Catalog> = catalog;
    catalog.ping().await.unwrap();
    assert!(catalog.clouds().await.unwrap().is_empty(), "the suite needs an empty catalog");
    clouds::run(&*catalog).await;
    assets::run(&catalog).await;
    eviction::run(&catalog).await;
    derived::run(&catalog).await;
    usage::run(&catalog).await;
    library::run(&*catalog, &library).await;
    search::run(&*catalog, &library).await;
    jobs::run(&*catalog, &library).await;
    tenants::run(&*catalog, &library).await;
    inventory::run(&*catalog, &library).await;
    export::run(&*catalog, &library).await;
    epochs::run(&*catalog, &library).await;
    copies::run(&*catalog, &library).await;
}

/// A point in time that both catalogs must keep to the microsecond.
const UPLOADED: Timestamp = Timestamp::from_unix_micros(1_700_000_000_123_457);

/// A new cloud of its own for one part of the suite.
async fn new_cloud(catalog: &dyn Catalog, name: &str) -> CloudId {
    let cloud = Cloud::new(CloudName::new(name).unwrap());
    catalog.create_cloud(&cloud, &ApiKey::random(cloud.id.clone())).await.unwrap();
    cloud.id
}

fn key(cloud: &CloudId, public_id: &str) -> AssetKey {
    AssetKey {
        cloud: cloud.clone(),
        resource_type: ResourceType::Image,
        delivery_type: DeliveryType::Upload,
        public_id: PublicId::new(public_id).unwrap(),
    }
}

/// An upload with every field set to something that is not its default.
fn upload(cloud: &CloudId, public_id: &str) -> NewAsset {
    NewAsset {
        key: key(cloud, public_id),
        format: "jpg".to_owned(),
        stored_size: PixelSize { width: 4000, height: 3000 },
        orientation: Orientation::new(6).unwrap(),
        has_alpha: true,
        bytes: 5_000_000_000,
        etag: "0123456789abcdef0123456789abcdef".to_owned(),
        blob: BlobKey::random(),
        uploaded_at: UPLOADED,
        original_filename: "Ünder the sea \"1\"'; DROP TABLE assets; --".to_owned(),
        tags: vec!["b".to_owned(), "a".to_owned(), "猫, \"quoted\"".to_owned(), "b".to_owned()],
        context: [("alt", "ein \u{1F600}\n"), ("caption", ""), ("Alt", "|=")]
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into(),
        faces: Some(vec![[0.1 + 0.2, 1e-9, 12345.678901234567, 3.0]]),
        face_coordinates: vec![[1.0, 2.0, 3.0, 4.0], [0.5, 0.25, 1.0 / 3.0, 7.0]],
        custom_coordinates: vec![[9.0, 8.0, 7.0, 6.0]],
        api_key: "123456789012345".to_owned(),
        access_mode: AccessMode::Authenticated,
        asset_folder: "trips/ünder".to_owned(),
        display_name: "A \"lake\"".to_owned(),
        metadata: [("year".to_owned(), serde_json::json!(2025)), ("kinds".to_owned(), serde_json::json!(["a", "b"]))]
            .into_iter()
            .collect(),
        details: AssetDetails {
            moderation: vec![Moderation {
                kind: "manual".to_owned(),
                status: "pending".to_owned(),
                updated_at: UPLOADED.unix_micros(),
            }],
            pages: 3,
            ..AssetDetails::default()
        },
        backup: false,
    }
}

/// A picture derived from the present version of `asset`.
fn rendered(asset: &Asset, created_at: i64) -> Derived {
    Derived {
        key: DerivedKey::from_digest(rand::random()),
        asset: asset.id.clone(),
        version_id: asset.version_id.clone(),
        transformation: "c_fill,w_100/l_text:Arial_20:ünï".to_owned(),
        format: "avif".to_owned(),
        size: PixelSize { width: 100, height: u32::MAX },
        bytes: 1234,
        etag: "fedcba9876543210fedcba9876543210".to_owned(),
        blob: BlobKey::random(),
        created_at: Timestamp::from_unix_micros(created_at),
        last_used_at: Timestamp::from_unix_micros(created_at),
        renderer_revision: u32::MAX,
        profile: "exact".to_owned(),
        backend: "gpu".to_owned(),
        quality: Some(80),
        has_alpha: true,
    }
}

fn sorted(blobs: &[BlobKey]) -> Vec<BlobKey> {
    let mut blobs = blobs.to_vec();
    blobs.sort();
    blobs
}

/// Asserts that exactly `blobs` wait on the garbage list and that no row names one, then takes them off it.
async fn clear_garbage(catalog: &dyn Catalog, blobs: &[BlobKey]) {
    let listed = catalog.garbage(10_000).await.unwrap();
    assert_eq!(sorted(&listed), sorted(blobs), "the garbage list holds exactly the freed blobs");
    for blob in &listed {
        assert!(!catalog.referenced(blob).await.unwrap(), "what is garbage is named by no row");
    }
    catalog.forget_garbage(&listed).await.unwrap();
    assert!(catalog.garbage(10_000).await.unwrap().is_empty());
}
