//! What is said of each kind of shape error, in the words of TOML and of the platform file.

use std::ops::Range;

use fleetform_engine::ids::ShadowName;
use jsonschema::{
    ValidationError,
    error::{TypeKind, ValidationErrorKind},
};
use regex::Regex;
use serde_json::Value;

use super::{
    example::{self, Written},
    steps,
};
use crate::{
    check::context::{listing, nearest, shown},
    diagnostic::{Code, Diagnostic},
    platform::{
        contact::PHONE_PATTERN,
        rule::{KINDS, active::CLOCK_PATTERN, flap_limit::FLAP_LIMIT_PATTERN, fleet::PERCENT_PATTERN},
    },
    schema::types::{DURATION_PATTERN, Duration, KEBAB_PATTERN, SHADOW_PATTERN, SIZE_PATTERN, SNAKE_PATTERN, Size},
    source::Document,
};

/// A key that the schema does not have here, and the keys that were perhaps meant.
pub(crate) fn unknown_key(
    key: &str,
    table: &[String],
    instance: &Value,
    schema: Option<&Value>,
    span: Range<usize>,
) -> (Diagnostic, Vec<String>) {
    let known = schema.and_then(|schema| schema.get("properties")).and_then(Value::as_object);
    let all = known.into_iter().flat_map(|known| known.keys().map(String::as_str));
    let all: Vec<&str> = all.filter(|known| is_of_kind(known, table, instance)).collect();
    // What one table has, another one of the same name adds to.
    let is_table = |key: &str| instance.get(key).is_some_and(Value::is_object);
    let adds = |known: &str| is_table(key) && is_table(known);
    let free = all.iter().copied().filter(|known| instance.get(*known).is_none() || adds(known));
    let place =
        if table.is_empty() { "at the top of the file".to_owned() } else { format!("in `{}`", table.join(".")) };
    let diagnostic = Diagnostic::new(Code::UnknownKey, span, format!("`{}` is not a key {place}", shown(key)));
    if let Some(near) = nearest(key, free) {
        return (diagnostic.replace(format!("did you mean `{near}`?"), near), vec![near.to_owned()]);
    }
    // A table at the top that is like none may be one of names by another word, where the file has none of these.
    let of_names = |known: &str| {
        let shape = schema.and_then(|schema| schema.pointer(&format!("/properties/{known}/additionalProperties")));
        let named = instance.get(key).and_then(Value::as_object);
        shape.is_some_and(Value::is_object) && named.is_some_and(|named| named.values().all(Value::is_object))
    };
    let absent = all.iter().filter(|known| instance.get(**known).is_none());
    let meant = absent.filter(|known| !table.is_empty() || of_names(known)).map(|known| (*known).to_owned());
    (diagnostic.help(format!("keys here: {}", listing(&all))), meant.collect())
}

/// Whether a table takes a key: that of a rule takes those of its kind, and those of all kinds.
fn is_of_kind(key: &str, table: &[String], instance: &Value) -> bool {
    let word = instance.get("type").and_then(Value::as_str).filter(|_| table.len() == 2 && table[0] == "rules");
    let Some(own) = word.and_then(|word| KINDS.iter().find(|kind| kind.words.contains(&word))) else { return true };
    own.has(key) || !KINDS.iter().any(|kind| kind.has(key))
}

/// A key that must be there.
pub(super) fn missing_key(
    key: &str,
    table: &[String],
    schema: Option<&Value>,
    written: Written<'_>,
    span: Range<usize>,
) -> Diagnostic {
    let owner = if table.is_empty() { "the file".to_owned() } else { format!("`{}`", table.join(".")) };
    let help = match example::of_root(key).filter(|_| table.is_empty()) {
        Some(example) => format!("add before the first table: {example}"),
        None => format!("add: {}", example::of_key(key, table, schema, written)),
    };
    Diagnostic::new(Code::MissingKey, span, format!("{owner} has no `{key}`")).help(help)
}

/// A table without the keys that must be there, if it has none at all.
pub(super) fn empty_table(
    table: &[String],
    instance: &Value,
    schema: Option<&Value>,
    written: Written<'_>,
    span: Range<usize>,
) -> Option<Diagnostic> {
    let required = schema.and_then(|schema| schema.get("required")).and_then(Value::as_array)?;
    let keys: Vec<&str> = required.iter().filter_map(Value::as_str).collect();
    if keys.len() < 2 || table.is_empty() || instance.as_object().is_none_or(|table| !table.is_empty()) {
        return None;
    }
    let lines: Vec<String> = keys.iter().map(|key| example::of_key(key, table, schema, written)).collect();
    let message = format!("`{}` is empty: it has no {}", table.join("."), listing(&keys));
    Some(Diagnostic::new(Code::MissingKey, span, message).help(format!("remove it, or add: {}", lines.join(", "))))
}

/// A key of a table of names that cannot be a name, and the name that it was perhaps meant for.
pub(super) fn invalid_name(
    name: &str,
    table: &str,
    error: &ValidationError<'_>,
    instance: &Value,
    span: Range<usize>,
) -> (Diagnostic, Option<String>) {
    let pattern = match error.kind() {
        ValidationErrorKind::Pattern { pattern } => pattern.as_str(),
        _ => "",
    };
    let (rule, separator) = if pattern == SNAKE_PATTERN {
        ("a lowercase letter, then up to 62 lowercase letters, digits or `_`", '_')
    } else {
        ("a lowercase letter, then up to 62 lowercase letters, digits or `-`", '-')
    };
    let fixed: String = name
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { separator })
        .collect::<String>()
        .trim_start_matches(|c: char| !c.is_ascii_lowercase())
        .chars()
        .take(63)
        .collect();
    let thing = table.replace('_', " ");
    let diagnostic =
        Diagnostic::new(Code::InvalidName, span, format!("`{}` cannot be a name in `{thing}`", shown(name)));
    let written = if pattern.is_empty() { name.to_owned() } else { fixed };
    if written.is_empty() {
        return (diagnostic.help(format!("a name is {rule}")), None);
    }
    if instance.get(&written).is_some() {
        return (diagnostic.help(format!("a name is {rule}; `{written}` is there already")), None);
    }
    (diagnostic.replace(format!("a name is {rule}, such as `{written}`"), &written), Some(written))
}

/// A key that belongs to another kind of rule.
pub(super) fn key_of_other_kind(
    name: &str,
    keys: &[String],
    root: &Value,
    document: &Document<'_>,
    span: Range<usize>,
) -> Diagnostic {
    let rule = &keys[..keys.len().saturating_sub(1)];
    let mut type_keys = rule.to_vec();
    type_keys.push("type".to_owned());
    let type_steps = steps(&type_keys, root);
    let kind = rule.iter().try_fold(root, |value, key| value.get(key.as_str())).and_then(|rule| rule.get("type"));
    let kind = kind.and_then(Value::as_str).unwrap_or_default().to_ascii_lowercase();
    let owners: Vec<&str> = KINDS.iter().filter(|kind| kind.has(name)).map(|kind| kind.words[0]).collect();
    Diagnostic::new(Code::KeysExclude, span, format!("a rule of type `{kind}` has no `{name}`"))
        .related(document.value_span(&type_steps), "the rule's type")
        .help(format!("remove it, or choose another type: {}", listing(&owners)))
}

/// A value of another type.
pub(super) fn wrong_type(
    name: &str,
    kind: &TypeKind,
    instance: &Value,
    schema: Option<&Value>,
    span: Range<usize>,
) -> Diagnostic {
    let pattern = schema.and_then(|schema| schema.get("pattern")).and_then(Value::as_str).unwrap_or_default();
    for (wanted, code, thing, units) in [
        (DURATION_PATTERN, Code::InvalidDuration, "a length of time", &TIMES[..]),
        (SIZE_PATTERN, Code::InvalidSize, "a size", &SIZES[..]),
    ] {
        if let (true, Some(number)) = (pattern == wanted, instance.as_u64()) {
            let message = format!("`{name}` is {thing}, which needs a unit");
            return with_unit(name, number, units, schema, Diagnostic::new(code, span, message));
        }
    }
    let wanted = match kind {
        TypeKind::Single(kind) => word(&kind.to_string()).to_owned(),
        TypeKind::Multiple(kinds) => kinds.iter().map(|kind| word(&kind.to_string())).collect::<Vec<_>>().join(" or "),
    };
    let found = match instance {
        Value::Number(number) if wanted == "a whole number" => format!("`{number}`"),
        other => word(kind_of(other)).to_owned(),
    };
    let diagnostic =
        Diagnostic::new(Code::WrongType, span, format!("`{}` must be {wanted}, but is {found}", shown(name)));
    let words = schema.and_then(|schema| schema.get("enum")).and_then(Value::as_array);
    let words: Vec<&str> = words.into_iter().flatten().filter_map(Value::as_str).collect();
    if !words.is_empty() {
        return diagnostic.help(allowed(&words));
    }
    match (wanted.as_str(), instance) {
        ("text", Value::Number(_)) if !pattern.is_empty() && !fits(pattern, &instance.to_string()) => {
            let text = wrong_text(name, &Value::Null, pattern, schema, diagnostic.span.clone());
            Diagnostic { help: text.help, ..diagnostic }
        }
        ("text", Value::Number(number)) => diagnostic.replace(format!("write: \"{number}\""), format!("\"{number}\"")),
        ("text", Value::Bool(truth)) => diagnostic.replace(format!("write: \"{truth}\""), format!("\"{truth}\"")),
        ("a list", Value::String(text)) => {
            let item = Value::String(text.clone());
            diagnostic.replace(format!("write: [{item}]"), format!("[{item}]"))
        }
        ("a number" | "a whole number", Value::String(text)) if text.parse::<f64>().is_ok_and(f64::is_finite) => {
            diagnostic.replace(format!("write it without quotes: {text}"), text.clone())
        }
        ("true or false", Value::String(text)) if text == "true" || text == "false" => {
            diagnostic.replace(format!("write it without quotes: {text}"), text.clone())
        }
        ("a table", Value::Object(_)) => diagnostic,
        _ => diagnostic.help(format!("write {wanted}")),
    }
}

/// The units of a length of time and of a size, and what to call them.
const TIMES: [(&str, &str); 7] = [
    ("s", "seconds"),
    ("ms", "milliseconds"),
    ("m", "minutes"),
    ("h", "hours"),
    ("d", "days"),
    ("w", "weeks"),
    ("y", "years"),
];
const SIZES: [(&str, &str); 4] = [("MiB", "mebibytes"), ("B", "bytes"), ("KiB", "kibibytes"), ("GiB", "gibibytes")];

/// Most digits of a length of time or a size.
const DIGITS_MAX: usize = 7;

/// Proposes a number with the unit that the key's default has, or else with the first one.
fn with_unit(
    name: &str,
    number: u64,
    units: &[(&str, &str)],
    schema: Option<&Value>,
    diagnostic: Diagnostic,
) -> Diagnostic {
    let default = schema.and_then(|schema| schema.get("default")).and_then(Value::as_str).unwrap_or_default();
    let own = default.trim_start_matches(|c: char| c.is_ascii_digit());
    let found = units.iter().find(|(unit, _)| *unit == own).or_else(|| units.first());
    let Some((unit, called)) = found.filter(|_| number.to_string().len() <= DIGITS_MAX) else {
        return diagnostic.help(format!("at most {DIGITS_MAX} digits, and a unit: {}", listing_units(units)));
    };
    diagnostic.replace(format!("in {called}: {name} = \"{number}{unit}\""), format!("\"{number}{unit}\""))
}

fn listing_units(units: &[(&str, &str)]) -> String {
    units.iter().map(|(unit, called)| format!("`{unit}` for {called}")).collect::<Vec<_>>().join(", ")
}

fn fits(pattern: &str, text: &str) -> bool {
    Regex::new(pattern).is_ok_and(|regex| regex.is_match(text))
}

/// The type of a value, as JSON Schema calls it.
const fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// A type of JSON in the words of TOML.
fn word(kind: &str) -> &'static str {
    match kind {
        "string" => "text",
        "number" => "a number",
        "integer" => "a whole number",
        "boolean" => "true or false",
        "array" => "a list",
        "object" => "a table",
        _ => "nothing",
    }
}

/// What other languages write, and the word for it.
const ELSEWHERE: [(&str, &str); 23] = [
    ("=", "=="),
    ("===", "=="),
    ("<>", "!="),
    ("!", "!="),
    ("=>", ">="),
    ("=<", "<="),
    ("≥", ">="),
    ("≤", "<="),
    ("≠", "!="),
    ("gt", ">"),
    ("gte", ">="),
    ("ge", ">="),
    ("lt", "<"),
    ("lte", "<="),
    ("le", "<="),
    ("eq", "=="),
    ("ne", "!="),
    ("boolean", "bool"),
    ("integer", "int"),
    ("number", "float"),
    ("double", "float"),
    ("text", "string"),
    ("str", "string"),
];

/// A word that is none of the allowed ones.
pub(super) fn not_allowed(name: &str, instance: &Value, options: &Value, span: Range<usize>) -> Diagnostic {
    let words: Vec<&str> = options.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let Some(written) = instance.as_str().filter(|_| !words.is_empty()) else {
        let all: Vec<String> = options.as_array().into_iter().flatten().map(Value::to_string).collect();
        let all: Vec<&str> = all.iter().map(String::as_str).collect();
        return Diagnostic::new(Code::ValueNotAllowed, span, format!("`{name}` cannot be this value"))
            .help(format!("allowed: {}", listing(&all)));
    };
    let message = format!("`{name}` cannot be `{}`", shown(written));
    let (own, allowed) = (proposed(&words), allowed(&words));
    let diagnostic = Diagnostic::new(Code::ValueNotAllowed, span, message);
    let elsewhere = ELSEWHERE.iter().find(|(elsewhere, _)| written.eq_ignore_ascii_case(elsewhere));
    let near = elsewhere
        .and_then(|(_, word)| own.iter().copied().find(|own| own == word))
        .or_else(|| nearest(written, own.iter().copied()))
        .or_else(|| nearest(written, words.iter().copied()));
    match near {
        Some(near) => diagnostic.replace(format!("did you mean `{near}`? ({allowed})"), format!("\"{near}\"")),
        None => diagnostic.help(allowed),
    }
}

fn allowed(words: &[&str]) -> String {
    format!("allowed: {}", listing(&proposed(words)))
}

/// The words that a key takes. The source system's are understood, and not proposed.
fn proposed<'w>(words: &[&'w str]) -> Vec<&'w str> {
    let is_own = |word: &&str| !word.chars().any(|c| c.is_ascii_uppercase()) || words.len() == 1;
    words.iter().copied().filter(is_own).collect()
}

/// A text that does not look as its key wants.
pub(super) fn wrong_text(
    name: &str,
    instance: &Value,
    pattern: &str,
    schema: Option<&Value>,
    span: Range<usize>,
) -> Diagnostic {
    let text = shown(instance.as_str().unwrap_or_default());
    let new = |code, message: String| Diagnostic::new(code, span.clone(), message);
    match pattern {
        DURATION_PATTERN => {
            let diagnostic = new(Code::InvalidDuration, format!("`{text}` is not a length of time"));
            if let Ok(number) = text.parse() {
                return with_unit(name, number, &TIMES, schema, diagnostic);
            }
            if let Some(meant) = Duration::meant(&text) {
                return diagnostic.replace(format!("write: \"{meant}\""), format!("\"{meant}\""));
            }
            let unit = text.trim_start_matches(|c: char| c.is_ascii_digit());
            if unit.len() + DIGITS_MAX < text.len() && TIMES.iter().any(|(known, _)| *known == unit) {
                return diagnostic
                    .help(format!("at most {DIGITS_MAX} digits before the unit; a larger unit needs fewer"));
            }
            diagnostic.help("a whole number with ms, s, m, h, d, w or y, such as \"5m\"")
        }
        SIZE_PATTERN => {
            let diagnostic = new(Code::InvalidSize, format!("`{text}` is not a size"));
            match Size::meant(&text) {
                Some(meant) => diagnostic.replace(format!("write: \"{meant}\""), format!("\"{meant}\"")),
                None => diagnostic.help("a whole number with B, KiB, MiB or GiB, such as \"256MiB\""),
            }
        }
        PHONE_PATTERN => {
            // Marks between digits are left out; whoever wrote something else meant more than digits.
            let is_marked = text.chars().all(|c| c.is_ascii_digit() || "+ -./()".contains(c));
            let digits: String = text.chars().filter(char::is_ascii_digit).collect();
            let diagnostic = new(Code::InvalidPhone, format!("`{text}` is not a phone number as E.164 writes it"));
            let help = "`+`, the country code and the number, without spaces, such as \"+12025550123\"";
            if is_marked && text.rfind('+') == Some(0) && (7..=15).contains(&digits.len()) && !digits.starts_with('0') {
                return diagnostic.replace(format!("{help}; here: \"+{digits}\""), format!("\"+{digits}\""));
            }
            diagnostic.help(help)
        }
        CLOCK_PATTERN => new(Code::InvalidDuration, format!("`{text}` is not a time of day"))
            .help("two digits for the hour and two for the minute, such as \"06:00\""),
        FLAP_LIMIT_PATTERN => new(Code::InvalidDuration, format!("`{text}` is not a number of firings in a time"))
            .help("1 to 100 firings in a minute, an hour or a day, such as \"5/h\""),
        PERCENT_PATTERN => new(Code::ValueNotAllowed, format!("`{text}` is no part of a fleet"))
            .help("a number of devices such as 5, or a percentage of them such as \"20%\""),
        KEBAB_PATTERN => new(Code::InvalidName, format!("`{text}` cannot be `{name}`"))
            .help("a lowercase letter, then up to 62 lowercase letters, digits or `-`"),
        SHADOW_PATTERN => new(Code::InvalidName, format!("`{text}` cannot be the name of a shadow"))
            .help(format!("{}, such as \"config\"", ShadowName::RULE)),
        _ => match name {
            "account" => new(Code::InvalidAwsName, format!("`{text}` is not an AWS account"))
                .help("twelve digits in quotes, such as \"111111111111\""),
            "region" => new(Code::InvalidAwsName, format!("`{text}` is not an AWS region"))
                .help("such as \"us-east-1\" or \"eu-central-1\""),
            "artifact_bucket" => new(Code::InvalidAwsName, format!("`{text}` is not a name of a bucket"))
                .help("3 to 63 lowercase letters, digits and `-`"),
            "kms" => new(Code::InvalidAwsName, "this is not the ARN of a KMS key".to_owned())
                .help("such as \"arn:aws:kms:us-east-1:111111111111:key/1234abcd-12ab-34cd-56ef-1234567890ab\""),
            "permissions_boundary" => new(Code::InvalidAwsName, "this is not the ARN of an IAM policy".to_owned())
                .help("such as \"arn:aws:iam::111111111111:policy/boundary\""),
            "prefix" => new(Code::InvalidName, format!("`{text}` cannot be a prefix"))
                .help("a lowercase letter, then up to 31 lowercase letters, digits or `-`"),
            "runbook" => new(Code::ValueNotAllowed, "a runbook must be an `https://` URL".to_owned())
                .help("such as \"https://wiki.example/runbooks/high-pressure\""),
            _ => new(Code::InvalidName, format!("`{text}` cannot be a path of a message"))
                .help("keys joined by dots, such as \"data.deviceId\""),
        },
    }
}

/// The default of a list as an example, or else another help.
fn default_or(help: &str, schema: Option<&Value>) -> String {
    match schema.and_then(|schema| schema.get("default")).filter(|default| default.is_array()) {
        Some(default) => format!("such as {}", default.to_string().replace(',', ", ")),
        None => help.to_owned(),
    }
}

/// Numbers, lengths and counts outside their bounds.
pub(super) fn out_of_bounds(
    name: &str,
    kind: &ValidationErrorKind,
    instance: &Value,
    schema: Option<&Value>,
    value: Range<usize>,
    key: Range<usize>,
) -> Diagnostic {
    let name = shown(name);
    let bounds = |message: String, help: String| Diagnostic::new(Code::OutOfBounds, value.clone(), message).help(help);
    match kind {
        ValidationErrorKind::Minimum { limit } => {
            bounds(format!("`{name}` is {instance}, but must be at least {limit}"), format!("write {limit} or more"))
        }
        ValidationErrorKind::Maximum { limit } => {
            bounds(format!("`{name}` is {instance}, but must be at most {limit}"), format!("write {limit} or less"))
        }
        ValidationErrorKind::ExclusiveMinimum { limit } => {
            bounds(format!("`{name}` is {instance}, but must be above {limit}"), format!("write more than {limit}"))
        }
        ValidationErrorKind::MaxLength { limit } => {
            bounds(format!("`{name}` is longer than {limit} characters"), "shorten it".to_owned())
        }
        ValidationErrorKind::MaxItems { limit } => {
            bounds(format!("`{name}` has more than {limit} items"), default_or("remove some", schema))
        }
        ValidationErrorKind::MaxProperties { limit } => {
            Diagnostic::new(Code::OutOfBounds, key, format!("`{name}` has more than {limit} entries"))
                .help("remove some")
        }
        ValidationErrorKind::MinItems { limit } if *limit > 1 => {
            bounds(format!("`{name}` has fewer than {limit} items"), default_or("add some", schema))
        }
        ValidationErrorKind::MinLength { .. } | ValidationErrorKind::MinItems { .. } => {
            Diagnostic::new(Code::Empty, value, format!("`{name}` must not be empty"))
                .help("write something, or remove it")
        }
        ValidationErrorKind::MinProperties { .. } => {
            Diagnostic::new(Code::Empty, key, format!("`{name}` must not be empty")).help("add an entry")
        }
        other => {
            bounds(format!("`{name}` breaks the rule `{}` of the schema", other.keyword()), "see the schema".to_owned())
        }
    }
}
