//! A table of samples and a cold bucket in memory, with faults on demand. The table is in Iceberg's form, including its
//! files and manifests.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use apache_avro::{Schema, Writer, types::Value};
use bytes::Bytes;
use fleetform_engine::{
    drive::PortError,
    rows::columns::{Column, ColumnType, FIXED},
};
use serde_json::{Value as Json, json};

use super::{Cold, Files};
use crate::{
    frame::{
        Frame,
        fixture::{self, Row},
        growing::Growing,
        merge::Samples,
        parquet,
    },
    iceberg::{
        Metadata, TableName,
        catalog::Catalog,
        snapshot::{Day, Partition},
    },
};

/// What happens to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The call is refused, and has no effect.
    Refused,
    /// The call takes effect, and its answer is lost.
    Unanswered,
}

/// The complete state, shared between clones.
#[derive(Clone, Debug)]
pub struct World(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    files: Mutex<BTreeMap<String, Bytes>>,
    cold: Mutex<BTreeMap<String, Bytes>>,
    metadata: Mutex<Json>,
    calls: AtomicUsize,
    /// The first failing call, the number of failing calls, and the fault.
    faults: Mutex<Option<(usize, usize, Fault)>>,
    /// The number of reads of each file of the table.
    reads: Mutex<BTreeMap<String, usize>>,
    /// Rows that another writer appends before the next commit.
    meanwhile: Mutex<Option<(Partition, Vec<Row>)>>,
}

impl Default for World {
    fn default() -> Self {
        Self::new()
    }
}

impl World {
    /// A table with the readings of a [`Row`], without rows.
    pub fn new() -> Self {
        let readings = [
            ("flow", ColumnType::Float),
            ("mode", ColumnType::Text),
            ("count", ColumnType::Int),
            ("open", ColumnType::Bool),
        ];
        let readings = readings.map(|(name, column_type)| Column { name: name.into(), column_type, required: false });
        Self::with_columns(&FIXED.into_iter().chain(readings).collect::<Vec<_>>())
    }

    /// A table with these columns, without rows.
    pub fn with_columns(columns: &[Column]) -> Self {
        let fields: Vec<_> = (1..)
            .zip(columns)
            .map(|(id, column)| {
                let kind = column.column_type.as_str();
                json!({ "id": id, "name": column.name, "required": column.required, "type": kind })
            })
            .collect();
        let metadata = json!({
            "format-version": 2, "table-uuid": "a-table", "location": "s3://table", "last-sequence-number": 0,
            "last-updated-ms": 0, "last-column-id": fields.len(), "current-schema-id": 0, "current-snapshot-id": -1,
            "schemas": [{ "type": "struct", "schema-id": 0, "fields": fields }], "snapshots": [],
        });
        Self(Arc::new(Inner {
            files: Mutex::default(),
            cold: Mutex::default(),
            metadata: Mutex::new(metadata),
            calls: AtomicUsize::new(0),
            faults: Mutex::default(),
            reads: Mutex::default(),
            meanwhile: Mutex::default(),
        }))
    }

    /// Makes calls fail.
    pub fn fail(&self, from: usize, calls: usize, fault: Fault) {
        *self.0.faults.lock().unwrap() = Some((from, calls, fault));
    }

    /// Stops all faults.
    pub fn mend(&self) {
        *self.0.faults.lock().unwrap() = None;
        self.0.calls.store(0, Ordering::Relaxed);
    }

    /// The number of calls so far.
    pub fn calls(&self) -> usize {
        self.0.calls.load(Ordering::Relaxed)
    }

    /// All objects in the cold bucket.
    pub fn cold(&self) -> BTreeMap<String, Bytes> {
        self.0.cold.lock().unwrap().clone()
    }

    /// Expires the objects below a folder of the cold bucket.
    pub fn expire(&self, folder: &str) {
        self.0.cold.lock().unwrap().retain(|key, _| !key.starts_with(folder));
    }

    /// The number of reads of row files since the last call of this function.
    pub fn take_reads(&self) -> usize {
        let reads = std::mem::take(&mut *self.0.reads.lock().unwrap());
        reads.iter().filter(|(path, _)| path.ends_with(".parquet")).map(|(_, reads)| reads).sum()
    }

    /// Makes another writer append rows just before the next commit.
    pub fn append_meanwhile(&self, zone: &str, day: Day, rows: Vec<Row>) {
        *self.0.meanwhile.lock().unwrap() = Some((Partition { day, zone: zone.into() }, rows));
    }

    /// The table's current metadata.
    pub fn metadata(&self) -> Metadata {
        serde_json::from_value(self.0.metadata.lock().unwrap().clone()).expect("metadata")
    }

    /// Appends a file of rows, as a delivery does. No two rows have the same device and time.
    pub fn append(&self, zone: &str, day: Day, rows: &[Row]) {
        let fields = self.metadata().columns().expect("columns");
        self.append_frame(zone, day, &fixture::frame(fields, zone, rows));
    }

    /// The same for the rows of a frame.
    pub fn append_frame(&self, zone: &str, day: Day, frame: &Frame) {
        let samples = Samples::new(frame, frame.len(), false);
        assert_eq!(samples.len(), frame.len(), "a file has a device and time once");
        let mut file = Growing::new(parquet::Codec::Zstd);
        parquet::add(&mut file, &samples, 0).expect("a row group");
        let bytes = file.finish().expect("a file").expect("rows").bytes;
        let devices = samples.devices().map(|devices| (frame.device().id, devices.map(<[u8]>::to_vec)));
        self.add_manifest((0, devices), zone, day, frame.len() as i64, Some(bytes));
    }

    /// Adds a delete file, as a manual deletion does.
    pub fn delete_rows(&self, zone: &str, day: Day) {
        self.add_manifest((1, None), zone, day, 1, None);
    }

    fn add_manifest(
        &self,
        (content, devices): (i32, Option<Bounds>),
        zone: &str,
        day: Day,
        rows: i64,
        bytes: Option<Vec<u8>>,
    ) {
        let mut metadata = self.0.metadata.lock().unwrap();
        let sequence = metadata["last-sequence-number"].as_i64().unwrap() + 1;
        let path = |name: &str| format!("s3://table/data/{sequence:04}-{name}");
        let mut files = self.0.files.lock().unwrap();
        if let Some(bytes) = bytes {
            files.insert(path("rows.parquet"), bytes.into());
        }
        let manifest = write(ENTRY, [entry(&path("rows.parquet"), zone, day, rows, devices)]);
        let old = metadata["snapshots"]
            .as_array()
            .unwrap()
            .iter()
            .find(|one| one["snapshot-id"] == metadata["current-snapshot-id"]);
        let mut list: Vec<Value> =
            old.map(|old| read(&files[old["manifest-list"].as_str().unwrap()])).unwrap_or_default();
        list.push(listed(&path("manifest.avro"), manifest.len() as i64, content, sequence, rows));
        files.insert(path("manifest.avro"), manifest);
        files.insert(path("list.avro"), write(LIST, list));
        let snapshot =
            json!({ "snapshot-id": sequence, "sequence-number": sequence, "manifest-list": path("list.avro") });
        metadata["snapshots"].as_array_mut().unwrap().push(snapshot);
        metadata["current-snapshot-id"] = sequence.into();
        metadata["last-sequence-number"] = sequence.into();
    }

    fn done<T>(&self, name: &str, act: impl FnOnce() -> T) -> Result<T, PortError> {
        let number = self.0.calls.fetch_add(1, Ordering::Relaxed);
        let lost = || PortError(format!("{name}: no answer in time"));
        match *self.0.faults.lock().unwrap() {
            Some((from, calls, fault)) if (from..from.saturating_add(calls)).contains(&number) => {
                if fault == Fault::Unanswered {
                    act();
                }
                Err(lost())
            }
            _ => Ok(act()),
        }
    }
}

impl Files for World {
    async fn get(&self, path: &str) -> Result<Bytes, PortError> {
        *self.0.reads.lock().unwrap().entry(path.to_owned()).or_default() += 1;
        let found = self.done("GetObject", || self.0.files.lock().unwrap().get(path).cloned())?;
        found.ok_or_else(|| PortError(format!("GetObject {path}: NoSuchKey")))
    }

    async fn put(&self, path: &str, bytes: Vec<u8>) -> Result<(), PortError> {
        self.done("PutObject", || _ = self.0.files.lock().unwrap().insert(path.to_owned(), bytes.into()))
    }
}

impl Cold for World {
    async fn list(&self, prefix: &str) -> Result<Vec<String>, PortError> {
        let keys = || self.0.cold.lock().unwrap().keys().filter(|key| key.starts_with(prefix)).cloned().collect();
        self.done("ListObjectsV2", keys)
    }

    async fn get(&self, key: &str) -> Result<Option<Bytes>, PortError> {
        self.done("GetObject", || self.0.cold.lock().unwrap().get(key).cloned())
    }

    async fn put(&self, key: &str, bytes: Vec<u8>) -> Result<(), PortError> {
        self.done("PutObject", || _ = self.0.cold.lock().unwrap().insert(key.to_owned(), bytes.into()))
    }

    async fn create(&self, key: &str, bytes: Vec<u8>) -> Result<bool, PortError> {
        self.done("PutObject", || {
            let mut cold = self.0.cold.lock().unwrap();
            let is_new = !cold.contains_key(key);
            if is_new {
                cold.insert(key.to_owned(), bytes.into());
            }
            is_new
        })
    }

    async fn delete(&self, keys: &[String]) -> Result<(), PortError> {
        self.done("DeleteObjects", || keys.iter().for_each(|key| _ = self.0.cold.lock().unwrap().remove(key)))
    }
}

impl Catalog for World {
    async fn load(&self, _: &TableName) -> Result<Option<Metadata>, PortError> {
        self.done("LoadTable", || Some(self.metadata()))
    }

    async fn commit(&self, _: &TableName, commit: &Json) -> Result<bool, PortError> {
        if let Some((partition, rows)) = self.0.meanwhile.lock().unwrap().take() {
            self.append(&partition.zone, partition.day, &rows);
        }
        self.done("UpdateTable", || {
            let mut metadata = self.0.metadata.lock().unwrap();
            if commit["requirements"][1]["snapshot-id"] != metadata["current-snapshot-id"] {
                return false;
            }
            let snapshot = commit["updates"][0]["snapshot"].clone();
            metadata["current-snapshot-id"] = snapshot["snapshot-id"].clone();
            metadata["last-sequence-number"] = snapshot["sequence-number"].clone();
            metadata["snapshots"].as_array_mut().unwrap().push(snapshot);
            true
        })
    }
}

/// A manifest entry ("Manifests", Apache Iceberg table spec), in version 2, with the fields that are read.
const ENTRY: &str = r#"{"type":"record","name":"manifest_entry","fields":[
  {"name":"status","type":"int","field-id":0},
  {"name":"snapshot_id","type":["null","long"],"default":null,"field-id":1},
  {"name":"sequence_number","type":["null","long"],"default":null,"field-id":3},
  {"name":"file_sequence_number","type":["null","long"],"default":null,"field-id":4},
  {"name":"data_file","field-id":2,"type":{"type":"record","name":"r2","fields":[
    {"name":"content","type":"int","field-id":134},
    {"name":"file_path","type":"string","field-id":100},
    {"name":"file_format","type":"string","field-id":101},
    {"name":"partition","field-id":102,"type":{"type":"record","name":"r102","fields":[
      {"name":"zone","type":["null","string"],"default":null,"field-id":1000},
      {"name":"sampled_on","type":["null",{"type":"int","logicalType":"date"}],"default":null,"field-id":1001}]}},
    {"name":"record_count","type":"long","field-id":103},
    {"name":"file_size_in_bytes","type":"long","field-id":104},
    {"name":"lower_bounds","field-id":125,"default":null,"type":["null",{"type":"array","logicalType":"map","items":
      {"type":"record","name":"k126_v127","fields":[
        {"name":"key","type":"int","field-id":126},{"name":"value","type":"bytes","field-id":127}]}}]},
    {"name":"upper_bounds","field-id":128,"default":null,"type":["null",{"type":"array","logicalType":"map","items":
      {"type":"record","name":"k129_v130","fields":[
        {"name":"key","type":"int","field-id":129},{"name":"value","type":"bytes","field-id":130}]}}]}]}}]}"#;

/// An entry of a manifest list ("Manifest Lists", Apache Iceberg table spec), in version 2.
const LIST: &str = r#"{"type":"record","name":"manifest_file","fields":[
  {"name":"manifest_path","type":"string","field-id":500},
  {"name":"manifest_length","type":"long","field-id":501},
  {"name":"partition_spec_id","type":"int","field-id":502},
  {"name":"content","type":"int","field-id":517},
  {"name":"sequence_number","type":"long","field-id":515},
  {"name":"min_sequence_number","type":"long","field-id":516},
  {"name":"added_snapshot_id","type":"long","field-id":503},
  {"name":"added_files_count","type":"int","field-id":504},
  {"name":"existing_files_count","type":"int","field-id":505},
  {"name":"deleted_files_count","type":"int","field-id":506},
  {"name":"added_rows_count","type":"long","field-id":512},
  {"name":"existing_rows_count","type":"long","field-id":513},
  {"name":"deleted_rows_count","type":"long","field-id":514}]}"#;

/// A column's id, with the least and the greatest of its strings.
type Bounds = (i32, [Vec<u8>; 2]);

/// The number of bytes of a bound.
const BOUND_BYTES: usize = 6;

fn entry(path: &str, zone: &str, day: Day, rows: i64, devices: Option<Bounds>) -> Value {
    let nothing = || Value::Union(0, Value::Null.into());
    let some = |value: Value| Value::Union(1, value.into());
    // Strings are truncated, as writers do: the least becomes less, and the greatest greater.
    let bound = |which: usize| {
        let Some((id, bounds)) = &devices else { return nothing() };
        let cut = bounds[which].iter().take(BOUND_BYTES).copied();
        let beyond = (which == 1 && bounds[which].len() > BOUND_BYTES).then_some(b'~');
        let value = Value::Bytes(cut.chain(beyond).collect());
        some(Value::Array(vec![record([("key", Value::Int(*id)), ("value", value)])]))
    };
    let partition = record([("zone", some(Value::String(zone.to_owned()))), ("sampled_on", some(Value::Date(day.0)))]);
    let file = record([
        ("content", Value::Int(0)),
        ("file_path", Value::String(path.to_owned())),
        ("file_format", Value::String("PARQUET".to_owned())),
        ("partition", partition),
        ("record_count", Value::Long(rows)),
        ("file_size_in_bytes", Value::Long(1)),
        ("lower_bounds", bound(0)),
        ("upper_bounds", bound(1)),
    ]);
    record([
        ("status", Value::Int(1)),
        ("snapshot_id", nothing()),
        ("sequence_number", nothing()),
        ("file_sequence_number", nothing()),
        ("data_file", file),
    ])
}

fn listed(path: &str, length: i64, content: i32, sequence: i64, rows: i64) -> Value {
    record([
        ("manifest_path", Value::String(path.to_owned())),
        ("manifest_length", Value::Long(length)),
        ("partition_spec_id", Value::Int(0)),
        ("content", Value::Int(content)),
        ("sequence_number", Value::Long(sequence)),
        ("min_sequence_number", Value::Long(sequence)),
        ("added_snapshot_id", Value::Long(sequence)),
        ("added_files_count", Value::Int(1)),
        ("existing_files_count", Value::Int(0)),
        ("deleted_files_count", Value::Int(0)),
        ("added_rows_count", Value::Long(rows)),
        ("existing_rows_count", Value::Long(0)),
        ("deleted_rows_count", Value::Long(0)),
    ])
}

fn record<const N: usize>(fields: [(&str, Value); N]) -> Value {
    Value::Record(fields.map(|(name, value)| (name.to_owned(), value)).into())
}

fn write(schema: &str, values: impl IntoIterator<Item = Value>) -> Bytes {
    let schema = Schema::parse_str(schema).expect("a schema");
    let mut writer = Writer::new(&schema, Vec::new());
    for value in values {
        writer.append_value_ref(&value).expect("a value of the schema");
    }
    writer.into_inner().expect("a file").into()
}

fn read(bytes: &[u8]) -> Vec<Value> {
    apache_avro::Reader::new(bytes).expect("a file").collect::<Result<_, _>>().expect("values")
}
