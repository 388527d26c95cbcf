//! Derived pictures, and the garbage list.

use std::sync::Arc;

use super::{
    super::{Catalog, CatalogError},
    clear_garbage, new_cloud, rendered, upload,
};
use crate::domain::{AssetId, BlobKey, Derived, DerivedKey, Timestamp, VersionId};

pub(super) async fn run(catalog: &Arc<dyn Catalog>) {
    a_picture_comes_back_whole(&**catalog).await;
    only_the_current_version_has_pictures(&**catalog).await;
    replacing(&**catalog).await;
    newest_first(&**catalog).await;
    uses(&**catalog).await;
    garbage_waits_in_line(&**catalog).await;
    pictures_race_with_overwrites(catalog).await;
    pictures_race_with_each_other(catalog).await;
    clear_garbage(&**catalog, &[]).await;
}

async fn a_picture_comes_back_whole(catalog: &dyn Catalog) {
    let cloud = new_cloud(catalog, "derived").await;
    let asset = catalog.put_asset(&upload(&cloud, "a"), false).await.unwrap().asset;
    let full = rendered(&asset, 17);
    let bare = Derived { quality: None, has_alpha: false, transformation: String::new(), ..rendered(&asset, -17) };
    for derived in [full, bare] {
        let put = catalog.put_derived(&derived).await.unwrap();
        assert_eq!((put.kept, put.freed_blobs), (true, vec![]));
        assert_eq!(catalog.derived(&derived.key).await.unwrap(), Some(derived.clone()));
        assert!(catalog.referenced(&derived.blob).await.unwrap());
    }
    assert_eq!(catalog.derived(&DerivedKey::from_digest([0; 32])).await.unwrap(), None);
    for bad in [
        Derived { transformation: "w_1\0".to_owned(), ..rendered(&asset, 1) },
        Derived { bytes: u64::MAX, ..rendered(&asset, 1) },
    ] {
        let refused = catalog.put_derived(&bad).await;
        assert!(matches!(refused, Err(CatalogError::Invalid { .. })), "{refused:?}");
        assert_eq!(catalog.derived(&bad.key).await.unwrap(), None);
    }
    clear_garbage(catalog, &[]).await;
}

async fn only_the_current_version_has_pictures(catalog: &dyn Catalog) {
    let cloud = new_cloud(catalog, "current").await;
    let old = catalog.put_asset(&upload(&cloud, "a"), false).await.unwrap().asset;
    let late = rendered(&old, 1);
    let current = catalog.put_asset(&upload(&cloud, "a"), true).await.unwrap().asset;
    clear_garbage(catalog, &[old.blob]).await;
    let gone = Derived { asset: AssetId::random(), ..rendered(&current, 1) };
    let strange = Derived { version_id: VersionId::random(), ..rendered(&current, 1) };
    for refused in [late, gone, strange] {
        let put = catalog.put_derived(&refused).await.unwrap();
        assert!(!put.kept);
        assert_eq!(put.freed_blobs, std::slice::from_ref(&refused.blob));
        assert_eq!(catalog.derived(&refused.key).await.unwrap(), None, "nothing was written");
        clear_garbage(catalog, &[refused.blob]).await;
    }
    assert_eq!(catalog.derived_of(&current.id, 10).await.unwrap(), []);
    assert!(catalog.put_derived(&rendered(&current, 1)).await.unwrap().kept);
}

async fn replacing(catalog: &dyn Catalog) {
    let cloud = new_cloud(catalog, "replacing").await;
    let asset = catalog.put_asset(&upload(&cloud, "a"), false).await.unwrap().asset;
    let first = rendered(&asset, 1);
    catalog.put_derived(&first).await.unwrap();
    let again = catalog.put_derived(&first).await.unwrap();
    assert_eq!((again.kept, again.freed_blobs), (true, vec![]), "the same picture again frees nothing");
    let second = Derived { key: first.key.clone(), bytes: 9, quality: None, ..rendered(&asset, 2) };
    let put = catalog.put_derived(&second).await.unwrap();
    assert_eq!((put.kept, &put.freed_blobs[..]), (true, &[first.blob.clone()][..]));
    assert_eq!(catalog.derived(&first.key).await.unwrap(), Some(second.clone()));
    assert_eq!(catalog.derived_of(&asset.id, 10).await.unwrap(), [second]);
    clear_garbage(catalog, &[first.blob]).await;
}

async fn newest_first(catalog: &dyn Catalog) {
    let cloud = new_cloud(catalog, "newest").await;
    let asset = catalog.put_asset(&upload(&cloud, "a"), false).await.unwrap().asset;
    let mut expected = Vec::new();
    for created_at in [5, 1, 9, 3, 9, 7] {
        let derived = rendered(&asset, created_at);
        catalog.put_derived(&derived).await.unwrap();
        expected.push(derived);
    }
    expected.sort_by(|a, b| b.created_at.cmp(&a.created_at).then(a.key.cmp(&b.key)));
    for limit in [0, 1, 4, 6, 100] {
        let listed = catalog.derived_of(&asset.id, limit).await.unwrap();
        assert!(listed.iter().eq(expected.iter().take(limit as usize)), "the newest {limit}");
    }
    assert_eq!(catalog.derived_of(&asset.id, u32::MAX).await.unwrap().len(), 6);
}

async fn uses(catalog: &dyn Catalog) {
    let cloud = new_cloud(catalog, "uses").await;
    let asset = catalog.put_asset(&upload(&cloud, "a"), false).await.unwrap().asset;
    let derived = rendered(&asset, 10);
    catalog.put_derived(&derived).await.unwrap();
    for (at, expected) in [(20, 20), (15, 20), (20, 20), (21, 21)] {
        let keys = [derived.key.clone(), DerivedKey::from_digest([2; 32])];
        catalog.touch_derived(&keys, Timestamp::from_unix_micros(at)).await.unwrap();
        let last_used_at = Timestamp::from_unix_micros(expected);
        let found = catalog.derived(&derived.key).await.unwrap().unwrap();
        assert_eq!(found, Derived { last_used_at, ..derived.clone() });
    }
    catalog.touch_derived(&[DerivedKey::from_digest([1; 32])], Timestamp::now()).await.unwrap();
    catalog.touch_derived(&[], Timestamp::now()).await.unwrap();
}

async fn garbage_waits_in_line(catalog: &dyn Catalog) {
    let cloud = new_cloud(catalog, "line").await;
    let mut blobs = Vec::new();
    for index in 0..5 {
        let new = upload(&cloud, &format!("a{index}"));
        catalog.put_asset(&new, false).await.unwrap();
        catalog.delete_asset(&new.key).await.unwrap();
        blobs.push(new.blob);
    }
    assert_eq!(catalog.garbage(3).await.unwrap(), blobs[..3], "longest waiting first");
    assert_eq!(catalog.garbage(0).await.unwrap(), []);
    catalog.forget_garbage(&[blobs[1].clone(), BlobKey::random()]).await.unwrap();
    blobs.remove(1);
    assert_eq!(catalog.garbage(u32::MAX).await.unwrap(), blobs);
    catalog.forget_garbage(&[]).await.unwrap();
    clear_garbage(catalog, &blobs).await;
}

/// However a render and an overwrite meet, no picture of an old version stays and no blob is lost.
async fn pictures_race_with_overwrites(catalog: &Arc<dyn Catalog>) {
    let cloud = new_cloud(&**catalog, "race").await;
    let mut asset = catalog.put_asset(&upload(&cloud, "a"), false).await.unwrap().asset;
    let mut blobs = vec![asset.blob.clone()];
    for _ in 0..8 {
        let pictures: Vec<_> = (0..6).map(|index| rendered(&asset, index)).collect();
        blobs.extend(pictures.iter().map(|picture| picture.blob.clone()));
        let renders = pictures.into_iter().map(|picture| {
            let catalog = Arc::clone(catalog);
            tokio::spawn(async move { catalog.put_derived(&picture).await.unwrap() })
        });
        let renders: Vec<_> = renders.collect();
        let new = upload(&cloud, "a");
        blobs.push(new.blob.clone());
        asset = catalog.put_asset(&new, true).await.unwrap().asset;
        for render in renders {
            render.await.unwrap();
        }
        assert_eq!(catalog.derived_of(&asset.id, 100).await.unwrap(), [], "no picture of an old version stays");
    }
    blobs.retain(|blob| *blob != asset.blob);
    clear_garbage(&**catalog, &blobs).await;
}

async fn pictures_race_with_each_other(catalog: &Arc<dyn Catalog>) {
    let cloud = new_cloud(&**catalog, "race2").await;
    let asset = catalog.put_asset(&upload(&cloud, "a"), false).await.unwrap().asset;
    let key = DerivedKey::from_digest(rand::random());
    let pictures: Vec<_> = (0..30).map(|index| Derived { key: key.clone(), ..rendered(&asset, index) }).collect();
    let mut blobs: Vec<_> = pictures.iter().map(|picture| picture.blob.clone()).collect();
    let renders: Vec<_> = pictures
        .into_iter()
        .map(|picture| {
            let catalog = Arc::clone(catalog);
            tokio::spawn(async move { catalog.put_derived(&picture).await.unwrap() })
        })
        .collect();
    let mut freed = Vec::new();
    for render in renders {
        let put = render.await.unwrap();
        assert!(put.kept);
        freed.extend(put.freed_blobs);
    }
    let left = catalog.derived(&key).await.unwrap().unwrap();
    blobs.retain(|blob| *blob != left.blob);
    assert_eq!(super::sorted(&freed), super::sorted(&blobs), "every picture but the last was freed, once");
    clear_garbage(&**catalog, &freed).await;
}
