//! What a driver keeps between runs. A shard's state is taken out for a run and put back only if the run left it on
//! the chain; a run that ends in any other way, even by being dropped in the middle, thereby forgets it.

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

/// A cached state older than this is not used: objects that it could still try to create are kept for longer.
pub const CACHE_AGE_MAX: Millis = Millis::from_secs(600);

/// Compiled rule sets that no cached shard uses and that are kept all the same.
const SPARE_RULE_SETS: usize = 2;

/// A shard as the chain has it.
#[derive(Debug)]
pub(super) struct Shard {
    pub(super) state: ShardState,
    /// The set that the state names.
    pub(super) rules: Arc<Compiled>,
    /// Effects of the newest delta that have not been seen accepted.
    pub(super) unpublished: Option<Unpublished>,
    /// What follows its newest base.
    pub(super) tail: Tail,
    /// Whether the chain ends here for good.
    pub(super) sealed: bool,
    /// Deadline of the run that last saw the end of the chain.
    pub(super) seen_by: Timestamp,
}

impl Shard {
    /// A shard as a base of so many bytes has it.
    pub(super) fn begun(state: ShardState, rules: Arc<Compiled>, base_bytes: usize, seen_by: Timestamp) -> Self {
        let base_time = (state.position() != Position::Start).then(|| state.shard_time());
        let tail = Tail::after(base_bytes, base_time);
        Self { state, rules, unpublished: None, tail, sealed: false, seen_by }
    }
}

/// What a delta asks of the world.
#[derive(Debug)]
pub(super) struct Unpublished {
    /// Where the delta lies, or what stands for it.
    key: String,
    asked: Asked,
    /// How many of its rows and records have been seen accepted, in the order of [`Effects::part`].
    pub(super) accepted: usize,
    /// Deadline of the run that wrote the delta.
    pub(super) written_by: Timestamp,
}

/// Of a chain that is read, only the newest delta is asked for its effects: the others stay as they are written.
#[derive(Debug)]
enum Asked {
    Known(Effects),
    Written(Vec<u8>),
}

impl Unpublished {
    /// Of a delta that was written here.
    pub(super) fn new(key: String, effects: Effects, written_by: Timestamp) -> Self {
        Self { key, asked: Asked::Known(effects), accepted: 0, written_by }
    }

    /// Of the delta that was read at a key.
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
    /// How many rows of what belongs to a key were seen accepted, where no shard here says so: of a beginning until the shard
    /// has begun, of a shard that was let go of until all of them are.
    accepted: HashMap<String, usize>,
    /// In the order of their addresses, so that which of the spare ones go is the same in every run.
    rule_sets: BTreeMap<SmolStr, Arc<Compiled>>,
}

impl Cache {
    /// Takes a shard out, if it is young enough to be used. Whichever is not is let go of: another process may have
    /// taken it over.
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

    /// Goes on with what is to be published where a run before has ended.
    pub(super) fn resume(&mut self, unpublished: &mut Unpublished) {
        unpublished.accepted = self.accepted.remove(&unpublished.key).unwrap_or(unpublished.accepted);
    }

    /// Keeps how far it was published.
    pub(super) fn keep_accepted(&mut self, unpublished: &Unpublished) {
        self.accepted.insert(unpublished.key.clone(), unpublished.accepted);
    }

    /// Forgets it: a shard has begun.
    pub(super) fn forget_accepted(&mut self) {
        self.accepted.clear();
    }

    pub(super) fn rule_set(&self, sha256: &str) -> Option<Arc<Compiled>> {
        self.rule_sets.get(sha256).cloned()
    }

    /// Keeps a rule set, and lets go of those that nobody uses any more.
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
