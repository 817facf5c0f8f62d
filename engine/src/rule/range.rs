//! `type = "range"`: a value outside two numbers. Both numbers are good values.

use smol_str::{SmolStr, format_smolstr};

use super::{Finding, Seen};
use crate::{rule_set::Operator, units::Finite, value::Value};

#[derive(Debug)]
pub(crate) struct Range {
    min: Finite,
    max: Finite,
}

impl Range {
    pub(super) fn new(min: Finite, max: Finite) -> Self {
        Self { min, max }
    }

    pub(super) fn limits(&self) -> [(Operator, Finite); 2] {
        [(Operator::Below, self.min), (Operator::Above, self.max)]
    }

    pub(super) fn look(&self, seen: &Seen<'_>) -> Option<Finding> {
        let Value::Number(value) = seen.value else { return None };
        let breach = value < self.min || value > self.max;
        Some(Finding::new(breach, !breach, seen.value))
    }

    pub(super) fn limit(&self) -> SmolStr {
        format_smolstr!("outside {} to {}", self.min, self.max)
    }
}
