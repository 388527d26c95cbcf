//! Eager sets that share a decode, and originals that change while they are read.
#![allow(clippy::unwrap_used, clippy::panic)]

use crate::whole_app::{CHELSEA, ROCKET, WholeApp};
use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;
use tintype_api::domain::BlobKey;
use tintype_api::storage::{BlobReader, BlobStore, BlobWriter, MemoryStore, Result};
use tintype_render::{Limits, codec};
use tokio::sync::watch;

/// Blobs in memory, of which some cannot be read until the gate is open.
pub struct GatedStore {
    inner: MemoryStore,
    held: Mutex<HashSet<BlobKey>>,
    open: watch::Sender<bool>,
    reached: watch::Sender<bool>,
}

impl Default for GatedStore {
    fn default() -> Self {
        GatedStore {
            inner: MemoryStore::new(),
            held: Mutex::default(),
            open: watch::Sender::new(false),
            reached: watch::Sender::new(false),
        }
    }
}

impl GatedStore {
    pub fn hold(&self, blob: &BlobKey) {
        self.held.lock().insert(blob.clone());
    }

    pub fn open(&self) {
        self.open.send_replace(true);
    }

    /// Waits until somebody stands before the gate.
    pub async fn reached(&self) {
        self.reached.subscribe().wait_for(|reached| *reached).await.unwrap();
    }
}

#[async_trait]
impl BlobStore for GatedStore {
    async fn create_as(&self, key: BlobKey) -> Result<Box<dyn BlobWriter>> {
        self.inner.create_as(key).await
    }
    async fn read(&self, key: &BlobKey) -> Result<Bytes> {
        let is_held = self.held.lock().contains(key);
        if is_held {
            self.reached.send_replace(true);
            self.open.subscribe().wait_for(|open| *open).await.unwrap();
        }
        self.inner.read(key).await
    }
    async fn open(&self, key: &BlobKey, range: Option<Range<u64>>) -> Result<BlobReader> {
        self.inner.open(key, range).await
    }
    async fn size(&self, key: &BlobKey) -> Result<Option<u64>> {
        self.inner.size(key).await
    }
    async fn delete(&self, key: &BlobKey) -> Result<()> {
        self.inner.delete(key).await
    }
    async fn list(&self, after: Option<&BlobKey>, limit: usize) -> Result<Vec<BlobKey>> {
        self.inner.list(after, limit).await
    }
    fn kind(&self) -> &'static str {
        "gated"
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_eager_set_decodes_its_original_once() {
    let app = WholeApp::start_in_memory().await;
    let widths: Vec<u32> = (1..=10).map(|n| n * 30).collect();
    let eager: Vec<String> = widths.iter().map(|width| format!("c_scale,w_{width},q_80")).collect();
    let uploaded = app.upload("r.jpg", ROCKET, &[("public_id", "rocket"), ("eager", &eager.join("|"))]).await;
    let answers = uploaded["eager"].as_array().unwrap();
    assert_eq!(answers.iter().map(|one| one["width"].as_u64().unwrap() as u32).collect::<Vec<_>>(), widths);
    assert_eq!((app.renders().await, app.metric("tintype_decodes_total ").await), (10, 1));
    // They are what a delivery finds.
    for (width, text) in widths.iter().zip(&eager) {
        let answer = app.get(&format!("/demo/image/upload/{text}/rocket.jpg")).await;
        assert_eq!(answer.status, 200);
        assert_eq!(codec::probe(&answer.body, &Limits::default()).unwrap().size.width, *width);
    }
    assert_eq!(app.renders().await, 10);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_original_that_is_replaced_while_it_is_read_is_read_again() {
    for path in ["/demo/image/upload/c_scale,w_100/pic", "/demo/image/upload/pic"] {
        let store = Arc::new(GatedStore::default());
        let app = WholeApp::start_over(store.clone(), &[]).await;
        app.upload("pic.jpg", ROCKET, &[("public_id", "pic")]).await;
        store.hold(&app.asset("pic").await.blob);
        let replace = async {
            store.reached().await;
            app.upload("pic.png", CHELSEA, &[("public_id", "pic")]).await;
            store.open();
        };
        let (answer, ()) = futures::join!(app.get(path), replace);
        assert_eq!(answer.status, 200, "{path}: {}", answer.header("x-cld-error"));
        assert_eq!(answer.header("content-type"), "image/png", "{path}: the new picture");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_original_that_is_lost_is_an_error_and_no_endless_search() {
    let app = WholeApp::start_in_memory().await;
    app.upload("pic.jpg", ROCKET, &[("public_id", "pic")]).await;
    app.blobs.delete(&app.asset("pic").await.blob).await.unwrap();
    for path in ["/demo/image/upload/c_scale,w_100/pic.jpg", "/demo/image/upload/pic.jpg"] {
        assert_eq!(app.get(path).await.status, 500, "{path}");
    }
}
