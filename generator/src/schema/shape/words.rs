//! What is said of each kind of shape error, in the words of TOML and of the platform file.

use std::ops::Range;

use fleetform_engine::ids::ShadowName;
use jsonschema::{
    ValidationError,
    error::{TypeKind, ValidationErrorKind},
};
use serde_json::Value;

use super::steps;
use crate::{
    check::context::{listing, nearest, shown},
    diagnostic::{Code, Diagnostic},
    platform::{
        contact::PHONE_PATTERN,
        rule::{KINDS, active::CLOCK_PATTERN, flap_limit::FLAP_LIMIT_PATTERN, fleet::PERCENT_PATTERN},
    },
    schema::types::{DURATION_PATTERN, KEBAB_PATTERN, SHADOW_PATTERN, SIZE_PATTERN, SNAKE_PATTERN},
    source::{Document, escape},
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
    let all: Vec<&str> = known.into_iter().flat_map(|known| known.keys().map(String::as_str)).collect();
    let free = all.iter().copied().filter(|known| instance.get(*known).is_none());
    let place =
        if table.is_empty() { "at the top of the file".to_owned() } else { format!("in `{}`", table.join(".")) };
    let diagnostic = Diagnostic::new(Code::UnknownKey, span, format!("`{}` is not a key {place}", shown(key)));
    match nearest(key, free.clone()) {
        Some(near) => (diagnostic.replace(format!("did you mean `{near}`?"), near), vec![near.to_owned()]),
        None => (diagnostic.help(format!("keys here: {}", listing(&all))), free.map(str::to_owned).collect()),
    }
}

/// A key that must be there.
pub(super) fn missing_key(key: &str, table: &[String], schema: Option<&Value>, span: Range<usize>) -> Diagnostic {
    let owner = if table.is_empty() { "the file".to_owned() } else { format!("`{}`", table.join(".")) };
    let example = example(key, table, schema);
    Diagnostic::new(Code::MissingKey, span, format!("{owner} has no `{key}`")).help(format!("add: {example}"))
}

/// A line that could be pasted where a key is missing.
fn example(key: &str, table: &[String], schema: Option<&Value>) -> String {
    let fixed = match (table.first().map(String::as_str), key) {
        (None, "platform") => "[platform] name = \"my-fleet\"",
        (None, "environments") => "[environments.dev] account = \"111111111111\", region = \"us-east-1\"",
        (None, "zones") => "[zones.zone-a]",
        (None, "device_types") => "[device_types.sensor.readings] pressure = { min = 0, max = 10 }",
        (Some("environments"), "account") => "account = \"111111111111\"",
        (Some("environments"), "region") => "region = \"us-east-1\"",
        (Some("device_types"), "readings") => "readings = { pressure = { min = 0, max = 10 } }",
        (Some("rules"), "type") => "type = \"threshold\"",
        (Some("rules"), "metric") => "metric = \"pressure\"",
        (Some("rules"), "severity") => "severity = \"high\"",
        (Some("rules"), "operator") => "operator = \">\"",
        (Some("rules"), "threshold") => "threshold = 60.0",
        (Some("rules"), "per") => "per = \"1m\"",
        (Some("rules"), "min") => "min = 0.0",
        (Some("rules"), "max") => "max = 10.0",
        (Some("rules"), "window") => "window = \"1h\"",
        (Some("rules"), "sensitivity") => "sensitivity = 6.0",
        (Some("rules"), "min_std") => "min_std = 0.5",
        (Some("rules"), "at_least") => "at_least = 3",
        (Some("rules"), "of") => "of = \"offline\"",
        (Some("rules"), "equals") => "equals = \"fault\"",
        (Some("tests"), "name") => "name = \"fires after five minutes\"",
        (Some("tests"), "rule") => "rule = \"high-pressure\"",
        (Some("tests"), "device") => "device = { type = \"meter\", zone = \"zone-a\" }",
        (Some("tests"), "series") => "series = { pressure = \"40 65x8\" }",
        (Some("tests"), "expect") => "expect = [{ at = \"5m\", state = \"firing\" }]",
        (Some("tests"), "at") => "at = \"5m\"",
        (Some("tests"), "state") => "state = \"firing\"",
        (Some("tests"), "type") => "type = \"meter\"",
        (Some("tests"), "zone") => "zone = \"zone-a\"",
        (Some("routes"), "to") => "to = [\"zone\"]",
        (Some("channels"), "origination") => "origination = \"+12025550100\"",
        (Some("severities"), "rank") => "rank = 1",
        _ => "",
    };
    if !fixed.is_empty() {
        return fixed.to_owned();
    }
    let shape = schema.and_then(|schema| schema.pointer(&format!("/properties/{}", escape(key))));
    let default = shape.and_then(|shape| shape.get("default").or_else(|| shape.pointer("/examples/0")));
    default.map_or_else(|| format!("{key} = …"), |default| format!("{key} = {default}"))
}

/// A key of a table of names that cannot be a name.
pub(super) fn invalid_name(name: &str, table: &str, error: &ValidationError<'_>, span: Range<usize>) -> Diagnostic {
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
        return diagnostic.help(format!("a name is {rule}"));
    }
    diagnostic.replace(format!("a name is {rule}, such as `{written}`"), written)
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
    let owners: Vec<&str> = KINDS
        .iter()
        .filter(|kind| kind.required.contains(&name) || kind.optional.contains(&name))
        .map(|kind| kind.words[0])
        .collect();
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
    if let (DURATION_PATTERN, Some(number)) = (pattern, instance.as_u64()) {
        return Diagnostic::new(
            Code::InvalidDuration,
            span,
            format!("`{name}` is a length of time, which needs a unit"),
        )
        .replace(format!("in seconds: {name} = \"{number}s\""), format!("\"{number}s\""));
    }
    if let (SIZE_PATTERN, Some(number)) = (pattern, instance.as_u64()) {
        return Diagnostic::new(Code::InvalidSize, span, format!("`{name}` is a size, which needs a unit"))
            .replace(format!("in mebibytes: {name} = \"{number}MiB\""), format!("\"{number}MiB\""));
    }
    let wanted = match kind {
        TypeKind::Single(kind) => word(&kind.to_string()).to_owned(),
        TypeKind::Multiple(kinds) => kinds.iter().map(|kind| word(&kind.to_string())).collect::<Vec<_>>().join(" or "),
    };
    let found = word(match instance {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    });
    let diagnostic =
        Diagnostic::new(Code::WrongType, span, format!("`{}` must be {wanted}, but is {found}", shown(name)));
    let words = schema.and_then(|schema| schema.get("enum")).and_then(Value::as_array);
    let words: Vec<&str> = words.into_iter().flatten().filter_map(Value::as_str).collect();
    if !words.is_empty() {
        return diagnostic.help(allowed(&words));
    }
    match (wanted.as_str(), instance) {
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
    let allowed = allowed(&words);
    let diagnostic = Diagnostic::new(Code::ValueNotAllowed, span, message);
    match nearest(written, words.iter().copied()) {
        Some(near) => diagnostic.replace(format!("did you mean `{near}`? ({allowed})"), format!("\"{near}\"")),
        None => diagnostic.help(allowed),
    }
}

/// The words that a key takes. The source system's are understood, and not proposed.
fn allowed(words: &[&str]) -> String {
    let is_own = |word: &&str| !word.chars().any(|c| c.is_ascii_uppercase()) || words.len() == 1;
    let own: Vec<&str> = words.iter().copied().filter(is_own).collect();
    format!("allowed: {}", listing(&own))
}

/// A text that does not look as its key wants.
pub(super) fn wrong_text(name: &str, instance: &Value, pattern: &str, span: Range<usize>) -> Diagnostic {
    let text = shown(instance.as_str().unwrap_or_default());
    let new = |code, message: String| Diagnostic::new(code, span.clone(), message);
    match pattern {
        DURATION_PATTERN => {
            let number = text.chars().take_while(char::is_ascii_digit).collect::<String>();
            let diagnostic = new(Code::InvalidDuration, format!("`{text}` is not a length of time"));
            let help = "a whole number with ms, s, m, h, d, w or y, such as \"5m\"";
            if !number.is_empty() && number.len() == text.len() && number.len() <= 7 {
                return diagnostic.replace(format!("{help}; in seconds: \"{number}s\""), format!("\"{number}s\""));
            }
            diagnostic.help(help)
        }
        SIZE_PATTERN => new(Code::InvalidSize, format!("`{text}` is not a size"))
            .help("a whole number with B, KiB, MiB or GiB, such as \"256MiB\""),
        PHONE_PATTERN => {
            let digits: String = text.chars().filter(char::is_ascii_digit).collect();
            let diagnostic = new(Code::InvalidPhone, format!("`{text}` is not a phone number as E.164 writes it"));
            let help = "`+`, the country code and the number, without spaces, such as \"+12025550123\"";
            if text.starts_with('+') && (7..=15).contains(&digits.len()) && !digits.starts_with('0') {
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

/// Numbers, lengths and counts outside their bounds.
pub(super) fn out_of_bounds(
    name: &str,
    kind: &ValidationErrorKind,
    instance: &Value,
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
            bounds(format!("`{name}` has more than {limit} items"), "remove some".to_owned())
        }
        ValidationErrorKind::MaxProperties { limit } => {
            Diagnostic::new(Code::OutOfBounds, key, format!("`{name}` has more than {limit} entries"))
                .help("remove some")
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
