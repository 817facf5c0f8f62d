//! A rule as the artifact has it: the metric that it reads, its condition, and what is said when it fires.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use crate::{
    ids::{AttributeId, ContactId, DeviceTypeId, MetricId, RuleId, SeverityId, ZoneId},
    units::{Finite, Millis},
};

/// What must hold for an alert, and what is said then.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// The metric that it reads; none for kinds that read no samples.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metric: Option<MetricId>,
    /// The condition on a value.
    pub condition: Condition,
    /// How urgent its alerts are.
    pub severity: SeverityId,
    /// Where it holds, children already spelled out; empty for everywhere.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub zones: BTreeSet<ZoneId>,
    /// Device types that it reads; never empty.
    pub device_types: BTreeSet<DeviceTypeId>,
    /// How long the condition must hold.
    pub hold: Hold,
    /// How long the value must be clear before an alert resolves.
    pub keep_firing_for_ms: Millis,
    /// Samples of a device that are seen before the first evaluation.
    pub min_samples: u32,
    /// When it holds, in the time of the device's zone; none for always.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active: Option<Active>,
    /// More firings than this are told of once, as flapping, and then no more until the rule is quiet.
    /// None where no number of firings is too many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flap_limit: Option<FlapLimit>,
    /// Whether it is evaluated.
    pub enabled: bool,
    /// Whether it is evaluated without ever notifying.
    pub shadow: bool,
    /// Contacts that are told as well as those of the routes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notify: Vec<ContactId>,
    /// Text of a notice, with `{device}`, `{zone}`, `{value}`, `{threshold}`, `{duration}` and the like.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<SmolStr>,
    /// Where an operator reads on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runbook: Option<SmolStr>,
    /// Who answers for the rule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<SmolStr>,
}

/// The condition of a rule, with the value at which it clears.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Condition {
    /// `value operator threshold`.
    Threshold {
        /// How they are compared.
        operator: Operator,
        /// With what.
        threshold: Threshold,
        /// The value at whose far side an alert clears; the threshold itself if none.
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
        /// How they are compared.
        operator: Operator,
        /// Change of the value in `per_ms`.
        threshold: Finite,
        /// The time that the threshold is given for.
        per_ms: Millis,
        /// The rate at whose far side an alert clears; the threshold itself if none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        clear: Option<Finite>,
    },
    /// The value equals `equals`; where `from` is given, it must have come directly from that value.
    State {
        /// The word or truth value, as in the message.
        equals: StateValue,
        /// The value before it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from: Option<StateValue>,
    },
    /// The value lies too many standard deviations from what the device's own past lets expect.
    Anomaly {
        /// How mean and deviation are estimated.
        method: AnomalyMethod,
        /// How far back the past reaches.
        window_ms: Millis,
        /// The score from which a sample is anomalous, in deviations.
        sensitivity: Finite,
        /// The least deviation that is reckoned with, in the metric's unit; above zero.
        min_std: Finite,
        /// The least deviation that is reckoned with, as a share of the mean's magnitude.
        min_rel_std: Finite,
        /// So many anomalous samples in a row breach.
        min_consecutive: u32,
        /// Anomalous samples stay out of the past for so long; what lasts longer is the new normal.
        rebaseline_after_ms: Millis,
        /// Which side counts.
        direction: Direction,
    },
    /// The device has sent nothing for longer than this; its type's `offline_after` if none.
    NoData {
        /// The longest silence.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        after_ms: Option<Millis>,
    },
    /// The value stays within `tolerance` of where it was when the hold began.
    Flatline {
        /// The largest difference that is no change.
        tolerance: Finite,
    },
    /// At least `at_least` samples within `window_ms` meet a condition.
    Count {
        /// Which samples are counted.
        of: CountOf,
        /// How far back they are counted.
        window_ms: Millis,
        /// How many of them breach; at most [`COUNT_MAX`](super::COUNT_MAX).
        at_least: u32,
    },
    /// Too large a part of a zone's devices is in a state. Its instances are the zones, not the devices.
    Fleet {
        /// Which state.
        of: FleetOf,
        /// How the part is compared.
        operator: Operator,
        /// With what.
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
    /// The device itself has raised an alarm, on its channel `alerts`.
    DeviceAlarm {
        /// Codes that count; empty for all.
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
    /// Both.
    Both,
    /// Above only.
    Up,
    /// Below only.
    Down,
}

/// Which samples a count rule counts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CountOf {
    /// Those for which `value operator threshold` holds.
    Compared {
        /// How they are compared.
        operator: Operator,
        /// With what.
        threshold: Finite,
    },
    /// Those that have this value.
    Equal {
        /// The word or truth value.
        equals: StateValue,
    },
}

/// Which state of a device a fleet rule counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FleetOf {
    /// It is offline.
    Offline,
    /// A rule fires on it.
    Rule(RuleId),
}

/// What the part of a fleet is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FleetLimit {
    /// A number of devices.
    Devices(Finite),
    /// A share of the registered devices, in per cent.
    Percent(Finite),
}

/// Hours and days at which a rule holds, by the clock of the device's zone. Where `from` is after `to`, the time runs
/// over midnight and belongs to the day on which it begins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Active {
    /// Days; empty for all.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub days: BTreeSet<Weekday>,
    /// Minute of the day at which it begins.
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

/// How often a rule may fire on a device before that is called flapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FlapLimit {
    /// So many firings are fine.
    pub firings: u32,
    /// In this time.
    pub per_ms: Millis,
}

impl FlapLimit {
    /// What the platform file means where it says nothing: five an hour.
    pub const DEFAULT: Self = Self { firings: 5, per_ms: Millis::from_secs(3_600) };
}

/// A value of an enum or bool reading.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(untagged)]
pub enum StateValue {
    /// Of a bool reading.
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
    /// Its sign.
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
    /// The same for all devices.
    Fixed(Finite),
    /// Each device's own attribute.
    Attribute {
        /// The attribute.
        attribute: AttributeId,
        /// For devices and device types without it.
        default: Finite,
    },
}

/// How long a condition must hold before the rule fires.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "snake_case", deny_unknown_fields)]
pub enum Hold {
    /// For a length of time, by the samples' own times. Zero fires at once.
    Duration {
        /// At least this long; reaching it exactly is enough.
        duration_ms: Millis,
        /// What a gap in the samples does.
        on_gap: OnGap,
        /// The longest time between two samples that is no gap; three times the device type's `report_every` if none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        max_gap_ms: Option<Millis>,
    },
    /// In `breach` of the last `of` samples.
    Samples {
        /// So many samples.
        breach: u32,
        /// Of this many.
        of: u32,
    },
}

/// The longest time between two samples that is no gap, unless a rule has its own.
pub fn default_max_gap(report_every: Millis) -> Millis {
    Millis(report_every.0.saturating_mul(3))
}

/// What a gap in the samples does to a condition that is being timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnGap {
    /// The time starts again.
    Reset,
    /// The time runs on.
    Hold,
}
