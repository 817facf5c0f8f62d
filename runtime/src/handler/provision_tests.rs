//! The handler over an allow-list and a stream in memory, which can fail or end the program at any call.

use std::sync::atomic::Ordering;

use futures_util::FutureExt as _;
use serde_json::{Value, json};

use super::*;
use crate::{
    aws::things::Thing,
    config::Common,
    provision::{
        SERIAL_CHARS_MAX,
        memory::{Fate, SERIAL_NUMBER, START, World, clock},
    },
};

fn handler(world: &World) -> Provision<&World, &World, &World> {
    let (stack, stream) = ("water-dev".to_owned(), "the-stream".to_owned());
    Provision { allow_list: world, records: world, things: world, stack, stream, clock }
}

fn request(serial: &Value, certificate: &str) -> Bytes {
    let request = json!({
        "claimCertificateId": "claim",
        "certificateId": certificate,
        "certificatePem": "-----BEGIN CERTIFICATE-----",
        "templateArn": "arn:aws:iot:us-east-1:111111111111:provisioningtemplate/water-dev",
        "clientId": "water-dev/1",
        // What a device asks to be is ignored.
        "parameters": { "SerialNumber": serial, "ThingName": "pump-2", "Zone": "zone-b", "DeviceType": "valve" },
    });
    Bytes::from(request.to_string())
}

/// Sends one request; `None` if the program ended in the meantime.
fn ask(world: &World, serial: &Value, certificate: &str, fate: Fate) -> (Option<Result<Value, Failure>>, Vec<String>) {
    world.calls.store(0, Ordering::Relaxed);
    *world.fate.lock().unwrap() = fate;
    let handler = handler(world);
    let mut metrics = Metrics::default();
    let deadline = Deadline::at(START);
    let answer = handler.handle(request(serial, certificate), deadline, &mut metrics).now_or_never();
    let common = Common { platform: "water".parse().expect("a name"), environment: "dev".parse().expect("an id") };
    (
        answer.map(|answer| answer.map(|answer| serde_json::to_value(answer).expect("JSON"))),
        metrics.lines(&common, START),
    )
}

fn answered(world: &World, serial: &str, certificate: &str) -> Value {
    ask(world, &json!(serial), certificate, Fate::Well).0.expect("an end").expect("an answer")
}

#[track_caller]
fn refused(world: &World, serial: &Value, certificate: &str, reason: &str) {
    let (answer, metrics) = ask(world, serial, certificate, Fate::Well);
    assert_eq!(answer.expect("an end"), Ok(json!({ "allowProvisioning": false })));
    let counted = metrics.iter().any(|line| {
        let line: Value = serde_json::from_str(line).expect("JSON");
        line["Reason"] == reason && line["ProvisioningRefused"] == 1
    });
    assert!(counted, "{reason} is not in {metrics:?}");
}

#[test]
fn a_serial_of_the_list_becomes_the_device_that_the_list_says() {
    let world = World::new();
    let answer = answered(&world, SERIAL_NUMBER, "first");
    assert_eq!(answer["allowProvisioning"], true);
    let overrides = &answer["parameterOverrides"];
    for (name, value) in [
        ("ThingName", "pump-1"),
        ("ThingTypeName", "water-dev-pump"),
        ("ThingGroupName", "water-dev-zone-a"),
        ("PolicyName", "water-dev-commands-pump"),
        ("DeviceType", "pump"),
        ("Zone", "zone-a"),
        ("Values", "max_pressure:70"),
    ] {
        assert_eq!(overrides[name], value, "{name}");
    }
    let [record] = &world.told()[..] else { panic!("one record") };
    assert_eq!((&record["k"], &record["type"], &record["zone"]), (&json!("device"), &json!("pump"), &json!("zone-a")));
    assert_eq!(record["attributes"], json!({ "max_pressure": 70 }));
    assert_eq!(record["rev"].to_string(), overrides["Revision"].as_str().expect("a text"));
}

#[test]
fn the_same_request_passes_again_and_says_the_same() {
    let world = World::new();
    let first = answered(&world, SERIAL_NUMBER, "first");
    assert_eq!(answered(&world, SERIAL_NUMBER, "first"), first);
    let told = world.told();
    assert_eq!(told.len(), 2);
    assert_eq!(told[0], told[1], "a replay has the revision of the first");
}

#[test]
fn a_second_use_of_a_serial_is_refused_and_tells_the_stream_nothing() {
    let world = World::new();
    answered(&world, SERIAL_NUMBER, "first");
    refused(&world, &json!(SERIAL_NUMBER), "second", "used_serial");
    assert_eq!(world.told().len(), 1);
    assert_eq!(world.used_by(SERIAL_NUMBER).as_deref(), Some("first"));
    assert_eq!(answered(&world, "RW-000124", "second")["parameterOverrides"]["ThingName"], "pump-2");
}

#[test]
fn what_is_not_on_the_list_is_refused() {
    let world = World::new();
    refused(&world, &json!("RW-000555"), "first", "unknown_serial");
    refused(&world, &json!("RW-000999"), "first", "unusable_row");
    let too_long = "9".repeat(SERIAL_CHARS_MAX + 1);
    for serial in [json!(null), json!(7), json!(""), json!("RW 1"), json!({ "S": SERIAL_NUMBER }), json!(too_long)] {
        let calls = {
            refused(&world, &serial, "first", "malformed_serial");
            world.calls.load(Ordering::Relaxed)
        };
        assert_eq!(calls, 0, "nobody is asked about {serial}");
    }
    assert!(world.told().is_empty());
}

/// Wherever the first attempt ends, it does not provision the device, and the next attempt does: with a single record,
/// however often it was put, and for no other device.
#[test]
fn killed_or_failed_at_any_call_the_next_try_ends_well() {
    for number in 0..3 {
        for fate in [Fate::KilledBefore(number), Fate::KilledAfter(number), Fate::Fails(number)] {
            let world = World::new();
            let (first, _) = ask(&world, &json!(SERIAL_NUMBER), "first", fate);
            match fate {
                Fate::Fails(_) => assert_eq!(first.expect("an end").expect_err("a failure").kind, "unavailable"),
                Fate::KilledAfter(_) | Fate::KilledBefore(_) | Fate::Well => assert_eq!(first, None, "{fate:?}"),
            }
            let answer = answered(&world, SERIAL_NUMBER, "first");
            assert_eq!(answer["allowProvisioning"], true, "{fate:?}");
            let told = world.told();
            assert!(!told.is_empty() && told.iter().all(|record| *record == told[0]), "{fate:?}: {told:?}");
            refused(&world, &json!(SERIAL_NUMBER), "second", "used_serial");
        }
    }
}

#[test]
fn of_two_that_race_for_a_serial_one_has_it() {
    let world = World::new();
    // The first one claims the serial and is slow: it ends before it has put the record on the stream.
    assert_eq!(ask(&world, &json!(SERIAL_NUMBER), "first", Fate::KilledAfter(0)).0, None);
    refused(&world, &json!(SERIAL_NUMBER), "second", "used_serial");
    assert_eq!(answered(&world, SERIAL_NUMBER, "first")["allowProvisioning"], true);
}

/// The thing of the name that the serial's row says, with these attributes.
fn with_thing(thing_type: &str, attributes: &[(&str, &str)]) -> World {
    let world = World::new();
    let attributes = attributes.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let thing_type = Some(thing_type.to_owned());
    let thing = Thing { name: "pump-1".to_owned(), thing_type, attributes, ..Thing::default() };
    world.registry.lock().unwrap().things.insert("pump-1".to_owned(), thing);
    world
}

#[test]
fn a_thing_of_the_name_that_is_another_platform_s_is_not_taken_over() {
    for (thing_type, attributes) in [("water-dev-pump", &[("stack", "water-prod")][..]), ("lamp", &[])] {
        let world = with_thing(thing_type, attributes);
        refused(&world, &json!(SERIAL_NUMBER), "first", "foreign_thing");
        assert!(world.told().is_empty(), "the stream hears nothing of {thing_type}");
    }
    // What a stopped run has made, or was registered by hand, is the platform's own.
    for (thing_type, attributes) in [("water-dev-pump", &[][..]), ("lamp", &[("stack", "water-dev")])] {
        let world = with_thing(thing_type, attributes);
        assert_eq!(answered(&world, SERIAL_NUMBER, "first")["allowProvisioning"], true, "{thing_type}");
    }
}

#[test]
fn a_device_that_was_revoked_after_its_serial_was_used_stays_so() {
    let later = (START.0 * 2).to_string();
    let revoked = |revision: &str| {
        with_thing("water-dev-pump", &[("stack", "water-dev"), ("retired", "true"), ("revision", revision)])
    };
    let world = revoked(&later);
    refused(&world, &json!(SERIAL_NUMBER), "first", "revoked_device");
    assert!(world.told().is_empty());
    // Its serial was released since, and is used anew.
    assert_eq!(answered(&revoked("1"), SERIAL_NUMBER, "first")["allowProvisioning"], true);
}

#[test]
fn what_is_no_request_is_said_without_its_words() {
    let world = World::new();
    let handler = handler(&world);
    for body in ["{}", "[", r#"{"certificateId":"a","parameters":"secret"}"#] {
        let body = Bytes::from_static(body.as_bytes());
        let answer = handler.handle(body, Deadline::at(START), &mut Metrics::default()).now_or_never();
        let failure = answer.expect("an end").expect_err("no request");
        assert!(failure.kind == "bad_event" && !failure.message.contains("secret"), "{failure}");
    }
}
