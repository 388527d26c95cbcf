//! Which addresses lie in the open internet. The ranges are those of IANA's special-purpose registries for IPv4 and IPv6
//! (RFC 6890 and what was registered since), read strictly: what is merely unclear is refused.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Ranges of IPv4 that are not in the open internet: first address and length of the prefix.
const NOT_GLOBAL_V4: &[(Ipv4Addr, u32)] = &[
    // This host on this network.
    (Ipv4Addr::new(0, 0, 0, 0), 8),
    // Private use.
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    // Shared between carriers and customers; also the metadata service of Alibaba Cloud.
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    // Loopback.
    (Ipv4Addr::new(127, 0, 0, 0), 8),
    // Azure's virtual host, which looks like a public address but answers from within.
    (Ipv4Addr::new(168, 63, 129, 16), 32),
    // Link-local, with the metadata services of most clouds.
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    // Protocol assignments, with the metadata service of Oracle Cloud.
    (Ipv4Addr::new(192, 0, 0, 0), 24),
    // Documentation.
    (Ipv4Addr::new(192, 0, 2, 0), 24),
    // 6to4 relays.
    (Ipv4Addr::new(192, 88, 99, 0), 24),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    // Benchmarking.
    (Ipv4Addr::new(198, 18, 0, 0), 15),
    (Ipv4Addr::new(198, 51, 100, 0), 24),
    (Ipv4Addr::new(203, 0, 113, 0), 24),
    // Multicast.
    (Ipv4Addr::new(224, 0, 0, 0), 4),
    // Reserved, and broadcast at its end.
    (Ipv4Addr::new(240, 0, 0, 0), 4),
];

/// Ranges inside of 2000::/3 that are not in the open internet. Everything outside of 2000::/3 is refused anyway.
const NOT_GLOBAL_V6: &[(Ipv6Addr, u32)] = &[
    // Protocol assignments, with benchmarking and ORCHID; Teredo was taken out before.
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23),
    // Documentation.
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20),
];

/// Whether an address lies in the open internet. An IPv6 address that carries an IPv4 address is judged by the one inside,
/// because a gateway or the host's own stack would send the packets there.
pub fn is_global(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_global_v4(address),
        IpAddr::V6(address) => is_global_v6(address),
    }
}

/// Whether `address` lies in the network of `n_bits` that begins at `base`. Different families never match.
pub fn in_network(address: IpAddr, base: IpAddr, n_bits: u32) -> bool {
    match (address, base) {
        (IpAddr::V4(address), IpAddr::V4(base)) => same_prefix_v4(address, base, n_bits),
        (IpAddr::V6(address), IpAddr::V6(base)) => same_prefix_v6(address, base, n_bits),
        _ => false,
    }
}

fn same_prefix_v4(a: Ipv4Addr, b: Ipv4Addr, n_bits: u32) -> bool {
    let kept = u32::MAX.checked_shl(32 - n_bits.min(32)).unwrap_or(0);
    (a.to_bits() ^ b.to_bits()) & kept == 0
}

fn same_prefix_v6(a: Ipv6Addr, b: Ipv6Addr, n_bits: u32) -> bool {
    let kept = u128::MAX.checked_shl(128 - n_bits.min(128)).unwrap_or(0);
    (a.to_bits() ^ b.to_bits()) & kept == 0
}

fn is_global_v4(address: Ipv4Addr) -> bool {
    !NOT_GLOBAL_V4.iter().any(|(base, n_bits)| same_prefix_v4(address, *base, *n_bits))
}

fn is_global_v6(address: Ipv6Addr) -> bool {
    let bytes = address.octets();
    let inner = |at: usize| is_global_v4(Ipv4Addr::new(bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]));
    match address.segments() {
        // IPv4-compatible (with :: and ::1, whose inner addresses are refused), mapped, and translated (RFC 2765).
        [0, 0, 0, 0, 0, 0, _, _] | [0, 0, 0, 0, 0, 0xffff, _, _] | [0, 0, 0, 0, 0xffff, 0, _, _] => inner(12),
        // NAT64 with the well-known prefix. 64:ff9b:1::/48 is for local use and may hold the inner address at several
        // places: it falls through to the refusal below.
        [0x64, 0xff9b, 0, 0, 0, 0, _, _] => inner(12),
        // 6to4.
        [0x2002, ..] => inner(2),
        // Teredo: the server, and the client with its bits turned over.
        [0x2001, 0, ..] => {
            let client = Ipv4Addr::new(!bytes[12], !bytes[13], !bytes[14], !bytes[15]);
            inner(4) && is_global_v4(client)
        }
        // ISATAP under any prefix.
        [_, _, _, _, 0 | 0x200, 0x5efe, _, _] if !inner(12) => false,
        [first, ..] => {
            first & 0xe000 == 0x2000
                && !NOT_GLOBAL_V6.iter().any(|(base, n_bits)| same_prefix_v6(address, *base, *n_bits))
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn check(expected: bool, addresses: &[&str]) {
        for text in addresses {
            assert_eq!(is_global(text.parse().unwrap()), expected, "{text}");
        }
    }

    #[test]
    fn the_open_internet_is_reachable() {
        check(
            true,
            &[
                "1.0.0.0",
                "1.1.1.1",
                "8.8.8.8",
                "9.255.255.255",
                "11.0.0.0",
                "93.184.216.34",
                "100.63.255.255",
                "100.128.0.0",
                "126.255.255.255",
                "128.0.0.0",
                "168.63.129.15",
                "168.63.129.17",
                "169.253.255.255",
                "169.255.0.0",
                "172.15.255.255",
                "172.32.0.0",
                "191.255.255.255",
                "192.0.1.0",
                "192.0.3.0",
                "192.31.196.1",
                "192.52.193.1",
                "192.88.98.255",
                "192.88.100.0",
                "192.167.255.255",
                "192.169.0.0",
                "192.175.48.1",
                "198.17.255.255",
                "198.20.0.0",
                "198.51.99.255",
                "198.51.101.0",
                "203.0.112.255",
                "203.0.114.0",
                "223.255.255.255",
            ],
        );
        check(
            true,
            &[
                "2001:200::1",
                "2001:4860:4860::8888",
                "2001:db7:ffff::1",
                "2001:db9::1",
                "2003::1",
                "2400::1",
                "2606:4700:4700::1111",
                "2620:4f:8000::1",
                "2a00:1450:4001:80b::200e",
                "3ffe::1",
                "3fff:1000::1",
            ],
        );
    }

    #[test]
    fn special_ipv4_ranges_are_refused_to_their_edges() {
        check(
            false,
            &[
                "0.0.0.0",
                "0.0.0.1",
                "0.255.255.255",
                "10.0.0.0",
                "10.255.255.255",
                "100.64.0.0",
                "100.100.100.200",
                "100.127.255.255",
                "127.0.0.0",
                "127.0.0.1",
                "127.255.255.255",
                "168.63.129.16",
                "169.254.0.0",
                "169.254.169.254",
                "169.254.170.2",
                "169.254.255.255",
                "172.16.0.0",
                "172.31.255.255",
                "192.0.0.0",
                "192.0.0.8",
                "192.0.0.9",
                "192.0.0.170",
                "192.0.0.192",
                "192.0.0.255",
                "192.0.2.0",
                "192.0.2.255",
                "192.88.99.0",
                "192.88.99.255",
                "192.168.0.0",
                "192.168.255.255",
                "198.18.0.0",
                "198.19.255.255",
                "198.51.100.0",
                "198.51.100.255",
                "203.0.113.0",
                "203.0.113.255",
                "224.0.0.0",
                "239.255.255.255",
                "240.0.0.0",
                "255.255.255.254",
                "255.255.255.255",
            ],
        );
    }

    #[test]
    fn special_ipv6_ranges_are_refused() {
        check(
            false,
            &[
                "::",
                "::1",
                "::2",
                "64:ff9b:1::",
                "64:ff9b:1::8.8.8.8",
                "64:ff9b:1:ffff:ffff:ffff:ffff:ffff",
                "64:ff9b:2::1",
                "100::",
                "100::1",
                "100:0:0:1::1",
                "1fff::1",
                "2001:1::1",
                "2001:1::2",
                "2001:2::",
                "2001:2:0:ffff::1",
                "2001:3::1",
                "2001:4:112::1",
                "2001:10::1",
                "2001:20::1",
                "2001:30::1",
                "2001:1ff:ffff::1",
                "2001:db8::",
                "2001:db8:ffff:ffff::1",
                "3fff::",
                "3fff:fff:ffff::1",
                "4000::1",
                "5f00::1",
                "fc00::1",
                "fd00:ec2::254",
                "fd20:ce::254",
                "fdff:ffff::1",
                "fe80::1",
                "febf::1",
                "fec0::1",
                "feff::1",
                "ff00::1",
                "ff02::1",
                "ff0e::1",
                "ffff::1",
            ],
        );
    }

    #[test]
    fn ipv4_inside_of_ipv6_is_unwrapped() {
        for (inner, expected) in [
            ("8.8.8.8", true),
            ("127.0.0.1", false),
            ("10.1.2.3", false),
            ("169.254.169.254", false),
            ("100.100.100.200", false),
            ("192.168.0.1", false),
            ("0.0.0.0", false),
            ("224.0.0.1", false),
        ] {
            let [a, b, c, d] = inner.parse::<Ipv4Addr>().unwrap().octets();
            let (high, low) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
            let wrapped = [
                format!("::{inner}"),
                format!("::ffff:{inner}"),
                format!("::ffff:0:{inner}"),
                format!("64:ff9b::{inner}"),
                format!("2002:{high:x}:{low:x}::1"),
                format!("2001:0:{high:x}:{low:x}:0:0:f7f7:f7f7"),
                format!("2001:0:808:808:0:0:{:x}:{:x}", !high, !low),
                format!("2a00:1:2:3:0:5efe:{high:x}:{low:x}"),
                format!("2a00:1:2:3:200:5efe:{high:x}:{low:x}"),
            ];
            for text in wrapped {
                assert_eq!(is_global(text.parse().unwrap()), expected, "{text} holds {inner}");
            }
        }
    }

    #[test]
    fn networks_have_exact_edges() {
        let inside =
            |address: &str, base: &str, n_bits| in_network(address.parse().unwrap(), base.parse().unwrap(), n_bits);
        assert!(inside("10.0.0.7", "10.0.0.0", 29) && !inside("10.0.0.8", "10.0.0.0", 29));
        assert!(inside("255.1.2.3", "0.0.0.0", 0) && inside("1.2.3.4", "1.2.3.4", 32));
        assert!(inside("fd00::ff", "fd00::", 120) && !inside("fd00::100", "fd00::", 120) && inside("::1", "ff::", 0));
        assert!(!inside("::1", "0.0.0.0", 0) && !inside("1.2.3.4", "::", 0));
    }
}
