//! Checks that a rule is consistent, with itself and with the set that it is part of.

use std::collections::BTreeSet;

use super::{
    Active, AlarmCode, Condition, CountOf, FleetLimit, FleetOf, Hold, Operator, Rule, RuleSet, StateValue, Threshold,
    ValueType,
    check::{Invalid, SAMPLES_OF_MAX, check_length, invalid, known},
};
use crate::{
    ids::{MetricId, RuleId},
    units::{Finite, Millis},
};

/// Maximum number of samples that a count rule waits for.
pub const COUNT_MAX: u32 = 128;
/// Maximum length of the window of a count rule.
pub const COUNT_WINDOW_MAX: Millis = Millis::from_days(30);
/// Maximum number of consecutive samples that an anomaly rule waits for.
pub const CONSECUTIVE_MAX: u32 = 1_000;
/// Maximum number of firings that a flap limit allows. That many times are kept for each rule that fires on a device.
pub const FLAP_FIRINGS_MAX: u32 = 100;
/// Maximum number of rules that a composite rule reads.
pub const COMPOSITE_RULES_MAX: usize = 64;
/// Maximum number of levels of rules below a composite rule, including the ones that read samples.
pub const COMPOSITE_DEPTH_MAX: usize = 8;
/// Maximum number of characters of an alarm's code.
pub const ALARM_CODE_CHARACTERS_MAX: usize = 64;

impl RuleSet {
    /// Checks that a rule agrees with the set and with itself.
    pub(crate) fn check_rule(&self, id: &RuleId, rule: &Rule) -> Result<(), Invalid> {
        known(&self.severities, &rule.severity, || "severity".into(), "severity")?;
        for id in &rule.zones {
            known(&self.zones, id, || "zones".into(), "zone")?;
        }
        for id in &rule.notify {
            known(&self.contacts, id, || "notify".into(), "contact")?;
        }
        for id in &rule.device_types {
            known(&self.device_types, id, || "device_types".into(), "device type")?;
        }
        match (&rule.metric, rule.condition.reads_samples()) {
            (Some(metric), true) => self.check_metric(rule, metric)?,
            (None, false) => {}
            (None, true) => return Err(invalid("metric", "this kind of rule reads a metric")),
            (Some(_), false) => return Err(invalid("metric", "this kind of rule reads no metric")),
        }
        check_condition(&rule.condition)?;
        self.check_named(id, rule)?;
        match &rule.hold {
            Hold::Duration { duration_ms, max_gap_ms, .. } => {
                check_length("hold.duration_ms", *duration_ms, true)?;
                if let Some(max_gap) = max_gap_ms {
                    check_length("hold.max_gap_ms", *max_gap, false)?;
                }
                if matches!(rule.condition, Condition::Flatline { .. }) && duration_ms.0 == 0 {
                    return Err(invalid("hold.duration_ms", "a value that has just come is no flat line"));
                }
            }
            Hold::Samples { breach, of } => {
                if !(1 <= *breach && breach <= of && *of <= SAMPLES_OF_MAX) {
                    return Err(invalid("hold", format!("1 ≤ breach ≤ of ≤ {SAMPLES_OF_MAX} does not hold")));
                }
                if !rule.condition.takes_samples() {
                    return Err(invalid("hold", "this kind of rule is not held by samples"));
                }
            }
        }
        if let Some(active) = &rule.active {
            check_active(active)?;
        }
        if let Some(limit) = rule.flap_limit {
            check_number("flap_limit.firings", limit.firings, FLAP_FIRINGS_MAX)?;
            check_length("flap_limit.per_ms", limit.per_ms, false)?;
        }
        check_length("keep_firing_for_ms", rule.keep_firing_for_ms, true)
    }

    /// Checks that some device type of the rule reports its metric, and that each one that does reports values of a
    /// suitable kind.
    fn check_metric(&self, rule: &Rule, metric: &MetricId) -> Result<(), Invalid> {
        let health = self.message.health.contains_key(metric);
        let mut reported = false;
        for id in &rule.device_types {
            match self.device_types[id].readings.get(metric) {
                Some(reading) => {
                    reported = true;
                    check_condition_type(&rule.condition, &reading.value, metric)?;
                }
                None if health => {
                    reported = true;
                    check_condition_type(&rule.condition, &ValueType::Float { min: None, max: None }, metric)?;
                }
                None => {}
            }
        }
        if reported { Ok(()) } else { Err(invalid("metric", format!("no device type of the rule reports `{metric}`"))) }
    }

    /// Checks that the rules that a rule reads exist, and that none of them reads it in turn.
    fn check_named(&self, id: &RuleId, rule: &Rule) -> Result<(), Invalid> {
        match &rule.condition {
            Condition::Fleet { of: FleetOf::Rule(of), .. } => {
                known(&self.rules, of, || "condition.of".into(), "rule")?;
                if matches!(self.rules[of].condition, Condition::Fleet { .. }) {
                    return Err(invalid("condition.of", format!("`{of}` has zones, not devices")));
                }
            }
            Condition::Composite { all, any, not } => {
                for (key, named) in [("all", all), ("any", any), ("not", not)] {
                    for of in named {
                        known(&self.rules, of, || format!("condition.{key}"), "rule")?;
                        if matches!(self.rules[of].condition, Condition::Fleet { .. }) {
                            return Err(invalid(format!("condition.{key}"), format!("`{of}` has zones, not devices")));
                        }
                    }
                }
                self.check_depth(id)?;
            }
            Condition::Fleet { of: FleetOf::Offline, .. }
            | Condition::Threshold { .. }
            | Condition::Range { .. }
            | Condition::RateOfChange { .. }
            | Condition::State { .. }
            | Condition::Anomaly { .. }
            | Condition::NoData { .. }
            | Condition::Flatline { .. }
            | Condition::Count { .. }
            | Condition::DeviceAlarm { .. } => {}
        }
        Ok(())
    }

    /// Checks the number of levels below a composite rule. A rule that eventually reads itself has no lowest level.
    fn check_depth(&self, id: &RuleId) -> Result<(), Invalid> {
        let mut level = BTreeSet::from([id]);
        for _ in 0..COMPOSITE_DEPTH_MAX {
            level = level
                .into_iter()
                .filter_map(|id| match &self.rules.get(id)?.condition {
                    Condition::Composite { all, any, not } => Some(all.iter().chain(any).chain(not)),
                    Condition::Threshold { .. }
                    | Condition::Range { .. }
                    | Condition::RateOfChange { .. }
                    | Condition::State { .. }
                    | Condition::Anomaly { .. }
                    | Condition::NoData { .. }
                    | Condition::Flatline { .. }
                    | Condition::Count { .. }
                    | Condition::Fleet { .. }
                    | Condition::DeviceAlarm { .. } => None,
                })
                .flatten()
                .collect();
        }
        if level.is_empty() {
            Ok(())
        } else {
            let problem = format!("composite rules lie more than {COMPOSITE_DEPTH_MAX} deep, or read each other");
            Err(invalid("condition", problem))
        }
    }
}

impl Condition {
    /// Whether the condition looks at the samples of a metric.
    pub fn reads_samples(&self) -> bool {
        match self {
            Self::Threshold { .. }
            | Self::Range { .. }
            | Self::RateOfChange { .. }
            | Self::State { .. }
            | Self::Anomaly { .. }
            | Self::Flatline { .. }
            | Self::Count { .. } => true,
            Self::NoData { .. } | Self::Fleet { .. } | Self::Composite { .. } | Self::DeviceAlarm { .. } => false,
        }
    }

    /// Whether `samples` can replace `duration`. Kinds that count samples themselves are excluded.
    pub fn takes_samples(&self) -> bool {
        match self {
            Self::Threshold { .. } | Self::Range { .. } | Self::RateOfChange { .. } | Self::State { .. } => true,
            Self::Anomaly { .. }
            | Self::Flatline { .. }
            | Self::Count { .. }
            | Self::NoData { .. }
            | Self::Fleet { .. }
            | Self::Composite { .. }
            | Self::DeviceAlarm { .. } => false,
        }
    }
}

fn check_active(active: &Active) -> Result<(), Invalid> {
    const DAY_MINUTES: u16 = 24 * 60;
    if active.from_minute >= DAY_MINUTES || active.to_minute > DAY_MINUTES || active.from_minute == active.to_minute {
        return Err(invalid("active", format!("0 ≤ from < {DAY_MINUTES}, 0 ≤ to ≤ {DAY_MINUTES}, and they differ")));
    }
    Ok(())
}

fn check_condition(condition: &Condition) -> Result<(), Invalid> {
    match condition {
        Condition::Threshold { operator, threshold, clear } => {
            let threshold = match threshold {
                Threshold::Fixed(value) => *value,
                Threshold::Attribute { default, .. } => *default,
            };
            check_clear(*operator, threshold, *clear)
        }
        Condition::Range { min, max } => {
            if min > max {
                return Err(invalid("condition.min", format!("{min} is above the maximum {max}")));
            }
            Ok(())
        }
        Condition::RateOfChange { operator, threshold, per_ms, clear } => {
            check_length("condition.per_ms", *per_ms, false)?;
            check_clear(*operator, *threshold, *clear)
        }
        Condition::State { equals, from } => {
            if from.as_ref() == Some(equals) {
                return Err(invalid("condition.from", "a value cannot come from itself"));
            }
            Ok(())
        }
        Condition::Anomaly {
            window_ms,
            sensitivity,
            min_std,
            min_rel_std,
            min_consecutive,
            rebaseline_after_ms,
            ..
        } => {
            check_length("condition.window_ms", *window_ms, false)?;
            check_length("condition.rebaseline_after_ms", *rebaseline_after_ms, false)?;
            for (at, value) in [("condition.sensitivity", sensitivity), ("condition.min_std", min_std)] {
                if *value <= Finite::ZERO {
                    return Err(invalid(at, format!("{value} is not above zero")));
                }
            }
            if *min_rel_std < Finite::ZERO {
                return Err(invalid("condition.min_rel_std", format!("{min_rel_std} is below zero")));
            }
            check_number("condition.min_consecutive", *min_consecutive, CONSECUTIVE_MAX)
        }
        Condition::NoData { after_ms } => {
            after_ms.map_or(Ok(()), |after| check_length("condition.after_ms", after, false))
        }
        Condition::Flatline { tolerance } => {
            if *tolerance < Finite::ZERO {
                return Err(invalid("condition.tolerance", format!("{tolerance} is below zero")));
            }
            Ok(())
        }
        Condition::Count { window_ms, at_least, .. } => {
            check_length("condition.window_ms", *window_ms, false)?;
            if *window_ms > COUNT_WINDOW_MAX {
                return Err(invalid("condition.window_ms", format!("it is above {} ms", COUNT_WINDOW_MAX.0)));
            }
            check_number("condition.at_least", *at_least, COUNT_MAX)
        }
        Condition::Fleet { threshold, .. } => match threshold {
            FleetLimit::Devices(number) if *number < Finite::ZERO => {
                Err(invalid("condition.threshold", format!("{number} devices are fewer than none")))
            }
            FleetLimit::Percent(share) if !(0.0..=100.0).contains(&share.get()) => {
                Err(invalid("condition.threshold", format!("{share} % is no share")))
            }
            FleetLimit::Devices(_) | FleetLimit::Percent(_) => Ok(()),
        },
        Condition::Composite { all, any, not } => {
            let count = all.len() + any.len() + not.len();
            if all.is_empty() && any.is_empty() {
                return Err(invalid("condition", "it names no rule that must fire"));
            }
            if count > COMPOSITE_RULES_MAX {
                return Err(invalid(
                    "condition",
                    format!("it names {count} rules; {COMPOSITE_RULES_MAX} are the most"),
                ));
            }
            Ok(())
        }
        Condition::DeviceAlarm { codes } => match codes.iter().find(|code| !is_alarm_code(code)) {
            Some(_) => {
                Err(invalid("condition.codes", format!("a code has 1 to {ALARM_CODE_CHARACTERS_MAX} characters")))
            }
            None => Ok(()),
        },
    }
}

/// Whether a string is a valid alarm code.
pub fn is_alarm_code(code: &AlarmCode) -> bool {
    (1..=ALARM_CODE_CHARACTERS_MAX).contains(&code.chars().count()) && !code.chars().any(char::is_control)
}

fn check_number(at: &str, number: u32, most: u32) -> Result<(), Invalid> {
    if (1..=most).contains(&number) {
        Ok(())
    } else {
        Err(invalid(at, format!("{number} does not lie between 1 and {most}")))
    }
}

fn check_clear(operator: Operator, threshold: Finite, clear: Option<Finite>) -> Result<(), Invalid> {
    let Some(clear) = clear else { return Ok(()) };
    let fine = match operator {
        Operator::Above | Operator::AtLeast => clear <= threshold,
        Operator::Below | Operator::AtMost => clear >= threshold,
        Operator::Equal | Operator::NotEqual => false,
    };
    if fine {
        Ok(())
    } else {
        Err(invalid("condition.clear", format!("{clear} is not on the good side of `{}`", operator.as_str())))
    }
}

/// Checks that a condition can look at values of a type.
fn check_condition_type(condition: &Condition, value: &ValueType, metric: &MetricId) -> Result<(), Invalid> {
    let number = matches!(value, ValueType::Float { .. } | ValueType::Int { .. });
    let fine = match condition {
        Condition::Threshold { .. }
        | Condition::Range { .. }
        | Condition::RateOfChange { .. }
        | Condition::Anomaly { .. }
        | Condition::Flatline { .. }
        | Condition::Count { of: CountOf::Compared { .. }, .. } => number,
        Condition::State { equals, from } => {
            [Some(equals), from.as_ref()].into_iter().flatten().all(|state| state.is_one_of(value))
        }
        Condition::Count { of: CountOf::Equal { equals }, .. } => equals.is_one_of(value),
        Condition::NoData { .. }
        | Condition::Fleet { .. }
        | Condition::Composite { .. }
        | Condition::DeviceAlarm { .. } => true,
    };
    if fine { Ok(()) } else { Err(invalid("condition", format!("`{metric}` does not take values of this kind"))) }
}

impl StateValue {
    /// Whether a reading of this type can take the value.
    fn is_one_of(&self, value: &ValueType) -> bool {
        match (self, value) {
            (Self::Bool(_), ValueType::Bool) => true,
            (Self::Word(word), ValueType::Enum { values }) => values.contains(word),
            (Self::Bool(_) | Self::Word(_), _) => false,
        }
    }
}
