//! Holds a file against the schema, and says what is wrong in the file's own terms.
//!
//! What is wrong is taken out of the value, so that the checks of meaning can go on with the rest.

mod example;
mod sound;
mod words;

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    sync::LazyLock,
};

use jsonschema::{ValidationError, ValidationOptions, Validator, error::ValidationErrorKind};
use serde_json::Value;

use example::Written;
pub(crate) use words::unknown_key;

use super::{SCHEMA, TESTS_SCHEMA};
use crate::{
    check::broken::Broken,
    diagnostic::{Code, Diagnostic},
    source::{Document, Step, escape},
};

/// What a kind of file must look like.
pub(crate) struct Shape {
    schema: &'static LazyLock<Value>,
    /// The schema compiled to say whether anything is wrong.
    sound: LazyLock<Option<Validator>>,
    /// The schema compiled to say what is wrong.
    validator: LazyLock<Option<Validator>>,
}

/// A platform file.
pub(crate) static PLATFORM: Shape = Shape {
    schema: &SCHEMA,
    sound: LazyLock::new(|| sound::compile(&SCHEMA)),
    validator: LazyLock::new(|| compile(&SCHEMA)),
};

/// A file of tests.
pub(crate) static TESTS: Shape = Shape {
    schema: &TESTS_SCHEMA,
    sound: LazyLock::new(|| sound::compile(&TESTS_SCHEMA)),
    validator: LazyLock::new(|| compile(&TESTS_SCHEMA)),
};

fn compile(schema: &Value) -> Option<Validator> {
    options().build(schema).ok()
}

fn options<'s>() -> ValidationOptions<'s> {
    jsonschema::draft7::options().should_validate_formats(false)
}

/// Everything that a file may be told about its shape; a file with more is told the first ones.
const PROBLEMS_MAX: usize = 1_000;

/// A problem with what follows from it.
struct Problem {
    diagnostic: Diagnostic,
    /// The path of what to take out of the value.
    remove: Option<String>,
    /// A key that is missing from a table.
    missing: Option<(String, String)>,
    /// The keys of a table that an unknown one may have been meant for.
    meant: Option<(String, Vec<String>)>,
    /// How closely it says what may stand at its place.
    detail: Detail,
}

/// How closely a problem says what may stand at its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Detail {
    /// A bound.
    Bound,
    /// A type, a pattern.
    Form,
    /// The same of one kind of rule, where others take more.
    OfKind,
    /// Each word.
    Words,
    /// Each word of one kind of rule.
    WordsOfKind,
}

impl Problem {
    fn new(diagnostic: Diagnostic, remove: Option<String>) -> Self {
        Self { diagnostic, remove, missing: None, meant: None, detail: Detail::Bound }
    }

    /// The places that are not what the file means: what is taken out, what is missing, what is misspelt.
    fn broken(&self) -> impl Iterator<Item = String> {
        let inside = |(table, key): (&String, &String)| format!("{table}/{}", escape(key));
        let missing = self.missing.iter().map(move |(table, key)| inside((table, key)));
        let meant = self.meant.iter().flat_map(move |(table, keys)| keys.iter().map(move |key| inside((table, key))));
        self.remove.clone().into_iter().chain(missing).chain(meant)
    }
}

/// What the shape check leaves of a file.
pub(crate) struct Shaped<'v> {
    /// The value without what is wrong with its shape. A value without fault is not copied.
    pub(crate) value: Cow<'v, Value>,
    /// What is wrong.
    pub(crate) diagnostics: Vec<Diagnostic>,
    /// Where.
    pub(crate) broken: Broken,
}

/// Holds a value against a shape. What it names is declared in `names`: itself, or another file. Nothing is said about
/// `spoilt` places, which are all those that could not be said in JSON and more.
pub(crate) fn check<'v>(
    shape: &Shape,
    value: &'v Value,
    names: &Value,
    document: &Document<'_>,
    spoilt: &[Range<usize>],
) -> Shaped<'v> {
    let whole = |diagnostics| Shaped { value: Cow::Borrowed(value), diagnostics, broken: Broken::default() };
    if spoilt.is_empty() && shape.sound.as_ref().is_some_and(|sound| sound.is_valid(value)) {
        return whole(Vec::new());
    }
    let Some(validator) = &*shape.validator else {
        let message = "the schema of this version cannot be compiled";
        return whole(vec![Diagnostic::new(Code::WrongType, 0..0, message)]);
    };
    let mut removals = Vec::new();
    let mut broken = Broken::default();
    let mut found = Vec::new();
    for error in validator.iter_errors(value) {
        for problem in problems(shape, &error, Written { root: value, names }, document) {
            removals.extend(problem.remove.clone());
            problem.broken().for_each(|place| broken.add(place));
            let told = spoilt.iter().any(|span| *span == problem.diagnostic.span && !span.is_empty());
            if !told && found.len() < PROBLEMS_MAX {
                found.push(problem);
            }
        }
    }
    keep_types(&mut found);
    let diagnostics = told_once(found, value).into_iter().map(|problem| problem.diagnostic).collect();
    // The later items of a list first, so that the earlier ones keep their numbers.
    removals.sort_by(|a, b| compare_pointers(b, a));
    removals.dedup();
    if removals.is_empty() && spoilt.is_empty() {
        return Shaped { value: Cow::Borrowed(value), diagnostics, broken };
    }
    let mut pruned = value.clone();
    for pointer in removals {
        remove(&mut pruned, &pointer);
    }
    strip_null(&mut pruned);
    Shaped { value: Cow::Owned(pruned), diagnostics, broken }
}

/// The problems that say something new beside the others.
fn told_once(mut found: Vec<Problem>, value: &Value) -> Vec<Problem> {
    propose_missing(&mut found, value);
    // A missing key does not where its misspelling was found.
    let misspelt = found.iter().filter(|problem| problem.diagnostic.replacement.is_some());
    let meant: BTreeSet<(String, String)> = misspelt
        .filter_map(|problem| problem.meant.as_ref())
        .flat_map(|(table, keys)| keys.iter().map(|key| (table.clone(), key.clone())))
        .collect();
    found.retain(|problem| problem.missing.as_ref().is_none_or(|missing| !meant.contains(missing)));
    // An empty table lacks everything at once.
    let mut told = BTreeSet::new();
    found.retain(|problem| {
        let Some((table, _)) = &problem.missing else { return true };
        told.insert((table.clone(), problem.diagnostic.message.clone()))
    });
    // Of what is said of one place, what says most is enough.
    let mut details: BTreeMap<String, Detail> = BTreeMap::new();
    for (place, detail) in found.iter().filter_map(|problem| Some((problem.remove.clone()?, problem.detail))) {
        let most = details.entry(place).or_insert(detail);
        *most = detail.max(*most);
    }
    let most = |place: &String| details.get(place).copied();
    found.retain(|problem| problem.remove.as_ref().and_then(most).is_none_or(|most| most == problem.detail));
    found
}

/// How alike two names must be for the one that is missing to be meant by the other.
const ALIKE: f64 = 0.5;

/// Proposes the only key that is missing from a table in the place of the only unknown one, if they are alike and nothing
/// nearer is.
fn propose_missing(found: &mut [Problem], value: &Value) {
    let mut missing: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut unknown: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (index, problem) in found.iter().enumerate() {
        if let Some((table, key)) = &problem.missing {
            missing.entry(table.clone()).or_default().push(key.clone());
        } else if let Some((table, _)) = &problem.meant {
            unknown.entry(table.clone()).or_default().push(index);
        }
    }
    for (table, keys) in missing {
        let ([key], Some([index])) = (keys.as_slice(), unknown.get(&table).map(Vec::as_slice)) else { continue };
        let problem = &mut found[*index];
        let written = problem.remove.as_ref().and_then(|place| value.pointer(place));
        let name = problem.remove.as_deref().and_then(|place| place.rsplit('/').next()).unwrap_or_default();
        let is_alike = strsim::normalized_damerau_levenshtein(name, key) >= ALIKE;
        if is_alike && problem.diagnostic.replacement.is_none() && written.is_some_and(|written| !written.is_object()) {
            problem.diagnostic.help = Some(format!("did you mean `{key}`, which is missing?"));
            problem.diagnostic.replacement = Some(key.clone());
        }
    }
}

/// Drops what else is said of a value that has another type, and all but the first that is said of its type: what a kind of
/// rule takes comes before what rules take.
fn keep_types(found: &mut Vec<Problem>) {
    let is_type = |problem: &Problem| problem.diagnostic.code == Code::WrongType;
    let mistyped: BTreeSet<String> =
        found.iter().filter(|problem| is_type(problem)).filter_map(|problem| problem.remove.clone()).collect();
    let mut told = BTreeSet::new();
    found.retain(|problem| match &problem.remove {
        Some(path) if mistyped.contains(path) => is_type(problem) && told.insert(path.clone()),
        _ => true,
    });
}

/// Orders paths so that items of one list stand by number.
fn compare_pointers(a: &str, b: &str) -> std::cmp::Ordering {
    let number = |step: &str| step.parse::<usize>().ok();
    for (left, right) in a.split('/').zip(b.split('/')) {
        let order = match (number(left), number(right)) {
            (Some(left), Some(right)) => left.cmp(&right),
            _ => left.cmp(right),
        };
        if order.is_ne() {
            return order;
        }
    }
    a.split('/').count().cmp(&b.split('/').count())
}

/// Takes what a path leads to out of a value.
fn remove(value: &mut Value, pointer: &str) {
    let Some((parent, last)) = pointer.rsplit_once('/') else {
        *value = Value::Object(serde_json::Map::new());
        return;
    };
    match value.pointer_mut(parent) {
        Some(Value::Object(map)) => {
            map.remove(&unescape(last));
        }
        Some(Value::Array(items)) => {
            if let Ok(index) = last.parse::<usize>()
                && index < items.len()
            {
                items.remove(index);
            }
        }
        _ => {}
    }
}

/// Takes out what could not be said in JSON.
fn strip_null(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, value| !value.is_null());
            map.values_mut().for_each(strip_null);
        }
        Value::Array(items) => {
            items.retain(|item| !item.is_null());
            items.iter_mut().for_each(strip_null);
        }
        _ => {}
    }
}

fn unescape(step: &str) -> String {
    step.replace("~1", "/").replace("~0", "~")
}

/// What one error of the validator says in the file's own terms.
fn problems(shape: &Shape, error: &ValidationError<'_>, written: Written<'_>, document: &Document<'_>) -> Vec<Problem> {
    let root = written.root;
    let pointer = error.instance_path().as_str().to_owned();
    let keys: Vec<String> = pointer.split('/').skip(1).map(unescape).collect();
    let steps = steps(&keys, root);
    let instance = error.instance();
    let key_span = || document.key_span(&steps);
    let value_span = || document.value_span(&steps);
    // An item of a list is called as the list is.
    let is_name = |key: &&String| !key.bytes().all(|byte| byte.is_ascii_digit());
    let name = keys.iter().rev().find(is_name).cloned().unwrap_or_default();
    let of_kind = error.schema_path().as_str().contains("/then/");
    let detail = match (error.kind(), of_kind) {
        (ValidationErrorKind::Enum { .. }, true) => Detail::WordsOfKind,
        (ValidationErrorKind::Enum { .. }, false) => Detail::Words,
        (_, true) => Detail::OfKind,
        (ValidationErrorKind::Type { .. } | ValidationErrorKind::Pattern { .. }, false) => Detail::Form,
        (_, false) => Detail::Bound,
    };
    let one = |diagnostic: Diagnostic| vec![Problem { detail, ..Problem::new(diagnostic, Some(pointer.clone())) }];
    let schema = keyword_schema(shape, error);
    match error.kind() {
        ValidationErrorKind::AdditionalProperties { unexpected } => unexpected
            .iter()
            .map(|key| {
                let mut steps = steps.clone();
                steps.push(Step::Key(key));
                let (diagnostic, meant) = words::unknown_key(key, &keys, instance, schema, document.key_span(&steps));
                let added = instance.get(key).and_then(Value::as_object);
                let meant = match (meant.as_slice(), added) {
                    // It adds to a table.
                    ([near], Some(added)) if instance.get(near).is_some() => {
                        (format!("{pointer}/{}", escape(near)), added.keys().cloned().collect())
                    }
                    _ => (pointer.clone(), meant),
                };
                Problem { meant: Some(meant), ..Problem::new(diagnostic, Some(format!("{pointer}/{}", escape(key)))) }
            })
            .collect(),
        ValidationErrorKind::Required { property } => {
            let key = property.as_str().unwrap_or_default().to_owned();
            let diagnostic = words::empty_table(&keys, instance, schema, written, key_span());
            let diagnostic = diagnostic.unwrap_or_else(|| words::missing_key(&key, &keys, schema, written, key_span()));
            vec![Problem { missing: Some((pointer.clone(), key)), ..Problem::new(diagnostic, None) }]
        }
        ValidationErrorKind::PropertyNames { error } => {
            let key = error.instance().as_str().unwrap_or_default().to_owned();
            let mut steps = steps.clone();
            steps.push(Step::Key(&key));
            let table = keys.last().map_or("", String::as_str);
            let (diagnostic, near) = words::invalid_name(&key, table, error, instance, document.key_span(&steps));
            vec![Problem {
                meant: near.map(|near| (pointer.clone(), vec![near])),
                ..Problem::new(diagnostic, Some(format!("{pointer}/{}", escape(&key))))
            }]
        }
        ValidationErrorKind::FalseSchema => one(words::key_of_other_kind(&name, &keys, root, document, key_span())),
        ValidationErrorKind::Type { kind } => one(words::wrong_type(&name, kind, instance, schema, value_span())),
        ValidationErrorKind::Enum { options } => one(words::not_allowed(&name, instance, options, value_span())),
        ValidationErrorKind::Pattern { pattern } => {
            one(words::wrong_text(&name, instance, pattern, schema, value_span()))
        }
        kind => one(words::out_of_bounds(&name, kind, instance, schema, value_span(), key_span())),
    }
}

/// The keys of a path as steps: numbers are places in a list only where the value has a list.
fn steps<'k>(keys: &'k [String], root: &Value) -> Vec<Step<'k>> {
    let mut at = Some(root);
    keys.iter()
        .map(|key| match (at, key.parse::<usize>()) {
            (Some(Value::Array(items)), Ok(index)) => {
                at = items.get(index);
                Step::Index(index)
            }
            _ => {
                at = at.and_then(|value| value.get(key.as_str()));
                Step::Key(key)
            }
        })
        .collect()
}

/// The schema whose keyword an error is about.
fn keyword_schema(shape: &Shape, error: &ValidationError<'_>) -> Option<&'static Value> {
    let (parent, _) = error.schema_path().as_str().rsplit_once('/')?;
    LazyLock::force(shape.schema).pointer(parent)
}
