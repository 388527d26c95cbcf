//! The listener over real sockets: limits of connections, early refusals, an orderly end.
#![allow(clippy::unwrap_used, clippy::panic)]

use crate::app::TestApp;
use axum::Router;
use axum::body::Body;
use futures::{StreamExt, stream};
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tintype_api::http::serve::{ConnectionLimits, serve};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

struct Server {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    done: JoinHandle<std::io::Result<()>>,
}

async fn start(limits: ConnectionLimits) -> Server {
    let app = TestApp::start().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let done = tokio::spawn(serve(listener, app.router, app.deliver, limits, async {
        let _ = stopped.await;
    }));
    Server { address, stop, done }
}

/// Sends bytes and reads until the server closes.
async fn exchange(address: SocketAddr, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut answer)).await.unwrap().unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn several_requests_share_a_connection() {
    let server = start(ConnectionLimits::default()).await;
    let request = "GET /live HTTP/1.1\r\nhost: x\r\n\r\nHEAD /demo/image/upload/cat.jpg HTTP/1.1\r\nhost: x\r\n\
                   connection: close\r\n\r\n";
    let answer = exchange(server.address, request.as_bytes()).await;
    assert_eq!(answer.matches("HTTP/1.1 200 OK").count(), 2, "{answer}");
    assert!(answer.contains("content-length: 10\r\n") && !answer.contains("0123456789"), "{answer}");
}

#[tokio::test]
async fn heads_are_bounded_in_size_number_and_time() {
    let limits = ConnectionLimits { head_timeout: Duration::from_millis(200), headers: 20, ..Default::default() };
    let server = start(limits).await;
    let long = format!("GET /live HTTP/1.1\r\nhost: x\r\nlong: {}\r\n\r\n", "x".repeat(100_000));
    let answer = exchange(server.address, long.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    let many: String = (0..30).map(|number| format!("h{number}: x\r\n")).collect();
    let answer = exchange(server.address, format!("GET /live HTTP/1.1\r\nhost: x\r\n{many}\r\n").as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    let started = Instant::now();
    exchange(server.address, b"GET /live HTTP/1.1\r\nhost:").await;
    assert!(started.elapsed() < Duration::from_secs(5), "a slow head was waited for");
}

#[tokio::test]
async fn a_refusal_reaches_a_client_that_still_sends() {
    let server = start(ConnectionLimits::default()).await;
    let body = vec![b'x'; 5_000_000];
    for (path, status) in
        [("/v1_1/nobody/image/upload", "401"), ("/v1_1/demo/unknown/upload", "404"), ("/v1_1/demo/image/upload", "400")]
    {
        let mut request = format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: multipart/form-data; boundary=e\r\n\
             content-length: {}\r\nconnection: close\r\n\r\n",
            body.len()
        )
        .into_bytes();
        request.extend_from_slice(&body);
        let answer = exchange(server.address, &request).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{path}: {answer}");
        assert!(answer.contains("{\"error\":{\"message\":"), "{path}: {answer}");
    }
}

#[tokio::test]
async fn open_requests_finish_when_the_server_stops() {
    let server = start(ConnectionLimits::default()).await;
    let idle = TcpStream::connect(server.address).await.unwrap();
    let mut open = TcpStream::connect(server.address).await.unwrap();
    open.write_all(b"GET /demo/image/upload/slow.jpg HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    server.stop.send(()).unwrap();
    let mut answer = Vec::new();
    tokio::time::timeout(Duration::from_secs(10), open.read_to_end(&mut answer)).await.unwrap().unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 503 "), "{}", String::from_utf8_lossy(&answer));
    tokio::time::timeout(Duration::from_secs(10), server.done).await.unwrap().unwrap().unwrap();
    drop(idle);
    assert!(TcpStream::connect(server.address).await.is_err());
}

#[tokio::test]
async fn beginnings_of_another_protocol_are_bounded_in_time() {
    let limits = ConnectionLimits { head_timeout: Duration::from_millis(200), ..Default::default() };
    let server = start(limits).await;
    // Nothing, what may become HTTP/2 or POST, and all that HTTP/2 begins with.
    for start in ["", "P", "PRI * HTTP/2.0\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"] {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(start.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let read = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut answer));
        assert!(read.await.is_ok(), "{start:?} holds a connection");
    }
    let answer = exchange(server.address, b"PUT /live HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 405 "), "{answer}");
}

/// A frame of HTTP/2 (RFC 9113, 4.1).
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

#[tokio::test]
async fn answers_that_nobody_takes_are_given_up() {
    let limits = ConnectionLimits { answer_timeout: Duration::from_millis(300), ..Default::default() };
    let server = start(limits).await;

    // HTTP/1.1: requests without end, and no answer is ever read.
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let requests = "GET /openapi.json HTTP/1.1\r\nhost: x\r\n\r\n".repeat(1000);
    let asked = async { while stream.write_all(requests.as_bytes()).await.is_ok() {} };
    tokio::time::timeout(Duration::from_secs(20), asked).await.expect("the server still waits");

    // HTTP/2: a window of no bytes, and a request whose answer does not fit in it.
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    bytes.extend(frame(4, 0, 0, &[0, 4, 0, 0, 0, 0]));
    let path = b"/openapi.json";
    let mut head = vec![0x82, 0x86, 0x01, 1, b'x', 0x04, path.len() as u8];
    head.extend(path);
    bytes.extend(frame(1, 5, 1, &head));
    stream.write_all(&bytes).await.unwrap();
    let mut answer = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut answer));
    assert!(read.await.is_ok(), "the server still waits");
    // The head was answered, none of the body, and at last a farewell (GOAWAY).
    let kinds = frame_kinds(&answer);
    assert!(kinds.contains(&1) && !kinds.contains(&0) && kinds.contains(&7), "{kinds:?}");
}

/// The kinds of the frames that a server sent.
fn frame_kinds(mut bytes: &[u8]) -> Vec<u8> {
    let mut kinds = Vec::new();
    while let [a, b, c, kind, _, _, _, _, _, rest @ ..] = bytes {
        kinds.push(*kind);
        let length = u32::from_be_bytes([0, *a, *b, *c]) as usize;
        bytes = rest.get(length..).unwrap_or_default();
    }
    kinds
}

#[tokio::test]
async fn work_of_the_server_is_no_standstill() {
    // Shorter than half the time of a request, so that it is over twice while the server works.
    let limits = ConnectionLimits { answer_timeout: Duration::from_millis(100), ..Default::default() };
    let server = start(limits).await;
    let request = "GET /demo/image/upload/slow.jpg HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    assert!(exchange(server.address, request.as_bytes()).await.starts_with("HTTP/1.1 503 "));

    // A body whose second half its source is long in giving.
    let app = TestApp::start().await;
    let routes = Router::new().fallback(async || {
        let pieces = stream::iter(["first ", "second"]).then(async |piece| {
            tokio::time::sleep(Duration::from_millis(if piece == "second" { 500 } else { 0 })).await;
            Ok::<_, std::io::Error>(piece)
        });
        Body::from_stream(pieces)
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(serve(listener, routes, app.deliver, limits, std::future::pending()));
    let answer = exchange(address, b"GET /live HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    assert!(answer.contains("first ") && answer.contains("second"), "{answer}");
}
