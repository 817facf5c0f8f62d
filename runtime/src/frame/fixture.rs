//! Rows in the form in which tests write them.

use fleetform_engine::rows::columns::{ColumnType, DEVICE_ID, DEVICE_TYPE, INGESTED_AT, RECORD, SAMPLED_AT, ZONE};

use serde_json::{Map, Value};

use super::{Field, Frame, Values};

/// A row: its device and time, its arrival and record, and its readings.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Row {
    /// The device's id.
    pub device: String,
    /// When it was sampled, in microseconds.
    pub sampled_at: i64,
    /// When it reached the platform, in microseconds.
    pub ingested_at: i64,
    /// The number of the record that it came in.
    pub record: u32,
    /// A reading of doubles.
    pub flow: Option<f64>,
    /// A reading of strings.
    pub mode: Option<&'static str>,
    /// A reading of integers.
    pub count: Option<i64>,
    /// A reading of booleans.
    pub open: Option<bool>,
}

/// A frame of rows.
pub fn frame(fields: Vec<Field>, zone: &str, rows: &[Row]) -> Frame {
    let mut frame = Frame::new(fields).expect("columns of samples");
    for row in rows {
        for (field, values) in frame.fields.iter().zip(&mut frame.values) {
            let text = |text: &str| Some(text.into());
            let record = format!("{:056}", row.record);
            match (values, field.column.name.as_str()) {
                (Values::Text(values), name) => values.push(match name {
                    DEVICE_ID => text(&row.device),
                    ZONE => text(zone),
                    DEVICE_TYPE => text("meter"),
                    RECORD => text(&record),
                    "mode" => row.mode.map(Into::into),
                    _ => None,
                }),
                (Values::Int(values), name) => values.push(match name {
                    SAMPLED_AT => Some(row.sampled_at),
                    INGESTED_AT => Some(row.ingested_at),
                    "count" => row.count,
                    _ => None,
                }),
                (Values::Float(values), name) => values.push(row.flow.filter(|_| name == "flow")),
                (Values::Bool(values), name) => values.push(row.open.filter(|_| name == "open")),
            }
        }
        frame.rows += 1;
    }
    frame
}

/// A frame of rows in the form in which `store` hands them over, each an object by column.
pub fn from_json<'r>(fields: Vec<Field>, rows: impl IntoIterator<Item = &'r Value>) -> Frame {
    let mut frame = Frame::new(fields).expect("columns of samples");
    for row in rows {
        let known = frame.fields.iter().filter(|field| row.get(&*field.column.name).is_some()).count();
        assert_eq!(Some(known), row.as_object().map(Map::len), "each value has a column: {row}");
        for (field, values) in frame.fields.iter().zip(&mut frame.values) {
            let cell = row.get(&*field.column.name);
            assert!(cell.is_some() || !field.column.required, "{row} lacks `{}`", field.column.name);
            let typed = "a value of the column's type";
            match values {
                Values::Text(values) => values.push(cell.map(|cell| cell.as_str().expect(typed).into())),
                Values::Int(values) => values.push(cell.map(|cell| cell.as_i64().expect(typed))),
                Values::Float(values) => values.push(cell.map(|cell| cell.as_f64().expect(typed))),
                Values::Bool(values) => values.push(cell.map(|cell| cell.as_bool().expect(typed))),
            }
        }
        frame.rows += 1;
    }
    frame
}

/// The rows of a frame, with readings in debug format.
pub fn rows(frame: &Frame) -> Vec<Vec<(String, String)>> {
    (0..frame.rows)
        .map(|row| {
            let cell = |values: &Values| match values {
                Values::Text(values) => {
                    values[row].as_ref().map(|text| String::from_utf8_lossy(text.data()).into_owned())
                }
                Values::Float(values) => values[row].map(|number| number.to_string()),
                Values::Int(values) => values[row].map(|number| number.to_string()),
                Values::Bool(values) => values[row].map(|truth| truth.to_string()),
            };
            let named = frame.fields.iter().zip(&frame.values);
            named.filter_map(|(field, values)| Some((field.column.name.to_string(), cell(values)?))).collect()
        })
        .collect()
}

/// The column with the number of the export that wrote a row.
pub fn export_number() -> Field {
    use fleetform_engine::rows::columns::{Column, EXPORT_NUMBER};
    // Files have it without an id, so it is found by its name.
    Field { id: 0, column: Column { name: EXPORT_NUMBER.into(), column_type: ColumnType::Int, required: true } }
}
