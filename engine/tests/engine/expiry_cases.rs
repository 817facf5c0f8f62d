//! Old objects are deleted, and the chain remains readable.

use fleetform_engine::{
    drive::{self, CHAIN_AGE_MAX, Chain, Expired},
    memory::{self, Fault, Memory, Operation},
    units::{Millis, Timestamp},
};
use serde_json::json;

use crate::support::{Host, SHARD, START_MS, Stream};

const DAY: i64 = 86_400_000;

fn stream(records: i64) -> Stream {
    let mut stream = Stream::default();
    stream.register("logger-0", "pressure-logger", "zone-a");
    for n in 0..records {
        let temperature = if n % 7 < 3 { 55.0 } else { 20.0 };
        stream.reading("logger-0", json!({ "pressure": 50.0, "temperature": temperature }), n * 30_000);
    }
    stream
}

/// One delta an hour, so that a base is due every few of them.
fn hourly(memory: &Memory, stream: &Stream, from: usize, to: usize) {
    let mut host = Host::new(memory);
    for index in from..to {
        memory.set_time(Timestamp(START_MS + index as i64 * 3_600_000));
        assert_eq!(host.deliver(stream, index, index + 1).failure, None);
    }
}

fn chain() -> Chain {
    Chain { generation: 1, repair: 0, shard: SHARD.into() }
}

fn expire(memory: &Memory, now: i64) -> Expired {
    memory::run(drive::expire(memory, &chain(), Timestamp(now))).unwrap()
}

fn count(memory: &Memory, kind: &str) -> usize {
    memory.objects().keys().filter(|key| key.starts_with(kind)).count()
}

#[test]
fn what_is_old_goes_and_the_chain_goes_on() {
    let stream = stream(400);
    let expected = Memory::new();
    Host::new(&expected).deliver_all(&stream);
    let memory = Memory::new();
    hourly(&memory, &stream, 0, 300);
    let (deltas, bases) = (count(&memory, "log/"), count(&memory, "base/"));
    assert!(bases > 20, "{bases}");
    let expired = expire(&memory, START_MS + 7 * DAY);
    assert_eq!((expired.deltas, expired.bases), (0, 0));
    assert_eq!((count(&memory, "log/"), count(&memory, "base/")), (deltas, bases));

    // 300 hours after the start, objects written in the first 132 are older than seven days.
    let now = START_MS + 300 * 3_600_000;
    let expired = expire(&memory, now);
    assert_eq!(expired.deltas, 132);
    assert_eq!(count(&memory, "log/"), deltas - 132);
    assert_eq!(count(&memory, "base/"), bases - expired.bases);
    assert!(expired.bases > 10 && expire(&memory, now).deltas == 0);
    // Every remaining base still has the deltas that follow it, so that a repair may start at any of them.
    hourly(&memory, &stream, 300, stream.records.len());
    assert_eq!(memory.rows(), expected.rows());
}

#[test]
fn the_newest_base_and_what_follows_it_stay_for_ever() {
    let stream = stream(100);
    let expected = Memory::new();
    Host::new(&expected).deliver_all(&stream);
    for stop in [1, 2, 50, 77] {
        let memory = Memory::new();
        hourly(&memory, &stream, 0, stop);
        for _ in 0..3 {
            expire(&memory, START_MS + 1_000 * DAY);
        }
        assert_eq!((count(&memory, "base/"), count(&memory, "start/")), (1, 1));
        hourly(&memory, &stream, stop, stream.records.len());
        assert_eq!(memory.rows(), expected.rows(), "stopped at {stop}");
    }
}

#[test]
fn a_base_that_is_behind_is_a_number() {
    let stream = stream(60);
    let memory = Memory::new();
    // No base can be written after the first.
    memory.fail(|operation, key| {
        (operation == Operation::Create && key.starts_with("base/") && !key.ends_with("start"))
            .then_some(Fault::Refused)
    });
    hourly(&memory, &stream, 0, 60);
    assert_eq!(expire(&memory, START_MS).base_behind, Millis(59 * 3_600_000));
    assert!(CHAIN_AGE_MAX > drive::BASE_BEHIND_MAX);
    // What follows the base also stays, however old it is.
    assert_eq!(expire(&memory, START_MS + 1_000 * DAY).deltas, 0);
}

#[test]
fn a_store_that_fails_ends_it_and_a_shard_that_never_was_has_nothing_to_clear() {
    let memory = Memory::new();
    assert_eq!(expire(&memory, START_MS + 1_000 * DAY), Expired::default());
    hourly(&memory, &stream(100), 0, 100);
    memory.fail(|operation, _| (operation == Operation::Delete).then_some(Fault::Refused));
    let before = memory.objects();
    assert!(memory::run(drive::expire(&memory, &chain(), Timestamp(START_MS + 1_000 * DAY))).is_err());
    assert_eq!(memory.objects(), before);
}
