//! The generated script for claims against a stand-in for the AWS command line: a manifest is taken whole or not at all, a
//! serial that was used stays used, and whatever a run is stopped at, the next one ends with one claim certificate.
#![cfg(unix)]

mod stand_in;

use std::{collections::BTreeMap, fs, os::unix::fs::PermissionsExt, process::Command};

use serde_json::{Value, json};
use stand_in::{Place, text};

const LINE: &str = "line-1";
const CERTIFICATE: [&str; 2] = ["certificate", LINE];

fn place() -> Place {
    let place = Place::new("claims.sh", |platform| {
        platform + "attributes = { max_pressure = { default = 60.0 } }\n\n[identity]\nprovisioning = \"fleet_claim\"\n"
    });
    fs::create_dir_all(place.path("stub/stacks")).unwrap();
    fs::write(place.path("stub/stacks/my-water-dev.json"), r#"{ "status": "CREATE_COMPLETE" }"#).unwrap();
    place
}

/// A folder of the stand-in: the name of each file with what it holds.
fn made(place: &Place, folder: &str) -> BTreeMap<String, Value> {
    let Ok(entries) = fs::read_dir(place.path(&format!("stub/{folder}"))) else { return BTreeMap::new() };
    let one = |path: std::path::PathBuf| {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        (name, serde_json::from_slice(&fs::read(path).unwrap()).unwrap())
    };
    entries.map(|entry| one(entry.unwrap().path())).collect()
}

fn write(place: &Place, manifest: &str) {
    fs::write(place.path("manifest.csv"), manifest).unwrap();
}

/// Marks a serial as used, as the function `provision` does.
fn use_serial(place: &Place, serial: &str) {
    let path = place.path(&format!("stub/serials/{serial}.json"));
    let mut row: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    row["used_by"] = json!({ "S": "a-certificate" });
    row["used_at"] = json!({ "N": "1" });
    fs::write(path, row.to_string()).unwrap();
}

fn public_key(words: &[&str]) -> Vec<u8> {
    let output = Command::new("openssl").args(words).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    output.stdout
}

/// One active certificate with the claim policy, whose key lies in the folder and is nobody else's to read.
fn assert_made(place: &Place, when: &str) {
    let certificates = made(place, "certificates");
    assert_eq!(certificates.len(), 1, "{when}: {certificates:?}");
    let (id, certificate) = certificates.first_key_value().unwrap();
    assert_eq!(certificate["status"], "ACTIVE", "{when}");
    assert_eq!(certificate["policies"], json!(["my-water-dev-claim"]), "{when}");
    let file = |end: &str| place.path(&format!("claims/dev/{LINE}.{end}")).display().to_string();
    assert!(fs::read_to_string(file("arn")).unwrap().trim().ends_with(id), "{when}");
    let of_certificate = public_key(&["x509", "-in", &file("crt"), "-noout", "-pubkey"]);
    assert_eq!(of_certificate, public_key(&["pkey", "-in", &file("key"), "-pubout"]), "{when}");
    let mode = fs::metadata(file("key")).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600, "{when}");
    let left: Vec<_> =
        fs::read_dir(place.path("claims/dev")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 4, "{when}: {left:?}");
    assert!(made(place, "things").is_empty(), "{when}: a claim certificate is no device's");
}

#[test]
fn a_manifest_becomes_rows_that_say_all_that_a_device_will_be() {
    let place = place();
    write(
        &place,
        "serial,device,type,zone,attributes\nRW-1,sensor-001,pressure-logger,north,max_pressure=70\n,sensor-002,pressure-logger,north\n",
    );
    place.done(&["allow", "manifest.csv"]);
    assert_eq!(place.changes(), ["dynamodb transact-write-items"]);
    let rows = made(&place, "serials");
    assert_eq!(rows.keys().collect::<Vec<_>>(), ["RW-1", "sensor-002"]);
    let of = |text: &str| json!({ "S": text });
    assert_eq!(
        rows["RW-1"],
        json!({
            "serial": of("RW-1"), "device": of("sensor-001"), "type": of("pressure-logger"), "zone": of("north"),
            "attributes": of("max_pressure=70"), "thing_type": of("my-water-dev-pressure-logger"),
            "thing_group": of("my-water-dev-north"), "policy": of("my-water-dev-core"),
        })
    );
    assert_eq!(rows["sensor-002"]["attributes"], of(""));
    place.done(&["allow", "manifest.csv"]);
    assert_eq!(place.changes(), [""; 0], "a second run changes nothing");
}

#[test]
fn a_serial_that_is_not_used_may_be_something_else_and_one_that_is_used_may_not() {
    let place = place();
    write(&place, "device,type,zone\nsensor-001,pressure-logger,north\nsensor-002,pressure-logger,north\n");
    place.done(&["allow", "manifest.csv"]);
    use_serial(&place, "sensor-001");
    let attributes = "device,type,zone,attributes\nsensor-001,pressure-logger,north,max_pressure=70\nsensor-002,pressure-logger,north,max_pressure=70\n";
    write(&place, attributes);
    let said = place.done(&["allow", "manifest.csv"]);
    assert!(said.contains("serial sensor-001 was used"), "{said}");
    let rows = made(&place, "serials");
    assert_eq!(rows["sensor-001"]["attributes"], json!({ "S": "" }));
    assert_eq!(rows["sensor-001"]["used_by"], json!({ "S": "a-certificate" }));
    assert_eq!(rows["sensor-002"]["attributes"], json!({ "S": "max_pressure=70" }));
    place.done(&["allow", "manifest.csv"]);
    assert_eq!(place.changes(), [""; 0]);
}

#[test]
fn a_manifest_is_checked_whole_before_the_first_call() {
    let place = place();
    write(
        &place,
        "device,type,zone,attributes,serial\n\
         sensor-001,pressure-logger,north,,RW-1\n\
         sensor 2,pressure-logger,north,,\n\
         sensor-003,pressur-logger,north,,\n\
         sensor-004,pressure-logger,moon,,\n\
         sensor-005,pressure-logger,north,max_pressure=high,\n\
         sensor-006,pressure-logger,north,,RW-1\n\
         sensor-007,pressure-logger,north,,RW 7\n\
         sensor-008,pressure-logger,north,,$(touch pwned)\n",
    );
    let said = place.refused(&["allow", "manifest.csv"]);
    for line in 3..=9 {
        assert!(said.contains(&format!("manifest.csv:{line}: ")), "line {line} is missing in\n{said}");
    }
    assert!(said.contains("serial `RW-1` is in the file twice") && said.contains("7 lines"), "{said}");
    assert_eq!(place.calls(), [""; 0]);
    assert!(!place.path("pwned").exists());
}

#[test]
fn serials_are_those_that_the_file_asks_for() {
    let mut place = place();
    place.platform += "[identity.serial]\npattern = \"RW-[0-9A-F]{4}\"\n";
    place.generate();
    write(
        &place,
        "serial,device,type,zone\nRW-00AF,sensor-1,pressure-logger,north\nRW-00ag,sensor-2,pressure-logger,north\n\
         ,sensor-3,pressure-logger,north\n",
    );
    let said = place.refused(&["allow", "manifest.csv"]);
    for line in ["3: `RW-00ag` does not match identity.serial.pattern", "4: `sensor-3` does not match"] {
        assert!(said.contains(&format!("manifest.csv:{line}")), "{line} is missing in\n{said}");
    }
    assert_eq!(place.calls(), [""; 0], "no call is made");
    write(&place, "serial,device,type,zone\nRW-00AF,sensor-1,pressure-logger,north\n");
    place.done(&["allow", "manifest.csv"]);
}

#[test]
fn many_serials_take_a_call_for_each_hundred() {
    let place = place();
    let rows: String = (0..250).map(|n| format!("sensor-{n:03},pressure-logger,north\n")).collect();
    write(&place, &format!("device,type,zone\n{rows}"));
    let said = place.done(&["allow", "manifest.csv"]);
    assert_eq!(place.changes(), ["dynamodb transact-write-items"; 3]);
    assert!(said.contains("200 of 250 serials") && said.contains("250 of 250 serials"), "{said}");
    assert_eq!(made(&place, "serials").len(), 250);
}

#[test]
fn case_18_a_dry_run_changes_nothing_and_says_everything() {
    let place = place();
    write(&place, "device,type,zone\nsensor-001,pressure-logger,north\n");
    let plan = place.done(&["allow", "manifest.csv", "--dry-run"]);
    assert!(plan.contains("would put serial sensor-001 on the allow-list"), "{plan}");
    let plan = place.done(&[&CERTIFICATE[..], &["--dry-run"]].concat());
    assert!(plan.contains("would make a claim certificate"), "{plan}");
    assert_eq!(place.changes(), [""; 0]);
    assert!(!place.path("claims").exists());
    place.done(&CERTIFICATE);
    place.done(&["allow", "manifest.csv"]);
    use_serial(&place, "sensor-001");
    for arguments in [["revoke", LINE], ["release", "sensor-001"]] {
        let plan = place.done(&[&arguments[..], &["--dry-run"]].concat());
        assert_eq!(place.changes(), [""; 0], "{arguments:?}");
        assert!(plan.contains("would "), "{arguments:?}: {plan}");
    }
}

#[test]
fn a_serial_is_free_again_once_its_device_has_no_certificate() {
    let place = place();
    write(&place, "device,type,zone,serial\nsensor-001,pressure-logger,north,RW-1\n");
    place.done(&["allow", "manifest.csv"]);
    assert!(place.done(&["release", "RW-1"]).contains("is free"));
    assert!(place.refused(&["release", "RW-2"]).contains("is not on the allow-list"));
    use_serial(&place, "RW-1");
    fs::create_dir_all(place.path("stub/things")).unwrap();
    let thing = |principals: Value| {
        json!({ "type": "t", "attributes": {}, "groups": [], "principals": principals }).to_string()
    };
    fs::write(place.path("stub/things/sensor-001.json"), thing(json!(["arn:aws:iot:us-east-1:1:cert/a"]))).unwrap();
    assert!(place.refused(&["release", "RW-1"]).contains("devices.sh revoke sensor-001"));
    assert_eq!(place.changes(), [""; 0]);
    fs::write(place.path("stub/things/sensor-001.json"), thing(json!([]))).unwrap();
    place.done(&["release", "RW-1"]);
    let rows = made(&place, "serials");
    assert!(rows["RW-1"].get("used_by").is_none() && rows["RW-1"].get("used_at").is_none());
    place.done(&["release", "RW-1"]);
    assert_eq!(place.changes(), [""; 0]);
}

#[test]
fn a_claim_certificate_is_made_here_and_has_its_policy_before_it_is_active() {
    let place = place();
    let printed = place.done(&CERTIFICATE);
    assert_eq!(place.changes(), ["iot create-certificate-from-csr", "iot attach-policy", "iot update-certificate"]);
    assert_made(&place, "made");
    let certificate = place.path(&format!("claims/dev/{LINE}.crt")).display().to_string();
    let subject = String::from_utf8(public_key(&["x509", "-in", &certificate, "-noout", "-subject"])).unwrap();
    assert!(subject.contains("CN = my-water-dev") || subject.contains("CN=my-water-dev"), "{subject}");
    let calls = fs::read_to_string(place.path("stub/calls")).unwrap();
    assert!(!(printed + &calls).contains("PRIVATE KEY"), "no key is shown or sent");
    place.done(&CERTIFICATE);
    assert_eq!(place.changes(), [""; 0]);
}

/// The kill matrix: stopped after any change, the next run ends with one certificate and nothing left over.
#[test]
fn stopped_after_any_change_the_next_run_ends_with_one_certificate() {
    let fresh = place();
    for change in 1..=3 {
        let place = fresh.afresh(&["bin", "out", "stub"]);
        place.set(json!({ "kill_after": change }));
        assert_eq!(place.run(&CERTIFICATE).status.code(), None, "killed after change {change}");
        place.set(json!({}));
        place.done(&CERTIFICATE);
        assert_made(&place, &format!("killed after change {change}"));
    }
}

#[test]
fn a_claim_certificate_that_was_taken_away_is_not_given_back() {
    let place = place();
    place.done(&CERTIFICATE);
    place.set(json!({ "kill_after": 1 }));
    assert_eq!(place.run(&["revoke", LINE]).status.code(), None, "killed before it is detached");
    place.set(json!({}));
    place.done(&["revoke", LINE]);
    let certificates = made(&place, "certificates");
    let (id, certificate) = certificates.first_key_value().unwrap();
    assert_eq!((&certificate["status"], &certificate["policies"]), (&json!("INACTIVE"), &json!([])));
    place.done(&["revoke", LINE]);
    assert_eq!(place.changes(), [""; 0]);
    // By its id as well, where the files are lost.
    place.done(&["revoke", id]);
    assert!(place.refused(&CERTIFICATE).contains("was taken away"));
    assert_eq!(place.changes(), [""; 0]);
}

#[test]
fn the_certificate_of_a_device_is_none_of_this_script_s() {
    let place = place();
    place.done(&CERTIFICATE);
    let (id, mut certificate) = made(&place, "certificates").pop_first().unwrap();
    certificate["policies"] = json!(["my-water-dev-core"]);
    fs::write(place.path(&format!("stub/certificates/{id}.json")), certificate.to_string()).unwrap();
    assert!(place.refused(&["revoke", &id]).contains("is no claim certificate"));
    assert_eq!(place.changes(), [""; 0]);
}

#[test]
fn case_19_a_call_that_is_throttled_three_times_succeeds() {
    let place = place();
    place.set(json!({ "throttle": 3 }));
    place.done(&CERTIFICATE);
    assert_made(&place, "throttled");
}

#[test]
fn case_20_a_key_that_others_can_read_is_not_used() {
    let place = place();
    fs::create_dir_all(place.path("claims/dev")).unwrap();
    let key = place.path(&format!("claims/dev/{LINE}.key"));
    fs::write(&key, "a key").unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(place.refused(&CERTIFICATE).contains("mode is 644"));
    assert!(made(&place, "certificates").is_empty());
}

#[test]
fn case_21_the_wrong_account_stops_before_the_first_change() {
    let place = place();
    place.set(json!({ "account": "999999999999" }));
    assert!(place.refused(&CERTIFICATE).contains("999999999999"));
    assert_eq!(place.calls(), ["sts get-caller-identity"]);
}

#[test]
fn what_is_asked_for_wrongly_is_said() {
    let place = place();
    for arguments in [
        &["certificate"][..],
        &["allow"],
        &["release"],
        &["allow", "a", "b"],
        &["forget", "a"],
        &["allow", "--keep", "a"],
    ] {
        let output = place.run(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", text(&output));
        assert_eq!(place.calls(), [""; 0]);
    }
    for arguments in [["certificate", "../x"], ["release", "RW 1"], ["allow", "nothing.csv"]] {
        assert_eq!(place.run(&arguments).status.code(), Some(1), "{arguments:?}");
        assert_eq!(place.calls(), [""; 0]);
    }
}
