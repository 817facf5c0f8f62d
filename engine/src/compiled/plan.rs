//! The rules that devices of one type in one zone meet, arranged so that a sample meets only those that it can
//! change.

use std::ops::Range;

use super::{Belonging, DeviceType, Duration, Rule};
use crate::{instances::Instances, rule::limits::Limits, units::Finite, value::Value};

/// The rules that devices of one type in one zone meet.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Indexes into [`DeviceType::rules`], by metric, then by id. A device has one instance for each.
    pub(crate) rules: Vec<u32>,
    /// For each metric, the rules that read it.
    pub(crate) by_metric: Vec<Readers>,
    /// For each metric, the range of numbers that changes none of its rules. Kept together, since nearly every value
    /// lies in one.
    pub(crate) quiet: Vec<Quiet>,
    /// The range of `rules` that reads no samples.
    pub(crate) without_metric: Range<u32>,
    /// The fleets that these devices belong to, in the order of rule and zone.
    pub(crate) fleets: Vec<Belonging>,
}

/// The rules of a plan that read one metric, arranged so that a sample meets only those that it can change.
#[derive(Debug)]
pub(crate) struct Readers {
    /// Their slots in the plan, as one range.
    pub(crate) slots: Range<u32>,
    /// Slots that every sample meets.
    always: Vec<u32>,
    /// The other rules, which a sample meets if it breaches them, or if they are not at rest.
    limits: Limits,
}

/// The range of numbers, if any, that changes no rule of a metric while all of them are at rest.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Quiet {
    lowest: f64,
    highest: f64,
}

impl Quiet {
    #[inline]
    pub(crate) fn covers(self, number: Finite) -> bool {
        self.lowest <= number.get() && number.get() <= self.highest
    }

    #[inline]
    pub(crate) fn covers_value(self, value: Value) -> bool {
        match value {
            Value::Number(number) => self.covers(number),
            Value::Bool(_) | Value::Word(_) => false,
        }
    }
}

impl Plan {
    /// Builds the plan of a type in a zone, without its fleets.
    pub(super) fn new(device_type: &DeviceType, zone: u16) -> Self {
        let covers = |rule: &Rule| rule.zones.as_ref().is_none_or(|zones| zones.binary_search(&zone).is_ok());
        let mut rules = Vec::new();
        let mut by_metric = vec![0..0; device_type.metrics.len()];
        let mut without_metric = 0..0;
        for (index, rule) in (0..).zip(&device_type.rules).filter(|(_, rule)| covers(rule)) {
            let part = match rule.metric {
                Some(metric) => &mut by_metric[usize::from(metric)],
                None => &mut without_metric,
            };
            if part.start == part.end {
                part.start = rules.len() as u32;
            }
            rules.push(index);
            part.end = rules.len() as u32;
        }
        let by_metric: Vec<Readers> =
            by_metric.into_iter().map(|slots| Readers::new(device_type, &rules, slots)).collect();
        let quiet = by_metric.iter().map(Readers::quiet).collect();
        Self { rules, by_metric, quiet, without_metric, fleets: Vec::new() }
    }
}

impl Readers {
    fn new(device_type: &DeviceType, rules: &[u32], slots: Range<u32>) -> Self {
        let mut always = Vec::new();
        let mut comparisons = Vec::new();
        for slot in slots.clone() {
            let rule = &device_type.rules[rules[slot as usize] as usize];
            match (rule.duration, rule.test.limits()) {
                (Duration::Time { .. }, Some(limits)) => {
                    comparisons.extend(limits.into_iter().flatten().map(|(operator, limit)| (operator, limit, slot)));
                }
                // Every sample advances a window of samples.
                (Duration::Samples { .. }, _) | (Duration::Time { .. }, None) => always.push(slot),
            }
        }
        Self { slots, always, limits: Limits::new(&comparisons) }
    }

    fn quiet(&self) -> Quiet {
        let (lowest, highest) = if self.always.is_empty() { self.limits.within() } else { (f64::NAN, f64::NAN) };
        Quiet { lowest, highest }
    }

    /// Whether all of these rules are at rest on a device.
    #[inline]
    pub(crate) fn stand_still(&self, instances: &Instances) -> bool {
        instances.moving_in(&self.slots).next().is_none()
    }

    /// Replaces the contents of `met` with the slots of the rules that a value can change, in ascending order. All
    /// others stay inactive.
    pub(crate) fn meet(&self, value: Value, instances: &Instances, met: &mut Vec<u32>) {
        met.clear();
        met.extend_from_slice(&self.always);
        if let Value::Number(number) = value {
            let (above, below) = self.limits.breached(number);
            met.extend_from_slice(above);
            met.extend_from_slice(below);
        }
        met.extend(instances.moving_in(&self.slots));
        if met.len() > self.always.len() {
            met.sort_unstable();
            met.dedup();
        }
    }
}
