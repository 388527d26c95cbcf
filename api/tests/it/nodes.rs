//! Several processes as one service: two servers and a worker on one PostgreSQL and one S3 server, behind a front that
//! gives connections to the servers in turn.
#![allow(clippy::unwrap_used, clippy::panic)]

use crate::app::{basic, multipart};
use crate::catalog::postgres::{connect, with_database};
use crate::program;
use crate::s3;
use crate::whole_app::{CHELSEA, ICON, ROCKET};
use http_body_util::BodyExt;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tintype_api::app::{Records, open_records};
use tintype_api::catalog::library::JobFilter;
use tintype_api::config::Config;
use tintype_api::config::machine::Machine;
use tintype_api::demo::find_or_create;
use tintype_api::domain::JobState;
use tintype_api::jobs::EAGER;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

async fn wait(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(120);
    while !holds().await {
        assert!(Instant::now() < until, "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// One request on a connection of its own: status and body. An answer that is cut off is an error.
async fn exchange(address: SocketAddr, request: Vec<u8>) -> io::Result<(u16, Vec<u8>)> {
    let talk = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(&request).await?;
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
        Ok((status, body))
    };
    tokio::time::timeout(Duration::from_secs(60), talk).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

async fn get(address: SocketAddr, path: &str) -> io::Result<(u16, Vec<u8>)> {
    exchange(address, format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").into_bytes()).await
}

/// A process; dropping it kills it.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // SIGKILL: no handler of the process runs.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A node: where it listens, and the process that it is while it lives. Workers listen nowhere.
struct Node {
    command: &'static str,
    address: Option<SocketAddr>,
    data: PathBuf,
    process: Option<Process>,
}

/// What all nodes have in common.
struct Site {
    settings: Vec<(&'static str, String)>,
    records: Records,
    credentials: String,
    front: SocketAddr,
}

impl Node {
    async fn new(folder: &Path, name: &str, serves: bool) -> Node {
        let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let command = if serves { "serve" } else { "worker" };
        Node { command, address: serves.then_some(free), data: folder.join(name), process: None }
    }

    fn start(&mut self, settings: &[(&'static str, String)]) {
        let mut command = program::command();
        for (name, value) in settings {
            command.env(format!("TINTYPE_{}", name.to_ascii_uppercase()), value);
        }
        if let Some(address) = self.address {
            // Servers leave all jobs to the worker.
            command.env("TINTYPE_LISTEN", address.to_string()).env("TINTYPE_WORKERS", "0");
        }
        command.arg(self.command).env("TINTYPE_DATA_DIR", &self.data);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        self.process = Some(Process(command.spawn().unwrap()));
    }

    async fn ready(&self) {
        if let Some(address) = self.address {
            wait("a server listens", async || TcpStream::connect(address).await.is_ok()).await;
        }
    }
}

/// Gives each connection to the next server that takes it.
async fn front(servers: Vec<SocketAddr>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut turn = 0;
        while let Ok((mut client, _)) = listener.accept().await {
            turn += 1;
            let order: Vec<_> = (0..servers.len()).map(|n| servers[(turn + n) % servers.len()]).collect();
            tokio::spawn(async move {
                for address in order {
                    if let Ok(mut server) = TcpStream::connect(address).await {
                        let _ = copy_bidirectional(&mut client, &mut server).await;
                        return;
                    }
                }
            });
        }
    });
    address
}

impl Site {
    async fn upload(&self, to: SocketAddr, kind: &str, params: &[(&str, &str)], file: &[u8]) -> io::Result<u16> {
        let params: Vec<_> = params.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let request = multipart(&format!("/v1_1/demo/{kind}/upload"), &params, Some(("file", file)));
        let (parts, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let mut bytes = format!(
            "POST {} HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: {}\r\ncontent-type: {}\r\n\
             content-length: {}\r\n\r\n",
            parts.uri,
            self.credentials,
            parts.headers["content-type"].to_str().unwrap(),
            body.len()
        )
        .into_bytes();
        bytes.extend_from_slice(&body);
        Ok(exchange(to, bytes).await?.0)
    }

    async fn delete(&self, to: SocketAddr, public_id: &str) {
        let request = format!(
            "DELETE /v1_1/demo/resources/image/upload?public_ids[]={public_id} HTTP/1.1\r\nhost: x\r\n\
             connection: close\r\nauthorization: {}\r\n\r\n",
            self.credentials
        );
        assert_eq!(exchange(to, request.into_bytes()).await.unwrap().0, 200);
    }
}

/// Clients that upload through the front without a pause, until they are stopped.
struct Clients {
    stop: Arc<AtomicBool>,
    acknowledged: Arc<Mutex<BTreeMap<String, Vec<u8>>>>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Clients {
    fn start(site: &Arc<Site>, round: &str) -> Clients {
        let (stop, acknowledged) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(BTreeMap::new())));
        let number = Arc::new(AtomicUsize::new(0));
        let tasks = (0..3).map(|_| {
            let (site, round, number) = (site.clone(), round.to_owned(), number.clone());
            let (stop, acknowledged) = (stop.clone(), acknowledged.clone());
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let n = number.fetch_add(1, Ordering::Relaxed);
                    let id = format!("{round}-{n}");
                    let own = format!("the content of {id}\n").repeat(1 + n * 100 % 5000).into_bytes();
                    let (kind, file): (_, &[u8]) = match n % 4 {
                        0 => ("image", ROCKET),
                        1 => ("image", ICON),
                        _ => ("raw", &own),
                    };
                    if let Ok(200) = site.upload(site.front, kind, &[("public_id", &id)], file).await {
                        acknowledged.lock().insert(format!("/demo/{kind}/upload/{id}"), file.to_vec());
                    }
                }
            })
        });
        let tasks = tasks.collect();
        Clients { stop, acknowledged, tasks }
    }

    /// Waits until so many more uploads are acknowledged.
    async fn go_on(&self, more: usize) {
        let least = self.acknowledged.lock().len() + more;
        wait("uploads go on", async || self.acknowledged.lock().len() >= least).await;
    }

    async fn finish(self) -> BTreeMap<String, Vec<u8>> {
        self.stop.store(true, Ordering::Relaxed);
        futures::future::join_all(self.tasks).await.into_iter().for_each(|done| done.unwrap());
        std::mem::take(&mut *self.acknowledged.lock())
    }
}

async fn all_is_there(servers: &[SocketAddr], acknowledged: &BTreeMap<String, Vec<u8>>) {
    for (path, bytes) in acknowledged {
        for server in servers {
            let (status, body) = get(*server, path).await.unwrap();
            assert!(status == 200 && body == *bytes, "{path} of {server}: {status}");
        }
    }
}

/// What is changed at one server is seen at every one.
async fn changes_are_seen(site: &Site, servers: &[SocketAddr], id: &str) {
    let path = format!("/demo/image/upload/{id}");
    let shows = async |server, bytes: &[u8]| matches!(get(server, &path).await, Ok((200, body)) if body == bytes);
    for (n, file) in [ROCKET, CHELSEA, ICON].into_iter().enumerate() {
        let to = servers[n % servers.len()];
        assert_eq!(site.upload(to, "image", &[("public_id", id)], file).await.unwrap(), 200);
        for server in servers {
            wait("an upload is seen everywhere", async || shows(*server, file).await).await;
        }
    }
    site.delete(servers[0], id).await;
    for server in servers {
        wait("a deletion is seen everywhere", async || matches!(get(*server, &path).await, Ok((404, _)))).await;
    }
}

async fn scenario(url: String) {
    let Some(store) = s3::server() else { return };
    let folder = tempfile::tempdir().unwrap();
    let settings: Vec<(&'static str, String)> = vec![
        ("catalog", url.clone()),
        ("storage", "s3".to_owned()),
        ("s3_endpoint", store.clone()),
        ("s3_bucket", s3::bucket(&store)),
        ("s3_access_key_id", "test".to_owned()),
        ("s3_secret_access_key", s3::SECRET.to_owned()),
        ("secret_key_file", folder.path().join("secret.key").to_str().unwrap().to_owned()),
        ("renderer", "cpu".to_owned()),
        ("threads", "2".to_owned()),
        ("memory_budget_mb", "512".to_owned()),
        ("job_lease_s", "2".to_owned()),
    ];
    let flags: BTreeMap<String, String> =
        settings.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    let config = Config::from_sources(&flags, &[], None, &Machine::detect()).unwrap();
    let records = open_records(&config).await.unwrap();
    let demo = find_or_create(&*records.catalog).await.unwrap().unwrap();
    let mut nodes = [
        Node::new(folder.path(), "one", true).await,
        Node::new(folder.path(), "two", true).await,
        Node::new(folder.path(), "worker", false).await,
    ];
    for node in &mut nodes {
        node.start(&settings);
    }
    for node in &nodes {
        node.ready().await;
    }
    let servers: Vec<SocketAddr> = nodes.iter().filter_map(|node| node.address).collect();
    let credentials = basic(&demo.key.key, demo.key.secret.expose());
    let site = Arc::new(Site { settings, records, credentials, front: front(servers.clone()).await });

    changes_are_seen(&site, &servers, "changing").await;
    let eager = [("public_id", "eager"), ("eager", "w_50/jpg|w_60/png"), ("eager_async", "1")];
    assert_eq!(site.upload(site.front, "image", &eager, ROCKET).await.unwrap(), 200);
    let done = JobFilter { states: vec![JobState::Done], ..JobFilter::default() };
    let is_done = async || {
        let jobs = site.records.library.jobs(&done, 1000, None).await.unwrap().jobs;
        jobs.iter().any(|job| job.kind == EAGER && job.progress["rendered"] == 2)
    };
    wait("the worker does the eager job", is_done).await;

    let mut acknowledged = BTreeMap::new();
    for (n, node) in nodes.iter_mut().enumerate() {
        let clients = Clients::start(&site, &format!("killed-{n}"));
        clients.go_on(20).await;
        node.process = None;
        clients.go_on(20).await;
        node.start(&site.settings);
        node.ready().await;
        clients.go_on(20).await;
        acknowledged.extend(clients.finish().await);
    }
    all_is_there(&servers, &acknowledged).await;

    // All nodes lose all connections to the database while they are in use, several times.
    let admin = connect(&url).await;
    let clients = Clients::start(&site, "cut");
    for _ in 0..3 {
        clients.go_on(10).await;
        let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                   WHERE datname = current_database() AND pid <> pg_backend_pid()";
        assert!(!admin.query(cut, &[]).await.unwrap().is_empty());
    }
    clients.go_on(20).await;
    acknowledged = clients.finish().await;
    all_is_there(&servers, &acknowledged).await;
    changes_are_seen(&site, &servers, "after").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_are_one_service_and_lose_nothing_when_one_is_killed() {
    with_database(
        |_, _, url| async move {
            let here = tokio::runtime::Handle::current();
            tokio::task::spawn_blocking(move || here.block_on(scenario(url))).await.unwrap();
        },
        "",
    )
    .await;
}
