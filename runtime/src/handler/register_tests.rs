//! The handler over an allow-list, a stream and a registry in memory, which can fail or end the program at any call.

use std::sync::atomic::Ordering;

use futures_util::FutureExt as _;
use rcgen::{BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair};
use serde_json::{Value, json};

use super::*;
use crate::{
    aws::things::{Certificate, Thing},
    config::Common,
    provision::memory::{Fate, SERIAL_NUMBER, START, World, clock},
};

const AUTHORITY: &str = "aaaa";

/// A certificate signed by a private authority, with these names in its subject.
fn pem(names: &[&str]) -> String {
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = Issuer::new(authority, KeyPair::generate().expect("a key"));
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, "Riverton");
    // A second name of the same kind would replace the first, unless it is given by its number.
    let by_number = DnType::CustomDnType(vec![2, 5, 4, 3]);
    for (name, kind) in names.iter().zip([DnType::CommonName, by_number]) {
        params.distinguished_name.push(kind, *name);
    }
    params.signed_by(&KeyPair::generate().expect("a key"), &issuer).expect("a certificate").pem()
}

/// A device has connected with a certificate, which AWS IoT has registered.
fn connect(world: &World, id: &str, authority: Option<&str>, pem: String) {
    let certificate = Certificate {
        arn: format!("arn:aws:iot:us-east-1:111111111111:cert/{id}"),
        status: Status::Waiting,
        pem,
        authority: authority.map(str::to_owned),
    };
    world.registry.lock().unwrap().certificates.insert(id.to_owned(), certificate);
}

fn handler(world: &World) -> Register<&World, &World, &World> {
    let names = Names {
        stack: "water-dev".to_owned(),
        stream: "the-stream".to_owned(),
        policies: vec!["water-dev-core".to_owned(), "water-dev-shadow".to_owned()],
    };
    let authorities = vec!["bbbb".to_owned(), AUTHORITY.to_owned()];
    Register { allow_list: world, records: world, things: world, names, authorities, clock }
}

/// Invokes the function once, and returns its metrics as well; `None` if the program ended in the meantime.
fn tell(world: &World, id: &str, fate: Fate) -> (Option<Result<(), Failure>>, Vec<Value>) {
    world.calls.store(0, Ordering::Relaxed);
    *world.fate.lock().unwrap() = fate;
    let handler = handler(world);
    let event = json!({ "certificateId": id, "caCertificateId": "cccc", "certificateStatus": "PENDING_ACTIVATION" });
    let mut metrics = Metrics::default();
    let answer = handler.handle(Bytes::from(event.to_string()), Deadline::at(START), &mut metrics).now_or_never();
    let common = Common { platform: "water".parse().expect("a name"), environment: "dev".parse().expect("an id") };
    let lines = metrics.lines(&common, START);
    (answer, lines.iter().map(|line| serde_json::from_str(line).expect("JSON")).collect())
}

#[track_caller]
fn refused(world: &World, id: &str, reason: &str) {
    refused_again(world, id, reason);
    assert!(!world.registry.lock().unwrap().attached.contains_key(id));
}

#[track_caller]
fn refused_again(world: &World, id: &str, reason: &str) {
    let (answer, metrics) = tell(world, id, Fate::Well);
    assert_eq!(answer, Some(Ok(())));
    let counted = metrics.iter().any(|line| line["Reason"] == reason && line["ProvisioningRefused"] == 1);
    assert!(counted, "{reason} is not in {metrics:?}");
    let registry = world.registry.lock().unwrap();
    assert_eq!(registry.certificates[id].status, Status::Waiting, "it waits");
}

/// The certificate is active, has its policies, and is attached to the thing that the list assigns.
#[track_caller]
fn assert_provisioned(world: &World, id: &str, when: &str) {
    let registry = world.registry.lock().unwrap();
    assert_eq!(registry.certificates[id].status, Status::Active, "{when}");
    assert_eq!(registry.attached[id], "pump-1", "{when}");
    let policies: Vec<&str> = registry.policies[id].iter().map(String::as_str).collect();
    assert_eq!(policies, ["water-dev-commands-pump", "water-dev-core", "water-dev-shadow"], "{when}");
    let groups: Vec<&str> = registry.groups["pump-1"].iter().map(String::as_str).collect();
    assert_eq!(groups, ["water-dev-zone-a"], "{when}");
    let thing = &registry.things["pump-1"];
    assert_eq!(thing.thing_type.as_deref(), Some("water-dev-pump"), "{when}");
    let attributes = ["stack", "type", "zone", "values", "retired"].map(|name| thing.attribute(name).unwrap());
    assert_eq!(attributes, ["water-dev", "pump", "zone-a", "max_pressure:70", "false"], "{when}");
    let told = world.told();
    assert!(!told.is_empty() && told.iter().all(|record| *record == told[0]), "{when}: {told:?}");
    assert_eq!(told[0]["rev"].to_string(), thing.attribute("revision").unwrap(), "{when}");
}

fn connected() -> World {
    let world = World::new();
    connect(&world, "first", Some(AUTHORITY), pem(&[SERIAL_NUMBER]));
    world
}

#[test]
fn whoever_connects_with_a_serial_of_the_list_becomes_its_device() {
    let world = connected();
    let (answer, metrics) = tell(&world, "first", Fate::Well);
    assert_eq!(answer, Some(Ok(())));
    assert!(metrics.iter().any(|line| line["Provisioned"] == 1), "{metrics:?}");
    assert_provisioned(&world, "first", "at once");
    // The event comes again: the certificate is active, and nothing is done.
    tell(&world, "first", Fate::Well);
    assert_eq!(world.calls.load(Ordering::Relaxed), 1);
    assert_eq!(world.told().len(), 1);
}

/// Wherever the first attempt ends, the certificate is active only if everything else is done, and the next attempt
/// succeeds.
#[test]
fn killed_or_failed_at_any_call_the_next_try_ends_well() {
    let calls = {
        let world = connected();
        tell(&world, "first", Fate::Well);
        world.calls.load(Ordering::Relaxed)
    };
    assert_eq!(calls, 14);
    for number in 0..calls {
        for fate in [Fate::KilledBefore(number), Fate::KilledAfter(number), Fate::Fails(number)] {
            let world = connected();
            let (first, _) = tell(&world, "first", fate);
            match fate {
                Fate::Fails(_) => assert_eq!(first.expect("an end").expect_err("a failure").kind, "unavailable"),
                Fate::KilledAfter(_) | Fate::KilledBefore(_) | Fate::Well => assert_eq!(first, None, "{fate:?}"),
            }
            assert_eq!(tell(&world, "first", Fate::Well).0, Some(Ok(())), "{fate:?}");
            assert_provisioned(&world, "first", &format!("{fate:?}"));
        }
    }
}

#[test]
fn one_serial_is_for_one_certificate() {
    let world = connected();
    tell(&world, "first", Fate::Well);
    connect(&world, "second", Some(AUTHORITY), pem(&[SERIAL_NUMBER]));
    refused(&world, "second", "used_serial");
    assert_eq!(world.told().len(), 1, "the stream is told nothing");
    assert_provisioned(&world, "first", "the first one stays");
}

#[test]
fn what_is_not_on_the_list_waits_until_it_is() {
    let world = World::new();
    connect(&world, "first", Some(AUTHORITY), pem(&["RW-000555"]));
    refused(&world, "first", "unknown_serial");
    connect(&world, "second", Some(AUTHORITY), pem(&["RW-000999"]));
    refused(&world, "second", "unusable_row");
    assert!(world.told().is_empty());
    let row = world.rows.lock().unwrap()[SERIAL_NUMBER].clone();
    world.rows.lock().unwrap().insert("RW-000555".to_owned(), row);
    tell(&world, "first", Fate::Well);
    assert_provisioned(&world, "first", "put on the list");
}

#[test]
fn a_subject_that_names_no_serial_is_refused_before_anybody_is_asked() {
    let world = World::new();
    for (id, names) in [("a", &[][..]), ("b", &["RW 1"]), ("c", &["$(touch x)"]), ("d", &[SERIAL_NUMBER, "RW-000124"])]
    {
        connect(&world, id, Some(AUTHORITY), pem(names));
        refused(&world, id, "malformed_serial");
        assert_eq!(world.calls.load(Ordering::Relaxed), 1, "{names:?}");
    }
    connect(&world, "e", Some(AUTHORITY), "no certificate".to_owned());
    refused(&world, "e", "malformed_serial");
}

#[test]
fn another_authority_s_certificate_is_refused_whatever_the_event_says() {
    let world = World::new();
    for (id, authority) in [("a", None), ("b", Some("cccc"))] {
        connect(&world, id, authority, pem(&[SERIAL_NUMBER]));
        refused(&world, id, "unknown_authority");
    }
    assert_eq!(world.used_by(SERIAL_NUMBER), None);
}

#[test]
fn nothing_is_decided_about_what_waits_for_nobody() {
    let world = connected();
    for status in [Status::Active, Status::Inactive, Status::Revoked, Status::Elsewhere] {
        world.registry.lock().unwrap().certificates.get_mut("first").unwrap().status = status;
        let (answer, metrics) = tell(&world, "first", Fate::Well);
        assert_eq!((answer, metrics.len()), (Some(Ok(())), 0), "{status:?}");
    }
    assert_eq!(tell(&world, "gone", Fate::Well).0, Some(Ok(())));
    assert_eq!(world.used_by(SERIAL_NUMBER), None);
}

#[test]
fn a_device_that_was_somewhere_else_is_in_its_zone_s_group_alone() {
    let world = connected();
    {
        let mut registry = world.registry.lock().unwrap();
        let attributes = [("stack", "water-dev"), ("told", "something"), ("retired", "true"), ("revision", "1")];
        let attributes = attributes.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let thing = Thing {
            name: "pump-1".to_owned(),
            thing_type: Some("water-dev-valve".to_owned()),
            attributes,
            ..Thing::default()
        };
        registry.things.insert("pump-1".to_owned(), thing);
        registry.groups.insert("pump-1".to_owned(), ["water-dev-zone-b".to_owned()].into());
    }
    tell(&world, "first", Fate::Well);
    assert_provisioned(&world, "first", "moved");
}

/// The device was moved or revoked after its serial was used: the latest change stays.
#[test]
fn what_was_said_of_a_device_later_stays() {
    let world = connected();
    assert_eq!(tell(&world, "first", Fate::KilledBefore(13)).0, None, "killed before it was let in");
    let now = world.registry.lock().unwrap().things["pump-1"].revision().expect("a revision") + 1;
    let said = |pairs: [(&str, String); 2]| {
        let mut registry = world.registry.lock().unwrap();
        let attributes = pairs.map(|(name, value)| (name.to_owned(), value));
        registry.things.get_mut("pump-1").unwrap().attributes.extend(attributes);
    };
    said([("revision", now.to_string()), ("retired", "true".to_owned())]);
    refused_again(&world, "first", "revoked_device");
    said([("zone", "zone-b".to_owned()), ("retired", "false".to_owned())]);
    world.registry.lock().unwrap().groups.insert("pump-1".to_owned(), ["water-dev-zone-b".to_owned()].into());
    assert_eq!(tell(&world, "first", Fate::Well).0, Some(Ok(())));
    let registry = world.registry.lock().unwrap();
    assert_eq!(registry.certificates["first"].status, Status::Active);
    assert_eq!(registry.things["pump-1"].attribute("zone"), Some("zone-b"));
    assert!(registry.groups["pump-1"].contains("water-dev-zone-b"));
}

#[test]
fn what_another_type_s_devices_may_do_is_taken_away() {
    let world = connected();
    let held = ["water-dev-commands-valve", "water-dev-core", "somebody-s-own"].map(str::to_owned);
    world.registry.lock().unwrap().policies.insert("first".to_owned(), held.into());
    tell(&world, "first", Fate::Well);
    let policies = world.registry.lock().unwrap().policies["first"].iter().cloned().collect::<Vec<_>>();
    assert_eq!(policies, ["somebody-s-own", "water-dev-commands-pump", "water-dev-core", "water-dev-shadow"]);
}

#[test]
fn a_row_of_a_zone_that_is_gone_is_refused() {
    let world = connected();
    world.rows.lock().unwrap().get_mut(SERIAL_NUMBER).unwrap().0.thing_group = "water-dev-gone".to_owned();
    refused(&world, "first", "unusable_row");
}

#[test]
fn whoever_was_taken_away_meanwhile_is_not_let_in() {
    let world = connected();
    assert_eq!(tell(&world, "first", Fate::KilledBefore(12)).0, None, "killed before the last look");
    world.registry.lock().unwrap().certificates.get_mut("first").unwrap().status = Status::Inactive;
    let row = world.rows.lock().unwrap()[SERIAL_NUMBER].0.clone();
    let registration = Registration::read(row).expect("a usable row");
    *world.fate.lock().unwrap() = Fate::Well;
    let outcome = handler(&world).activate("first", registration).now_or_never();
    assert!(matches!(outcome, Some(Ok(Outcome::Settled))));
    assert_eq!(world.registry.lock().unwrap().certificates["first"].status, Status::Inactive);
}

#[test]
fn a_thing_of_something_else_is_left_alone() {
    let world = connected();
    for thing_type in ["water-development", "water-dev-eu-pump"] {
        let thing = Thing { name: "pump-1".to_owned(), thing_type: Some(thing_type.to_owned()), ..Thing::default() };
        world.registry.lock().unwrap().things.insert("pump-1".to_owned(), thing);
        refused(&world, "first", "foreign_thing");
    }
    let stack = ("stack".to_owned(), "water-dev-eu".to_owned());
    let thing = Thing { name: "pump-1".to_owned(), attributes: [stack].into(), ..Thing::default() };
    world.registry.lock().unwrap().things.insert("pump-1".to_owned(), thing);
    refused(&world, "first", "foreign_thing");
}

#[test]
fn what_names_no_certificate_is_said_without_its_words() {
    let world = World::new();
    for body in ["{}", "[", r#"{"certificateId":["secret"]}"#] {
        let names = Names { stack: String::new(), stream: String::new(), policies: Vec::new() };
        let handler =
            Register { allow_list: &world, records: &world, things: &world, names, authorities: Vec::new(), clock };
        let body = Bytes::from_static(body.as_bytes());
        let answer = handler.handle(body, Deadline::at(START), &mut Metrics::default()).now_or_never();
        let failure = answer.expect("an end").expect_err("no event");
        assert!(failure.kind == "bad_event" && !failure.message.contains("secret"), "{failure}");
    }
}
