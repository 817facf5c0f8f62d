//! A record for every open shard of the stream: what is shard-wide must be told to each of them.
//!
//! Shards are split and merged meanwhile. A record goes to a shard by a hash key that the shard takes, so one for a shard
//! that has just been split goes to one of its children, and the other would be left out. So the shards are listed
//! again afterwards, until nothing has changed in between.

use std::collections::BTreeSet;

use fleetform_engine::{drive::PortError, reshard::HashRange};
use smol_str::SmolStr;

/// How often the shards are listed before the rest is left for another time: a stream is resharded step by step, and each
/// step takes longer than a round.
const ROUNDS_MAX: usize = 10;

/// A shard as the stream lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shard {
    /// Its id.
    pub id: SmolStr,
    /// The hash keys that it takes, or took.
    pub range: HashRange,
    /// Whether it still takes records.
    pub is_open: bool,
}

/// The port to the stream.
pub trait Stream: Sync {
    /// Every shard that the stream lists, closed ones too.
    fn shards(&self) -> impl Future<Output = Result<Vec<Shard>, PortError>> + Send;

    /// Puts one record for each hash key, by which it goes; the partition key says nothing. The answer holds the hash
    /// keys for which it was not taken, for the moment.
    fn put(
        &self,
        partition_key: &str,
        record: &[u8],
        hash_keys: &BTreeSet<u128>,
    ) -> impl Future<Output = Result<BTreeSet<u128>, PortError>> + Send;
}

/// What became of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// Open shards that have the record.
    pub told: usize,
    /// Open shards that may not have it: whoever tells them again goes on.
    pub missed: usize,
}

/// Puts a record into every open shard. `record` is asked for it before each request.
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
        // A shard that was open before and is open now was so all the time, and its record came nowhere else.
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
