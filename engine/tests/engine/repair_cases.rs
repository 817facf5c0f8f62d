//! Cases 34 and 35: a chain that cannot be read is reported, and written again under another number, from its intact
//! part and from the stream. Nothing is ever overwritten.

use fleetform_engine::{
    drive::{self, Lineage, Repair, RepairError, Repaired, Settings, StoredRecord, Survey},
    memory::{self, Fault, Memory, Operation},
    position::Position,
    reshard::HashRange,
    units::Timestamp,
};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::support::{EXAMPLE, Host, SHARD, START_MS, Stream, sequence, settings};

/// Registrations, then 30 samples of each of three devices, with some bad records and the announcement of a rule set.
fn busy(memory: &Memory) -> Stream {
    let mut set: serde_json::Value = serde_json::from_slice(EXAMPLE).unwrap();
    set["rules"]["very-hot"]["condition"]["threshold"] = json!(52.0);
    let newer = memory.add_rule_set(&serde_json::to_vec(&set).unwrap());
    let mut stream = Stream::default();
    for device in 0..3 {
        stream.register(&format!("logger-{device}"), "pressure-logger", "zone-a");
    }
    for n in 0..30 {
        for device in 0..3 {
            let temperature = if (n + device) % 7 < 3 { 55.0 } else { 20.0 };
            let readings = json!({ "pressure": 50.0 + n as f64, "temperature": temperature });
            stream.reading(&format!("logger-{device}"), readings, n * 60_000);
        }
        if n == 12 {
            stream.rules(1, &newer, START_MS + n * 60_000);
        }
        if n % 10 == 0 {
            stream.put("logger-0", "not a message", START_MS + n * 60_000);
        }
    }
    keep(memory, &stream);
    stream
}

/// Stores the records as those of the shard.
fn keep(memory: &Memory, stream: &Stream) {
    memory.add_shard(SHARD, Lineage { range: HashRange::ALL, parents: Vec::new(), first: sequence(0) });
    for (index, put) in stream.records.iter().enumerate() {
        let record = StoredRecord {
            sequence: sequence(index),
            partition_key: put.key.clone(),
            arrived_at: Timestamp(put.arrived_at),
            data: put.data.clone(),
        };
        memory.put_record(SHARD, record);
    }
}

/// Delivers `from..to`, five records at a time, to a new host.
fn deliver(memory: &Memory, settings: &Settings, stream: &Stream, from: usize, to: usize) {
    let mut host = Host::with(memory, settings.clone());
    for from in (from..to).step_by(5) {
        let outcome = host.deliver(stream, from, (from + 5).min(to));
        assert_eq!(outcome.failure, None);
    }
}

fn look(memory: &Memory, settings: &Settings) -> Survey {
    memory::run(drive::survey(memory, memory, settings, SHARD)).unwrap()
}

fn plan() -> Repair {
    Repair { number: 1, accept_loss: false, dry_run: false, now: Timestamp(START_MS + 3_600_000), seed: [7; 16] }
}

fn repair(memory: &Memory, settings: &Settings, plan: Repair) -> Result<Repaired, RepairError> {
    memory::run(drive::repair((memory, memory, memory), settings, SHARD, &plan))
}

fn delta(index: usize) -> String {
    match index {
        0 => format!("log/1/0/{SHARD}/-start"),
        _ => format!("log/1/0/{SHARD}/{}", sequence(index - 1).padded()),
    }
}

fn spoil(memory: &Memory, key: &str) {
    let mut bytes = memory.objects()[key].clone();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    memory.overwrite(key, bytes);
}

const EFFECTS: &[u8] = b"{\"alerts\":";

/// Where a delta's effects start, if it has any.
fn effects(bytes: &[u8]) -> Option<usize> {
    bytes.windows(EFFECTS.len()).position(|window| window == EFFECTS)
}

fn with_effects(memory: &Memory) -> Vec<String> {
    let written = memory.objects().into_iter().filter(|(_, bytes)| effects(bytes).is_some());
    written.map(|(key, _)| key).filter(|key| key.starts_with("log/")).collect()
}

/// Rewrites the effects as if by a version that has other kinds: intact by its checksum, but unreadable here.
fn garble_effects(memory: &Memory, key: &str) {
    let mut bytes = memory.objects()[key].clone();
    let at = effects(&bytes).unwrap();
    bytes[at + 2..at + 8].copy_from_slice(b"others");
    let end = bytes.len() - 32;
    let checksum = Sha256::digest(&bytes[..end]);
    bytes[end..].copy_from_slice(&checksum);
    memory.overwrite(key, bytes);
}

fn newest_base(memory: &Memory) -> String {
    memory.objects().into_keys().find(|key| key.starts_with("base/")).unwrap()
}

/// Removes all bases but the first, as if none had been written since the shard started.
fn only_the_first_base(memory: &Memory) {
    for key in memory.objects().into_keys().filter(|key| key.starts_with("base/") && !key.ends_with("z-start")) {
        memory.remove(&key);
    }
}

const TAKEN: usize = 85;

#[test]
fn case_34_whatever_is_broken_the_repaired_chain_leaves_the_rows_of_a_sound_one() {
    let expected = Memory::new();
    Host::new(&expected).deliver_all(&busy(&expected));
    type Damage = fn(&Memory);
    let damages: [(&str, Damage); 9] = [
        ("nothing", |_| ()),
        ("the newest base", |memory| spoil(memory, &newest_base(memory))),
        ("a delta in the middle", |memory| {
            only_the_first_base(memory);
            spoil(memory, &delta(40));
        }),
        ("the newest delta", |memory| {
            only_the_first_base(memory);
            spoil(memory, &delta(80));
        }),
        ("the effects of a delta", |memory| {
            only_the_first_base(memory);
            garble_effects(memory, &with_effects(memory)[1]);
        }),
        ("the effects of the last delta with any", |memory| {
            only_the_first_base(memory);
            garble_effects(memory, with_effects(memory).last().unwrap());
        }),
        ("a gap", |memory| {
            only_the_first_base(memory);
            memory.remove(&delta(40));
        }),
        ("a base and a delta", |memory| {
            spoil(memory, &newest_base(memory));
            spoil(memory, &delta(75));
        }),
        ("the newest base is empty", |memory| memory.overwrite(&newest_base(memory), Vec::new())),
    ];
    for (what, damage) in damages {
        let memory = Memory::new();
        let stream = busy(&memory);
        let settings = settings(&memory);
        deliver(&memory, &settings, &stream, 0, TAKEN);
        damage(&memory);
        let before = memory.objects();
        let survey = look(&memory, &settings);
        assert_eq!(survey.broken.is_empty(), what == "nothing", "{what}");

        let number = memory::run(drive::next_repair(&memory, 1, 0)).unwrap();
        assert_eq!(number, 1);
        let tried = repair(&memory, &settings, Repair { dry_run: true, ..plan() });
        let tried = tried.unwrap_or_else(|error| panic!("{what}: {error}: {survey:?}"));
        assert_eq!(memory.objects(), before, "{what}");
        let done = repair(&memory, &settings, plan()).unwrap();
        assert_eq!(done, tried);
        assert_eq!(done.broken, survey.broken);
        let after = memory.objects();
        assert!(before.iter().all(|(key, bytes)| after[key] == *bytes), "{what}");
        assert_eq!(memory::run(drive::next_repair(&memory, 1, 0)), Ok(2));

        let repaired = Settings { repair: 1, ..settings };
        let survey = look(&memory, &repaired);
        assert!(survey.broken.is_empty() && survey.position == done.position, "{what}");
        assert_eq!(memory::run(drive::shards(&memory, 1, 1)).unwrap(), [SHARD]);
        // The event source continues where it stood, and the records that it delivers again are known.
        deliver(&memory, &repaired, &stream, TAKEN - 5, stream.records.len());
        assert_eq!(memory.rows(), expected.rows(), "{what}");
    }
}

#[test]
fn what_was_not_published_before_the_repair_is_published_after_it() {
    let expected = Memory::new();
    Host::new(&expected).deliver_all(&busy(&expected));
    let memory = Memory::new();
    let stream = busy(&memory);
    let settings = settings(&memory);
    deliver(&memory, &settings, &stream, 0, 60);
    memory.fail(|operation, _| (operation == Operation::Publish).then_some(Fault::Refused));
    Host::with(&memory, settings.clone()).deliver(&stream, 60, TAKEN);
    memory.heal();
    repair(&memory, &settings, plan()).unwrap();
    deliver(&memory, &Settings { repair: 1, ..settings }, &stream, 60, stream.records.len());
    assert_eq!(memory.rows(), expected.rows());
}

#[test]
fn case_35_what_a_newer_version_wrote_is_told_of_and_left_alone() {
    for of_base in [false, true] {
        let memory = Memory::new();
        let stream = busy(&memory);
        let settings = settings(&memory);
        deliver(&memory, &settings, &stream, 0, TAKEN);
        if !of_base {
            only_the_first_base(&memory);
        }
        let key = if of_base { newest_base(&memory) } else { delta(80) };
        let mut bytes = memory.objects()[&key].clone();
        bytes[5] = 1;
        memory.overwrite(&key, bytes);
        let before = memory.objects();
        let [broken] = look(&memory, &settings).broken.try_into().unwrap();
        assert!(broken.newer && broken.key == key, "{broken:?}");
        assert_eq!(repair(&memory, &settings, plan()), Err(RepairError::Newer { key }));
        assert_eq!(memory.objects(), before);
    }
}

#[test]
fn records_that_the_stream_no_longer_holds_are_lost_only_if_that_is_accepted() {
    let memory = Memory::new();
    let stream = busy(&memory);
    let settings = settings(&memory);
    deliver(&memory, &settings, &stream, 0, TAKEN);
    only_the_first_base(&memory);
    spoil(&memory, &delta(80));
    memory.trim(SHARD, sequence(83));
    let before = memory.objects();
    let refused = repair(&memory, &settings, plan()).unwrap_err();
    assert_eq!(refused, RepairError::Loss { shard: SHARD.into(), position: Position::After(sequence(79)).into() });
    assert_eq!(memory.objects(), before);
    let done = repair(&memory, &settings, Repair { accept_loss: true, ..plan() }).unwrap();
    assert!(done.loss);
    assert_eq!(done.records, (stream.records.len() - 83) as u64);
}

#[test]
fn without_a_base_nothing_is_repaired() {
    let memory = Memory::new();
    let stream = busy(&memory);
    let settings = settings(&memory);
    deliver(&memory, &settings, &stream, 0, TAKEN);
    for key in memory.objects().into_keys().filter(|key| key.starts_with("base/")) {
        spoil(&memory, &key);
    }
    assert!(look(&memory, &settings).base.is_none());
    assert_eq!(repair(&memory, &settings, plan()), Err(RepairError::NoBase { shard: SHARD.into() }));
}

#[test]
fn a_number_that_holds_something_else_is_refused() {
    let memory = Memory::new();
    let stream = busy(&memory);
    let settings = settings(&memory);
    deliver(&memory, &settings, &stream, 0, TAKEN);
    repair(&memory, &settings, plan()).unwrap();
    // Repeating the repair is harmless: one that was interrupted starts from scratch.
    repair(&memory, &settings, plan()).unwrap();
    deliver(&memory, &settings, &stream, TAKEN, stream.records.len());
    let before = memory.objects();
    let error = repair(&memory, &settings, Repair { number: 0, ..plan() });
    assert!(error.is_ok(), "the chain itself is there already: {error:?}");
    assert_eq!(memory.objects(), before);
    memory.overwrite(&format!("base/1/2/{SHARD}/z-start"), b"other".to_vec());
    assert_eq!(memory::run(drive::next_repair(&memory, 1, 1)), Ok(3));
}

#[test]
fn a_stream_that_goes_on_is_read_to_the_moment_of_the_repair() {
    let memory = Memory::new();
    let stream = busy(&memory);
    let settings = settings(&memory);
    deliver(&memory, &settings, &stream, 0, TAKEN);
    only_the_first_base(&memory);
    spoil(&memory, &delta(80));
    let newest = &stream.records[TAKEN];
    let plan = Repair { now: Timestamp(newest.arrived_at), ..plan() };
    let later = stream.records[TAKEN..].iter().filter(|record| record.arrived_at > newest.arrived_at).count();
    assert!(later > 0);
    let done = repair(&memory, &settings, plan).unwrap();
    assert_eq!(done.position, Position::After(sequence(stream.records.len() - later - 1)));
}

#[test]
fn a_sealed_chain_stays_sealed() {
    let memory = Memory::new();
    let stream = busy(&memory);
    let settings = settings(&memory);
    deliver(&memory, &settings, &stream, 0, stream.records.len());
    // A child takes over the state, which seals the shard.
    let end = stream.records.len();
    memory.add_shard("child", Lineage { range: HashRange::ALL, parents: vec![SHARD.into()], first: sequence(end) });
    let mut host = Host::with(&memory, settings.clone());
    assert_eq!(host.deliver_to("child", &[(sequence(end + 1), b"{}", START_MS)]).failure, None);
    let sealed = look(&memory, &settings);
    assert!(sealed.sealed && sealed.broken.is_empty());
    only_the_first_base(&memory);
    spoil(&memory, &delta(50));
    let survey = look(&memory, &settings);
    assert!(!survey.sealed && survey.broken.len() == 1, "{survey:?}");
    let done = repair(&memory, &settings, plan()).unwrap();
    assert!(done.sealed && done.records > 0 && done.position == sealed.position);
    let again = look(&memory, &Settings { repair: 1, ..settings });
    assert!(again.sealed && again.devices == sealed.devices && again.position == sealed.position);
}

#[test]
fn a_replay_over_two_rule_sets_is_read_as_it_went() {
    let memory = Memory::new();
    let settings = settings(&memory);
    let mut without: serde_json::Value = serde_json::from_slice(EXAMPLE).unwrap();
    without["rules"].as_object_mut().unwrap().remove("burst");
    without["device_types"]["flow-meter"]["readings"].as_object_mut().unwrap().remove("pressure");
    let (with, without) = (memory.add_rule_set(EXAMPLE), memory.add_rule_set(&serde_json::to_vec(&without).unwrap()));
    let mut stream = Stream::default();
    stream.register("meter-0", "flow-meter", "zone-a");
    stream.reading("meter-0", json!({ "pressure": 90 }), 0);
    stream.rules(1, &with, START_MS);
    stream.rules(2, &without, START_MS + 1_000);
    stream.rules(3, &with, START_MS + 2_000);
    keep(&memory, &stream);
    deliver(&memory, &settings, &stream, 0, 2);
    deliver(&memory, &settings, &stream, 2, 5);
    spoil(&memory, &delta(2));
    assert_eq!(repair(&memory, &settings, plan()).unwrap().records, 3);
    // The previous value is gone with the set that did not know it.
    stream.reading("meter-0", json!({ "pressure": 10 }), 60_000);
    let outcome = Host::with(&memory, Settings { repair: 1, ..settings }).deliver(&stream, 5, 6);
    assert_eq!((outcome.failure, outcome.counts.fired), (None, 0));
}
