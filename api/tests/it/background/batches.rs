//! Eager batches: over a selection, with a report, from where a lost worker stopped.

use super::{DELETE, GET, POST, Site};
use crate::whole_app::CHELSEA;
use serde_json::{Value, json};
use tintype_api::catalog::library::Claim;
use tintype_api::domain::{AssetId, Timestamp};
use tintype_api::jobs::EAGER_BATCH;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_renders_what_it_selects_and_reports() {
    let site = Site::start().await;
    for (id, tags) in [("p/1", "t"), ("p/2", ""), ("q", "t")] {
        site.upload(CHELSEA, &[("public_id", id), ("tags", tags)]).await;
    }
    let batch = json!({ "transformations": "w_20|w_21/webp|l_nobody,w_5", "prefix": "p/" });
    let begun = site.ok(POST, "/eager_batches", batch.clone()).await;
    assert_eq!((&begun["state"], &begun["existing"]), (&json!("waiting"), &json!(false)));
    let again = site.ok(POST, "/eager_batches", batch).await;
    assert_eq!((&again["batch_id"], &again["existing"]), (&begun["batch_id"], &json!(true)));
    assert_eq!(site.work().await, 1);
    let path = format!("/eager_batches/{}", begun["batch_id"].as_str().unwrap());
    let done = site.ok(GET, &path, Value::Null).await;
    assert_eq!((&done["state"], &done["assets"], &done["done"]), (&json!("done"), &json!(2), &json!(4)));
    assert_eq!((&done["failed"], &done["errors"][0]["public_id"]), (&json!(2), &json!("p/1")));
    assert_eq!(done["errors"][0]["transformation"], "l_nobody,w_5");
    assert_eq!(site.renders().await, 4.0);

    // What is there already is not rendered again.
    site.ok(POST, "/eager_batches", json!({ "transformations": ["w_20"], "tag": "t" })).await;
    site.work().await;
    assert_eq!(site.renders().await, 5.0, "only of q");
    let found = json!({ "transformations": "w_22", "expression": "tags=t AND public_id:p*" });
    let begun_found = site.ok(POST, "/eager_batches", found).await;
    site.work().await;
    let path_found = format!("/eager_batches/{}", begun_found["batch_id"].as_str().unwrap());
    let done_found = site.ok(GET, &path_found, Value::Null).await;
    assert_eq!((&done_found["assets"], &done_found["done"]), (&json!(1), &json!(1)));
    assert_eq!(site.renders().await, 6.0, "only of p/1");
    site.ok(DELETE, &path_found, Value::Null).await;
    let list = site.ok(GET, "/eager_batches", Value::Null).await;
    assert_eq!(list["eager_batches"].as_array().unwrap().len(), 2);
    assert_eq!(list["eager_batches"][0]["selection"], json!({ "tag": "t" }));

    for wrong in [
        json!({ "prefix": "p" }),
        json!({ "transformations": "w_1" }),
        json!({ "transformations": "w_1", "prefix": "p", "tag": "t" }),
        json!({ "transformations": "w_x,,", "all": true }),
        json!({ "transformations": "w_1", "expression": "tags=t AND (" }),
        json!({ "transformations": "w_1", "expression": "tags=t", "all": true }),
    ] {
        assert_eq!(site.call(POST, "/eager_batches", wrong.clone()).await.0, 400, "{wrong}");
    }
    assert_eq!(site.call(GET, "/eager_batches/nope", Value::Null).await.0, 404);
    site.ok(DELETE, &path, Value::Null).await;
    assert_eq!(site.call(GET, &path, Value::Null).await.0, 404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_goes_on_behind_what_a_lost_worker_had_done() {
    let site = Site::start().await;
    let mut first = None;
    for id in ["1", "2", "3", "4"] {
        let answer = site.upload(CHELSEA, &[("public_id", id)]).await;
        first = first.or(answer["asset_id"].as_str().map(str::to_owned));
    }
    let first = AssetId::new(first.unwrap()).unwrap();
    let begun = site.ok(POST, "/eager_batches", json!({ "transformations": "w_20", "all": true })).await;
    // Another worker takes it, gets behind the first asset, and is never heard of again.
    let now = Timestamp::now();
    let lost = Claim {
        kinds: vec![EAGER_BATCH],
        limit: 1,
        lease: "lost".to_owned(),
        lease_until: Timestamp::from_unix_seconds(now.unix_seconds() + 30),
        now,
    };
    let job = site.library().claim_jobs(lost).await.unwrap().remove(0);
    let asset = site.records.catalog.asset_by_id(&first).await.unwrap().unwrap();
    let cursor = json!([asset.created_at.unix_micros(), first.as_str()]);
    let progress = json!({ "cursor": cursor, "assets": 1, "done": 1, "active_ms": 100 });
    assert!(site.library().record_progress("lost", &job.id, &progress).await.unwrap());
    assert_eq!(site.work().await, 0, "it is held");
    site.pass(60);
    site.app.worker().tidy(true).await;
    assert_eq!(site.work().await, 1);
    let path = format!("/eager_batches/{}", begun["batch_id"].as_str().unwrap());
    let done = site.ok(GET, &path, Value::Null).await;
    assert_eq!((&done["state"], &done["assets"], &done["done"]), (&json!("done"), &json!(4), &json!(4)));
    assert_eq!(site.renders().await, 3.0, "each picture is rendered once, and that of the first asset was");
}
