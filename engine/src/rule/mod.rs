//! The conditions of rules, a file for each kind. A condition looks at one sample and what came before it; how long
//! it must hold and who is told is not its business.

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
    /// Silence moves it.
    NoData {
        /// The longest silence; that of the device type if none.
        after: Option<Millis>,
    },
    /// Other rules move it.
    Composite(composite::Composite),
    /// The device's own alarms move it.
    DeviceAlarm {
        /// Codes that count, sorted; empty for all.
        codes: Vec<SmolStr>,
    },
    /// What devices say of themselves moves it.
    Fleet(fleet::Fleet),
}

/// What a condition may look at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen<'a> {
    pub(crate) value: Value,
    pub(crate) at: Timestamp,
    /// The metric's sample before this one.
    pub(crate) previous: Option<(Value, Timestamp)>,
    /// The device's attributes, in the order of its type.
    pub(crate) attributes: &'a [Finite],
}

/// What a condition found.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Finding {
    /// The condition holds.
    pub(crate) breach: bool,
    /// The value is good enough for an alert to end. Together with `breach` only where a line has begun that may become
    /// a flat one.
    pub(crate) clear: bool,
    /// What was compared.
    pub(crate) value: Value,
    /// When the condition began to hold, where that is not for the state machine to say.
    pub(crate) since: Option<Timestamp>,
    /// What explains the value.
    pub(crate) evidence: Option<Evidence>,
    /// How many samples a condition has learned from that does not know the device well enough yet.
    pub(crate) learned: Option<u32>,
}

impl Finding {
    /// What a condition finds that explains itself.
    pub(crate) fn new(breach: bool, clear: bool, value: Value) -> Self {
        Self { breach, clear, value, since: None, evidence: None, learned: None }
    }
}

impl Test {
    /// The condition of a rule, as devices of one type meet it.
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

    /// Whether it remembers anything of a device.
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

    /// The comparisons of which one holds where the condition does, if they are all that it is: a value is compared
    /// with numbers that are the same for all devices, and with nothing that came before.
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

    /// Looks at a sample, with what the condition remembers of this device. `None` when there is nothing to compare
    /// it with yet.
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

    /// What values are compared with, in words, as in `> 60`.
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
