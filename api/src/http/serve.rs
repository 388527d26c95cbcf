//! The listener: connections under limits, and an orderly end. Every connection without TLS begins in the express lane.

use super::express::{self, Next, Reread};
use super::tls::Certificate;
use super::watch::{Activity, Watched, counted};
use crate::service::deliver_types::Deliver;
use axum::Router;
use bytes::{Bytes, BytesMut};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

/// Limits of connections.
#[derive(Debug, Clone, Copy)]
pub struct ConnectionLimits {
    pub connections: usize,
    /// How long a client may take for the head of a request, which is also how long a connection may idle.
    pub head_timeout: Duration,
    /// Bytes of the head of a request.
    pub head_bytes: usize,
    /// Header lines of a request.
    pub headers: usize,
    /// How long an answer may stand still because the client does not take it, and a connection of HTTP/2 be idle.
    pub answer_timeout: Duration,
    /// How long open requests may go on after the server was told to stop.
    pub grace: Duration,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        ConnectionLimits {
            connections: 4096,
            head_timeout: Duration::from_secs(30),
            head_bytes: 64 << 10,
            headers: 100,
            answer_timeout: Duration::from_secs(60),
            grace: Duration::from_secs(20),
        }
    }
}

/// Serves until `stop` is done; then takes no new connections, lets the open requests finish, and returns.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    deliver: Arc<dyn Deliver>,
    limits: ConnectionLimits,
    stop: impl Future<Output = ()>,
) -> io::Result<()> {
    serve_with(listener, router, deliver, limits, None, stop).await
}

/// The same, with TLS on every connection where there is a certificate.
pub async fn serve_with(
    listener: TcpListener,
    router: Router,
    deliver: Arc<dyn Deliver>,
    limits: ConnectionLimits,
    certificate: Option<Arc<Certificate>>,
    stop: impl Future<Output = ()>,
) -> io::Result<()> {
    let slots = Arc::new(Semaphore::new(limits.connections.max(1)));
    let (stopping, stopped) = watch::channel(false);
    let mut connections = JoinSet::new();
    let mut stop = std::pin::pin!(stop);
    loop {
        let accepted = tokio::select! {
            () = &mut stop => break,
            accepted = accept(&listener, &slots) => accepted,
            Some(_) = connections.join_next(), if !connections.is_empty() => continue,
        };
        let (stream, permit) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Such as too many open files: the client is lost, the server is not.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let (router, deliver, stopped) = (router.clone(), deliver.clone(), stopped.clone());
        let certificate = certificate.clone();
        connections.spawn(async move {
            match certificate {
                None => connection(stream, router, deliver, limits, stopped).await,
                Some(certificate) => sealed(stream, &certificate, router, limits, stopped).await,
            }
            drop(permit);
        });
    }
    drop(listener);
    let _ = stopping.send(true);
    let all = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(limits.grace, all).await.is_err() {
        tracing::warn!("requests were cut off by the end of the server");
    }
    Ok(())
}

async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> io::Result<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let permit = Arc::clone(slots).acquire_owned().await.map_err(io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    stream.set_nodelay(true)?;
    Ok((stream, permit))
}

async fn connection(
    mut stream: TcpStream,
    router: Router,
    deliver: Arc<dyn Deliver>,
    limits: ConnectionLimits,
    stopped: watch::Receiver<bool>,
) {
    let before = match express::run(&mut stream, &deliver, limits, told(stopped.clone())).await {
        Ok(Next::Ordinary(before)) => before,
        Ok(Next::Closed) => return,
        Err(error) => {
            tracing::debug!(error = %error, "a connection broke off");
            return;
        }
    };
    ordinary(before, stream, router, limits, stopped).await;
}

/// A connection with TLS.
async fn sealed(
    stream: TcpStream,
    certificate: &Certificate,
    router: Router,
    limits: ConnectionLimits,
    stopped: watch::Receiver<bool>,
) {
    let accepted = tokio::select! {
        accepted = certificate.accept(stream) => accepted,
        () = told(stopped.clone()) => return,
    };
    match accepted {
        Ok(stream) => ordinary(Bytes::new(), stream, router, limits, stopped).await,
        Err(error) => tracing::debug!(error = %error, "a handshake failed"),
    }
}

/// How long a client may take to hear that its connection is at its end.
const FAREWELL: Duration = Duration::from_secs(1);

/// How a connection of HTTP/2 begins (RFC 9113, 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Reads on until the bytes cannot be the beginning of HTTP/2, or are all of it. What comes after this has limits of its own,
/// but whatever tells the protocols apart waits for these bytes for ever. `None` at the end.
async fn first_bytes(before: Bytes, stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Bytes>> {
    let mut read = BytesMut::from(&before[..]);
    while read.len() < PREFACE.len() && PREFACE.starts_with(&read) {
        if stream.read_buf(&mut read).await? == 0 {
            return Ok(None);
        }
    }
    Ok(Some(read.freeze()))
}

/// Requests one after the other, or beside each other over HTTP/2. `before` was read of the stream already.
async fn ordinary(
    before: Bytes,
    mut stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    router: Router,
    limits: ConnectionLimits,
    stopped: watch::Receiver<bool>,
) {
    let first = tokio::select! {
        first = tokio::time::timeout(limits.head_timeout, first_bytes(before, &mut stream)) => first,
        () = told(stopped.clone()) => return,
    };
    // Whoever says nothing, leaves, or breaks off gets no answer.
    let Ok(Ok(Some(first))) = first else { return };
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_timeout)
        .max_buf_size(limits.head_bytes.max(8192))
        .max_headers(limits.headers);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(u32::try_from(limits.head_bytes).unwrap_or(u32::MAX))
        .max_concurrent_streams(128)
        .keep_alive_interval(limits.head_timeout)
        .keep_alive_timeout(limits.head_timeout);
    let activity = Arc::new(Activity::default());
    let stream = counted(Reread::new(first, stream), activity.clone());
    let served = builder.serve_connection(TokioIo::new(stream), Watched::new(router, activity.clone()));
    let mut served = std::pin::pin!(served);
    let result = tokio::select! {
        result = served.as_mut() => result,
        () = activity.stalled(limits.answer_timeout) => {
            tracing::debug!("a connection stood still for too long");
            served.as_mut().graceful_shutdown();
            let _ = tokio::time::timeout(FAREWELL, served).await;
            return;
        }
        () = told(stopped) => {
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    if let Err(error) = result {
        tracing::debug!(error = %error, "a connection broke off");
    }
}

/// Resolves when the server is to stop. An error means that it is gone, which is a reason too.
async fn told(mut stopped: watch::Receiver<bool>) {
    let _ = stopped.wait_for(|stopping| *stopping).await;
}
