//! How a state is read: the newest base, then every delta after it, each checked to follow the one before.

use std::sync::Arc;

use super::{
    Driver, Failure, Invocation, PortError, Ports, Publisher, RuleSets, StateLog,
    cache::{Shard, Unpublished},
    port::Created,
};
use crate::{
    chain::{self, Unreadable, keys::Keys},
    compiled::Compiled,
    counts::Counts,
    position::Position,
    rule_set::RuleSet,
    state::{RuleSetRef, ShardState},
    units::Timestamp,
};

/// Keys asked for at once.
const LIST_MAX: usize = 1_000;
/// Deltas fetched at once.
const FETCH_MAX: usize = 8;

/// Whether a rule set can be had.
pub(super) enum Loaded {
    /// Yes.
    Usable(Arc<Compiled>),
    /// No, and trying again will not help.
    Unusable(String),
}

pub(super) fn unavailable(doing: &'static str) -> impl FnOnce(PortError) -> Failure {
    move |error| Failure::Unavailable { doing, error }
}

fn broken(key: &str) -> impl FnOnce(Unreadable) -> Failure {
    move |problem| Failure::Chain { key: key.to_owned(), problem: problem.0 }
}

impl Driver {
    /// The shard as the chain has it now.
    pub(super) async fn load<L: StateLog, P: Publisher, R: RuleSets>(
        &mut self,
        ports: &Ports<'_, L, P, R>,
        keys: &Keys,
        invocation: &Invocation<'_>,
        counts: &mut Counts,
    ) -> Result<Shard, Failure> {
        let bases = match ports.log.list(&keys.base, None, 1).await {
            Err(_) if mutant!(FailedListIsEmpty) => Vec::new(),
            bases => bases.map_err(unavailable("listing bases"))?,
        };
        let mut shard = match bases.first() {
            Some(key) => {
                let bytes = ports.log.get(key).await.map_err(unavailable("reading a base"))?;
                let bytes = bytes.ok_or_else(|| broken(key)(Unreadable("it is listed but not there".into())))?;
                let base = chain::read_base(&bytes).map_err(broken(key))?;
                if keys.base(base.head.position) != *key {
                    return Err(broken(key)(Unreadable(format!("it holds the state at {}", base.head.position))));
                }
                let rules = self.adopted(ports, &base.head.rule_set.sha256).await?;
                let state = base.state(&rules).map_err(broken(key))?;
                Shard {
                    base_time: (state.position() != Position::Start).then(|| state.shard_time()),
                    state,
                    rules,
                    unpublished: None,
                    deltas_since_base: 0,
                    seen_by: invocation.deadline,
                }
            }
            None => self.start(ports, keys, invocation).await?,
        };
        self.read_on(ports, keys, &mut shard, invocation.deadline, counts).await?;
        Ok(shard)
    }

    /// A shard that has never been seen. Its empty base is created before the mark that it has begun, and both before
    /// its first delta: a mark without a base means that a base was lost, and then nothing starts anew.
    async fn start<L: StateLog, P: Publisher, R: RuleSets>(
        &mut self,
        ports: &Ports<'_, L, P, R>,
        keys: &Keys,
        invocation: &Invocation<'_>,
    ) -> Result<Shard, Failure> {
        let mark = ports.log.get(&keys.start).await.map_err(unavailable("reading the start mark"))?;
        if mark.is_some() && !mutant!(FailedListIsEmpty) {
            return Err(broken(&keys.start)(Unreadable("the shard has begun, but no base of it is there".into())));
        }
        let sha256 = self.settings.rule_set_sha256.clone();
        let rules = self.adopted(ports, &sha256).await?;
        let state = ShardState::new(RuleSetRef { version: 0, sha256: rules.sha256.clone() });
        let base = chain::write_base(&state, &rules);
        for (key, bytes) in [(keys.base(state.position()), base.as_slice()), (keys.start.clone(), b"1\n")] {
            match ports.log.create(&key, bytes).await {
                Created::Created | Created::Exists => {}
                Created::Conflict => {
                    let error = PortError("another create is under way".into());
                    return Err(unavailable("starting a shard")(error));
                }
                Created::Refused(error) | Created::Ambiguous(error) => {
                    return Err(unavailable("starting a shard")(error));
                }
            }
        }
        Ok(Shard {
            base_time: None,
            state,
            rules,
            unpublished: None,
            deltas_since_base: 0,
            seen_by: invocation.deadline,
        })
    }

    /// Applies every delta after the state's position. Afterwards the state is the end of the chain as it was when
    /// this began, and the effects of its newest delta wait to be published.
    pub(super) async fn read_on<L: StateLog, P: Publisher, R: RuleSets>(
        &mut self,
        ports: &Ports<'_, L, P, R>,
        keys: &Keys,
        shard: &mut Shard,
        deadline: Timestamp,
        counts: &mut Counts,
    ) -> Result<(), Failure> {
        let mut after = keys.before(shard.state.position());
        loop {
            let listed = match ports.log.list(&keys.log, Some(&after), LIST_MAX).await {
                Err(_) if mutant!(FailedListIsEmpty) => Vec::new(),
                listed => listed.map_err(unavailable("listing deltas"))?,
            };
            let Some(last) = listed.last() else { break };
            after.clone_from(last);
            let here = keys.delta(shard.state.position());
            let ahead = &listed[listed.partition_point(|key| *key < here)..];
            for some in ahead.chunks(FETCH_MAX) {
                let fetched = ports.log.get_all(some).await.map_err(unavailable("reading deltas"))?;
                for (key, bytes) in some.iter().zip(fetched) {
                    let from = shard.state.position();
                    if *key != keys.delta(from) {
                        return Err(broken(key)(Unreadable(format!("no delta leads from {from} to it"))));
                    }
                    let bytes = bytes.ok_or_else(|| broken(key)(Unreadable("it is listed but not there".into())))?;
                    let delta = chain::read_delta(&bytes, from).map_err(broken(key))?;
                    let rules = if delta.head.rule_set.sha256 == shard.rules.sha256 {
                        shard.rules.clone()
                    } else {
                        self.adopted(ports, &delta.head.rule_set.sha256).await?
                    };
                    let written_by = delta.written_by;
                    let effects = delta.apply(&mut shard.state, &shard.rules, &rules).map_err(broken(key))?;
                    shard.rules = rules;
                    shard.unpublished =
                        (!mutant!(EffectsNotPublishedAgain)).then_some(Unpublished { effects, written_by });
                    shard.deltas_since_base += 1;
                    counts.deltas_read += 1;
                }
            }
            if listed.len() < LIST_MAX {
                break;
            }
        }
        shard.seen_by = deadline;
        Ok(())
    }

    /// A rule set that the chain has adopted: without it nothing can be done.
    async fn adopted<L: StateLog, P: Publisher, R: RuleSets>(
        &mut self,
        ports: &Ports<'_, L, P, R>,
        sha256: &str,
    ) -> Result<Arc<Compiled>, Failure> {
        match self.rule_set(ports, sha256).await? {
            Loaded::Usable(rules) => Ok(rules),
            Loaded::Unusable(problem) => Err(Failure::RuleSet { sha256: sha256.to_owned(), problem }),
        }
    }

    /// A rule set by its address. A set that cannot be fetched now is a failure; one that will never do is not.
    pub(super) async fn rule_set<L: StateLog, P: Publisher, R: RuleSets>(
        &mut self,
        ports: &Ports<'_, L, P, R>,
        sha256: &str,
    ) -> Result<Loaded, Failure> {
        if let Some(rules) = self.cache.rule_set(sha256) {
            return Ok(Loaded::Usable(rules));
        }
        let bytes = ports.rule_sets.load(sha256).await.map_err(unavailable("loading a rule set"))?;
        let Some(bytes) = bytes else { return Ok(Loaded::Unusable("it is not there".into())) };
        let found = RuleSet::sha256(&bytes);
        if found != sha256 {
            return Ok(Loaded::Unusable(format!("its bytes have the hash {found}")));
        }
        match Compiled::from_bytes(&bytes) {
            Ok(rules) => {
                let rules = Arc::new(rules);
                self.cache.keep(&rules);
                Ok(Loaded::Usable(rules))
            }
            Err(error) => Ok(Loaded::Unusable(error.to_string())),
        }
    }
}
