//! Servers that share a catalog see each other's changes, and those of the commands beside them.
#![allow(clippy::unwrap_used, clippy::panic)]

use crate::catalog::postgres::with_database;
use crate::program;
use crate::whole_app::{CHELSEA, ROCKET, WholeApp, ok};
use axum::http::Method;
use serde_json::json;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tintype_api::app::Outside;
use tintype_api::service::follow::Following;
use tintype_api::storage::MemoryStore;

const NEVER: Duration = Duration::from_secs(100_000);
/// Nothing but looking for changes can help.
const LOOKS: Following = Following { listens: false, look_every: Duration::from_millis(200), blind_age: NEVER };
/// Nothing but notices can help.
const LISTENS: Following = Following { listens: true, look_every: NEVER, blind_age: NEVER };

async fn wait(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(120);
    while !holds().await {
        assert!(Instant::now() < until, "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Every kind of change on one server is seen on the other one, which keeps answers for ever unless it is told.
async fn follows(app: &WholeApp, other: &WholeApp) {
    const PATHS: [&str; 3] = ["/demo/image/upload/p.png", "/demo/image/upload/w_30/p", "/demo/image/upload/t_small/p"];
    app.upload("p.jpg", CHELSEA, &[("public_id", "p")]).await;
    let named = json!({ "name": "small", "transformation": "w_40,c_scale" });
    ok(app, Method::POST, "/transformations", named).await;
    let mut etags = Vec::new();
    for path in PATHS {
        wait("a first picture", async || other.get(path).await.status == 200).await;
        etags.push(other.get(path).await.header("etag").to_owned());
    }
    let changed = async |n: usize| other.get(PATHS[n]).await.header("etag") != etags[n];
    let other_text = json!({ "transformation": "small", "unsafe_update": "w_41,c_scale" });
    ok(app, Method::PUT, "/transformations", other_text).await;
    wait("another definition", async || changed(2).await).await;
    app.upload("p.jpg", ROCKET, &[("public_id", "p")]).await;
    for n in [0, 1] {
        wait("an overwritten picture", async || changed(n).await).await;
    }
    let answer = ok(app, Method::DELETE, "/resources/image/upload?public_ids[]=p", json!(null)).await;
    assert_eq!(answer["deleted"]["p"], "deleted");
    for path in PATHS {
        wait("a picture that is gone", async || other.get(path).await.status == 404).await;
    }
    ok(app, Method::DELETE, "/transformations", json!({ "transformation": "small" })).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_servers_on_one_file_follow_each_other() {
    let first = WholeApp::start_in_memory().await;
    let (one, two) = (first.beside(LOOKS).await, first.beside(LOOKS).await);
    follows(&one, &two).await;
    follows(&two, &one).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_servers_on_one_database_follow_each_other_with_and_without_notices() {
    with_database(
        |_, _, url| async move {
            let servers = async |url: String| {
                let first = WholeApp::start_over(Arc::new(MemoryStore::new()), &[("catalog", &url)]).await;
                let (told, looking) = (first.beside(LISTENS).await, first.beside(LOOKS).await);
                follows(&looking, &told).await;
                follows(&told, &looking).await;
            };
            let here = tokio::runtime::Handle::current();
            tokio::task::spawn_blocking(move || here.block_on(servers(url))).await.unwrap();
        },
        "",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_beside_a_server_are_noticed() {
    let first = WholeApp::start_in_memory().await;
    let server = first.beside(LOOKS).await;
    server.upload("p.jpg", CHELSEA, &[("public_id", "p")]).await;
    let path = "/demo/image/upload/w_30/p";
    assert_eq!(server.get(path).await.status, 200);
    for (value, status) in [("true", 401), ("false", 200)] {
        let mut command = program::command();
        command.args(["cloud", "set", "demo", &format!("strict_transformations={value}")]);
        let done = command.env("TINTYPE_DATA_DIR", server.data()).stdin(Stdio::null()).status().unwrap();
        assert!(done.success());
        wait("a setting", async || server.get(path).await.status == status).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_age_while_changes_cannot_be_followed() {
    let first = WholeApp::start_in_memory().await;
    let blind_age = Duration::from_millis(500);
    let (one, two) = (first.beside(LOOKS).await, first.beside(Following { blind_age, ..LOOKS }).await);
    one.upload("p.jpg", CHELSEA, &[("public_id", "p")]).await;
    let before = two.get("/demo/image/upload/p").await;
    assert_eq!(before.status, 200);
    // Triggers go with their table; whoever asks for it by its name finds none.
    let file = rusqlite::Connection::open(one.data().join("catalog.sqlite")).unwrap();
    file.execute_batch("ALTER TABLE epochs RENAME TO hidden").unwrap();
    one.upload("p.jpg", ROCKET, &[("public_id", "p")]).await;
    let changed = async || two.get("/demo/image/upload/p").await.header("etag") != before.header("etag");
    wait("an answer that is too old", changed).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_are_asked_for_one_picture_render_it_once() {
    with_database(
        |_, _, url| async move {
            let nodes = async |url: String| {
                let first = WholeApp::start_over(Arc::new(MemoryStore::new()), &[("catalog", &url)]).await;
                let outside = || Outside { rendering_lease: NEVER, ..Outside::default() };
                let (one, two) = (first.beside_with(outside()).await, first.beside_with(outside()).await);
                one.upload("p.jpg", CHELSEA, &[("public_id", "p")]).await;
                for width in 30..40 {
                    let path = format!("/demo/image/upload/w_{width}/p");
                    let (a, b) = futures::join!(one.get(&path), two.get(&path));
                    assert!(a.status == 200 && a.body == b.body);
                }
                assert_eq!(one.renders().await + two.renders().await, 10);
                // Eager sets that meet: each picture is made by one of them, and both answer with all.
                let sets: Vec<String> = (60..70).map(|width| format!("c_scale,w_{width}/jpg")).collect();
                let eager = sets.join("|");
                let set = [("public_id", "p"), ("type", "upload"), ("eager", eager.as_str())];
                let credentials = one.credentials();
                let headers = [("authorization", credentials.as_str())];
                let explicit = |app| async move {
                    let app: &WholeApp = app;
                    app.post("/image/explicit", &set, None, &headers).await
                };
                let (a, b) = futures::join!(explicit(&one), explicit(&two));
                for (status, answer) in [a, b] {
                    let made = answer["eager"].as_array().unwrap();
                    assert!(status == 200 && made.len() == 10, "{answer}");
                    assert!(made.iter().zip(60..).all(|(one, width)| one["width"] == width), "{answer}");
                }
                assert_eq!(one.renders().await + two.renders().await, 20);
                // A node that failed does not keep the other from trying.
                one.blobs.delete(&one.asset("p").await.blob).await.unwrap();
                let lost = "/demo/image/upload/w_50/p";
                let both = async { futures::join!(one.get(lost), two.get(lost)) };
                let (a, b) = tokio::time::timeout(Duration::from_secs(120), both).await.expect("nobody waits");
                assert_eq!((a.status.as_u16(), b.status.as_u16()), (500, 500));
                let lost = [("public_id", "p"), ("type", "upload"), ("eager", "w_80/jpg|w_81/jpg")];
                let explicit = |app| async move {
                    let app: &WholeApp = app;
                    app.post("/image/explicit", &lost, None, &headers).await
                };
                let both = async { futures::join!(explicit(&one), explicit(&two)) };
                tokio::time::timeout(Duration::from_secs(120), both).await.expect("no eager set waits");
            };
            let here = tokio::runtime::Handle::current();
            tokio::task::spawn_blocking(move || here.block_on(nodes(url))).await.unwrap();
        },
        "",
    )
    .await;
}
