//! What operators allow and deny beyond the default: hosts, suffixes of hosts, networks, each with or without a port.

use super::address::in_network;
use std::net::IpAddr;
use std::str::FromStr;

/// Most entries of one list.
const MAX_RULES: usize = 1000;

/// An entry that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0} is no host, *.suffix, address or network, with or without a port")]
pub struct InvalidRule(pub String);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    /// A name in its ASCII form, in small letters.
    Host(String),
    /// All names below this one, which begins with a dot.
    Suffix(String),
    Network {
        base: IpAddr,
        n_bits: u32,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    place: Place,
    port: Option<u16>,
}

/// A list of places, read from text with commas or spaces between the entries: `cdn.example`, `*.example.com`,
/// `10.0.0.0/8`, `127.0.0.1:9000`, `[::1]:9000`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rules {
    rules: Vec<Rule>,
}

/// How a list answers about a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Match {
    No,
    /// The place is named, without a port.
    Place,
    /// The place is named together with this port.
    PlaceAndPort,
}

impl Rules {
    /// Asks about a host in ASCII and small letters, the address that it led to, and a port. The strongest answer wins.
    pub fn find(&self, host: &str, address: IpAddr, port: u16) -> Match {
        let host = host.trim_end_matches('.');
        let address = address.to_canonical();
        let answers = self.rules.iter().filter(|rule| rule.place.holds(host, address)).map(|rule| match rule.port {
            None => Match::Place,
            Some(named) if named == port => Match::PlaceAndPort,
            Some(_) => Match::No,
        });
        answers.max().unwrap_or(Match::No)
    }
}

impl Place {
    fn holds(&self, host: &str, address: IpAddr) -> bool {
        match self {
            Place::Host(name) => name == host,
            Place::Suffix(suffix) => host.len() > suffix.len() && host.ends_with(suffix.as_str()),
            Place::Network { base, n_bits } => in_network(address, *base, *n_bits),
        }
    }
}

impl FromStr for Rules {
    type Err = InvalidRule;

    fn from_str(text: &str) -> Result<Self, InvalidRule> {
        let entries = text.split(|character: char| character == ',' || character.is_whitespace());
        let mut rules = Vec::new();
        for entry in entries.filter(|entry| !entry.is_empty()) {
            if rules.len() == MAX_RULES {
                return Err(InvalidRule(format!("entry {}", MAX_RULES + 1)));
            }
            rules.push(rule(entry).ok_or_else(|| InvalidRule(entry.chars().take(100).collect()))?);
        }
        Ok(Rules { rules })
    }
}

fn rule(entry: &str) -> Option<Rule> {
    if let Some((base, n_bits)) = entry.split_once('/') {
        let base: IpAddr = base.parse().ok()?;
        let n_bits: u32 = n_bits.parse().ok()?;
        let most = if base.is_ipv4() { 32 } else { 128 };
        return (n_bits <= most).then_some(Rule { place: Place::Network { base, n_bits }, port: None });
    }
    if let Ok(address) = entry.parse::<IpAddr>() {
        return Some(Rule { place: one(address), port: None });
    }
    let (host, port) = match entry.rsplit_once(':') {
        Some((host, port)) => (host, Some(port.parse::<u16>().ok().filter(|port| *port != 0)?)),
        None => (entry, None),
    };
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    if let Ok(address) = bare.parse::<IpAddr>() {
        return Some(Rule { place: one(address), port });
    }
    let (suffix, name) = match host.strip_prefix("*.").or_else(|| host.strip_prefix('.')) {
        Some(name) => (true, name),
        None => (false, host),
    };
    // The parser of addresses also normalises names, so that both sides are compared in the same form.
    let parsed = url::Host::parse(name.trim_end_matches('.')).ok()?;
    let place = match parsed {
        url::Host::Domain(name) if suffix => Place::Suffix(format!(".{name}")),
        url::Host::Domain(name) => Place::Host(name),
        _ => return None,
    };
    Some(Rule { place, port })
}

fn one(address: IpAddr) -> Place {
    let base = address.to_canonical();
    Place::Network { base, n_bits: if base.is_ipv4() { 32 } else { 128 } }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn find(rules: &str, host: &str, address: &str, port: u16) -> Match {
        rules.parse::<Rules>().unwrap().find(host, address.parse().unwrap(), port)
    }

    #[test]
    fn hosts_suffixes_and_networks_match() {
        let any = "9.9.9.9";
        assert_eq!(find("A.example", "a.example", any, 80), Match::Place);
        assert_eq!(find("a.example", "a.example.", any, 80), Match::Place);
        assert_eq!(find("a.example", "b.a.example", any, 80), Match::No);
        assert_eq!(find("*.example", "b.a.example", any, 80), Match::Place);
        assert_eq!(find(".example", "example", any, 80), Match::No);
        assert_eq!(find("*.example", "badexample", any, 80), Match::No);
        assert_eq!(find("bücher.example", "xn--bcher-kva.example", any, 80), Match::Place);
        assert_eq!(find("10.0.0.0/8 192.168.1.1", "x", "10.2.3.4", 80), Match::Place);
        assert_eq!(find("10.0.0.0/8,192.168.1.1", "x", "192.168.1.2", 80), Match::No);
        assert_eq!(find("127.0.0.1", "x", "::ffff:127.0.0.1", 80), Match::Place);
        assert_eq!(find("::1", "x", "::1", 80), Match::Place);
        assert_eq!(find("", "x", any, 80), Match::No);
    }

    #[test]
    fn a_port_binds_its_entry() {
        for rules in ["h.example:81", "127.0.0.1:81", "[::1]:81, h.example:81"] {
            assert_eq!(find(rules, "h.example", "127.0.0.1", 81), Match::PlaceAndPort, "{rules}");
            assert_eq!(find(rules, "h.example", "127.0.0.1", 80), Match::No, "{rules}");
        }
        assert_eq!(find("h.example, h.example:81", "h.example", "127.0.0.1", 80), Match::Place);
    }

    #[test]
    fn what_cannot_be_read_is_an_error() {
        for text in ["10.0.0.0/33", "::/129", "a/8", "h:0", "h:x", "h:70000", "a b%c", "*.10.0.0.1", "[::1"] {
            assert!(text.parse::<Rules>().is_err(), "{text}");
        }
        assert!("a ".repeat(MAX_RULES).parse::<Rules>().is_ok());
        assert!("a ".repeat(MAX_RULES + 1).parse::<Rules>().is_err());
    }
}
