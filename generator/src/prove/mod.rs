//! Proves that no device can act as another, that each can do what it must, and that a claim certificate can be used
//! only to become a device.
//!
//! The platform determines the cases: which client tries which operation, and whether AWS IoT must allow it. The
//! evaluator in `fleetform_policy` decides each case against the policies as rendered, overrides included; a case with
//! an unexpected outcome is a surprise. The expected outcome is derived only from the platform, never from a policy.
//! Nothing here prints.

mod cases;
mod claims;
mod shadows;

use std::collections::BTreeMap;

use fleetform_policy::{
    audit::{Bearer, Finding, audit},
    evaluate::{Certificate, Connection, Outcome, Policy, ThingReading, Unreadable, attempt},
};
use serde_json::Value;
use smol_str::SmolStr;

pub use cases::Column;
use cases::{Client, Planned, planned};

use crate::{platform::Platform, stacks};

/// The result for one environment.
#[derive(Clone, Debug, PartialEq)]
pub struct Proof {
    /// The length of each policy, in characters as AWS IoT counts them.
    pub policies: BTreeMap<String, usize>,
    /// Every case, in the order of device types and rows.
    pub cases: Vec<Case>,
    /// The audits' findings.
    pub findings: Vec<Finding>,
    /// Policies that are not fully understood. The cases are decided without them, and nothing is proved.
    pub unreadable: Vec<Unreadable>,
}

/// One case and its outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// The type of the device that tries; `None` for a claim certificate.
    pub device_type: Option<String>,
    /// What is tried, the same for all targets.
    pub row: &'static str,
    /// The target.
    pub column: Column,
    /// The client.
    pub client: String,
    /// The exact operation.
    pub operation: String,
    /// Whether it must be allowed.
    pub must: bool,
    /// Whether it is allowed.
    pub is: bool,
    /// The statement that decided, or what is missing.
    pub why: String,
}

impl Case {
    /// Whether the outcome is not the expected one.
    pub fn is_surprise(&self) -> bool {
        self.must != self.is
    }
}

impl Proof {
    /// The cases whose outcome is not the expected one.
    pub fn surprises(&self) -> impl Iterator<Item = &Case> {
        self.cases.iter().filter(|case| case.is_surprise())
    }

    /// Whether there is nothing to report.
    pub fn holds(&self) -> bool {
        self.unreadable.is_empty() && self.findings.is_empty() && self.surprises().next().is_none()
    }
}

/// Decides every case of a platform against its policies.
pub fn prove(platform: &Platform) -> Proof {
    prove_documents(platform, &stacks::iot_policy_documents(platform))
}

/// Like [`prove`], with other policies in place of the platform's own, keyed by name.
pub fn prove_documents(platform: &Platform, documents: &BTreeMap<SmolStr, Value>) -> Proof {
    let mut proof =
        Proof { policies: BTreeMap::new(), cases: Vec::new(), findings: Vec::new(), unreadable: Vec::new() };
    let mut policies = Vec::new();
    for (name, document) in documents {
        match Policy::read(name, document) {
            Ok(policy) => {
                proof.policies.insert(name.to_string(), policy.chars());
                policies.push(policy);
            }
            Err(unreadable) => proof.unreadable.push(unreadable),
        }
    }
    let bearers = stacks::iot_policy_bearers(platform);
    // The policies of a certificate, either of a device of a type or of a claim.
    let held = |bearer: Bearer, device_type: Option<&str>| -> Vec<Policy> {
        let has = |policy: &&Policy| {
            bearers.get(policy.name()).is_none_or(|(found, only)| {
                *found == bearer && only.as_ref().is_none_or(|only| Some(only.as_str()) == device_type)
            })
        };
        policies.iter().filter(has).cloned().collect()
    };
    for policy in &policies {
        let bearer = bearers.get(policy.name()).map_or(Bearer::Device, |(bearer, _)| *bearer);
        proof.findings.extend(audit(policy, bearer));
    }
    let arn = stacks::iot_arn(platform);
    for device_type in platform.device_types.keys() {
        let held = held(Bearer::Device, Some(device_type.as_str()));
        let planned = planned(platform, device_type).into_iter();
        proof.cases.extend(planned.map(|planned| decide(planned, &held, &arn)));
    }
    if bearers.values().any(|(bearer, _)| *bearer == Bearer::Claim) {
        let held = held(Bearer::Claim, None);
        proof.cases.extend(claims::planned(platform).into_iter().map(|planned| decide(planned, &held, &arn)));
    }
    proof
}

/// Decides a case under both interpretations of which thing a client belongs to, and with every subject that its
/// certificate may have. The outcome is the expected one only if it is in all of them.
fn decide(planned: Planned, policies: &[Policy], arn: &str) -> Case {
    let Planned { device_type, row, column, client, operation, must } = planned;
    let mut outcomes =
        connections(&client).into_iter().map(|connection| attempt(policies, arn, &connection, &operation));
    let first = outcomes.next().expect("a client has a connection");
    let outcome = outcomes.find(|outcome| outcome.is_allowed() != must).unwrap_or(first);
    let is = outcome.is_allowed();
    let why = match outcome {
        Outcome::Allowed { by } => format!("{by} allows it"),
        Outcome::Refused(refusal) => {
            let what = format!("{} on `{}`", refusal.action, refusal.resource);
            match refusal.by {
                Some(by) => format!("{by} denies {what}"),
                None => format!("nothing allows {what}"),
            }
        }
    };
    Case { device_type, row, column, client: client.to_string(), operation: cases::text(&operation), must, is, why }
}

/// The connections that a client may have, without duplicates.
fn connections(client: &Client) -> Vec<Connection> {
    let mut connections = Vec::new();
    for subject in &client.subjects {
        let certificate = Certificate { thing: client.certificate_of.clone(), common_name: subject.clone() };
        let possible = match &client.client_id {
            Some(id) => ThingReading::ALL
                .map(|reading| Connection::mqtt(&certificate, id, client.is_registered, reading))
                .to_vec(),
            None => vec![Connection::https(&certificate)],
        };
        for connection in possible {
            if !connections.contains(&connection) {
                connections.push(connection);
            }
        }
    }
    connections
}

#[cfg(test)]
mod tests;
