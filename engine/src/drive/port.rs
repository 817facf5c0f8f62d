//! What the driver asks of the world, and what the world asks of the driver. A host implements the ports; it never
//! retries, caches or orders anything itself, since the driver must see every outcome.

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

/// Something outside failed. The text is for the operator's log: it holds no payload and no address of a person.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PortError(pub String);

/// What became of a conditional create.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Created {
    /// The object is there and these bytes are it.
    Created,
    /// An object was there before (412): nothing was written.
    Exists,
    /// Another create of the same key was under way (409): nothing is known about who won, and it may be asked again.
    Conflict,
    /// The service refused before doing anything, as for want of permission.
    Refused(PortError),
    /// The request may or may not have been carried out: a time-out, a lost connection, any 5xx.
    Ambiguous(PortError),
}

/// Objects by key, as in S3: the durable side of every shard's state.
pub trait StateLog: Sync {
    /// Keys that begin with `prefix` and come after `after` in byte order, in that order, at most `limit`.
    /// Reads what was written before (S3 is strongly consistent).
    fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<String>, PortError>> + Send;

    /// The object's bytes, or none if there is no such key.
    fn get(&self, key: &str) -> impl Future<Output = Result<Option<Vec<u8>>, PortError>> + Send;

    /// Several objects, in the order of their keys as given. A host that can, fetches them side by side.
    fn get_all(&self, keys: &[String]) -> impl Future<Output = Result<Vec<Option<Vec<u8>>>, PortError>> + Send {
        async move {
            let mut objects = Vec::with_capacity(keys.len());
            for key in keys {
                objects.push(self.get(key).await?);
            }
            Ok(objects)
        }
    }

    /// Creates the object if there is none of that key (`If-None-Match: *`). One attempt, no retries inside: a hidden
    /// retry after an ambiguous outcome would report a refusal for bytes that were written.
    fn create(&self, key: &str, bytes: &[u8]) -> impl Future<Output = Created> + Send;
}

/// Where effects become rows and records. Every row has a key that a replay computes again, and every record a number
/// that its reader compares, so publishing twice changes nothing.
pub trait Publisher: Sync {
    /// Puts every row: outbox and quarantine rows if absent, history rows if absent or older. Puts every member's
    /// record on the stream, whether or not it is there already. `Ok` only when all of them are accepted.
    fn publish(&self, effects: &Effects) -> impl Future<Output = Result<(), PortError>> + Send;
}

/// Where rule sets are kept, by the SHA-256 of their bytes.
pub trait RuleSets: Sync {
    /// The bytes of the set with this hash (64 hexadecimal digits), or none if there is no such set.
    fn load(&self, sha256: &str) -> impl Future<Output = Result<Option<Vec<u8>>, PortError>> + Send;
}

/// The shards of the stream: where each came from, and the records that it holds.
pub trait Shards: Sync {
    /// Where a shard came from, or none if the stream does not list it: it never had it, or all its records have expired.
    fn lineage(&self, shard: &str) -> impl Future<Output = Result<Option<Lineage>, PortError>> + Send;

    /// Records of a shard, in order. A page may be empty and yet have more behind it. Of a shard that the stream does
    /// not list, nothing is left.
    fn read(&self, shard: &str, from: &ReadFrom) -> impl Future<Output = Result<Page, PortError>> + Send;
}

/// Where a shard came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lineage {
    /// The hash keys that it takes.
    pub range: HashRange,
    /// The shards that it was split from or merged of: none, one or two.
    pub parents: Vec<SmolStr>,
    /// The sequence number that it begins with: above those of its parents' records, not above those of its own.
    pub first: SequenceNumber,
}

/// Where a page of records begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadFrom {
    /// At the oldest record that the stream still holds.
    Oldest,
    /// At the record with this number.
    At(SequenceNumber),
    /// After the record with this number, whether or not the stream still holds it.
    After(SequenceNumber),
    /// Where the page before ended, as it said.
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
    /// By rising sequence number.
    pub records: Vec<StoredRecord>,
    /// Where to go on.
    pub next: Next,
}

/// What follows a page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Next {
    /// Nothing, ever: the shard is closed, or gone.
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
    /// Its number in the shard.
    pub sequence: SequenceNumber,
    /// Its partition key.
    pub partition_key: String,
    /// When it arrived in the stream.
    pub arrived_at: Timestamp,
    /// Its bytes.
    pub data: Vec<u8>,
}

impl StoredRecord {
    /// The record as the event source delivers it.
    pub fn borrowed(&self) -> StreamRecord<'_> {
        let Self { sequence, partition_key, arrived_at, data } = self;
        StreamRecord { sequence: *sequence, partition_key, arrived_at: *arrived_at, data }
    }
}

/// One batch of one shard, as the event source delivers it: in order, whole.
#[derive(Clone, Debug)]
pub struct Batch<'a> {
    /// The shard's id.
    pub shard: &'a str,
    /// Its records by rising sequence number.
    pub records: Vec<StreamRecord<'a>>,
}

/// One record of a stream.
#[derive(Clone, Copy, Debug)]
pub struct StreamRecord<'a> {
    /// Its number in the shard.
    pub sequence: SequenceNumber,
    /// Its partition key: the device, for all but a few kinds.
    pub partition_key: &'a str,
    /// When it arrived in the stream.
    pub arrived_at: Timestamp,
    /// Its bytes, with the stream's own base64 taken off.
    pub data: &'a [u8],
}

/// What the host says about this run of the driver. The engine has neither a clock nor randomness of its own.
#[derive(Clone, Copy)]
pub struct Invocation<'a> {
    /// When the host will end this run. The age of a cached state is measured between such deadlines.
    pub deadline: Timestamp,
    /// How much time is left.
    pub remaining: &'a (dyn Fn() -> Duration + Sync),
    /// Sixteen random bytes, fresh for every run: the writer tokens of this run's deltas are derived from them.
    pub seed: [u8; 16],
}

/// How a run ended.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The lowest record that is not done: the one item of the partial batch response. `None` when all are done.
    /// What lies before it is committed and published.
    pub failed_from: Option<SequenceNumber>,
    /// Why it is not done.
    pub failure: Option<Failure>,
    /// What was seen and done, for metrics.
    pub counts: Counts,
}

/// Why a run ended before its last record, by who must act.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// Time ran out; the next run goes on from there.
    #[error("the deadline came before the last record")]
    Deadline,
    /// Something outside failed; the event source will try again.
    #[error("{doing}: {error}")]
    Unavailable {
        /// What was being done.
        doing: &'static str,
        /// What the port said.
        error: PortError,
    },
    /// The shard's chain of states does not fit together, or a newer version wrote it. Somebody must look: nothing
    /// was overwritten, and nothing will be.
    #[error("the state of this shard cannot be read: {key}: {problem}")]
    Chain {
        /// The object.
        key: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The rule set that the shard has adopted cannot be loaded. Somebody must look: no other set is used instead.
    #[error("rule set {sha256} cannot be used: {problem}")]
    RuleSet {
        /// Its hash.
        sha256: String,
        /// What is wrong with it.
        problem: String,
    },
}

impl Failure {
    /// Whether trying again, without anybody acting, can help.
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
    /// Where states are kept.
    pub log: &'a L,
    /// Where effects go.
    pub publisher: &'a P,
    /// Where rule sets are kept.
    pub rule_sets: &'a R,
    /// The stream's shards, for one that has no state yet.
    pub shards: &'a S,
    /// What outlives this process.
    pub crumbs: &'a dyn Crumbs,
}

// Derived, these would ask the same of every port.
impl<L, P, R, S> Clone for Ports<'_, L, P, R, S> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<L, P, R, S> Copy for Ports<'_, L, P, R, S> {}

/// What a host decides once, at its start.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `stream.generation`: part of every key of the log.
    pub generation: u32,
    /// How often the chain was repaired: part of every key of the log.
    pub repair: u32,
    /// SHA-256 of the rule set for a shard that has none yet.
    pub rule_set_sha256: String,
    /// Time between two bases, by ingest time.
    pub checkpoint_every: Millis,
    /// The age at which the event source gives a record up.
    pub record_age_max: Millis,
}
