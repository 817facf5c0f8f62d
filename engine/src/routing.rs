//! Who is notified of an alert, and through which channels: a pure function of the rule set and the alert.
//!
//! Knows nothing about addresses (those are subscriptions of topics), about what has already been delivered, or about
//! time.

use std::collections::BTreeSet;

use crate::{
    effect::{Alert, Notification},
    ids::{ContactId, RuleId, ZoneId},
    rule_set::{Channel, Condition, Contact, FleetOf, Match, Recipient, RuleSet, Zone},
};

/// A contact and one of its channels. A notice is delivered once to each target, however many routes lead there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Target {
    /// Id of the contact.
    pub contact: ContactId,
    /// The channel through which the contact is reached.
    pub channel: Channel,
}

/// Returns the targets of a notice, each once, in the order of contact and channel: those of its alert, or the
/// contacts that operators have set instead. If the set no longer knows any of these contacts, the routes decide.
pub fn notice_targets(rules: &RuleSet, notification: &Notification) -> BTreeSet<Target> {
    let mut set = BTreeSet::new();
    for contact in &notification.contacts {
        add(&mut set, rules, contact, &BTreeSet::from(Channel::ALL));
    }
    if set.is_empty() { targets(rules, &notification.alert) } else { set }
}

/// Returns the targets of an alert's notices, each once, in the order of contact and channel.
///
/// Routes are tried in the file's order; one without `continue` that matches ends the search. The contacts in the
/// rule's `notify` are notified as well, on every channel they have. A rule or zone that the set no longer holds is
/// not an error: the notice that its alert ended still goes wherever the routes lead.
pub fn targets(rules: &RuleSet, alert: &Alert) -> BTreeSet<Target> {
    let mut targets = BTreeSet::new();
    for route in rules.routes.iter().filter(|route| covers(&route.matches, alert)) {
        for recipient in &route.to {
            match recipient {
                Recipient::Zone => {
                    for contact in zone_contacts(rules, &alert.zone) {
                        add(&mut targets, rules, contact, &route.channels);
                    }
                }
                Recipient::Contact(contact) => add(&mut targets, rules, contact, &route.channels),
            }
        }
        if !route.continues {
            break;
        }
    }
    if let Some(rule) = rules.rules.get(&alert.rule) {
        for contact in &rule.notify {
            add(&mut targets, rules, contact, &BTreeSet::from(Channel::ALL));
        }
    }
    targets
}

/// Whether a matcher covers an alert: all four sets must cover it, and an empty set covers everything.
pub fn covers(matches: &Match, alert: &Alert) -> bool {
    fn holds<T: Ord>(set: &BTreeSet<T>, value: &T) -> bool {
        set.is_empty() || set.contains(value)
    }
    holds(&matches.severities, &alert.severity)
        && holds(&matches.rules, &alert.rule)
        && holds(&matches.zones, &alert.zone)
        && match &alert.device_type {
            Some(device_type) => holds(&matches.device_types, device_type),
            // A fleet's alert has no device type.
            None => matches.device_types.is_empty(),
        }
}

/// Returns the fleet rules, each with a zone, whose alerts stand in for a device's alert while they fire: those that
/// count it, in its zone or an enclosing one. A fleet of silent devices counts alerts of silence.
pub fn fleets(rules: &RuleSet, alert: &Alert) -> Vec<(RuleId, ZoneId)> {
    let Some(device_type) = alert.device.as_ref().and(alert.device_type.as_ref()) else { return Vec::new() };
    let is_silence = matches!(rules.rules.get(&alert.rule).map(|rule| &rule.condition), Some(Condition::NoData { .. }));
    let told = rules.rules.iter().filter(|(_, rule)| rule.enabled && !rule.shadow);
    let counting = told.filter(|(_, rule)| match &rule.condition {
        Condition::Fleet { of: FleetOf::Rule(of), .. } => *of == alert.rule && rule.device_types.contains(device_type),
        Condition::Fleet { of: FleetOf::Offline, .. } => is_silence && rule.device_types.contains(device_type),
        Condition::Threshold { .. }
        | Condition::Range { .. }
        | Condition::RateOfChange { .. }
        | Condition::State { .. }
        | Condition::Anomaly { .. }
        | Condition::NoData { .. }
        | Condition::Flatline { .. }
        | Condition::Count { .. }
        | Condition::Composite { .. }
        | Condition::DeviceAlarm { .. } => false,
    });
    counting
        .flat_map(|(id, rule)| {
            let covered =
                around(rules, &alert.zone).filter(|(zone, _)| rule.zones.is_empty() || rule.zones.contains(*zone));
            covered.map(|(zone, _)| (id.clone(), zone.clone()))
        })
        .collect()
}

/// Returns the contacts of a zone and of every zone that encloses it.
fn zone_contacts<'a>(rules: &'a RuleSet, zone: &'a ZoneId) -> impl Iterator<Item = &'a ContactId> {
    around(rules, zone).flat_map(|(_, zone)| &zone.contacts)
}

/// Returns a zone and every zone that encloses it.
fn around<'a>(rules: &'a RuleSet, zone: &'a ZoneId) -> impl Iterator<Item = (&'a ZoneId, &'a Zone)> {
    // A set written by other code might hold a cycle of parents: no chain is longer than the number of zones.
    std::iter::successors(rules.zones.get_key_value(zone), |(_, zone)| rules.zones.get_key_value(zone.parent.as_ref()?))
        .take(rules.zones.len())
}

fn add(targets: &mut BTreeSet<Target>, rules: &RuleSet, contact: &ContactId, channels: &BTreeSet<Channel>) {
    let Some(reached) = rules.contacts.get(contact) else { return };
    for &channel in channels {
        if has(reached, channel) {
            targets.insert(Target { contact: contact.clone(), channel });
        }
    }
}

fn has(contact: &Contact, channel: Channel) -> bool {
    match channel {
        Channel::Sms => contact.sms,
        Channel::Email => contact.email,
        Channel::Webhook => contact.webhook.is_some(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn rules(routes: Value) -> RuleSet {
        let zone = |parent: Option<&str>, contacts: Value| {
            let mut zone = json!({ "title": "Z", "timezone": "UTC", "contacts": contacts });
            if let Some(parent) = parent {
                zone["parent"] = json!(parent);
            }
            zone
        };
        serde_json::from_value(json!({
            "format_version": 1, "platform": "p", "environment": "dev",
            "message": {
                "device_id": "deviceId", "timestamp": "timestamp", "timestamp_format": "rfc3339", "readings": "readings",
                "health": {}, "max_future_skew_ms": 0, "max_past_ms": 0, "unknown_reading": "store"
            },
            "max_alert_delay_ms": 900_000,
            "zones": {
                "city": zone(None, json!(["chief"])),
                "north": zone(Some("city"), json!(["crew"])),
                "loop-a": zone(Some("loop-b"), json!(["crew"])),
                "loop-b": zone(Some("loop-a"), json!(["chief"])),
            },
            "device_types": {}, "severities": {},
            "contacts": {
                "crew": { "sms": true, "email": true },
                "chief": { "sms": false, "email": true },
                "scada": { "sms": false, "email": false, "webhook": { "url": "https://scada.example/hook" } },
            },
            "routes": routes,
            "rules": { "told": {
                "metric": "pressure", "condition": { "type": "threshold", "operator": ">", "threshold": 60.0 },
                "severity": "high", "device_types": ["pump"],
                "hold": { "by": "duration", "duration_ms": 0, "on_gap": "reset" },
                "keep_firing_for_ms": 0, "min_samples": 0, "enabled": true, "shadow": false, "notify": ["scada", "gone"]
            } },
        }))
        .expect("a rule set")
    }

    fn alert(rule: &str, severity: &str, zone: &str) -> Alert {
        serde_json::from_value(json!({
            "episode": "e", "rule": rule, "device": "d", "device_type": "pump", "zone": zone, "severity": severity,
            "metric": "pressure", "state": { "is": "firing" }, "since": 0, "at": 0, "ingested_at": 0, "value": 65.0,
            "limit": "> 60", "duration_ms": 0, "shard": "s", "sequence": "1", "sample": 0, "rule_set": "x"
        }))
        .expect("an alert")
    }

    fn check(routes: Value, alert: &Alert, expected: &str) {
        let found: Vec<String> = targets(&rules(routes), alert)
            .into_iter()
            .map(|target| format!("{}#{}", target.contact, target.channel.as_str()))
            .collect();
        assert_eq!(found.join(" "), expected);
    }

    #[test]
    fn zone_means_its_contacts_and_those_of_its_parents() {
        let routes = json!([{ "match": {}, "to": ["zone"], "channels": ["sms", "email"], "continue": false }]);
        check(routes.clone(), &alert("r", "high", "north"), "chief#email crew#sms crew#email");
        check(routes.clone(), &alert("r", "high", "city"), "chief#email");
        check(routes.clone(), &alert("r", "high", "loop-a"), "chief#email crew#sms crew#email");
        check(routes, &alert("r", "high", "unheard-of"), "");
    }

    #[test]
    fn the_first_match_ends_the_search_unless_it_continues() {
        let routes = |continues: bool| {
            json!([
                { "match": { "severities": ["low"] }, "to": ["zone"], "channels": ["sms"], "continue": false },
                { "match": { "severities": ["high"] }, "to": [{ "contact": "crew" }], "channels": ["sms"], "continue": continues },
                { "match": {}, "to": [{ "contact": "scada" }, { "contact": "crew" }], "channels": ["sms", "webhook"], "continue": false },
            ])
        };
        check(routes(false), &alert("r", "high", "north"), "crew#sms");
        check(routes(true), &alert("r", "high", "north"), "crew#sms scada#webhook");
        check(routes(false), &alert("r", "medium", "north"), "crew#sms scada#webhook");
    }

    #[test]
    fn every_set_of_a_matcher_must_cover_the_alert() {
        let one = |matches: Value| json!([{ "match": matches, "to": [{ "contact": "scada" }], "channels": ["webhook"], "continue": false }]);
        let alert = alert("r", "high", "north");
        check(one(json!({ "zones": ["north"], "rules": ["r"], "device_types": ["pump"] })), &alert, "scada#webhook");
        check(one(json!({ "zones": ["north"], "rules": ["other"] })), &alert, "");
        check(one(json!({ "device_types": ["meter"] })), &alert, "");
    }

    #[test]
    fn a_rules_own_contacts_are_told_as_well_and_once() {
        let routes =
            json!([{ "match": {}, "to": [{ "contact": "scada" }], "channels": ["webhook"], "continue": false }]);
        check(json!([]), &alert("told", "high", "north"), "scada#webhook");
        check(routes, &alert("told", "high", "north"), "scada#webhook");
    }

    #[test]
    fn a_fleet_speaks_for_what_it_counts_in_its_zone_and_around_it() {
        let mut set = serde_json::to_value(rules(json!([]))).unwrap();
        let rule = |condition: Value| {
            let mut rule = set["rules"]["told"].clone();
            rule.as_object_mut().unwrap().remove("metric");
            rule["condition"] = condition;
            rule
        };
        let fleet = |of: Value| {
            let threshold = json!({ "percent": 20.0 });
            rule(json!({ "type": "fleet", "of": of, "operator": ">", "threshold": threshold }))
        };
        let (mut of_told, mut here, mut trial) =
            (fleet(json!({ "rule": "told" })), fleet(json!("offline")), Value::Null);
        here["zones"] = json!(["north"]);
        trial.clone_from(&of_told);
        trial["shadow"] = json!(true);
        of_told["device_types"] = json!(["pump"]);
        let silence = rule(json!({ "type": "no_data" }));
        set["rules"]["silence"] = silence;
        (set["rules"]["many-told"], set["rules"]["silent"], set["rules"]["trial"]) = (of_told, here, trial);
        let set: RuleSet = serde_json::from_value(set).unwrap();
        let names = |alert: &Alert| -> Vec<String> {
            fleets(&set, alert).iter().map(|(rule, zone)| format!("{zone}/{rule}")).collect()
        };
        assert_eq!(names(&alert("told", "high", "north")), ["north/many-told", "city/many-told"]);
        assert_eq!(names(&alert("silence", "high", "north")), ["north/silent"]);
        assert_eq!(names(&alert("silence", "high", "city")), Vec::<String>::new());
        assert_eq!(names(&alert("other", "high", "north")), Vec::<String>::new());
        let of_other_type = Alert { device_type: Some("meter".parse().unwrap()), ..alert("told", "high", "north") };
        assert_eq!(names(&of_other_type), Vec::<String>::new());
        // A fleet's own alert does not concern a device.
        assert_eq!(names(&Alert { device: None, ..alert("told", "high", "north") }), Vec::<String>::new());
    }
}
