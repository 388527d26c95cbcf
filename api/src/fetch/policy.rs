//! What the client may reach, and how much of it: every ceiling of a remote read.

use super::address::is_global;
use super::rules::{Match, Rules};
use std::net::IpAddr;
use std::time::Duration;

/// Which hosts, addresses and ports may be reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchPolicy {
    /// Places beyond the open internet. An entry with a port opens that port, one without opens those of `ports`. An
    /// allowed host name is trusted with whatever address it leads to.
    pub allow: Rules,
    /// Places that are refused whatever `allow` says.
    pub deny: Rules,
    /// Ports that may be reached.
    pub ports: Vec<u16>,
}

impl Default for FetchPolicy {
    fn default() -> Self {
        FetchPolicy { allow: Rules::default(), deny: Rules::default(), ports: vec![80, 443] }
    }
}

impl FetchPolicy {
    /// Whether a connection may be made. `host` is in the form that the parser of addresses gives it.
    pub fn permits(&self, host: &str, address: IpAddr, port: u16) -> bool {
        if self.deny.find(host, address, port) != Match::No {
            return false;
        }
        match self.allow.find(host, address, port) {
            Match::PlaceAndPort => true,
            Match::Place => self.ports.contains(&port),
            Match::No => self.ports.contains(&port) && is_global(address),
        }
    }
}

/// How long a remote read may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// For the name, and for each attempt to connect with its TLS handshake.
    pub connect: Duration,
    /// From the request to the end of the response's head.
    pub first_byte: Duration,
    /// Between two pieces of the body.
    pub idle: Duration,
    /// For everything, redirects included.
    pub total: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Timeouts {
            connect: Duration::from_secs(5),
            first_byte: Duration::from_secs(15),
            idle: Duration::from_secs(10),
            total: Duration::from_secs(50),
        }
    }
}

/// Everything that a client is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchSettings {
    pub policy: FetchPolicy,
    pub timeouts: Timeouts,
    pub max_redirects: usize,
    /// Most reads at once.
    pub max_reads: usize,
    /// Most reads at once from one host.
    pub max_reads_per_host: usize,
    /// Most reads that may wait for others.
    pub max_waiting: usize,
    /// Certificates of authorities that are trusted beside the public ones, as PEM.
    pub authorities_pem: Vec<u8>,
}

impl Default for FetchSettings {
    fn default() -> Self {
        FetchSettings {
            policy: FetchPolicy::default(),
            timeouts: Timeouts::default(),
            max_redirects: 5,
            max_reads: 64,
            max_reads_per_host: 16,
            max_waiting: 256,
            authorities_pem: Vec::new(),
        }
    }
}

/// Which kinds of content a use takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContentTypes {
    /// Whatever the server calls it: the bytes are looked into later. Uploads do so, as storage servers often name no type
    /// or a wrong one.
    Any,
    /// Images, unnamed content, and bytes without a kind: for pictures that are delivered at once.
    Images,
}

impl ContentTypes {
    pub(super) fn takes(self, content_type: Option<&str>) -> bool {
        let essence = content_type.unwrap_or_default().split(';').next().unwrap_or_default().trim();
        let essence = essence.to_ascii_lowercase();
        match self {
            ContentTypes::Any => true,
            ContentTypes::Images => {
                essence.starts_with("image/")
                    || ["", "application/octet-stream", "binary/octet-stream"].contains(&essence.as_str())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn permits(allow: &str, deny: &str, host: &str, address: &str, port: u16) -> bool {
        let policy =
            FetchPolicy { allow: allow.parse().unwrap(), deny: deny.parse().unwrap(), ..FetchPolicy::default() };
        policy.permits(host, address.parse().unwrap(), port)
    }

    #[test]
    fn only_the_open_internet_on_usual_ports_by_default() {
        assert!(permits("", "", "a.example", "8.8.8.8", 80) && permits("", "", "a.example", "8.8.8.8", 443));
        assert!(!permits("", "", "a.example", "8.8.8.8", 22) && !permits("", "", "a.example", "127.0.0.1", 80));
    }

    #[test]
    fn an_allowed_place_keeps_the_ports_unless_it_names_one() {
        assert!(permits("localhost", "", "localhost", "127.0.0.1", 80));
        assert!(!permits("localhost", "", "localhost", "127.0.0.1", 9000));
        assert!(permits("localhost:9000", "", "localhost", "127.0.0.1", 9000));
        assert!(!permits("localhost:9000", "", "localhost", "127.0.0.1", 80));
        assert!(!permits("localhost", "", "evil.example", "127.0.0.1", 80));
        assert!(permits("10.0.0.0/8", "", "in.example", "10.0.0.1", 443));
        assert!(permits("a.example:8443", "", "a.example", "8.8.8.8", 443), "an entry never takes away");
    }

    #[test]
    fn a_denial_wins() {
        assert!(!permits("10.0.0.0/8", "10.0.0.5", "x", "10.0.0.5", 80));
        assert!(!permits("", "*.example", "a.example", "8.8.8.8", 80));
        assert!(!permits("", "8.8.8.8", "x", "::ffff:8.8.8.8", 80));
    }

    #[test]
    fn content_types_of_pictures() {
        for content_type in
            [None, Some("image/png"), Some("IMAGE/SVG+xml; charset=x"), Some("application/octet-stream")]
        {
            assert!(ContentTypes::Images.takes(content_type), "{content_type:?}");
        }
        for content_type in ["text/html", "application/json", "video/mp4", "text/html; image/png"] {
            assert!(!ContentTypes::Images.takes(Some(content_type)), "{content_type}");
            assert!(ContentTypes::Any.takes(Some(content_type)));
        }
    }
}
