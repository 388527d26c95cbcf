//! From a name to addresses, behind a seam so that tests can lie as an attacker's name server would.

use async_trait::async_trait;
use std::io;
use std::net::IpAddr;

/// Looks names up. It is asked once for each hop; what it answers is vetted, and only that is connected to.
#[async_trait]
pub trait Resolver: Send + Sync {
    /// All addresses of a name, best first.
    async fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>>;
}

/// The name service of this machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemResolver;

#[async_trait]
impl Resolver for SystemResolver {
    async fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        Ok(tokio::net::lookup_host((name, 0)).await?.map(|address| address.ip()).collect())
    }
}
