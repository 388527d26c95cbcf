//! Cached pictures take the short way, and nobody can tell but by the time it takes.
#![allow(clippy::unwrap_used, clippy::panic)]

use crate::whole_app::{CHELSEA, ROCKET, WholeApp};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

struct Answer {
    status: String,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

/// One connection that is kept.
struct Client {
    stream: TcpStream,
    read: Vec<u8>,
}

impl Client {
    async fn connect(address: SocketAddr) -> Client {
        Client { stream: TcpStream::connect(address).await.unwrap(), read: Vec::new() }
    }

    async fn send(&mut self, bytes: &str) {
        self.stream.write_all(bytes.as_bytes()).await.unwrap();
    }

    async fn more(&mut self) {
        let mut part = [0; 65_536];
        let read = tokio::time::timeout(Duration::from_secs(20), self.stream.read(&mut part)).await;
        let count = read.expect("an answer within 20 seconds").unwrap();
        assert!(count > 0, "the connection was closed after {:?}", String::from_utf8_lossy(&self.read));
        self.read.extend_from_slice(&part[..count]);
    }

    /// Reads one answer.
    async fn answer(&mut self) -> Answer {
        let end = loop {
            if let Some(end) = self.read.windows(4).position(|four| four == b"\r\n\r\n") {
                break end;
            }
            self.more().await;
        };
        let head = String::from_utf8(self.read[..end].to_vec()).unwrap();
        self.read.drain(..end + 4);
        let mut lines = head.split("\r\n");
        let status = lines.next().unwrap().to_owned();
        let mut headers = BTreeMap::new();
        for line in lines {
            let (name, value) = line.split_once(": ").unwrap();
            assert!(headers.insert(name.to_owned(), value.to_owned()).is_none(), "{name} comes twice");
        }
        let length = if status.contains("304") { 0 } else { headers["content-length"].parse().unwrap() };
        while self.read.len() < length {
            self.more().await;
        }
        Answer { status, headers, body: self.read.drain(..length).collect() }
    }

    async fn get(&mut self, path: &str, headers: &str) -> Answer {
        self.send(&format!("GET {path} HTTP/1.1\r\nHost: x\r\n{headers}\r\n")).await;
        self.answer().await
    }
}

const PATH: &str = "/demo/image/upload/c_fill,w_60,h_40/f_auto,q_80/ship.jpg";
const CHROME: &str = "Accept: image/avif,image/webp,image/apng,*/*;q=0.8\r\nSec-Fetch-Mode: no-cors\r\n";

#[tokio::test]
async fn both_ways_give_the_same_answer() {
    let app = WholeApp::start().await;
    app.upload("ship.jpg", ROCKET, &[("public_id", "ship")]).await;
    let address = app.listen().await;
    for accept in ["", CHROME] {
        let first = Client::connect(address).await.get(PATH, accept).await;
        assert_eq!(first.status, "HTTP/1.1 200 OK");
        let short = Client::connect(address).await.get(PATH, accept).await;
        // An unknown header is a reason for the ordinary way.
        let long = Client::connect(address).await.get(PATH, &format!("{accept}X-Unknown: 1\r\n")).await;
        assert_eq!((&short.status, &short.body), (&long.status, &long.body));
        assert_eq!(short.body, first.body);
        let without_id = |answer: &Answer| {
            let mut headers = answer.headers.clone();
            assert_eq!(headers.remove("x-request-id").unwrap().len(), 32);
            headers.remove("date").unwrap();
            headers
        };
        assert_eq!(without_id(&short), without_id(&long));
        assert!(short.headers["server-timing"].starts_with("cache;dur="), "{:?}", short.headers);
        assert_eq!(short.headers["vary"], "Accept");
        assert_eq!(short.headers["content-type"], if accept.is_empty() { "image/jpeg" } else { "image/avif" });
        assert_ne!(short.headers["x-request-id"], long.headers["x-request-id"]);
    }
}

async fn kept_bytes(app: &WholeApp) -> usize {
    let metrics = app.get("/metrics").await;
    let text = metrics.text();
    let line = text.lines().find_map(|line| line.strip_prefix("tintype_url_cache_bytes ")).unwrap();
    line.parse().unwrap()
}

/// Its picture has more than the bytes that make a file of memory pay.
const LARGE: &str = "/demo/image/upload/w_600,q_90/ship.jpg";

#[tokio::test]
async fn pictures_that_are_sent_often_are_sent_as_they_are() {
    let app = WholeApp::start().await;
    app.upload("ship.jpg", ROCKET, &[("public_id", "ship")]).await;
    let address = app.listen().await;
    let first = Client::connect(address).await.get(LARGE, "").await;
    assert!(first.body.len() > 16 << 10, "{}", first.body.len());
    let before = kept_bytes(&app).await;
    // Nobody reads at first, so that the connection is full in the middle of an answer.
    let mut client = Client::connect(address).await;
    const TIMES: usize = 60;
    let requests = format!("GET {LARGE} HTTP/1.1\r\nHost: x\r\n\r\n").repeat(TIMES);
    client.send(&requests).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    for n in 0..TIMES {
        let answer = client.answer().await;
        assert!(answer.status == first.status && answer.body == first.body, "answer {n}");
        assert_eq!(answer.headers["etag"], first.headers["etag"]);
    }
    let pages = first.body.len().div_ceil(4096) * 4096;
    let expected = if cfg!(target_os = "linux") { before + pages } else { before };
    assert_eq!(kept_bytes(&app).await, expected);
    // Another picture under the name is sent from then on.
    app.upload("cat.png", CHELSEA, &[("public_id", "ship")]).await;
    let mut answer = client.get(LARGE, "").await;
    assert_ne!(answer.body, first.body);
    let second = answer.body.clone();
    for _ in 0..40 {
        answer = client.get(LARGE, "").await;
        assert_eq!(answer.body, second);
    }
}

#[tokio::test]
async fn a_connection_may_mix_everything() {
    let app = WholeApp::start().await;
    app.upload("ship.jpg", ROCKET, &[("public_id", "ship")]).await;
    let address = app.listen().await;
    let mut client = Client::connect(address).await;
    let first = client.get(PATH, "").await;
    let mut client = Client::connect(address).await;
    // Cached, several at once, with a query, and cut into pieces.
    let one = format!("GET {PATH}?_a=B HTTP/1.1\r\nHost: x\r\nConnection: keep-alive\r\n\r\n");
    client.send(&one.repeat(3)).await;
    for _ in 0..3 {
        assert_eq!(client.answer().await.body, first.body);
    }
    client.send(&one).await;
    assert_eq!(client.answer().await.body, first.body);
    for part in [&one[..9], &one[9..40], &one[40..]] {
        client.send(part).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(client.answer().await.body, first.body);
    // Not for the short way: a condition, a range, another method, what is not there, what is not cached.
    let etag = first.headers["etag"].clone();
    let unchanged = client.get(PATH, &format!("If-None-Match: {etag}\r\n")).await;
    assert_eq!(unchanged.status, "HTTP/1.1 304 Not Modified");
    let mut client = Client::connect(address).await;
    let part = client.get(PATH, "Range: bytes=0-9\r\n").await;
    assert_eq!((part.status.as_str(), part.body.as_slice()), ("HTTP/1.1 206 Partial Content", &first.body[..10]));
    assert_eq!(client.get("/demo/image/upload/none.jpg", "").await.status, "HTTP/1.1 404 Not Found");
    assert_eq!(client.get(PATH, "").await.body, first.body);
    assert_eq!(client.get("/live", "").await.body, b"ok\n");
    let mut client = Client::connect(address).await;
    client.send(&format!("GET {PATH} HTTP/1.0\r\n\r\n")).await;
    assert_eq!(client.answer().await.body, first.body);
}

#[tokio::test]
async fn a_new_upload_ends_the_old_answer_and_everything_is_counted() {
    let app = WholeApp::start().await;
    app.upload("ship.jpg", ROCKET, &[("public_id", "ship")]).await;
    let address = app.listen().await;
    let mut client = Client::connect(address).await;
    let old = client.get(PATH, "").await;
    let before = app.usage().await;
    let mut client = Client::connect(address).await;
    for _ in 0..5 {
        assert_eq!(client.get(PATH, "").await.headers["etag"], old.headers["etag"]);
    }
    let after = app.usage().await;
    assert_eq!(after.requests - before.requests, 5);
    assert_eq!(after.bandwidth_bytes - before.bandwidth_bytes, 5 * old.body.len() as u64);
    app.upload("ship.jpg", crate::whole_app::CHELSEA, &[("public_id", "ship")]).await;
    assert_ne!(client.get(PATH, "").await.headers["etag"], old.headers["etag"]);
}
