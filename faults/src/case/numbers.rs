//! The internal numbers of records in a case. They equal those of the log wherever that leaves room. A child's
//! numbers lie above its parents', as on any stream, and records that the log does not number are placed between
//! their neighbors.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use fleetform_engine::position::SequenceNumber;

use super::lineage::Birth;
use crate::stream::next_number;

/// Digits appended to numbers if records without a number in the log do not fit between them.
const STRETCH: &str = "000000";
/// How many numbers there are from one number of the log to the next once they are made longer.
const STRETCHED: u32 = 10u32.pow(STRETCH.len() as u32);

/// Maps numbers of a log to internal ones.
#[derive(Debug, Default)]
pub(crate) struct Numbers {
    stretched: bool,
    /// Digits of the longest number, if the numbers of children are lifted above their parents'.
    lifted: Option<usize>,
    /// How many splits and merges led to each shard.
    levels: BTreeMap<Arc<str>, usize>,
    /// Numbers with leading zeros in the log, by their form without them.
    padded: BTreeMap<String, String>,
}

impl Numbers {
    /// Creates the mapping for shards with these numbers in the log.
    pub(super) fn new(shards: &BTreeMap<Arc<str>, &BTreeSet<SequenceNumber>>, births: &[Birth]) -> Self {
        let mut levels = BTreeMap::new();
        let mut below = BTreeMap::<&Arc<str>, SequenceNumber>::new();
        let mut lifts = false;
        for Birth { parents, children, .. } in births {
            let level = parents.iter().map(|parent| levels.get(parent).copied().unwrap_or(0)).max().unwrap_or(0);
            let own = |shard: &Arc<str>| shards.get(shard).and_then(|numbers| numbers.last().copied());
            let highest = parents.iter().filter_map(|parent| own(parent).max(below.get(parent).copied())).max();
            for child in children {
                levels.insert(child.clone(), level + 1);
                below.extend(highest.map(|highest| (child, highest)));
                lifts |= shards
                    .get(child)
                    .and_then(|numbers| numbers.first().copied())
                    .is_some_and(|first| highest.is_some_and(|highest| first <= highest));
            }
        }
        let longest = shards.values().filter_map(|numbers| numbers.last()).map(|last| last.digits().len()).max();
        Self { lifted: longest.filter(|_| lifts), levels, ..Self::default() }
    }

    /// Makes all internal numbers longer.
    pub(super) fn stretch(&mut self) {
        self.stretched = true;
    }

    /// Remembers how a number is written in the log.
    pub(super) fn write(&mut self, written: &str) {
        let digits = written.trim_start_matches('0');
        if digits.len() < written.len() && !digits.is_empty() {
            self.padded.insert(digits.to_owned(), written.to_owned());
        }
    }

    /// Returns the internal number of a shard's record.
    pub(super) fn inside(&self, shard: &Arc<str>, number: SequenceNumber) -> Result<SequenceNumber, String> {
        let digits = number.digits();
        let mut text = match (self.lifted, self.levels.get(shard)) {
            (Some(width), Some(level)) => format!("{level}{:0>width$}", &*digits),
            (_, _) => digits.to_string(),
        };
        if self.stretched {
            text.push_str(STRETCH);
        }
        SequenceNumber::new(&text).map_err(|error| format!("`{}`: {error}", &*digits))
    }

    /// Returns the number that a shard starts with if the highest internal number of its parents' records, or of
    /// their own starts, is `highest`. Half of the room after that number is left to the parents.
    pub(super) fn begin(&self, highest: SequenceNumber) -> Option<SequenceNumber> {
        if !self.stretched {
            return next_number(&highest);
        }
        let padded = highest.padded();
        let (number, added) = padded.split_at(padded.len() - STRETCH.len());
        let taken: u32 = added.parse().ok()?;
        let begin = taken + (STRETCHED - taken) / 2;
        SequenceNumber::new(&format!("{number}{begin:06}")).ok().filter(|begin| *begin > highest)
    }

    /// Returns a number as the log has it. A record without one there is shown as the first, second, … after another.
    pub(super) fn shown(&self, sequence: &str) -> String {
        let digits = sequence.trim_start_matches('0');
        let added = if self.stretched { STRETCH.len() } else { 0 };
        let (digits, added) = digits.split_at(digits.len().saturating_sub(added));
        let own = self.lifted.map_or(0, |width| digits.len().saturating_sub(width));
        let digits = match digits[own..].trim_start_matches('0') {
            "" => "0",
            digits => self.padded.get(digits).map_or(digits, String::as_str),
        };
        match added.trim_start_matches('0') {
            "" => digits.into(),
            added => format!("{digits}.{added}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn children_of_shards_without_records_begin_behind_them_with_room_between() {
        let numbers = Numbers { stretched: true, ..Numbers::default() };
        let mut begins = vec![SequenceNumber::new("10000000").unwrap()];
        for _ in 0..8 {
            begins.push(numbers.begin(*begins.last().unwrap()).unwrap());
        }
        let shown: Vec<_> = begins.iter().map(|begin| numbers.shown(&begin.padded())).collect();
        assert_eq!(shown[..4], ["10", "10.500000", "10.750000", "10.875000"]);
        assert!(begins.is_sorted_by(|one, other| one < other), "{shown:?}");
    }
}
