//! The generated script for devices against a stand-in for the AWS command line: whatever it is stopped at, the next run
//! ends with one thing, one active certificate whose key is at hand, and nothing left over.
#![cfg(unix)]

#[path = "stand_in/made.rs"]
mod made;
mod stand_in;

use std::{fs, os::unix::fs::PermissionsExt, process::Command};

use made::made;
use serde_json::{Value, json};
use stand_in::{Place, text};

const DEVICE: &str = "sensor-001";
const ADD: [&str; 6] = ["add", DEVICE, "--type", "pressure-logger", "--zone", "north"];

fn place() -> Place {
    let place = Place::new("devices.sh", |platform| {
        let zones = "zones.south = { title = \"South reservoir\", contacts = [\"oncall\"] }\nzones.north ";
        platform.replace("zones.north ", zones) + "attributes = { max_pressure = { default = 60.0 } }\n"
    });
    fs::create_dir_all(place.path("stub/stacks")).unwrap();
    fs::write(place.path("stub/stacks/my-water-dev.json"), r#"{ "status": "CREATE_COMPLETE" }"#).unwrap();
    place
}

/// What was put on the stream: the distinct records, without their times.
fn told(place: &Place) -> Vec<Value> {
    let records = fs::read_to_string(place.path("stub/devices")).unwrap_or_default();
    let mut told: Vec<Value> = Vec::new();
    let mut revision = 0;
    for line in records.lines() {
        let mut entry: Value = serde_json::from_str(line).unwrap();
        assert_eq!(entry[0], entry[1]["d"], "the partition key is the device");
        let record = entry[1].as_object_mut().unwrap();
        let next = record.remove("rev").unwrap().as_u64().unwrap();
        record.remove("t");
        let record = Value::Object(record.clone());
        if told.last() != Some(&record) {
            assert!(next > revision, "a change has a higher revision");
            told.push(record);
        }
        revision = next;
    }
    told
}

fn public_key(words: &[&str]) -> Vec<u8> {
    let output = Command::new("openssl").args(words).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    output.stdout
}

/// One thing in its group, one active certificate with each policy once, whose key lies in the folder, and nothing else.
fn assert_added(place: &Place, when: &str) {
    let (things, certificates) = (made(place, "things"), made(place, "certificates"));
    assert_eq!(things.keys().collect::<Vec<_>>(), [DEVICE], "{when}");
    let thing = &things[DEVICE];
    assert_eq!(thing["groups"], json!(["my-water-dev-north"]), "{when}");
    assert_eq!(certificates.len(), 1, "{when}: {certificates:?}");
    let (id, certificate) = certificates.first_key_value().unwrap();
    assert_eq!(thing["principals"].as_array().unwrap().len(), 1, "{when}");
    assert!(thing["principals"][0].as_str().unwrap().ends_with(id), "{when}");
    assert_eq!(certificate["status"], "ACTIVE", "{when}");
    assert_eq!(certificate["policies"], json!(["my-water-dev-core", "my-water-dev-shadow"]), "{when}");
    let file = |end: &str| place.path(&format!("devices/dev/{DEVICE}.{end}")).display().to_string();
    let of_certificate = public_key(&["x509", "-in", &file("crt"), "-noout", "-pubkey"]);
    assert_eq!(of_certificate, public_key(&["pkey", "-in", &file("key"), "-pubout"]), "{when}");
    assert_eq!(fs::read_to_string(file("crt")).unwrap().trim(), certificate["pem"].as_str().unwrap().trim(), "{when}");
    let mode = fs::metadata(file("key")).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600, "{when}");
    assert_eq!(told(place).len(), 1, "{when}");
    let left: Vec<_> =
        fs::read_dir(place.path("devices/dev")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 4, "{when}: {left:?}");
}

/// A device's name has up to 128 characters, and the subject of a request takes 64.
#[test]
fn a_device_of_the_longest_name_gets_a_certificate() {
    let place = place();
    let device = "d".repeat(128);
    place.done(&["add", &device, "--type", "pressure-logger", "--zone", "north"]);
    assert_eq!(made(&place, "things").into_keys().collect::<Vec<_>>(), [device.as_str()]);
    let certificates = made(&place, "certificates");
    assert_eq!(certificates.len(), 1);
    assert!(certificates.values().all(|certificate| certificate["status"] == "ACTIVE"), "{certificates:?}");
}

#[test]
fn the_stream_knows_a_device_before_it_can_speak() {
    let place = place();
    let printed = place.done(&[&ADD[..], &["--attribute", "max_pressure=70"]].concat());
    assert_eq!(
        place.changes(),
        [
            "iot create-thing",
            "iot add-thing-to-thing-group",
            "kinesis put-record",
            "iot update-thing",
            "iot create-certificate-from-csr",
            "iot attach-policy",
            "iot attach-policy",
            "iot attach-thing-principal",
            "iot update-certificate"
        ]
    );
    assert_added(&place, "added");
    let expected = json!({
        "ff": 1, "k": "device", "d": DEVICE, "type": "pressure-logger", "zone": "north",
        "attributes": { "max_pressure": 70 }, "retired": false,
    });
    assert_eq!(told(&place), [expected]);
    let calls = fs::read_to_string(place.path("stub/calls")).unwrap();
    assert!(!(printed + &calls).contains("PRIVATE KEY"), "no key is shown or sent");
}

#[test]
fn case_17_a_second_run_changes_nothing() {
    let place = place();
    place.done(&ADD);
    place.done(&ADD);
    assert_eq!(place.changes(), [""; 0]);
    assert_added(&place, "again");
}

#[test]
fn case_18_a_dry_run_changes_nothing_and_says_everything() {
    let place = place();
    let plan = place.done(&[&ADD[..], &["--dry-run"]].concat());
    assert_eq!(place.changes(), [""; 0]);
    assert!(!place.path("devices").exists());
    for step in ["create thing", "thing group my-water-dev-north", "device record", "make a certificate"] {
        assert!(plan.contains(step), "{step} is missing in\n{plan}");
    }
    place.done(&ADD);
    for arguments in
        [&["move", DEVICE, "--zone", "south"][..], &["revoke", DEVICE], &["remove", DEVICE], &["rotate", DEVICE]]
    {
        let plan = place.done(&[arguments, &["--dry-run"]].concat());
        assert_eq!(place.changes(), [""; 0], "{arguments:?}");
        assert!(plan.contains("would "), "{arguments:?}: {plan}");
    }
    assert_added(&place, "nothing was changed");
}

/// Deleted, it would be registered once more when its holder connects, and made the same device.
#[test]
fn a_certificate_of_ones_own_authority_is_revoked_and_stays() {
    let place = place();
    place.done(&ADD);
    let (id, mut certificate) = made(&place, "certificates").pop_first().unwrap();
    certificate["authority"] = json!("an-authority");
    certificate["status"] = json!("PENDING_ACTIVATION");
    fs::write(place.path(&format!("stub/certificates/{id}.json")), certificate.to_string()).unwrap();
    place.done(&["revoke", DEVICE]);
    assert_eq!(made(&place, "certificates")[&id]["status"], "INACTIVE", "it waits for nothing any more");
    place.done(&["remove", DEVICE]);
    assert_eq!(made(&place, "certificates")[&id]["status"], "REVOKED");
    assert!(made(&place, "things").is_empty());
    place.done(&["remove", DEVICE]);
    assert_eq!(place.changes(), [""; 0], "a second run changes nothing");
}

#[test]
fn case_19_a_call_that_is_throttled_three_times_succeeds() {
    let place = place();
    place.set(json!({ "throttle": 3 }));
    place.done(&ADD);
    assert_added(&place, "throttled");
}

#[test]
fn case_20_a_key_that_others_can_read_is_not_used() {
    let place = place();
    fs::create_dir_all(place.path("devices/dev")).unwrap();
    let key = place.path(&format!("devices/dev/{DEVICE}.key"));
    fs::write(&key, "a key").unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let said = place.refused(&ADD);
    assert!(said.contains("mode is 644") && said.contains("chmod 600"), "{said}");
    assert!(made(&place, "certificates").is_empty());
    assert_eq!(fs::read_to_string(&key).unwrap(), "a key");
}

#[test]
fn case_21_the_wrong_account_or_region_stops_before_the_first_change() {
    let place = place();
    place.set(json!({ "account": "999999999999" }));
    assert!(place.refused(&ADD).contains("999999999999"));
    assert_eq!(place.calls(), ["sts get-caller-identity"]);
    place.set(json!({}));
    let output = place.command(&ADD).env("AWS_REGION", "eu-west-1").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(made(&place, "things").len(), 0);
}

#[test]
fn case_22_a_device_that_is_revoked_already_is_left_as_it_is() {
    let place = place();
    place.done(&ADD);
    place.done(&["revoke", DEVICE]);
    let certificates = made(&place, "certificates");
    let certificate = certificates.first_key_value().unwrap().1;
    assert_eq!((&certificate["status"], &certificate["policies"]), (&json!("INACTIVE"), &json!([])));
    assert_eq!(made(&place, "things")[DEVICE]["principals"], json!([]));
    assert_eq!(told(&place).last().unwrap()["retired"], true);
    place.done(&["revoke", DEVICE]);
    assert_eq!(place.changes(), [""; 0]);
    place.done(&["revoke", "sensor-999"]);
    assert_eq!(place.changes(), [""; 0]);
    // Nor does anything else give back what was taken away, unless it is said.
    for arguments in [&ADD[..], &["move", DEVICE, "--zone", "south"], &["rotate", DEVICE]] {
        assert!(place.refused(arguments).contains("was revoked"), "{arguments:?}");
    }
    let reinstate = [&ADD[..], &["--reinstate"]].concat();
    assert!(place.refused(&reinstate).contains("was taken away"));
    assert_eq!(place.changes(), [""; 0]);
    assert_eq!(made(&place, "certificates").first_key_value().unwrap().1["status"], "INACTIVE");
    for end in ["key", "csr", "crt", "arn"] {
        fs::remove_file(place.path(&format!("devices/dev/{DEVICE}.{end}"))).unwrap();
    }
    place.done(&reinstate);
    assert_eq!(told(&place).last().unwrap()["retired"], false);
}

/// Kills a command after each of its changes, runs it again, and looks.
fn killed_anywhere(before: &[&[&str]], command: &[&str], check: impl Fn(&Place, &str)) {
    let whole = place();
    before.iter().for_each(|arguments| drop(whole.done(arguments)));
    let begun = ["bin", "out", "stub", "devices"].map(|part| (part, whole.path(part).exists()));
    let begun: Vec<&str> = begun.iter().filter(|(_, there)| *there).map(|(part, _)| *part).collect();
    let fresh = || whole.afresh(&begun);
    let once = fresh();
    once.done(command);
    check(&once, "in one run");
    let changes = once.changes();
    assert!(!changes.is_empty());
    for change in 1..=changes.len() {
        let place = fresh();
        place.set(json!({ "kill_after": change }));
        assert_eq!(place.run(command).status.code(), None, "killed");
        place.set(json!({}));
        place.done(command);
        check(&place, &format!("killed after {} ({change})", changes[change - 1]));
    }
}

#[test]
fn a_device_is_added_once_wherever_it_was_stopped() {
    killed_anywhere(&[], &ADD, assert_added);
}

#[test]
fn a_certificate_that_a_stopped_run_left_behind_is_reported_and_deleted() {
    let place = place();
    place.set(json!({ "kill_after": 5 }));
    assert_eq!(place.run(&ADD).status.code(), None, "killed once the certificate was made");
    place.set(json!({}));
    assert!(place.done(&ADD).contains("has left behind, is deleted"));
    assert_added(&place, "taken up");
}

#[test]
fn a_second_certificate_is_made_and_the_first_taken_away_wherever_it_was_stopped() {
    let two = |place: &Place, when: &str| {
        let certificates = made(place, "certificates");
        assert_eq!(certificates.len(), 2, "{when}");
        assert!(certificates.values().all(|certificate| certificate["status"] == "ACTIVE"), "{when}");
        assert_eq!(made(place, "things")[DEVICE]["principals"].as_array().unwrap().len(), 2, "{when}");
    };
    killed_anywhere(&[&ADD], &["rotate", DEVICE], two);
    let one = |place: &Place, when: &str| {
        let certificates = made(place, "certificates");
        let active = certificates.values().filter(|certificate| certificate["status"] == "ACTIVE").count();
        assert_eq!((certificates.len(), active), (2, 1), "{when}");
        let principals = made(place, "things")[DEVICE]["principals"].as_array().unwrap().clone();
        assert_eq!(principals.len(), 1, "{when}");
        let arn = fs::read_to_string(place.path(&format!("devices/dev/{DEVICE}.arn"))).unwrap();
        assert_eq!(principals[0], arn.trim(), "{when}");
        let file = |end: &str| place.path(&format!("devices/dev/{DEVICE}.{end}")).display().to_string();
        let of_certificate = public_key(&["x509", "-in", &file("crt"), "-noout", "-pubkey"]);
        assert_eq!(of_certificate, public_key(&["pkey", "-in", &file("key"), "-pubout"]), "{when}");
        assert!(!place.path(&format!("devices/dev/{DEVICE}.next.key")).exists(), "{when}");
    };
    killed_anywhere(&[&ADD, &["rotate", DEVICE]], &["rotate", DEVICE, "--finish"], one);
}

#[test]
fn the_first_certificate_is_deleted_after_a_week() {
    let place = place();
    place.done(&ADD);
    place.done(&["rotate", DEVICE]);
    let refused = place.done(&["rotate", DEVICE]);
    assert_eq!(place.changes(), [""; 0], "{refused}");
    place.done(&["rotate", DEVICE, "--finish"]);
    assert!(place.done(&["rotate", DEVICE, "--finish"]).contains("after 7 days"));
    assert_eq!(place.changes(), [""; 0]);
    let old = place.path(&format!("devices/dev/{DEVICE}.old"));
    assert!(Command::new("touch").args(["-d", "8 days ago"]).arg(&old).status().unwrap().success());
    place.done(&["rotate", DEVICE, "--finish"]);
    let certificates = made(&place, "certificates");
    assert_eq!(certificates.values().map(|certificate| &certificate["status"]).collect::<Vec<_>>(), ["ACTIVE"]);
    assert!(!old.exists());
}

#[test]
fn a_device_is_revoked_and_removed_wherever_it_was_stopped() {
    killed_anywhere(&[&ADD], &["revoke", DEVICE], |place, when| {
        let certificates = made(place, "certificates");
        let certificate = certificates.first_key_value().unwrap().1;
        assert_eq!((&certificate["status"], &certificate["policies"]), (&json!("INACTIVE"), &json!([])), "{when}");
        assert_eq!(made(place, "things")[DEVICE]["principals"], json!([]), "{when}");
        assert_eq!(told(place).last().unwrap()["retired"], true, "{when}");
    });
    killed_anywhere(&[&ADD], &["remove", DEVICE], |place, when| {
        assert_eq!((made(place, "things").len(), made(place, "certificates").len()), (0, 0), "{when}");
        assert_eq!(told(place).last().unwrap()["retired"], true, "{when}");
    });
}

#[test]
fn a_device_gets_no_second_certificate_by_chance() {
    let place = place();
    place.done(&ADD);
    let elsewhere = [&ADD[..], &["--keys", "elsewhere"]].concat();
    assert!(place.refused(&elsewhere).contains("has a certificate already"));
    assert_eq!(place.changes(), [""; 0]);
    // Stopped before the second one is active, the first is not taken away.
    place.set(json!({ "kill_after": 4 }));
    assert_eq!(place.run(&["rotate", DEVICE]).status.code(), None, "killed once it is attached");
    place.set(json!({}));
    place.refused(&["rotate", DEVICE, "--finish"]);
    assert_eq!(place.changes(), [""; 0]);
}

#[test]
fn a_device_can_be_revoked_when_its_type_is_gone_from_the_file() {
    let mut place = place();
    place.done(&ADD);
    place.platform = place.platform.replace("pressure-logger", "pressure-meter");
    place.generate();
    assert!(place.refused(&["move", DEVICE, "--zone", "south"]).contains("no device type `pressure-logger`"));
    place.done(&["revoke", DEVICE]);
    assert_eq!(made(&place, "certificates").first_key_value().unwrap().1["status"], "INACTIVE");
    assert_eq!(told(&place).last().unwrap()["retired"], true);
}

#[test]
fn a_thing_of_another_environment_is_left_alone() {
    let place = place();
    place.done(&ADD);
    let path = place.path(&format!("stub/things/{DEVICE}.json"));
    let thing = fs::read_to_string(&path)
        .unwrap()
        .replace("my-water-dev-pressure-logger", "my-water-prod-pump")
        .replace("\"stack\": \"my-water-dev\"", "\"stack\": \"my-water-prod\"");
    fs::write(&path, thing).unwrap();
    for arguments in
        [&ADD[..], &["move", DEVICE, "--zone", "south"], &["rotate", DEVICE], &["revoke", DEVICE], &["remove", DEVICE]]
    {
        assert!(place.refused(arguments).contains("my-water-prod-pump"), "{arguments:?}");
        assert_eq!(place.changes(), [""; 0]);
    }
}

#[test]
fn a_device_that_moves_keeps_its_attributes_and_its_certificate() {
    let place = place();
    place.done(&[&ADD[..], &["--attribute", "max_pressure=70"]].concat());
    let before = made(&place, "certificates");
    place.done(&["move", DEVICE, "--zone", "south"]);
    assert_eq!(made(&place, "things")[DEVICE]["groups"], json!(["my-water-dev-south"]));
    let last = told(&place).pop().unwrap();
    assert_eq!((&last["zone"], &last["attributes"]), (&json!("south"), &json!({ "max_pressure": 70 })));
    assert_eq!(made(&place, "certificates"), before);
    place.done(&["move", DEVICE, "--zone", "south"]);
    assert_eq!(place.changes(), [""; 0]);
    assert!(place.refused(&["move", "sensor-999", "--zone", "south"]).contains("is not registered"));
}

#[test]
fn a_manifest_is_taken_whole_or_not_at_all() {
    let place = place();
    let manifest = place.path("manifest.csv");
    fs::write(
        &manifest,
        "device,type,zone,attributes\nsensor-1,pressure-logger,north,max_pressure=70\nsensor 2,pressure-logger,north,\n\
         sensor-3,pump,north,\nsensor-4,pressure-logger,east,\nsensor-1,pressure-logger,north,\n\
         sensor-6,pressure-logger,north,max_pressure=high\n$(touch pwned),pressure-logger,north,\n",
    )
    .unwrap();
    let said = place.refused(&["import", "manifest.csv"]);
    for line in [
        "manifest.csv:3: a device id has",
        "manifest.csv:4: there is no device type `pump`",
        "manifest.csv:5: there is no zone `east`",
        "manifest.csv:6: `sensor-1` is in the file twice",
        "manifest.csv:7: `max_pressure=high` is not written as NAME=NUMBER",
        "manifest.csv:8: a device id has",
        "manifest.csv has 6 wrong lines: nothing was done",
    ] {
        assert!(said.contains(line), "{line} is missing in\n{said}");
    }
    assert_eq!(place.calls(), [""; 0], "no call is made");
    assert!(!place.path("pwned").exists());

    fs::write(&manifest, "device,zone,type\r\nsensor-1,north,pressure-logger\r\nsensor-2,south,pressure-logger")
        .unwrap();
    let said = place.done(&["import", "manifest.csv"]);
    assert!(said.contains("2 of 2: sensor-2"), "{said}");
    assert_eq!(made(&place, "things").len(), 2);
    place.done(&["import", "manifest.csv"]);
    assert_eq!(place.changes(), [""; 0]);
    for (text, problem) in
        [("", "is empty"), ("device,type\n", "no column `zone`"), ("device,type,zone,colour\n", "`colour`")]
    {
        fs::write(&manifest, text).unwrap();
        assert!(place.refused(&["import", "manifest.csv"]).contains(problem), "{problem}");
    }
}

#[test]
fn a_request_of_the_devices_own_leaves_no_key_here() {
    let place = place();
    let file = |name: &str| place.path(name).display().to_string();
    public_key(&["genpkey", "-algorithm", "ED25519", "-out", &file("own.key")]);
    public_key(&["req", "-new", "-key", &file("own.key"), "-subj", "/CN=x", "-out", &file("own.csr")]);
    place.done(&[&ADD[..], &["--csr", "own.csr"]].concat());
    assert!(!place.path(&format!("devices/dev/{DEVICE}.key")).exists());
    assert_eq!(made(&place, "certificates").len(), 1);
    fs::write(place.path("broken.csr"), "-----BEGIN CERTIFICATE REQUEST-----").unwrap();
    let refused =
        place.refused(&["add", "sensor-2", "--type", "pressure-logger", "--zone", "north", "--csr", "broken.csr"]);
    assert!(refused.contains("no certificate signing request"), "{refused}");
}

#[test]
fn keys_are_of_the_kind_that_the_file_says() {
    let mut place = place();
    place.platform += "[identity]\nkey = \"rsa_2048\"\n";
    place.generate();
    place.done(&ADD);
    let key = place.path(&format!("devices/dev/{DEVICE}.key")).display().to_string();
    let told = String::from_utf8(public_key(&["pkey", "-in", &key, "-noout", "-text"])).unwrap();
    assert!(told.contains("2048 bit") && told.contains("prime1"), "{told}");
    assert_added(&place, "with an RSA key");
}

#[test]
fn names_are_those_that_the_file_asks_for() {
    let mut place = place();
    place.platform += "[identity.serial]\npattern = '^SN-\\d{4}$|old-.*'\n";
    place.generate();
    assert!(place.refused(&ADD).contains("`sensor-001` does not match identity.serial.pattern"));
    let manifest =
        "device,type,zone\nSN-0001,pressure-logger,north\nSN-00012,pressure-logger,north\nold-,pressure-logger,north\n";
    fs::write(place.path("manifest.csv"), manifest).unwrap();
    let said = place.refused(&["import", "manifest.csv"]);
    assert!(said.contains("manifest.csv:3: `SN-00012` does not match"), "{said}");
    assert!(said.contains("manifest.csv has 1 wrong line: nothing was done"), "{said}");
    assert_eq!(place.calls(), [""; 0], "no call is made");
    place.done(&["add", "SN-0001", "--type", "pressure-logger", "--zone", "north"]);
}

#[test]
fn keys_made_by_aws_have_to_be_asked_for() {
    let mut place = place();
    let said = place.refused(&[&ADD[..], &["--insecure-server-keys"]].concat());
    assert!(said.contains("identity.provisioning = \"server_keys\""), "{said}");
    assert_eq!(place.calls(), [""; 0], "no call is made");
    place.platform += "[identity]\nprovisioning = \"server_keys\"\n";
    place.generate();
    let manifest = "device,type,zone,csr\nsensor-002,pressure-logger,north,own.csr\n";
    fs::write(place.path("manifest.csv"), manifest).unwrap();
    let said = place.refused(&["import", "manifest.csv", "--insecure-server-keys"]);
    assert!(said.contains("manifest.csv:2: the device made a request of its own"), "{said}");
    // Whoever does not ask for it makes the key, as ever.
    place.done(&["add", "sensor-003", "--type", "pressure-logger", "--zone", "north"]);
    assert!(place.changes().contains(&"iot create-certificate-from-csr".to_owned()));
    place.done(&[&ADD[..], &["--insecure-server-keys"]].concat());
    assert!(place.changes().contains(&"iot create-keys-and-certificate".to_owned()));
    let mode = fs::metadata(place.path(&format!("devices/dev/{DEVICE}.key"))).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
    place.done(&[&ADD[..], &["--insecure-server-keys"]].concat());
    assert_eq!(place.changes(), [""; 0]);
}

#[test]
fn an_environment_that_is_not_deployed_is_told_of_before_the_first_change() {
    let place = place();
    fs::remove_file(place.path("stub/stacks/my-water-dev.json")).unwrap();
    assert!(place.refused(&ADD).contains("deploy the environment first"));
    assert_eq!(place.changes(), [""; 0]);
}

#[test]
fn wrong_usage_is_told_apart_from_failure() {
    let place = place();
    for arguments in
        [&[][..], &["add"], &["add", "x"], &["paint", "x"], &["add", "x", "--colour", "red"], &["add", "x", "y"]]
    {
        assert_eq!(place.run(arguments).status.code(), Some(2), "{arguments:?}");
        assert_eq!(place.calls(), [""; 0]);
    }
    assert_eq!(place.run(&["--help"]).status.code(), Some(0));
}

#[test]
fn a_device_of_a_type_with_commands_has_their_policy_and_loses_it_with_the_type() {
    let mut place = place();
    place.platform += "commands = { restart = {} }\n[device_types.valve.readings]\npressure = { min = 0, max = 360 }\n";
    place.generate();
    place.done(&ADD);
    let policies = |place: &Place| made(place, "certificates").first_key_value().unwrap().1["policies"].clone();
    let (core, shadow) = ("my-water-dev-core", "my-water-dev-shadow");
    assert_eq!(policies(&place), json!(["my-water-dev-commands-pressure-logger", core, shadow]));
    place.done(&ADD);
    assert_eq!(place.changes(), [""; 0]);
    let valve = ["add", DEVICE, "--type", "valve", "--zone", "north"];
    place.done(&valve);
    assert_eq!(policies(&place), json!([core, shadow]));
    place.done(&valve);
    assert_eq!(place.changes(), [""; 0]);
}
