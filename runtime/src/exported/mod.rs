//! Exported files turned back into records, for a backtest to replay.
//!
//! Days of zones are read one after the other. Each sample is passed on once, as the newest export of its day has it,
//! in the order in which samples reached the platform. It takes the form of a message that a device could have sent,
//! with the device's zone and type at that time.
//!
//! One object and one of its row groups are held at a time. Samples in memory are bounded. The index of superseded
//! samples is not: about 60 bytes for each sample of a day that a later export rewrote, over all zones of that day, and
//! more where ids are longer than 22 bytes. Samples are passed on in the order of their ingest, in which any zone and
//! device can appear at any time, so the index cannot be read in parts. It is small where late samples are few; a day
//! of which a later export has ten million samples takes most of a gigabyte.
//!
//! Where exports are stored and how they are read is hidden from the caller, and this module knows nothing about rules.

mod spelling;

use std::{
    collections::{BTreeMap, HashMap},
    ops::{Range, RangeInclusive},
};

use bytes::Bytes;
use fleetform_engine::{rule_set::RuleSet, units::Timestamp};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use sha2::{Digest as _, Sha256};
use smol_str::SmolStr;

use crate::{
    export::{
        Cold, ExportError, exports,
        manifest::{Layout, Manifest, Object, hexadecimal},
    },
    frame::{Field, Frame, parquet},
    iceberg::snapshot::{Day, Partition},
};
use spelling::Plan;

/// Zones whose manifests are requested concurrently.
const ZONES_AT_ONCE: usize = 24;
/// Maximum samples held at once, unless more arrived within one minute. One is a message of about 300 bytes.
pub const HELD_MAX: usize = 2_000_000;

const MINUTE_US: i64 = 60_000_000;
const MICROS: i64 = 1_000;

/// A sample as a plain record of the stream. Its partition key is the device, and its arrival time is the time of
/// ingest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replayed {
    /// When the sample reached the platform.
    pub ingested_at: Timestamp,
    /// The sequence number of the original record; samples of one message share it.
    pub record: SmolStr,
    /// The id of the device that sent it.
    pub device: SmolStr,
    /// When the sample was taken.
    pub sampled_at: Timestamp,
    /// The device's zone at that time.
    pub zone: SmolStr,
    /// The device's type at that time.
    pub device_type: SmolStr,
    /// The sample as a message, in the form that the rule set expects.
    pub message: Vec<u8>,
}

impl Replayed {
    fn order(&self) -> impl Ord {
        (self.ingested_at, &self.record, &self.device, self.sampled_at)
    }
}

/// Reads exports.
#[derive(Debug)]
pub struct Reader<'r, K> {
    /// The storage that holds them.
    pub cold: K,
    /// How their keys are built.
    pub layout: Layout,
    /// The rule set that determines the form of messages.
    pub rules: &'r RuleSet,
    /// Maximum samples held at once: see [`HELD_MAX`].
    pub held_max: usize,
}

/// Counts of what was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Samples that were passed on.
    pub samples: u64,
    /// Samples that a later export replaces, and that were not passed on.
    pub superseded: u64,
    /// Samples that were not passed on because the rule set lacks their device type.
    pub unknown_types: u64,
    /// Values that are in no message because the rule set has no place for them.
    pub left_out: u64,
    /// Samples that were passed on before others that had arrived earlier: more came late, and by more, than can be
    /// held.
    pub early: u64,
}

/// The exports of a day of a zone that have objects.
struct Part {
    zone: SmolStr,
    exports: Vec<Manifest>,
}

impl Part {
    fn objects(&self) -> impl Iterator<Item = (u32, &Object)> {
        self.exports.iter().flat_map(|export| export.objects.iter().map(|object| (export.export_number, object)))
    }
}

/// Which export has the newest version of a sample, by zone, device and time; no entry if only the first one has it.
type Newest = HashMap<(usize, SmolStr, i64), u32>;

impl<K: Cold> Reader<'_, K> {
    /// Passes every sample of these zones and days to `tell`. A day that was not exported has none.
    ///
    /// # Errors
    /// If an export cannot be read or does not match its manifest. The samples passed on until then are valid.
    pub async fn each(
        &self,
        zones: &[SmolStr],
        days: RangeInclusive<Day>,
        mut tell: impl FnMut(Replayed),
    ) -> Result<Report, ExportError> {
        let mut report = Report::default();
        let mut waiting = Vec::new();
        for day in (days.start().0..=days.end().0).map(Day) {
            let asked = stream::iter(zones).map(async |zone| self.part(zone, day).await);
            let parts: Vec<Part> = asked.buffered(ZONES_AT_ONCE).try_collect().await?;
            self.day(day, &parts, &mut waiting, &mut report, &mut tell).await?;
        }
        tell_before(i64::MAX, &mut waiting, &mut report, &mut tell);
        Ok(report)
    }

    async fn part(&self, zone: &SmolStr, day: Day) -> Result<Part, ExportError> {
        let mut exports = exports(&self.cold, self.layout, &Partition { day, zone: zone.clone() }).await?;
        exports.retain(|export| !export.objects.is_empty());
        Ok(Part { zone: zone.clone(), exports })
    }

    /// Passes on the samples of a day that no sample of a later day can precede, and leaves the rest in `waiting`.
    async fn day(
        &self,
        day: Day,
        parts: &[Part],
        waiting: &mut Vec<Replayed>,
        report: &mut Report,
        tell: &mut impl FnMut(Replayed),
    ) -> Result<(), ExportError> {
        let newest = self.newest(parts).await?;
        // A sample is ingested no earlier than its own time less the maximum future skew.
        let skew = i64::try_from(self.rules.message.max_future_skew_ms.0).unwrap_or(i64::MAX);
        let certain = day.end().0.saturating_sub(skew).saturating_mul(MICROS);
        for (turn, window) in self.windows(parts).await?.into_iter().enumerate() {
            for (place, part) in parts.iter().enumerate() {
                for (number, object) in part.objects() {
                    let bytes = self.object(object, turn == 0).await?;
                    let fields = parquet::fields(&bytes).map_err(|error| damaged(object, &error))?;
                    let mut frame = Frame::new(fields)?;
                    frame.read_arrived(bytes, window.clone()).map_err(|error| damaged(object, &error))?;
                    let plan = Plan::new(self.rules, &frame).map_err(|lacking| damaged(object, &lacking))?;
                    for row in 0..frame.len() {
                        let device = plan.device(row).map_err(|lacking| damaged(object, &lacking))?;
                        if !newest.is_empty() {
                            let name = (place, device.clone(), frame.times_of(row).0);
                            if newest.get(&name).is_some_and(|newest| *newest != number) {
                                report.superseded += 1;
                                continue;
                            }
                        }
                        match plan.spell(row, device, &part.zone, &mut report.left_out) {
                            Ok(Some(sample)) => waiting.push(sample),
                            Ok(None) => report.unknown_types += 1,
                            Err(lacking) => return Err(damaged(object, &lacking)),
                        }
                    }
                }
            }
            tell_before(certain.min(window.end), waiting, report, tell);
            if let Some(more) = waiting.len().checked_sub(self.held_max).filter(|more| *more > 0) {
                report.early += more as u64;
                report.samples += more as u64;
                waiting.drain(..more).for_each(&mut *tell);
            }
        }
        Ok(())
    }

    /// Splits the times of ingest, in order, into windows none of which has more samples than may be held.
    async fn windows(&self, parts: &[Part]) -> Result<Vec<Range<i64>>, ExportError> {
        let all: u64 = parts.iter().flat_map(Part::objects).map(|(_, object)| object.samples).sum();
        // The same number may be waiting.
        let at_once = (self.held_max / 2).max(1);
        match usize::try_from(all) {
            Ok(0) => return Ok(Vec::new()),
            Ok(all) if all <= at_once => return Ok(std::iter::once(i64::MIN..i64::MAX).collect()),
            _ => {}
        }
        let mut minutes: BTreeMap<i64, usize> = BTreeMap::new();
        for (_, object) in parts.iter().flat_map(Part::objects) {
            self.each_name(object, |names, row| {
                *minutes.entry(names.times_of(row).1.div_euclid(MINUTE_US)).or_default() += 1;
                Ok(())
            })
            .await?;
        }
        let (mut windows, mut from, mut held) = (Vec::new(), i64::MIN, 0);
        for (minute, samples) in minutes {
            if held > 0 && held + samples > at_once {
                let to = minute.saturating_mul(MINUTE_US);
                windows.push(from..to);
                (from, held) = (to, 0);
            }
            held += samples;
        }
        windows.push(from..i64::MAX);
        Ok(windows)
    }

    /// The samples that are in exports after the first.
    async fn newest(&self, parts: &[Part]) -> Result<Newest, ExportError> {
        let mut newest = Newest::new();
        for (place, part) in parts.iter().enumerate() {
            for export in part.exports.iter().skip(1) {
                for object in &export.objects {
                    self.each_name(object, |names, row| {
                        let device = std::str::from_utf8(names.device_of(row));
                        let device = device.map_err(|error| damaged(object, &error))?;
                        newest.insert((place, device.into(), names.times_of(row).0), export.export_number);
                        Ok(())
                    })
                    .await?;
                }
            }
        }
        Ok(newest)
    }

    /// Passes on the rows of an object without their readings, one row group at a time.
    async fn each_name(
        &self,
        object: &Object,
        mut tell: impl FnMut(&Frame, usize) -> Result<(), ExportError>,
    ) -> Result<(), ExportError> {
        let bytes = self.object(object, false).await?;
        let fields = parquet::fields(&bytes).map_err(|error| damaged(object, &error))?;
        let named: Vec<Field> =
            fields.into_iter().filter(|field| spelling::NAMES.contains(&&*field.column.name)).collect();
        let groups = Frame::new(named)?;
        for names in groups.groups(bytes).map_err(|error| damaged(object, &error))? {
            let names = names.map_err(|error| damaged(object, &error))?;
            (0..names.len()).try_for_each(|row| tell(&names, row))?;
        }
        Ok(())
    }

    /// Reads an object, and checks its bytes against the manifest.
    async fn object(&self, object: &Object, whole: bool) -> Result<Bytes, ExportError> {
        let bytes = self.cold.get(&object.key).await?.ok_or_else(|| damaged(object, &"it is gone"))?;
        if bytes.len() as u64 != object.bytes || (whole && hexadecimal(&Sha256::digest(&bytes)) != object.sha256) {
            return Err(damaged(object, &"its bytes are not those that its manifest names"));
        }
        Ok(bytes)
    }
}

/// Passes on, in order, the samples that arrived before a time in microseconds.
fn tell_before(time: i64, waiting: &mut Vec<Replayed>, report: &mut Report, tell: &mut impl FnMut(Replayed)) {
    waiting.sort_by(|one, other| one.order().cmp(&other.order()));
    let until = waiting.partition_point(|sample| sample.ingested_at.0.saturating_mul(MICROS) < time);
    report.samples += until as u64;
    waiting.drain(..until).for_each(tell);
}

fn damaged(object: &Object, reason: &dyn std::fmt::Display) -> ExportError {
    ExportError::Earlier { key: object.key.clone(), reason: reason.to_string() }
}

#[cfg(test)]
mod show;
#[cfg(test)]
mod tests;
