//! Plays a case: delivers the log's batches in their order, one at a time for each shard, retries what fails, and
//! lets the script decide what goes wrong. Nothing is left to chance.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use fleetform_engine::{drive::Settings, units::Millis};
use serde_json::{Value, json};
use smol_str::SmolStr;

use super::{
    Case,
    lineage::Listing,
    outcome::{Outcome, Response},
};
use crate::{
    clock::{Call, Clock, Event, InvocationNumber},
    fate::Faults,
    random::Random,
    services::{Listed, Services},
    world::{Delivery, Happened, Record, World},
};

/// Age at which the event source gives up on a batch: the maximum age of a record.
const AGE_MAX_MS: i64 = 6 * 3_600_000;
/// The longest wait between two attempts.
const WAIT_MAX_MS: i64 = 60_000;
/// Time between two bases.
const CHECKPOINT_EVERY: Millis = Millis::from_secs(600);

struct Player<'a> {
    case: &'a Case,
    world: World,
    settings: Settings,
    shards: Vec<Source>,
    running: BTreeMap<InvocationNumber, Running>,
    environments: BTreeMap<u64, usize>,
    outcome: Outcome,
}

struct Source {
    name: Arc<str>,
    waiting: VecDeque<Part>,
    busy: bool,
}

/// A batch, or what is left of one.
struct Part {
    records: Vec<Arc<Record>>,
    at: i64,
    environment: Option<u64>,
    tries: u32,
    /// When it was delivered first.
    since: Option<i64>,
    /// Whether it is not part of the log.
    is_put: bool,
}

struct Running {
    source: usize,
    environment: usize,
    began_at: i64,
    records: Vec<Arc<Record>>,
}

/// Plays a case to its end.
pub fn play(case: &Case) -> Outcome {
    let begin = case.log.shards.values().flat_map(|shard| &shard.batches).map(|batch| batch.at).min();
    let clock = Arc::new(Clock::new(begin.unwrap_or_default()));
    let services = Arc::new(Services::new(clock.clone(), Faults::Script(case.script.0.clone())));
    for (name, listing) in &case.log.listings {
        let Listing { lineage, opened_at, closed_at } = listing.clone();
        let records = case.log.shards.get(name).map_or_else(Vec::new, |shard| shard.records.clone());
        services.add_shard(Listed { generation: 1, name: name.to_string(), lineage, opened_at, closed_at, records });
    }
    services.take_records();
    let addresses: Vec<String> = case.rule_sets.iter().map(|set| services.add_rule_set(set)).collect();
    let settings = Settings {
        generation: 1,
        repair: 0,
        rule_set_sha256: addresses.first().cloned().unwrap_or_default(),
        checkpoint_every: CHECKPOINT_EVERY,
        record_age_max: Millis::from_secs(6 * 3_600),
    };
    let shards = case.log.shards.iter().map(|(name, shard)| Source {
        name: name.clone(),
        waiting: shard.batches.iter().map(Part::new).collect(),
        busy: false,
    });
    let mut player = Player {
        case,
        world: World::new(clock, services, Random::new(1)),
        settings,
        shards: shards.collect(),
        running: BTreeMap::new(),
        environments: BTreeMap::new(),
        outcome: Outcome::default(),
    };
    player.run();
    player.close()
}

impl Part {
    fn new(batch: &super::Batch) -> Self {
        let super::Batch { records, at, environment } = batch;
        Self { records: records.clone(), at: *at, environment: *environment, tries: 0, since: None, is_put: false }
    }
}

impl Player<'_> {
    fn run(&mut self) {
        for index in 0..self.shards.len() {
            self.plan(index);
        }
        loop {
            while let Some(happened) = self.world.next() {
                for (index, record) in self.world.services.take_put() {
                    self.put(index, record);
                }
                self.take(happened);
            }
            // An invocation that waits for one that never comes has waited long enough.
            if !self.world.clock.release_all() {
                break;
            }
        }
    }

    /// Adds a report to a fleet to the next batch that ends after it, or after the last one.
    fn put(&mut self, index: usize, record: Arc<Record>) {
        let now = self.world.clock.now();
        let Source { waiting, busy, .. } = &mut self.shards[index];
        let under_way = usize::from(*busy);
        let follows = |part: &&mut Part| part.records.last().is_some_and(|last| last.sequence > record.sequence);
        if let Some(part) = waiting.iter_mut().skip(under_way).find(follows) {
            let at = part.records.partition_point(|before| before.sequence < record.sequence);
            part.records.insert(at, record);
        } else if let Some(part) = waiting.iter_mut().skip(under_way).next_back().filter(|part| part.is_put) {
            part.records.push(record);
        } else {
            let records = vec![record];
            waiting.push_back(Part { records, at: now, environment: None, tries: 0, since: None, is_put: true });
        }
        self.plan(index);
    }

    fn plan(&self, index: usize) {
        if let Some(part) = self.shards[index].waiting.front() {
            self.world.clock.plan(part.at, Event::Call(Call::Poll(index)));
        }
    }

    fn take(&mut self, happened: Happened) {
        match happened {
            Happened::Called(Call::Poll(index)) => self.deliver(index),
            Happened::Called(Call::Lose(_) | Call::Sweep | Call::Replace(_) | Call::Remove | Call::Heal) => {}
            Happened::Killed(invocation) => self.failed(invocation, "killed", None),
            Happened::TimedOut(invocation) => self.failed(invocation, "timed_out", None),
            Happened::Ended(invocation, outcome) => match (outcome.failure, outcome.failed_from) {
                (None, _) => self.taken(invocation, None),
                // A response that names no record means that all are done, whatever the reason given.
                (Some(failure), None) if failure.is_transient() => self.taken(invocation, Some(failure.to_string())),
                (Some(failure), Some(from)) if failure.is_transient() => {
                    let text = from.to_string();
                    if let Some((source, _)) =
                        self.respond(invocation, "partial", Some(&text), Some(failure.to_string()))
                    {
                        if let Some(part) = self.shards[source].waiting.front_mut() {
                            part.records.retain(|record| record.sequence >= from);
                        }
                        self.again(source);
                    }
                }
                (Some(failure), _) => self.failed(invocation, "error", Some(failure.to_string())),
            },
        }
    }

    fn taken(&mut self, invocation: InvocationNumber, failure: Option<String>) {
        if let Some((source, _)) = self.respond(invocation, "ok", None, failure) {
            self.shards[source].waiting.pop_front();
            self.plan(source);
        }
    }

    fn deliver(&mut self, index: usize) {
        let now = self.world.clock.now();
        // A shard is finished before its children start.
        let lineage = self.case.log.listings.get(&self.shards[index].name).map(|listing| &listing.lineage);
        let waits = |parent: &SmolStr| {
            let parent = self.shards.iter().find(|source| *source.name == **parent);
            parent.is_some_and(|source| !source.waiting.is_empty())
        };
        if lineage.is_some_and(|lineage| lineage.parents.iter().any(waits)) {
            self.world.clock.plan(now + 1_000, Event::Call(Call::Poll(index)));
            return;
        }
        let Source { waiting, busy, .. } = &mut self.shards[index];
        let Some(part) = waiting.front_mut().filter(|part| part.at <= now && !*busy) else { return };
        *busy = true;
        part.since.get_or_insert(now);
        let (records, wanted) = (part.records.clone(), part.environment);
        let environment = self.environment(wanted);
        let delivery = Delivery { shard: self.shards[index].name.clone(), records: records.as_slice().into() };
        let invocation = self.world.invoke(environment, delivery);
        self.running.insert(invocation, Running { source: index, environment, began_at: now, records });
    }

    /// Returns the requested environment, or the first that is idle; starts a new one if that is busy or gone.
    fn environment(&mut self, wanted: Option<u64>) -> usize {
        let idle = match wanted {
            Some(wanted) => self.environments.get(&wanted).copied().filter(|index| self.world.is_idle(*index)),
            None => self.world.idle().next(),
        };
        let environment = idle.unwrap_or_else(|| self.world.start_environment(&self.settings, 0));
        if let Some(wanted) = wanted {
            self.environments.insert(wanted, environment);
        }
        environment
    }

    /// Records how an invocation ended. `None` if the event source had stopped waiting for it.
    fn respond(
        &mut self,
        invocation: InvocationNumber,
        result: &'static str,
        from: Option<&str>,
        failure: Option<String>,
    ) -> Option<(usize, usize)> {
        let Running { source, environment, began_at, records } = self.running.remove(&invocation)?;
        let numbers = &self.case.log.numbers;
        self.shards[source].busy = false;
        self.outcome.responses.push(Response {
            inv: invocation,
            env: environment,
            shard: self.shards[source].name.to_string(),
            seqs: records.iter().map(|record| numbers.shown(&record.sequence.digits())).collect(),
            began_at,
            ended_at: self.world.clock.now(),
            result,
            batch_item_failures: from
                .into_iter()
                .map(|from| json!({ "itemIdentifier": numbers.shown(from) }))
                .collect(),
            failure,
        });
        Some((source, environment))
    }

    /// Handles an invocation that failed as a whole.
    fn failed(&mut self, invocation: InvocationNumber, result: &'static str, failure: Option<String>) {
        let Some((source, _)) = self.respond(invocation, result, None, failure) else { return };
        if let Some(part) = self.shards[source].waiting.front_mut().filter(|part| part.records.len() > 1)
            && self.case.bisect
        {
            let second = part.records.split_off(part.records.len() / 2);
            let second = Part {
                records: second,
                at: part.at,
                environment: part.environment,
                tries: part.tries,
                since: part.since,
                is_put: part.is_put,
            };
            self.shards[source].waiting.insert(1, second);
        }
        self.again(source);
    }

    fn again(&mut self, source: usize) {
        let now = self.world.clock.now();
        let Some(part) = self.shards[source].waiting.front_mut() else { return };
        part.tries += 1;
        part.at = now + (500 << part.tries.min(16)).min(WAIT_MAX_MS);
        if now - part.since.unwrap_or(now) > AGE_MAX_MS {
            let first = part.records.first().map_or_else(String::new, |record| record.sequence.to_string());
            let name = self.shards[source].name.clone();
            self.outcome.undone.push(format!(
                "shard {name}: {} records from {} on were given up after six hours",
                self.shards[source].waiting.front().map_or(0, |part| part.records.len()),
                self.case.log.numbers.shown(&first),
            ));
            self.shards[source].waiting.pop_front();
        }
        self.plan(source);
    }

    fn close(mut self) -> Outcome {
        let objects = self.world.services.objects();
        let numbers = &self.case.log.numbers;
        let mut shards = serde_json::Map::new();
        for (source, records) in self.shards.iter().zip(self.world.services.records()) {
            let of = |kind: &str| -> Vec<Value> {
                let prefix = format!("{kind}/1/0/{}/", source.name);
                objects.iter().filter(|(key, _)| key.starts_with(&prefix)).map(|(key, _)| json!(key)).collect()
            };
            let newest = records.last();
            shards.insert(
                source.name.to_string(),
                json!({
                    "records": records.len(),
                    "newest": newest.map(|record| numbers.shown(&record.sequence.digits())),
                    "log": of("log"),
                    "base": of("base"),
                }),
            );
        }
        let rows = self.world.services.rows();
        self.outcome.crowded = self.world.services.was_crowded();
        self.outcome.state = json!({ "shards": shards });
        self.outcome.tables(&rows, &self.case.rule_sets, numbers);
        self.outcome.undone.extend(rows.contradictions.iter().map(|row| format!("written twice, differently: {row}")));
        self.outcome
    }
}
