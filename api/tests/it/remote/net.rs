//! A small internet: servers that answer by script, names that lead where a test says, and routes that bring public
//! addresses to those servers.

use async_trait::async_trait;
use parking_lot::Mutex;
use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tintype_api::fetch::{
    ContentTypes, Dialer, Failure, FetchError, FetchSettings, RemoteClient, Resolver, SystemDialer, Timeouts,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What a server does after it has read the head of a request.
#[derive(Clone)]
pub enum Reply {
    /// Sends this and closes.
    Send(Vec<u8>),
    /// Sends this, then nothing more, and keeps the connection open.
    Hang(Vec<u8>),
    /// Sends the first, then the second again and again, until the client leaves.
    Endless(Vec<u8>, Vec<u8>, Duration),
}

pub fn text(text: &str) -> Reply {
    Reply::Send(text.as_bytes().to_vec())
}

pub fn ok(body: &str) -> Reply {
    text(&format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()))
}

pub fn redirect(location: &str) -> Reply {
    text(&format!("HTTP/1.1 302 Found\r\nLocation: {location}\r\nSet-Cookie: a=b\r\nContent-Length: 0\r\n\r\n"))
}

type Script = Arc<dyn Fn(&str) -> Reply + Send + Sync>;

/// A server on loopback. It counts every connection that it gets, and keeps what was asked.
pub struct Server {
    pub address: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
    /// Who connected, in the order in which the kernel completed the connections.
    peers: Arc<Mutex<Vec<SocketAddr>>>,
}

impl Server {
    pub async fn start(script: impl Fn(&str) -> Reply + Send + Sync + 'static) -> Server {
        Self::start_with(TcpListener::bind("127.0.0.1:0").await.unwrap(), None, Arc::new(script))
    }

    pub async fn start_tls(
        acceptor: tokio_rustls::TlsAcceptor,
        script: impl Fn(&str) -> Reply + Send + Sync + 'static,
    ) -> Server {
        Self::start_with(TcpListener::bind("127.0.0.1:0").await.unwrap(), Some(acceptor), Arc::new(script))
    }

    fn start_with(listener: TcpListener, tls: Option<tokio_rustls::TlsAcceptor>, script: Script) -> Server {
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let peers = Arc::new(Mutex::new(Vec::new()));
        let (seen, connected) = (requests.clone(), peers.clone());
        tokio::spawn(async move {
            while let Ok((stream, peer)) = listener.accept().await {
                connected.lock().push(peer);
                let (script, seen, tls) = (script.clone(), seen.clone(), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        None => converse(stream, script, seen).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                converse(stream, script, seen).await;
                            }
                        }
                    }
                });
            }
        });
        Server { address, requests, peers }
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Everything that was asked, head and body as one text each.
    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().clone()
    }

    /// Connections so far. One of our own, made last, proves that all before it were seen.
    pub async fn connections(&self) -> usize {
        let own = TcpStream::connect(self.address).await.unwrap();
        let own = own.local_addr().unwrap();
        while !self.peers.lock().contains(&own) {
            tokio::task::yield_now().await;
        }
        let mut peers = self.peers.lock();
        peers.retain(|peer| *peer != own);
        peers.len()
    }
}

async fn converse(mut stream: impl AsyncRead + AsyncWrite + Unpin, script: Script, seen: Arc<Mutex<Vec<String>>>) {
    let mut request = Vec::new();
    let mut byte = [0; 1];
    while !request.ends_with(b"\r\n\r\n") {
        if !matches!(stream.read(&mut byte).await, Ok(1)) {
            return;
        }
        request.push(byte[0]);
    }
    let head = String::from_utf8(request).unwrap();
    let length = head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    if stream.read_exact(&mut body).await.is_err() {
        return;
    }
    let path = head.split(' ').nth(1).unwrap().to_owned();
    seen.lock().push(format!("{head}{}", String::from_utf8_lossy(&body)));
    match script(&path) {
        Reply::Send(bytes) => {
            let _ = stream.write_all(&bytes).await;
            let _ = stream.shutdown().await;
        }
        Reply::Hang(bytes) => {
            let _ = stream.write_all(&bytes).await;
            let _ = stream.flush().await;
            // Until the client closes.
            let _ = stream.read(&mut byte).await;
        }
        Reply::Endless(head, piece, pause) => {
            let _ = stream.write_all(&head).await;
            while stream.write_all(&piece).await.is_ok() && stream.flush().await.is_ok() {
                tokio::time::sleep(pause).await;
            }
        }
    }
}

/// Names and routes.
#[derive(Default)]
pub struct Net {
    /// Answers for each name, one a question; the last stays.
    names: Mutex<HashMap<String, VecDeque<Vec<IpAddr>>>>,
    /// Public addresses that stand for servers of the test.
    routes: Mutex<HashMap<IpAddr, SocketAddr>>,
    pub asked: Mutex<Vec<String>>,
    pub dialed: Mutex<Vec<SocketAddr>>,
}

pub fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

impl Net {
    pub fn new() -> Arc<Net> {
        Arc::default()
    }

    pub fn name(&self, name: &str, answers: &[&[&str]]) {
        let answers = answers.iter().map(|answer| answer.iter().map(|text| ip(text)).collect()).collect();
        self.names.lock().insert(name.to_owned(), answers);
    }

    pub fn route(&self, public: &str, server: &Server) {
        self.route_to(public, server.address);
    }

    pub fn route_to(&self, public: &str, address: SocketAddr) {
        self.routes.lock().insert(ip(public), address);
    }

    pub fn client(self: &Arc<Self>, settings: FetchSettings) -> RemoteClient {
        RemoteClient::over(settings, self.clone(), self.clone()).unwrap()
    }
}

#[async_trait]
impl Resolver for Net {
    async fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        self.asked.lock().push(name.to_owned());
        let mut names = self.names.lock();
        let answers = names.get_mut(name).ok_or_else(|| io::Error::other("no such name"))?;
        Ok(if answers.len() > 1 { answers.pop_front().unwrap() } else { answers[0].clone() })
    }
}

#[async_trait]
impl Dialer for Net {
    async fn dial(&self, address: SocketAddr) -> io::Result<TcpStream> {
        self.dialed.lock().push(address);
        let route = self.routes.lock().get(&address.ip()).copied();
        SystemDialer.dial(route.unwrap_or(address)).await
    }
}

/// Times so long that no test reaches them; a test about a time sets that one short.
pub fn patient() -> FetchSettings {
    let long = Duration::from_secs(120);
    FetchSettings {
        timeouts: Timeouts { connect: long, first_byte: long, idle: long, total: long },
        ..FetchSettings::default()
    }
}

/// One public server under the name `good.example`, with a patient client.
pub async fn one_server(
    settings: FetchSettings,
    script: impl Fn(&str) -> Reply + Send + Sync + 'static,
) -> (Server, Arc<Net>, RemoteClient) {
    let server = Server::start(script).await;
    let net = Net::new();
    net.name("good.example", &[&["8.8.8.8"]]);
    net.route("8.8.8.8", &server);
    let client = net.client(settings);
    (server, net, client)
}

pub const MAX_BYTES: u64 = 1000;

/// Reads a whole file of at most [`MAX_BYTES`].
pub async fn read(client: &RemoteClient, address: &str) -> Result<Vec<u8>, FetchError> {
    let mut file = client.get(address, MAX_BYTES, ContentTypes::Any).await?;
    let mut whole = Vec::new();
    while let Some(piece) = file.next().await? {
        whole.extend_from_slice(&piece);
    }
    Ok(whole)
}

pub async fn failure(client: &RemoteClient, address: &str) -> Failure {
    match read(client, address).await {
        Err(FetchError::Failed { failure, .. }) => failure,
        other => panic!("{address}: {other:?}"),
    }
}
