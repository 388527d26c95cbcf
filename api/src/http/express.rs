//! The short way to pictures that lie in memory: a plain GET of a cached answer is written to the connection as it is kept,
//! without a request, a response and a route being made.
//!
//! It knows one kind of request only: HTTP/1.1, GET, no body, and none but headers that cannot change the answer. At the
//! first request that is anything else, the connection goes to the ordinary server with all that was read of it, and
//! stays there.

use super::response::{Conditions, respond};
use super::serve::ConnectionLimits;
use super::{add_common_headers, without_signature};
use crate::page_file::PageFile;
use crate::service::deliver_types::{Deliver, DeliveryAnswer, KeptAnswer};
use bytes::{BufMut, Bytes, BytesMut};
use futures::FutureExt;
use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout};

/// A head that is longer is not ours to judge.
const MAX_HEAD_BYTES: usize = 8 << 10;
const MAX_HEADERS: usize = 32;

/// What becomes of a connection.
pub enum Next {
    /// It is for the ordinary server, which reads these bytes first.
    Ordinary(Bytes),
    Closed,
}

/// Answers requests until one is not for this lane, the client goes, is idle for too long, or `stop` is done.
pub async fn run(
    stream: &mut TcpStream,
    deliver: &Arc<dyn Deliver>,
    limits: ConnectionLimits,
    stop: impl Future<Output = ()>,
) -> io::Result<Next> {
    let mut stop = pin!(stop);
    let idle = limits.head_timeout;
    let patience = limits.answer_timeout;
    // One timer for all requests: moved on when it fires, not at every request.
    let mut used = Instant::now();
    let mut timer = pin!(sleep_until(used + idle));
    let mut buffer = BytesMut::with_capacity(MAX_HEAD_BYTES);
    let mut head = BytesMut::with_capacity(2048);
    let mut clock = Clock::default();
    loop {
        tokio::select! {
            biased;
            read = stream.read_buf(&mut buffer) => if read? == 0 {
                return Ok(Next::Closed);
            },
            () = &mut stop => return Ok(Next::Closed),
            () = &mut timer => {
                if used.elapsed() >= idle {
                    return Ok(Next::Closed);
                }
                timer.as_mut().reset(used + idle);
                continue;
            }
        }
        used = Instant::now();
        while !buffer.is_empty() {
            let Some((length, answer, id)) = answer(&buffer, deliver.as_ref()) else {
                return Ok(Next::Ordinary(buffer.freeze()));
            };
            head.clear();
            head.put_slice(&answer.head);
            head.put_slice(b"x-request-id: ");
            head.put_slice(&id);
            head.put_slice(b"\r\ndate: ");
            head.put_slice(clock.date());
            head.put_slice(b"\r\n\r\n");
            match &answer.pages {
                Some(pages) => send_pages(stream, &head, pages, patience).await?,
                None => write(stream, &head, &answer.body, patience).await?,
            }
            let _ = buffer.split_to(length);
        }
        // What was answered left the front of the buffer, which is taken back here: a request that is cut in two only
        // because the room ends would lead away from this lane.
        buffer.reserve(MAX_HEAD_BYTES);
    }
}

/// The length of the request at the beginning of the bytes, its kept answer, and a name for it. `None` when the request is
/// not for this lane, or not there as a whole.
fn answer(bytes: &[u8], deliver: &dyn Deliver) -> Option<(usize, KeptAnswer, [u8; 32])> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    let httparse::Status::Complete(length) = request.parse(bytes).ok()? else { return None };
    if request.method != Some("GET") || request.version != Some(1) {
        return None;
    }
    let target = request.path.filter(|target| target.starts_with('/'))?;
    let path = target.split_once('?').map_or(target, |(path, _)| path);
    let mut accept = None;
    for header in request.headers.iter() {
        match kind(header.name) {
            Kind::Harmless => {}
            Kind::Accept if accept.is_none() => accept = Some(std::str::from_utf8(header.value).ok()?),
            Kind::Connection if header.value.eq_ignore_ascii_case(b"keep-alive") => {}
            _ => return None,
        }
    }
    let answer = deliver.kept(path, accept, &|answer| head_of(answer).unwrap_or_default())?;
    if answer.head.is_empty() {
        return None;
    }
    let mut id = [0; 32];
    hex::encode_to_slice(rand::random::<[u8; 16]>(), &mut id).ok()?;
    tracing::debug!(
        request.id = std::str::from_utf8(&id).unwrap_or_default(),
        method = "GET",
        path = %without_signature(path),
        status = 200,
        "request"
    );
    Some((length, answer, id))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Changes nothing about the answer.
    Harmless,
    Accept,
    Connection,
    Other,
}

fn kind(name: &str) -> Kind {
    const HARMLESS: &[&str] = &[
        "host",
        "user-agent",
        "accept-encoding",
        "accept-language",
        "referer",
        "cookie",
        "origin",
        "pragma",
        "cache-control",
        "dnt",
        "priority",
        "upgrade-insecure-requests",
        "sec-fetch-dest",
        "sec-fetch-mode",
        "sec-fetch-site",
        "sec-fetch-user",
        "sec-gpc",
        "sec-ch-ua",
        "sec-ch-ua-mobile",
        "sec-ch-ua-platform",
        "x-forwarded-for",
        "x-forwarded-proto",
        "x-real-ip",
    ];
    if name.eq_ignore_ascii_case("accept") {
        Kind::Accept
    } else if name.eq_ignore_ascii_case("connection") {
        Kind::Connection
    } else if HARMLESS.iter().any(|harmless| name.eq_ignore_ascii_case(harmless)) {
        Kind::Harmless
    } else {
        Kind::Other
    }
}

/// Status line and headers of an answer without what differs from request to request, and without the line that ends them.
fn head_of(answer: DeliveryAnswer) -> Option<Bytes> {
    // Its body lies in memory, so there is nothing to wait for.
    let mut response = respond(answer, &Conditions::default()).now_or_never()?;
    if response.status() != axum::http::StatusCode::OK {
        return None;
    }
    add_common_headers(&mut response, None);
    let mut head = BytesMut::with_capacity(1024);
    head.put_slice(b"HTTP/1.1 200 OK\r\n");
    for (name, value) in response.headers() {
        head.put_slice(name.as_str().as_bytes());
        head.put_slice(b": ");
        head.put_slice(value.as_bytes());
        head.put_slice(b"\r\n");
    }
    Some(head.freeze())
}

/// Writes both. Each step of it is waited for as long as `patience`.
async fn write(stream: &mut TcpStream, head: &[u8], body: &[u8], patience: Duration) -> io::Result<()> {
    let mut written = 0;
    while written < head.len() + body.len() {
        let parts =
            [IoSlice::new(&head[written.min(head.len())..]), IoSlice::new(&body[written.saturating_sub(head.len())..])];
        match timeout(patience, stream.write_vectored(&parts)).await?? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            more => written += more,
        }
    }
    Ok(())
}

/// The same with a body that lies in a file.
#[cfg(target_os = "linux")]
async fn send_pages(stream: &TcpStream, head: &[u8], body: &PageFile, patience: Duration) -> io::Result<()> {
    use rustix::net::SendFlags;
    let mut sent = 0;
    while sent < head.len() {
        // There is more to come, so that the system does not send the head by itself.
        let send = || Ok(rustix::net::send(stream, &head[sent..], SendFlags::MORE | SendFlags::NOSIGNAL)?);
        sent += timeout(patience, stream.async_io(Interest::WRITABLE, send)).await??;
    }
    let mut offset = 0;
    while (offset as usize) < body.length() {
        let left = body.length() - offset as usize;
        let send = || Ok(rustix::fs::sendfile(stream, body.file(), Some(&mut offset), left)?);
        if timeout(patience, stream.async_io(Interest::WRITABLE, send)).await?? == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
    }
    Ok(())
}

/// Elsewhere no file is ever made.
#[cfg(not(target_os = "linux"))]
async fn send_pages(_: &TcpStream, _: &[u8], _: &PageFile, _: Duration) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// The date of answers, written once a second.
#[derive(Default)]
struct Clock {
    seconds: i64,
    text: String,
}

impl Clock {
    fn date(&mut self) -> &[u8] {
        let now = time::OffsetDateTime::now_utc().unix_timestamp();
        if self.text.is_empty() || now != self.seconds {
            self.seconds = now;
            self.text = super::response::http_date(now);
        }
        self.text.as_bytes()
    }
}

/// A connection of which something was read already.
pub struct Reread<S> {
    before: Bytes,
    stream: S,
}

impl<S> Reread<S> {
    pub fn new(before: Bytes, stream: S) -> Self {
        Reread { before, stream }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Reread<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.before.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, buf);
        }
        let count = self.before.len().min(buf.remaining());
        buf.put_slice(&self.before.split_to(count));
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Reread<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::service::deliver_types::{DeliveryError, DeliveryRequest};
    use tokio::net::TcpListener;

    /// More than a connection takes that nobody reads from.
    static LARGE: &[u8] = &[0; 32 << 20];

    struct OnePicture;

    #[async_trait::async_trait]
    impl Deliver for OnePicture {
        async fn deliver(&self, _: DeliveryRequest) -> Result<DeliveryAnswer, DeliveryError> {
            Err(DeliveryError::Internal("not asked here".into()))
        }

        fn kept(&self, path: &str, accept: Option<&str>, _: &dyn Fn(DeliveryAnswer) -> Bytes) -> Option<KeptAnswer> {
            let head = Bytes::from_static(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n");
            let (body, pages) = match path {
                "/a" => (Bytes::from_static(b"hello"), None),
                "/large" => (Bytes::from_static(LARGE), None),
                "/large/file" => {
                    let pages = crate::page_file::PageFiles::new(LARGE.len()).hold(LARGE);
                    (Bytes::from_static(LARGE), pages.map(Arc::new))
                }
                _ => return None,
            };
            accept.is_none().then_some(KeptAnswer { head, body, pages })
        }
    }

    /// What becomes of a connection on which this is sent `times`, each time after the answer to the time before.
    async fn outcome(request: &str, times: usize) -> (Next, usize) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let client = tokio::spawn({
            let request = request.to_owned();
            async move {
                let mut stream = TcpStream::connect(address).await.unwrap();
                let mut answers = 0;
                let mut part = [0; 4096];
                for _ in 0..times {
                    stream.write_all(request.as_bytes()).await.unwrap();
                    let mut read = Vec::new();
                    while !read.ends_with(b"hello") {
                        match stream.read(&mut part).await {
                            Ok(count) if count > 0 => read.extend_from_slice(&part[..count]),
                            _ => return answers,
                        }
                    }
                    answers += 1;
                }
                answers
            }
        });
        let (mut stream, _) = listener.accept().await.unwrap();
        let deliver: Arc<dyn Deliver> = Arc::new(OnePicture);
        let next = run(&mut stream, &deliver, ConnectionLimits::default(), std::future::pending()).await.unwrap();
        drop(stream);
        (next, client.await.unwrap())
    }

    #[tokio::test]
    async fn a_connection_stays_as_long_as_it_asks_for_what_is_kept() {
        let (next, answers) = outcome("GET /a?x=1 HTTP/1.1\r\nHost: somewhere.example\r\n\r\n", 1000).await;
        assert_eq!(answers, 1000);
        assert!(matches!(next, Next::Closed));
    }

    #[tokio::test]
    async fn everything_else_is_handed_on_unread() {
        for request in [
            "GET /b HTTP/1.1\r\n\r\n",
            "GET /a HTTP/1.0\r\n\r\n",
            "HEAD /a HTTP/1.1\r\n\r\n",
            "POST /a HTTP/1.1\r\ncontent-length: 3\r\n\r\nabc",
            "GET /a HTTP/1.1\r\ncontent-length: 3\r\n\r\nabc",
            "GET /a HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n",
            "GET /a HTTP/1.1\r\nrange: bytes=0-1\r\n\r\n",
            "GET /a HTTP/1.1\r\nif-none-match: *\r\n\r\n",
            "GET /a HTTP/1.1\r\nconnection: close\r\n\r\n",
            "GET /a HTTP/1.1\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
            "GET /a HTTP/1.1\r\naccept: image/webp\r\naccept: image/avif\r\n\r\n",
            "GET http://x/a HTTP/1.1\r\n\r\n",
            "GET /a HTTP/1.1\r\nhost",
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            "\0\0\0",
        ] {
            let (next, answers) = outcome(request, 1).await;
            assert_eq!(answers, 0, "{request}");
            assert!(matches!(next, Next::Ordinary(read) if read == request), "{request}");
        }
    }

    #[tokio::test]
    async fn who_does_not_take_an_answer_is_not_waited_for() {
        for path in ["/large", "/large/file"] {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            client.write_all(format!("GET {path} HTTP/1.1\r\n\r\n").as_bytes()).await.unwrap();
            let (mut stream, _) = listener.accept().await.unwrap();
            let deliver: Arc<dyn Deliver> = Arc::new(OnePicture);
            let limits = ConnectionLimits { answer_timeout: Duration::from_millis(200), ..Default::default() };
            let ran = timeout(Duration::from_secs(20), run(&mut stream, &deliver, limits, std::future::pending()));
            let error = ran.await.unwrap().err().unwrap();
            assert_eq!(error.kind(), io::ErrorKind::TimedOut, "{path}");
        }
    }
}
