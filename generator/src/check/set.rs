//! `environments.X.set`: dotted keys laid over the file, which is then checked like the file itself.

use serde_json::{Map, Value};

use super::context::{nearest, shown};
use crate::{
    diagnostic::{Code, Diagnostic},
    source::{Overlay, Source},
};

/// Tables of the root that an environment cannot change: they are the same for all, or describe environments.
const FIXED: [&str; 2] = ["schema", "environments"];

/// The file as one environment sees it.
pub(super) struct Overlaid<'t> {
    /// The environment.
    pub(super) environment: &'t str,
    /// What is laid over the file.
    pub(super) entries: Vec<Overlay<'t>>,
    /// The file's value with that laid over.
    pub(super) value: Value,
}

/// The environments that change anything; keys that lead nowhere are reported.
pub(super) fn overlays<'t>(source: &'t Source, diagnostics: &mut Vec<Diagnostic>) -> Vec<Overlaid<'t>> {
    let environments = source.value.get("environments").and_then(Value::as_object);
    let mut all = Vec::new();
    for (name, environment) in environments.into_iter().flatten() {
        let Some(set) = environment.get("set").and_then(Value::as_object) else { continue };
        let mut overlaid = Overlaid { environment: name, entries: Vec::new(), value: source.value.clone() };
        let mut flat = Vec::new();
        flatten(set, &mut Vec::new(), &mut vec!["environments", name, "set"], &mut flat);
        // The shorter path first, so that a longer one changes what it has laid down.
        flat.sort_by_key(|entry| entry.path.len());
        for entry in flat {
            match lay(&mut overlaid.value, &entry.path, entry.value.clone()) {
                Ok(()) => overlaid.entries.push(entry),
                Err(problem) => diagnostics.push(
                    Diagnostic::new(Code::InvalidSet, source.key_span(&entry.written), problem)
                        .help("write a dotted key of this file, such as \"retention.alerts\" = \"90d\""),
                ),
            }
        }
        if !overlaid.entries.is_empty() {
            all.push(overlaid);
        }
    }
    all
}

/// Splits quoted dotted keys; tables written as `set.retention.alerts = …` are followed to their leaves.
fn flatten<'t>(
    table: &'t Map<String, Value>,
    path: &mut Vec<&'t str>,
    written: &mut Vec<&'t str>,
    out: &mut Vec<Overlay<'t>>,
) {
    for (key, value) in table {
        let depth = path.len();
        path.extend(key.split('.'));
        written.push(key);
        match value {
            // A table with values of its own is laid down key by key, so that its neighbours stay.
            Value::Object(inner) if !inner.is_empty() => flatten(inner, path, written, out),
            _ => out.push(Overlay { path: path.clone(), written: written.clone(), value }),
        }
        path.truncate(depth);
        written.pop();
    }
}

/// Lays a value over the one at a path, or says why it cannot.
fn lay(root: &mut Value, path: &[&str], value: Value) -> Result<(), String> {
    let Some((last, before)) = path.split_last() else { return Err("an empty key leads nowhere".to_owned()) };
    if let Some(first) = path.first().filter(|first| FIXED.contains(first)) {
        return Err(format!("an environment cannot change `{first}`"));
    }
    if matches!(path, ["platform", "name" | "default_env"]) {
        return Err(format!("an environment cannot change `platform.{last}`"));
    }
    let mut at = root;
    for (index, step) in before.iter().enumerate() {
        let Value::Object(map) = at else {
            return Err(format!("`{}` is not a table", shown(&path[..index].join("."))));
        };
        // A table of names must have the name; other tables may be left out of the file.
        let named = index == 1 && matches!(path[0], "zones" | "device_types" | "rules" | "contacts" | "severities");
        if named && !map.contains_key(*step) {
            let near = nearest(step, map.keys().map(String::as_str));
            let hint = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
            return Err(format!("`{}` has no `{}`{hint}", path[0], shown(step)));
        }
        at = map.entry((*step).to_owned()).or_insert_with(|| Value::Object(serde_json::Map::new()));
    }
    match at {
        Value::Object(map) => {
            map.insert((*last).to_owned(), value);
            Ok(())
        }
        _ => Err(format!("`{}` is not a table", shown(&before.join(".")))),
    }
}
