//! What the detectors remember of a device, in a delta or a base: every bit of it, so that every reader scores the
//! next sample the same way.

use super::codec::{Malformed, Reader, Writer};
use crate::{
    rule::{
        anomaly::{Bucket, Estimate, Ewma, Mad, Outliers, Past, RING_MAX, Zscore},
        count::Met,
        flatline::Anchor,
    },
    rule_set::COUNT_MAX,
    units::{Finite, Millis, Timestamp},
};

const PAST: &str = "what is normal for a device";
const ANCHOR: &str = "where a value stands";
const MET: &str = "when samples met a condition";

pub(super) fn write_past(writer: &mut Writer, past: &Past) {
    writer.signed(past.since.0);
    writer.signed(past.newest.0);
    writer.float(past.origin.get());
    writer.number(u64::from(past.learned));
    match past.outliers {
        None => writer.number(0),
        Some(outliers) => {
            writer.number(1);
            writer.signed(outliers.since.0);
            writer.number(u64::from(outliers.anomalous));
            writer.signed(outliers.anomalous_since.0);
        }
    }
    match &past.estimate {
        Estimate::Ewma(ewma) => {
            writer.number(0);
            writer.float(ewma.mean);
            writer.float(ewma.variance);
        }
        Estimate::Zscore(zscore) => {
            writer.number(1);
            writer.number(zscore.clock.0);
            for bucket in &*zscore.buckets {
                writer.number(u64::from(bucket.n));
                if bucket.n > 0 {
                    writer.float(bucket.mean);
                    writer.float(bucket.m2);
                }
            }
        }
        Estimate::Mad(mad) => {
            writer.number(2);
            writer.number(mad.values.len() as u64);
            for value in &mad.values {
                writer.bytes.extend_from_slice(&value.to_bits().to_le_bytes());
            }
        }
    }
}

pub(super) fn read_past(reader: &mut Reader<'_>) -> Result<Past, Malformed> {
    Ok(Past {
        since: Timestamp(reader.signed(PAST)?),
        newest: Timestamp(reader.signed(PAST)?),
        origin: finite(reader, PAST)?,
        learned: small(reader, PAST)?,
        outliers: match reader.number(PAST)? {
            0 => None,
            1 => Some(Outliers {
                since: Timestamp(reader.signed(PAST)?),
                anomalous: small(reader, PAST)?,
                anomalous_since: Timestamp(reader.signed(PAST)?),
            }),
            _ => return Err(Malformed(PAST)),
        },
        estimate: match reader.number(PAST)? {
            0 => Estimate::Ewma(Ewma { mean: finite(reader, PAST)?.get(), variance: spread(reader)? }),
            1 => Estimate::Zscore(read_buckets(reader)?),
            2 => {
                let count = reader.count(PAST)?;
                if count > RING_MAX {
                    return Err(Malformed(PAST));
                }
                let values = (0..count).map(|_| single(reader)).collect::<Result<_, _>>()?;
                Estimate::Mad(Mad { values })
            }
            _ => return Err(Malformed(PAST)),
        },
    })
}

fn read_buckets(reader: &mut Reader<'_>) -> Result<Zscore, Malformed> {
    let mut zscore = Zscore { clock: Millis(reader.number(PAST)?), ..Zscore::default() };
    for bucket in zscore.buckets.iter_mut() {
        let n = small(reader, PAST)?;
        if n > 0 {
            *bucket = Bucket { n, mean: finite(reader, PAST)?.get(), m2: spread(reader)? };
        }
    }
    Ok(zscore)
}

pub(super) fn write_anchor(writer: &mut Writer, anchor: Anchor) {
    writer.float(anchor.value.get());
    writer.signed(anchor.moved_at.0);
    writer.number(anchor.since.since(anchor.moved_at).0);
    writer.number(anchor.newest.since(anchor.since).0);
}

/// Reads the encoding without the time at which the value last moved: the line began then, or later.
pub(super) fn read_line(reader: &mut Reader<'_>) -> Result<Anchor, Malformed> {
    let value = finite(reader, ANCHOR)?;
    let since = Timestamp(reader.signed(ANCHOR)?);
    Ok(Anchor { value, moved_at: since, since, newest: since.after(Millis(reader.number(ANCHOR)?)) })
}

pub(super) fn read_anchor(reader: &mut Reader<'_>) -> Result<Anchor, Malformed> {
    let value = finite(reader, ANCHOR)?;
    let moved_at = Timestamp(reader.signed(ANCHOR)?);
    let since = moved_at.after(Millis(reader.number(ANCHOR)?));
    Ok(Anchor { value, moved_at, since, newest: since.after(Millis(reader.number(ANCHOR)?)) })
}

pub(super) fn write_met(writer: &mut Writer, met: &Met) {
    writer.signed(met.oldest.0);
    writer.number(met.gaps.len() as u64);
    met.gaps.iter().for_each(|gap| writer.number(u64::from(*gap)));
}

pub(super) fn read_met(reader: &mut Reader<'_>) -> Result<Met, Malformed> {
    let oldest = Timestamp(reader.signed(MET)?);
    let count = reader.count(MET)?;
    if count >= COUNT_MAX as usize {
        return Err(Malformed(MET));
    }
    let mut met = Met { oldest, newest: oldest, gaps: Default::default() };
    for _ in 0..count {
        let gap = small(reader, MET)?;
        met.newest = met.newest.after(Millis(u64::from(gap)));
        met.gaps.push_back(gap);
    }
    Ok(met)
}

fn small(reader: &mut Reader<'_>, what: &'static str) -> Result<u32, Malformed> {
    u32::try_from(reader.number(what)?).map_err(|_| Malformed(what))
}

fn finite(reader: &mut Reader<'_>, what: &'static str) -> Result<Finite, Malformed> {
    Finite::new(reader.float(what)?).ok_or(Malformed(what))
}

/// A variance or a sum of squares.
fn spread(reader: &mut Reader<'_>) -> Result<f64, Malformed> {
    let spread = finite(reader, PAST)?.get();
    if spread < 0.0 { Err(Malformed(PAST)) } else { Ok(spread) }
}

fn single(reader: &mut Reader<'_>) -> Result<f32, Malformed> {
    let bytes = reader.take(4, PAST)?.try_into().map_err(|_| Malformed(PAST))?;
    let value = f32::from_bits(u32::from_le_bytes(bytes));
    if value.is_finite() { Ok(value) } else { Err(Malformed(PAST)) }
}

#[cfg(test)]
#[path = "detector_tests.rs"]
mod tests;
