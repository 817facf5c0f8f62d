//! The condition of a chain: what can be read of it, from which base, and what cannot be read and why. Reads only,
//! and decides nothing.

use smol_str::SmolStr;

use super::{Driver, Failure, PortError, RuleSets, Settings, StateLog, cache::Shard, load::unavailable};
use crate::{
    chain::{
        self, Link, Unreadable,
        keys::{Keys, STARTS},
    },
    ids::RuleId,
    overrides::Override,
    position::Position,
    state::RuleSetRef,
    units::Timestamp,
};

/// Maximum number of keys in one listing.
const LIST_MAX: usize = 1_000;
/// Number of deltas fetched at once.
const FETCH_MAX: usize = 8;

/// An object that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// Key of the object in the state log.
    pub key: String,
    /// Description of the problem.
    pub problem: String,
    /// Whether a newer version wrote it. If so, the object is fine and this version is too old.
    pub newer: bool,
}

/// The condition of the chain of one shard.
#[derive(Clone, Debug, PartialEq)]
pub struct Survey {
    /// The shard's id, as Kinesis names it: `shardId-...`.
    pub shard: SmolStr,
    /// Number of bases found.
    pub bases: usize,
    /// Position of the newest base that can be read; `None` if none can.
    pub base: Option<Position>,
    /// Number of deltas that can be read after it.
    pub deltas: usize,
    /// The position that those deltas lead to.
    pub position: Position,
    /// The shard's time at that position.
    pub shard_time: Timestamp,
    /// The rule set in force at that position.
    pub rule_set: Option<RuleSetRef>,
    /// Number of devices at that position.
    pub devices: usize,
    /// How many of those devices are retired.
    pub retired: usize,
    /// Overrides of rules at that position, including rows that no longer set anything.
    pub overrides: Vec<(RuleId, Override)>,
    /// Whether the chain ends at that position for good.
    pub sealed: bool,
    /// What cannot be read: bases newer than that one, and the first delta that does not follow.
    pub broken: Vec<Broken>,
}

/// The part of a chain that can be read, with its bytes.
pub(super) struct Sound {
    pub(super) shard: Shard,
    pub(super) base: (Position, Vec<u8>),
    /// Links after the base, each with the position that it follows.
    pub(super) links: Vec<(Position, Vec<u8>)>,
}

/// What was found in a chain.
pub(super) struct Found {
    pub(super) bases: usize,
    pub(super) sound: Option<Sound>,
    pub(super) broken: Vec<Broken>,
    /// The last position under the chain's keys, and whether a seal lies there.
    pub(super) last: Option<(Position, bool)>,
}

/// A chain that has started.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Chain {
    /// Generation of the stream.
    pub generation: u32,
    /// The number under which it was repaired; zero if it never was.
    pub repair: u32,
    /// The shard's id, as Kinesis names it: `shardId-...`.
    pub shard: SmolStr,
}

/// Returns every chain that has started, whatever its generation and repair number.
pub async fn chains<L: StateLog>(log: &L) -> Result<Vec<Chain>, Failure> {
    let marks = list(log, STARTS, None, "listing start marks").await?;
    let chain = |(generation, repair, shard)| Chain { generation, repair, shard: SmolStr::new(shard) };
    Ok(marks.iter().filter_map(|mark| Keys::place_of_start(mark)).map(chain).collect())
}

/// Returns the shards whose chains have started.
pub async fn shards<L: StateLog>(log: &L, generation: u32, repair: u32) -> Result<Vec<SmolStr>, Failure> {
    let prefix = Keys::of(generation, repair, "").start;
    let keys = list(log, &prefix, None, "listing start marks").await?;
    Ok(keys.iter().filter_map(|key| key.strip_prefix(&prefix)).map(SmolStr::new).collect())
}

/// Examines the chain of a shard.
pub async fn survey<L: StateLog, R: RuleSets>(
    log: &L,
    rule_sets: &R,
    settings: &Settings,
    shard: &str,
) -> Result<Survey, Failure> {
    let Found { bases, sound, broken, .. } = Driver::new(settings.clone()).find(log, rule_sets, shard).await?;
    let empty = Survey {
        shard: shard.into(),
        bases,
        base: None,
        deltas: 0,
        position: Position::Start,
        shard_time: Timestamp::default(),
        rule_set: None,
        devices: 0,
        retired: 0,
        overrides: Vec::new(),
        sealed: false,
        broken,
    };
    Ok(match sound {
        None => empty,
        Some(Sound { shard, base, links }) => Survey {
            base: Some(base.0),
            deltas: links.len() - usize::from(shard.sealed),
            position: shard.state.position(),
            shard_time: shard.state.shard_time(),
            rule_set: Some(shard.state.rule_set().clone()),
            devices: shard.state.devices.len(),
            retired: shard.state.devices.iter().filter(|device| device.registration.retired).count(),
            overrides: shard.state.overrides().map(|(rule, row)| (rule.clone(), row.clone())).collect(),
            sealed: shard.sealed,
            ..empty
        },
    })
}

pub(super) async fn list<L: StateLog>(
    log: &L,
    prefix: &str,
    after: Option<String>,
    doing: &'static str,
) -> Result<Vec<String>, Failure> {
    let (mut keys, mut after) = (Vec::new(), after);
    loop {
        let page = log.list(prefix, after.as_deref(), LIST_MAX).await.map_err(unavailable(doing))?;
        let full = page.len() == LIST_MAX;
        after = page.last().cloned();
        keys.extend(page);
        if !full {
            return Ok(keys);
        }
    }
}

impl Driver {
    /// Reads what can be read of a chain, starting at the newest readable base. A store failure ends the search; a
    /// broken object does not.
    pub(super) async fn find<L: StateLog, R: RuleSets>(
        &mut self,
        log: &L,
        rule_sets: &R,
        name: &str,
    ) -> Result<Found, Failure> {
        let keys = Keys::new(&self.settings, name);
        let bases = list(log, &keys.base, None, "listing bases").await?;
        let mut found = Found { bases: bases.len(), sound: None, broken: Vec::new(), last: None };
        for key in &bases {
            let bytes = log.get(key).await.map_err(unavailable("reading a base"))?;
            match self.base_at(rule_sets, &keys, key, bytes.clone(), Timestamp::default()).await {
                Ok(shard) => {
                    let base = (shard.state.position(), bytes.unwrap_or_default());
                    found.sound = Some(Sound { shard, base, links: Vec::new() });
                    break;
                }
                Err(failure) => found.broken.push(broken(key, bytes.as_deref(), failure)?),
            }
        }
        let from = found.sound.as_ref().map_or(Position::Start, |sound| sound.base.0);
        let links = list(log, &keys.log, Some(keys.before(from)), "listing deltas").await?;
        let links = &links[links.partition_point(|key| *key < keys.delta(from))..];
        if let Some(key) = links.last()
            && let Some(position) = keys.position_of_delta(key)
        {
            let bytes = log.get(key).await.map_err(unavailable("reading deltas"))?.unwrap_or_default();
            found.last = Some((position, matches!(chain::read_link(&bytes, position), Ok(chain::Link::Seal))));
        }
        if let Some(sound) = &mut found.sound {
            found.broken.extend(self.read_links(log, rule_sets, &keys, links, sound).await?);
        }
        Ok(found)
    }

    /// Advances a chain up to the first link that does not follow.
    async fn read_links<L: StateLog, R: RuleSets>(
        &mut self,
        log: &L,
        rule_sets: &R,
        keys: &Keys,
        links: &[String],
        sound: &mut Sound,
    ) -> Result<Option<Broken>, Failure> {
        for some in links.chunks(FETCH_MAX) {
            let fetched = log.get_all(some).await.map_err(unavailable("reading deltas"))?;
            for (key, bytes) in some.iter().zip(fetched) {
                let from = sound.shard.state.position();
                if *key != keys.delta(from) || sound.shard.sealed {
                    let problem = if sound.shard.sealed {
                        format!("it follows the seal at {from}")
                    } else {
                        format!("no delta leads from {from} to it")
                    };
                    return Ok(Some(Broken { key: key.clone(), problem, newer: false }));
                }
                let unread = bytes.as_deref().and_then(|bytes| unreadable_effects(bytes, from));
                if let Some(Unreadable(problem)) = unread {
                    return Ok(Some(Broken { key: key.clone(), problem, newer: false }));
                }
                match self.follow(rule_sets, key, bytes.clone(), &mut sound.shard).await {
                    Ok(_) => sound.links.push((from, bytes.unwrap_or_default())),
                    Err(failure) => return broken(key, bytes.as_deref(), failure).map(Some),
                }
            }
        }
        Ok(None)
    }
}

/// Returns what is wrong with the effects of a delta. A reader that follows a chain leaves effects unread, but here
/// every link must be readable completely.
fn unreadable_effects(bytes: &[u8], from: Position) -> Option<Unreadable> {
    match chain::read_link(bytes, from) {
        Ok(Link::Delta(delta)) => chain::read_effects(delta.effects).err(),
        Ok(Link::Seal) | Err(_) => None,
    }
}

/// Returns what is wrong with an object. Fails on a store failure, which is not the object's fault.
fn broken(key: &str, bytes: Option<&[u8]>, failure: Failure) -> Result<Broken, Failure> {
    let newer = bytes.is_some_and(chain::is_newer);
    match failure {
        Failure::Chain { problem, .. } => Ok(Broken { key: key.to_owned(), problem, newer }),
        Failure::RuleSet { sha256, problem } => {
            Ok(Broken { key: key.to_owned(), problem: format!("its rule set {sha256}: {problem}"), newer })
        }
        Failure::Deadline => Err(unavailable("reading a chain")(PortError("there is no deadline here".into()))),
        failure @ Failure::Unavailable { .. } => Err(failure),
    }
}
