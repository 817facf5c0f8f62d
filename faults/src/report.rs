//! Compares the outcome of a seed with the expected one.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use fleetform_engine::{
    effect::{Alert, AlertState},
    position::SequenceNumber,
    rule_set::RuleSet,
};
use serde_json::{Value, json};

use crate::{
    oracle,
    services::Services,
    stream::Shard,
    tables::Rows,
    workload::{Fact, Put, Workload},
    world::Record,
};

/// Maximum number of differences that are kept of one kind.
const SHOWN: usize = 4;

/// The outcome of a seed.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The seed that was simulated.
    pub seed: u64,
    /// Number of records in the log.
    pub records: u64,
    /// Number of invocations that delivered them.
    pub invocations: u64,
    /// Number of invocations with an error response, or with none.
    pub failed: u64,
    /// Number of outbox rows.
    pub notices: u64,
    /// Number of reports from devices to fleets.
    pub members: u64,
    /// Number of episodes of each rule.
    pub episodes: BTreeMap<String, u64>,
    /// Hash of everything that happened, in order.
    pub trace: u64,
    /// What is wrong, as messages; empty if nothing is.
    pub wrong: Vec<String>,
    /// Number of rows that should exist but do not.
    pub lost: u64,
    /// Number of rows that exist more than once.
    pub duplicate: u64,
    /// Number of rows that should not exist.
    pub phantom: u64,
}

/// The rows of outbox, history and quarantine, as text.
type Tables = [Vec<String>; 3];

/// Returns the contents of a record that the engine has put.
fn member(record: &Record) -> Option<Value> {
    if !record.partition_key.starts_with("zone/") {
        return None;
    }
    serde_json::from_slice(&record.data).ok()
}

/// Returns the log together with what the engine has put into it.
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

/// The records of a replaced stream that were not evaluated.
#[derive(Default)]
struct LeftOut {
    /// Quarantine rows of those that were nevertheless acknowledged: they must exist.
    refused: Vec<String>,
    /// Quarantine rows of those that were never acknowledged: they may exist.
    lost: HashSet<String>,
    /// Their reports to fleets, in the oracle's words for a report that was not received.
    unread: Vec<String>,
}

/// Cuts the replaced stream to what was evaluated of it: its chains up to their seals. Which records come before
/// those is chance.
fn cut_at_seals(shards: &mut [Shard], services: &Services, acknowledged: &[Option<SequenceNumber>]) -> LeftOut {
    let mut left_out = LeftOut::default();
    for (shard, acknowledged) in shards.iter_mut().zip(acknowledged).filter(|(shard, _)| shard.generation == 1) {
        let sealed_at = services.last_link(shard.generation, &shard.name);
        shard.sealed = sealed_at.is_some();
        let evaluated = |put: &Put| sealed_at.flatten().is_some_and(|at| put.record.sequence <= at);
        let rest = shard.records.partition_point(evaluated);
        for Put { record, fact, .. } in shard.records.drain(rest..) {
            let row = set_aside(&shard.name, &record.sequence.to_string(), "after_seal");
            if acknowledged.is_some_and(|acknowledged| record.sequence <= acknowledged) {
                left_out.refused.push(row);
            } else {
                left_out.lost.insert(row);
            }
            if let Fact::Member(member) = fact {
                left_out.unread.push(oracle::unheard_by(&member));
            }
        }
    }
    left_out
}

/// Returns what the oracle expects of all shards: their tables, the reports that devices must have made to fleets,
/// and the fleets that have not received them.
fn expected(workload: &Workload, shards: &[Shard]) -> (Tables, BTreeSet<String>, Vec<String>) {
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
        let [outbox, history, aside] = &mut all;
        for (all, rows) in [(outbox, notices), (history, alerts)] {
            all.extend(rows.into_iter().map(|row| format!("{}:{row}", place(shard.generation, &shard.name))));
        }
        // The quarantine does not show which stream a record came from.
        aside.extend(quarantine.into_iter().map(|row| format!("{}:{row}", place(1, &shard.name))));
    }
    (all, said, unheard)
}

/// Returns the contents of the tables, in the oracle's form: outbox, history, quarantine. Times count from `start`.
pub(crate) fn found(rows: &Rows, start: i64) -> Tables {
    let shard = |alert: &Alert| place(alert.generation, &alert.shard);
    let notices = rows.outbox.iter().map(|notice| {
        let row = alert(&notice.alert, start);
        let to = if notice.contacts.is_empty() { String::new() } else { format!(" to={}", json!(notice.contacts)) };
        format!("{}:{row} {:?} suppressed={}{to}", shard(&notice.alert), notice.kind, notice.suppressed)
    });
    let alerts = rows.alerts.iter().map(|row| format!("{}:{}", shard(row), alert(row, start)));
    let quarantine = rows.quarantine.iter().map(|row| set_aside(&row.shard, &row.sequence, row.reason.as_str()));
    [notices.collect(), alerts.collect(), quarantine.collect()]
}

/// Formats a shard of a generation of the stream.
fn place(generation: u32, shard: &str) -> String {
    let shard = shard.trim_start_matches("shardId-");
    if generation == 1 { shard.to_owned() } else { format!("{generation}/{shard}") }
}

/// Formats a row of the quarantine.
fn set_aside(shard: &str, sequence: &str, reason: &str) -> String {
    format!("{}:{} {reason}", place(1, shard), sequence.trim_start_matches('0'))
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
    /// Compares the contents of the tables with what is expected. `acknowledged` is how far the log of each shard was
    /// acknowledged, and `finished` whether everything was done.
    pub(crate) fn of(
        workload: &Workload,
        services: &Services,
        acknowledged: &[Option<SequenceNumber>],
        finished: bool,
    ) -> Self {
        let rows = services.rows();
        let mut report = Self {
            records: workload.shards.iter().map(|shard| shard.records.len() as u64).sum(),
            notices: rows.outbox.len() as u64,
            ..Self::default()
        };
        if !finished {
            report.wrong.push("not everything was done within half an hour of the last fault".into());
        }
        for alert in &rows.alerts {
            *report.episodes.entry(alert.rule.to_string()).or_default() += 1;
        }
        for contradiction in &rows.contradictions {
            report.phantom += 1;
            report.wrong.push(format!("written twice with different content: {contradiction}"));
        }
        let records = services.records();
        let mut shards = with_members(&workload.shards, &records);
        let mut left_out = LeftOut::default();
        if let Some(replacement) = workload.replacement {
            left_out = cut_at_seals(&mut shards, services, acknowledged);
            if replacement.beside_ms.is_none() && !left_out.refused.is_empty() {
                report.wrong.push("a stream that was done is sealed before its end".into());
            }
        }
        let (mut expected, members, mut unheard) = expected(workload, &shards);
        expected[2].extend(left_out.refused);
        let [outbox, history, mut quarantine] = found(&rows, 0);
        quarantine.retain(|row| !left_out.lost.contains(row));
        let found = [outbox, history, quarantine];
        for ((table, expected), found) in ["outbox", "history", "quarantine"].iter().zip(expected).zip(found) {
            report.compare(table, expected, found);
        }
        // Records that are put more than once have the same contents, so each counts once.
        let said = records.iter().flatten().filter_map(|record| member(record)).map(|member| oracle::said(&member));
        report.members = members.len() as u64;
        report.compare("members", members.into_iter().collect(), said.collect::<BTreeSet<_>>().into_iter().collect());
        unheard.retain(|unheard| !left_out.unread.iter().any(|who| unheard.starts_with(who)));
        report.wrong.extend(unheard.into_iter().take(SHOWN));
        report
    }

    /// Whether the report contains no problem.
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
