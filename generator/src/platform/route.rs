//! `[[routes]]`: which alert goes to whom. The artifact's form is the checked form.

use std::collections::{BTreeMap, BTreeSet};

use fleetform_engine::{
    ids::{ContactId, RuleId},
    rule_set::{Channel, Match, Recipient, Route, Rule},
};
use schemars::JsonSchema;
use serde::Deserialize;

use super::{contact::Contact, recipient, severity, zone::Zones};
use crate::{
    check::context::Context,
    diagnostic::{Code, Diagnostic},
    source::At,
};

/// Most routes: every alert walks through them, and every one is compared with those before it.
pub(crate) const ROUTES_MAX: u32 = 500;

/// What stands for the contacts of the device's zone.
pub(crate) const ZONE: &str = "zone";

/// An item of `[[routes]]` as it is written.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawRoute {
    /// Which alerts. Default: all.
    #[serde(rename = "match")]
    pub(crate) matches: Option<RawMatch>,
    /// Who is told: contacts, or `"zone"` for the contacts of the device's zone.
    #[schemars(required, length(min = 1, max = 50))]
    pub(crate) to: Option<Vec<String>>,
    /// How. Default: every way that a contact has.
    #[schemars(length(min = 1, max = 3))]
    pub(crate) channels: Option<Vec<RawChannel>>,
    /// Whether later routes are tried as well.
    #[serde(rename = "continue")]
    #[schemars(extend("default" = false))]
    pub(crate) continues: Option<bool>,
}

/// A condition on an alert, as it is written: the keys are joined by "and", the items of a list by "or".
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawMatch {
    /// Severities.
    pub(crate) severities: Option<Vec<String>>,
    /// Rules.
    pub(crate) rules: Option<Vec<String>>,
    /// Zones, and what lies in them.
    pub(crate) zones: Option<Vec<String>>,
    /// Device types.
    pub(crate) device_types: Option<Vec<String>>,
}

/// A way to reach a contact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub(crate) enum RawChannel {
    Sms,
    Email,
    Webhook,
}

impl RawChannel {
    fn channel(self) -> Channel {
        match self {
            Self::Sms => Channel::Sms,
            Self::Email => Channel::Email,
            Self::Webhook => Channel::Webhook,
        }
    }
}

/// Checks all routes; a file without any has one, from every alert to its zone.
pub(crate) fn check(
    raw: Option<&Vec<RawRoute>>,
    zones: &Zones,
    contacts: &BTreeMap<ContactId, Contact>,
    at: &At<'_>,
    context: &Context<'_>,
) -> Vec<Route> {
    let Some(raw) = raw else {
        return vec![Route {
            matches: Match::default(),
            to: vec![Recipient::Zone],
            channels: Channel::ALL.into_iter().collect(),
            continues: false,
        }];
    };
    let routes: Vec<Route> =
        raw.iter().enumerate().map(|(index, raw)| raw.check(zones, &at.index(index), context)).collect();
    let is_whole = |index: usize| !context.is_broken(&at.index(index));
    for (index, route) in routes.iter().enumerate().filter(|(index, _)| is_whole(*index)) {
        let place = at.index(index);
        recipient::check_route(route, zones, contacts, &place, context);
        let takes = |(taker, earlier): &(usize, &Route)| {
            is_whole(*taker) && !earlier.continues && covers(&earlier.matches, &route.matches)
        };
        let taker = routes[..index].iter().enumerate().find(takes).map(|(taker, _)| taker);
        if let Some(taker) = taker {
            let earlier = at.index(taker);
            context.report(
                Diagnostic::new(
                    Code::RouteNeverReached,
                    context.key(&place),
                    "no alert comes this far: an earlier route takes all that this one would match",
                )
                .related(context.key(&earlier), "this route takes them")
                .help("move it before that route, or give that route: continue = true"),
            );
        }
    }
    routes
}

/// Reports routes whose condition no rule can meet.
pub(crate) fn check_reach(
    routes: &[Route],
    rules: &BTreeMap<RuleId, Rule>,
    written: bool,
    at: &At<'_>,
    context: &Context<'_>,
) {
    if !written || rules.is_empty() {
        return;
    }
    let any = |set: bool, fits: bool| !set || fits;
    for (index, route) in routes.iter().enumerate().filter(|(index, _)| !context.is_broken(&at.index(*index))) {
        let matches = &route.matches;
        let reached = rules.iter().any(|(id, rule)| {
            any(!matches.severities.is_empty(), matches.severities.contains(&rule.severity))
                && any(!matches.rules.is_empty(), matches.rules.contains(id))
                && any(!matches.zones.is_empty() && !rule.zones.is_empty(), !matches.zones.is_disjoint(&rule.zones))
                && any(!matches.device_types.is_empty(), !matches.device_types.is_disjoint(&rule.device_types))
        });
        if !reached {
            context.report(
                Diagnostic::new(
                    Code::RouteNeverReached,
                    context.key(&at.index(index)),
                    "no rule of the file raises alerts that this route matches",
                )
                .help("widen its `match`, or remove the route"),
            );
        }
    }
}

impl RawRoute {
    fn check(&self, zones: &Zones, at: &At<'_>, context: &Context<'_>) -> Route {
        let to_at = at.key("to");
        let mut to = Vec::new();
        let mut seen = BTreeSet::new();
        for (index, name) in self.to.iter().flatten().enumerate() {
            let item = to_at.index(index);
            if !seen.insert(name) {
                context.report(
                    Diagnostic::new(Code::Duplicate, context.value(&item), format!("a route names `{name}` twice"))
                        .help("remove one of them"),
                );
            } else if name == ZONE {
                to.push(Recipient::Zone);
            } else {
                let user = || "a route".to_owned();
                let contact = context.reference(&item, "contacts", name, Code::UnknownContact, user);
                to.extend(contact.map(Recipient::Contact));
            }
        }
        let channels = match &self.channels {
            Some(channels) => channels.iter().map(|channel| channel.channel()).collect(),
            None => Channel::ALL.into_iter().collect(),
        };
        let matches = self.matches.as_ref();
        Route {
            matches: matches.map(|raw| raw.check(zones, &at.key("match"), context)).unwrap_or_default(),
            to,
            channels,
            continues: self.continues.unwrap_or(false),
        }
    }
}

impl RawMatch {
    fn check(&self, zones: &Zones, at: &At<'_>, context: &Context<'_>) -> Match {
        let user = || "a route".to_owned();
        let severities_at = at.key("severities");
        let severities = self.severities.iter().flatten().enumerate();
        for (key, list) in [
            ("severities", &self.severities),
            ("rules", &self.rules),
            ("zones", &self.zones),
            ("device_types", &self.device_types),
        ] {
            if list.as_ref().is_some_and(Vec::is_empty) && !context.is_written(&at.key(key).index(0)) {
                context.mark_broken(&at.key(key));
                context.report(
                    Diagnostic::new(
                        Code::Empty,
                        context.value(&at.key(key)),
                        format!("an empty list of {} would match everything", key.replace('_', " ")),
                    )
                    .help(format!("remove `{key}`, or name some")),
                );
            }
        }
        Match {
            severities: severities
                .filter_map(|(index, name)| severity::reference(name, &severities_at.index(index), user, context))
                .collect(),
            rules: context
                .references(&at.key("rules"), "rules", &self.rules, Code::UnknownRule, user)
                .into_iter()
                .collect(),
            zones: zones.with_children(context.references(
                &at.key("zones"),
                "zones",
                &self.zones,
                Code::UnknownZone,
                user,
            )),
            device_types: context
                .references(&at.key("device_types"), "device_types", &self.device_types, Code::UnknownDeviceType, user)
                .into_iter()
                .collect(),
        }
    }
}

/// Whether everything that `narrow` matches is matched by `wide`.
fn covers(wide: &Match, narrow: &Match) -> bool {
    fn set<T: Ord>(wide: &BTreeSet<T>, narrow: &BTreeSet<T>) -> bool {
        wide.is_empty() || (!narrow.is_empty() && narrow.is_subset(wide))
    }
    set(&wide.severities, &narrow.severities)
        && set(&wide.rules, &narrow.rules)
        && set(&wide.zones, &narrow.zones)
        && set(&wide.device_types, &narrow.device_types)
}
