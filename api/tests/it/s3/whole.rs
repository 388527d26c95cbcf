//! The whole server with its blobs on an S3 server.

use super::proxy::{Mode, Proxy};
use super::{SECRET, ask, bucket, server};
use crate::whole_app::{CHELSEA, ROCKET, WholeApp};
use std::collections::BTreeMap;
use tintype_api::app::{open_backup, open_store};
use tintype_api::config::Config;
use tintype_api::config::machine::Machine;
use tintype_api::domain::BlobKey;
use tintype_api::storage::path_of;

/// The flags of a server that keeps its blobs there.
fn flags<'a>(endpoint: &'a str, bucket: &'a str, copies: &'a str) -> Vec<(&'static str, &'a str)> {
    vec![
        ("storage", "s3"),
        ("s3_endpoint", endpoint),
        ("s3_bucket", bucket),
        ("s3_access_key_id", "test"),
        ("s3_secret_access_key", SECRET),
        ("s3_timeout_s", "60"),
        ("backup", "s3"),
        ("backup_s3_endpoint", endpoint),
        ("backup_s3_bucket", copies),
        ("backup_s3_prefix", "copies"),
        ("backup_s3_access_key_id", "test"),
        ("backup_s3_secret_access_key", SECRET),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn uploads_and_delivers_and_outlives_an_outage() {
    let Some(server) = server() else { return };
    let (copies, bucket, proxy) = (bucket(&server), bucket(&server), Proxy::before(&server).await);
    let url = proxy.url();
    let flags = flags(&url, &bucket, &copies);
    let given: BTreeMap<String, String> =
        flags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let config = Config::from_sources(&given, &[], None, &Machine::detect()).unwrap();
    assert_eq!(open_backup(&config).await.unwrap().unwrap().kind(), "s3");
    let blobs = open_store(&config).await.unwrap();
    assert_eq!(blobs.kind(), "s3");

    let mut app = WholeApp::start_over(blobs, &flags).await;
    app.upload("rocket.jpg", ROCKET, &[("public_id", "rocket")]).await;
    app.upload("chelsea.png", CHELSEA, &[("public_id", "chelsea")]).await;
    let original = app.get("/demo/image/upload/rocket.jpg").await;
    assert_eq!(original.status, 200, "{}", original.text());
    assert!(original.body == ROCKET);
    let path = "/demo/image/upload/c_fill,w_100,h_80/chelsea.png";
    let small = app.get(path).await;
    assert_eq!(small.status, 200, "{}", small.text());
    app.derived("chelsea", 1).await;

    // Another process finds originals and derived pictures.
    app.restart().await;
    assert!(app.get("/demo/image/upload/rocket.jpg").await.body == ROCKET);
    assert!(app.get(path).await.body == small.body);
    assert_eq!(app.renders().await, 0, "the derived picture was kept");

    app.restart().await;
    proxy.set(Mode::Answer(503, "SlowDown"));
    let failed = app.get("/demo/image/upload/rocket.jpg").await;
    assert_eq!((failed.status.as_u16(), failed.header("retry-after")), (503, "2"), "{}", failed.text());
    assert!(!failed.text().contains(SECRET));
    // Also where it is read for a rendering.
    let failed = app.get("/demo/image/upload/c_scale,w_33/rocket.jpg").await;
    assert_eq!((failed.status.as_u16(), failed.header("retry-after")), (503, "2"), "{}", failed.text());
    proxy.set(Mode::Pass);
    assert!(app.get("/demo/image/upload/rocket.jpg").await.body == ROCKET);
    app.upload("rocket.jpg", ROCKET, &[("public_id", "after")]).await;
    assert!(app.get("/demo/image/upload/after.jpg").await.body == ROCKET);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_file_of_a_cloud_lies_in_its_bucket() {
    let Some(server) = server() else { return };
    let start = &BlobKey::random().to_string()[..20];
    let buckets = format!("{start}-{{cloud}}");
    let flags = &flags(&server, &buckets, &buckets)[..6];
    let given: BTreeMap<String, String> =
        flags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let config = Config::from_sources(&given, &[], None, &Machine::detect()).unwrap();
    let app = WholeApp::start_over(open_store(&config).await.unwrap(), flags).await;
    // A file, one that is stored as another, and a derived picture.
    app.upload("rocket.jpg", ROCKET, &[("public_id", "rocket")]).await;
    app.upload("chelsea.png", CHELSEA, &[("public_id", "chelsea"), ("format", "jpg")]).await;
    let small = app.get("/demo/image/upload/c_fill,w_100,h_80/rocket.jpg").await;
    assert_eq!(small.status, 200, "{}", small.text());
    let derived = app.derived("rocket", 1).await;
    let bucket = format!("{start}-{}", &app.demo.cloud.id.as_str()[..12]);
    for blob in [&app.asset("rocket").await.blob, &app.asset("chelsea").await.blob, &derived[0].blob] {
        assert_eq!(ask(&server, "HEAD", &format!("/{bucket}/{}", path_of(blob)), &[], b"").0, 200, "{blob}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_moves_to_buckets_of_clouds_finds_its_older_files() {
    let Some(server) = server() else { return };
    let (first, start) = (bucket(&server), &BlobKey::random().to_string()[..20]);
    let buckets = format!("{start}-{{cloud}}");
    let open = async |flags: &[(&str, &str)]| {
        let given: BTreeMap<String, String> =
            flags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        open_store(&Config::from_sources(&given, &[], None, &Machine::detect()).unwrap()).await.unwrap()
    };
    let before = flags(&server, &first, &first)[..6].to_vec();
    let mut app = WholeApp::start_over(open(&before).await, &before).await;
    app.upload("rocket.jpg", ROCKET, &[("public_id", "rocket")]).await;
    let old = app.asset("rocket").await.blob;

    let mut now = flags(&server, &buckets, &buckets)[..6].to_vec();
    app.blobs = open(&now).await;
    app.restart().await;
    assert_eq!(app.get("/demo/image/upload/rocket.jpg").await.status, 500, "nobody told where it lies");
    now.push(("s3_former_bucket", &first));
    app.blobs = open(&now).await;
    app.restart().await;
    assert!(app.get("/demo/image/upload/rocket.jpg").await.body == ROCKET);
    assert_eq!(app.get("/demo/image/upload/c_scale,w_40/rocket.jpg").await.status, 200);
    app.upload("rocket.jpg", CHELSEA, &[("public_id", "rocket")]).await;
    let new = app.asset("rocket").await.blob;
    let bucket = format!("{start}-{}", &app.demo.cloud.id.as_str()[..12]);
    assert_eq!(ask(&server, "HEAD", &format!("/{bucket}/{}", path_of(&new)), &[], b"").0, 200);
    assert_eq!(ask(&server, "HEAD", &format!("/{first}/{}", path_of(&old)), &[], b"").0, 404, "it was replaced");
}
