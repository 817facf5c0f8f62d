//! The checked model: what a platform file means, for each of its environments.
//!
//! One file per element: what the user writes, what it means, and the check between. A value of these types needs no
//! further check, and its references resolve.

pub mod channels;
pub mod contact;
pub mod deploy;
pub mod device_type;
pub mod environment;
pub mod identity;
pub mod message;
pub mod mqtt;
pub mod observe;
pub mod processor;
pub mod route;
pub mod rule;
pub mod security;
pub mod severity;
pub mod stream;
pub mod zone;

use std::collections::BTreeMap;

use fleetform_engine::{
    ids::{ContactId, DeviceTypeId, EnvironmentId, PlatformName, RuleId, SeverityId, ZoneId},
    units::Millis,
};
use smol_str::SmolStr;

/// A platform file: one [`Platform`] for each environment.
#[derive(Clone, Debug, PartialEq)]
pub struct Project {
    /// `platform.name`, the same in every environment.
    pub name: PlatformName,
    /// The environment that commands take when none is named.
    pub default_environment: EnvironmentId,
    /// Each environment, with its `set` applied.
    pub environments: BTreeMap<EnvironmentId, Platform>,
}

/// The platform as one environment sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct Platform {
    /// `platform.name`.
    pub name: PlatformName,
    /// `platform.owner`: who answers for it.
    pub owner: Option<SmolStr>,
    /// `platform.description`.
    pub description: Option<SmolStr>,
    /// `platform.tags`: tags of every resource that takes tags.
    pub tags: BTreeMap<SmolStr, SmolStr>,
    /// Where it is deployed.
    pub environment: environment::Environment,
    /// Topics.
    pub mqtt: mqtt::Mqtt,
    /// The shape of a message.
    pub message: message::Message,
    /// How devices prove who they are.
    pub identity: identity::Identity,
    /// Places.
    pub zones: BTreeMap<ZoneId, zone::Zone>,
    /// Kinds of device.
    pub device_types: BTreeMap<DeviceTypeId, device_type::DeviceType>,
    /// The telemetry stream.
    pub stream: stream::Stream,
    /// The function that evaluates it.
    pub processor: processor::Processor,
    /// Severities.
    pub severities: BTreeMap<SeverityId, severity::Severity>,
    /// Who is told.
    pub contacts: BTreeMap<ContactId, contact::Contact>,
    /// What is common to all contacts of a channel.
    pub channels: channels::Channels,
    /// Which alert goes where.
    pub routes: Vec<fleetform_engine::rule_set::Route>,
    /// How long the alert history is kept.
    pub alert_retention: Millis,
    /// Rules.
    pub rules: BTreeMap<RuleId, fleetform_engine::rule_set::Rule>,
    /// What is watched.
    pub observe: observe::Observe,
    /// Keys, boundaries, audits.
    pub security: security::Security,
    /// How it is deployed.
    pub deploy: deploy::Deploy,
    /// `[overrides.<LogicalId>]`: properties merged over those of a resource, as JSON.
    pub overrides: BTreeMap<SmolStr, serde_json::Map<String, serde_json::Value>>,
}
