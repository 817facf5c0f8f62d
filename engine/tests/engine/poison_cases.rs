//! Records on which the engine panics, and records that bring down the whole process: they are set aside, and
//! everything else comes out as if they had never existed.

use std::{
    cell::Cell,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use fleetform_engine::{
    compiled::Compiled,
    drive::{BATCH_TRIES, Batch, Crumb, Crumbs, Driver, Failure, Invocation, Outcome, Ports, StreamRecord},
    memory::{self, Fault, Memory, Rows},
    state::ShardState,
    step::{self, Run, Stepped},
    units::Timestamp,
};
use serde_json::json;

use crate::support::{EXAMPLE, Host, SHARD, START_MS, Stream, sequence, settings};

const POISON: &[u8] = b"{\"ff\":1,\"k\":\"poison\"}";

/// Ten samples of each of three devices, with a poisonous record after every `every` others.
fn poisoned(every: usize) -> (Stream, Vec<usize>) {
    let mut stream = Stream::default();
    let mut poison = Vec::new();
    let mut put = |stream: &mut Stream| {
        if (stream.records.len() + 1).is_multiple_of(every) {
            poison.push(stream.records.len());
            stream.put("logger-0", POISON, START_MS);
        }
    };
    for device in 0..3 {
        stream.register(&format!("logger-{device}"), "pressure-logger", "zone-a");
        put(&mut stream);
    }
    for n in 0..10 {
        for device in 0..3 {
            let temperature = if (n + device) % 5 < 2 { 55.0 } else { 20.0 };
            let readings = json!({ "pressure": 50.0 + n as f64, "temperature": temperature });
            stream.reading(&format!("logger-{device}"), readings, n * 60_000);
            put(&mut stream);
        }
    }
    (stream, poison)
}

/// The rows of a stream whose poisonous records are quarantined for `reason`.
fn expected(stream: &Stream, reason: &str) -> Rows {
    let memory = Memory::new();
    Host::new(&memory).deliver_all(stream);
    let mut rows = memory.rows();
    let poison = rows.quarantine.values_mut();
    poison.for_each(|row| row.reason = reason.into());
    rows
}

fn details_left_out(mut rows: Rows) -> Rows {
    rows.quarantine.values_mut().for_each(|row| row.detail = "".into());
    rows
}

fn panics(rules: &Arc<Compiled>, state: &mut ShardState, record: &StreamRecord<'_>, run: &mut Run) -> Stepped {
    if record.data == POISON {
        // Half of the work is done before it fails.
        let half = StreamRecord { data: b"{}", ..*record };
        step::step(rules, state, &half, run);
        std::panic::resume_unwind(Box::new("poison"));
    }
    step::step(rules, state, record, run)
}

#[test]
fn a_record_that_the_engine_fails_on_is_set_aside_and_changes_nothing() {
    for every in [2, 7] {
        let (stream, poison) = poisoned(every);
        assert!(!poison.is_empty());
        let expected = details_left_out(expected(&stream, "panic"));
        for batch in [1, 5, stream.records.len()] {
            let memory = Memory::new();
            let mut driver = Driver::with_step(settings(&memory), panics);
            let mut quarantined = 0;
            for from in (0..stream.records.len()).step_by(batch) {
                let to = (from + batch).min(stream.records.len());
                let outcome = deliver(&mut driver, &memory, &memory, &stream, from, to);
                assert_eq!(outcome.failure, None);
                quarantined += outcome.counts.quarantined.values().sum::<u64>();
            }
            assert_eq!(quarantined, poison.len() as u64);
            assert_eq!(details_left_out(memory.rows()), expected, "every {every}, batches of {batch}");
        }
    }
}

#[test]
fn a_rule_set_record_before_a_panic_is_adopted_once() {
    let memory = Memory::new();
    let mut set: serde_json::Value = serde_json::from_slice(EXAMPLE).unwrap();
    set["rules"]["very-hot"]["condition"]["threshold"] = json!(52.0);
    let newer = memory.add_rule_set(&serde_json::to_vec(&set).unwrap());
    let mut stream = Stream::default();
    stream.register("logger-0", "pressure-logger", "zone-a");
    stream.reading("logger-0", json!({ "pressure": 50.0, "temperature": 55.0 }), 0);
    stream.rules(1, &newer, START_MS);
    stream.put("logger-0", POISON, START_MS);
    let mut driver = Driver::with_step(settings(&memory), panics);
    let outcome = deliver(&mut driver, &memory, &memory, &stream, 0, 4);
    assert_eq!((outcome.failure, outcome.counts.rule_sets, outcome.counts.resolved), (None, 1, 1));
    assert_eq!(memory.rows().outbox.len(), 2);
}

thread_local! {
    static DEAD: Cell<bool> = const { Cell::new(false) };
}

fn dies(rules: &Arc<Compiled>, state: &mut ShardState, record: &StreamRecord<'_>, run: &mut Run) -> Stepped {
    if record.data == POISON {
        DEAD.set(true);
    }
    step::step(rules, state, record, run)
}

/// Crumbs of a process that may be dead: then it leaves none.
#[derive(Debug)]
struct Mortal<'a>(&'a Memory);

impl Crumbs for Mortal<'_> {
    fn find(&self, shard: &str) -> Option<Crumb> {
        self.0.find(shard)
    }

    fn leave(&self, shard: &str, crumb: Option<Crumb>) {
        if !DEAD.get() {
            self.0.leave(shard, crumb);
        }
    }
}

fn deliver(
    driver: &mut Driver,
    memory: &Memory,
    crumbs: &dyn Crumbs,
    stream: &Stream,
    from: usize,
    to: usize,
) -> Outcome {
    thread_local!(static RUNS: Cell<u64> = const { Cell::new(0) });
    RUNS.set(RUNS.get() + 1);
    let mut seed = [0; 16];
    seed[..8].copy_from_slice(&RUNS.get().to_le_bytes());
    let remaining = || Duration::from_secs(60);
    let invocation = Invocation { deadline: Timestamp(START_MS + 60_000), remaining: &remaining, seed };
    let ports = Ports { log: memory, publisher: memory, rule_sets: memory, shards: memory, crumbs };
    let batch = Batch { shard: SHARD, records: stream.records(from, to) };
    memory::run(driver.process(&ports, &batch, &invocation))
}

/// Delivers `from..to` to new processes until one of them survives. Returns how many died before.
fn until_it_lives(memory: &Memory, stream: &Stream, from: usize, to: usize) -> u32 {
    for deaths in 0.. {
        assert!(deaths < 100, "no end of it: {from} {to} {:?}", memory.find(SHARD));
        DEAD.set(false);
        // Requests of a dead process never reach a store.
        memory.fail(|_, _| DEAD.get().then_some(Fault::Refused));
        let mut driver = Driver::with_step(settings(memory), dies);
        let outcome = deliver(&mut driver, memory, &Mortal(memory), stream, from, to);
        if !DEAD.get() {
            assert_eq!(outcome.failure, None);
            return deaths;
        }
    }
    unreachable!("the loop has no end")
}

#[test]
fn a_record_that_ends_the_process_is_found_and_set_aside() {
    for every in [3, 16] {
        let (stream, poison) = poisoned(every);
        let expected = details_left_out(expected(&stream, "killer"));
        for batch in [1, 10, stream.records.len()] {
            let memory = Memory::new();
            for from in (0..stream.records.len()).step_by(batch) {
                let to = (from + batch).min(stream.records.len());
                let killers = poison.iter().filter(|index| (from..to).contains(*index)).count() as u32;
                // Two attempts at the whole batch; from the third on, one death for each killer.
                let deaths = if killers == 0 { 0 } else { BATCH_TRIES - 1 + killers };
                assert_eq!(until_it_lives(&memory, &stream, from, to), deaths);
                assert_eq!(memory.find(SHARD), None);
            }
            assert_eq!(details_left_out(memory.rows()), expected, "every {every}, batches of {batch}");
        }
    }
}

#[test]
fn a_killer_stays_known_while_it_cannot_be_set_aside() {
    let (stream, poison) = poisoned(15);
    let memory = Memory::new();
    let to = poison[0] + 5;
    let crumb = Crumb { first: sequence(0), tries: 3, alone: Some(sequence(poison[0])) };
    memory.leave(SHARD, Some(crumb));
    let mut host = Host::new(&memory);
    // The stores fail; then only half of the batch arrives, without the killer.
    memory.fail(|_, _| Some(Fault::Refused));
    assert!(matches!(host.deliver(&stream, 0, to).failure, Some(Failure::Unavailable { .. })));
    memory.heal();
    assert_eq!(memory.find(SHARD).and_then(|crumb| crumb.alone), crumb.alone);
    assert_eq!(host.deliver(&stream, 0, 4).failure, None);
    assert_eq!(memory.find(SHARD).and_then(|crumb| crumb.alone), crumb.alone);
    assert_eq!(host.deliver(&stream, 4, to).failure, None);
    assert_eq!(memory.find(SHARD), None);
    assert_eq!(memory.rows().quarantine.values().map(|row| row.reason.as_str()).collect::<Vec<_>>(), ["killer"]);
}

#[test]
fn a_deadline_at_any_look_at_the_clock_ends_the_run_between_two_records() {
    let (stream, _) = poisoned(1_000);
    let expected = expected(&stream, "");
    let mut looks_allowed = 1;
    loop {
        let memory = Memory::new();
        let mut host = Host::new(&memory);
        let looks = AtomicU64::new(0);
        let remaining = || {
            let over = looks.fetch_add(1, Ordering::Relaxed) >= looks_allowed;
            Duration::from_secs(if over { 2 } else { 60 })
        };
        let outcome = host.deliver_with(&stream, 0, stream.records.len(), usize::MAX, START_MS, &remaining).unwrap();
        let Some(failed) = outcome.failed_from else {
            assert!(looks_allowed > 5);
            return;
        };
        assert_eq!(outcome.failure, Some(Failure::Deadline));
        let next = (0..stream.records.len()).find(|index| sequence(*index) == failed).unwrap();
        assert_eq!(outcome.counts.records, next as u64);
        assert_eq!(host.deliver(&stream, next, stream.records.len()).failure, None);
        assert_eq!(memory.rows(), expected, "after {looks_allowed} looks");
        looks_allowed += 1;
    }
}
