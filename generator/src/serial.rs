//! `identity.serial.pattern` translated to POSIX regular expressions, which is what shells match with.
//!
//! Device names and serials consist of letters, digits, `:`, `_` and `-`. A class is therefore reduced to those
//! characters, and no character has to be escaped.

use std::collections::BTreeSet;

use regex_syntax::{
    Parser,
    hir::{Class, Hir, HirKind, Look, Repetition},
};

/// The largest repetition count that POSIX guarantees.
const REPETITIONS_MAX: u32 = 255;

/// Why shells cannot match a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotPosix {
    /// A word boundary, or an anchor that is not at the end of the pattern.
    #[error("scripts can match neither a boundary nor an anchor within a pattern")]
    Look,
    /// More than [`REPETITIONS_MAX`].
    #[error("scripts can count to {REPETITIONS_MAX}")]
    Repetitions,
    /// Not a regular expression.
    #[error("the pattern is not a regular expression")]
    Syntax,
}

/// Returns the pattern as an extended regular expression that must match a whole name; `None` if no name matches.
pub(crate) fn posix(pattern: &str) -> Result<Option<String>, NotPosix> {
    let hir = Parser::new().parse(pattern).map_err(|_| NotPosix::Syntax)?;
    Ok(translate(&hir, true, true)?.map(|inner| format!("^({inner})$")))
}

/// The characters of names, ordered so that none that is special in a bracket comes first.
fn characters() -> impl Iterator<Item = char> {
    ('0'..='9').chain('A'..='Z').chain('a'..='z').chain(['_', ':', '-'])
}

/// Translates an expression; `None` if it matches no part of any name. `first` and `last` state whether it begins and
/// ends the name.
fn translate(hir: &Hir, first: bool, last: bool) -> Result<Option<String>, NotPosix> {
    Ok(match hir.kind() {
        HirKind::Empty => Some(String::new()),
        HirKind::Look(Look::Start) if first => Some(String::new()),
        HirKind::Look(Look::End) if last => Some(String::new()),
        HirKind::Look(_) => return Err(NotPosix::Look),
        HirKind::Literal(literal) => {
            let text = std::str::from_utf8(&literal.0).unwrap_or("\0");
            text.chars().all(|character| characters().any(|known| known == character)).then(|| text.to_owned())
        }
        HirKind::Class(class) => bracket(class),
        HirKind::Capture(capture) => translate(&capture.sub, first, last)?.map(|inner| group(&inner)),
        HirKind::Repetition(repetition) => repeat(repetition)?,
        HirKind::Concat(parts) => {
            let mut whole = Some(String::new());
            for (at, part) in parts.iter().enumerate() {
                let is_look = |part: &Hir| matches!(part.kind(), HirKind::Look(_));
                let first = first && parts[..at].iter().all(is_look);
                let last = last && parts[at + 1..].iter().all(is_look);
                // Every part is translated, because a later one may have no POSIX form.
                let part = translate(part, first, last)?;
                whole = whole.zip(part).map(|(whole, part)| whole + &part);
            }
            whole
        }
        HirKind::Alternation(branches) => {
            let branches: Vec<Option<String>> =
                branches.iter().map(|branch| translate(branch, first, last)).collect::<Result<_, _>>()?;
            let branches: BTreeSet<String> = branches.into_iter().flatten().collect();
            // POSIX has no empty alternatives.
            let optional = if branches.contains("") { "?" } else { "" };
            let some: Vec<&str> = branches.iter().map(String::as_str).filter(|branch| !branch.is_empty()).collect();
            match (branches.is_empty(), some.as_slice()) {
                (true, _) => None,
                (false, []) => Some(String::new()),
                (false, some) => Some(format!("({}){optional}", some.join("|"))),
            }
        }
    })
}

fn bracket(class: &Class) -> Option<String> {
    let has = |character: char| match class {
        Class::Unicode(class) => class.iter().any(|range| (range.start()..=range.end()).contains(&character)),
        Class::Bytes(class) => {
            let byte = u8::try_from(character).unwrap_or_default();
            class.iter().any(|range| (range.start()..=range.end()).contains(&byte))
        }
    };
    let members: Vec<char> = characters().filter(|character| has(*character)).collect();
    match members.as_slice() {
        [] => None,
        [one] => Some(one.to_string()),
        // A colon after the bracket would start the name of a class.
        [':', '-'] => Some("(:|-)".to_owned()),
        members => Some(format!("[{}]", members.iter().collect::<String>())),
    }
}

fn repeat(repetition: &Repetition) -> Result<Option<String>, NotPosix> {
    let Repetition { min, max, sub, .. } = repetition;
    if [Some(*min), *max].into_iter().flatten().any(|count| count > REPETITIONS_MAX) {
        return Err(NotPosix::Repetitions);
    }
    let Some(inner) = translate(sub, false, false)?.filter(|_| *max != Some(0)) else {
        return Ok((*min == 0).then(String::new));
    };
    if inner.is_empty() {
        return Ok(Some(inner));
    }
    let times = match (min, max) {
        (0, None) => "*".to_owned(),
        (1, None) => "+".to_owned(),
        (0, Some(1)) => "?".to_owned(),
        (min, None) => format!("{{{min},}}"),
        (min, Some(max)) if min == max => format!("{{{min}}}"),
        (min, Some(max)) => format!("{{{min},{max}}}"),
    };
    Ok(Some(format!("{}{times}", group(&inner))))
}

/// Groups an expression. Brackets, single characters and parenthesized expressions need no group.
fn group(inner: &str) -> String {
    let end = Some(inner.len().saturating_sub(1));
    let is_bracket = inner.starts_with('[') && inner.find(']') == end;
    let mut depth = 0_usize;
    let closes = inner.bytes().position(|byte| {
        depth = depth + usize::from(byte == b'(') - usize::from(byte == b')');
        depth == 0
    });
    let is_group = inner.starts_with('(') && closes == end;
    if inner.len() == 1 || is_bracket || is_group { inner.to_owned() } else { format!("({inner})") }
}

#[cfg(test)]
mod tests {
    use regex::Regex;

    use super::*;

    fn of(pattern: &str) -> String {
        posix(pattern).expect("POSIX has it").expect("a name matches it")
    }

    #[test]
    fn a_pattern_keeps_its_meaning_for_names() {
        for pattern in [
            "SN-[0-9]{6}",
            "^SN-[0-9]{6}$",
            r"SN-\d+",
            r"\w+-\w{2,4}",
            "(a|b)c*",
            "a|",
            "^a|b$",
            "(?i)sn-x?",
            "[^a-y]+",
            "[:-]+",
            "x{0}y",
            "a.c",
            "(ab){2,}",
            "ä|z",
            "",
            "(SN|RW)-[0-9A-F]{2}(:[0-9A-F]{2})*",
        ] {
            let ours = Regex::new(&of(pattern)).expect("a regular expression");
            let theirs = Regex::new(&format!("^(?:{pattern})$")).expect("a regular expression");
            for name in [
                "SN-123456",
                "SN-12345",
                "sn-x",
                "SN-",
                "a",
                "b",
                "",
                "ac",
                "bccc",
                "abc",
                "a-c",
                "abab",
                "ababab",
                "z",
                "zz9",
                "y",
                "xy",
                ":-",
                "::",
                "ab-abcd",
                "ab_c-12345",
                "RW-0F:AA:1b",
                "RW-0F:AA",
                "SN-9",
                "SN-1234567",
            ] {
                assert_eq!(ours.is_match(name), theirs.is_match(name), "{pattern} as {} for {name}", of(pattern));
            }
        }
    }

    #[test]
    fn it_is_written_in_the_words_of_posix() {
        assert_eq!(of(r"^SN-\d{6}$"), "^(SN-[0123456789]{6})$");
        assert_eq!(of("(a|bc)?"), "^((a|bc)?)$");
        assert_eq!(posix("ä+"), Ok(None));
        assert_eq!(posix(r"\bSN"), Err(NotPosix::Look));
        assert_eq!(posix("a^b"), Err(NotPosix::Look));
        assert_eq!(posix("a{256}"), Err(NotPosix::Repetitions));
        assert_eq!(posix("("), Err(NotPosix::Syntax));
    }
}
