//! What must still be there after a catalog was closed and opened again.

use super::{
    super::{AssetPage, Catalog},
    new_cloud, rendered, upload,
};
use crate::domain::{ApiKey, BlobKey, Cloud, CloudId, Day, Derived, Usage, UsageDelta};

/// Everything that [`fill`] recorded.
#[derive(Debug, PartialEq)]
pub struct Kept {
    cloud: CloudId,
    clouds: Vec<Cloud>,
    keys: Vec<ApiKey>,
    assets: AssetPage,
    derived: Vec<Derived>,
    garbage: Vec<BlobKey>,
    usage: Usage,
    setting: Option<String>,
}

impl Kept {
    /// The secrets of the keys, so that a test can look for them where they must not be.
    pub fn secrets(&self) -> impl Iterator<Item = &str> {
        self.keys.iter().map(|key| key.secret.expose())
    }
}

/// Records something of every kind.
pub async fn fill(catalog: &dyn Catalog) -> Kept {
    let cloud = new_cloud(catalog, "kept").await;
    catalog.add_api_key(&ApiKey::random(cloud.clone())).await.unwrap();
    let first = catalog.put_asset(&upload(&cloud, "猫"), false).await.unwrap().asset;
    catalog.put_derived(&rendered(&first, 3)).await.unwrap();
    let replaced = catalog.put_asset(&upload(&cloud, "b"), false).await.unwrap().asset;
    catalog.put_asset(&upload(&cloud, "b"), true).await.unwrap();
    catalog
        .add_usage(&cloud, Day(7), UsageDelta { transformations: 1, bandwidth_bytes: 2, requests: 3 })
        .await
        .unwrap();
    catalog.set_setting("kept", "ja").await.unwrap();
    let kept = read(catalog, cloud).await;
    assert_eq!((kept.keys.len(), kept.assets.assets.len(), kept.derived.len()), (2, 2, 1));
    assert_eq!((&kept.garbage[..], kept.usage.requests), (&[replaced.blob][..], 3));
    kept
}

/// Asserts that the catalog holds what [`fill`] recorded, and still takes more.
pub async fn check(catalog: &dyn Catalog, kept: &Kept) {
    assert_eq!(&read(catalog, kept.cloud.clone()).await, kept);
    catalog.set_setting("more", "yes").await.unwrap();
}

async fn read(catalog: &dyn Catalog, cloud: CloudId) -> Kept {
    let assets = catalog.list_assets(&cloud, 100, None).await.unwrap();
    let mut derived = Vec::new();
    for asset in &assets.assets {
        derived.extend(catalog.derived_of(&asset.id, 100).await.unwrap());
    }
    Kept {
        clouds: catalog.clouds().await.unwrap(),
        keys: catalog.api_keys(&cloud).await.unwrap(),
        derived,
        garbage: catalog.garbage(100).await.unwrap(),
        usage: catalog.usage(&cloud, Day(0)).await.unwrap(),
        setting: catalog.setting("kept").await.unwrap(),
        assets,
        cloud,
    }
}
