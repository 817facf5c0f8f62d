//! Converts a row to the message that a device would have sent: one sample, with each value where the rule set expects
//! it for such a device.

use std::collections::HashMap;

use fleetform_engine::{
    rows::columns::{DEVICE_ID, DEVICE_TYPE, INGESTED_AT, OTHER_READINGS, RECORD, SAMPLED_AT},
    rule_set::{METRICS_MAX, MessageFormat, RuleSet, UnknownReading},
    session::{put_at_path, write_time},
    units::Timestamp,
};
use serde_json::{Map, Number, Value};
use smol_str::SmolStr;

use super::{MICROS, Replayed};
use crate::frame::{Frame, Values};

/// The columns that identify a row.
pub(super) const NAMES: [&str; 4] = [DEVICE_ID, SAMPLED_AT, INGESTED_AT, RECORD];

/// A file lacks something that every exported file has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("its column `{0}` is not there, or has a value that no sample has")]
pub(super) struct Lacking(&'static str);

/// Where the values of a file's rows go in messages.
pub(super) struct Plan<'a> {
    frame: &'a Frame,
    format: &'a MessageFormat,
    device_type: usize,
    other_readings: Option<usize>,
    /// The indices of the columns with readings and health values.
    columns: Vec<usize>,
    /// The place of each of them in messages, by device type; `None` if the type has no such reading.
    spots: HashMap<&'a str, Vec<Option<Spot<'a>>>>,
}

/// A place in a message.
#[derive(Clone, Copy)]
enum Spot<'a> {
    /// A key of the object of readings.
    Reading(&'a str),
    /// A path from the root of the message.
    Health(&'a str),
}

impl<'a> Plan<'a> {
    pub(super) fn new(rules: &'a RuleSet, frame: &'a Frame) -> Result<Self, Lacking> {
        let place = |name: &str| frame.fields().iter().position(|field| field.column.name == name);
        let fixed = |name: &str| fleetform_engine::rows::columns::is_reserved(name);
        let names: Vec<&str> = frame.fields().iter().map(|field| &*field.column.name).collect();
        let columns: Vec<usize> = (0..names.len()).filter(|column| !fixed(names[*column])).collect();
        let spots = rules.device_types.iter().map(|(id, device_type)| {
            let spot = |column: &usize| {
                let health = rules.message.health.get(names[*column]).map(|path| Spot::Health(path));
                health.or_else(|| device_type.readings.get(names[*column]).map(|reading| Spot::Reading(&reading.key)))
            };
            (id.as_str(), columns.iter().map(spot).collect())
        });
        Ok(Self {
            frame,
            format: &rules.message,
            device_type: place(DEVICE_TYPE).ok_or(Lacking(DEVICE_TYPE))?,
            other_readings: place(OTHER_READINGS),
            spots: spots.collect(),
            columns,
        })
    }

    /// The device of a row.
    pub(super) fn device(&self, row: usize) -> Result<SmolStr, Lacking> {
        text(self.frame.device_of(row), DEVICE_ID).map(SmolStr::new)
    }

    /// Converts a row to a record; `None` if the rule set lacks its device type. Values without a place are counted.
    pub(super) fn spell(
        &self,
        row: usize,
        device: SmolStr,
        zone: &SmolStr,
        left_out: &mut u64,
    ) -> Result<Option<Replayed>, Lacking> {
        let Some(Value::String(device_type)) = value(&self.frame.values()[self.device_type], row, DEVICE_TYPE)? else {
            return Err(Lacking(DEVICE_TYPE));
        };
        let Some(spots) = self.spots.get(&*device_type) else { return Ok(None) };
        let (sampled_at, ingested_at) = self.frame.times_of(row);
        let [sampled_at, ingested_at] = [sampled_at, ingested_at].map(|time| Timestamp(time.div_euclid(MICROS)));
        let (mut message, mut readings, mut health) = (Map::new(), Map::new(), 0);
        put_at_path(&mut message, &self.format.device_id, device.as_str().into());
        put_at_path(&mut message, &self.format.timestamp, write_time(sampled_at, self.format.timestamp_format));
        for (column, spot) in self.columns.iter().zip(spots) {
            let Some(value) = value(&self.frame.values()[*column], row, "of a reading")? else { continue };
            match spot {
                Some(Spot::Reading(key)) => _ = readings.insert((*key).to_owned(), value),
                Some(Spot::Health(path)) => {
                    health += 1;
                    put_at_path(&mut message, path, value);
                }
                None => *left_out += 1,
            }
        }
        for (key, value) in self.others(row)? {
            let is_taken = readings.contains_key(&key) || spots.iter().flatten().any(|spot| spot.is_reading(&key));
            let has_room = readings.len() + health < METRICS_MAX;
            if is_taken || !has_room || self.format.unknown_reading == UnknownReading::Reject {
                *left_out += 1;
            } else {
                readings.insert(key, value);
            }
        }
        put_at_path(&mut message, &self.format.readings, Value::Object(readings));
        Ok(Some(Replayed {
            ingested_at,
            record: text(self.frame.record_of(row), RECORD)?.into(),
            device,
            sampled_at,
            zone: zone.clone(),
            device_type: device_type.into(),
            message: Value::Object(message).to_string().into_bytes(),
        }))
    }

    /// The readings that the device type does not declare.
    fn others(&self, row: usize) -> Result<Map<String, Value>, Lacking> {
        let others = self.other_readings.map(|place| value(&self.frame.values()[place], row, OTHER_READINGS));
        match others.transpose()?.flatten() {
            Some(Value::String(text)) => serde_json::from_str(&text).map_err(|_| Lacking(OTHER_READINGS)),
            _ => Ok(Map::new()),
        }
    }
}

impl Spot<'_> {
    fn is_reading(&self, key: &str) -> bool {
        matches!(self, Self::Reading(own) if *own == key)
    }
}

fn text<'t>(bytes: &'t [u8], column: &'static str) -> Result<&'t str, Lacking> {
    std::str::from_utf8(bytes).map_err(|_| Lacking(column))
}

/// The value of a column as JSON; `None` if the row has none.
fn value(values: &Values, row: usize, column: &'static str) -> Result<Option<Value>, Lacking> {
    Ok(match values {
        Values::Text(values) => match &values[row] {
            Some(value) => Some(text(value.data(), column)?.into()),
            None => None,
        },
        Values::Float(values) => {
            let number = values[row].map(|number| Number::from_f64(number).ok_or(Lacking(column))).transpose()?;
            number.map(Value::Number)
        }
        Values::Int(values) => values[row].map(Value::from),
        Values::Bool(values) => values[row].map(Value::from),
    })
}
