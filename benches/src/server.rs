//! A server process of our own, with a picture in it, for workloads over HTTP.

use crate::BenchError;
use crate::load::{self, Load, Outcome, Paths};
use crate::measure::{cpu_s_of, memory_of, reset_peak};
use crate::workloads::CHROME_ACCEPT;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// How long a server may take to start, and to end.
const START_TIMEOUT: Duration = Duration::from_secs(60);
const STOP_TIMEOUT: Duration = Duration::from_secs(30);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// How a server is started.
#[derive(Debug, Clone)]
pub struct ServerOptions<'a> {
    /// The program `tintype`.
    pub program: &'a Path,
    /// Value of `TINTYPE_RENDERER`.
    pub renderer: &'a str,
    /// Value of `TINTYPE_PROFILE`.
    pub profile: &'a str,
    /// Core that the whole process is bound to.
    pub core: Option<usize>,
    /// Value of `TINTYPE_URL_CACHE_MB`; 0 keeps no answers in memory.
    pub url_cache_mb: Option<u32>,
    /// Variables that name other stores than SQLite and a folder.
    pub stores: &'a [(String, String)],
}

/// What a server needs for its data at least: originals, and the pictures of a few rounds.
pub const DATA_BYTES: u64 = 512 << 20;

/// Where servers keep their data, below the folder for what is temporary.
fn data_folder(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("tintype-bench-{}-{name}", std::process::id()))
}

/// Errors in a sentence when no server could keep its data: known before an hour of work, and not after it.
pub fn check_data_folder(needed_bytes: u64) -> Result<(), BenchError> {
    let folder = data_folder("check");
    let shown = folder.display();
    let unusable = |error: std::io::Error| BenchError::Server(format!("no data can be kept at {shown}: {error}"));
    std::fs::create_dir_all(&folder).map_err(unusable)?;
    let written = std::fs::write(folder.join("probe"), [0; 4096]);
    let free = free_bytes(&folder);
    let _ = std::fs::remove_dir_all(&folder);
    written.map_err(unusable)?;
    match free {
        Some(free) if free < needed_bytes => {
            let (free, needed) = (free >> 20, needed_bytes >> 20);
            Err(BenchError::Server(format!(
                "{free} MB are free at {shown}, but a server needs {needed} MB for its data"
            )))
        }
        _ => Ok(()),
    }
}

/// What whoever runs this may write beside a file; `None` where the system does not tell.
fn free_bytes(path: &Path) -> Option<u64> {
    use std::os::unix::ffi::OsStrExt;
    let path = std::ffi::CString::new(path.as_os_str().as_bytes()).ok()?;
    // SAFETY: a statvfs is plain numbers, for which zero is valid.
    let mut found: libc::statvfs = unsafe { std::mem::zeroed() };
    // SAFETY: the path ends with a zero, and the call writes one statvfs, to which the pointer points.
    let failed = unsafe { libc::statvfs(path.as_ptr(), &raw mut found) };
    (failed == 0).then(|| (found.f_bavail as u64).saturating_mul(found.f_frsize as u64))
}

/// A running server; dropping it ends the process and removes its data.
#[derive(Debug)]
pub struct Server {
    child: Child,
    pub address: SocketAddr,
    cloud: String,
    /// `KEY:SECRET`
    key: String,
    folder: PathBuf,
}

impl Server {
    /// Starts `tintype serve` on a free port of the loopback with an empty data folder.
    pub fn start(options: &ServerOptions<'_>) -> Result<Server, BenchError> {
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let folder = data_folder(&address.port().to_string());
        std::fs::create_dir_all(&folder)
            .map_err(|error| BenchError::Server(format!("no data can be kept at {}: {error}", folder.display())))?;
        let mut command = match options.core {
            // The process is bound before it starts a thread, so that all of them are.
            Some(core) => {
                let mut command = Command::new("taskset");
                command.args(["-c", &core.to_string()]).arg(options.program);
                command
            }
            None => Command::new(options.program),
        };
        if let Some(megabytes) = options.url_cache_mb {
            command.env("TINTYPE_URL_CACHE_MB", megabytes.to_string());
        }
        let spawned = command
            .arg("serve")
            .env("TINTYPE_DATA_DIR", folder.join("data"))
            .env("TINTYPE_LISTEN", address.to_string())
            .env("TINTYPE_RENDERER", options.renderer)
            .env("TINTYPE_PROFILE", options.profile)
            .env("TINTYPE_CATALOG", "sqlite")
            .env("TINTYPE_LOG", "warn")
            .envs(options.stores.iter().cloned())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn();
        let child = spawned.map_err(|error| {
            let _ = std::fs::remove_dir_all(&folder);
            BenchError::Server(format!("{} does not start: {error}", options.program.display()))
        })?;
        let mut server = Server { child, address, cloud: String::new(), key: String::new(), folder };
        let line = server.greeting()?;
        (server.key, server.cloud) = credentials(&line)
            .ok_or_else(|| BenchError::Server("the server printed no usable CLOUDINARY_URL".into()))?;
        server.wait_until_live()?;
        Ok(server)
    }

    /// The line that tells the SDKs; whatever else is printed later is read and dropped, so that the server never waits.
    fn greeting(&mut self) -> Result<String, BenchError> {
        let stdout = self.child.stdout.take().ok_or_else(|| BenchError::Server("the output is not there".into()))?;
        let (send, receive) = mpsc::channel();
        std::thread::Builder::new().name("server-output".into()).spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if line.starts_with("CLOUDINARY_URL=") {
                    // Nobody listens any more when the server took too long.
                    let _ = send.send(line);
                }
            }
        })?;
        receive.recv_timeout(START_TIMEOUT).map_err(|_| BenchError::Server("the server did not start".into()))
    }

    fn wait_until_live(&self) -> Result<(), BenchError> {
        let started = Instant::now();
        loop {
            match self.get("/live") {
                Ok((200, _)) => return Ok(()),
                _ if started.elapsed() > START_TIMEOUT => {
                    return Err(BenchError::Server("the server does not answer /live".into()));
                }
                _ => std::thread::sleep(Duration::from_millis(20)),
            }
        }
    }

    /// Uploads a file under a public id.
    pub fn upload(&self, public_id: &str, file: &[u8]) -> Result<(), BenchError> {
        self.upload_with(public_id, file, &[])
    }

    /// Uploads a file with more fields of the form, such as `eager`.
    pub fn upload_with(&self, public_id: &str, file: &[u8], fields: &[(&str, &str)]) -> Result<(), BenchError> {
        let request = self.upload_request(public_id, file, fields, "close");
        match exchange(self.address, &[&request])? {
            (200, _) => Ok(()),
            (status, body) => {
                let text = String::from_utf8_lossy(&body).into_owned();
                Err(BenchError::Server(format!("the upload was answered with {status}: {text}")))
            }
        }
    }

    /// The bytes of an upload. `connection` is what the client says of the connection: `close` or `keep-alive`.
    pub fn upload_request(&self, public_id: &str, file: &[u8], fields: &[(&str, &str)], connection: &str) -> Vec<u8> {
        let boundary = "----tintype-bench";
        let part = |name: &str, rest: &str| {
            format!("--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"{rest}\r\n\r\n")
        };
        let mut text = format!("{}{public_id}\r\n", part("public_id", ""));
        for (name, value) in fields {
            text += &format!("{}{value}\r\n", part(name, ""));
        }
        text += &part("file", "; filename=\"file\"");
        let end = format!("\r\n--{boundary}--\r\n");
        let mut request = format!(
            "POST /v1_1/{}/image/upload HTTP/1.1\r\nHost: localhost\r\nConnection: {connection}\r\nAuthorization: Basic \
             {}\r\nContent-Type: multipart/form-data; boundary={boundary}\r\nContent-Length: {}\r\n\r\n{text}",
            self.cloud,
            base64(self.key.as_bytes()),
            text.len() + file.len() + end.len()
        )
        .into_bytes();
        request.extend_from_slice(file);
        request.extend_from_slice(end.as_bytes());
        request
    }

    /// The bytes of a call of the Admin API that asks for something below the cloud; the connection is kept.
    pub fn admin_request(&self, path: &str) -> Vec<u8> {
        let credentials = base64(self.key.as_bytes());
        format!(
            "GET /v1_1/{}{path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic {credentials}\r\n\r\n",
            self.cloud
        )
        .into_bytes()
    }

    /// Path of a picture.
    pub fn path(&self, transformation: &str, public_id: &str) -> String {
        format!("/{}/image/upload/{transformation}/{public_id}", self.cloud)
    }

    /// The path that another server has for the same picture, as this server has it: their clouds have names of their own.
    pub fn moved(&self, path: &str) -> String {
        let rest = path.trim_start_matches('/').split_once('/').map_or("", |(_, rest)| rest);
        format!("/{}/{rest}", self.cloud)
    }

    /// Status and body of one path, on a connection of its own.
    pub fn get(&self, path: &str) -> Result<(u16, Vec<u8>), BenchError> {
        get(self.address, path)
    }

    /// The same, saying what formats are taken.
    pub fn get_as(&self, path: &str, accept: &str) -> Result<(u16, Vec<u8>), BenchError> {
        let head = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept: {accept}\r\nConnection: close\r\n\r\n");
        exchange(self.address, &[head.as_bytes()])
    }

    /// Pictures that were rendered since the start, on any backend.
    pub fn renders(&self) -> Result<u64, BenchError> {
        Ok(sum(&self.metrics()?, "tintype_renders_total"))
    }

    /// Decodes since the start, and those that were saved because another's could be used.
    pub fn decodes(&self) -> Result<(u64, u64), BenchError> {
        let text = self.metrics()?;
        Ok((sum(&text, "tintype_decodes_total"), sum(&text, "tintype_decodes_shared_total")))
    }

    fn metrics(&self) -> Result<String, BenchError> {
        match self.get("/metrics")? {
            (200, body) => Ok(String::from_utf8_lossy(&body).into_owned()),
            (status, _) => Err(BenchError::Server(format!("/metrics was answered with {status}"))),
        }
    }

    /// Id of the process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Puts a load on the server, and tells what it cost it: outcome, CPU milliseconds a good answer, peak bytes.
    pub fn load(&self, load: &Load) -> Result<(Outcome, f64, u64), BenchError> {
        let pid = self.child.id();
        let gone = || BenchError::Server("the server is gone".into());
        // Where the peak cannot be reset, that since the start is told.
        let _ = reset_peak(pid);
        let before = cpu_s_of(pid).ok_or_else(gone)?;
        let outcome = load::run(load)?;
        let cpu_s = cpu_s_of(pid).ok_or_else(gone)? - before;
        let peak = memory_of(pid).ok_or_else(gone)?.peak_bytes;
        let cpu_ms = if outcome.n_good == 0 { 0.0 } else { cpu_s * 1e3 / outcome.n_good as f64 };
        Ok((outcome, cpu_ms, peak))
    }

    /// A load of one kind with the bounds of a round.
    pub fn round(&self, paths: Paths, n_connections: usize, duration: Duration, core: Option<usize>) -> Load {
        Load {
            server: self.address,
            paths,
            accept: CHROME_ACCEPT.into(),
            n_connections,
            duration,
            max_requests: usize::MAX,
            core,
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Ok(pid) = libc::pid_t::try_from(self.child.id()) {
            // SAFETY: the child has not been waited for, so that its id is still its own.
            unsafe { libc::kill(pid, libc::SIGTERM) };
        }
        let asked = Instant::now();
        while asked.elapsed() < STOP_TIMEOUT && matches!(self.child.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(20));
        }
        // Nothing is left to be done where even that fails.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Status and body of one path of any server, on a connection of its own.
pub fn get(address: SocketAddr, path: &str) -> Result<(u16, Vec<u8>), BenchError> {
    let head = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    exchange(address, &[head.as_bytes()])
}

/// A counter of the metrics, over all of its labels.
fn sum(metrics: &str, name: &str) -> u64 {
    let lines = metrics.lines().filter_map(|line| line.strip_prefix(name));
    let values = lines.filter(|rest| rest.starts_with(['{', ' '])).filter_map(|rest| rest.rsplit(' ').next());
    values.filter_map(|value| value.parse::<u64>().ok()).sum()
}

fn exchange(address: SocketAddr, request: &[&[u8]]) -> Result<(u16, Vec<u8>), BenchError> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
    for part in request {
        stream.write_all(part)?;
    }
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let split = answer.windows(4).position(|window| window == b"\r\n\r\n");
    let split = split.ok_or_else(|| BenchError::Server("the server broke off its answer".into()))?;
    let status = String::from_utf8_lossy(&answer[..split]).split(' ').nth(1).and_then(|word| word.parse().ok());
    let status = status.ok_or_else(|| BenchError::Server("the server does not speak HTTP".into()))?;
    Ok((status, answer.split_off(split + 4)))
}

/// `KEY:SECRET` and cloud of `CLOUDINARY_URL=cloudinary://KEY:SECRET@CLOUD?…`
fn credentials(line: &str) -> Option<(String, String)> {
    let (key, rest) = line.split_once("cloudinary://")?.1.split_once('@')?;
    let cloud = rest.split(['?', '/']).next()?;
    (key.contains(':') && !cloud.is_empty()).then(|| (key.to_owned(), cloud.to_owned()))
}

/// RFC 4648, section 4.
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let number = (0..3).fold(0_u32, |sum, at| sum << 8 | u32::from(chunk.get(at).copied().unwrap_or(0)));
        for at in 0..4 {
            let letter = char::from(LETTERS[(number >> (18 - 6 * at)) as usize & 63]);
            text.push(if at > chunk.len() { '=' } else { letter });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn base64_has_the_vectors_of_the_rfc() {
        for (plain, coded) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")] {
            assert_eq!(base64(plain.as_bytes()), coded);
        }
    }

    #[test]
    fn the_greeting_is_understood() {
        let line = "CLOUDINARY_URL=cloudinary://1234:s-e_c@demo?upload_prefix=http://localhost:1&cname=localhost:1";
        assert_eq!(credentials(line), Some(("1234:s-e_c".into(), "demo".into())));
        assert_eq!(credentials("CLOUDINARY_URL=cloudinary://1234@demo"), None);
        assert_eq!(credentials("renderer: cpu"), None);
    }

    #[test]
    fn counters_are_summed_over_their_labels() {
        let text = "# TYPE a_total counter\na_total{b=\"x\"} 3\na_total{b=\"y\"} 4\na_total_more 9\nplain 7\n";
        assert_eq!((sum(text, "a_total"), sum(text, "plain"), sum(text, "none")), (7, 7, 0));
    }

    #[test]
    fn too_little_room_is_a_sentence() {
        assert!(check_data_folder(1).is_ok());
        let text = check_data_folder(u64::MAX).unwrap_err().to_string();
        assert!(text.contains("MB are free at") && text.contains("needs"), "{text}");
        assert_eq!(free_bytes(Path::new("/nowhere/at/all")), None);
        assert!(free_bytes(Path::new("/")).is_some_and(|free| free < u64::MAX));
    }

    #[test]
    fn a_program_that_is_missing_or_prints_nothing_is_an_error() {
        for program in ["/nonexistent/tintype", "/bin/true"] {
            let options = ServerOptions {
                program: Path::new(program),
                renderer: "cpu",
                profile: "fast",
                core: None,
                url_cache_mb: None,
                stores: &[],
            };
            assert!(matches!(Server::start(&options), Err(BenchError::Server(_))), "{program}");
        }
    }
}
