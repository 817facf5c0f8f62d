//! The proof of a sample platform, and its results for policies that were loosened or lost a statement.

use serde_json::json;

use super::*;
use crate::stacks::sample;

const THING: &str = "${iot:Connection.Thing.ThingName}";

/// The platform's own policies, changed.
fn changed(platform: &Platform, change: impl Fn(&mut BTreeMap<SmolStr, Value>)) -> Proof {
    let mut documents = stacks::iot_policy_documents(platform);
    change(&mut documents);
    prove_documents(platform, &documents)
}

/// The platform's own policies with one string replaced by another.
fn with(platform: &Platform, from: &str, to: &str) -> Proof {
    changed(platform, |documents| {
        let mut replaced = 0;
        for document in documents.values_mut() {
            let text = document.to_string();
            replaced += text.matches(from).count();
            *document = serde_json::from_str(&text.replace(from, to)).unwrap();
        }
        assert!(replaced > 0, "no policy has `{from}`");
    })
}

fn statement<'d>(documents: &'d mut BTreeMap<SmolStr, Value>, policy: &str, sid: &str) -> &'d mut Value {
    let statements = documents.get_mut(policy).unwrap()["Statement"].as_array_mut().unwrap();
    statements.iter_mut().find(|statement| statement["Sid"] == sid).unwrap()
}

/// Each surprise in readable form, with its row.
fn surprises(proof: &Proof) -> Vec<String> {
    let text = |case: &Case| {
        let end = if case.is { "allowed" } else { "denied" };
        format!("{}: {}: {} is {end}", case.row, case.client, case.operation)
    };
    proof.surprises().map(text).collect()
}

#[track_caller]
fn caught(proof: &Proof, case: &str) {
    let found = surprises(proof);
    assert!(found.iter().any(|surprise| surprise == case), "`{case}` is not among {found:#?}");
    assert!(!proof.holds());
}

#[test]
fn every_choice_of_the_platform_file_is_proved() {
    for basic_ingest in [false, true] {
        for retain_status in [false, true] {
            for last_will in [false, true] {
                let mut platform = sample::platform();
                platform.mqtt.basic_ingest = basic_ingest;
                platform.mqtt.retain_status = retain_status;
                platform.mqtt.last_will = last_will;
                let proof = prove(&platform);
                assert_eq!(surprises(&proof), Vec::<String>::new());
                assert!(proof.holds(), "{:?} {:?}", proof.findings, proof.unreadable);
                let allowed = proof.cases.iter().filter(|case| case.is).count();
                assert!(allowed > 20 && proof.cases.len() > 20 * allowed, "{allowed} of {}", proof.cases.len());
                assert_eq!(
                    proof.policies.keys().collect::<Vec<_>>(),
                    ["claim", "commands-pump", "core", "shadow", "shadow-config"]
                );
            }
        }
    }
}

#[test]
fn each_device_type_has_its_cases() {
    let proof = prove(&sample::platform());
    for device_type in ["flow-meter", "pump"] {
        for column in Column::ALL {
            let of_type = |case: &&Case| case.device_type.as_deref() == Some(device_type);
            assert!(proof.cases.iter().filter(of_type).any(|case| case.column == column));
        }
    }
}

#[test]
fn client_star_is_caught() {
    let proof = with(&sample::platform(), &format!("client/{THING}"), "client/*");
    caught(&proof, "connect: pump-1 as `pump-10`: connect is allowed");
    caught(&proof, "connect: pump-1 as `flow-meter-1`: connect is allowed");
    caught(&proof, "connect: pump-1 as `*`: connect is allowed");
}

#[test]
fn client_id_alone_is_caught() {
    let proof = changed(&sample::platform(), |documents| {
        let connect = statement(documents, "core", "Connect");
        *connect = json!({ "Sid": "Connect", "Effect": "Allow", "Action": "iot:Connect",
            "Resource": "arn:aws:iot:us-east-1:222222222222:client/${iot:ClientId}" });
    });
    caught(&proof, "connect: pump-1 as `pump-10`: connect is allowed");
    caught(&proof, "connect, certificate of no device: a certificate of no device as `pump-1`: connect is allowed");
    assert!(proof.findings.iter().any(|finding| finding.problem.contains("broad access: iot:Connect")));
}

#[test]
fn client_id_is_caught_even_with_the_attachment_of_some_thing() {
    let proof = with(&sample::platform(), &format!("client/{THING}"), "client/${iot:ClientId}");
    caught(&proof, "connect: pump-1 as `pump-10`: connect is allowed");
}

#[test]
fn the_subject_of_a_certificate_is_caught() {
    let name = "${iot:Certificate.Subject.CommonName}";
    let proof = with(
        &sample::platform(),
        &format!("topic/sensors/{THING}/telemetry"),
        &format!("topic/sensors/{name}/telemetry"),
    );
    caught(&proof, "publish telemetry: pump-1: publish `sensors/pump-10/telemetry` is allowed");
}

#[test]
fn a_missing_attachment_is_caught() {
    let proof = changed(&sample::platform(), |documents| {
        let condition = statement(documents, "core", "Connect")["Condition"].as_object_mut().unwrap();
        condition.remove("Bool").expect("it was there");
    });
    caught(&proof, "connect: pump-1 as `pump-10`: connect is allowed");
    caught(&proof, "connect, certificate of no device: a certificate of no device as `pump-1`: connect is allowed");
}

#[test]
fn resources_that_are_too_wide_are_caught() {
    for (from, to, case) in [
        (
            "topic/sensors/{}/telemetry",
            "topic/sensors/{}*/telemetry",
            "publish telemetry: pump-1: publish `sensors/pump-10/telemetry` is allowed",
        ),
        (
            "topic/sensors/{}/telemetry",
            "topic/sensors/*{}/telemetry",
            "publish telemetry: pump-1: publish `sensors/xpump-1/telemetry` is allowed",
        ),
        (
            "topic/sensors/{}/telemetry",
            "topic/sensors/*/telemetry",
            "publish telemetry: pump-1: publish `sensors/flow-meter-1/telemetry` is allowed",
        ),
        (
            "topic/sensors/{}/telemetry",
            "topic/sensors/{}/*",
            "publish the state of alerts: pump-1: publish `sensors/pump-1/alerts/state` is allowed",
        ),
        (
            "topicfilter/sensors/{}/alerts/state",
            "topicfilter/sensors/{}*",
            "subscribe to the state of alerts: pump-1: subscribe to `sensors/pump-10/alerts/state` is allowed",
        ),
        (
            "topicfilter/sensors/{}/alerts/state",
            "topicfilter/sensors/+/alerts/state",
            "subscribe to the state of alerts: pump-1: subscribe to `sensors/+/alerts/state` is allowed",
        ),
        (
            "topicfilter/sensors/{}/alerts/state",
            "topicfilter/sensors/*",
            "subscribe to everything below: pump-1: subscribe to `sensors/#` is allowed",
        ),
        (
            "topic/sensors/{}/alerts/state",
            "topic/sensors/*/state",
            "receive the state of alerts: pump-1: receive `sensors/pump-2/alerts/state` is allowed",
        ),
        (
            "topic/sensors/{}/alerts/state",
            "topic/sensors/#",
            "receive the state of alerts: pump-1: receive `sensors/pump-1/alerts/state` is denied",
        ),
        (
            "topic/$aws/things/{}/shadow/update\"",
            "topic/$aws/things/*\"",
            "publish to the shadow: pump-1: publish `$aws/things/pump-2/shadow/update` is allowed",
        ),
        (
            "topic/$aws/things/{}/shadow/update\"",
            "topic/$aws/things/{}/shadow/*\"",
            "publish to delete a shadow: pump-1: publish `$aws/things/pump-1/shadow/delete` is allowed",
        ),
        (
            "topic/$aws/things/{}/shadow/update\"",
            "topic/$aws/things/{}/*\"",
            "publish to jobs: pump-1: publish `$aws/things/pump-1/jobs/start-next` is allowed",
        ),
        (
            "topicfilter/$aws/things/{}/shadow/update/delta",
            "topicfilter/$aws/things/{}/shadow/#",
            "subscribe to everything of the thing: pump-1: subscribe to `$aws/things/pump-1/shadow/#` is allowed",
        ),
    ] {
        caught(&with(&sample::platform(), &from.replace("{}", THING), &to.replace("{}", THING)), case);
    }
}

#[test]
fn a_named_shadow_is_its_own_things_alone() {
    let proof = prove(&sample::platform());
    for (row, operation) in [
        ("publish to a named shadow", "publish `$aws/things/pump-1/shadow/name/config/update`"),
        ("publish to a named shadow", "publish `$aws/things/flow-meter-1/shadow/name/config/get`"),
        ("subscribe to a named shadow's answers", "subscribe to `$aws/things/pump-1/shadow/name/config/update/delta`"),
        ("receive a named shadow's answers", "receive `$aws/things/pump-1/shadow/name/config/get/rejected`"),
    ] {
        let mut own = proof.cases.iter().filter(|case| case.column == Column::Own);
        assert!(own.any(|case| case.row == row && case.operation == operation && case.must && case.is), "{operation}");
    }
    for operation in [
        "publish `$aws/things/pump-1/shadow/name/config0/update`",
        "publish `$aws/things/pump-1/shadow/name/confi/update`",
        "publish `$aws/things/pump-1/shadow/name/CONFIG/update`",
        "publish `$aws/things/pump-1/shadow/name/config/delete`",
        "publish `$aws/things/pump-10/shadow/name/config/update`",
        "publish `$aws/things/flow-meter-1/shadow/name/config/update`",
        "subscribe to `$aws/things/pump-1/shadow/name/+/update/delta`",
        "subscribe to `$aws/things/pump-1/shadow/name/config/#`",
        "subscribe to `$aws/things/+/shadow/name/config/update/delta`",
        "call iot:UpdateThingShadow on `thing/pump-1/config`",
    ] {
        let of_pump = |case: &&Case| case.device_type.as_deref() == Some("pump") && case.operation == operation;
        let mut tried = proof.cases.iter().filter(of_pump).peekable();
        assert!(tried.peek().is_some(), "nobody tries to {operation}");
        assert!(tried.all(|case| !case.must && !case.is), "{operation}");
    }
}

#[test]
fn named_shadows_of_others_are_caught() {
    for (from, to, case) in [
        (
            "topic/$aws/things/{}/shadow/name/config/update\"",
            "topic/$aws/things/{}/shadow/name/config*\"",
            "publish to a shadow that nobody named: pump-1: publish `$aws/things/pump-1/shadow/name/config0/update` is allowed",
        ),
        (
            "topic/$aws/things/{}/shadow/name/config/update\"",
            "topic/$aws/things/{}/shadow/name/*/update\"",
            "publish to a shadow that nobody named: pump-1: publish `$aws/things/pump-1/shadow/name/nobodys/update` is allowed",
        ),
        (
            "topic/$aws/things/{}/shadow/name/config/update\"",
            "topic/$aws/things/{}*/shadow/name/config/update\"",
            "publish to a named shadow: pump-1: publish `$aws/things/pump-10/shadow/name/config/update` is allowed",
        ),
        (
            "topicfilter/$aws/things/{}/shadow/name/config/update/delta",
            "topicfilter/$aws/things/{}/shadow/name/+/update/delta",
            "subscribe to everything of the thing: pump-1: subscribe to `$aws/things/pump-1/shadow/name/+/update/delta` is allowed",
        ),
        (
            "topicfilter/$aws/things/{}/shadow/name/config/update/delta",
            "topicfilter/$aws/things/{}/shadow/name/firmware/update/delta",
            "subscribe to a named shadow's answers: pump-1: subscribe to `$aws/things/pump-1/shadow/name/config/update/delta` is denied",
        ),
        (
            "topic/$aws/things/{}/shadow/name/config/update/delta",
            "topic/$aws/things/*/shadow/name/config/update/delta",
            "receive a named shadow's answers: pump-1: receive `$aws/things/pump-2/shadow/name/config/update/delta` is allowed",
        ),
    ] {
        caught(&with(&sample::platform(), &from.replace("{}", THING), &to.replace("{}", THING)), case);
    }
}

#[test]
fn retaining_what_must_not_be_is_caught() {
    let proof = changed(&sample::platform(), |documents| {
        let retain = statement(documents, "core", "Retain");
        retain["Resource"] = json!(format!("arn:aws:iot:us-east-1:222222222222:topic/sensors/{THING}/*"));
    });
    caught(&proof, "publish telemetry, retained: pump-1: publish `sensors/pump-1/telemetry`, retained is allowed");
}

#[test]
fn not_resource_is_caught() {
    let proof = changed(&sample::platform(), |documents| {
        let publish = statement(documents, "shadow", "Publish").as_object_mut().unwrap();
        let resource = publish.remove("Resource").unwrap();
        publish.insert("NotResource".to_owned(), resource);
    });
    caught(&proof, "publish telemetry: pump-1: publish `sensors/pump-10/telemetry` is allowed");
    caught(&proof, "publish to the shadow: pump-1: publish `$aws/things/pump-1/shadow/get` is denied");
    assert!(proof.findings.iter().any(|finding| finding.problem.contains("`NotResource`")));
}

#[test]
fn a_will_or_a_session_that_was_not_asked_for_is_caught() {
    let mut platform = sample::platform();
    platform.mqtt.last_will = false;
    let without = |platform: &Platform| {
        changed(platform, |documents| {
            let condition = statement(documents, "core", "Connect")["Condition"].as_object_mut().unwrap();
            condition.remove("ForAllValues:StringEquals").expect("it was there");
        })
    };
    caught(
        &without(&platform),
        "connect, will on status: pump-1: connect with a will on `sensors/pump-1/status` is allowed",
    );
    let lost = with(&sample::platform(), "\"LastWill\",\"PersistentConnect\"", "\"LastWill\"");
    caught(&lost, "connect, persistent session: pump-1: connect with a persistent session is denied");
    let lost = with(&sample::platform(), "\"LastWill\",\"PersistentConnect\"", "\"PersistentConnect\"");
    caught(&lost, "connect, will on status: pump-1: connect with a will on `sensors/pump-1/status` is denied");
}

#[test]
fn an_action_too_many_is_caught() {
    let proof = with(&sample::platform(), "\"iot:Receive\"", "\"iot:*\"");
    caught(&proof, "publish the state of alerts: pump-1: publish `sensors/pump-1/alerts/state` is allowed");
    let proof = changed(&sample::platform(), |documents| {
        let shadow = json!({ "Effect": "Allow", "Action": "iot:GetThingShadow", "Resource": "*" });
        documents.get_mut("shadow").unwrap()["Statement"].as_array_mut().unwrap().push(shadow);
    });
    caught(&proof, "call a shadow over HTTPS: pump-1 over HTTPS: call iot:GetThingShadow on `thing/pump-2` is allowed");
}

#[test]
fn what_is_denied_that_must_not_be_is_caught() {
    let proof = changed(&sample::platform(), |documents| {
        let deny = json!({ "Sid": "Never", "Effect": "Deny", "Action": "iot:Publish",
            "Resource": "arn:aws:iot:us-east-1:222222222222:topic/sensors/pump-1/*" });
        documents.get_mut("core").unwrap()["Statement"].as_array_mut().unwrap().push(deny);
    });
    caught(&proof, "publish telemetry: pump-1: publish `sensors/pump-1/telemetry` is denied");
    let case = proof.surprises().find(|case| case.row == "publish telemetry").unwrap();
    assert_eq!(case.why, "core/Never denies iot:Publish on `topic/sensors/pump-1/telemetry`");
}

#[test]
fn a_platform_without_claims_has_none_of_their_cases() {
    let mut platform = sample::platform();
    platform.identity.provisioning = crate::platform::identity::Provisioning::Csr;
    let proof = prove(&platform);
    assert!(proof.holds() && proof.cases.iter().all(|case| case.device_type.is_some()));
    assert_eq!(proof.policies.keys().collect::<Vec<_>>(), ["commands-pump", "core", "shadow", "shadow-config"]);
}

#[test]
fn only_devices_of_a_type_with_commands_hear_them() {
    let proof = prove(&sample::platform());
    let hears = |device_type: &str| {
        let cases = proof.cases.iter().filter(|case| case.device_type.as_deref() == Some(device_type));
        cases.filter(|case| case.row == "hear of commands" && case.column == Column::Own).all(|case| case.is)
    };
    assert!(hears("pump") && !hears("flow-meter"));
}

#[test]
fn commands_of_others_are_caught() {
    for (from, to, case) in [
        (
            "topicfilter/$aws/commands/things/{}/executions/+/request/json",
            "topicfilter/$aws/commands/things/+/executions/+/request/json",
            "hear of commands: pump-1: subscribe to `$aws/commands/things/+/executions/+/request/json` is allowed",
        ),
        (
            "topic/$aws/commands/things/{}/executions/*/request/json",
            "topic/$aws/commands/things/{}*/executions/*/request/json",
            "hear of commands: pump-1: receive `$aws/commands/things/pump-10/executions/7/request/json` is allowed",
        ),
        (
            "topic/$aws/commands/things/{}/executions/*/response/json",
            "topic/$aws/commands/things/{}/executions/*",
            "give a command, or answer it otherwise: pump-1: publish `$aws/commands/things/pump-1/executions/7/request/json` is allowed",
        ),
        (
            "topic/$aws/commands/things/{}/executions/*/response/json",
            "topic/$aws/commands/things/*/executions/*/response/json",
            "answer a command: pump-1: publish `$aws/commands/things/flow-meter-1/executions/7/response/json` is allowed",
        ),
    ] {
        caught(&with(&sample::platform(), &from.replace("{}", THING), &to.replace("{}", THING)), case);
    }
}

#[test]
fn a_claim_certificate_that_may_do_more_is_caught() {
    let name = "${iot:Certificate.Subject.CommonName}";
    for (from, to, case) in [
        (
            format!("client/{name}/*"),
            "client/*",
            "claim: connect: a claim certificate as `pump-1`: connect is allowed",
        ),
        (
            "topic/$aws/certificates/create-from-csr/json\"".to_owned(),
            "topic/$aws/certificates/create/json\"",
            "claim: ask for a key of AWS's making: a claim certificate as `riverton-water-prod/1`: publish `$aws/certificates/create/json` is allowed",
        ),
        (
            "topic/$aws/provisioning-templates/riverton-water-prod/provision/json\"".to_owned(),
            "topic/$aws/provisioning-templates/*/provision/json\"",
            "claim: be provisioned: a claim certificate as `riverton-water-prod/1`: publish `$aws/provisioning-templates/another-template/provision/json` is allowed",
        ),
        (
            "topicfilter/$aws/certificates/create-from-csr/json/accepted".to_owned(),
            "topicfilter/*",
            "claim: do what a device may: a claim certificate as `riverton-water-prod/1`: subscribe to `sensors/pump-1/telemetry` is allowed",
        ),
        (
            "\"LastWill\",\"PersistentConnect\"]}},\"Effect\":\"Allow\",\"Resource\":\"arn:aws:iot:us-east-1:222222222222:client/${iot:Certificate".to_owned(),
            "\"LastWill\"]}},\"Effect\":\"Allow\",\"Resource\":\"arn:aws:iot:us-east-1:222222222222:client/${iot:Certificate",
            "claim: connect, persistent session: a claim certificate as `riverton-water-prod/1`: connect with a persistent session is allowed",
        ),
    ] {
        caught(&with(&sample::platform(), &from, to), case);
    }
}

/// A device's certificate has none of these permissions, and no device has those of a claim certificate.
#[test]
fn a_claim_certificate_and_a_device_have_nothing_in_common() {
    let proof = changed(&sample::platform(), |documents| {
        let of_device = statement(documents, "core", "Publish").clone();
        documents.get_mut("claim").unwrap()["Statement"].as_array_mut().unwrap().push(of_device);
    });
    // Under its own interpretation no thing is attached, so the statement grants nothing; the audit reports it all the
    // same.
    assert!(
        proof
            .findings
            .iter()
            .any(|finding| finding.policy == "claim" && finding.problem.contains("no topic of provisioning"))
    );
}

#[test]
fn basic_ingest_for_another_is_caught() {
    let mut platform = sample::platform();
    platform.mqtt.basic_ingest = true;
    let proof = with(&platform, "$aws/rules/riverton_water_prod_telemetry/", "$aws/rules/*/");
    caught(
        &proof,
        "publish by another topic rule: pump-1: publish `$aws/rules/other_rule/sensors/pump-1/telemetry` is allowed",
    );
}

#[test]
fn a_policy_that_is_not_understood_proves_nothing() {
    let proof = with(&sample::platform(), "\"Bool\"", "\"BoolIfExists\"");
    assert!(!proof.holds());
    assert_eq!(
        proof.unreadable.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["policy `core`, Connect: the condition operator `BoolIfExists` is not known here"]
    );
}

#[test]
fn an_override_of_a_policy_is_put_to_the_proof() {
    let mut platform = sample::platform();
    let patch = json!({ "PolicyDocument": { "Statement": [
        { "Effect": "Allow", "Action": "iot:*", "Resource": { "Fn::Sub": "arn:${AWS::Partition}:iot:${AWS::Region}:${AWS::AccountId}:*" } }
    ] } });
    let patch = patch.as_object().unwrap().clone();
    platform.overrides = BTreeMap::from([("DeviceShadowPolicy".into(), patch)]);
    caught(&prove(&platform), "connect: pump-1 as `pump-10`: connect is allowed");
    let text = &stacks::iot_policies(&platform)["shadow.json"];
    assert!(text.contains("\"arn:aws:iot:us-east-1:222222222222:*\""), "{text}");
}
