//! Routes and headers, through the real router.
#![allow(clippy::unwrap_used, clippy::panic)]

use crate::app::{TestApp, basic, multipart, png};
use crate::doubles::PICTURE;
use axum::body::Body;
use axum::http::{Method, Request, StatusCode};

const CAT: &str = "/demo/image/upload/cat.jpg";
const STORED: &str = "/demo/image/upload/stored/cat.jpg";
const ETAG: &str = "\"781e5e245d69b566979b86e28d23f2c7\"";
const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

fn get(path: &str, headers: &[(&str, &str)]) -> Request<Body> {
    let mut request = Request::get(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Body::empty()).unwrap()
}

#[tokio::test]
async fn a_picture_carries_what_caches_and_clients_need() {
    let app = TestApp::start().await;
    for (path, cache) in [
        (CAT, "public, no-transform, max-age=3600, stale-while-revalidate=3600"),
        ("/demo/image/upload/v1/cat.jpg", "public, no-transform, immutable, max-age=2592000"),
    ] {
        let answer = app.get(path).await;
        assert_eq!((answer.status, &*answer.body), (StatusCode::OK, PICTURE));
        for (name, value) in [
            ("content-type", "image/jpeg"),
            ("content-length", "10"),
            ("etag", ETAG),
            ("last-modified", DATE),
            ("cache-control", cache),
            ("vary", "Accept"),
            ("accept-ranges", "bytes"),
            ("access-control-allow-origin", "*"),
            ("timing-allow-origin", "*"),
            ("x-content-type-options", "nosniff"),
        ] {
            assert_eq!(answer.header(name), value, "{name}");
        }
        assert_eq!(
            answer.header("server-timing"),
            r#"lookup;dur=1.000;desc="hit", content-info;desc="width=4,height=3,bytes=10,format=\"jpg\",o=1,crt=1000""#
        );
        assert_eq!(answer.header("x-request-id").len(), 32);
        assert!(answer.header("access-control-expose-headers").contains("X-Cld-Error"));
    }
}

#[tokio::test]
async fn the_service_gets_the_path_as_it_was_received() {
    let app = TestApp::start().await;
    let path = "/demo/image/upload/s--ab--/l_a%2Fb:c,w_1.5//v1/f%20o/%C3%BC%2525.jpg?_a=x%20y";
    app.send(get(path, &[("host", "img.example"), ("accept", "image/avif"), ("accept", "*/*")])).await;
    let seen = app.deliver.seen.lock().pop().unwrap();
    assert_eq!(format!("{}?{}", seen.path, seen.query.unwrap()), path);
    assert_eq!(seen.host.as_deref(), Some("img.example"));
    assert_eq!(seen.accept.as_deref(), Some("image/avif, */*"));
}

#[tokio::test]
async fn conditional_requests_get_304_without_a_body() {
    let app = TestApp::start().await;
    for (name, value, status) in [
        ("if-none-match", ETAG, 304),
        ("if-none-match", "W/\"781e5e245d69b566979b86e28d23f2c7\"", 304),
        ("if-none-match", "\"x\"", 200),
        ("if-modified-since", DATE, 304),
        ("if-modified-since", "Sun, 06 Nov 1994 08:49:36 GMT", 200),
    ] {
        let answer = app.send(get(CAT, &[(name, value)])).await;
        assert_eq!(answer.status.as_u16(), status, "{name}: {value}");
        if status == 304 {
            assert!(answer.body.is_empty());
            assert_eq!(answer.header("etag"), ETAG);
            assert!(!answer.header("cache-control").is_empty() && !answer.header("vary").is_empty());
            assert!(answer.header("content-type").is_empty());
        }
    }
}

#[tokio::test]
async fn single_ranges_are_served_from_memory_and_store() {
    let app = TestApp::start().await;
    for path in [CAT, STORED] {
        for (range, status, content_range, body) in [
            ("bytes=0-3", 206, "bytes 0-3/10", &b"0123"[..]),
            ("bytes=4-", 206, "bytes 4-9/10", b"456789"),
            ("bytes=-1", 206, "bytes 9-9/10", b"9"),
            ("bytes=10-", 416, "bytes */10", b""),
            ("bytes=0-1,4-5", 200, "", PICTURE),
        ] {
            let answer = app.send(get(path, &[("range", range)])).await;
            assert_eq!((answer.status.as_u16(), &*answer.body), (status, body), "{path} {range}");
            assert_eq!(answer.header("content-range"), content_range);
            assert_eq!(answer.header("content-length"), body.len().to_string());
        }
        let head = Request::head(path).body(Body::empty()).unwrap();
        let answer = app.send(head).await;
        assert_eq!((answer.status, answer.header("content-length")), (StatusCode::OK, "10"));
        assert!(answer.body.is_empty());
    }
    assert!(app.deliver.seen.lock().iter().any(|request| request.head));
}

#[tokio::test]
async fn delivery_errors_are_short_texts_that_nobody_keeps() {
    let app = TestApp::start().await;
    for (path, status, message) in [
        ("/demo/image/upload/dog.jpg", 404, "Resource not found - demo/image/upload/dog.jpg"),
        ("/demo/image/upload/w_abc/cat.jpg", 400, "Invalid width in transformation: abc (at position 2)"),
        ("/demo/image/upload/s--wrong---/cat.jpg", 401, "Invalid Signature"),
        ("/demo/image/upload/busy.jpg", 503, "The server is busy. Try again later."),
        ("/demo/image/upload/slow.jpg", 503, "The picture took too long"),
    ] {
        let answer = app.get(path).await;
        assert_eq!((answer.status.as_u16(), answer.header("x-cld-error")), (status, message));
        assert_eq!(answer.header("cache-control"), "private, no-cache, max-age=0");
        assert_eq!(answer.header("content-type"), "text/plain; charset=utf-8");
        assert_eq!(answer.text().trim_end(), message);
        assert_eq!(answer.header("access-control-allow-origin"), "*");
        assert!(answer.header("etag").is_empty());
    }
    assert_eq!(app.get("/demo/image/upload/busy.jpg").await.header("retry-after"), "2");
    let long = app.get(&format!("/demo/image/upload/{}.jpg", "x".repeat(9000))).await;
    assert_eq!(long.status, StatusCode::BAD_REQUEST);
    let post = app.send(Request::post(CAT).body(Body::empty()).unwrap()).await;
    assert_eq!((post.status.as_u16(), post.header("allow")), (405, "GET, HEAD, OPTIONS"));
}

#[tokio::test]
async fn a_panic_is_answered_and_the_next_request_is_served() {
    let app = TestApp::start().await;
    let answer = app.get("/demo/image/upload/panic.jpg").await;
    assert_eq!((answer.status.as_u16(), answer.error().as_str()), (500, "Internal server error"));
    assert_eq!(app.get(CAT).await.status, StatusCode::OK);
}

#[tokio::test]
async fn fixed_routes_answer() {
    let app = TestApp::start().await;
    let live = app.get("/live").await;
    assert_eq!((live.status, live.text()), (StatusCode::OK, "ok\n"));
    let metrics = app.get("/metrics").await;
    assert_eq!(metrics.text(), "tintype_requests_total 7\n");
    for path in ["/v1_1/demo/image/upload", CAT, "/"] {
        let options = Request::builder().method(Method::OPTIONS).uri(path).body(Body::empty()).unwrap();
        let answer = app.send(options).await;
        assert_eq!(answer.status, StatusCode::OK);
        assert!(answer.header("access-control-allow-methods").contains("POST"));
        assert!(answer.header("access-control-allow-headers").contains("X-Unique-Upload-Id"));
        assert_eq!(answer.header("access-control-allow-origin"), "*");
    }
}

#[tokio::test]
async fn unknown_api_routes_are_json_404_that_say_so() {
    let app = TestApp::start().await;
    for path in [
        "/v1_1",
        "/v1_1/",
        "/v1_1/demo",
        "/v1_1/demo/resources/image",
        "/v1_1/demo/resources%2Fnovelty",
        "/v1_1/demo/image/upload/more",
        "/v1_1/demo/novelty",
        "/v2/demo/analysis/analyze/captioning",
    ] {
        let credentials = basic(&app.key.key, app.key.secret.expose());
        let request =
            Request::post(path).header("authorization", credentials).header("content-type", "application/json");
        let answer = app.send(request.body(Body::from("{}")).unwrap()).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
        assert!(answer.error().ends_with("is not supported by this server yet"), "{}", answer.error());
    }
    let answer = app.get("/v1_1/demo/resources/image").await;
    assert_eq!((answer.status.as_u16(), answer.error()), (401, "Invalid credentials".to_owned()));
    let answer = app.get("/v1_1/demo/image/upload").await;
    assert_eq!((answer.status.as_u16(), answer.header("allow")), (405, "POST, OPTIONS"));
    assert!(answer.error().contains("use POST"));
    let answer = app.send(Request::post("/v1_1/demo/%FF").body(Body::empty()).unwrap()).await;
    assert_eq!((answer.status.as_u16(), answer.error().as_str()), (400, "The path is not UTF-8"));
    app.assert_nothing_stored("routes");
}

#[tokio::test]
async fn upload_routes_are_found_however_their_slashes_are_written() {
    let app = TestApp::start().await;
    for path in [
        "/v1_1/demo/image/upload",
        "/v1_1/demo/image%2Fupload",
        "/v1_1/demo%2fimage%2fupload",
        "/v1_1/demo/auto/upload",
        "/v1_1/demo/upload",
    ] {
        let params = app.sign(&[("public_id", "x")]);
        let answer = app.send(multipart(path, &params, Some(("x.png", &png(4, 3, 100))))).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.text());
    }
    // Decoded once only: this names no route.
    let answer = app.send(multipart("/v1_1/demo/image%252Fupload", &[], None)).await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
}
