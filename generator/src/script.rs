//! The texts that go with an environment's stacks: the scripts and the runbook.
//!
//! Here values are only named for the templates; `text` quotes them.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use fleetform_policy::audit::Bearer;

use crate::{
    platform::{Platform, identity::Key, storage::Engine},
    rule_set::RuleSetArtifact,
    serial,
    stacks::{self, CommandEntry},
    text::{Template, render},
};

/// Stacks that the deploy script deploys by themselves, with the template in the call. All others are uploaded for the
/// root stack.
const ALONE: [&str; 3] = ["account.yaml", "artifacts.yaml", "catalog.yaml"];

/// The root template, which names all nested ones.
const ROOT: &str = "root.yaml";

/// The texts of one environment.
pub(crate) struct Scripts {
    /// `scripts/deploy.sh`.
    pub(crate) deploy: String,
    /// `scripts/devices.sh`.
    pub(crate) devices: String,
    /// `scripts/serials.sh`, where there is an allow-list.
    pub(crate) serials: Option<String>,
    /// `scripts/claims.sh`, where devices are provisioned by claim.
    pub(crate) claims: Option<String>,
    /// `RUNBOOK.md`.
    pub(crate) runbook: String,
}

/// What `templates/deploy.sh` names.
#[derive(Serialize)]
struct Deploy<'a> {
    platform: &'a str,
    environment: &'a str,
    account: &'a str,
    region: &'a str,
    url_suffix: &'a str,
    stack: &'a str,
    artifacts_stack: String,
    account_stack: String,
    catalog_stack: String,
    /// 1 where samples are stored.
    stores: u8,
    /// 1 where they are in a table of Amazon S3 Tables.
    tables: u8,
    own_bucket: &'a str,
    protect: u8,
    confirm: u8,
    reserved: u32,
    log_days: u32,
    email_addresses: usize,
    rule_set: &'a str,
    templates: Vec<Uploaded>,
}

#[derive(Serialize)]
struct Uploaded {
    file: String,
    sha256: String,
}

/// Writes the texts of an environment. The script names each template by its hash, so it must be given those that are
/// written beside it.
pub(crate) fn scripts(
    platform: &Platform,
    rule_set: &RuleSetArtifact,
    stacks: &BTreeMap<String, stacks::Template>,
) -> Scripts {
    let environment = &platform.environment;
    let stack = format!("{}-{}", platform.deploy.prefix, environment.id);
    let mut names: Vec<&String> = stacks.keys().filter(|name| !ALONE.contains(&name.as_str())).collect();
    names.sort_by_key(|name| (*name != ROOT, *name));
    let uploaded =
        |name: &String| Uploaded { file: format!("cloudformation/{name}"), sha256: stacks[name].sha256.clone() };
    let deploy = Deploy {
        platform: platform.name.as_str(),
        environment: environment.id.as_str(),
        account: &environment.account,
        region: &environment.region,
        url_suffix: if environment.region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" },
        stack: &stack,
        artifacts_stack: format!("{stack}-artifacts"),
        account_stack: format!("{}-account", platform.deploy.prefix),
        catalog_stack: format!("{}-catalog", platform.deploy.prefix),
        stores: platform.storage.is_some().into(),
        tables: platform.storage.as_ref().is_some_and(|kept| kept.engine == Engine::Iceberg).into(),
        own_bucket: platform.deploy.artifact_bucket.as_deref().unwrap_or_default(),
        protect: environment.protect.into(),
        confirm: platform.deploy.confirm_change_sets.into(),
        reserved: platform.processor.reserved.unwrap_or(0),
        log_days: platform.observe.log_retention_days,
        email_addresses: platform.contacts.values().map(|contact| contact.email.len()).sum(),
        rule_set: &rule_set.sha256,
        templates: names.into_iter().map(uploaded).collect(),
    };
    let runbook = render(Template::Runbook, &Runbook::of(platform, &deploy));
    let of = |bearer| Devices::of(platform, &deploy, bearer);
    let devices = render(Template::DevicesScript, &of(Bearer::Device));
    let provisioning = platform.identity.provisioning;
    let serials = provisioning.has_allow_list().then(|| render(Template::SerialsScript, &of(Bearer::Device)));
    let claims = provisioning.has_claims().then(|| render(Template::ClaimsScript, &of(Bearer::Claim)));
    Scripts { deploy: render(Template::DeployScript, &deploy), devices, serials, claims, runbook }
}

/// What `templates/devices.sh`, `templates/serials.sh` and `templates/claims.sh` name.
#[derive(Serialize)]
struct Devices<'a> {
    platform: &'a str,
    environment: &'a str,
    account: &'a str,
    region: &'a str,
    stack: &'a str,
    /// Those of a device's certificate, or of a claim certificate.
    policies: Vec<String>,
    /// A policy that every device has, for whom nothing else is needed.
    device_policy: String,
    /// The policies that devices of a type have besides.
    type_policies: Vec<Registered<'a>>,
    provisioning_template: String,
    device_types: Vec<Registered<'a>>,
    zones: Vec<Registered<'a>>,
    attributes: Vec<String>,
    key_kind: [&'static str; 4],
    /// Empty where any serial will do.
    serial_pattern: String,
    /// 1 where AWS may make keys, and otherwise 0.
    server_keys: u8,
}

/// An element of the file, and what it is called in AWS IoT.
#[derive(Serialize)]
struct Registered<'a> {
    id: &'a str,
    name: String,
}

impl<'a> Devices<'a> {
    fn of(platform: &'a Platform, deploy: &'a Deploy<'a>, bearer: Bearer) -> Self {
        let (types, groups) = stacks::registry_names(platform);
        Self {
            platform: deploy.platform,
            environment: deploy.environment,
            account: deploy.account,
            region: deploy.region,
            stack: deploy.stack,
            policies: stacks::iot_policy_names(platform, bearer),
            device_policy: stacks::iot_policy_names(platform, Bearer::Device).swap_remove(0),
            type_policies: stacks::iot_policy_names_by_type(platform).into_iter().map(registered).collect(),
            provisioning_template: stacks::provisioning_template_name(platform),
            serial_pattern: platform.identity.serial_pattern.as_deref().map_or_else(String::new, serial_pattern),
            server_keys: platform.identity.provisioning.has_server_keys().into(),
            key_kind: match platform.identity.key {
                Key::EcP256 => ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
                Key::Rsa2048 => ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
            },
            attributes: platform
                .device_types
                .iter()
                .flat_map(|(id, device_type)| device_type.attributes.keys().map(move |name| format!("{id}/{name}")))
                .collect(),
            device_types: types.into_iter().map(registered).collect(),
            zones: groups.into_iter().map(registered).collect(),
        }
    }
}

/// A checked pattern as shells take it.
fn serial_pattern(pattern: &str) -> String {
    let posix = serial::posix(pattern).expect("the pattern was checked with the platform file");
    // Where nothing matches: no name is a dash.
    posix.unwrap_or_else(|| "^-$".to_owned())
}

fn registered((id, name): (&str, String)) -> Registered<'_> {
    Registered { id, name }
}

/// A command, and how an operator gives it.
#[derive(Serialize)]
struct Told<'a> {
    device_type: &'a str,
    name: &'a str,
    call: String,
}

fn told<'a>(platform: &Platform, entry: CommandEntry<'a>) -> Told<'a> {
    let (region, arn) = (&platform.environment.region, stacks::iot_arn(platform));
    let CommandEntry { device_type, name, id, timeout_s, parameters } = entry;
    let parameters = if parameters.is_empty() { String::new() } else { format!(" --parameters '{parameters}'") };
    let call = format!(
        "aws iot-jobs-data start-command-execution --region {region} --endpoint-url \"$ENDPOINT\" \
         --target-arn {arn}:thing/DEVICE --command-arn {arn}:command/{id} \
         --execution-timeout-seconds {timeout_s}{parameters}"
    );
    Told { device_type, name, call }
}

/// What `templates/RUNBOOK.md` names.
#[derive(Serialize)]
struct Runbook<'a> {
    platform: &'a str,
    environment: &'a str,
    owner: &'a str,
    description: &'a str,
    account: &'a str,
    region: &'a str,
    stack: &'a str,
    artifacts_stack: &'a str,
    account_stack: &'a str,
    catalog_stack: &'a str,
    stores: bool,
    tables: bool,
    rule_set: &'a str,
    arch: &'a str,
    protect: bool,
    allow_list: bool,
    claims: bool,
    commands: Vec<Told<'a>>,
    arn: String,
    email_addresses: usize,
    phones: usize,
    device_types: Vec<&'a str>,
    zones: Vec<&'a str>,
    secrets: Vec<&'a str>,
}

impl<'a> Runbook<'a> {
    fn of(platform: &'a Platform, deploy: &'a Deploy<'a>) -> Self {
        let webhooks = platform.contacts.values().filter_map(|contact| contact.webhook.as_ref());
        let secrets: BTreeSet<&str> = webhooks.filter_map(|webhook| webhook.secret.as_deref()).collect();
        Self {
            platform: deploy.platform,
            environment: deploy.environment,
            owner: platform.owner.as_deref().unwrap_or_default(),
            description: platform.description.as_deref().unwrap_or_default(),
            account: deploy.account,
            region: deploy.region,
            stack: deploy.stack,
            artifacts_stack: if deploy.own_bucket.is_empty() { &deploy.artifacts_stack } else { "" },
            account_stack: &deploy.account_stack,
            catalog_stack: &deploy.catalog_stack,
            stores: deploy.stores == 1,
            tables: deploy.tables == 1,
            rule_set: deploy.rule_set,
            arch: platform.processor.arch.as_str(),
            protect: platform.environment.protect,
            allow_list: platform.identity.provisioning.has_allow_list(),
            claims: platform.identity.provisioning.has_claims(),
            commands: stacks::commands(platform).into_iter().map(|entry| told(platform, entry)).collect(),
            arn: stacks::iot_arn(platform),
            email_addresses: deploy.email_addresses,
            phones: platform.contacts.values().map(|contact| contact.sms.len()).sum(),
            device_types: platform.device_types.keys().map(|id| id.as_str()).collect(),
            zones: platform.zones.keys().map(|id| id.as_str()).collect(),
            secrets: secrets.into_iter().collect(),
        }
    }
}
