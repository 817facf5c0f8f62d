//! How a shard starts. A shard without parents starts empty, unless the stream replaced another one. A child starts
//! with the part of its parents' final states that falls into its range of hash keys. A state is final once its chain
//! is sealed: nothing follows a seal, so every child of a shard sees the same state, however late it starts.

use std::{collections::BTreeMap, sync::Arc};

use smol_str::SmolStr;

use super::{
    DEADLINE_RESERVE, Driver, Failure, Invocation, Lineage, Next, PortError, Ports, Publisher, ReadFrom, RuleSets,
    Shards, StateLog,
    cache::{Shard, Unpublished},
    commit::{self, Committed},
    load::{broken, unavailable},
    port::Created,
};
use crate::{
    chain::{self, Unreadable, keys::Keys},
    compiled::Compiled,
    counts::Counts,
    position::Position,
    reshard,
    rule_set::RuleSet,
    state::{RuleSetRef, ShardState},
    step::{self, Run},
    units::Millis,
};

/// Maximum number of shards without a state that are visited from one child: a stream is not resharded that often
/// while it keeps records.
pub const ANCESTORS_MAX: usize = 256;
/// Contents of the mark that a shard has started.
pub(super) const START_MARK: &[u8] = b"1\n";
/// Margin added to the maximum record age before a record counts as expired: its age is measured against a deadline,
/// not the event source's clock.
pub const RECORD_AGE_MARGIN: Millis = Millis::from_secs(600);

/// The place of the records of a chain that were not evaluated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rest {
    /// On the stream, in a closed shard. A record that may still be evaluated keeps the chain open.
    Here,
    /// On a stream that was replaced: they will not be evaluated.
    Gone,
}

impl Driver {
    /// Starts a shard that has no base, and those of its ancestors that have none, oldest first.
    pub(super) async fn begin<L: StateLog, P: Publisher, R: RuleSets, S: Shards>(
        &mut self,
        ports: &Ports<'_, L, P, R, S>,
        name: &str,
        invocation: &Invocation<'_>,
        counts: &mut Counts,
    ) -> Result<Shard, Failure> {
        let mut waiting = self.ancestry(ports, name).await?;
        loop {
            let ready = waiting
                .iter()
                .find(|(_, lineage)| !lineage.parents.iter().any(|parent| waiting.contains_key(parent)))
                .map(|(shard, _)| shard.clone());
            let Some((next, lineage)) = ready.and_then(|shard| waiting.remove_entry(&shard)) else {
                let error = PortError(format!("the ancestors of {name} descend from each other"));
                return Err(unavailable("asking for a shard's lineage")(error));
            };
            let begun = self.begin_one(ports, &next, &lineage, invocation, counts).await?;
            if waiting.is_empty() {
                self.cache.forget_accepted();
                return Ok(begun);
            }
        }
    }

    /// Returns the shard and those of its ancestors that must start before it, with their lineages.
    async fn ancestry<L: StateLog, P: Publisher, R: RuleSets, S: Shards>(
        &self,
        ports: &Ports<'_, L, P, R, S>,
        name: &str,
    ) -> Result<BTreeMap<SmolStr, Lineage>, Failure> {
        let doing = "asking for a shard's lineage";
        let mut found = BTreeMap::new();
        let mut asked = vec![SmolStr::new(name)];
        while let Some(shard) = asked.pop() {
            match ports.shards.lineage(&shard).await.map_err(unavailable(doing))? {
                Some(lineage) => {
                    for parent in &lineage.parents {
                        let known = *parent == shard || found.contains_key(parent) || asked.contains(parent);
                        if !known && !self.has_base(ports, parent).await? {
                            asked.push(parent.clone());
                        }
                    }
                    found.insert(shard, lineage);
                }
                None if shard == name => {
                    return Err(unavailable(doing)(PortError(format!("the stream does not list {shard}"))));
                }
                // It has neither a state nor records, and never will: nothing is inherited from it.
                None => {}
            }
            if found.len() > ANCESTORS_MAX {
                let error = PortError(format!("more than {ANCESTORS_MAX} ancestors of {name} have no state"));
                return Err(unavailable(doing)(error));
            }
        }
        Ok(found)
    }

    async fn has_base<L: StateLog, P: Publisher, R: RuleSets, S: Shards>(
        &self,
        ports: &Ports<'_, L, P, R, S>,
        name: &str,
    ) -> Result<bool, Failure> {
        let keys = Keys::new(&self.settings, name);
        let bases = ports.log.list(&keys.base, None, 1).await.map_err(unavailable("listing bases"))?;
        Ok(!bases.is_empty())
    }

    /// Starts one shard whose parents have all started. Its first base is created before the mark that it has
    /// started, and both before its first delta. A mark without a base means that a base was lost, and then nothing
    /// starts from scratch. Whether the stream was replaced is checked before anything is published, and again
    /// between the mark and the first delta.
    async fn begin_one<L: StateLog, P: Publisher, R: RuleSets, S: Shards>(
        &mut self,
        ports: &Ports<'_, L, P, R, S>,
        name: &str,
        lineage: &Lineage,
        invocation: &Invocation<'_>,
        counts: &mut Counts,
    ) -> Result<Shard, Failure> {
        let keys = Keys::new(&self.settings, name);
        for repair in 0..=self.settings.repair {
            let mark = Keys::of(self.settings.generation, repair, name).start;
            let there = ports.log.get(&mark).await.map_err(unavailable("reading the start mark"))?.is_some();
            if there && !mutant!(FailedListIsEmpty) {
                return Err(broken(&mark)(Unreadable("the shard has begun, but no base of it is there".into())));
            }
        }
        let mut last = Vec::new();
        let left_out = usize::from(mutant!(ChildWithoutOneParent) && lineage.parents.len() > 1);
        for parent in lineage.parents.iter().skip(left_out) {
            let place = (self.settings.generation, self.settings.repair, parent.as_str());
            last.extend(self.last_state(ports, place, Rest::Here, invocation, counts).await?);
        }
        if last.is_empty() {
            last = self.generation_before(ports, lineage.range, invocation, counts).await?;
        }
        let inherited = !last.is_empty();
        let mut run = Run::new(name, self.settings.generation);
        let (state, rules) = match inherit(last, lineage, &mut run) {
            Some(begun) => begun,
            None => {
                let sha256 = self.settings.rule_set_sha256.clone();
                let rules = self.adopted(ports.rule_sets, &sha256).await?;
                (ShardState::new(RuleSetRef { version: 0, sha256: rules.sha256.clone() }), rules)
            }
        };
        self.refuse_if_replaced(ports.log).await?;
        // Episodes that end with their rule set. Every process that starts this shard finds the same ones under the
        // same names, so none is lost if this one ends before the base exists, and none is added later.
        let rows = serde_json::to_vec(&run.effects).expect("rows have text keys only");
        let key = format!("{}/{}", keys.start, RuleSet::sha256(&rows));
        let mut asked = Unpublished::new(key, run.effects, invocation.deadline);
        self.publish_of(ports.publisher, &mut asked, invocation, counts).await?;
        if (invocation.remaining)() <= DEADLINE_RESERVE {
            return Err(Failure::Deadline);
        }
        let base = chain::write_base(&state, &rules);
        let fresh = create_once(ports.log, &keys.base(Position::Start), &base).await?;
        create_once(ports.log, &keys.start, START_MARK).await?;
        self.refuse_if_replaced(ports.log).await?;
        if !fresh
            && !mutant!(FailedListIsEmpty)
            && let Some(begun) = self.newest_base(ports, &keys, invocation).await?
        {
            // Another process started it, perhaps with another rule set named by the environment.
            return Ok(begun);
        }
        counts.add(run.counts);
        counts.inherited += u64::from(inherited);
        Ok(Shard::begun(state, rules, base.len(), invocation.deadline))
    }

    /// Returns the final state of a shard, sealing the chain if it is not sealed yet; `None` if it never had one.
    pub(super) async fn last_state<L: StateLog, P: Publisher, R: RuleSets, S: Shards>(
        &mut self,
        ports: &Ports<'_, L, P, R, S>,
        (generation, repair, name): (u32, u32, &str),
        rest: Rest,
        invocation: &Invocation<'_>,
        counts: &mut Counts,
    ) -> Result<Option<Shard>, Failure> {
        let keys = Keys::of(generation, repair, name);
        let Some(mut shard) = self.newest_base(ports, &keys, invocation).await? else { return Ok(None) };
        self.read_on(ports, &keys, &mut shard, invocation.deadline, counts).await?;
        loop {
            if let Some(mut asked) = shard.unpublished.take() {
                self.publish_of(ports.publisher, &mut asked, invocation, counts).await?;
            }
            if shard.sealed {
                return Ok(Some(shard));
            }
            let position = shard.state.position();
            if mutant!(ParentNotSealed) {
                return Ok(Some(shard));
            }
            let left_behind = match rest {
                Rest::Here if !mutant!(ParentSealedEarly) => {
                    self.left_behind(ports, name, position, invocation).await?
                }
                Rest::Here | Rest::Gone => 0,
            };
            if (invocation.remaining)() <= DEADLINE_RESERVE {
                return Err(Failure::Deadline);
            }
            let seal = chain::write_seal(position);
            match commit::create(ports.log, invocation, &keys.delta(position), &seal).await? {
                Committed::Mine => {
                    shard.sealed = true;
                    counts.seals += 1;
                    counts.left_behind += left_behind;
                }
                Committed::Theirs => {
                    self.read_on(ports, &keys, &mut shard, invocation.deadline, counts).await?;
                    if !shard.sealed && shard.state.position() <= position {
                        let error = PortError("the delta that was there is not listed yet".into());
                        return Err(unavailable("catching up")(error));
                    }
                }
            }
        }
    }

    /// Publishes the effects of a start, or of a parent's newest delta. The next run continues where this one ends.
    async fn publish_of<P: Publisher>(
        &mut self,
        publisher: &P,
        asked: &mut Unpublished,
        invocation: &Invocation<'_>,
        counts: &mut Counts,
    ) -> Result<(), Failure> {
        self.cache.resume(asked);
        let published = commit::publish_rest(publisher, invocation, asked, counts).await;
        self.cache.keep_accepted(asked);
        published
    }

    /// Counts the records of a shard that will not be evaluated any more. While one may still arrive, the shard is
    /// not at its end.
    async fn left_behind<L: StateLog, P: Publisher, R: RuleSets, S: Shards>(
        &self,
        ports: &Ports<'_, L, P, R, S>,
        name: &str,
        position: Position,
        invocation: &Invocation<'_>,
    ) -> Result<u64, Failure> {
        let doing = "reading a parent shard";
        let age_max = self.settings.record_age_max.0.saturating_add(RECORD_AGE_MARGIN.0);
        let mut from = ReadFrom::from(position);
        let mut left_behind = 0;
        loop {
            if (invocation.remaining)() <= DEADLINE_RESERVE {
                return Err(Failure::Deadline);
            }
            let page = ports.shards.read(name, &from).await.map_err(unavailable(doing))?;
            if let Some(young) = page.records.iter().find(|it| invocation.deadline.since(it.arrived_at).0 < age_max) {
                let error = PortError(format!("record {} of {name} has not been taken yet", young.sequence));
                return Err(unavailable(doing)(error));
            }
            left_behind += page.records.len() as u64;
            match page.next {
                Next::End => return Ok(left_behind),
                Next::Newest => return Err(unavailable(doing)(PortError(format!("{name} is not closed yet")))),
                Next::More(token) => from = ReadFrom::Token(token),
            }
        }
    }
}

/// Returns the state that a child starts with and its rule set: the newer of its parents' sets, under the newest of
/// their overrides. By then time has passed for all of them, and episodes of a parent that cannot be carried over
/// end.
fn inherit(parents: Vec<Shard>, lineage: &Lineage, run: &mut Run) -> Option<(ShardState, Arc<Compiled>)> {
    let birth = (&lineage.first, parents.iter().map(|parent| parent.state.shard_time()).max()?);
    let caught_up = parents.into_iter().map(|Shard { state, rules, .. }| {
        let mut state = reshard::part(state, lineage.range);
        let others = if mutant!(ParentNotCaughtUp) { None } else { step::catch_up(&rules, &mut state, birth, run) };
        (state, others.unwrap_or(rules))
    });
    let parents: Vec<_> = caught_up.collect();
    let sets = parents.iter().map(|(state, rules)| (state.rule_set().version, rules));
    let (version, newest) = sets.max_by(|(a, one), (b, other)| a.cmp(b).then_with(|| one.sha256.cmp(&other.sha256)))?;
    let overrides = parents.iter().map(|(state, _)| state.head.overrides.clone());
    let rules = newest.under(&overrides.reduce(|one, other| one.merge(&other).into()).unwrap_or_default());
    let states = parents.into_iter().map(|(mut state, old)| {
        step::hand_over(&old, (&rules, version), &mut state, birth, run);
        state
    });
    let mut state = states.reduce(reshard::merge)?;
    state.begin();
    Some((state, rules))
}

/// Creates an object whose bytes are the same for every writer. Returns whether this call created it.
pub(super) async fn create_once<L: StateLog>(log: &L, key: &str, bytes: &[u8]) -> Result<bool, Failure> {
    match log.create(key, bytes).await {
        Created::Created => Ok(true),
        Created::Exists => Ok(false),
        Created::Conflict => Err(unavailable("starting a shard")(PortError("another create is under way".into()))),
        Created::Refused(error) | Created::Ambiguous(error) => Err(unavailable("starting a shard")(error)),
    }
}
