//! Aggregates of samples over intervals, for each device and reading, as row groups of a Parquet file.
//!
//! Values are added up in order of time, so the same samples give the same bytes, in whatever order they arrived.

use fleetform_engine::{
    rows::{
        aggregates::COLUMNS,
        columns::{ColumnType, DEVICE_ID, DEVICE_TYPE, EXPORT_NUMBER, FIXED, ZONE},
    },
    units::Millis,
};
use parquet::{
    data_type::{ByteArray, ByteArrayType, DoubleType, Int64Type},
    errors::ParquetError,
    file::writer::SerializedRowGroupWriter,
};

use super::{
    Frame, Values,
    growing::Growing,
    merge::Samples,
    parquet::{leaf, next},
};

/// Maximum rows of a row group, which are held in addition to the samples. Tests make several groups of few rows.
const GROUP_ROWS: usize = if cfg!(test) { 7 } else { 1 << 20 };

const MICROS: u64 = 1_000;

/// Adds the aggregates of whole samples over intervals of `every` to a file. They cover the intervals with one of the
/// `changed` samples, or all intervals if none have been aggregated yet.
///
/// # Errors
/// If they cannot be written.
pub fn add(
    file: &mut Growing,
    whole: &Samples<'_>,
    changed: Option<&Samples<'_>>,
    every: Millis,
    export_number: i64,
) -> Result<(), ParquetError> {
    let readings = readings(whole.frame());
    let mut intervals = Intervals::new(whole, changed, every);
    let plan = Plan { frame: whole.frame(), readings: &readings, every, export_number };
    let mut rows: Vec<Row> = Vec::new();
    loop {
        let interval = intervals.next();
        if rows.len() >= GROUP_ROWS || interval.is_none() {
            plan.write(file, &rows)?;
            rows.clear();
        }
        let Some(interval) = interval else { return Ok(()) };
        for (place, reading) in readings.iter().enumerate() {
            let sum = interval.sum(whole, reading.values);
            if sum.count > 0 {
                rows.push(Row { of: interval.last_row, start_us: interval.start_us, reading: place, sum });
            }
        }
    }
}

/// A column of numbers or booleans, with the name of the reading.
struct Reading<'a> {
    name: ByteArray,
    values: &'a Values,
}

/// The columns that are aggregated, by name.
fn readings(frame: &Frame) -> Vec<Reading<'_>> {
    let is_own = |name: &str| FIXED.iter().all(|fixed| fixed.name != name);
    let is_number = |column_type| matches!(column_type, ColumnType::Float | ColumnType::Int | ColumnType::Bool);
    let mut columns: Vec<_> = frame
        .fields()
        .iter()
        .map(|field| &field.column)
        .zip(frame.values())
        .filter(|(column, _)| is_own(&column.name) && is_number(column.column_type))
        .collect();
    columns.sort_by(|(one, _), (other, _)| one.name.cmp(&other.name));
    columns.into_iter().map(|(column, values)| Reading { name: (&*column.name).into(), values }).collect()
}

/// The samples of one device in one interval, which are adjacent.
struct Interval {
    first: usize,
    end: usize,
    start_us: i64,
    /// The row that names the last sample.
    last_row: usize,
}

impl Interval {
    /// The aggregate of the values of one column.
    fn sum(&self, samples: &Samples<'_>, values: &Values) -> Sum {
        fn add<T: Copy>(each: impl Iterator<Item = usize>, values: &[Option<T>], number: impl Fn(T) -> f64) -> Sum {
            let mut sum = Sum::default();
            each.filter_map(|row| values[row])
                .map(number)
                .filter(|value| value.is_finite())
                .for_each(|value| sum.add(value));
            sum
        }
        let each = (self.first..self.end).map(|sample| samples.row(sample, values));
        match values {
            Values::Float(values) => add(each, values, |value| value),
            // Above 2^53, the nearest double is used.
            Values::Int(values) => add(each, values, |value| value as f64),
            Values::Bool(values) => add(each, values, |value| f64::from(u8::from(value))),
            Values::Text(_) => Sum::default(),
        }
    }
}

/// The intervals of samples that are sorted by device and time.
struct Intervals<'a> {
    whole: &'a Samples<'a>,
    changed: Option<&'a Samples<'a>>,
    every_us: i64,
    next: usize,
    next_changed: usize,
}

impl<'a> Intervals<'a> {
    fn new(whole: &'a Samples<'a>, changed: Option<&'a Samples<'a>>, every: Millis) -> Self {
        let every_us = i64::try_from(every.0.saturating_mul(MICROS)).unwrap_or(i64::MAX).max(1);
        Self { whole, changed, every_us, next: 0, next_changed: 0 }
    }

    /// The device of a sample, and the start of its interval.
    fn name(&self, samples: &Samples<'a>, sample: usize) -> (&'a [u8], i64) {
        let (device, at) = samples.name(sample);
        (device, at.div_euclid(self.every_us).saturating_mul(self.every_us))
    }

    /// The end of the run of samples from `first` on that have this name.
    fn end(&self, samples: &Samples<'a>, first: usize, name: (&[u8], i64)) -> usize {
        (first..samples.len()).find(|sample| self.name(samples, *sample) != name).unwrap_or(samples.len())
    }
}

impl Iterator for Intervals<'_> {
    type Item = Interval;

    fn next(&mut self) -> Option<Interval> {
        while self.next < self.whole.len() {
            let first = self.next;
            let name = self.name(self.whole, first);
            self.next = self.end(self.whole, first, name);
            let is_wanted = match self.changed {
                None => true,
                Some(changed) => {
                    // The changed samples are a subset of the whole, in the same order.
                    let known = self.next_changed;
                    self.next_changed = self.end(changed, known, name);
                    self.next_changed > known
                }
            };
            if is_wanted {
                let last_row = self.whole.last_row(self.next - 1);
                return Some(Interval { first, end: self.next, start_us: name.1, last_row });
            }
        }
        None
    }
}

/// The aggregate of some values.
#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    count: i64,
    minimum: f64,
    maximum: f64,
    sum: f64,
    last: f64,
}

impl Sum {
    fn add(&mut self, value: f64) {
        if self.count == 0 {
            (self.minimum, self.maximum) = (value, value);
        }
        self.count += 1;
        // Not by `f64::min`: processors differ on which of two zeros is the lesser.
        if value < self.minimum {
            self.minimum = value;
        }
        if value > self.maximum {
            self.maximum = value;
        }
        self.sum += value;
        self.last = value;
    }
}

/// A row of a file.
struct Row {
    /// The row of the frame that identifies the device.
    of: usize,
    start_us: i64,
    /// The index of the reading.
    reading: usize,
    sum: Sum,
}

fn fields() -> Result<Vec<parquet::schema::types::TypePtr>, ParquetError> {
    let own = COLUMNS.into_iter().map(|column| leaf(&column.name, column.column_type, column.required, None));
    own.chain([leaf(EXPORT_NUMBER, ColumnType::Int, true, None)]).collect()
}

/// What is needed to write rows.
struct Plan<'a> {
    frame: &'a Frame,
    readings: &'a [Reading<'a>],
    every: Millis,
    export_number: i64,
}

impl Plan<'_> {
    /// Writes rows as one row group with the columns in the order of [`COLUMNS`], unless there are none.
    fn write(&self, file: &mut Growing, rows: &[Row]) -> Result<(), ParquetError> {
        let ([first, ..], [.., last]) = (rows, rows) else { return Ok(()) };
        let mut group = file.writer("aggregates", fields)?.next_row_group()?;
        let every_s = i64::try_from(self.every.as_secs()).unwrap_or(i64::MAX);
        let [device, zone, device_type] = [DEVICE_ID, ZONE, DEVICE_TYPE].map(|name| self.texts(name));
        let text = |texts: Option<&[Option<ByteArray>]>, row: usize| {
            texts.and_then(|texts| texts[row].clone()).unwrap_or_else(|| "".into())
        };
        texts(&mut group, rows, |row| text(device, row.of))?;
        numbers(&mut group, rows, |row| row.start_us)?;
        numbers(&mut group, rows, |_| every_s)?;
        texts(&mut group, rows, |row| text(zone, row.of))?;
        texts(&mut group, rows, |row| text(device_type, row.of))?;
        texts(&mut group, rows, |row| self.readings[row.reading].name.clone())?;
        numbers(&mut group, rows, |row| row.sum.count)?;
        doubles(&mut group, rows, |row| row.sum.minimum)?;
        doubles(&mut group, rows, |row| row.sum.maximum)?;
        let sums = rows.iter().map(|row| Some(row.sum.sum).filter(|sum| sum.is_finite()));
        let levels: Vec<i16> = sums.clone().map(|sum| i16::from(sum.is_some())).collect();
        next::<DoubleType>(&mut group, &sums.flatten().collect::<Vec<_>>(), Some(&levels))?;
        doubles(&mut group, rows, |row| row.sum.last)?;
        numbers(&mut group, rows, |_| self.export_number)?;
        group.close()?;
        file.count(rows.len(), [first, last].map(|row| self.frame.device_of(row.of)));
        Ok(())
    }

    fn texts(&self, name: &str) -> Option<&[Option<ByteArray>]> {
        let place = self.frame.fields().iter().position(|field| field.column.name == name)?;
        match &self.frame.values()[place] {
            Values::Text(values) => Some(values),
            Values::Float(_) | Values::Int(_) | Values::Bool(_) => None,
        }
    }
}

type Group<'a> = SerializedRowGroupWriter<'a, Vec<u8>>;

fn texts(group: &mut Group<'_>, rows: &[Row], cell: impl Fn(&Row) -> ByteArray) -> Result<(), ParquetError> {
    next::<ByteArrayType>(group, &rows.iter().map(cell).collect::<Vec<_>>(), None)
}

fn numbers(group: &mut Group<'_>, rows: &[Row], cell: impl Fn(&Row) -> i64) -> Result<(), ParquetError> {
    next::<Int64Type>(group, &rows.iter().map(cell).collect::<Vec<_>>(), None)
}

fn doubles(group: &mut Group<'_>, rows: &[Row], cell: impl Fn(&Row) -> f64) -> Result<(), ParquetError> {
    next::<DoubleType>(group, &rows.iter().map(cell).collect::<Vec<_>>(), None)
}
