//! Folders that stand for another place: what is missing below them is fetched when it is asked for.
#![allow(clippy::unwrap_used, clippy::panic)]

use crate::remote::net::{Reply, Server, ok as says, text};
use crate::whole_app::{CHELSEA, ROCKET, WholeApp, ok};
use axum::http::Method;
use serde_json::{Value, json};
use std::sync::Arc;
use tintype_api::storage::MemoryStore;

fn file(bytes: &[u8]) -> Reply {
    let mut answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", bytes.len()).into_bytes();
    answer.extend_from_slice(bytes);
    Reply::Send(answer)
}

/// A place with some files, and a server with a folder that stands for it.
async fn start() -> (Server, String, WholeApp) {
    let place = Server::start(|path| match path {
        "/img/a/b%20c.jpg" | "/img/plain" => file(ROCKET),
        "/inner/x.png" => file(CHELSEA),
        "/img/doc.txt" | "/img/no-picture.jpg" => says("some words"),
        "/img/refused.jpg" => text("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"),
        _ => text("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"),
    })
    .await;
    let host = place.address.to_string();
    let app = WholeApp::start_over(Arc::new(MemoryStore::new()), &[("remote_allow", &host)]).await;
    let base = format!("http://{host}");
    for (folder, path) in [("legacy", "img"), ("legacy/inner", "inner")] {
        let mapping = json!({ "folder": folder, "template": format!("{base}/{path}/") });
        ok(&app, Method::POST, "/upload_mappings", mapping).await;
    }
    (place, base, app)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_missing_is_fetched_once_for_all_that_wait() {
    let (place, _, app) = start().await;
    let paths: Vec<String> = (0..6).map(|n| format!("/demo/image/upload/w_{}/legacy/a/b%20c.jpg", 40 + n)).collect();
    let originals = ["/demo/image/upload/legacy/a/b%20c.jpg", "/demo/image/upload/v1/legacy/a/b%20c.jpg"];
    let asked = paths.iter().map(String::as_str).chain(originals).map(|path| app.get(path));
    for answer in futures::future::join_all(asked).await {
        assert_eq!(answer.status, 200, "{}", answer.header("x-cld-error"));
    }
    assert!(app.get(originals[0]).await.body == ROCKET);
    assert_eq!(place.requests().len(), 1, "{:?}", place.requests());
    let asset = app.asset("legacy/a/b c").await;
    assert_eq!((asset.format.as_str(), asset.bytes), ("jpg", ROCKET.len() as u64));

    assert!(app.get("/demo/image/upload/legacy/plain").await.body == ROCKET, "an address without extension");
    assert!(app.get("/demo/image/upload/legacy/inner/x.png").await.body == CHELSEA, "the innermost folder counts");
    assert_eq!(app.get("/demo/raw/upload/legacy/doc.txt").await.text(), "some words");
    assert_eq!(place.requests().len(), 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_fetched_is_missing_and_says_why() {
    let (place, base, app) = start().await;
    for (name, error) in [
        ("gone.jpg", format!("Resource not found - {base}/img/gone.jpg")),
        ("refused.jpg", format!("Error in loading {base}/img/refused.jpg - 403 Forbidden")),
        ("no-picture.jpg", "Invalid image file".to_owned()),
    ] {
        let before = place.requests().len();
        let path = format!("/demo/image/upload/w_10/legacy/{name}");
        for method in [Method::GET, Method::HEAD, Method::GET] {
            let answer = app.ask(method, &path, &[]).await;
            assert_eq!((answer.status.as_u16(), answer.header("x-cld-error")), (404, error.as_str()), "{name}");
        }
        assert_eq!(place.requests().len(), before + 1, "{name}: a failure is remembered");
    }
    let before = place.requests().len();
    for path in [
        "/demo/image/upload/elsewhere/x.jpg",
        "/demo/image/upload/x.jpg",
        "/demo/image/authenticated/legacy/x.jpg",
        "/demo/image/upload/legacy/%2e%2e/secret.jpg",
        "/demo/image/upload/legacy/a/../../secret.jpg",
    ] {
        let status = app.get(path).await.status;
        assert!(status.is_client_error(), "{path}: {status}");
    }
    ok(&app, Method::DELETE, "/upload_mappings?folder=legacy", Value::Null).await;
    assert_eq!(app.get("/demo/image/upload/legacy/a/b%20c.jpg").await.status, 404);
    assert_eq!(place.requests().len(), before, "{:?}", place.requests());
}
