//! `[environments.X]`: an account and a region, and what differs there.

use std::collections::BTreeMap;

use fleetform_engine::ids::EnvironmentId;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};
use smol_str::SmolStr;

use super::{
    Platform, Project,
    mqtt::{Mqtt, Topic},
    region::{KNOWN, Service, offers},
};
use crate::{
    check::context::Context,
    diagnostic::{Code, Diagnostic},
    source::{At, Document},
};

/// `[environments.X]` as it is written.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawEnvironment {
    /// AWS account, twelve digits in quotes.
    #[schemars(required, regex(pattern = "^[0-9]{12}$"))]
    pub(crate) account: Option<String>,
    /// AWS region.
    #[schemars(required, regex(pattern = "^([a-z]{2}|eusc)(-[a-z]+)+-[0-9]{1,2}$"), extend("examples" = ["us-east-1", "eu-central-1"]))]
    pub(crate) region: Option<String>,
    /// Whether stacks get termination protection and changes to what holds data are asked for.
    #[schemars(extend("default" = false))]
    pub(crate) protect: Option<bool>,
    /// Cost alarm, in US dollars a month.
    #[schemars(range(min = 1, max = 10_000_000))]
    pub(crate) monthly_budget_usd: Option<u32>,
    /// What differs in this environment: dotted keys of the file, checked like the file itself.
    #[serde(rename = "set")]
    pub(crate) _set: Option<Map<String, Value>>,
}

/// An account and a region.
#[derive(Clone, Debug, PartialEq)]
pub struct Environment {
    /// Its name.
    pub id: EnvironmentId,
    /// AWS account, twelve digits.
    pub account: SmolStr,
    /// AWS region.
    pub region: SmolStr,
    /// Whether stacks get termination protection and a stateless change set is asked for.
    pub protect: bool,
    /// Cost alarm, in US dollars a month.
    pub monthly_budget_usd: Option<u32>,
}

/// Reports environments of one account and region whose names run into each other: what `dev` calls `<prefix>-dev-x` for
/// its zone `x` is what `dev-x` calls its own.
pub(crate) fn check_names(project: &Project, document: &Document<'_>) -> Vec<Diagnostic> {
    let at = At::root("environments");
    let mut found = Vec::new();
    for (shorter, platform) in &project.environments {
        for (longer, other) in &project.environments {
            let name = |platform: &Platform| format!("{}-{}", platform.deploy.prefix, platform.environment.id);
            let (name, around) = (name(other), name(platform));
            let rest = name.strip_prefix(&around).and_then(|rest| rest.strip_prefix('-'));
            let place =
                |platform: &Platform| (platform.environment.account.clone(), platform.environment.region.clone());
            let Some(rest) = rest.filter(|_| place(platform) == place(other)) else { continue };
            let Some((table, name)) = shared_name(platform, rest) else { continue };
            let message = format!(
                "environments `{shorter}` and `{longer}` of one account and region would give one name to two things"
            );
            let span = document.key_span(&at.key(longer.as_str()).steps());
            let named = document.key_span(&At::root(table).key(&name).steps());
            let mut diagnostic = Diagnostic::new(Code::NameCollision, span, message)
                .help("rename the environment, or give it an account or a region of its own");
            // The contact of a rule's own addresses is declared nowhere.
            if !named.is_empty() {
                diagnostic = diagnostic.related(named, format!("named as in `{longer}`, in `{shorter}`"));
            }
            found.push(diagnostic);
        }
    }
    found
}

/// Warns of environments of one account and region whose topic rules take the same messages.
pub(crate) fn check_traffic(project: &Project, document: &Document<'_>) -> Vec<Diagnostic> {
    let place = |platform: &Platform| (platform.environment.account.clone(), platform.environment.region.clone());
    let environments: Vec<_> = project.environments.iter().collect();
    let pairs = environments.iter().enumerate().filter_map(|(index, (id, platform))| {
        let beside = environments[..index].iter().filter(|(_, other)| place(other) == place(platform));
        beside.filter_map(|(other, earlier)| Some((*id, *other, shared_topic(&platform.mqtt, &earlier.mqtt)?))).next()
    });
    let at = At::root("environments");
    let span = |id: &EnvironmentId| document.key_span(&at.key(id.as_str()).steps());
    let told = pairs.map(|(id, other, topic)| {
        let filter = topic.with_device("+");
        let message = format!(
            "environments `{other}` and `{id}` of one account and region both take what devices send to `{filter}`"
        );
        let own = |topic: &str| format!("\"mqtt.{topic}\" = \"{id}/{{device_id}}/{topic}\"");
        let topics = ["telemetry", "status", "alerts"].map(own).join(", ");
        let is_set = document.has(&at.key(id.as_str()).key("set").steps());
        let set = if is_set { format!("below `set`: {topics}") } else { format!("set = {{ {topics} }}") };
        Diagnostic::new(Code::SharedTraffic, span(id), message)
            .related(span(other), "the other environment")
            .help(format!("give `{id}` an account or a region of its own, or topics of its own, {set}"))
    });
    told.collect()
}

/// A topic on which the message broker brings the devices of two environments to the rules of both.
fn shared_topic<'m>(mqtt: &'m Mqtt, other: &Mqtt) -> Option<&'m Topic> {
    let past_broker = mqtt.basic_ingest && other.basic_ingest;
    let sent = [(&mqtt.telemetry, &other.telemetry), (&mqtt.alerts, &other.alerts)];
    let sent = sent.into_iter().filter(|_| !past_broker);
    sent.chain([(&mqtt.status, &other.status)]).find(|(own, other)| own == other).map(|(own, _)| own)
}

/// Warns of environments with phones in regions from which no text messages are sent.
pub(crate) fn check_phones(environments: &BTreeMap<EnvironmentId, Platform>, context: &Context<'_>) {
    let (at, contacts) = (At::root("environments"), At::root("contacts"));
    for (id, Platform { environment, contacts: told, .. }) in environments {
        let region = environment.region.as_str();
        // Where there is no AWS IoT Core either, that is said already.
        if !offers(region, Service::Iot) || offers(region, Service::TextMessages) {
            continue;
        }
        let Some((contact, _)) = told.iter().find(|(_, contact)| !contact.sms.is_empty()) else { continue };
        let table = at.key(id.as_str());
        let message =
            format!("there are no {} from `{region}`, so no phone is told of alerts", Service::TextMessages.as_str());
        let declared = contacts.key(contact.as_str());
        let mut diagnostic = Diagnostic::new(Code::NotInRegion, context.value(&table.key("region")), message);
        if context.is_written(&declared) {
            diagnostic = diagnostic.related(context.value(&declared.key("sms")), "a phone");
        }
        context.report(diagnostic.help("give each contact with a phone an e-mail address or a webhook as well"));
    }
}

/// What has a name in one environment that something else has in another, whose name has this behind it: its table and id.
fn shared_name(platform: &Platform, rest: &str) -> Option<(&'static str, String)> {
    let ids = |table: &'static str, ids: Vec<&str>| {
        let is_shared = |id: &&str| {
            let within = id.strip_prefix(rest).and_then(|id| id.strip_prefix('-'));
            (table == "zones" && *id == rest) || within.is_some_and(|within| ids.contains(&within))
        };
        ids.iter().find(|id| is_shared(id)).map(|id| (table, (*id).to_owned()))
    };
    ids("zones", platform.zones.keys().map(|id| id.as_str()).collect())
        .or_else(|| ids("device_types", platform.device_types.keys().map(|id| id.as_str()).collect()))
        .or_else(|| ids("contacts", platform.contacts.keys().map(|id| id.as_str()).collect()))
}

impl RawEnvironment {
    /// Checks the table; nothing if it has no usable account or region.
    ///
    /// `storage` is what would keep samples there.
    pub(crate) fn check(
        &self,
        id: &EnvironmentId,
        storage: Service,
        at: &At<'_>,
        context: &Context<'_>,
    ) -> Option<Environment> {
        let protect = self.protect.unwrap_or(false);
        if id.as_str().starts_with("prod") && !protect && !context.is_broken(&at.key("protect")) {
            let (span, help) = match self.protect {
                Some(_) => (context.value(&at.key("protect")), "write: protect = true"),
                None => (context.key(at), "add: protect = true"),
            };
            context.report(
                Diagnostic::new(
                    Code::UnprotectedProduction,
                    span,
                    format!("environment `{id}` is not protected: one command could delete its stacks"),
                )
                .help(help),
            );
        }
        self.check_region(id, storage, at, context);
        Some(Environment {
            id: id.clone(),
            account: self.account.as_deref()?.into(),
            region: self.region.as_deref()?.into(),
            protect,
            monthly_budget_usd: self.monthly_budget_usd,
        })
    }

    /// Reports what the region lacks: without AWS IoT Core nothing could be deployed.
    fn check_region(&self, id: &EnvironmentId, kept_by: Service, at: &At<'_>, context: &Context<'_>) {
        let Some(region) = self.region.as_deref() else { return };
        let place = at.key("region");
        if !offers(region, Service::Iot) {
            context.report(
                Diagnostic::new(
                    Code::RegionWithoutIot,
                    context.value(&place),
                    format!("environment `{id}` is in `{region}`, which has no {}", Service::Iot.as_str()),
                )
                .help("choose a region that has it, such as \"us-east-1\" or \"eu-central-1\""),
            );
            return;
        }
        if !KNOWN.contains(&region) {
            let message = format!("environment `{id}` is in `{region}`, which is no region that is known");
            let diagnostic = Diagnostic::new(Code::UnknownRegion, context.value(&place), message);
            context.report(match context.nearest(region, KNOWN.into_iter()) {
                Some(near) => diagnostic.replace(format!("did you mean `{near}`?"), format!("\"{near}\"")),
                None => diagnostic.help("such as \"us-east-1\" or \"eu-central-1\""),
            });
        }
        let storage = At::root("storage");
        if context.is_written(&storage) && !offers(region, kept_by) {
            context.report(
                Diagnostic::new(
                    Code::NotInRegion,
                    context.key(&storage),
                    format!("there is no {} in `{region}`, so samples are not stored", kept_by.as_str()),
                )
                .related(context.value(&place), "the environment's region")
                .help("remove the table, or choose a region that has it, such as \"us-east-1\" or \"eu-central-1\""),
            );
        }
        if self.monthly_budget_usd.is_some() && !offers(region, Service::Budgets) {
            context.report(
                Diagnostic::new(
                    Code::NotInRegion,
                    context.value(&at.key("monthly_budget_usd")),
                    format!(
                        "CloudFormation has no {} in `{region}`, so the budget is left out",
                        Service::Budgets.as_str()
                    ),
                )
                .related(context.value(&place), "the environment's region")
                .help("remove the key, and set up the budget in the console: budgets are for a whole account"),
            );
        }
    }
}
