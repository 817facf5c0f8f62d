//! `type = "flatline"`: a value that does not change. The reference value stays the same while a line lasts, so that
//! a slow drift eventually counts as a change.

use smol_str::{SmolStr, format_smolstr};

use super::{Finding, Seen, memory::Memory};
use crate::{
    rule_set::OnGap,
    units::{Finite, Millis, Timestamp},
    value::Value,
};

#[derive(Debug)]
pub(crate) struct Flatline {
    pub(super) tolerance: Finite,
    /// How long a line must last.
    pub(super) length: Millis,
    pub(super) on_gap: OnGap,
    pub(super) max_gap: Millis,
}

/// What a flatline rule remembers of one device.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Anchor {
    /// The value that later ones are compared with.
    pub(crate) value: Finite,
    /// When a value last differed from the one before.
    pub(crate) moved_at: Timestamp,
    /// Since when none has differed, without a gap.
    pub(crate) since: Timestamp,
    /// Time of the newest sample.
    pub(crate) newest: Timestamp,
}

impl Flatline {
    /// Evaluates a sample. The line starts at its first sample, although only the second one shows it. Whether it has
    /// lasted for long enough is decided by the duration. An alert may end while the last movement is less than that
    /// ago.
    pub(super) fn look(&self, seen: &Seen<'_>, memory: &mut Option<Box<Memory>>) -> Option<Finding> {
        let Value::Number(value) = seen.value else { return None };
        let Some(Memory::Flatline(anchor)) = memory.as_deref_mut() else {
            *memory =
                Some(Box::new(Memory::Flatline(Anchor { value, moved_at: seen.at, since: seen.at, newest: seen.at })));
            return Some(Finding::new(false, true, seen.value));
        };
        let same = (value.get() - anchor.value.get()).abs() <= self.tolerance.get();
        let interrupted = match self.on_gap {
            OnGap::Reset => seen.at.since(anchor.newest) > self.max_gap,
            OnGap::Hold => false,
        };
        anchor.newest = seen.at;
        // A sample after a gap is also the first of its line.
        let begins = if mutant!(GapKeepsLine) { !same } else { !same || interrupted };
        if begins || mutant!(FlatlineDrifts) {
            anchor.value = value;
        }
        if !same {
            anchor.moved_at = seen.at;
        }
        // A gap followed by the same value does not show that the sensor moves again.
        let moves = seen.at.since(anchor.moved_at) < self.length && !(same && mutant!(LineBeginsStill));
        if !same || interrupted {
            anchor.since = seen.at;
            return Some(Finding::new(false, moves, seen.value));
        }
        Some(Finding { since: Some(anchor.since), ..Finding::new(true, moves, seen.value) })
    }

    pub(super) fn limit(&self) -> SmolStr {
        format_smolstr!("change <= {}", self.tolerance)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks samples, given as times in seconds and values, against what is found: since when the line lasts, and
    /// whether an alert may end.
    fn check(on_gap: OnGap, samples: &[(i64, f64, Option<i64>, bool)]) {
        let rule = Flatline {
            tolerance: Finite::new(0.5).unwrap(),
            length: Millis::from_secs(150),
            on_gap,
            max_gap: Millis::from_secs(180),
        };
        let mut memory = None;
        for (second, value, since, clear) in samples {
            let value = Value::Number(Finite::new(*value).unwrap());
            let seen = Seen { value, at: Timestamp(second * 1_000), previous: None, attributes: &[] };
            let finding = rule.look(&seen, &mut memory).unwrap();
            assert_eq!(finding.since, since.map(|second| Timestamp(second * 1_000)), "at {second} s");
            assert_eq!((finding.breach, finding.clear), (since.is_some(), *clear), "at {second} s");
        }
    }

    #[test]
    fn a_line_lasts_while_values_stay_within_the_tolerance_of_its_first() {
        check(
            OnGap::Reset,
            &[
                (0, 5.0, None, true),
                (60, 5.5, Some(0), true),
                (149, 4.5, Some(0), true),
                (150, 4.5, Some(0), false),
                (180, 5.6, None, true),
                (240, 6.0, Some(180), true),
            ],
        );
    }

    #[test]
    fn a_slow_drift_is_a_change_in_the_end() {
        check(
            OnGap::Reset,
            &[
                (0, 5.0, None, true),
                (60, 5.3, Some(0), true),
                (120, 5.6, None, true),
                (180, 5.9, Some(120), true),
                (240, 6.2, None, true),
            ],
        );
    }

    #[test]
    fn a_gap_begins_the_line_anew_and_shows_no_change() {
        let before = [(0, 5.0, None, true), (180, 5.0, Some(0), false)];
        check(OnGap::Reset, &[&before[..], &[(361, 5.0, None, false), (420, 5.0, Some(361), false)]].concat());
        check(OnGap::Hold, &[&before[..], &[(361, 5.0, Some(0), false)]].concat());
    }

    #[test]
    fn a_line_that_begins_behind_a_gap_is_compared_with_its_own_first_value() {
        let before = [(0, 5.0, None, true), (60, 5.0, Some(0), true)];
        check(OnGap::Reset, &[&before[..], &[(360, 5.4, None, false), (420, 4.8, None, true)]].concat());
        check(OnGap::Reset, &[&before[..], &[(360, 5.4, None, false), (420, 5.9, Some(360), false)]].concat());
        check(OnGap::Hold, &[&before[..], &[(360, 5.4, Some(0), false), (420, 4.8, Some(0), false)]].concat());
    }
}
