//! Names in other languages for what the platform file names: never a reserved word, and never the same name twice.

use std::collections::BTreeSet;

/// Turns metric ids into field names, with a trailing `_` if the word is reserved or another metric already has the
/// name.
pub(super) fn fields(ids: &[&str], reserved: &[&str]) -> Vec<String> {
    let mut taken: BTreeSet<String> =
        ids.iter().filter(|id| !reserved.contains(id)).map(|id| (*id).to_owned()).collect();
    let name = |id: &&str| {
        if !reserved.contains(id) {
            return (*id).to_owned();
        }
        let mut name = format!("{id}_");
        while !taken.insert(name.clone()) {
            name.push('_');
        }
        name
    };
    ids.iter().map(name).collect()
}

/// Returns a metric's id in Pascal case. Different ids yield different names: a `_` that no letter follows is kept.
pub(super) fn pascal(id: &str) -> String {
    let mut name = String::with_capacity(id.len());
    let mut rest = id.chars().peekable();
    let mut is_start = true;
    while let Some(character) = rest.next() {
        if is_start {
            name.push(character.to_ascii_uppercase());
            is_start = false;
        } else if character == '_' && rest.peek().is_some_and(char::is_ascii_lowercase) {
            is_start = true;
        } else {
            name.push(character);
        }
    }
    name
}

/// Returns names for the words of an enum, in order: in uppercase, with `_` between the parts. A word that has no
/// letters or digits left, or that starts with a digit, is named by its position.
pub(super) fn words(words: &[smol_str::SmolStr]) -> Vec<String> {
    let mut taken = BTreeSet::new();
    let name = |(place, word): (usize, &smol_str::SmolStr)| {
        let mut name = String::new();
        for character in word.chars() {
            if character.is_ascii_alphanumeric() {
                name.push(character.to_ascii_uppercase());
            } else if !name.is_empty() && !name.ends_with('_') {
                name.push('_');
            }
        }
        let mut name = name.trim_end_matches('_').to_owned();
        if name.is_empty() || name.starts_with(|first: char| first.is_ascii_digit()) {
            name = format!("WORD_{place}");
        }
        while !taken.insert(name.clone()) {
            name = format!("{name}_{place}");
        }
        name
    };
    words.iter().enumerate().map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reserved_word_gets_a_name_that_nothing_else_has() {
        assert_eq!(fields(&["int", "int_", "float", "x"], &["int", "float"]), ["int__", "int_", "float_", "x"]);
    }

    #[test]
    fn different_ids_have_different_names() {
        let ids = ["a1", "a_1", "ab", "a_b", "a__b", "a_", "a", "a_b_", "a__1"];
        let names: BTreeSet<String> = ids.iter().map(|id| pascal(id)).collect();
        assert_eq!(names.len(), ids.len(), "{names:?}");
        assert_eq!(pascal("flow_rate"), "FlowRate");
    }

    #[test]
    fn words_have_names_whatever_is_in_them() {
        let list = |words: &[&str]| words.iter().map(smol_str::SmolStr::new).collect::<Vec<_>>();
        let given = list(&["on", "On", "stand by", "--", "3", "é", "self", "WORD_3", "a-", "ON_1"]);
        let names = words(&given);
        assert_eq!(names[..4], ["ON", "ON_1", "STAND_BY", "WORD_3"]);
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), given.len(), "{names:?}");
    }
}
