//! The position of a shard's log. Sequence numbers of a stream are decimal numbers far beyond 128 bits, so they are
//! kept as digits. This module knows nothing about records or storage.

use std::{fmt, ops::Deref, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use smol_str::SmolStr;

/// Maximum number of digits in a sequence number (Kinesis, type `SequenceNumber`: `0|([1-9]\d{0,128})`).
pub const SEQUENCE_DIGITS_MAX: usize = 129;

/// A string is not a valid sequence number.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a sequence number is 1 to {SEQUENCE_DIGITS_MAX} decimal digits")]
pub struct InvalidSequence;

/// Number of digits in one word.
const WORD_DIGITS: usize = 16;
const WORDS: usize = SEQUENCE_DIGITS_MAX.div_ceil(WORD_DIGITS);
/// Exclusive upper bound of the first word, which holds the digits that do not fit into the others.
const FIRST_END: u64 = 1 << (4 * (SEQUENCE_DIGITS_MAX - (WORDS - 1) * WORD_DIGITS));

/// The number of a record in its shard: four bits for each digit and the highest digits first, so that comparing
/// words compares numbers. It is small and allocates nothing, since every record has one that is copied often.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SequenceNumber([u64; WORDS]);

impl SequenceNumber {
    /// Reads decimal digits; leading zeros do not count.
    pub fn new(text: &str) -> Result<Self, InvalidSequence> {
        Self::from_digits(text.as_bytes())
    }

    /// Reads decimal digits from bytes.
    pub fn from_digits(text: &[u8]) -> Result<Self, InvalidSequence> {
        let mut words = [0; WORDS];
        let mut rest = text;
        for word in words.iter_mut().rev() {
            let (before, digits) = match rest.split_last_chunk::<WORD_DIGITS>() {
                Some((before, digits)) => (before, *digits),
                None => {
                    let mut digits = [b'0'; WORD_DIGITS];
                    digits[WORD_DIGITS - rest.len()..].copy_from_slice(rest);
                    (&rest[..0], digits)
                }
            };
            *word = packed(digits).ok_or(InvalidSequence)?;
            rest = before;
            if rest.is_empty() {
                break;
            }
        }
        if text.is_empty() || words[0] >= FIRST_END || rest.iter().any(|byte| *byte != b'0') {
            return Err(InvalidSequence);
        }
        Ok(Self(words))
    }

    /// Reads the digits in `text`, given that `own` holds the digits of this number. Consecutive numbers of a shard
    /// differ in their last digits only.
    #[inline]
    pub fn another(&self, own: &[u8], text: &[u8]) -> Result<Self, InvalidSequence> {
        debug_assert_eq!(Self::from_digits(own).as_ref(), Ok(self), "the digits are those of the number");
        match (own.split_last_chunk::<WORD_DIGITS>(), text.split_last_chunk::<WORD_DIGITS>()) {
            (Some((own, _)), Some((same, digits))) if own == same => {
                let mut words = self.0;
                words[WORDS - 1] = packed(*digits).ok_or(InvalidSequence)?;
                Ok(Self(words))
            }
            _ => Self::from_digits(text),
        }
    }

    /// Returns the digits without leading zeros, as the stream writes them.
    pub fn digits(&self) -> Digits {
        let text = self.all_digits();
        let from = text.iter().position(|digit| *digit != b'0').unwrap_or(SEQUENCE_DIGITS_MAX - 1);
        Digits { text, from }
    }

    /// Returns the digits padded with zeros to [`SEQUENCE_DIGITS_MAX`], so that string order is number order.
    pub fn padded(&self) -> SmolStr {
        SmolStr::new(&*Digits { text: self.all_digits(), from: 0 })
    }

    fn all_digits(&self) -> [u8; SEQUENCE_DIGITS_MAX] {
        let mut text = [b'0'; SEQUENCE_DIGITS_MAX];
        for (digits, word) in text.rchunks_mut(WORD_DIGITS).zip(self.0.iter().rev()) {
            for (place, digit) in digits.iter_mut().rev().enumerate() {
                *digit += (word >> (4 * place) & 0xf) as u8;
            }
        }
        text
    }
}

/// Packs sixteen digits into a word; `None` if one of them is not a digit.
#[inline]
fn packed(digits: [u8; WORD_DIGITS]) -> Option<u64> {
    const ZEROS: u128 = u128::from_be_bytes([b'0'; WORD_DIGITS]);
    /// Added to a digit, it leaves the upper half of its byte empty; added to anything larger, it does not.
    const ABOVE_NINE: u128 = u128::from_be_bytes([6; WORD_DIGITS]);
    const UPPER_HALVES: u128 = u128::from_be_bytes([0xf0; WORD_DIGITS]);
    let digits = u128::from_be_bytes(digits) ^ ZEROS;
    if (digits | digits.wrapping_add(ABOVE_NINE)) & UPPER_HALVES != 0 {
        return None;
    }
    let half = |digits: u64| {
        let pairs = (digits | digits >> 4) & 0x00ff_00ff_00ff_00ff;
        let fours = (pairs | pairs >> 8) & 0x0000_ffff_0000_ffff;
        (fours | fours >> 16) & 0xffff_ffff
    };
    Some(half((digits >> 64) as u64) << 32 | half(digits as u64))
}

/// The digits of a sequence number, as text.
#[derive(Clone, Copy)]
pub struct Digits {
    text: [u8; SEQUENCE_DIGITS_MAX],
    from: usize,
}

impl Deref for Digits {
    type Target = str;
    fn deref(&self) -> &str {
        std::str::from_utf8(&self.text[self.from..]).unwrap_or("0")
    }
}

impl fmt::Debug for Digits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

impl fmt::Display for SequenceNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.digits())
    }
}

impl fmt::Debug for SequenceNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.digits())
    }
}

impl From<u64> for SequenceNumber {
    fn from(number: u64) -> Self {
        let mut words = [0; WORDS];
        let mut rest = number;
        for place in 0..2 * WORD_DIGITS {
            words[WORDS - 1 - place / WORD_DIGITS] |= (rest % 10) << (4 * (place % WORD_DIGITS));
            rest /= 10;
        }
        Self(words)
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
        serializer.serialize_str(&self.digits())
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
    /// Whether a record lies at or before this position, so that its outcome is already part of the state.
    #[inline]
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
    use proptest::prelude::*;

    use super::*;

    fn number(text: &str) -> SequenceNumber {
        SequenceNumber::new(text).unwrap()
    }

    #[test]
    fn numbers_beyond_128_bits_are_ordered_as_numbers() {
        // 2^186, its neighbor, and a number of another length.
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
        assert_eq!(number(&format!("00{longest}")), number(&longest));
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn digits_come_back_and_are_in_the_order_of_numbers(one in "0|[1-9][0-9]{0,128}", other in "[1-9][0-9]{15,17}") {
            let numbers = (number(&one), number(&other));
            prop_assert_eq!((&*numbers.0.digits(), &*numbers.1.digits()), (one.as_str(), other.as_str()));
            prop_assert_eq!(numbers.0.cmp(&numbers.1), (one.len(), &one).cmp(&(other.len(), &other)));
            prop_assert_eq!(SequenceNumber::from(other.parse::<u64>().unwrap()), numbers.1);
            let padded = numbers.0.padded();
            prop_assert_eq!((padded.len(), padded.trim_start_matches('0')), (SEQUENCE_DIGITS_MAX, one.trim_start_matches('0')));
        }

        #[test]
        fn any_other_byte_is_refused(text in "[0-9]{1,140}", at: prop::sample::Index, byte: u8) {
            let mut bytes = text.clone().into_bytes();
            let at = at.index(bytes.len());
            bytes[at] = byte;
            let significant = bytes.len() - bytes.iter().position(|digit| *digit != b'0').unwrap_or(0);
            let good = bytes.iter().all(u8::is_ascii_digit) && significant <= SEQUENCE_DIGITS_MAX;
            let read = SequenceNumber::from_digits(&bytes);
            prop_assert_eq!(read.is_ok(), good);
            // Given a number with the same digits except the last, and one with other digits.
            for own in [format!("{}7", &text[..text.len() - 1]), "7".repeat(20)] {
                if let Ok(number) = SequenceNumber::new(&own) {
                    prop_assert_eq!(number.another(own.as_bytes(), &bytes), read.clone());
                }
            }
        }
    }

    #[test]
    fn other_texts_are_refused() {
        for text in ["", "-1", "1e3", "12x", " 1", "１", &"9".repeat(SEQUENCE_DIGITS_MAX + 1)] {
            assert_eq!(SequenceNumber::new(text), Err(InvalidSequence), "{text:?}");
        }
        assert_eq!(&*number(&"0".repeat(200)).digits(), "0");
    }

    #[test]
    fn a_position_covers_what_it_has_passed() {
        assert!(!Position::Start.covers(&number("0")));
        assert!(Position::After(number("7")).covers(&number("7")));
        assert!(!Position::After(number("7")).covers(&number("8")));
        assert!(Position::Start < Position::After(number("0")));
    }
}
