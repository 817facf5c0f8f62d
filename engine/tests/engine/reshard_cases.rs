//! Shards that are split and merged while alerts fire: the rows are those of a single shard that was never touched.

use fleetform_engine::{
    drive::{Failure, Lineage, PART_ROWS, Settings, StoredRecord},
    effect::{AlertState, ResolveReason},
    memory::{Fault, Memory, Operation, Rows},
    position::SequenceNumber,
    reshard::HashRange,
    units::{Millis, Timestamp},
};
use serde_json::{Value, json};

use crate::{
    shards::{HIGH, LOW, MINUTE, World, busy, seals, undisturbed, without_shards},
    support::{EXAMPLE, Put, START_MS, Stream, sequence},
};

#[test]
fn shards_that_are_split_and_merged_leave_the_rows_of_one_shard() {
    let stream = busy(16);
    let expected = undisturbed(&stream);
    for split in [3, 50, 90] {
        for merge in [split, split + 1, split + 40] {
            let memory = Memory::new();
            let mut world = World::new(&memory);
            for (index, put) in stream.records.iter().enumerate() {
                if index == split {
                    world.drain();
                    world.split("s0", ["s1", "s2"], index);
                }
                if index == merge {
                    world.drain();
                    world.merge(["s1", "s2"], "s3", index);
                }
                world.put(index, put);
            }
            world.drain();
            assert_eq!(without_shards(&memory), expected, "split at {split}, merged at {merge}");
            assert_eq!(seals(&memory), ["s0", "s1", "s2"]);
        }
    }
}

#[test]
fn a_child_waits_for_what_its_parent_has_not_taken() {
    let stream = busy(16);
    let memory = Memory::new();
    let mut world = World::new(&memory);
    for (index, put) in stream.records.iter().enumerate() {
        if index == 50 {
            world.drain();
        }
        if index == 100 {
            let rest = world.split("s0", ["s1", "s2"], index);
            world.put(index, put);
            let (child, _, waiting) = world.open.iter().find(|(.., waiting)| !waiting.is_empty()).unwrap().clone();
            // Fifty records of the parent are young enough to be waited for.
            let outcome = world.deliver(&mut world.driver(), child, &waiting, usize::MAX).unwrap();
            assert!(matches!(&outcome.failure, Some(failure) if failure.is_transient()), "{:?}", outcome.failure);
            assert_eq!(outcome.failed_from, Some(waiting[0].sequence));
            assert!(seals(&memory).is_empty() && !memory.objects().keys().any(|key| key.contains(child)));
            world.take("s0", &rest);
            assert_eq!(world.take(child, &waiting).counts.inherited, 1);
            // A late record, from a batch that was in progress, finds the shard sealed.
            let outcome = world.take("s0", &rest);
            assert_eq!((outcome.counts.skipped, outcome.counts.records), (50, 0));
            return;
        }
        world.put(index, put);
    }
}

#[test]
fn records_that_were_given_up_are_counted_and_those_that_come_all_the_same_are_set_aside() {
    let stream = busy(16);
    let memory = Memory::new();
    let mut world = World::new(&memory);
    stream.records[..50].iter().enumerate().for_each(|(index, put)| world.put(index, put));
    world.drain();
    stream.records[50..60].iter().zip(50..).for_each(|(put, index)| world.put(index, put));
    let rest = world.split("s0", ["s1", "s2"], 60);
    world.put(60, &stream.records[60]);
    let (child, _, waiting) = world.open.iter().find(|(.., waiting)| !waiting.is_empty()).unwrap().clone();
    // The event source gives up after six hours; the driver waits ten minutes longer.
    for (after, waits) in [(6 * 3_600_000, true), (6 * 3_600_000 + 20 * MINUTE, false)] {
        world.deadline.set(START_MS + after);
        let outcome = world.deliver(&mut world.driver(), child, &waiting, usize::MAX).unwrap();
        assert_eq!(outcome.failure.is_some(), waits, "{:?}", outcome.failure);
        assert_eq!((outcome.counts.seals, outcome.counts.left_behind), if waits { (0, 0) } else { (1, 10) });
    }
    for _ in 0..2 {
        let outcome = world.take("s0", &rest);
        assert_eq!(outcome.counts.records, 10);
        let quarantined: Vec<String> = memory.rows().quarantine.values().map(|row| row.reason.to_string()).collect();
        assert_eq!(quarantined, ["after_seal"; 10]);
    }
    assert_eq!(memory.rows().contradictions, Vec::<String>::new());
}

#[test]
fn a_host_that_holds_the_parents_state_finds_the_seal_and_writes_nothing() {
    let stream = busy(16);
    let memory = Memory::new();
    let mut world = World::new(&memory);
    stream.records[..50].iter().enumerate().for_each(|(index, put)| world.put(index, put));
    let taken = world.close("s0");
    let mut zombie = world.driver();
    world.deliver(&mut zombie, "s0", &taken, usize::MAX).unwrap();
    world.open("s1", HashRange::ALL, &["s0"], 50);
    world.put(51, &stream.records[51]);
    world.drain();
    let before = memory.objects();
    let late = StoredRecord { sequence: sequence(50), ..taken[49].clone() };
    let outcome = world.deliver(&mut zombie, "s0", &[late], usize::MAX).unwrap();
    assert_eq!((outcome.failure, outcome.counts.records), (None, 1));
    assert_eq!(memory.objects(), before);
    assert_eq!(memory.rows().quarantine.len(), 1);
}

#[test]
fn a_shard_walks_past_ancestors_that_never_had_a_record() {
    let stream = busy(16);
    let expected = undisturbed(&stream);
    let memory = Memory::new();
    let mut world = World::new(&memory);
    for (index, put) in stream.records.iter().enumerate() {
        if index == 60 {
            world.drain();
            world.split("s0", ["s1", "s2"], index);
            world.merge(["s1", "s2"], "s3", index);
            world.split("s3", ["s4", "s5"], index);
        }
        if index == 100 {
            // All that the stream knew of the oldest shard has expired, which does not affect its chain.
            memory.remove_shard("s0");
        }
        world.put(index, put);
    }
    world.drain();
    assert_eq!(without_shards(&memory), expected);
    assert_eq!(seals(&memory), ["s0", "s1", "s2", "s3"]);
}

#[test]
fn a_child_that_dies_at_any_point_of_its_beginning_loses_and_doubles_nothing() {
    let stream = busy(8);
    let expected = undisturbed(&stream);
    let mut polls = 1;
    loop {
        let memory = Memory::new();
        let mut world = World::new(&memory);
        let mut ended = false;
        for (index, put) in stream.records.iter().enumerate() {
            if index == 45 {
                // The parent's newest delta exists, but its effects do not.
                let (.., waiting) = world.open[0].clone();
                memory.fail(|operation, _| (operation == Operation::Publish).then_some(Fault::Refused));
                world.deliver(&mut world.driver(), "s0", &waiting, usize::MAX).unwrap();
                memory.heal();
                world.open[0].2.clear();
                world.split("s0", ["s1", "s2"], index);
                world.merge(["s1", "s2"], "s3", index);
            }
            world.put(index, put);
            if index == 55 {
                let (shard, _, waiting) = world.open[0].clone();
                ended = world.deliver(&mut world.driver(), shard, &waiting, polls).is_some();
            }
        }
        world.drain();
        assert_eq!(without_shards(&memory), expected, "dropped after {polls} polls");
        if ended {
            assert!(polls > 30, "a beginning with three ancestors takes {polls} polls");
            return;
        }
        polls += 1;
    }
}

/// Puts the reports of devices on the stream, in whichever shard takes their key by then, and twice, as a repeated
/// publication does.
fn with_members(stream: &Stream, split: usize, merge: usize) -> (Rows, usize) {
    let memory = Memory::new();
    let mut world = World::new(&memory);
    let (mut number, mut said) = (0, 0);
    for (index, put) in stream.records.iter().enumerate() {
        if index == split {
            world.drain();
            world.split("s0", ["s1", "s2"], number);
        }
        if index == merge {
            world.drain();
            world.merge(["s1", "s2"], "s3", number);
        }
        world.put(number, put);
        number += 1;
        loop {
            world.drain();
            let members: Vec<_> = memory.rows().members.into_values().collect();
            if members.len() == said {
                break;
            }
            said = members.len();
            for member in members.iter().chain(&members) {
                let (key, data) = (member.partition_key().to_string(), member.record());
                world.put(number, &Put { key, data, arrived_at: put.arrived_at });
                number += 1;
            }
        }
    }
    (without_shards(&memory), said)
}

#[test]
fn fleets_go_where_their_keys_go_and_devices_go_on_counting_what_they_say() {
    let mut stream = Stream::default();
    for device in 0..7 {
        stream.register(&format!("h-{device}"), "hydrant", if device < 4 { "zone-a" } else { "zone-b" });
    }
    for n in 0..9 {
        for device in 0..7 {
            let open = (n + device / 4) % 5 < 2;
            stream.reading(&format!("h-{device}"), json!({ "open": open }), n * MINUTE / 2 + device);
        }
    }
    let (expected, said) = with_members(&stream, usize::MAX, usize::MAX);
    assert_eq!(expected.contradictions, Vec::<String>::new());
    let fleets: Vec<_> = expected.alerts.values().filter(|alert| alert.device.is_none()).collect();
    assert!(said >= 60 && fleets.len() >= 2, "{said} members, {} alerts of fleets", fleets.len());
    for split in [2, 30] {
        for merge in [split + 1, split + 19] {
            let (rows, again) = with_members(&stream, split, merge);
            assert_eq!((&rows.members, again), (&expected.members, said), "split at {split}, merged at {merge}");
            let states = |rows: &Rows| -> Vec<_> {
                let fleets = rows.alerts.values().filter(|alert| alert.device.is_none());
                let mut all: Vec<_> = fleets.map(|it| (it.subject(), it.since, it.at, it.state.clone())).collect();
                all.sort_by_key(|(subject, since, ..)| (subject.clone(), *since));
                all
            };
            assert_eq!(states(&rows), states(&expected), "split at {split}, merged at {merge}");
        }
    }
}

/// The example with one thing changed.
fn changed(change: impl FnOnce(&mut Value)) -> Vec<u8> {
    let mut set: Value = serde_json::from_slice(EXAMPLE).unwrap();
    change(&mut set);
    serde_json::to_vec(&set).unwrap()
}

#[test]
fn a_merge_takes_the_newer_rule_set_and_ends_what_it_does_not_know() {
    let memory = Memory::new();
    let newer = memory.add_rule_set(&changed(|set| set["rules"]["very-hot"]["condition"]["threshold"] = json!(52.0)));
    let mut stream = Stream::default();
    for device in 0..8 {
        stream.register(&format!("logger-{device}"), "pressure-logger", "zone-a");
        stream.reading(&format!("logger-{device}"), json!({ "pressure": 50.0, "temperature": 55.0 }), 0);
    }
    stream.rules(3, &newer, START_MS + 1_000);
    let mut world = World::new(&memory);
    world.split("s0", ["s1", "s2"], 0);
    stream.records[..16].iter().enumerate().for_each(|(index, put)| world.put(index, put));
    world.drain();
    // Only one of the two has adopted the set when they are merged.
    world.put(16, &stream.records[16]);
    let (.., news) = world.open[0].clone();
    world.take("s1", &news);
    world.open.iter_mut().for_each(|(.., waiting)| waiting.clear());
    world.close("s1");
    world.close("s2");
    memory.remove_shard("s2");
    memory.add_shard("s2", Lineage { range: HIGH, parents: vec!["s0".into()], first: sequence(0) });
    world.open("s3", HashRange::ALL, &["s1", "s2"], 20);
    let record = StoredRecord {
        sequence: SequenceNumber::new("30").unwrap(),
        partition_key: "nobody".into(),
        arrived_at: Timestamp(START_MS + 2_000),
        data: b"{}".to_vec(),
    };
    let outcome = world.take("s3", &[record]);
    assert_eq!((outcome.counts.inherited, outcome.counts.seals), (1, 2));
    let rows = memory.rows();
    let of = |device: u32| rows.alerts.values().filter(move |row| row.subject() == format!("logger-{device}"));
    for device in 0..8 {
        let states: Vec<&AlertState> =
            of(device).filter(|row| row.rule.as_str() == "very-hot").map(|row| &row.state).collect();
        assert_eq!(states, [&AlertState::Resolved { reason: ResolveReason::RuleChanged }], "logger-{device}");
    }
    // Those that were firing under the older set were notified, and are resolved once.
    assert_eq!(rows.outbox.len(), 16);
    assert_eq!(rows.contradictions, Vec::<String>::new());
}

#[test]
fn what_was_due_at_a_parent_that_lies_behind_happens_at_its_own_moment() {
    let memory = Memory::new();
    let mut world = World::new(&memory);
    world.split("s0", ["s1", "s2"], 0);
    let named = |range: HashRange| (0..).map(|n| format!("valve-{n}")).find(|name| range.takes(name)).unwrap();
    let (silent, busy) = (named(LOW), named(HIGH));
    let mut stream = Stream::default();
    for valve in [&silent, &busy] {
        stream.register(valve, "valve", "zone-a");
    }
    stream.reading(&silent, json!({ "position": 1.0 }), 0);
    for n in 0..=20 {
        stream.reading(&busy, json!({ "position": 1.0 }), n * MINUTE / 6);
    }
    stream.records.iter().enumerate().for_each(|(index, put)| world.put(index, put));
    world.drain();
    world.merge(["s1", "s2"], "s3", 40);
    stream.reading(&busy, json!({ "position": 1.0 }), 4 * MINUTE);
    world.put(40, stream.records.last().unwrap());
    world.drain();
    let rows = memory.rows();
    let of = |rule: &str| {
        let mut found = rows.alerts.values().filter(|row| row.subject() == silent && row.rule.as_str() == rule);
        found.next().map(|row| (row.shard.as_str(), row.ingested_at.0 - START_MS))
    };
    assert_eq!(of("valve-quiet"), Some(("s3", 30_001)));
    assert_eq!(of("valve-offline"), Some(("s3", MINUTE + 1)));
    assert_eq!(rows.contradictions, Vec::<String>::new());
}

#[test]
fn what_a_birth_publishes_goes_on_where_the_run_before_has_ended() {
    let memory = Memory::new();
    let mut world = World::new(&memory);
    world.split("s0", ["s1", "s2"], 0);
    let mut stream = Stream::default();
    let valves = PART_ROWS + 400;
    (0..valves).for_each(|n| stream.register(&format!("valve-{n}"), "valve", "zone-a"));
    (0..valves).for_each(|n| stream.reading(&format!("valve-{n}"), json!({ "position": 1.0 }), 0));
    let (silent, others): (Vec<_>, Vec<_>) = stream.records.into_iter().partition(|put| LOW.takes(&put.key));
    let silent = silent.into_iter().chain(others.iter().take(1).cloned());
    silent.enumerate().for_each(|(index, put)| world.put(index, &put));
    let mut late = Stream::default();
    let tick = |at: i64| json!({ "ff": 1, "k": "tick", "t": at }).to_string();
    let high = (0..).map(|n| format!("tick-{n}")).find(|key| HIGH.takes(key)).unwrap();
    late.put(&high, tick(START_MS + 10 * MINUTE), START_MS + 10 * MINUTE);
    late.put("any", tick(START_MS + 11 * MINUTE), START_MS + 11 * MINUTE);
    world.put(valves * 2, &late.records[0]);
    world.drain();
    world.merge(["s1", "s2"], "s3", valves * 2 + 1);
    world.put(valves * 2 + 1, &late.records[1]);
    let (.., waiting) = world.open[0].clone();
    let mut driver = world.driver();
    let mut asked = 0;
    memory.fail(move |operation, _| {
        asked += usize::from(operation == Operation::Publish);
        (asked == PART_ROWS + 7).then_some(Fault::Refused)
    });
    let outcome = world.deliver(&mut driver, "s3", &waiting, usize::MAX).unwrap();
    assert!(matches!(outcome.failure, Some(Failure::Unavailable { doing: "publishing", .. })));
    memory.heal();
    memory.take_operations();
    assert_eq!(world.deliver(&mut driver, "s3", &waiting, usize::MAX).unwrap().failure, None);
    let rows = memory.rows();
    let born = rows.alerts.values().filter(|row| row.shard == "s3").count();
    // A notice was sent for each of them.
    assert!(born > PART_ROWS);
    assert_eq!(memory.take_operations()["publish"] as usize, 2 * born - PART_ROWS);
}

#[test]
fn a_shard_that_the_stream_does_not_list_does_not_begin() {
    let memory = Memory::new();
    let world = World::new(&memory);
    let record = StoredRecord {
        sequence: sequence(0),
        partition_key: "any".into(),
        arrived_at: Timestamp(START_MS),
        data: b"{}".to_vec(),
    };
    let outcome = world.deliver(&mut world.driver(), "s9", &[record], usize::MAX).unwrap();
    assert!(matches!(outcome.failure, Some(Failure::Unavailable { .. })));
    assert!(memory.objects().is_empty());
}

#[test]
fn a_repaired_log_that_lacks_a_shard_does_not_begin_it_anew() {
    let stream = busy(16);
    let memory = Memory::new();
    let mut world = World::new(&memory);
    stream.records[..20].iter().enumerate().for_each(|(index, put)| world.put(index, put));
    let (.., waiting) = world.open[0].clone();
    world.drain();
    world.settings = Settings { repair: 2, checkpoint_every: Millis(1), ..world.settings };
    let outcome = world.deliver(&mut world.driver(), "s0", &waiting, usize::MAX).unwrap();
    assert!(matches!(&outcome.failure, Some(Failure::Chain { key, .. }) if key == "start/1/0/s0"));
}

#[test]
fn a_key_goes_to_the_shard_that_its_md5_names() {
    // MD5 of the empty string is d41d8cd98f00b204e9800998ecf8427e, of `a` 0cc175b9c0f1b6a831c399e269772661.
    let range = |first| HashRange { first, last: first };
    assert!(range(0xd41d_8cd9_8f00_b204_e980_0998_ecf8_427e).takes(""));
    assert!(range(0x0cc1_75b9_c0f1_b6a8_31c3_99e2_6977_2661).takes("a"));
    assert!(LOW.takes("a") && !HIGH.takes("a") && HIGH.takes(""));
}
