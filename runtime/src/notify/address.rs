//! Which addresses a webhook may be sent to. A URL comes from a file that many may edit, and the function that calls
//! it sits inside the account's trust: only addresses of the public internet are let through.
//!
//! A name is resolved once, every answer is checked, and the connection goes to the checked answer: a name that
//! resolves differently a moment later gains nothing.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use fleetform_engine::public_address::not_public;
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
    fn one_private_answer_spoils_all() {
        let public: SocketAddr = "8.8.8.8:0".parse().expect("an address");
        let private: SocketAddr = "10.0.0.1:0".parse().expect("an address");
        assert!(checked(AddressPolicy::PUBLIC, vec![public]).is_ok());
        assert!(checked(AddressPolicy::PUBLIC, vec![public, private]).is_err());
    }
}
