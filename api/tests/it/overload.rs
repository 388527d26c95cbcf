//! Many times more misses than there is room for, while nothing that was taken can end.
#![allow(clippy::unwrap_used, clippy::panic)]

use crate::sharing::GatedStore;
use crate::whole_app::{CHELSEA, ROCKET, WholeApp};
use std::sync::Arc;
use std::time::Duration;

/// Long enough for a machine that does other things.
const PATIENCE: Duration = Duration::from_secs(60);
const QUEUE: usize = 8;

/// Waits until a metric is what it should become.
async fn until(app: &WholeApp, metric: &str, holds: impl Fn(u64) -> bool) {
    let wait = async {
        while !holds(app.metric(metric).await) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("{metric} did not come to be so"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_too_much_is_refused_at_once_and_the_rest_is_served() {
    let store = Arc::new(GatedStore::default());
    let queue = QUEUE.to_string();
    let app = Arc::new(WholeApp::start_over(store.clone(), &[("queue_length", &queue), ("threads", "1")]).await);
    app.upload("rocket.jpg", ROCKET, &[("public_id", "rocket")]).await;
    app.upload("cat.png", CHELSEA, &[("public_id", "cat")]).await;
    let cached = "/demo/image/upload/c_scale,w_100/cat.png";
    assert_eq!(app.get(cached).await.status, 200);

    // Whoever reads the rocket stands still, with a permit in hand.
    store.hold(&app.asset("rocket").await.blob);
    let ask = |width: usize| {
        let app = app.clone();
        tokio::spawn(async move { app.get(&format!("/demo/image/upload/c_scale,w_{width}/rocket.jpg")).await })
    };
    let mut asked: Vec<_> = (0..300).map(|n| ask(n + 20)).collect();
    until(&app, "tintype_works_total{lane=\"interactive\",outcome=\"busy\"}", |n| n > 0).await;
    // All that is refused is refused while nothing can be rendered.
    let mut refused = 0;
    until(&app, "tintype_works_waiting{lane=\"interactive\"}", |n| n == QUEUE as u64).await;
    let in_flight = app.metric("tintype_works_in_flight").await;
    let expected = 300 - in_flight - QUEUE as u64;
    until(&app, "tintype_works_total{lane=\"interactive\",outcome=\"busy\"}", |n| n == expected).await;
    // It is counted a moment before the answer is there.
    let all_there = async {
        while (asked.iter().filter(|answer| answer.is_finished()).count() as u64) < expected {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, all_there).await.unwrap();
    let mut rest = Vec::new();
    for answer in asked.drain(..) {
        if answer.is_finished() {
            let answer = answer.await.unwrap();
            assert_eq!(answer.status, 503);
            assert!(answer.header("retry-after").parse::<u64>().unwrap() >= 1);
            refused += 1;
        } else {
            rest.push(answer);
        }
    }
    assert!(refused > 0);
    let budget = app.metric("tintype_budget_bytes").await;
    assert!(app.metric("tintype_in_flight_bytes").await <= budget);
    // What needs no rendering is served meanwhile.
    assert_eq!(app.get("/live").await.status, 200);
    assert_eq!(app.get(cached).await.status, 200);

    // Who goes away is dropped before it starts.
    for gone in rest.drain(..5) {
        gone.abort();
        assert!(gone.await.is_err());
    }
    until(&app, "tintype_works_total{lane=\"interactive\",outcome=\"abandoned\"}", |n| n == 5).await;

    store.open();
    let mut served = 0;
    for answer in rest {
        let answer = tokio::time::timeout(PATIENCE, answer).await.unwrap().unwrap();
        match answer.status.as_u16() {
            200 => served += 1,
            // Refused a moment after it was looked at, or too late on a slow machine.
            503 => assert!(!answer.header("retry-after").is_empty()),
            other => panic!("{other}: {}", answer.header("x-cld-error")),
        }
    }
    assert!(served > 0);
    // It recovers by itself.
    until(&app, "tintype_works_in_flight", |n| n == 0).await;
    assert_eq!(app.get("/demo/image/upload/c_scale,w_19/rocket.jpg").await.status, 200);
    assert_eq!(app.metric("tintype_in_flight_bytes").await, 0);
}
