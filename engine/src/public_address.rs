//! Which addresses belong to the public internet. A platform file may use only those for its webhooks, and nothing is
//! sent to any other.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Returns what an address is, if it is not public. Ranges that no network carries, such as those for documentation,
/// are not listed: there is nothing to protect.
pub fn not_public(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(address) => not_public_v4(address),
        IpAddr::V6(address) => not_public_v6(address),
    }
}

fn not_public_v4(address: Ipv4Addr) -> Option<&'static str> {
    let [a, b, c, _] = address.octets();
    match (a, b, c) {
        (0, ..) => Some("of this network"),
        (10, ..) | (172, 16..=31, _) | (192, 168, _) => Some("private"),
        (100, 64..=127, _) => Some("shared behind a carrier's NAT"),
        (127, ..) => Some("a loopback address"),
        (169, 254, _) => Some("link-local"),
        (192, 0, 0) => Some("reserved for protocols"),
        (198, 18..=19, _) => Some("reserved for benchmarks"),
        (224..=239, ..) => Some("a multicast address"),
        (240..=255, ..) => Some("reserved"),
        _ => None,
    }
}

fn not_public_v6(address: Ipv6Addr) -> Option<&'static str> {
    let segments = address.segments();
    // Each of these leads to an IPv4 address, through the operating system or a gateway.
    match segments {
        [0, 0, 0, 0, 0, 0xffff, ..] => return Some("a mapped IPv4 address"),
        [0, 0, 0, 0, 0, 0, 0, 0] => return Some("unspecified"),
        [0, 0, 0, 0, 0, 0, 0, 1] => return Some("a loopback address"),
        [0, 0, 0, 0, 0, 0, ..] | [0, 0, 0, 0, 0xffff, 0, ..] => return Some("a compatible or translated IPv4 address"),
        [0x64, 0xff9b, ..] => return Some("an IPv4 address behind NAT64"),
        [0x2002, ..] => return Some("an IPv4 address behind 6to4"),
        [0x2001, 0, ..] => return Some("an IPv4 address behind Teredo"),
        _ => {}
    }
    match segments[0] {
        0xfc00..=0xfdff => Some("private (unique local)"),
        0xfe80..=0xfebf => Some("link-local"),
        0xfec0..=0xfeff => Some("private (site-local)"),
        0xff00..=0xffff => Some("a multicast address"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_public_addresses_pass() {
        for refused in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "127.8.8.8",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.8",
            "192.168.1.1",
            "198.18.0.1",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:8.8.8.8",
            "::ffff:127.0.0.1",
            "::127.0.0.1",
            "::ffff:0:127.0.0.1",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::1",
            "2002:7f00:1::",
            "2001::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "febf::1",
            "fec0::1",
            "ff02::1",
        ] {
            assert!(not_public(refused.parse().expect("an address")).is_some(), "{refused}");
        }
        for passed in [
            "1.1.1.1",
            "8.8.8.8",
            "100.63.255.255",
            "100.128.0.1",
            "172.15.0.1",
            "172.32.0.1",
            "192.0.1.1",
            "198.17.0.1",
            "203.0.113.10",
            "223.255.255.255",
            "2606:4700::1111",
            "2a00:1450::1",
            "2001:4860:4860::8888",
        ] {
            assert_eq!(not_public(passed.parse().expect("an address")), None, "{passed}");
        }
    }
}
