//! The media library: lists, labels, changes, backups, folders, definitions.

use serde_json::json;

use super::{super::library::*, clear_garbage, key, new_cloud, rendered, upload};
use crate::{
    catalog::{Catalog, PutOutcome},
    domain::{Asset, AssetDetails, AssetKey, BlobKey, CloudId, NewAsset, PublicId, ResourceType, Timestamp},
};

pub(super) async fn run(catalog: &dyn Catalog, library: &Library) {
    lists(catalog, library).await;
    changes(catalog, library).await;
    renaming(catalog, library).await;
    backups(catalog, library).await;
    derived(catalog, library).await;
    folders(catalog, library).await;
    definitions(catalog, library).await;
    relations(catalog, library).await;
    chunks(catalog, library).await;
    clear_garbage(catalog, &[]).await;
}

/// A plain upload at a second of its own.
fn plain(cloud: &CloudId, public_id: &str, second: i64) -> NewAsset {
    NewAsset {
        uploaded_at: Timestamp::from_unix_seconds(1_700_000_000 + second),
        tags: Vec::new(),
        context: Default::default(),
        metadata: Default::default(),
        details: AssetDetails::default(),
        asset_folder: String::new(),
        ..upload(cloud, public_id)
    }
}

async fn put(catalog: &dyn Catalog, new: NewAsset) -> Asset {
    let put = catalog.put_asset(&new, false).await.unwrap();
    assert_eq!(put.outcome, PutOutcome::Created);
    put.asset
}

fn ids(assets: &[Asset]) -> Vec<&str> {
    assets.iter().map(|asset| asset.key.public_id.as_str()).collect()
}

async fn lists(catalog: &dyn Catalog, library: &Library) {
    let cloud = new_cloud(catalog, "lists").await;
    let other = new_cloud(catalog, "lists-other").await;
    let tags = |tags: &[&str]| tags.iter().map(|tag| (*tag).to_owned()).collect::<Vec<_>>();
    let long = "x".repeat(3000);
    let news = [
        NewAsset { tags: tags(&["b", "a"]), asset_folder: "one".into(), ..plain(&cloud, "dir/1", 1) },
        NewAsset {
            tags: tags(&["ab", "a"]),
            asset_folder: "one/two".into(),
            context: [("alt".to_owned(), long.clone())].into(),
            ..plain(&cloud, "dir/2", 2)
        },
        NewAsset { asset_folder: "onetwo".into(), ..plain(&cloud, "dis", 3) },
        NewAsset {
            key: AssetKey { resource_type: ResourceType::Raw, ..key(&cloud, "dir/raw.txt") },
            tags: tags(&["only-raw"]),
            ..plain(&cloud, "x", 4)
        },
        NewAsset {
            context: [("alt".to_owned(), "yes".to_owned())].into(),
            details: upload(&cloud, "x").details,
            ..plain(&cloud, "zoo", 5)
        },
    ];
    let mut assets = Vec::new();
    for new in news {
        assets.push(put(catalog, new).await);
    }
    put(catalog, NewAsset { tags: tags(&["a"]), ..plain(&other, "dir/1", 9) }).await;
    let all = AssetFilter::all(cloud.clone());
    let select = |selection: Selection| AssetFilter { selection, ..all.clone() };
    let context = |value: Option<&str>| Selection::Context { key: "alt".into(), value: value.map(str::to_owned) };
    let moderation = |status: &str| Selection::Moderation { kind: "manual".into(), status: status.into() };
    let expected: Vec<(AssetFilter, &[&str])> = vec![
        (all.clone(), &["zoo", "dir/raw.txt", "dis", "dir/2", "dir/1"]),
        (AssetFilter { ascending: true, ..all.clone() }, &["dir/1", "dir/2", "dis", "dir/raw.txt", "zoo"]),
        (AssetFilter { resource_type: Some(ResourceType::Raw), ..all.clone() }, &["dir/raw.txt"]),
        (AssetFilter { start_at: Some(assets[1].created_at), ..all.clone() }, &["dir/2", "dir/1"]),
        (AssetFilter { start_at: Some(assets[3].created_at), ascending: true, ..all.clone() }, &["dir/raw.txt", "zoo"]),
        (select(Selection::Prefix("dir/".into())), &["dir/raw.txt", "dir/2", "dir/1"]),
        (select(Selection::Prefix("%".into())), &[]),
        (select(Selection::PublicIds(vec!["dis".into(), "nope".into(), "dir/1".into()])), &["dis", "dir/1"]),
        (select(Selection::AssetIds(vec![assets[4].id.clone()])), &["zoo"]),
        (select(Selection::Tag("a".into())), &["dir/2", "dir/1"]),
        (select(Selection::Tag("A".into())), &[]),
        (select(context(None)), &["zoo", "dir/2"]),
        (select(context(Some(&long))), &["dir/2"]),
        (select(context(Some(&long[1..]))), &[]),
        (select(moderation("pending")), &["zoo"]),
        (select(moderation("approved")), &[]),
        (select(Selection::AssetFolder("one".into())), &["dir/1"]),
        (select(Selection::AssetFolderTree("one".into())), &["dir/2", "dir/1"]),
    ];
    for (filter, wanted) in expected {
        let page = library.list(&filter, 100, None).await.unwrap();
        assert_eq!((ids(&page.assets), page.next), (wanted.to_vec(), None), "{filter:?}");
        assert_eq!(library.count(&filter).await.unwrap(), wanted.len() as u64, "{filter:?}");
        // The same in pages of one.
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let page = library.list(&filter, 1, after).await.unwrap();
            assert!(page.assets.len() <= 1);
            seen.extend(page.assets);
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(ids(&seen), wanted, "{filter:?}");
    }
    let tags = library.tags(&cloud, ResourceType::Image, "", "", 10).await.unwrap();
    assert_eq!(tags, TagPage { tags: vec!["a".into(), "ab".into(), "b".into()], more: false });
    let tags = library.tags(&cloud, ResourceType::Image, "a", "", 1).await.unwrap();
    assert_eq!(tags, TagPage { tags: vec!["a".into()], more: true });
    let tags = library.tags(&cloud, ResourceType::Image, "a", "a", 1).await.unwrap();
    assert_eq!(tags, TagPage { tags: vec!["ab".into()], more: false });
    assert_eq!(library.asset_by_id(&other, &assets[0].id).await.unwrap(), None, "clouds do not see each other");
}

async fn changes(catalog: &dyn Catalog, library: &Library) {
    let cloud = new_cloud(catalog, "changes").await;
    let asset = put(catalog, plain(&cloud, "a", 1)).await;
    let keys = [asset.key.clone(), key(&cloud, "missing")];
    let changed = library
        .change_assets(&keys, |asset| {
            asset.tags = vec!["new".to_owned()];
            asset.display_name = "Shown".to_owned();
            asset.asset_folder = "made/by change".to_owned();
            true
        })
        .await
        .unwrap();
    assert_eq!(changed.len(), 1);
    assert_eq!(library.asset(&asset.key).await.unwrap().as_ref(), changed.first());
    assert!(changed[0].updated_at > asset.updated_at && changed[0].created_at == asset.created_at);
    assert_eq!(changed[0].details.touched.keys().collect::<Vec<_>>(), ["tags_updated_at"]);
    assert_eq!(library.tags(&cloud, ResourceType::Image, "", "", 9).await.unwrap().tags, ["new"]);
    assert!(library.folder(&cloud, "made/by change").await.unwrap().is_some());
    let same = library.change_assets(&keys[..1], |asset| std::mem::take(&mut asset.tags).is_empty()).await.unwrap();
    assert_eq!(same[0], changed[0], "a change that reports nothing writes nothing");
    assert!(library.reindex().await.unwrap() >= 1);
    assert_eq!(library.tags(&cloud, ResourceType::Image, "", "", 9).await.unwrap().tags, ["new"]);
}

async fn renaming(catalog: &dyn Catalog, library: &Library) {
    let cloud = new_cloud(catalog, "renaming").await;
    let (from, to) = (put(catalog, plain(&cloud, "from", 1)).await, put(catalog, plain(&cloud, "to", 2)).await);
    let picture = rendered(&from, 5);
    assert!(catalog.put_derived(&picture).await.unwrap().kept);
    let missing = library.rename(&key(&cloud, "nope"), &key(&cloud, "b"), true, false).await.unwrap();
    assert_eq!(missing, Renamed::Missing);
    assert_eq!(library.rename(&from.key, &to.key, false, false).await.unwrap(), Renamed::Taken);
    let Renamed::Done { asset, mut freed_blobs } = library.rename(&from.key, &to.key, true, false).await.unwrap()
    else {
        panic!("the target was to be replaced");
    };
    assert_eq!((&asset.id, &asset.key, asset.version), (&from.id, &to.key, from.version));
    let mut wanted = vec![to.blob.clone(), picture.blob.clone()];
    wanted.sort();
    freed_blobs.sort();
    assert_eq!(freed_blobs, wanted);
    assert_eq!(catalog.asset(&from.key).await.unwrap(), None);
    assert_eq!(catalog.asset(&to.key).await.unwrap(), Some(*asset));
    clear_garbage(catalog, &wanted).await;
}

async fn backups(catalog: &dyn Catalog, library: &Library) {
    let cloud = new_cloud(catalog, "backups").await;
    let removal = |id: &str| Removal::Key(key(&cloud, id));
    assert_eq!(library.remove(&removal("nope")).await.unwrap(), None);
    let bare = put(catalog, plain(&cloud, "bare", 1)).await;
    let removed = library.remove(&Removal::Id(cloud.clone(), bare.id.clone())).await.unwrap().unwrap();
    assert_eq!((removed.asset, removed.freed_blobs), (bare.clone(), vec![bare.blob.clone()]));
    clear_garbage(catalog, &[bare.blob]).await;

    let first = put(catalog, NewAsset { backup: true, tags: vec!["t".into()], ..plain(&cloud, "kept", 1) }).await;
    let again = NewAsset { backup: true, ..plain(&cloud, "kept", 2) };
    let second = catalog.put_asset(&again, true).await.unwrap();
    assert_eq!((second.outcome, second.freed_blobs), (PutOutcome::Overwritten, Vec::new()));
    let third = catalog.put_asset(&plain(&cloud, "kept", 3), true).await.unwrap().asset;
    let versions = library.versions(&first.id).await.unwrap();
    assert_eq!(versions.iter().map(|v| &v.blob).collect::<Vec<_>>(), [&first.blob, &again.blob]);
    let removed = library.remove(&removal("kept")).await.unwrap().unwrap();
    assert_eq!(removed.freed_blobs, std::slice::from_ref(&third.blob), "only what no backup holds is freed");
    assert_eq!(catalog.asset(&first.key).await.unwrap(), None, "a placeholder is not delivered");
    assert!(library.asset(&first.key).await.unwrap().unwrap().placeholder);
    assert!(library.list(&AssetFilter::all(cloud.clone()), 9, None).await.unwrap().assets.is_empty());
    assert_eq!(library.remove(&removal("kept")).await.unwrap(), None);
    let (restored, freed) = library.restore(&cloud, &first.id, None).await.unwrap().unwrap();
    assert_eq!((&restored.blob, freed), (&again.blob, Vec::new()));
    assert!(restored.version > third.version && !restored.placeholder);
    assert_eq!(catalog.asset(&first.key).await.unwrap(), Some(restored.clone()));
    let version = Some(first.version_id.clone());
    let (restored, _) = library.restore(&cloud, &first.id, version).await.unwrap().unwrap();
    assert_eq!(restored.blob, first.blob);
    assert_eq!(library.restore(&cloud, &bare.id, None).await.unwrap(), None);

    library.remove(&removal("kept")).await.unwrap().unwrap();
    // The newest version is what the placeholder stands on.
    let both: Vec<_> = versions.iter().map(|version| version.version_id.clone()).collect();
    let (found, mut freed) = library.delete_versions(&cloud, &first.id, &both[1..]).await.unwrap().unwrap();
    assert_eq!((found, &freed[..]), (vec![true], &[again.blob.clone()][..]));
    let (found, more) = library.delete_versions(&cloud, &first.id, &both).await.unwrap().unwrap();
    assert_eq!(found, [true, false]);
    assert_eq!(more, std::slice::from_ref(&first.blob));
    assert_eq!(library.asset(&first.key).await.unwrap(), None, "a placeholder goes with its last version");
    freed.extend([third.blob, first.blob]);
    clear_garbage(catalog, &freed).await;
    // Where a placeholder stood, an upload makes the asset anew.
    put(catalog, NewAsset { backup: true, ..plain(&cloud, "twice", 1) }).await;
    library.remove(&removal("twice")).await.unwrap().unwrap();
    let anew = catalog.put_asset(&plain(&cloud, "twice", 2), false).await.unwrap();
    assert_eq!(anew.outcome, PutOutcome::Created);
}

async fn derived(catalog: &dyn Catalog, library: &Library) {
    let cloud = new_cloud(catalog, "library-derived").await;
    let asset = put(catalog, plain(&cloud, "a", 1)).await;
    let mut pictures = Vec::new();
    for created in 1..=3 {
        let mut picture = rendered(&asset, created);
        picture.transformation = format!("w_{created}");
        assert!(catalog.put_derived(&picture).await.unwrap().kept);
        pictures.push(picture);
    }
    let of = DerivedOf::Asset(asset.id.clone());
    let page = library.derived_page(&cloud, of.clone(), 2, None).await.unwrap();
    let seen: Vec<_> = page.derived.iter().map(|(picture, _)| picture.created_at.unix_micros()).collect();
    assert_eq!(seen, [3, 2]);
    let page = library.derived_page(&cloud, of, 2, page.next).await.unwrap();
    assert_eq!((page.derived.len(), page.next), (1, None));
    let of = DerivedOf::Transformation("w_2".into());
    let page = library.derived_page(&cloud, of, 9, None).await.unwrap();
    assert_eq!(page.derived, [(pictures[1].clone(), asset.clone())]);
    assert_eq!(library.used_transformations(&cloud, "w_1", 9).await.unwrap(), ["w_2", "w_3"]);
    let id = pictures[0].key.as_str()[..32].to_owned();
    let other = new_cloud(catalog, "library-derived-other").await;
    let (found, freed) = library.delete_derived(&other, std::slice::from_ref(&id)).await.unwrap();
    assert_eq!((found, freed), (vec![false], Vec::new()), "clouds do not see each other");
    let (found, freed) = library.delete_derived(&cloud, &[id, "%".into()]).await.unwrap();
    assert_eq!((found, freed), (vec![true, false], vec![pictures[0].blob.clone()]));
    let only = Some(vec!["w_2".to_owned(), "w_9".to_owned()]);
    let (count, freed) = library.delete_derived_of(&asset.id, only).await.unwrap();
    assert_eq!((count, freed), (1, vec![pictures[1].blob.clone()]));
    assert_eq!(library.delete_derived_of(&asset.id, None).await.unwrap().0, 1);
    let blobs: Vec<_> = pictures.iter().map(|picture| picture.blob.clone()).collect();
    clear_garbage(catalog, &blobs).await;
}

async fn folders(catalog: &dyn Catalog, library: &Library) {
    let cloud = new_cloud(catalog, "folders").await;
    library.create_folder(&cloud, "a/b/c").await.unwrap();
    library.create_folder(&cloud, "a/b").await.unwrap();
    library.create_folder(&cloud, "ab").await.unwrap();
    let names = |folders: &[Folder]| folders.iter().map(|f| (f.name.clone(), f.path.clone())).collect::<Vec<_>>();
    let (root, count) = library.subfolders(&cloud, "", "", 9).await.unwrap();
    assert_eq!((names(&root), count), (vec![("a".into(), "a".into()), ("ab".into(), "ab".into())], 2));
    assert_eq!(library.subfolders(&cloud, "", "a", 9).await.unwrap().0.len(), 1);
    put(catalog, NewAsset { asset_folder: "a/b/c/d".into(), ..plain(&cloud, "x", 1) }).await;
    assert_eq!(library.remove_folder(&cloud, "a", false).await.unwrap(), FolderRemoval::NotEmpty);
    assert_eq!(library.remove_folder(&cloud, "nope", false).await.unwrap(), FolderRemoval::Missing);
    assert!(!library.move_folder(&cloud, "nope", "z").await.unwrap());
    let before = library.folder(&cloud, "a/b").await.unwrap().unwrap();
    assert!(library.move_folder(&cloud, "a/b", "z/y").await.unwrap());
    assert_eq!(library.folder(&cloud, "a/b").await.unwrap(), None);
    let after = library.folder(&cloud, "z/y").await.unwrap().unwrap();
    assert_eq!((after.external_id, after.created_at), (before.external_id, before.created_at));
    let asset = library.asset(&key(&cloud, "x")).await.unwrap().unwrap();
    assert_eq!(asset.asset_folder, "z/y/c/d");
    assert!(library.folder(&cloud, "z/y/c/d").await.unwrap().is_some());
    assert_eq!(library.remove_folder(&cloud, "a", false).await.unwrap(), FolderRemoval::Done(vec!["a".into()]));
    library.create_folder(&cloud, "p/q").await.unwrap();
    let gone = FolderRemoval::Done(vec!["p".into(), "p/q".into()]);
    put(catalog, plain(&cloud, "p/x", 2)).await;
    assert_eq!(library.remove_folder(&cloud, "p", true).await.unwrap(), FolderRemoval::NotEmpty);
    assert_eq!(library.remove_folder(&cloud, "p", false).await.unwrap(), gone);
}

async fn definitions(catalog: &dyn Catalog, library: &Library) {
    use DefinitionKind::{Trigger, UploadPreset};
    let cloud = new_cloud(catalog, "definitions").await;
    let body = json!({ "z": 1, "a": [true, "ü"] });
    assert!(library.define(&cloud, UploadPreset, "p", body.clone()).await.unwrap());
    assert!(!library.define(&cloud, UploadPreset, "p", json!({})).await.unwrap());
    assert!(library.define(&cloud, Trigger, "p", json!({})).await.unwrap());
    assert!(library.define(&cloud, UploadPreset, "pq", json!({})).await.unwrap());
    let found = library.definition(&cloud, UploadPreset, "p").await.unwrap().unwrap();
    assert_eq!((found.name.as_str(), &found.body, found.created_at), ("p", &body, found.updated_at));
    let page = library.definitions(&cloud, UploadPreset, "", "", 1).await.unwrap();
    assert!(page.more && page.definitions == [found]);
    let page = library.definitions(&cloud, UploadPreset, "", "p", 1).await.unwrap();
    assert!(!page.more && page.definitions[0].name == "pq");
    let refuse = |_: &mut serde_json::Value| Err("no");
    assert_eq!(library.redefine(&cloud, UploadPreset, "p", refuse).await.unwrap(), Some(Err("no")));
    let change = |body: &mut serde_json::Value| {
        body["z"] = json!(2);
        Ok::<_, ()>(())
    };
    let changed = library.redefine(&cloud, UploadPreset, "p", change).await.unwrap().unwrap().unwrap();
    assert_eq!(changed, json!({ "z": 2, "a": [true, "ü"] }));
    assert_eq!(library.redefine(&cloud, UploadPreset, "nope", change).await.unwrap(), None);
    assert!(library.undefine(&cloud, UploadPreset, "p").await.unwrap());
    assert!(!library.undefine(&cloud, UploadPreset, "p").await.unwrap());
    assert!(library.definition(&cloud, Trigger, "p").await.unwrap().is_some());
}

async fn relations(catalog: &dyn Catalog, library: &Library) {
    let cloud = new_cloud(catalog, "relations").await;
    let mut assets = Vec::new();
    for (second, id) in ["a", "b", "c"].into_iter().enumerate() {
        assets.push(put(catalog, plain(&cloud, id, second as i64)).await);
    }
    let [a, b, c] = [0, 1, 2].map(|index| assets[index].id.clone());
    assert!(library.relate(&a, &b).await.unwrap() && library.relate(&a, &c).await.unwrap());
    assert!(!library.relate(&b, &a).await.unwrap(), "relations hold both ways");
    let (one, more) = library.related(&cloud, &a, "", 1).await.unwrap();
    let (two, end) = library.related(&cloud, &a, one[0].id.as_str(), 1).await.unwrap();
    assert!(more && !end && one[0].id != two[0].id);
    assert_eq!(ids(&library.related(&cloud, &b, "", 9).await.unwrap().0), ["a"]);
    assert!(library.unrelate(&b, &a).await.unwrap() && !library.unrelate(&a, &b).await.unwrap());
    let public_id = PublicId::new("c").unwrap();
    let removed =
        library.remove(&Removal::Key(AssetKey { public_id, ..assets[0].key.clone() })).await.unwrap().unwrap();
    assert!(library.related(&cloud, &a, "", 9).await.unwrap().0.is_empty(), "relations go with an asset");
    clear_garbage(catalog, &removed.freed_blobs).await;
}

async fn chunks(catalog: &dyn Catalog, library: &Library) {
    let cloud = new_cloud(catalog, "chunks").await;
    let chunk = |first_byte, last_byte| Chunk { first_byte, last_byte, blob: BlobKey::random() };
    let add = async |chunk: &Chunk, total| {
        library.add_chunk(&cloud, "u", chunk.clone(), total, json!({ "first": chunk.first_byte })).await.unwrap()
    };
    let (one, two, three) = (chunk(0, 9), chunk(10, 19), chunk(20, 24));
    // Out of order; what was noted with the chunk that came first stays.
    let ChunkOutcome::Incomplete { received, body, id, .. } = add(&two, None).await else { panic!("not complete") };
    assert_eq!((received, body), (10, json!({ "first": 10 })));
    assert!(matches!(add(&three, Some(25)).await, ChunkOutcome::Incomplete { received: 15, .. }));
    let wrong = chunk(5, 12);
    assert_eq!(add(&wrong, None).await, ChunkOutcome::Overlap);
    let again = chunk(10, 19);
    let ChunkOutcome::Incomplete { freed_blobs, .. } = add(&again, None).await else { panic!("not complete") };
    assert_eq!(freed_blobs, std::slice::from_ref(&two.blob), "a chunk that comes again replaces itself");
    let ChunkOutcome::Complete { chunks, total, body, .. } = add(&one, None).await else { panic!("complete") };
    assert_eq!((chunks, total), (vec![one.clone(), again.clone(), three.clone()], 25));
    assert_eq!(body, json!({ "first": 10 }));
    let late = chunk(20, 24);
    assert_eq!(add(&late, Some(25)).await, ChunkOutcome::Busy);
    library.release_chunks(&id).await.unwrap();
    let last = chunk(20, 24);
    assert!(matches!(add(&last, Some(25)).await, ChunkOutcome::Complete { .. }), "another call may join them");
    let mut freed = library.forget_chunks(&id).await.unwrap();
    freed.sort();
    let mut wanted = vec![one.blob.clone(), again.blob.clone(), last.blob.clone()];
    wanted.sort();
    assert_eq!(freed, wanted);
    let stale = chunk(0, 9);
    library.add_chunk(&cloud, "v", stale.clone(), None, json!({})).await.unwrap();
    let now = Timestamp::now();
    let before = Timestamp::from_unix_micros(now.unix_micros() - 3_600_000_000);
    assert_eq!(library.expire_chunks(before, 10).await.unwrap(), (0, Vec::new()));
    let after = Timestamp::from_unix_micros(now.unix_micros() + 3_600_000_000);
    assert_eq!(library.expire_chunks(after, 10).await.unwrap(), (1, vec![stale.blob.clone()]));
    let all = [one.blob, two.blob, three.blob, wrong.blob, again.blob, late.blob, last.blob, stale.blob];
    clear_garbage(catalog, &all).await;
}
