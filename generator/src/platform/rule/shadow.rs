//! Rules that another rule makes redundant: it fires whenever they do, and is at least as urgent.
//!
//! Rules are compared only within groups of the same metric, direction and scope, so the cost grows with the number of
//! rules.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use fleetform_engine::{
    ids::{RuleId, SeverityId},
    rule_set::{Condition, Hold, Operator, Route, Rule, Severity, Threshold},
    units::{Finite, Millis},
};

use crate::{
    check::context::Context,
    diagnostic::{Code, Diagnostic},
    source::At,
};

/// A fixed threshold that orders rules: the smaller it is, the sooner the rule fires.
struct Candidate<'r> {
    id: &'r RuleId,
    looseness: f64,
    duration: Millis,
    rank: u32,
}

/// Warns of rules that another rule makes redundant.
pub(crate) fn check(
    rules: &BTreeMap<RuleId, Rule>,
    severities: &BTreeMap<SeverityId, Severity>,
    routes: &[Route],
    at: &At<'_>,
    context: &Context<'_>,
) {
    // A rule that a route names goes to other recipients, and is needed for that.
    let routed: BTreeSet<&RuleId> = routes.iter().flat_map(|route| &route.matches.rules).collect();
    let compared = |(id, rule): &(&RuleId, &Rule)| rule.enabled && !rule.shadow && !routed.contains(id);
    // Most rules are the only one that reads their metric, and are not compared at all.
    let mut places: HashMap<_, usize> = HashMap::with_capacity(rules.len());
    let mut neighbours: Vec<Vec<(&RuleId, &Rule)>> = Vec::with_capacity(rules.len());
    for (id, rule) in rules.iter().filter(compared) {
        let place = *places.entry((&rule.device_types, &rule.zones, &rule.metric)).or_insert(neighbours.len());
        match neighbours.get_mut(place) {
            Some(rules) => rules.push((id, rule)),
            None => neighbours.push(vec![(id, rule)]),
        }
    }
    for rules in neighbours.into_iter().filter(|rules| rules.len() > 1) {
        compare(&rules, severities, at, context);
    }
}

/// Warns of the redundant rules among those with the same zones, device types and metric.
fn compare(
    rules: &[(&RuleId, &Rule)],
    severities: &BTreeMap<SeverityId, Severity>,
    at: &At<'_>,
    context: &Context<'_>,
) {
    let mut groups: BTreeMap<String, Vec<Candidate<'_>>> = BTreeMap::new();
    let mut same: BTreeMap<String, &RuleId> = BTreeMap::new();
    for (id, rule) in rules {
        let rank = severities.get(&rule.severity).map_or(u32::MAX, |severity| severity.rank);
        match ordered(rule) {
            Some((direction, looseness, duration)) => {
                let key = format!("{direction} {}", scope(rule));
                groups.entry(key).or_default().push(Candidate { id, looseness, duration, rank });
            }
            None => {
                let key = format!("{:?} {:?} {rank} {}", rule.condition, rule.hold, scope(rule));
                match same.get(&key) {
                    Some(first) => report(id, first, at, context),
                    None => {
                        same.insert(key, id);
                    }
                }
            }
        }
    }
    for mut group in groups.into_values() {
        group.sort_by(|a, b| {
            (a.looseness.total_cmp(&b.looseness))
                .then(a.duration.cmp(&b.duration))
                .then(a.rank.cmp(&b.rank))
                .then(a.id.cmp(b.id))
        });
        // By rank, the looser rule with the shortest duration so far. There are few ranks.
        let mut best: BTreeMap<u32, (Millis, &RuleId)> = BTreeMap::new();
        for candidate in group {
            let winner = best
                .range(..=candidate.rank)
                .map(|(_, winner)| winner)
                .find(|(duration, _)| *duration <= candidate.duration);
            if let Some((_, winner)) = winner {
                report(candidate.id, winner, at, context);
                continue;
            }
            best.insert(candidate.rank, (candidate.duration, candidate.id));
        }
    }
}

/// What a rule is about apart from its metric, zones, device types and condition.
fn scope(rule: &Rule) -> String {
    format!("{:?} {:?} {} {:?}", rule.notify, rule.keep_firing_for_ms, rule.min_samples, rule.active)
}

/// Direction, looseness and duration of a rule, if such a comparison can order it.
fn ordered(rule: &Rule) -> Option<(String, f64, Millis)> {
    let Hold::Duration { duration_ms, on_gap, max_gap_ms } = &rule.hold else { return None };
    let (kind, operator, threshold, clear) = match &rule.condition {
        Condition::Threshold { operator, threshold: Threshold::Fixed(value), clear } => {
            ("value".to_owned(), *operator, *value, *clear)
        }
        Condition::RateOfChange { operator, threshold, per_ms, clear } => {
            (format!("rate {}", per_ms.0), *operator, *threshold, *clear)
        }
        Condition::Threshold { .. }
        | Condition::Range { .. }
        | Condition::State { .. }
        | Condition::Anomaly { .. }
        | Condition::NoData { .. }
        | Condition::Flatline { .. }
        | Condition::Count { .. }
        | Condition::Fleet { .. }
        | Condition::Composite { .. }
        | Condition::DeviceAlarm { .. } => return None,
    };
    let looseness = match operator {
        Operator::Above | Operator::AtLeast => threshold.get(),
        Operator::Below | Operator::AtMost => -threshold.get(),
        Operator::Equal | Operator::NotEqual => return None,
    };
    let clear: Option<Finite> = clear.filter(|clear| *clear != threshold);
    Some((format!("{kind} {} {clear:?} {on_gap:?} {max_gap_ms:?}", operator.as_str()), looseness, *duration_ms))
}

fn report(id: &RuleId, winner: &RuleId, at: &At<'_>, context: &Context<'_>) {
    let place = at.key(id.as_str());
    let other = at.key(winner.as_str());
    context.report(
        Diagnostic::new(
            Code::RuleShadowed,
            context.key(&place),
            format!("rule `{id}` is needless: rule `{winner}` fires whenever it does, and is as urgent"),
        )
        .related(context.key(&other), "the other rule")
        .help("remove it, or let it differ in severity, zones or threshold"),
    );
}
