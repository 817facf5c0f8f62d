//! `environments.X.set`: dotted keys overlaid on the file, which is then checked like the file itself.

use std::ops::Range;

use serde_json::{Map, Value};

use super::context::{SUGGESTIONS_MAX, listing, nearest, shown};
use crate::{
    diagnostic::{Code, Diagnostic},
    schema::{
        path::{Astray, Why, follow},
        shape::unknown_key,
    },
    source::{Overlay, Source},
};

/// Tables of the root that an environment cannot change: they are the same for all environments, or describe them.
const FIXED: [&str; 2] = ["schema", "environments"];

/// The only table to which an environment may add names, because AWS IoT registers an authority only once per account
/// and region.
const OPEN: [&str; 2] = ["identity", "authorities"];

/// The file as one environment sees it.
pub(super) struct Overlaid<'t> {
    /// The environment.
    pub(super) environment: &'t str,
    /// The overlays.
    pub(super) entries: Vec<Overlay<'t>>,
    /// The file's value with the overlays applied.
    pub(super) value: Value,
}

/// Returns the environments that change anything, and reports keys that lead nowhere.
pub(super) fn overlays<'t>(source: &'t Source, diagnostics: &mut Vec<Diagnostic>) -> Vec<Overlaid<'t>> {
    let environments = source.value.get("environments").and_then(Value::as_object);
    let mut all = Vec::new();
    for (name, environment) in environments.into_iter().flatten() {
        let Some(set) = environment.get("set").and_then(Value::as_object) else { continue };
        let mut overlaid = Overlaid { environment: name, entries: Vec::new(), value: source.value.clone() };
        let mut flat = Vec::new();
        flatten(set, ["environments", name, "set"], &mut Vec::new(), &mut flat);
        for entry in without_doubles(flat, source, diagnostics) {
            match problem(&entry, &overlaid.value, source, diagnostics.len() < SUGGESTIONS_MAX) {
                None => {
                    lay(&mut overlaid.value, &entry.path, entry.value.clone());
                    overlaid.entries.push(entry);
                }
                Some(problem) => diagnostics.push(problem),
            }
        }
        if !overlaid.entries.is_empty() {
            all.push(overlaid);
        }
    }
    all
}

/// Splits quoted dotted keys, and follows tables written as `set.retention.alerts = …` to their leaves.
fn flatten<'t>(
    set: &'t Map<String, Value>,
    table: [&'t str; 3],
    written: &mut Vec<&'t str>,
    out: &mut Vec<Overlay<'t>>,
) {
    for (key, value) in set {
        written.push(key);
        match value {
            // A table with values is applied key by key, so that its other keys are kept.
            Value::Object(inner) if !inner.is_empty() => flatten(inner, table, written, out),
            _ => {
                let path = written.iter().flat_map(|key| key.split('.')).collect();
                out.push(Overlay { path, table, written: written.clone(), value });
            }
        }
        written.pop();
    }
}

/// Sorts shorter paths first, so that longer ones can change what they have set, and removes duplicates: two spellings
/// of one key are reported.
fn without_doubles<'t>(
    mut entries: Vec<Overlay<'t>>,
    source: &Source,
    diagnostics: &mut Vec<Diagnostic>,
) -> Vec<Overlay<'t>> {
    let place = |entry: &Overlay<'_>| entry.step_span(entry.path.len() - 1, source);
    entries.sort_by(|one, other| {
        let by_path = (one.path.len(), &one.path).cmp(&(other.path.len(), &other.path));
        by_path.then_with(|| place(one).start.cmp(&place(other).start))
    });
    entries.dedup_by(|entry, first| {
        let is_double = entry.path == first.path;
        if is_double {
            let message = format!("`{}` is set twice", shown(&entry.path.join(".")));
            diagnostics.push(
                Diagnostic::new(Code::Duplicate, place(entry), message)
                    .related(place(first), "first set here")
                    .help("remove one of them"),
            );
        }
        is_double
    });
    entries
}

/// Describes what is wrong with the path of an entry, at the first invalid step.
fn problem(entry: &Overlay<'_>, file: &Value, source: &Source, suggest: bool) -> Option<Diagnostic> {
    let path = entry.path.as_slice();
    let fixed = match path {
        [first, ..] if FIXED.contains(first) => Some(0),
        ["platform", "name" | "default_env", ..] => Some(1),
        _ => None,
    };
    if let Some(step) = fixed {
        let message = format!("an environment cannot change `{}`", path[..=step].join("."));
        let diagnostic = Diagnostic::new(Code::InvalidSet, entry.step_span(step, source), message);
        return Some(diagnostic.help("it is the same in every environment: remove it here"));
    }
    let Astray { step, why } = follow(file, path, &OPEN).err()?;
    let span = entry.step_span(step, source);
    let table: Vec<String> = path[..step].iter().map(|step| shown(step)).collect();
    let mut diagnostic = match why {
        Why::UnknownKey(shape) => unknown_key(path[step], &table, &Value::Null, Some(shape), span).0,
        Why::UnknownName(names) => unknown_name(path[step], &table.join("."), names, suggest, span),
        Why::NotATable => {
            let message = format!("`{}` is not a table", shown(&path[..=step].join(".")));
            Diagnostic::new(Code::InvalidSet, span, message).help("set the whole value: end the key here")
        }
    };
    // A step without a location of its own within the key cannot be replaced on its own either.
    diagnostic.replacement.take_if(|_| diagnostic.span.len() != path[step].len());
    Some(diagnostic)
}

/// Reports a name that the file does not declare.
fn unknown_name(name: &str, table: &str, names: Option<&Value>, suggest: bool, span: Range<usize>) -> Diagnostic {
    let message = format!("`{table}` has no `{}`", shown(name));
    let diagnostic = Diagnostic::new(Code::InvalidSet, span, message);
    let names: Vec<&str> =
        names.and_then(Value::as_object).into_iter().flat_map(Map::keys).map(String::as_str).collect();
    match nearest(name, names.iter().copied().filter(|_| suggest)) {
        Some(near) => diagnostic.replace(format!("did you mean `{near}`?"), near),
        None if names.is_empty() => diagnostic.help("an environment changes what the file declares: declare it there"),
        None => diagnostic.help(format!("an environment changes what the file declares: {}", listing(&names))),
    }
}

/// Replaces the value at a path through tables.
fn lay(root: &mut Value, path: &[&str], value: Value) {
    let Some((last, before)) = path.split_last() else { return };
    let mut at = root;
    for step in before {
        let Value::Object(map) = at else { return };
        at = map.entry(*step).or_insert_with(|| Value::Object(Map::new()));
    }
    if let Value::Object(map) = at {
        map.insert((*last).to_owned(), value);
    }
}
