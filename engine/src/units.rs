//! Numbers and times as types, so that a comparison has exactly two results and a unit is never guessed.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, de};

/// A number that is neither NaN nor infinite, with `-0.0` folded into `0.0`.
#[derive(Clone, Copy, PartialEq, PartialOrd, Serialize)]
#[serde(transparent)]
pub struct Finite(f64);

impl Finite {
    /// Zero.
    pub const ZERO: Self = Self(0.0);

    /// Creates a value if the number is finite.
    pub fn new(value: f64) -> Option<Self> {
        value.is_finite().then_some(Self(value + 0.0))
    }

    /// Creates a value if the number lies between `lowest` and `highest`, inclusive.
    #[inline]
    pub fn within(value: f64, lowest: Self, highest: Self) -> Option<Self> {
        (lowest.0 <= value && value <= highest.0).then_some(Self(value + 0.0))
    }

    /// Returns the number.
    #[inline]
    pub fn get(self) -> f64 {
        self.0
    }
}

impl Eq for Finite {}

#[expect(clippy::derive_ord_xor_partial_ord, reason = "a finite number is totally ordered by its partial order")]
impl Ord for Finite {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0)
    }
}

impl fmt::Display for Finite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for Finite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl<'de> Deserialize<'de> for Finite {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = f64::deserialize(deserializer)?;
        Self::new(value).ok_or_else(|| de::Error::custom("a number must be finite"))
    }
}

/// A length of time in whole milliseconds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Millis(pub u64);

impl Millis {
    /// Creates a length of this many seconds.
    pub const fn from_secs(seconds: u64) -> Self {
        Self(seconds * 1_000)
    }

    /// Creates a length of this many days of 24 hours.
    pub const fn from_days(days: u64) -> Self {
        Self::from_secs(days * 86_400)
    }

    /// Returns whole seconds, rounded down.
    pub const fn as_secs(self) -> u64 {
        self.0 / 1_000
    }
}

/// A moment: milliseconds since 1970-01-01T00:00:00Z, without leap seconds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// Returns the moment that lies `length` later.
    pub fn after(self, length: Millis) -> Self {
        Self(self.0.saturating_add_unsigned(length.0))
    }

    /// Returns the moment that lies `length` earlier.
    pub fn before(self, length: Millis) -> Self {
        Self(self.0.saturating_sub(i64::try_from(length.0).unwrap_or(i64::MAX)))
    }

    /// Returns the start of its day, in UTC.
    pub fn day_begin(self) -> Self {
        Self(self.0.saturating_sub(self.0.rem_euclid(Millis::from_days(1).0.cast_signed())))
    }

    /// Parses a moment in RFC 3339 form, with an offset; parts of a millisecond are cut off. `None` if it is not
    /// valid.
    pub fn parse_rfc3339(text: &str) -> Option<Self> {
        text.parse::<jiff::Timestamp>().ok().map(|moment| Self(moment.as_millisecond()))
    }

    /// Formats the moment in RFC 3339 form, in UTC. `None` if it lies outside the calendar, before the year -9999 or
    /// after 9999.
    pub fn to_rfc3339(self) -> Option<String> {
        jiff::Timestamp::from_millisecond(self.0).ok().map(|moment| moment.to_string())
    }

    /// Returns how long after `earlier` this moment is; zero if it is not later.
    pub fn since(self, earlier: Self) -> Millis {
        Millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}
