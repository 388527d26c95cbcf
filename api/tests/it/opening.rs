//! Who may see an asset: access modes, publishing, and auth tokens of delivery.
#![allow(clippy::unwrap_used, clippy::panic)]

use crate::whole_app::{ROCKET, WholeApp, ok, refused};
use axum::http::Method;
use serde_json::json;
use tintype_api::service::library::CloudSettings;

const POST: Method = Method::POST;

/// Made by the Python SDK with the key 00112233ff99: every image of the type authenticated, and `shut`, until 2096.
const TOKEN: &str = include_str!("opening_token.txt");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn access_modes_and_types_change_in_bulk() {
    let app = WholeApp::start_in_memory().await;
    for (id, kind) in [("a", "private"), ("b", "authenticated"), ("c", "upload")] {
        app.upload("p.jpg", ROCKET, &[("public_id", id), ("tags", "t"), ("type", kind)]).await;
    }
    let changed = ok(
        &app,
        POST,
        "/resources/image/upload/update_access_mode",
        json!({ "tag": "t", "access_mode": "authenticated" }),
    )
    .await;
    assert_eq!(changed["updated"].as_array().unwrap().len(), 1);
    assert_eq!((&changed["updated"][0]["public_id"], &changed["failed"]), (&json!("c"), &json!([])));
    assert_eq!(app.get("/demo/image/upload/c.jpg").await.status, 401);
    let body = json!({ "public_ids": ["c"], "access_mode": "public" });
    ok(&app, POST, "/resources/image/upload/update_access_mode", body).await;
    assert_eq!(app.get("/demo/image/upload/c.jpg").await.status, 200);
    for body in [json!({}), json!({ "tag": "t", "access_mode": "odd" }), json!({ "access_mode": "public" })] {
        assert_eq!(refused(&app, POST, "/resources/image/upload/update_access_mode", body).await.0, 400);
    }
    let none = ok(&app, POST, "/resources/image/publish_resources", json!({ "tag": "t", "type": "upload" })).await;
    assert_eq!(none, json!({ "published": [], "failed": [] }));
    let one = ok(&app, POST, "/resources/image/publish_resources", json!({ "public_ids": ["a"] })).await;
    assert!(one["published"][0]["url"].as_str().unwrap().contains("/upload/"), "{one}");
    app.upload("p.jpg", ROCKET, &[("public_id", "b")]).await;
    let taken = ok(&app, POST, "/resources/image/publish_resources", json!({ "prefix": "b" })).await;
    assert_eq!((taken["published"].as_array().unwrap().len(), &taken["failed"][0]["public_id"]), (0, &json!("b")));
    let all = ok(&app, POST, "/resources/image/publish_resources", json!({ "tag": "t", "overwrite": true })).await;
    assert_eq!(all["published"].as_array().unwrap().len(), 1);
    assert_eq!(app.get("/demo/image/upload/b.jpg").await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_opens_what_it_names() {
    let app = WholeApp::start_in_memory().await;
    app.upload("p.jpg", ROCKET, &[("public_id", "a"), ("type", "authenticated")]).await;
    let control = r#"[{"access_type":"token"}]"#;
    app.upload("p.jpg", ROCKET, &[("public_id", "shut"), ("access_control", control)]).await;
    app.upload("p.jpg", ROCKET, &[("public_id", "other"), ("access_control", control)]).await;
    let token = TOKEN.trim();
    let path = "/demo/image/authenticated/a.jpg";
    // No key, no token.
    assert_eq!(app.get(&format!("{path}?{token}")).await.status, 401);
    let settings = CloudSettings { auth_token_key: Some("00112233FF99".to_owned()), ..CloudSettings::default() };
    settings.save(app.catalog.as_ref(), &app.demo.cloud.id).await.unwrap();
    let mut app = app;
    app.restart().await;
    assert_eq!(app.get(path).await.status, 401);
    assert_eq!(app.get(&format!("{path}?{token}&_a=x")).await.status, 200);
    assert_eq!(app.get(path).await.status, 401, "what a token opened is not kept for others");
    let derived = "/demo/image/authenticated/w_20/a.jpg";
    assert_eq!(app.ask(Method::GET, derived, &[("cookie", &format!("x=y; {token}"))]).await.status, 200);
    assert_eq!(app.get(&format!("/demo/image/upload/shut.jpg?{token}")).await.status, 200);
    assert_eq!(app.get("/demo/image/upload/shut.jpg").await.status, 401);
    assert_eq!(app.get(&format!("/demo/image/upload/other.jpg?{token}")).await.status, 401);
    let wrong = token.replace("hmac=", "hmac=0");
    assert_eq!(app.get(&format!("{path}?{wrong}")).await.status, 401);
}
