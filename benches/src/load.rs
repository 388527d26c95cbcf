//! HTTP/1.1 requests over kept connections: a closed loop, in which each connection asks again once it has its answer, and an
//! open loop, in which requests come at a rate.

use crate::BenchError;
use crate::measure::pin_to_core;
use serde::Serialize;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Largest head of an answer.
const MAX_HEAD_BYTES: usize = 64 << 10;
/// How long one answer may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

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

/// What came of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Outcome {
    /// Answers with status 200 and a whole body.
    pub n_good: usize,
    /// Other answers, and connections that broke.
    pub n_failed: usize,
    /// Those of the failed ones that were answered with 503: the server said that it is busy.
    pub n_refused: usize,
    /// How long it took to say so.
    pub refused_p50_ms: f64,
    pub refused_p99_ms: f64,
    /// The first thing that went wrong.
    pub first_failure: Option<String>,
    pub duration_s: f64,
    pub per_second: f64,
    pub p50_ms: f64,
    pub p99_ms: f64,
    /// Mean length of the good bodies.
    pub mean_bytes: f64,
}

/// What one connection saw.
#[derive(Debug, Default)]
struct Seen {
    latencies_ms: Vec<f64>,
    refused_ms: Vec<f64>,
    bytes: u64,
    n_failed: usize,
    first_failure: Option<String>,
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

impl Seen {
    fn add(&mut self, seen: Result<Seen, tokio::task::JoinError>) {
        match seen {
            Ok(seen) => {
                self.latencies_ms.extend(seen.latencies_ms);
                self.refused_ms.extend(seen.refused_ms);
                self.bytes += seen.bytes;
                self.n_failed += seen.n_failed;
                self.first_failure = self.first_failure.take().or(seen.first_failure);
            }
            Err(error) => self.fail(error.to_string()),
        }
    }

    fn fail(&mut self, why: String) {
        self.n_failed += 1;
        self.first_failure.get_or_insert(why);
    }

    fn answered(&mut self, answer: &Answer, path: &str, took_ms: f64) {
        if answer.status == 200 {
            self.latencies_ms.push(took_ms);
            self.bytes += answer.length as u64;
            return;
        }
        if answer.status == 503 {
            self.refused_ms.push(took_ms);
        }
        self.fail(format!("status {} for {path}", answer.status));
    }

    fn outcome(mut self, duration_s: f64) -> Outcome {
        self.latencies_ms.sort_by(f64::total_cmp);
        self.refused_ms.sort_by(f64::total_cmp);
        let n_good = self.latencies_ms.len();
        Outcome {
            n_good,
            n_failed: self.n_failed,
            n_refused: self.refused_ms.len(),
            refused_p50_ms: percentile(&self.refused_ms, 0.50),
            refused_p99_ms: percentile(&self.refused_ms, 0.99),
            first_failure: self.first_failure,
            duration_s,
            per_second: n_good as f64 / duration_s,
            p50_ms: percentile(&self.latencies_ms, 0.50),
            p99_ms: percentile(&self.latencies_ms, 0.99),
            mean_bytes: if n_good == 0 { 0.0 } else { self.bytes as f64 / n_good as f64 },
        }
    }
}

/// Requests that come at a rate, whether or not earlier ones were answered: an open loop.
#[derive(Debug, Clone)]
pub struct Arrivals {
    pub server: SocketAddr,
    pub accept: String,
    /// In order of arrival; the load ends with the last one.
    pub paths: Vec<String>,
    pub per_second: f64,
    /// The load ends after this, even if paths are left.
    pub duration: Duration,
}

/// Lets the requests arrive, on a thread of its own, and waits for the last answer. Latencies count from the moment at which a
/// request was due, so that a generator that lags behind shows.
pub fn arrive(arrivals: &Arrivals) -> Result<Outcome, BenchError> {
    if !(arrivals.per_second.is_finite() && arrivals.per_second > 0.0) {
        return Err(BenchError::Input("requests have to arrive at a rate above 0".into()));
    }
    let arrivals = arrivals.clone();
    let thread = std::thread::Builder::new().name("arrivals".into()).spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(runtime.block_on(drive_arrivals(&arrivals)))
    });
    let joined = thread.map_err(BenchError::Io)?.join();
    joined.unwrap_or_else(|_| Err(BenchError::Server("the load generator panicked".into())))
}

async fn drive_arrivals(arrivals: &Arrivals) -> Outcome {
    let started = Instant::now();
    let idle: Arc<Mutex<Vec<Connection>>> = Arc::default();
    let mut tasks = Vec::new();
    for (number, path) in arrivals.paths.iter().enumerate() {
        let due = Duration::from_secs_f64(number as f64 / arrivals.per_second);
        if due > arrivals.duration {
            break;
        }
        let due = started + due;
        tokio::time::sleep_until(due.into()).await;
        let (idle, path, accept, server) = (idle.clone(), path.clone(), arrivals.accept.clone(), arrivals.server);
        tasks.push(tokio::spawn(async move { arrival(server, &idle, &path, &accept, due).await }));
    }
    let mut all = Seen::default();
    for task in tasks {
        all.add(task.await);
    }
    all.outcome(started.elapsed().as_secs_f64())
}

/// One request, on an idle connection where there is one.
async fn arrival(server: SocketAddr, idle: &Mutex<Vec<Connection>>, path: &str, accept: &str, due: Instant) -> Seen {
    let mut seen = Seen::default();
    let free = idle.lock().ok().and_then(|mut idle| idle.pop());
    let answered = tokio::time::timeout(ANSWER_TIMEOUT, async {
        let mut connection = match free {
            Some(connection) => connection,
            None => Connection::open(server).await?,
        };
        let answer = connection.get(path, accept).await?;
        Ok::<_, String>((answer, connection))
    });
    match answered.await.unwrap_or_else(|_| Err("no answer in time".into())) {
        Ok((answer, connection)) => {
            seen.answered(&answer, path, due.elapsed().as_secs_f64() * 1e3);
            if answer.keeps
                && let Ok(mut idle) = idle.lock()
            {
                idle.push(connection);
            }
        }
        Err(error) => seen.fail(error),
    }
    seen
}

/// The least value that a share of the sorted values does not exceed; 0 of nothing.
fn percentile(sorted: &[f64], share: f64) -> f64 {
    let rank = (sorted.len() as f64 * share).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(0.0)
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

struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

struct Answer {
    status: u16,
    length: usize,
    /// Whether the server keeps the connection.
    keeps: bool,
}

impl Connection {
    async fn open(server: SocketAddr) -> Result<Connection, String> {
        let stream = TcpStream::connect(server).await.map_err(|error| error.to_string())?;
        stream.set_nodelay(true).map_err(|error| error.to_string())?;
        Ok(Connection { stream, buffer: Vec::with_capacity(64 << 10) })
    }

    /// One request and all of its answer, whose body is counted and thrown away.
    async fn get(&mut self, path: &str, accept: &str) -> Result<Answer, String> {
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
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};

    /// A server that answers on threads: `/slow` late, `/missing` with 404, all else with 1000 bytes.
    fn server() -> SocketAddr {
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

    #[test]
    fn arrivals_do_not_wait_for_answers() {
        let paths: Vec<String> =
            ["/slow", "/busy", "/a"].iter().cycle().take(60).map(|&path| path.to_owned()).collect();
        let arrivals = Arrivals {
            server: server(),
            accept: "*/*".into(),
            paths,
            per_second: 1000.0,
            duration: Duration::from_secs(10),
        };
        let outcome = arrive(&arrivals).unwrap();
        assert_eq!((outcome.n_good, outcome.n_failed, outcome.n_refused), (40, 20, 20), "{outcome:?}");
        assert!(outcome.p99_ms >= 19.0 && outcome.refused_p99_ms > 0.0, "{outcome:?}");
        assert!(arrive(&Arrivals { per_second: 0.0, ..arrivals }).is_err());
    }

    #[test]
    fn percentiles_are_ranks() {
        let values: Vec<f64> = (1..=100).map(f64::from).collect();
        assert_eq!((percentile(&values, 0.5), percentile(&values, 0.99), percentile(&[], 0.5)), (50.0, 99.0, 0.0));
    }
}
