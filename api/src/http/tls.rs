//! TLS of the listener: certificates from files, taken anew when the files change.

use parking_lot::Mutex;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::net::TcpStream;
use tokio::signal::unix::{SignalKind, signal};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How long a client may take for the handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Why there is no TLS with these files.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("cannot read {}: {source}", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("{} has no certificate in PEM", path.display())]
    NoCertificate { path: PathBuf },
    #[error("{} has no private key in PEM: {detail}", path.display())]
    NoKey { path: PathBuf, detail: String },
    #[error("the certificate of {} and the key of {} cannot be used together: {detail}", certificate.display(), key.display())]
    Mismatch { certificate: PathBuf, key: PathBuf, detail: String },
}

/// What tells that a file has changed.
type Stamp = Option<(SystemTime, u64)>;

/// A certificate with its key, as the files are by now.
pub struct Certificate {
    certificate: PathBuf,
    key: PathBuf,
    current: Mutex<Current>,
}

struct Current {
    config: Arc<ServerConfig>,
    stamps: [Stamp; 2],
}

impl Certificate {
    /// Reads both files: the chain with the server's own certificate first, and its key.
    pub fn open(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        let stamps = [stamp(certificate), stamp(key)];
        let config = load(certificate, key)?;
        let current = Mutex::new(Current { config, stamps });
        Ok(Certificate { certificate: certificate.to_owned(), key: key.to_owned(), current })
    }

    /// Takes over files that have changed. Where they cannot be used the old ones stay, and the error is told once for each
    /// change. Whether there are new ones.
    pub fn reload(&self) -> Result<bool, TlsError> {
        let stamps = [stamp(&self.certificate), stamp(&self.key)];
        if self.current.lock().stamps == stamps {
            return Ok(false);
        }
        let loaded = load(&self.certificate, &self.key);
        let mut current = self.current.lock();
        current.stamps = stamps;
        current.config = loaded?;
        Ok(true)
    }

    /// Looks at the files now and then and on SIGHUP, for ever.
    pub async fn watch(self: Arc<Self>) {
        let mut hangups =
            signal(SignalKind::hangup()).inspect_err(|error| tracing::warn!(%error, "SIGHUP cannot be caught")).ok();
        loop {
            let hangup = async {
                match &mut hangups {
                    Some(hangups) => hangups.recv().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                _ = hangup => {}
            }
            let this = self.clone();
            match tokio::task::spawn_blocking(move || this.reload()).await {
                Ok(Ok(true)) => tracing::info!(file = %self.certificate.display(), "a new certificate is in use"),
                Ok(Ok(false)) => {}
                Ok(Err(error)) => tracing::error!(%error, "the old certificate stays in use"),
                Err(error) => tracing::error!(%error, "the certificate could not be looked at"),
            }
        }
    }

    /// Begins TLS on a connection.
    pub(super) async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let config = self.current.lock().config.clone();
        tokio::time::timeout(HANDSHAKE_TIMEOUT, TlsAcceptor::from(config).accept(stream))
            .await
            .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "the handshake took too long"))?
    }
}

impl std::fmt::Debug for Certificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Certificate").field("certificate", &self.certificate).finish_non_exhaustive()
    }
}

fn stamp(path: &Path) -> Stamp {
    let found = fs::metadata(path).ok()?;
    Some((found.modified().ok()?, found.len()))
}

fn load(certificate: &Path, key: &Path) -> Result<Arc<ServerConfig>, TlsError> {
    let read = |path: &Path| fs::read(path).map_err(|source| TlsError::Unreadable { path: path.to_owned(), source });
    let (chain_pem, key_pem) = (read(certificate)?, read(key)?);
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&chain_pem).collect();
    let chain = chain.unwrap_or_default();
    if chain.is_empty() {
        return Err(TlsError::NoCertificate { path: certificate.to_owned() });
    }
    let secret = PrivateKeyDer::from_pem_slice(&key_pem)
        .map_err(|error| TlsError::NoKey { path: key.to_owned(), detail: error.to_string() })?;
    let mismatch = |error: rustls::Error| TlsError::Mismatch {
        certificate: certificate.to_owned(),
        key: key.to_owned(),
        detail: error.to_string(),
    };
    let mut config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(mismatch)?
        .with_no_client_auth()
        .with_single_cert(chain, secret)
        .map_err(mismatch)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
