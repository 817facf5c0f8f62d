//! A string of a policy with wildcards and variables, and the strings that it covers.
//!
//! `*` stands for any run of characters and `?` for any one, and neither stops at a `/` or a `:`. `+` and `#` stand
//! for themselves. A variable stands for its value, character by character: a `*` in a value is not a wildcard. A
//! string with a variable that has no value covers nothing.

use super::connection::Connection;

/// A string of a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pattern {
    text: String,
    parts: Vec<Part>,
}

/// Whether `*` and `?` are wildcards in a string.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wildcards {
    /// They are, as in resources.
    Active,
    /// They stand for themselves, as in the values of `StringEquals`.
    Literal,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// This character.
    Literal(char),
    /// `*`.
    AnyRun,
    /// `?`.
    AnyOne,
    /// The value of a variable.
    Variable(Variable),
}

/// The variables that a policy may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Variable {
    /// `${iot:Connection.Thing.ThingName}`.
    ThingName,
    /// `${iot:ClientId}`.
    ClientId,
    /// `${iot:Certificate.Subject.CommonName}`.
    CommonName,
}

impl Variable {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "iot:Connection.Thing.ThingName" => Self::ThingName,
            "iot:ClientId" => Self::ClientId,
            "iot:Certificate.Subject.CommonName" => Self::CommonName,
            _ => return None,
        })
    }

    fn value(self, connection: &Connection) -> Option<&str> {
        match self {
            Self::ThingName => connection.thing(),
            Self::ClientId => connection.client_id(),
            Self::CommonName => Some(&connection.common_name),
        }
    }
}

impl Pattern {
    /// Parses a string. An unknown variable or escape is an error.
    pub(crate) fn parse(text: &str, wildcards: Wildcards) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(character) = rest.chars().next() {
            if let Some(after) = rest.strip_prefix("${") {
                let Some((name, after)) = after.split_once('}') else {
                    return Err(format!("`{text}` has a `${{` without its `}}`"));
                };
                parts.push(match name {
                    // These write a character that would otherwise have a special meaning.
                    "*" => Part::Literal('*'),
                    "?" => Part::Literal('?'),
                    "$" => Part::Literal('$'),
                    _ => {
                        Part::Variable(Variable::named(name).ok_or_else(|| {
                            format!("`{text}` has the variable `{name}`, whose value is not known here")
                        })?)
                    }
                });
                rest = after;
                continue;
            }
            parts.push(match (character, wildcards) {
                ('*', Wildcards::Active) => Part::AnyRun,
                ('?', Wildcards::Active) => Part::AnyOne,
                _ => Part::Literal(character),
            });
            rest = &rest[character.len_utf8()..];
        }
        Ok(Self { text: text.to_owned(), parts })
    }

    /// Returns the string as it was written.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Returns the parts of the pattern.
    pub(crate) fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// Whether it covers a string, with the values that variables have for a connection.
    pub(crate) fn covers(&self, text: &str, connection: &Connection) -> bool {
        let mut filled = Vec::with_capacity(self.parts.len());
        for part in &self.parts {
            match part {
                Part::Literal(character) => filled.push(Glob::Literal(*character)),
                Part::AnyRun => filled.push(Glob::AnyRun),
                Part::AnyOne => filled.push(Glob::AnyOne),
                Part::Variable(variable) => match variable.value(connection) {
                    Some(value) => filled.extend(value.chars().map(Glob::Literal)),
                    None => return false,
                },
            }
        }
        matches(&filled, text)
    }

    /// Whether it covers a string that is itself a pattern. Wildcards of that pattern count as plain characters, and
    /// so do variables of either.
    pub(crate) fn is_over_text(&self, pattern: &str) -> bool {
        matches(&Glob::all(&self.text), pattern)
    }
}

/// Whether an action of a policy, which may contain wildcards, covers an action. Case is ignored.
pub(crate) fn action_covers(pattern: &str, action: &str) -> bool {
    matches(&Glob::all(&pattern.to_ascii_lowercase()), &action.to_ascii_lowercase())
}

#[derive(Clone, Copy, Debug)]
enum Glob {
    Literal(char),
    AnyRun,
    AnyOne,
}

impl Glob {
    fn all(text: &str) -> Vec<Self> {
        let read = |character| match character {
            '*' => Self::AnyRun,
            '?' => Self::AnyOne,
            literal => Self::Literal(literal),
        };
        text.chars().map(read).collect()
    }
}

/// Matches with backtracking. A run is first taken to be empty. If the rest does not fit, the last run takes one more
/// character: an earlier one would gain nothing, since the last could take the same.
fn matches(glob: &[Glob], text: &str) -> bool {
    let text: Vec<char> = text.chars().collect();
    let (mut at, mut place) = (0, 0);
    let mut last_run: Option<(usize, usize)> = None;
    while place < text.len() {
        match glob.get(at) {
            Some(Glob::AnyRun) => {
                last_run = Some((at, place));
                at += 1;
            }
            Some(Glob::AnyOne) => (at, place) = (at + 1, place + 1),
            Some(Glob::Literal(character)) if *character == text[place] => (at, place) = (at + 1, place + 1),
            Some(Glob::Literal(_)) | None => match &mut last_run {
                Some((run, taken)) => {
                    *taken += 1;
                    (at, place) = (*run + 1, *taken);
                }
                None => return false,
            },
        }
    }
    glob[at..].iter().all(|part| matches!(part, Glob::AnyRun))
}

#[cfg(test)]
mod tests {
    use super::{
        super::connection::{Certificate, ThingReading},
        *,
    };

    fn client(id: &str) -> Connection {
        let certificate = Certificate { thing: Some(id.to_owned()), common_name: format!("cn-{id}") };
        Connection::mqtt(&certificate, id, true, ThingReading::ByClientId)
    }

    fn covers(pattern: &str, text: &str) -> bool {
        Pattern::parse(pattern, Wildcards::Active).unwrap().covers(text, &client("dev-1"))
    }

    #[test]
    fn wildcards_cross_levels_and_mqtt_ones_do_not_exist() {
        for (pattern, text, expected) in [
            ("a/b", "a/b", true),
            ("a/b", "a/b/", false),
            ("a/b", "a", false),
            ("", "", true),
            ("*", "", true),
            ("*", "a/b:c", true),
            ("a/*/d", "a/b/c/d", true),
            ("a/*/d", "a//d", true),
            ("a/*/d", "a/d", false),
            ("*b*b", "abab", true),
            ("*ab", "aab", true),
            ("a?c", "a/c", true),
            ("a?c", "ac", false),
            ("a/+/c", "a/b/c", false),
            ("a/+/c", "a/+/c", true),
            ("a/#", "a/b", false),
            ("a/#", "a/#", true),
            ("A", "a", false),
            ("${*}${?}${$}", "*?$", true),
            ("${*}", "a", false),
            ("a$b", "a$b", true),
        ] {
            assert_eq!(covers(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn variables_stand_for_their_values_and_end_where_these_end() {
        let name = "${iot:Connection.Thing.ThingName}";
        assert!(covers(&format!("x/{name}/y"), "x/dev-1/y"));
        assert!(!covers(&format!("x/{name}"), "x/dev-10"));
        assert!(covers(&format!("x/{name}*"), "x/dev-10"));
        assert!(covers("${iot:ClientId}", "dev-1"));
        assert!(covers("${iot:Certificate.Subject.CommonName}", "cn-dev-1"));
    }

    #[test]
    fn a_wildcard_in_a_value_is_none() {
        let pattern = Pattern::parse("x/${iot:ClientId}", Wildcards::Active).unwrap();
        assert!(pattern.covers("x/*", &client("*")));
        assert!(!pattern.covers("x/dev-1", &client("*")));
    }

    #[test]
    fn a_variable_without_a_value_covers_nothing() {
        let certificate = Certificate { thing: None, common_name: String::new() };
        let pattern = Pattern::parse("*${iot:Connection.Thing.ThingName}*", Wildcards::Active).unwrap();
        assert!(!pattern.covers("", &Connection::https(&certificate)));
        for reading in ThingReading::ALL {
            assert!(!pattern.covers("dev-1", &Connection::mqtt(&certificate, "dev-1", false, reading)));
        }
    }

    #[test]
    fn what_is_not_known_is_an_error() {
        for text in ["${iot:Connection.Thing.ThingTypeName}", "${aws:SourceIp}", "${iot:ClientId", "${}"] {
            assert!(Pattern::parse(text, Wildcards::Active).is_err(), "{text}");
        }
    }

    #[test]
    fn actions_know_no_case() {
        assert!(action_covers("iot:*", "iot:Publish"));
        assert!(action_covers("IOT:publish", "iot:Publish"));
        assert!(action_covers("*", "iot:Publish"));
        assert!(!action_covers("iot:Pub", "iot:Publish"));
    }

    #[test]
    fn literal_texts_have_no_wildcards() {
        let pattern = Pattern::parse("a*", Wildcards::Literal).unwrap();
        assert!(pattern.covers("a*", &client("x")) && !pattern.covers("ab", &client("x")));
    }
}
