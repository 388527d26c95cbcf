//! Derived pictures that are removed while their asset stays: by asset, and the least recently used ones.

use std::sync::Arc;

use super::{super::Catalog, clear_garbage, new_cloud, rendered, sorted, upload};
use crate::domain::{AssetId, Derived, Timestamp};

pub(super) async fn run(catalog: &Arc<dyn Catalog>) {
    // Other parts of the suite leave pictures, which this one counts.
    empty(&**catalog).await;
    pictures_of_one_asset_go(&**catalog).await;
    the_least_recently_used_go(&**catalog).await;
    evictions_race_with_renders(catalog).await;
    empty(&**catalog).await;
}

async fn empty(catalog: &dyn Catalog) {
    catalog.evict_derived(0, u32::MAX).await.unwrap();
    let left = catalog.garbage(10_000).await.unwrap();
    clear_garbage(catalog, &left).await;
    assert_eq!(catalog.derived_bytes().await.unwrap(), 0);
}

async fn pictures_of_one_asset_go(catalog: &dyn Catalog) {
    let cloud = new_cloud(catalog, "invalidate").await;
    let asset = catalog.put_asset(&upload(&cloud, "a"), false).await.unwrap().asset;
    let other = catalog.put_asset(&upload(&cloud, "b"), false).await.unwrap().asset;
    let pictures: Vec<_> = (0..3).map(|index| rendered(&asset, index)).collect();
    let kept = rendered(&other, 1);
    for derived in pictures.iter().chain([&kept]) {
        catalog.put_derived(derived).await.unwrap();
    }
    assert_eq!(catalog.derived_bytes().await.unwrap(), 4 * 1234);
    let freed = catalog.delete_derived_of(&asset.id).await.unwrap();
    let blobs: Vec<_> = pictures.iter().map(|derived| derived.blob.clone()).collect();
    assert_eq!(sorted(&freed), sorted(&blobs));
    clear_garbage(catalog, &blobs).await;
    assert_eq!(catalog.derived_of(&asset.id, 10).await.unwrap(), []);
    assert_eq!(catalog.asset_by_id(&asset.id).await.unwrap(), Some(asset.clone()), "the asset is as it was");
    assert_eq!(catalog.derived_of(&other.id, 10).await.unwrap(), [kept]);
    assert_eq!(catalog.delete_derived_of(&asset.id).await.unwrap(), []);
    assert_eq!(catalog.delete_derived_of(&AssetId::random()).await.unwrap(), []);
    assert!(catalog.put_derived(&pictures[0]).await.unwrap().kept, "they can be made again");
    catalog.delete_derived_of(&asset.id).await.unwrap();
    catalog.delete_derived_of(&other.id).await.unwrap();
    let left = catalog.garbage(10_000).await.unwrap();
    clear_garbage(catalog, &left).await;
}

async fn the_least_recently_used_go(catalog: &dyn Catalog) {
    let cloud = new_cloud(catalog, "evict").await;
    let asset = catalog.put_asset(&upload(&cloud, "a"), false).await.unwrap().asset;
    let pictures: Vec<_> = (0..6).map(|index| Derived { bytes: 100, ..rendered(&asset, index) }).collect();
    for derived in &pictures {
        catalog.put_derived(derived).await.unwrap();
    }
    // The oldest two are used again: now 2, 3, 4, 5 go first, and 0 before 1.
    for (index, at) in [(0, 50), (1, 60)] {
        catalog.touch_derived(&[pictures[index].key.clone()], Timestamp::from_unix_micros(at)).await.unwrap();
    }
    for enough in [600, u64::MAX] {
        assert_eq!(catalog.evict_derived(enough, 10).await.unwrap(), Default::default(), "nothing is too much");
    }
    for (most, limit, gone) in [(450, 10, &[2, 3][..]), (0, 1, &[4]), (200, 10, &[5]), (100, 0, &[]), (150, 10, &[0])] {
        let evicted = catalog.evict_derived(most, limit).await.unwrap();
        assert_eq!((evicted.count as usize, evicted.bytes), (gone.len(), gone.len() as u64 * 100), "{most}, {limit}");
        let blobs: Vec<_> = gone.iter().map(|index: &usize| pictures[*index].blob.clone()).collect();
        assert_eq!(sorted(&evicted.freed_blobs), sorted(&blobs), "{most}, {limit}");
        clear_garbage(catalog, &blobs).await;
    }
    assert_eq!(catalog.derived_bytes().await.unwrap(), 100);
    assert!(catalog.derived(&pictures[1].key).await.unwrap().is_some());
    assert!(catalog.asset_by_id(&asset.id).await.unwrap().is_some(), "originals are never evicted");
    catalog.evict_derived(0, 10).await.unwrap();
    clear_garbage(catalog, &[pictures[1].blob.clone()]).await;
}

/// However renders, uses and evictions meet, no blob is lost and none is freed that a row names.
async fn evictions_race_with_renders(catalog: &Arc<dyn Catalog>) {
    let cloud = new_cloud(&**catalog, "evict2").await;
    let asset = catalog.put_asset(&upload(&cloud, "a"), false).await.unwrap().asset;
    let pictures: Vec<_> = (0..24).map(|index| rendered(&asset, index)).collect();
    let keys: Vec<_> = pictures.iter().map(|derived| derived.key.clone()).collect();
    let mut works = Vec::new();
    for (number, derived) in pictures.clone().into_iter().enumerate() {
        let (catalog, keys, asset) = (Arc::clone(catalog), keys.clone(), asset.id.clone());
        works.push(tokio::spawn(async move {
            catalog.put_derived(&derived).await.unwrap();
            match number % 6 {
                1 => drop(catalog.delete_derived_of(&asset).await.unwrap()),
                3 => drop(catalog.evict_derived(3 * 1234, 5).await.unwrap()),
                _ => catalog.touch_derived(&keys, Timestamp::from_unix_micros(number as i64 * 7)).await.unwrap(),
            }
        }));
    }
    for work in works {
        work.await.unwrap();
    }
    let left: Vec<_> = catalog.derived_of(&asset.id, 100).await.unwrap().into_iter().map(|row| row.blob).collect();
    let freed: Vec<_> =
        pictures.iter().map(|derived| derived.blob.clone()).filter(|blob| !left.contains(blob)).collect();
    clear_garbage(&**catalog, &freed).await;
}
