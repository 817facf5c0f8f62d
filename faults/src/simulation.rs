//! One seed from start to finish: a log, a fleet of environments, and everything that goes wrong.

use std::{collections::HashMap, sync::Arc};

use fleetform_engine::{
    drive::{Lineage, Settings},
    rule_set::RuleSet,
    units::Millis,
};

use crate::{
    clock::{Call, Clock, Event, InvocationNumber},
    fate::{Chance, Faults},
    random::Random,
    report::Report,
    services::{Listed, Services},
    source::{Next, Source},
    workload::{START_MS, Workload},
    world::{Happened, World},
};

/// Virtual time after which everything must be done once faults have stopped.
const DRAIN_MS: i64 = 1_800_000;
/// Age at which objects are deleted: more than the lifetime of any cached state, and than the delay of any late
/// create.
const SWEEP_AGE_MS: i64 = 1_500_000;
/// Longer than any log takes: this event source never gives up on a record, however long a shard must wait for its
/// services.
const RECORD_AGE_MAX: Millis = Millis::from_secs(48 * 3_600);
/// Approximate number of records in the log of a seed.
pub const RECORDS: usize = 2_900;

/// Simulates a seed.
pub fn simulate(seed: u64, records: usize) -> Report {
    let mut random = Random::new(seed);
    let workload = Workload::new(&mut random, records);
    Simulation::new(seed, &workload, random).run()
}

struct Simulation<'a> {
    seed: u64,
    workload: &'a Workload,
    world: World,
    random: Random,
    sources: Vec<Source>,
    /// The source that waits for each invocation, by its index.
    waiting: HashMap<InvocationNumber, usize>,
    /// The environment that runs each deletion of old objects.
    clearing: HashMap<InvocationNumber, usize>,
    settings: Settings,
    environments: u64,
    /// How long the source waits for a batch to fill.
    window: i64,
    /// How long every shard stays with one environment; zero for not at all.
    loyalty: i64,
    /// How often the source loses track of a running invocation, per thousand invocations.
    losing: u64,
    healed: bool,
}

impl<'a> Simulation<'a> {
    fn new(seed: u64, workload: &'a Workload, mut random: Random) -> Self {
        let clock = Arc::new(Clock::new(START_MS));
        let chance = Chance::new(random.fork(), START_MS, workload.ends_at);
        let services = Arc::new(Services::new(clock.clone(), Faults::Chance(Box::new(chance))));
        services.take_records();
        let addresses: Vec<String> = workload.rule_sets.iter().map(|set| services.add_rule_set(set)).collect();
        let world = World::new(clock, services, random.fork());
        let mut sources = Vec::new();
        for shard in &workload.shards {
            let records: Vec<_> = shard.records.iter().map(|put| put.record.clone()).collect();
            world.services.add_shard(Listed {
                generation: shard.generation,
                name: shard.name.clone(),
                lineage: Lineage {
                    range: shard.range,
                    parents: shard.parents.iter().map(|parent| workload.shards[*parent].name.as_str().into()).collect(),
                    first: shard.first,
                },
                opened_at: shard.opened_at,
                closed_at: shard.closed_at,
                records: records.clone(),
            });
            sources.push(Source::new(&shard.name, records));
        }
        let settings = Settings {
            generation: 1,
            repair: 0,
            rule_set_sha256: addresses[0].clone(),
            checkpoint_every: Millis(random.between(60_000, 1_200_000) as u64),
            record_age_max: RECORD_AGE_MAX,
        };
        let environments = random.between(1, 5) as u64;
        let losing = *random.pick(&[0, 10, 50]);
        let window = *random.pick(&[1_000, 10_000, 60_000, 300_000]);
        let loyalty = *random.pick(&[0, 0, 0, 1_800_000, 3_600_000]);
        let waiting = HashMap::new();
        Self {
            seed,
            workload,
            world,
            random,
            sources,
            waiting,
            clearing: HashMap::new(),
            settings,
            environments,
            window,
            loyalty,
            losing,
            healed: false,
        }
    }

    fn run(mut self) -> Report {
        let clock = self.world.clock.clone();
        for (index, shard) in self.workload.shards.iter().enumerate() {
            clock.plan(shard.opened_at + index as i64, Event::Call(Call::Poll(index)));
        }
        for (version, at) in self.workload.rollouts.iter().enumerate() {
            clock.plan(*at, Event::Call(Call::Replace(version + 1)));
        }
        if let Some((at, beside_ms)) = self.workload.replacement.and_then(|it| Some((it.at, it.beside_ms?))) {
            clock.plan(at + beside_ms, Event::Call(Call::Remove));
        }
        clock.plan(START_MS + SWEEP_AGE_MS, Event::Call(Call::Sweep));
        clock.plan(self.workload.ends_at, Event::Call(Call::Heal));
        let mut late = false;
        while !(self.healed && self.sources.iter().all(Source::is_drained)) {
            let Some(happened) = self.world.next() else { break };
            late = clock.now() > self.workload.ends_at + DRAIN_MS;
            if late {
                break;
            }
            // Records put up to now precede anything that is delivered from now on.
            for (shard, record) in self.world.services.take_put() {
                self.sources[shard].put(record);
                self.poll_after(shard, 0);
            }
            self.take(happened);
        }
        let acknowledged: Vec<_> = self.sources.iter().map(Source::acknowledged).collect();
        let finished = !late && self.sources.iter().all(Source::is_drained);
        Report {
            seed: self.seed,
            invocations: self.sources.iter().map(|source| source.deliveries).sum(),
            failed: self.sources.iter().map(|source| source.failed).sum(),
            trace: self.world.clock.trace(),
            ..Report::of(self.workload, &self.world.services, &acknowledged, finished)
        }
    }

    fn take(&mut self, happened: Happened) {
        match happened {
            Happened::Ended(invocation, outcome) => {
                if let Some(environment) = self.clearing.remove(&invocation) {
                    self.world.end_environment(environment);
                } else if let Some(source) = self.waiting.remove(&invocation) {
                    let wait = self.sources[source].answered(&outcome, &mut self.random);
                    self.poll_after(source, wait);
                }
            }
            Happened::Killed(invocation) => self.lost(invocation),
            Happened::TimedOut(invocation) => {
                self.lost(invocation);
                // The platform ends an invocation that has run out of time, in most cases.
                if self.random.per_mille(600) {
                    self.world.kill(invocation);
                }
            }
            Happened::Called(Call::Lose(invocation)) => self.lost(invocation),
            Happened::Called(Call::Poll(source)) => self.poll(source),
            Happened::Called(Call::Sweep) => {
                let environment = self.world.start_environment(&self.settings, 0);
                let invocation = self.world.clear(environment, SWEEP_AGE_MS);
                self.clearing.insert(invocation, environment);
                if !self.healed {
                    self.world.clock.plan(self.world.clock.now() + 300_000, Event::Call(Call::Sweep));
                }
            }
            Happened::Called(Call::Replace(version)) => self.roll_out(version),
            Happened::Called(Call::Remove) => self.remove_replaced(),
            Happened::Called(Call::Heal) => {
                self.world.services.heal();
                self.healed = true;
            }
        }
    }

    /// The source stops waiting for an invocation, whatever happens to it.
    fn lost(&mut self, invocation: InvocationNumber) {
        if let Some(source) = self.waiting.remove(&invocation) {
            let wait = self.sources[source].failed(&mut self.random);
            self.poll_after(source, wait);
        }
    }

    fn poll_after(&mut self, source: usize, wait: i64) {
        self.world.clock.plan(self.world.clock.now() + wait, Event::Call(Call::Poll(source)));
    }

    fn poll(&mut self, index: usize) {
        if self.sources[index].in_flight.is_some() {
            return;
        }
        let generation = self.workload.shards[index].generation;
        if generation > 1 && self.workload.replacement.is_some_and(|it| it.beside_ms.is_none()) {
            let before = || self.sources.iter().zip(&self.workload.shards).filter(|(_, it)| it.generation < generation);
            if !before().all(|(source, _)| source.is_drained()) {
                self.poll_after(index, 1_000);
                return;
            }
            self.remove_replaced();
        }
        // The event source finishes a shard before it starts the shard's children, in most cases.
        let parents = &self.workload.shards[index].parents;
        if !parents.iter().all(|parent| self.sources[*parent].is_drained()) && self.random.per_mille(900) {
            let wait = self.random.between(500, 5_000);
            self.poll_after(index, wait);
            return;
        }
        match self.sources[index].next(&mut self.random, self.world.clock.now()) {
            Next::Nothing => {}
            Next::Wait(until) => {
                let wait = self.random.between(0, self.window);
                self.world.clock.plan(until + wait, Event::Call(Call::Poll(index)));
            }
            Next::Deliver(delivery) => {
                let environment = self.environment(index);
                let invocation = self.world.invoke(environment, delivery);
                self.sources[index].in_flight = Some(invocation);
                self.waiting.insert(invocation, index);
                if !self.healed && self.random.per_mille(self.losing) {
                    let at = self.world.clock.now() + self.random.between(0, 200);
                    self.world.clock.plan(at, Event::Call(Call::Lose(invocation)));
                }
            }
        }
    }

    /// Removes the event sources of the first stream; invocations that they have started continue.
    fn remove_replaced(&mut self) {
        let sources = self.sources.iter_mut().zip(&self.workload.shards);
        sources.filter(|(_, shard)| shard.generation == 1).for_each(|(source, _)| source.remove());
    }

    /// Returns any idle environment that knows the shard's stream; if there are few, perhaps a new one.
    fn environment(&mut self, shard: usize) -> usize {
        let generation = self.workload.shards[shard].generation;
        let idle: Vec<usize> = self.world.idle_in(generation).collect();
        if self.loyalty > 0 && idle.len() > 1 {
            // An environment that has not been used for a long time holds an old state of the shard, and is
            // eventually used again.
            return idle[(self.world.clock.now() / self.loyalty) as usize % idle.len().min(3 + shard)];
        }
        if !idle.is_empty() && (idle.len() as u64 >= self.environments || self.random.per_mille(900)) {
            return *self.random.pick(&idle);
        }
        let behind = if self.random.per_mille(200) { self.random.between(0, 120_000) } else { 0 };
        self.world.start_environment(&Settings { generation, ..self.settings.clone() }, behind)
    }

    /// Rolls out a newer rule set to new environments; about half of the old ones stay for now. A shard that has not
    /// started by then could start with either set, so the roll-out waits until all have started.
    fn roll_out(&mut self, version: usize) {
        let now = self.world.clock.now();
        let mut roots = self.workload.shards.iter().filter(|it| it.parents.is_empty() && it.opened_at <= now);
        if !roots.all(|shard| self.world.services.has_begun(shard.generation, &shard.name)) {
            return;
        }
        self.settings.rule_set_sha256 = RuleSet::sha256(&self.workload.rule_sets[version]).to_string();
        for environment in self.world.idle().collect::<Vec<_>>() {
            if self.random.per_mille(500) {
                self.world.end_environment(environment);
            }
        }
    }
}
