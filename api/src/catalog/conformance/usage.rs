//! Counters and settings.

use std::sync::Arc;

use super::{
    super::{Catalog, CatalogError},
    new_cloud, rendered, upload,
};
use crate::domain::{CloudId, Day, Derived, NewAsset, Usage, UsageDelta};

pub(super) async fn run(catalog: &Arc<dyn Catalog>) {
    days_are_summed(&**catalog).await;
    stored_things_are_counted(&**catalog).await;
    counters_have_an_end(&**catalog).await;
    concurrent_counting(catalog).await;
    settings(&**catalog).await;
}

fn delta(transformations: u64, bandwidth_bytes: u64, requests: u64) -> UsageDelta {
    UsageDelta { transformations, bandwidth_bytes, requests }
}

async fn days_are_summed(catalog: &dyn Catalog) {
    let (cloud, other) = (new_cloud(catalog, "usage").await, new_cloud(catalog, "usage2").await);
    assert_eq!(catalog.usage(&cloud, Day(i32::MIN)).await.unwrap(), Usage::default());
    for (day, counted) in [(-1, delta(1, 10, 100)), (0, delta(2, 20, 200)), (0, delta(4, 40, 400)), (9, delta(8, 0, 0))]
    {
        catalog.add_usage(&cloud, Day(day), counted).await.unwrap();
    }
    catalog.add_usage(&other, Day(0), delta(1000, 1000, 1000)).await.unwrap();
    for (since, expected) in
        [(i32::MIN, (15, 70, 700)), (-1, (15, 70, 700)), (0, (14, 60, 600)), (1, (8, 0, 0)), (10, (0, 0, 0))]
    {
        let usage = catalog.usage(&cloud, Day(since)).await.unwrap();
        assert_eq!((usage.transformations, usage.bandwidth_bytes, usage.requests), expected, "since {since}");
    }
    let refused = catalog.add_usage(&CloudId::random(), Day(0), delta(1, 1, 1)).await;
    assert!(matches!(refused, Err(CatalogError::NotFound("the cloud"))), "{refused:?}");
    assert_eq!(catalog.usage(&CloudId::random(), Day(0)).await.unwrap(), Usage::default());
}

async fn stored_things_are_counted(catalog: &dyn Catalog) {
    let (cloud, other) = (new_cloud(catalog, "stored").await, new_cloud(catalog, "stored2").await);
    let mut first = None;
    for (cloud, name, bytes) in [(&cloud, "a", 1000), (&cloud, "b", 200), (&other, "a", 77_000)] {
        let put = catalog.put_asset(&NewAsset { bytes, ..upload(cloud, name) }, false).await.unwrap();
        catalog.put_derived(&Derived { bytes: 30, ..rendered(&put.asset, 1) }).await.unwrap();
        catalog.put_derived(&Derived { bytes: 4, ..rendered(&put.asset, 2) }).await.unwrap();
        first.get_or_insert(put.asset);
    }
    let usage = catalog.usage(&cloud, Day(0)).await.unwrap();
    assert_eq!((usage.objects, usage.storage_bytes, usage.derived), (2, 1268, 4));
    let deleted = catalog.delete_asset(&first.unwrap().key).await.unwrap().unwrap();
    let usage = catalog.usage(&cloud, Day(0)).await.unwrap();
    assert_eq!((usage.objects, usage.storage_bytes, usage.derived), (1, 234, 2));
    super::clear_garbage(catalog, &deleted.freed_blobs).await;
}

async fn counters_have_an_end(catalog: &dyn Catalog) {
    let cloud = new_cloud(catalog, "end").await;
    let most = i64::MAX as u64;
    catalog.add_usage(&cloud, Day(0), delta(1, most, 1)).await.unwrap();
    for too_much in [delta(0, 1, 0), delta(most + 1, 0, 0), delta(1, 0, u64::MAX)] {
        let refused = catalog.add_usage(&cloud, Day(0), too_much).await;
        assert!(matches!(refused, Err(CatalogError::Invalid { .. })), "{refused:?}");
    }
    let usage = catalog.usage(&cloud, Day(0)).await.unwrap();
    assert_eq!((usage.transformations, usage.bandwidth_bytes, usage.requests), (1, most, 1), "nothing was counted");
}

async fn concurrent_counting(catalog: &Arc<dyn Catalog>) {
    let cloud = new_cloud(&**catalog, "counting").await;
    let tasks: Vec<_> = (0..50)
        .map(|index| {
            let (catalog, cloud) = (Arc::clone(catalog), cloud.clone());
            tokio::spawn(async move { catalog.add_usage(&cloud, Day(index % 2), delta(1, 1000, 3)).await.unwrap() })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let usage = catalog.usage(&cloud, Day(0)).await.unwrap();
    assert_eq!((usage.transformations, usage.bandwidth_bytes, usage.requests), (50, 50_000, 150), "no count is lost");
}

async fn settings(catalog: &dyn Catalog) {
    assert_eq!(catalog.setting("name").await.unwrap(), None);
    for value in ["first", "", "zwëi \u{1F600}\n'"] {
        catalog.set_setting("name", value).await.unwrap();
        assert_eq!(catalog.setting("name").await.unwrap().as_deref(), Some(value));
    }
    catalog.set_setting("Name", "other").await.unwrap();
    assert_eq!(catalog.setting("name").await.unwrap().as_deref(), Some("zwëi \u{1F600}\n'"), "case matters");
    assert_eq!(catalog.setting("n\0").await.unwrap(), None);
    for (name, value) in [("a\0", "b"), ("a", "b\0")] {
        let refused = catalog.set_setting(name, value).await;
        assert!(matches!(refused, Err(CatalogError::Invalid { .. })), "{refused:?}");
    }
}
