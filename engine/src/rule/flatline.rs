//! `type = "flatline"`: a value that does not change. What it is compared with stays the same while it lasts, so that a
//! slow drift is a change in the end.

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
    pub(super) on_gap: OnGap,
    pub(super) max_gap: Millis,
}

/// What a flatline rule remembers of one device.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Anchor {
    /// The value that others are compared with.
    pub(crate) value: Finite,
    /// Since when none has left it.
    pub(crate) since: Timestamp,
    /// Time of the newest sample.
    pub(crate) newest: Timestamp,
}

impl Flatline {
    /// The line begins at its first sample, though only the second one shows it. How long it must last is the
    /// duration's business.
    pub(super) fn look(&self, seen: &Seen<'_>, memory: &mut Option<Box<Memory>>) -> Option<Finding> {
        let Value::Number(value) = seen.value else { return None };
        let Some(Memory::Flatline(anchor)) = memory.as_deref_mut() else {
            *memory = Some(Box::new(Memory::Flatline(Anchor { value, since: seen.at, newest: seen.at })));
            return Some(Finding::new(false, true, seen.value));
        };
        let same = (value.get() - anchor.value.get()).abs() <= self.tolerance.get();
        let interrupted = match self.on_gap {
            OnGap::Reset => seen.at.since(anchor.newest) > self.max_gap,
            OnGap::Hold => false,
        };
        anchor.newest = seen.at;
        if !same || mutant!(FlatlineDrifts) {
            anchor.value = value;
        }
        if !same || interrupted {
            anchor.since = seen.at;
            // After a gap with the same value nothing has shown that the sensor moves again.
            return Some(Finding::new(false, !same, seen.value));
        }
        Some(Finding { since: Some(anchor.since), ..Finding::new(true, false, seen.value) })
    }

    pub(super) fn limit(&self) -> SmolStr {
        format_smolstr!("change <= {}", self.tolerance)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Times in seconds and values, with what is found: since when the line lasts, or whether the value is clear.
    fn check(on_gap: OnGap, samples: &[(i64, f64, Result<i64, bool>)]) {
        let rule = Flatline { tolerance: Finite::new(0.5).unwrap(), on_gap, max_gap: Millis::from_secs(180) };
        let mut memory = None;
        for (second, value, expected) in samples {
            let value = Value::Number(Finite::new(*value).unwrap());
            let seen = Seen { value, at: Timestamp(second * 1_000), previous: None, held: false, attributes: &[] };
            let finding = rule.look(&seen, &mut memory).unwrap();
            let found = match finding.since {
                Some(since) => Ok(since.0 / 1_000),
                None => Err(finding.clear),
            };
            assert_eq!(found, *expected, "at {second} s");
            assert_eq!(finding.breach, expected.is_ok());
            assert!(!(finding.breach && finding.clear));
        }
    }

    #[test]
    fn a_line_lasts_while_values_stay_within_the_tolerance_of_its_first() {
        check(
            OnGap::Reset,
            &[(0, 5.0, Err(true)), (60, 5.5, Ok(0)), (120, 4.5, Ok(0)), (180, 5.6, Err(true)), (240, 6.0, Ok(180))],
        );
    }

    #[test]
    fn a_slow_drift_is_a_change_in_the_end() {
        check(
            OnGap::Reset,
            &[(0, 5.0, Err(true)), (60, 5.3, Ok(0)), (120, 5.6, Err(true)), (180, 5.9, Ok(120)), (240, 6.2, Err(true))],
        );
    }

    #[test]
    fn a_gap_begins_the_line_anew_and_shows_no_change() {
        check(OnGap::Reset, &[(0, 5.0, Err(true)), (180, 5.0, Ok(0)), (361, 5.0, Err(false)), (420, 5.0, Ok(361))]);
        check(OnGap::Hold, &[(0, 5.0, Err(true)), (180, 5.0, Ok(0)), (361, 5.0, Ok(0))]);
    }
}
