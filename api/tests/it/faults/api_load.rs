//! More uploads at once than the server takes.

use crate::app::multipart;
use crate::whole_app::{ROCKET, WholeApp};
use axum::body::Body;
use bytes::Bytes;
use futures::StreamExt;
use http_body_util::BodyExt;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Uploads that the server takes at once.
const SLOTS: usize = 256;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_too_many_is_told_to_come_later() {
    let app = Arc::new(WholeApp::start_in_memory().await);
    let credentials = app.credentials();
    let (hold, held) = tokio::sync::watch::channel(());
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
        let rest = futures::stream::once(async move {
            let _ = held.changed().await;
            Ok::<Bytes, std::io::Error>(tail)
        });
        let stream = futures::stream::once(async move { Ok(head) }).chain(rest);
        axum::http::Request::from_parts(parts, Body::from_stream(stream))
    };
    let mut waiting = Vec::new();
    for n in 0..SLOTS {
        let (app, request) = (app.clone(), slow(n).await);
        waiting.push(tokio::spawn(async move { app.send(request).await.status.as_u16() }));
    }
    // The last of them may not have begun yet, and then one more is taken.
    let until = Instant::now() + Duration::from_secs(120);
    let refused = loop {
        let mut request = multipart(
            "/v1_1/demo/raw/upload",
            &[("public_id".to_owned(), "more".to_owned())],
            Some(("r.txt", b"more")),
        );
        request.headers_mut().insert("authorization", credentials.parse().unwrap());
        let answer = app.send(request).await;
        if answer.status != 200 {
            break answer;
        }
        let n_ended = waiting.iter().filter(|sent| sent.is_finished()).count();
        assert!(Instant::now() < until && n_ended == 0, "nothing is refused, and {n_ended} uploads ended");
        tokio::time::sleep(Duration::from_millis(20)).await;
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
