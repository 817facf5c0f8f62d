//! The fuzz targets: everything that reads bytes from outside, with what must hold for any bytes at all. A target
//! panics if something does not hold, and returns a word for what became of the input. An input with a new word joins
//! the corpus.

use std::sync::{Arc, LazyLock};

use fleetform_engine::{compiled::Compiled, probe, rule_set::RuleSet};
use fleetform_runtime::event::kinesis::KinesisEvent;

/// The reader of the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Target {
    /// A Lambda event with the records of a stream.
    Event,
    /// A record's data, wrapped or not.
    Record,
    /// A device's message.
    Payload,
    /// The artifact of a rule set.
    RuleSet,
    /// A delta of a shard's chain.
    Delta,
    /// A base of a shard's chain.
    Base,
}

/// The rule set that messages and chains are read under.
static RULES: LazyLock<Arc<Compiled>> =
    LazyLock::new(|| Arc::new(Compiled::from_bytes(RULE_SET).expect("the fixture is a rule set")));

/// A rule set with every kind of rule.
pub(crate) const RULE_SET: &[u8] = include_bytes!("../../engine/tests/fixtures/rule-set.json");

impl Target {
    /// Every target.
    pub(crate) const ALL: [Self; 6] =
        [Self::Event, Self::Record, Self::Payload, Self::RuleSet, Self::Delta, Self::Base];

    /// Returns its name, which is also the name of its folder.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Event => "event",
            Self::Record => "record",
            Self::Payload => "payload",
            Self::RuleSet => "rule-set",
            Self::Delta => "delta",
            Self::Base => "base",
        }
    }

    /// Returns the number of inputs in a short run. A rule set takes a thousand times as long as a record.
    pub(crate) const fn inputs(self) -> u64 {
        match self {
            Self::Record | Self::Payload => 100_000,
            Self::Event | Self::Delta | Self::Base => 20_000,
            Self::RuleSet => 2_000,
        }
    }

    /// Creates everything that is made once and kept, before anything is measured.
    pub(crate) fn prepare(self) {
        LazyLock::force(&RULES);
    }

    /// Feeds it an input, and returns the word for the outcome.
    pub(crate) fn run(self, input: &[u8]) -> String {
        match self {
            Self::Event => event(input),
            Self::Record => probe::record(input),
            Self::Payload => probe::payload(&RULES, input),
            Self::RuleSet => rule_set(input),
            Self::Delta | Self::Base => probe::link(&RULES, input),
        }
    }
}

/// Checks that the scan and the parser read an event in the same way.
fn event(input: &[u8]) -> String {
    let shown = |event: &KinesisEvent<'_>| format!("{:?}", event.batch());
    match (KinesisEvent::parse(input), KinesisEvent::parse_any(input)) {
        (Ok(read), Ok(parsed)) => {
            assert_eq!(shown(&read), shown(&parsed), "an event is read in two ways");
            format!("{} records", read.batch().records.len().min(4))
        }
        (Err(read), Err(parsed)) => {
            assert_eq!(read.to_string(), parsed.to_string(), "an event is refused in two ways");
            // Offsets and quoted text would make every error a new one.
            read.to_string().split(|c: char| c.is_ascii_digit() || c == '`').next().unwrap_or_default().to_owned()
        }
        (read, parsed) => panic!("an event is read in two ways: {read:?} and {parsed:?}"),
    }
}

/// Checks that what is read as a rule set can be written and compiled, and is the same when it is read again.
fn rule_set(input: &[u8]) -> String {
    match RuleSet::from_bytes(input) {
        Ok(set) => {
            let again = RuleSet::from_bytes(&set.to_bytes()).expect("a set that was written is one");
            assert_eq!(again, set, "a set changes when it is written");
            let rules = Compiled::new(&set, RuleSet::sha256(input));
            probe::payload(&rules, br#"{"deviceId":"pump-1","readings":{}}"#)
        }
        Err(error) => {
            error.to_string().split(|c: char| c.is_ascii_digit() || c == '`').next().unwrap_or_default().to_owned()
        }
    }
}
