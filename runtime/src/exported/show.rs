//! Forty days of a platform in virtual time, from the events of its stream to what is left in each tier. Samples are
//! stored, exported and removed as in production, with the services in memory. `FORTY_DAYS_SAMPLES=1000000` sets the
//! number of samples; the default is as many as a test may take.

use std::{
    cell::Cell,
    collections::{BTreeMap, BTreeSet},
    env,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use fastrand::Rng;
use fleetform_engine::{
    rows::{Reader as Rows, columns::ZONE},
    units::Millis,
};
use serde_json::{Value, json};

use super::{
    tests::{block_on, deliver, name},
    *,
};
use crate::{
    export::{Exporter, memory::World},
    handler::store::{Settings, Store},
    host::{Deadline, Handler as _},
    iceberg::{TableName, files},
    store::memory::{RULES, World as Services},
    telemetry::Metrics,
};

const STREAM: &str = "arn:aws:kinesis:us-east-1:111111111111:stream/telemetry";
const SHARD: &str = "shardId-000000000000";
const DAY_MS: i64 = Millis::from_days(1).0.cast_signed();
const FIRST: Day = Day(20_000);
const DAYS: i64 = 40;
/// The time of the scheduled export, in milliseconds after the start of a day.
const EXPORT_MS: i64 = 9_000_000;
const DEVICES: u64 = 40;
const ZONES: [&str; 2] = ["north", "south"];
const RECORDS: usize = 500;

/// The retention of each tier.
const HOT: Millis = Millis::from_days(1);
const WARM: Millis = Millis::from_days(30);
/// `message.max_past`, after which a day is exported.
const LATE: Millis = Millis::from_days(1);

thread_local! {
    static NOW: Cell<i64> = const { Cell::new(0) };
}

fn now() -> Timestamp {
    Timestamp(NOW.get())
}

/// The value of a sample, by device, zone and time in microseconds.
type Accepted = BTreeMap<(String, String, i64), f64>;

/// What remains after forty days.
struct Left {
    accepted: Accepted,
    services: Services,
    table: World,
    /// The number of rows that were handed over, including duplicates.
    rows: usize,
}

/// Sends samples for forty days, in batches of this many records, and exports every night.
fn forty_days(samples: usize, records: usize) -> Left {
    let (services, mut random, mut accepted) = (Services::default(), Rng::with_seed(40), Accepted::new());
    let columns = Rows::from_bytes(RULES).expect("a rule set").columns().to_vec();
    let table = World::with_columns(&columns);
    let settings =
        Settings { stream_arn: STREAM.into(), generation: 1, rule_set_sha256: RuleSet::sha256(RULES).into() };
    let ports = (services.clone(), services.clone(), services.clone(), services.clone());
    let store = Store::new(settings, ports, Some((services.clone(), HOT)), now);
    let begin = i64::from(FIRST.0) * DAY_MS;
    let step = DAYS * DAY_MS / samples as i64;
    let (mut number, mut handed, mut event) = (0, 0, Vec::new());
    let mut record = |event: &mut Vec<Value>, key: &str, at: i64, data: &[u8]| {
        number += 1;
        let sequence = format!("4959{number:052}");
        event.push(json!({
            "eventID": format!("{SHARD}:{sequence}"), "eventSourceARN": STREAM, "eventSource": "aws:kinesis",
            "kinesis": { "partitionKey": key, "sequenceNumber": sequence, "data": STANDARD.encode(data),
                "approximateArrivalTimestamp": at as f64 / 1_000.0 },
        }));
    };
    for device in 0..DEVICES {
        let zone = ZONES[device as usize % ZONES.len()];
        let said =
            json!({ "ff": 1, "k": "device", "d": format!("pump-{device}"), "rev": 1, "type": "pump", "zone": zone });
        record(&mut event, &format!("pump-{device}"), begin, said.to_string().as_bytes());
    }
    let mut sent: Vec<(String, Vec<u8>)> = Vec::new();
    let mut nights = (0..DAYS).map(|day| begin + day * DAY_MS + EXPORT_MS).peekable();
    for place in 0..samples as i64 {
        let at = begin + place * step;
        let device = place as u64 % DEVICES;
        // One in two hundred is held back for up to two days, and another one comes twice.
        let sampled_at = at - if random.u32(0..200) == 0 { random.i64(0..2 * DAY_MS) } else { 250 };
        let vibration = f64::from(random.u32(0..500)) / 10.0;
        let (id, zone) = (format!("pump-{device}"), ZONES[device as usize % ZONES.len()]);
        let said = json!({ "deviceId": id, "timestamp": Timestamp(sampled_at).to_rfc3339(),
            "readings": { "vibration": vibration, "doorOpen": false }, "batteryLevel": 50 });
        let message = said.to_string().into_bytes();
        record(&mut event, &id, at, &message);
        accepted.insert((id.clone(), zone.to_owned(), sampled_at * MICROS), vibration);
        match random.u32(0..400) {
            0 => record(&mut event, &id, at, b"no JSON"),
            1 | 2 => sent.extend([(id, message)]),
            _ => {}
        }
        if sent.len() > 5 {
            sent.drain(..).for_each(|(id, message)| record(&mut event, &id, at, &message));
        }
        NOW.set(at + 60_000);
        if event.len() >= records {
            handle(&store, std::mem::take(&mut event));
        }
        if nights.next_if(|night| *night <= at).is_some() {
            handle(&store, std::mem::take(&mut event));
            handed += firehose(&services, &table);
            export(&table);
        }
    }
    handle(&store, event);
    handed += firehose(&services, &table);
    NOW.set(begin + DAYS * DAY_MS + EXPORT_MS);
    export(&table);
    Left { accepted, services, table, rows: handed }
}

fn handle(store: &Store<Services, Services, Services, Services, Services>, records: Vec<Value>) {
    if records.is_empty() {
        return;
    }
    let body = Bytes::from(json!({ "Records": records }).to_string());
    let answer = block_on(store.handle(body, Deadline::at(now().after(Millis(120_000))), &mut Metrics::default()));
    assert_eq!(answer.expect("a batch").failures.len(), 0, "all of it is taken");
}

/// Moves rows that were handed over into the table.
fn firehose(services: &Services, table: &World) -> usize {
    let rows = services.take_rows();
    deliver(table, &rows);
    rows.len()
}

fn export(table: &World) {
    let exporter = Exporter {
        catalog: table.clone(),
        files: table.clone(),
        cold: table.clone(),
        table: TableName { bucket_arn: "b".to_owned(), namespace: "n".to_owned(), table: "t".to_owned() },
        after: LATE,
        keep: WARM,
        layout: Layout::ZoneDay,
        group_rows: 2_000_000,
        object_bytes: crate::export::OBJECT_BYTES,
        codec: crate::frame::parquet::Codec::default(),
        downsample: None,
    };
    let report = block_on(exporter.run(&(Day(i32::MIN)..=Day(i32::MAX)), now, || true)).expect("a run");
    assert!(report.failed.is_empty() && report.not_removed.is_none() && report.left.is_empty(), "{report:?}");
}

impl Left {
    /// The accepted samples of a tier, by the time since they were taken and since their day ended.
    fn due(&self, is_due: impl Fn(Millis, Millis) -> bool) -> BTreeSet<(String, String, i64)> {
        let is_due = |at: i64| {
            let at = Timestamp(at.div_euclid(MICROS));
            is_due(now().since(at), now().since(Day::of(at).end()))
        };
        self.accepted.keys().filter(|(_, _, at)| is_due(*at)).cloned().collect()
    }

    /// The unexpired contents of the hot table.
    fn hot(&self) -> BTreeSet<(String, String, i64)> {
        let items = self.services.items().into_iter().filter(|item| item.expires_at > now().0.div_euclid(1_000));
        let rows = items.flat_map(|item| serde_json::from_str::<Vec<Value>>(&item.rows).expect("rows"));
        rows.map(|row| owned(&row)).filter(|(_, _, at)| now().0 * MICROS - at < HOT.0 as i64 * MICROS).collect()
    }

    /// The contents of the table.
    fn warm(&self) -> BTreeSet<(String, String, i64)> {
        let metadata = self.table.metadata();
        let read = |path: &str| block_on(crate::export::Files::get(&self.table, path)).expect("a file");
        let list = read(&metadata.snapshot().expect("a snapshot").manifest_list);
        let mut names = BTreeSet::new();
        for manifest in files::manifests(&list).expect("manifests") {
            for file in files::data_files(&read(&manifest.path)).expect("files") {
                let mut frame = Frame::new(metadata.columns().expect("columns")).expect("a table of samples");
                frame.read_all(read(&file.path)).expect("rows");
                names.extend((0..frame.len()).map(|row| {
                    let device = String::from_utf8_lossy(frame.device_of(row)).into_owned();
                    (device, file.partition.zone.to_string(), frame.times_of(row).0)
                }));
            }
        }
        names
    }

    /// The contents of all exports, each sample once.
    fn cold(&self) -> Accepted {
        let rules = RuleSet::from_bytes(RULES).expect("a rule set");
        let reader = Reader { cold: self.table.clone(), layout: Layout::ZoneDay, rules: &rules, held_max: HELD_MAX };
        let (zones, mut found) = (ZONES.map(SmolStr::new), Accepted::new());
        let days = Day(FIRST.0 - 3)..=Day(FIRST.0 + DAYS as i32);
        let report = block_on(reader.each(&zones, days, |sample| {
            let message: Value = serde_json::from_slice(&sample.message).expect("JSON");
            let name = (sample.device.to_string(), sample.zone.to_string(), sample.sampled_at.0 * MICROS);
            let value = message["readings"]["vibration"].as_f64().expect("a number");
            assert_eq!(found.insert(name, value), None, "{sample:?} is told twice");
        }));
        let report = report.expect("exports");
        assert_eq!((report.samples, report.left_out, report.early), (found.len() as u64, 0, 0));
        found
    }

    /// The keys of exported files, which depend on their bytes, with their checksums.
    fn checksums(&self) -> BTreeMap<String, String> {
        let cold = self.table.cold().into_iter().filter(|(key, _)| key.starts_with("samples/"));
        cold.map(|(key, bytes)| (key, hexadecimal(&Sha256::digest(&bytes)))).collect()
    }
}

fn owned(row: &Value) -> (String, String, i64) {
    let (device, zone, at) = name(row);
    assert_eq!(row[ZONE], zone);
    (device.to_owned(), zone.to_owned(), at)
}

#[test]
fn after_forty_days_every_sample_is_in_the_tiers_that_its_age_says() {
    let samples = env::var("FORTY_DAYS_SAMPLES").map_or(20_000, |samples| samples.parse().expect("a number"));
    let left = forty_days(samples, RECORDS);
    let (hot, warm, cold) = (left.hot(), left.warm(), left.cold());
    println!(
        "{} samples were accepted and {} rows stored: {} are hot, {} warm, {} cold, in {} files",
        left.accepted.len(),
        left.rows,
        hot.len(),
        warm.len(),
        cold.len(),
        left.checksums().len()
    );
    assert!(left.rows > left.accepted.len(), "some come twice");
    assert_eq!(hot, left.due(|age, _| age < HOT));
    assert_eq!(warm, left.due(|_, ended| ended < WARM));
    let exported: Accepted =
        left.due(|_, ended| ended >= LATE).into_iter().map(|name| (name.clone(), left.accepted[&name])).collect();
    assert_eq!(cold.len(), exported.len());
    assert!(cold == exported, "what was exported is what was sent");
    assert!(left.accepted.keys().all(|name| warm.contains(name) || cold.contains_key(name)), "nothing is lost");
    // Another run cuts batches differently, and the files are the same.
    assert_eq!(left.checksums(), forty_days(samples, RECORDS * 7 / 5).checksums());
}
