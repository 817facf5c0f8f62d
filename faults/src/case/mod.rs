//! A handwritten case: a log, the rule sets that it names, and a script of faults. Playing it takes the production
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

/// All parts of a case.
#[derive(Debug)]
pub struct Case {
    /// The bytes of the artifacts; the first is in force from the start.
    pub rule_sets: Vec<Vec<u8>>,
    /// The log's lines, in order.
    pub log: Log,
    /// The faults to inject.
    pub script: Script,
    /// Whether a batch that fails as a whole is delivered again in halves.
    pub bisect: bool,
}

/// A script of faults, checked.
#[derive(Debug, Default)]
pub struct Script(pub(crate) Vec<Scripted>);

/// A log, checked.
#[derive(Debug, Default)]
pub struct Log {
    /// Shards by name.
    pub(crate) shards: BTreeMap<Arc<str>, Shard>,
    /// Listings by shard name.
    pub(crate) listings: BTreeMap<Arc<str>, Listing>,
    /// The mapping between the log's numbers and the internal ones.
    pub(crate) numbers: Numbers,
}

/// One shard of a log.
#[derive(Debug, Default)]
pub(crate) struct Shard {
    /// Sorted by sequence number.
    pub(crate) records: Vec<Arc<Record>>,
    /// In the order of delivery.
    pub(crate) batches: Vec<Batch>,
}

/// One delivery.
#[derive(Clone, Debug)]
pub(crate) struct Batch {
    pub(crate) records: Vec<Arc<Record>>,
    /// Earliest time of the delivery, in milliseconds.
    pub(crate) at: i64,
    /// The environment that receives it; `None` for any.
    pub(crate) environment: Option<u64>,
}

/// What is wrong with an input, and where.
#[derive(Debug)]
pub struct Wrong {
    /// Name of the file.
    pub file: String,
    /// Number of the line, from 1; `None` for the file as a whole.
    pub line: Option<usize>,
    /// Description of the problem.
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
