//! The ports that the driver calls, and the input and output of the driver. A host implements the ports. It never
//! retries, caches or reorders anything itself, since the driver must see every outcome.

use std::{future::Future, time::Duration};

use smol_str::SmolStr;

use super::crumbs::Crumbs;
use crate::{
    counts::Counts,
    effect::Effects,
    position::{Position, SequenceNumber},
    reshard::HashRange,
    units::{Millis, Timestamp},
};

/// An external failure. The text is for the operator's log: it holds no payload and no address of a person.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PortError(pub String);

/// The outcome of a conditional create.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Created {
    /// The object exists and has these bytes.
    Created,
    /// The object existed before (412): nothing was written.
    Exists,
    /// Another create of the same key was in progress (409): it is unknown which one won, and the request may be
    /// repeated.
    Conflict,
    /// The service refused the request before doing anything, for example for lack of permission.
    Refused(PortError),
    /// The request may or may not have been carried out: a timeout, a lost connection, any 5xx.
    Ambiguous(PortError),
}

/// Objects by key, as in S3: the durable side of every shard's state.
pub trait StateLog: Sync {
    /// Lists the keys that start with `prefix` and come after `after` in byte order, in that order, at most `limit`.
    /// Sees everything written before the call (S3 is strongly consistent).
    fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<String>, PortError>> + Send;

    /// Returns the object's bytes, or `None` if there is no such key.
    fn get(&self, key: &str) -> impl Future<Output = Result<Option<Vec<u8>>, PortError>> + Send;

    /// Returns several objects, in the order of the given keys. A host fetches them concurrently if it can.
    fn get_all(&self, keys: &[String]) -> impl Future<Output = Result<Vec<Option<Vec<u8>>>, PortError>> + Send {
        async move {
            let mut objects = Vec::with_capacity(keys.len());
            for key in keys {
                objects.push(self.get(key).await?);
            }
            Ok(objects)
        }
    }

    /// Creates the object if the key does not exist (`If-None-Match: *`). One attempt, with no retries inside: a
    /// hidden retry after an ambiguous outcome would report a refusal for bytes that were written.
    fn create(&self, key: &str, bytes: &[u8]) -> impl Future<Output = Created> + Send;
}

/// Where effects become rows and records. Every row has a key that a replay computes again, and every record a number
/// that its reader compares, so publishing twice changes nothing.
pub trait Publisher: Sync {
    /// Puts every row: outbox and quarantine rows if absent, history rows if absent or older. Puts every member's
    /// record on the stream, whether or not it is there already. Returns `Ok` only when all of them are accepted.
    fn publish(&self, effects: &Effects) -> impl Future<Output = Result<(), PortError>> + Send;
}

/// Rule sets by the SHA-256 of their bytes.
pub trait RuleSets: Sync {
    /// Returns the bytes of the set with this hash (64 hexadecimal digits), or `None` if there is no such set.
    fn load(&self, sha256: &str) -> impl Future<Output = Result<Option<Vec<u8>>, PortError>> + Send;
}

/// The shards of the stream: the lineage of each, and the records that it holds.
pub trait Shards: Sync {
    /// Returns the lineage of a shard, or `None` if the stream does not list it: it never existed, or all its records
    /// have expired.
    fn lineage(&self, shard: &str) -> impl Future<Output = Result<Option<Lineage>, PortError>> + Send;

    /// Reads records of a shard, in order. A page may be empty and still have more behind it. A shard that the stream
    /// does not list has no records left.
    fn read(&self, shard: &str, from: &ReadFrom) -> impl Future<Output = Result<Page, PortError>> + Send;
}

/// Where a shard comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lineage {
    /// The range of hash keys that it takes.
    pub range: HashRange,
    /// Ids of the shards that it was split or merged from: none, one or two.
    pub parents: Vec<SmolStr>,
    /// Its starting sequence number: above those of its parents' records, not above those of its own.
    pub first: SequenceNumber,
}

/// Where a page of records starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadFrom {
    /// At the oldest record that the stream still holds.
    Oldest,
    /// At the record with this number.
    At(SequenceNumber),
    /// After the record with this number, whether or not the stream still holds it.
    After(SequenceNumber),
    /// Where the previous page ended, by its token.
    Token(String),
}

impl From<Position> for ReadFrom {
    fn from(position: Position) -> Self {
        match position {
            Position::Start => Self::Oldest,
            Position::After(sequence) => Self::After(sequence),
        }
    }
}

/// Some records of a shard.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// In ascending order of sequence number.
    pub records: Vec<StoredRecord>,
    /// What follows the page.
    pub next: Next,
}

/// What follows a page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Next {
    /// Nothing, permanently: the shard is closed or gone.
    #[default]
    End,
    /// Nothing yet: this was the newest record.
    Newest,
    /// More, from this token.
    More(String),
}

/// A record that is read back from the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredRecord {
    /// Its sequence number in the shard.
    pub sequence: SequenceNumber,
    /// Its partition key, as in [`StreamRecord::partition_key`].
    pub partition_key: String,
    /// When it arrived in the stream.
    pub arrived_at: Timestamp,
    /// Its data, as in [`StreamRecord::data`].
    pub data: Vec<u8>,
}

impl StoredRecord {
    /// Returns the record as the event source delivers it.
    pub fn borrowed(&self) -> StreamRecord<'_> {
        let Self { sequence, partition_key, arrived_at, data } = self;
        StreamRecord { sequence: *sequence, partition_key, arrived_at: *arrived_at, data }
    }
}

/// One batch of one shard, as the event source delivers it: complete and in order.
#[derive(Clone, Debug)]
pub struct Batch<'a> {
    /// The shard's id, as Kinesis names it: `shardId-...`.
    pub shard: &'a str,
    /// Its records, in ascending order of sequence number.
    pub records: Vec<StreamRecord<'a>>,
}

/// One record of a stream.
#[derive(Clone, Copy, Debug)]
pub struct StreamRecord<'a> {
    /// Its sequence number in the shard.
    pub sequence: SequenceNumber,
    /// Its partition key: the device id, for all but a few kinds.
    pub partition_key: &'a str,
    /// When it arrived in the stream.
    pub arrived_at: Timestamp,
    /// Its bytes, with the stream's own base64 decoded.
    pub data: &'a [u8],
}

/// What the host supplies for one run of the driver. The engine has neither a clock nor a source of randomness.
#[derive(Clone, Copy)]
pub struct Invocation<'a> {
    /// When the host will end this run. The age of a cached state is measured between such deadlines.
    pub deadline: Timestamp,
    /// Returns how much time is left.
    pub remaining: &'a (dyn Fn() -> Duration + Sync),
    /// Sixteen random bytes, fresh for every run: the writer tokens of this run's deltas are derived from them.
    pub seed: [u8; 16],
}

/// How a run ended.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Sequence number of the first record that is not done: the one item of the partial batch response. `None` when
    /// all are done. Everything before it is committed and published.
    pub failed_from: Option<SequenceNumber>,
    /// Why that record is not done.
    pub failure: Option<Failure>,
    /// Counts of what was seen and done, for metrics.
    pub counts: Counts,
}

/// Why a run ended before its last record, by who must act.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// Time ran out; the next run continues from there.
    #[error("the deadline came before the last record")]
    Deadline,
    /// An external failure; the event source tries again.
    #[error("{doing}: {error}")]
    Unavailable {
        /// What the driver was doing, for the error message.
        doing: &'static str,
        /// The error that the port returned.
        error: PortError,
    },
    /// The shard's chain is inconsistent, or a newer version wrote it. An operator must act: nothing was overwritten,
    /// and nothing will be.
    #[error("the state of this shard cannot be read: {key}: {problem}")]
    Chain {
        /// Key of the object in the state log.
        key: String,
        /// Description of the problem.
        problem: String,
    },
    /// The rule set that the shard has adopted cannot be loaded. An operator must act: no other set is used instead.
    #[error("rule set {sha256} cannot be used: {problem}")]
    RuleSet {
        /// SHA-256 of the set, in hexadecimal.
        sha256: String,
        /// Description of the problem.
        problem: String,
    },
}

impl Failure {
    /// Whether trying again can help without any intervention.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Deadline | Self::Unavailable { .. } => true,
            Self::Chain { .. } | Self::RuleSet { .. } => false,
        }
    }
}

/// The ports, as one argument.
#[derive(Debug)]
pub struct Ports<'a, L, P, R, S> {
    /// The state log of every shard.
    pub log: &'a L,
    /// Where effects are published.
    pub publisher: &'a P,
    /// The store of rule sets.
    pub rule_sets: &'a R,
    /// The stream's shards, needed to start a shard that has no state yet.
    pub shards: &'a S,
    /// The store of crumbs, which outlives this process.
    pub crumbs: &'a dyn Crumbs,
}

// Derived, these would require `Clone` and `Copy` of every port.
impl<L, P, R, S> Clone for Ports<'_, L, P, R, S> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<L, P, R, S> Copy for Ports<'_, L, P, R, S> {}

/// What a host sets once, when it starts.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Generation of the stream, `stream.generation` in the platform file: part of every key of the log.
    pub generation: u32,
    /// How often the chain was repaired: part of every key of the log.
    pub repair: u32,
    /// SHA-256 of the rule set for a shard that has none yet, in hexadecimal.
    pub rule_set_sha256: String,
    /// Maximum time between two bases, by ingest time, in milliseconds.
    pub checkpoint_every: Millis,
    /// Age at which the event source gives up on a record, in milliseconds.
    pub record_age_max: Millis,
}
