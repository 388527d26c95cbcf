//! A way to PostgreSQL that can be cut.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::watch;
use tokio_postgres::Config;
use tokio_postgres::config::Host;

/// What happens to connections.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Way {
    Open,
    /// Those that are there end at once, new ones too.
    Cut,
    /// Nothing comes through, and nobody says so.
    Silent,
}

#[derive(Clone)]
enum Target {
    Unix(PathBuf),
    Tcp(String),
}

/// Listens on a port of its own for as long as the test runs.
pub struct Gateway {
    pub url: String,
    way: watch::Sender<Way>,
    open: Arc<AtomicUsize>,
}

impl Gateway {
    /// Before the database of a URL; `url` of the gateway is what to use instead.
    pub async fn before(url: &str) -> Gateway {
        let config: Config = url.parse().unwrap();
        let port = config.get_ports().first().copied().unwrap_or(5432);
        let target = match &config.get_hosts()[0] {
            Host::Tcp(host) => Target::Tcp(format!("{host}:{port}")),
            Host::Unix(folder) => Target::Unix(folder.join(format!(".s.PGSQL.{port}"))),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address: SocketAddr = listener.local_addr().unwrap();
        let user = match (config.get_user(), config.get_password()) {
            (Some(user), Some(password)) => format!("{user}:{}@", String::from_utf8_lossy(password)),
            (Some(user), None) => format!("{user}@"),
            _ => String::new(),
        };
        let url = format!("postgres://{user}{address}/{}", config.get_dbname().unwrap());
        let (way, watched) = watch::channel(Way::Open);
        let open = Arc::new(AtomicUsize::new(0));
        let counted = open.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (target, mut watched, counted) = (target.clone(), watched.clone(), counted.clone());
                tokio::spawn(async move {
                    counted.fetch_add(1, Ordering::SeqCst);
                    pass(client, target, &mut watched).await;
                    counted.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        Gateway { url, way, open }
    }

    pub fn set(&self, way: Way) {
        self.way.send_replace(way);
    }

    /// Connections that there are now.
    pub fn n_open(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }
}

/// Until one side ends it. Connections that began while the way was silent end with the silence.
async fn pass(mut client: TcpStream, target: Target, watched: &mut watch::Receiver<Way>) {
    let way = *watched.borrow_and_update();
    match way {
        Way::Cut => return,
        Way::Silent => {
            let _ = watched.changed().await;
            return;
        }
        Way::Open => {}
    }
    let relay = async {
        match target {
            Target::Tcp(address) => {
                let mut server = TcpStream::connect(address).await.ok()?;
                copy_bidirectional(&mut client, &mut server).await.ok()
            }
            Target::Unix(path) => {
                let mut server = UnixStream::connect(path).await.ok()?;
                copy_bidirectional(&mut client, &mut server).await.ok()
            }
        }
    };
    tokio::pin!(relay);
    tokio::select! {
        _ = &mut relay => {}
        _ = watched.changed() => {
            // What is held back while the way is silent is lost with the connection.
            if *watched.borrow_and_update() == Way::Silent {
                let _ = watched.changed().await;
            }
        }
    }
}
