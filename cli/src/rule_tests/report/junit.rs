//! Results as JUnit XML, which most systems that run tests read: a suite for each file, a case for each test. A test
//! takes no time worth telling, and the same results are the same bytes, so every time is zero.

use std::fmt::{self, Write as _};

use crate::{
    rule_tests::{End, Results, Tested},
    timeline::{self, Clock},
};

/// The results as an XML document.
pub(crate) fn junit(results: &Results) -> String {
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    // Writing into a string cannot fail.
    let _ = suites(&mut text, results);
    text
}

fn suites(text: &mut String, results: &Results) -> fmt::Result {
    let all: Vec<&Tested> = results.tests.iter().collect();
    let name = format!("rule tests of {}", results.environment);
    writeln!(text, "<testsuites name=\"{}\" {}>", attribute(&name), counts(&all))?;
    let mut rest = all.as_slice();
    while let Some(first) = rest.first() {
        let (suite, after) = rest.split_at(rest.iter().take_while(|tested| tested.file == first.file).count());
        rest = after;
        writeln!(text, "  <testsuite name=\"{}\" {}>", attribute(&first.file), counts(suite))?;
        for tested in suite {
            case(text, tested)?;
        }
        writeln!(text, "  </testsuite>")?;
    }
    writeln!(text, "</testsuites>")
}

fn counts(tests: &[&Tested]) -> String {
    let failed = tests.iter().filter(|tested| matches!(tested.ran.end, End::Failed(_))).count();
    let skipped = tests.iter().filter(|tested| matches!(tested.ran.end, End::Skipped)).count();
    format!("tests=\"{}\" failures=\"{failed}\" errors=\"0\" skipped=\"{skipped}\" time=\"0\"", tests.len())
}

fn case(text: &mut String, Tested { file, line, test, ran }: &Tested) -> fmt::Result {
    write!(
        text,
        "    <testcase classname=\"{}\" name=\"{}\" file=\"{}\" line=\"{line}\" time=\"0\"",
        attribute(test.rule.as_str()),
        attribute(&test.name),
        attribute(file),
    )?;
    match &ran.end {
        End::Passed => writeln!(text, "/>"),
        End::Skipped => writeln!(text, ">\n      <skipped message=\"the rule is disabled here\"/>\n    </testcase>"),
        End::Failed(failures) => {
            let said: Vec<String> = failures
                .iter()
                .map(|failure| format!("at {}: {}", timeline::length(failure.at), failure.text))
                .collect();
            let table = timeline::table(&ran.rows, Clock::From(test.start), 2);
            writeln!(
                text,
                ">\n      <failure type=\"expectation\" message=\"{}\">{}</failure>\n    </testcase>",
                attribute(&said.join("; ")),
                content(&table),
            )
        }
    }
}

/// Text between double quotes. A reader would make a space of a line break that is not written as a number.
fn attribute(text: &str) -> String {
    content(text).replace('\t', "&#9;").replace('\n', "&#10;")
}

/// Text between tags. What XML 1.0 cannot represent becomes U+FFFD.
fn content(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\r' => out.push_str("&#13;"),
            '\t' | '\n' => out.push(c),
            c if c.is_control() && c < '\u{80}' || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use fleetform_engine::{
        ids::{DeviceTypeId, RuleId, ZoneId},
        units::{Millis, Timestamp},
    };
    use fleetform_generator::platform::rule_test::RuleTest;
    use proptest::prelude::*;

    use super::*;
    use crate::rule_tests::{Ran, run::Failure};

    fn tested(file: &str, name: &str, end: End) -> Tested {
        Tested {
            file: file.to_owned(),
            line: 7,
            test: RuleTest {
                name: name.into(),
                rule: RuleId::new("high-pressure").unwrap(),
                device_type: DeviceTypeId::new("meter").unwrap(),
                zone: ZoneId::new("zone-a").unwrap(),
                attributes: Vec::new(),
                start: Timestamp(0),
                every: Millis(1_000),
                series: Default::default(),
                alarms: Default::default(),
                others: Vec::new(),
                expect: Vec::new(),
                place: 0,
            },
            ran: Ran { rows: Vec::new(), end },
        }
    }

    fn failed(text: &str) -> End {
        End::Failed(vec![Failure { at: Millis(60_000), text: text.to_owned() }])
    }

    fn results(tests: Vec<Tested>) -> Results {
        Results { environment: "dev".to_owned(), tests, untested: Vec::new() }
    }

    #[test]
    fn a_suite_for_each_file_with_its_counts() {
        let text = junit(&results(vec![
            tested("platform.toml", "a & b", End::Passed),
            tested("platform.toml", "c", failed("expected <firing>, but it is \"pending\"")),
            tested("more.test.toml", "d", End::Skipped),
        ]));
        let expected = r#"<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="rule tests of dev" tests="3" failures="1" errors="0" skipped="1" time="0">
  <testsuite name="platform.toml" tests="2" failures="1" errors="0" skipped="0" time="0">
    <testcase classname="high-pressure" name="a &amp; b" file="platform.toml" line="7" time="0"/>
    <testcase classname="high-pressure" name="c" file="platform.toml" line="7" time="0">
      <failure type="expectation" message="at 1m: expected &lt;firing&gt;, but it is &quot;pending&quot;"></failure>
    </testcase>
  </testsuite>
  <testsuite name="more.test.toml" tests="1" failures="0" errors="0" skipped="1" time="0">
    <testcase classname="high-pressure" name="d" file="more.test.toml" line="7" time="0">
      <skipped message="the rule is disabled here"/>
    </testcase>
  </testsuite>
</testsuites>
"#;
        assert_eq!(text, expected);
    }

    /// What a reader makes of escaped text: it knows the five names and numbers of XML 1.0 and takes no other `&`.
    fn unescape(text: &str) -> Option<String> {
        let mut out = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('&') {
            let (name, behind) = after.split_once(';')?;
            out.push_str(before);
            out.push(match name {
                "amp" => '&',
                "lt" => '<',
                "gt" => '>',
                "quot" => '"',
                "apos" => '\'',
                number => char::from_u32(number.strip_prefix('#')?.parse().ok()?)?,
            });
            rest = behind;
        }
        out.push_str(rest);
        Some(out)
    }

    /// The characters of XML 1.0, production 2.
    fn is_xml(c: char) -> bool {
        matches!(c, '\t' | '\n' | '\r' | '\u{20}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
    }

    proptest! {
        #[test]
        fn any_text_comes_back_out_of_the_document(name in any::<String>(), said in any::<String>()) {
            let text = junit(&results(vec![tested("platform.toml", &name, failed(&said))]));
            prop_assert!(text.chars().all(is_xml));
            // Nothing in the strings opens or closes a tag or an attribute.
            let bare = junit(&results(vec![tested("platform.toml", "", failed(""))]));
            for mark in ['<', '>', '"'] {
                prop_assert_eq!(text.matches(mark).count(), bare.matches(mark).count());
            }
            let read = |key: &str| {
                let (_, rest) = text.split_once(&format!(" {key}=\"")).unwrap();
                let value = rest.split('"').next().unwrap();
                assert!(!value.contains(['\n', '\t', '\r', '<']));
                unescape(value)
            };
            let plain = |text: &str| text.chars().map(|c| if is_xml(c) { c } else { '\u{fffd}' }).collect::<String>();
            let case = text.split_once("<testcase").unwrap().1;
            prop_assert_eq!(unescape(case.split(" name=\"").nth(1).unwrap().split('"').next().unwrap()), Some(plain(&name)));
            prop_assert_eq!(read("message"), Some(format!("at 1m: {}", plain(&said))));
        }
    }
}
