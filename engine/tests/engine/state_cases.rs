//! Stores that fail, hosts that die or come back late, chains that are inconsistent: nothing is lost, nothing is
//! duplicated, and nothing is overwritten.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use fleetform_engine::{
    drive::{DELTAS_PER_BASE, Failure},
    memory::{Fault, Memory, Operation, Rows},
};
use serde_json::json;

use crate::support::{Host, START_MS, Stream, sequence};

const MINUTE: i64 = 60_000;

/// Registrations, then 60 samples of each of five devices whose alerts fire and end, with some bad records.
fn busy() -> Stream {
    let mut stream = Stream::default();
    for device in 0..5 {
        stream.register(&format!("logger-{device}"), "pressure-logger", "zone-a");
    }
    for n in 0..60 {
        for device in 0..5 {
            let temperature = if (n + device) % 9 < 4 { 55.0 } else { 20.0 };
            let readings = json!({ "pressure": 50.0 + n as f64, "temperature": temperature });
            stream.reading(&format!("logger-{device}"), readings, n * MINUTE);
        }
        if n % 7 == 0 {
            stream.put("logger-0", "not a message", START_MS + n * MINUTE);
        }
    }
    stream
}

/// The rows of a run in which nothing goes wrong.
fn undisturbed(stream: &Stream) -> Rows {
    let memory = Memory::new();
    Host::new(&memory).deliver_all(stream);
    let rows = memory.rows();
    assert!(rows.outbox.len() > 20 && rows.quarantine.len() == 9, "the stream is worth the test");
    rows
}

/// Delivers a stream as the event source does: in batches, each again from its first failed record until it is done.
fn deliver_with_retries(host: &mut Host<'_>, stream: &Stream, batch: usize, mut before_try: impl FnMut(usize)) {
    let mut from = 0;
    let mut tries = 0;
    while from < stream.records.len() {
        let to = (from + batch).min(stream.records.len());
        before_try(tries);
        tries += 1;
        assert!(tries < 10_000, "no progress");
        let outcome = host.deliver(stream, from, to);
        from = match outcome.failed_from {
            None => to,
            Some(failed) => {
                (from..to).find(|index| sequence(*index) == failed).expect("it names a record of the batch")
            }
        };
    }
}

#[test]
fn case_33_stores_that_fail_for_a_while_lose_and_double_nothing() {
    let stream = busy();
    let expected = undisturbed(&stream);
    for fault in [Fault::Refused, Fault::Conflict, Fault::RequestLost, Fault::AnswerLost] {
        let memory = Memory::new();
        let mut host = Host::new(&memory);
        deliver_with_retries(&mut host, &stream, 40, |tries| match tries {
            // Unavailable for ten consecutive attempts: once only the state log, once everything.
            3 => memory.fail(move |operation, _| (operation == Operation::Create).then_some(fault)),
            20 => memory.fail(move |_, _| Some(fault)),
            13 | 30 => memory.heal(),
            _ => {}
        });
        assert_eq!(memory.rows(), expected, "{fault:?}");
    }
}

#[test]
fn case_33_faults_here_and_there_lose_and_double_nothing() {
    let stream = busy();
    let expected = undisturbed(&stream);
    for seed in 0..60_u64 {
        let memory = Memory::new();
        let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut next = move || {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random
        };
        memory.fail(move |_, _| match next() % 40 {
            0 => Some(Fault::Refused),
            1 => Some(Fault::Conflict),
            2 => Some(Fault::RequestLost),
            3 => Some(Fault::AnswerLost),
            _ => None,
        });
        deliver_with_retries(&mut Host::new(&memory), &stream, 1 + seed as usize, |_| {});
        assert_eq!(memory.rows(), expected, "seed {seed}");
    }
}

#[test]
fn a_run_dropped_at_any_point_loses_and_doubles_nothing() {
    let stream = busy();
    let expected = undisturbed(&stream);
    let (mut polls, half) = (1, stream.records.len() / 2);
    loop {
        let memory = Memory::new();
        let mut host = Host::new(&memory);
        host.deliver(&stream, 0, half);
        let ended = host.deliver_for(&stream, half, stream.records.len(), polls).is_some();
        // The same host continues, or another one does.
        if polls % 2 == 0 {
            host.deliver(&stream, half, stream.records.len());
        } else {
            Host::new(&memory).deliver(&stream, half, stream.records.len());
        }
        assert_eq!(memory.rows(), expected, "dropped after {polls} polls");
        if ended {
            assert!(polls > 20, "the second half publishes rows");
            return;
        }
        polls += 1;
    }
}

#[test]
fn batches_that_land_on_any_host_are_taken_once() {
    let stream = busy();
    let expected = undisturbed(&stream);
    let memory = Memory::new();
    let mut hosts: Vec<Host<'_>> = (0..3).map(|_| Host::new(&memory)).collect();
    for (turn, from) in (0..stream.records.len()).step_by(10).enumerate() {
        // A host that comes back after others have continued sees an older batch first.
        let to = (from + 10).min(stream.records.len());
        for host in [turn % 3, (turn * 7 + 1) % 3] {
            let outcome = hosts[host].deliver(&stream, from.saturating_sub(5), to);
            assert_eq!(outcome.failure, None);
        }
    }
    assert_eq!(memory.rows(), expected);
    assert_eq!(
        memory.objects().keys().filter(|key| key.starts_with("log/")).count(),
        stream.records.len().div_ceil(10)
    );
}

#[test]
fn a_steady_run_asks_the_log_for_one_create_and_nothing_else() {
    let stream = busy();
    let memory = Memory::new();
    let mut host = Host::new(&memory);
    host.deliver(&stream, 0, 11);
    memory.take_operations();
    // The next sample of a device that stays as hot as it was: no transition, no base due.
    host.deliver(&stream, 11, 12);
    assert_eq!(memory.take_operations().into_iter().collect::<Vec<_>>(), [("create", 1)]);
}

#[test]
fn case_34_a_corrupt_delta_or_base_fails_the_run_and_nothing_is_overwritten() {
    let stream = busy();
    let memory = Memory::new();
    let mut host = Host::new(&memory);
    for from in (0..40).step_by(10) {
        host.deliver(&stream, from, from + 10);
    }
    // One more, so that a delta follows the newest base.
    assert_eq!(host.deliver(&stream, 40, 42).counts.bases, 0);
    let sound = memory.objects();
    let newest_base = sound.keys().find(|key| key.starts_with("base/")).unwrap().clone();
    let newest_delta = sound.keys().rfind(|key| key.starts_with("log/") && !key.ends_with("start")).unwrap().clone();
    for key in [&newest_base, &newest_delta] {
        for damage in [
            |bytes: &mut Vec<u8>| bytes[40] ^= 1,
            |bytes: &mut Vec<u8>| *bytes.last_mut().unwrap() ^= 1,
            |bytes: &mut Vec<u8>| bytes.truncate(20),
            |bytes: &mut Vec<u8>| bytes.clear(),
        ] {
            let mut bytes = sound[key].clone();
            damage(&mut bytes);
            memory.overwrite(key, bytes);
            let before = memory.objects();
            let outcome = Host::new(&memory).deliver(&stream, 42, 50);
            let failure = outcome.failure.unwrap();
            assert!(matches!(&failure, Failure::Chain { key: at, .. } if at == key), "{failure}");
            assert!(!failure.is_transient());
            assert_eq!(outcome.failed_from, Some(sequence(42)));
            assert_eq!(memory.objects(), before);
            memory.overwrite(key, sound[key].clone());
        }
    }
    assert_eq!(Host::new(&memory).deliver(&stream, 42, 50).failure, None);
}

#[test]
fn case_34_a_delta_or_all_bases_gone_fail_the_run() {
    let stream = busy();
    let memory = Memory::new();
    let mut host = Host::new(&memory);
    for from in (0..8).step_by(2) {
        host.deliver(&stream, from, from + 2);
    }
    let objects = memory.objects();
    let second = objects.keys().filter(|key| key.starts_with("log/")).nth(1).unwrap();
    memory.remove(second);
    let failure = Host::new(&memory).deliver(&stream, 8, 10).failure.unwrap().to_string();
    assert!(failure.contains("no delta leads from 2 to it"), "{failure}");
    for key in objects.keys().filter(|key| key.starts_with("base/")) {
        memory.remove(key);
    }
    let failure = Host::new(&memory).deliver(&stream, 8, 10).failure.unwrap().to_string();
    assert!(failure.contains("no base of it is there"), "{failure}");
}

#[test]
fn case_35_a_delta_of_a_newer_version_fails_the_run_and_nothing_is_overwritten() {
    let stream = busy();
    let memory = Memory::new();
    Host::new(&memory).deliver(&stream, 0, 10);
    let key = memory.objects().into_keys().rfind(|key| key.starts_with("log/")).unwrap();
    let mut bytes = memory.objects()[&key].clone();
    bytes[4] = 2;
    memory.overwrite(&key, bytes);
    let before = memory.objects();
    let failure = Host::new(&memory).deliver(&stream, 10, 20).failure.unwrap();
    assert!(failure.to_string().contains("written by a newer version"), "{failure}");
    assert_eq!(memory.objects(), before);
}

#[test]
fn bases_are_written_after_enough_deltas_or_enough_time_and_lead_to_the_same_state() {
    let mut stream = Stream::default();
    stream.register("logger-0", "pressure-logger", "zone-a");
    for n in 0..200 {
        stream.reading("logger-0", json!({ "pressure": 65.0 }), n * 100);
    }
    let memory = Memory::new();
    let mut host = Host::new(&memory);
    for index in 0..=200 {
        host.deliver(&stream, index, index + 1);
    }
    let bases = memory.objects().keys().filter(|key| key.starts_with("base/")).count();
    assert_eq!(bases, 1 + 201 / DELTAS_PER_BASE as usize);
    memory.take_operations();
    for n in [1, 3] {
        stream.reading("logger-0", json!({ "pressure": 65.0 }), n * 2 * MINUTE);
    }
    // A new host reads the newest base and what follows it.
    assert_eq!(Host::new(&memory).deliver(&stream, 201, 202).counts.bases, 0);
    assert!(memory.take_operations()["get"] <= u64::from(DELTAS_PER_BASE) + 1);
    assert_eq!(host.deliver(&stream, 201, 203).counts.bases, 1);
}

#[test]
fn a_base_of_a_large_state_waits_until_deltas_weigh_as_much() {
    let mut stream = Stream::default();
    for device in 0..1_500 {
        stream.register(&format!("logger-{device}"), "pressure-logger", "zone-a");
    }
    for n in 0..500 {
        stream.reading("logger-0", json!({ "pressure": 65.0 }), n * 100);
    }
    let memory = Memory::new();
    let mut host = Host::new(&memory);
    host.deliver(&stream, 0, 1_500);
    let written: Vec<usize> =
        (1..=500).filter(|n| host.deliver(&stream, 1_499 + n, 1_500 + n).counts.bases == 1).collect();
    // The first base follows an empty one, which any delta outweighs.
    assert_eq!(written[0], DELTAS_PER_BASE as usize - 1);
    let bytes = |prefix: &str| {
        let objects = memory.objects();
        objects.iter().filter(|(key, _)| key.starts_with(prefix)).map(|(_, bytes)| bytes.len()).collect::<Vec<_>>()
    };
    let (deltas, bases) = (bytes("log/"), bytes("base/"));
    // Deltas are listed in ascending order and bases in descending order.
    let (base, apart) = (bases[bases.len() - 2], written[1] - written[0]);
    assert!(apart > 2 * DELTAS_PER_BASE as usize, "{apart} deltas of {base} bytes");
    let followed = &deltas[1 + written[0]..][..apart];
    assert!(followed.iter().sum::<usize>() >= base && followed[..apart - 1].iter().sum::<usize>() < base);
}

#[test]
fn time_running_out_ends_a_run_between_two_records() {
    let stream = busy();
    let expected = undisturbed(&stream);
    let memory = Memory::new();
    let mut host = Host::new(&memory);
    // Every reading of the clock costs a second: each run takes a few records and returns where it stopped.
    let mut from = 0;
    let mut runs = 0;
    while from < stream.records.len() {
        let looks = AtomicU64::new(0);
        let remaining = || Duration::from_secs(8_u64.saturating_sub(looks.fetch_add(1, Ordering::Relaxed)));
        let outcome = host
            .deliver_with(&stream, from, stream.records.len(), usize::MAX, START_MS, &remaining)
            .expect("a run without a limit of polls ends");
        runs += 1;
        match outcome.failed_from {
            None => break,
            Some(failed) => {
                assert_eq!(outcome.failure, Some(Failure::Deadline));
                let next = (0..stream.records.len()).find(|index| sequence(*index) == failed).unwrap();
                assert!(next > from, "no progress from {from}");
                from = next;
            }
        }
    }
    assert!(runs > 5);
    assert_eq!(memory.rows(), expected);
}

#[test]
fn no_time_at_all_does_nothing() {
    let stream = busy();
    let memory = Memory::new();
    let outcome = Host::new(&memory)
        .deliver_with(&stream, 0, 5, usize::MAX, START_MS, &|| Duration::from_secs(2))
        .expect("a run without a limit of polls ends");
    assert_eq!((outcome.failed_from, outcome.failure), (Some(sequence(0)), Some(Failure::Deadline)));
    assert!(memory.objects().is_empty());
}

#[test]
fn large_batches_are_cut_into_several_deltas() {
    let mut stream = Stream::default();
    stream.register("logger-0", "pressure-logger", "zone-a");
    // Sixty bad records of 250 KB add up to 20 MB of quarantine.
    for n in 0..60 {
        stream.put("logger-0", "x".repeat(250_000), START_MS + n);
    }
    let memory = Memory::new();
    let outcome = Host::new(&memory).deliver_all(&stream);
    assert_eq!(memory.rows().quarantine.len(), 60);
    assert_eq!(outcome.counts.deltas, 3);
    assert!(memory.objects().values().all(|bytes| bytes.len() < 9 * 1024 * 1024));
}

/// More devices than a part of the effects has rows, all of which fall silent in one record.
fn silent() -> Stream {
    let mut stream = Stream::default();
    for valve in 0..1_300 {
        let valve = format!("valve-{valve:04}");
        stream.register(&valve, "valve", "zone-a");
        stream.reading(&valve, json!({ "position": 1 }), 0);
    }
    stream.wrap("tick", "valve-0000", json!({}), START_MS + 31_000);
    stream
}

/// Rows that were put by a run that publishes until its time is up or a put fails, and by a second one `later_ms`
/// milliseconds later.
fn published_in_two_runs(fault: Option<Fault>, later_ms: i64) -> (Failure, u64, u64) {
    let stream = silent();
    let (memory, puts) = (Memory::new(), Arc::new(AtomicU64::new(0)));
    let mut host = Host::new(&memory);
    let tick = stream.records.len() - 1;
    assert_eq!(host.deliver(&stream, 0, tick).failure, None);
    let counted = Arc::clone(&puts);
    memory.fail(move |operation, _| {
        let put = operation == Operation::Publish && counted.fetch_add(1, Ordering::Relaxed) == 1_499;
        fault.filter(|_| put)
    });
    let remaining = || Duration::from_secs(if puts.load(Ordering::Relaxed) < 1_499 { 60 } else { 1 });
    let deadline = START_MS + 60_000;
    let stopped = host.deliver_with(&stream, tick, tick + 1, usize::MAX, deadline, &remaining).unwrap();
    let first = puts.swap(0, Ordering::Relaxed);
    memory.heal();
    memory.take_operations();
    let remaining = || Duration::from_secs(60);
    let done = host.deliver_with(&stream, tick, tick + 1, usize::MAX, deadline + later_ms, &remaining).unwrap();
    assert_eq!(done.failure, None);
    let rows = memory.rows();
    assert_eq!((rows.outbox.len(), rows.alerts.len(), rows.contradictions.len()), (1_300, 1_300, 0));
    (stopped.failure.expect("it had not the time"), first, memory.take_operations()["publish"])
}

#[test]
fn more_effects_than_a_run_has_time_for_go_on_where_they_stopped() {
    // The second time, the cached shard is too old to be used, and is read again.
    for later_ms in [1, 601_000] {
        let (failure, first, second) = published_in_two_runs(None, later_ms);
        assert_eq!((failure, first, second), (Failure::Deadline, 2_000, 600));
    }
}

#[test]
fn a_put_that_fails_repeats_its_own_part_of_the_effects_only() {
    let (failure, first, second) = published_in_two_runs(Some(Fault::Refused), 1);
    assert!(matches!(failure, Failure::Unavailable { doing: "publishing", .. }), "{failure:?}");
    assert_eq!((first, second), (1_500, 1_600));
}
