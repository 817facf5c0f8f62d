//! Audits the text of an IoT policy.
//!
//! Two checks are those of AWS IoT Device Defender, as its developer guide describes them. The third is our own and
//! stricter: a policy names its actions and its resources exactly, and each resource is the device's own. That no
//! device can act as another is shown by [`crate::evaluate`], not here.

use crate::{
    evaluate::{Actions, Part, Pattern, Policy, Resources, Statement, Variable},
    iot::{COMMANDS, CREATE_FROM_CSR, DOCUMENT_CHARS_MAX, TEMPLATES, THING},
};

/// The kind of certificate that a policy is attached to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bearer {
    /// A device certificate, which is attached to the device's thing.
    Device,
    /// A claim certificate, which is shared by many devices that are not provisioned yet.
    Claim,
}

/// Something that an audit would report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Name of the policy.
    pub policy: String,
    /// The statement, by its `Sid` or its number; `None` for the whole document.
    pub statement: Option<String>,
    /// The check that failed.
    pub check: Check,
    /// Description of the problem.
    pub problem: String,
}

/// A check of policies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    /// Device Defender's "AWS IoT policies overly permissive".
    OverlyPermissive,
    /// Device Defender's "AWS IoT policy potentially misconfigured".
    PotentialMisconfiguration,
    /// Our own: exact actions and exact resources, each with the name of the thing; for a claim certificate, each a
    /// topic of provisioning.
    Exact,
}

impl Check {
    /// Every check.
    pub const ALL: [Self; 3] = [Self::OverlyPermissive, Self::PotentialMisconfiguration, Self::Exact];

    /// Returns its name. For Device Defender's checks, it is the one in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OverlyPermissive => "IOT_POLICY_OVERLY_PERMISSIVE_CHECK",
            Self::PotentialMisconfiguration => "IOT_POLICY_POTENTIAL_MISCONFIGURATION_CHECK",
            Self::Exact => "EXACT",
        }
    }
}

/// The actions whose resources must not be broad. `iot:Receive` is not among them: a device only receives what it has
/// subscribed to.
const DATA_PLANE: [&str; 11] = [
    "iot:Connect",
    "iot:Publish",
    "iot:RetainPublish",
    "iot:Subscribe",
    "iot:DeleteThingShadow",
    "iot:GetThingShadow",
    "iot:UpdateThingShadow",
    "iot:DescribeJobExecution",
    "iot:GetPendingJobExecutions",
    "iot:StartNextPendingJobExecution",
    "iot:UpdateJobExecution",
];

/// The actions that a device needs.
const OF_DEVICES: [&str; 5] = ["iot:Connect", "iot:Publish", "iot:Receive", "iot:RetainPublish", "iot:Subscribe"];

/// Runs every check over a policy.
pub fn audit(policy: &Policy, bearer: Bearer) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut report = |statement: Option<&Statement>, check, problem| {
        findings.push(Finding {
            policy: policy.name().to_owned(),
            statement: statement.map(|statement| statement.label().to_owned()),
            check,
            problem,
        });
    };
    if policy.chars() > DOCUMENT_CHARS_MAX {
        let problem = format!("it has {} characters, and AWS IoT takes {DOCUMENT_CHARS_MAX}", policy.chars());
        report(None, Check::Exact, problem);
    }
    for statement in policy.statements() {
        if statement.denies() {
            deny_problems(policy, statement)
                .into_iter()
                .for_each(|problem| report(Some(statement), Check::PotentialMisconfiguration, problem));
        } else {
            if let Some(problem) = breadth(statement) {
                report(Some(statement), Check::OverlyPermissive, problem);
            }
            inexact(statement, bearer).into_iter().for_each(|problem| report(Some(statement), Check::Exact, problem));
        }
    }
    findings
}

/// "Policy allows broad access to IoT data plane actions": returns which actions, and by which resource.
fn breadth(statement: &Statement) -> Option<String> {
    let patterns = match statement.resources() {
        Resources::Only(patterns) => patterns,
        Resources::AllBut(_) => {
            let any = DATA_PLANE.iter().any(|action| statement.covers_action(action));
            return any.then(|| "it allows every resource but those that it names".to_owned());
        }
    };
    let broad = |action: &str, pattern: &Pattern| match first_wildcard(pattern, action == "iot:Subscribe") {
        Some(at) => !is_bound_before(pattern, at),
        // Any client may choose any client id.
        None => {
            action == "iot:Connect"
                && pattern.parts().contains(&Part::Variable(Variable::ClientId))
                && !statement.asks_for_attachment()
        }
    };
    DATA_PLANE.iter().filter(|action| statement.covers_action(action)).find_map(|action| {
        let pattern = patterns.iter().find(|pattern| broad(action, pattern))?;
        Some(format!("it allows broad access: {action} on `{}`", pattern.text()))
    })
}

/// Returns where the first wildcard of a pattern is. In a filter, MQTT's own count as well.
fn first_wildcard(pattern: &Pattern, is_filter: bool) -> Option<usize> {
    pattern.parts().iter().position(|part| match part {
        Part::AnyRun | Part::AnyOne => true,
        Part::Literal(character) => is_filter && matches!(character, '+' | '#'),
        Part::Variable(_) => false,
    })
}

/// Whether a variable forms a whole level before a place in a pattern, so that what follows belongs to one device.
fn is_bound_before(pattern: &Pattern, end: usize) -> bool {
    let parts = &pattern.parts()[..end];
    parts
        .iter()
        .enumerate()
        .any(|(at, part)| matches!(part, Part::Variable(_)) && is_level(pattern, at) && parts.get(at + 1).is_some())
}

/// Whether a part is a whole level of a topic or a name.
fn is_level(pattern: &Pattern, at: usize) -> bool {
    let parts = pattern.parts();
    let starts = at.checked_sub(1).is_some_and(|before| parts[before] == Part::Literal('/'));
    starts && parts.get(at + 1).is_none_or(|after| *after == Part::Literal('/'))
}

/// Returns what Device Defender considers doubtful in a statement that denies.
fn deny_problems(policy: &Policy, statement: &Statement) -> Vec<String> {
    let (Resources::Only(patterns) | Resources::AllBut(patterns)) = statement.resources();
    let mut problems = Vec::new();
    for pattern in patterns {
        if pattern.parts().iter().any(|part| matches!(part, Part::Literal('+' | '#'))) {
            let text = pattern.text();
            problems.push(format!("it denies `{text}`, in which MQTT's wildcards are plain characters"));
        }
        if statement.covers_action("iot:Subscribe") && is_undone(policy, pattern) {
            let text = pattern.text();
            problems.push(format!(
                "it denies subscribing to `{text}`, but a wider filter is allowed, and nothing denies receiving"
            ));
        }
    }
    problems
}

/// Whether a denied filter can be bypassed: by subscribing to a wider one and receiving what was meant to be denied.
fn is_undone(policy: &Policy, denied: &Pattern) -> bool {
    let Some(topic) = denied.text().split_once(":topicfilter/").map(|(arn, name)| format!("{arn}:topic/{name}")) else {
        return false;
    };
    let over = |action: &str, is_deny: bool, text: &str| {
        policy.statements().iter().any(|statement| {
            statement.denies() == is_deny
                && statement.covers_action(action)
                && match statement.resources() {
                    Resources::Only(patterns) => patterns.iter().any(|pattern| pattern.is_over_text(text)),
                    Resources::AllBut(_) => true,
                }
        })
    };
    over("iot:Subscribe", false, denied.text()) && !over("iot:Receive", true, &topic)
}

/// Returns what is not exact in a statement that allows.
fn inexact(statement: &Statement, bearer: Bearer) -> Vec<String> {
    let mut problems = Vec::new();
    match statement.actions() {
        Actions::Only(actions) => {
            let others = actions.iter().filter(|action| !OF_DEVICES.contains(&action.as_str()));
            problems.extend(others.map(|action| format!("`{action}` is no action that a device needs")));
        }
        Actions::AllBut(_) => problems.push("`NotAction` allows actions that nobody has named".to_owned()),
    }
    match statement.resources() {
        Resources::Only(patterns) => problems.extend(patterns.iter().filter_map(|pattern| match bearer {
            Bearer::Device => inexact_resource(pattern),
            Bearer::Claim => inexact_of_claim(pattern),
        })),
        Resources::AllBut(_) => problems.push("`NotResource` allows resources that nobody has named".to_owned()),
    }
    if bearer == Bearer::Device && statement.covers_action("iot:Connect") && !statement.asks_for_attachment() {
        let problem = "it allows iot:Connect without the condition that the thing is attached to the certificate";
        problems.push(problem.to_owned());
    }
    problems
}

fn inexact_resource(pattern: &Pattern) -> Option<String> {
    let text = pattern.text();
    if is_of_an_execution(text) {
        return None;
    }
    let parts = pattern.parts();
    if parts.iter().any(|part| matches!(part, Part::AnyRun | Part::AnyOne)) {
        return Some(format!("`{text}` has a wildcard, which does not stop at a `/`"));
    }
    if parts.iter().any(|part| matches!(part, Part::Literal('+' | '#'))) {
        return Some(format!("`{text}` has a wildcard of MQTT's, which is a plain character in a policy"));
    }
    let thing = Part::Variable(Variable::ThingName);
    let is_own = parts.iter().enumerate().any(|(at, part)| *part == thing && is_level(pattern, at));
    (!is_own).then(|| format!("`{text}` does not have the name of the thing as one of its levels"))
}

/// Whether a string names an execution of a command by the device's own thing, whose id is not known in advance, and
/// is otherwise exact.
fn is_of_an_execution(text: &str) -> bool {
    [(":topic/", '*'), (":topicfilter/", '+')].iter().any(|(kind, any)| {
        let after = text.split_once(&format!("{kind}{COMMANDS}{THING}/executions/{any}/"));
        after.is_some_and(|(before, after)| !before.contains(['*', '?']) && !after.contains(['*', '?', '+', '#', '$']))
    })
}

/// Returns what in a claim certificate's policy is neither a topic of provisioning nor a client id that no thing can
/// have.
fn inexact_of_claim(pattern: &Pattern) -> Option<String> {
    let text = pattern.text();
    let parts = pattern.parts();
    let is_wild = |part: &Part| matches!(part, Part::AnyRun | Part::AnyOne);
    if text.contains(":client/") {
        // A whole level before a `/`, which the name of a thing cannot contain, and then anything.
        let bound = parts.iter().position(|part| *part == Part::Variable(Variable::CommonName));
        let is_apart = bound.is_some_and(|at| is_level(pattern, at) && parts.get(at + 1).is_some());
        let before = &parts[..bound.unwrap_or(parts.len())];
        return (!is_apart || before.iter().any(is_wild)).then(|| format!("`{text}` may be the client id of a device"));
    }
    if parts.iter().any(|part| is_wild(part) || matches!(part, Part::Literal('+' | '#'))) {
        return Some(format!("`{text}` has a wildcard"));
    }
    let topic = text.split_once(":topic/").or_else(|| text.split_once(":topicfilter/")).map(|(_, topic)| topic);
    let is_of_provisioning = topic.is_some_and(|topic| {
        topic == CREATE_FROM_CSR
            || topic.strip_prefix(CREATE_FROM_CSR).is_some_and(|rest| rest.starts_with('/'))
            || topic.starts_with(TEMPLATES)
    });
    (!is_of_provisioning).then(|| format!("`{text}` is no topic of provisioning"))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const ARN: &str = "arn:aws:iot:us-east-1:111111111111";
    const THING: &str = "${iot:Connection.Thing.ThingName}";

    fn found(statements: Value) -> Vec<(Check, String)> {
        let document = json!({ "Version": "2012-10-17", "Statement": statements });
        let policy = Policy::read("core", &document).unwrap();
        audit(&policy, Bearer::Device).into_iter().map(|finding| (finding.check, finding.problem)).collect()
    }

    fn found_of_claim(statement: &Value) -> Vec<(Check, String)> {
        let document = json!({ "Version": "2012-10-17", "Statement": [statement] });
        let policy = Policy::read("claim", &document).unwrap();
        audit(&policy, Bearer::Claim).into_iter().map(|finding| (finding.check, finding.problem)).collect()
    }

    fn checks(statements: Value) -> Vec<Check> {
        found(statements).into_iter().map(|(check, _)| check).collect()
    }

    fn allow(action: &str, resource: &str) -> Value {
        json!({ "Effect": "Allow", "Action": action, "Resource": format!("{ARN}:{resource}") })
    }

    fn attached(mut statement: Value) -> Value {
        statement["Condition"] = json!({ "Bool": { "iot:Connection.Thing.IsAttached": "true" } });
        statement
    }

    /// The examples of the page "AWS IoT policies overly permissive", each with the page's verdict.
    #[test]
    fn the_examples_of_the_guide_are_judged_as_it_judges_them() {
        let own = |action: &str, kind: &str, rest: &str| allow(action, &format!("{kind}/$aws/things/{THING}{rest}"));
        for (statement, is_broad) in [
            (allow("iot:Connect", "client/*"), true),
            (allow("iot:Connect", "client/${iot:ClientId}"), true),
            (attached(allow("iot:Connect", "client/${iot:ClientId}")), false),
            (attached(allow("iot:Connect", &format!("client/{THING}"))), false),
            (allow("iot:Publish", "topic/$aws/things/*/shadow/update"), true),
            (allow("iot:Publish", "topic/$aws/things/*"), true),
            (own("iot:Publish", "topic", "/shadow/*"), false),
            (allow("iot:Subscribe", "topicfilter/$aws/things/*"), true),
            (allow("iot:Subscribe", "topicfilter/$aws/things/#"), true),
            (allow("iot:Subscribe", "topic/$aws/things/+/shadow/update"), true),
            (own("iot:Subscribe", "topicfilter", "/shadow/*"), false),
            (own("iot:Subscribe", "topicfilter", "/jobs/*"), false),
            (allow("iot:Receive", "topic/$aws/things/*"), false),
            (allow("iot:GetThingShadow", "thing/*"), true),
            (allow("iot:GetThingShadow", "thing/MyThing1"), false),
            // Cases that the page does not show.
            (allow("iot:*", "topic/x"), false),
            (json!({ "Effect": "Allow", "Action": "*", "Resource": "*" }), true),
            (own("iot:Publish", "topic", "*"), true),
            (json!({ "Effect": "Allow", "Action": "iot:Publish", "NotResource": "x" }), true),
            (json!({ "Effect": "Allow", "NotAction": "iot:Publish", "Resource": "*" }), true),
        ] {
            let broad = checks(json!([statement])).contains(&Check::OverlyPermissive);
            assert_eq!(broad, is_broad, "{statement}");
        }
    }

    /// The examples of the page "AWS IoT policy potentially misconfigured".
    #[test]
    fn denials_that_do_not_deny_are_found() {
        let statement = |effect: &str, action: &str, resource: &str| json!({ "Effect": effect, "Action": action, "Resource": format!("{ARN}:{resource}") });
        let policy = |filter: &str, denies_receiving: bool| {
            let mut statements = vec![
                statement("Allow", "iot:Subscribe", "topicfilter/building/*"),
                statement("Deny", "iot:Subscribe", filter),
                statement("Allow", "iot:Receive", "topic/building/*"),
            ];
            if denies_receiving {
                statements.push(statement("Deny", "iot:Receive", "topic/building/control_room/*"));
            }
            checks(Value::from(statements)).contains(&Check::PotentialMisconfiguration)
        };
        assert!(policy("topicfilter/building/control_room/#", false));
        assert!(policy("topicfilter/building/control_room/*", false));
        assert!(!policy("topicfilter/building/control_room/*", true));
        assert!(!policy("topicfilter/elsewhere/*", false));
    }

    #[test]
    fn what_is_not_exact_is_named() {
        let own = format!("topic/sensors/{THING}/x");
        for (statement, problem) in [
            (allow("iot:CreatePolicy", &own), "`iot:CreatePolicy` is no action"),
            (allow("iot:*", &own), "`iot:*` is no action"),
            (allow("iot:Receive", &format!("{own}/*")), "has a wildcard, which does not stop"),
            (allow("iot:Receive", "topic/sensors/#"), "is a plain character"),
            (allow("iot:Receive", "topic/news"), "does not have the name of the thing"),
            (allow("iot:Receive", &format!("topic/x-{THING}/y")), "does not have the name of the thing"),
            (allow("iot:Receive", "topic/${iot:ClientId}/y"), "does not have the name of the thing"),
            (allow("iot:Connect", &format!("client/{THING}")), "without the condition"),
            (
                json!({ "Effect": "Allow", "NotAction": "iot:Connect", "Resource": format!("{ARN}:{own}") }),
                "`NotAction`",
            ),
            (
                json!({ "Effect": "Allow", "Action": "iot:Publish", "NotResource": format!("{ARN}:{own}") }),
                "`NotResource`",
            ),
        ] {
            let found = found(json!([statement]));
            let named = found.iter().any(|(check, text)| *check == Check::Exact && text.contains(problem));
            assert!(named, "{statement}: {found:?}");
        }
        assert_eq!(found(json!([allow("iot:Publish", &own)])), []);
    }

    #[test]
    fn only_the_id_of_an_own_execution_may_be_anything() {
        let own = format!("$aws/commands/things/{THING}/executions");
        for (action, resource) in [
            ("iot:Publish", format!("topic/{own}/*/response/json")),
            ("iot:Receive", format!("topic/{own}/*/request/json")),
            ("iot:Subscribe", format!("topicfilter/{own}/+/request/json")),
        ] {
            assert_eq!(found(json!([allow(action, &resource)])), [], "{resource}");
        }
        for (action, resource) in [
            ("iot:Publish", "topic/$aws/commands/things/*/executions/*/response/json".to_owned()),
            ("iot:Publish", format!("topic/{own}/*")),
            ("iot:Publish", format!("topic/{own}/*/response/*")),
            ("iot:Receive", format!("topic/{own}*/x/request/json")),
            ("iot:Subscribe", format!("topicfilter/{own}/#")),
            ("iot:Subscribe", format!("topicfilter/{own}/+/request/+")),
            ("iot:Publish", format!("topic/$aws/commands/things/{THING}*/executions/*/response/json")),
        ] {
            assert!(checks(json!([allow(action, &resource)])).contains(&Check::Exact), "{resource}");
        }
    }

    #[test]
    fn a_claim_certificate_has_the_topics_of_provisioning_alone() {
        let name = "${iot:Certificate.Subject.CommonName}";
        for statement in [
            allow("iot:Connect", &format!("client/{name}/*")),
            allow("iot:Publish", "topic/$aws/certificates/create-from-csr/json"),
            allow("iot:Receive", "topic/$aws/certificates/create-from-csr/json/accepted"),
            allow("iot:Subscribe", "topicfilter/$aws/provisioning-templates/water/provision/json/rejected"),
        ] {
            assert_eq!(found_of_claim(&statement), [], "{statement}");
        }
        for (statement, problem) in [
            (allow("iot:Connect", "client/*"), "may be the client id of a device"),
            (allow("iot:Connect", "client/claim-*"), "may be the client id of a device"),
            (allow("iot:Connect", &format!("client/{name}")), "may be the client id of a device"),
            (allow("iot:Connect", &format!("client/{name}*")), "may be the client id of a device"),
            (allow("iot:Connect", &format!("client/*{name}/*")), "may be the client id of a device"),
            (allow("iot:Connect", "client/${iot:ClientId}"), "may be the client id of a device"),
            (allow("iot:Publish", "topic/$aws/certificates/create/json"), "is no topic of provisioning"),
            (allow("iot:Publish", "topic/sensors/a/telemetry"), "is no topic of provisioning"),
            (allow("iot:Publish", "topic/$aws/provisioning-templates/*"), "has a wildcard"),
            (allow("iot:Subscribe", "topicfilter/$aws/certificates/#"), "has a wildcard"),
            (allow("iot:GetThingShadow", "thing/a"), "is no action that a device needs"),
        ] {
            let found = found_of_claim(&statement);
            let named = found.iter().any(|(check, text)| *check == Check::Exact && text.contains(problem));
            assert!(named, "{statement}: {found:?}");
        }
    }

    #[test]
    fn a_document_may_be_too_long() {
        let topics: Vec<String> = (0..40).map(|n| format!("{ARN}:topic/sensors/{THING}/{n}")).collect();
        let found = found(json!([{ "Effect": "Allow", "Action": "iot:Publish", "Resource": topics }]));
        assert!(matches!(&found[..], [(Check::Exact, problem)] if problem.contains("AWS IoT takes 2048")), "{found:?}");
    }
}
