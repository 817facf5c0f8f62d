//! One measured value, small enough to be copied freely. A word is an index into the words that its reading declares.

use crate::{effect::Observed, units::Finite};

/// A value of a metric.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Value {
    /// Of a float or integer reading, of a health value, or a rate.
    Number(Finite),
    /// Of a boolean reading.
    Bool(bool),
    /// Of an enum reading: the index of its word.
    Word(u16),
}

impl Value {
    /// Returns the value as people and stores see it. `words` are those of the reading.
    pub(crate) fn observed(self, words: &[smol_str::SmolStr]) -> Observed {
        match self {
            Self::Number(number) => Observed::Number(number),
            Self::Bool(truth) => Observed::Bool(truth),
            Self::Word(index) => Observed::Word(words[usize::from(index)].clone()),
        }
    }
}
