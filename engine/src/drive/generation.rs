//! How a stream that replaced another one starts: from the final states of the old stream's chains. To a shard
//! without parents, all shards of the previous generation are parents. They are sealed like any other, so that
//! whatever is still in progress on the old stream can no longer change anything.
//!
//! What the old stream still holds is not read: it is another stream, and may be gone.
//!
//! A chain of the old stream that starts meanwhile would never be sealed. So a generation leaves a mark before it
//! lists the earlier chains, and a chain looks for such marks after its own start mark exists and before its first
//! delta: whichever of the two comes later sees the other.

use std::collections::HashSet;

use super::{
    Driver, Failure, Invocation, PortError, Ports, Publisher, RuleSets, Shards, StateLog,
    cache::Shard,
    inherit::{self, Rest, START_MARK},
    load::unavailable,
    survey::{self, Chain},
};
use crate::{
    chain::keys::{Keys, STARTS},
    counts::Counts,
    reshard::{self, HashRange},
};

/// Size of a base that was never written.
const NO_BASE: usize = 0;

impl Driver {
    /// Returns what the previous generation left of the devices in a range, each of them once; `None` if there was no
    /// previous generation.
    pub(super) async fn generation_before<L: StateLog, P: Publisher, R: RuleSets, S: Shards>(
        &mut self,
        ports: &Ports<'_, L, P, R, S>,
        range: HashRange,
        invocation: &Invocation<'_>,
        counts: &mut Counts,
    ) -> Result<Vec<Shard>, Failure> {
        if self.settings.generation <= 1 {
            return Ok(Vec::new());
        }
        inherit::create_once(ports.log, &Keys::generation(self.settings.generation), START_MARK).await?;
        let mut last = Vec::new();
        for chain in self.chains_before(survey::chains(ports.log).await?) {
            let place = (chain.generation, chain.repair, chain.shard.as_str());
            if let Some(Shard { state, rules, .. }) =
                self.last_state(ports, place, Rest::Gone, invocation, counts).await?
            {
                let state = reshard::only(state, |device| range.takes(device.as_str()));
                last.push((chain.shard, Shard::begun(state, rules, NO_BASE, invocation.deadline)));
            }
        }
        // A shard that was split or merged left a chain too, and its children have continued with the same devices:
        // at a time that is not lower, and under names that are higher.
        last.sort_by(|(a, one), (b, other)| {
            other.state.shard_time().cmp(&one.state.shard_time()).then_with(|| b.cmp(a))
        });
        if mutant!(OldestChainKnowsBest) {
            last.reverse();
        }
        let mut seen = HashSet::new();
        Ok(last
            .into_iter()
            .map(|(_, Shard { state, rules, .. })| {
                let state = reshard::only(state, |device| seen.insert(device.clone()));
                Shard::begun(state, rules, NO_BASE, invocation.deadline)
            })
            .collect())
    }

    /// Fails if a newer generation has started: no chain of this one may start any more.
    pub(super) async fn refuse_if_replaced<L: StateLog>(&self, log: &L) -> Result<(), Failure> {
        let doing = "beginning a shard";
        let marks = survey::list(log, STARTS, None, doing).await?;
        match marks.iter().filter_map(|mark| Keys::generation_at(mark)).max() {
            Some(newest) if newest > self.settings.generation => {
                Err(unavailable(doing)(PortError(format!("generation {newest} of the stream has begun"))))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Returns the chains of the newest generation before this one, under its highest repair number.
    fn chains_before(&self, mut chains: Vec<Chain>) -> Vec<Chain> {
        chains.retain(|chain| chain.generation < self.settings.generation && chain.repair <= self.settings.repair);
        let newest = chains.iter().map(|chain| (chain.generation, chain.repair)).max();
        chains.retain(|chain| Some((chain.generation, chain.repair)) == newest);
        chains
    }
}
