//! Devices that bring a certificate of one's own authority: AWS IoT registers it when its holder first connects, and says so
//! on a topic of its own, from which a rule has the function `register` invoked.
//!
//! AWS IoT also has templates for this, but asks no function before it makes a device by one.

use fleetform_policy::iam::{Statement, Target};

use super::{Outputs, Provisioned, Site, device_policies, own, things};
use crate::{
    cfn::{
        resource::{
            iot::{Action, CaCertificate, LambdaAction, S3Action, TopicRule, TopicRulePayload},
            lambda::Permission,
        },
        stack::Stack,
        value::Text,
    },
    platform::authority::Authority,
    stacks::{bucket, encryption, ingest},
};

/// Seconds for some ten calls, each of which AWS IoT may ask to make more slowly.
const TIMEOUT_S: u32 = 60;

pub(super) fn stack(site: &Site<'_>, mut begun: Provisioned, ingest: &ingest::Outputs) -> (Stack, Outputs) {
    let authorities: Vec<_> = site
        .platform
        .identity
        .authorities
        .values()
        .map(|authority| {
            let certificate = CaCertificate {
                certificate: authority.certificate.clone(),
                mode: "SNI_ONLY",
                status: "ACTIVE",
                auto_registration: "ENABLE",
            };
            // Its name here may change, and AWS IoT takes no certificate twice.
            let id = authority.fingerprint.to_uppercase();
            let certificate = begun.stack.add(format!("Authority{id}"), certificate);
            (id, certificate, rule(site, authority))
        })
        .collect();
    let listed = authorities
        .iter()
        .enumerate()
        .flat_map(|(number, (_, authority, _))| [if number == 0 { "" } else { "," }.into(), authority.reference()]);
    let told = [
        ("FLEETFORM_AUTHORITIES", Text::concat(listed)),
        ("FLEETFORM_DEVICE_POLICIES", device_policies(site).join(",").into()),
    ];
    let about = ("register", "Makes devices of those who connect with a certificate of an authority");
    let added = begun.function(site, about, TIMEOUT_S, told, statements(site));
    let key = begun.key.clone();
    let stack = &mut begun.stack;
    let errors = stack.import(&ingest.rule_error_bucket);
    let to_errors = site.role(
        stack,
        "RegisteredTopicRule",
        "Lets topic rules keep what they could not have the function register told",
        "iot.amazonaws.com",
        [
            Statement::allow(
                "PutObjects",
                ["s3:PutObject"],
                [bucket::objects(&bucket::bucket_arn(&errors), "registered/")],
            ),
            encryption::encrypt("EncryptObjects", &key),
        ],
    );
    for (id, authority, name) in authorities {
        let permission = Permission {
            action: "lambda:InvokeFunction",
            function_name: added.function.reference(),
            principal: "iot.amazonaws.com",
            source_account: Text::account(),
            source_arn: Text::arn("iot", [format!("rule/{name}").into()]),
        };
        let permission = stack.add(format!("Registered{id}Permission"), permission);
        let sql = [
            "SELECT certificateId FROM '$aws/events/certificates/registered/".into(),
            authority.reference(),
            "'".into(),
        ];
        let rule = TopicRule {
            rule_name: name,
            topic_rule_payload: TopicRulePayload {
                description: "Tells a function of certificates that were registered when their holders connected",
                aws_iot_sql_version: "2016-03-23",
                sql: Text::concat(sql),
                rule_disabled: false,
                actions: vec![Action::Lambda(LambdaAction { function_arn: added.function.arn() })],
                error_action: Action::S3(S3Action {
                    bucket_name: errors.clone(),
                    key: "registered/${parse_time(\"yyyy/MM/dd\", timestamp())}/${newuuid()}".to_owned(),
                    role_arn: to_errors.arn(),
                }),
            },
        };
        let rule = stack.add(format!("Registered{id}TopicRule"), rule);
        stack.wait(&rule, &permission);
    }
    begun.end(&added)
}

/// Name of the topic rule of an authority.
pub(super) fn rule(site: &Site<'_>, authority: &Authority) -> String {
    site.topic_rule(&format!("registered-{}", authority.fingerprint))
}

/// What the function does to make a device.
fn statements(site: &Site<'_>) -> [Statement<Text>; 5] {
    let certificates = || Target::Many {
        arn: Text::arn("iot", ["cert/*".into()]),
        reason: "the certificate is known only once its holder has connected",
    };
    [
        Statement::allow(
            "Things",
            ["iot:CreateThing", "iot:DescribeThing", "iot:ListThingGroupsForThing", "iot:UpdateThing"],
            [things()],
        ),
        Statement::allow(
            "ThingGroups",
            ["iot:AddThingToThingGroup", "iot:RemoveThingFromThingGroup"],
            [own(site, "thinggroup"), things()],
        ),
        Statement::allow(
            "Certificates",
            ["iot:AttachPolicy", "iot:DescribeCertificate", "iot:DetachPolicy", "iot:UpdateCertificate"],
            [certificates()],
        ),
        // The Service Authorization Reference asks for the certificate, policies of AWS's own name the thing as well.
        Statement::allow("ThingsOfCertificates", ["iot:AttachThingPrincipal"], [certificates(), things()]),
        Statement::allow(
            "AttachedPolicies",
            ["iot:ListAttachedPolicies"],
            [Target::Every { reason: "AWS IoT has no permission by resource to see what is attached" }],
        ),
    ]
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use crate::stacks::{sample::with_authorities, stacks as templates};

    #[test]
    fn each_authority_has_a_rule_of_its_own() {
        let templates = templates(&with_authorities(2), "");
        let text = &templates["provisioning.yaml"].text;
        for word in ["Authority00", "Registered00TopicRule", "Authority01", "Registered01TopicRule"] {
            assert!(text.contains(&format!("\n  {word}:\n")), "{word}");
        }
        assert!(text.contains("$aws/events/certificates/registered/${Authority00}'"), "{text}");
        let told = "FLEETFORM_AUTHORITIES:\n            \"Fn::Sub\": ${Authority00},${Authority01}\n";
        assert!(text.contains(told), "{text}");
        assert!(!text.contains("ProvisioningTemplate") && !templates["ingest.yaml"].text.contains("ClaimPolicy"));
    }

    /// AWS's own sources do not agree on which of the two `AttachThingPrincipal` is checked, and `ListAttachedPolicies` is
    /// checked on none.
    #[test]
    fn register_may_attach_and_look_however_aws_iot_checks_it() {
        let templates = templates(&with_authorities(1), "");
        let tree: Value = serde_saphyr::from_str(&templates["provisioning.yaml"].text).unwrap();
        let statements = &tree["Resources"]["ProvisionPolicy"]["Properties"]["PolicyDocument"]["Statement"];
        let resources = |action: &str| {
            let names = |one: &&Value| one["Action"].to_string().contains(&format!("\"{action}\""));
            statements.as_array().unwrap().iter().find(names).unwrap()["Resource"].to_string()
        };
        let attached = resources("iot:AttachThingPrincipal");
        assert!(attached.contains(":cert/*") && attached.contains(":thing/*"), "{attached}");
        assert_eq!(resources("iot:ListAttachedPolicies"), r#""*""#);
    }
}
