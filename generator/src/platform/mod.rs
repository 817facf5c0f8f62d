//! The checked model: what a platform file means in each of its environments.
//!
//! There is one file per element: its written form, its meaning, and the check between them. A value of these types
//! needs no further checks, and its references resolve.

pub(crate) mod about;
pub(crate) mod arn;
pub mod authority;
pub(crate) mod between;
pub mod channels;
pub mod command;
pub mod contact;
pub mod deploy;
pub mod device_type;
pub mod downsample;
pub mod environment;
pub mod export;
pub mod identity;
pub mod logical_id;
pub mod message;
pub mod mqtt;
pub mod observe;
pub mod processor;
pub(crate) mod reading;
pub(crate) mod recipient;
pub mod region;
pub mod retention;
pub(crate) mod route;
pub(crate) mod rule;
pub mod rule_test;
pub mod security;
pub mod setting;
pub mod severity;
pub mod shadow;
pub mod storage;
pub mod stream;
pub(crate) mod unit;
pub(crate) mod values;
pub(crate) mod webhook;
pub mod zone;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use fleetform_engine::{
    ids::{ContactId, DeviceTypeId, EnvironmentId, PlatformName, RuleId, SeverityId, ShadowName, ZoneId},
    units::Millis,
};
use schemars::JsonSchema;
use serde::{Deserialize, de};
use smol_str::SmolStr;

use crate::schema::types::Table;

/// A platform file: one [`Platform`] for each environment.
#[derive(Clone, Debug, PartialEq)]
pub struct Project {
    /// `platform.name`, the same in every environment.
    pub name: PlatformName,
    /// The environment that commands use when none is named.
    pub default_environment: EnvironmentId,
    /// Each environment, with its `set` applied.
    pub environments: BTreeMap<EnvironmentId, Platform>,
}

/// The platform as one environment sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct Platform {
    /// `platform.name`.
    pub name: PlatformName,
    /// `platform.owner`: the person or team that owns the platform.
    pub owner: Option<SmolStr>,
    /// `platform.description`.
    pub description: Option<SmolStr>,
    /// `platform.tags`: tags for every resource that takes tags.
    pub tags: BTreeMap<SmolStr, SmolStr>,
    /// The account and region that it is deployed to.
    pub environment: environment::Environment,
    /// Topics.
    pub mqtt: mqtt::Mqtt,
    /// The structure of a message.
    pub message: message::Message,
    /// How devices prove their identity.
    pub identity: identity::Identity,
    /// Places.
    pub zones: BTreeMap<ZoneId, zone::Zone>,
    /// Kinds of device.
    pub device_types: BTreeMap<DeviceTypeId, device_type::DeviceType>,
    /// The telemetry stream.
    pub stream: stream::Stream,
    /// Where samples are stored; `None` in a region without a service that can store them.
    pub storage: Option<storage::Storage>,
    /// The function that evaluates the stream.
    pub processor: processor::Processor,
    /// Severities.
    pub severities: BTreeMap<SeverityId, severity::Severity>,
    /// The recipients of notices.
    pub contacts: BTreeMap<ContactId, contact::Contact>,
    /// Settings shared by all contacts of a channel.
    pub channels: channels::Channels,
    /// Which alert goes to which recipients.
    pub routes: Vec<fleetform_engine::rule_set::Route>,
    /// How long the alert history is kept.
    pub alert_retention: Millis,
    /// Rules, the same in every environment.
    pub rules: Arc<BTreeMap<RuleId, fleetform_engine::rule_set::Rule>>,
    /// The rule tests in the file itself.
    pub tests: Vec<rule_test::RuleTest>,
    /// What is monitored.
    pub observe: observe::Observe,
    /// Keys, boundaries, audits.
    pub security: security::Security,
    /// How it is deployed.
    pub deploy: deploy::Deploy,
    /// `[overrides.<LogicalId>]`: properties merged over those of a resource, as JSON.
    pub overrides: BTreeMap<SmolStr, serde_json::Map<String, serde_json::Value>>,
}

impl Platform {
    /// The named shadows of its devices, whatever their type.
    pub fn shadows(&self) -> BTreeSet<&ShadowName> {
        self.device_types.values().flat_map(|device_type| &device_type.shadows).collect()
    }
}

/// A platform file as it is written.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawFile {
    /// Version of this format.
    #[serde(rename = "schema")]
    #[schemars(extend("enum" = [1], "default" = 1))]
    pub(crate) _schema: Option<u32>,
    /// The platform's name, owner and tags.
    #[schemars(required)]
    pub(crate) platform: Option<about::RawAbout>,
    /// Accounts and regions, and the settings that differ there.
    #[schemars(required, extend("minProperties" = 1, "maxProperties" = 20))]
    pub(crate) environments: Option<Table<EnvironmentId, environment::RawEnvironment>>,
    /// Topics, and what devices may do with them.
    pub(crate) mqtt: Option<mqtt::RawMqtt>,
    /// The paths of the parts of a message.
    pub(crate) message: Option<message::RawMessage>,
    /// How devices prove their identity.
    pub(crate) identity: Option<identity::RawIdentity>,
    /// Places with devices in them.
    #[schemars(required, extend("minProperties" = 1))]
    pub(crate) zones: Option<Table<ZoneId, zone::RawZone>>,
    /// What devices of each type send, and how often.
    #[schemars(required, extend("minProperties" = 1))]
    pub(crate) device_types: Option<Table<DeviceTypeId, device_type::RawDeviceType>>,
    /// The telemetry stream.
    pub(crate) stream: Option<stream::RawStream>,
    /// Where samples are stored.
    pub(crate) storage: Option<storage::RawStorage>,
    /// The function that evaluates the stream.
    pub(crate) processor: Option<processor::RawProcessor>,
    /// How urgent alerts are. Default: critical, high, medium and low.
    #[schemars(extend("minProperties" = 1, "maxProperties" = 20))]
    pub(crate) severities: Option<Table<SeverityId, severity::RawSeverity>>,
    /// People and systems that receive notices.
    pub(crate) contacts: Option<Table<ContactId, contact::RawContact>>,
    /// Settings shared by all contacts of a channel.
    pub(crate) channels: Option<channels::RawChannels>,
    /// Which alert goes to which recipients; the first match applies. Default: every alert goes to the contacts of its
    /// zone.
    #[schemars(length(max = route::ROUTES_MAX))]
    pub(crate) routes: Option<Vec<route::RawRoute>>,
    /// How long things are kept.
    pub(crate) retention: Option<retention::RawRetention>,
    /// When days of samples are exported to files.
    pub(crate) export: Option<export::RawExport>,
    /// Conditions that raise alerts.
    // There may be ten thousand rules, so they are read one at a time, from [`rule::RawRules`].
    #[serde(rename = "rules")]
    #[schemars(with = "Option<Table<RuleId, rule::RawRule>>")]
    pub(crate) _rules: Option<de::IgnoredAny>,
    /// Tests of the rules: what a device sends, and the expected state of a rule.
    #[schemars(length(max = rule_test::TESTS_MAX))]
    pub(crate) tests: Option<Vec<rule_test::RawRuleTest>>,
    /// What is monitored, and which contacts are notified.
    pub(crate) observe: Option<observe::RawObserve>,
    /// Keys, boundaries, audits.
    pub(crate) security: Option<security::RawSecurity>,
    /// How the platform is deployed.
    pub(crate) deploy: Option<deploy::RawDeploy>,
    /// Properties merged over those of a generated resource, by its logical id.
    pub(crate) overrides: Option<BTreeMap<String, serde_json::Map<String, serde_json::Value>>>,
}
