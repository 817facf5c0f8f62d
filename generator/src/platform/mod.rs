//! The checked model: what a platform file means, for each of its environments.
//!
//! One file per element: what the user writes, what it means, and the check between. A value of these types needs no
//! further check, and its references resolve.

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
    /// Where samples are kept; nowhere in a region that has nothing to keep them in.
    pub storage: Option<storage::Storage>,
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
    /// Rules, the same in every environment.
    pub rules: Arc<BTreeMap<RuleId, fleetform_engine::rule_set::Rule>>,
    /// Tests of the rules, which the file itself holds.
    pub tests: Vec<rule_test::RuleTest>,
    /// What is watched.
    pub observe: observe::Observe,
    /// Keys, boundaries, audits.
    pub security: security::Security,
    /// How it is deployed.
    pub deploy: deploy::Deploy,
    /// `[overrides.<LogicalId>]`: properties merged over those of a resource, as JSON.
    pub overrides: BTreeMap<SmolStr, serde_json::Map<String, serde_json::Value>>,
}

impl Platform {
    /// The named shadows that its devices have, whatever their type.
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
    /// What the platform is called, and by whom it is kept.
    #[schemars(required)]
    pub(crate) platform: Option<about::RawAbout>,
    /// Accounts and regions, and what differs there.
    #[schemars(required, extend("minProperties" = 1, "maxProperties" = 20))]
    pub(crate) environments: Option<Table<EnvironmentId, environment::RawEnvironment>>,
    /// Topics and what devices may do with them.
    pub(crate) mqtt: Option<mqtt::RawMqtt>,
    /// Where the parts of a message lie.
    pub(crate) message: Option<message::RawMessage>,
    /// How devices prove who they are.
    pub(crate) identity: Option<identity::RawIdentity>,
    /// Places with devices in them.
    #[schemars(required, extend("minProperties" = 1))]
    pub(crate) zones: Option<Table<ZoneId, zone::RawZone>>,
    /// What devices of each type send, and how often.
    #[schemars(required, extend("minProperties" = 1))]
    pub(crate) device_types: Option<Table<DeviceTypeId, device_type::RawDeviceType>>,
    /// The telemetry stream.
    pub(crate) stream: Option<stream::RawStream>,
    /// Where samples are kept.
    pub(crate) storage: Option<storage::RawStorage>,
    /// The function that evaluates the stream.
    pub(crate) processor: Option<processor::RawProcessor>,
    /// How urgent alerts are. Default: critical, high, medium and low.
    #[schemars(extend("minProperties" = 1, "maxProperties" = 20))]
    pub(crate) severities: Option<Table<SeverityId, severity::RawSeverity>>,
    /// People and systems that are told.
    pub(crate) contacts: Option<Table<ContactId, contact::RawContact>>,
    /// What is common to all contacts of a channel.
    pub(crate) channels: Option<channels::RawChannels>,
    /// Which alert goes to whom, first match first. Default: every alert to the contacts of its zone.
    #[schemars(length(max = route::ROUTES_MAX))]
    pub(crate) routes: Option<Vec<route::RawRoute>>,
    /// How long things are kept.
    pub(crate) retention: Option<retention::RawRetention>,
    /// When days of samples become files of their own.
    pub(crate) export: Option<export::RawExport>,
    /// What must hold for an alert.
    // There may be ten thousand of these: they are read one by one, from [`rule::RawRules`].
    #[serde(rename = "rules")]
    #[schemars(with = "Option<Table<RuleId, rule::RawRule>>")]
    pub(crate) _rules: Option<de::IgnoredAny>,
    /// Tests of the rules: what a device sends, and where a rule must stand then.
    #[schemars(length(max = rule_test::TESTS_MAX))]
    pub(crate) tests: Option<Vec<rule_test::RawRuleTest>>,
    /// What is watched, and who is told.
    pub(crate) observe: Option<observe::RawObserve>,
    /// Keys, boundaries, audits.
    pub(crate) security: Option<security::RawSecurity>,
    /// How the platform is deployed.
    pub(crate) deploy: Option<deploy::RawDeploy>,
    /// Properties merged over those of a generated resource, by its logical id.
    pub(crate) overrides: Option<BTreeMap<String, serde_json::Map<String, serde_json::Value>>>,
}
