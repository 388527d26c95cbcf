//! `tintype verify` on a server with a folder of blobs.

use crate::program::{said, tintype};
use crate::whole_app::{CHELSEA, ICON, ROCKET, WholeApp};
use bytes::Bytes;
use serde_json::Value;
use std::fs;
use std::time::Duration;
use tintype_api::domain::BlobKey;
use tintype_api::upkeep::{Finding, Problem, Totals, Verifier, VerifyOptions};

/// No upload is on its way.
const AT_REST: VerifyOptions = VerifyOptions {
    deep: false,
    repair: false,
    drop_missing: false,
    all_orphans: false,
    all_missing: false,
    grace: Duration::ZERO,
    concurrency: 3,
};

async fn verify(app: &WholeApp, options: VerifyOptions) -> (Totals, Vec<Finding>) {
    let verifier = Verifier {
        catalog: app.records.catalog.clone(),
        library: app.records.library.clone(),
        blobs: app.blobs.clone(),
        copies: None,
    };
    let mut findings = Vec::new();
    let totals = verifier.run(options, &mut |finding| findings.push(finding)).await.unwrap();
    (totals, findings)
}

async fn orphan(app: &WholeApp) -> BlobKey {
    let mut writer = app.blobs.create().await.unwrap();
    writer.write(Bytes::from_static(b"from an upload that never ended")).await.unwrap();
    writer.commit().await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_whole_is_left_alone() {
    let app = WholeApp::start().await;
    app.upload("rocket.jpg", ROCKET, &[("public_id", "rocket"), ("backup", "true")]).await;
    app.upload("chelsea.png", CHELSEA, &[("public_id", "rocket")]).await;
    assert_eq!(app.get("/demo/image/upload/w_50/rocket.png").await.status, 200);
    app.derived("rocket", 1).await;
    let everything = VerifyOptions { deep: true, repair: true, drop_missing: true, ..AT_REST };
    let (totals, findings) = verify(&app, everything).await;
    assert_eq!(findings, []);
    let rows = |kind: &str| totals.rows[kind].rows;
    assert_eq!((rows("original"), rows("version"), rows("derived"), rows("part")), (1, 1, 1, 0));
    assert_eq!((totals.blobs, totals.orphans, totals.garbage, totals.lost()), (3, 0, 0, 0));
    assert!(app.get("/demo/image/upload/rocket.png").await.body == CHELSEA);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_and_damaged_blobs_are_found() {
    let mut app = WholeApp::start().await;
    for (id, file) in [("rocket", ROCKET), ("chelsea", CHELSEA), ("icon", ICON)] {
        app.upload(id, file, &[("public_id", id)]).await;
    }
    assert_eq!(app.get("/demo/image/upload/w_50/rocket.jpg").await.status, 200);
    let picture = app.derived("rocket", 1).await.remove(0);
    fs::remove_file(app.blob_file(&picture.blob)).unwrap();
    let (totals, findings) = verify(&app, AT_REST).await;
    assert_eq!((totals.lost(), totals.rows["derived"].missing, findings.len()), (0, 1, 1));
    assert_eq!((findings[0].of, findings[0].removed, &findings[0].problem), ("derived", false, &Problem::Missing));
    let (totals, _) = verify(&app, VerifyOptions { repair: true, ..AT_REST }).await;
    assert_eq!(totals.rows["derived"].removed, 1);
    assert_eq!(verify(&app, AT_REST).await.1, []);
    app.restart().await;
    assert_eq!(app.get("/demo/image/upload/w_50/rocket.jpg").await.status, 200, "it is rendered again");

    // One byte of an original is another one; only reading tells.
    let file = app.blob_file(&app.asset("rocket").await.blob);
    let mut bytes = fs::read(&file).unwrap();
    bytes[1000] ^= 1;
    fs::write(&file, bytes).unwrap();
    assert_eq!(verify(&app, AT_REST).await.0.lost(), 0);
    let deep = VerifyOptions { deep: true, repair: true, drop_missing: true, ..AT_REST };
    let (totals, findings) = verify(&app, deep).await;
    assert_eq!((totals.lost(), totals.rows["original"].damaged), (1, 1));
    assert_eq!((findings[0].name.as_str(), findings[0].removed), ("image/upload/rocket", false));
    assert!(file.exists(), "what is left of an original is kept");
    // A length tells without reading.
    fs::write(&file, b"cut off").unwrap();
    let (totals, findings) = verify(&app, AT_REST).await;
    assert_eq!(totals.rows["original"].damaged, 1);
    assert!(matches!(&findings[0].problem, Problem::Damaged { reason } if reason.starts_with("7 bytes instead of")));

    fs::remove_file(app.blob_file(&app.asset("chelsea").await.blob)).unwrap();
    let (totals, _) = verify(&app, VerifyOptions { repair: true, ..AT_REST }).await;
    assert_eq!((totals.lost(), totals.rows["original"].removed), (2, 0), "an original's row stays");
    let output = tintype(app.data_dir(), &["verify", "--json"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("2 originals"));
    let lines: Vec<Value> =
        String::from_utf8(output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(lines.iter().any(|line| line["problem"] == "missing" && line["name"] == "image/upload/chelsea"));
    assert_eq!(lines.last().unwrap()["totals"]["rows"]["original"]["missing"], 1);
    let (totals, _) = verify(&app, VerifyOptions { drop_missing: true, ..AT_REST }).await;
    assert_eq!(totals.rows["original"].removed, 1);
    let (totals, findings) = verify(&app, AT_REST).await;
    assert_eq!((totals.rows["original"].rows, findings.len()), (2, 1), "only the damaged one is still told of");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn blobs_without_rows_are_deleted_when_they_are_old() {
    let app = WholeApp::start().await;
    app.upload("rocket.jpg", ROCKET, &[("public_id", "rocket")]).await;
    let (lost, listed) = (orphan(&app).await, orphan(&app).await);
    app.records.library.disown_blobs(std::slice::from_ref(&listed)).await.unwrap();
    let careful = VerifyOptions { repair: true, grace: Duration::from_secs(3600), ..AT_REST };
    let (totals, findings) = verify(&app, VerifyOptions { repair: false, ..careful }).await;
    assert_eq!((totals.young, totals.orphans, totals.garbage, findings.len()), (1, 0, 1, 0));
    let (totals, _) = verify(&app, careful).await;
    assert_eq!((totals.young, totals.garbage_removed), (1, 1));
    assert!(app.blobs.size(&lost).await.unwrap().is_some(), "an upload may still be writing its row");
    assert_eq!(app.blobs.size(&listed).await.unwrap(), None);

    let said = said(app.data_dir(), &["verify", "--grace", "0"]);
    assert!(said.contains(&format!("blob {lost}: no row names these 31 bytes")), "{said}");
    let (totals, findings) = verify(&app, VerifyOptions { repair: true, ..AT_REST }).await;
    assert_eq!((totals.orphans, totals.orphans_removed, totals.orphan_bytes), (1, 1, 31));
    assert!(findings[0].removed && findings[0].blob == lost.as_str());
    assert_eq!(app.blobs.size(&lost).await.unwrap(), None);
    assert_eq!(app.catalog.garbage(10).await.unwrap(), [], "and nothing is left to be deleted");
    assert!(app.get("/demo/image/upload/rocket.jpg").await.body == ROCKET);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_catalog_of_another_store_deletes_nothing() {
    let app = WholeApp::start().await;
    app.upload("rocket.jpg", ROCKET, &[("public_id", "rocket")]).await;
    for _ in 0..101 {
        orphan(&app).await;
    }
    let repair = VerifyOptions { repair: true, ..AT_REST };
    let (totals, _) = verify(&app, repair).await;
    assert_eq!((totals.orphans, totals.orphans_removed, totals.too_many_orphans), (101, 0, true));
    assert!(!tintype(app.data_dir(), &["verify", "--repair", "--grace", "0"]).status.success());
    let (totals, _) = verify(&app, VerifyOptions { all_orphans: true, ..repair }).await;
    assert_eq!((totals.orphans_removed, totals.too_many_orphans), (101, false));
    assert_eq!(app.blobs.list(None, 10).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_store_that_is_not_mounted_costs_no_rows() {
    let app = WholeApp::start().await;
    for number in 0..101 {
        let id = format!("r{number}");
        let authorization = app.credentials();
        let file = Some(("r.txt", &b"text"[..]));
        let (status, answer) =
            app.post("/raw/upload", &[("public_id", &id)], file, &[("authorization", &authorization)]).await;
        assert_eq!(status, 200, "{answer}");
    }
    let keys = app.blobs.list(None, 1000).await.unwrap();
    app.blobs.delete_all(&keys).await.unwrap();
    let all = VerifyOptions { repair: true, drop_missing: true, ..AT_REST };
    let (totals, _) = verify(&app, all).await;
    let originals = totals.rows["original"];
    assert_eq!((originals.missing, originals.removed, totals.too_many_missing), (101, 0, true));
    let (totals, _) = verify(&app, VerifyOptions { all_missing: true, ..all }).await;
    assert_eq!((totals.rows["original"].removed, totals.too_many_missing), (101, false));
}
