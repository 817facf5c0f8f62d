//! `type = "count"`: enough samples within a window meet a condition, consecutive or not.

use std::collections::VecDeque;

use smol_str::{SmolStr, format_smolstr};

use super::{Finding, Seen, memory::Memory};
use crate::{
    effect::Evidence,
    rule_set::Operator,
    units::{Finite, Millis, Timestamp},
    value::Value,
};

#[derive(Debug)]
pub(crate) struct Count {
    pub(super) of: Of,
    pub(super) window: Millis,
    pub(super) at_least: u32,
}

/// Which samples are counted.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Of {
    Compared { operator: Operator, threshold: Finite },
    Equal(Value),
}

/// Times of the last samples that met the condition, at most as many as the rule requires. There is at least one.
#[derive(Debug, PartialEq)]
pub(crate) struct Met {
    /// Time of the first of them.
    pub(crate) oldest: Timestamp,
    /// Time of the last.
    pub(crate) newest: Timestamp,
    /// Milliseconds from each to the next.
    pub(crate) gaps: VecDeque<u32>,
}

impl Clone for Met {
    fn clone(&self) -> Self {
        Self { gaps: self.gaps.clone(), ..*self }
    }

    fn clone_from(&mut self, source: &Self) {
        (self.oldest, self.newest) = (source.oldest, source.newest);
        self.gaps.clone_from(&source.gaps);
    }
}

impl Count {
    /// Evaluates a sample. The condition also holds on a sample that does not meet it itself, while enough others lie
    /// in the window that ends there.
    pub(super) fn look(&self, seen: &Seen<'_>, memory: &mut Option<Box<Memory>>) -> Option<Finding> {
        let meets = match (self.of, seen.value) {
            (Of::Compared { operator, threshold }, Value::Number(value)) => operator.holds(value, threshold),
            (Of::Compared { .. }, Value::Bool(_) | Value::Word(_)) => return None,
            (Of::Equal(value), seen) => value == seen,
        };
        if let Some(Memory::Count(met)) = memory.as_deref_mut()
            && !met.forget(seen.at, self.window)
        {
            *memory = None;
        }
        if meets {
            match memory.as_deref_mut() {
                Some(Memory::Count(met)) => met.push(seen.at, self.at_least),
                Some(_) | None => *memory = Some(Box::new(Memory::Count(Met::new(seen.at)))),
            }
        }
        let samples = match memory.as_deref() {
            Some(Memory::Count(met)) => met.len(),
            Some(_) | None => 0,
        };
        let breach = samples >= self.at_least;
        Some(Finding { evidence: Some(Evidence::Count { samples }), ..Finding::new(breach, !breach, seen.value) })
    }

    pub(super) fn limit(&self, words: &[SmolStr]) -> SmolStr {
        let of = match self.of {
            Of::Compared { operator, threshold } => format_smolstr!("{} {threshold}", operator.as_str()),
            Of::Equal(Value::Word(index)) => format_smolstr!("= {}", words[usize::from(index)]),
            Of::Equal(Value::Bool(truth)) => format_smolstr!("= {truth}"),
            Of::Equal(Value::Number(number)) => format_smolstr!("= {number}"),
        };
        format_smolstr!("{} samples {of} in {} ms", self.at_least, self.window.0)
    }
}

impl Met {
    fn new(at: Timestamp) -> Self {
        Self { oldest: at, newest: at, gaps: VecDeque::new() }
    }

    fn len(&self) -> u32 {
        self.gaps.len() as u32 + 1
    }

    /// Drops times that lie more than a window back. Returns `false` when none is left.
    fn forget(&mut self, at: Timestamp, window: Millis) -> bool {
        while at.since(self.oldest) > window && !mutant!(CountForgetsNothing) {
            let Some(gap) = self.gaps.pop_front() else { return false };
            self.oldest = self.oldest.after(Millis(u64::from(gap)));
        }
        true
    }

    /// Adds a time. If there are more than required, the oldest is dropped.
    fn push(&mut self, at: Timestamp, at_least: u32) {
        // Both times lie in one window, and the checks of a rule set keep windows far below the bound.
        self.gaps.push_back(u32::try_from(at.since(self.newest).0).unwrap_or(u32::MAX));
        self.newest = at;
        while self.len() > at_least {
            let Some(gap) = self.gaps.pop_front() else { return };
            self.oldest = self.oldest.after(Millis(u64::from(gap)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks which of the samples find that enough of them are above 60, three within 600 s.
    fn check(samples: &[(i64, f64, bool)]) {
        let finite = |value| Finite::new(value).unwrap();
        let of = Of::Compared { operator: Operator::Above, threshold: finite(60.0) };
        let rule = Count { of, window: Millis::from_secs(600), at_least: 3 };
        let mut memory = None;
        for (second, value, expected) in samples {
            let value = Value::Number(finite(*value));
            let seen = Seen { value, at: Timestamp(second * 1_000), previous: None, attributes: &[] };
            let finding = rule.look(&seen, &mut memory).unwrap();
            assert_eq!((finding.breach, finding.clear), (*expected, !*expected), "at {second} s");
            let Some(Evidence::Count { samples }) = finding.evidence else { panic!("a count explains itself") };
            assert_eq!(samples >= 3, *expected, "at {second} s");
        }
    }

    #[test]
    fn samples_need_not_follow_each_other() {
        check(&[(0, 61.0, false), (60, 20.0, false), (120, 61.0, false), (180, 20.0, false), (240, 61.0, true)]);
    }

    #[test]
    fn a_window_includes_both_of_its_ends() {
        check(&[(0, 61.0, false), (60, 61.0, false), (600, 61.0, true)]);
        check(&[(0, 61.0, false), (60, 61.0, false), (601, 61.0, false), (660, 61.0, true)]);
    }

    #[test]
    fn it_holds_until_one_too_many_has_left_the_window() {
        check(&[(0, 61.0, false), (60, 61.0, false), (120, 61.0, true), (600, 20.0, true), (601, 20.0, false)]);
    }

    #[test]
    fn of_more_than_are_asked_for_the_newest_are_kept() {
        check(&[(0, 61.0, false), (60, 61.0, false), (120, 61.0, true), (180, 61.0, true), (660, 20.0, true)]);
    }

    #[test]
    fn a_long_silence_forgets_all() {
        check(&[(0, 61.0, false), (60, 61.0, false), (90_000, 61.0, false), (90_060, 61.0, false)]);
    }
}
