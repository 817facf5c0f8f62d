//! Exports against a table in memory, checked against the rows themselves: which sample each device and time has, and
//! that it is found exactly once, whatever fails.

mod large;

use std::{collections::BTreeMap, ops::RangeInclusive};

use fleetform_engine::units::{Millis, Timestamp};
use parquet::file::{reader::FileReader as _, serialized_reader::SerializedFileReader};

use super::{
    ExportError, Exporter, OBJECT_BYTES, Report,
    manifest::{Layout, Manifest},
    memory::{Fault, World},
};
use crate::{
    frame::{
        Frame,
        fixture::{Row, export_number, rows},
    },
    iceberg::{TableName, snapshot::Day},
};

pub(super) const DAY: Day = Day(20_000);
pub(super) const DAY_MS: u64 = Millis::from_days(1).0;
const ALL: RangeInclusive<Day> = Day(i32::MIN)..=Day(i32::MAX);

pub(super) type Memory = Exporter<World, World, World>;
pub(super) type Clock = fn() -> Timestamp;

pub(super) fn exporter(world: &World, group_rows: u64) -> Memory {
    Exporter {
        catalog: world.clone(),
        files: world.clone(),
        cold: world.clone(),
        table: TableName { bucket_arn: "b".to_owned(), namespace: "n".to_owned(), table: "t".to_owned() },
        after: Millis(DAY_MS),
        keep: Millis(30 * DAY_MS),
        layout: Layout::ZoneDay,
        group_rows,
        // Each part becomes an object of its own.
        object_bytes: 1,
        codec: crate::frame::parquet::Codec::default(),
        downsample: None,
    }
}

/// One day after the end of the exported day. `late` is the time at which that day leaves the table.
pub(super) fn soon() -> Timestamp {
    Timestamp(DAY.end().0 + DAY_MS.cast_signed())
}

pub(super) fn late() -> Timestamp {
    Timestamp(DAY.end().0 + 30 * DAY_MS.cast_signed())
}

pub(super) fn run(exporter: &Memory, clock: Clock) -> Result<Report, ExportError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(exporter.run(&ALL, clock, || true))
}

/// A run that does everything it should.
pub(super) fn done(exporter: &Memory, clock: Clock) -> Report {
    let report = run(exporter, clock).expect("a run");
    assert!(report.failed.is_empty() && report.not_removed.is_none(), "{report:?}");
    report
}

/// A row of device `device` at second `at`, from record `record`.
pub(super) fn row(device: u32, at: i64, record: u32) -> Row {
    let sampled_at = (i64::from(DAY.0) * 86_400 + at) * 1_000_000;
    Row {
        device: format!("dev-{device:03}"),
        sampled_at,
        ingested_at: sampled_at + i64::from(record) * 1_000,
        record,
        ..Row::default()
    }
}

/// The contents of exported files for each device and time: the row of the greatest export.
fn exported(world: &World) -> BTreeMap<(String, i64), Vec<(String, String)>> {
    let mut fields = world.metadata().columns().unwrap();
    fields.push(export_number());
    let mut samples = BTreeMap::new();
    for (key, bytes) in world.cold() {
        if !key.starts_with("samples/") {
            continue;
        }
        let mut frame = Frame::new(fields.clone()).unwrap();
        frame.read_all(bytes).unwrap();
        for mut row in rows(&frame) {
            let (_, number) = row.pop().unwrap();
            let name = (row[0].1.clone(), row[1].1.parse().unwrap());
            let number: i64 = number.parse().unwrap();
            let entry = samples.entry(name).or_insert((number, row.clone()));
            if entry.0 < number {
                *entry = (number, row);
            }
        }
    }
    samples.into_iter().map(|(name, (_, row))| (name, row)).collect()
}

/// The contents of rows for each device and time, computed differently: column by column, from the least row to the
/// greatest.
pub(super) fn meant(all: &[Row]) -> BTreeMap<(String, i64), Row> {
    let mut sorted: Vec<&Row> = all.iter().collect();
    sorted.sort_by_key(|row| (row.ingested_at, row.record));
    let mut samples: BTreeMap<_, Row> = BTreeMap::new();
    for row in sorted {
        let sample = samples.entry((row.device.clone(), row.sampled_at)).or_insert_with(|| row.clone());
        sample.ingested_at = row.ingested_at;
        sample.record = row.record;
        sample.flow = row.flow.or(sample.flow);
        sample.mode = row.mode.or(sample.mode);
        sample.count = row.count.or(sample.count);
        sample.open = row.open.or(sample.open);
    }
    samples
}

pub(super) fn assert_exported(world: &World, all: &[Row]) {
    let (exported, meant) = (exported(world), meant(all));
    assert_eq!(exported.keys().collect::<Vec<_>>(), meant.keys().collect::<Vec<_>>());
    for (name, row) in meant {
        let cells: BTreeMap<_, _> = exported[&name].iter().cloned().collect();
        let cell = |name: &str| cells.get(name).cloned();
        assert_eq!(cell("ingested_at"), Some(row.ingested_at.to_string()), "{name:?}");
        assert_eq!(cell("record"), Some(format!("{:056}", row.record)), "{name:?}");
        assert_eq!(cell("flow"), row.flow.map(|flow| flow.to_string()), "{name:?}");
        assert_eq!(cell("mode"), row.mode.map(str::to_owned), "{name:?}");
        assert_eq!(cell("count"), row.count.map(|count| count.to_string()), "{name:?}");
        assert_eq!(cell("open"), row.open.map(|open| open.to_string()), "{name:?}");
    }
}

pub(super) fn manifests(world: &World) -> Vec<Manifest> {
    let cold = world.cold().into_iter().filter(|(key, _)| key.starts_with("manifests/"));
    cold.map(|(_, bytes)| Manifest::from_bytes(&bytes).unwrap()).collect()
}

/// Two files of one day, with duplicate rows and with samples split over several rows.
pub(super) fn two_files() -> [Vec<Row>; 2] {
    let first = (0..20).map(|at| Row { flow: Some(at as f64), open: Some(at % 2 == 0), ..row(1, at, 1) });
    let second = (10..30).map(|at| match at {
        // The same record, stored again.
        10..15 => Row { flow: Some(at as f64), open: Some(at % 2 == 0), ..row(1, at, 1) },
        // A different part of the sample, and a correction.
        15..20 => Row { flow: (at > 17).then_some(-1.0), mode: Some("auto"), ..row(1, at, 2) },
        _ => Row { count: Some(at), ..row(2, at, 3) },
    });
    [first.collect(), second.collect()]
}

#[test]
fn a_day_is_exported_once_it_is_over_and_late_samples_had_their_time() {
    let world = World::new();
    let exporter = exporter(&world, 1_000);
    assert!(done(&exporter, soon).exported.is_empty(), "a table without rows");
    let [first, second] = two_files();
    world.append("zone-a", DAY, &first);
    world.append("zone-a", DAY, &second);
    assert!(done(&exporter, || Timestamp(soon().0 - 1)).exported.is_empty(), "it is too early");
    let report = done(&exporter, soon);
    assert_eq!(report.exported[0].1, 30);
    assert_exported(&world, &[first, second].concat());
    let [manifest] = &manifests(&world)[..] else { panic!("one export") };
    assert_eq!((manifest.table_rows, manifest.samples()), (40, 30));
    assert!(world.cold().contains_key("manifests/zone=zone-a/day=2024-10-04/000001.json"));
    let before = world.cold();
    assert_eq!(done(&exporter, soon).unchanged, 1);
    assert_eq!(world.cold(), before);
}

#[test]
fn late_samples_go_to_a_later_export_and_nothing_else_does() {
    let world = World::new();
    let exporter = exporter(&world, 1_000);
    let [first, second] = two_files();
    world.append("zone-a", DAY, &first);
    done(&exporter, soon);
    world.append("zone-a", DAY, &second);
    let report = done(&exporter, soon);
    // Five changed, ten are new, and five came again unchanged.
    assert_eq!(report.exported[0].1, 15);
    assert_exported(&world, &[first.clone(), second].concat());
    world.append("zone-a", DAY, &first);
    assert_eq!(done(&exporter, soon).exported[0].1, 0, "doubles are nothing new");
    assert_eq!(manifests(&world).last().unwrap().table_rows, 60);
}

#[test]
fn a_row_that_comes_late_counts_by_when_it_was_sent() {
    let world = World::new();
    let exporter = exporter(&world, 1_000);
    let rows = [
        Row { flow: Some(1.0), ..row(1, 0, 1) },
        Row { mode: Some("auto"), ..row(1, 0, 3) },
        Row { flow: Some(2.0), mode: Some("off"), ..row(1, 0, 2) },
    ];
    for known in 0..rows.len() {
        world.append("zone-a", DAY, &rows[known..=known]);
        done(&exporter, soon);
        assert_exported(&world, &rows[..=known]);
    }
}

#[test]
fn what_is_exported_leaves_the_table_and_what_is_not_stays() {
    let world = World::new();
    let exporter = exporter(&world, 1_000);
    let [first, second] = two_files();
    let next = Day(DAY.0 + 1);
    world.append("zone-a", DAY, &first);
    world.append("zone-b", DAY, &second);
    world.append("zone-a", next, &second);
    assert_eq!(done(&exporter, || Timestamp(late().0 - 1)).removed, 0);
    assert_eq!(done(&exporter, late).removed, 40);
    let exported = exported(&world);
    let report = done(&exporter, late);
    assert_eq!((report.unchanged, report.removed), (1, 0), "only the day after is left");
    assert_eq!(exported, self::exported(&world));
    // A row that still arrives is exported with the others, and is removed too.
    let late_row = Row { mode: Some("auto"), ..row(1, 3, 9) };
    world.append("zone-a", DAY, std::slice::from_ref(&late_row));
    let report = done(&exporter, late);
    assert_eq!((report.exported.len(), report.exported[0].1, report.removed), (1, 1, 1));
    let sample = &self::exported(&world)[&(late_row.device, late_row.sampled_at)];
    assert!(sample.contains(&("mode".into(), "auto".into())) && sample.contains(&("flow".into(), "3".into())));
}

#[test]
fn a_row_that_comes_while_others_leave_stays() {
    let world = World::new();
    let exporter = exporter(&world, 1_000);
    let [first, second] = two_files();
    world.append("zone-a", DAY, &first);
    done(&exporter, soon);
    world.append_meanwhile("zone-a", DAY, second.clone());
    // The first commit is refused. Then the new rows are exported, and all rows are removed.
    assert_eq!(done(&exporter, late).removed, 40);
    assert_exported(&world, &[first, second].concat());
}

#[test]
fn as_many_late_rows_as_there_were_are_exported_after_an_answer_was_lost() {
    let calls_of_a_run = {
        let world = World::new();
        world.append("zone-a", DAY, &[Row { flow: Some(1.0), ..row(1, 0, 1) }]);
        done(&exporter(&world, 1_000), late);
        world.calls()
    };
    for call in 0..calls_of_a_run {
        let world = World::new();
        let exporter = exporter(&world, 1_000);
        let first = Row { flow: Some(1.0), ..row(1, 0, 1) };
        world.append("zone-a", DAY, std::slice::from_ref(&first));
        world.fail(call, 1, Fault::Unanswered);
        _ = run(&exporter, late);
        world.mend();
        // Exactly as many rows as the table had before.
        let second = Row { mode: Some("auto"), ..row(1, 0, 2) };
        world.append("zone-a", DAY, std::slice::from_ref(&second));
        done(&exporter, late);
        done(&exporter, late);
        assert_exported(&world, &[first, second]);
    }
}

#[test]
fn rows_that_somebody_deletes_are_waited_for() {
    let world = World::new();
    let exporter = exporter(&world, 1_000);
    let [first, second] = two_files();
    world.append("zone-a", DAY, &first);
    world.append("zone-b", DAY, &second);
    world.delete_rows("zone-a", DAY);
    let report = run(&exporter, late).unwrap();
    assert!(matches!(report.failed[..], [(_, ExportError::Deleting)]), "{report:?}");
    assert_eq!((report.exported.len(), report.removed), (1, 20));
    assert_eq!(report.behind(), Some(DAY));
}

#[test]
fn a_day_without_time_is_left_for_the_next_run() {
    let world = World::new();
    let exporter = exporter(&world, 1_000);
    world.append("zone-a", DAY, &two_files()[0]);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let report = runtime.block_on(exporter.run(&ALL, late, || false)).unwrap();
    assert_eq!((report.left.len(), report.behind(), report.removed), (1, Some(DAY), 0));
    assert!(world.cold().is_empty());
}

/// The scenario for the whole matrix: two zones, late rows, and a day that leaves the table.
fn story(world: &World, object_bytes: u64, step: &mut dyn FnMut(&Memory, Clock)) {
    let exporter = Memory { object_bytes, ..exporter(world, 12) };
    let [first, second] = two_files();
    world.append("zone-a", DAY, &first);
    world.append("zone-b", DAY, &second);
    step(&exporter, soon);
    world.append("zone-a", DAY, &second);
    step(&exporter, soon);
    step(&exporter, late);
}

/// Case 43, and more: whichever calls fail, in whichever way and however many, the exports are the same in the end, and
/// none has a manifest before its objects.
#[test]
fn case_43_a_run_that_breaks_off_anywhere_is_followed_by_the_same_exports() {
    breaks_off_anywhere(1);
}

/// The same for objects with several row groups: an object that was interrupted is started again.
#[test]
fn a_run_that_breaks_off_within_an_object_is_followed_by_the_same_one() {
    breaks_off_anywhere(OBJECT_BYTES);
}

fn breaks_off_anywhere(object_bytes: u64) {
    let whole = World::new();
    let mut calls = 0;
    story(&whole, object_bytes, &mut |exporter, clock| {
        done(exporter, clock);
        calls = whole.calls();
    });
    assert!(calls > 60, "{calls}");
    let groups: Vec<usize> = objects(&whole).iter().map(|(_, object)| groups(object).len()).collect();
    assert_eq!(groups.iter().any(|groups| *groups > 1), object_bytes > 1, "{groups:?}");
    for fault in [Fault::Refused, Fault::Unanswered] {
        for (call, lasting) in (0..calls).flat_map(|call| [(call, 1), (call, usize::MAX)]) {
            let world = World::new();
            world.fail(call, lasting, fault);
            story(&world, object_bytes, &mut |exporter, clock| {
                for _ in 0..3 {
                    let whole = run(exporter, clock)
                        .is_ok_and(|report| report.failed.is_empty() && report.not_removed.is_none());
                    assert_named(&world);
                    if whole {
                        break;
                    }
                    world.mend();
                }
            });
            let place = format!("{fault:?} at {call}, {lasting} calls");
            assert_eq!(exported(&world), exported(&whole), "{place}");
            assert_eq!(objects(&world), objects(&whole), "{place}");
            assert!(done(&exporter(&world, 12), late).exported.is_empty(), "{place}");
        }
    }
}

/// Every object that a manifest names exists, with the properties stated there.
pub(super) fn assert_named(world: &World) {
    let cold = world.cold();
    for object in manifests(world).iter().flat_map(Manifest::all_objects) {
        let bytes = &cold[&object.key];
        assert_eq!(bytes.len() as u64, object.bytes);
    }
}

/// For each row group of an object, the first and last device from its statistics, and the number of rows.
fn groups(object: &bytes::Bytes) -> Vec<([String; 2], i64)> {
    let reader = SerializedFileReader::new(object.clone()).unwrap();
    let groups = reader.metadata().row_groups().iter().map(|group| {
        let device = group.columns().iter().find(|column| column.column_path().string() == "device_id").unwrap();
        let statistics = device.statistics().unwrap();
        let bounds = [statistics.min_bytes_opt(), statistics.max_bytes_opt()];
        (bounds.map(|bound| String::from_utf8(bound.unwrap().to_vec()).unwrap()), group.num_rows())
    });
    groups.collect()
}

/// The keys and bytes of all objects, whose keys depend on their contents.
fn objects(world: &World) -> Vec<(String, bytes::Bytes)> {
    world.cold().into_iter().filter(|(key, _)| key.starts_with("samples/")).collect()
}

/// Random rows in random batches, exported and removed in between: every sample is found as its rows define it.
#[test]
fn whatever_comes_whenever_every_sample_is_found_once() {
    for seed in 0..60 {
        let mut random = fastrand::Rng::with_seed(seed);
        let world = World::new();
        let object_bytes = *random.choice(&[1, 5_000, OBJECT_BYTES]).unwrap();
        let exporter = Memory { object_bytes, ..exporter(&world, random.u64(5..60)) };
        let mut all: Vec<Row> = Vec::new();
        for record in 0..random.u32(3..9) {
            let mut batch: BTreeMap<(String, i64), Row> = BTreeMap::new();
            for _ in 0..random.usize(1..25) {
                let mut row = row(random.u32(0..5), random.i64(0..12), record);
                row.flow = random.bool().then(|| random.f64());
                row.mode = random.bool().then(|| *random.choice(&["auto", "off"]).unwrap());
                row.count = random.bool().then(|| random.i64(..));
                row.open = random.bool().then(|| random.bool());
                batch.insert((row.device.clone(), row.sampled_at), row);
            }
            let mut rows: Vec<Row> = batch.into_values().collect();
            random.shuffle(&mut rows);
            world.append("zone-a", DAY, &rows);
            if random.bool() && !all.is_empty() {
                let again: BTreeMap<_, _> =
                    all.iter().rev().take(5).map(|row| ((row.device.clone(), row.sampled_at), row.clone())).collect();
                world.append("zone-a", DAY, &again.into_values().collect::<Vec<_>>());
            }
            all.extend(rows);
            if random.bool() {
                done(&exporter, *random.choice(&[soon as Clock, late]).unwrap());
                assert_exported(&world, &all);
            }
        }
        done(&exporter, late);
        assert_exported(&world, &all);
        assert_eq!(done(&exporter, late).removed, 0, "seed {seed}");
    }
}

/// A run that has time for this many checks of the remaining time.
pub(super) fn run_for(exporter: &Memory, clock: Clock, questions: usize) -> Report {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let left = std::cell::Cell::new(questions);
    let has_time = || left.replace(left.get().saturating_sub(1)) > 0;
    runtime.block_on(exporter.run(&ALL, clock, has_time)).expect("a run")
}

/// Rows of thirty devices, in files of five devices each, as after compaction.
pub(super) fn compacted(world: &World, zone: &str, day: Day) -> Vec<Row> {
    let begin = (i64::from(day.0) - i64::from(DAY.0)) * 86_400;
    let rows = |n: u32| Row { flow: Some(f64::from(n)), ..row(n / 10, begin + i64::from(n % 10), n) };
    let all: Vec<Row> = (0..300).map(rows).collect();
    all.chunks(50).for_each(|rows| world.append(zone, day, rows));
    all
}
