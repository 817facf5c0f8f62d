//! Devices that bring a claim certificate: AWS IoT asks the function `provision` before it makes anything.
//!
//! The template takes a serial from the device and everything else from the function's answer.

use fleetform_policy::iam::{Statement, Target};
use serde_json::{Map, Value, json};

use super::{Outputs, Provisioned, Site, device_policies, own, things};
use crate::cfn::{
    resource::{
        iot::{ProvisioningHook, ProvisioningTemplate},
        lambda::Permission,
    },
    stack::Stack,
    value::Text,
    yaml::Sorted,
};

/// Seconds after which AWS IoT waits no longer: what comes later is for nobody.
const TIMEOUT_S: u32 = 5;

/// What the function answers with, each under the name that the template has for it. `SerialNumber` is the device's own.
const PARAMETERS: [&str; 9] =
    ["DeviceType", "PolicyName", "Revision", "ThingGroupName", "ThingName", "ThingTypeName", "Told", "Values", "Zone"];

pub(super) fn stack(site: &Site<'_>, mut begun: Provisioned) -> (Stack, Outputs) {
    let about = ("provision", "Says whether a device may be provisioned, and as what");
    let look = Statement::allow("Things", ["iot:DescribeThing"], [things()]);
    let added = begun.function(site, about, TIMEOUT_S, [], [look]);
    let name = site.provisioning_template();
    let permission = Permission {
        action: "lambda:InvokeFunction",
        function_name: added.function.reference(),
        principal: "iot.amazonaws.com",
        source_account: Text::account(),
        source_arn: Text::arn("iot", [format!("provisioningtemplate/{name}").into()]),
    };
    let stack = &mut begun.stack;
    let permission = stack.add("ProvisionPermission", permission);
    let role = site.role(
        stack,
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
    begun.end(&added)
}

/// What AWS IoT does when it provisions: narrower than `AWSIoTThingsRegistration`, which is for every resource and lets it
/// make policies too.
fn statements(site: &Site<'_>) -> [Statement<Text>; 5] {
    let certificates = || Target::Many {
        arn: Text::arn("iot", ["cert/*".into()]),
        reason: "the certificate is made by whoever asks to be provisioned",
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
        Statement::allow("ThingTypes", ["iot:DescribeThingType"], [own(site, "thingtype")]),
        Statement::allow(
            "ThingGroups",
            [
                "iot:AddThingToThingGroup",
                "iot:DescribeThingGroup",
                "iot:RemoveThingFromThingGroup",
                "iot:UpdateThingGroupsForThing",
            ],
            [own(site, "thinggroup"), things()],
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
        Statement::allow("Policies", ["iot:GetPolicy"], [own(site, "policy")]),
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
        assert!(
            templates(&platform, "")["provisioning.yaml"].text.contains(&format!("TemplateName: {name}")),
            "{name}"
        );
    }
}
