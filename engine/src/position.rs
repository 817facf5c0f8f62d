//! Where a shard's log stands. Sequence numbers of a stream are decimal numbers far beyond 128 bits, so they are
//! kept as digits. This module knows nothing of records or of storage.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use smol_str::SmolStr;

/// The most digits of a sequence number (Kinesis, type `SequenceNumber`: `0|([1-9]\d{0,128})`).
pub const SEQUENCE_DIGITS_MAX: usize = 129;

/// Why a text is not a sequence number.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a sequence number is 1 to {SEQUENCE_DIGITS_MAX} decimal digits")]
pub struct InvalidSequence;

/// The number of a record in its shard. The digits lie at the front without leading zeros, so that comparing length
/// and then bytes compares the numbers; nothing is allocated.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SequenceNumber {
    length: u8,
    digits: [u8; SEQUENCE_DIGITS_MAX],
}

impl SequenceNumber {
    /// Reads decimal digits; leading zeros do not count.
    pub fn new(text: &str) -> Result<Self, InvalidSequence> {
        Self::from_digits(text.as_bytes())
    }

    /// Reads decimal digits as they stand in bytes.
    pub fn from_digits(text: &[u8]) -> Result<Self, InvalidSequence> {
        // Without an early end, so that many are looked at at once.
        let plain = text.iter().fold(true, |plain, byte| plain & byte.is_ascii_digit());
        if text.is_empty() || !plain {
            return Err(InvalidSequence);
        }
        let from = text.iter().position(|byte| *byte != b'0').unwrap_or(text.len() - 1);
        let significant = &text[from..];
        if significant.len() > SEQUENCE_DIGITS_MAX {
            return Err(InvalidSequence);
        }
        let mut digits = [0; SEQUENCE_DIGITS_MAX];
        digits[..significant.len()].copy_from_slice(significant);
        Ok(Self { length: significant.len() as u8, digits })
    }

    /// The digits without leading zeros, as the stream gives them.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.digits[..usize::from(self.length)]).unwrap_or("0")
    }

    /// The digits filled up with zeros to [`SEQUENCE_DIGITS_MAX`], so that text order is number order.
    pub fn padded(&self) -> SmolStr {
        let mut text = [b'0'; SEQUENCE_DIGITS_MAX];
        let digits = self.as_str().as_bytes();
        text[SEQUENCE_DIGITS_MAX - digits.len()..].copy_from_slice(digits);
        SmolStr::new(std::str::from_utf8(&text).unwrap_or("0"))
    }
}

impl fmt::Display for SequenceNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for SequenceNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl From<u64> for SequenceNumber {
    fn from(number: u64) -> Self {
        let text = number.to_string();
        let mut digits = [0; SEQUENCE_DIGITS_MAX];
        digits[..text.len()].copy_from_slice(text.as_bytes());
        Self { length: text.len() as u8, digits }
    }
}

impl FromStr for SequenceNumber {
    type Err = InvalidSequence;
    fn from_str(text: &str) -> Result<Self, InvalidSequence> {
        Self::new(text)
    }
}

impl Serialize for SequenceNumber {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for SequenceNumber {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = SmolStr::deserialize(deserializer)?;
        Self::new(&text).map_err(de::Error::custom)
    }
}

/// The last sequence number that a state has applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Position {
    /// Before the first record.
    Start,
    /// After this record.
    After(SequenceNumber),
}

impl Position {
    /// Whether a record lies at or before this position, so that its outcome is part of the state already.
    pub fn covers(&self, sequence: &SequenceNumber) -> bool {
        match self {
            Self::Start => false,
            Self::After(last) => sequence <= last,
        }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start => f.write_str("start"),
            Self::After(sequence) => sequence.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> SequenceNumber {
        SequenceNumber::new(text).unwrap()
    }

    #[test]
    fn numbers_beyond_128_bits_are_ordered_as_numbers() {
        // 2^186, its neighbour, and a number of another length.
        let two_to_186 = "98079714615416886934934209737619787751599303819750539264";
        assert!(number("98079714615416886934934209737619787751599303819750539263") < number(two_to_186));
        assert!(number("9") < number("10"));
        assert!(number("0009") < number("10"));
        assert_eq!(SequenceNumber::from(0), number("0"));
        assert_eq!(SequenceNumber::from(u64::MAX), number("18446744073709551615"));
        assert_eq!(number(two_to_186).to_string(), two_to_186);
        let longest = "9".repeat(SEQUENCE_DIGITS_MAX);
        assert!(number(two_to_186) < number(&longest));
        assert!(number("9").padded() < number("10").padded());
        assert_eq!(number(&longest).padded(), longest);
    }

    #[test]
    fn other_texts_are_refused() {
        for text in ["", "-1", "1e3", "12x", " 1", "１", &"9".repeat(SEQUENCE_DIGITS_MAX + 1)] {
            assert_eq!(SequenceNumber::new(text), Err(InvalidSequence), "{text:?}");
        }
        assert_eq!(number(&"0".repeat(200)).as_str(), "0");
    }

    #[test]
    fn a_position_covers_what_it_has_passed() {
        assert!(!Position::Start.covers(&number("0")));
        assert!(Position::After(number("7")).covers(&number("7")));
        assert!(!Position::After(number("7")).covers(&number("8")));
        assert!(Position::Start < Position::After(number("0")));
    }
}
