//! The short way of pictures in memory answers as the ordinary way does, and what is kept can be limited.
#![allow(clippy::unwrap_used, clippy::panic)]

use crate::whole_app::ROCKET;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tintype_api::app::{App, open_catalog, open_store};
use tintype_api::catalog::Catalog;
use tintype_api::config::Config;
use tintype_api::config::machine::Machine;
use tintype_api::demo::{Demo, find_or_create, load_samples};
use tintype_api::domain::{AssetKey, Day, DeliveryType, Derived, PublicId, ResourceType};
use tintype_api::http::express::Express;
use tintype_api::http::router;
use tintype_api::http::serve::{ConnectionLimits, Routes, serve_routes};
use tintype_api::storage::BlobStore;
use tintype_render::choice::Choice;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

struct Served {
    _folder: TempDir,
    catalog: Arc<dyn Catalog>,
    blobs: Arc<dyn BlobStore>,
    demo: Demo,
    app: App,
}

impl Served {
    async fn start(extra: &[(&str, &str)]) -> Served {
        let folder = TempDir::new().unwrap();
        let mut flags: BTreeMap<String, String> = [
            ("data_dir", folder.path().to_str().unwrap()),
            ("renderer", "cpu"),
            ("threads", "2"),
            ("memory_budget_mb", "512"),
        ]
        .into_iter()
        .chain(extra.iter().copied())
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect();
        flags.insert("profile".into(), "fast".into());
        let config = Config::from_sources(&flags, &[], None, &Machine::detect()).unwrap();
        let catalog = open_catalog(&config).await.unwrap();
        let blobs = open_store(&config).await.unwrap();
        let demo = find_or_create(catalog.as_ref()).await.unwrap().unwrap();
        let chosen = Choice::cpu_only("a test");
        let app = App::assemble(config, catalog.clone(), blobs.clone(), chosen).await.unwrap();
        load_samples(&demo, app.uploads()).await.unwrap();
        Served { _folder: folder, catalog, blobs, demo, app }
    }

    /// A listener on a port of its own; with the short way or without.
    async fn listen(&self, short: bool) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = self.app.state();
        let express = short.then(|| Express::new(state.deliver.clone()));
        let routes = Routes { router: router(state), express };
        tokio::spawn(serve_routes(listener, routes, ConnectionLimits::default(), std::future::pending()));
        address
    }

    async fn requests(&self) -> (u64, u64) {
        self.app.flush_usage().await;
        let usage = self.catalog.usage(&self.demo.cloud.id, Day::today()).await.unwrap();
        (usage.requests, usage.bandwidth_bytes)
    }

    async fn derived(&self, public_id: &str) -> Vec<Derived> {
        let key = AssetKey {
            cloud: self.demo.cloud.id.clone(),
            resource_type: ResourceType::Image,
            delivery_type: DeliveryType::Upload,
            public_id: PublicId::new(public_id).unwrap(),
        };
        let asset = self.catalog.asset(&key).await.unwrap().unwrap();
        self.catalog.derived_of(&asset.id, 100).await.unwrap()
    }

    async fn wait_for_derived(&self, n: usize) -> Vec<Derived> {
        let until = Instant::now() + Duration::from_secs(60);
        loop {
            let found = self.derived("rocket").await;
            if found.len() == n {
                return found;
            }
            assert!(Instant::now() < until, "{} of {n} pictures are kept", found.len());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// The answers to all requests on one connection, without what differs between any two answers.
async fn exchange(address: SocketAddr, request: &str) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    tokio::time::timeout(Duration::from_secs(60), stream.read_to_end(&mut answer)).await.unwrap().unwrap();
    answer
}

/// Lines of the head that are comparable, sorted; then the body.
fn comparable(answer: &[u8]) -> (Vec<String>, Vec<u8>) {
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
    let head = std::str::from_utf8(&answer[..end]).unwrap();
    assert_eq!(head.matches("x-request-id: ").count(), 1, "{head}");
    let mut lines: Vec<String> = head
        .lines()
        .filter(|line| !line.starts_with("date: ") && !line.starts_with("x-request-id: "))
        .map(str::to_owned)
        .collect();
    lines.sort();
    (lines, answer[end + 4..].to_vec())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_ways_give_the_same_answers_and_count_the_same() {
    let served = Served::start(&[]).await;
    let (short, long) = (served.listen(true).await, served.listen(false).await);
    let picture = "/demo/image/upload/c_fill,w_60,h_40/f_auto/rocket.jpg";
    let original = "/demo/image/upload/rocket.jpg";
    let get = |method: &str, path: &str, headers: &str| {
        format!("{method} {path} HTTP/1.1\r\nhost: x\r\n{headers}connection: close\r\n\r\n")
    };
    // The first answers come from rendering, and say so; those after them are hits.
    for path in [picture, original] {
        for accept in ["", "accept: image/webp,*/*\r\n"] {
            assert!(exchange(long, &get("GET", path, accept)).await.starts_with(b"HTTP/1.1 200 OK"));
        }
    }
    let whole = exchange(long, &get("GET", picture, "")).await;
    let (lines, body) = comparable(&whole);
    let etag = lines.iter().find_map(|line| line.strip_prefix("etag: ")).unwrap();
    let modified = lines.iter().find_map(|line| line.strip_prefix("last-modified: ")).unwrap();
    assert!(lines.iter().any(|line| line.contains("cache;dur=0.000;desc=\"hit\"")), "{lines:?}");
    assert!(!body.is_empty());

    for path in [picture, original, "/demo/image/upload/missing.jpg", "/live", "/demo/image/upload/w_x/rocket.jpg"] {
        for method in ["GET", "HEAD", "OPTIONS", "POST"] {
            for headers in [
                String::new(),
                "accept: image/webp,*/*\r\n".to_owned(),
                "accept: image/webp\r\naccept: image/png\r\n".to_owned(),
                format!("if-none-match: {etag}\r\n"),
                "if-none-match: \"other\"\r\n".to_owned(),
                format!("if-modified-since: {modified}\r\n"),
                "range: bytes=2-5\r\n".to_owned(),
                format!("range: bytes=0-0\r\nif-range: {etag}\r\n"),
                "range: bytes=99999999-\r\n".to_owned(),
                "if-range: \"x\"\r\n".to_owned(),
            ] {
                let request = get(method, path, &headers);
                let before = served.requests().await;
                let by_long = comparable(&exchange(long, &request).await);
                let between = served.requests().await;
                let by_short = comparable(&exchange(short, &request).await);
                let after = served.requests().await;
                assert_eq!(by_short, by_long, "{request}");
                let counted = |from: (u64, u64), to: (u64, u64)| (to.0 - from.0, to.1 - from.1);
                assert_eq!(counted(before, between), counted(between, after), "{request}");
            }
        }
    }
    let query = get("GET", &format!("{picture}?_a=1"), "");
    assert_eq!(comparable(&exchange(short, &query).await), comparable(&exchange(long, &query).await));
    let ids: Vec<_> = (0..2).map(|_| get("GET", picture, "")).collect();
    let (one, two) = (exchange(short, &ids[0]).await, exchange(short, &ids[1]).await);
    assert_ne!(one, two, "every request has an id of its own");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_requests_share_a_connection_on_the_short_way() {
    let served = Served::start(&[]).await;
    let short = served.listen(true).await;
    let path = "/demo/image/upload/rocket.jpg";
    let one = format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n");
    let last = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    let answers = exchange(short, &(one.repeat(9) + &last)).await;
    let heads = answers.windows(15).filter(|window| *window == b"HTTP/1.1 200 OK").count();
    assert_eq!(heads, 10);
    assert!(answers.len() > 10 * ROCKET.len());
    assert!(answers.ends_with(&ROCKET[ROCKET.len() - 100..]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_least_recently_used_pictures_go_when_there_are_too_many() {
    let served = Served::start(&[("derived_max_bytes", "20000")]).await;
    let short = served.listen(true).await;
    let ask = async |width: u32| {
        let path = format!("/demo/image/upload/c_fill,w_{width},h_100/q_80,f_jpg/rocket.jpg");
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        assert!(exchange(short, &request).await.starts_with(b"HTTP/1.1 200 OK"));
    };
    ask(100).await;
    let first = served.wait_for_derived(1).await.remove(0);
    served.app.tidy_derived().await;
    let mut n = 1;
    while served.catalog.derived_bytes().await.unwrap() <= 20_000 {
        n += 1;
        ask(100 + n as u32).await;
        served.wait_for_derived(n).await;
        if n == 3 {
            served.app.tidy_derived().await;
            assert_eq!(served.derived("rocket").await.len(), 3, "below the limit nothing goes");
        }
    }
    assert!(n > 3, "the limit is large enough for this test");
    // A hit of the URL cache is a use: the first picture is now the last to go.
    ask(100).await;
    let total = served.catalog.derived_bytes().await.unwrap();
    served.app.tidy_derived().await;
    let left = served.derived("rocket").await;
    let bytes = served.catalog.derived_bytes().await.unwrap();
    assert!(bytes <= 18_000 && bytes < total && !left.is_empty(), "{bytes} of {total}");
    assert!(served.catalog.derived(&first.key).await.unwrap().is_some_and(|row| row.last_used_at > first.last_used_at));
    assert_eq!(served.catalog.garbage(100).await.unwrap(), [], "their blobs are deleted");
    for row in left {
        assert_eq!(served.blobs.size(&row.blob).await.unwrap(), Some(row.bytes));
    }
    ask(102).await;
}
