//! What is settled for a single asset and shows in its deliveries: headers, and what `q_auto` means.
#![allow(clippy::unwrap_used, clippy::panic)]

use crate::whole_app::{ROCKET, WholeApp, ok, refused};
use axum::http::Method;
use serde_json::json;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deliveries_have_the_headers_of_their_asset() {
    let app = WholeApp::start_in_memory().await;
    let lines = "X-Robots-Tag: noindex\nlink:<https://example.com/a>; rel=canonical";
    app.upload("r.jpg", ROCKET, &[("public_id", "r"), ("headers", lines)]).await;
    for path in ["/demo/image/upload/r.jpg", "/demo/image/upload/w_50/r.jpg", "/demo/image/upload/w_50/r.jpg"] {
        let answer = app.get(path).await;
        assert_eq!(answer.status, 200, "{path}");
        assert_eq!(answer.header("x-robots-tag"), "noindex", "{path}");
        assert_eq!(answer.header("link"), "<https://example.com/a>; rel=canonical", "{path}");
    }
    ok(&app, Method::POST, "/resources/image/upload/r", json!({ "headers": "X-Robots-Tag: none" })).await;
    let answer = app.get("/demo/image/upload/w_50/r.jpg").await;
    assert_eq!((answer.header("x-robots-tag"), answer.header("link")), ("none", ""));
    ok(&app, Method::POST, "/resources/image/upload/r", json!({ "headers": "" })).await;
    assert_eq!(app.get("/demo/image/upload/r.jpg").await.header("x-robots-tag"), "");

    let bad = json!({ "headers": "Set-Cookie: a=b" });
    let (status, message) = refused(&app, Method::POST, "/resources/image/upload/r", bad).await;
    assert_eq!((status, message.as_str()), (400, "Invalid value Set-Cookie: a=b for parameter headers"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_asset_says_what_q_auto_means() {
    let app = WholeApp::start_in_memory().await;
    app.upload("r.jpg", ROCKET, &[("public_id", "r"), ("quality_override", "15")]).await;
    let deliver = async |transformation: &str| {
        let answer = app.get(&format!("/demo/image/upload/{transformation}/r.jpg")).await;
        assert_eq!(answer.status, 200, "{transformation}");
        answer.body
    };
    let own = deliver("w_300,q_auto").await;
    assert_eq!(own, deliver("w_300,q_15").await);
    assert_eq!(own, deliver("w_300,q_auto:best").await);
    // Only what is automatic by name.
    assert!(deliver("w_300").await.len() > own.len());
    let edit = json!({ "quality_override": "auto:best" });
    let answer = ok(&app, Method::POST, "/resources/image/upload/r", edit).await;
    assert_eq!(answer["quality_override"], "auto:best");
    let best = deliver("w_300,q_auto").await;
    assert!(best.len() > own.len() && best == deliver("w_300,q_auto:best").await);
    ok(&app, Method::POST, "/resources/image/upload/r", json!({ "quality_override": "" })).await;
    assert!(deliver("w_300,q_auto").await.len() < best.len());
    for bad in ["x", "101", "80,w_5", "80/w_5", "auto:much"] {
        let edit = json!({ "quality_override": bad });
        let (status, message) = refused(&app, Method::POST, "/resources/image/upload/r", edit).await;
        let wanted = format!("Invalid value {bad} for parameter quality_override");
        assert_eq!((status, message), (400, wanted));
    }
    // Not built, and therefore not ignored.
    let edit = json!({ "unique_display_name": true, "display_name": "x" });
    let (status, message) = refused(&app, Method::POST, "/resources/image/upload/r", edit).await;
    assert_eq!((status, message.as_str()), (400, "unique_display_name is not supported by this server yet"));
}
