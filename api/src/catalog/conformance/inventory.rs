//! Rows and the blobs that they name.

use super::{
    super::{Catalog, library::*},
    clear_garbage, new_cloud, rendered, upload,
};
use crate::domain::{BlobKey, CloudId, Timestamp};
use serde_json::json;

pub(super) async fn run(catalog: &dyn Catalog, library: &Library) {
    every_row_is_listed_once(catalog, library).await;
    blobs_without_rows_become_garbage(catalog, library).await;
    rows_without_blobs_go(catalog, library).await;
}

/// Everything of one kind in pages of two, as far as it is of a cloud.
async fn named(library: &Library, holder: Holder, cloud: Option<&CloudId>) -> Vec<NamedBlob> {
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let page = library.named_blobs(holder, after, 2).await.unwrap();
        assert!(page.iter().all(|named| named.holder == holder));
        after = page.last().map(|last| last.place.clone());
        let more = page.len() == 2;
        all.extend(page.into_iter().filter(|named| named.cloud.as_ref() == cloud));
        if !more {
            return all;
        }
    }
}

async fn every_row_is_listed_once(catalog: &dyn Catalog, library: &Library) {
    let cloud = new_cloud(catalog, "inventory").await;
    let mut blobs = Vec::new();
    for index in 0..5 {
        let asset = catalog.put_asset(&upload(&cloud, &format!("a/{index}")), false).await.unwrap().asset;
        catalog.put_derived(&rendered(&asset, 1)).await.unwrap();
        blobs.push(asset.blob);
    }
    let mut listed: Vec<BlobKey> =
        named(library, Holder::Original, Some(&cloud)).await.into_iter().map(|named| named.blob).collect();
    listed.sort();
    blobs.sort();
    assert_eq!(listed, blobs);
    let derived = named(library, Holder::Derived, Some(&cloud)).await;
    assert_eq!(derived.len(), 5);
    assert_eq!((derived[0].bytes, derived[0].cloud_name.as_str()), (1234, "inventory"));
    assert!(derived[0].name.contains("w_100") && derived[0].name.contains("a/"), "{}", derived[0].name);

    // One row for each content: the present one, and those that are kept.
    let mut new = upload(&cloud, "kept");
    new.backup = true;
    let first = catalog.put_asset(&new, false).await.unwrap().asset;
    new.blob = BlobKey::random();
    let second = catalog.put_asset(&new, true).await.unwrap().asset;
    let versions = named(library, Holder::Version, Some(&cloud)).await;
    assert_eq!(versions.len(), 2);
    assert!(versions.iter().any(|named| named.blob == first.blob && named.md5.as_ref() == Some(&first.etag)));
    assert!(versions.iter().any(|named| named.blob == second.blob && named.bytes == second.bytes));
    // A placeholder has no content of its own.
    catalog.delete_asset(&second.key).await.unwrap().unwrap();
    assert!(named(library, Holder::Original, Some(&cloud)).await.iter().all(|named| named.name != "image/upload/kept"));

    let part = |first_byte| Chunk { first_byte, last_byte: first_byte + 9, blob: BlobKey::random() };
    let parts = [part(0), part(10), part(20)];
    for part in &parts {
        library.add_chunk(&cloud, "parts", part.clone(), Some(100), json!({})).await.unwrap();
    }
    let listed = named(library, Holder::Part, None).await;
    for part in &parts {
        assert!(listed.iter().any(|named| named.blob == part.blob && named.bytes == 10 && named.md5.is_none()));
    }
    let garbage = catalog.garbage(1000).await.unwrap();
    catalog.forget_garbage(&garbage).await.unwrap();
    library.drop_row(listed.iter().find(|named| named.blob == parts[0].blob).unwrap()).await.unwrap().unwrap();
    assert!(named(library, Holder::Part, None).await.iter().all(|named| named.blob != parts[2].blob));
    clear_garbage(catalog, &parts.map(|part| part.blob)).await;
}

async fn blobs_without_rows_become_garbage(catalog: &dyn Catalog, library: &Library) {
    let cloud = new_cloud(catalog, "orphans").await;
    let asset = catalog.put_asset(&upload(&cloud, "a"), false).await.unwrap().asset;
    let (orphan, garbage) = (BlobKey::random(), BlobKey::random());
    assert_eq!(library.disown_blobs(std::slice::from_ref(&garbage)).await.unwrap(), std::slice::from_ref(&garbage));
    let all = [asset.blob.clone(), orphan.clone(), garbage.clone()];
    assert_eq!(library.unknown_blobs(&all).await.unwrap(), std::slice::from_ref(&orphan));
    assert_eq!(library.unknown_blobs(&[]).await.unwrap(), []);

    let before = Timestamp::now();
    let mut disowned = library.disown_blobs(&all).await.unwrap();
    disowned.sort();
    let mut expected = vec![orphan.clone(), garbage.clone()];
    expected.sort();
    assert_eq!(disowned, expected, "what a row names is not given away");
    let first = library.garbage_list(None, 1).await.unwrap();
    assert_eq!((first.len(), &first[0].blob), (1, &garbage), "the one that waits longest");
    let second = library.garbage_list(Some(first[0].place), 10).await.unwrap();
    assert_eq!((second.len(), &second[0].blob), (1, &orphan));
    assert!(second[0].since >= before && first[0].since <= before);

    // An upload whose row comes late takes its blob back.
    let mut late = upload(&cloud, "late");
    late.blob = orphan;
    catalog.put_asset(&late, false).await.unwrap();
    clear_garbage(catalog, &[garbage]).await;
}

async fn rows_without_blobs_go(catalog: &dyn Catalog, library: &Library) {
    let cloud = new_cloud(catalog, "lost").await;
    let asset = catalog.put_asset(&upload(&cloud, "a"), false).await.unwrap().asset;
    let picture = rendered(&asset, 1);
    catalog.put_derived(&picture).await.unwrap();
    let derived = named(library, Holder::Derived, Some(&cloud)).await.remove(0);
    assert_eq!(library.drop_row(&derived).await.unwrap(), Some(vec![picture.blob.clone()]));
    assert_eq!(library.drop_row(&derived).await.unwrap(), None, "it is gone");
    assert_eq!(catalog.derived(&picture.key).await.unwrap(), None);

    // A row that names another blob by now stays.
    let original = named(library, Holder::Original, Some(&cloud)).await.remove(0);
    let again = catalog.put_asset(&upload(&cloud, "a"), true).await.unwrap().asset;
    assert_eq!(library.drop_row(&original).await.unwrap(), None);
    let original = named(library, Holder::Original, Some(&cloud)).await.remove(0);
    assert_eq!(library.drop_row(&original).await.unwrap(), Some(vec![again.blob.clone()]));
    assert_eq!(catalog.asset(&again.key).await.unwrap(), None);
    clear_garbage(catalog, &[picture.blob, asset.blob, again.blob]).await;

    // Of an asset with another version a placeholder stays; the version that kept the lost blob goes too.
    let mut new = upload(&cloud, "b");
    new.backup = true;
    let first = catalog.put_asset(&new, false).await.unwrap().asset;
    new.blob = BlobKey::random();
    let second = catalog.put_asset(&new, true).await.unwrap().asset;
    let original = named(library, Holder::Original, Some(&cloud)).await.remove(0);
    assert_eq!(library.drop_row(&original).await.unwrap(), Some(vec![second.blob.clone()]));
    let placeholder = library.asset(&second.key).await.unwrap().unwrap();
    assert!(placeholder.placeholder && placeholder.blob == first.blob);
    let version = named(library, Holder::Version, Some(&cloud)).await.remove(0);
    assert_eq!(version.blob, first.blob);
    assert_eq!(library.drop_row(&version).await.unwrap(), Some(vec![first.blob.clone()]));
    assert_eq!(library.asset(&second.key).await.unwrap(), None, "nothing is left of it");
    clear_garbage(catalog, &[second.blob, first.blob]).await;
}
