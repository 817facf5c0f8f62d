//! Writing to a chain: the outcome of a create is determined however the store responds, and effects are published
//! until all of them are known to be accepted.

use std::borrow::Cow;

use super::{
    DEADLINE_RESERVE, Failure, Invocation, PortError, Publisher, StateLog,
    cache::{Shard, Unpublished},
    load::unavailable,
    port::Created,
};
use crate::{counts::Counts, units::Millis};

/// How often a create is sent again after a conflict or an ambiguous outcome.
pub const CREATE_TRIES_MAX: u32 = 4;
/// Maximum age of a delta whose effects are published again. After that, the rows that they would meet have expired.
pub const EFFECTS_AGE_MAX: Millis = Millis::from_days(14);
/// Rows and records that are published between two checks of the deadline. When a zone falls silent, a single record
/// may request more of them than a run has time for; those already accepted are not sent again.
pub const PART_ROWS: usize = 1_000;

/// The writer of the bytes at a key.
pub(super) enum Committed {
    /// This writer.
    Mine,
    /// Another writer.
    Theirs,
}

/// Creates the object that follows a position, a delta or a seal.
pub(super) async fn create<L: StateLog>(
    log: &L,
    invocation: &Invocation<'_>,
    key: &str,
    bytes: &[u8],
) -> Result<Committed, Failure> {
    let mut last = PortError("the delta was not created".into());
    for _ in 0..CREATE_TRIES_MAX {
        if (invocation.remaining)().is_zero() {
            return Err(Failure::Deadline);
        }
        match log.create(key, bytes).await {
            Created::Created => return Ok(Committed::Mine),
            Created::Exists if mutant!(ExistsTakenAsSuccess) => return Ok(Committed::Mine),
            Created::Ambiguous(_) if mutant!(AmbiguousTakenAsSuccess) => return Ok(Committed::Mine),
            Created::Refused(error) => return Err(unavailable("creating a delta")(error)),
            Created::Conflict => last = PortError("another create of this delta is under way".into()),
            // After an ambiguous outcome, the existing object may be ours.
            Created::Exists => {
                let found = log.get(key).await.map_err(unavailable("reading a delta back"))?;
                match found {
                    Some(found) if is_mine(&found, bytes) => return Ok(Committed::Mine),
                    Some(_) => return Ok(Committed::Theirs),
                    None => last = PortError("a delta was there and is gone".into()),
                }
            }
            Created::Ambiguous(error) => {
                let found = log.get(key).await.map_err(unavailable("reading a delta back"))?;
                match found {
                    Some(found) if is_mine(&found, bytes) => return Ok(Committed::Mine),
                    Some(_) => return Ok(Committed::Theirs),
                    None => last = error,
                }
            }
        }
    }
    Err(unavailable("creating a delta")(last))
}

/// Whether the bytes found are the bytes sent. Equality proves it, since every set of bytes has its own token.
fn is_mine(found: &[u8], sent: &[u8]) -> bool {
    found == sent || (mutant!(TokenReused) && found.get(7..23) == sent.get(7..23))
}

/// Publishes the effects of the newest delta, except those that this driver knows to be accepted.
pub(super) async fn publish<P: Publisher>(
    publisher: &P,
    invocation: &Invocation<'_>,
    shard: &mut Shard,
    counts: &mut Counts,
) -> Result<(), Failure> {
    if let Some(unpublished) = &mut shard.unpublished {
        publish_rest(publisher, invocation, unpublished, counts).await?;
    }
    shard.unpublished = None;
    Ok(())
}

/// Publishes what is not known to be accepted, part by part.
pub(super) async fn publish_rest<P: Publisher>(
    publisher: &P,
    invocation: &Invocation<'_>,
    unpublished: &mut Unpublished,
    counts: &mut Counts,
) -> Result<(), Failure> {
    let (written_by, mut accepted) = (unpublished.written_by, unpublished.accepted);
    let begun = accepted;
    let rows = unpublished.effects()?.count();
    if invocation.deadline.since(written_by) > EFFECTS_AGE_MAX {
        counts.expired_effects += (rows - accepted) as u64;
        accepted = rows;
    }
    while accepted < rows {
        if accepted > begun && (invocation.remaining)() <= DEADLINE_RESERVE {
            return Err(Failure::Deadline);
        }
        let effects = unpublished.effects()?;
        let part = match rows {
            ..=PART_ROWS => Cow::Borrowed(effects),
            _ => Cow::Owned(effects.part(accepted, PART_ROWS)),
        };
        let published = publisher.publish(&part).await;
        if !mutant!(PublishFailureIgnored) {
            published.map_err(unavailable("publishing"))?;
        }
        accepted += part.count();
        unpublished.accepted = accepted;
    }
    Ok(())
}
