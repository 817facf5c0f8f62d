//! `type = "composite"`: a combination of other rules on the same device.

use std::collections::{BTreeMap, BTreeSet};

use fleetform_engine::{
    ids::{DeviceTypeId, RuleId, ZoneId},
    rule_set::{COMPOSITE_DEPTH_MAX, COMPOSITE_RULES_MAX, Condition, Rule},
};

use serde_json::Value;

use super::{Kind, RawRule, RawRules, Subject, fleet, hold::check_no_sample_keys};
use crate::{
    check::context::Context,
    diagnostic::{Code, Diagnostic},
    source::At,
};

pub(super) const KIND: Kind = Kind {
    words: &["composite", "COMPOSITE"],
    required: &[],
    optional: &["all", "any", "not"],
    shapes: Vec::new,
    check,
};

/// Maximum nesting of composite rules; the rules that read metrics are an additional level.
const LEVELS_MAX: usize = COMPOSITE_DEPTH_MAX - 1;

fn check(raw: &RawRule, subject: &Subject<'_, '_>) -> Option<Condition> {
    check_no_sample_keys(raw, subject);
    let context = subject.context;
    let user = || format!("rule `{}`", subject.id);
    let lists = [("all", &raw.all), ("any", &raw.any), ("not", &raw.not)];
    let mut first: BTreeMap<&str, (&str, usize)> = BTreeMap::new();
    for (key, names) in lists {
        let list_at = subject.at.key(key);
        for (index, name) in names.iter().flatten().enumerate() {
            let Some((other, at)) = first.insert(name, (key, index)).filter(|(other, _)| *other != key) else {
                continue;
            };
            let other_at = subject.at.key(other);
            context.report(
                Diagnostic::new(
                    Code::Duplicate,
                    context.value(&list_at.index(index)),
                    format!(
                        "rule `{}` names `{}` in `{other}` and in `{key}`",
                        subject.id,
                        crate::check::context::shown(name)
                    ),
                )
                .related(context.value(&other_at.index(at)), "named here")
                .help("a rule must fire or must not: remove one"),
            );
        }
    }
    if raw.all.is_none() && raw.any.is_none() {
        let example = context.declared("rules").find(|name| may_be_named(name, subject)).unwrap_or("high-pressure");
        context.report(
            Diagnostic::new(
                Code::MissingKey,
                context.key(subject.at),
                format!("`rules.{}` names no rule that must fire", subject.id),
            )
            .help(format!(
                "add those that must all fire: all = [\"{example}\"], or one of which must: any = [\"{example}\"]"
            )),
        );
        return None;
    }
    let [all, any, not] = lists.map(|(key, names)| {
        let named: Vec<RuleId> = context.references(&subject.at.key(key), "rules", names, Code::UnknownRule, user);
        named.into_iter().collect::<BTreeSet<RuleId>>()
    });
    let count = all.len() + any.len() + not.len();
    if count > COMPOSITE_RULES_MAX {
        context.report(
            Diagnostic::new(
                Code::OutOfBounds,
                context.key(subject.at),
                format!("rule `{}` names {count} rules; {COMPOSITE_RULES_MAX} are the most", subject.id),
            )
            .help("put some of them into a composite rule of their own"),
        );
    }
    Some(Condition::Composite { all, any, not })
}

/// Whether a composite rule may name another as written: a fleet rule applies to zones, and a composite rule may name
/// this one.
fn may_be_named(name: &str, subject: &Subject<'_, '_>) -> bool {
    let kind = subject.context.written(&At::root("rules").key(name).key("type")).and_then(Value::as_str);
    let is_kind = |other: &Kind| kind.is_some_and(|kind| other.words.contains(&kind));
    !is_kind(&KIND) && !is_kind(&fleet::KIND) && !subject.context.is_broken(&At::root("rules").key(name))
}

/// Where rules can fire: zones by device type; `None` is everywhere.
type Reach = BTreeMap<DeviceTypeId, Option<BTreeSet<ZoneId>>>;

/// Checks composite rules against the rules that they name. A composite rule that names no device types gets those on
/// which it can fire.
pub(crate) fn complete(rules: &mut BTreeMap<RuleId, Rule>, raw: &RawRules<'_>, at: &At<'_>, context: &Context<'_>) {
    let mut left: BTreeMap<RuleId, Named> =
        rules.iter().filter_map(|(id, rule)| Some((id.clone(), Named::of(&rule.condition)?))).collect();
    for (id, named) in &left {
        report_fleets(id, named, rules, raw, at, context);
    }
    let mut reaches: BTreeMap<RuleId, Reach> = BTreeMap::new();
    let mut level = 0;
    while !left.is_empty() {
        let ready = |named: &Named| named.rules().all(|name| !left.contains_key(name));
        let next: Vec<RuleId> = left.iter().filter(|(_, named)| ready(named)).map(|(id, _)| id.clone()).collect();
        if next.is_empty() {
            for id in report_cycle(&left, at, context) {
                left.remove(&id);
                rules.remove(&id);
            }
            continue;
        }
        level += 1;
        for id in next {
            let Some(named) = left.remove(&id) else { continue };
            let place = at.key(id.as_str());
            if level > LEVELS_MAX {
                context.report(
                    Diagnostic::new(
                        Code::OutOfBounds,
                        context.key(&place),
                        format!("rule `{id}` lies on more than {LEVELS_MAX} levels of composite rules"),
                    )
                    .help("let it name the rules at the bottom"),
                );
            }
            let good = |name: &RuleId| {
                let is_fleet = |rule: &Rule| matches!(rule.condition, Condition::Fleet { .. });
                rules.get(name).is_some_and(|rule| !is_fleet(rule)) && !context.is_broken(&at.key(name.as_str()))
            };
            if !named.rules().all(good) {
                rules.remove(&id);
                continue;
            }
            let reach = reach_of(&rules[&id], &named, rules, &reaches);
            if reach.is_empty() && rules[&id].enabled {
                report_nowhere(&id, &place, context);
            } else if raw.get(&id).is_some_and(|raw| raw.device_types.is_none())
                && let Some(rule) = rules.get_mut(&id)
            {
                rule.device_types = reach.keys().cloned().collect();
            }
            reaches.insert(id, reach);
        }
    }
}

/// The rules that a composite rule names.
struct Named {
    all: BTreeSet<RuleId>,
    any: BTreeSet<RuleId>,
    not: BTreeSet<RuleId>,
}

impl Named {
    fn of(condition: &Condition) -> Option<Self> {
        match condition {
            Condition::Composite { all, any, not } => {
                Some(Self { all: all.clone(), any: any.clone(), not: not.clone() })
            }
            Condition::Threshold { .. }
            | Condition::Range { .. }
            | Condition::RateOfChange { .. }
            | Condition::State { .. }
            | Condition::Anomaly { .. }
            | Condition::NoData { .. }
            | Condition::Flatline { .. }
            | Condition::Count { .. }
            | Condition::Fleet { .. }
            | Condition::DeviceAlarm { .. } => None,
        }
    }

    fn rules(&self) -> impl Iterator<Item = &RuleId> {
        self.all.iter().chain(&self.any).chain(&self.not)
    }
}

/// Where the rule can fire at all: where all of `all` can, and one of `any`.
fn reach_of(rule: &Rule, named: &Named, rules: &BTreeMap<RuleId, Rule>, known: &BTreeMap<RuleId, Reach>) -> Reach {
    let of = |id: &RuleId| match known.get(id) {
        Some(reach) => reach.clone(),
        None => rules.get(id).map(own_reach).unwrap_or_default(),
    };
    let mut reach = own_reach(rule);
    for id in &named.all {
        reach = meet(&reach, &of(id));
    }
    if !named.any.is_empty() {
        let mut any = Reach::new();
        for id in &named.any {
            join(&mut any, of(id));
        }
        reach = meet(&reach, &any);
    }
    reach
}

/// Where a rule applies. A rule that is not evaluated applies nowhere.
fn own_reach(rule: &Rule) -> Reach {
    let zones = || (!rule.zones.is_empty()).then(|| rule.zones.clone());
    let types = rule.device_types.iter().filter(|_| rule.enabled);
    types.map(|id| (id.clone(), zones())).collect()
}

fn meet(one: &Reach, other: &Reach) -> Reach {
    let both = one.iter().filter_map(|(id, zones)| {
        let zones = match (zones, other.get(id)?) {
            (Some(one), Some(other)) => Some(one & other),
            (Some(one), None) | (None, Some(one)) => Some(one.clone()),
            (None, None) => None,
        };
        zones.as_ref().is_none_or(|zones| !zones.is_empty()).then(|| (id.clone(), zones))
    });
    both.collect()
}

fn join(one: &mut Reach, other: Reach) {
    for (id, zones) in other {
        match (one.get_mut(&id), zones) {
            (None, zones) => {
                one.insert(id, zones);
            }
            (Some(there), None) => *there = None,
            (Some(Some(there)), Some(more)) => there.extend(more),
            (Some(None), Some(_)) => {}
        }
    }
}

fn report_nowhere(id: &RuleId, place: &At<'_>, context: &Context<'_>) {
    let message = format!("rule `{id}` never fires: the rules that it names never fire on one device");
    context.report(
        Diagnostic::new(Code::RuleMatchesNothing, context.key(place), message)
            .help("rules that must fire together read one device type, hold in one zone, and are enabled"),
    );
}

fn report_fleets(
    id: &RuleId,
    named: &Named,
    rules: &BTreeMap<RuleId, Rule>,
    raw: &RawRules<'_>,
    at: &At<'_>,
    context: &Context<'_>,
) {
    let is_fleet =
        |name: &&RuleId| rules.get(*name).is_some_and(|rule| matches!(rule.condition, Condition::Fleet { .. }));
    for name in named.rules().filter(is_fleet) {
        let place = at.key(id.as_str());
        let Some((key, index)) = written(raw.get(id).as_ref(), name) else { continue };
        let (list_at, other) = (place.key(key), at.key(name.as_str()));
        context.report(
            Diagnostic::new(
                Code::ValueNotAllowed,
                context.value(&list_at.index(index)),
                format!("rule `{name}` is about zones, and a composite rule reads rules of one device"),
            )
            .related(context.value(&other.key("type")), "its type")
            .help("name a rule about devices"),
        );
    }
}

/// The location at which a rule names another.
fn written(raw: Option<&RawRule>, name: &RuleId) -> Option<(&'static str, usize)> {
    let raw = raw?;
    [("all", &raw.all), ("any", &raw.any), ("not", &raw.not)].into_iter().find_map(|(key, names)| {
        let index = names.iter().flatten().position(|written| written == name.as_str())?;
        Some((key, index))
    })
}

/// Reports the first cycle among rules that each depend on another, and returns its rules.
fn report_cycle(left: &BTreeMap<RuleId, Named>, at: &At<'_>, context: &Context<'_>) -> Vec<RuleId> {
    let mut chain: Vec<&RuleId> = Vec::new();
    let mut next = left.keys().next();
    while let Some(id) = next {
        if let Some(start) = chain.iter().position(|seen| *seen == id) {
            let cycle = &chain[start..];
            let names: Vec<&str> = cycle.iter().copied().chain([id]).map(RuleId::as_str).collect();
            let message = format!("composite rules read each other: {}", names.join(" reads "));
            let mut diagnostic = Diagnostic::new(Code::RuleCycle, context.key(&at.key(id.as_str())), message);
            for other in cycle.iter().filter(|other| **other != id) {
                diagnostic = diagnostic.related(context.key(&at.key(other.as_str())), "part of the circle");
            }
            context.report(diagnostic.help("let one of them name other rules"));
            return cycle.iter().map(|id| (*id).clone()).collect();
        }
        chain.push(id);
        next = left.get(id).and_then(|named| named.rules().find(|name| left.contains_key(*name)));
    }
    // Unreachable: each remaining rule names another remaining one.
    left.keys().cloned().collect()
}
