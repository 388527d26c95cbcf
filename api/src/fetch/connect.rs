//! From a target to a connection with a vetted address.

use super::error::{Failure, SetupError};
use super::policy::FetchPolicy;
use super::resolve::Resolver;
use super::target::Target;
use async_trait::async_trait;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use url::Host;

/// Most addresses of one name that are tried.
const MAX_ATTEMPTS: usize = 3;

/// Opens a connection with an address that was vetted.
#[async_trait]
pub trait Dialer: Send + Sync {
    async fn dial(&self, address: SocketAddr) -> io::Result<TcpStream>;
}

/// Connects directly. No proxy is used, whatever the environment says: it would resolve names again, out of our sight.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemDialer;

#[async_trait]
impl Dialer for SystemDialer {
    async fn dial(&self, address: SocketAddr) -> io::Result<TcpStream> {
        let stream = TcpStream::connect(address).await?;
        // What was vetted must be what is connected.
        if stream.peer_addr()?.ip() != address.ip() {
            return Err(io::Error::other("connected to another address than the vetted one"));
        }
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

/// A connection, encrypted or not.
pub(super) trait Connection: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Connection for T {}

/// Resolves, vets and connects.
pub(super) struct Connector {
    policy: FetchPolicy,
    resolver: Arc<dyn Resolver>,
    dialer: Arc<dyn Dialer>,
    tls: TlsConnector,
    attempt_time: Duration,
}

impl Connector {
    pub(super) fn new(
        policy: FetchPolicy,
        attempt_time: Duration,
        authorities_pem: &[u8],
        resolver: Arc<dyn Resolver>,
        dialer: Arc<dyn Dialer>,
    ) -> Result<Self, SetupError> {
        let tls = TlsConnector::from(Arc::new(tls_config(authorities_pem)?));
        Ok(Connector { policy, resolver, dialer, tls, attempt_time })
    }

    /// Connects to the first address that answers. A name that leads to any address that is not permitted is refused as a
    /// whole: names of the open internet do not also lead inside.
    pub(super) async fn connect(&self, target: &Target) -> Result<Box<dyn Connection>, Failure> {
        let (host, port) = (target.host_name(), target.port());
        let addresses = self.addresses(target).await?;
        if addresses.is_empty() || !addresses.iter().all(|address| self.policy.permits(&host, *address, port)) {
            tracing::debug!(%host, port, ?addresses, "a remote address is refused");
            return Err(Failure::Unreachable);
        }
        let mut failure = Failure::Unreachable;
        for address in addresses.into_iter().take(MAX_ATTEMPTS) {
            match timeout(self.attempt_time, self.attempt(target, SocketAddr::new(address, port))).await {
                Ok(Ok(connection)) => return Ok(connection),
                Ok(Err(error)) => failure = error,
                Err(_) => tracing::debug!(%host, port, %address, "connecting took too long"),
            }
        }
        Err(failure)
    }

    async fn addresses(&self, target: &Target) -> Result<Vec<IpAddr>, Failure> {
        match target.host() {
            Host::Ipv4(address) => Ok(vec![address.into()]),
            Host::Ipv6(address) => Ok(vec![address.into()]),
            Host::Domain(name) => match timeout(self.attempt_time, self.resolver.resolve(name)).await {
                Ok(Ok(addresses)) => Ok(addresses),
                Ok(Err(error)) => {
                    tracing::debug!(name, %error, "a name cannot be resolved");
                    Err(Failure::Unreachable)
                }
                Err(_) => Err(Failure::Unreachable),
            },
        }
    }

    async fn attempt(&self, target: &Target, address: SocketAddr) -> Result<Box<dyn Connection>, Failure> {
        let stream = self.dialer.dial(address).await.map_err(|error| {
            tracing::debug!(%address, %error, "a remote address cannot be reached");
            Failure::Unreachable
        })?;
        if !target.is_https() {
            return Ok(Box::new(stream));
        }
        let name =
            ServerName::try_from(target.host_name().trim_end_matches('.').to_owned()).map_err(|_| Failure::Tls)?;
        let stream = self.tls.connect(name, stream).await.map_err(|error| {
            tracing::debug!(%address, %error, "a TLS handshake failed");
            Failure::Tls
        })?;
        Ok(Box::new(stream))
    }
}

fn tls_config(authorities_pem: &[u8]) -> Result<ClientConfig, SetupError> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    let mut n_added = 0;
    for certificate in CertificateDer::pem_slice_iter(authorities_pem) {
        let certificate = certificate.map_err(|error| SetupError::Authorities(format!("{error:?}")))?;
        roots.add(certificate).map_err(|error| SetupError::Authorities(error.to_string()))?;
        n_added += 1;
    }
    if n_added == 0 && !authorities_pem.is_empty() {
        return Err(SetupError::Authorities("there is no certificate in the text".to_owned()));
    }
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| SetupError::Tls(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(config)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn authorities_must_be_certificates() {
        assert!(tls_config(b"").is_ok());
        for text in ["hello", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
            assert!(matches!(tls_config(text.as_bytes()), Err(SetupError::Authorities(_))), "{text}");
        }
    }
}
