//! The program as a process under load while something that it needs fails: the catalog, the storage, the disk. Whatever it
//! acknowledged must be there afterwards, every answer must be a good or a clear one, and it must work again by itself.
#![allow(clippy::unwrap_used, clippy::panic)]

mod api_load;
mod disk;
mod gateway;
mod postgres;
mod s3;

use crate::app::multipart;
use crate::program;
use axum::body::Body;
use axum::http::Request;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

/// Long enough for a machine that does other things.
const PATIENCE: Duration = Duration::from_secs(120);

pub async fn wait(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !holds().await {
        assert!(Instant::now() < until, "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// An answer that came whole.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    /// In small letters.
    pub head: String,
    pub body: Vec<u8>,
}

impl Reply {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    /// Says that it may be tried again, and when.
    pub fn is_for_later(&self) -> bool {
        self.status == 503 && self.header("retry-after").is_some_and(|seconds| seconds.parse::<u64>().is_ok())
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// One request on a connection of its own. An answer that is cut off is an error.
async fn exchange(address: SocketAddr, request: &[u8]) -> io::Result<Reply> {
    let talk = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(request).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        let cut_off = || io::Error::from(io::ErrorKind::UnexpectedEof);
        let end = answer.windows(4).position(|at| at == b"\r\n\r\n").ok_or_else(cut_off)?;
        let head = String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase();
        let body = answer[end + 4..].to_vec();
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or_else(cut_off)?;
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
        if length != Some(body.len()) {
            return Err(cut_off());
        }
        Ok(Reply { status, head, body })
    };
    tokio::time::timeout(PATIENCE, talk).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

/// A server of its own folder; dropping it kills it.
pub struct Server {
    pub address: SocketAddr,
    pub folder: TempDir,
    credentials: String,
    settings: Vec<(String, String)>,
    child: Mutex<Child>,
}

impl Drop for Server {
    fn drop(&mut self) {
        let child = self.child.get_mut();
        let _ = child.kill();
        let _ = child.wait();
    }
}

impl Server {
    /// Starts it, and waits until it listens.
    pub async fn start(settings: &[(&str, &str)]) -> Arc<Server> {
        let folder = TempDir::new().unwrap();
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let given = [
            ("data_dir", folder.path().to_str().unwrap()),
            ("listen", &free.to_string()),
            ("renderer", "cpu"),
            ("threads", "2"),
            ("memory_budget_mb", "512"),
            ("log", "error"),
        ];
        let settings: Vec<(String, String)> =
            given.iter().chain(settings).map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        // What writes beyond a limit of the system is told, rather than ended by a signal.
        let mut command = Command::new("sh");
        command.args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_tintype"), "serve"]);
        program::clear_settings(&mut command);
        for (name, value) in &settings {
            command.env(format!("TINTYPE_{}", name.to_ascii_uppercase()), value);
        }
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let credentials = lines.by_ref().find_map(|line| {
            let (_, rest) = line.split_once("cloudinary://")?;
            let (key, rest) = rest.split_once(':')?;
            Some(crate::app::basic(key, rest.split_once('@')?.0))
        });
        // The server goes on printing, and must find a reader.
        std::thread::spawn(move || lines.for_each(drop));
        let credentials = credentials.expect("the server greets");
        wait("the server listens", async || TcpStream::connect(free).await.is_ok()).await;
        Arc::new(Server { address: free, folder, credentials, settings, child: Mutex::new(child) })
    }

    pub fn id(&self) -> u32 {
        self.child.lock().id()
    }

    pub fn is_running(&self) -> bool {
        self.child.lock().try_wait().unwrap().is_none()
    }

    /// The end of what it wrote of errors.
    fn log(&self) -> String {
        let text = std::fs::read_to_string(self.folder.path().join("log")).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }

    pub fn blob_folder(&self) -> PathBuf {
        self.folder.path().join("blobs")
    }

    /// Another command with the same settings.
    pub fn command(&self, arguments: &[&str]) -> std::process::Output {
        let mut command = program::command();
        for (name, value) in &self.settings {
            command.env(format!("TINTYPE_{}", name.to_ascii_uppercase()), value);
        }
        command.args(arguments).output().unwrap()
    }

    pub async fn get(&self, path: &str) -> io::Result<Reply> {
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        exchange(self.address, request.as_bytes()).await
    }

    /// A GET of the API.
    pub async fn ask(&self, path: &str) -> io::Result<Reply> {
        let head = format!("GET /v1_1/demo{path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n");
        let request = format!("{head}authorization: {}\r\n\r\n", self.credentials);
        exchange(self.address, request.as_bytes()).await
    }

    pub async fn upload(&self, kind: &str, id: &str, file: &[u8]) -> io::Result<Reply> {
        let params = [("public_id".to_owned(), id.to_owned())];
        let request = multipart(&format!("/v1_1/demo/{kind}/upload"), &params, Some(("file", file)));
        exchange(self.address, &self.signed(request).await).await
    }

    async fn signed(&self, request: Request<Body>) -> Vec<u8> {
        let wire = program::wire(request).await;
        let line = wire.windows(2).position(|at| at == b"\r\n").unwrap() + 2;
        let credentials = format!("authorization: {}\r\n", self.credentials);
        [&wire[..line], credentials.as_bytes(), &wire[line..]].concat()
    }
}

/// Clients that upload and deliver without a pause, until they are stopped.
pub struct Load {
    pub state: Arc<LoadState>,
    tasks: Vec<JoinHandle<()>>,
}

#[derive(Default)]
pub struct LoadState {
    stop: AtomicBool,
    number: AtomicUsize,
    /// Paths of what was acknowledged, with the bytes.
    acknowledged: Mutex<BTreeMap<String, Arc<Vec<u8>>>>,
    delivered: AtomicUsize,
    /// Answers that said to come again.
    pub refused: AtomicUsize,
    /// Bodies that broke off after their heads, which no status can tell of any more.
    pub cut: AtomicUsize,
    /// Answers that are neither good nor clear.
    wrong: Mutex<Vec<String>>,
}

impl LoadState {
    async fn judge(&self, what: &str, reply: io::Result<Reply>) -> Option<Reply> {
        match reply {
            Ok(reply) if reply.status == 200 => return Some(reply),
            Ok(reply) if reply.is_for_later() => {
                self.refused.fetch_add(1, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            Ok(reply) => self.wrong.lock().push(format!("{what}: {} {}", reply.status, reply.text())),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof && what.starts_with("GET") => {
                self.cut.fetch_add(1, Ordering::SeqCst);
            }
            Err(error) => self.wrong.lock().push(format!("{what}: {error}")),
        }
        None
    }

    async fn upload(&self, server: &Server, size: fn(usize) -> usize) {
        let n = self.number.fetch_add(1, Ordering::SeqCst);
        let id = format!("file-{n}");
        let file: Vec<u8> = format!("the content of {id}\n").into_bytes().into_iter().cycle().take(size(n)).collect();
        let reply = server.upload("raw", &id, &file).await;
        if self.judge(&format!("POST {id}"), reply).await.is_some() {
            self.acknowledged.lock().insert(format!("/demo/raw/upload/{id}"), Arc::new(file));
        }
    }

    async fn deliver(&self, server: &Server) {
        let n = self.delivered.fetch_add(1, Ordering::SeqCst);
        let chosen = {
            let acknowledged = self.acknowledged.lock();
            let at = n.wrapping_mul(7919) % acknowledged.len().max(1);
            acknowledged.iter().nth(at).map(|(path, file)| (path.clone(), file.clone()))
        };
        let Some((path, file)) = chosen else {
            tokio::time::sleep(Duration::from_millis(5)).await;
            return;
        };
        let reply = server.get(&path).await;
        if let Some(reply) = self.judge(&format!("GET {path}"), reply).await
            && reply.body != *file
        {
            self.wrong.lock().push(format!("GET {path}: other bytes"));
        }
    }

    pub fn n_acknowledged(&self) -> usize {
        self.acknowledged.lock().len()
    }
}

impl Load {
    /// `size` says how long the file of a number is.
    pub fn start(server: &Arc<Server>, size: fn(usize) -> usize) -> Load {
        let state = Arc::new(LoadState::default());
        let tasks = (0..5).map(|task| {
            let (server, state) = (server.clone(), state.clone());
            tokio::spawn(async move {
                while !state.stop.load(Ordering::Relaxed) {
                    match task {
                        0..3 => state.upload(&server, size).await,
                        _ => state.deliver(&server).await,
                    }
                }
            })
        });
        let tasks = tasks.collect();
        Load { state, tasks }
    }

    /// Waits until so many more uploads are acknowledged.
    pub async fn go_on(&self, more: usize) {
        let least = self.state.n_acknowledged() + more;
        wait("uploads go on", async || self.state.n_acknowledged() >= least).await;
    }

    /// Ends, and looks for everything that was acknowledged.
    pub async fn finish(self, server: &Server) {
        self.state.stop.store(true, Ordering::Relaxed);
        futures::future::join_all(self.tasks).await.into_iter().for_each(|done| done.unwrap());
        assert_eq!(*self.state.wrong.lock(), [] as [String; 0], "{}", server.log());
        assert!(server.is_running());
        let acknowledged = self.state.acknowledged.lock().clone();
        for (path, file) in acknowledged {
            let reply = server.get(&path).await.unwrap();
            assert!(reply.status == 200 && reply.body == *file, "{path}: {}", reply.status);
        }
    }
}
