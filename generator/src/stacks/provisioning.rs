//! The stack `provisioning`: what makes devices of those that bring a claim certificate, where the platform has it so.
//!
//! AWS IoT asks the function `provision` before it makes anything; the function asks the allow-list. What a device becomes is
//! said by the list alone: the template takes a serial from the device and everything else from the function's answer.

use fleetform_policy::{
    audit::Bearer,
    iam::{Statement, Target},
};
use serde_json::{Map, Value, json};

use super::{
    function::{self, Plan},
    ingest, iot_policies,
    shared::{FunctionOutputs, common_environment, dead_letters},
    site::Site,
};
use crate::{
    cfn::{
        resource::{
            dynamodb::Table,
            iot::{ProvisioningHook, ProvisioningTemplate},
            lambda::{Code, Permission},
        },
        stack::{Output, Stack},
        value::Text,
        yaml::Sorted,
    },
    platform::identity::Provisioning,
};

/// Memory, in MiB: it waits for two calls. More of it is a faster start, for which a device waits.
const MEMORY_MIB: u32 = 512;
/// Seconds after which AWS IoT waits no longer: what comes later is for nobody.
const TIMEOUT_S: u32 = 5;

/// What the function answers with, each under the name that the template has for it. `SerialNumber` is the device's own.
pub(crate) const PARAMETERS: [&str; 9] =
    ["DeviceType", "PolicyName", "Revision", "ThingGroupName", "ThingName", "ThingTypeName", "Told", "Values", "Zone"];

/// What other stacks need of this one.
pub(crate) struct Outputs {
    pub(crate) provision: FunctionOutputs,
    pub(crate) allow_list_name: Output,
}

/// The stack; none where nobody brings a claim certificate.
pub(crate) fn stacks(site: &Site<'_>, ingest: &ingest::Outputs) -> (Vec<Stack>, Option<Outputs>) {
    match site.platform.identity.provisioning {
        Provisioning::Csr | Provisioning::ServerKeys => return (Vec::new(), None),
        Provisioning::FleetClaim => {}
    }
    let mut stack = site.stack("provisioning", "the allow-list of serials and what makes devices of them");
    let key = stack.import(&ingest.key_arn);
    let stream_arn = stack.import(&ingest.stream_arn);
    let allow_list = stack.add("AllowListTable", Table::new("serial", None, &key));

    let mut environment = common_environment(site);
    environment
        .extend([("FLEETFORM_ALLOW_LIST_TABLE", allow_list.reference()), ("FLEETFORM_STREAM_ARN", stream_arn.clone())]);
    let code = Code {
        bucket: stack.parameter("ArtifactBucket", "Name of the bucket for templates, code and rule sets"),
        key: stack.parameter("JobsCodeKey", "Key of the zip of the functions provision, relay and sweep"),
    };
    let plan = Plan {
        id: "Provision",
        handler: "provision",
        description: "Says whether a device may be provisioned, and as what",
        code,
        memory_mib: MEMORY_MIB,
        timeout_s: TIMEOUT_S,
        reserved: None,
        environment,
        statements: vec![
            Statement::allow("ClaimSerials", ["dynamodb:UpdateItem"], [Target::One(allow_list.arn())]),
            Statement::allow("TellStream", ["kinesis:PutRecord"], [Target::One(stream_arn)]),
        ],
    };
    let added = function::add(site, &mut stack, &key, plan);

    let name = site.provisioning_template();
    let permission = Permission {
        action: "lambda:InvokeFunction",
        function_name: added.function.reference(),
        principal: "iot.amazonaws.com",
        source_account: Text::account(),
        source_arn: Text::arn("iot", [format!("provisioningtemplate/{name}").into()]),
    };
    let permission = stack.add("ProvisionPermission", permission);
    let role = site.role(
        &mut stack,
        "ProvisioningTemplate",
        "Lets AWS IoT make devices by the provisioning template",
        "iot.amazonaws.com",
        statements(site),
    );
    let template = stack.add(
        "ProvisioningTemplate",
        ProvisioningTemplate {
            template_name: name,
            template_type: "FLEET_PROVISIONING",
            description: "Makes devices of those whose serial is on the allow-list",
            enabled: true,
            provisioning_role_arn: role.arn(),
            pre_provisioning_hook: ProvisioningHook { payload_version: "2020-04-01", target_arn: added.function.arn() },
            template_body: written(&body(site)).into(),
        },
    );
    // AWS IoT takes no hook that it may not invoke.
    stack.wait(&template, &permission);
    stack.output("ProvisioningTemplateName", "Name of the provisioning template", template.reference());
    let outputs = Outputs {
        provision: FunctionOutputs {
            name: stack.output("ProvisionFunctionName", "Name of the function provision", added.function.reference()),
            dead_letters_name: dead_letters(&mut stack, &added, "ProvisionDeadLettersName"),
            mapping_id: None,
        },
        allow_list_name: stack.output(
            "AllowListTableName",
            "Name of the table of serials that may be provisioned",
            allow_list.reference(),
        ),
    };
    (vec![stack], Some(outputs))
}

/// What AWS IoT does when it provisions: narrower than `AWSIoTThingsRegistration`, which is for every resource and lets it
/// make policies too.
fn statements(site: &Site<'_>) -> [Statement<Text>; 5] {
    let iot = |rest: String| Text::arn("iot", [rest.into()]);
    let things = || Target::Many {
        arn: iot("thing/*".to_owned()),
        reason: "the allow-list names things that are not there yet",
    };
    let certificates = || Target::Many {
        arn: iot("cert/*".to_owned()),
        reason: "the certificate is made by whoever asks to be provisioned",
    };
    let own = |kind: &str| Target::Many {
        arn: iot(format!("{kind}/{}-*", site.name)),
        reason: "zones, device types and what they may do come and go, each under the platform's name",
    };
    [
        Statement::allow(
            "Things",
            [
                "iot:CreateThing",
                "iot:DescribeThing",
                "iot:ListThingGroupsForThing",
                "iot:ListThingPrincipals",
                "iot:UpdateThing",
            ],
            [things()],
        ),
        Statement::allow("ThingTypes", ["iot:DescribeThingType"], [own("thingtype")]),
        Statement::allow(
            "ThingGroups",
            [
                "iot:AddThingToThingGroup",
                "iot:DescribeThingGroup",
                "iot:RemoveThingFromThingGroup",
                "iot:UpdateThingGroupsForThing",
            ],
            [own("thinggroup"), things()],
        ),
        Statement::allow(
            "Certificates",
            [
                "iot:AttachPolicy",
                "iot:AttachThingPrincipal",
                "iot:DescribeCertificate",
                "iot:ListPrincipalThings",
                "iot:UpdateCertificate",
            ],
            // What is attached to a thing is looked up by either.
            [certificates(), things()],
        ),
        Statement::allow("Policies", ["iot:GetPolicy"], [own("policy")]),
    ]
}

/// The template: a certificate that becomes active, its policies and its thing. What the script for devices keeps with a
/// thing is kept here too, so that it moves, rotates and revokes these devices like its own.
fn body(site: &Site<'_>) -> Value {
    let parameter = |name: &str| json!({ "Ref": name });
    let mut parameters = Map::new();
    for name in ["SerialNumber", "AWS::IoT::Certificate::Id"].into_iter().chain(PARAMETERS) {
        parameters.insert(name.to_owned(), json!({ "Type": "String" }));
    }
    let mut resources = Map::new();
    resources.insert(
        "certificate".to_owned(),
        json!({
            "Type": "AWS::IoT::Certificate",
            "Properties": { "CertificateId": parameter("AWS::IoT::Certificate::Id"), "Status": "Active" },
        }),
    );
    for (number, name) in device_policies(site).into_iter().enumerate() {
        let policy = json!({ "Type": "AWS::IoT::Policy", "Properties": { "PolicyName": name } });
        resources.insert(format!("policy{}", number + 1), policy);
    }
    // Of a type without commands it is a policy that the device has anyway.
    let policy = json!({ "Type": "AWS::IoT::Policy", "Properties": { "PolicyName": parameter("PolicyName") } });
    resources.insert("policyOfType".to_owned(), policy);
    resources.insert(
        "thing".to_owned(),
        json!({
            "Type": "AWS::IoT::Thing",
            // A device that was stopped on the way finds its thing there and goes on.
            "OverrideSettings": { "AttributePayload": "MERGE", "ThingTypeName": "REPLACE", "ThingGroups": "REPLACE" },
            "Properties": {
                "ThingName": parameter("ThingName"),
                "ThingTypeName": parameter("ThingTypeName"),
                "ThingGroups": [parameter("ThingGroupName")],
                "AttributePayload": {
                    "stack": site.name,
                    "type": parameter("DeviceType"),
                    "zone": parameter("Zone"),
                    "values": parameter("Values"),
                    "retired": "false",
                    "revision": parameter("Revision"),
                    "told": parameter("Told"),
                },
            },
        }),
    );
    json!({ "Parameters": parameters, "Resources": resources })
}

/// The body as a text: its references are AWS IoT's to fill in, not CloudFormation's.
fn written(body: &Value) -> String {
    serde_json::to_string(&Sorted(body)).expect("a tree is written as it is")
}

/// Names of the policies that every device has.
fn device_policies(site: &Site<'_>) -> Vec<String> {
    let policies = iot_policies::shared(site).into_iter().filter(|policy| policy.bearer == Bearer::Device);
    policies.map(|policy| site.iot_name(&policy.name)).collect()
}

#[cfg(test)]
mod tests {
    use fleetform_engine::ids::ShadowName;

    use super::*;
    use crate::{
        cfn::resource::iot::TEMPLATE_BODY_CHARS_MAX,
        platform::shadow::{CERTIFICATE_POLICIES_MAX, SHADOW_NAMES_MAX},
        stacks::{sample::platform, stacks as templates},
    };

    #[test]
    fn a_device_says_its_serial_and_nothing_else_of_what_it_becomes() {
        let platform = platform();
        let body = body(&Site::new(&platform));
        assert!(written(&body).chars().count() <= TEMPLATE_BODY_CHARS_MAX);
        let thing = &body["Resources"]["thing"]["Properties"];
        let text = thing.to_string();
        assert!(!text.contains("SerialNumber"), "{text}");
        assert_eq!(body["Resources"]["policyOfType"]["Properties"]["PolicyName"]["Ref"], "PolicyName");
        for name in PARAMETERS.into_iter().filter(|name| *name != "PolicyName") {
            assert!(text.contains(&format!(r#"{{"Ref":"{name}"}}"#)), "nothing takes {name}");
        }
        assert_eq!(body["Resources"]["policy1"]["Properties"]["PolicyName"], "riverton-water-prod-core");
        assert_eq!(body["Resources"]["policy2"]["Properties"]["PolicyName"], "riverton-water-prod-shadow");
        assert_eq!(body["Resources"]["policy3"]["Properties"]["PolicyName"], "riverton-water-prod-shadow-config");
        assert!(body["Resources"].get("policy4").is_none(), "a claim certificate's policy is no device's");
        assert_eq!(thing["AttributePayload"]["stack"], "riverton-water-prod");
    }

    /// Of all that a platform may have, the template has room for the longest.
    #[test]
    fn a_device_is_given_the_policy_of_every_named_shadow() {
        let mut platform = platform();
        platform.deploy.prefix = "x".repeat(32).into();
        let name = |n| ShadowName::new(&format!("{n}{}", "x".repeat(63))).unwrap();
        let shadows = (0..SHADOW_NAMES_MAX).map(name).collect();
        platform.device_types.values_mut().next().unwrap().shadows = shadows;
        for other in platform.device_types.values_mut().skip(1) {
            other.shadows.clear();
        }
        let body = body(&Site::new(&platform));
        let resources = body["Resources"].as_object().unwrap();
        let policies = resources.values().filter(|resource| resource["Type"] == "AWS::IoT::Policy").count();
        assert_eq!(policies, CERTIFICATE_POLICIES_MAX);
        assert!(written(&body).chars().count() <= TEMPLATE_BODY_CHARS_MAX);
    }

    #[test]
    fn a_template_s_name_is_short_whatever_the_platform_is_called() {
        let mut platform = platform();
        platform.deploy.prefix = "a-name-of-thirty-two-characters-".into();
        let name = Site::new(&platform).provisioning_template();
        assert_eq!(name.len(), 36);
        assert!(templates(&platform, "")["provisioning.yaml"].contains(&format!("TemplateName: {name}")), "{name}");
    }

    #[test]
    fn without_claims_there_is_nothing_of_it() {
        let mut platform = platform();
        platform.identity.provisioning = Provisioning::Csr;
        let templates = templates(&platform, "");
        assert!(!templates.contains_key("provisioning.yaml"));
        for word in ["AllowList", "ClaimPolicy", "ProvisionFunction", "ProvisioningRefused"] {
            assert!(templates.values().all(|text| !text.contains(word)), "{word}");
        }
    }
}
