//! Importing somebody's bucket.

use super::{ask, bucket, options, server};
use crate::whole_app::{ROCKET, WholeApp};
use tintype_api::import::{Options, Progress, Report, objects};
use tintype_api::storage::s3::{Bucket, S3Options};

async fn run(app: &WholeApp, options: &S3Options, prefix: &str) -> Report {
    let items = objects(Bucket::new(options.clone()).with_page(10), prefix, false);
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
