//! A rule as the artifact has it: the metric that it reads, its condition, and the notices that it sends.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use crate::{
    ids::{AttributeId, ContactId, DeviceTypeId, MetricId, RuleId, SeverityId, ZoneId},
    units::{Finite, Millis},
};

/// The condition for an alert, and what its notices contain.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Id of the metric that the rule reads; `None` for kinds that read no samples.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metric: Option<MetricId>,
    /// The condition on a value.
    pub condition: Condition,
    /// Id of the severity of its alerts.
    pub severity: SeverityId,
    /// Ids of the zones that it covers, including nested zones; empty for everywhere.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub zones: BTreeSet<ZoneId>,
    /// Ids of the device types that it covers; never empty.
    pub device_types: BTreeSet<DeviceTypeId>,
    /// How long the condition must hold.
    pub hold: Hold,
    /// How long the value must be clear before an alert resolves, in milliseconds.
    pub keep_firing_for_ms: Millis,
    /// Number of samples of a device before the first evaluation.
    pub min_samples: u32,
    /// When the rule is active, in the time of the device's zone; `None` for always.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active: Option<Active>,
    /// Number of firings above which a single notice reports flapping, with no further notices until the rule is
    /// quiet. `None` for no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flap_limit: Option<FlapLimit>,
    /// Whether it is evaluated.
    pub enabled: bool,
    /// Whether it is evaluated without ever notifying.
    pub shadow: bool,
    /// Ids of contacts that are notified in addition to those of the routes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notify: Vec<ContactId>,
    /// Text of a notice, with placeholders such as `{device}`, `{zone}`, `{value}`, `{threshold}` and `{duration}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<SmolStr>,
    /// Runbook for the operator, as the platform file gives it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runbook: Option<SmolStr>,
    /// Owner who is responsible for the rule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<SmolStr>,
}

/// The condition of a rule, with the value at which it clears.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Condition {
    /// `value operator threshold`.
    Threshold {
        /// The comparison of the value with the threshold.
        operator: Operator,
        /// The right-hand side of the comparison.
        threshold: Threshold,
        /// The value beyond which an alert clears; `None` for the threshold itself.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        clear: Option<Finite>,
    },
    /// `value < min || value > max`.
    Range {
        /// Lowest good value.
        min: Finite,
        /// Highest good value.
        max: Finite,
    },
    /// `(value − previous value) ÷ (t − previous t) × per operator threshold`.
    RateOfChange {
        /// The comparison of the rate with the threshold.
        operator: Operator,
        /// Change of the value in `per_ms`, in the metric's unit.
        threshold: Finite,
        /// The time that the threshold refers to, in milliseconds.
        per_ms: Millis,
        /// The rate beyond which an alert clears; `None` for the threshold itself.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        clear: Option<Finite>,
    },
    /// The value equals `equals`; where `from` is given, it must have come directly from that value.
    State {
        /// The word or boolean, as in the message.
        equals: StateValue,
        /// The value directly before it; `None` for any.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from: Option<StateValue>,
    },
    /// The value lies too many standard deviations from what the device's own past predicts.
    Anomaly {
        /// How mean and deviation are estimated.
        method: AnomalyMethod,
        /// How far back the past reaches, in milliseconds.
        window_ms: Millis,
        /// Score from which a sample is anomalous, in deviations.
        sensitivity: Finite,
        /// Lower bound of the deviation, in the metric's unit; above zero.
        min_std: Finite,
        /// Lower bound of the deviation, as a fraction of the mean's magnitude.
        min_rel_std: Finite,
        /// Number of consecutive anomalous samples that breach.
        min_consecutive: u32,
        /// How long anomalous samples stay out of the past, in milliseconds. If they last longer, they are the new
        /// normal.
        rebaseline_after_ms: Millis,
        /// The side of the mean that counts.
        direction: Direction,
    },
    /// The device has sent nothing for longer than this, or, if `None`, for longer than its type's `offline_after`.
    NoData {
        /// The longest silence allowed, in milliseconds.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        after_ms: Option<Millis>,
    },
    /// The value stays within `tolerance` of what it was when the hold started.
    Flatline {
        /// The largest difference that does not count as a change.
        tolerance: Finite,
    },
    /// At least `at_least` samples within `window_ms` meet a condition.
    Count {
        /// Which samples are counted.
        of: CountOf,
        /// Length of the window, in milliseconds.
        window_ms: Millis,
        /// Number of counted samples that breach; at most [`COUNT_MAX`](super::COUNT_MAX).
        at_least: u32,
    },
    /// Too many of a zone's devices are in a given state. Its instances are the zones, not the devices.
    Fleet {
        /// The state that is counted.
        of: FleetOf,
        /// The comparison of the fleet's part with the threshold.
        operator: Operator,
        /// The right-hand side of the comparison.
        threshold: FleetLimit,
    },
    /// Other rules of the same device fire: all of `all`, one of `any` unless that is empty, none of `not`.
    Composite {
        /// Rules that must all fire.
        #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
        all: BTreeSet<RuleId>,
        /// Rules of which one must fire.
        #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
        any: BTreeSet<RuleId>,
        /// Rules of which none may fire.
        #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
        not: BTreeSet<RuleId>,
    },
    /// The device itself has raised an alarm, on its `alerts` channel.
    DeviceAlarm {
        /// Alarm codes that count; empty for all.
        #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
        codes: BTreeSet<AlarmCode>,
    },
}

/// The code of a device's alarm: 1 to 64 printable characters.
pub type AlarmCode = SmolStr;

/// How an anomaly rule estimates mean and deviation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AnomalyMethod {
    /// Exponentially weighted, with the window as time constant.
    Ewma,
    /// Over twelve buckets of the window.
    Zscore,
    /// Median and median absolute deviation of the last samples (Hampel).
    Mad,
}

/// Which side of the mean counts as anomalous.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Both sides.
    Both,
    /// Above the mean only.
    Up,
    /// Below the mean only.
    Down,
}

/// Which samples a count rule counts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CountOf {
    /// Those for which `value operator threshold` holds.
    Compared {
        /// The comparison of the value with the threshold.
        operator: Operator,
        /// The right-hand side of the comparison.
        threshold: Finite,
    },
    /// Those that have this value.
    Equal {
        /// The word or boolean.
        equals: StateValue,
    },
}

/// The state of a device that a fleet rule counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FleetOf {
    /// The device is offline.
    Offline,
    /// A rule fires on the device.
    Rule(RuleId),
}

/// The limit for the part of a fleet.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FleetLimit {
    /// A number of devices.
    Devices(Finite),
    /// A percentage of the registered devices.
    Percent(Finite),
}

/// The hours and days at which a rule is active, by the clock of the device's zone. If `from` is after `to`, the time
/// runs past midnight and belongs to the day on which it starts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Active {
    /// Days; empty for all.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub days: BTreeSet<Weekday>,
    /// Minute of the day at which it starts.
    pub from_minute: u16,
    /// Minute of the day before which it ends; 1,440 for midnight.
    pub to_minute: u16,
}

/// A day of the week.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Weekday {
    /// Monday.
    Mon,
    /// Tuesday.
    Tue,
    /// Wednesday.
    Wed,
    /// Thursday.
    Thu,
    /// Friday.
    Fri,
    /// Saturday.
    Sat,
    /// Sunday.
    Sun,
}

/// How often a rule may fire on a device before it counts as flapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FlapLimit {
    /// Number of firings allowed.
    pub firings: u32,
    /// Time in which they are counted, in milliseconds.
    pub per_ms: Millis,
}

impl FlapLimit {
    /// The default in the platform file: five an hour.
    pub const DEFAULT: Self = Self { firings: 5, per_ms: Millis::from_secs(3_600) };
}

/// A value of an enum or boolean reading.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(untagged)]
pub enum StateValue {
    /// Of a boolean reading.
    Bool(bool),
    /// Of an enum reading.
    Word(SmolStr),
}

/// How a value is compared with a threshold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Operator {
    /// `>`
    #[serde(rename = ">")]
    Above,
    /// `>=`
    #[serde(rename = ">=")]
    AtLeast,
    /// `<`
    #[serde(rename = "<")]
    Below,
    /// `<=`
    #[serde(rename = "<=")]
    AtMost,
    /// `==`
    #[serde(rename = "==")]
    Equal,
    /// `!=`
    #[serde(rename = "!=")]
    NotEqual,
}

impl Operator {
    /// Returns the operator's symbol.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Above => ">",
            Self::AtLeast => ">=",
            Self::Below => "<",
            Self::AtMost => "<=",
            Self::Equal => "==",
            Self::NotEqual => "!=",
        }
    }

    /// Whether `value operator threshold` holds.
    pub fn holds(self, value: Finite, threshold: Finite) -> bool {
        match self {
            Self::Above => value > threshold,
            Self::AtLeast => value >= threshold,
            Self::Below => value < threshold,
            Self::AtMost => value <= threshold,
            Self::Equal => value == threshold,
            Self::NotEqual => value != threshold,
        }
    }
}

/// What a value is compared with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Threshold {
    /// A number that is the same for all devices.
    Fixed(Finite),
    /// An attribute of each device.
    Attribute {
        /// Id of the attribute.
        attribute: AttributeId,
        /// Threshold for devices and device types without the attribute.
        default: Finite,
    },
}

/// How long a condition must hold before the rule fires.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "snake_case", deny_unknown_fields)]
pub enum Hold {
    /// For a length of time, measured by the samples' own times. Zero fires at once.
    Duration {
        /// Minimum time, in milliseconds; reaching it exactly is enough.
        duration_ms: Millis,
        /// What a gap in the samples does.
        on_gap: OnGap,
        /// The longest time between two samples that does not count as a gap, in milliseconds; `None` for three times
        /// the device type's `report_every`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        max_gap_ms: Option<Millis>,
    },
    /// In `breach` of the last `of` samples.
    Samples {
        /// Number of samples that must breach.
        breach: u32,
        /// Number of samples looked at.
        of: u32,
    },
}

/// Returns the longest time between two samples that does not count as a gap, for a rule that does not set its own.
pub fn default_max_gap(report_every: Millis) -> Millis {
    Millis(report_every.0.saturating_mul(3))
}

/// What a gap in the samples does to a condition that is being timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnGap {
    /// The time starts again.
    Reset,
    /// The time continues.
    Hold,
}
