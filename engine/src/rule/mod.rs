//! The conditions of rules, one file per kind. A condition looks at one sample and what came before it. It does not
//! know how long it must hold or who is notified.

pub(crate) mod anomaly;
pub(crate) mod composite;
pub(crate) mod count;
pub(crate) mod flatline;
pub(crate) mod fleet;
pub(crate) mod limits;
pub(crate) mod memory;
mod range;
mod rate_of_change;
mod state;
mod threshold;

use smol_str::SmolStr;

use memory::Memory;

use crate::{
    compiled::Kind,
    effect::Evidence,
    ids::AttributeId,
    rule_set::{self, Condition, CountOf, Hold, Operator},
    units::{Finite, Millis, Timestamp},
    value::Value,
};

/// A compiled condition.
#[derive(Debug)]
pub(crate) enum Test {
    Threshold(threshold::Threshold),
    Range(range::Range),
    RateOfChange(rate_of_change::RateOfChange),
    State(state::State),
    Anomaly(anomaly::Anomaly),
    Flatline(flatline::Flatline),
    Count(count::Count),
    /// Moved by silence.
    NoData {
        /// The longest silence allowed; `None` for that of the device type.
        after: Option<Millis>,
    },
    /// Moved by other rules.
    Composite(composite::Composite),
    /// Moved by the device's own alarms.
    DeviceAlarm {
        /// Alarm codes that count, sorted; empty for all.
        codes: Vec<SmolStr>,
    },
    /// Moved by what devices report to their fleet.
    Fleet(fleet::Fleet),
}

/// The input of a condition.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen<'a> {
    pub(crate) value: Value,
    pub(crate) at: Timestamp,
    /// The metric's previous sample.
    pub(crate) previous: Option<(Value, Timestamp)>,
    /// Values of the device's attributes, in the order of its type.
    pub(crate) attributes: &'a [Finite],
}

/// The result of a condition.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Finding {
    /// The condition holds.
    pub(crate) breach: bool,
    /// The value is good enough for an alert to end. Set together with `breach` only where a line has started that
    /// may become a flat one.
    pub(crate) clear: bool,
    /// The value that was compared.
    pub(crate) value: Value,
    /// When the condition started to hold, where the state machine does not determine it.
    pub(crate) since: Option<Timestamp>,
    /// Evidence that explains the value.
    pub(crate) evidence: Option<Evidence>,
    /// Number of samples learned so far, while a condition does not know the device well enough yet.
    pub(crate) learned: Option<u32>,
}

impl Finding {
    /// Creates a finding that needs no explanation.
    pub(crate) fn new(breach: bool, clear: bool, value: Value) -> Self {
        Self { breach, clear, value, since: None, evidence: None, learned: None }
    }
}

impl Test {
    /// Compiles the condition of a rule for devices of one type.
    pub(crate) fn new(
        rule: &rule_set::Rule,
        kind: Option<&Kind>,
        attributes: &[(AttributeId, Finite)],
        report_every: Millis,
    ) -> Self {
        match &rule.condition {
            Condition::Threshold { operator, threshold, clear } => {
                Self::Threshold(threshold::Threshold::new(*operator, threshold, *clear, attributes))
            }
            Condition::Range { min, max } => Self::Range(range::Range::new(*min, *max)),
            Condition::RateOfChange { operator, threshold, per_ms, clear } => {
                Self::RateOfChange(rate_of_change::RateOfChange::new(*operator, *threshold, *per_ms, *clear))
            }
            Condition::State { equals, from } => match kind {
                Some(kind) => Self::State(state::State::new(equals, from.as_ref(), kind)),
                None => unreachable!("a rule set is checked before it is compiled"),
            },
            Condition::Anomaly {
                method,
                window_ms,
                sensitivity,
                min_std,
                min_rel_std,
                min_consecutive,
                rebaseline_after_ms,
                direction,
            } => Self::Anomaly(anomaly::Anomaly {
                method: *method,
                window: *window_ms,
                sensitivity: *sensitivity,
                min_std: *min_std,
                min_rel_std: *min_rel_std,
                min_consecutive: *min_consecutive,
                rebaseline_after: *rebaseline_after_ms,
                direction: *direction,
                min_samples: rule.min_samples,
                ring: anomaly::ring(*window_ms, report_every),
            }),
            Condition::Flatline { tolerance } => {
                let Hold::Duration { duration_ms: length, on_gap, max_gap_ms } = rule.hold else {
                    unreachable!("a rule set is checked before it is compiled")
                };
                let max_gap = max_gap_ms.unwrap_or(rule_set::default_max_gap(report_every));
                Self::Flatline(flatline::Flatline { tolerance: *tolerance, length, on_gap, max_gap })
            }
            Condition::Count { of, window_ms, at_least } => {
                let of = match (of, kind) {
                    (CountOf::Compared { operator, threshold }, _) => {
                        count::Of::Compared { operator: *operator, threshold: *threshold }
                    }
                    (CountOf::Equal { equals }, Some(kind)) => count::Of::Equal(state::value_of(equals, kind)),
                    (CountOf::Equal { .. }, None) => unreachable!("a rule set is checked before it is compiled"),
                };
                Self::Count(count::Count { of, window: *window_ms, at_least: *at_least })
            }
            Condition::NoData { after_ms } => Self::NoData { after: *after_ms },
            Condition::Composite { all, any, not } => Self::Composite(composite::Composite::new(all, any, not)),
            Condition::DeviceAlarm { codes } => Self::DeviceAlarm { codes: codes.iter().cloned().collect() },
            Condition::Fleet { of, operator, threshold } => Self::Fleet(fleet::Fleet::new(of, *operator, *threshold)),
        }
    }

    /// Whether the condition remembers anything about a device.
    pub(crate) fn remembers(&self) -> bool {
        match self {
            Self::Threshold(_)
            | Self::Range(_)
            | Self::RateOfChange(_)
            | Self::NoData { .. }
            | Self::Composite(_)
            | Self::Fleet(_) => false,
            Self::State(test) => test.remembers(),
            Self::Anomaly(_) | Self::Flatline(_) | Self::Count(_) | Self::DeviceAlarm { .. } => true,
        }
    }

    /// Returns the comparisons of which one holds exactly when the condition does, if they are the whole condition: a
    /// value is compared with numbers that are the same for all devices, and with nothing that came before.
    pub(crate) fn limits(&self) -> Option<[Option<(Operator, Finite)>; 2]> {
        match self {
            Self::Threshold(test) => test.fixed().map(|limit| [Some(limit), None]),
            Self::Range(test) => Some(test.limits().map(Some)),
            Self::RateOfChange(_)
            | Self::State(_)
            | Self::Anomaly(_)
            | Self::Flatline(_)
            | Self::Count(_)
            | Self::NoData { .. }
            | Self::Composite(_)
            | Self::DeviceAlarm { .. }
            | Self::Fleet(_) => None,
        }
    }

    /// Evaluates a sample, given what the condition remembers of this device. Returns `None` while there is nothing
    /// to compare it with.
    pub(crate) fn look(&self, seen: &Seen<'_>, memory: &mut Option<Box<Memory>>) -> Option<Finding> {
        match self {
            Self::Threshold(test) => test.look(seen),
            Self::Range(test) => test.look(seen),
            Self::RateOfChange(test) => test.look(seen),
            Self::State(test) => test.look(seen, memory),
            Self::Anomaly(test) => test.look(seen, memory),
            Self::Flatline(test) => test.look(seen, memory),
            Self::Count(test) => test.look(seen, memory),
            Self::NoData { .. } | Self::Composite(_) | Self::DeviceAlarm { .. } | Self::Fleet(_) => None,
        }
    }

    /// Returns what values are compared with, as text such as `> 60`.
    pub(crate) fn limit(&self, attributes: &[Finite], words: &[SmolStr]) -> SmolStr {
        match self {
            Self::Threshold(test) => test.limit(attributes),
            Self::Range(test) => test.limit(),
            Self::RateOfChange(test) => test.limit(),
            Self::State(test) => test.limit(words),
            Self::Anomaly(test) => test.limit(),
            Self::Flatline(test) => test.limit(),
            Self::Count(test) => test.limit(words),
            Self::NoData { after } => match after {
                Some(after) => smol_str::format_smolstr!("no data for {} ms", after.0),
                None => SmolStr::new_static("offline"),
            },
            Self::Composite(test) => test.limit(),
            Self::DeviceAlarm { codes } if codes.is_empty() => SmolStr::new_static("any alarm"),
            Self::DeviceAlarm { codes } => codes.join(", ").into(),
            Self::Fleet(test) => test.limit(),
        }
    }
}
