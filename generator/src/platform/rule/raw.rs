//! `[rules.X]` as it is written: the keys of all kinds in one flat table, including the source system's words.

use std::borrow::Cow;

use fleetform_engine::{
    rule_set::{COMPOSITE_RULES_MAX, CONSECUTIVE_MAX, COUNT_MAX, Operator, SAMPLES_OF_MAX, StateValue},
    units::Finite,
};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};

use super::{KINDS, active::RawActive, flap_limit::FlapLimitWord};
use crate::{
    platform::contact::{PHONE_PATTERN, RawWebhook},
    schema::types::Duration,
};

/// `[rules.X]` as it is written, with the keys of all kinds.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawRule {
    /// The kind of rule.
    #[serde(rename = "type")]
    #[schemars(required)]
    pub(crate) kind: Option<KindWord>,
    /// The metric that it reads: a reading of a device type, or a health value of `message.health`.
    pub(crate) metric: Option<String>,
    /// How urgent its alerts are.
    #[schemars(required)]
    pub(crate) severity: Option<String>,
    /// Zones that it applies to, including the zones in them. Default: everywhere.
    #[schemars(length(min = 1))]
    pub(crate) zones: Option<Vec<String>>,
    /// Device types that it applies to. Default: all that have the metric.
    #[schemars(length(min = 1))]
    pub(crate) device_types: Option<Vec<String>>,
    /// How long the condition must hold before the rule fires. For a `no_data` rule: how long a device must be silent;
    /// the default is then its type's `offline_after`.
    #[schemars(extend("default" = "0s"))]
    pub(crate) duration: Option<Duration>,
    /// Instead of `duration`: the condition must hold in this many of the last samples.
    pub(crate) samples: Option<RawSamples>,
    /// How long the value must be clear before an alert resolves.
    #[schemars(extend("default" = "0s"))]
    pub(crate) keep_firing_for: Option<Duration>,
    /// What a gap in the samples does to `duration`: `reset` restarts it, `hold` lets it continue.
    #[schemars(extend("default" = "reset"))]
    pub(crate) on_gap: Option<RawOnGap>,
    /// The longest time between two samples that does not count as a gap. Default: three times the type's
    /// `report_every`.
    pub(crate) max_gap: Option<Duration>,
    /// Samples of a device before the first evaluation; for an anomaly rule, the samples that its history must contain,
    /// 30 by default.
    #[schemars(range(min = 1, max = 10_000), extend("default" = 1))]
    pub(crate) min_samples: Option<u32>,
    /// Contacts to notify in addition to those of the routes.
    #[schemars(length(max = 50))]
    pub(crate) notify: Option<Vec<String>>,
    /// Addresses to notify of this rule only.
    pub(crate) notifications: Option<Box<RawNotifications>>,
    /// Text of a notice, with placeholders such as `{device}`, `{zone}`, `{value}`, `{threshold}` and `{duration}`.
    #[schemars(length(min = 1, max = 300))]
    pub(crate) summary: Option<String>,
    /// A link to instructions for operators.
    #[schemars(regex(pattern = "^https://"), length(max = 500))]
    pub(crate) runbook: Option<String>,
    /// The person or team that owns the rule.
    #[schemars(length(min = 1, max = 200))]
    pub(crate) owner: Option<String>,
    /// Whether it is evaluated.
    #[schemars(extend("default" = true))]
    pub(crate) enabled: Option<bool>,
    /// Whether it is evaluated without sending notices.
    #[schemars(extend("default" = false))]
    pub(crate) shadow: Option<bool>,
    /// The hours and days in which it is active, in the time zone of the device's zone. Default: always.
    pub(crate) active: Option<RawActive>,
    /// If a rule fires more often than this on one device, one notice reports it as flapping; further notices are
    /// withheld until it has not fired for as long.
    #[schemars(extend("default" = "5/h"))]
    pub(crate) flap_limit: Option<FlapLimitWord>,
    /// How a value is compared with the threshold.
    pub(crate) operator: Option<OperatorWord>,
    /// What a value is compared with: a number, or each device's own attribute; for a fleet rule, a number or a
    /// percentage of devices.
    pub(crate) threshold: Option<RawThreshold>,
    /// The value beyond which an alert clears. Default: the threshold.
    #[schemars(with = "Option<f64>")]
    pub(crate) clear: Option<Finite>,
    /// Lowest good value.
    #[schemars(with = "Option<f64>")]
    pub(crate) min: Option<Finite>,
    /// Highest good value.
    #[schemars(with = "Option<f64>")]
    pub(crate) max: Option<Finite>,
    /// The unit of time that the threshold of a rate refers to.
    pub(crate) per: Option<Duration>,
    /// The word or boolean that raises an alert.
    pub(crate) equals: Option<RawState>,
    /// The required previous value.
    pub(crate) from: Option<RawState>,
    /// How mean and deviation are estimated: `ewma` with decaying weights, `zscore` over the window, `mad` with
    /// medians.
    #[schemars(extend("default" = "ewma"))]
    pub(crate) method: Option<RawMethod>,
    /// How far back samples count.
    #[schemars(extend("examples" = ["1h"]))]
    pub(crate) window: Option<Duration>,
    /// The distance from the mean, in deviations, at which a sample is anomalous.
    #[schemars(with = "Option<f64>", extend("exclusiveMinimum" = 0))]
    pub(crate) sensitivity: Option<Finite>,
    /// The minimum deviation assumed, in the metric's unit, so that small changes are never anomalous.
    #[schemars(with = "Option<f64>", extend("exclusiveMinimum" = 0))]
    pub(crate) min_std: Option<Finite>,
    /// The minimum deviation assumed, as a fraction of the mean.
    #[schemars(with = "Option<f64>", range(min = 0, max = 1), extend("default" = 0))]
    pub(crate) min_rel_std: Option<Finite>,
    /// The number of consecutive anomalous samples that raise an alert.
    #[schemars(range(min = 1, max = CONSECUTIVE_MAX), extend("default" = 3))]
    pub(crate) min_consecutive: Option<u32>,
    /// How long anomalous samples are excluded from the history; a change that lasts longer becomes the new normal.
    #[schemars(extend("default" = "30m"))]
    pub(crate) rebaseline_after: Option<Duration>,
    /// Which side of the mean is anomalous.
    #[schemars(extend("default" = "both"))]
    pub(crate) direction: Option<RawDirection>,
    /// The largest deviation from the earlier value that does not count as a change.
    #[schemars(with = "Option<f64>", range(min = 0), extend("default" = 0))]
    pub(crate) tolerance: Option<Finite>,
    /// The number of samples in the window that raise an alert.
    #[schemars(range(min = 1, max = COUNT_MAX))]
    pub(crate) at_least: Option<u32>,
    /// Rules that must all fire on the device.
    #[schemars(length(min = 1, max = COMPOSITE_RULES_MAX))]
    pub(crate) all: Option<Vec<String>>,
    /// Rules of which at least one must fire on the device.
    #[schemars(length(min = 1, max = COMPOSITE_RULES_MAX))]
    pub(crate) any: Option<Vec<String>>,
    /// Rules of which none may fire on the device.
    #[schemars(length(min = 1, max = COMPOSITE_RULES_MAX))]
    pub(crate) not: Option<Vec<String>>,
    /// Alarm codes that it applies to. Default: all.
    #[schemars(length(min = 1, max = 100))]
    pub(crate) codes: Option<Vec<String>>,
    /// Which devices are counted: those that are `offline`, or those on which the named rule fires.
    pub(crate) of: Option<String>,
    /// Devices are counted per zone, including the zones in it.
    #[schemars(extend("default" = "zone"))]
    pub(crate) group_by: Option<RawGroupBy>,
}

/// `samples` as it is written.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawSamples {
    /// This many samples.
    #[schemars(required, range(min = 1, max = SAMPLES_OF_MAX))]
    pub(crate) breach: Option<u32>,
    /// Out of the last this many.
    #[schemars(required, range(min = 1, max = SAMPLES_OF_MAX))]
    pub(crate) of: Option<u32>,
}

/// What a gap in the samples does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub(crate) enum RawOnGap {
    Reset,
    Hold,
}

/// How an anomaly rule estimates what is normal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub(crate) enum RawMethod {
    Ewma,
    Zscore,
    Mad,
}

/// Which side of the mean is anomalous.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub(crate) enum RawDirection {
    Both,
    Up,
    Down,
}

/// How a fleet rule groups devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub(crate) enum RawGroupBy {
    Zone,
}

/// The source system's format for contacts, inside a rule.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawNotifications {
    /// Phones, E.164.
    #[schemars(length(max = 100), inner(regex(pattern = PHONE_PATTERN)))]
    pub(crate) sms: Option<Vec<String>>,
    /// E-mail addresses.
    #[schemars(length(max = 100))]
    pub(crate) email: Option<Vec<String>>,
    /// A system that receives notices over HTTPS.
    pub(crate) webhook: Option<RawWebhook>,
}

/// The word for a kind of rule.
#[derive(Debug)]
pub(crate) struct KindWord(pub(super) usize);

impl<'de> Deserialize<'de> for KindWord {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = Cow::<str>::deserialize(deserializer)?;
        let index = KINDS.iter().position(|kind| kind.words.contains(&&*word));
        index.map(Self).ok_or_else(|| de::Error::custom("no such kind of rule"))
    }
}

impl JsonSchema for KindWord {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "KindWord".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let words: Vec<&str> = KINDS.iter().flat_map(|kind| kind.words).copied().collect();
        json_schema!({ "type": "string", "enum": words })
    }
}

/// The operators, with the source system's words for them.
pub(crate) const OPERATORS: [(Operator, &str); 6] = [
    (Operator::Above, "GREATER_THAN"),
    (Operator::AtLeast, "GREATER_THAN_OR_EQUAL"),
    (Operator::Below, "LESS_THAN"),
    (Operator::AtMost, "LESS_THAN_OR_EQUAL"),
    (Operator::Equal, "EQUAL"),
    (Operator::NotEqual, "NOT_EQUAL"),
];

/// An operator as written.
#[derive(Debug)]
pub(crate) struct OperatorWord(pub(crate) Operator);

impl<'de> Deserialize<'de> for OperatorWord {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = Cow::<str>::deserialize(deserializer)?;
        let found = OPERATORS.iter().find(|(operator, alias)| operator.as_str() == word || *alias == word);
        found.map(|(operator, _)| Self(*operator)).ok_or_else(|| de::Error::custom("no such operator"))
    }
}

impl JsonSchema for OperatorWord {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "OperatorWord".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let signs = OPERATORS.iter().map(|(operator, _)| operator.as_str());
        let words: Vec<&str> = signs.chain(OPERATORS.iter().map(|(_, alias)| *alias)).collect();
        json_schema!({ "type": "string", "enum": words })
    }
}

/// A threshold as written.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum RawThreshold {
    /// The same for all devices.
    Fixed(Finite),
    /// A percentage.
    Share(String),
    /// Each device's own attribute.
    Attribute {
        /// The attribute.
        attribute: Option<String>,
        /// The value for devices and device types without it.
        default: Option<Finite>,
    },
}

impl JsonSchema for RawThreshold {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Threshold".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["number", "object", "string"],
            "properties": {
                "attribute": { "type": "string", "description": "An attribute of the device types." },
                "default": { "type": "number", "description": "For devices and device types without it." },
            },
            "required": ["attribute", "default"],
            "additionalProperties": false,
        })
    }
}

/// A value of an enum or bool reading, as written.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(transparent)]
pub(crate) struct RawState(pub(crate) StateValue);

impl JsonSchema for RawState {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "State".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "boolean"] })
    }
}
