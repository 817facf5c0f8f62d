//! Deletes the objects of a chain that are no longer needed. The newest base, what follows it, a seal, and the mark
//! that a shard has started are never among them: whatever the clock says, the chain stays readable.

use std::future::Future;

use super::{Chain, Failure, PortError, load::unavailable};
use crate::{
    chain::keys::Keys,
    units::{Millis, Timestamp},
};

/// How long deltas and bases are kept, so that a chain can be repaired.
pub const CHAIN_AGE_MAX: Millis = Millis::from_days(7);
/// Lag of the newest base behind the newest delta that is worth an alarm.
pub const BASE_BEHIND_MAX: Millis = Millis::from_days(1);

/// Maximum number of objects checked in one call; the next call continues.
const LOOK_MAX: usize = 1_000;

/// An object's key and creation time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Key of the object in the state log.
    pub key: String,
    /// When it was created, by the store's clock.
    pub created_at: Timestamp,
}

/// The state log, as needed to clear it.
pub trait Clearing: Sync {
    /// Like [`super::StateLog::list`], with the creation time of each object.
    fn list_dated(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<Listed>, PortError>> + Send;

    /// Deletes objects, at most a thousand. An object that no longer exists is not a failure.
    fn delete(&self, keys: &[String]) -> impl Future<Output = Result<(), PortError>> + Send;
}

/// What was deleted, and the condition of the chain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Expired {
    /// Number of deltas deleted.
    pub deltas: usize,
    /// Number of bases deleted.
    pub bases: usize,
    /// How much older the newest base is than the newest delta: see [`BASE_BEHIND_MAX`].
    pub base_behind: Millis,
}

/// Deletes what is older than [`CHAIN_AGE_MAX`] from one chain. A call checks at most a thousand objects, oldest
/// first, so that its cost does not depend on the length of the chain.
pub async fn expire<C: Clearing>(
    log: &C,
    Chain { generation, repair, shard }: &Chain,
    now: Timestamp,
) -> Result<Expired, Failure> {
    let keys = Keys::of(*generation, *repair, shard);
    let bases = log.list_dated(&keys.base, None, 1).await.map_err(unavailable("listing bases"))?;
    // Without a base, or with one whose key another version wrote, nothing may be deleted.
    let Some(newest) = bases.into_iter().next() else { return Ok(Expired::default()) };
    let Some(position) = keys.position_of_base(&newest.key) else { return Ok(Expired::default()) };

    let needed = keys.delta(position);
    let deltas = log.list_dated(&keys.log, None, LOOK_MAX).await.map_err(unavailable("listing deltas"))?;
    let (old_deltas, kept) = split(&deltas, &needed, now);
    // Without the deltas that follow it, a base leads nowhere: such bases go first.
    let reach = kept.and_then(|kept| keys.position_of_delta(&kept.key)).map_or(position, |kept| kept.min(position));
    let older = log.list_dated(&keys.base, Some(&keys.base(reach)), LOOK_MAX).await;
    let older = older.map_err(unavailable("listing bases"))?;
    let old_bases: Vec<String> =
        older.into_iter().filter(|base| base.key > newest.key && is_old(base, now)).map(|base| base.key).collect();
    for old in [&old_bases, &old_deltas] {
        if !old.is_empty() {
            log.delete(old).await.map_err(unavailable("deleting what has expired"))?;
        }
    }
    let base_behind = match newest_delta(log, &keys, &needed).await? {
        Some(delta) => delta.created_at.since(newest.created_at),
        None => Millis::default(),
    };
    Ok(Expired { deltas: old_deltas.len(), bases: old_bases.len(), base_behind })
}

/// Returns the deltas that may be deleted, and the first that stays. Deltas are listed oldest first, so the first
/// that stays ends the list.
fn split<'a>(deltas: &'a [Listed], needed: &str, now: Timestamp) -> (Vec<String>, Option<&'a Listed>) {
    let old = deltas.iter().take_while(|delta| delta.key.as_str() < needed && is_old(delta, now)).count();
    (deltas[..old].iter().map(|delta| delta.key.clone()).collect(), deltas.get(old).or(deltas.last()))
}

fn is_old(object: &Listed, now: Timestamp) -> bool {
    now.since(object.created_at) > CHAIN_AGE_MAX
}

/// Returns the newest of the deltas that follow the newest base. These are few, unless bases are no longer being
/// written.
async fn newest_delta<C: Clearing>(log: &C, keys: &Keys, needed: &str) -> Result<Option<Listed>, Failure> {
    let mut newest = None;
    let mut after = None;
    loop {
        let from = after.as_deref().unwrap_or(&needed[..needed.len() - 1]);
        let page = log.list_dated(&keys.log, Some(from), LOOK_MAX).await.map_err(unavailable("listing deltas"))?;
        let full = page.len() == LOOK_MAX;
        if let Some(last) = page.into_iter().next_back() {
            after = Some(last.key.clone());
            newest = Some(last).filter(|last| last.key.as_str() >= needed).or(newest);
        }
        if !full {
            return Ok(newest);
        }
    }
}
