//! Uploads whose file is an address.

use super::net::{Net, Reply, Server, ok, one_server, patient, text};
use crate::app::{MAX_UPLOAD_BYTES, TestApp, multipart, png};
use crate::doubles::{TestEager, TestPictures};
use axum::http::StatusCode;
use std::sync::Arc;
use std::time::Duration;
use tintype_api::auth::signature::SignaturePolicy;
use tintype_api::fetch::{FetchPolicy, FetchSettings, RemoteClient};
use tintype_api::http::{HttpState, MetricsText, router};
use tintype_api::service::upload::{UploadService, UploadSettings};

const PATH: &str = "/v1_1/demo/image/upload";

struct NoMetrics;

impl MetricsText for NoMetrics {
    fn render(&self) -> String {
        String::new()
    }
}

/// The app of the other tests, with a client.
async fn app_with(client: RemoteClient) -> TestApp {
    let mut app = TestApp::start().await;
    let settings = UploadSettings {
        public_base_url: "http://localhost:8080".to_owned(),
        max_upload_bytes: MAX_UPLOAD_BYTES,
        policy: SignaturePolicy::default(),
        max_uploads: 8,
        inspect_budget_bytes: 1 << 20,
        min_part_bytes: 1000,
    };
    let blobs = Arc::new(app.blobs.clone());
    let upload = UploadService::new(
        app.catalog.clone(),
        app.library.clone(),
        blobs,
        Arc::new(TestPictures),
        Arc::new(TestEager),
        Arc::new(|_| {}),
        settings,
    )
    .with_remote(client);
    app.router = router(HttpState {
        upload,
        library: app.library.clone(),
        rate: Arc::default(),
        signature_policy: SignaturePolicy::default(),
        deliver: app.deliver.clone(),
        metrics: Arc::new(NoMetrics),
        request_timeout: Duration::from_secs(120),
    });
    app
}

fn by_url(params: &[(String, String)], address: &str) -> axum::http::Request<axum::body::Body> {
    let mut params = params.to_vec();
    params.push(("file".to_owned(), address.to_owned()));
    multipart(PATH, &params, None)
}

fn file(bytes: &[u8]) -> Reply {
    let mut answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", bytes.len()).into_bytes();
    answer.extend_from_slice(bytes);
    Reply::Send(answer)
}

async fn pictures() -> (Server, Arc<Net>, TestApp) {
    let (server, net, client) = one_server(patient(), |path| match path {
        "/album/my%20cat.final.png?v=2" => file(&png(4, 3, 500)),
        "/page" => text("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<html>"),
        "/empty" => ok(""),
        "/large" => file(&png(4, 3, MAX_UPLOAD_BYTES as usize + 1)),
        "/endless" => Reply::Endless(b"HTTP/1.1 200 OK\r\n\r\n".to_vec(), vec![7; 8192], Duration::ZERO),
        "/broken" => text("HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\nabc"),
        "/secret" => text("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"),
        _ => text("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"),
    })
    .await;
    let app = app_with(client).await;
    (server, net, app)
}

#[tokio::test]
async fn a_file_is_fetched_stored_and_named_after_its_path() {
    let (_server, _net, app) = pictures().await;
    let params = app.sign(&[("use_filename", "1"), ("unique_filename", "0")]);
    let answer = app.send(by_url(&params, "http://good.example/album/my%20cat.final.png?v=2#x")).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    let json = answer.json();
    assert_eq!(json["original_filename"], "my cat.final");
    assert_eq!(json["public_id"], "my_cat.final");
    assert_eq!((json["bytes"].as_u64(), json["width"].as_u64()), (Some(500), Some(4)));
    app.assert_only(1, "fetched");
}

#[tokio::test]
async fn what_cannot_be_fetched_is_told_and_leaves_nothing() {
    let (_server, _net, app) = pictures().await;
    let params = app.sign(&[]);
    for (address, message) in [
        ("http://good.example/gone.jpg", "Resource not found - http://good.example/gone.jpg"),
        ("http://good.example/secret", "Error in loading http://good.example/secret - 403 Forbidden"),
        ("http://good.example/broken", "Error in loading http://good.example/broken - the response ended early"),
        ("http://good.example/large", "File size too large. Got 1000001. Maximum is 1000000."),
        ("http://good.example/empty", "Empty file"),
        ("http://good.example/page", "Invalid image file"),
        ("http://127.0.0.1/", "Error in loading http://127.0.0.1/ - the address cannot be reached"),
        ("http://none.example/", "Error in loading http://none.example/ - the address cannot be reached"),
        ("s3://bucket/cat.jpg", "Unsupported source URL: s3://bucket/cat.jpg"),
        ("gs://bucket/cat.jpg", "Unsupported source URL: gs://bucket/cat.jpg"),
        ("ftp://good.example/cat.jpg", "Unsupported source URL: ftp://good.example/cat.jpg"),
    ] {
        let answer = app.send(by_url(&params, address)).await;
        assert_eq!((answer.status, answer.error().as_str()), (StatusCode::BAD_REQUEST, message));
        app.assert_nothing_stored(address);
    }
    let error = app.send(by_url(&params, "http://good.example/endless")).await.error();
    assert!(error.starts_with("File size too large. Got 10") && error.ends_with("Maximum is 1000000."), "{error}");
    app.assert_nothing_stored("endless");
}

#[tokio::test]
async fn nothing_is_fetched_for_those_who_may_not_upload() {
    let (server, net, app) = pictures().await;
    let mut params = app.sign(&[]);
    params.push(("tags".to_owned(), "smuggled".to_owned()));
    let answer = app.send(by_url(&params, "http://good.example/album/my%20cat.final.png?v=2")).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{}", answer.text());
    assert!(net.asked.lock().is_empty());
    assert_eq!(server.connections().await, 0);
}

#[tokio::test]
async fn an_upload_never_reaches_the_canary() {
    let canary = Server::start(|_| file(&png(4, 3, 100))).await;
    let port = canary.port();
    let policy = FetchPolicy { ports: vec![port], ..FetchPolicy::default() };
    let app = app_with(RemoteClient::new(FetchSettings { policy, ..patient() }).unwrap()).await;
    let params = app.sign(&[]);
    for host in ["127.0.0.1", "0x7f.1", "2130706433", "[::ffff:127.0.0.1]", "localhost", "0.0.0.0"] {
        let answer = app.send(by_url(&params, &format!("http://{host}:{port}/x.png"))).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST);
        assert!(answer.error().ends_with(" - the address cannot be reached"), "{}", answer.error());
    }
    app.assert_nothing_stored("canary");
    assert_eq!(canary.connections().await, 0);
}
