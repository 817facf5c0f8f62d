//! One mistake is one error: what depends on it is not judged. And the replacement that its help proposes is accepted.

use fleetform_generator::{Earlier, TestsFile, check, check_all, diagnostic::Diagnostic};

const PLATFORM: &str = include_str!("../../platform.toml");

/// The repository's platform file, with a mistake in it.
fn mistaken(from: &str, to: &str) -> String {
    assert_eq!(PLATFORM.matches(from).count(), 1, "{from}");
    PLATFORM.replacen(from, to, 1)
}

/// The diagnostics for it: codes and positions.
fn found(from: &str, to: &str) -> Vec<(&'static str, String)> {
    let text = mistaken(from, to);
    let found = check("platform.toml", &text).diagnostics;
    found.into_iter().map(|found| (found.code.as_str(), text[found.span].to_owned())).collect()
}

/// Mistakes, with the diagnostic of each.
const MISTAKES: [(&str, &str, &str, &str); 44] = [
    ("state     = { type =", "state     = { typ =", "P004", "typ"),
    ("state     = { type = \"enum\"", "state     = { type = \"enumm\"", "P007", "\"enumm\""),
    ("state     = { type = \"enum\"", "state     = { type = 5", "P005", "5"),
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
    ("mode      = \"provisioned\"", "mode      = 5", "P005", "5"),
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
    ("partition_by = [\"zone\", \"day\"]", "partition_by = [\"zone\", \"daay\"]", "P007", "\"daay\""),
    ("min = 0, max = 10 }", "min = 1e300, max = 10 }", "P008", "1e300"),
    ("[rules.burst]", "[rules.bUrst]", "P010", "bUrst"),
    ("[severities.high]", "[severities.hIgh]", "P010", "hIgh"),
    ("attributes    = { max_pressure", "attributes    = { max_pRessure", "P010", "max_pRessure"),
    ("turbidity = { unit", "turbidIty = { unit", "P010", "turbidIty"),
    ("[rules.high-pressure]", "[ruules.high-pressure]", "P004", "ruules"),
    ("[severities.critical]", "[seveities.critical]", "P004", "seveities"),
    ("[[tests]]\nname   = \"a burst", "[[tests]]\n[[tests]]\nname   = \"a burst", "P006", "[[tests]]"),
    ("[rules.pump-fault]\n", "", "P001", "type"),
    ("[[tests]]\nname   = \"a burst", "name   = \"a burst", "P001", "name"),
    ("equals   = \"fault\"", "eqal     = \"fault\"", "P004", "eqal"),
    ("[channels.sms]\norigination = \"+12025550100\"\n", "", "P039", "\"+12025550123\""),
    ("window          = \"1h\"", "windovv         = \"1h\"", "P004", "windovv"),
];

#[test]
fn a_key_that_is_unlike_the_missing_one_is_not_taken_for_it() {
    let found = found("equals   = \"fault\"", "is       = \"fault\"");
    assert_eq!(found.iter().map(|(code, _)| *code).collect::<Vec<_>>(), ["P006", "P004"]);
}

#[test]
fn tables_that_stand_twice_are_told_one_by_one() {
    let twice = "\n[zones.zone-a]\n[zones.zone-b]\n";
    let found = found("[rules.high-pressure]", &format!("{twice}[rules.high-pressure]"));
    assert_eq!(found, [("P001", "zone-a".to_owned()), ("P001", "zone-b".to_owned())]);
}

#[test]
fn what_the_file_lacks_is_told_once_for_all_environments() {
    let text = mistaken("[channels.sms]\norigination = \"+12025550100\"\n", "");
    let text = text.replace("\"contacts.oncall.sms\" = []", "\"contacts.oncall.sms\" = [\"+12025550124\"]");
    let found = errors(&text);
    assert_eq!(found.len(), 1, "{found:#?}");
}

#[test]
fn a_limit_that_no_whole_number_equals_is_told_of() {
    let text = "schema = 1\nplatform = { name = \"water\" }\n\
        environments.dev = { account = \"111111111111\", region = \"us-east-1\" }\nzones.zone-a = {}\n\
        device_types.pump.readings = { starts = { type = \"int\" }, power = {} }\n[rules.odd]\ntype = \"threshold\"\n\
        metric = \"starts\"\noperator = \"==\"\nthreshold = 1.5\nseverity = \"low\"\n";
    let message = |text: &str| errors(text).first().map(|error| (error.code.as_str(), error.message.clone()));
    let told = |what: &str| Some(("P031", format!("the condition of rule `odd` {what} by `starts`")));
    assert_eq!(message(text), told("can never be met"));
    assert_eq!(message(&text.replace("==", "!=")), told("is always met"));
    assert_eq!(
        message(&text.replace("\"threshold\"", "\"count\"\nwindow = \"1h\"\nat_least = 2")),
        told("can never be met")
    );
    let range = text.replace("\"threshold\"", "\"range\"").replace("operator = \"==\"\n", "");
    let range = range.replace("threshold = 1.5", "min = 1.2\nmax = 1.8");
    assert_eq!(message(&range), told("is always met"));
    assert_eq!(errors(&range)[0].help.as_deref(), Some("its values are whole numbers"));
    for whole in [("1.5", "2"), ("\"starts\"", "\"power\""), ("==", ">")] {
        assert_eq!(message(&text.replace(whole.0, whole.1)), None, "{whole:?}");
    }
}

#[test]
fn the_rule_that_a_composite_one_is_told_to_name_may_be_named() {
    let lists = "all      = [\"vibration-high\"]\nany      = [\"pump-alarm\", \"pump-fault\"]\n";
    let text = mistaken(lists, "").replace("[rules.zone-silent]", "[rules.all-silent]");
    let help = errors(&text).remove(0).help.expect("a help");
    let line = help.split(": ").nth(1).and_then(|rest| rest.split(", or").next()).expect("a line");
    assert_eq!(line, "all = [\"battery-low\"]");
}

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

/// The errors in a text.
fn errors(text: &str) -> Vec<Diagnostic> {
    check("platform.toml", text).diagnostics.into_iter().filter(Diagnostic::is_error).collect()
}

/// The only error for a mistake, with the text.
fn only_error(from: &str, to: &str) -> (String, Diagnostic) {
    let text = mistaken(from, to);
    let mut found = errors(&text);
    assert_eq!(found.len(), 1, "{to}: {found:#?}");
    (text, found.remove(0))
}

/// Missing keys, and the line in front of which the line from the help is put to be in their table.
const MISSING: [(&str, &str, &str); 15] = [
    ("samples  = { breach = 3, of = 5 }", "samples  = { breach = 3@ }", "of = 5"),
    ("samples  = { breach = 3, of = 5 }", "samples  = { of = 5@ }", "breach = 3"),
    ("from = \"06:00\", to = \"22:00\"", "from = \"06:00\"@", "to = \"22:00\""),
    ("warn = \"60s\", page = \"5m\", to", "warn = \"60s\"@, to", "page = \"5m\""),
    ("warn = \"60s\", page = \"5m\", to", "page = \"5m\"@, to", "warn = \"60s\""),
    ("page = \"5m\", to = [\"oncall\"]", "page = \"5m\"@", "to = [\"north-crew\"]"),
    ("max_per_hour = 100, to = [\"oncall\"]", "to = [\"oncall\"]@", "max_per_hour = 100"),
    ("{ attribute = \"max_pressure\", default = 60.0 }", "{ default = 60.0@ }", "attribute = \"max_pressure\""),
    ("{ attribute = \"max_pressure\", default = 60.0 }", "{ attribute = \"max_pressure\"@ }", "default = 60.0"),
    ("unit = \"[psi]\", default = 60.0 } }", "unit = \"[psi]\"@ } }", "default = 0"),
    ("default = 60, min = 5, max", "min = 5@, max", "default = 5"),
    (", default = \"stable\", shadow", "@, shadow", "default = \"stable\""),
    ("equals   = \"fault\"\n", "@\n", "equals = \"stopped\""),
    ("of        = \"offline\"\n", "@\n", "of = \"offline\""),
    (
        "device = { type = \"pump\", zone = \"zone-c\" }\nseries = { state",
        "@\nseries = { state",
        "device = { type = \"pump\", zone = \"zone-a\" }",
    ),
];

#[test]
fn a_line_for_a_missing_key_is_accepted_in_its_table() {
    for (from, to, line) in MISSING {
        let (_, error) = only_error(from, &to.replace('@', ""));
        assert_eq!(error.help.as_deref(), Some(format!("add: {line}").as_str()), "{to}");
        let separator = if to.starts_with("@\n") { "" } else { ", " };
        let mended = mistaken(from, &to.replace('@', &format!("{separator}{line}")));
        assert_eq!(errors(&mended), [], "{to}");
    }
}

#[test]
fn a_line_for_a_missing_table_is_accepted_before_the_first_table() {
    let text = mistaken("[channels.sms]\norigination = \"+12025550100\"\n", "");
    let error = errors(&text).remove(0);
    let line = "channels.sms = { origination = \"+12025550100\" }";
    assert!(error.help.is_some_and(|help| help.ends_with(line)));
    assert_eq!(errors(&text.replacen("schema = 1", &format!("schema = 1\n{line}"), 1)), []);
    let mut text = "schema = 1\n".to_owned();
    for found in errors(&text.clone()) {
        let help = found.help.expect("a help");
        text.push_str(help.strip_prefix("add before the first table: ").expect("a line"));
        text.push('\n');
    }
    assert_eq!(errors(&text), []);
}

/// Mistakes, with the proposed replacements.
const REPLACED: [(&str, &str, &str); 11] = [
    ("from = \"06:00\", to", "from = 06:00:00, to", "\"06:00\""),
    ("alerts = \"400d\"", "alerts = 400", "\"400d\""),
    ("memory     = \"256MiB\"", "memory     = 256", "\"256MiB\""),
    ("account            = \"222222222222\"", "account            = 222222222222", "\"222222222222\""),
    ("type         = \"count\"", "type         = \"Count\"", "\"count\""),
    ("[zones.zone-a]", "[zones.zone_a]", "zone-a"),
    ("[rules.high-pressure]", "[ruules.high-pressure]", "rules"),
    ("window          = \"1h\"", "windovv         = \"1h\"", "window"),
    ("alerts = \"400d\"", "alerts = 400000", "\"10y\""),
    ("offline_after = \"20m\"", "offline_after = 1200", "\"1200s\""),
    ("origination = \"+12025550100\"", "origination = \"+1 (202) 555-0100\"", "\"+12025550100\""),
];

#[test]
fn what_is_to_be_pasted_over_a_mistake_is_accepted() {
    for (from, to, instead) in REPLACED {
        let (mut text, error) = only_error(from, to);
        assert_eq!(error.replacement.as_deref(), Some(instead), "{to}");
        text.replace_range(error.span, instead);
        assert_eq!(errors(&text), [], "{to}");
    }
}

/// Mistakes for which the intention is unknown, with the text of their help.
const NOT_REPLACED: [(&str, &str, &str); 16] = [
    ("origination = \"+12025550100\"", "origination = \"+12O2555O1OO\"", "`+`, the country code and the number"),
    ("origination = \"+12025550100\"", "origination = \"+1 202 5550100 ext 2\"", "`+`, the country code"),
    ("origination = \"+12025550100\"", "origination = 2025550100", "`+`, the country code and the number"),
    ("account            = \"222222222222\"", "account            = 2222", "twelve digits in quotes"),
    ("alerts = \"400d\"", "alerts = 99999999", "at most 7 digits, and a unit"),
    ("alerts = \"400d\"", "alerts = \"99999999d\"", "at most 7 digits before the unit"),
    ("partition_by = [\"zone\", \"day\"]", "partition_by = [\"day\"]", "such as [\"zone\", \"day\"]"),
    ("from = \"06:00\", to = \"22:00\"", "from = \"06:00\", to = \"06:00\"", "let them end at another time"),
    ("warn = \"60s\", page = \"5m\"", "warn = \"60s\", page = \"60s\"", "raise `page`, or lower `warn`"),
    ("min      = 6.5\nmax      = 8.5", "min      = 6.5\nmax      = 6.5", "raise `max`, or lower `min`"),
    ("{ at = \"66m\", state", "{ at = \"100d\", state", "ask at `70m` or earlier"),
    ("metric   = \"state\"", "metric   = \"power\"", "a rule of type `threshold` compares numbers"),
    ("equals   = \"fault\"\nseverity = \"critical\"", "equals   = \"fault\"\nseverity = true", "allowed: `critical`"),
    ("any      = [\"pump-alarm\", ", "any      = [5, ", "declared: `battery-low`"),
    ("tolerance = 0.0", "tolerance = 0.0\nspeling = 5", "keys here: `active`, `device_types`, `duration`"),
    ("{ at = \"66m\", state", "{ at = true, state", "a whole number with ms"),
];

#[test]
fn nothing_is_proposed_where_it_would_be_a_guess() {
    for (from, to, help) in NOT_REPLACED {
        let (_, error) = only_error(from, to);
        assert_eq!(error.replacement, None, "{to}");
        assert!(error.help.as_deref().is_some_and(|text| text.contains(help)), "{to}: {:?}", error.help);
    }
}

#[test]
fn a_name_that_is_taken_is_not_proposed() {
    let text = mistaken("[zones.zone-b]", "[zones.zone_a]\n[zones.zone-b]");
    let [error] = &errors(&text)[..] else { panic!("one error") };
    assert_eq!((error.code.as_str(), &error.replacement), ("P010", &None));
}

#[test]
fn a_number_with_a_zero_before_it_is_told_of_once() {
    let (_, error) = only_error("account            = \"222222222222\"", "account            = 022222222222");
    assert!(error.help.as_deref().is_some_and(|help| help.contains("twelve digits in quotes")), "{error:?}");
}
