//! Rules that compare a value with a fixed number, arranged so that the breached ones are found without looking at
//! the others.

use crate::{rule_set::Operator, units::Finite};

/// Rules of one metric in the order of their limits.
#[derive(Debug)]
pub(crate) struct Limits {
    /// A value in this inclusive range breaches none.
    within: (f64, f64),
    /// Limits that a value must exceed, ascending, with the slots of the rules.
    above: (Vec<f64>, Vec<u32>),
    /// Limits that a value must fall below, descending, with the slots of the rules.
    below: (Vec<f64>, Vec<u32>),
}

impl Limits {
    /// Builds the limits from comparisons and slots.
    pub(crate) fn new(comparisons: &[(Operator, Finite, u32)]) -> Self {
        let mut above: Vec<(f64, u32)> = Vec::new();
        let mut below: Vec<(f64, u32)> = Vec::new();
        for (operator, limit, slot) in comparisons {
            let limit = limit.get();
            match operator {
                Operator::Above => above.push((limit, *slot)),
                // A value is at least a limit if it exceeds the next lower number.
                Operator::AtLeast => above.push((limit.next_down(), *slot)),
                Operator::Below => below.push((limit, *slot)),
                Operator::AtMost => below.push((limit.next_up(), *slot)),
                Operator::Equal | Operator::NotEqual => unreachable!("such rules are not sorted"),
            }
        }
        above.sort_by(|one, other| one.0.total_cmp(&other.0));
        below.sort_by(|one, other| other.0.total_cmp(&one.0));
        let lowest = below.first().map_or(f64::NEG_INFINITY, |first| first.0);
        let highest = above.first().map_or(f64::INFINITY, |first| first.0);
        Self { within: (lowest, highest), above: above.into_iter().unzip(), below: below.into_iter().unzip() }
    }

    /// Returns the inclusive range of values that breach none.
    pub(crate) fn within(&self) -> (f64, f64) {
        self.within
    }

    /// Whether limits can hold a comparison with this operator.
    pub(crate) const fn takes(operator: Operator) -> bool {
        match operator {
            Operator::Above | Operator::AtLeast | Operator::Below | Operator::AtMost => true,
            Operator::Equal | Operator::NotEqual => false,
        }
    }

    /// Returns the slots of the rules that a value breaches, in no particular order: those with an upper limit and
    /// those with a lower limit.
    #[inline]
    pub(crate) fn breached(&self, value: Finite) -> (&[u32], &[u32]) {
        let value = value.get();
        let (limits, slots) = &self.above;
        let above = &slots[..limits.partition_point(|limit| value > *limit)];
        let (limits, slots) = &self.below;
        let below = &slots[..limits.partition_point(|limit| value < *limit)];
        (above, below)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn number() -> impl Strategy<Value = f64> {
        prop_oneof![
            -3.0..3.0_f64,
            (-3..3_i32).prop_map(f64::from),
            prop::sample::select(vec![0.0, -0.0, f64::MIN_POSITIVE, 5e-324, -5e-324, f64::MAX, f64::MIN, 1e15, -1e15])
        ]
    }

    proptest! {
        #[test]
        fn the_rules_found_are_those_whose_comparison_holds(
            limits in prop::collection::vec((0..4_usize, number()), 0..12),
            values in prop::collection::vec(number(), 1..12),
        ) {
            const OPERATORS: [Operator; 4] = [Operator::Above, Operator::AtLeast, Operator::Below, Operator::AtMost];
            let finite = |number| Finite::new(number).unwrap();
            let comparisons: Vec<(Operator, Finite, u32)> =
                (0..).zip(&limits).map(|(slot, (operator, limit))| (OPERATORS[*operator], finite(*limit), slot)).collect();
            let sorted = Limits::new(&comparisons);
            for value in values.into_iter().map(finite) {
                let (above, below) = sorted.breached(value);
                let mut found = [above, below].concat();
                let (lowest, highest) = sorted.within();
                prop_assert_eq!((lowest..=highest).contains(&value.get()), found.is_empty());
                found.sort_unstable();
                let holds = |(operator, limit, _): &&(Operator, Finite, u32)| operator.holds(value, *limit);
                let expected: Vec<u32> = comparisons.iter().filter(holds).map(|(.., slot)| *slot).collect();
                prop_assert_eq!(found, expected);
            }
        }
    }
}
