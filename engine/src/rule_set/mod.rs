//! The compiled rule set: the one artifact that passes from the generator to the runtime.
//!
//! The consumer owns the format, so it is defined here. A rule set is immutable and addressed by the SHA-256 of its
//! canonical bytes ([`RuleSet::to_bytes`]). [`RuleSet::from_bytes`] repeats every check of the generator, since an
//! artifact may have been written by another version.

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

/// The format version that this code writes, and the highest that it reads.
pub const FORMAT_VERSION: u32 = 1;

/// Everything the runtime knows about a platform in one environment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleSet {
    /// The [`FORMAT_VERSION`] of the writer.
    pub format_version: u32,
    /// Name of the platform: `platform.name` in the platform file.
    pub platform: PlatformName,
    /// Id of the environment that the set was generated for.
    pub environment: EnvironmentId,
    /// Where to find the parts of a message, and how to read them.
    pub message: MessageFormat,
    /// Longest delay between a sample's time and its firing, in milliseconds. A later firing goes to the history
    /// only.
    pub max_alert_delay_ms: Millis,
    /// Zones by id.
    pub zones: BTreeMap<ZoneId, Zone>,
    /// Device types by id.
    pub device_types: BTreeMap<DeviceTypeId, DeviceType>,
    /// Severities by id.
    pub severities: BTreeMap<SeverityId, Severity>,
    /// Contacts by id, without addresses: those are subscriptions of the contact's topics.
    pub contacts: BTreeMap<ContactId, Contact>,
    /// Who is notified of which alerts, tried in order; a match on a route without `continue` ends the search.
    pub routes: Vec<Route>,
    /// Rules by id, including disabled ones, which an override may enable. Shared, because they are most of a large
    /// rule set.
    pub rules: Arc<BTreeMap<RuleId, Rule>>,
}

impl RuleSet {
    /// Returns the platform's description of the reading that an alert is about. `None` for health values, and for
    /// kinds of rule that read no samples.
    pub fn reading_of(&self, alert: &crate::effect::Alert) -> Option<&Reading> {
        self.device_types.get(alert.device_type.as_ref()?)?.readings.get(alert.metric.as_ref()?)
    }
}

/// Where the parts of a message lie. A path is a list of keys joined by `.`, from the message's root.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MessageFormat {
    /// Path of the device id in the message, which is compared with the id in the topic and never trusted.
    pub device_id: SmolStr,
    /// Path of the device's time.
    pub timestamp: SmolStr,
    /// Encoding of that time.
    pub timestamp_format: TimestampFormat,
    /// Path of the object of readings.
    pub readings: SmolStr,
    /// Path of the array of samples in a batched message; `None` if messages are never batched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch: Option<SmolStr>,
    /// Path of each health value. Every device type has these as metrics.
    pub health: BTreeMap<MetricId, SmolStr>,
    /// How far a device's time may lie after the ingest time, in milliseconds. Beyond it, the ingest time is used
    /// instead.
    pub max_future_skew_ms: Millis,
    /// How far a device's time may lie before the ingest time, in milliseconds. An older sample is stored but not
    /// evaluated.
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
    /// Store it with the message; no rule evaluates it.
    Store,
    /// Drop it and count it.
    Drop,
    /// Quarantine the whole message as `unknown_reading`.
    Reject,
}

/// A place with devices in it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Zone {
    /// Display name.
    pub title: SmolStr,
    /// Id of the enclosing zone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<ZoneId>,
    /// IANA name of the time zone, such as `Europe/Berlin`.
    pub timezone: SmolStr,
    /// Ids of the contacts that `"zone"` stands for in a route.
    pub contacts: Vec<ContactId>,
}

/// What devices of one type send, and how often.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeviceType {
    /// Time between two samples, in milliseconds.
    pub report_every_ms: Millis,
    /// Time between two messages, in milliseconds.
    pub send_every_ms: Millis,
    /// Silence after which a device counts as offline, in milliseconds.
    pub offline_after_ms: Millis,
    /// Readings that its devices measure, by metric.
    pub readings: BTreeMap<MetricId, Reading>,
    /// Values that are set for each device at registration, by attribute.
    pub attributes: BTreeMap<AttributeId, Attribute>,
}

/// One measured value of a device type.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reading {
    /// Its key in the message's object of readings.
    pub key: SmolStr,
    /// Type and bounds of its values.
    pub value: ValueType,
    /// Whether a message is quarantined as `missing_reading` if a sample lacks it.
    pub required: bool,
    /// UCUM code of its unit; empty if it has none.
    pub unit: SmolStr,
}

/// The values that a reading may take. A value outside its bounds is quarantined as `out_of_range`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ValueType {
    /// A finite number with a magnitude of at most 1e15.
    Float {
        /// Lowest value, inclusive.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        min: Option<Finite>,
        /// Highest value, inclusive.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        max: Option<Finite>,
    },
    /// An integer.
    Int {
        /// Lowest value, inclusive.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        min: Option<Finite>,
        /// Highest value, inclusive.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        max: Option<Finite>,
    },
    /// `true` or `false`.
    Bool,
    /// One of these words, in the order of the file.
    Enum {
        /// The words, in the order of the file.
        values: Vec<SmolStr>,
    },
    /// Any string.
    String,
}

/// A value set for each device when it is registered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attribute {
    /// Value of a device that was registered without the attribute. Attributes are numbers.
    pub default: Finite,
    /// UCUM code of its unit; empty if it has none.
    pub unit: SmolStr,
}

/// How urgent an alert is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Severity {
    /// Rank by urgency; 1 is the most urgent.
    pub rank: u32,
    /// Minimum time between two notices of one rule on one device, by ingest time, in milliseconds.
    pub cooldown_ms: Millis,
    /// Time between two notices of an alert that keeps firing, in milliseconds; `None` if it is notified only once.
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
    /// Its webhook; `None` if it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook: Option<Webhook>,
}

/// A webhook. The key that signs its messages is looked up by reference when it is needed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Webhook {
    /// The URL: `https` only, without user, password or query.
    pub url: SmolStr,
    /// Reference to the signing key: `secretsmanager:NAME` or `ssm:NAME`; `None` if messages are not signed.
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

    /// The channel's name in the platform file, in metrics and in topic names.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sms => "sms",
            Self::Email => "email",
            Self::Webhook => "webhook",
        }
    }
}

/// Who is notified of which alerts, and through which channels.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// The alerts that the route applies to.
    #[serde(rename = "match")]
    pub matches: Match,
    /// The recipients of its notices.
    pub to: Vec<Recipient>,
    /// The channels to use. A contact that has none of them is reached through its others.
    pub channels: BTreeSet<Channel>,
    /// Whether later routes are tried as well.
    #[serde(rename = "continue")]
    pub continues: bool,
}

/// A condition on an alert. An empty set matches everything; the sets are joined by "and".
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Match {
    /// Severity ids.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub severities: BTreeSet<SeverityId>,
    /// Rule ids.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub rules: BTreeSet<RuleId>,
    /// Zone ids, with the ids of nested zones included.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub zones: BTreeSet<ZoneId>,
    /// Device type ids.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub device_types: BTreeSet<DeviceTypeId>,
}

/// A recipient named by a route.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Recipient {
    /// The contacts of the device's zone.
    Zone,
    /// A contact by id.
    Contact(ContactId),
}
