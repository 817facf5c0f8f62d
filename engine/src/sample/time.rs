//! When a sample was taken: the device's word for it, as far as it can be believed.

use super::Samples;
use crate::{
    rule_set::TimestampFormat,
    units::{Millis, Timestamp},
};

/// The furthest moment from 1970 that is read, in milliseconds: the year 9999.
const MOMENT_MAX_MS: f64 = 253_402_300_799_999.0;

/// Reads a time that was written as text. `None` where it is none.
pub(crate) fn from_text(text: &str, format: TimestampFormat) -> Option<Timestamp> {
    match format {
        TimestampFormat::Rfc3339 => Timestamp::parse_rfc3339(text),
        TimestampFormat::EpochS | TimestampFormat::EpochMs => None,
    }
}

/// Reads a time that was written as a number. `None` where it is none.
pub(crate) fn from_number(number: f64, format: TimestampFormat) -> Option<Timestamp> {
    let ms = match format {
        TimestampFormat::Rfc3339 => return None,
        TimestampFormat::EpochS => number * 1_000.0,
        TimestampFormat::EpochMs => number,
    };
    (ms.abs() <= MOMENT_MAX_MS).then(|| Timestamp(ms.round() as i64))
}

/// Gives every sample the time that evaluation takes, drops those too old for it, and sorts the rest.
///
/// A time that is missing, unreadable or too far ahead is replaced by the ingest time; several such samples of one
/// message keep their order a millisecond apart, the last of them at the ingest time.
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
    // Stable: samples of one time keep the order of the message, and all but the first are duplicates.
    if !samples.samples.is_sorted_by_key(|sample| sample.at) {
        samples.samples.sort_by_key(|sample| sample.at);
    }
}

#[cfg(test)]
mod tests {
    use super::{super::Sample, *};

    const INGEST: i64 = 1_769_855_400_000;

    fn times(given: &[Option<i64>]) -> (Vec<i64>, Samples) {
        let mut samples = Samples {
            samples: given
                .iter()
                .map(|given| Sample { given: given.map(Timestamp), at: Timestamp(0), values: 0..0 })
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
}
