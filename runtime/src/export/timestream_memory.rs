//! A table of Timestream in memory, with the statements that exports use, and the bucket that it writes to. It takes
//! statements apart by the form in which they are built, without understanding SQL.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use fleetform_engine::{
    drive::PortError,
    units::{Millis, Timestamp},
};
use parquet::{
    basic::{LogicalType, Repetition, Type as Physical},
    data_type::{BoolType, ByteArray, ByteArrayType, DataType, DoubleType, Int64Type},
    file::writer::{SerializedFileWriter, SerializedRowGroupWriter},
    schema::types::Type,
};
use serde_json::json;

use super::{Cold, Files};
use crate::{
    frame::fixture::Row,
    results::{AskError, Page},
    timestream::{Metered, Queries},
};

pub(crate) const BUCKET: &str = "cold-bucket";

/// What happens to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The call is refused, and has no effect except that a large write may be partly done.
    Refused,
    /// The call takes effect, and its answer is lost.
    Unanswered,
}

/// Device, time, zone, and which readings are present.
type Name = (String, i64, String, [bool; 4]);

/// The complete state, shared between clones.
#[derive(Clone, Debug, Default)]
pub(crate) struct World(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    rows: Mutex<BTreeMap<Name, Row>>,
    objects: Mutex<BTreeMap<String, Bytes>>,
    statements: Mutex<Vec<String>>,
    unloads: AtomicUsize,
    calls: AtomicUsize,
    /// The first failing call, the number of failing calls, and the fault.
    faults: Mutex<Option<(usize, usize, Fault)>>,
}

impl World {
    /// Writes rows as the service does: a row replaces an older one of the same name.
    pub(crate) fn write(&self, zone: &str, rows: &[Row]) {
        let mut table = self.0.rows.lock().unwrap();
        for row in rows {
            let has = [row.flow.is_some(), row.mode.is_some(), row.count.is_some(), row.open.is_some()];
            let name = (row.device.clone(), row.sampled_at, zone.to_owned(), has);
            let known = table.entry(name).or_insert_with(|| row.clone());
            if known.ingested_at < row.ingested_at {
                *known = row.clone();
            }
        }
    }

    /// Removes older rows, as the service's retention does.
    pub(crate) fn expire(&self, before_ms: i64) {
        self.0.rows.lock().unwrap().retain(|(_, sampled_at, ..), _| *sampled_at >= before_ms * 1_000);
    }

    pub(crate) fn fail(&self, from: usize, calls: usize, fault: Fault) {
        *self.0.faults.lock().unwrap() = Some((from, calls, fault));
    }

    /// Stops all faults.
    pub(crate) fn mend(&self) {
        *self.0.faults.lock().unwrap() = None;
        self.0.calls.store(0, Ordering::Relaxed);
    }

    pub(crate) fn calls(&self) -> usize {
        self.0.calls.load(Ordering::Relaxed)
    }

    pub(crate) fn unloads(&self) -> usize {
        self.0.unloads.load(Ordering::Relaxed)
    }

    /// The objects below a prefix.
    pub(crate) fn objects(&self, prefix: &str) -> BTreeMap<String, Bytes> {
        let objects = self.0.objects.lock().unwrap();
        objects.iter().filter(|(key, _)| key.starts_with(prefix)).map(|(key, one)| (key.clone(), one.clone())).collect()
    }

    /// All statements so far.
    pub(crate) fn statements(&self) -> Vec<String> {
        self.0.statements.lock().unwrap().clone()
    }

    /// Counts a call, and returns its fault.
    fn call(&self) -> Option<Fault> {
        let number = self.0.calls.fetch_add(1, Ordering::Relaxed);
        let (from, calls, fault) = (*self.0.faults.lock().unwrap())?;
        (from..from.saturating_add(calls)).contains(&number).then_some(fault)
    }

    fn done<T>(&self, name: &str, act: impl FnOnce() -> T) -> Result<T, PortError> {
        let lost = || PortError(format!("{name}: no answer in time"));
        match self.call() {
            None => Ok(act()),
            Some(Fault::Refused) => Err(lost()),
            Some(Fault::Unanswered) => {
                act();
                Err(lost())
            }
        }
    }

    /// The rows in the time range of a statement, with their zones.
    fn within(&self, statement: &str) -> Vec<(String, Row)> {
        let bound = |after: &str| -> i64 {
            let rest = statement.split(after).nth(1).expect(after);
            rest.split(')').next().unwrap().parse().expect("milliseconds")
        };
        let times = bound("time >= from_milliseconds(") * 1_000..bound("time < from_milliseconds(") * 1_000;
        let rows = self.0.rows.lock().unwrap();
        let rows = rows.iter().filter(|((_, at, ..), _)| times.contains(at));
        rows.map(|((_, _, zone, _), row)| (zone.clone(), row.clone())).collect()
    }

    fn columns(&self) -> Vec<Vec<Option<String>>> {
        let columns = [
            ("zone", "varchar"),
            ("device_type", "varchar"),
            ("device_id", "varchar"),
            ("measure_name", "varchar"),
            ("time", "timestamp"),
            ("ingested_at", "bigint"),
            ("record", "varchar"),
            ("open", "boolean"),
            ("count", "bigint"),
            ("flow", "double"),
            ("mode", "varchar"),
        ];
        // A table that has never had a row has two columns.
        let is_empty = self.0.rows.lock().unwrap().is_empty();
        let columns = columns.into_iter().filter(|(name, _)| !is_empty || ["measure_name", "time"].contains(name));
        columns.map(|(name, kind)| vec![Some(name.to_owned()), Some(kind.to_owned())]).collect()
    }

    fn told(&self, statement: &str) -> Vec<Vec<Option<String>>> {
        let mut told: BTreeMap<(String, i64), i64> = BTreeMap::new();
        for (zone, row) in self.within(statement) {
            let day = Timestamp(row.sampled_at / 1_000).day_begin().0;
            *told.entry((zone, day)).or_default() +=
                row.ingested_at / 1_000 - day + Millis::from_days(1).0.cast_signed();
        }
        let row =
            |((zone, day), told): ((String, i64), i64)| vec![Some(zone), Some(day.to_string()), Some(told.to_string())];
        told.into_iter().map(row).collect()
    }

    /// Writes what a statement selects, in files of seven rows, with a manifest only if `whole`.
    fn unload(&self, statement: &str, whole: bool) {
        self.0.unloads.fetch_add(1, Ordering::Relaxed);
        let number = self.unloads();
        let quoted = |after: &str| statement.split(after).nth(1).expect(after).split('\'').next().unwrap().to_owned();
        let zone = quoted("\"zone\" = '");
        let folder = quoted(&format!("TO 's3://{BUCKET}/"));
        assert!(quoted("kms_key = '").starts_with("arn:"), "{statement}");
        let rows: Vec<Row> = self.within(statement).into_iter().filter(|row| row.0 == zone).map(|row| row.1).collect();
        let mut objects = self.0.objects.lock().unwrap();
        let mut files = Vec::new();
        for (part, rows) in rows.chunks(7).enumerate() {
            let key = format!("{folder}results/q{number}_{part}.parquet");
            objects.insert(key.clone(), file(&zone, rows));
            files.push(json!({ "url": format!("s3://{BUCKET}/{key}"), "file_metadata": { "row_count": rows.len() } }));
            if !whole {
                return;
            }
        }
        let manifest = json!({ "result_files": files, "query_metadata": { "total_row_count": rows.len() } });
        objects.insert(format!("{folder}q{number}_manifest.json"), manifest.to_string().into());
    }
}

impl Queries for World {
    async fn page(&self, statement: &str, token: Option<&str>) -> Result<Metered, AskError> {
        let lost = || Err(PortError("Query: no answer in time".to_owned()).into());
        let fault = self.call();
        if token.is_none() {
            self.0.statements.lock().unwrap().push(statement.to_owned());
        }
        if statement.starts_with("UNLOAD") {
            if token.is_none() {
                self.unload(statement, fault != Some(Fault::Refused));
            }
            let answer = match token {
                None => Page { next: Some("more".to_owned()), ..Page::default() },
                Some(_) => Page { rows: vec![vec![Some("1".to_owned())]], ..Page::default() },
            };
            let answer = Metered { page: answer, bytes: 0 };
            return if fault.is_some() { lost() } else { Ok(answer) };
        }
        if fault.is_some() {
            return lost();
        }
        let rows = if statement.starts_with("DESCRIBE") { self.columns() } else { self.told(statement) };
        // One row per page, and an empty page before the first.
        let place: usize = token.map_or(0, |token| token.parse().expect("a token"));
        let next = (place < rows.len()).then(|| (place + 1).to_string());
        let rows = rows.into_iter().skip(place.wrapping_sub(1)).take(1).collect();
        Ok(Metered { page: Page { rows, next, ..Page::default() }, bytes: 0 })
    }
}

impl Files for World {
    async fn get(&self, path: &str) -> Result<Bytes, PortError> {
        let key = path.strip_prefix(&format!("s3://{BUCKET}/")).expect("an object of the bucket");
        let found = self.done("GetObject", || self.0.objects.lock().unwrap().get(key).cloned())?;
        found.ok_or_else(|| PortError(format!("GetObject {path}: NoSuchKey")))
    }

    async fn put(&self, path: &str, _: Vec<u8>) -> Result<(), PortError> {
        panic!("{path} is written to by nobody")
    }
}

impl Cold for World {
    async fn list(&self, prefix: &str) -> Result<Vec<String>, PortError> {
        self.done("ListObjectsV2", || self.objects(prefix).into_keys().collect())
    }

    async fn get(&self, key: &str) -> Result<Option<Bytes>, PortError> {
        self.done("GetObject", || self.0.objects.lock().unwrap().get(key).cloned())
    }

    async fn put(&self, key: &str, bytes: Vec<u8>) -> Result<(), PortError> {
        self.done("PutObject", || _ = self.0.objects.lock().unwrap().insert(key.to_owned(), bytes.into()))
    }

    async fn create(&self, key: &str, bytes: Vec<u8>) -> Result<bool, PortError> {
        self.done("PutObject", || {
            let mut objects = self.0.objects.lock().unwrap();
            let is_new = !objects.contains_key(key);
            if is_new {
                objects.insert(key.to_owned(), bytes.into());
            }
            is_new
        })
    }

    async fn delete(&self, keys: &[String]) -> Result<(), PortError> {
        self.done("DeleteObjects", || keys.iter().for_each(|key| _ = self.0.objects.lock().unwrap().remove(key)))
    }
}

/// Rows as a file of the service: columns have no numbers, all are nullable, and times are integers.
fn file(zone: &str, rows: &[Row]) -> Bytes {
    let leaf = |name: &str, physical| {
        let text = (physical == Physical::BYTE_ARRAY).then_some(LogicalType::String);
        let leaf = Type::primitive_type_builder(name, physical).with_logical_type(text);
        leaf.with_repetition(Repetition::OPTIONAL).build().expect("a column").into()
    };
    let fields = [
        ("sampled_at", Physical::INT64),
        ("zone", Physical::BYTE_ARRAY),
        ("device_type", Physical::BYTE_ARRAY),
        ("device_id", Physical::BYTE_ARRAY),
        ("ingested_at", Physical::INT64),
        ("record", Physical::BYTE_ARRAY),
        ("open", Physical::BOOLEAN),
        ("count", Physical::INT64),
        ("flow", Physical::DOUBLE),
        ("mode", Physical::BYTE_ARRAY),
    ];
    let fields = fields.map(|(name, physical)| leaf(name, physical)).to_vec();
    let schema = Type::group_type_builder("rows").with_fields(fields).build().expect("a schema");
    let mut file = SerializedFileWriter::new(Vec::new(), schema.into(), Default::default()).expect("a file");
    let mut group = file.next_row_group().expect("a group");
    let text = |text: &str| Some(ByteArray::from(text));
    put::<Int64Type>(&mut group, rows.iter().map(|row| Some(row.sampled_at)));
    put::<ByteArrayType>(&mut group, rows.iter().map(|_| text(zone)));
    put::<ByteArrayType>(&mut group, rows.iter().map(|_| text("meter")));
    put::<ByteArrayType>(&mut group, rows.iter().map(|row| text(&row.device)));
    put::<Int64Type>(&mut group, rows.iter().map(|row| Some(row.ingested_at)));
    put::<ByteArrayType>(&mut group, rows.iter().map(|row| text(&format!("{:056}", row.record))));
    put::<BoolType>(&mut group, rows.iter().map(|row| row.open));
    put::<Int64Type>(&mut group, rows.iter().map(|row| row.count));
    put::<DoubleType>(&mut group, rows.iter().map(|row| row.flow));
    put::<ByteArrayType>(&mut group, rows.iter().map(|row| row.mode.and_then(text)));
    group.close().expect("a group");
    file.into_inner().expect("a file").into()
}

fn put<T: DataType>(group: &mut SerializedRowGroupWriter<'_, Vec<u8>>, cells: impl Iterator<Item = Option<T::T>>) {
    let (mut values, mut levels) = (Vec::new(), Vec::new());
    for cell in cells {
        levels.push(i16::from(cell.is_some()));
        values.extend(cell);
    }
    let mut column = group.next_column().expect("a column").expect("a column more");
    column.typed::<T>().write_batch(&values, Some(&levels), None).expect("values");
    column.close().expect("a column");
}
