//! Which addresses a webhook may be sent to. A URL comes from a file that many may edit, and the function that calls
//! it sits inside the account's trust: only addresses of the public internet are let through.
//!
//! A name is resolved once, every answer is checked, and the connection goes to the checked answer: a name that
//! resolves differently a moment later gains nothing.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// Why an address is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{address} is {kind}, and webhooks go to public addresses only")]
pub struct Refused {
    /// The address.
    pub address: IpAddr,
    /// What it is, in words.
    pub kind: &'static str,
}

/// Which addresses may be connected to.
#[derive(Clone, Copy, Debug)]
pub struct AddressPolicy(fn(IpAddr) -> Option<&'static str>);

impl AddressPolicy {
    /// Public addresses only.
    pub const PUBLIC: Self = Self(not_public);

    /// A policy that refuses an address by saying what it is.
    pub const fn new(refuses: fn(IpAddr) -> Option<&'static str>) -> Self {
        Self(refuses)
    }

    /// Passes an address on or refuses it.
    pub fn check(self, address: IpAddr) -> Result<(), Refused> {
        match (self.0)(address) {
            None => Ok(()),
            Some(kind) => Err(Refused { address, kind }),
        }
    }
}

/// What an address is, if it is not public. Ranges that no network carries, such as those for documentation, are not
/// listed: nothing is there to protect.
fn not_public(address: IpAddr) -> Option<&'static str> {
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
    // Each of these leads to an IPv4 address, by the operating system or by a gateway.
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

/// Resolves names by the operating system and passes on only what the policy lets through.
#[derive(Clone, Copy, Debug)]
pub struct CheckedResolver(pub AddressPolicy);

impl Resolve for CheckedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let policy = self.0;
        Box::pin(async move {
            // The port is the URL's: the client sets it over this one.
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            Ok(checked(policy, found.collect())?)
        })
    }
}

/// All of the answers, or none: a name that mixes public and private addresses is not to be trusted with either.
fn checked(policy: AddressPolicy, found: Vec<SocketAddr>) -> Result<Addrs, Refused> {
    for address in &found {
        policy.check(address.ip())?;
    }
    Ok(Box::new(found.into_iter()))
}

/// A resolver for a client.
pub fn resolver(policy: AddressPolicy) -> Arc<CheckedResolver> {
    Arc::new(CheckedResolver(policy))
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
            assert!(AddressPolicy::PUBLIC.check(refused.parse().expect("an address")).is_err(), "{refused}");
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
            assert_eq!(AddressPolicy::PUBLIC.check(passed.parse().expect("an address")), Ok(()), "{passed}");
        }
    }

    #[test]
    fn one_private_answer_spoils_all() {
        let public: SocketAddr = "8.8.8.8:0".parse().expect("an address");
        let private: SocketAddr = "10.0.0.1:0".parse().expect("an address");
        assert!(checked(AddressPolicy::PUBLIC, vec![public]).is_ok());
        assert!(checked(AddressPolicy::PUBLIC, vec![public, private]).is_err());
    }
}
