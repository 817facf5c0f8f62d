//! Puts a record into every open shard of the stream, for what concerns all shards.
//!
//! Shards may be split and merged in the meantime. A record goes to a shard by a hash key in the shard's range, so a
//! record for a shard that has just been split reaches one of its children and not the other. The shards are therefore
//! listed again afterwards, until nothing has changed in between.

use std::collections::BTreeSet;

use fleetform_engine::{drive::PortError, reshard::HashRange};
use smol_str::SmolStr;

/// How often the shards are listed before the rest is left for a later call: a stream is resharded step by step, and
/// each step takes longer than a round.
const ROUNDS_MAX: usize = 10;

/// A shard as the stream lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shard {
    /// The shard's id.
    pub id: SmolStr,
    /// The range of hash keys that the shard takes, or took.
    pub range: HashRange,
    /// Whether it still takes records.
    pub is_open: bool,
}

/// The port to the stream.
pub trait Stream: Sync {
    /// Lists every shard of the stream, including closed ones.
    fn shards(&self) -> impl Future<Output = Result<Vec<Shard>, PortError>> + Send;

    /// Puts one record for each hash key, which determines the shard; the partition key has no effect. Returns the hash
    /// keys whose record was rejected for the time being.
    fn put(
        &self,
        partition_key: &str,
        record: &[u8],
        hash_keys: &BTreeSet<u128>,
    ) -> impl Future<Output = Result<BTreeSet<u128>, PortError>> + Send;
}

/// The result of putting a record into every open shard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// The number of open shards that have the record.
    pub told: usize,
    /// The number of open shards that may lack it; another call continues with them.
    pub missed: usize,
}

/// Puts a record into every open shard. `record` is called before each request.
pub async fn tell<S: Stream>(
    stream: &S,
    partition_key: &str,
    record: impl Fn() -> Vec<u8> + Send + Sync,
) -> Result<Told, PortError> {
    let mut told: BTreeSet<SmolStr> = BTreeSet::new();
    let mut before = open(stream).await?;
    for _ in 0..ROUNDS_MAX {
        let due: Vec<&Shard> = before.iter().filter(|shard| !told.contains(&shard.id)).collect();
        let keys: BTreeSet<u128> = due.iter().map(|shard| shard.range.first).collect();
        let refused = if keys.is_empty() { keys } else { stream.put(partition_key, &record(), &keys).await? };
        told.extend(due.iter().filter(|shard| !refused.contains(&shard.range.first)).map(|shard| shard.id.clone()));
        let after = open(stream).await?;
        let unchanged = before == after;
        before = after;
        // A shard that was open before and is open now was open throughout, so its record went nowhere else.
        if unchanged && before.iter().all(|shard| told.contains(&shard.id)) {
            return Ok(Told { told: before.len(), missed: 0 });
        }
    }
    let missed = before.iter().filter(|shard| !told.contains(&shard.id)).count();
    Ok(Told { told: before.len() - missed, missed })
}

async fn open<S: Stream>(stream: &S) -> Result<Vec<Shard>, PortError> {
    let mut shards = stream.shards().await?;
    shards.retain(|shard| shard.is_open);
    shards.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(shards)
}

#[cfg(test)]
#[path = "every_shard_tests.rs"]
mod tests;
