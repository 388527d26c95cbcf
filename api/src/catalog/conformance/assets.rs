//! Uploads: what becomes of them, one after the other and at once; listing.

use std::{collections::BTreeSet, sync::Arc};

use super::{
    super::{AssetCursor, Catalog, CatalogError, PutOutcome},
    UPLOADED, clear_garbage, key, new_cloud, rendered, upload,
};
use crate::domain::{
    Asset, AssetId, AssetKey, BlobKey, CloudId, DeliveryType, NewAsset, ResourceType, Timestamp, VersionId,
};

pub(super) async fn run(catalog: &Arc<dyn Catalog>) {
    an_upload_comes_back_whole(&**catalog).await;
    overwriting_and_refusing(&**catalog).await;
    blobs_that_are_still_named_are_no_garbage(&**catalog).await;
    keys_are_bytes(&**catalog).await;
    what_cannot_be_recorded_is_refused(&**catalog).await;
    faces_belong_to_a_version(&**catalog).await;
    deleting(&**catalog).await;
    listing(&**catalog).await;
    concurrent_uploads(catalog).await;
    concurrent_refusals(catalog).await;
    clear_garbage(&**catalog, &[]).await;
}

/// What an asset must look like after `new` was recorded for it.
fn assert_brings(asset: &Asset, new: &NewAsset) {
    let again = NewAsset {
        key: asset.key.clone(),
        format: asset.format.clone(),
        stored_size: asset.stored_size,
        orientation: asset.orientation,
        has_alpha: asset.has_alpha,
        bytes: asset.bytes,
        etag: asset.etag.clone(),
        blob: asset.blob.clone(),
        uploaded_at: asset.uploaded_at,
        original_filename: asset.original_filename.clone(),
        tags: asset.tags.clone(),
        context: asset.context.clone(),
        faces: asset.faces.clone(),
        face_coordinates: asset.face_coordinates.clone(),
        custom_coordinates: asset.custom_coordinates.clone(),
        api_key: asset.api_key.clone(),
        access_mode: asset.access_mode,
        asset_folder: asset.asset_folder.clone(),
        display_name: asset.display_name.clone(),
        metadata: asset.metadata.clone(),
        details: asset.details.clone(),
        backup: asset.backed_up,
    };
    assert_eq!(&again, new);
    assert_eq!(asset.upright_size, new.orientation.upright(new.stored_size));
}

async fn an_upload_comes_back_whole(catalog: &dyn Catalog) {
    let cloud = new_cloud(catalog, "whole").await;
    let full = upload(&cloud, "full");
    let bare = NewAsset {
        tags: Vec::new(),
        context: Default::default(),
        faces: None,
        face_coordinates: Vec::new(),
        custom_coordinates: Vec::new(),
        api_key: String::new(),
        original_filename: String::new(),
        ..upload(&cloud, "bare")
    };
    let no_faces = NewAsset { faces: Some(Vec::new()), ..upload(&cloud, "no faces") };
    for new in [full, bare, no_faces] {
        let put = catalog.put_asset(&new, false).await.unwrap();
        assert_eq!((put.outcome, put.freed_blobs), (PutOutcome::Created, Vec::new()));
        assert_brings(&put.asset, &new);
        assert_eq!(put.asset.version, 1_700_000_000);
        assert_eq!(put.asset.created_at, UPLOADED);
        assert_eq!(catalog.asset(&new.key).await.unwrap(), Some(put.asset.clone()));
        assert_eq!(catalog.asset_by_id(&put.asset.id).await.unwrap(), Some(put.asset));
        assert!(catalog.referenced(&new.blob).await.unwrap());
    }
    assert_eq!(catalog.asset(&key(&cloud, "missing")).await.unwrap(), None);
    assert_eq!(catalog.asset_by_id(&AssetId::random()).await.unwrap(), None);
    assert!(!catalog.referenced(&BlobKey::random()).await.unwrap());
}

async fn overwriting_and_refusing(catalog: &dyn Catalog) {
    let cloud = new_cloud(catalog, "overwrite").await;
    let first = catalog.put_asset(&upload(&cloud, "a"), true).await.unwrap();
    assert_eq!(first.outcome, PutOutcome::Created);
    let derived = rendered(&first.asset, 1);
    assert!(catalog.put_derived(&derived).await.unwrap().kept);

    let refused = upload(&cloud, "a");
    let existing = catalog.put_asset(&refused, false).await.unwrap();
    assert_eq!((existing.outcome, &existing.asset), (PutOutcome::Existing, &first.asset));
    assert_eq!(existing.freed_blobs, std::slice::from_ref(&refused.blob));
    assert_eq!(catalog.derived(&derived.key).await.unwrap(), Some(derived.clone()), "a refused upload changes nothing");
    clear_garbage(catalog, &[refused.blob]).await;

    // In the same second, then with a clock that went back, then later.
    let mut last = first.asset;
    for (micros, version) in [
        (UPLOADED.unix_micros() + 1, 1_700_000_001),
        (5, 1_700_000_002),
        (-5_000_000, 1_700_000_003),
        (1_800_000_000_000_000, 1_800_000_000),
    ] {
        let new = NewAsset {
            uploaded_at: Timestamp::from_unix_micros(micros),
            format: "png".to_owned(),
            faces: None,
            ..upload(&cloud, "a")
        };
        let put = catalog.put_asset(&new, true).await.unwrap();
        assert_eq!(put.outcome, PutOutcome::Overwritten);
        assert_brings(&put.asset, &new);
        assert_eq!(put.asset.version, version);
        assert_eq!((&put.asset.id, put.asset.created_at), (&last.id, UPLOADED), "identity and birth stay");
        assert_ne!(put.asset.version_id, last.version_id);
        assert_eq!(catalog.asset(&new.key).await.unwrap().as_ref(), Some(&put.asset));
        let mut freed = vec![last.blob.clone()];
        if version == 1_700_000_001 {
            freed.push(derived.blob.clone());
        }
        assert_eq!(super::sorted(&put.freed_blobs), super::sorted(&freed));
        clear_garbage(catalog, &freed).await;
        last = put.asset;
    }
    assert_eq!(catalog.derived(&derived.key).await.unwrap(), None, "an overwrite takes the derived pictures");
}

/// A caller that repeats an upload whose answer was lost must not be told to delete the blob that it recorded.
async fn blobs_that_are_still_named_are_no_garbage(catalog: &dyn Catalog) {
    let cloud = new_cloud(catalog, "repeated").await;
    let new = upload(&cloud, "a");
    catalog.put_asset(&new, false).await.unwrap();
    for overwrite in [false, true] {
        let again = catalog.put_asset(&new, overwrite).await.unwrap();
        assert_eq!(again.freed_blobs, [], "overwrite: {overwrite}");
        assert_eq!(again.asset.blob, new.blob);
    }
    let twin = NewAsset { key: key(&cloud, "twin"), ..new.clone() };
    catalog.put_asset(&twin, false).await.unwrap();
    let deleted = catalog.delete_asset(&new.key).await.unwrap().unwrap();
    assert_eq!(deleted.freed_blobs, [], "another asset names the blob");
    clear_garbage(catalog, &[]).await;
    let deleted = catalog.delete_asset(&twin.key).await.unwrap().unwrap();
    assert_eq!(deleted.freed_blobs, std::slice::from_ref(&new.blob), "the last row is gone");
    catalog.put_asset(&new, false).await.unwrap();
    clear_garbage(catalog, &[]).await;
}

async fn keys_are_bytes(catalog: &dyn Catalog) {
    let cloud = new_cloud(catalog, "bytes").await;
    let other = new_cloud(catalog, "bytes2").await;
    // Composed and decomposed é, full width, final sigma, German ß: all different to the bytes.
    let names = ["cat", "Cat", "CAT", "é", "e\u{301}", "ａ", "a", "ς", "σ", "ß", "ss", "猫/🐈", "a'b\"c", "a_c", "abc"];
    let mut keys: Vec<_> = names.iter().map(|name| key(&cloud, name)).collect();
    keys.push(key(&other, "cat"));
    keys.push(AssetKey { resource_type: ResourceType::Raw, ..key(&cloud, "cat") });
    keys.push(AssetKey { delivery_type: DeliveryType::Private, ..key(&cloud, "cat") });
    let mut ids = BTreeSet::new();
    for key in &keys {
        let put = catalog.put_asset(&NewAsset { key: key.clone(), ..upload(&cloud, "x") }, false).await.unwrap();
        assert_eq!(put.outcome, PutOutcome::Created, "{key:?}");
        ids.insert(put.asset.id);
    }
    assert_eq!(ids.len(), keys.len());
    for key in &keys {
        assert_eq!(&catalog.asset(key).await.unwrap().unwrap().key, key);
    }
}

async fn what_cannot_be_recorded_is_refused(catalog: &dyn Catalog) {
    let cloud = new_cloud(catalog, "refused").await;
    let good = upload(&cloud, "a");
    let missing = upload(&CloudId::random(), "a");
    let refused = catalog.put_asset(&missing, true).await;
    assert!(matches!(refused, Err(CatalogError::NotFound("the cloud"))), "{refused:?}");
    let nul = || "a\0b".to_owned();
    for bad in [
        NewAsset { original_filename: nul(), ..good.clone() },
        NewAsset { tags: vec![nul()], ..good.clone() },
        NewAsset { context: [(nul(), String::new())].into(), ..good.clone() },
        NewAsset { etag: nul(), ..good.clone() },
        NewAsset { bytes: 1 << 63, ..good.clone() },
        NewAsset { face_coordinates: vec![[f64::NAN, 0.0, 1.0, 1.0]], ..good.clone() },
        NewAsset { faces: Some(vec![[0.0, f64::INFINITY, 1.0, 1.0]]), ..good.clone() },
    ] {
        let refused = catalog.put_asset(&bad, true).await;
        assert!(matches!(refused, Err(CatalogError::Invalid { .. })), "{refused:?}");
    }
    assert_eq!(catalog.asset(&good.key).await.unwrap(), None, "nothing of them was recorded");
    let most = NewAsset { bytes: (1 << 63) - 1, ..good };
    assert_eq!(catalog.put_asset(&most, true).await.unwrap().asset.bytes, (1 << 63) - 1);
    catalog.delete_asset(&most.key).await.unwrap();
    clear_garbage(catalog, &[most.blob]).await;
}

async fn faces_belong_to_a_version(catalog: &dyn Catalog) {
    let cloud = new_cloud(catalog, "faces").await;
    let asset = catalog.put_asset(&upload(&cloud, "a"), false).await.unwrap().asset;
    for faces in [vec![], vec![[0.1, 0.2, 0.3, 1.0 / 3.0], [1.0, 2.0, 3.0, 4.0]]] {
        assert!(catalog.set_faces(&asset.id, &asset.version_id, &faces).await.unwrap());
        let expected = Asset { faces: Some(faces), ..asset.clone() };
        assert_eq!(catalog.asset_by_id(&asset.id).await.unwrap(), Some(expected));
    }
    let before = catalog.asset_by_id(&asset.id).await.unwrap();
    assert!(!catalog.set_faces(&asset.id, &VersionId::random(), &[]).await.unwrap());
    assert!(!catalog.set_faces(&AssetId::random(), &asset.version_id, &[]).await.unwrap());
    let refused = catalog.set_faces(&asset.id, &asset.version_id, &[[f64::NAN; 4]]).await;
    assert!(matches!(refused, Err(CatalogError::Invalid { .. })));
    assert_eq!(catalog.asset_by_id(&asset.id).await.unwrap(), before);
}

async fn deleting(catalog: &dyn Catalog) {
    let cloud = new_cloud(catalog, "deleting").await;
    let other = catalog.put_asset(&upload(&cloud, "other"), false).await.unwrap().asset;
    let others = rendered(&other, 1);
    catalog.put_derived(&others).await.unwrap();
    let asset = catalog.put_asset(&upload(&cloud, "a"), false).await.unwrap().asset;
    let mut blobs = vec![asset.blob.clone()];
    for created_at in 0..3 {
        let derived = rendered(&asset, created_at);
        catalog.put_derived(&derived).await.unwrap();
        blobs.push(derived.blob);
    }
    let deleted = catalog.delete_asset(&asset.key).await.unwrap().unwrap();
    assert_eq!(deleted.asset, asset);
    assert_eq!(super::sorted(&deleted.freed_blobs), super::sorted(&blobs));
    assert_eq!(catalog.asset(&asset.key).await.unwrap(), None);
    assert_eq!(catalog.derived_of(&asset.id, 10).await.unwrap(), []);
    assert_eq!(catalog.derived(&others.key).await.unwrap(), Some(others), "other assets keep theirs");
    clear_garbage(catalog, &blobs).await;
    assert_eq!(catalog.delete_asset(&asset.key).await.unwrap(), None);

    let again = catalog.put_asset(&upload(&cloud, "a"), false).await.unwrap();
    assert_eq!(again.outcome, PutOutcome::Created);
    assert_ne!(again.asset.id, asset.id);
    clear_garbage(catalog, &[]).await;
}

async fn listing(catalog: &dyn Catalog) {
    let cloud = new_cloud(catalog, "listing").await;
    let names = ["b", "B", "a/b", "a", "a b", "a-b", "aa", "é", "e\u{301}", "z", "猫", "🐈", "ﬀ", "0", "10", "9", "_"];
    let mut expected = Vec::new();
    for name in names {
        for delivery_type in [DeliveryType::Upload, DeliveryType::Private, DeliveryType::Authenticated] {
            let new = NewAsset { key: AssetKey { delivery_type, ..key(&cloud, name) }, ..upload(&cloud, name) };
            expected.push(catalog.put_asset(&new, false).await.unwrap().asset);
        }
    }
    expected.sort_by(|a, b| (a.key.public_id.as_str(), &a.id).cmp(&(b.key.public_id.as_str(), &b.id)));
    for limit in [1, 2, 7, 50, 51, 52, u32::MAX] {
        let (mut found, mut after) = (Vec::new(), None::<AssetCursor>);
        loop {
            let page = catalog.list_assets(&cloud, limit, after.as_ref()).await.unwrap();
            assert!(page.assets.len() <= limit as usize);
            assert!(page.next.is_none() || !page.assets.is_empty(), "a page that is not the last goes on");
            found.extend(page.assets);
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert!(found == expected, "pages of {limit} hold every asset once, in the order of bytes");
    }
    let exact = catalog.list_assets(&cloud, 51, None).await.unwrap();
    assert_eq!(exact.next, None, "a full last page is the last");
    assert!(catalog.list_assets(&cloud, 0, None).await.unwrap().assets.is_empty());
    assert!(catalog.list_assets(&CloudId::random(), 10, None).await.unwrap().assets.is_empty());

    // A cursor stays good when its asset is deleted.
    let page = catalog.list_assets(&cloud, 5, None).await.unwrap();
    let last = page.assets.last().unwrap();
    catalog.delete_asset(&last.key).await.unwrap();
    let rest = catalog.list_assets(&cloud, 100, page.next.as_ref()).await.unwrap();
    assert!(rest.assets == expected[5..]);
    clear_garbage(catalog, std::slice::from_ref(&last.blob)).await;
}

async fn concurrent_uploads(catalog: &Arc<dyn Catalog>) {
    let cloud = new_cloud(&**catalog, "concurrent").await;
    let uploads: Vec<_> = (0..50)
        .map(|_| {
            let (catalog, new) = (Arc::clone(catalog), upload(&cloud, "same"));
            tokio::spawn(async move { (catalog.put_asset(&new, true).await.unwrap(), new.blob) })
        })
        .collect();
    let (mut created, mut versions, mut freed, mut blobs) = (0, BTreeSet::new(), Vec::new(), Vec::new());
    let mut ids = BTreeSet::new();
    let mut version_ids = BTreeSet::new();
    for upload in uploads {
        let (put, blob) = upload.await.unwrap();
        created += usize::from(put.outcome == PutOutcome::Created);
        assert_ne!(put.outcome, PutOutcome::Existing);
        versions.insert(put.asset.version);
        version_ids.insert(put.asset.version_id);
        ids.insert(put.asset.id);
        freed.extend(put.freed_blobs);
        blobs.push(blob);
    }
    assert_eq!(created, 1, "exactly one upload creates the asset");
    let expected: BTreeSet<u64> = (1_700_000_000..1_700_000_050).collect();
    assert_eq!(versions, expected, "every overwrite has a version of its own, one more than the one before");
    assert_eq!((ids.len(), version_ids.len()), (1, 50));
    let asset = catalog.asset(&key(&cloud, "same")).await.unwrap().unwrap();
    assert_eq!(asset.version, 1_700_000_049, "the last version is the highest");
    blobs.retain(|blob| *blob != asset.blob);
    assert_eq!(super::sorted(&freed), super::sorted(&blobs), "every blob but the last was freed, once");
    clear_garbage(&**catalog, &freed).await;
}

async fn concurrent_refusals(catalog: &Arc<dyn Catalog>) {
    let cloud = new_cloud(&**catalog, "concurrent2").await;
    let uploads: Vec<_> = (0..50)
        .map(|_| {
            let (catalog, new) = (Arc::clone(catalog), upload(&cloud, "same"));
            tokio::spawn(async move { (catalog.put_asset(&new, false).await.unwrap(), new.blob) })
        })
        .collect();
    let (mut winners, mut freed) = (Vec::new(), Vec::new());
    for upload in uploads {
        let (put, blob) = upload.await.unwrap();
        if put.outcome == PutOutcome::Created {
            winners.push(blob);
        } else {
            assert_eq!((put.outcome, &put.freed_blobs[..]), (PutOutcome::Existing, &[blob][..]));
            freed.extend(put.freed_blobs);
        }
    }
    assert_eq!((winners.len(), freed.len()), (1, 49));
    let asset = catalog.asset(&key(&cloud, "same")).await.unwrap().unwrap();
    assert_eq!((asset.version, &asset.blob), (1_700_000_000, &winners[0]));
    clear_garbage(&**catalog, &freed).await;
}
