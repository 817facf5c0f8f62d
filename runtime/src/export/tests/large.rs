//! Days that are exported in several parts: their objects, their row groups, and the turns in which they are made.

use super::*;

#[test]
fn a_large_day_is_several_objects_of_whole_devices() {
    let many: Vec<Row> = (0..300).map(|n| Row { flow: Some(f64::from(n)), ..row(n % 30, i64::from(n), n) }).collect();
    let [one, several] = [1_000, 35].map(|group_rows| {
        let world = World::new();
        many.chunks(70).for_each(|rows| world.append("zone-a", DAY, rows));
        done(&exporter(&world, group_rows), soon);
        assert_exported(&world, &many);
        (exported(&world), manifests(&world))
    });
    assert_eq!(one.0, several.0);
    assert_eq!(one.1[0].objects.len(), 1);
    let samples: Vec<u64> = several.1[0].objects.iter().map(|object| object.samples).collect();
    assert_eq!(samples, [30; 10]);
}

#[test]
fn an_object_has_a_row_group_for_each_part_until_another_one_might_pass_its_size() {
    // Thirty devices with ten rows each.
    let export = |object_bytes| {
        let world = World::new();
        let all = compacted(&world, "zone-a", DAY);
        let exporter = Memory { object_bytes, ..exporter(&world, 20) };
        done(&exporter, soon);
        assert_exported(&world, &all);
        let [manifest] = &manifests(&world)[..] else { panic!("one export") };
        let objects = manifest.objects.iter().map(|object| (object.clone(), world.cold()[&object.key].clone()));
        objects.collect::<Vec<_>>()
    };
    let all = export(OBJECT_BYTES);
    let [(one, bytes)] = &all[..] else { panic!("one object: {}", all.len()) };
    assert_eq!((one.samples, one.bytes, groups(bytes).len()), (300, bytes.len() as u64, 15));
    assert_eq!(one.devices, Some(["dev-000".into(), "dev-029".into()]));
    // What is written before the footer.
    let object_bytes = written(bytes) / 3;
    let several = export(object_bytes);
    assert!((3..=4).contains(&several.len()), "{}", several.len());
    let mut next = 0;
    for (object, bytes) in &several {
        assert!(written(bytes) <= object_bytes, "{}", written(bytes));
        let groups = groups(bytes);
        assert_eq!(object.samples as i64, groups.iter().map(|group| group.1).sum::<i64>());
        for (devices, rows) in &groups {
            assert_eq!((devices, *rows), (&[next, next + 1].map(|device| format!("dev-{device:03}")), 20));
            next += 2;
        }
        let ends = [&groups[0].0[0], &groups[groups.len() - 1].0[1]].map(|device| device.as_str().into());
        assert_eq!(object.devices, Some(ends));
    }
    assert_eq!(next, 30);
    assert_eq!(export(1).len(), 15, "one part is in it whatever its size");
}

#[test]
fn an_object_of_files_that_have_all_devices_ends_before_it_takes_too_long() {
    let world = World::new();
    let many: Vec<Row> = (0..300).map(|n| Row { flow: Some(f64::from(n)), ..row(n % 30, i64::from(n), n) }).collect();
    many.chunks(70).for_each(|rows| world.append("zone-a", DAY, rows));
    let exporter = Memory { object_bytes: OBJECT_BYTES, ..exporter(&world, 10) };
    done(&exporter, soon);
    assert_exported(&world, &many);
    // Each of thirty parts reads 300 rows of 11 columns.
    let objects: Vec<u64> = manifests(&world)[0].objects.iter().map(|object| object.samples).collect();
    assert_eq!(objects, [130, 130, 40]);
}

#[test]
fn a_small_day_is_one_row_group() {
    let world = World::new();
    let [first, _] = two_files();
    world.append("zone-a", DAY, &first);
    done(&Memory { object_bytes: OBJECT_BYTES, ..exporter(&world, 1_000) }, soon);
    assert_eq!(groups(&objects(&world)[0].1), [(["dev-001".to_owned(), "dev-001".to_owned()], 20)]);
}

#[test]
fn a_day_that_could_not_be_parted_comes_after_all_others() {
    let world = World::new();
    let exporter = exporter(&world, 10);
    let days = [DAY, Day(DAY.0 + 1)];
    let mut all = Vec::new();
    for day in days {
        all.extend(compacted(&world, "zone-a", day));
    }
    // Six files have to be read to split a day, and there is time for three files of the first one.
    let report = run_for(&exporter, late_clock, 2 + 1 + 3);
    assert_eq!((report.left.len(), report.exported.len()), (2, 0));
    let notes = |world: &World| world.cold().keys().filter(|key| key.ends_with("begun.json")).count();
    assert_eq!((notes(&world), world.take_reads()), (1, 4));
    // Now the other day comes first, as far as there is time.
    let report = run_for(&exporter, late_clock, 2 + 1 + 6 + 3);
    assert_eq!((report.left.len(), report.exported.len(), notes(&world)), (2, 0, 2));
    let begun = |world: &World, day: Day| {
        world
            .cold()
            .keys()
            .any(|key| key.starts_with(&format!("samples/zone=zone-a/day={day}/")) && key.ends_with(".parquet"))
    };
    assert_eq!(days.map(|day| begun(&world, day)), [false, true]);
    assert!(done(&exporter, late_clock).exported.iter().map(|(partition, _)| partition.day).eq([days[1], days[0]]));
    assert_exported(&world, &all);
    assert_eq!(notes(&world), 0);
}

/// The bytes of an object's row groups.
fn written(object: &bytes::Bytes) -> u64 {
    let reader = SerializedFileReader::new(object.clone()).unwrap();
    reader.metadata().row_groups().iter().map(|group| group.compressed_size().cast_unsigned()).sum()
}

#[test]
fn a_large_day_keeps_nobody_back_and_goes_on_where_it_was() {
    let world = World::new();
    let exporter = exporter(&world, 10);
    let next = Day(DAY.0 + 1);
    let mut all = compacted(&world, "zone-a", DAY);
    let late = Row { flow: Some(7.0), mode: Some("auto"), ..row(40, 90_000, 5) };
    world.append("zone-a", next, std::slice::from_ref(&late));
    all.push(late);
    // There is time to see that the first day is large, to export the other, and to split the first and make one turn
    // of it.
    let report = run_for(&exporter, late_clock, 2 + 1 + 6 + 3);
    assert_eq!(report.exported.iter().map(|(partition, _)| partition.day).collect::<Vec<_>>(), [next]);
    assert_eq!(report.left.iter().map(|partition| partition.day).collect::<Vec<_>>(), [DAY]);
    assert_eq!(report.behind(), Some(DAY));
    let objects = |world: &World| world.cold().keys().filter(|key| key.ends_with(".parquet")).count();
    assert_eq!((objects(&world), manifests(&world).len()), (5, 1), "four objects of the large day, and no manifest");
    // Each run gets a little further, and nothing is done twice.
    let before = world.cold();
    let (mut runs, mut last) = (0, Report::default());
    while last.exported.is_empty() {
        // Rows that arrive in the meantime are in this export or in the next.
        let more = Row { count: Some(runs), ..row(u32::try_from(runs).unwrap() * 3, 3, 900 + runs as u32) };
        world.append("zone-a", DAY, std::slice::from_ref(&more));
        all.push(more);
        world.take_reads();
        last = run_for(&exporter, soon, 2 + 1 + 3);
        runs += 1;
        assert!(runs < 20, "it comes to an end");
    }
    assert!(runs > 3, "{runs}");
    for (key, bytes) in before.iter().filter(|(key, _)| key.ends_with(".parquet")) {
        assert_eq!(world.cold().get(key), Some(bytes), "{key}");
    }
    let [large] =
        &manifests(&world).into_iter().filter(|one| one.partition.day == DAY.to_string()).collect::<Vec<_>>()[..]
    else {
        panic!("one export")
    };
    assert_eq!(large.table_rows, 300, "what came since it was begun is not known to be in it");
    assert!(!world.cold().keys().any(|key| key.ends_with("begun.json")), "the note is gone");
    done(&exporter, soon);
    assert_exported(&world, &all);
}

fn late_clock() -> Timestamp {
    Timestamp(soon().0 + DAY_MS.cast_signed())
}

#[test]
fn a_file_is_read_for_those_objects_whose_devices_it_has() {
    let world = World::new();
    let exporter = exporter(&world, 50);
    let mut all = compacted(&world, "zone-a", DAY);
    done(&exporter, soon);
    assert_eq!(manifests(&world)[0].objects.len(), 6);
    // Once to list the devices, and then for its own object and for neighbors, since bounds are truncated. Reading all
    // files for all objects would take 42 reads.
    let reads = world.take_reads();
    assert_eq!(reads, 6 + 16);
    let more = Row { count: Some(1), ..row(7, 3, 900) };
    world.append("zone-a", DAY, std::slice::from_ref(&more));
    all.push(more);
    done(&exporter, soon);
    assert_exported(&world, &all);
    let devices = |manifest: &Manifest| manifest.objects[0].devices.clone().expect("they are noted");
    assert_eq!(devices(&manifests(&world)[0]), ["dev-000", "dev-004"]);
    assert_eq!(devices(&manifests(&world)[1]), ["dev-007", "dev-007"]);
}
