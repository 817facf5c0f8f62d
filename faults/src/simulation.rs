//! One seed from beginning to end: a log, a fleet of environments, everything that goes wrong, and what came of it
//! beside what should have.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use fleetform_engine::{
    drive::{Lineage, Settings},
    effect::{Alert, AlertState},
    rule_set::RuleSet,
    units::Millis,
};
use serde_json::{Value, json};

use crate::{
    clock::{Call, Clock, Event, InvocationNumber},
    fate::{Chance, Faults},
    oracle,
    random::Random,
    services::{Listed, Services},
    source::{Next, Source},
    stream::Shard,
    tables::Rows,
    workload::{Fact, Put, START_MS, Workload},
    world::{Happened, Record, World},
};

/// Without faults, everything is to be done after so much virtual time.
const DRAIN_MS: i64 = 600_000;
/// Objects are deleted at this age: longer than any cached state lives, and any late create takes.
const SWEEP_AGE_MS: i64 = 1_500_000;
/// Longer than any log takes: the event source here gives no record up, however long a shard must wait for its services.
const RECORD_AGE_MAX: Millis = Millis::from_secs(48 * 3_600);
/// About how many records the log of a seed has.
pub const RECORDS: usize = 2_900;
/// The most differences that are kept of one kind.
const SHOWN: usize = 4;

/// What a seed came to.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// Records in the log.
    pub records: u64,
    /// Invocations that delivered them.
    pub invocations: u64,
    /// Invocations that were not answered well, or not at all.
    pub failed: u64,
    /// Outbox rows.
    pub notices: u64,
    /// What devices had to say to fleets.
    pub members: u64,
    /// How many episodes each rule had.
    pub episodes: BTreeMap<String, u64>,
    /// Hash of everything that happened, in order.
    pub trace: u64,
    /// What is wrong, in words; nothing when all is well.
    pub wrong: Vec<String>,
    /// Rows that should be there and are not.
    pub lost: u64,
    /// Rows that are there more than once.
    pub duplicate: u64,
    /// Rows that should not be there.
    pub phantom: u64,
}

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
    /// Which source waits for which invocation.
    waiting: HashMap<InvocationNumber, usize>,
    /// Which environment clears away what is old.
    clearing: HashMap<InvocationNumber, usize>,
    settings: Settings,
    environments: u64,
    /// The source waits for so long for a batch to fill.
    window: i64,
    /// Every shard keeps to one environment for so long; nought for not at all.
    loyalty: i64,
    /// How often, in a thousand invocations, the source loses sight of a running one.
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
        clock.plan(START_MS + SWEEP_AGE_MS, Event::Call(Call::Sweep));
        clock.plan(self.workload.ends_at, Event::Call(Call::Heal));
        let mut late = false;
        while !(self.healed && self.sources.iter().all(Source::is_drained)) {
            let Some(happened) = self.world.next() else { break };
            late = clock.now() > self.workload.ends_at + DRAIN_MS;
            if late {
                break;
            }
            // What was put until now has come before anything that is delivered from now on.
            for (shard, record) in self.world.services.take_put() {
                self.sources[shard].put(record);
                self.poll_after(shard, 0);
            }
            self.take(happened);
        }
        self.report(late)
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
                // The platform ends what has run out of time, mostly.
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
            Happened::Called(Call::Heal) => {
                self.world.services.heal();
                self.healed = true;
            }
        }
    }

    /// The source no longer waits for an invocation, whatever becomes of it.
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
        // The event source finishes a shard before it begins those that came from it, mostly.
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

    /// Any idle environment will do; if there are few, a new one is as good.
    fn environment(&mut self, shard: usize) -> usize {
        let idle: Vec<usize> = self.world.idle().collect();
        if self.loyalty > 0 && idle.len() > 1 {
            // Whoever has not been asked for a long time has an old state of the shard, and is asked again in the end.
            return idle[(self.world.clock.now() / self.loyalty) as usize % idle.len().min(3 + shard)];
        }
        if !idle.is_empty() && (idle.len() as u64 >= self.environments || self.random.per_mille(900)) {
            return *self.random.pick(&idle);
        }
        let behind = if self.random.per_mille(200) { self.random.between(0, 120_000) } else { 0 };
        self.world.start_environment(&self.settings, behind)
    }

    /// New environments come with a newer rule set; about half of the old ones stay for now. A shard that has not
    /// begun by then could start with either, so the roll-out waits for all to have begun.
    fn roll_out(&mut self, version: usize) {
        let roots = self.workload.shards.iter().filter(|shard| shard.parents.is_empty());
        if !roots.into_iter().all(|shard| self.world.services.has_begun(&shard.name)) {
            return;
        }
        self.settings.rule_set_sha256 = RuleSet::sha256(&self.workload.rule_sets[version]).to_string();
        for environment in self.world.idle().collect::<Vec<_>>() {
            if self.random.per_mille(500) {
                self.world.end_environment(environment);
            }
        }
    }

    fn report(self, late: bool) -> Report {
        let rows = self.world.services.rows();
        let mut report = Report {
            seed: self.seed,
            records: self.workload.shards.iter().map(|shard| shard.records.len() as u64).sum(),
            invocations: self.sources.iter().map(|source| source.deliveries).sum(),
            failed: self.sources.iter().map(|source| source.failed).sum(),
            notices: rows.outbox.len() as u64,
            trace: self.world.clock.trace(),
            ..Report::default()
        };
        if late || !self.sources.iter().all(Source::is_drained) {
            report.wrong.push("not everything was done within ten minutes of the last fault".into());
        }
        for alert in &rows.alerts {
            *report.episodes.entry(alert.rule.to_string()).or_default() += 1;
        }
        for contradiction in &rows.contradictions {
            report.phantom += 1;
            report.wrong.push(format!("written twice with different content: {contradiction}"));
        }
        let records = self.world.services.records();
        let shards = with_members(&self.workload.shards, &records);
        let (expected, members, unheard) = expected(self.workload, &shards);
        let found = found(&rows, 0);
        for ((table, expected), found) in ["outbox", "history", "quarantine"].iter().zip(expected).zip(found) {
            report.compare(table, expected, found);
        }
        // What is put more than once says the same, so each counts once.
        let said = records.iter().flatten().filter_map(|record| member(record)).map(|member| oracle::said(&member));
        report.members = members.len() as u64;
        report.compare("members", members.into_iter().collect(), said.collect::<BTreeSet<_>>().into_iter().collect());
        report.wrong.extend(unheard.into_iter().take(SHOWN));
        report
    }
}

/// What a record that the engine has put says.
fn member(record: &Record) -> Option<Value> {
    if !record.partition_key.starts_with("zone/") {
        return None;
    }
    serde_json::from_slice(&record.data).ok()
}

/// The log with what the engine has put into it.
fn with_members(shards: &[Shard], records: &[Vec<Arc<Record>>]) -> Vec<Shard> {
    let whole = |(shard, records): (&Shard, &Vec<Arc<Record>>)| {
        let mut known = shard.records.iter().peekable();
        let puts = records.iter().filter_map(|record| match member(record) {
            Some(member) => {
                let claimed = member["t"].as_i64();
                Some(Put { record: record.clone(), claimed, fact: Fact::Member(member) })
            }
            None => known.next().cloned(),
        });
        Shard { records: puts.collect(), ..shard.clone() }
    };
    shards.iter().zip(records).map(whole).collect()
}

/// What the oracle says of all shards: outbox, history and quarantine, what devices must have said to fleets, and which
/// fleets have not heard of it.
fn expected(workload: &Workload, shards: &[Shard]) -> ([Vec<String>; 3], BTreeSet<String>, Vec<String>) {
    let sets: Vec<Value> =
        workload.rule_sets.iter().map(|set| serde_json::from_slice(set).unwrap_or_default()).collect();
    let by_address: HashMap<String, Value> = workload
        .rule_sets
        .iter()
        .zip(&sets)
        .map(|(bytes, set)| (RuleSet::sha256(bytes).to_string(), set.clone()))
        .collect();
    let mut all = [Vec::new(), Vec::new(), Vec::new()];
    let (rows, unheard) = oracle::expect(shards, &sets[0], &by_address);
    let mut said = BTreeSet::new();
    for (shard, oracle::Expected { notices, alerts, quarantine, members }) in shards.iter().zip(rows) {
        said.extend(members);
        for (all, rows) in all.iter_mut().zip([notices, alerts, quarantine]) {
            all.extend(rows.into_iter().map(|row| format!("{}:{row}", shard.name.trim_start_matches("shardId-"))));
        }
    }
    (all, said, unheard)
}

/// What is in the tables, in the oracle's words: outbox, history, quarantine. Times count from `start`.
pub(crate) fn found(rows: &Rows, start: i64) -> [Vec<String>; 3] {
    let shard = |name: &str| name.trim_start_matches("shardId-").to_owned();
    let notices = rows.outbox.iter().map(|notice| {
        let row = alert(&notice.alert, start);
        let to = if notice.contacts.is_empty() { String::new() } else { format!(" to={}", json!(notice.contacts)) };
        format!("{}:{row} {:?} suppressed={}{to}", shard(&notice.alert.shard), notice.kind, notice.suppressed)
    });
    let alerts = rows.alerts.iter().map(|row| format!("{}:{}", shard(&row.shard), alert(row, start)));
    let quarantine = rows
        .quarantine
        .iter()
        .map(|row| format!("{}:{} {}", shard(&row.shard), row.sequence.trim_start_matches('0'), row.reason));
    [notices.collect(), alerts.collect(), quarantine.collect()]
}

fn alert(alert: &Alert, start: i64) -> String {
    let state = match &alert.state {
        AlertState::Firing => "Firing".to_owned(),
        AlertState::Resolved { reason } => format!("{reason:?}"),
    };
    let device = alert.device.as_ref().map_or("", |device| device.as_str());
    let value = serde_json::to_value(&alert.value).unwrap_or_default();
    let mut evidence = serde_json::to_value(&alert.evidence).unwrap_or_default();
    if let Some(last_ingest) = evidence.get_mut("last_ingest") {
        *last_ingest = (last_ingest.as_i64().unwrap_or_default() - start).into();
    }
    oracle::row(
        (alert.sequence.trim_start_matches('0'), alert.at.0 - start, alert.ingested_at.0 - start),
        (alert.rule.as_str(), device, alert.zone.as_str()),
        (alert.severity.as_str(), &state, alert.since.0 - start),
        (&value, &evidence),
    )
}

impl Report {
    /// Whether nothing is wrong.
    pub fn is_clean(&self) -> bool {
        self.wrong.is_empty()
    }

    fn compare(&mut self, table: &str, mut expected: Vec<String>, mut found: Vec<String>) {
        expected.sort();
        found.sort();
        let (mut lost, mut phantom) = (Vec::new(), Vec::new());
        let (mut here, mut there) = (expected.iter().peekable(), found.iter().peekable());
        loop {
            match (here.peek(), there.peek()) {
                (Some(row), Some(other)) if row == other => {
                    here.next();
                    there.next();
                }
                (Some(row), other) if other.is_none_or(|other| row < other) => {
                    lost.push((*row).clone());
                    here.next();
                }
                (_, Some(row)) => {
                    phantom.push((*row).clone());
                    there.next();
                }
                (_, None) => break,
            }
        }
        let twice = phantom.iter().filter(|row| expected.binary_search(row).is_ok()).count();
        self.lost += lost.len() as u64;
        self.duplicate += twice as u64;
        self.phantom += (phantom.len() - twice) as u64;
        for (what, rows) in [("not there", lost), ("too much", phantom)] {
            self.wrong.extend(rows.iter().take(SHOWN).map(|row| format!("{table}: {what}: {row}")));
            if rows.len() > SHOWN {
                self.wrong.push(format!("{table}: {what}: {} more", rows.len() - SHOWN));
            }
        }
    }
}
