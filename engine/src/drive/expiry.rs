//! Which objects of a chain nobody needs any more. Never the newest base or what follows it, never a seal, never the
//! mark that a shard has begun: whatever the clock says, the chain can be read afterwards.

use std::future::Future;

use super::{Chain, Failure, PortError, load::unavailable};
use crate::{
    chain::keys::Keys,
    units::{Millis, Timestamp},
};

/// Deltas and bases are kept for so long, for whoever must repair a chain.
pub const CHAIN_AGE_MAX: Millis = Millis::from_days(7);
/// A newest base that is so far behind the newest delta is worth an alarm.
pub const BASE_BEHIND_MAX: Millis = Millis::from_days(1);

/// Objects looked at in one call: the next call goes on.
const LOOK_MAX: usize = 1_000;

/// An object and its age.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its key.
    pub key: String,
    /// When it was created, by the store's clock.
    pub created_at: Timestamp,
}

/// The state log as the one who clears it away sees it.
pub trait Clearing: Sync {
    /// As [`super::StateLog::list`], with the time of each object.
    fn list_dated(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<Listed>, PortError>> + Send;

    /// Deletes objects, at most a thousand; those that are not there any more are no failure.
    fn delete(&self, keys: &[String]) -> impl Future<Output = Result<(), PortError>> + Send;
}

/// What was cleared away, and how the chain stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Expired {
    /// Deltas deleted.
    pub deltas: usize,
    /// Bases deleted.
    pub bases: usize,
    /// How much older the newest base is than the newest delta: see [`BASE_BEHIND_MAX`].
    pub base_behind: Millis,
}

/// Clears away what is older than [`CHAIN_AGE_MAX`] of one chain. A call looks at a thousand objects at most, the oldest
/// first, so that it costs the same however long the chain is.
pub async fn expire<C: Clearing>(
    log: &C,
    Chain { generation, repair, shard }: &Chain,
    now: Timestamp,
) -> Result<Expired, Failure> {
    let keys = Keys::of(*generation, *repair, shard);
    let bases = log.list_dated(&keys.base, None, 1).await.map_err(unavailable("listing bases"))?;
    // Without a base, or with one that another version named, there is nothing that may go.
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

/// The deltas that may go, and the first that stays. They are listed from the oldest on, so the first that stays ends
/// the list of those that go.
fn split<'a>(deltas: &'a [Listed], needed: &str, now: Timestamp) -> (Vec<String>, Option<&'a Listed>) {
    let old = deltas.iter().take_while(|delta| delta.key.as_str() < needed && is_old(delta, now)).count();
    (deltas[..old].iter().map(|delta| delta.key.clone()).collect(), deltas.get(old).or(deltas.last()))
}

fn is_old(object: &Listed, now: Timestamp) -> bool {
    now.since(object.created_at) > CHAIN_AGE_MAX
}

/// The newest of the deltas that follow the newest base: few, unless no base is written any more.
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
