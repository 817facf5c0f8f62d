//! Reads a state: the newest base, then every delta after it, each checked to follow the one before.

use std::sync::Arc;

use super::{
    Driver, Failure, Invocation, PortError, Ports, Publisher, RuleSets, Shards, StateLog,
    cache::{Shard, Unpublished},
    inherit::{self, START_MARK},
};
use crate::{
    chain::{self, Link, Unreadable, keys::Keys},
    compiled::Compiled,
    counts::Counts,
    position::Position,
    rule_set::RuleSet,
    units::Timestamp,
};

/// Maximum number of keys in one listing.
const LIST_MAX: usize = 1_000;
/// Number of deltas fetched at once.
const FETCH_MAX: usize = 8;

/// Whether a rule set can be used.
pub(super) enum Loaded {
    /// Yes, in its compiled form.
    Usable(Arc<Compiled>),
    /// No, for this reason, and trying again does not help.
    Unusable(String),
}

pub(super) fn unavailable(doing: &'static str) -> impl FnOnce(PortError) -> Failure {
    move |error| Failure::Unavailable { doing, error }
}

pub(super) fn broken(key: &str) -> impl FnOnce(Unreadable) -> Failure {
    move |problem| Failure::Chain { key: key.to_owned(), problem: problem.0 }
}

impl Driver {
    /// Returns the shard as the chain has it now. A shard that has never been seen is started.
    pub(super) async fn load<L: StateLog, P: Publisher, R: RuleSets, S: Shards>(
        &mut self,
        ports: &Ports<'_, L, P, R, S>,
        name: &str,
        invocation: &Invocation<'_>,
        counts: &mut Counts,
    ) -> Result<Shard, Failure> {
        let keys = Keys::new(&self.settings, name);
        let (mut shard, known) = match self.newest_base(ports, &keys, invocation).await? {
            Some(shard) => (shard, true),
            None => (self.begin(ports, name, invocation, counts).await?, false),
        };
        self.read_on(ports, &keys, &mut shard, invocation.deadline, counts).await?;
        if known && shard.state.position() == Position::Start {
            // The process that created the base may have died before it left the mark.
            inherit::create_once(ports.log, &keys.start, START_MARK).await?;
            if !shard.sealed {
                self.refuse_if_replaced(ports.log).await?;
            }
        }
        if let Some(unpublished) = &mut shard.unpublished {
            self.cache.resume(unpublished);
        }
        Ok(shard)
    }

    /// Returns the state of the newest base; `None` if there is no base.
    pub(super) async fn newest_base<L: StateLog, P: Publisher, R: RuleSets, S: Shards>(
        &mut self,
        ports: &Ports<'_, L, P, R, S>,
        keys: &Keys,
        invocation: &Invocation<'_>,
    ) -> Result<Option<Shard>, Failure> {
        let bases = match ports.log.list(&keys.base, None, 1).await {
            Err(_) if mutant!(FailedListIsEmpty) => Vec::new(),
            bases => bases.map_err(unavailable("listing bases"))?,
        };
        let Some(key) = bases.first() else { return Ok(None) };
        let bytes = ports.log.get(key).await.map_err(unavailable("reading a base"))?;
        self.base_at(ports.rule_sets, keys, key, bytes, invocation.deadline).await.map(Some)
    }

    /// Returns the state of the base at a key.
    pub(super) async fn base_at<R: RuleSets>(
        &mut self,
        rule_sets: &R,
        keys: &Keys,
        key: &str,
        bytes: Option<Vec<u8>>,
        deadline: Timestamp,
    ) -> Result<Shard, Failure> {
        let bytes = bytes.ok_or_else(|| broken(key)(Unreadable("it is listed but not there".into())))?;
        let base = chain::read_base(&bytes).map_err(broken(key))?;
        if keys.base(base.head.position) != key {
            return Err(broken(key)(Unreadable(format!("it holds the state at {}", base.head.position))));
        }
        let rules = self.adopted(rule_sets, &base.head.rule_set.sha256).await?.under(&base.head.overrides);
        let state = base.state(&rules).map_err(broken(key))?;
        Ok(Shard::begun(state, rules, bytes.len(), deadline))
    }

    /// Applies every delta after the state's position. Afterwards the state is at the end of the chain as of the
    /// start of this call, and the effects of its newest delta wait to be published.
    pub(super) async fn read_on<L: StateLog, P: Publisher, R: RuleSets, S: Shards>(
        &mut self,
        ports: &Ports<'_, L, P, R, S>,
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
                    if shard.sealed {
                        if *key == keys.delta(from) {
                            continue;
                        }
                        return Err(broken(key)(Unreadable(format!("it follows the seal at {from}"))));
                    }
                    if *key != keys.delta(from) {
                        return Err(broken(key)(Unreadable(format!("no delta leads from {from} to it"))));
                    }
                    let length = bytes.as_ref().map_or(0, Vec::len);
                    if self.follow(ports.rule_sets, key, bytes, shard).await? {
                        shard.tail.push(length);
                        counts.deltas_read += 1;
                    }
                }
            }
            if listed.len() < LIST_MAX {
                break;
            }
        }
        shard.seen_by = deadline;
        Ok(())
    }

    /// Advances a shard by the object that follows its position. Returns `false` if that is a seal.
    pub(super) async fn follow<R: RuleSets>(
        &mut self,
        rule_sets: &R,
        key: &str,
        bytes: Option<Vec<u8>>,
        shard: &mut Shard,
    ) -> Result<bool, Failure> {
        let bytes = bytes.ok_or_else(|| broken(key)(Unreadable("it is listed but not there".into())))?;
        let delta = match chain::read_link(&bytes, shard.state.position()).map_err(broken(key))? {
            Link::Delta(delta) => delta,
            Link::Seal => {
                shard.sealed = true;
                return Ok(false);
            }
        };
        let rules = if delta.head.rule_set.sha256 == shard.rules.sha256 {
            shard.rules.clone()
        } else {
            self.adopted(rule_sets, &delta.head.rule_set.sha256).await?
        };
        let rules = rules.under(&delta.head.overrides);
        let unpublished = Unpublished::read(key, delta.effects, delta.written_by);
        delta.apply(&mut shard.state, &shard.rules, &rules).map_err(broken(key))?;
        shard.rules = rules;
        shard.unpublished = (!mutant!(EffectsNotPublishedAgain)).then_some(unpublished);
        Ok(true)
    }

    /// Returns a rule set that the chain has adopted. Without it, nothing can be done.
    pub(super) async fn adopted<R: RuleSets>(&mut self, rule_sets: &R, sha256: &str) -> Result<Arc<Compiled>, Failure> {
        match self.rule_set(rule_sets, sha256).await? {
            Loaded::Usable(rules) => Ok(rules),
            Loaded::Unusable(problem) => Err(Failure::RuleSet { sha256: sha256.to_owned(), problem }),
        }
    }

    /// Returns a rule set by its address. A set that cannot be fetched now is a failure; one that can never be used
    /// is not.
    pub(super) async fn rule_set<R: RuleSets>(&mut self, rule_sets: &R, sha256: &str) -> Result<Loaded, Failure> {
        if let Some(rules) = self.cache.rule_set(sha256) {
            return Ok(Loaded::Usable(rules));
        }
        let bytes = rule_sets.load(sha256).await.map_err(unavailable("loading a rule set"))?;
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
