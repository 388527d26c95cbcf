//! More uploads at once than the server takes.

use crate::app::multipart;
use crate::whole_app::{ROCKET, WholeApp};
use axum::body::Body;
use bytes::Bytes;
use futures::StreamExt;
use http_body_util::BodyExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Uploads that the server takes at once.
const SLOTS: usize = 256;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_too_many_is_told_to_come_later() {
    let app = Arc::new(WholeApp::start_in_memory().await);
    let credentials = app.credentials();
    let (hold, held) = tokio::sync::watch::channel(());
    let begun = Arc::new(AtomicUsize::new(0));
    let slow = async |n: usize| {
        let request = multipart(
            "/v1_1/demo/raw/upload",
            &[("public_id".to_owned(), format!("r{n}"))],
            Some(("r.txt", &[65; 4000])),
        );
        let (mut parts, body) = request.into_parts();
        parts.headers.insert("authorization", credentials.parse().unwrap());
        let whole = body.collect().await.unwrap().to_bytes();
        let (head, tail) = (whole.slice(..whole.len() / 2), whole.slice(whole.len() / 2..));
        let mut held = held.clone();
        // The second half comes when the test lets go.
        let begun = begun.clone();
        let rest = futures::stream::once(async move {
            begun.fetch_add(1, Ordering::SeqCst);
            let _ = held.changed().await;
            Ok::<Bytes, std::io::Error>(tail)
        });
        let stream = futures::stream::once(async move { Ok(head) }).chain(rest);
        axum::http::Request::from_parts(parts, Body::from_stream(stream))
    };
    let mut waiting = Vec::new();
    let until = Instant::now() + Duration::from_secs(120);
    let mut n_sent = 0;
    let refused = loop {
        assert!(Instant::now() < until, "nothing is refused");
        // One that met the additional upload of an earlier round was refused itself.
        waiting.retain(|sent: &tokio::task::JoinHandle<u16>| !sent.is_finished());
        while waiting.len() < SLOTS {
            let (app, request) = (app.clone(), slow(n_sent).await);
            waiting.push(tokio::spawn(async move { app.send(request).await.status.as_u16() }));
            n_sent += 1;
        }
        if begun.load(Ordering::SeqCst) < n_sent {
            tokio::time::sleep(Duration::from_millis(5)).await;
            continue;
        }
        let params = [("public_id".to_owned(), "more".to_owned())];
        let mut request = multipart("/v1_1/demo/raw/upload", &params, Some(("r.txt", b"more")));
        request.headers_mut().insert("authorization", credentials.parse().unwrap());
        let answer = app.send(request).await;
        if answer.status != 200 {
            break answer;
        }
    };
    assert_eq!(refused.status.as_u16(), 429, "{}", refused.text());
    assert!(refused.header("retry-after").parse::<u64>().is_ok());
    assert!(!refused.json()["error"]["message"].as_str().unwrap().is_empty());
    // Everything else goes on.
    assert_eq!(app.get("/live").await.status, 200);

    hold.send(()).unwrap();
    let statuses: Vec<u16> =
        futures::future::join_all(waiting).await.into_iter().map(|status| status.unwrap()).collect();
    assert!(statuses.iter().all(|status| *status == 200), "those that were taken are done: {statuses:?}");
    assert!(app.upload("after.jpg", ROCKET, &[("public_id", "after")]).await["asset_id"].is_string());
}
