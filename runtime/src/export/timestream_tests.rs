//! Exports against a table of Timestream in memory: the contents of exported files for each device and time, whatever
//! fails.

use std::{
    collections::BTreeMap,
    ops::RangeInclusive,
    sync::atomic::{AtomicUsize, Ordering},
};

use fleetform_engine::{
    rows::columns::ColumnType,
    units::{Millis, Timestamp},
};

use super::*;
use crate::{
    export::{
        self, aggregated,
        downsample::Downsample,
        manifest::Layout,
        timestream_memory::{BUCKET, Fault, World},
    },
    frame::{
        Frame,
        fixture::{Row, export_number, rows},
    },
    iceberg::TableName,
};

const DAY: Day = Day(20_000);
const MS: u64 = 86_400_000;
const ALL: RangeInclusive<Day> = Day(i32::MIN)..=Day(i32::MAX);

type Memory = TimestreamExporter<World, World, World>;
type Clock = fn() -> Timestamp;

fn exporter(world: &World) -> Memory {
    TimestreamExporter {
        exporter: Exporter {
            catalog: world.clone(),
            files: world.clone(),
            cold: world.clone(),
            table: TableName { bucket_arn: String::new(), namespace: "water".to_owned(), table: "samples".to_owned() },
            after: Millis(MS),
            keep: Millis(30 * MS),
            layout: Layout::ZoneDay,
            group_rows: 12,
            object_bytes: 1,
            codec: crate::frame::parquet::Codec::default(),
            downsample: None,
        },
        bucket: BUCKET.to_owned(),
        key_arn: "arn:aws:kms:key".to_owned(),
    }
}

/// The time at which the day is due.
fn soon() -> Timestamp {
    Timestamp(DAY.end().0 + MS.cast_signed())
}

fn run(exporter: &Memory, clock: Clock) -> Result<Report, ExportError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(exporter.run(&ALL, clock, || true))
}

/// A run that does everything it should.
fn done(exporter: &Memory, clock: Clock) -> Report {
    let report = run(exporter, clock).expect("a run");
    assert!(report.failed.is_empty() && report.left.is_empty(), "{report:?}");
    report
}

/// A row of device `device` at second `at`, from record `record`.
fn row(device: u32, at: i64, record: u32) -> Row {
    let sampled_at = (i64::from(DAY.0) * 86_400 + at) * 1_000_000;
    let ingested_at = sampled_at + i64::from(record) * 1_000;
    Row { device: format!("dev-{device:03}"), sampled_at, ingested_at, record, ..Row::default() }
}

/// Two batches of rows of one day; the later one has parts and corrections of samples of the first.
fn two_loads() -> [Vec<Row>; 2] {
    let first = (0..20).map(|at| Row { flow: Some(at as f64), open: Some(at % 2 == 0), ..row(1, at, 1) });
    let second = (10..30).map(|at| match at {
        // The same record, stored again.
        10..15 => Row { flow: Some(at as f64), open: Some(at % 2 == 0), ..row(1, at, 1) },
        // A correction, and another part.
        15..18 => Row { flow: Some(-1.0), open: Some(true), ..row(1, at, 2) },
        18..20 => Row { mode: Some("auto"), ..row(1, at, 2) },
        _ => Row { count: Some(at), ..row(2, at, 3) },
    });
    [first.collect(), second.collect()]
}

/// The contents of exported files for each device and time: the row of the greatest export, without missing values.
fn exported(world: &World) -> BTreeMap<(String, String), BTreeMap<String, String>> {
    let kinds = [
        ("flow", ColumnType::Float),
        ("mode", ColumnType::Text),
        ("count", ColumnType::Int),
        ("open", ColumnType::Bool),
    ];
    let columns = kinds.map(|(name, column_type)| Column { name: name.into(), column_type, required: false });
    let mut samples: BTreeMap<_, (i64, BTreeMap<String, String>)> = BTreeMap::new();
    for (_, bytes) in world.objects("samples/") {
        let mut all = fields(&columns).unwrap();
        all.push(export_number());
        let mut frame = Frame::new(all).unwrap();
        frame.read_all(bytes).unwrap();
        for row in rows(&frame) {
            let mut cells: BTreeMap<String, String> = row.into_iter().collect();
            let number: i64 = cells.remove("export_number").unwrap().parse().unwrap();
            let name = (cells.remove("device_id").unwrap(), cells.remove("sampled_at").unwrap());
            let known = samples.entry(name).or_insert_with(|| (number, cells.clone()));
            if known.0 < number {
                *known = (number, cells);
            }
        }
    }
    samples.into_iter().map(|(name, (_, cells))| (name, cells)).collect()
}

/// The contents of the rows themselves, from the oldest to the newest.
fn meant(all: &[Row]) -> BTreeMap<(String, String), BTreeMap<String, String>> {
    let mut sorted: Vec<&Row> = all.iter().collect();
    sorted.sort_by_key(|row| (row.ingested_at, row.record));
    let mut samples: BTreeMap<_, BTreeMap<String, String>> = BTreeMap::new();
    for row in sorted {
        let sample = samples.entry((row.device.clone(), row.sampled_at.to_string())).or_default();
        let record = format!("{:056}", row.record);
        let cells = [
            ("ingested_at", Some(row.ingested_at.to_string())),
            ("record", Some(record)),
            ("zone", Some("zone-a".to_owned())),
            ("device_type", Some("meter".to_owned())),
            ("flow", row.flow.map(|flow| flow.to_string())),
            ("mode", row.mode.map(str::to_owned)),
            ("count", row.count.map(|count| count.to_string())),
            ("open", row.open.map(|open| open.to_string())),
        ];
        sample.extend(cells.into_iter().filter_map(|(name, cell)| Some((name.to_owned(), cell?))));
    }
    samples
}

fn manifests(world: &World) -> Vec<Manifest> {
    world.objects("manifests/").into_values().map(|bytes| Manifest::from_bytes(&bytes).unwrap()).collect()
}

#[test]
fn a_day_is_exported_once_it_is_due_and_again_when_something_came() {
    let world = World::default();
    let exporter = exporter(&world);
    assert!(done(&exporter, soon).exported.is_empty(), "a table without rows");
    let [first, second] = two_loads();
    world.write("zone-a", &first);
    assert!(done(&exporter, || Timestamp(soon().0 - 1)).exported.is_empty(), "it is too early");
    assert_eq!(done(&exporter, soon).exported[0].1, 20);
    assert_eq!(exported(&world), meant(&first));
    let before = world.objects("");
    assert_eq!((done(&exporter, soon).unchanged, world.unloads()), (1, 1));
    assert_eq!(world.objects(""), before);
    world.write("zone-a", &second);
    // Three were corrected, two have a further part, ten are new, and five came again unchanged.
    assert_eq!(done(&exporter, soon).exported[0].1, 15);
    assert_eq!(exported(&world), meant(&[first, second].concat()));
    assert!(world.objects("staging/").is_empty());
    let numbers: Vec<_> =
        manifests(&world).iter().map(|manifest| (manifest.export_number, manifest.samples())).collect();
    assert_eq!(numbers, [(1, 20), (2, 15)]);
    assert!(world.objects("").contains_key("manifests/zone=zone-a/day=2024-10-04/000002.json"));
    let samples: Vec<u64> = manifests(&world)[0].objects.iter().map(|object| object.samples).collect();
    assert_eq!(samples, [20], "a device is not parted");
}

#[test]
fn a_correction_alone_is_seen() {
    let world = World::default();
    let exporter = exporter(&world);
    let rows = [row(1, 0, 1), row(2, 0, 9)].map(|row| Row { flow: Some(1.0), ..row });
    world.write("zone-a", &rows);
    done(&exporter, soon);
    // This neither adds a row, nor is it newer than all others.
    world.write("zone-a", &[Row { flow: Some(2.0), ..row(1, 0, 2) }]);
    assert_eq!(done(&exporter, soon).exported[0].1, 1);
}

/// If the service has deleted anything of a day, its export stays unchanged.
#[test]
fn a_day_that_expires_is_left_alone() {
    let world = World::default();
    let exporter = exporter(&world);
    let [first, _] = two_loads();
    world.write("zone-a", &first);
    done(&exporter, soon);
    let before = world.objects("");
    let late: Clock = || Timestamp(DAY.end().0 - MS.cast_signed() + 30 * MS.cast_signed() + 5_000);
    world.expire(late().0 - 30 * MS.cast_signed());
    let report = done(&exporter, late);
    assert_eq!((report.exported.len(), report.unchanged), (0, 0));
    assert_eq!(world.objects(""), before);
    // One millisecond before the first of its samples expires, it is still complete.
    assert_eq!(done(&exporter, || Timestamp(DAY.end().0 + 29 * MS.cast_signed())).unchanged, 1);
}

#[test]
fn a_statement_has_what_the_service_needs() {
    let world = World::default();
    world.write("zone-a", &two_loads()[0]);
    done(&exporter(&world), soon);
    let statements = world.statements();
    assert_eq!(statements[0], "DESCRIBE \"water\".\"samples\"");
    let begin = i64::from(DAY.0) * MS.cast_signed();
    let end = begin + MS.cast_signed();
    assert!(statements[1].contains("sum(\"ingested_at\" - to_milliseconds(bin(time, 1d)) + 86400000) AS told"));
    assert!(statements[1].contains(&format!("time < from_milliseconds({end}) GROUP BY \"zone\", bin(time, 1d)")));
    let unload = format!(
        "UNLOAD (SELECT to_milliseconds(time) * 1000 AS \"sampled_at\", \"zone\", \"device_type\", \"device_id\", \
         \"ingested_at\" * 1000 AS \"ingested_at\", \"record\", \"open\", \"count\", \"flow\", \"mode\" \
         FROM \"water\".\"samples\" WHERE \"zone\" = 'zone-a' AND time >= from_milliseconds({begin}) AND \
         time < from_milliseconds({end})) TO 's3://cold-bucket/staging/zone=zone-a/day=2024-10-04/{}/' WITH \
         (format = 'PARQUET', compression = 'GZIP', max_file_size = '128MB', encryption = 'SSE_KMS', \
         kms_key = 'arn:aws:kms:key')",
        soon().0
    );
    assert_eq!(statements[2], unload);
}

/// An exporter with hourly aggregates.
fn hourly(world: &World) -> Memory {
    let mut hourly = exporter(world);
    let until = Millis(100 * MS);
    hourly.exporter.downsample = Some(Downsample { every: Millis::from_secs(3_600), until });
    hourly
}

/// Random rows in random batches.
#[test]
fn aggregates_are_of_all_samples_whenever_these_come() {
    for seed in 0..40 {
        let mut random = fastrand::Rng::with_seed(seed);
        let world = World::default();
        let mut all: Vec<Row> = Vec::new();
        for record in 0..random.u32(3..9) {
            for _ in 0..random.usize(1..25) {
                let mut row = row(random.u32(0..5), random.i64(0..40) * 211, record);
                row.flow = random.bool().then(|| random.f64() - 0.5);
                row.count = random.bool().then(|| random.i64(-1_000..1_000));
                row.open = random.bool().then(|| random.bool());
                // Of two rows that come in the same millisecond with the same measures, the first counts.
                let is_same =
                    |one: &Row| (&one.device, one.sampled_at, one.record) == (&row.device, row.sampled_at, record);
                if !all.iter().any(is_same) {
                    world.write("zone-a", std::slice::from_ref(&row));
                    all.push(row);
                }
            }
            if random.bool() {
                done(&if random.bool() { hourly(&world) } else { exporter(&world) }, soon);
            }
        }
        done(&hourly(&world), soon);
        let samples = export::tests::meant(&all);
        let meant = aggregated::meant("zone-a", samples.values(), 3_600);
        assert_eq!(aggregated::newest(world.objects("aggregates/").values()), meant, "seed {seed}");
        assert_eq!(done(&hourly(&world), soon).unchanged, 1);
    }
}

/// Two zones, late rows and corrections.
fn story(exporter: &Memory, world: &World, step: &mut dyn FnMut(&Memory)) {
    let [first, second] = two_loads();
    world.write("zone-a", &first);
    world.write("zone-b", &second);
    step(exporter);
    world.write("zone-a", &second);
    step(exporter);
}

/// Case 43, and more: whichever calls fail, in whichever way and however many, the objects are the same in the end,
/// none has a manifest before it exists, and nothing is left over.
#[test]
fn case_43_whatever_call_fails_the_same_objects_are_there_in_the_end() {
    whatever_call_fails(exporter);
}

#[test]
fn whatever_call_fails_the_same_aggregates_are_there_in_the_end() {
    whatever_call_fails(hourly);
}

fn whatever_call_fails(exporter: fn(&World) -> Memory) {
    let whole = World::default();
    story(&exporter(&whole), &whole, &mut |exporter| _ = done(exporter, soon));
    let calls = whole.calls();
    assert!(calls > 60, "{calls}");
    for fault in [Fault::Refused, Fault::Unanswered] {
        for (call, lasting) in (0..calls).flat_map(|call| [(call, 1), (call, usize::MAX)]) {
            let world = World::default();
            world.fail(call, lasting, fault);
            let place = format!("{fault:?} at {call}, {lasting} calls");
            story(&exporter(&world), &world, &mut |exporter| {
                for _ in 0..3 {
                    let whole = run(exporter, soon).is_ok_and(|report| report.failed.is_empty());
                    for object in manifests(&world).iter().flat_map(Manifest::all_objects) {
                        assert_eq!(world.objects(&object.key)[&object.key].len() as u64, object.bytes, "{place}");
                    }
                    if whole {
                        break;
                    }
                    world.mend();
                }
            });
            world.mend();
            done(&exporter(&world), soon);
            assert_eq!(world.objects("samples/"), whole.objects("samples/"), "{place}");
            assert_eq!(world.objects("aggregates/"), whole.objects("aggregates/"), "{place}");
            assert_eq!(exported(&world), exported(&whole), "{place}");
            assert!(world.objects("staging/").is_empty(), "{place}");
        }
    }
}

#[test]
fn a_day_without_time_is_left_for_the_next_run() {
    // Time for the queries of the table only; then also for starting a day.
    for (often, left, failed) in [(12, 1, 0), (13, 0, 1)] {
        let world = World::default();
        world.write("zone-a", &two_loads()[0]);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let asked = AtomicUsize::new(0);
        let has_time = || asked.fetch_add(1, Ordering::Relaxed) < often;
        let report = runtime.block_on(exporter(&world).run(&ALL, soon, has_time)).unwrap();
        assert_eq!((report.left.len(), report.failed.len(), report.behind()), (left, failed, Some(DAY)), "{report:?}");
        assert!(world.objects("manifests/").is_empty());
        assert_eq!(done(&exporter(&world), soon).exported.len(), 1);
        assert!(world.objects("staging/").is_empty());
    }
}
