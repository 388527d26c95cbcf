//! HTTP/1.1 requests over kept connections in a closed loop: each connection asks again once it has its answer. The open
//! loop is [`crate::arrivals`].

use crate::BenchError;
use crate::measure::pin_to_core;
pub use crate::outcome::Outcome;
use crate::outcome::{Answer, Seen};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Largest head of an answer.
const MAX_HEAD_BYTES: usize = 64 << 10;
/// How long one answer may take.
pub(crate) const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// Which paths are asked for.
#[derive(Debug, Clone)]
pub enum Paths {
    /// The same again and again.
    Same(String),
    /// Each at most once; the load ends when all are used up.
    Once(Arc<Vec<String>>),
}

/// What is asked of a server, and how hard.
#[derive(Debug, Clone)]
pub struct Load {
    pub server: SocketAddr,
    pub paths: Paths,
    /// Value of `Accept`.
    pub accept: String,
    pub n_connections: usize,
    /// No request is begun later than this.
    pub duration: Duration,
    /// No more requests than this are begun.
    pub max_requests: usize,
    /// Core that the load runs on; `None` leaves it to the system.
    pub core: Option<usize>,
}

/// Puts the load on the server from a thread of its own and waits for the last answer.
pub fn run(load: &Load) -> Result<Outcome, BenchError> {
    let load = load.clone();
    let thread = std::thread::Builder::new().name("load".into()).spawn(move || {
        if let Some(core) = load.core {
            pin_to_core(core)?;
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(runtime.block_on(drive(&load)))
    });
    let joined = thread.map_err(BenchError::Io)?.join();
    joined.unwrap_or_else(|_| Err(BenchError::Server("the load generator panicked".into())))
}

async fn drive(load: &Load) -> Outcome {
    let started = Instant::now();
    let next = Arc::new(AtomicUsize::new(0));
    let connections: Vec<_> = (0..load.n_connections)
        .map(|_| tokio::spawn(connection(load.clone(), next.clone(), started + load.duration)))
        .collect();
    let mut all = Seen::default();
    for connection in connections {
        all.add(connection.await);
    }
    all.outcome(started.elapsed().as_secs_f64())
}

async fn connection(load: Load, next: Arc<AtomicUsize>, end: Instant) -> Seen {
    let mut seen = Seen::default();
    let mut open: Option<Connection> = None;
    while Instant::now() < end {
        let number = next.fetch_add(1, Ordering::Relaxed);
        let path = match &load.paths {
            _ if number >= load.max_requests => break,
            Paths::Same(path) => path,
            Paths::Once(paths) => match paths.get(number) {
                Some(path) => path,
                None => break,
            },
        };
        let started = Instant::now();
        let answered = tokio::time::timeout(ANSWER_TIMEOUT, async {
            let connection = match open.take() {
                Some(connection) => open.insert(connection),
                None => open.insert(Connection::open(load.server).await?),
            };
            connection.get(path, &load.accept).await
        });
        match answered.await.unwrap_or_else(|_| Err("no answer in time".into())) {
            Ok(answer) => {
                if !answer.keeps {
                    open = None;
                }
                seen.answered(&answer, path, started.elapsed().as_secs_f64() * 1e3);
            }
            Err(error) => {
                open = None;
                seen.fail(error);
                // A server that is gone must not be asked a million times.
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
    seen
}

/// A connection that is kept from one request to the next.
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    pub async fn open(server: SocketAddr) -> Result<Connection, String> {
        let stream = TcpStream::connect(server).await.map_err(|error| error.to_string())?;
        stream.set_nodelay(true).map_err(|error| error.to_string())?;
        Ok(Connection { stream, buffer: Vec::with_capacity(64 << 10) })
    }

    /// One request and all of its answer, whose body is counted and thrown away.
    pub async fn get(&mut self, path: &str, accept: &str) -> Result<Answer, String> {
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept: {accept}\r\n\r\n");
        self.stream.write_all(request.as_bytes()).await.map_err(|error| error.to_string())?;
        self.buffer.clear();
        let head_length = loop {
            if let Some(end) = self.buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                break end + 4;
            }
            if self.buffer.len() > MAX_HEAD_BYTES {
                return Err("the head of the answer is too long".into());
            }
            self.fill().await?;
        };
        let head = String::from_utf8_lossy(&self.buffer[..head_length]).into_owned();
        let (status, length, keeps) = parse_head(&head)?;
        let mut left =
            length.checked_sub(self.buffer.len() - head_length).ok_or("the answer is longer than it says")?;
        while left > 0 {
            self.buffer.clear();
            left = left.checked_sub(self.fill().await?).ok_or("the answer is longer than it says")?;
        }
        Ok(Answer { status, length, keeps })
    }

    /// Reads what is there, at least one byte.
    async fn fill(&mut self) -> Result<usize, String> {
        match self.stream.read_buf(&mut self.buffer).await {
            Ok(0) => Err("the server closed the connection".into()),
            Ok(n) => Ok(n),
            Err(error) => Err(error.to_string()),
        }
    }
}

/// Status, length of the body, and whether the connection is kept.
fn parse_head(head: &str) -> Result<(u16, usize, bool), String> {
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|word| word.parse().ok());
    let status = status.ok_or_else(|| format!("no HTTP answer: {}", head.lines().next().unwrap_or_default()))?;
    let (mut length, mut keeps) = (None, head.starts_with("HTTP/1.1"));
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.trim().parse().ok(),
            "connection" => keeps = !value.trim().eq_ignore_ascii_case("close"),
            _ => {}
        }
    }
    Ok((status, length.ok_or("the answer has no length")?, keeps))
}

#[cfg(test)]
pub(crate) mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};

    /// A server that answers on threads: `/slow` late, `/missing` with 404, all else with 1000 bytes.
    pub fn server() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                std::thread::spawn(move || answer(stream.unwrap()));
            }
        });
        address
    }

    fn answer(mut stream: TcpStream) {
        let mut request = Vec::new();
        let mut byte = [0];
        while stream.read_exact(&mut byte).is_ok() {
            request.push(byte[0]);
            if !request.ends_with(b"\r\n\r\n") {
                continue;
            }
            let path = String::from_utf8_lossy(&request).split(' ').nth(1).unwrap_or_default().to_owned();
            request.clear();
            if path == "/slow" {
                std::thread::sleep(Duration::from_millis(20));
            }
            let status = match path.as_str() {
                "/missing" => "404 Not Found",
                "/busy" => "503 Service Unavailable",
                _ => "200 OK",
            };
            let close = if path == "/close" { "connection: close\r\n" } else { "" };
            let body = "x".repeat(1000);
            if write!(stream, "HTTP/1.1 {status}\r\nContent-Length: 1000\r\n{close}\r\n{body}").is_err()
                || !close.is_empty()
            {
                return;
            }
        }
    }

    fn load(paths: Paths, max_requests: usize) -> Outcome {
        run(&Load {
            server: server(),
            paths,
            accept: "*/*".into(),
            n_connections: 4,
            duration: Duration::from_secs(10),
            max_requests,
            core: None,
        })
        .unwrap()
    }

    #[test]
    fn requests_are_counted_and_bounded() {
        let outcome = load(Paths::Same("/a".into()), 200);
        assert_eq!((outcome.n_good, outcome.n_failed, outcome.mean_bytes), (200, 0, 1000.0), "{outcome:?}");
        assert!(outcome.per_second > 0.0 && outcome.p50_ms <= outcome.p99_ms);
    }

    #[test]
    fn every_path_is_used_once() {
        let paths = (0..37).map(|number| format!("/{number}")).collect();
        assert_eq!(load(Paths::Once(Arc::new(paths)), 1000).n_good, 37);
    }

    #[test]
    fn slow_answers_show_in_the_percentiles() {
        let outcome = load(Paths::Same("/slow".into()), 20);
        assert!(outcome.p50_ms >= 19.0, "{outcome:?}");
    }

    #[test]
    fn failures_are_counted_and_named() {
        let outcome = load(Paths::Same("/missing".into()), 10);
        assert_eq!((outcome.n_good, outcome.n_failed), (0, 10));
        assert!(outcome.first_failure.unwrap().contains("404"));
    }

    #[test]
    fn a_connection_that_is_not_kept_is_opened_again() {
        assert_eq!(load(Paths::Same("/close".into()), 20).n_good, 20);
    }

    #[test]
    fn the_duration_ends_a_load() {
        let started = Instant::now();
        let outcome = run(&Load {
            server: server(),
            paths: Paths::Same("/a".into()),
            accept: "*/*".into(),
            n_connections: 2,
            duration: Duration::from_millis(100),
            max_requests: usize::MAX,
            core: None,
        });
        assert!(outcome.unwrap().n_good > 0 && started.elapsed() < Duration::from_secs(5));
    }

    #[test]
    fn nobody_there_is_a_failure_and_no_endless_loop() {
        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let load = Load {
            server: closed,
            paths: Paths::Same("/".into()),
            accept: "*/*".into(),
            n_connections: 1,
            duration: Duration::from_millis(100),
            max_requests: usize::MAX,
            core: None,
        };
        let outcome = run(&load).unwrap();
        assert!(outcome.n_good == 0 && (1..=10).contains(&outcome.n_failed), "{outcome:?}");
    }
}
