//! Importing somebody's bucket.

use super::{SECRET, ask, bucket, options, server};
use crate::whole_app::{CHELSEA, ROCKET, WholeApp, ok};
use axum::http::Method;
use std::collections::BTreeMap;
use tintype_api::app::open_store;
use tintype_api::config::Config;
use tintype_api::config::machine::Machine;
use tintype_api::import::{Options, Progress, Report, objects};
use tintype_api::storage::StorageError;
use tintype_api::storage::s3::{Bucket, S3Options};

async fn run(app: &WholeApp, options: &S3Options, prefix: &str) -> Report {
    import(app, options, prefix, false).await
}

async fn import(app: &WholeApp, options: &S3Options, prefix: &str, in_place: bool) -> Report {
    let items = objects(Bucket::new(options.clone()).with_page(10), prefix, false, in_place);
    app.importer().run(items, Options::default(), &Progress::default(), std::future::pending()).await
}

#[tokio::test]
async fn a_bucket_is_copied() {
    let Some(server) = server() else { return };
    let name = bucket(&server);
    let put = |path: &str, body: &[u8]| {
        let (status, text) = ask(&server, "PUT", &format!("/{name}/{path}"), &[], body);
        assert_eq!(status, 200, "{text}");
    };
    put("shop/pics/rocket.jpg", ROCKET);
    put("shop/price%20list.csv", b"a,b");
    put("shop/folder/", b"");
    put("other/rocket.jpg", ROCKET);
    // More than a page of names.
    for number in 0..25 {
        put(&format!("many/{number:04}.txt"), format!("{number}").as_bytes());
    }
    let app = WholeApp::start_in_memory().await;
    let from = S3Options { prefix: "shop/".to_owned(), ..options(&server, &name) };
    let report = run(&app, &from, "in").await;
    assert_eq!((report.imported, report.failed), (2, 0), "{:?}", report.failures);
    assert_eq!(app.asset("in/pics/rocket").await.bytes, ROCKET.len() as u64);
    assert_eq!(app.get("/demo/raw/upload/in/price%20list.csv").await.body, "a,b");
    let again = run(&app, &from, "in").await;
    assert_eq!((again.imported, again.present), (0, 2));
    let many = S3Options { prefix: "many/".to_owned(), ..options(&server, &name) };
    let report = run(&app, &many, "").await;
    assert_eq!((report.imported, report.failed), (25, 0), "{:?}", report.failures.first());
    assert_eq!(app.get("/demo/raw/upload/0024.txt").await.body, "24");

    let missing = S3Options { bucket: format!("{name}-not"), ..from };
    let report = run(&app, &missing, "").await;
    assert_eq!((report.imported, report.failed), (0, 1));
    assert!(report.failures[0].reason.contains("no such bucket"), "{}", report.failures[0].reason);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn objects_are_used_in_place_and_never_touched() {
    let Some(server) = server() else { return };
    let name = bucket(&server);
    let put = |path: &str, body: &[u8]| {
        let (status, text) = ask(&server, "PUT", &format!("/{name}/{path}"), &[], body);
        assert_eq!(status, 200, "{text}");
    };
    put("shop/rocket.jpg", ROCKET);
    put("shop/chelsea.png", CHELSEA);
    put("shop/list.csv", b"a,b,c");
    let folder = tempfile::tempdir().unwrap();
    let flags = [
        ("data_dir", folder.path().to_str().unwrap()),
        ("external_s3_buckets", &name),
        ("external_s3_endpoint", &server),
        ("external_s3_access_key_id", "test"),
        ("external_s3_secret_access_key", SECRET),
    ];
    let config = |flags: &[(&str, &str)]| {
        let given: BTreeMap<String, String> =
            flags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Config::from_sources(&given, &[], None, &Machine::detect()).unwrap()
    };
    let store = open_store(&config(&flags)).await.unwrap();
    let mut app = WholeApp::start_over(store, &flags[1..]).await;
    let from = S3Options { prefix: "shop/".to_owned(), ..options(&server, &name) };
    let report = import(&app, &from, "in", true).await;
    assert_eq!((report.imported, report.failed), (3, 0), "{:?}", report.failures);
    assert_eq!(import(&app, &from, "in", true).await.present, 3, "a second run finds them");

    // Only references were written.
    let blob = app.asset("in/rocket").await.blob;
    assert!(blob.is_reference());
    assert_eq!(app.blobs.size(&blob).await.unwrap(), Some(ROCKET.len() as u64));
    assert!(app.blobs.stored(&blob).await.unwrap().unwrap().bytes < 1000);
    assert!(app.get("/demo/image/upload/in/rocket.jpg").await.body == ROCKET);
    let part = app.ask(Method::GET, "/demo/raw/upload/in/list.csv", &[("range", "bytes=2-3")]).await;
    assert_eq!((part.status.as_u16(), &*part.body), (206, &b"b,"[..]));
    assert_eq!(app.get("/demo/image/upload/c_scale,w_50/in/rocket.jpg").await.status, 200);

    // An object that was replaced is not the asset any longer.
    put("shop/rocket.jpg", CHELSEA);
    app.restart().await;
    for path in ["/demo/image/upload/in/rocket.jpg", "/demo/image/upload/c_scale,w_51/in/rocket.jpg"] {
        assert_eq!(app.get(path).await.status, 500, "{path}");
    }
    let changed = app.blobs.read(&blob).await.unwrap_err();
    assert!(matches!(changed, StorageError::Corrupted { .. }), "{changed}");
    assert_eq!(app.get("/demo/image/upload/c_scale,w_50/in/rocket.jpg").await.status, 200, "what was made stays");
    let report = import(&app, &from, "in", true).await;
    assert_eq!((report.imported, report.present, report.failed), (1, 2, 0), "{:?}", report.failures);
    assert!(app.get("/demo/image/upload/in/rocket.png").await.body == CHELSEA);

    // Who does not know the bucket reads nothing of it.
    let blob = app.asset("in/chelsea").await.blob;
    let stranger = open_store(&config(&flags[..1])).await.unwrap();
    let refused = stranger.read(&blob).await.unwrap_err();
    assert!(matches!(&refused, StorageError::Denied(text) if text.contains("external_s3_buckets")), "{refused}");

    let gone =
        ok(&app, Method::DELETE, "/resources/image/upload?public_ids[]=in/chelsea", serde_json::json!(null)).await;
    assert_eq!(gone["deleted"]["in/chelsea"], "deleted");
    assert_eq!(app.get("/demo/image/upload/in/chelsea.png").await.status, 404);
    assert_eq!(app.blobs.size(&blob).await.unwrap(), None, "the reference is gone");
    assert_eq!(ask(&server, "GET", &format!("/{name}/shop/chelsea.png"), &[], b"").0, 200, "the object stays");
}
