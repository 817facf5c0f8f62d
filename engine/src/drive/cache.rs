//! What a driver keeps between runs. A shard's state is taken out for a run and put back only if the run left it on
//! the chain. A run that ends in any other way, including one that is dropped midway, thereby forgets the state.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use smol_str::SmolStr;

use super::{Failure, load::broken, tail::Tail};
use crate::{
    chain,
    compiled::Compiled,
    effect::Effects,
    position::Position,
    state::ShardState,
    units::{Millis, Timestamp},
};

/// Maximum age of a cached state. Objects that such a state could still try to create are kept for longer.
pub const CACHE_AGE_MAX: Millis = Millis::from_secs(600);

/// Number of compiled rule sets that are kept although no cached shard uses them.
const SPARE_RULE_SETS: usize = 2;

/// A shard as the chain has it.
#[derive(Debug)]
pub(super) struct Shard {
    pub(super) state: ShardState,
    /// The rule set that the state names.
    pub(super) rules: Arc<Compiled>,
    /// Effects of the newest delta that are not known to be accepted.
    pub(super) unpublished: Option<Unpublished>,
    /// What follows the newest base.
    pub(super) tail: Tail,
    /// Whether the chain ends here for good.
    pub(super) sealed: bool,
    /// Deadline of the run that last saw the end of the chain.
    pub(super) seen_by: Timestamp,
}

impl Shard {
    /// Creates a shard from a base of this many bytes.
    pub(super) fn begun(state: ShardState, rules: Arc<Compiled>, base_bytes: usize, seen_by: Timestamp) -> Self {
        let base_time = (state.position() != Position::Start).then(|| state.shard_time());
        let tail = Tail::after(base_bytes, base_time);
        Self { state, rules, unpublished: None, tail, sealed: false, seen_by }
    }
}

/// The effects that a delta requests and that are not yet known to be published.
#[derive(Debug)]
pub(super) struct Unpublished {
    /// Key of the delta, or of the object that stands for it.
    key: String,
    asked: Asked,
    /// Number of its rows and records that are known to be accepted, in the order of [`Effects::part`].
    pub(super) accepted: usize,
    /// Deadline of the run that wrote the delta.
    pub(super) written_by: Timestamp,
}

/// Effects, decoded or still encoded. While a chain is read, only the newest delta's effects are decoded; the others
/// stay encoded.
#[derive(Debug)]
enum Asked {
    Known(Effects),
    Written(Vec<u8>),
}

impl Unpublished {
    /// From a delta that was written here.
    pub(super) fn new(key: String, effects: Effects, written_by: Timestamp) -> Self {
        Self { key, asked: Asked::Known(effects), accepted: 0, written_by }
    }

    /// From the delta that was read at a key.
    pub(super) fn read(key: &str, effects: &[u8], written_by: Timestamp) -> Self {
        Self { key: key.to_owned(), asked: Asked::Written(effects.to_vec()), accepted: 0, written_by }
    }

    pub(super) fn effects(&mut self) -> Result<&Effects, Failure> {
        if let Asked::Written(effects) = &self.asked {
            self.asked = Asked::Known(chain::read_effects(effects).map_err(broken(&self.key))?);
        }
        match &self.asked {
            Asked::Known(effects) => Ok(effects),
            Asked::Written(_) => unreachable!("they were read above"),
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Cache {
    shards: HashMap<SmolStr, Shard>,
    /// Number of rows of a key's effects that are known to be accepted, where no cached shard holds that number: for
    /// the start of a shard, until the shard has started; for a shard that was dropped from the cache, until all of
    /// them are accepted.
    accepted: HashMap<String, usize>,
    /// Ordered by address, so that every run drops the same spare sets.
    rule_sets: BTreeMap<SmolStr, Arc<Compiled>>,
}

impl Cache {
    /// Takes a shard out of the cache if it is young enough to be used. An older one is dropped: another process may
    /// have taken the shard over.
    pub(super) fn take(&mut self, shard: &str, deadline: Timestamp) -> Option<Shard> {
        let Self { shards, accepted, .. } = self;
        shards.retain(|_, cached| {
            let is_young = deadline.since(cached.seen_by) <= CACHE_AGE_MAX || mutant!(CacheNeverTooOld);
            if let Some(unpublished) = cached.unpublished.as_ref().filter(|_| !is_young) {
                accepted.insert(unpublished.key.clone(), unpublished.accepted);
            }
            is_young
        });
        shards.remove(shard)
    }

    pub(super) fn put(&mut self, name: &str, shard: Shard) {
        self.shards.insert(SmolStr::new(name), shard);
    }

    /// Resumes publishing where an earlier run stopped.
    pub(super) fn resume(&mut self, unpublished: &mut Unpublished) {
        unpublished.accepted = self.accepted.remove(&unpublished.key).unwrap_or(unpublished.accepted);
    }

    /// Keeps the number of rows and records accepted so far.
    pub(super) fn keep_accepted(&mut self, unpublished: &Unpublished) {
        self.accepted.insert(unpublished.key.clone(), unpublished.accepted);
    }

    /// Forgets that number: the shard has started.
    pub(super) fn forget_accepted(&mut self) {
        self.accepted.clear();
    }

    pub(super) fn rule_set(&self, sha256: &str) -> Option<Arc<Compiled>> {
        self.rule_sets.get(sha256).cloned()
    }

    /// Keeps a rule set, and drops those that are no longer used.
    pub(super) fn keep(&mut self, rules: &Arc<Compiled>) {
        let mut spare = 0;
        self.rule_sets.retain(|_, kept| {
            let used = Arc::strong_count(kept) > 1;
            spare += usize::from(!used);
            used || spare < SPARE_RULE_SETS
        });
        self.rule_sets.insert(rules.sha256.clone(), rules.clone());
    }
}
