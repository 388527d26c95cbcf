//! What a backup takes from a catalog and gives back.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use parking_lot::Mutex;

use super::{
    super::{Catalog, CatalogError, fits, library::*, sqlite::SqliteCatalog},
    new_cloud, upload,
};
use crate::domain::{BlobKey, CloudId};

/// Lines by table, headers first.
pub type Lines = BTreeMap<&'static str, Vec<String>>;

/// Everything that a backup of the catalog would hold.
pub async fn exported(library: &Library) -> Lines {
    let lines = Arc::new(Mutex::new(Lines::new()));
    let shared = lines.clone();
    let sink = Box::new(move |table, line| {
        shared.lock().entry(table).or_default().push(line);
        Ok(())
    });
    assert!(!library.export(sink).await.unwrap().is_empty());
    std::mem::take(&mut *lines.lock())
}

/// Brings lines back: sums of all tables.
pub async fn import(library: &Library, lines: &Lines, absent: HashSet<BlobKey>) -> Result<Imported, CatalogError> {
    let (mut sum, absent) = (Imported::default(), Arc::new(absent));
    for table in TABLES_OF_BACKUP {
        let (header, rows) = lines[table].split_first().unwrap();
        let table = Arc::new(ImportTable::new(header)?);
        let imported = library.import_rows(&table, rows.to_vec(), &absent).await?;
        sum.inserted += imported.inserted;
        sum.present += imported.present;
        sum.left_out += imported.left_out;
    }
    Ok(sum)
}

pub(super) async fn run(catalog: &dyn Catalog, library: &Library) {
    let cloud = new_cloud(catalog, "exported").await;
    let mut new = upload(&cloud, "a");
    new.backup = true;
    let first = catalog.put_asset(&new, false).await.unwrap().asset;
    new.blob = BlobKey::random();
    let second = catalog.put_asset(&new, true).await.unwrap().asset;
    let mut plain = upload(&cloud, "ünï/\u{1F600}");
    plain.faces = None;
    let plain = catalog.put_asset(&plain, false).await.unwrap().asset;
    assert!(library.relate(&second.id, &plain.id).await.unwrap());
    catalog.set_setting("exported", "ja\n\"nein\"").await.unwrap();

    let garbage = catalog.garbage(100_000).await.unwrap();
    catalog.forget_garbage(&garbage).await.unwrap();
    let lines = exported(library).await;
    for table in ["api_keys", "settings", "usage", "folders", "assets", "asset_versions", "relations"] {
        assert!(lines[table].len() > 1, "{table}");
    }
    let keys: Vec<&String> = lines[BLOBS].iter().collect();
    assert!(keys.is_sorted(), "every blob once, in order");
    for blob in [&first.blob, &second.blob, &plain.blob] {
        assert_eq!(keys.iter().filter(|line| line.contains(blob.as_str())).count(), 1);
    }

    into_an_empty_catalog(&lines).await;
    let again = import(library, &lines, HashSet::new()).await.unwrap();
    assert_eq!((again.inserted, again.left_out), (0, 0), "everything is here");
    what_is_gone_comes_back(catalog, library, &cloud, &lines).await;
    lost_blobs_take_their_rows_along(catalog, library, &cloud, &lines).await;
}

/// The rows of one database are those of another.
async fn into_an_empty_catalog(lines: &Lines) {
    let empty = Arc::new(SqliteCatalog::in_memory().await.unwrap());
    let library = Library::from(empty.clone());
    let sum = import(&library, lines, HashSet::new()).await.unwrap();
    assert_eq!((sum.present, sum.left_out), (0, 0));
    assert_eq!(&exported(&library).await, lines);
    // Secrets were sealed by another key, and are told so.
    assert!(matches!(fits(&[0; 32], &[1; 60]), Err(CatalogError::WrongKey(_))));
}

async fn what_is_gone_comes_back(catalog: &dyn Catalog, library: &Library, cloud: &CloudId, lines: &Lines) {
    let tags = |library: Library, cloud: CloudId| async move { exported_tags(&library, &cloud).await };
    let before = tags(library.clone(), cloud.clone()).await;
    assert!(!before.is_empty());
    let (erased, freed) = library.erase_assets(cloud, 100).await.unwrap();
    assert_eq!((erased, freed.len()), (2, 3));
    assert_eq!(tags(library.clone(), cloud.clone()).await, [""; 0]);
    let sum = import(library, lines, HashSet::new()).await.unwrap();
    // Two assets, two versions, and a relation both ways.
    assert_eq!((sum.inserted, sum.left_out), (6, 0));
    assert_eq!(&exported(library).await, lines);
    assert_eq!(tags(library.clone(), cloud.clone()).await, before, "and it is found as before");
    assert_eq!(catalog.garbage(100).await.unwrap(), [], "their blobs are no garbage any longer");
}

async fn exported_tags(library: &Library, cloud: &CloudId) -> Vec<String> {
    library.tags(cloud, crate::domain::ResourceType::Image, "", "", 100).await.unwrap().tags
}

async fn lost_blobs_take_their_rows_along(catalog: &dyn Catalog, library: &Library, cloud: &CloudId, lines: &Lines) {
    let asset = catalog.asset(&super::key(cloud, "a")).await.unwrap().unwrap();
    library.erase_assets(cloud, 100).await.unwrap();
    let sum = import(library, lines, HashSet::from([asset.blob.clone()])).await.unwrap();
    assert_eq!((sum.inserted, sum.left_out), (1, 5), "the asset, its versions, and what it was related to");
    assert_eq!(catalog.asset(&asset.key).await.unwrap(), None);
    let garbage = catalog.garbage(100).await.unwrap();
    catalog.forget_garbage(&garbage).await.unwrap();

    // A name that another cloud has is refused before anything of that cloud is written.
    let mut renamed = lines.clone();
    let row = renamed.get_mut("clouds").unwrap().iter_mut().find(|line| line.contains("\"exported\"")).unwrap();
    *row = row.replace(cloud.as_str(), CloudId::random().as_str());
    assert!(matches!(import(library, &renamed, HashSet::new()).await, Err(CatalogError::Conflict(_))));
}
