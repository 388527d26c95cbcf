//! The media library under use: many small uploads at once, then lists and searches over them.

use crate::measure::{cpu_s_of, memory_of, reset_peak};
use crate::server::{Server, ServerOptions};
use crate::{BenchError, Options};
use serde::Serialize;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tintype_render::frame::Frame;
use tintype_render::language::{ChromaSampling, Format};
use tintype_render::plan::geometry::Size;
use tintype_render::plan::{Encoding, Quality};
use tintype_render::{Limits, codec};

/// Name of the workload.
pub const ASSETS: &str = "assets";
/// Uploads for a figure that is quoted, and how many are under way at once.
pub const N_UPLOADS: usize = 10_000;
const N_CONNECTIONS: usize = 16;
/// Requests of each kind of list and search.
const N_READS: usize = 100;
/// One upload of so many has the tag that is searched for.
const TAGGED_EVERY: usize = 50;
/// When the memory is looked at: after this part of the uploads, and at the end.
const EARLY: f64 = 0.2;
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// What a server is put on, beside SQLite and a folder.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stores {
    /// For tables, such as `PostgreSQL + S3`.
    pub name: String,
    /// `TINTYPE_…` variables.
    pub variables: Vec<(String, String)>,
}

/// Uploads, lists and searches on one pair of stores.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AssetsRow {
    pub stores: String,
    pub n_uploads: usize,
    pub n_failed: usize,
    pub first_failure: Option<String>,
    pub file_bytes: usize,
    pub uploads_per_second: f64,
    pub upload: Times,
    /// CPU time of the server for one upload, milliseconds.
    pub cpu_ms: f64,
    /// Memory after a fifth of the uploads and after all: what does not grow is flat.
    pub early_bytes: u64,
    pub late_bytes: u64,
    pub peak_bytes: u64,
    /// Lists of 100 assets, page after page.
    pub list: Times,
    /// A search that finds one asset of fifty.
    pub search: Times,
    /// One asset with all details.
    pub details: Times,
}

/// Latencies in milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Times {
    pub p50_ms: f64,
    pub p99_ms: f64,
    pub max_ms: f64,
}

impl Times {
    fn of(mut ms: Vec<f64>) -> Times {
        ms.sort_by(f64::total_cmp);
        let at = |share: f64| ms.get(((ms.len() as f64 * share).ceil() as usize).max(1) - 1).copied().unwrap_or(0.0);
        Times { p50_ms: at(0.5), p99_ms: at(0.99), max_ms: ms.last().copied().unwrap_or(0.0) }
    }
}

/// Runs the workload on SQLite with a folder, and on every other pair of stores.
pub fn run(options: &Options, program: &Path) -> Result<Vec<AssetsRow>, BenchError> {
    let file = small_file()?;
    let embedded = Stores { name: "SQLite + folder".into(), variables: Vec::new() };
    let pairs = std::iter::once(&embedded).chain(options.stores.iter());
    pairs.map(|stores| on(options, program, stores, &file)).collect()
}

/// A JPEG of some kilobytes with enough detail that it is no trifle to look at.
fn small_file() -> Result<Vec<u8>, BenchError> {
    let (width, height) = (320_u32, 240_u32);
    let pixels = (0..height).flat_map(|y| {
        (0..width).flat_map(move |x| {
            let wave = f64::from(x * y % 97) + 60.0 * (f64::from(x) / 23.0).sin() + 60.0 * (f64::from(y) / 17.0).cos();
            let value = (wave + 100.0).clamp(0.0, 255.0) as u8;
            [value, value / 2 + 40, 255 - value, 255]
        })
    });
    let frame = Frame::new(Size::new(width, height), false, pixels.collect())?;
    let encoding = Encoding {
        format: Format::Jpeg,
        quality: Quality::Fixed(80),
        chroma: Some(ChromaSampling::Half),
        progressive: false,
    };
    Ok(codec::encode(&frame, &encoding, &Limits::default())?.bytes.to_vec())
}

fn on(options: &Options, program: &Path, stores: &Stores, file: &[u8]) -> Result<AssetsRow, BenchError> {
    let n_uploads = options.n_uploads.max(N_CONNECTIONS);
    (options.progress)(&format!("assets: {n_uploads} uploads on {}", stores.name));
    let server = Server::start(&ServerOptions {
        program,
        renderer: "cpu",
        profile: "fast",
        core: None,
        url_cache_mb: None,
        stores: &stores.variables,
    })?;
    let gone = || BenchError::Server("the server is gone".into());
    let memory = || memory_of(server.pid()).ok_or_else(gone);
    // Where the peak cannot be reset, that since the start is told.
    let _ = reset_peak(server.pid());
    let (cpu_s, started) = (cpu_s_of(server.pid()).ok_or_else(gone)?, Instant::now());
    let next = AtomicUsize::new(0);
    let early = AtomicUsize::new(0);
    // Names of a run of its own: a catalog that is shared may hold those of an earlier one.
    let run = std::process::id();
    let worker = || {
        let (mut connection, mut ms, mut failures) = (Connection::open(server.address)?, Vec::new(), Vec::new());
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= n_uploads {
                return Ok::<_, BenchError>((ms, failures));
            }
            if number == (n_uploads as f64 * EARLY) as usize {
                early.store(memory()?.resident_bytes as usize, Ordering::Relaxed);
            }
            let tags = if number.is_multiple_of(TAGGED_EVERY) { "bench,rare" } else { "bench" };
            let fields = [("tags", tags), ("context", "alt=a picture of the bench")];
            let id = format!("bench-{run}/{:02}/{number:06}", number % 100);
            let request = server.upload_request(&id, file, &fields, "keep-alive");
            let asked = Instant::now();
            match connection.exchange(&request) {
                Ok((200, _)) => ms.push(asked.elapsed().as_secs_f64() * 1e3),
                Ok((status, body)) => failures.push(format!("{status}: {}", String::from_utf8_lossy(&body))),
                Err(error) => {
                    failures.push(error.to_string());
                    connection = Connection::open(server.address)?;
                }
            }
        }
    };
    let (mut ms, mut failures) = (Vec::new(), Vec::new());
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..N_CONNECTIONS).map(|_| scope.spawn(worker)).collect();
        for worker in workers {
            let (took, failed) = worker.join().map_err(|_| BenchError::Server("an upload panicked".into()))??;
            ms.extend(took);
            failures.extend(failed);
        }
        Ok::<_, BenchError>(())
    })?;
    let seconds = started.elapsed().as_secs_f64();
    let cpu_s = cpu_s_of(server.pid()).ok_or_else(gone)? - cpu_s;
    let late = memory()?;
    let good = ms.len().max(1);
    let (n_failed, first_failure) = (failures.len(), failures.into_iter().next());
    (options.progress)(&format!("assets: lists and searches on {}", stores.name));
    let mut connection = Connection::open(server.address)?;
    let list = pages(&server, &mut connection)?;
    let search = reads(&server, &mut connection, "/resources/search?expression=tags%3Drare%20AND%20width%3E100")?;
    let details = reads(&server, &mut connection, &format!("/resources/image/upload/bench-{run}/00/000000"))?;
    Ok(AssetsRow {
        stores: stores.name.clone(),
        n_uploads,
        n_failed,
        first_failure,
        file_bytes: file.len(),
        uploads_per_second: ms.len() as f64 / seconds,
        upload: Times::of(ms),
        cpu_ms: cpu_s * 1e3 / good as f64,
        early_bytes: early.into_inner() as u64,
        late_bytes: late.resident_bytes,
        peak_bytes: late.peak_bytes,
        list,
        search,
        details,
    })
}

/// One page after the other, from the first again at the end.
fn pages(server: &Server, connection: &mut Connection) -> Result<Times, BenchError> {
    let (mut ms, mut cursor) = (Vec::new(), String::new());
    for _ in 0..N_READS {
        let path = format!("/resources/image/upload?max_results=100{cursor}");
        let body = timed(server, connection, &path, &mut ms)?;
        let page: serde_json::Value =
            serde_json::from_slice(&body).map_err(|error| BenchError::Server(format!("a list is no JSON: {error}")))?;
        cursor = page["next_cursor"].as_str().map_or_else(String::new, |next| format!("&next_cursor={next}"));
    }
    Ok(Times::of(ms))
}

fn reads(server: &Server, connection: &mut Connection, path: &str) -> Result<Times, BenchError> {
    let mut ms = Vec::new();
    for _ in 0..N_READS {
        timed(server, connection, path, &mut ms)?;
    }
    Ok(Times::of(ms))
}

fn timed(server: &Server, connection: &mut Connection, path: &str, ms: &mut Vec<f64>) -> Result<Vec<u8>, BenchError> {
    let request = server.admin_request(path);
    let asked = Instant::now();
    let (status, body) = connection.exchange(&request)?;
    ms.push(asked.elapsed().as_secs_f64() * 1e3);
    if status != 200 {
        let text = String::from_utf8_lossy(&body).into_owned();
        return Err(BenchError::Server(format!("{path} was answered with {status}: {text}")));
    }
    Ok(body)
}

/// A connection that is kept between requests.
struct Connection {
    stream: BufReader<TcpStream>,
}

impl Connection {
    fn open(address: SocketAddr) -> Result<Connection, BenchError> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
        Ok(Connection { stream: BufReader::new(stream) })
    }

    /// Status and body. Only bodies with a declared length are read, as every answer of the API has one.
    fn exchange(&mut self, request: &[u8]) -> Result<(u16, Vec<u8>), BenchError> {
        self.stream.get_mut().write_all(request)?;
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        let status = line.split(' ').nth(1).and_then(|word| word.parse().ok());
        let status = status.ok_or_else(|| BenchError::Server("the server does not speak HTTP".into()))?;
        let mut length = None;
        loop {
            line.clear();
            if self.stream.read_line(&mut line)? == 0 {
                return Err(BenchError::Server("the server broke off its answer".into()));
            }
            let header = line.trim_end();
            if header.is_empty() {
                break;
            }
            if let Some((name, value)) = header.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse::<usize>().ok();
            }
        }
        let length = length.ok_or_else(|| BenchError::Server("an answer without a length".into()))?;
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body)?;
        Ok((status, body))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_percentiles() {
        let times = Times::of((1..=200).rev().map(f64::from).collect());
        assert_eq!(times, Times { p50_ms: 100.0, p99_ms: 198.0, max_ms: 200.0 });
        assert_eq!(Times::of(Vec::new()), Times::default());
    }

    #[test]
    fn the_small_file_is_a_picture() {
        let file = small_file().unwrap_or_default();
        let probe = codec::probe(&file, &Limits::default());
        assert!(probe.is_ok_and(|probe| probe.size == Size::new(320, 240)), "{} bytes", file.len());
        assert!((4_000..60_000).contains(&file.len()), "{} bytes", file.len());
    }
}
