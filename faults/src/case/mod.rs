//! A case written by hand: a log, the rule sets that it names, and a script of faults. Playing it takes the production
//! driver through exactly that course, in virtual time.

mod line;
mod lineage;
mod numbers;
mod outcome;
mod player;
mod read;
mod script;

use std::{collections::BTreeMap, fmt, sync::Arc};

pub use outcome::{Outcome, Response};
pub use player::play;
pub use read::read_log;
pub use script::read_script;

use crate::{fate::Scripted, world::Record};
use lineage::Listing;
use numbers::Numbers;

/// Everything that a case is made of.
#[derive(Debug)]
pub struct Case {
    /// Artifacts; the first is in force from the start.
    pub rule_sets: Vec<Vec<u8>>,
    /// What the log says, in its order.
    pub log: Log,
    /// What goes wrong.
    pub script: Script,
    /// Whether a batch that fails as a whole comes again in halves.
    pub bisect: bool,
}

/// A script of faults, checked.
#[derive(Debug, Default)]
pub struct Script(pub(crate) Vec<Scripted>);

/// A log, checked.
#[derive(Debug, Default)]
pub struct Log {
    /// By shard.
    pub(crate) shards: BTreeMap<Arc<str>, Shard>,
    /// By shard.
    pub(crate) listings: BTreeMap<Arc<str>, Listing>,
    /// How its numbers stand for those inside.
    pub(crate) numbers: Numbers,
}

/// One shard of a log.
#[derive(Debug, Default)]
pub(crate) struct Shard {
    /// In the order of their numbers.
    pub(crate) records: Vec<Arc<Record>>,
    /// In the order in which they are delivered.
    pub(crate) batches: Vec<Batch>,
}

/// One delivery.
#[derive(Clone, Debug)]
pub(crate) struct Batch {
    pub(crate) records: Vec<Arc<Record>>,
    /// Not before.
    pub(crate) at: i64,
    /// The environment that gets it; none for any.
    pub(crate) environment: Option<u64>,
}

/// What is wrong with an input, and where.
#[derive(Debug)]
pub struct Wrong {
    /// The file.
    pub file: String,
    /// The line, from 1; none for the file as a whole.
    pub line: Option<usize>,
    /// In words.
    pub problem: String,
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}: {}", self.file, self.problem),
            None => write!(f, "{}: {}", self.file, self.problem),
        }
    }
}

impl std::error::Error for Wrong {}
