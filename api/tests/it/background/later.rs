//! Uploads, sprites, animations and pages that are made after the answer.

use super::{GET, POST, Site};
use crate::gifs::{BLUE, GREEN, RED, film};
use crate::whole_app::{CHELSEA, ROCKET};
use serde_json::{Value, json};
use tintype_api::domain::{JobState, Timestamp};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_is_done_after_its_answer() {
    let site = Site::start().await;
    let url = site.url("/told");
    let params = [("public_id", "a"), ("async", "1"), ("tags", "t"), ("notification_url", url.as_str())];
    let answer = site.upload(CHELSEA, &params).await;
    let batch_id = answer["batch_id"].as_str().unwrap();
    assert_eq!(
        answer,
        json!({ "status": "pending", "resource_type": "image", "type": "upload", "public_id": "a", "batch_id": batch_id })
    );
    assert_eq!(site.call(GET, "/resources/image/upload/a", Value::Null).await.0, 404);
    // Nobody completes the parts of other files; this one is kept for its job.
    let later = Timestamp::from_unix_micros(Timestamp::now().unix_micros() + 48 * 3_600_000_000);
    site.app.state().upload.expire_parts(later).await.unwrap();
    assert_eq!(site.jobs(JobState::Waiting).await.len(), 1);
    site.work().await;
    let details = site.ok(GET, "/resources/image/upload/a", Value::Null).await;
    assert_eq!((&details["tags"], &details["bytes"]), (&json!(["t"]), &json!(CHELSEA.len())));
    let calls = site.receiver.take();
    assert_eq!(calls.iter().map(|call| call.event()).collect::<Vec<_>>(), ["upload"]);
    let told = calls[0].json();
    assert_eq!((&told["batch_id"], &told["etag"]), (&json!(batch_id), &details["etag"]));
    assert!(site.jobs(JobState::Dead).await.is_empty());
    // What the job kept is gone: only the asset's own blob is left.
    let forgotten = Timestamp::from_unix_micros(i64::MAX);
    assert_eq!(site.app.state().upload.expire_parts(forgotten).await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_fails_after_the_answer_is_told() {
    let site = Site::start().await;
    let url = site.url("/told");
    let params = [("public_id", "b"), ("async", "true"), ("notification_url", url.as_str()), ("batch_id", "mine")];
    let answer = site.upload(b"no picture at all", &params).await;
    assert_eq!((&answer["status"], &answer["batch_id"]), (&json!("pending"), &json!("mine")));
    site.work().await;
    let calls = site.receiver.take();
    assert_eq!(calls.len(), 1, "{calls:?}");
    let told = calls[0].json();
    assert_eq!(
        (calls[0].event().as_str(), &told["public_id"], &told["batch_id"]),
        ("error", &json!("b"), &json!("mine"))
    );
    assert!(told["error"]["message"].as_str().unwrap().contains("Invalid image file"), "{told}");
    assert_eq!(site.app.state().upload.expire_parts(Timestamp::from_unix_micros(i64::MAX)).await.unwrap(), 0);
    // What can be refused before the answer still is.
    for (params, part) in [
        (&[("async", "1"), ("eager", "w_x")][..], "Invalid width"),
        (&[("async", "perhaps")], "async"),
        (&[("async", "1"), ("public_id", "a?b")], "invalid"),
    ] {
        let (status, answer) = site.try_upload(CHELSEA, params).await;
        let message = answer["error"]["message"].as_str().unwrap();
        assert!(status == 400 && message.contains(part), "{params:?}: {answer}");
    }
    assert_eq!(site.try_upload(b"", &[("async", "1")]).await.0, 400);
    assert!(site.jobs(JobState::Waiting).await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_become_derived_pictures() {
    let site = Site::start().await;
    let url = site.url("/told");
    let asset = site.upload(&film(&[RED, GREEN, BLUE]), &[("public_id", "dir/film")]).await;
    let body = json!({ "public_id": "dir/film", "transformation": "w_20,pg_all", "notification_url": url });
    let answer = site.ok(POST, "/image/explode", body).await;
    let batch_id = answer["batch_id"].as_str().unwrap();
    assert_eq!(answer, json!({ "status": "processing", "batch_id": batch_id }));
    site.work().await;
    let calls = site.receiver.take();
    assert_eq!(calls.iter().map(|call| call.event()).collect::<Vec<_>>(), ["explode"]);
    let told = calls[0].json();
    assert_eq!(
        (&told["pages"], &told["batch_id"], &told["asset_id"]),
        (&json!(3), &json!(batch_id), &asset["asset_id"])
    );
    let infos = told["image_infos"].as_array().unwrap();
    for (n, info) in infos.iter().enumerate() {
        let address = info["secure_url"].as_str().unwrap();
        assert!(address.contains(&format!("/w_20,pg_{}/v", n + 1)) && address.ends_with("dir/film.png"), "{address}");
        assert!(info["bytes"].as_u64().unwrap() > 0);
    }
    assert_eq!(infos.len(), 3);
    let details = site.ok(GET, "/resources/image/upload/dir/film", Value::Null).await;
    assert_eq!(details["derived"].as_array().unwrap().len(), 3, "{details}");
    let later = json!({ "public_id": "dir/film", "transformation": "pg_all", "format": "jpg", "async": true });
    let answer = site.ok(POST, "/image/explode", later).await;
    assert_eq!((&answer["status"], &answer["public_id"]), (&json!("pending"), &json!("dir/film")));
    for (body, wanted) in [
        (json!({ "public_id": "dir/film", "transformation": "pg_2" }), 400),
        (json!({ "public_id": "dir/film", "transformation": "pg_all,w_x" }), 400),
        (json!({ "public_id": "dir/film", "transformation": "pg_all", "format": "heic" }), 400),
        (json!({ "public_id": "none", "transformation": "pg_all" }), 404),
    ] {
        let (status, answer) = site.call(POST, "/image/explode", body.clone()).await;
        assert_eq!(status, wanted, "{body}: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sprites_and_animations_are_made_after_the_answer() {
    let site = Site::start().await;
    for (id, file) in [("a", CHELSEA), ("b", ROCKET)] {
        site.upload(file, &[("public_id", id), ("tags", "t")]).await;
    }
    site.work().await;
    site.receiver.take();
    let url = site.url("/told");
    for action in ["sprite", "multi"] {
        let body = json!({ "tag": "t", "transformation": "w_30", "async": "1", "notification_url": url });
        let answer = site.ok(POST, &format!("/image/{action}"), body).await;
        let batch_id = answer["batch_id"].as_str().unwrap();
        let wanted = json!({ "status": "pending", "resource_type": "image", "type": action, "public_id": "t", "batch_id": batch_id });
        assert_eq!(answer, wanted);
        site.work().await;
        let calls = site.receiver.take();
        assert_eq!(calls.iter().map(|call| call.event()).collect::<Vec<_>>(), [action]);
        let told = calls[0].json();
        assert_eq!((&told["public_id"], &told["batch_id"]), (&json!("t"), &json!(batch_id)));
        assert_eq!(site.call(GET, &format!("/resources/image/{action}/t"), Value::Null).await.0, 200);
    }
    let body = json!({ "tag": "none", "async": "1", "notification_url": url });
    site.ok(POST, "/image/sprite", body).await;
    site.work().await;
    let calls = site.receiver.take();
    assert_eq!(calls.iter().map(|call| call.event()).collect::<Vec<_>>(), ["error"]);
    assert!(calls[0].json()["error"]["message"].as_str().unwrap().contains("No resources found"));
}
