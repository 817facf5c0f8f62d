//! The generated script for the allow-list against a stand-in for the AWS command line: a manifest is taken whole or not at
//! all, and a serial that was used stays used.
#![cfg(unix)]

#[path = "stand_in/made.rs"]
mod made;
mod stand_in;

use std::fs;

use made::made;
use serde_json::{Value, json};
use stand_in::{Place, text};

fn place() -> Place {
    let place = Place::new("serials.sh", |platform| {
        platform + "attributes = { max_pressure = { default = 60.0 } }\n\n[identity]\nprovisioning = \"fleet_claim\"\n"
    });
    fs::create_dir_all(place.path("stub/stacks")).unwrap();
    fs::write(place.path("stub/stacks/my-water-dev.json"), r#"{ "status": "CREATE_COMPLETE" }"#).unwrap();
    place
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
    assert!(said.contains("serial `RW-1` is in the file twice") && said.contains("7 wrong lines"), "{said}");
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
fn a_serial_that_nobody_has_used_leaves_the_list() {
    let place = place();
    write(&place, "device,type,zone\nsensor-001,pressure-logger,north\nsensor-002,pressure-logger,north\n");
    place.done(&["allow", "manifest.csv"]);
    assert!(place.done(&["remove", "sensor-001", "--dry-run"]).contains("would take"));
    assert_eq!(place.changes(), [""; 0]);
    place.done(&["remove", "sensor-001"]);
    assert_eq!(made(&place, "serials").keys().collect::<Vec<_>>(), ["sensor-002"]);
    place.done(&["remove", "sensor-001"]);
    assert_eq!(place.changes(), [""; 0], "a second run changes nothing");
    use_serial(&place, "sensor-002");
    assert!(place.refused(&["remove", "sensor-002"]).contains("was used"));
    assert_eq!(place.changes(), [""; 0]);
}

/// The kill matrix: stopped after any change, the next run ends with every serial on the list.
#[test]
fn stopped_after_any_change_the_next_run_ends_with_the_whole_list() {
    let fresh = place();
    let rows: String = (0..250).map(|n| format!("sensor-{n:03},pressure-logger,north\n")).collect();
    for change in 1..=3 {
        let place = fresh.afresh(&["bin", "out", "stub"]);
        write(&place, &format!("device,type,zone\n{rows}"));
        place.set(json!({ "kill_after": change }));
        assert_eq!(place.run(&["allow", "manifest.csv"]).status.code(), None, "killed after change {change}");
        place.set(json!({}));
        place.done(&["allow", "manifest.csv"]);
        assert_eq!(place.changes().len(), 3 - change, "killed after change {change}");
        assert_eq!(made(&place, "serials").len(), 250, "killed after change {change}");
    }
}

#[test]
fn case_18_a_dry_run_changes_nothing_and_says_everything() {
    let place = place();
    write(&place, "device,type,zone\nsensor-001,pressure-logger,north\n");
    let plan = place.done(&["allow", "manifest.csv", "--dry-run"]);
    assert!(plan.contains("would put serial sensor-001 on the allow-list"), "{plan}");
    assert_eq!(place.changes(), [""; 0]);
    place.done(&["allow", "manifest.csv"]);
    use_serial(&place, "sensor-001");
    let plan = place.done(&["release", "sensor-001", "--dry-run"]);
    assert_eq!(place.changes(), [""; 0]);
    assert!(plan.contains("would "), "{plan}");
}

#[test]
fn case_19_a_call_that_is_throttled_three_times_succeeds() {
    let place = place();
    write(&place, "device,type,zone\nsensor-001,pressure-logger,north\n");
    place.set(json!({ "throttle": 3 }));
    place.done(&["allow", "manifest.csv"]);
    assert_eq!(made(&place, "serials").len(), 1);
}

#[test]
fn what_is_asked_for_wrongly_is_said() {
    let place = place();
    for arguments in
        [&["allow"][..], &["release"], &["allow", "a", "b"], &["certificate", "a"], &["allow", "--keep", "a"]]
    {
        let output = place.run(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", text(&output));
        assert_eq!(place.calls(), [""; 0]);
    }
    for arguments in [["release", "RW 1"], ["allow", "nothing.csv"]] {
        assert_eq!(place.run(&arguments).status.code(), Some(1), "{arguments:?}");
        assert_eq!(place.calls(), [""; 0]);
    }
}
