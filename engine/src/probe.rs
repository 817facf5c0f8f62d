//! Entry points for fuzzing: everything that the engine reads from outside, with what must hold for any bytes at all.
//! An entry point panics if something does not hold, and returns a word for what became of the bytes.

use std::{fmt::Debug, sync::Arc};

use crate::{
    base64::Buffer,
    chain::{self, Author},
    compiled::Compiled,
    drive::StreamRecord,
    ids::DeviceId,
    position::{Position, SequenceNumber},
    record,
    rule_set::RuleSet,
    sample::{self, Samples},
    state::{RuleSetRef, ShardState},
    step::{Run, Stepped, step},
    units::Timestamp,
};

const DEVICE: &str = "pump-1";
const NOW: Timestamp = Timestamp(1_769_855_400_000);

fn stream_record(number: u64, data: &[u8]) -> StreamRecord<'_> {
    StreamRecord { sequence: SequenceNumber::from(number), partition_key: DEVICE, arrived_at: NOW, data }
}

/// Reads the data of a record: the reader without a parser must agree with the parser.
pub fn record(data: &[u8]) -> String {
    let record = stream_record(1, data);
    let (mut quick, mut slow) = (Buffer::default(), Buffer::default());
    let general = record::general(&record, &mut slow);
    if let Some(usual) = record::usual(&record, &mut quick) {
        assert_eq!(format!("{usual:?}"), format!("{general:?}"), "a record is read in two ways");
        assert_eq!(quick.bytes(), slow.bytes(), "a payload is decoded in two ways");
    }
    match general.1 {
        Ok(read) => variant(&read),
        Err(refusal) => format!("{:?}", refusal.reason),
    }
}

/// Reads a device's message under each type of a set: the readers by template and by scan must agree with the parser.
pub fn payload(rules: &Compiled, message: &[u8]) -> String {
    let device = DeviceId::new(DEVICE).expect("an id");
    let mut words = Vec::new();
    for home in rules.homes() {
        let (mut quick, mut slow) = (Samples::default(), Samples::default());
        let read = quick.read(message, rules, home, &device, NOW);
        let parsed = sample::read_by_parser(&mut slow, message, rules, home, &device, NOW);
        assert_eq!(read, parsed, "a message is refused in two ways");
        if read.is_ok() {
            assert_eq!(quick.shown(), slow.shown(), "a message is read in two ways");
        }
        words.push(read.map_or_else(|refusal| format!("{:?}", refusal.reason), |()| "samples".to_owned()));
    }
    words.join(" ")
}

/// Reads an object of a chain after correcting its checksum; otherwise nothing after the checksum would ever be read.
/// What can be read can be written, and is the same when it is read again.
pub fn link(rules: &Arc<Compiled>, bytes: &[u8]) -> String {
    match chain::probe(bytes, rules) {
        Ok(word) => word.to_owned(),
        Err(unreadable) => {
            // Offsets and quoted text would make every error a new one.
            unreadable.0.split(|c: char| c.is_ascii_digit()).next().unwrap_or_default().to_owned()
        }
    }
}

/// Returns a delta and a base as they are after some records.
pub fn chain(rule_set: &[u8], records: &[Vec<u8>]) -> (Vec<u8>, Vec<u8>) {
    let mut rules = Arc::new(Compiled::from_bytes(rule_set).expect("a rule set"));
    let mut state = ShardState::new(RuleSetRef { version: 0, sha256: RuleSet::sha256(rule_set) });
    let mut run = Run::new("shardId-000000000000", 1);
    for (number, data) in (1..).zip(records) {
        if let Stepped::Overridden(changed) = step(&rules, &mut state, &stream_record(number, data), &mut run) {
            rules = changed;
        }
    }
    let author = Author { token: [7; 16], deadline: NOW };
    let delta = chain::write_delta(author, Position::Start, &state, &rules, &run.effects);
    (delta, chain::write_base(&state, &rules))
}

/// Returns the name of a value's variant.
fn variant(value: &impl Debug) -> String {
    format!("{value:?}").split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default().to_owned()
}
