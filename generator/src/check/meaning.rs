//! The meaning of a file whose shape is right: every element is checked, each by its own file in `platform/`.

use std::{collections::BTreeMap, sync::Arc};

use fleetform_engine::ids::{ContactId, EnvironmentId};

use super::{Part, context::Context};
use crate::{
    diagnostic::{Code, Diagnostic},
    platform::{
        Platform, Project, RawFile,
        channels::Channels,
        contact::Contact,
        environment, logical_id,
        recipient::Reach,
        region::offers,
        route,
        rule::{self, RawRules, Scope},
        rule_test, severity, shadow, storage, zone,
    },
    source::At,
};

/// Checks some environments; nothing if a part that everything needs is missing.
pub(super) fn check(raw: &RawFile, raw_rules: &RawRules<'_>, part: Part<'_>, context: &Context<'_>) -> Option<Project> {
    let at = At::root;
    let empty = Default::default();
    let about = raw.platform.as_ref().and_then(|raw| raw.check(&at("platform"), context));
    for (table, thing) in
        [("zones", "zone"), ("device_types", "device type"), ("contacts", "contact"), ("rules", "rule")]
    {
        logical_id::check(context.declared(table), thing, &at(table), context);
    }
    let zones = zone::check(raw.zones.as_ref().unwrap_or(&empty), &at("zones"), context);
    let message = raw.message.as_ref().unwrap_or(&Default::default()).check(&at("message"), context);
    let mqtt = raw.mqtt.as_ref().unwrap_or(&Default::default()).check(&at("mqtt"), context);
    let identity = raw.identity.as_ref().unwrap_or(&Default::default()).check(&at("identity"), context);
    let no_processor = Default::default();
    let raw_processor = raw.processor.as_ref().unwrap_or(&no_processor);
    let sweep_every = raw_processor.check_sweep_every(&at("processor"), context);
    let types_at = at("device_types");
    let device_types: BTreeMap<_, _> = (raw.device_types.iter().flat_map(|types| &types.0))
        .map(|(id, raw)| (id.clone(), raw.check(id, &message, sweep_every, &types_at.key(id.as_str()), context)))
        .collect();
    shadow::check(&device_types, &types_at, context);
    let no_retention = Default::default();
    let raw_retention = raw.retention.as_ref().unwrap_or(&no_retention);
    let (no_storage, no_export) = Default::default();
    let (raw_storage, raw_export) =
        (raw.storage.as_ref().unwrap_or(&no_storage), raw.export.as_ref().unwrap_or(&no_export));
    storage::check_columns(raw_storage.engine(), &message, &device_types, context);
    let storage = raw_storage.check(raw_retention, raw_export, &message, &at("storage"), context);
    raw_retention.check_types(&storage.retention, &device_types, &at("retention"), context);
    let kept_by = raw_storage.engine().service();
    let stream = raw.stream.as_ref().unwrap_or(&Default::default()).check(&device_types, &at("stream"), context);
    let processor = raw_processor.check(&stream, sweep_every, &at("processor"), context);
    let severities = severity::check(raw.severities.as_ref(), context);
    let channels = raw.channels.as_ref().map(|raw| raw.check()).unwrap_or_default();
    let contacts = check_contacts(raw, raw_rules, &channels, context);
    let routes = route::check(raw.routes.as_ref(), &zones, &contacts, &at("routes"), context);
    let rules_at = at("rules");
    let scope = Scope::new(&zones, &device_types, &message, sweep_every);
    // A list that grows while it is made is copied again and again, and this one has megabytes.
    let mut checked = Vec::with_capacity(raw_rules.len());
    checked.extend(raw_rules.all(context).filter_map(|(id, raw)| {
        let place = rules_at.key(id.as_str());
        let rule = context.watched(&place, || raw.check(&id, &scope, &place, context))?;
        Some((id, rule))
    }));
    let mut rules: BTreeMap<_, _> = checked.into_iter().collect();
    rule::composite::complete(&mut rules, raw_rules, &rules_at, context);
    rule::fleet::complete(&mut rules, raw_rules, &scope, &rules_at, context);
    rules.retain(|id, _| !context.is_broken(&rules_at.key(id.as_str())));
    rule::shadow::check(&rules, &severities, &routes, &rules_at, context);
    let all_rules_good = raw_rules.len() == rules.len();
    let reach = Reach { zones: &zones, contacts: &contacts, routes: &routes };
    reach.check_zones(&rules, &device_types, context);
    route::check_reach(&routes, &rules, raw.routes.is_some() && all_rules_good, &at("routes"), context);
    let observe = raw.observe.as_ref().unwrap_or(&Default::default()).check(&contacts, &at("observe"), context);
    let alert_retention = raw_retention.check(&at("retention"), context);

    let prefix = raw.deploy.as_ref().and_then(|deploy| deploy.prefix.as_deref());
    let prefix = prefix.map(|prefix| (prefix, ["deploy", "prefix"]));
    let name = about.as_ref().map(|about| (about.name.as_str(), ["platform", "name"]));
    if let Some((prefix, [table, key])) = prefix.or(name) {
        storage::check_bucket_name(raw_storage, prefix, &at(table).key(key), context);
    }

    // Tests that only an environment's own rules pass are not held against the file.
    let mut names = context.declared("environments").peekable();
    let is_asked = names.peek().is_none() || names.any(|name| part.has(name));
    let tests_scope = rule_test::Scope { rules: &rules, device_types: &device_types, message: &message };
    let raw_tests = raw.tests.as_ref().filter(|_| is_asked);
    let tests = rule_test::check(raw_tests, tests_scope, &at("tests"), context);
    let rules = Arc::new(rules);
    let mut environments = BTreeMap::new();
    let environments_at = at("environments");
    for (id, environment) in raw.environments.iter().flat_map(|environments| &environments.0) {
        let environment = environment.check(id, kept_by, &environments_at.key(id.as_str()), context);
        if !part.has(id.as_str()) {
            continue;
        }
        let (Some(environment), Some(about)) = (environment, &about) else { continue };
        let security = raw.security.as_ref().unwrap_or(&Default::default()).check(&environment, context);
        let deploy = raw.deploy.as_ref().unwrap_or(&Default::default()).check(&about.name, context);
        let storage = offers(&environment.region, kept_by).then(|| storage.clone());
        let platform = Platform {
            name: about.name.clone(),
            owner: about.owner.clone(),
            description: about.description.clone(),
            tags: about.tags.clone(),
            environment,
            mqtt: mqtt.clone(),
            message: message.clone(),
            identity: identity.clone(),
            zones: zones.by_id.clone(),
            device_types: device_types.clone(),
            stream: stream.clone(),
            storage,
            processor: processor.clone(),
            severities: severities.clone(),
            contacts: contacts.clone(),
            channels: channels.clone(),
            routes: routes.clone(),
            alert_retention,
            rules: rules.clone(),
            tests: tests.clone(),
            observe: observe.clone(),
            security,
            deploy,
            overrides: raw.overrides.iter().flatten().map(|(id, properties)| (id.into(), properties.clone())).collect(),
        };
        environments.insert(id.clone(), platform);
    }
    environment::check_phones(&environments, context);
    check_used(raw, context);
    let about = about?;
    let default_environment: EnvironmentId = about.default_environment?;
    Some(Project { name: about.name, default_environment, environments })
}

/// The contacts of the file, and those that rules have inline.
fn check_contacts(
    raw: &RawFile,
    raw_rules: &RawRules<'_>,
    channels: &Channels,
    context: &Context<'_>,
) -> BTreeMap<ContactId, Contact> {
    let at = At::root("contacts");
    let mut contacts = BTreeMap::new();
    let mut phones = None;
    for (id, raw) in raw.contacts.iter().flat_map(|contacts| &contacts.0) {
        let place = at.key(id.as_str());
        if id.as_str() == route::ZONE {
            let message =
                format!("no contact can be called `{id}`: in a route the word means the contacts of the zone");
            context
                .report(Diagnostic::new(Code::InvalidName, context.key(&place), message).help("give it another name"));
        }
        if phones.is_none() && raw.has_phone() {
            phones = Some(context.value(&place.key("sms").index(0)));
        }
        let contact = context.whole(&place, || raw.check(&place, context));
        contacts.extend(contact.map(|contact| (id.clone(), contact)));
    }
    let rules_at = At::root("rules");
    for (id, raw) in raw_rules.with("notifications", context) {
        let Some(notifications) = &raw.notifications else { continue };
        let rule_at = rules_at.key(id.as_str());
        let place = rule_at.key("notifications");
        let raw = rule::implicit_raw(notifications);
        if phones.is_none() && raw.has_phone() {
            phones = Some(context.value(&place.key("sms").index(0)));
        }
        let contact = context.whole(&place, || raw.check(&place, context));
        match rule::implicit_contact(&id) {
            None => context.report(
                Diagnostic::new(
                    Code::InvalidName,
                    context.key(&rule_at),
                    format!("the contact of these notifications would be `{id}-notifications`, which is too long"),
                )
                .help("shorten the rule's id to at most 49 characters"),
            ),
            Some(name) if contacts.contains_key(&name) => context.report(
                Diagnostic::new(
                    Code::NameCollision,
                    context.key(&place),
                    format!("the contact of these notifications would be `{name}`, which is declared"),
                )
                .related(context.key(&at.key(name.as_str())), "the declared contact")
                .help(format!("rename the contact, or use it: notify = [\"{name}\"]")),
            ),
            Some(name) => contacts.extend(contact.map(|contact| (name, contact))),
        }
    }
    if let Some(span) = phones.filter(|_| channels.sms.is_none() && !context.is_declared("channels", "sms")) {
        context.report(
            Diagnostic::new(
                Code::NoOrigination,
                span,
                "text messages need a number that they come from, and the file declares none",
            )
            .help(
                "add before the first table, with a number of your AWS account: \
                 channels.sms = { origination = \"+12025550100\" }",
            ),
        );
    }
    contacts
}

/// Warns of contacts that nothing refers to.
fn check_used(raw: &RawFile, context: &Context<'_>) {
    // What is broken was perhaps meant for a contact that seems unused.
    if ["zones", "rules", "routes", "observe"].iter().any(|table| context.is_broken(&At::root(table))) {
        return;
    }
    let used = context.texts(&[
        &["zones", "*", "contacts", "*"],
        &["rules", "*", "notify", "*"],
        &["routes", "*", "to", "*"],
        &["observe", "*", "to", "*"],
    ]);
    let at = At::root("contacts");
    let declared = raw.contacts.iter().flat_map(|contacts| contacts.0.keys());
    for id in declared.filter(|id| !used.contains(id.as_str())) {
        context.report(
            Diagnostic::new(
                Code::Unused,
                context.key(&at.key(id.as_str())),
                format!("contact `{id}` is never told of anything"),
            )
            .help("name it in a zone, a route or a rule, or remove it"),
        );
    }
}
