//! Interrupts every operation before and after each of its changes, and runs it again: it ends as if it had never been
//! interrupted, and another run changes nothing.

use std::{cell::RefCell, fs, rc::Rc};

use camino::{Utf8Path, Utf8PathBuf};
use fleetform_generator::{
    check,
    platform::{Platform, identity::Key},
};
use tempfile::TempDir;

use super::{
    keys::Keys,
    memory::{Memory, State, Stopped},
    plan::{Names, Wanted},
    port::Status,
    registrar::{KeyMaker, Registrar},
    request,
};
use crate::terminal::Stop;

const DEVICE: &str = "sensor-001";
const NOW_MS: u64 = 1_800_000_000_000;

const PLATFORM: &str = r#"
schema = 1
[platform]
name = "my-water"
[environments.dev]
account = "111111111111"
region  = "us-east-1"
[zones.north]
title    = "North"
contacts = ["oncall"]
[zones.south]
title    = "South"
contacts = ["oncall"]
[contacts.oncall]
email = ["oncall@example.com"]
[device_types.pressure-logger]
report_every = "1m"
attributes = { max_pressure = { default = 60.0 } }
commands = { restart = {} }
[device_types.pressure-logger.readings]
pressure = { min = 0, max = 100 }
[device_types.valve]
report_every = "1m"
[device_types.valve.readings]
position = { min = 0, max = 100 }
"#;

/// A registry and a folder of keys.
struct Place {
    folder: TempDir,
    registrar: Registrar<Memory>,
    said: Rc<RefCell<Vec<String>>>,
}

#[derive(Clone, Copy, Debug)]
enum Operation {
    Add,
    AddByAws,
    AddAs { device_type: &'static str, zone: &'static str },
    Move,
    Rotate,
    RotateByAws,
    Finish,
    Revoke,
    Reinstate,
    Remove,
}

fn platform() -> Platform {
    let mut project = check("platform.toml", PLATFORM).project.expect("the platform is right");
    project.environments.pop_first().expect("an environment").1
}

impl Place {
    fn new() -> Self {
        Self::of(State::default(), None)
    }

    fn of(state: State, keys: Option<&Utf8Path>) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = Utf8PathBuf::from_path_buf(folder.path().join("keys")).expect("UTF-8");
        if let Some(keys) = keys.filter(|keys| keys.exists()) {
            Keys::new(path.clone()).make().expect("a folder");
            for entry in keys.read_dir_utf8().expect("a folder") {
                let entry = entry.expect("a file");
                fs::copy(entry.path(), path.join(entry.file_name())).expect("a copy");
            }
        }
        let said = Rc::new(RefCell::new(Vec::new()));
        let heard = Rc::clone(&said);
        let registrar = Registrar {
            registry: Memory::of(state),
            keys: Keys::new(path),
            names: Names::of(&platform()),
            stream: "stream".to_owned(),
            dry_run: false,
            now_ms: || NOW_MS,
            say: Box::new(move |line| heard.borrow_mut().push(line)),
        };
        Self { folder, registrar, said }
    }

    fn copy(&self) -> Self {
        Self::of(self.registrar.registry.state.borrow().clone(), Some(self.registrar.keys.folder()))
    }

    fn run(&self, operation: Operation) -> Result<(), Stop> {
        self.registrar.registry.changes.borrow_mut().clear();
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let registrar = &self.registrar;
        let wanted = |device_type: &str, zone: &str| {
            let attributes = match device_type {
                "pressure-logger" => vec![("max_pressure".to_owned(), "70".to_owned())],
                _ => Vec::new(),
            };
            Wanted::new(&platform(), DEVICE, device_type, zone, &attributes).expect("a device of the platform")
        };
        let logger = wanted("pressure-logger", "north");
        runtime.block_on(async {
            match operation {
                Operation::Add => registrar.add(&logger, KeyMaker::Here, false).await,
                Operation::AddByAws => registrar.add(&logger, KeyMaker::Aws, false).await,
                Operation::AddAs { device_type, zone } => {
                    registrar.add(&wanted(device_type, zone), KeyMaker::Here, false).await
                }
                Operation::Move => registrar.relocate(&platform(), DEVICE, "south").await,
                Operation::Rotate => registrar.rotate(DEVICE, KeyMaker::Here).await,
                Operation::RotateByAws => registrar.rotate(DEVICE, KeyMaker::Aws).await,
                Operation::Finish => registrar.finish(DEVICE).await,
                Operation::Revoke => registrar.revoke(DEVICE).await.map(drop),
                Operation::Reinstate => registrar.add(&logger, KeyMaker::Here, true).await,
                Operation::Remove => registrar.remove(DEVICE).await,
            }
        })
    }

    fn done(&self, operation: Operation) -> Vec<String> {
        if let Err(stop) = self.run(operation) {
            panic!("{operation:?}: {stop:?}");
        }
        self.registrar.registry.changes.borrow().clone()
    }

    fn refused(&self, operation: Operation) -> String {
        let stop = format!("{:?}", self.run(operation).expect_err("it is refused"));
        assert!(self.registrar.registry.changes.borrow().is_empty(), "it is refused before the first change");
        stop
    }

    /// The active certificates that speak for the device, each with its policies.
    fn speaking(&self) -> Vec<(String, Vec<String>)> {
        let state = self.registrar.registry.state.borrow();
        let held = state.attached.iter().filter(|(device, _)| device == DEVICE);
        held.map(|(_, arn)| (arn, &state.certificates[arn]))
            .filter(|(_, kept)| kept.certificate.status == Status::Active)
            .map(|(arn, kept)| (arn.clone(), kept.policies.iter().cloned().collect()))
            .collect()
    }

    fn assert_registered(&self, zone: &str, policies: &[&str], when: &str) {
        let speaking = self.speaking();
        assert_eq!(speaking.len(), 1, "{when}");
        let (arn, held) = &speaking[0];
        assert_eq!(held, policies, "{when}");
        let files = self.registrar.keys.of(DEVICE);
        let of = |end: &str| files.read(end).expect("it can be read").unwrap_or_else(|| panic!("{when}: no {end}"));
        assert_eq!(&files.arn().expect("it can be read").expect("an ARN"), arn, "{when}");
        let public = request::of_key(&of("key")).expect("a key");
        assert_eq!(request::of_certificate(&of("crt")), Some(public), "{when}: the key is the certificate's");
        assert!(!files.has("pending"), "{when}");
        let state = self.registrar.registry.state.borrow();
        assert_eq!(state.things.len(), 1, "{when}");
        assert_eq!(state.groups[DEVICE].iter().collect::<Vec<_>>(), [&format!("my-water-dev-{zone}")], "{when}");
        let last = state.records.last().expect("a record");
        assert_eq!((&last["zone"], &last["retired"]), (&zone.into(), &false.into()), "{when}");
        self.assert_revisions_rise(when);
    }

    fn assert_revisions_rise(&self, when: &str) {
        let state = self.registrar.registry.state.borrow();
        let essence = |record: &serde_json::Value| {
            let mut record = record.clone();
            record.as_object_mut().expect("an object").remove("rev");
            record
        };
        for pair in state.records.windows(2) {
            let rises = pair[1]["rev"].as_u64() > pair[0]["rev"].as_u64();
            assert!(rises || essence(&pair[0]) == essence(&pair[1]), "{when}: {pair:?}");
        }
    }
}

const KEYS_AND_CERTIFICATE: &str = "create keys and certificate";

const ALL: [&str; 3] = ["my-water-dev-commands-pressure-logger", "my-water-dev-core", "my-water-dev-shadow"];

/// Interrupts an operation before and after each of its changes, runs it again, and checks the end.
fn stopped_anywhere(before: &[Operation], operation: Operation, check: impl Fn(&Place, &str)) {
    let begun = Place::new();
    for earlier in before {
        begun.done(*earlier);
    }
    let whole = begun.copy();
    let changes = whole.done(operation);
    assert!(!changes.is_empty(), "{operation:?} changes something");
    check(&whole, "in one run");
    for (at, change) in changes.iter().enumerate() {
        for stops in [Stopped::Before(at + 1), Stopped::After(at + 1)] {
            let when = format!("{operation:?}, {stops:?}: {change}");
            let place = begun.copy();
            place.registrar.registry.stops.set(Some(stops));
            assert!(place.run(operation).is_err(), "{when}");
            place.registrar.registry.stops.set(None);
            place.done(operation);
            check(&place, &when);
            assert_eq!(place.done(operation), [""; 0], "{when}: once more changes nothing");
            check(&place, &when);
            let certificates = place.registrar.registry.state.borrow().certificates.len();
            let expected = whole.registrar.registry.state.borrow().certificates.len();
            // The key that AWS made was in the lost answer, and its certificate cannot be identified without it.
            let is_lost = change == KEYS_AND_CERTIFICATE && stops == Stopped::After(at + 1);
            assert_eq!(certificates, expected + usize::from(is_lost), "{when}: nothing is left behind");
            let said = place.said.borrow().join("\n");
            assert!(!said.contains("PRIVATE KEY"), "{when}");
            if is_lost {
                assert!(said.contains("may have left behind an inactive certificate"), "{when}: {said}");
                let state = place.registrar.registry.state.borrow();
                let left = |arn: &String| !state.attached.iter().any(|(_, attached)| attached == arn);
                let mut left = state.certificates.iter().filter(|(arn, _)| left(arn)).map(|(_, kept)| kept);
                let left = left.next().expect("it is there");
                assert!(left.certificate.status == Status::Inactive && left.policies.is_empty(), "{when}");
            }
        }
    }
}

#[test]
fn a_device_is_added_once_wherever_it_was_stopped() {
    stopped_anywhere(&[], Operation::Add, |place, when| place.assert_registered("north", &ALL, when));
}

#[test]
fn a_key_that_aws_makes_is_kept_once_wherever_it_was_stopped() {
    stopped_anywhere(&[], Operation::AddByAws, |place, when| {
        place.assert_registered("north", &ALL, when);
        assert!(!place.registrar.keys.of(DEVICE).has("csr"), "{when}");
    });
    stopped_anywhere(&[Operation::Add], Operation::RotateByAws, |place, when| {
        let speaking = place.speaking();
        assert_eq!(speaking.len(), 2, "{when}");
        let next = place.registrar.keys.next(DEVICE);
        let of = |end: &str| next.read(end).expect("it can be read").unwrap_or_else(|| panic!("{when}: no {end}"));
        let public = request::of_key(&of("key")).expect("a key");
        assert_eq!(request::of_certificate(&of("crt")), Some(public), "{when}: the key is the certificate's");
    });
}

/// A run that was interrupted with only the key in its file finds the certificate by the key.
#[test]
fn a_certificate_is_found_by_the_key_that_aws_made() {
    let place = Place::new();
    let changes = place.copy().done(Operation::AddByAws);
    let made = changes.iter().position(|change| change == KEYS_AND_CERTIFICATE).expect("it is made");
    place.registrar.registry.stops.set(Some(Stopped::Before(made + 2)));
    assert!(place.run(Operation::AddByAws).is_err());
    place.registrar.registry.stops.set(None);
    let files = place.registrar.keys.of(DEVICE);
    for end in ["arn", "crt"] {
        files.remove(end).expect("it can be deleted");
    }
    // With the device's own key or another one of AWS's: the certificate left behind belongs to neither.
    place.done(Operation::AddByAws);
    place.assert_registered("north", &ALL, "found");
    assert_eq!(place.registrar.registry.state.borrow().certificates.len(), 1);
    assert!(place.said.borrow().join("\n").contains("left behind by an interrupted run, is deleted"));
}

#[test]
fn type_and_zone_change_together_wherever_it_was_stopped() {
    let valve = Operation::AddAs { device_type: "valve", zone: "south" };
    stopped_anywhere(&[Operation::Add], valve, |place, when| place.assert_registered("south", &ALL[1..], when));
}

#[test]
fn a_device_is_moved_wherever_it_was_stopped_and_keeps_attributes_and_certificate() {
    stopped_anywhere(&[Operation::Add], Operation::Move, |place, when| {
        place.assert_registered("south", &ALL, when);
        let state = place.registrar.registry.state.borrow();
        assert_eq!(state.records.last().expect("a record")["attributes"]["max_pressure"], 70, "{when}");
    });
}

#[test]
fn a_second_certificate_is_made_and_the_first_taken_away_wherever_it_was_stopped() {
    stopped_anywhere(&[Operation::Add], Operation::Rotate, |place, when| {
        let speaking = place.speaking();
        assert_eq!(speaking.len(), 2, "{when}");
        assert!(speaking.iter().all(|(_, policies)| policies == &ALL), "{when}");
    });
    stopped_anywhere(&[Operation::Add, Operation::Rotate], Operation::Finish, |place, when| {
        place.assert_registered("north", &ALL, when);
        assert!(!place.registrar.keys.next(DEVICE).has("key"), "{when}");
        let state = place.registrar.registry.state.borrow();
        let mut inactive = state.certificates.values().filter(|kept| kept.certificate.status == Status::Inactive);
        assert!(inactive.next().expect("the first one").policies.is_empty(), "{when}");
    });
}

#[test]
fn a_device_is_revoked_and_removed_wherever_it_was_stopped() {
    stopped_anywhere(&[Operation::Add, Operation::Rotate], Operation::Revoke, |place, when| {
        assert!(place.speaking().is_empty(), "{when}");
        let state = place.registrar.registry.state.borrow();
        assert!(state.attached.is_empty(), "{when}");
        assert!(state.certificates.values().all(|kept| kept.certificate.status == Status::Inactive), "{when}");
        assert_eq!(state.records.last().expect("a record")["retired"], true, "{when}");
    });
    stopped_anywhere(&[Operation::Add, Operation::Rotate], Operation::Remove, |place, when| {
        let state = place.registrar.registry.state.borrow();
        assert_eq!((state.things.len(), state.certificates.len()), (0, 0), "{when}");
        assert_eq!(state.records.last().expect("a record")["retired"], true, "{when}");
    });
}

#[test]
fn the_stream_knows_a_device_before_it_can_speak() {
    let changes = Place::new().done(Operation::Add);
    let at = |part: &str| changes.iter().position(|change| change.contains(part)).unwrap_or_else(|| panic!("{part}"));
    assert!(at("device record") < at("create certificate"));
    assert_eq!(at("ACTIVE"), changes.len() - 1, "{changes:?}");
}

#[test]
fn a_certificate_that_a_stopped_run_left_behind_is_reported() {
    let place = Place::new();
    let number = place.copy().done(Operation::Add).iter().position(|change| change == "create certificate");
    place.registrar.registry.stops.set(number.map(|at| Stopped::After(at + 1)));
    assert!(place.run(Operation::Add).is_err());
    place.registrar.registry.stops.set(None);
    place.done(Operation::Add);
    let said = place.said.borrow().join("\n");
    assert!(said.contains("left behind by an interrupted run, is deleted"), "{said}");
}

#[test]
fn a_dry_run_changes_nothing_and_says_everything() {
    let mut place = Place::new();
    place.registrar.dry_run = true;
    assert_eq!(place.done(Operation::Add), [""; 0]);
    assert!(!place.registrar.keys.folder().exists());
    let said = place.said.borrow().join("\n");
    for step in ["would create thing", "thing group my-water-dev-north", "device record", "make a certificate"] {
        assert!(said.contains(step), "{step} is missing in\n{said}");
    }
    place.registrar.dry_run = false;
    place.done(Operation::Add);
    place.registrar.dry_run = true;
    for operation in [Operation::Move, Operation::Rotate, Operation::Revoke, Operation::Remove] {
        place.said.borrow_mut().clear();
        assert_eq!(place.done(operation), [""; 0], "{operation:?}");
        assert!(place.said.borrow().iter().any(|line| line.starts_with("would ")), "{operation:?}");
    }
    place.assert_registered("north", &ALL, "nothing was changed");
}

#[test]
fn what_was_revoked_is_given_back_only_when_somebody_says_so() {
    let place = Place::new();
    place.done(Operation::Add);
    place.done(Operation::Revoke);
    for operation in [Operation::Add, Operation::Move, Operation::Rotate, Operation::Finish] {
        assert!(place.refused(operation).contains("was revoked"), "{operation:?}");
    }
    assert!(place.refused(Operation::Reinstate).contains("was withdrawn"));
    for end in ["key", "csr", "crt", "arn"] {
        place.registrar.keys.of(DEVICE).remove(end).expect("it can be deleted");
    }
    place.done(Operation::Reinstate);
    place.assert_registered("north", &ALL, "reinstated");
}

#[test]
fn a_device_gets_no_second_certificate_by_chance() {
    let place = Place::new();
    place.done(Operation::Add);
    let elsewhere = Place::of(place.registrar.registry.state.borrow().clone(), None);
    assert!(elsewhere.refused(Operation::Add).contains("already has a certificate"));
    place.done(Operation::Rotate);
    let elsewhere = Place::of(place.registrar.registry.state.borrow().clone(), None);
    assert!(elsewhere.refused(Operation::Rotate).contains("already has 2 certificates"));
}

#[test]
fn a_thing_of_something_else_is_left_alone() {
    let place = Place::new();
    place.done(Operation::Add);
    {
        let mut state = place.registrar.registry.state.borrow_mut();
        let thing = state.things.get_mut(DEVICE).expect("a thing");
        thing.thing_type = Some("my-water-prod-pump".to_owned());
        thing.attributes.insert("stack".to_owned(), "my-water-prod".to_owned());
    }
    for operation in [Operation::Add, Operation::Move, Operation::Rotate, Operation::Revoke, Operation::Remove] {
        assert!(place.refused(operation).contains("my-water-prod-pump"), "{operation:?}");
    }
}

#[cfg(unix)]
#[test]
fn a_key_that_others_can_read_is_not_used() {
    use std::os::unix::fs::PermissionsExt as _;
    let place = Place::new();
    place.registrar.keys.make().expect("a folder");
    let files = place.registrar.keys.of(DEVICE);
    files.write("key", &request::new_key(Key::EcP256).expect("a key")).expect("a file");
    fs::set_permissions(files.path("key"), fs::Permissions::from_mode(0o644)).expect("a mode");
    assert!(place.refused(Operation::Add).contains("its mode is 644"));
    assert!(place.folder.path().exists());
}

#[test]
fn a_key_of_another_certificate_is_not_used() {
    let place = Place::new();
    place.done(Operation::Add);
    place.registrar.keys.of(DEVICE).write("key", &request::new_key(Key::EcP256).expect("a key")).expect("a file");
    assert!(place.refused(Operation::Add).contains("does not belong to the certificate"));
}

#[test]
fn the_first_certificate_is_deleted_after_a_week() {
    let place = Place::new();
    for operation in [Operation::Add, Operation::Rotate, Operation::Finish] {
        place.done(operation);
    }
    assert_eq!(place.done(Operation::Finish), [""; 0]);
    let old = place.registrar.keys.of(DEVICE).path("old");
    let week_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(8 * 86_400);
    fs::File::options().append(true).open(&old).and_then(|file| file.set_modified(week_ago)).expect("a file");
    place.done(Operation::Finish);
    assert!(!old.exists());
    assert_eq!(place.registrar.registry.state.borrow().certificates.len(), 1);
    place.assert_registered("north", &ALL, "rotated");
}
