//! Notifications: what they say, to whom, signed how, again when, and in which order.

use super::{DELETE, GET, POST, PUT, Site};
use crate::whole_app::CHELSEA;
use serde_json::{Value, json};
use sha1::{Digest, Sha1};
use tintype_api::catalog::library::JobFilter;
use tintype_api::domain::JobState;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trigger_is_told_of_everything_in_order_and_signed() {
    let site = Site::start().await;
    let trigger = site.ok(POST, "/triggers", json!({ "uri": site.url("/hook"), "event_type": "all" })).await;
    assert_eq!((&trigger["uri_type"], &trigger["event_type"]), (&json!("webhook"), &json!("all")));
    let up = site.upload(CHELSEA, &[("public_id", "a"), ("tags", "x"), ("batch_id", "b1")]).await;
    assert_eq!(up["batch_id"], "b1");
    site.ok(POST, "/image/tags", json!({ "public_ids": ["a"], "tag": "y", "command": "add" })).await;
    site.ok(POST, "/image/tags", json!({ "public_ids": ["a"], "tag": "y", "command": "add" })).await;
    site.ok(POST, "/image/context", json!({ "public_ids": ["a"], "context": "k=v", "command": "add" })).await;
    let update = json!({ "moderation_status": "approved", "display_name": "Shown", "asset_folder": "f" });
    site.ok(POST, "/resources/image/upload/a", update).await;
    site.ok(POST, "/image/rename", json!({ "from_public_id": "a", "to_public_id": "b" })).await;
    site.ok(POST, "/image/destroy", json!({ "public_id": "b" })).await;
    assert!(site.receiver.take().is_empty(), "nothing is delivered before the answers");
    site.work().await;
    let calls = site.receiver.take();
    let events: Vec<String> = calls.iter().map(|call| call.event()).collect();
    let mut wanted = vec!["upload", "resource_tags_changed", "resource_context_changed"];
    wanted.extend(["resource_display_name_changed", "move", "moderation", "rename", "delete"]);
    assert_eq!(events, wanted, "in the order of the calls; a change that changes nothing is none");
    for call in &calls {
        assert_eq!((call.path.as_str(), call.headers["content-type"].as_str()), ("/hook", "application/json"));
        let timestamp = &call.headers["x-cld-timestamp"];
        let text = [&call.body, timestamp.as_bytes(), site.demo.key.secret.expose().as_bytes()].concat();
        assert_eq!(call.headers["x-cld-signature"], hex::encode(Sha1::digest(&text)));
        let json = call.json();
        assert_eq!(json["signature_key"], json!(site.demo.key.key));
        assert_eq!(json["notification_context"]["triggered_by"], json!({ "source": "api", "id": site.demo.key.key }));
        assert_eq!(json["request_id"].as_str().unwrap().len(), 32);
    }
    let body = |n: usize| calls[n].json();
    let upload = body(0);
    assert_eq!((&upload["secure_url"], &upload["batch_id"]), (&up["secure_url"], &json!("b1")));
    assert!(upload.get("signature").is_none() && upload["api_key"] == up["api_key"]);
    let tags = &body(1)["resources"][0];
    assert_eq!((&tags["added"], &tags["removed"], &tags["public_id"]), (&json!(["y"]), &json!([]), &json!("a")));
    assert_eq!(body(2)["resources"]["a"]["added"], json!({ "k": "v" }));
    assert_eq!(body(3)["resources"]["a"]["new_display_name"], "Shown");
    assert_eq!(body(4)["resources"]["a"]["to_asset_folder"], "f");
    assert_eq!(body(5)["moderation_status"], "approved");
    assert_eq!((&body(6)["from_public_id"], &body(6)["to_public_id"]), (&json!("a"), &json!("b")));
    assert_eq!(body(7)["resources"][0]["asset_id"], up["asset_id"]);
    assert_eq!(site.metric("tintype_job_runs_total{kind=\"webhook\",outcome=\"done\"}").await, Some(8.0));

    site.ok(POST, "/folders/p/q", Value::Null).await;
    site.ok(PUT, "/folders/p/q", json!({ "to_folder": "p/r" })).await;
    site.ok(DELETE, "/folders/p/r", Value::Null).await;
    for id in ["1", "2"] {
        site.upload(CHELSEA, &[("public_id", id), ("notification_url", &site.url("/own"))]).await;
    }
    site.ok(DELETE, "/resources/image/upload", json!({ "public_ids": ["1", "2", "3"] })).await;
    site.work().await;
    let mut events: Vec<(String, String)> =
        site.receiver.take().iter().map(|call| (call.path.clone(), call.event())).collect();
    events.sort();
    let wanted = [
        ("/hook", "create_folder"),
        ("/hook", "delete"),
        ("/hook", "delete_folder"),
        ("/hook", "move_or_rename_asset_folder"),
        ("/own", "upload"),
        ("/own", "upload"),
    ];
    assert_eq!(events, wanted.map(|(path, event)| (path.to_owned(), event.to_owned())), "a call's own address alone");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn triggers_are_listed_changed_and_deleted() {
    let site = Site::start().await;
    let made = site.ok(POST, "/triggers", json!({ "uri": site.url("/a"), "event_type": "upload" })).await;
    site.ok(POST, "/triggers", json!({ "uri": site.url("/b"), "event_type": "delete" })).await;
    let all = site.ok(GET, "/triggers", Value::Null).await;
    assert_eq!(all["triggers"].as_array().unwrap().len(), 2);
    let some = site.ok(GET, "/triggers?event_type=upload", Value::Null).await;
    assert_eq!(some["triggers"], json!([made]));
    let path = format!("/triggers/{}", made["id"].as_str().unwrap());
    let changed = site.ok(PUT, &path, json!({ "new_uri": site.url("/c") })).await;
    assert_eq!((&changed["uri"], &changed["id"]), (&json!(site.url("/c")), &made["id"]));
    site.upload(CHELSEA, &[("public_id", "x")]).await;
    site.work().await;
    let calls = site.receiver.take();
    assert_eq!((calls.len(), calls[0].path.as_str()), (1, "/c"));
    assert_eq!(site.ok(DELETE, &path, Value::Null).await, json!({ "message": "deleted" }));
    assert_eq!(site.call(DELETE, &path, Value::Null).await.0, 404);
    assert_eq!(site.call(PUT, &path, json!({ "new_uri": "http://x/" })).await.0, 404);
    for wrong in [
        json!({ "event_type": "upload" }),
        json!({ "uri": "http://x/" }),
        json!({ "uri": "file:///etc/passwd", "event_type": "upload" }),
        json!({ "uri": "http://x/", "event_type": "odd" }),
        json!({ "uri": "http://x/", "event_type": "upload", "uri_type": "poll" }),
    ] {
        assert_eq!(site.call(POST, "/triggers", wrong.clone()).await.0, 400, "{wrong}");
    }
    site.upload(CHELSEA, &[("public_id", "x")]).await;
    assert_eq!(site.work().await, 0, "nobody wants to know");
    let wrong = site.try_upload(CHELSEA, &[("public_id", "y"), ("notification_url", "gopher://x")]).await;
    assert_eq!(wrong.0, 400);
    let wrong = site.call(POST, "/image/destroy", json!({ "public_id": "x", "notification_url": "nonsense" })).await;
    assert_eq!(wrong.0, 400);
    site.ok(GET, "/resources/image/upload/x", Value::Null).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failing_address_is_called_after_3_6_and_9_minutes_then_given_up() {
    let site = Site::start().await;
    site.receiver.answer_with(&[500, 404, 302, 503]);
    site.upload(CHELSEA, &[("public_id", "a"), ("notification_url", &site.url("/n"))]).await;
    assert_eq!(site.work().await, 1);
    let first = site.receiver.take().remove(0);
    for minutes in [3, 6, 9] {
        site.pass(minutes * 60 - 30);
        assert_eq!(site.work().await, 0, "not yet after {minutes} minutes");
        site.pass(31);
        assert_eq!(site.work().await, 1, "after {minutes} minutes");
        let again = site.receiver.take().remove(0);
        assert_eq!(again.body, first.body, "the same text");
        assert_ne!(again.headers["x-cld-timestamp"], first.headers["x-cld-timestamp"], "signed anew");
    }
    site.pass(86_400);
    assert_eq!(site.work().await, 0, "given up");
    let dead = site.jobs(JobState::Dead).await;
    assert_eq!((dead.len(), dead[0].error.as_str()), (1, "the address answered with status 503"));
    assert_eq!(dead[0].payload["url"], site.url("/n"));
    assert_eq!(site.metric("tintype_jobs{state=\"dead\",kind=\"webhook\"}").await, Some(1.0));
    assert_eq!(site.metric("tintype_job_runs_total{kind=\"webhook\",outcome=\"failed\"}").await, Some(3.0));

    // Replayed by hand, it is delivered.
    let filter = JobFilter { ids: vec![dead[0].id.clone()], ..JobFilter::default() };
    let now = site.app.state().library.parts().announcer.now();
    assert_eq!(site.library().retry_jobs(&filter, now).await.unwrap(), 1);
    assert_eq!(site.work().await, 1);
    assert_eq!(site.receiver.take()[0].body, first.body);
    assert!(site.jobs(JobState::Dead).await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn later_notifications_of_an_asset_wait_for_earlier_ones() {
    let site = Site::start().await;
    let (url, other) = (site.url("/n"), site.url("/other"));
    site.upload(CHELSEA, &[("public_id", "a"), ("notification_url", &url)]).await;
    site.receiver.answer_with(&[500]);
    assert_eq!(site.work().await, 1);
    assert_eq!(site.receiver.take().len(), 1);
    let tag =
        |url: &str| json!({ "public_ids": ["a"], "tag": rand::random::<u32>().to_string(), "notification_url": url });
    site.ok(POST, "/image/tags", tag(&url)).await;
    site.ok(POST, "/image/tags", tag(&other)).await;
    site.upload(CHELSEA, &[("public_id", "b"), ("notification_url", &url)]).await;
    site.work().await;
    let mut seen: Vec<String> =
        site.receiver.take().iter().map(|call| format!("{} {}", call.path, call.event())).collect();
    seen.sort();
    assert_eq!(seen, ["/n upload", "/other resource_tags_changed"], "other assets and addresses go on");
    site.pass(181);
    site.work().await;
    let seen: Vec<String> = site.receiver.take().iter().map(|call| call.event()).collect();
    assert_eq!(seen, ["upload", "resource_tags_changed"], "in their order");
}
