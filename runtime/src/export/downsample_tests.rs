//! Aggregates checked against sums over the samples themselves, with late rows, interrupted runs and changed settings.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::*;
use crate::{
    export::{
        aggregated::{Aggregate, Name, meant, newest, rows},
        memory::{Fault, World},
        tests::{self, Clock, DAY, DAY_MS, Memory, compacted, done, late, manifests, row, run_for, soon},
    },
    frame::fixture::Row,
};

const HOUR_S: i64 = 3_600;

/// An exporter with aggregates over intervals of this length, for days that ended less than a hundred days ago.
fn exporter(world: &World, group_rows: u64, every_s: i64) -> Memory {
    let until = Millis(100 * DAY_MS);
    let downsample = Some(Downsample { every: Millis::from_secs(every_s.cast_unsigned()), until });
    Memory { downsample, ..tests::exporter(world, group_rows) }
}

fn files(world: &World) -> BTreeMap<String, Bytes> {
    world.cold().into_iter().filter(|(key, _)| key.starts_with("aggregates/")).collect()
}

fn found(world: &World) -> BTreeMap<Name, Aggregate> {
    newest(files(world).values())
}

/// The files contain the aggregates of the samples of one zone.
fn assert_aggregated(world: &World, all: &[Row], every_s: i64) {
    let samples = tests::meant(all);
    assert_eq!(found(world), meant("zone-a", samples.values(), every_s));
}

/// Two devices over three hours, with a reading now and then.
fn some_hours() -> Vec<Row> {
    let rows = (0..40).flat_map(|n| [(1, n), (2, n)]).map(|(device, n)| Row {
        flow: (n % 3 != 0).then_some(0.1 * n as f64 - 1.0),
        open: (n % 5 == 0).then_some(n % 2 == 0),
        count: (n % 7 == 0).then_some(n),
        mode: Some("auto"),
        ..row(device, n * 250, 1)
    });
    rows.collect()
}

#[test]
fn each_reading_of_a_device_comes_to_something_in_every_interval() {
    let world = World::new();
    let all = some_hours();
    all.chunks(13).for_each(|rows| world.append("zone-a", DAY, rows));
    let exporter = exporter(&world, 1_000, HOUR_S);
    assert_eq!(done(&exporter, soon).exported[0].1, 80);
    assert_aggregated(&world, &all, HOUR_S);
    let key = files(&world).into_keys().next().expect("a file");
    assert!(
        key.starts_with("aggregates/zone=zone-a/day=2024-10-04/000001-0000-") && key.ends_with(".parquet"),
        "{key}"
    );
    let [manifest] = &manifests(&world)[..] else { panic!("one export") };
    let aggregates = manifest.aggregates.as_ref().expect("aggregates");
    assert_eq!((aggregates.every_s, aggregates.objects.len(), manifest.samples()), (3_600, 1, 80));
    assert_eq!(aggregates.objects[0].samples, found(&world).len() as u64);
    let found = found(&world);
    let first = (i64::from(DAY.0)) * 86_400_000_000;
    let open = &found[&("zone-a".to_owned(), "dev-001".to_owned(), first, "open".to_owned())];
    // At 0, 1250 and 2500 seconds: true, false, true.
    assert_eq!((open.count, open.sum, open.last), (3, Some(2.0), 1.0));
    assert!(found.keys().all(|name| name.3 != "mode"), "a text comes to nothing");
    let before = world.cold();
    assert_eq!(done(&exporter, soon).unchanged, 1);
    assert_eq!(world.cold(), before);
}

#[test]
fn late_samples_change_their_own_intervals_and_no_others() {
    let world = World::new();
    let exporter = exporter(&world, 1_000, HOUR_S);
    let mut all = some_hours();
    world.append("zone-a", DAY, &all);
    done(&exporter, soon);
    // A correction in the first hour, a further part of a known sample in the third, and a new device.
    let more = [
        Row { flow: Some(99.0), ..row(1, 250, 2) },
        Row { count: Some(-5), ..row(2, 7_250, 2) },
        Row { flow: Some(1.5), ..row(3, 80_000, 2) },
    ];
    world.append("zone-a", DAY, &more);
    all.extend(more);
    done(&exporter, soon);
    assert_aggregated(&world, &all, HOUR_S);
    let second = files(&world).into_iter().filter(|(key, _)| key.contains("/000002-"));
    let changed: Vec<(String, i64)> =
        second.flat_map(|(_, file)| rows(&file)).map(|((_, device, start, _), ..)| (device, start)).collect();
    let hour = |hour: i64| (i64::from(DAY.0) * 24 + hour) * HOUR_S * 1_000_000;
    let mut distinct = changed.clone();
    distinct.dedup();
    let wanted = [("dev-001", hour(0)), ("dev-002", hour(2)), ("dev-003", hour(22))];
    assert_eq!(distinct, wanted.map(|(device, start)| (device.to_owned(), start)));
    // A repeated message that is unchanged has no effect.
    world.append("zone-a", DAY, &some_hours());
    done(&exporter, soon);
    assert!(!files(&world).keys().any(|key| key.contains("/000003-")));
    assert_aggregated(&world, &all, HOUR_S);
    // Rows that arrive after the others have left the table are combined with what exports have.
    assert!(done(&exporter, late).removed > 0);
    let last = Row { open: Some(true), ..row(1, 500, 9) };
    world.append("zone-a", DAY, std::slice::from_ref(&last));
    all.push(last);
    done(&exporter, late);
    assert_aggregated(&world, &all, HOUR_S);
}

#[test]
fn an_aggregate_is_of_a_zone() {
    let world = World::new();
    let here = [Row { flow: Some(1.0), ..row(1, 0, 1) }, Row { flow: Some(2.0), ..row(1, 60, 1) }];
    // The device has moved, and corrects from there what it had sent from here.
    let there = [Row { flow: Some(5.0), ..row(1, 60, 2) }, Row { flow: Some(7.0), ..row(1, 120, 2) }];
    world.append("zone-a", DAY, &here);
    world.append("zone-b", DAY, &there);
    done(&exporter(&world, 1_000, HOUR_S), soon);
    let wanted = [("zone-a", &here), ("zone-b", &there)].map(|(zone, rows)| meant(zone, rows.iter(), HOUR_S));
    assert_eq!(found(&world), wanted.into_iter().flatten().collect());
}

#[test]
fn what_no_double_holds_is_no_sum() {
    let world = World::new();
    let huge = [0, 1].map(|at| Row { flow: Some(f64::MAX), count: Some(i64::MAX), ..row(1, at, 1) });
    let wrong = [2, 3].map(|at| Row { flow: Some(if at == 2 { f64::NAN } else { f64::INFINITY }), ..row(1, at, 1) });
    world.append("zone-a", DAY, &[huge.clone(), wrong].concat());
    done(&exporter(&world, 1_000, HOUR_S), soon);
    assert_aggregated(&world, &huge, HOUR_S);
    let sums: Vec<_> = found(&world).into_values().map(|aggregate| (aggregate.count, aggregate.sum)).collect();
    assert_eq!(sums, [(2, Some(i64::MAX as f64 * 2.0)), (2, None)]);
}

#[test]
fn days_that_were_exported_before_get_aggregates_while_they_are_in_the_table() {
    let world = World::new();
    let all = some_hours();
    world.append("zone-a", DAY, &all);
    done(&tests::exporter(&world, 1_000), soon);
    assert!(files(&world).is_empty());
    let samples = |world: &World| world.cold().into_keys().filter(|key| key.starts_with("samples/")).count();
    let report = done(&exporter(&world, 1_000, HOUR_S), soon);
    assert_eq!((report.exported.len(), report.exported[0].1, samples(&world)), (1, 0, 1));
    assert_aggregated(&world, &all, HOUR_S);
    assert_eq!(done(&exporter(&world, 1_000, HOUR_S), soon).unchanged, 1);
}

#[test]
fn the_intervals_of_a_day_stay_as_long_as_they_are() {
    let world = World::new();
    let mut all = Vec::new();
    let mut come = |rows: &[Row]| {
        world.append("zone-a", DAY, rows);
        all.extend_from_slice(rows);
        all.clone()
    };
    come(&some_hours());
    done(&exporter(&world, 1_000, HOUR_S), soon);
    // Another length only applies to new days.
    let all = come(&[Row { flow: Some(3.0), ..row(1, 10, 4) }]);
    done(&exporter(&world, 1_000, 900), soon);
    assert_aggregated(&world, &all, HOUR_S);
    // What changed while aggregates were switched off is included when they are switched on again.
    come(&[Row { flow: Some(4.0), ..row(2, 20, 5) }]);
    done(&tests::exporter(&world, 1_000), soon);
    done(&exporter(&world, 1_000, 900), soon);
    let all = come(&[Row { flow: Some(5.0), ..row(1, 30, 6) }]);
    done(&exporter(&world, 1_000, 900), soon);
    assert_aggregated(&world, &all, HOUR_S);
}

#[test]
fn a_day_whose_files_may_have_expired_keeps_the_aggregates_that_it_has() {
    let world = World::new();
    let all = some_hours();
    world.append("zone-a", DAY, &all);
    let exporter = exporter(&world, 1_000, HOUR_S);
    done(&exporter, soon);
    world.append("zone-a", DAY, &[Row { flow: Some(3.0), ..row(1, 10, 4) }]);
    let end: Clock = || Timestamp(DAY.end().0 + 100 * DAY_MS.cast_signed());
    assert_eq!(done(&exporter, end).exported.len(), 1);
    assert_aggregated(&world, &all, HOUR_S);
    assert_eq!(manifests(&world)[1].aggregates, None);
    // A millisecond earlier, it would have changed them.
    assert_eq!(exporter.every_s(&[], DAY, Timestamp(end().0 - 1)), Some(3_600));
    assert_eq!(exporter.every_s(&[], DAY, end()), None);
}

#[test]
fn aggregates_outlive_the_manifests_of_their_samples() {
    let world = World::new();
    let all = some_hours();
    world.append("zone-a", DAY, &all);
    let exporter = exporter(&world, 1_000, HOUR_S);
    assert_eq!(done(&exporter, late).removed, all.len() as u64);
    ["samples/", "manifests/"].iter().for_each(|folder| world.expire(folder));
    let end: Clock = || Timestamp(DAY.end().0 + 100 * DAY_MS.cast_signed());
    for n in 0..2 {
        world.append("zone-a", DAY, &[row(1, 20 + n, 4)]);
        assert_eq!(done(&exporter, end).exported.len(), 1);
    }
    assert_aggregated(&world, &all, HOUR_S);
}

#[test]
fn a_large_day_that_was_begun_with_aggregates_ends_without_them_once_nobody_asks() {
    let world = World::new();
    let all = compacted(&world, "zone-a", DAY);
    run_for(&exporter(&world, 10, HOUR_S), soon, 1 + 1 + 6 + 3);
    let before = files(&world);
    assert!(!before.is_empty() && manifests(&world).is_empty());
    done(&tests::exporter(&world, 10), soon);
    // By now, the function has no permission to write or delete aggregates.
    assert_eq!((files(&world), &manifests(&world)[0].aggregates), (before, &None));
    tests::assert_exported(&world, &all);
    // When they are wanted again, they are made from all samples.
    done(&exporter(&world, 10, HOUR_S), soon);
    assert_aggregated(&world, &all, HOUR_S);
}

#[test]
fn no_day_leaves_its_table_before_it_has_the_aggregates_that_are_asked_for() {
    let world = World::new();
    let all = some_hours();
    world.append("zone-a", DAY, &all);
    done(&tests::exporter(&world, 1_000), soon);
    let exporter = exporter(&world, 1_000, HOUR_S);
    let other = Day(DAY.0 + 1)..=Day(DAY.0 + 1);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let report = runtime.block_on(exporter.run(&other, late, || true)).expect("a run");
    assert_eq!((report.exported.len(), report.removed), (0, 0));
    let report = done(&exporter, late);
    assert_eq!((report.exported.len(), report.removed), (1, all.len() as u64));
    assert_aggregated(&world, &all, HOUR_S);
}

#[test]
fn a_large_day_has_its_aggregates_object_by_object() {
    let world = World::new();
    let exporter = exporter(&world, 10, HOUR_S);
    let mut all = compacted(&world, "zone-a", DAY);
    let mut runs = 0;
    while manifests(&world).is_empty() {
        let more = Row { count: Some(runs), ..row(u32::try_from(runs).unwrap() * 3, 3, 900 + runs as u32) };
        world.append("zone-a", DAY, std::slice::from_ref(&more));
        all.push(more);
        // One check for the turn; in the first run, all files are read before that.
        run_for(&exporter, soon, 1 + 1 + 6 + if runs == 0 { 3 } else { 0 });
        runs += 1;
        assert!(runs < 20, "it comes to an end");
    }
    assert!(runs > 3, "{runs}");
    assert_eq!(manifests(&world)[0].aggregates.as_ref().expect("aggregates").objects.len(), 30);
    done(&exporter, soon);
    assert_aggregated(&world, &all, HOUR_S);
}

/// The scenario for the whole matrix: a day without aggregates, one that gets them, late rows, and a day that leaves.
fn story(world: &World, step: &mut dyn FnMut(&Memory, Clock)) {
    let rows = some_hours();
    let changed = rows.iter().take(9).map(|row| Row { flow: Some(8.0), record: 2, ..row.clone() });
    world.append("zone-a", DAY, &rows[..30]);
    step(&tests::exporter(world, 12), soon);
    world.append("zone-b", DAY, &rows[..30]);
    step(&exporter(world, 12, HOUR_S), soon);
    world.append("zone-a", DAY, &changed.collect::<Vec<_>>());
    step(&exporter(world, 12, HOUR_S), soon);
    step(&exporter(world, 12, HOUR_S), late);
}

/// Whichever calls fail, in whichever way and however many: the objects are the same in the end, and none has a
/// manifest before it exists.
#[test]
fn a_run_that_breaks_off_anywhere_is_followed_by_the_same_aggregates() {
    let objects = |world: &World| -> Vec<(String, Bytes)> {
        world.cold().into_iter().filter(|(key, _)| key.ends_with(".parquet")).collect()
    };
    let whole = World::new();
    let mut calls = 0;
    story(&whole, &mut |exporter, clock| {
        done(exporter, clock);
        calls = whole.calls();
    });
    assert!(calls > 80 && files(&whole).len() > 5, "{calls}");
    for fault in [Fault::Refused, Fault::Unanswered] {
        for (call, lasting) in (0..calls).flat_map(|call| [(call, 1), (call, usize::MAX)]) {
            let world = World::new();
            world.fail(call, lasting, fault);
            story(&world, &mut |exporter, clock| {
                for _ in 0..3 {
                    let whole = tests::run(exporter, clock)
                        .is_ok_and(|report| report.failed.is_empty() && report.not_removed.is_none());
                    tests::assert_named(&world);
                    if whole {
                        break;
                    }
                    world.mend();
                }
            });
            let place = format!("{fault:?} at {call}, {lasting} calls");
            assert_eq!(objects(&world), objects(&whole), "{place}");
            assert!(done(&exporter(&world, 12, HOUR_S), late).exported.is_empty(), "{place}");
        }
    }
}

/// Random rows in random batches, exported and removed in between.
#[test]
fn whatever_comes_whenever_every_aggregate_is_of_all_its_samples() {
    for seed in 0..60 {
        let mut random = fastrand::Rng::with_seed(seed);
        let world = World::new();
        let every_s = *random.choice(&[60, 900, HOUR_S, 86_400]).unwrap();
        let exporter = exporter(&world, random.u64(5..60), every_s);
        let mut all: Vec<Row> = Vec::new();
        for record in 0..random.u32(3..9) {
            let mut batch: BTreeMap<(String, i64), Row> = BTreeMap::new();
            for _ in 0..random.usize(1..25) {
                let mut row = row(random.u32(0..5), random.i64(0..40) * 211, record);
                row.flow = random.bool().then(|| random.f64() - 0.5);
                row.mode = random.bool().then(|| *random.choice(&["auto", "off"]).unwrap());
                row.count = random.bool().then(|| random.i64(-1_000..1_000));
                row.open = random.bool().then(|| random.bool());
                batch.insert((row.device.clone(), row.sampled_at), row);
            }
            let mut rows: Vec<Row> = batch.into_values().collect();
            random.shuffle(&mut rows);
            world.append("zone-a", DAY, &rows);
            all.extend(rows);
            if random.bool() {
                done(&exporter, *random.choice(&[soon as Clock, late]).unwrap());
                assert_aggregated(&world, &all, every_s);
            }
        }
        done(&exporter, late);
        assert_aggregated(&world, &all, every_s);
        tests::assert_exported(&world, &all);
    }
}
