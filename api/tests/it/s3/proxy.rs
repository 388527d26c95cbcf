//! A way to the S3 server that can be disturbed.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What happens to a connection.
#[derive(Debug, Clone, PartialEq)]
pub enum Mode {
    Pass,
    /// Each request is answered with a status and an XML error of this code.
    Answer(u16, &'static str),
    /// The next so many requests are answered so, all others pass.
    AnswerNext(usize, u16),
    /// Each connection ends at once, with a reset.
    Reset,
    /// Requests are taken, nothing is ever answered.
    Stall,
    /// The next answers, so many, break off after so many bytes; all others pass.
    CutNext(usize, u64),
}

/// Listens on a port of its own for as long as the test runs.
pub struct Proxy {
    pub address: SocketAddr,
    mode: watch::Sender<Mode>,
    /// Connections or requests that were disturbed since the mode was set.
    pub disturbed: Arc<AtomicUsize>,
}

impl Proxy {
    pub async fn before(server: &str) -> Self {
        let server = server.strip_prefix("http://").unwrap().to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (mode, watched) = watch::channel(Mode::Pass);
        let disturbed = Arc::new(AtomicUsize::new(0));
        let counted = disturbed.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (server, mut watched, counted) = (server.clone(), watched.clone(), counted.clone());
                tokio::spawn(async move {
                    let mode = watched.borrow_and_update().clone();
                    // No connection outlives the mode under which it was made.
                    tokio::select! {
                        _ = relay(client, &server, mode, &counted) => {}
                        _ = watched.changed() => {}
                    }
                });
            }
        });
        Proxy { address, mode, disturbed }
    }

    pub fn set(&self, mode: Mode) {
        self.disturbed.store(0, Ordering::SeqCst);
        self.mode.send_replace(mode);
    }

    pub fn disturbed(&self) -> usize {
        self.disturbed.load(Ordering::SeqCst)
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

async fn relay(mut client: TcpStream, server: &str, mode: Mode, disturbed: &AtomicUsize) -> Option<()> {
    let next = |most: usize| {
        disturbed.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| (n < most).then_some(n + 1)).is_ok()
    };
    match mode {
        Mode::Answer(status, code) => {
            disturbed.fetch_add(1, Ordering::SeqCst);
            answer(&mut client, status, code).await
        }
        Mode::AnswerNext(most, status) if next(most) => answer(&mut client, status, "InternalError").await,
        Mode::Reset => {
            disturbed.fetch_add(1, Ordering::SeqCst);
            // With unread bytes the system resets rather than ends the connection.
            client.readable().await.ok()
        }
        Mode::Stall => {
            disturbed.fetch_add(1, Ordering::SeqCst);
            std::future::pending().await
        }
        Mode::CutNext(most, bytes) if next(most) => {
            let upstream = TcpStream::connect(server).await.ok()?;
            let ((mut from_client, mut to_client), (from_server, mut to_server)) = (client.split(), {
                let (read, write) = upstream.into_split();
                (read, write)
            });
            let mut from_server = from_server.take(bytes);
            tokio::select! {
                _ = copy(&mut from_server, &mut to_client) => {}
                () = async { let _ = copy(&mut from_client, &mut to_server).await; std::future::pending().await } => {}
            }
            Some(())
        }
        _ => {
            let mut upstream = TcpStream::connect(server).await.ok()?;
            tokio::io::copy_bidirectional(&mut client, &mut upstream).await.ok().map(drop)
        }
    }
}

/// Takes one whole request, so that the client surely reads the answer, and refuses it.
async fn answer(client: &mut TcpStream, status: u16, code: &str) -> Option<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(client.read_u8().await.ok()?);
    }
    let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
    if head.contains("expect: 100-continue") {
        client.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await.ok()?;
    }
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.trim().parse::<u64>().ok());
    copy(&mut (&mut *client).take(length.unwrap_or(0)), &mut tokio::io::sink()).await.ok()?;
    let body = if head.starts_with("head ") {
        String::new()
    } else {
        format!("<Error><Code>{code}</Code><Message>The test says so.</Message></Error>")
    };
    let text = format!("HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    client.write_all(text.as_bytes()).await.ok()?;
    client.shutdown().await.ok()
}
