//! The generated script for claim certificates against a stand-in for the AWS command line: whatever a run is stopped at, the
//! next one ends with one claim certificate.
#![cfg(unix)]

#[path = "stand_in/made.rs"]
mod made;
mod stand_in;

use std::{fs, os::unix::fs::PermissionsExt, process::Command};

use made::made;
use serde_json::json;
use stand_in::{Place, text};

const LINE: &str = "line-1";
const CERTIFICATE: [&str; 2] = ["certificate", LINE];

fn place() -> Place {
    let place = Place::new("claims.sh", |platform| platform + "\n[identity]\nprovisioning = \"fleet_claim\"\n");
    fs::create_dir_all(place.path("stub/stacks")).unwrap();
    fs::write(place.path("stub/stacks/my-water-dev.json"), r#"{ "status": "CREATE_COMPLETE" }"#).unwrap();
    place
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
fn case_18_a_dry_run_changes_nothing_and_says_everything() {
    let place = place();
    let plan = place.done(&[&CERTIFICATE[..], &["--dry-run"]].concat());
    assert!(plan.contains("would make a claim certificate"), "{plan}");
    assert_eq!(place.changes(), [""; 0]);
    assert!(!place.path("claims").exists());
    place.done(&CERTIFICATE);
    let plan = place.done(&["revoke", LINE, "--dry-run"]);
    assert_eq!(place.changes(), [""; 0]);
    assert!(plan.contains("would "), "{plan}");
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
    for arguments in
        [&["certificate"][..], &["revoke"], &["revoke", "a", "b"], &["allow", "a"], &["revoke", "--keep", "a"]]
    {
        let output = place.run(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", text(&output));
        assert_eq!(place.calls(), [""; 0]);
    }
    assert_eq!(place.run(&["certificate", "../x"]).status.code(), Some(1));
    assert_eq!(place.calls(), [""; 0]);
}
