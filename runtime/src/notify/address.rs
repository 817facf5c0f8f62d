//! Which addresses a webhook may be sent to. The URL comes from a file that many people may edit, and the function that
//! calls it runs inside the account's trust boundary, so only addresses of the public internet are allowed.
//!
//! A name is resolved once, every address in the answer is checked, and the connection goes to a checked address. A
//! name that resolves differently a moment later gains nothing.

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
    /// The address itself.
    pub address: IpAddr,
    /// A description of its kind.
    pub kind: &'static str,
}

/// Which addresses may be connected to.
#[derive(Clone, Copy, Debug)]
pub struct AddressPolicy(fn(IpAddr) -> Option<&'static str>);

impl AddressPolicy {
    /// Public addresses only.
    pub const PUBLIC: Self = Self(not_public);

    /// A policy from a function that returns the kind of an address if it is refused.
    pub const fn new(refuses: fn(IpAddr) -> Option<&'static str>) -> Self {
        Self(refuses)
    }

    /// Checks an address.
    pub fn check(self, address: IpAddr) -> Result<(), Refused> {
        match (self.0)(address) {
            None => Ok(()),
            Some(kind) => Err(Refused { address, kind }),
        }
    }
}

/// Resolves names with the operating system, and returns only what the policy allows.
#[derive(Clone, Copy, Debug)]
pub struct CheckedResolver(pub AddressPolicy);

impl Resolve for CheckedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let policy = self.0;
        Box::pin(async move {
            // The client replaces this port by that of the URL.
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            Ok(checked(policy, found.collect())?)
        })
    }
}

/// All addresses, or none: a name with both public and private addresses is not trusted at all.
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
