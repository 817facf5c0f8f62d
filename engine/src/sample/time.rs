//! When a sample was taken: the time that the device gives, as far as it can be trusted.

use super::Samples;
use crate::{
    rule_set::TimestampFormat,
    units::{Millis, Timestamp},
};

/// Latest moment that is read, in milliseconds since 1970: the end of the year 9999.
const MOMENT_MAX_MS: f64 = 253_402_300_799_999.0;

/// Reads a time from a string. `None` if it is not valid.
pub(crate) fn from_text(text: &str, format: TimestampFormat) -> Option<Timestamp> {
    match format {
        TimestampFormat::Rfc3339 => usual(text.as_bytes()).or_else(|| Timestamp::parse_rfc3339(text)),
        TimestampFormat::EpochS | TimestampFormat::EpochMs => None,
    }
}

/// A moment with all digits zero: where a moment differs from it are its digits.
const MOMENT: u128 = u128::from_le_bytes(*b"0000-00-00T00:00");
/// Mask of the digits.
const DIGITS: u128 = u128::from_le_bytes(*b"\xff\xff\xff\xff\0\xff\xff\0\xff\xff\0\xff\xff\0\xff\xff");
/// Added to a digit, it leaves the upper half of the byte empty; added to anything larger, it does not.
const ABOVE_NINE: u128 = DIGITS & u128::from_le_bytes([6; 16]);
const UPPER_HALVES: u128 = u128::from_le_bytes([0xf0; 16]);

/// Reads `2026-01-31T10:30:00Z`, with or without a fraction, from 1970 on: the form that nearly every device writes.
/// `None` leaves the string to another reader.
#[inline]
pub(super) fn usual(text: &[u8]) -> Option<Timestamp> {
    let (moment, rest) = text.split_first_chunk::<16>()?;
    let digits = u128::from_le_bytes(*moment) ^ MOMENT;
    if digits & !DIGITS != 0 || (digits | digits.wrapping_add(ABOVE_NINE)) & UPPER_HALVES != 0 {
        return None;
    }
    let digits = digits.to_le_bytes();
    let two = |at: usize| i64::from(digits[at]) * 10 + i64::from(digits[at + 1]);
    let (year, month, day, hour, minute) = (two(0) * 100 + two(2), two(5), two(8), two(11), two(14));
    let digit = |byte: u8| Some(i64::from(byte.wrapping_sub(b'0'))).filter(|digit| *digit < 10);
    let ([b':', tens, ones], rest) = rest.split_first_chunk::<3>()? else { return None };
    let second = digit(*tens)? * 10 + digit(*ones)?;
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if is_leap => 29,
        2 => 28,
        _ => return None,
    };
    // A second of 60 is a leap second, which is left to another reader.
    if !(1..=days).contains(&day) || hour > 23 || minute > 59 || second > 59 || !(1970..9999).contains(&year) {
        return None;
    }
    let ms = match rest {
        [b'Z'] => 0,
        [b'.', a, b, c, b'Z'] => digit(*a)? * 100 + digit(*b)? * 10 + digit(*c)?,
        [b'.', digits @ .., b'Z'] if (1..=9).contains(&digits.len()) => {
            if !digits.iter().all(u8::is_ascii_digit) {
                return None;
            }
            let place = |at: usize| digits.get(at).map_or(0, |byte| i64::from(byte - b'0'));
            place(0) * 100 + place(1) * 10 + place(2)
        }
        _ => return None,
    };
    // Years start in March, so that the leap day is the last day.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day - 1 - 719_468;
    Some(Timestamp((((days * 24 + hour) * 60 + minute) * 60 + second) * 1_000 + ms))
}

/// Reads a time from a number. `None` if it is not valid.
pub(crate) fn from_number(number: f64, format: TimestampFormat) -> Option<Timestamp> {
    let ms = match format {
        TimestampFormat::Rfc3339 => return None,
        TimestampFormat::EpochS => number * 1_000.0,
        TimestampFormat::EpochMs => number,
    };
    (ms.abs() <= MOMENT_MAX_MS).then(|| Timestamp(ms.round() as i64))
}

/// Assigns every sample the time that evaluation uses, drops the samples that are too old for evaluation, and sorts
/// the rest.
///
/// A time that is missing, unreadable or too far in the future is replaced by the ingest time. If one message has
/// several such samples, they keep their order one millisecond apart, with the last of them at the ingest time.
pub(super) fn assign(samples: &mut Samples, ingested_at: Timestamp, max_future_skew: Millis, max_past: Millis) {
    let latest = ingested_at.after(max_future_skew);
    let mut replaced = 0;
    for sample in &mut samples.samples {
        match sample.given {
            None => samples.untimed += 1,
            Some(given) if given > latest => {
                samples.future += 1;
                sample.given = None;
            }
            Some(_) => continue,
        }
        replaced += 1;
    }
    for sample in &mut samples.samples {
        sample.at = sample.given.unwrap_or_else(|| {
            replaced -= 1;
            Timestamp(ingested_at.0.saturating_sub(replaced))
        });
    }
    let before = samples.samples.len();
    samples.samples.retain(|sample| ingested_at.since(sample.at) <= max_past);
    samples.too_old += (before - samples.samples.len()) as u64;
    // The sort is stable: samples with the same time keep the order of the message, and all but the first are
    // duplicates.
    if !samples.samples.is_sorted_by_key(|sample| sample.at) {
        samples.samples.sort_by_key(|sample| sample.at);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{super::Sample, *};

    const INGEST: i64 = 1_769_855_400_000;

    fn times(given: &[Option<i64>]) -> (Vec<i64>, Samples) {
        let mut samples = Samples {
            samples: given
                .iter()
                .map(|given| Sample { given: given.map(Timestamp), at: Timestamp(0), values: 0..0, extras: 0..0 })
                .collect(),
            ..Samples::default()
        };
        assign(&mut samples, Timestamp(INGEST), Millis(120_000), Millis(86_400_000));
        (samples.samples.iter().map(|sample| sample.at.0 - INGEST).collect(), samples)
    }

    #[test]
    fn untimed_samples_end_at_the_ingest_time() {
        assert_eq!(times(&[None]).0, [0]);
        assert_eq!(times(&[None, None, None]).0, [-2, -1, 0]);
        assert_eq!(times(&[None, Some(INGEST - 60_000), None]).0, [-60_000, -1, 0]);
    }

    #[test]
    fn times_too_far_ahead_or_back_are_not_believed() {
        let (at, samples) = times(&[Some(INGEST + 120_001), Some(INGEST + 120_000), Some(0)]);
        assert_eq!(at, [0, 120_000]);
        assert_eq!((samples.future, samples.too_old, samples.untimed), (1, 1, 0));
        assert_eq!(times(&[Some(INGEST - 86_400_000)]).0, [-86_400_000]);
    }

    #[test]
    fn each_format_reads_its_own_spelling_only() {
        let at = Some(Timestamp(INGEST));
        assert_eq!(from_text("2026-01-31T10:30:00Z", TimestampFormat::Rfc3339), at);
        assert_eq!(from_text("2026-01-31T05:30:00-05:00", TimestampFormat::Rfc3339), at);
        assert_eq!(from_text("2026-01-31T10:30:00", TimestampFormat::Rfc3339), None);
        assert_eq!(from_text("soon", TimestampFormat::Rfc3339), None);
        assert_eq!(from_text("1769855400", TimestampFormat::EpochS), None);
        assert_eq!(from_number(1_769_855_400.0, TimestampFormat::EpochS), at);
        assert_eq!(from_number(1_769_855_400.25, TimestampFormat::EpochS), Some(Timestamp(INGEST + 250)));
        assert_eq!(from_number(INGEST as f64, TimestampFormat::EpochMs), at);
        assert_eq!(from_number(INGEST as f64, TimestampFormat::Rfc3339), None);
        assert_eq!(from_number(1e300, TimestampFormat::EpochMs), None);
    }

    fn by_jiff(text: &str) -> Option<Timestamp> {
        Some(Timestamp(text.parse::<jiff::Timestamp>().ok()?.as_millisecond()))
    }

    #[test]
    fn every_day_of_four_hundred_years_is_read_as_jiff_reads_it() {
        let mut read = 0;
        for year in 1970..2370 {
            for (month, day) in (1..=13).flat_map(|month| (0..=32).map(move |day| (month, day))) {
                let text = format!("{year}-{month:02}-{day:02}T23:59:59.987Z");
                let usual = usual(text.as_bytes());
                assert_eq!(usual, by_jiff(&text), "{text}");
                read += usize::from(usual.is_some());
            }
        }
        assert_eq!(read, 146_097);
    }

    proptest! {
        #[test]
        fn what_is_read_without_jiff_is_read_by_jiff_in_the_same_way(
            text in "(19|20|99|00|[0-9]{2})[0-9]{2}[-/][01][0-9]-[0-3][0-9][Tt ][0-2][0-9]:[0-6][0-9]:[0-6][0-9]([.,]?[0-9]{0,11})([Zz]|[+-]0[0-9]:00|)"
        ) {
            let read = usual(text.as_bytes());
            if read.is_some() {
                prop_assert_eq!(read, by_jiff(&text));
            }
            prop_assert_eq!(from_text(&text, TimestampFormat::Rfc3339), by_jiff(&text));
        }
    }
}
