//! `type = "rate_of_change"`: how fast a value changes between a metric's last two samples.

use smol_str::{SmolStr, format_smolstr};

use super::{Finding, Seen, threshold::compare};
use crate::{
    rule_set::Operator,
    units::{Finite, Millis},
    value::Value,
};

#[derive(Debug)]
pub(crate) struct RateOfChange {
    operator: Operator,
    threshold: Finite,
    per: Millis,
    clear: Option<Finite>,
}

impl RateOfChange {
    pub(super) fn new(operator: Operator, threshold: Finite, per: Millis, clear: Option<Finite>) -> Self {
        Self { operator, threshold, per, clear }
    }

    pub(super) fn look(&self, seen: &Seen<'_>) -> Option<Finding> {
        let (Value::Number(value), Some((Value::Number(before), at_before))) = (seen.value, seen.previous) else {
            return None;
        };
        // Times of one metric only rise, and values are bounded, so the quotient is finite.
        let elapsed = seen.at.since(at_before).0;
        let rate = Finite::new((value.get() - before.get()) * (self.per.0 as f64) / (elapsed as f64))?;
        Some(compare(self.operator, rate, self.threshold, self.clear))
    }

    pub(super) fn limit(&self) -> SmolStr {
        format_smolstr!("{} {} in {} ms", self.operator.as_str(), self.threshold, self.per.0)
    }
}
