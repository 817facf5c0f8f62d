//! Who is told of alerts: the contacts that routes lead to, and the routes and zones from which they lead to nobody.

use std::collections::{BTreeMap, BTreeSet};

use fleetform_engine::{
    ids::{ContactId, DeviceTypeId, RuleId, ZoneId},
    rule_set::{Channel, Recipient, Route, Rule},
};

use super::{
    contact::Contact,
    device_type::DeviceType,
    zone::{Zone, Zones},
};
use crate::{
    check::context::Context,
    diagnostic::{Code, Diagnostic},
    source::At,
};

/// Most rules that are held against zones: each zone in which a route reaches nobody is held against every rule, and a file
/// may have many of both. Zones behind this number are taken to be well.
const COMPARISONS_MAX: usize = 200_000;

/// Whether a contact has one of some channels.
fn is_reached(contact: &Contact, channels: &BTreeSet<Channel>) -> bool {
    channels.iter().any(|channel| match channel {
        Channel::Sms => !contact.sms.is_empty(),
        Channel::Email => !contact.email.is_empty(),
        Channel::Webhook => contact.webhook.is_some(),
    })
}

/// The channels of a route as a message lists them.
fn ways(route: &Route) -> String {
    route.channels.iter().map(|channel| channel.as_str()).collect::<Vec<_>>().join(", ")
}

/// Whether a route takes alerts of a zone.
fn covers(route: &Route, zone: &ZoneId) -> bool {
    route.matches.zones.is_empty() || route.matches.zones.contains(zone)
}

/// Reports a route whose recipients have none of its channels.
pub(crate) fn check_route(
    route: &Route,
    zones: &Zones,
    contacts: &BTreeMap<ContactId, Contact>,
    at: &At<'_>,
    context: &Context<'_>,
) {
    let reach = Reach { zones, contacts, routes: &[] };
    let somebody = route.to.iter().any(|recipient| match recipient {
        Recipient::Contact(id) => reach.reaches(route, id),
        Recipient::Zone => zones.by_id.iter().any(|(id, zone)| covers(route, id) && reach.reaches_zone(route, zone)),
    });
    if !somebody && !route.to.is_empty() {
        context.report(
            Diagnostic::new(
                Code::RouteWithoutRecipient,
                context.value(&at.key("to")),
                format!("nobody here can be reached by {}", ways(route)),
            )
            .help("name a contact that has one of these channels, or add a channel"),
        );
    }
}

/// What leads from an alert to those who are told of it.
pub(crate) struct Reach<'p> {
    pub(crate) zones: &'p Zones,
    pub(crate) contacts: &'p BTreeMap<ContactId, Contact>,
    pub(crate) routes: &'p [Route],
}

impl Reach<'_> {
    /// Warns of zones whose alerts reach nobody: for want of contacts, or because theirs lack the channels of a route.
    pub(crate) fn check_zones(
        &self,
        rules: &BTreeMap<RuleId, Rule>,
        device_types: &BTreeMap<DeviceTypeId, DeviceType>,
        context: &Context<'_>,
    ) {
        let at = At::root("zones");
        let mut comparisons = 0;
        for (id, zone) in &self.zones.by_id {
            let place = at.key(id.as_str());
            if zone.contacts.is_empty() {
                self.check_contacts(id, &place, context);
                continue;
            }
            let covering: Vec<&Route> = self.routes.iter().filter(|route| covers(route, id)).collect();
            if comparisons >= COMPARISONS_MAX || covering.iter().all(|route| self.tells(route, zone)) {
                continue;
            }
            comparisons += rules.len();
            let is_here = |rule: &Rule| {
                let counts = rule.device_types.iter().filter_map(|id| device_types.get(id)).map(|kind| &kind.count);
                (rule.zones.is_empty() || rule.zones.contains(id))
                    && counts.into_iter().any(|count| count.is_empty() || count.get(id).is_some_and(|count| *count > 0))
            };
            let mut told = rules.iter().filter(|(_, rule)| rule.enabled && !rule.shadow && is_here(rule));
            let silent = told.find_map(|(id, rule)| self.silent(id, rule, zone, &covering));
            // Of a route that reaches nobody anywhere, it is told at the route.
            let tells_others =
                |route: &&Route| self.zones.by_id.iter().any(|(id, zone)| covers(route, id) && self.tells(route, zone));
            if let Some(route) = silent.filter(tells_others) {
                self.report_silent(id, route, context);
            }
        }
    }

    /// Reports a zone without contacts.
    fn check_contacts(&self, id: &ZoneId, at: &At<'_>, context: &Context<'_>) {
        let contacts_at = at.key("contacts");
        let is_broken = context.is_broken(&contacts_at) || context.is_broken(&at.key("parent"));
        if is_broken || context.is_written(&contacts_at.index(0)) {
            return;
        }
        let routes = || self.routes.iter().filter(|route| route.to.contains(&Recipient::Zone) && covers(route, id));
        let is_told = |name: &&str| {
            let contact = ContactId::new(name).ok();
            contact.is_none_or(|contact| routes().all(|route| self.reaches(route, &contact)))
        };
        let help = match context.declared("contacts").find(is_told) {
            Some(name) => format!("add: contacts = [\"{name}\"]"),
            None if context.declared("contacts").next().is_none() => {
                "add before the first table: contacts.oncall = { email = [\"oncall@example.com\"] }, and to the zone: \
                 contacts = [\"oncall\"]"
                    .to_owned()
            }
            None => "declare a contact that has the channels of the routes, and name it here".to_owned(),
        };
        let message = format!("nobody is told of alerts in zone `{id}`");
        context.report(Diagnostic::new(Code::ZoneWithoutContact, context.key(at), message).help(help));
    }

    /// The route to a zone's contacts that takes the alerts of a rule there, where nobody is told of them.
    fn silent<'r>(&self, id: &RuleId, rule: &Rule, zone: &Zone, covering: &[&'r Route]) -> Option<&'r Route> {
        if !rule.notify.is_empty() {
            return None;
        }
        let mut silent = None;
        for route in covering {
            let matches = &route.matches;
            let of_types = &matches.device_types;
            let is_taken = (matches.severities.is_empty() || matches.severities.contains(&rule.severity))
                && (matches.rules.is_empty() || matches.rules.contains(id))
                && (of_types.is_empty() || !of_types.is_disjoint(&rule.device_types));
            if !is_taken {
                continue;
            }
            if self.tells(route, zone) {
                return None;
            }
            silent = silent.or(Some(*route).filter(|route| route.to.contains(&Recipient::Zone)));
            let takes_all = of_types.is_empty() || rule.device_types.is_subset(of_types);
            if takes_all && !route.continues {
                break;
            }
        }
        silent
    }

    fn report_silent(&self, id: &ZoneId, route: &Route, context: &Context<'_>) {
        let (zones, routes) = (At::root("zones"), At::root("routes"));
        let place = zones.key(id.as_str());
        let index = self.routes.iter().position(|other| std::ptr::eq(other, route)).unwrap_or(0);
        if [&place, &routes, &At::root("contacts")].iter().any(|at| context.is_broken(at)) {
            return;
        }
        let ways = ways(route);
        let told = self.contacts.keys().find(|contact| self.reaches(route, contact));
        let other =
            told.map_or_else(String::new, |contact| format!("name one there who can, such as `{contact}`, or "));
        let message = format!("nobody is told of alerts in zone `{id}`: none of its contacts can be reached by {ways}");
        context.report(
            Diagnostic::new(Code::ZoneWithoutContact, context.key(&place), message)
                .related(context.key(&routes.index(index)), "the route that takes them")
                .help(format!("{other}give one of them an address for it, or add a channel to the route")),
        );
    }

    /// Whether anybody is told of alerts in a zone by a route.
    fn tells(&self, route: &Route, zone: &Zone) -> bool {
        route.to.iter().any(|recipient| match recipient {
            Recipient::Contact(id) => self.reaches(route, id),
            Recipient::Zone => self.reaches_zone(route, zone),
        })
    }

    fn reaches_zone(&self, route: &Route, zone: &Zone) -> bool {
        zone.contacts.iter().any(|contact| self.reaches(route, contact))
    }

    /// Whether a route reaches a contact, if it were told by it. Of one that is broken nobody knows.
    fn reaches(&self, route: &Route, id: &ContactId) -> bool {
        self.contacts.get(id).is_none_or(|contact| is_reached(contact, &route.channels))
    }
}

#[cfg(test)]
mod tests {
    use crate::{check, diagnostic::Diagnostic};

    const PLATFORM: &str =
        include_str!("../../../tests/fixtures/invalid/P042-zone-without-contact-channel/platform.toml");

    fn found(text: &str) -> Vec<Diagnostic> {
        check("platform.toml", text).diagnostics
    }

    #[test]
    fn a_zone_of_which_somebody_is_told_is_not_warned_of() {
        let platform = PLATFORM.replacen("[zones.gate]\n", "", 1);
        let zones =
            |text: &str| found(text).iter().map(|found| text[found.span.clone()].to_owned()).collect::<Vec<_>>();
        assert_eq!(zones(&platform), ["yard"]);
        for (from, to) in [
            ("[[routes]]\n", "[[routes]]\nmatch = { zones = [\"yard\"] }\nto = [\"zone\"]\n\n[[routes]]\n"),
            ("[[routes]]\n", "[[routes]]\nto = [\"zone\"]\ncontinue = true\n\n[[routes]]\n"),
            ("channels = [\"email\"]\n", "channels = [\"email\"]\ncontinue = true\n\n[[routes]]\nto = [\"night\"]\n"),
            ("to = [\"zone\"]", "to = [\"zone\", \"oncall\"]"),
            ("severity = \"high\"\n", "severity = \"high\"\nzones = [\"zone-a\"]\n"),
            ("severity = \"high\"\n", "severity = \"high\"\nnotify = [\"night\"]\n"),
            ("report_every = \"60s\"\n", "report_every = \"60s\"\ncount = { zone-a = 5 }\n"),
        ] {
            let text = platform.replacen(from, to, 1);
            assert_ne!(text, platform, "{from}");
            assert_eq!(zones(&text), [""; 0], "{to}");
        }
    }

    #[test]
    fn a_contact_is_declared_before_a_zone_names_it() {
        let text = "schema = 1\n@platform = { name = \"water\" }\n\
                    environments.dev = { account = \"111111111111\", region = \"us-east-1\" }\n\
                    device_types.meter.readings.pressure = {}\n[zones.zone-a]\n";
        let help = found(&text.replace('@', "")).remove(0).help.expect("a help");
        let (declaration, line) = help.split_once(", and to the zone: ").expect("two lines");
        let declaration = declaration.split_once(": ").expect("a line").1;
        assert_eq!(found(&format!("{}{line}\n", text.replace('@', &format!("{declaration}\n")))), []);
    }
}
