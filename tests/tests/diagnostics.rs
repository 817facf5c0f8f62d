//! Every kind of problem has a fixture, a rendered message and a page; and the acceptance cases for platform files.
//!
//! A fixture is `tests/fixtures/invalid/<code>-<name>/platform.toml`; `expected.txt` next to it is the output of
//! `check`. `SNAPSHOTS=overwrite cargo test` rewrites these. If there is an `earlier.toml`, the previous output was
//! generated from that.

use std::{
    fs,
    path::{Path, PathBuf},
};

use fleetform_generator::{
    Checked, Earlier, PLATFORM_FILE_BYTES_MAX, RuleSetArtifact, check, check_after,
    diagnostic::{Code, Format, render},
};
use serde_json::json;
use snapbox::{Assert, Data};

/// A folder under `tests/fixtures/`.
fn fixtures(kind: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(kind)
}

fn folders(path: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(path).expect("the folder exists");
    let mut folders: Vec<PathBuf> = entries.map(|entry| entry.expect("readable").path()).collect();
    folders.sort();
    folders
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The diagnostics for a file, as shown on a terminal without colors.
fn shown(bytes: impl AsRef<[u8]>, checked: &Checked) -> String {
    let text = String::from_utf8_lossy(bytes.as_ref());
    anstream::adapter::strip_str(&render("platform.toml", &text, &checked.diagnostics, Format::Full)).to_string()
}

#[test]
fn every_code_has_a_fixture_that_shows_it_and_a_page() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for code in Code::ALL {
        let folder = fixtures("invalid").join(format!("{code}-{}", code.slug()));
        let text = read(&folder.join("platform.toml"));
        let bytes = match code {
            // Neither eight mebibytes nor binary data are kept in a repository.
            Code::FileTooLarge => format!("{text}{}", "#".repeat(PLATFORM_FILE_BYTES_MAX)).into_bytes(),
            Code::NotText => text.chars().map(|character| character as u8).collect(),
            _ => text.into_bytes(),
        };
        expect_fixture(*code, &folder, &bytes);
        let page = read(&root.join(code.page()));
        assert!(page.starts_with(&format!("# {code}: ")), "{code}: the page's title");
        for part in ["## Example", "## How to fix it"] {
            assert!(page.contains(part), "{code}: the page lacks `{part}`");
        }
    }
}

/// A kind of problem with several causes has further fixtures: `<code>-<name>-<cause>`.
#[test]
fn every_further_fixture_shows_its_code() {
    for folder in folders(&fixtures("invalid")) {
        let name = folder.file_name().expect("a name").to_string_lossy().into_owned();
        let code = Code::ALL.iter().find(|code| name.starts_with(&format!("{code}-{}", code.slug())));
        let code = code.unwrap_or_else(|| panic!("{name} belongs to no code"));
        if name != format!("{code}-{}", code.slug()) {
            expect_fixture(*code, &folder, read(&folder.join("platform.toml")).as_bytes());
        }
    }
}

/// A file has a problem of this kind, and the message matches the one in the fixture's folder.
fn expect_fixture(code: Code, folder: &Path, bytes: &[u8]) {
    let before = fs::read_to_string(folder.join("earlier.toml")).map(|before| generated(&before));
    let checked = check_after("platform.toml", bytes, &before.unwrap_or_default());
    assert!(checked.diagnostics.iter().any(|found| found.code == code), "{code}: {:#?}", checked.diagnostics);
    // Only what is missing from the file, or concerns all of it, has no position.
    let of_all = |code| matches!(code, Code::MissingKey | Code::FileTooLarge);
    assert!(checked.diagnostics.iter().all(|found| found.span != (0..0) || of_all(found.code)), "{code}");
    assert_eq!(checked.project.is_some(), !checked.diagnostics.iter().any(|found| found.is_error()), "{code}");
    let expected = folder.join("expected.txt");
    Assert::new().action_env("SNAPSHOTS").eq(shown(bytes, &checked), Data::read_from(&expected, None).raw());
}

/// What earlier generated output records about a platform file.
fn generated(text: &str) -> Earlier {
    let project = check("platform.toml", text).project.expect("it was generated");
    let mut earlier = Earlier::default();
    for (id, platform) in &project.environments {
        earlier.add(id.as_str(), &RuleSetArtifact::of(platform).bytes).expect("a rule set");
    }
    earlier
}

#[test]
fn every_valid_fixture_and_the_example_pass_without_a_word() {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../platform.toml");
    let files = folders(&fixtures("valid")).into_iter().map(|folder| folder.join("platform.toml"));
    for file in files.chain([example]) {
        let text = read(&file);
        let checked = check("platform.toml", &text);
        assert!(checked.diagnostics.is_empty(), "{}:\n{}", file.display(), shown(&text, &checked));
        assert!(checked.project.is_some(), "{}", file.display());
    }
}

/// A file without mistakes, of which the cases replace a part.
const MINIMAL: &str = include_str!("../fixtures/valid/minimal/platform.toml");

/// The minimal file with some of its text replaced, and with more text appended.
fn changed(replacements: &[(&str, &str)], more: &str) -> String {
    let mut text = MINIMAL.to_owned();
    for (old, new) in replacements {
        assert!(text.contains(old), "the minimal file has no `{old}`");
        text = text.replace(old, new);
    }
    text + more
}

/// The diagnostics: code, and the text at the position.
fn found(text: &str) -> Vec<(Code, String)> {
    let checked = check("platform.toml", text);
    assert_eq!(checked.project.is_some(), !checked.diagnostics.iter().any(|found| found.is_error()));
    checked.diagnostics.into_iter().map(|found| (found.code, text[found.span].to_owned())).collect()
}

/// Compares the diagnostics with pairs that are easy to write.
fn expect(text: &str, expected: &[(Code, &str)]) {
    let expected: Vec<(Code, String)> = expected.iter().map(|(code, at)| (*code, (*at).to_owned())).collect();
    assert_eq!(found(text), expected, "{text}");
}

#[test]
fn case_01_an_unknown_key_is_refused_with_a_suggestion() {
    let text = changed(&[("threshold = 60", "treshold = 60")], "");
    let checked = check("platform.toml", &text);
    let [only] = checked.diagnostics.as_slice() else { panic!("{:#?}", checked.diagnostics) };
    assert_eq!((only.code, &text[only.span.clone()]), (Code::UnknownKey, "treshold"));
    assert_eq!(only.help.as_deref(), Some("did you mean `threshold`?"));
    assert_eq!(only.replacement.as_deref(), Some("threshold"));
}

#[test]
fn case_02_each_reference_to_nothing_is_an_error() {
    let more = "zones = [\"north\", \"zone-b\"]\ndevice_types = [\"pump\"]\nnotify = [\"nobody\"]\n\
                [rules.other]\ntype = \"range\"\nmetric = \"presure\"\nmin = 1\nmax = 2\nseverity = \"low\"\n";
    expect(
        &changed(&[], more),
        &[
            (Code::UnknownZone, "\"north\""),
            (Code::UnknownZone, "\"zone-b\""),
            (Code::UnknownDeviceType, "\"pump\""),
            (Code::UnknownContact, "\"nobody\""),
            (Code::UnknownMetric, "\"presure\""),
        ],
    );
}

#[test]
fn case_03_numbers_that_are_not_finite_are_errors() {
    for number in ["nan", "inf", "-inf", "+nan", "1e400", "-1e400", "99999999999999999999"] {
        let text = changed(&[("threshold = 60", &format!("threshold = {number}"))], "");
        expect(&text, &[(Code::NotFinite, number)]);
    }
}

#[test]
fn case_04_an_unknown_severity_lists_the_allowed_ones() {
    let text = changed(&[("\"high\"", "\"URGENT\"")], "");
    let checked = check("platform.toml", &text);
    let [only] = checked.diagnostics.as_slice() else { panic!("{:#?}", checked.diagnostics) };
    assert_eq!((only.code, &text[only.span.clone()]), (Code::UnknownSeverity, "\"URGENT\""));
    let help = only.help.as_deref().unwrap_or_default();
    for allowed in ["critical", "high", "medium", "low"] {
        assert!(help.contains(allowed), "{help}");
    }
}

#[test]
fn case_05_a_bad_phone_webhook_and_address_are_three_errors() {
    let contact = "sms = [\"0170 123\"]\nwebhook = { url = \"http://x.example\" }\nemail = [\"nobody\"]";
    expect(
        &changed(&[("email = [\"oncall@water.example\"]", contact)], ""),
        &[
            (Code::InvalidPhone, "\"0170 123\""),
            (Code::InvalidWebhook, "\"http://x.example\""),
            (Code::InvalidEmail, "\"nobody\""),
        ],
    );
}

#[test]
fn case_06_shards_belong_to_provisioned_streams() {
    expect(&changed(&[], "[stream]\nmode = \"on_demand\"\nshards = 4\n"), &[(Code::StreamMode, "shards")]);
    expect(&changed(&[], "[stream]\nshards = 4\n"), &[(Code::StreamMode, "shards")]);
    expect(&changed(&[], "[stream]\nmode = \"provisioned\"\n"), &[(Code::StreamMode, "\"provisioned\"")]);
    expect(&changed(&[], "[stream]\nmode = \"provisioned\"\nshards = 1\n"), &[]);
}

#[test]
fn case_08_a_file_too_large_or_too_deep_is_refused_at_once() {
    let room = PLATFORM_FILE_BYTES_MAX;
    let texts = [
        (Code::FileTooLarge, "#".repeat(room + 1)),
        (Code::NestedTooDeeply, format!("a = {}", "[".repeat(room - 10))),
        (Code::NestedTooDeeply, format!("a = {}", "{a=".repeat(room / 3 - 10))),
        (Code::NestedTooDeeply, format!("[{}a]", "a.".repeat(room / 2 - 10))),
        (Code::NestedTooDeeply, format!("{}a = 1", "a.".repeat(65))),
        (Code::NestedTooDeeply, format!("x = {}1{}", "[".repeat(65), "]".repeat(65))),
    ];
    for (code, text) in texts {
        let checked = check("platform.toml", &text);
        let [only] = checked.diagnostics.as_slice() else { panic!("{code}: {:#?}", checked.diagnostics) };
        assert_eq!(only.code, code);
        // Nothing after the position at which the limit is exceeded is examined, neither for this problem nor for
        // another.
        assert!(only.span.end < 300, "{code}: {:?}", only.span);
        // Rendering the message must be fast as well, and must not repeat the text.
        assert!(render("platform.toml", &text, &checked.diagnostics, Format::Full).len() < 2_000);
    }
    expect(&changed(&[], &format!("[overrides.TelemetryStream]\nDeep = {}1{}\n", "[".repeat(61), "]".repeat(61))), &[]);
}

#[test]
fn case_09_an_anomaly_rule_has_a_least_deviation_and_few_false_alerts() {
    let rule = |keys: &str| {
        let keys = format!("type = \"anomaly\"\nwindow = \"1h\"\n{keys}\n");
        let old = [("type = \"threshold\"\n", keys.as_str()), ("operator = \">\"\n", ""), ("threshold = 60\n", "")];
        changed(&old, "")
    };
    expect(&rule("sensitivity = 6.0"), &[(Code::MissingKey, "high-pressure")]);
    expect(&rule("sensitivity = 6.0\nmin_std = 0"), &[(Code::OutOfBounds, "0")]);
    expect(&rule("sensitivity = 6.0\nmin_std = 0.5"), &[]);
    let often = rule("sensitivity = 3.0\nmin_std = 0.5\nmin_consecutive = 1");
    expect(&often, &[(Code::FalseAlerts, "3.0")]);
    // A hundred devices are assumed, with 1,440 samples a day, of which 0.27 % deviate that far.
    let checked = check("platform.toml", &often);
    let [only] = checked.diagnostics.as_slice() else { panic!("{:#?}", checked.diagnostics) };
    assert!(!only.is_error() && only.message.contains("about 390 false alerts a day"), "{only:?}");
    let counted = often.replace("report_every = \"60s\"", "report_every = \"30s\"\ncount = { zone-a = 10_000 }");
    let [only] = &check("platform.toml", &counted).diagnostics[..] else { panic!("one warning") };
    assert!(only.message.contains("about 78,000 false alerts a day"), "{only:?}");
}

#[test]
fn case_11_a_name_cannot_be_a_path() {
    for name in ["../../x", "a/b", "..", "/etc", "x\\\\y"] {
        let text = changed(&[("[zones.zone-a]", &format!("[zones.\"{name}\"]"))], "");
        expect(&text, &[(Code::InvalidName, &format!("\"{name}\""))]);
    }
}

#[test]
fn case_12_a_description_may_have_lines_and_stays_one_text() {
    let text = changed(&[("name = \"water\"", "name = \"water\"\ndescription = \"a\\nResources:\\n  X: 1\"")], "");
    let project = check("platform.toml", &text).project.expect("no error");
    let platform = project.environments.values().next().expect("one environment");
    assert_eq!(platform.description.as_deref(), Some("a\nResources:\n  X: 1"));
    expect(
        &changed(&[("contacts = [\"oncall\"]", "contacts = [\"oncall\"]\ntitle = \"a\\nResources:\"")], ""),
        &[(Code::UnsafeText, "\"a\\nResources:\"")],
    );
}

#[test]
fn case_13_quotes_in_labels_are_refused() {
    for label in ["it's", "a \\\" b", "x; DROP TABLE y"] {
        let zone = format!("contacts = [\"oncall\"]\nlabels = {{ site = \"{label}\" }}");
        expect(&changed(&[("contacts = [\"oncall\"]", &zone)], ""), &[(Code::InvalidAwsName, &format!("\"{label}\""))]);
    }
}

#[test]
fn case_14_a_token_in_a_url_is_refused_and_never_repeated() {
    for url in [
        "https://hooks.example/a?token=s3cr3t",
        "https://user:s3cr3t@hooks.example/a",
        "https://s3cr3t@hooks.example/a",
        "https://hooks.example?s3cr3t",
    ] {
        let text = changed(
            &[("email = [\"oncall@water.example\"]", &format!("webhook = {{ url = \"{url}\", secret = \"s3cr3t\" }}"))],
            "",
        );
        let checked = check("platform.toml", &text);
        let codes: Vec<Code> = checked.diagnostics.iter().map(|found| found.code).collect();
        assert_eq!(codes, [Code::PastedSecret, Code::PastedSecret], "{url}");
        for found in &checked.diagnostics {
            assert!(found.help.as_deref().unwrap_or_default().contains("secretsmanager:"), "{found:?}");
        }
        for format in Format::ALL {
            let said = render("platform.toml", &text, &checked.diagnostics, format);
            assert!(!said.contains("s3cr3t"), "{format:?}: {said}");
        }
    }
}

/// Ten mistakes of ten kinds in one file.
const TEN_MISTAKES: &str = r#"schema = 1

[platform]
name = "water"

[environments.dev]
account = "1111"
region = "us-east-1"

[zones.zone-a]
timezone = "Europe/Berlln"
contacts = ["oncall"]

[contacts.oncall]
sms = ["0170 123"]
email = ["oncall.water.example"]

[device_types.meter]
report_every = 60
readings = { pressure = { min = 0, max = 100, unit = "psi" } }

[stream]
mode = "on_demand"
shards = 4

[rules.high-pressure]
type = "threshold"
metric = "presure"
operator = ">"
threshold = 60
severity = "URGENT"
treshhold = 70
"#;

#[test]
fn ten_different_mistakes_are_ten_diagnostics_each_at_its_place() {
    expect(
        TEN_MISTAKES,
        &[
            (Code::InvalidAwsName, "\"1111\""),
            (Code::UnknownTimezone, "\"Europe/Berlln\""),
            (Code::InvalidPhone, "\"0170 123\""),
            (Code::InvalidEmail, "\"oncall.water.example\""),
            (Code::InvalidDuration, "60"),
            (Code::InvalidUnit, "\"psi\""),
            (Code::StreamMode, "shards"),
            (Code::UnknownMetric, "\"presure\""),
            (Code::UnknownSeverity, "\"URGENT\""),
            (Code::UnknownKey, "treshhold"),
        ],
    );
    let checked = check("platform.toml", TEN_MISTAKES);
    for format in Format::ALL {
        let said = render("./deploy/platform.toml", TEN_MISTAKES, &checked.diagnostics, format);
        let lines: Vec<&str> = said.lines().collect();
        match format {
            Format::Full => assert_eq!(said.matches("see docs/errors/P").count(), 10),
            Format::Concise => {
                assert_eq!(lines.len(), 10);
                assert!(lines[0].starts_with("./deploy/platform.toml:7:11: error[P056]: "), "{}", lines[0]);
            }
            Format::Github => {
                assert_eq!(lines.len(), 10);
                assert!(lines.iter().all(|line| line.starts_with("::error file=./deploy/platform.toml,line=")));
            }
            Format::Json => {
                let value: serde_json::Value = serde_json::from_str(&said).expect("JSON");
                assert_eq!(value["diagnostics"].as_array().map(Vec::len), Some(10));
                assert_eq!(value["diagnostics"][0]["at"]["line"], 7);
            }
            Format::Sarif => {
                let value: serde_json::Value = serde_json::from_str(&said).expect("JSON");
                let run = &value["runs"][0];
                assert_eq!(value["version"], "2.1.0");
                assert_eq!(run["results"].as_array().map(Vec::len), Some(10));
                let place = &run["results"][0]["locations"][0]["physicalLocation"];
                let file = json!({ "uri": "deploy/platform.toml", "uriBaseId": "%SRCROOT%" });
                assert_eq!(place["artifactLocation"], file);
                for result in run["results"].as_array().into_iter().flatten() {
                    let index = result["ruleIndex"].as_u64().expect("an index") as usize;
                    assert_eq!(run["tool"]["driver"]["rules"][index]["id"], result["ruleId"]);
                }
            }
        }
    }
}

/// A path from the root of the file system is not a path in the repository.
#[test]
fn an_absolute_path_is_an_absolute_uri() {
    let checked = check("/a b/platform.toml", "");
    let said = render("/a b/platform.toml", "", &checked.diagnostics, Format::Sarif);
    let value: serde_json::Value = serde_json::from_str(&said).expect("JSON");
    let place = &value["runs"][0]["results"][0]["locations"][0]["physicalLocation"];
    assert_eq!(place["artifactLocation"], json!({ "uri": "file:///a%20b/platform.toml" }));
}

/// Readings can be added and removed, and one that stays keeps its type: in its environment, and in its platform.
#[test]
fn only_a_column_that_is_there_stands_against_a_reading() {
    let readings = |readings: &str| changed(&[("pressure = { min = 0, max = 100 }", readings)], "");
    let before = generated(&readings("pressure = { min = 0, max = 100 }, level = { type = \"int\" }"));
    let found = |text: &str| -> Vec<Code> {
        check_after("platform.toml", text, &before).diagnostics.iter().map(|found| found.code).collect()
    };
    let changed_level = readings("pressure = { min = 0, max = 100 }, level = {}");
    assert_eq!(found(&changed_level), [Code::ChangedReading]);
    assert_eq!(found(&readings("pressure = { min = 5, max = 90, unit = \"bar\" }, flow = {}")), []);
    assert_eq!(found(&readings("pressure = {}, depth = { key = \"level\" }")), []);
    assert_eq!(found(&changed_level.replace("\"water\"", "\"gas\"")), [], "another platform has another table");
    assert_eq!(found(&changed_level.replace("environments.dev", "environments.test")), []);
    assert!(Earlier::default().add("dev", b"{").is_err());
}

#[test]
fn an_environment_is_checked_with_what_it_sets_and_blamed_where_it_sets_it() {
    let set = "set = { \"retention.alerts\" = \"90\", \"rules.high-pressure.threshold\" = 600, \"zones.zone-a.fax\" = 3, \
               \"rules.high.threshold\" = 1, \"contacts.oncall.email\" = [] }";
    let text = changed(&[("region = \"us-east-1\"", &format!("region = \"us-east-1\"\n{set}"))], "");
    expect(
        &text,
        &[
            (Code::InvalidDuration, "\"90\""),
            (Code::ThresholdOutOfReach, "600"),
            (Code::UnknownKey, "fax"),
            (Code::InvalidSet, "high"),
            (Code::Empty, "[]"),
        ],
    );
}

/// For a value of the wrong type, nothing that the right type requires is reported, nor is the value reported as
/// missing.
#[test]
fn a_value_of_another_type_is_told_of_once() {
    let rule = "[rules.dips]\ntype = \"count\"\nmetric = \"pressure\"\noperator = \"<\"\nthreshold = true\n\
                window = \"1h\"\nat_least = 3\nseverity = \"high\"\n";
    expect(&changed(&[], rule), &[(Code::WrongType, "true")]);
    expect(&changed(&[("type = \"threshold\"", "type = 5")], ""), &[(Code::WrongType, "5")]);
    let address = "[\"oncall@water.example\"]";
    expect(&changed(&[(address, "\"oncall@water.example\"")], ""), &[(Code::WrongType, "\"oncall@water.example\"")]);
}

/// What an environment overrides is not checked in the file on its own.
#[test]
fn an_environment_is_not_blamed_for_what_it_changes() {
    let key = |region: &str| format!("arn:aws:kms:{region}:111111111111:key/1");
    let set = format!(
        "region = \"us-east-1\"\n[environments.test]\naccount = \"111111111111\"\nregion = \"sa-east-1\"\n\
         set = {{ \"security.kms\" = \"{}\", \"security.device_defender\" = false }}",
        key("sa-east-1")
    );
    let security = format!("[security]\nkms = \"{}\"\n", key("us-east-1"));
    let text = changed(
        &[("name = \"water\"", "name = \"water\"\ndefault_env = \"dev\""), ("region = \"us-east-1\"", &set)],
        &security,
    );
    expect(&text, &[]);
    let project = check("platform.toml", &text).project.expect("no error");
    let keys = project.environments.values().map(|platform| platform.security.kms_key_arn.as_deref());
    assert_eq!(keys.collect::<Vec<_>>(), [Some(key("us-east-1").as_str()), Some(key("sa-east-1").as_str())]);
}

/// A key may belong to another account; a permissions boundary only to the role's own account, or to AWS.
#[test]
fn what_an_arn_names_lies_where_the_environment_does() {
    let found = |region: &str, security: &str| {
        let text = changed(&[("\"us-east-1\"", &format!("\"{region}\""))], &format!("[security]\n{security}\n"));
        let errors = check("platform.toml", &text).diagnostics.into_iter().filter(|found| found.is_error());
        let mended = errors.map(|found| (found.code, found.replacement.unwrap_or_default())).collect::<Vec<_>>();
        if let [(_, mend)] = &mended[..]
            && let Some((key, _)) = security.split_once(" = ").filter(|_| !mend.is_empty())
        {
            let mended = text.replace(security, &format!("{key} = {mend}"));
            assert!(check("platform.toml", &mended).project.is_some(), "{mended}");
        }
        mended
    };
    let boundary = |arn: &str| format!("permissions_boundary = \"arn:{arn}:policy/x\"");
    let key = |arn: &str| format!("kms = \"arn:{arn}:key/1\"");
    for (region, security) in [
        ("us-east-1", boundary("aws:iam::111111111111")),
        ("us-east-1", boundary("aws:iam::aws")),
        ("cn-north-1", boundary("aws-cn:iam::111111111111")),
        ("us-gov-west-1", boundary("aws-us-gov:iam::aws")),
        ("us-east-1", key("aws:kms:us-east-1:222222222222")),
        ("cn-north-1", key("aws-cn:kms:cn-north-1:111111111111")),
    ] {
        assert_eq!(found(region, &security), [], "{region}: {security}");
    }
    for (region, security, mend) in [
        ("us-east-1", boundary("aws-cn:iam::111111111111"), "aws:iam::111111111111:policy/x"),
        ("us-east-1", boundary("aws:iam::222222222222"), "aws:iam::111111111111:policy/x"),
        ("us-east-1", boundary("aws-cn:iam::222222222222"), "aws:iam::111111111111:policy/x"),
        ("cn-north-1", boundary("aws:iam::aws"), "aws-cn:iam::aws:policy/x"),
        ("us-east-1", key("aws-cn:kms:us-east-1:222222222222"), "aws:kms:us-east-1:222222222222:key/1"),
    ] {
        let expected = (Code::InvalidAwsName, format!("\"arn:{mend}\""));
        assert_eq!(found(region, &security), [expected], "{region}: {security}");
    }
    let elsewhere = found("us-east-1", &key("aws:kms:us-west-2:111111111111"));
    assert_eq!(elsewhere, [(Code::InvalidAwsName, String::new())]);
}

/// Regions of partitions without AWS IoT Core count as regions.
#[test]
fn a_region_of_another_partition_is_known_for_what_it_lacks() {
    for region in ["eusc-de-east-1", "us-iso-east-1", "us-isob-east-1", "eu-isoe-west-1", "us-isof-south-1"] {
        let region = format!("\"{region}\"");
        expect(&changed(&[("\"us-east-1\"", &region)], ""), &[(Code::RegionWithoutIot, &region)]);
    }
    expect(&changed(&[("\"us-east-1\"", "\"usa-east-1\"")], ""), &[(Code::InvalidAwsName, "\"usa-east-1\"")]);
}

/// An invalid account does not affect the checks of rules and tests.
#[test]
fn a_broken_environment_hides_no_mistake_of_a_test() {
    let test = "[[tests]]\nname = \"fires\"\nrule = \"high-presure\"\n\
                device = { type = \"meter\", zone = \"zone-a\" }\nseries = { pressure = \"40 65*2\" }\n\
                expect = [{ at = \"1m\", state = \"firing\" }]\n";
    expect(
        &changed(&[("\"111111111111\"", "\"1111\"")], test),
        &[(Code::InvalidAwsName, "\"1111\""), (Code::UnknownRule, "\"high-presure\""), (Code::InvalidSeries, "65*2")],
    );
}

#[test]
fn an_environment_differs_only_in_what_it_sets() {
    let two = "[environments.dev]\nset = { \"rules.high-pressure.threshold\" = 70 }\naccount = \"111111111111\"\n\
               region = \"us-east-1\"\n[environments.test]";
    let text = changed(&[("[environments.dev]", two)], "");
    let project = check("platform.toml", &text).project.expect("no error");
    let limits: Vec<String> = project
        .environments
        .values()
        .map(|platform| format!("{} {:?}", platform.environment.id, platform.rules["high-pressure"].condition))
        .collect();
    assert!(limits[0].starts_with("dev") && limits[0].contains("70"), "{limits:?}");
    assert!(limits[1].starts_with("test") && limits[1].contains("60"), "{limits:?}");
    assert_eq!(project.default_environment.as_str(), "dev");
}
