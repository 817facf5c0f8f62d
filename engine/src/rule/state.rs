//! `type = "state"`: an enum or boolean reading has a value; where `from` is given, it came directly from that one.

use smol_str::{SmolStr, format_smolstr};

use super::{Finding, Seen, memory::Memory};
use crate::{compiled::Kind, rule_set::StateValue, value::Value};

#[derive(Debug)]
pub(crate) struct State {
    equals: Value,
    from: Option<Value>,
}

impl State {
    pub(super) fn new(equals: &StateValue, from: Option<&StateValue>, kind: &Kind) -> Self {
        Self { equals: value_of(equals, kind), from: from.map(|from| value_of(from, kind)) }
    }

    /// Whether the condition depends on more than the value.
    pub(super) fn remembers(&self) -> bool {
        self.from.is_some()
    }

    /// Evaluates a sample. With `from`, the condition starts at the sample that made the step and holds while the
    /// value stays.
    pub(super) fn look(&self, seen: &Seen<'_>, memory: &mut Option<Box<Memory>>) -> Option<Finding> {
        let mut breach = seen.value == self.equals;
        if let Some(from) = self.from {
            breach &= match seen.previous {
                Some((previous, _)) if previous == self.equals => memory.is_some(),
                Some((previous, _)) => previous == from,
                None => false,
            };
            if breach != memory.is_some() {
                *memory = breach.then(|| Box::new(Memory::Stepped));
            }
        }
        Some(Finding::new(breach, !breach, seen.value))
    }

    pub(super) fn limit(&self, words: &[SmolStr]) -> SmolStr {
        let text = |value: Value| match value {
            Value::Word(index) => words[usize::from(index)].clone(),
            Value::Bool(truth) => format_smolstr!("{truth}"),
            Value::Number(number) => format_smolstr!("{number}"),
        };
        match self.from {
            None => format_smolstr!("= {}", text(self.equals)),
            Some(from) => format_smolstr!("= {} after {}", text(self.equals), text(from)),
        }
    }
}

pub(super) fn value_of(state: &StateValue, kind: &Kind) -> Value {
    match (state, kind) {
        (StateValue::Word(word), Kind::Enum { index, .. }) => Value::Word(index[word]),
        (StateValue::Bool(truth), _) => Value::Bool(*truth),
        (StateValue::Word(_), _) => unreachable!("a rule set is checked before it is compiled"),
    }
}
