//! `type = "composite"`: other rules of the same device, combined.

use std::collections::{BTreeMap, BTreeSet};

use smol_str::SmolStr;

use crate::{
    ids::RuleId,
    rule_set::{Condition, Rule},
};

#[derive(Debug)]
pub(crate) struct Composite {
    all: Vec<RuleId>,
    any: Vec<RuleId>,
    not: Vec<RuleId>,
}

impl Composite {
    pub(super) fn new(all: &BTreeSet<RuleId>, any: &BTreeSet<RuleId>, not: &BTreeSet<RuleId>) -> Self {
        let list = |set: &BTreeSet<RuleId>| set.iter().cloned().collect();
        Self { all: list(all), any: list(any), not: list(not) }
    }

    /// Whether the condition holds. `fires` returns whether a rule fires on the device; one that does not cover the
    /// device never does.
    pub(crate) fn holds(&self, fires: impl Fn(&RuleId) -> bool) -> bool {
        self.all.iter().all(&fires)
            && (self.any.is_empty() || self.any.iter().any(&fires))
            && (mutant!(CompositeIgnoresNot) || !self.not.iter().any(&fires))
    }

    pub(super) fn limit(&self) -> SmolStr {
        let mut parts = Vec::new();
        for (word, rules) in [("all of", &self.all), ("any of", &self.any), ("none of", &self.not)] {
            if !rules.is_empty() {
                let names: Vec<&str> = rules.iter().map(RuleId::as_str).collect();
                parts.push(format!("{word} {}", names.join(", ")));
            }
        }
        parts.join(", ").into()
    }
}

/// Returns how many levels of composite rules lie below a rule: 0 for any other kind. Evaluating by rising depth
/// meets each rule after those that it reads.
pub(crate) fn depth(id: &RuleId, rules: &BTreeMap<RuleId, Rule>) -> usize {
    fn below<'a>(id: &'a RuleId, rules: &'a BTreeMap<RuleId, Rule>, known: &mut BTreeMap<&'a RuleId, usize>) -> usize {
        if let Some(depth) = known.get(id) {
            return *depth;
        }
        let depth = match rules.get(id).map(|rule| &rule.condition) {
            Some(Condition::Composite { all, any, not }) => {
                let inner = all.iter().chain(any).chain(not);
                1 + inner.map(|inner| below(inner, rules, known)).max().unwrap_or(0)
            }
            Some(_) | None => 0,
        };
        known.insert(id, depth);
        depth
    }
    below(id, rules, &mut BTreeMap::new())
}
