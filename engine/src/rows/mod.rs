//! Messages as rows of the sample table: every value that a device sent, whether or not a rule reads it.
//!
//! A message is parsed exactly as evaluation parses it, so a message that evaluation sets aside yields no row.
//! Samples that are too old to be evaluated are stored all the same. A record names the device, but not its type or
//! zone: the storing side must look those up.

pub mod aggregates;
pub mod columns;
pub mod sql;

use std::collections::BTreeMap;

use smol_str::SmolStr;

use crate::{
    base64::Buffer,
    compiled::{Compiled, DeviceType, Home},
    drive::StreamRecord,
    ids::{DeviceId, DeviceTypeId},
    reason::{Reason, Refusal},
    record::{self, Record},
    rule_set::{RuleSet, RuleSetError},
    sample::{Extra, Samples},
    state::Registration,
    step,
    units::Timestamp,
    value::Value,
};
use columns::{Column, NoTable};

/// What a record means for sample storage.
#[derive(Clone, Debug, PartialEq)]
pub enum Heard {
    /// A device is registered, moved or retired, as of this time.
    Registration(Registration, Timestamp),
    /// A device sent readings.
    Telemetry(Telemetry),
    /// Nothing to store.
    Nothing,
}

/// A message with readings, not yet parsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Telemetry {
    /// Id of the device that sent it.
    pub device: SmolStr,
    /// When the message reached the platform.
    pub ingested_at: Timestamp,
    /// Whether the message is redriven, and so lies at another place in the stream than at first.
    pub again: bool,
    /// The message's bytes, as the device sent them.
    pub payload: Vec<u8>,
}

/// One sample: a row of the table without the columns that are the same for all samples of its message.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// When the sample was taken.
    pub sampled_at: Timestamp,
    /// The values by column index, in the order of the columns. Each column appears at most once.
    pub cells: Vec<(u16, Cell)>,
    /// Readings that the device type does not declare, by their key in the message.
    pub other_readings: BTreeMap<SmolStr, serde_json::Value>,
}

/// A value of a row.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// In a column of floats or integers.
    Number(f64),
    /// In a column of booleans.
    Bool(bool),
    /// In a column of strings.
    Text(SmolStr),
}

/// Why a rule set cannot be used to store samples.
#[derive(Debug, thiserror::Error)]
pub enum ReaderError {
    /// The bytes are not a valid rule set.
    #[error(transparent)]
    RuleSet(#[from] RuleSetError),
    /// Its readings cannot form a table.
    #[error(transparent)]
    NoTable(#[from] NoTable),
}

/// A rule set as the storing side reads it, with its working buffers.
#[derive(Debug)]
pub struct Reader {
    rules: Compiled,
    columns: Vec<Column>,
    /// For each device type, the column of each metric.
    columns_of: Vec<Vec<u16>>,
    samples: Samples,
    decoded: Buffer,
}

impl Reader {
    /// Creates a reader from the bytes of an artifact.
    ///
    /// # Errors
    /// If the bytes are not a valid rule set, or its readings cannot form a table.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ReaderError> {
        let set = RuleSet::from_bytes(bytes)?;
        let columns = columns::columns(&set)?;
        let rules = Compiled::new(&set, RuleSet::sha256(bytes));
        let place = |id: &str| columns.iter().position(|column| column.name == id);
        let column = |id: &str| place(id).expect("the columns were made of the metrics") as u16;
        let of_type = |device_type: &DeviceType| {
            device_type.metrics.iter().map(|metric| column(metric.id.as_str())).collect::<Vec<_>>()
        };
        let columns_of = rules.types.iter().map(of_type).collect();
        Ok(Self { rules, columns, columns_of, samples: Samples::default(), decoded: Buffer::default() })
    }

    /// The columns of the table.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// Opens a record.
    ///
    /// # Errors
    /// If evaluation quarantines the record whatever its payload holds.
    pub fn open(&mut self, record: &StreamRecord<'_>) -> Result<Heard, Refusal> {
        let read = match record::read(record, &mut self.decoded) {
            (ingested_at, Ok(Record::Redriven { original })) => {
                let original = StreamRecord { data: &original, arrived_at: ingested_at, ..*record };
                let (ingested_at, read) = record::read(&original, &mut self.decoded);
                return heard(ingested_at, read.and_then(step::may_come_again)?, true, &self.decoded);
            }
            (ingested_at, read) => (ingested_at, read?),
        };
        heard(read.0, read.1, false, &self.decoded)
    }

    /// Returns the samples of a message, ordered by time, for a device of this type.
    ///
    /// # Errors
    /// If evaluation quarantines the message.
    pub fn rows(&mut self, telemetry: &Telemetry, device_type: &DeviceTypeId) -> Result<Vec<Row>, Refusal> {
        let Self { rules, columns_of, samples, .. } = self;
        let device_type = rules
            .type_of(device_type)
            .ok_or_else(|| Refusal::new(Reason::UnknownType, "the rule set does not have the device's type"))?;
        // How a message is parsed depends on the type alone, and a sample from a zone that no longer exists is still
        // a sample.
        let home = Home { device_type, zone: 0 };
        let device = DeviceId::new(&telemetry.device)
            .map_err(|_| Refusal::new(Reason::UnknownDevice, "the device's name is none"))?;
        samples.read_whole(&telemetry.payload, rules, home, &device, telemetry.ingested_at)?;
        let metrics = &rules.device_type(home).metrics;
        let columns = &columns_of[usize::from(home.device_type)];
        let mut rows: Vec<Row> = Vec::with_capacity(samples.samples.len());
        for sample in &samples.samples {
            // Samples with the same time form one row, with the first value of each column.
            if rows.last().is_none_or(|row| row.sampled_at != sample.at) {
                rows.push(Row { sampled_at: sample.at, cells: Vec::new(), other_readings: BTreeMap::new() });
            }
            let Some(row) = rows.last_mut() else { continue };
            for (metric, value) in &samples.values[sample.values.clone()] {
                let index = usize::from(*metric);
                let cell = match value {
                    Value::Number(number) => Cell::Number(number.get()),
                    Value::Bool(truth) => Cell::Bool(*truth),
                    Value::Word(word) => Cell::Text(metrics[index].words()[usize::from(*word)].clone()),
                };
                row.put(columns[index], cell);
            }
            for extra in &samples.extras[sample.extras.clone()] {
                match extra {
                    Extra::Text(metric, text) => row.put(columns[usize::from(*metric)], Cell::Text(text.clone())),
                    Extra::Other(key, value) => {
                        row.other_readings.entry(key.clone()).or_insert_with(|| value.clone());
                    }
                }
            }
        }
        Ok(rows)
    }
}

impl Row {
    /// Fills a column that is empty.
    fn put(&mut self, column: u16, cell: Cell) {
        if let Err(place) = self.cells.binary_search_by_key(&column, |(column, _)| *column) {
            self.cells.insert(place, (column, cell));
        }
    }
}

fn heard(ingested_at: Timestamp, record: Record<'_>, again: bool, decoded: &Buffer) -> Result<Heard, Refusal> {
    Ok(match record {
        Record::Telemetry { device, payload } => Heard::Telemetry(Telemetry {
            device: device.as_ref().into(),
            ingested_at,
            again,
            payload: payload.bytes(decoded.bytes()).to_vec(),
        }),
        Record::Device(registration) => Heard::Registration(*registration, ingested_at),
        Record::Status { .. }
        | Record::Alarm { .. }
        | Record::Lifecycle(_)
        | Record::Tick
        | Record::Rules { .. }
        | Record::Override { .. }
        | Record::Member(_)
        | Record::Redriven { .. } => Heard::Nothing,
    })
}

#[cfg(test)]
mod tests;
