//! Files of tests beside a platform file: the same `[[tests]]`, checked against a platform that is checked already.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{context::Context, syntax_error, text, too_large, unusable};
use crate::{
    diagnostic::{Code, Diagnostic, tidy},
    platform::{
        Platform,
        rule_test::{self, RawRuleTest, RuleTest},
    },
    schema::shape,
    source::{At, DEPTH_MAX, Document, Refused, Source},
};

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

/// Checks the text of a file of tests against the platform of an environment. `name` is how the file is called.
pub fn check_tests(platform: &Platform, name: &str, text: &str) -> CheckedTests {
    let (tests, diagnostics) = match Source::parse(text) {
        Ok(source) => check_source(platform, &source),
        Err(Refused::TooLarge) => (Vec::new(), vec![too_large(name, text.len() as u64)]),
        Err(Refused::TooDeep(span)) => {
            let message = format!("tables or arrays nest deeper than {DEPTH_MAX}");
            (Vec::new(), vec![Diagnostic::new(Code::NestedTooDeeply, span, message).help("a test needs about four")])
        }
    };
    let diagnostics = tidy(diagnostics);
    let sound = !diagnostics.iter().any(Diagnostic::is_error);
    CheckedTests { tests: sound.then_some(tests), diagnostics }
}

fn check_source(platform: &Platform, source: &Source) -> (Vec<RuleTest>, Vec<Diagnostic>) {
    let mut diagnostics: Vec<Diagnostic> = source.syntax.iter().map(syntax_error).collect();
    diagnostics.extend(source.unusable.iter().map(unusable));
    let mut spoilt: Vec<_> = source.syntax.iter().map(|error| error.span.clone()).collect();
    spoilt.extend(source.unusable.iter().map(|unusable| unusable.span.clone()));
    let document = Document::plain(source);
    let (pruned, found) = shape::check(&shape::TESTS, &source.value, &document, &spoilt);
    diagnostics.extend(found);
    let declared = declared(platform);
    let context = Context::new(&document, &declared);
    text::check(&pruned, &context);
    let tests = match RawTests::deserialize(&*pruned) {
        Ok(raw) => rule_test::check(raw.tests.as_ref(), platform, &At::root("tests"), &context),
        Err(error) => {
            // The schema and the raw forms are one definition, so this says that they have come apart.
            diagnostics.push(Diagnostic::new(Code::WrongType, 0..0, format!("the file cannot be read: {error}")));
            Vec::new()
        }
    };
    diagnostics.extend(context.into_found());
    // A rule stands in the other file, and its place there is none here.
    for diagnostic in &mut diagnostics {
        diagnostic.related.retain(|related| related.span != (0..0));
    }
    (tests, diagnostics)
}

/// What the tests of a file may name, as the context looks it up.
fn declared(platform: &Platform) -> Value {
    fn names<'n, N: ToString + 'n>(ids: impl Iterator<Item = &'n N>) -> Map<String, Value> {
        ids.map(|id| (id.to_string(), Value::Null)).collect()
    }
    json!({
        "rules": names(platform.rules.keys()),
        "zones": names(platform.zones.keys()),
        "device_types": names(platform.device_types.keys()),
        "severities": names(platform.severities.keys()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check;

    const PLATFORM: &str = include_str!("../../../tests/fixtures/valid/minimal/platform.toml");

    fn found(text: &str) -> Vec<(Code, String)> {
        let project = check("platform.toml", PLATFORM).project.expect("a valid fixture");
        let platform = &project.environments[&project.default_environment];
        let checked = check_tests(platform, "pressure.test.toml", text);
        assert_eq!(checked.tests.is_none(), checked.diagnostics.iter().any(Diagnostic::is_error));
        checked.diagnostics.into_iter().map(|found| (found.code, text[found.span].to_owned())).collect()
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
}
