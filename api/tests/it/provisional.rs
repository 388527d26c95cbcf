//! First answers of `f_auto` in the next best format, and the better picture that follows.
#![allow(clippy::unwrap_used, clippy::panic)]

use crate::app::Answer;
use crate::sharing::GatedStore;
use crate::whole_app::{CHELSEA, ICON, ROCKET, WholeApp};
use axum::http::Method;
use std::sync::Arc;
use std::time::Duration;
use tintype_api::storage::MemoryStore;

/// Long enough for a machine that does other things.
const PATIENCE: Duration = Duration::from_secs(60);
const CHROME: (&str, &str) = ("accept", "image/avif,image/webp,image/apng,*/*;q=0.8");
const PROVISIONAL: &str = "tintype_provisional_answers_total";
const FINISHED: &str = "tintype_upgrades_total{outcome=\"finished\"}";
const DROPPED: &str = "tintype_upgrades_total{outcome=\"dropped\"}";

async fn fast(effort_ms: &str) -> WholeApp {
    let flags = [("profile", "fast"), ("auto_format_effort_ms", effort_ms)];
    WholeApp::start_over(Arc::new(MemoryStore::new()), &flags).await
}

fn is_provisional(answer: &Answer) -> bool {
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("vary"), "Accept");
    let provisional = answer.header("content-type") == "image/jpeg";
    assert_eq!(answer.header("cache-control") == "public, no-transform, max-age=10", provisional);
    provisional
}

async fn until(app: &WholeApp, metric: &str, least: u64) {
    let wait = async {
        while app.metric(metric).await < least {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("{metric} did not become {least}"));
}

/// Asks until the better picture is there.
async fn better(app: &WholeApp, path: &str) -> Answer {
    let wait = async {
        loop {
            let answer = app.ask(Method::GET, path, &[CHROME]).await;
            if !is_provisional(&answer) {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.expect("a better picture")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_costly_format_follows_the_first_answer() {
    let app = fast("1").await;
    let uploaded = app.upload("rocket.jpg", ROCKET, &[("public_id", "rocket")]).await;
    let path = format!("/demo/image/upload/c_scale,w_500/f_auto,q_auto/v{}/rocket", uploaded["version"]);
    let first = app.ask(Method::GET, &path, &[CHROME]).await;
    assert!(is_provisional(&first), "{}", first.header("content-type"));
    let best = better(&app, &path).await;
    assert_eq!(best.header("content-type"), "image/avif");
    assert!(best.header("cache-control").contains("immutable"));
    until(&app, FINISHED, 1).await;
    assert!(app.metric(PROVISIONAL).await >= 1);
    assert_eq!(app.renders().await, 2, "one for each format");

    // Whoever holds the first answer is not told that it is still good.
    let (etag, date) = (first.header("etag"), first.header("last-modified"));
    assert_ne!(etag, best.header("etag"));
    for condition in [("if-none-match", etag), ("if-modified-since", date)] {
        let answer = app.ask(Method::GET, &path, &[CHROME, condition]).await;
        assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, "image/avif"));
    }
    // The better one is cached as any other; a client that takes no more has the other for good.
    let provisional = app.metric(PROVISIONAL).await;
    assert!(app.ask(Method::GET, &path, &[CHROME]).await.header("server-timing").contains("cache"));
    let old = app.get(&path).await;
    assert_eq!((old.header("content-type"), old.header("etag")), ("image/jpeg", etag));
    assert!(old.header("cache-control").contains("immutable"));
    assert_eq!(app.metric(PROVISIONAL).await, provisional);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn named_formats_and_small_pictures_are_never_replaced() {
    let app = fast("1").await;
    app.upload("rocket.jpg", ROCKET, &[("public_id", "rocket")]).await;
    app.upload("icon.png", ICON, &[("public_id", "icon")]).await;
    for (path, content_type) in [
        ("c_scale,w_500/f_webp/rocket", "image/webp"),
        ("c_scale,w_100/f_avif/rocket", "image/avif"),
        ("c_scale,w_500/rocket.webp", "image/webp"),
        ("c_scale,w_80/f_auto/rocket", "image/avif"),
        ("c_fill,w_80,h_80,r_max/f_auto/rocket", "image/avif"),
    ] {
        let answer = app.ask(Method::GET, &format!("/demo/image/upload/{path}"), &[CHROME]).await;
        assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, content_type), "{path}");
    }
    assert_eq!(app.metric(PROVISIONAL).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_limit_the_best_format_is_made_at_once() {
    let app = fast("0").await;
    app.upload("rocket.jpg", ROCKET, &[("public_id", "rocket")]).await;
    let answer = app.ask(Method::GET, "/demo/image/upload/c_scale,w_600/f_auto/rocket", &[CHROME]).await;
    assert_eq!(answer.header("content-type"), "image/avif");
    assert_eq!(app.metric(PROVISIONAL).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn transparency_is_kept_by_first_answers() {
    let app = fast("1").await;
    app.upload("rocket.jpg", ROCKET, &[("public_id", "rocket")]).await;
    app.upload("icon.png", ICON, &[("public_id", "icon")]).await;
    let only_webp = ("accept", "image/webp,*/*");
    for path in ["c_scale,w_400/f_auto/icon", "c_fill,w_400,h_400,r_max/f_auto/rocket"] {
        let path = format!("/demo/image/upload/{path}");
        let first = app.ask(Method::GET, &path, &[CHROME]).await;
        assert_eq!((first.status.as_u16(), first.header("content-type")), (200, "image/webp"), "{path}");
        assert_eq!(first.header("cache-control"), "public, no-transform, max-age=10", "{path}");
        let better = async {
            while app.ask(Method::GET, &path, &[CHROME]).await.header("content-type") != "image/avif" {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, better).await.expect("a better picture");
        // Whoever takes no AVIF has the first answer for good.
        let webp = app.ask(Method::GET, &path, &[only_webp]).await;
        assert_eq!((webp.header("content-type"), webp.header("etag")), ("image/webp", first.header("etag")), "{path}");
    }
    until(&app, FINISHED, 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_machine_with_other_things_to_do_improves_nothing_until_it_is_free() {
    let store = Arc::new(GatedStore::default());
    let flags = [("profile", "fast"), ("auto_format_effort_ms", "1"), ("threads", "1")];
    let app = Arc::new(WholeApp::start_over(store.clone(), &flags).await);
    app.upload("rocket.jpg", ROCKET, &[("public_id", "rocket")]).await;
    app.upload("cat.png", CHELSEA, &[("public_id", "cat")]).await;
    store.hold(&app.asset("rocket").await.blob);
    let busy: Vec<_> = (0..3)
        .map(|n| {
            let app = app.clone();
            tokio::spawn(async move { app.get(&format!("/demo/image/upload/c_scale,w_{}/rocket.jpg", 50 + n)).await })
        })
        .collect();
    until(&app, "tintype_works_in_flight", 3).await;
    let path = "/demo/image/upload/c_scale,w_400/f_auto,q_auto/cat";
    for n in 1..=2 {
        assert!(is_provisional(&app.ask(Method::GET, path, &[CHROME]).await));
        assert_eq!(app.metric(DROPPED).await, n);
    }
    assert_eq!(app.metric(FINISHED).await, 0);
    store.open();
    for answer in busy {
        assert_eq!(answer.await.unwrap().status, 200);
    }
    assert_eq!(better(&app, path).await.header("content-type"), "image/avif");
    until(&app, FINISHED, 1).await;
}
