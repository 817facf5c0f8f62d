//! Determines whether a file's shape is valid, but not what is wrong with it.
//!
//! Nearly every file is valid, and large files consist mostly of rules. The schema uses an `if` on the rule's `type` to
//! state which keys each kind of rule has, so each rule is validated against every kind. Here, the kind is looked up
//! instead. Nothing else differs, and an invalid file is validated against the schema itself, which alone can describe
//! the problem.

use jsonschema::{Keyword, ValidationError, Validator};
use serde_json::{Value, json};

use super::options;

/// The keyword that replaces the schema's branches.
const BY_KIND: &str = "x-by-kind";

/// Compiles a validator that accepts what the schema accepts; `None` if the branches do not have the form known here.
pub(super) fn compile(schema: &Value) -> Option<Validator> {
    let mut schema = schema.clone();
    let rule = schema.pointer_mut("/definitions/Rule")?.as_object_mut()?;
    let branches = rule.remove("allOf")?;
    rule.insert(BY_KIND.to_owned(), branches);
    let options = options().with_keyword(BY_KIND, |_, branches, _| match ByKind::new(branches) {
        Some(by_kind) => Ok(Box::new(by_kind)),
        None => Err(ValidationError::custom("these are no branches by kind")),
    });
    options.build(&schema).ok()
}

/// The words of each kind of rule, and the additional requirements of that kind.
struct ByKind(Vec<(Vec<String>, Validator)>);

impl ByKind {
    fn new(branches: &Value) -> Option<Self> {
        let branch = |branch: &Value| {
            let words = branch.pointer("/if/properties/type/enum")?;
            let known = json!({
                "if": { "properties": { "type": { "enum": words } }, "required": ["type"] },
                "then": branch["then"],
            });
            let words = words.as_array()?.iter().map(|word| word.as_str().map(str::to_owned));
            Some((words.collect::<Option<_>>()?, options().build(&branch["then"]).ok()?)).filter(|_| *branch == known)
        };
        branches.as_array()?.iter().map(branch).collect::<Option<_>>().map(Self)
    }
}

impl<'i> Keyword<'i> for ByKind {
    fn validate(&self, rule: &'i Value) -> Result<(), ValidationError<'i>> {
        if self.is_valid(rule) { Ok(()) } else { Err(ValidationError::custom("its kind has other keys")) }
    }

    /// No word belongs to two kinds. The rest of the schema rejects anything without a kind.
    fn is_valid(&self, rule: &'i Value) -> bool {
        let Some(kind) = rule.get("type").and_then(Value::as_str) else { return true };
        let found = self.0.iter().find(|(words, _)| words.iter().any(|word| word == kind));
        found.is_none_or(|(_, then)| then.is_valid(rule))
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use proptest::{collection::btree_map, prelude::*, sample::select};
    use serde_json::Map;

    use super::*;
    use crate::{
        platform::rule::KINDS,
        schema::{
            SCHEMA,
            shape::{PLATFORM, Shape, TESTS},
        },
        source::Source,
    };

    /// Whether a value is valid; asserts that both validators agree.
    fn check(shape: &Shape, value: &Value) -> bool {
        let sound = shape.sound.as_ref().expect("the branches are known").is_valid(value);
        let errors = shape.validator.as_ref().expect("the schema is one").iter_errors(value).count();
        assert_eq!(sound, errors == 0, "{value:#}");
        sound
    }

    /// Whether a file with this rule as its only one is valid.
    fn check_rule(rule: Value) -> bool {
        check(
            &PLATFORM,
            &json!({
                "platform": { "name": "fleet", "owner": "ops@example.com", "default_env": "dev" },
                "environments": { "dev": { "account": "111111111111", "region": "us-east-1" } },
                "zones": { "zone-a": {} },
                "device_types": { "meter": { "readings": { "pressure": {} } } },
                "rules": { "rule": rule },
            }),
        )
    }

    #[test]
    fn a_kind_has_its_own_keys_and_no_others() {
        let range = || json!({ "type": "range", "metric": "pressure", "min": 0, "max": 1, "severity": "high" });
        let with = |key: &str, value: Value| {
            let mut rule = range();
            rule[key] = value;
            rule
        };
        assert!(check_rule(range()));
        for (key, value) in [("operator", json!(">")), ("type", json!("threshold")), ("type", json!("ranges"))] {
            assert!(!check_rule(with(key, value)), "{key}");
        }
        for rule in [json!({}), json!([]), json!("range"), json!({ "type": 1, "severity": "high" })] {
            assert!(!check_rule(rule));
        }
    }

    #[test]
    fn files_with_and_without_mistakes_are_told_apart() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let mut files = vec![root.join("platform.toml")];
        for case in fs::read_dir(root.join("tests/fixtures/invalid")).expect("there are fixtures") {
            let case = case.expect("it can be read").path();
            let inside = case.read_dir().into_iter().flatten().map(|file| file.expect("it can be read").path());
            files.extend(inside.filter(|file| file.extension().is_some_and(|extension| extension == "toml")));
        }
        let values = files.iter().filter_map(|file| Source::parse(&fs::read_to_string(file).ok()?).ok());
        let verdicts: Vec<bool> = values
            .map(|source| {
                check(&TESTS, &source.value);
                check(&PLATFORM, &source.value)
            })
            .collect();
        assert!(verdicts.contains(&true) && verdicts.contains(&false), "{verdicts:?}");
    }

    /// A value for a key of a rule; some are valid for no key.
    fn value() -> impl Strategy<Value = Value> {
        select(vec![
            json!(">"),
            json!("pressure"),
            json!("5m"),
            json!("high"),
            json!("20%"),
            json!(1),
            json!(0.5),
            json!(-3),
            json!(true),
            json!(null),
            json!(["zone-a"]),
            json!([]),
            json!({}),
            json!({ "breach": 1, "of": 2 }),
            json!({ "attribute": "limit", "default": 1 }),
        ])
    }

    fn rule() -> impl Strategy<Value = Map<String, Value>> {
        let keys = SCHEMA.pointer("/definitions/Rule/properties").and_then(Value::as_object).expect("a rule has keys");
        let keys: Vec<String> = keys.keys().filter(|key| *key != "type").cloned().collect();
        let words: Vec<Value> = KINDS
            .iter()
            .flat_map(|kind| kind.words)
            .map(|word| json!(word))
            .chain([json!("other"), json!(1)])
            .collect();
        (select(words), btree_map(select(keys), value(), 0..6)).prop_map(|(kind, keys)| {
            // Adds the keys that its kind requires, so that rules are not all rejected for the same reason.
            let needed = KINDS.iter().find(|known| known.words.iter().any(|word| kind == *word));
            let needed = needed.into_iter().flat_map(|kind| kind.required).map(|key| {
                let value = match *key {
                    "metric" | "equals" | "of" => json!("pressure"),
                    "operator" => json!(">"),
                    "per" | "window" => json!("1m"),
                    _ => json!(1),
                };
                ((*key).to_owned(), value)
            });
            let common = [("type".to_owned(), kind), ("severity".to_owned(), json!("high"))];
            needed.chain(common).chain(keys).collect()
        })
    }

    proptest! {
        #[test]
        fn whatever_a_rule_says_is_sound_by_both_or_by_neither(rule in rule()) {
            check_rule(Value::Object(rule));
        }
    }
}
