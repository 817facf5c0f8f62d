//! The compiled rule set: the one artifact that passes from the generator to the runtime.
//!
//! The consumer owns the format, so it lies here. A rule set is immutable and addressed by the SHA-256 of its
//! canonical bytes ([`RuleSet::to_bytes`]); [`RuleSet::from_bytes`] checks again everything that the generator
//! checked, since an artifact may have been written by another version.

mod bytes;
mod check;
mod check_rule;
mod read;
mod rule;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use crate::{
    ids::{AttributeId, ContactId, DeviceTypeId, EnvironmentId, MetricId, PlatformName, RuleId, SeverityId, ZoneId},
    units::{Finite, Millis},
};

pub use check::{ENUM_WORDS_MAX, Invalid, LENGTH_MAX, METRICS_MAX, SAMPLES_OF_MAX};
pub use check_rule::{
    ALARM_CODE_CHARACTERS_MAX, COMPOSITE_DEPTH_MAX, COMPOSITE_RULES_MAX, CONSECUTIVE_MAX, COUNT_MAX, COUNT_WINDOW_MAX,
    FLAP_FIRINGS_MAX, is_alarm_code,
};
pub use read::{RULE_SET_BYTES_MAX, RuleSetError};
pub use rule::{
    Active, AlarmCode, AnomalyMethod, Condition, CountOf, Direction, FlapLimit, FleetLimit, FleetOf, Hold, OnGap,
    Operator, Rule, StateValue, Threshold, Weekday, default_max_gap,
};

/// The version of the format that this code writes, and the highest that it reads.
pub const FORMAT_VERSION: u32 = 1;

/// Everything the runtime knows about a platform in one environment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleSet {
    /// [`FORMAT_VERSION`] of its writer.
    pub format_version: u32,
    /// `platform.name`.
    pub platform: PlatformName,
    /// The environment that it was generated for.
    pub environment: EnvironmentId,
    /// How to read a message.
    pub message: MessageFormat,
    /// A firing seen later than this after its sample's time goes to the history only.
    pub max_alert_delay_ms: Millis,
    /// Every zone.
    pub zones: BTreeMap<ZoneId, Zone>,
    /// Every device type.
    pub device_types: BTreeMap<DeviceTypeId, DeviceType>,
    /// Every severity.
    pub severities: BTreeMap<SeverityId, Severity>,
    /// Every contact, without addresses: those are subscriptions of the contact's topics.
    pub contacts: BTreeMap<ContactId, Contact>,
    /// Who is told, first match first; a route without `continue` ends the search.
    pub routes: Vec<Route>,
    /// Every rule, disabled ones too: an override may enable them. Shared, for they are most of a large rule set.
    pub rules: Arc<BTreeMap<RuleId, Rule>>,
}

impl RuleSet {
    /// How the platform describes the reading that an alert is about; none for health values, and for kinds of rule
    /// that read no samples.
    pub fn reading_of(&self, alert: &crate::effect::Alert) -> Option<&Reading> {
        self.device_types.get(alert.device_type.as_ref()?)?.readings.get(alert.metric.as_ref()?)
    }
}

/// Where the parts of a message lie. A path is keys joined by `.`, from the message's root.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MessageFormat {
    /// Path of the device's own id, which is compared with the topic's and never believed.
    pub device_id: SmolStr,
    /// Path of the device's time.
    pub timestamp: SmolStr,
    /// How that time is written.
    pub timestamp_format: TimestampFormat,
    /// Path of the object of readings.
    pub readings: SmolStr,
    /// Path of the array of samples in a batched message; none where messages are never batched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch: Option<SmolStr>,
    /// Path of each health value. Every device type has these as metrics.
    pub health: BTreeMap<MetricId, SmolStr>,
    /// How far a device's time may lie after the ingest time before the ingest time stands in for it.
    pub max_future_skew_ms: Millis,
    /// How far a device's time may lie before the ingest time before the sample is only stored.
    pub max_past_ms: Millis,
    /// What happens to a reading that the device type does not declare.
    pub unknown_reading: UnknownReading,
}

/// How a device writes a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimestampFormat {
    /// `2026-01-31T10:30:00Z`, as a string.
    Rfc3339,
    /// Seconds since 1970, as a number, with or without a fraction.
    EpochS,
    /// Milliseconds since 1970, as a number.
    EpochMs,
}

/// What happens to a reading that the device type does not declare.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnknownReading {
    /// It is kept with the message and evaluated by no rule.
    Store,
    /// It is left out and counted.
    Drop,
    /// The whole message is quarantined as `unknown_reading`.
    Reject,
}

/// A place with devices in it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Zone {
    /// What people call it.
    pub title: SmolStr,
    /// The zone that it is part of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<ZoneId>,
    /// IANA name.
    pub timezone: SmolStr,
    /// Who is meant by `"zone"` in a route.
    pub contacts: Vec<ContactId>,
}

/// What devices of one type send, and how often.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeviceType {
    /// Time between two samples.
    pub report_every_ms: Millis,
    /// Time between two messages.
    pub send_every_ms: Millis,
    /// Silence after which a device counts as offline.
    pub offline_after_ms: Millis,
    /// What it measures.
    pub readings: BTreeMap<MetricId, Reading>,
    /// What is set for each device when it is registered.
    pub attributes: BTreeMap<AttributeId, Attribute>,
}

/// One measured value of a device type.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reading {
    /// Its key in the message's object of readings.
    pub key: SmolStr,
    /// What values it takes.
    pub value: ValueType,
    /// Whether a sample without it is quarantined as `missing_reading`.
    pub required: bool,
    /// UCUM code of its unit; empty where it has none.
    pub unit: SmolStr,
}

/// What values a reading takes. A value outside its bounds is quarantined as `out_of_range`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ValueType {
    /// Any finite number of at most 1e15.
    Float {
        /// Lowest value.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        min: Option<Finite>,
        /// Highest value.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        max: Option<Finite>,
    },
    /// A whole number.
    Int {
        /// Lowest value.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        min: Option<Finite>,
        /// Highest value.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        max: Option<Finite>,
    },
    /// `true` or `false`.
    Bool,
    /// One of these words, in the order of the file.
    Enum {
        /// The words.
        values: Vec<SmolStr>,
    },
    /// Any text.
    String,
}

/// A value set for each device when it is registered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attribute {
    /// The value of a device that was registered without it. Attributes are numbers.
    pub default: Finite,
    /// UCUM code of its unit; empty where it has none.
    pub unit: SmolStr,
}

/// How urgent an alert is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Severity {
    /// 1 is the most urgent.
    pub rank: u32,
    /// Least time, by ingest time, between two notices of one rule on one device.
    pub cooldown_ms: Millis,
    /// Time between two notices of an alert that goes on firing; none where it is told of once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeat_every_ms: Option<Millis>,
}

/// How a contact is reached.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contact {
    /// Whether it has an SNS topic with SMS subscriptions.
    pub sms: bool,
    /// Whether it has an SNS topic with e-mail subscriptions.
    pub email: bool,
    /// Its webhook.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook: Option<Webhook>,
}

/// A webhook. The key that signs its messages is looked up by reference when it is needed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Webhook {
    /// `https` only, without user, password or query.
    pub url: SmolStr,
    /// `secretsmanager:NAME` or `ssm:NAME`; none where messages are not signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<SmolStr>,
}

/// A way to reach a contact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Channel {
    /// A text message, through the contact's SNS topic.
    Sms,
    /// An e-mail, through the contact's SNS topic.
    Email,
    /// A signed HTTPS request.
    Webhook,
}

impl Channel {
    /// Every channel.
    pub const ALL: [Self; 3] = [Self::Sms, Self::Email, Self::Webhook];

    /// The word for it in the platform file, in metrics and in the names of topics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sms => "sms",
            Self::Email => "email",
            Self::Webhook => "webhook",
        }
    }
}

/// Who is told of which alerts, and how.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// Which alerts.
    #[serde(rename = "match")]
    pub matches: Match,
    /// Who.
    pub to: Vec<Recipient>,
    /// How; a contact without one of these channels is reached by the others.
    pub channels: BTreeSet<Channel>,
    /// Whether later routes are tried as well.
    #[serde(rename = "continue")]
    pub continues: bool,
}

/// A condition on an alert. An empty set matches everything; the sets are joined by "and".
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Match {
    /// Severities.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub severities: BTreeSet<SeverityId>,
    /// Rules.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub rules: BTreeSet<RuleId>,
    /// Zones, children already spelled out.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub zones: BTreeSet<ZoneId>,
    /// Device types.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub device_types: BTreeSet<DeviceTypeId>,
}

/// One addressee of a route.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Recipient {
    /// The contacts of the device's zone.
    Zone,
    /// A contact by name.
    Contact(ContactId),
}
