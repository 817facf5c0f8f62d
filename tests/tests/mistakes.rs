//! One mistake is one error: what depends on what is broken is not judged.

use fleetform_generator::{Earlier, TestsFile, check, check_all};

const PLATFORM: &str = include_str!("../../platform.toml");

/// The platform of the repository with a mistake in it.
fn mistaken(from: &str, to: &str) -> String {
    assert_eq!(PLATFORM.matches(from).count(), 1, "{from}");
    PLATFORM.replacen(from, to, 1)
}

/// What is found in it: codes, and where.
fn found(from: &str, to: &str) -> Vec<(&'static str, String)> {
    let text = mistaken(from, to);
    let found = check("platform.toml", &text).diagnostics;
    found.into_iter().map(|found| (found.code.as_str(), text[found.span].to_owned())).collect()
}

/// Mistakes, and what is said of each.
const MISTAKES: [(&str, &str, &str, &str); 30] = [
    ("state     = { type =", "state     = { typ =", "P004", "typ"),
    ("state     = { type = \"enum\"", "state     = { type = \"enumm\"", "P007", "\"enumm\""),
    ("state     = { type = \"enum\"", "state     = { type = 5", "P007", "5"),
    ("state     = { type = \"enum\", ", "state     = { ", "P035", "values"),
    (", values = [\"stopped\", \"starting\", \"running\", \"fault\"] }", " }", "P006", "state"),
    ("values = [\"stopped\", \"starting\"", "valuez = [\"stopped\", \"starting\"", "P004", "valuez"),
    ("\"enum\", values = [\"stable\", \"beta\"]", "\"emun\", values = [\"stable\", \"beta\"]", "P007", "\"emun\""),
    ("report_every  = \"5m\"", "report_every  = \"5 min\"", "P020", "\"5 min\""),
    ("report_every  = \"5m\"", "report_every  = \"8d\"", "P008", "\"8d\""),
    ("report_every  = \"5m\"", "report_evry   = \"5m\"", "P004", "report_evry"),
    ("report_every  = \"5m\"", "sample_period = \"5m\"", "P004", "sample_period"),
    ("chlorine  = { unit = \"mg/L\", min = 0, max = 10 }", "chlorine  = { min = 10, max = 10 }", "P033", "10"),
    ("default = 60.0 } }", "default = \"60 psi\" } }", "P005", "\"60 psi\""),
    ("shadows       = [\"firmware\"]", "shadows       = 5", "P005", "5"),
    ("batch     = \"records\"", "batch     = 5", "P005", "5"),
    ("battery_level = \"batteryLevel\"", "battery_level = 5", "P005", "5"),
    ("email = [\"north@riverton.example\"]", "email = [\"x\"]", "P025", "\"x\""),
    ("email = [\"north@riverton.example\"]", "emial = [\"north@riverton.example\"]", "P004", "emial"),
    ("email = [\"oncall@riverton.example\"]", "email = [\"x\"]", "P025", "\"x\""),
    ("mode      = \"provisioned\"", "mode      = 5", "P007", "5"),
    ("channels = [\"email\"]", "channels = [\"pager\"]", "P007", "\"pager\""),
    ("match    = { severities", "match    = { severity", "P004", "severity"),
    ("to       = [\"zone\", \"scada\"]", "to       = [\"zone\", \"scado\"]", "P015", "\"scado\""),
    ("threshold = 0.2", "threshold = []", "P005", "[]"),
    ("threshold    = -20.0", "threshold    = []", "P005", "[]"),
    ("threshold    = 20.0", "threshold    = []", "P005", "[]"),
    ("duration  = \"6h\"", "duration  = 6", "P020", "6"),
    ("protect            = true", "protect            = \"yes\"", "P005", "\"yes\""),
    ("title    = \"City centre\"\ntimezone = \"America/New_York\"\ncontacts", "contactz", "P004", "contactz"),
    ("{ flow_rate = \"40 1.5x16 3\" }", "{ flow_rate = \"40 1.5*16 3\" }", "P064", "1.5*16"),
];

#[test]
fn a_mistake_is_told_once_and_at_its_place() {
    for (from, to, code, place) in MISTAKES {
        assert_eq!(found(from, to), [(code, place.to_owned())], "{to}");
    }
}

#[test]
fn a_test_that_ends_too_early_is_told_of_once() {
    let last = "{ at = \"66m\", state = \"firing\", severity = \"low\" }";
    assert_eq!(found(last, &last.replace("66m", "67m")), []);
    assert_eq!(found("every  = \"2m\"\n", ""), [("P065", "\"66m\"".to_owned())]);
}

#[test]
fn files_of_tests_beside_are_not_told_of_what_is_broken_in_the_platform() {
    let tests = "[[tests]]\nname = \"a fault\"\nrule = \"pump-offline\"\ndevice = { type = \"pump\", zone = \"zone-a\" }\n\
                 series = { state = \"runningx9\" }\nexpect = [{ at = \"80s\", state = \"inactive\" }]\n";
    let beside = [TestsFile { name: "pump.test.toml", bytes: tests.as_bytes() }];
    for (from, to) in [
        ("state     = { type = \"enum\"", "state     = { type = \"enumm\""),
        ("report_every  = \"10s\"", "report_every  = \"1 s\""),
        ("vibration = { unit = \"mm/s\", min = 0, max = 50 }", "vibration = 5"),
    ] {
        let text = mistaken(from, to);
        let (_, checked) = check_all("platform.toml", text.as_bytes(), &Earlier::default(), None, &beside);
        assert_eq!(checked[0].diagnostics, [], "{to}");
    }
}
