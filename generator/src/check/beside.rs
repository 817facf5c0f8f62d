//! Files of tests beside a platform file: the same `[[tests]]`, checked against a platform that is checked already.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{broken::Broken, context::Context, text, told, unusable};
use crate::{
    diagnostic::{Diagnostic, tidy},
    platform::{
        Platform,
        rule_test::{self, RawRuleTest, RuleTest, Scope},
    },
    schema::{
        raw,
        shape::{self, Shaped},
    },
    source::{At, Document, Source},
};

/// A file of tests.
#[derive(Clone, Copy, Debug)]
pub struct TestsFile<'t> {
    /// How the file is called.
    pub name: &'t str,
    /// What it holds.
    pub bytes: &'t [u8],
}

/// What a file of tests means, and what is wrong with it.
#[derive(Clone, Debug)]
pub struct CheckedTests {
    /// Its tests; nothing if there is an error.
    pub tests: Option<Vec<RuleTest>>,
    /// Everything that was found, in the order of the text.
    pub diagnostics: Vec<Diagnostic>,
}

/// A file of tests as it is written.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTests {
    #[serde(rename = "schema")]
    _schema: Option<u32>,
    tests: Option<Vec<RawRuleTest>>,
}

/// Checks a file of tests against the platform of an environment, and what the platform file declares even
/// where that is broken, all but the tests of what is. Without a platform, what the tests say of one is not looked at.
pub(super) fn check(
    platform: Option<&Platform>,
    written: &Value,
    broken: &Broken,
    &TestsFile { name, bytes }: &TestsFile<'_>,
) -> CheckedTests {
    let (tests, diagnostics) = match Source::read(bytes) {
        Ok(source) => check_source(platform, written, broken, &source),
        Err(refused) => (Vec::new(), told(refused, name, "a test needs about four")),
    };
    let diagnostics = tidy(diagnostics);
    let sound = !diagnostics.iter().any(Diagnostic::is_error);
    CheckedTests { tests: sound.then_some(tests), diagnostics }
}

fn check_source(
    platform: Option<&Platform>,
    written: &Value,
    broken: &Broken,
    source: &Source,
) -> (Vec<RuleTest>, Vec<Diagnostic>) {
    let mut diagnostics: Vec<Diagnostic> = source.unusable.iter().map(unusable).collect();
    let spoilt: Vec<_> = source.unusable.iter().map(|unusable| unusable.span.clone()).collect();
    let document = Document::plain(source);
    let shaped = shape::check(&shape::TESTS, &source.value, written, &document, &spoilt);
    let Shaped { value: pruned, diagnostics: found, broken: own } = shaped;
    diagnostics.extend(found);
    // Of what the platform declares this file says nothing, and nothing of the tests in the other one.
    let (mut own, _) = own.split("tests");
    let (_, declared_there) = broken.clone().split("tests");
    own.extend(declared_there);
    let declared = declared(platform, written);
    let context = Context::new(&document, &declared, own);
    text::check(&pruned, &context);
    let tests = match raw::read::<RawTests>(&pruned) {
        Ok(raw) => platform.map_or_else(Vec::new, |platform| {
            rule_test::check(raw.tests.as_ref(), Scope::of(platform), &At::root("tests"), &context)
        }),
        Err(error) => {
            context.report_unreadable(&[], &error);
            Vec::new()
        }
    };
    diagnostics.extend(context.into_found().0);
    // A rule stands in the other file, and its place there is none here.
    for diagnostic in &mut diagnostics {
        diagnostic.related.retain(|related| related.span != (0..0));
    }
    (tests, diagnostics)
}

/// What the tests of a file may name, as the context looks it up.
fn declared(platform: Option<&Platform>, written: &Value) -> Value {
    fn names<'n, N: ToString + 'n>(ids: impl Iterator<Item = &'n N>) -> Vec<String> {
        ids.map(ToString::to_string).collect()
    }
    let mut declared = json!({});
    let Some(platform) = platform else { return declared };
    for (table, known) in [
        ("rules", names(platform.rules.keys())),
        ("zones", names(platform.zones.keys())),
        ("device_types", names(platform.device_types.keys())),
        ("severities", names(platform.severities.keys())),
    ] {
        let written = written[table].as_object().into_iter().flat_map(Map::keys).cloned();
        declared[table] = known.into_iter().chain(written).map(|name| (name, Value::Null)).collect();
    }
    declared
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Earlier, check_all, diagnostic::Code};

    const PLATFORM: &str = include_str!("../../../tests/fixtures/valid/minimal/platform.toml");

    fn found(text: &str) -> Vec<(Code, String)> {
        found_beside(PLATFORM, text).1
    }

    /// How many errors the platform has, and what is found in a file of tests beside it.
    fn found_beside(platform: &str, text: &str) -> (usize, Vec<(Code, String)>) {
        let beside = [TestsFile { name: "pressure.test.toml", bytes: text.as_bytes() }];
        let (platform, checked) = check_all("platform.toml", platform.as_bytes(), &Earlier::default(), None, &beside);
        let [checked] = <[CheckedTests; 1]>::try_from(checked).expect("one for each file");
        assert_eq!(checked.tests.is_none(), checked.diagnostics.iter().any(Diagnostic::is_error));
        let found = checked.diagnostics.into_iter().map(|found| (found.code, text[found.span].to_owned()));
        (platform.diagnostics.iter().filter(|found| found.is_error()).count(), found.collect())
    }

    const GOOD: &str = r#"schema = 1
[[tests]]
name = "fires"
rule = "high-pressure"
device = { type = "meter", zone = "zone-a" }
series = { pressure = "40 65x2" }
expect = [{ at = "1m", state = "firing" }]
"#;

    #[test]
    fn a_file_of_tests_is_checked_against_the_platform() {
        assert_eq!(found(GOOD), []);
        for (from, to, code, at) in [
            ("\"high-pressure\"", "\"high-presure\"", Code::UnknownRule, "\"high-presure\""),
            ("\"meter\"", "\"metre\"", Code::UnknownDeviceType, "\"metre\""),
            ("\"zone-a\"", "\"zone-b\"", Code::UnknownZone, "\"zone-b\""),
            ("pressure = \"40", "presure = \"40", Code::UnknownMetric, "presure"),
            ("65x2", "65*2", Code::InvalidSeries, "65*2"),
            ("\"1m\"", "\"3m\"", Code::ImpossibleExpectation, "\"3m\""),
            ("rule =", "rules =", Code::UnknownKey, "rules"),
            ("schema = 1", "[zones.zone-b]", Code::UnknownKey, "zones"),
            ("fires", "fires ${x}", Code::UnsafeText, "\"fires ${x}\""),
            ("[{ at", "{ at", Code::Syntax, ""),
        ] {
            let text = GOOD.replacen(from, to, 1);
            assert_ne!(text, GOOD, "{from}");
            let found = found(&text);
            let expected = found.iter().any(|(found, place)| *found == code && (at.is_empty() || place == at));
            assert!(expected, "{to}: {found:?}");
        }
    }

    #[test]
    fn what_tests_cannot_hold_hides_no_other_mistake() {
        let text =
            GOOD.replacen("\"high-pressure\"", "\"high-presure\"", 1) + "[rules.high-presure]\ntype = \"no_data\"\n";
        let codes: Vec<Code> = found(&text).into_iter().map(|(code, _)| code).collect();
        assert_eq!(codes, [Code::UnknownRule, Code::UnknownKey]);
    }

    #[test]
    fn a_key_that_a_test_lacks_is_shown_with_names_of_the_platform() {
        let text = GOOD.replacen("rule = \"high-pressure\"\ndevice = { type = \"meter\", zone = \"zone-a\" }\n", "", 1);
        let beside = [TestsFile { name: "pressure.test.toml", bytes: text.as_bytes() }];
        let (_, checked) = check_all("platform.toml", PLATFORM.as_bytes(), &Earlier::default(), None, &beside);
        let helps = checked[0].diagnostics.iter().filter_map(|found| found.help.as_deref());
        let expected = ["add: device = { type = \"meter\", zone = \"zone-a\" }", "add: rule = \"high-pressure\""];
        assert_eq!(helps.collect::<std::collections::BTreeSet<_>>(), expected.into());
    }

    #[test]
    fn a_broken_platform_hides_no_mistake_of_tests_and_makes_none() {
        let misspelt = GOOD.replacen("\"meter\"", "\"metre\"", 1);
        let metre = vec![(Code::UnknownDeviceType, "\"metre\"".to_owned())];
        let broken_rule = PLATFORM.replacen("metric = \"pressure\"", "metric = \"presure\"", 1);
        assert_ne!(broken_rule, PLATFORM);
        assert_eq!(found_beside(&broken_rule, GOOD), (1, Vec::new()));
        assert_eq!(found_beside(&broken_rule, &misspelt), (1, metre));
        // Of a file that cannot be read as TOML nobody knows what it declares.
        let broken_file = format!("{PLATFORM}\n[zones");
        assert_eq!(found_beside(&broken_file, &misspelt).1, []);
        let found = found_beside(&broken_file, &GOOD.replacen("rule =", "rules =", 1)).1;
        assert!(found.iter().any(|(code, _)| *code == Code::UnknownKey), "{found:?}");
    }
}
