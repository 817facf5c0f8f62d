//! `type = "threshold"`: a value against a number, which is the same for all devices or set for each device.

use smol_str::{SmolStr, format_smolstr};

use super::{Finding, Seen, limits::Limits};
use crate::{
    ids::AttributeId,
    rule_set::{self, Operator},
    units::Finite,
    value::Value,
};

#[derive(Debug)]
pub(crate) struct Threshold {
    operator: Operator,
    limit: Limit,
    clear: Option<Finite>,
}

#[derive(Debug)]
enum Limit {
    Fixed(Finite),
    /// Index of an attribute of the device type.
    Attribute(usize),
}

impl Threshold {
    pub(super) fn new(
        operator: Operator,
        threshold: &rule_set::Threshold,
        clear: Option<Finite>,
        attributes: &[(AttributeId, Finite)],
    ) -> Self {
        let limit = match threshold {
            rule_set::Threshold::Fixed(value) => Limit::Fixed(*value),
            rule_set::Threshold::Attribute { attribute, default } => {
                attributes.iter().position(|(id, _)| id == attribute).map_or(Limit::Fixed(*default), Limit::Attribute)
            }
        };
        Self { operator, limit, clear }
    }

    fn threshold(&self, attributes: &[Finite]) -> Finite {
        match self.limit {
            Limit::Fixed(value) => value,
            Limit::Attribute(index) => attributes[index],
        }
    }

    /// Returns the comparison, if its number is the same for all devices and numbers can be sorted by it.
    pub(super) fn fixed(&self) -> Option<(Operator, Finite)> {
        match self.limit {
            Limit::Fixed(value) if Limits::takes(self.operator) => Some((self.operator, value)),
            Limit::Fixed(_) | Limit::Attribute(_) => None,
        }
    }

    pub(super) fn look(&self, seen: &Seen<'_>) -> Option<Finding> {
        let Value::Number(value) = seen.value else { return None };
        Some(compare(self.operator, value, self.threshold(seen.attributes), self.clear))
    }

    pub(super) fn limit(&self, attributes: &[Finite]) -> SmolStr {
        format_smolstr!("{} {}", self.operator.as_str(), self.threshold(attributes))
    }
}

/// Compares a value with a threshold, with hysteresis. A device's own threshold may lie beyond the rule's clear
/// value; even then, a value that breaches is never clear.
pub(super) fn compare(operator: Operator, value: Finite, threshold: Finite, clear: Option<Finite>) -> Finding {
    let breach = operator.holds(value, threshold);
    let clear = !breach && clear.is_none_or(|clear| !operator.holds(value, clear));
    Finding::new(breach, clear, Value::Number(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(operator: Operator, value: f64, threshold: f64, clear: Option<f64>) -> (bool, bool) {
        let finite = |value| Finite::new(value).unwrap();
        let finding = compare(operator, finite(value), finite(threshold), clear.map(finite));
        (finding.breach, finding.clear)
    }

    #[test]
    fn the_threshold_itself_breaches_only_inclusive_operators() {
        assert_eq!(found(Operator::Above, 60.0, 60.0, None), (false, true));
        assert_eq!(found(Operator::AtLeast, 60.0, 60.0, None), (true, false));
        assert_eq!(found(Operator::Below, 60.0, 60.0, None), (false, true));
        assert_eq!(found(Operator::AtMost, 60.0, 60.0, None), (true, false));
        assert_eq!(found(Operator::Equal, 60.0, 60.0, None), (true, false));
        assert_eq!(found(Operator::NotEqual, 60.0, 60.0, None), (false, true));
    }

    #[test]
    fn between_clear_value_and_threshold_is_neither() {
        assert_eq!(found(Operator::Above, 57.0, 60.0, Some(55.0)), (false, false));
        assert_eq!(found(Operator::Above, 55.0, 60.0, Some(55.0)), (false, true));
        assert_eq!(found(Operator::Below, 22.0, 20.0, Some(25.0)), (false, false));
        assert_eq!(found(Operator::Below, 25.0, 20.0, Some(25.0)), (false, true));
    }

    #[test]
    fn a_breach_is_never_clear_even_where_a_device_has_a_threshold_beyond_the_clear_value() {
        assert_eq!(found(Operator::Above, 52.0, 50.0, Some(55.0)), (true, false));
    }
}
