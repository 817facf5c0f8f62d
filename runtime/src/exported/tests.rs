//! Round trips: records become rows, rows a table, the table exports, exports records again, and those the same rows.
//! The expected rows are computed from what `store` made of the first records, column by column.

use std::{
    cell::Cell,
    collections::{BTreeMap, BTreeSet, HashMap},
};

use fastrand::Rng;
use fleetform_engine::{
    drive::{Batch, StreamRecord},
    position::SequenceNumber,
    rows::{Reader as Rows, Telemetry},
    rule_set::{MessageFormat, ValueType},
    units::Millis,
};
use serde_json::{Map, Value, json};

use super::*;
use crate::{
    export::{Exporter, memory::World},
    frame::fixture,
    iceberg::TableName,
    store::{
        Encoded,
        batch::Opened,
        history::{History, Registered},
        row::{Source, Whole},
    },
};

const EXAMPLE: &[u8] = include_bytes!("../../../engine/tests/fixtures/rule-set.json");
const DAY_MS: i64 = Millis::from_days(1).0.cast_signed();
const FIRST: Day = Day(20_000);
const ZONES: [&str; 2] = ["zone-a", "zone-b"];
const TYPES: [&str; 3] = ["pressure-logger", "flow-meter", "pump"];

thread_local! {
    static NOW: Cell<i64> = const { Cell::new(0) };
}

/// The example with one of several message formats, and with a reading that two types share with different number
/// types.
fn rule_set(variant: u64) -> RuleSet {
    let mut set: Value = serde_json::from_slice(EXAMPLE).expect("JSON");
    let message = match variant % 4 {
        0 => json!({}),
        1 => json!({
            "device_id": "meta.device.id", "timestamp": "meta.at", "timestamp_format": "epoch_ms",
            "readings": "body.values", "batch": "body.samples",
            "health": { "battery_level": "meta.battery.level", "signal_strength": "signal" },
        }),
        2 => json!({ "timestamp_format": "epoch_s", "readings": "a.b.c", "health": {} }),
        _ => json!({ "unknown_reading": "drop", "timestamp": "t" }),
    };
    for (key, value) in message.as_object().expect("an object") {
        set["message"][key] = value.clone();
    }
    let counted = json!({ "key": "cyc", "value": { "type": "float" }, "required": false, "unit": "" });
    set["device_types"]["pump"]["readings"]["cycles"] = counted;
    set["rules"] = json!({});
    RuleSet::from_bytes(&serde_json::to_vec(&set).expect("JSON")).expect("a rule set")
}

/// A platform with everything between its devices and the reader.
struct Platform {
    rules: RuleSet,
    reader: Rows,
    world: World,
    known: HashMap<SmolStr, History>,
    random: Rng,
    sequence: u64,
    /// All rows, including duplicates.
    rows: Vec<Value>,
    /// The devices' messages, for those that are sent again.
    sent: Vec<(String, Vec<u8>)>,
}

impl Platform {
    fn new(seed: u64) -> Self {
        let rules = rule_set(seed);
        let reader = Rows::from_bytes(&rules.to_bytes()).expect("a reader");
        let world = World::with_columns(reader.columns());
        let random = Rng::with_seed(seed);
        let (known, rows, sent) = Default::default();
        Self { rules, reader, world, known, random, sequence: 7_000_000, rows, sent }
    }

    /// Makes devices register and publish, for a while from this time on.
    fn batch(&mut self, from: i64, records: usize) {
        let mut batch = Vec::new();
        for place in 0..records {
            let at = from + place as i64 * 700;
            let number = self.random.usize(0..6);
            let device = format!("dev-{number}");
            if !self.known.contains_key(device.as_str()) || self.random.u32(0..40) == 0 {
                let zone = *self.random.choice(&ZONES).expect("zones");
                let record = json!({ "ff": 1, "k": "device", "d": device, "rev": self.sequence, "type": TYPES[number % 3],
                    "zone": zone, "t": at });
                self.known.entry(device.as_str().into()).or_default();
                batch.push((device.clone(), at, record.to_string().into_bytes()));
            }
            let message = match self.random.u32(0..10) {
                0 if !self.sent.is_empty() => {
                    let again = self.random.usize(0..self.sent.len());
                    let (device, message) = self.sent[again].clone();
                    batch.push((device, at, message));
                    continue;
                }
                _ => message(&mut self.random, &self.rules, &device, TYPES[number % 3], at),
            };
            self.sent.push((device.clone(), message.clone()));
            batch.push((device, at, message));
        }
        self.store(&batch);
    }

    /// Stores records in the way that Lambda and Firehose deliver them.
    fn store(&mut self, batch: &[(String, i64, Vec<u8>)]) {
        let records = batch.iter().map(|(device, at, data)| {
            self.sequence += 1;
            let sequence = SequenceNumber::new(&self.sequence.to_string()).expect("a number");
            StreamRecord { sequence, partition_key: device, arrived_at: Timestamp(*at), data }
        });
        let batch = Batch { shard: "shard-0", records: records.collect() };
        let stored = Opened::new(&mut self.reader, &batch).rows(&mut self.reader, 1, &mut self.known, Encoded::json);
        assert_eq!(stored.unstored, [], "every message is read");
        let rows: Vec<Value> =
            stored.rows.iter().map(|row| serde_json::from_slice(&row.json).expect("a row is JSON")).collect();
        deliver(&self.world, &rows);
        self.rows.extend(rows);
    }

    fn export(&self, now: i64, group_rows: u64) {
        NOW.set(now);
        let exporter = exporter(&self.world, group_rows);
        let report = block_on(exporter.run(&(Day(i32::MIN)..=Day(i32::MAX)), || Timestamp(NOW.get()), || true));
        let report = report.expect("a run");
        assert!(report.failed.is_empty() && report.not_removed.is_none(), "{report:?}");
    }

    fn read(&self, held_max: usize) -> (Vec<Replayed>, Report) {
        let (mut told, zones) = (Vec::new(), ZONES.map(SmolStr::new));
        let days = Day(FIRST.0 - 10)..=Day(FIRST.0 + 20);
        let report = block_on(self.reading(held_max).each(&zones, days, |sample| told.push(sample)));
        (told, report.expect("exports"))
    }

    fn reading(&self, held_max: usize) -> Reader<'_, World> {
        Reader { cold: self.world.clone(), layout: Layout::ZoneDay, rules: &self.rules, held_max }
    }

    /// The row that results from storing a replayed record.
    fn row(&mut self, sample: &Replayed) -> Value {
        let telemetry = Telemetry {
            device: sample.device.clone(),
            ingested_at: sample.ingested_at,
            again: false,
            payload: sample.message.clone(),
        };
        let registered = Registered {
            from: None,
            at: Timestamp(0),
            revision: 1,
            device_type: sample.device_type.parse().expect("a device type"),
            zone: sample.zone.parse().expect("a zone"),
            retired: false,
        };
        let rows = self.reader.rows(&telemetry, &registered.device_type).expect("a message that is taken");
        let [row] = &rows[..] else { panic!("one sample: {rows:?}") };
        assert_eq!(row.sampled_at, sample.sampled_at);
        let sequence = SequenceNumber::new(&sample.record).expect("a number");
        let source =
            Source { device: &sample.device, registered: &registered, ingested_at: sample.ingested_at, sequence };
        let json = Whole { source, row, columns: self.reader.columns() }.to_json();
        serde_json::from_slice(&json).expect("a row is JSON")
    }
}

pub(super) fn exporter(world: &World, group_rows: u64) -> Exporter<World, World, World> {
    Exporter {
        catalog: world.clone(),
        files: world.clone(),
        cold: world.clone(),
        table: TableName { bucket_arn: "b".to_owned(), namespace: "n".to_owned(), table: "t".to_owned() },
        after: Millis(DAY_MS.cast_unsigned()),
        keep: Millis(3 * DAY_MS.cast_unsigned()),
        layout: Layout::ZoneDay,
        group_rows,
        // All parts are in one object.
        object_bytes: crate::export::OBJECT_BYTES,
        codec: crate::frame::parquet::Codec::default(),
        downsample: None,
    }
}

pub(super) fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime").block_on(future)
}

/// Appends rows to the table: each file of a zone and day has a device and time once.
pub(super) fn deliver(world: &World, rows: &[Value]) {
    let mut files: BTreeMap<(&str, Day, usize), Vec<&Value>> = BTreeMap::new();
    let mut seen: HashMap<(&str, &str, i64), usize> = HashMap::new();
    for row in rows {
        let (device, zone, at) = name(row);
        let times = seen.entry((zone, device, at)).or_default();
        files.entry((zone, Day::of(Timestamp(at.div_euclid(MICROS))), *times)).or_default().push(row);
        *times += 1;
    }
    let fields = world.metadata().columns().expect("columns");
    for ((zone, day, _), rows) in files {
        world.append_frame(zone, day, &fixture::from_json(fields.clone(), rows));
    }
}

/// A row's device, zone and time of sampling.
pub(super) fn name(row: &Value) -> (&str, &str, i64) {
    let text = |name: &str| row[name].as_str().expect("a text");
    (text("device_id"), text("zone"), row["sampled_at"].as_i64().expect("a time"))
}

/// The samples in these rows: one for each device, zone and time, with the last value of each column.
pub(super) fn meant(rows: &[Value]) -> BTreeMap<(String, String, i64), Value> {
    let mut sorted: Vec<&Value> = rows.iter().collect();
    sorted.sort_by_key(|row| (row["ingested_at"].as_i64(), row["record"].as_str()));
    let mut samples: BTreeMap<_, Value> = BTreeMap::new();
    for row in sorted {
        let (device, zone, at) = name(row);
        let sample = samples.entry((device.to_owned(), zone.to_owned(), at)).or_insert_with(|| json!({}));
        for (column, value) in row.as_object().expect("an object") {
            sample[column] = value.clone();
        }
    }
    samples
}

/// A message from a device: a sample, a batch at its path, or an array.
fn message(random: &mut Rng, rules: &RuleSet, device: &str, device_type: &str, at: i64) -> Vec<u8> {
    let format = &rules.message;
    let mut root = Map::new();
    fleetform_engine::session::put_at_path(&mut root, &format.device_id, device.into());
    let samples = random.usize(1..4);
    match (random.u32(0..4), &format.batch) {
        (0, _) => {
            let all = (0..samples).map(|_| Value::Object(sample(random, rules, device_type, at)));
            return Value::from(all.collect::<Vec<_>>()).to_string().into_bytes();
        }
        (1, Some(batch)) => {
            let inside = (0..samples).map(|_| Value::Object(sample(random, rules, device_type, at))).collect();
            time(random, format, &mut root, at);
            health(random, format, &mut root);
            fleetform_engine::session::put_at_path(&mut root, batch, Value::Array(inside));
        }
        _ => {
            let mut sample = sample(random, rules, device_type, at);
            fleetform_engine::session::put_at_path(&mut sample, &format.device_id, device.into());
            root = sample;
        }
    }
    Value::Object(root).to_string().into_bytes()
}

fn sample(random: &mut Rng, rules: &RuleSet, device_type: &str, at: i64) -> Map<String, Value> {
    let (mut sample, mut readings) = (Map::new(), Map::new());
    time(random, &rules.message, &mut sample, at);
    health(random, &rules.message, &mut sample);
    if random.u32(0..8) > 0 {
        for reading in rules.device_types[device_type].readings.values() {
            if reading.required || random.bool() {
                readings.insert(reading.key.to_string(), value(random, &reading.value));
            }
        }
        for key in ["x", "über \"x\"", "y"] {
            if random.u32(0..4) == 0 {
                let others =
                    [json!(random.f64()), json!(true), json!("ein \"Wort\"\n"), Value::Null, json!({ "a": 1 })];
                readings.insert(key.to_owned(), random.choice(&others).expect("values").clone());
            }
        }
        // An undeclared value does not replace a required one.
        if rules.device_types[device_type].readings.values().all(|reading| !readings.contains_key(&*reading.key)) {
            readings.retain(|_, _| device_type == "pump");
        }
    }
    fleetform_engine::session::put_at_path(&mut sample, &rules.message.readings, Value::Object(readings));
    sample
}

/// A time shortly before `at`, or days before, or none, or one that is not plausible.
fn time(random: &mut Rng, format: &MessageFormat, sample: &mut Map<String, Value>, at: i64) {
    let before = match random.u32(0..12) {
        0 => return,
        1 => -DAY_MS,
        2 => random.i64(0..4) * DAY_MS + random.i64(0..100),
        3 => -random.i64(0..100_000),
        // Many share a time, so that samples come in parts and are corrected.
        _ => at.rem_euclid(20_000),
    };
    let time = fleetform_engine::session::write_time(Timestamp(at - before), format.timestamp_format);
    fleetform_engine::session::put_at_path(sample, &format.timestamp, time);
}

fn health(random: &mut Rng, format: &MessageFormat, sample: &mut Map<String, Value>) {
    for path in format.health.values() {
        if random.u32(0..3) == 0 {
            fleetform_engine::session::put_at_path(sample, path, json!(random.i32(-100..100)));
        }
    }
}

fn value(random: &mut Rng, kind: &ValueType) -> Value {
    match kind {
        ValueType::Float { min, max } => {
            let [low, high] = [min.map_or(-1e15, |min| min.get()), max.map_or(1e15, |max| max.get())];
            json!(low + (high - low) * random.f64())
        }
        ValueType::Int { min, max } => {
            let [low, high] = [min.map_or(-1e15, |min| min.get()), max.map_or(1e15, |max| max.get())];
            json!(random.i64(low as i64..=high as i64))
        }
        ValueType::Bool => json!(random.bool()),
        ValueType::Enum { values } => json!(random.choice(values).expect("words")),
        ValueType::String => json!(*random.choice(&["", "all is well", "ü\u{1F600}\\\"\n"]).expect("texts")),
    }
}

/// A platform that has been sending for some days, with exports and removals in between.
fn history(seed: u64) -> Platform {
    let mut platform = Platform::new(seed);
    let begin = i64::from(FIRST.0) * DAY_MS;
    for day in 0..4 {
        for _ in 0..platform.random.u32(1..4) {
            let from = begin + day * DAY_MS + platform.random.i64(0..DAY_MS / 2);
            let records = platform.random.usize(5..40);
            platform.batch(from, records);
        }
        if platform.random.bool() {
            platform.export(begin + (day + 1) * DAY_MS, platform.random.clone().u64(5..60));
        }
    }
    platform.export(begin + 10 * DAY_MS, 25);
    platform
}

#[test]
fn what_was_stored_is_read_back_as_records_that_are_stored_the_same() {
    let (mut late, mut corrected) = (0, 0);
    for seed in 0..12 {
        let mut platform = history(seed);
        let meant = meant(&platform.rows);
        let (told, report) = platform.read(HELD_MAX);
        let mut seen = BTreeSet::new();
        for sample in &told {
            let row = platform.row(sample);
            let (device, zone, at) = name(&row);
            let name = (device.to_owned(), zone.to_owned(), at);
            assert_eq!(Some(&row), meant.get(&name), "seed {seed}");
            assert!(seen.insert(name), "seed {seed}: {row} is told twice");
        }
        assert_eq!(seen.len(), meant.len(), "seed {seed}");
        assert!(told.is_sorted_by(|one, next| one.order() < next.order()), "seed {seed}: in the order of their coming");
        let expected = Report { samples: told.len() as u64, superseded: report.superseded, ..Report::default() };
        assert_eq!(report, expected, "seed {seed}");
        late += told.iter().filter(|sample| sample.ingested_at.since(sample.sampled_at).0 > 86_400_000).count();
        corrected += report.superseded;
    }
    assert!(late > 20 && corrected > 20, "{late} late, {corrected} corrected");
}

#[test]
fn samples_that_are_not_held_at_once_are_read_in_parts() {
    for seed in 20..23 {
        let platform = history(seed);
        let (whole, _) = platform.read(HELD_MAX);
        for held_max in [whole.len() * 2, whole.len() / 2, 10, 1] {
            let (mut told, report) = platform.read(held_max);
            assert_eq!(told.len(), whole.len(), "seed {seed}, {held_max} held");
            let in_order = told.is_sorted_by(|one, next| one.order() <= next.order());
            assert!(in_order || report.early > 0, "seed {seed}, {held_max} held: {report:?}");
            told.sort_by(|one, next| one.order().cmp(&next.order()));
            assert_eq!(told, whole, "seed {seed}, {held_max} held");
        }
    }
}

#[test]
fn what_the_rule_set_has_no_place_for_is_left_out_and_counted() {
    let mut platform = history(0);
    let (whole, _) = platform.read(HELD_MAX);
    let pumps = whole.iter().filter(|sample| sample.device_type == "pump").count() as u64;
    let mut set: Value = serde_json::to_value(&platform.rules).expect("JSON");
    set["device_types"].as_object_mut().expect("types").remove("pump");
    set["device_types"]["flow-meter"]["readings"].as_object_mut().expect("readings").remove("cycles");
    platform.rules = serde_json::from_value(set).expect("a rule set");
    let (told, report) = platform.read(HELD_MAX);
    assert!(pumps > 0 && report.left_out > 0, "{report:?}");
    assert_eq!((report.unknown_types, report.samples), (pumps, whole.len() as u64 - pumps));
    assert!(told.iter().all(|sample| !String::from_utf8_lossy(&sample.message).contains("cycles")));
}

#[test]
fn an_export_that_is_not_what_its_manifest_says_is_named() {
    let platform = history(1);
    let cold = platform.world.cold();
    let object = cold.keys().find(|key| key.starts_with("samples/")).expect("an object").clone();
    let manifest = cold.keys().find(|key| key.starts_with("manifests/")).expect("a manifest").clone();
    let mut changed = cold[&object].to_vec();
    changed[100] ^= 1;
    let refused = |key: &str, bytes: Option<Vec<u8>>, reason: &str| {
        match bytes {
            Some(bytes) => block_on(platform.world.put(key, bytes)).expect("it is put"),
            None => block_on(platform.world.delete(&[key.to_owned()])).expect("it is deleted"),
        }
        let zones = ZONES.map(SmolStr::new);
        let read = block_on(platform.reading(HELD_MAX).each(&zones, FIRST..=Day(FIRST.0 + 3), |_| {}));
        let early = block_on(platform.reading(HELD_MAX).each(&zones, Day(FIRST.0 - 10)..=FIRST, |_| {}));
        let error = read.and(early).expect_err("it is damaged").to_string();
        assert!(error.starts_with(key) && error.contains(reason), "{error}");
        block_on(platform.world.put(key, cold[key].to_vec())).expect("it is put back");
    };
    refused(&object, Some(changed), "its bytes are not those");
    refused(&object, Some(cold[&object][..50].to_vec()), "its bytes are not those");
    refused(&object, None, "it is gone");
    refused(&manifest, Some(b"{}".to_vec()), "it is no manifest");
    assert_eq!(platform.read(HELD_MAX).1.unknown_types, 0, "all of it is back");
}
