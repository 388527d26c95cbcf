//! Eager pictures and `explicit` after the answer.

use super::{GET, POST, Site};
use crate::whole_app::{CHELSEA, ROCKET};
use serde_json::{Value, json};
use tintype_api::domain::JobState;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn eager_pictures_come_after_the_answer() {
    let site = Site::start().await;
    let (own, eager) = (site.url("/own"), site.url("/eager"));
    let params = [
        ("public_id", "a"),
        ("eager", "c_fill,w_20,h_20|w_30/webp|l_nobody,w_5"),
        ("eager_async", "true"),
        ("eager_notification_url", eager.as_str()),
        ("notification_url", own.as_str()),
    ];
    let answer = site.upload(CHELSEA, &params).await;
    assert_eq!(site.renders().await, 0.0, "nothing is rendered before the answer");
    let batch_id = answer["batch_id"].as_str().unwrap();
    let entries = answer["eager"].as_array().unwrap();
    assert_eq!(entries.len(), 3);
    for entry in entries {
        assert_eq!((&entry["status"], &entry["batch_id"]), (&json!("processing"), &json!(batch_id)));
        assert!(entry["secure_url"].as_str().unwrap().contains("/v") && entry.get("width").is_none());
    }
    site.work().await;
    let calls = site.receiver.take();
    let seen: Vec<(&str, String)> = calls.iter().map(|call| (call.path.as_str(), call.event())).collect();
    assert_eq!(seen, [("/own", "upload".to_owned()), ("/eager", "eager".to_owned())]);
    assert_eq!(calls[0].json()["eager"], answer["eager"], "the upload tells of what is to come");
    let told = calls[1].json();
    assert_eq!((&told["batch_id"], &told["asset_id"]), (&json!(batch_id), &answer["asset_id"]));
    assert_eq!((&told["public_id"], &told["api_key"]), (&json!("a"), &answer["api_key"]));
    let pictures = told["eager"].as_array().unwrap();
    assert_eq!((&pictures[0]["width"], &pictures[0]["height"]), (&json!(20), &json!(20)));
    assert_eq!((&pictures[1]["format"], &pictures[1]["transformation"]), (&json!("webp"), &json!("w_30/webp")));
    assert_eq!(pictures[0]["secure_url"], entries[0]["secure_url"]);
    assert_eq!(pictures[2]["status"], "failed");
    assert!(pictures[2]["reason"].is_string());
    let details = site.ok(GET, "/resources/image/upload/a", Value::Null).await;
    assert_eq!(details["derived"].as_array().unwrap().len(), 2);
    assert_eq!(site.jobs(JobState::Done).await.len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pictures_of_a_replaced_content_are_not_rendered() {
    let site = Site::start().await;
    let params = [("public_id", "a"), ("eager", "w_20"), ("eager_async", "1")];
    site.upload(CHELSEA, &params).await;
    site.upload(ROCKET, &params).await;
    site.work().await;
    assert_eq!(site.renders().await, 1.0);
    let skipped = site.jobs(JobState::Done).await.iter().filter(|job| job.progress["skipped"].is_string()).count();
    assert_eq!(skipped, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn explicit_is_done_later_where_it_is_asked_to() {
    let site = Site::start().await;
    let url = site.url("/n");
    site.upload(CHELSEA, &[("public_id", "a")]).await;
    let eager = json!({ "public_id": "a", "type": "upload", "eager": "w_40", "eager_async": true,
        "eager_notification_url": url });
    let answer = site.ok(POST, "/image/explicit", eager).await;
    assert_eq!((&answer["eager"][0]["status"], answer["eager"][0].get("width")), (&json!("processing"), None));
    site.work().await;
    let calls = site.receiver.take();
    assert_eq!((calls.len(), calls[0].json()["batch_id"].clone()), (1, answer["batch_id"].clone()));
    assert_eq!(calls[0].json()["eager"][0]["width"], 40);

    let later = json!({ "public_id": "a", "type": "upload", "tags": "t", "eager": "w_41", "async": true,
        "notification_url": url });
    let answer = site.ok(POST, "/image/explicit", later).await;
    assert_eq!((&answer["status"], &answer["public_id"]), (&json!("pending"), &json!("a")));
    assert!(site.ok(GET, "/resources/image/upload/a", Value::Null).await.get("tags").is_none(), "nothing yet");
    site.work().await;
    let calls = site.receiver.take();
    let told: Vec<String> = calls.iter().map(|call| call.event()).collect();
    assert_eq!(told, ["resource_tags_changed", "explicit"]);
    let told = calls[1].json();
    assert_eq!((&told["batch_id"], &told["tags"]), (&answer["batch_id"], &json!(["t"])));
    assert_eq!(told["eager"][0]["width"], 41);

    let missing = json!({ "public_id": "nope", "type": "upload", "async": true, "notification_url": url });
    site.ok(POST, "/image/explicit", missing).await;
    site.work().await;
    let told = site.receiver.take().remove(0).json();
    assert_eq!((&told["notification_type"], &told["public_id"]), (&json!("error"), &json!("nope")));
    assert_eq!(told["error"]["message"], "Resource not found - nope");
}
