//! `type = "fleet"`: too large a part of a zone's devices is offline, or has an alert of another rule.

use std::collections::BTreeMap;

use fleetform_engine::{
    fleet::FLEET_DEVICES_MIN,
    ids::{RuleId, ZoneId},
    rule_set::{Condition, FleetLimit, FleetOf, Rule},
    units::Finite,
};
use serde_json::json;

use super::{
    Kind, RawRule, RawRules, Scope, Subject,
    hold::check_no_sample_keys,
    limit::Numbers,
    raw::{RawGroupBy, RawThreshold},
};
use crate::{
    check::context::{Context, listing, shown},
    diagnostic::{Code, Diagnostic},
    source::At,
};

/// A percentage as it is written.
pub(crate) const PERCENT_PATTERN: &str = r"^[0-9]+(\.[0-9]+)?%$";

/// What counts devices that have been silent for too long.
const OFFLINE: &str = "offline";

pub(super) const KIND: Kind = Kind {
    words: &["fleet", "FLEET"],
    required: &["of", "operator", "threshold"],
    optional: &["group_by"],
    shapes: || {
        // Devices have no attribute in common that a part of them could be compared with.
        vec![("threshold", json!({ "type": ["number", "string"], "minimum": 0, "pattern": PERCENT_PATTERN }))]
    },
    check,
};

fn check(raw: &RawRule, subject: &Subject<'_, '_>) -> Option<Condition> {
    let context = subject.context;
    check_no_sample_keys(raw, subject);
    match raw.group_by {
        None | Some(RawGroupBy::Zone) => {}
    }
    let of = match raw.of.as_deref()? {
        OFFLINE => Some(FleetOf::Offline),
        name if is_misspelt(name, context) => {
            context.report(
                Diagnostic::new(
                    Code::UnknownRule,
                    context.value(&subject.at.key("of")),
                    format!("`{}` is neither `{OFFLINE}` nor a rule of the file", shown(name)),
                )
                .replace(format!("did you mean `{OFFLINE}`?"), format!("\"{OFFLINE}\"")),
            );
            None
        }
        name => {
            let user = || format!("rule `{}`", subject.id);
            context.reference(&subject.at.key("of"), "rules", name, Code::UnknownRule, user).map(FleetOf::Rule)
        }
    };
    let threshold = check_threshold(raw, subject);
    Some(Condition::Fleet { of: of?, operator: raw.operator.as_ref()?.0, threshold: threshold? })
}

/// Whether a name is nearer to the word for silent devices than to any rule.
fn is_misspelt(name: &str, context: &Context<'_>) -> bool {
    let rules = || context.declared("rules");
    let is_rule = context.is_declared("rules", name) || rules().any(|rule| rule == OFFLINE);
    !is_rule && context.nearest(name, rules().chain([OFFLINE])) == Some(OFFLINE)
}

fn check_threshold(raw: &RawRule, subject: &Subject<'_, '_>) -> Option<FleetLimit> {
    let (context, place) = (subject.context, subject.at.key("threshold"));
    let operator = raw.operator.as_ref()?.0;
    let (limit, most) = match raw.threshold.as_ref()? {
        RawThreshold::Fixed(share) if (f64::MIN_POSITIVE..1.0).contains(&share.get()) => {
            // Binary fractions of a hundred have more digits than were written.
            let percent = (share.get() * 1e8).round() / 1e6;
            context.report(
                Diagnostic::new(
                    Code::WrongType,
                    context.value(&place),
                    format!("a number of devices is whole, and `{share}` is not"),
                )
                .replace(format!("for a share of the devices write: \"{percent}%\""), format!("\"{percent}%\"")),
            );
            return None;
        }
        RawThreshold::Fixed(devices) => (FleetLimit::Devices(*devices), None),
        RawThreshold::Share(share) => {
            let percent = share.strip_suffix('%').and_then(|number| number.parse().ok()).and_then(Finite::new)?;
            if percent.get() > 100.0 {
                context.report(
                    Diagnostic::new(
                        Code::OutOfBounds,
                        context.value(&place),
                        format!("`{}` is more than all devices", shown(share)),
                    )
                    .help("write 100% or less"),
                );
                return None;
            }
            (FleetLimit::Percent(percent), Finite::new(100.0))
        }
        RawThreshold::Attribute { .. } => return None,
    };
    let (FleetLimit::Devices(value) | FleetLimit::Percent(value)) = limit;
    // Devices are counted whole.
    let parts = Numbers { min: Some(Finite::ZERO), max: most, whole: most.is_none() };
    let what = if parts.never(operator, value) {
        "can never be met"
    } else if parts.always(operator, value) {
        "is always met"
    } else {
        return Some(limit);
    };
    context.report(
        Diagnostic::new(
            Code::ThresholdOutOfReach,
            context.value(&place),
            format!("the condition of rule `{}` {what} by any part of a fleet", subject.id),
        )
        .help("a part lies between none and all of the devices"),
    );
    None
}

/// Checks what fleet rules and the rules that they name have to do with each other, and lets a fleet rule that names no
/// device types count those of the rule that it names.
pub(crate) fn complete(
    rules: &mut BTreeMap<RuleId, Rule>,
    raw: &RawRules<'_>,
    scope: &Scope<'_>,
    at: &At<'_>,
    context: &Context<'_>,
) {
    let fleets = rules.iter().filter_map(|(id, rule)| match &rule.condition {
        Condition::Fleet { of, .. } => Some((id.clone(), of.clone())),
        Condition::Threshold { .. }
        | Condition::Range { .. }
        | Condition::RateOfChange { .. }
        | Condition::State { .. }
        | Condition::Anomaly { .. }
        | Condition::NoData { .. }
        | Condition::Flatline { .. }
        | Condition::Count { .. }
        | Condition::Composite { .. }
        | Condition::DeviceAlarm { .. } => None,
    });
    for (id, of) in fleets.collect::<Vec<_>>() {
        let place = at.key(id.as_str());
        if let FleetOf::Rule(of) = of {
            // What is declared and not here is broken, and was reported with its own place.
            let Some(named) = rules.get(&of) else { continue };
            if matches!(named.condition, Condition::Fleet { .. }) {
                let other = at.key(of.as_str());
                context.report(
                    Diagnostic::new(
                        Code::ValueNotAllowed,
                        context.value(&place.key("of")),
                        format!("rule `{of}` is about zones, and a fleet rule counts devices"),
                    )
                    .related(context.value(&other.key("type")), "its type")
                    .help("name a rule about devices, or count devices that are `offline`"),
                );
                rules.remove(&id);
                continue;
            }
            if context.is_broken(&at.key(of.as_str())) {
                continue;
            }
            let types = named.device_types.clone();
            if let Some(rule) = rules.get_mut(&id)
                && raw.get(&id).is_some_and(|raw| raw.device_types.is_none())
            {
                rule.device_types = types;
            }
        }
        if let Some(rule) = rules.get(&id).filter(|rule| rule.enabled) {
            check_size(&id, rule, scope, &place, context);
        }
    }
}

/// Warns of a fleet rule that covers no zone in which enough devices are counted.
fn check_size(id: &RuleId, rule: &Rule, scope: &Scope<'_>, at: &At<'_>, context: &Context<'_>) {
    let types: Vec<_> = rule.device_types.iter().filter_map(|id| scope.device_types.get(id)).collect();
    if types.iter().any(|device_type| device_type.count.is_empty()) {
        return;
    }
    let devices = |zone: &ZoneId| -> u64 {
        let zones = scope.zones.with_children([zone.clone()]);
        let counts = types.iter().flat_map(|device_type| &device_type.count);
        counts.filter(|(zone, _)| zones.contains(*zone)).map(|(_, count)| u64::from(*count)).sum()
    };
    let covered = scope.zones.by_id.keys().filter(|zone| rule.zones.is_empty() || rule.zones.contains(*zone));
    let Some(most) = covered.map(devices).max() else { return };
    let (place, message) = if most < u64::from(FLEET_DEVICES_MIN) {
        let none = format!("no zone has {FLEET_DEVICES_MIN} devices of its types, the largest has {most}");
        (context.key(at), none)
    } else if exceeds(&rule.condition, most) {
        (context.value(&at.key("threshold")), format!("the largest zone has {most} devices of its types"))
    } else {
        return;
    };
    let names: Vec<&str> = rule.device_types.iter().map(|id| id.as_str()).collect();
    context.report(
        Diagnostic::new(Code::FleetTooSmall, place, format!("rule `{id}` never fires: {message}"))
            .help(format!("count more devices of {}, or name other zones or types", listing(&names))),
    );
}

/// Whether so many devices never meet the condition of a fleet rule.
fn exceeds(condition: &Condition, devices: u64) -> bool {
    let Condition::Fleet { operator, threshold: FleetLimit::Devices(limit), .. } = condition else { return false };
    Numbers { min: Some(Finite::ZERO), max: Finite::new(devices as f64), whole: true }.never(*operator, *limit)
}
