//! `tintype backup` and `tintype restore` on SQLite and folders.

use crate::program::{said, tintype};
use crate::whole_app::{CHELSEA, ICON, ROCKET, WholeApp};
use async_trait::async_trait;
use axum::body::Body;
use axum::http::Request;
use bytes::Bytes;
use http_body_util::BodyExt;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tintype_api::app::{App, open_records, open_store};
use tintype_api::catalog::Catalog;
use tintype_api::catalog::library::Library;
use tintype_api::config::Config;
use tintype_api::config::machine::Machine;
use tintype_api::domain::{Asset, BlobKey};
use tintype_api::http::router;
use tintype_api::storage::{self, BlobReader, BlobStore, BlobWriter, StorageError, path_of};
use tintype_api::upkeep::{BackupOptions, back_up};
use tintype_render::choice::Choice;
use tower::ServiceExt;

/// A server with a tagged picture, one with an older version that is kept, and a derived picture.
async fn server() -> WholeApp {
    let app = WholeApp::start().await;
    app.upload("rocket.jpg", ROCKET, &[("public_id", "rocket"), ("tags", "space,fire")]).await;
    app.upload("icon.png", ICON, &[("public_id", "cat"), ("backup", "true")]).await;
    app.upload("chelsea.png", CHELSEA, &[("public_id", "cat")]).await;
    assert_eq!(app.get("/demo/image/upload/w_50/rocket.jpg").await.status, 200);
    app.derived("rocket", 1).await;
    app
}

fn totals(output: &str) -> Value {
    serde_json::from_str::<Value>(output.lines().last().unwrap()).unwrap()["totals"].clone()
}

fn backup(app: &WholeApp, folder: &Path, more: &[&str]) -> Value {
    totals(&said(app.data_dir(), &[&["backup", folder.to_str().unwrap(), "--json"], more].concat()))
}

/// A data folder with the secret key of a server and nothing else.
fn fresh(app: &WholeApp) -> tempfile::TempDir {
    let data = tempfile::tempdir().unwrap();
    fs::copy(app.data_dir().join("secret.key"), data.path().join("secret.key")).unwrap();
    data
}

fn restore(data: &Path, folder: &Path, more: &[&str]) -> Value {
    totals(&said(data, &[&["restore", folder.to_str().unwrap(), "--json"], more].concat()))
}

fn refused(data: &Path, arguments: &[&str]) -> String {
    let output = tintype(data, arguments);
    assert!(!output.status.success(), "{arguments:?}");
    String::from_utf8(output.stderr).unwrap()
}

/// What a server on a data folder answers.
async fn get(data: &Path, path: &str, credentials: &str) -> (u16, Bytes) {
    let flags: BTreeMap<String, String> =
        [("data_dir", data.to_str().unwrap()), ("renderer", "cpu"), ("threads", "2"), ("memory_budget_mb", "512")]
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into();
    let config = Config::from_sources(&flags, &[], None, &Machine::detect()).unwrap();
    let (records, blobs) = (open_records(&config).await.unwrap(), open_store(&config).await.unwrap());
    let app = App::assemble(config, records, blobs, Choice::cpu_only("a test")).await.unwrap();
    let request = Request::get(path).header("authorization", credentials).body(Body::empty()).unwrap();
    let response = router(app.state()).oneshot(request).await.unwrap();
    (response.status().as_u16(), response.into_body().collect().await.unwrap().to_bytes())
}

fn copy_of(folder: &Path, asset: &Asset) -> PathBuf {
    folder.join("blobs").join(path_of(&asset.blob))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_library_is_brought_back() {
    let app = server().await;
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let report = backup(&app, folder, &[]);
    assert_eq!((&report["copied"], &report["lost"], &report["gone"]), (&3.into(), &0.into(), &0.into()));
    assert_eq!((&report["rows"]["assets"], &report["rows"]["asset_versions"]), (&2.into(), &1.into()));
    let secret = app.demo.key.secret.expose();
    let snapshot = folder.join("snapshots").join(report["snapshot"].as_str().unwrap());
    for entry in fs::read_dir(&snapshot).unwrap() {
        let path = entry.unwrap().path();
        assert!(!fs::read_to_string(&path).unwrap().contains(secret), "{}", path.display());
    }

    // Without the key nothing is begun.
    let data = tempfile::tempdir().unwrap();
    let place = folder.to_str().unwrap();
    assert!(refused(data.path(), &["restore", place]).contains("put the secret key"));
    fs::write(data.path().join("secret.key"), [7; 32]).unwrap();
    assert!(refused(data.path(), &["restore", place]).contains("is not the secret key"));
    assert_eq!(fs::read_dir(data.path()).unwrap().count(), 1, "no catalog was made");

    let data = fresh(&app);
    let data = data.path();
    let report = restore(data, folder, &[]);
    assert_eq!((&report["copied"], &report["lost"], &report["absent"]), (&3.into(), &0.into(), &0.into()));
    said(data, &["verify", "--deep"]);
    let key = app.credentials();
    assert!(get(data, "/demo/image/upload/rocket.jpg", "").await.1 == ROCKET);
    assert_eq!(get(data, "/demo/image/upload/w_50/rocket.jpg", "").await.0, 200);
    let (status, tags) = get(data, "/v1_1/demo/tags/image", &key).await;
    assert_eq!(status, 200, "the API key is the same");
    let tags: Value = serde_json::from_slice(&tags).unwrap();
    assert_eq!(tags["tags"], serde_json::json!(["fire", "space"]));
    let (_, details) = get(data, "/v1_1/demo/resources/image/upload/cat", &key).await;
    let details: Value = serde_json::from_slice(&details).unwrap();
    assert_eq!(details["asset_id"], app.asset("cat").await.id.as_str());

    // What is there already is not written over.
    assert!(refused(data, &["restore", place]).contains("--force"));
    let report = restore(data, folder, &["--force"]);
    assert_eq!((&report["copied"], &report["present"]), (&0.into(), &3.into()));
    assert_eq!(report["rows"]["assets"], serde_json::json!({ "inserted": 0, "present": 2, "left_out": 0 }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn backups_share_what_did_not_change() {
    let app = server().await;
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let first = backup(&app, folder, &[]);
    let second = backup(&app, folder, &[]);
    assert_eq!((&second["copied"], &second["present"]), (&0.into(), &3.into()));
    let rocket = app.asset("rocket").await;
    app.catalog.delete_asset(&rocket.key).await.unwrap().unwrap();
    app.upload("icon.png", ICON, &[("public_id", "icon")]).await;
    let third = backup(&app, folder, &[]);
    assert_eq!((&third["copied"], &third["present"]), (&1.into(), &2.into()));
    assert!(copy_of(folder, &rocket).exists(), "older backups need it");

    // An older one is brought back by its name.
    let data = fresh(&app);
    restore(data.path(), folder, &["--snapshot", first["snapshot"].as_str().unwrap()]);
    assert!(get(data.path(), "/demo/image/upload/rocket.jpg", "").await.1 == ROCKET);
    assert_eq!(get(data.path(), "/demo/image/upload/icon.png", "").await.0, 404);

    let last = backup(&app, folder, &["--keep", "2"]);
    assert_eq!((&last["snapshots_removed"], &last["blobs_removed"]), (&2.into(), &1.into()));
    assert!(!copy_of(folder, &rocket).exists());
    let data = fresh(&app);
    let report = restore(data.path(), folder, &[]);
    assert_eq!((&report["snapshot"], &report["copied"]), (&last["snapshot"], &3.into()));
    assert!(get(data.path(), "/demo/image/upload/icon.png", "").await.1 == ICON);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_whole_is_refused() {
    let app = server().await;
    let (folder, data) = (tempfile::tempdir().unwrap(), fresh(&app));
    let (folder, data) = (folder.path(), data.path());
    let place = folder.to_str().unwrap();
    assert!(refused(data, &["restore", place]).contains("holds no finished backup"));
    let name = backup(&app, folder, &[])["snapshot"].as_str().unwrap().to_owned();
    let snapshot = folder.join("snapshots").join(&name);

    let (assets, manifest) = (snapshot.join("assets.jsonl"), snapshot.join("manifest.json"));
    let rows = fs::read_to_string(&assets).unwrap();
    fs::write(&assets, rows.replace("rocket", "racket")).unwrap();
    assert!(refused(data, &["restore", place]).contains("is not as it was written"));
    fs::write(&assets, &rows[..rows.len() - 10]).unwrap();
    assert!(refused(data, &["restore", place]).contains("ends within a line"));
    fs::write(&assets, &rows).unwrap();

    let whole = fs::read_to_string(&manifest).unwrap();
    fs::write(&manifest, whole.replace("\"tintype_backup\": 1", "\"tintype_backup\": 2")).unwrap();
    assert!(refused(data, &["restore", place]).contains("newer program"));
    fs::remove_file(&manifest).unwrap();
    assert!(refused(data, &["restore", place]).contains("holds no finished backup"));
    assert!(refused(data, &["restore", place, "--snapshot", &name]).contains("was not finished"));
    assert_eq!(fs::read_dir(data).unwrap().count(), 1, "nothing was begun");
    fs::write(&manifest, whole).unwrap();

    // A damaged file is left out with its row, and the rest comes back.
    let rocket = app.asset("rocket").await;
    let mut bytes = fs::read(copy_of(folder, &rocket)).unwrap();
    bytes[5000] ^= 1;
    fs::write(copy_of(folder, &rocket), bytes).unwrap();
    let output = tintype(data, &["restore", place, "--json"]);
    assert_eq!(output.status.code(), Some(1));
    let report = totals(&String::from_utf8(output.stdout).unwrap());
    assert_eq!((&report["lost"], &report["rows"]["assets"]["left_out"]), (&1.into(), &1.into()));
    assert_eq!(get(data, "/demo/image/upload/rocket.jpg", "").await.0, 404);
    assert!(get(data, "/demo/image/upload/cat.png", "").await.1 == CHELSEA);
    said(data, &["verify", "--deep"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interrupted_restore_goes_on() {
    let app = server().await;
    let (folder, data) = (tempfile::tempdir().unwrap(), fresh(&app));
    let (folder, data) = (folder.path(), data.path());
    let name = backup(&app, folder, &[])["snapshot"].as_str().unwrap().to_owned();
    restore(data, folder, &[]);
    // As after a crash between two pages of rows: some are there, and some blobs are not.
    let flags = [("data_dir".to_owned(), data.to_str().unwrap().to_owned())].into();
    let config = Config::from_sources(&flags, &[], None, &Machine::detect()).unwrap();
    let records = open_records(&config).await.unwrap();
    let rocket = app.asset("rocket").await;
    let freed = records.catalog.delete_asset(&rocket.key).await.unwrap().unwrap().freed_blobs;
    open_store(&config).await.unwrap().delete_all(&freed).await.unwrap();
    records.catalog.set_setting(Library::RESTORE_SETTING, &name).await.unwrap();
    // One has the right length and other bytes.
    damage(&copy_of(data, &app.asset("cat").await));
    let report = restore(data, folder, &[]);
    assert_eq!((&report["copied"], &report["present"]), (&2.into(), &1.into()));
    assert_eq!(report["rows"]["assets"]["inserted"], 1);
    assert_eq!(records.catalog.garbage(10).await.unwrap(), [], "no server deletes what came back");
    assert_eq!(records.catalog.asset(&rocket.key).await.unwrap().unwrap(), rocket);
    said(data, &["verify", "--deep"]);
    assert!(refused(data, &["restore", folder.to_str().unwrap()]).contains("--force"), "it has ended");
}

/// The last byte becomes another one.
fn damage(file: &Path) {
    let mut bytes = fs::read(file).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(file, bytes).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_interrupted_backup_left_is_read_again() {
    let app = server().await;
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let name = backup(&app, folder, &[])["snapshot"].as_str().unwrap().to_owned();
    fs::remove_file(folder.join("snapshots").join(name).join("manifest.json")).unwrap();
    damage(&copy_of(folder, &app.asset("rocket").await));
    let report = backup(&app, folder, &[]);
    assert_eq!((&report["copied"], &report["present"]), (&1.into(), &2.into()));
    assert!(fs::read(copy_of(folder, &app.asset("rocket").await)).unwrap() == ROCKET);
}

/// A store whose server deletes an asset in the very moment in which its blob is to be copied.
struct Busy {
    blobs: Arc<dyn BlobStore>,
    catalog: Arc<dyn Catalog>,
    asset: Asset,
}

#[async_trait]
impl BlobStore for Busy {
    async fn create_as(&self, key: BlobKey) -> storage::Result<Box<dyn BlobWriter>> {
        self.blobs.create_as(key).await
    }
    async fn read(&self, key: &BlobKey) -> storage::Result<Bytes> {
        self.blobs.read(key).await
    }
    async fn open(&self, key: &BlobKey, range: Option<Range<u64>>) -> storage::Result<BlobReader> {
        if *key == self.asset.blob {
            self.catalog.delete_asset(&self.asset.key).await.unwrap();
            self.blobs.delete(key).await?;
            return Err(StorageError::NotFound(key.clone()));
        }
        self.blobs.open(key, range).await
    }
    async fn size(&self, key: &BlobKey) -> storage::Result<Option<u64>> {
        self.blobs.size(key).await
    }
    async fn delete(&self, key: &BlobKey) -> storage::Result<()> {
        self.blobs.delete(key).await
    }
    async fn list(&self, after: Option<&BlobKey>, limit: usize) -> storage::Result<Vec<BlobKey>> {
        self.blobs.list(after, limit).await
    }
    fn kind(&self) -> &'static str {
        "busy"
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_at_work_and_lost_originals_are_told_apart() {
    let app = server().await;
    let folder = tempfile::tempdir().unwrap();
    let (rocket, cat) = (app.asset("rocket").await, app.asset("cat").await);
    let file = app.blob_file(&cat.blob);
    let mut bytes = fs::read(&file).unwrap();
    bytes[100] ^= 1;
    fs::write(&file, bytes).unwrap();
    let blobs = Busy { blobs: app.blobs.clone(), catalog: app.catalog.clone(), asset: rocket };
    let mut findings = Vec::new();
    let options = BackupOptions { concurrency: 2, keep: None };
    let library = &app.records.library;
    let report =
        back_up(&*app.catalog, library, &blobs, folder.path(), options, &mut |f| findings.push(f)).await.unwrap();
    assert_eq!((report.copied, report.gone, report.lost, report.rows["assets"]), (1, 1, 1, 2));
    assert_eq!(findings.len(), 1);
    assert_eq!(findings[0].blob, cat.blob.as_str());
    assert!(!copy_of(folder.path(), &cat).exists(), "a damaged file does not look like a good one");
    // Of the damaged one its older version is left, as long as nobody asks for its row.
    let data = fresh(&app);
    let report = restore(data.path(), folder.path(), &[]);
    assert_eq!((&report["absent"], &report["copied"], &report["lost"]), (&2.into(), &1.into(), &0.into()));
    assert_eq!(
        (&report["rows"]["assets"]["left_out"], &report["rows"]["asset_versions"]["left_out"]),
        (&2.into(), &1.into())
    );
}
