//! What a device remembers of one metric, in as few bytes as possible: every record reads all metrics of its device,
//! and in a large fleet they lie in no cache.

use crate::{
    units::{Finite, Timestamp},
    value::Value,
};

/// The newest sample of a metric.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct MetricState {
    /// Time of the sample, if there is one.
    newest: Timestamp,
    /// The value, encoded as `kind` says.
    number: f64,
    /// Number of samples evaluated.
    seen: u32,
    kind: Kind,
    timed: bool,
}

/// How a value is encoded as a number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Kind {
    #[default]
    None,
    Number,
    Bool,
    Word,
}

const _: () = assert!(size_of::<MetricState>() == 24);

impl MetricState {
    /// Creates a state from all its parts.
    pub(crate) fn new(newest: Option<Timestamp>, value: Option<Value>, seen: u32) -> Self {
        let state = Self { newest: newest.unwrap_or_default(), timed: newest.is_some(), seen, ..Self::default() };
        state.with_value(value)
    }

    /// Returns the same state with another value, or with none.
    pub(crate) fn with_value(self, value: Option<Value>) -> Self {
        let (kind, number) = match value {
            None => (Kind::None, 0.0),
            Some(Value::Number(number)) => (Kind::Number, number.get()),
            Some(Value::Bool(truth)) => (Kind::Bool, f64::from(u8::from(truth))),
            Some(Value::Word(word)) => (Kind::Word, f64::from(word)),
        };
        Self { kind, number, ..self }
    }

    /// Records a sample.
    #[inline]
    pub(crate) fn take(&mut self, at: Timestamp, value: Value) {
        *self = Self { newest: at, timed: true, seen: self.seen.saturating_add(1), ..*self }.with_value(Some(value));
    }

    /// Whether a sample with this time is newer.
    #[inline]
    pub(crate) fn is_before(&self, at: Timestamp) -> bool {
        !self.timed || self.newest < at
    }

    /// Returns the time of the newest sample. Nothing at or before it is evaluated.
    #[inline]
    pub(crate) fn newest(&self) -> Option<Timestamp> {
        self.timed.then_some(self.newest)
    }

    /// Returns the newest value; `None` after a rule set gave the metric another kind.
    #[inline]
    pub(crate) fn value(&self) -> Option<Value> {
        match self.kind {
            Kind::None => None,
            Kind::Number => Finite::new(self.number).map(Value::Number),
            Kind::Bool => Some(Value::Bool(self.number != 0.0)),
            Kind::Word => Some(Value::Word(self.number as u16)),
        }
    }

    /// Returns the number of samples evaluated.
    #[inline]
    pub(crate) fn seen(&self) -> u32 {
        self.seen
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_comes_back() {
        let number = |number| Some(Value::Number(Finite::new(number).unwrap()));
        let values = [
            None,
            number(0.0),
            number(-1.5),
            number(1e15),
            Some(Value::Bool(false)),
            Some(Value::Bool(true)),
            Some(Value::Word(0)),
            Some(Value::Word(u16::MAX)),
        ];
        for value in values {
            for newest in [None, Some(Timestamp(0)), Some(Timestamp(i64::MIN)), Some(Timestamp(7))] {
                let state = MetricState::new(newest, value, 3);
                assert_eq!((state.newest(), state.value(), state.seen()), (newest, value, 3));
                for other in values {
                    assert_eq!(state == state.with_value(other), value == other);
                }
            }
        }
    }

    #[test]
    fn a_sample_takes_the_place_of_the_one_before() {
        let mut state = MetricState::default();
        assert_eq!((state.newest(), state.value(), state.seen()), (None, None, 0));
        state.take(Timestamp(5), Value::Bool(true));
        state.take(Timestamp(6), Value::Word(2));
        assert_eq!(state, MetricState::new(Some(Timestamp(6)), Some(Value::Word(2)), 2));
        let mut state = MetricState::new(None, None, u32::MAX);
        state.take(Timestamp(7), Value::Bool(false));
        assert_eq!(state.seen(), u32::MAX);
    }
}
