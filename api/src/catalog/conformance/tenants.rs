//! Changing clouds and keys.

use super::{
    super::{Catalog, CatalogError, PutOutcome, library::*},
    clear_garbage, new_cloud, rendered, upload,
};
use crate::domain::{ApiKey, CloudId, CloudName};
use serde_json::json;

pub(super) async fn run(catalog: &dyn Catalog, library: &Library) {
    a_cloud_gets_another_name(catalog, library).await;
    keys_change(catalog, library).await;
    a_cloud_goes_with_all_it_has(catalog, library).await;
}

async fn a_cloud_gets_another_name(catalog: &dyn Catalog, library: &Library) {
    let (cloud, _other) = (new_cloud(catalog, "before").await, new_cloud(catalog, "taken").await);
    let name = |name: &str| CloudName::new(name).unwrap();
    let refused = library.rename_cloud(&cloud, &name("taken")).await;
    assert!(matches!(refused, Err(CatalogError::Conflict("the cloud name"))), "{refused:?}");
    assert!(library.rename_cloud(&cloud, &name("before")).await.unwrap(), "its own name is not taken");
    assert!(library.rename_cloud(&cloud, &name("after")).await.unwrap());
    assert_eq!(catalog.cloud_by_name(&name("after")).await.unwrap().unwrap().id, cloud);
    assert_eq!(catalog.cloud_by_name(&name("before")).await.unwrap(), None);
    assert!(!library.rename_cloud(&CloudId::random(), &name("nobody")).await.unwrap());
}

async fn keys_change(catalog: &dyn Catalog, library: &Library) {
    let cloud = new_cloud(catalog, "key-changes").await;
    let first = catalog.api_keys(&cloud).await.unwrap().remove(0).key;
    let change = |key: &str, change, force| {
        let (cloud, key) = (cloud.clone(), key.to_owned());
        async move { library.change_key(&cloud, &key, change, force).await.unwrap() }
    };
    let enabled = |key: &str| {
        let key = key.to_owned();
        async move { catalog.api_key(&key).await.unwrap().map(|key| key.enabled) }
    };
    assert_eq!(change(&first, KeyChange::Enable(false), false).await, KeyOutcome::LastEnabled);
    assert_eq!(change(&first, KeyChange::Remove, false).await, KeyOutcome::LastEnabled);
    assert_eq!(enabled(&first).await, Some(true), "a refused change changes nothing");
    assert_eq!(change("nope", KeyChange::Remove, true).await, KeyOutcome::Missing);
    let foreign = library.change_key(&CloudId::random(), &first, KeyChange::Remove, true).await.unwrap();
    assert_eq!(foreign, KeyOutcome::Missing);

    let second = ApiKey::random(cloud.clone());
    catalog.add_api_key(&second).await.unwrap();
    assert_eq!(change(&second.key, KeyChange::Name("dep\"loy".into()), false).await, KeyOutcome::Done);
    let labels = library.key_labels(&cloud).await.unwrap();
    let label = labels.iter().find(|label| label.key == second.key).unwrap();
    assert!(labels.len() == 2 && label.name == "dep\"loy" && label.updated_at.is_some());

    assert_eq!(change(&first, KeyChange::Enable(false), false).await, KeyOutcome::Done);
    assert_eq!((enabled(&first).await, enabled(&second.key).await), (Some(false), Some(true)));
    assert_eq!(change(&second.key, KeyChange::Remove, false).await, KeyOutcome::LastEnabled, "the other is off");
    assert_eq!(change(&first, KeyChange::Remove, false).await, KeyOutcome::Done, "one that is off may go");
    assert_eq!(change(&second.key, KeyChange::Enable(false), true).await, KeyOutcome::Done);
    assert_eq!((enabled(&first).await, enabled(&second.key).await), (None, Some(false)));
}

async fn a_cloud_goes_with_all_it_has(catalog: &dyn Catalog, library: &Library) {
    let (cloud, other) = (new_cloud(catalog, "goes").await, new_cloud(catalog, "remains").await);
    let mut blobs = Vec::new();
    for id in ["a", "b", "c"] {
        let put = catalog.put_asset(&upload(&cloud, id), false).await.unwrap();
        assert_eq!(put.outcome, PutOutcome::Created);
        let derived = rendered(&put.asset, 1);
        catalog.put_derived(&derived).await.unwrap();
        blobs.extend([put.asset.blob, derived.blob]);
    }
    let kept = catalog.put_asset(&upload(&other, "a"), false).await.unwrap().asset;
    library.create_folder(&cloud, "some/folder").await.unwrap();
    library.define(&cloud, DefinitionKind::UploadPreset, "preset", json!({})).await.unwrap();
    catalog.set_setting(&format!("cloud.{cloud}"), "{}").await.unwrap();
    assert_eq!(library.count_assets(&cloud).await.unwrap(), 3);
    assert_eq!(library.remove_cloud(&cloud).await.unwrap(), CloudRemoval::NotEmpty);
    let (erased, mut freed) = library.erase_assets(&cloud, 2).await.unwrap();
    assert_eq!(erased, 2, "no more than the limit");
    let (erased, rest) = library.erase_assets(&cloud, 2).await.unwrap();
    assert_eq!(erased, 1);
    freed.extend(rest);
    assert_eq!(library.remove_cloud(&cloud).await.unwrap(), CloudRemoval::Done(Vec::new()));
    assert_eq!(super::sorted(&freed), super::sorted(&blobs));
    clear_garbage(catalog, &blobs).await;
    assert_eq!(catalog.cloud(&cloud).await.unwrap(), None);
    assert_eq!(catalog.api_keys(&cloud).await.unwrap(), []);
    assert_eq!(catalog.setting(&format!("cloud.{cloud}")).await.unwrap(), None);
    assert_eq!(library.remove_cloud(&cloud).await.unwrap(), CloudRemoval::Missing);
    assert_eq!(catalog.asset(&kept.key).await.unwrap().as_ref(), Some(&kept), "another cloud keeps what it has");
    catalog.delete_asset(&kept.key).await.unwrap();
    clear_garbage(catalog, &[kept.blob]).await;
}
