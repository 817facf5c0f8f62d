//! Writing to a chain: what became of a create is found out however the store answers, and effects are published until
//! all of them are seen accepted.

use super::{Failure, Invocation, PortError, Publisher, StateLog, cache::Shard, load::unavailable, port::Created};
use crate::{counts::Counts, units::Millis};

/// How often a create is sent again after a conflict, or after an outcome that nobody could tell.
pub const CREATE_TRIES_MAX: u32 = 4;
/// Effects of a delta that was written this long ago are not published again: the rows they would meet have expired.
pub const EFFECTS_AGE_MAX: Millis = Millis::from_secs(14 * 86_400);

/// Whose bytes lie at a key.
pub(super) enum Committed {
    /// The writer's.
    Mine,
    /// Somebody else's.
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
            // After an outcome that nobody could tell, what is there may be ours.
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

/// Whether what was found is what was sent: the same bytes, since every set of bytes has its own token.
fn is_mine(found: &[u8], sent: &[u8]) -> bool {
    found == sent || (mutant!(TokenReused) && found.get(7..23) == sent.get(7..23))
}

/// Publishes what the newest delta asks for, unless this driver has seen it accepted.
pub(super) async fn publish<P: Publisher>(
    publisher: &P,
    invocation: &Invocation<'_>,
    shard: &mut Shard,
    counts: &mut Counts,
) -> Result<(), Failure> {
    let Some(unpublished) = &mut shard.unpublished else { return Ok(()) };
    let written_by = unpublished.written_by;
    let effects = unpublished.effects()?;
    if invocation.deadline.since(written_by) > EFFECTS_AGE_MAX {
        counts.expired_effects += effects.count() as u64;
    } else if !effects.is_empty() {
        let published = publisher.publish(effects).await;
        if !mutant!(PublishFailureIgnored) {
            published.map_err(unavailable("publishing"))?;
        }
    }
    shard.unpublished = None;
    Ok(())
}
