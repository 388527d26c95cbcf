//! The real router over doubles, and requests to it.
#![allow(clippy::unwrap_used, clippy::panic)]

use crate::doubles::{TestBlobs, TestCatalog, TestDeliver, TestEager, TestPictures};
use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::BodyExt;
use parking_lot::Mutex;
use serde_json::Value;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tintype_api::auth::signature::{Algorithm, SignaturePolicy, Version, sign_params};
use tintype_api::catalog::Catalog;
use tintype_api::catalog::library::Library;
use tintype_api::catalog::sqlite::SqliteCatalog;
use tintype_api::domain::{ApiKey, Cloud, CloudName, Timestamp};
use tintype_api::http::{HttpState, MetricsText, router};
use tintype_api::jobs::announce::Announcer;
use tintype_api::jobs::clock::Clock;
use tintype_api::jobs::queue::JobQueue;
use tintype_api::service::library::{self, LibraryService};
use tintype_api::service::upload::{UploadService, UploadSettings};
use tower::ServiceExt;

pub const MAX_UPLOAD_BYTES: u64 = 1_000_000;

pub struct TestApp {
    pub catalog: Arc<TestCatalog>,
    pub blobs: TestBlobs,
    pub deliver: Arc<TestDeliver>,
    pub key: ApiKey,
    /// A key of another cloud.
    pub foreign_key: ApiKey,
    /// A disabled key of the cloud.
    pub disabled_key: ApiKey,
    pub router: Router,
    pub library: LibraryService,
    _folder: tempfile::TempDir,
}

struct TestMetrics;

impl MetricsText for TestMetrics {
    fn render(&self) -> String {
        "tintype_requests_total 7\n".to_owned()
    }
}

pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub fn json(&self) -> Value {
        assert!(self.header("content-type").starts_with("application/json"), "{:?}", self.headers);
        serde_json::from_slice(&self.body).unwrap()
    }

    /// Text of an API error; checks its form.
    pub fn error(&self) -> String {
        let json = self.json();
        let message = json["error"]["message"].as_str().unwrap().to_owned();
        assert_eq!(json.as_object().unwrap().len(), 1);
        assert!(!self.header("x-cld-error").is_empty());
        assert_eq!(self.header("x-request-id").len(), 32);
        message
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

impl TestApp {
    pub async fn start() -> Self {
        Self::start_with(SignaturePolicy::default(), 8).await
    }

    pub async fn start_with(policy: SignaturePolicy, max_uploads: usize) -> Self {
        let catalog = Arc::new(TestCatalog::default());
        let mut keys = Vec::new();
        for name in ["demo", "other"] {
            let cloud = Cloud::new(CloudName::new(name).unwrap());
            let key = ApiKey::random(cloud.id.clone());
            catalog.create_cloud(&cloud, &key).await.unwrap();
            keys.push(key);
        }
        let foreign_key = keys.pop().unwrap();
        let key = keys.pop().unwrap();
        let disabled_key = ApiKey { enabled: false, ..ApiKey::random(key.cloud.clone()) };
        catalog.add_api_key(&disabled_key).await.unwrap();
        let blobs = TestBlobs::default();
        let deliver = Arc::new(TestDeliver { seen: Mutex::new(Vec::new()) });
        let settings = UploadSettings {
            public_base_url: "http://localhost:8080".to_owned(),
            max_upload_bytes: MAX_UPLOAD_BYTES,
            policy,
            max_uploads,
            inspect_budget_bytes: 1 << 20,
            min_part_bytes: 1000,
        };
        let folder = tempfile::tempdir().unwrap();
        let records = SqliteCatalog::open(&folder.path().join("library.sqlite"), [7; 32]).await.unwrap();
        let records = Library::from(Arc::new(records));
        let announcer = Announcer::new(catalog.clone(), JobQueue::new(records.clone(), Clock::system()));
        let library = LibraryService::new(library::Parts {
            catalog: catalog.clone(),
            library: records,
            blobs: Arc::new(blobs.clone()),
            eager: Arc::new(TestEager),
            changed: Arc::new(|_| {}),
            announcer,
            public_base_url: "http://localhost:8080".to_owned(),
            limits: library::MediaLimits { max_upload_bytes: MAX_UPLOAD_BYTES, max_pixels: 1_000_000 },
        });
        let upload = UploadService::new(
            catalog.clone(),
            library.clone(),
            Arc::new(blobs.clone()),
            Arc::new(TestPictures),
            Arc::new(TestEager),
            Arc::new(|_| {}),
            settings,
        );
        let kept = library.clone();
        let router = router(HttpState {
            upload,
            library,
            rate: Arc::default(),
            signature_policy: policy,
            deliver: deliver.clone(),
            metrics: Arc::new(TestMetrics),
            request_timeout: Duration::from_millis(500),
        });
        TestApp { catalog, blobs, deliver, key, foreign_key, disabled_key, router, library: kept, _folder: folder }
    }

    pub async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Answer { status: parts.status, headers: parts.headers, body }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(Request::get(path).body(Body::empty()).unwrap()).await
    }

    /// Uploads with a signature over `params` and a current timestamp.
    pub async fn upload(&self, params: &[(&str, &str)], file: &[u8]) -> Answer {
        let params = self.sign(params);
        self.send(multipart("/v1_1/demo/image/upload", &params, Some(("cat.png", file)))).await
    }

    pub fn sign(&self, params: &[(&str, &str)]) -> Vec<(String, String)> {
        self.sign_at(params, Timestamp::now().unix_seconds())
    }

    pub fn sign_at(&self, params: &[(&str, &str)], timestamp_s: i64) -> Vec<(String, String)> {
        sign_with(&self.key, params, timestamp_s, Version::V2, Algorithm::Sha1)
    }

    /// Asserts that nothing of an upload was left: no row, no blob, no open writer.
    pub fn assert_nothing_stored(&self, case: &str) {
        assert_eq!(self.catalog.assets().len(), 0, "{case}: a row was left");
        self.assert_only(0, case);
    }

    /// Asserts that exactly `n` blobs are stored, and that nothing is on its way.
    pub fn assert_only(&self, n: usize, case: &str) {
        assert_eq!(self.blobs.len(), n, "{case}: blobs");
        assert_eq!(self.blobs.open_writers.load(Ordering::SeqCst), 0, "{case}: a writer was left open");
        assert_eq!(self.catalog.garbage_len(), 0, "{case}: garbage");
    }
}

pub fn sign_with(
    key: &ApiKey,
    params: &[(&str, &str)],
    timestamp_s: i64,
    version: Version,
    algorithm: Algorithm,
) -> Vec<(String, String)> {
    let mut signed: Vec<(String, String)> =
        params.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    signed.push(("timestamp".to_owned(), timestamp_s.to_string()));
    let pairs = signed.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let signature = sign_params(pairs, key.secret.expose(), version, algorithm);
    signed.push(("api_key".to_owned(), key.key.clone()));
    signed.push(("signature".to_owned(), signature));
    signed
}

/// As the SDKs send it: parameters first, the file last.
pub fn multipart(path: &str, params: &[(String, String)], file: Option<(&str, &[u8])>) -> Request<Body> {
    let mut body = Vec::new();
    for (name, value) in params {
        body.extend_from_slice(text_part(name, value).as_bytes());
    }
    if let Some((filename, content)) = file {
        body.extend_from_slice(&file_part(filename, content));
    }
    body.extend_from_slice(b"--edge--\r\n");
    multipart_body(path, "edge", body)
}

pub fn text_part(name: &str, value: &str) -> String {
    format!("--edge\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
}

pub fn file_part(filename: &str, content: &[u8]) -> Vec<u8> {
    let mut part = format!(
        "--edge\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{filename}\"\r\n\
         Content-Type: application/octet-stream\r\n\r\n"
    )
    .into_bytes();
    part.extend_from_slice(content);
    part.extend_from_slice(b"\r\n");
    part
}

/// The body in pieces, as a network would bring it.
pub fn multipart_body(path: &str, boundary: &str, body: Vec<u8>) -> Request<Body> {
    let pieces: Vec<std::io::Result<Bytes>> =
        body.chunks(8192).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
    Request::post(path)
        .header("content-type", format!("multipart/form-data; boundary={boundary}"))
        .body(Body::from_stream(futures::stream::iter(pieces)))
        .unwrap()
}

pub fn basic(key: &str, secret: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{key}:{secret}")))
}

/// A file with the header of a PNG of that size, padded to `bytes`.
pub fn png(width: u32, height: u32, bytes: usize) -> Vec<u8> {
    let mut file = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR".to_vec();
    file.extend_from_slice(&width.to_be_bytes());
    file.extend_from_slice(&height.to_be_bytes());
    // Content that looks like line ends and boundaries must not confuse the parser.
    while file.len() < bytes {
        file.extend_from_slice(b"\r\n--edg\r\n--\0");
    }
    file.truncate(bytes.max(24));
    file
}
