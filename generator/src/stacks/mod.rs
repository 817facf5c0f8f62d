//! The stacks of a platform: what is deployed, as CloudFormation templates.
//!
//! There is one file per stack. Each adds its resources and declares the values that others may use; the root passes
//! them on. Nothing here reads the platform file: a [`Platform`] is valid by construction, so nothing here can fail.

mod account;
mod alerting;
mod artifacts;
mod bucket;
mod catalog;
mod commands;
mod encryption;
mod function;
mod ingest;
pub(crate) mod iot_policies;
mod observability;
mod processing;
mod provisioning;
mod registry;
mod root;
mod schedule;
mod shared;
pub(crate) mod site;
mod spread;
mod storage;

use std::collections::{BTreeMap, BTreeSet};

use fleetform_engine::ids::DeviceTypeId;
use fleetform_policy::{audit::Bearer, iam::ROLE_POLICIES_MAX, iot};
use serde_json::Value;
use smol_str::SmolStr;

pub use self::{
    iot_policies::{DeviceTopics, ShadowTopics},
    root::Template,
};
pub use crate::cfn::value::logical_id;
use crate::{
    cfn::{fill::Place, stack::Stack, yaml::Sorted},
    platform::{Platform, region::partition},
};
use site::Site;

/// Returns the templates of one environment by file name. `rule_set_sha256` is the hash of its rule set, in
/// hexadecimal.
pub fn stacks(platform: &Platform, rule_set_sha256: &str) -> BTreeMap<String, Template> {
    let site = Site::new(platform);
    let root = root::deployment(&site, rule_set_sha256);
    let apart = apart(&site).into_iter().map(|stack| (stack.name().clone(), Template::of(&stack)));
    root.templates.into_iter().chain(apart).map(|(name, template)| (format!("{name}.yaml"), template)).collect()
}

/// Returns the IoT policies of devices and of claim certificates as JSON, by file name.
pub fn iot_policies(platform: &Platform) -> BTreeMap<String, String> {
    let documents = iot_policy_documents(platform).into_iter();
    documents
        .map(|(name, document)| {
            let mut text = serde_json::to_string_pretty(&Sorted(&document)).expect("a tree is written as it is");
            text.push('\n');
            (format!("{name}.json"), text)
        })
        .collect()
}

/// Returns the same documents by name, as trees. They are those of the stack `ingest`, including overrides, with the
/// environment's partition, account and region filled in. References that an override makes to anything else are left
/// as they are.
pub fn iot_policy_documents(platform: &Platform) -> BTreeMap<SmolStr, Value> {
    let site = Site::new(platform);
    let mut stack = site.stack("policies", "");
    for policy in iot_policies::all(&site) {
        iot_policies::add(&site, &mut stack, policy);
    }
    let environment = &platform.environment;
    let place =
        Place { partition: partition(&environment.region), region: &environment.region, account: &environment.account };
    let document = |id: &str| place.fill(&stack.properties(id)["PolicyDocument"]);
    iot_policies::all(&site).into_iter().map(|policy| (policy.name, document(&policy.id))).collect()
}

/// Returns, by policy name, the kind of certificate that has the policy and, if it is specific to one device type, that
/// type.
pub fn iot_policy_bearers(platform: &Platform) -> BTreeMap<SmolStr, (Bearer, Option<DeviceTypeId>)> {
    let policies = iot_policies::all(&Site::new(platform)).into_iter();
    policies.map(|policy| (policy.name, (policy.bearer, policy.only))).collect()
}

/// Returns the prefix of the ARNs of a platform's resources in AWS IoT.
pub fn iot_arn(platform: &Platform) -> String {
    let environment = &platform.environment;
    format!("arn:{}:iot:{}:{}", partition(&environment.region), environment.region, environment.account)
}

/// Returns the length of each of those policies as AWS IoT counts it, for comparison with [`iot::DOCUMENT_CHARS_MAX`].
pub fn iot_policy_chars(platform: &Platform) -> BTreeMap<SmolStr, usize> {
    let documents = iot_policy_documents(platform).into_iter();
    documents.map(|(name, document)| (name, iot::document_chars(&document))).collect()
}

/// Whether the role of `notify` has room for all targets of notices.
pub(crate) fn has_room_for_targets(platform: &Platform) -> bool {
    processing::target_policies(&Site::new(platform)) < ROLE_POLICIES_MAX
}

/// Returns the logical ids of all resources in all templates: the valid names in `[overrides.<LogicalId>]`.
pub fn logical_ids(platform: &Platform) -> BTreeSet<SmolStr> {
    let site = Site::new(platform);
    let stacks = root::deployment(&site, "").stacks.into_iter().chain(apart(&site));
    stacks.flat_map(|stack| stack.logical_ids().cloned().collect::<Vec<_>>()).collect()
}

/// Returns the fullest of the stacks that are spread over more stacks as they grow: its name, and how full it is as a
/// percentage of the point at which further stacks are created.
pub fn fullest(platform: &Platform) -> (SmolStr, usize) {
    let site = Site::new(platform);
    let (ingest, outputs) = ingest::fills(&site);
    let fills = ingest.into_iter().chain(alerting::fills(&site, &outputs));
    fills.max_by_key(|(_, percent)| *percent).unwrap_or_default()
}

/// Returns the names of the policies that every certificate of this kind has.
pub fn iot_policy_names(platform: &Platform, bearer: Bearer) -> Vec<String> {
    let site = Site::new(platform);
    let policies = iot_policies::shared(&site).into_iter().filter(|policy| policy.bearer == bearer);
    policies.map(|policy| site.iot_name(&policy.name)).collect()
}

/// Returns the names of the policies that every device has.
pub fn device_policy_names(platform: &Platform) -> Vec<String> {
    iot_policy_names(platform, Bearer::Device)
}

/// Returns the names of the additional policies for devices of a type, by device type, where there is one.
pub fn iot_policy_names_by_type(platform: &Platform) -> BTreeMap<&str, String> {
    let site = Site::new(platform);
    let types = platform.device_types.keys();
    types
        .filter_map(|id| iot_policies::of_type(&site, id).map(|policy| (id.as_str(), site.iot_name(&policy.name))))
        .collect()
}

/// Returns every command of a platform: its device type, its name, its id in AWS IoT, how long to wait for its
/// response, and the names of its parameters with AWS IoT's letter for their type.
pub fn commands(platform: &Platform) -> Vec<CommandEntry<'_>> {
    let site = Site::new(platform);
    let types = platform.device_types.iter();
    types.flat_map(|(id, declared)| commands::of_type(&site, id, declared)).map(CommandEntry::of).collect()
}

pub use commands::CommandEntry;

/// Returns the name of the provisioning template.
pub fn provisioning_template_name(platform: &Platform) -> String {
    Site::new(platform).provisioning_template()
}

/// Returns the names of the thing types by device type and of the thing groups by zone, as registered in AWS IoT.
pub fn registry_names(platform: &Platform) -> (BTreeMap<&str, String>, BTreeMap<&str, String>) {
    let site = Site::new(platform);
    let types = platform.device_types.keys().map(|id| (id.as_str(), site.thing_type(id)));
    let groups = platform.zones.keys().map(|id| (id.as_str(), site.thing_group(id)));
    (types.collect(), groups.collect())
}

/// Returns the stacks that the root does not nest.
fn apart(site: &Site<'_>) -> Vec<Stack> {
    artifacts::stack(site).into_iter().chain([account::stack(site)]).chain(catalog::stack(site)).collect()
}

#[cfg(test)]
pub(crate) mod sample;
#[cfg(test)]
mod tests;
