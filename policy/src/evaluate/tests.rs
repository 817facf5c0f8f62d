//! The semantics, rule by rule, and the examples of the developer guide.

use serde_json::{Value, json};

use super::*;

const ARN: &str = "arn:aws:iot:us-east-1:111111111111";

fn policy(statements: Value) -> Vec<Policy> {
    vec![Policy::read("p", &json!({ "Version": "2012-10-17", "Statement": statements })).unwrap()]
}

fn statement(effect: &str, action: &str, resource: &str) -> Value {
    json!({ "Sid": action.trim_start_matches("iot:"), "Effect": effect, "Action": action,
            "Resource": format!("{ARN}:{resource}") })
}

fn when(mut statement: Value, operator: &str, key: &str, values: Value) -> Value {
    statement["Condition"] = json!({ operator: { key: values } });
    statement
}

fn certificate(thing: Option<&str>) -> Certificate {
    Certificate { thing: thing.map(str::to_owned), common_name: "c".to_owned() }
}

fn client() -> Connection {
    Connection::mqtt(&certificate(Some("client1")), "client1", true, ThingReading::ByClientId)
}

fn connect(is_persistent: bool, will: Option<&str>) -> Operation {
    let will = will.map(|topic| Will { topic: topic.to_owned(), is_retained: false });
    Operation::Connect { is_persistent, will }
}

fn publish(topic: &str, is_retained: bool) -> Operation {
    Operation::Publish { topic: topic.to_owned(), is_retained }
}

/// Whether a client may connect plainly, with a persistent session, with a will, and with both.
fn features(connects: &[Value]) -> [bool; 4] {
    let mut statements = connects.to_vec();
    statements.push(statement("Allow", "iot:Publish", "topic/will"));
    let policies = policy(Value::from(statements));
    [(false, None), (true, None), (false, Some("will")), (true, Some("will"))]
        .map(|(persistent, will)| attempt(&policies, ARN, &client(), &connect(persistent, will)).is_allowed())
}

/// The examples of "Connect policy examples", each with the behavior that the page describes.
#[test]
fn connect_attributes_are_as_in_the_guide() {
    let with = |effect: &str, operator: &str, values: Value| {
        when(statement(effect, "iot:Connect", "client/client1"), operator, "iot:ConnectAttributes", values)
    };
    let (persistent, will) = ("PersistentConnect", "LastWill");
    for (statements, expected) in [
        (vec![with("Allow", "ForAllValues:StringEquals", json!([persistent]))], [true, true, false, false]),
        (vec![with("Allow", "ForAllValues:StringNotEquals", json!([persistent]))], [true, false, true, false]),
        (
            vec![
                statement("Allow", "iot:Connect", "client/client1"),
                with("Deny", "ForAnyValue:StringEquals", json!([persistent])),
            ],
            [true, false, true, false],
        ),
        (vec![with("Allow", "ForAllValues:StringEquals", json!([persistent, will]))], [true, true, true, true]),
        (vec![with("Allow", "ForAllValues:StringEquals", json!([will]))], [true, false, true, false]),
        (vec![with("Allow", "ForAllValues:StringEquals", json!([]))], [true, false, false, false]),
        (vec![with("Allow", "ForAnyValue:StringEquals", json!([persistent]))], [false, true, false, true]),
        (
            vec![
                with("Allow", "ForAllValues:StringEquals", json!([persistent, will])),
                with("Deny", "ForAllValues:StringEquals", json!([persistent])),
                with("Deny", "ForAllValues:StringEquals", json!([will])),
                with("Deny", "ForAllValues:StringEquals", json!([])),
            ],
            [false, false, false, true],
        ),
        (
            vec![when(
                statement("Allow", "iot:Connect", "client/client1"),
                "ArnEquals",
                "iot:LastWillTopic",
                json!(format!("{ARN}:topic/w*")),
            )],
            [false, false, true, true],
        ),
    ] {
        assert_eq!(features(&statements), expected, "{statements:?}");
    }
}

#[test]
fn what_nothing_allows_is_denied_and_a_denial_wins() {
    let allow = [statement("Allow", "iot:Connect", "client/*"), statement("Allow", "iot:Publish", "topic/*")];
    let outcome = |statements: Vec<Value>| attempt(&policy(statements.into()), ARN, &client(), &publish("a/b", false));
    assert_eq!(outcome(allow.to_vec()), Outcome::Allowed { by: "p/Publish".to_owned() });
    let refusal = |by: Option<&str>| {
        let (action, resource) = ("iot:Publish", "topic/a/b".to_owned());
        Outcome::Refused(Refusal { action, resource, by: by.map(str::to_owned) })
    };
    assert_eq!(outcome(allow[..1].to_vec()), refusal(None));
    let mut denied = allow.to_vec();
    denied.insert(0, json!({ "Effect": "Deny", "Action": "iot:*", "Resource": format!("{ARN}:topic/a/*") }));
    assert_eq!(outcome(denied), refusal(Some("p/statement 1")));
}

#[test]
fn every_policy_counts_wherever_it_stands() {
    let read = |name: &str, effect: &str| {
        let document = json!({ "Version": "2012-10-17", "Statement": statement(effect, "iot:Connect", "client/*") });
        Policy::read(name, &document).unwrap()
    };
    let (allow, deny) = (read("a", "Allow"), read("b", "Deny"));
    for policies in [[allow.clone(), deny.clone()], [deny, allow]] {
        assert!(!attempt(&policies, ARN, &client(), &connect(false, None)).is_allowed());
    }
}

#[test]
fn retaining_takes_a_permission_of_its_own_and_so_does_a_will() {
    let base = vec![statement("Allow", "iot:Connect", "client/*"), statement("Allow", "iot:Publish", "topic/a")];
    let mut retains = base.clone();
    retains.push(statement("Allow", "iot:RetainPublish", "topic/a"));
    let (base, retains) = (policy(base.into()), policy(retains.into()));
    let can = |policies, operation| attempt(policies, ARN, &client(), &operation).is_allowed();
    assert!(can(&base, publish("a", false)) && !can(&base, publish("a", true)));
    assert!(can(&retains, publish("a", true)));
    assert!(can(&base, connect(false, Some("a"))) && !can(&base, connect(false, Some("b"))));
    let retained = Will { topic: "a".to_owned(), is_retained: true };
    let connect = Operation::Connect { is_persistent: false, will: Some(retained) };
    assert!(!can(&base, connect.clone()) && can(&retains, connect));
}

#[test]
fn over_mqtt_nothing_comes_before_connecting() {
    let policies = policy(json!([statement("Allow", "iot:Publish", "topic/a")]));
    assert!(!attempt(&policies, ARN, &client(), &publish("a", false)).is_allowed());
    let https = Connection::https(&certificate(Some("client1")));
    assert!(attempt(&policies, ARN, &https, &publish("a", false)).is_allowed());
}

#[test]
fn the_thing_of_an_impostor_is_read_both_ways() {
    let name = "client/${iot:Connection.Thing.ThingName}";
    let bare = policy(json!([statement("Allow", "iot:Connect", name)]));
    let id = policy(json!([when(
        statement("Allow", "iot:Connect", "client/${iot:ClientId}"),
        "Bool",
        "iot:Connection.Thing.IsAttached",
        json!("true")
    )]));
    let both = policy(json!([when(
        statement("Allow", "iot:Connect", name),
        "Bool",
        "iot:Connection.Thing.IsAttached",
        json!(["true"])
    )]));
    let can = |policies: &[Policy], thing, client_id: &str, reading| {
        let connection = Connection::mqtt(&certificate(thing), client_id, true, reading);
        attempt(policies, ARN, &connection, &connect(false, None)).is_allowed()
    };
    use ThingReading::{ByCertificate, ByClientId};
    for reading in ThingReading::ALL {
        for policies in [&bare, &id, &both] {
            assert!(can(policies, Some("dev-1"), "dev-1", reading));
        }
        assert!(!can(&both, Some("dev-1"), "dev-2", reading) && !can(&both, None, "dev-2", reading));
    }
    assert!(can(&bare, Some("dev-1"), "dev-2", ByClientId) && can(&bare, None, "dev-2", ByClientId));
    assert!(can(&id, Some("dev-1"), "dev-2", ByCertificate));
    // A thing's name requires the thing to exist.
    let connection = Connection::mqtt(&certificate(None), "nobody", false, ByClientId);
    assert!(!attempt(&bare, ARN, &connection, &connect(false, None)).is_allowed());
}

#[test]
fn not_resource_and_not_action_cover_the_rest() {
    let policies = policy(json!([
        { "Effect": "Allow", "NotAction": "iot:Subscribe", "NotResource": format!("{ARN}:topic/a") }
    ]));
    let can = |operation| attempt(&policies, ARN, &client(), &operation).is_allowed();
    assert!(can(publish("b", false)) && !can(publish("a", false)));
    assert!(!can(Operation::Subscribe { filter: "b".to_owned() }));
    assert!(can(Operation::Receive { topic: "b".to_owned() }));
}

#[test]
fn strings_are_compared_as_the_operator_says() {
    let can = |operator: &str, value: &str| {
        let statement = when(statement("Allow", "iot:Connect", "client/*"), operator, "iot:ClientId", json!([value]));
        attempt(&policy(json!([statement])), ARN, &client(), &connect(false, None)).is_allowed()
    };
    assert!(can("StringEquals", "client1") && !can("StringEquals", "client*"));
    assert!(can("StringLike", "client*") && !can("StringLike", "dev*"));
    assert!(can("StringNotEquals", "client*") && !can("StringNotEquals", "client1"));
    assert!(can("StringNotLike", "dev*") && !can("StringNotLike", "client*"));
    assert!(can("StringEquals", "${iot:Connection.Thing.ThingName}"));
}

#[test]
fn a_key_that_a_request_has_not_is_like_no_value() {
    let https = Connection::https(&certificate(Some("client1")));
    let can = |operator: &str, key: &str, value: &str| {
        let statement = when(statement("Allow", "iot:Publish", "topic/a"), operator, key, json!(value));
        attempt(&policy(json!([statement])), ARN, &https, &publish("a", false)).is_allowed()
    };
    assert!(!can("StringEquals", "iot:ClientId", "client1") && can("StringNotEquals", "iot:ClientId", "client1"));
    assert!(!can("Bool", "iot:Connection.Thing.IsAttached", "true"));
    assert!(!can("Bool", "iot:Connection.Thing.IsAttached", "false"));
    assert!(can("ForAllValues:StringEquals", "iot:ConnectAttributes", "LastWill"));
    assert!(!can("ForAnyValue:StringNotEquals", "iot:ConnectAttributes", "LastWill"));
}

#[test]
fn a_call_takes_the_action_that_it_is() {
    let policies = policy(json!([statement("Allow", "iot:GetThingShadow", "thing/client1")]));
    let https = Connection::https(&certificate(Some("client1")));
    let call = |action, name: &str| Operation::Call { action, resource: format!("thing/{name}") };
    assert!(attempt(&policies, ARN, &https, &call("iot:GetThingShadow", "client1")).is_allowed());
    assert!(!attempt(&policies, ARN, &https, &call("iot:GetThingShadow", "client2")).is_allowed());
    assert!(!attempt(&policies, ARN, &https, &call("iot:UpdateThingShadow", "client1")).is_allowed());
}

/// A part that is not understood must never pass for one that is.
#[test]
fn what_is_not_known_is_an_error() {
    let base = || json!({ "Effect": "Allow", "Action": "iot:Connect", "Resource": "*" });
    let with = |key: &str, value: Value| {
        let mut statement = base();
        statement[key] = value;
        statement
    };
    for (statement, problem) in [
        (with("Principal", json!("*")), "the element `Principal` is not known"),
        (with("Effect", json!("allow")), "`Effect` is neither"),
        (with("NotAction", json!("x")), "both `Action` and `NotAction`"),
        (with("Resource", json!({ "Fn::Sub": "x" })), "is not a text"),
        (with("Resource", json!("${aws:SourceIp}")), "the variable `aws:SourceIp`"),
        (json!({ "Effect": "Allow", "Action": "iot:Connect" }), "it has no `Resource`"),
        (json!("x"), "it is not an object"),
        (when(base(), "IpAddress", "aws:SourceIp", json!("10.0.0.0/8")), "operator `IpAddress` is not known"),
        (when(base(), "StringEqualsIfExists", "iot:ClientId", json!("x")), "operator `StringEqualsIfExists`"),
        (when(base(), "ForAllValues:Bool", "iot:Connection.Thing.IsAttached", json!("true")), "`ForAllValues:Bool`"),
        (when(base(), "ForSome:StringEquals", "iot:ClientId", json!("x")), "operator `ForSome:StringEquals`"),
        (when(base(), "StringEquals", "iot:VpcEndpointId", json!("x")), "key `iot:VpcEndpointId` is not known"),
        (when(base(), "StringEquals", "iot:ConnectAttributes", json!("x")), "needs ForAllValues or ForAnyValue"),
        (when(base(), "Bool", "iot:ClientId", json!("true")), "does not go with"),
        (when(base(), "StringEquals", "iot:Connection.Thing.IsAttached", json!("true")), "does not go with"),
        (when(base(), "StringEquals", "iot:ClientId", json!(7)), "`7` is no value"),
    ] {
        let document = json!({ "Version": "2012-10-17", "Statement": [statement] });
        let error = Policy::read("p", &document).unwrap_err().to_string();
        assert!(error.starts_with("policy `p`, statement 1: ") && error.contains(problem), "{error}");
    }
    for document in [
        json!([]),
        json!({ "Version": "2008-10-17", "Statement": [] }),
        json!({ "Statement": [] }),
        json!({ "Version": "2012-10-17" }),
        json!({ "Version": "2012-10-17", "Statement": [], "Extra": 1 }),
    ] {
        assert!(Policy::read("p", &document).is_err(), "{document}");
    }
}
