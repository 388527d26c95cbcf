//! The suite that every blob store passes. It panics where a store breaks a rule; only tests call it.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::{collections::BTreeSet, ops::Range, sync::Arc};

use bytes::Bytes;
use rand::RngCore;

use super::{BlobKey, BlobStore, StorageError};
use crate::domain::{CloudId, Timestamp};

/// Runs the whole suite on an empty store and leaves it empty.
pub async fn run(store: Arc<dyn BlobStore>) {
    assert_eq!(all_keys(&*store).await, BTreeSet::new(), "the suite needs an empty store");
    sizes_round_trip(&*store).await;
    ranges(&*store).await;
    missing_blobs(&*store).await;
    abandoned_writers_leave_nothing(&*store).await;
    concurrent_writers(Arc::clone(&store)).await;
    listing_in_pages(&*store).await;
    given_keys(&*store).await;
    copies(&*store).await;
    ages(&*store).await;
    many_deletions(&*store).await;
    store.remove_unfinished().await.unwrap();
    assert_eq!(all_keys(&*store).await, BTreeSet::new(), "every part cleans up");
}

fn random_bytes(length: usize) -> Bytes {
    let mut bytes = vec![0; length];
    rand::rng().fill_bytes(&mut bytes);
    bytes.into()
}

/// Writes `content` in chunks of `chunk` bytes.
async fn store_bytes(store: &dyn BlobStore, content: &Bytes, chunk: usize) -> BlobKey {
    let mut writer = store.create().await.unwrap();
    for start in (0..content.len()).step_by(chunk) {
        writer.write(content.slice(start..content.len().min(start + chunk))).await.unwrap();
    }
    assert_eq!(writer.written(), content.len() as u64);
    writer.commit().await.unwrap()
}

/// Every key of the store, by pages of seven.
async fn all_keys(store: &dyn BlobStore) -> BTreeSet<BlobKey> {
    let mut keys = Vec::new();
    loop {
        let page = store.list(keys.last(), 7).await.unwrap();
        let last = page.len() < 7;
        keys.extend(page);
        if last {
            break;
        }
    }
    assert!(keys.is_sorted(), "keys are listed in ascending order");
    let set: BTreeSet<_> = keys.iter().cloned().collect();
    assert_eq!(set.len(), keys.len(), "no key is listed twice");
    set
}

async fn sizes_round_trip(store: &dyn BlobStore) {
    for (length, chunk) in
        [(0, 1), (1, 1), (2, 7), (4095, 100), (4096, 4096), (65_537, 1000), (262_145, 65_536), (16 << 20, 1 << 20)]
    {
        let content = random_bytes(length);
        let key = store_bytes(store, &content, chunk).await;
        assert_eq!(store.size(&key).await.unwrap(), Some(length as u64));
        assert!(store.read(&key).await.unwrap() == content, "{length} bytes come back unchanged");
        let reader = store.open(&key, None).await.unwrap();
        assert_eq!(reader.length(), length as u64);
        assert!(reader.collect().await.unwrap() == content, "{length} bytes come back unchanged as a stream");
        store.delete(&key).await.unwrap();
    }
}

async fn ranges(store: &dyn BlobStore) {
    let content = random_bytes(600_000);
    let key = store_bytes(store, &content, 50_000).await;
    for range in [0..1, 0..600_000, 599_999..600_000, 262_143..262_145, 5..300_005, 0..0, 600_000..600_000] {
        let reader = store.open(&key, Some(range.clone())).await.unwrap();
        assert_eq!(reader.length(), range.end - range.start);
        let expected = content.slice(range.start as usize..range.end as usize);
        assert!(reader.collect().await.unwrap() == expected, "{range:?}");
    }
    let backwards = Range { start: 9, end: 8 };
    for range in [0..600_001, 600_001..600_001, u64::MAX - 1..u64::MAX, backwards] {
        let refused = store.open(&key, Some(range.clone())).await;
        assert!(matches!(refused, Err(StorageError::Range { size: 600_000, .. })), "{range:?}: {refused:?}");
    }
    store.delete(&key).await.unwrap();
}

async fn missing_blobs(store: &dyn BlobStore) {
    let missing = BlobKey::random();
    assert!(matches!(store.read(&missing).await, Err(StorageError::NotFound(key)) if key == missing));
    assert!(matches!(store.open(&missing, Some(0..1)).await, Err(StorageError::NotFound(_))));
    assert_eq!(store.size(&missing).await.unwrap(), None);
    store.delete(&missing).await.unwrap();

    let key = store_bytes(store, &random_bytes(10), 10).await;
    store.delete(&key).await.unwrap();
    store.delete(&key).await.unwrap();
    assert!(matches!(store.read(&key).await, Err(StorageError::NotFound(_))));
    assert_eq!(store.size(&key).await.unwrap(), None);
}

async fn abandoned_writers_leave_nothing(store: &dyn BlobStore) {
    let mut writer = store.create().await.unwrap();
    writer.write(random_bytes(100_000)).await.unwrap();
    assert_eq!(all_keys(store).await.len(), 0, "an unfinished blob is not visible");
    drop(writer);
    drop(store.create().await.unwrap());
    assert_eq!(all_keys(store).await.len(), 0);
}

async fn concurrent_writers(store: Arc<dyn BlobStore>) {
    let tasks: Vec<_> = (0..64)
        .map(|index: usize| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                let content = random_bytes(index * 997);
                (store_bytes(&*store, &content, 1500).await, content)
            })
        })
        .collect();
    let mut keys = BTreeSet::new();
    for task in tasks {
        let (key, content) = task.await.unwrap();
        assert!(store.read(&key).await.unwrap() == content);
        assert!(keys.insert(key), "every blob has its own key");
    }
    assert_eq!(all_keys(&*store).await, keys);
    for key in keys {
        store.delete(&key).await.unwrap();
    }
}

/// Writes 100 kB under `key`.
async fn store_as(store: &dyn BlobStore, key: &BlobKey) -> Bytes {
    let content = random_bytes(100_000);
    let mut writer = store.create_as(key.clone()).await.unwrap();
    writer.write(content.clone()).await.unwrap();
    assert_eq!(&writer.commit().await.unwrap(), key);
    content
}

async fn given_keys(store: &dyn BlobStore) {
    let key = BlobKey::random();
    store_as(store, &key).await;
    let content = store_as(store, &key).await;
    assert!(store.read(&key).await.unwrap() == content, "the second blob of a key replaces the first");
    assert_eq!(all_keys(store).await, BTreeSet::from([key.clone()]));
    store.delete(&key).await.unwrap();

    let cloud = CloudId::random();
    let mut writer = store.create_for(&cloud).await.unwrap();
    writer.write(content.clone()).await.unwrap();
    let key = writer.commit().await.unwrap();
    assert!(cloud.as_str().starts_with(key.cloud_part()));
    assert!(store.read(&key).await.unwrap() == content);
    store.delete(&key).await.unwrap();
}

async fn copies(store: &dyn BlobStore) {
    let (from, to) = (BlobKey::random(), BlobKey::random());
    assert!(matches!(store.copy(&from, &to).await, Err(StorageError::NotFound(key)) if key == from));
    let content = store_as(store, &from).await;
    store.copy(&from, &to).await.unwrap();
    store.delete(&from).await.unwrap();
    assert!(store.read(&to).await.unwrap() == content, "a copy outlives its original");
    store.delete(&to).await.unwrap();
}

/// A copy is as young as its name, however old its bytes are.
async fn ages(store: &dyn BlobStore) {
    let (from, to) = (BlobKey::random(), BlobKey::random());
    assert_eq!(store.stored(&from).await.unwrap(), None);
    let content = store_as(store, &from).await;
    let first = store.stored(&from).await.unwrap().unwrap();
    assert_eq!(first.bytes, content.len() as u64);
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    store.copy(&from, &to).await.unwrap();
    let second = store.stored(&to).await.unwrap().unwrap();
    if let Some((first, second)) = first.since.zip(second.since) {
        assert!(first < second, "{first:?} {second:?}");
        let now = Timestamp::now().unix_seconds();
        assert!((now - second.unix_seconds()).abs() < 600, "{second:?} is about now");
    }
    store.delete_all(&[from, to]).await.unwrap();
}

async fn many_deletions(store: &dyn BlobStore) {
    let mut keys = Vec::new();
    for _ in 0..5 {
        keys.push(store_bytes(store, &random_bytes(9), 9).await);
    }
    let kept = keys.pop().unwrap();
    keys.insert(1, BlobKey::random());
    store.delete_all(&keys).await.unwrap();
    assert_eq!(all_keys(store).await, BTreeSet::from([kept.clone()]));
    store.delete_all(&[kept]).await.unwrap();
    store.delete_all(&[]).await.unwrap();
}

async fn listing_in_pages(store: &dyn BlobStore) {
    let mut keys = BTreeSet::new();
    for length in 0..20 {
        keys.insert(store_bytes(store, &random_bytes(length), 3).await);
    }
    let first = store.list(None, 5).await.unwrap();
    assert!(first.iter().eq(keys.iter().take(5)));
    let rest = store.list(first.last(), 1000).await.unwrap();
    assert!(rest.iter().eq(keys.iter().skip(5)));
    assert!(store.list(keys.last(), 5).await.unwrap().is_empty());
    assert!(store.list(None, 0).await.unwrap().is_empty());
    for key in &keys {
        store.delete(key).await.unwrap();
    }
}
