//! A stream that replaces another: the rows are those of one stream that was never replaced.

use std::{pin::pin, time::Duration};

use fleetform_engine::{
    drive::{Batch, Chain, Driver, Invocation, Outcome, Ports, StoredRecord, chains},
    effect::{Alert, AlertState, ResolveReason},
    memory::{self, Fault, Memory, Operation, Rows},
    reshard::HashRange,
    units::Timestamp,
};
use serde_json::json;

use crate::{
    shards::{HIGH, LOW, MINUTE, World, busy, seals, undisturbed, without_shards},
    support::{Put, START_MS, Stream, sequence},
};

/// Two shards, the first with the same name as that of the old stream.
const TWO: [(&str, HashRange); 2] = [("s0", LOW), ("s9", HIGH)];
const ONE: [(&str, HashRange); 1] = [("s0", HashRange::ALL)];

fn chain(generation: u32, shard: &str) -> Chain {
    Chain { generation, repair: 0, shard: shard.into() }
}

#[test]
fn a_stream_in_anothers_place_leaves_the_rows_of_one() {
    let stream = busy(16);
    let expected = undisturbed(&stream);
    for by in [TWO.as_slice(), ONE.as_slice()] {
        // If a shard was split just before, one child may not have started: its devices are in the parent's chain
        // alone.
        for (split, replaced, begun) in [(3, 4, 2), (3, 50, 3), (50, 51, 2), (usize::MAX, 90, 1)] {
            let memory = Memory::new();
            let mut world = World::new(&memory);
            for (index, put) in stream.records.iter().enumerate() {
                if index == split {
                    world.drain();
                    world.split("s0", ["s1", "s2"], index);
                }
                if index == replaced {
                    world.drain();
                    world.replace(by, 0);
                }
                world.put(index, put);
            }
            world.drain();
            assert_eq!(without_shards(&memory), expected, "split at {split}, replaced at {replaced}");
            let old = memory::run(chains(&memory)).unwrap();
            let old: Vec<_> = old.into_iter().filter(|chain| chain.generation == 1).map(|it| it.shard).collect();
            assert_eq!(seals(&memory), old, "every chain of the old stream ends in a seal");
            assert_eq!(old.len(), begun);
        }
    }
}

#[test]
fn it_can_be_replaced_again_and_resharded_in_between() {
    let stream = busy(16);
    let expected = undisturbed(&stream);
    let memory = Memory::new();
    let mut world = World::new(&memory);
    for (index, put) in stream.records.iter().enumerate() {
        match index {
            30 | 60 | 90 => world.drain(),
            _ => {}
        }
        match index {
            30 => world.replace(&TWO, 0),
            60 => world.merge(["s0", "s9"], "s10", index),
            90 => world.replace(&TWO, 0),
            _ => {}
        }
        world.put(index, put);
    }
    world.drain();
    assert_eq!(without_shards(&memory), expected);
    let mut begun = memory::run(chains(&memory)).unwrap();
    begun.retain(|chain| chain.generation > 1);
    let expected = [chain(2, "s0"), chain(2, "s10"), chain(2, "s9"), chain(3, "s0"), chain(3, "s9")];
    assert_eq!(begun, expected);
}

#[test]
fn what_a_dead_host_had_not_published_of_the_old_stream_is_published() {
    let stream = busy(16);
    let expected = undisturbed(&stream);
    let memory = Memory::new();
    let mut world = World::new(&memory);
    let mut host = world.driver();
    let mut lost = 0;
    for (index, put) in stream.records.iter().enumerate() {
        if index == 60 || index == 90 {
            if index == 90 {
                memory.fail(|operation, _| (operation == Operation::Publish).then_some(Fault::Refused));
            }
            let waiting = std::mem::take(&mut world.open[0].2);
            let outcome = world.deliver(&mut host, "s0", &waiting, usize::MAX).unwrap();
            assert_eq!(outcome.failure.is_some(), index == 90);
        }
        if index == 90 {
            // The last delta of the old stream exists, but not all of its rows.
            memory.heal();
            lost = expected.outbox.len() - memory.rows().outbox.len();
            world.replace(&TWO, 0);
        }
        world.put(index, put);
    }
    world.drain();
    assert!(lost > 0, "there was something to publish");
    assert_eq!(without_shards(&memory), expected);
}

#[test]
fn who_still_holds_the_old_streams_state_writes_nothing() {
    let stream = busy(16);
    let memory = Memory::new();
    let mut world = World::new(&memory);
    stream.records[..50].iter().enumerate().for_each(|(index, put)| world.put(index, put));
    let (.., taken) = world.open[0].clone();
    let mut zombie = world.driver();
    world.deliver(&mut zombie, "s0", &taken, usize::MAX).unwrap();
    world.replace(&ONE, 0);
    world.put(1, &stream.records[50]);
    world.drain();
    let before = memory.objects();
    let late = StoredRecord { sequence: sequence(50), ..taken[49].clone() };
    let outcome = world.deliver(&mut zombie, "s0", &[late], usize::MAX).unwrap();
    assert_eq!((outcome.failure, outcome.counts.records), (None, 1));
    assert_eq!(memory.objects(), before);
    assert_eq!(memory.rows().quarantine.values().map(|row| row.reason.as_str()).collect::<Vec<_>>(), ["after_seal"]);
}

#[test]
fn a_shard_that_dies_at_any_point_of_its_beginning_loses_and_doubles_nothing() {
    let stream = busy(8);
    let expected = undisturbed(&stream);
    let mut polls = 1;
    loop {
        let memory = Memory::new();
        let mut world = World::new(&memory);
        let mut ended = false;
        for (index, put) in stream.records.iter().enumerate() {
            if index == 20 {
                world.drain();
                world.split("s0", ["s1", "s2"], index);
            }
            if index == 40 {
                world.drain();
                world.replace(&TWO, 0);
            }
            world.put(index, put);
            if index == 47 {
                let (shard, _, waiting) = world.open.iter().find(|(.., waiting)| !waiting.is_empty()).unwrap().clone();
                ended = world.deliver(&mut world.driver(), shard, &waiting, polls).is_some();
            }
        }
        world.drain();
        assert_eq!(without_shards(&memory), expected, "dropped after {polls} polls");
        if ended {
            assert!(polls > 30, "a beginning after three chains takes {polls} polls");
            return;
        }
        polls += 1;
    }
}

#[test]
fn an_alert_that_began_on_the_old_stream_ends_in_its_own_row() {
    let memory = Memory::new();
    let mut stream = Stream::default();
    stream.register("logger-0", "pressure-logger", "zone-a");
    stream.reading("logger-0", json!({ "pressure": 50.0, "temperature": 55.0 }), 0);
    let mut world = World::new(&memory);
    stream.records.iter().enumerate().for_each(|(index, put)| world.put(index + 500, put));
    world.drain();
    assert!(matches!(memory.rows().alerts.values().next().unwrap().state, AlertState::Firing));
    world.replace(&ONE, 0);
    let mut retired = Stream::default();
    let fields = json!({ "rev": 9, "type": "pressure-logger", "zone": "zone-a", "retired": true });
    retired.registration("logger-0", fields, START_MS + 1);
    world.put(1, &retired.records[0]);
    world.drain();
    let rows = memory.rows();
    let states: Vec<_> = rows.alerts.values().map(|alert| (alert.generation, alert.state.clone())).collect();
    assert_eq!(states, [(2, AlertState::Resolved { reason: ResolveReason::DeviceRetired })]);
}

#[test]
fn a_chain_that_begins_while_the_stream_is_replaced_is_sealed_or_goes_no_further() {
    let stream = busy(8);
    let late = |index: usize, put: &Put| (20..40).contains(&index) && LOW.takes(&put.key);
    let rows = |taken: bool| {
        let records = stream.records.iter().enumerate().filter(|(index, put)| taken || !late(*index, put));
        told(&undisturbed(&Stream { records: records.map(|(_, put)| put.clone()).collect() }))
    };
    let (taken, left_out) = (rows(true), rows(false));
    assert_ne!(taken, left_out);
    let mut refused = 0;
    for polls in 1.. {
        let memory = Memory::new();
        let mut world = World::new(&memory);
        let mut old = world.driver();
        let mut waiting = Vec::new();
        for (index, put) in stream.records.iter().take(40).enumerate() {
            if index == 20 {
                world.drain();
                world.split("s0", ["s1", "s2"], index);
            }
            world.put(index, put);
        }
        // No record of one child is delivered before the stream is replaced, and its first batch is in progress then.
        world.open.iter_mut().filter(|(shard, ..)| *shard == "s1").for_each(|open| waiting.append(&mut open.2));
        world.drain();
        let (outcome, ended_before) = deliver_beside(&memory, &mut old, ("s1", &waiting), polls, || {
            world.replace(&TWO, 0);
            stream.records.iter().enumerate().skip(40).for_each(|(index, put)| world.put(index, put));
            world.drain();
        });
        let found = told(&memory.rows());
        assert!(found == taken || found == left_out, "the stream was replaced after {polls} polls");
        if ended_before {
            assert!(refused > 4, "{refused}");
            return;
        }
        refused += usize::from(outcome.failure.is_some());
    }
}

/// Who was notified of what. The names of episodes that time alone starts are specific to a shard.
fn told(rows: &Rows) -> Vec<String> {
    let alert = |of: &Alert| format!("{} {:?} since {} at {} {:?}", of.rule, of.device, of.since.0, of.at.0, of.state);
    let notices = rows.outbox.values().map(|notice| format!("{} {:?}", alert(&notice.alert), notice.kind));
    let mut told: Vec<String> = notices.chain(rows.alerts.values().map(alert)).collect();
    told.sort();
    told
}

/// Delivers to a host that has made this many polls when something else happens, and then continues. Returns whether
/// it had already finished.
fn deliver_beside(
    memory: &Memory,
    host: &mut Driver,
    (shard, records): (&str, &[StoredRecord]),
    polls: usize,
    meanwhile: impl FnOnce(),
) -> (Outcome, bool) {
    let remaining = || Duration::from_secs(60);
    let invocation = Invocation { deadline: Timestamp(START_MS + MINUTE), remaining: &remaining, seed: [7; 16] };
    let ports = Ports { log: memory, publisher: memory, rule_sets: memory, shards: memory, crumbs: memory };
    let batch = Batch { shard, records: records.iter().map(StoredRecord::borrowed).collect() };
    let mut run = pin!(host.process(&ports, &batch, &invocation));
    let ended = memory::run_for(run.as_mut(), polls);
    meanwhile();
    match ended {
        Some(outcome) => (outcome, true),
        None => (memory::run(run), false),
    }
}
