//! Work in the background: the whole server with a clock of the test's own and a server that is called by it.
#![allow(clippy::unwrap_used, clippy::panic)]

mod batches;
mod commands;
mod eager;
mod killed;
mod later;
mod webhooks;
mod worker;

use crate::app::{basic, multipart};
use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request};
use bytes::Bytes;
use http_body_util::BodyExt;
use parking_lot::Mutex;
use serde_json::Value;
use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use tempfile::TempDir;
use tintype_api::app::{App, Outside, Records, open_records, open_store};
use tintype_api::catalog::library::{JobFilter, Library};
use tintype_api::config::Config;
use tintype_api::config::machine::Machine;
use tintype_api::demo::{Demo, find_or_create};
use tintype_api::domain::{Job, JobState, Timestamp};
use tintype_api::http::router;
use tintype_api::jobs::clock::Clock;
use tintype_api::jobs::notify::{Notifier, NotifyError};
use tintype_render::choice::Choice;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tower::ServiceExt;

pub const GET: Method = Method::GET;
pub const POST: Method = Method::POST;
pub const PUT: Method = Method::PUT;
pub const DELETE: Method = Method::DELETE;

/// A call that the receiver got.
#[derive(Debug, Clone)]
pub struct Received {
    pub path: String,
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
}

impl Received {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub fn event(&self) -> String {
        self.json()["notification_type"].as_str().unwrap().to_owned()
    }
}

/// A server that takes notifications.
pub struct Receiver {
    pub url: String,
    received: Arc<Mutex<Vec<Received>>>,
    answers: Arc<Mutex<VecDeque<u16>>>,
}

impl Receiver {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (received, answers) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(VecDeque::new())));
        let receiver = Receiver { url, received: received.clone(), answers: answers.clone() };
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let call = read_request(&mut stream).await;
                received.lock().push(call);
                let status = answers.lock().pop_front().unwrap_or(200);
                let answer = format!("HTTP/1.1 {status} X\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        receiver
    }

    /// Statuses of the next answers; 200 after them.
    pub fn answer_with(&self, statuses: &[u16]) {
        self.answers.lock().extend(statuses);
    }

    /// What came since the last time.
    pub fn take(&self) -> Vec<Received> {
        std::mem::take(&mut *self.received.lock())
    }
}

async fn read_request(stream: &mut TcpStream) -> Received {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end;
        }
        assert!(stream.read_buf(&mut bytes).await.unwrap() > 0);
    };
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let mut lines = head.lines();
    let first = lines.next().unwrap();
    assert!(first.starts_with("POST "), "{first}");
    let headers: BTreeMap<String, String> =
        lines.filter_map(|line| line.split_once(": ")).map(|(n, v)| (n.to_lowercase(), v.to_owned())).collect();
    let length: usize = headers["content-length"].parse().unwrap();
    while bytes.len() < end + 4 + length {
        assert!(stream.read_buf(&mut bytes).await.unwrap() > 0);
    }
    let path = first.split(' ').nth(1).unwrap().to_owned();
    Received { path, headers, body: bytes[end + 4..].to_vec() }
}

/// A plain client of HTTP/1.1.
struct PlainNotifier;

#[async_trait]
impl Notifier for PlainNotifier {
    async fn post(&self, url: &str, headers: &[(&'static str, String)], body: Bytes) -> Result<u16, NotifyError> {
        let failed = |error: std::io::Error| NotifyError::Failed(error.to_string());
        let refused = || NotifyError::Refused("a malformed address".to_owned());
        let (host, path) = url.strip_prefix("http://").ok_or_else(refused)?.split_once('/').ok_or_else(refused)?;
        let mut stream = TcpStream::connect(host).await.map_err(failed)?;
        let mut head = format!("POST /{path} HTTP/1.1\r\nhost: {host}\r\ncontent-length: {}\r\n", body.len());
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        stream.write_all(format!("{head}\r\n").as_bytes()).await.map_err(failed)?;
        stream.write_all(&body).await.map_err(failed)?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.map_err(failed)?;
        answer.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or_else(refused)
    }
}

/// The server as it is really put together.
pub struct Site {
    pub folder: TempDir,
    pub records: Records,
    pub demo: Demo,
    pub app: App,
    pub receiver: Receiver,
    router: Router,
    passed_s: Arc<AtomicI64>,
}

pub fn config(folder: &Path) -> Config {
    let flags =
        [("data_dir", folder.to_str().unwrap()), ("renderer", "cpu"), ("threads", "2"), ("memory_budget_mb", "512")];
    let flags = flags.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    Config::from_sources(&flags, &[], None, &Machine::detect()).unwrap()
}

impl Site {
    pub async fn start() -> Self {
        let folder = TempDir::new().unwrap();
        let config = config(folder.path());
        let records = open_records(&config).await.unwrap();
        let blobs = open_store(&config).await.unwrap();
        let demo = find_or_create(records.catalog.as_ref()).await.unwrap().unwrap();
        let passed_s = Arc::new(AtomicI64::new(0));
        let passed = passed_s.clone();
        let clock = Clock::new(move || {
            let now = Timestamp::now().unix_micros();
            Timestamp::from_unix_micros(now + passed.load(Ordering::SeqCst) * 1_000_000)
        });
        let outside = Outside { notifier: Arc::new(PlainNotifier), clock, ..Outside::default() };
        let chosen = Choice::cpu_only("a test");
        let app = App::assemble_with(config, records.clone(), blobs, chosen, outside).await.unwrap();
        let router = router(app.state());
        Site { folder, records, demo, app, receiver: Receiver::start().await, router, passed_s }
    }

    /// Lets time pass for the jobs.
    pub fn pass(&self, seconds: i64) {
        self.passed_s.fetch_add(seconds, Ordering::SeqCst);
    }

    /// Runs what is due: how many jobs.
    pub async fn work(&self) -> usize {
        self.app.worker().run_due().await
    }

    pub fn library(&self) -> &Library {
        &self.records.library
    }

    pub async fn jobs(&self, state: JobState) -> Vec<Job> {
        let filter = JobFilter { states: vec![state], ..JobFilter::default() };
        self.library().jobs(&filter, 1000, None).await.unwrap().jobs
    }

    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.receiver.url)
    }

    pub async fn upload(&self, file: &[u8], params: &[(&str, &str)]) -> Value {
        let (status, answer) = self.try_upload(file, params).await;
        assert_eq!(status, 200, "{answer}");
        answer
    }

    pub async fn try_upload(&self, file: &[u8], params: &[(&str, &str)]) -> (u16, Value) {
        let params: Vec<_> = params.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let request = multipart("/v1_1/demo/image/upload", &params, Some(("p.png", file)));
        self.send(request).await
    }

    pub async fn call(&self, method: Method, path: &str, body: Value) -> (u16, Value) {
        let request = Request::builder().method(method).uri(format!("/v1_1/demo{path}"));
        let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
        self.send(request.header("content-type", "application/json").body(body).unwrap()).await
    }

    pub async fn ok(&self, method: Method, path: &str, body: Value) -> Value {
        let (status, answer) = self.call(method, path, body).await;
        assert_eq!(status, 200, "{path}: {answer}");
        answer
    }

    async fn send(&self, mut request: Request<Body>) -> (u16, Value) {
        let credentials = basic(&self.demo.key.key, self.demo.key.secret.expose());
        request.headers_mut().insert("authorization", credentials.parse().unwrap());
        let response = self.router.clone().oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        (status, serde_json::from_slice(&response.into_body().collect().await.unwrap().to_bytes()).unwrap())
    }

    /// The value of the line of `/metrics` that begins like this.
    pub async fn metric(&self, name: &str) -> Option<f64> {
        let response =
            self.router.clone().oneshot(Request::get("/metrics").body(Body::empty()).unwrap()).await.unwrap();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let text = String::from_utf8(body.to_vec()).unwrap();
        text.lines().find_map(|line| line.strip_prefix(name)).map(|value| value.trim().parse().unwrap())
    }

    pub async fn renders(&self) -> f64 {
        self.metric("tintype_renders_total{backend=\"cpu\"}").await.unwrap_or(0.0)
    }
}
