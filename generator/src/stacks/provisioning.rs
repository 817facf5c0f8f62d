//! The stack `provisioning`: what makes devices of those that ask to be ones by themselves, where the platform has it so.
//!
//! A function asks the allow-list. What a device becomes is said by the list alone, whichever way it comes: with a claim
//! certificate, or with one of one's own authority.

mod claim;
mod just_in_time;

use std::collections::BTreeMap;

use fleetform_policy::{
    audit::Bearer,
    iam::{Statement, Target},
};

use super::{
    function::{self, Added, Plan},
    ingest, iot_policies,
    shared::{FunctionOutputs, common_environment, dead_letters},
    site::Site,
};
use crate::{
    cfn::{
        resource::{dynamodb::Table, lambda::Code},
        stack::{Handle, Output, Stack},
        value::Text,
    },
    platform::identity::Provisioning,
};

/// Memory, in MiB: it waits for some calls. More of it is a faster start, for which a device waits.
const MEMORY_MIB: u32 = 512;

/// What other stacks need of this one.
pub(crate) struct Outputs {
    pub(crate) provision: FunctionOutputs,
    pub(crate) allow_list_name: Output,
}

/// The stack; none where nobody asks to be a device.
pub(crate) fn stacks(site: &Site<'_>, ingest: &ingest::Outputs) -> (Vec<Stack>, Option<Outputs>) {
    let begin = || Provisioned::begin(site, ingest);
    let (stack, outputs) = match site.platform.identity.provisioning {
        Provisioning::Csr | Provisioning::ServerKeys => return (Vec::new(), None),
        Provisioning::FleetClaim => claim::stack(site, begin()),
        Provisioning::Jitp => just_in_time::stack(site, begin(), ingest),
    };
    (vec![stack], Some(outputs))
}

/// The stack as it begins: the allow-list, and what a function needs that asks it.
struct Provisioned {
    stack: Stack,
    key: Text,
    allow_list: Handle<Table>,
    stream_arn: Text,
}

impl Provisioned {
    fn begin(site: &Site<'_>, ingest: &ingest::Outputs) -> Self {
        let mut stack = site.stack("provisioning", "the allow-list of serials and what makes devices of them");
        let key = stack.import(&ingest.key_arn);
        let stream_arn = stack.import(&ingest.stream_arn);
        let allow_list = stack.add("AllowListTable", Table::new("serial", None, &key));
        Self { stack, key, allow_list, stream_arn }
    }

    /// Adds the function, with what it is told and what it may do besides asking the list and telling the stream.
    fn function(
        &mut self,
        site: &Site<'_>,
        (handler, description): (&'static str, &'static str),
        timeout_s: u32,
        told: impl IntoIterator<Item = (&'static str, Text)>,
        rights: impl IntoIterator<Item = Statement<Text>>,
    ) -> Added {
        let Self { stack, key, allow_list, stream_arn } = self;
        let environment = BTreeMap::from([
            ("FLEETFORM_ALLOW_LIST_TABLE", allow_list.reference()),
            ("FLEETFORM_STACK", site.name.as_str().into()),
            ("FLEETFORM_STREAM_ARN", stream_arn.clone()),
        ]);
        let own = [
            Statement::allow("ClaimSerials", ["dynamodb:UpdateItem"], [Target::One(allow_list.arn())]),
            Statement::allow("TellStream", ["kinesis:PutRecord"], [Target::One(stream_arn.clone())]),
        ];
        let code = Code {
            bucket: stack.parameter("ArtifactBucket", "Name of the bucket for templates, code and rule sets"),
            key: stack.parameter("JobsCodeKey", "Key of the zip of the functions provision, relay and sweep"),
        };
        let plan = Plan {
            id: "Provision",
            handler,
            description,
            code,
            memory_mib: MEMORY_MIB,
            timeout_s,
            reserved: None,
            environment: common_environment(site).into_iter().chain(environment).chain(told).collect(),
            statements: own.into_iter().chain(rights).collect(),
        };
        function::add(site, stack, key, plan)
    }

    fn end(self, function: &Added) -> (Stack, Outputs) {
        let Self { mut stack, allow_list, .. } = self;
        let name = function.function.reference();
        let outputs = Outputs {
            provision: FunctionOutputs {
                name: stack.output("ProvisionFunctionName", "Name of the function that provisions devices", name),
                dead_letters_name: dead_letters(&mut stack, function, "ProvisionDeadLettersName"),
                mapping_id: None,
            },
            allow_list_name: stack.output(
                "AllowListTableName",
                "Name of the table of serials that may be provisioned",
                allow_list.reference(),
            ),
        };
        (stack, outputs)
    }
}

/// Names of the topic rules by which the function `register` is told of new certificates, one for each authority.
pub(crate) fn rules(site: &Site<'_>) -> Vec<String> {
    match site.platform.identity.provisioning {
        Provisioning::Csr | Provisioning::ServerKeys | Provisioning::FleetClaim => Vec::new(),
        Provisioning::Jitp => {
            site.platform.identity.authorities.values().map(|authority| just_in_time::rule(site, authority)).collect()
        }
    }
}

/// A thing of any name.
fn things() -> Target<Text> {
    Target::Many {
        arn: Text::arn("iot", ["thing/*".into()]),
        reason: "the allow-list names things that are not there yet",
    }
}

/// Whatever is called after the platform.
fn own(site: &Site<'_>, kind: &str) -> Target<Text> {
    Target::Many {
        arn: Text::arn("iot", [format!("{kind}/{}-*", site.name).into()]),
        reason: "zones, device types and what they may do come and go, each under the platform's name",
    }
}

/// Names of the policies that every device has.
fn device_policies(site: &Site<'_>) -> Vec<String> {
    let policies = iot_policies::shared(site).into_iter().filter(|policy| policy.bearer == Bearer::Device);
    policies.map(|policy| site.iot_name(&policy.name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stacks::{sample::platform, stacks as templates};

    #[test]
    fn without_a_list_there_is_nothing_of_it() {
        let mut platform = platform();
        platform.identity.provisioning = Provisioning::Csr;
        let templates = templates(&platform, "");
        assert!(!templates.contains_key("provisioning.yaml"));
        for word in ["AllowList", "ClaimPolicy", "ProvisionFunction", "ProvisioningRefused"] {
            assert!(templates.values().all(|template| !template.text.contains(word)), "{word}");
        }
    }
}
