//! `environments.X.set`: dotted keys laid over the file, which is then checked like the file itself.

use serde_json::Value;
use toml::de::DeValue;

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
pub(super) fn overlays<'t>(source: &'t Source<'_>, diagnostics: &mut Vec<Diagnostic>) -> Vec<Overlaid<'t>> {
    let environments = source.table.get_ref().get("environments").and_then(|value| value.get_ref().as_table());
    let mut all = Vec::new();
    for (name, environment) in environments.into_iter().flatten() {
        let Some(set) = environment.get_ref().as_table().and_then(|table| table.get("set")) else { continue };
        let Some(set) = set.get_ref().as_table() else { continue };
        let mut overlaid = Overlaid { environment: name.get_ref(), entries: Vec::new(), value: source.value.clone() };
        let mut flat = Vec::new();
        flatten(set, &mut Vec::new(), &mut flat);
        // The shorter path first, so that a longer one changes what it has laid down.
        flat.sort_by_key(|entry| entry.path.len());
        for entry in flat {
            let json = source.value.pointer(&pointer(name.get_ref(), set, &entry));
            match json
                .ok_or_else(|| "this value cannot be used".to_owned())
                .and_then(|json| lay(&mut overlaid.value, &entry.path, json.clone()))
            {
                Ok(()) => overlaid.entries.push(entry),
                Err(problem) => diagnostics.push(
                    Diagnostic::new(Code::InvalidSet, entry.key.clone(), problem)
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
fn flatten<'t>(table: &'t toml::de::DeTable<'_>, before: &mut Vec<&'t str>, out: &mut Vec<Overlay<'t>>) {
    for (key, value) in table {
        let depth = before.len();
        before.extend(key.get_ref().split('.'));
        match value.get_ref() {
            // A table with values of its own is laid down key by key, so that its neighbours stay.
            DeValue::Table(inner) if !inner.is_empty() => flatten(inner, before, out),
            _ => out.push(Overlay { path: before.clone(), key: key.span(), value }),
        }
        before.truncate(depth);
    }
}

/// The JSON pointer of an entry's value inside the file's own value.
fn pointer(environment: &str, set: &toml::de::DeTable<'_>, entry: &Overlay<'_>) -> String {
    let mut steps = Vec::new();
    find(set, entry, &mut steps);
    let escape = |step: &str| step.replace('~', "~0").replace('/', "~1");
    let steps: Vec<String> = steps.iter().map(|step| escape(step)).collect();
    format!("/environments/{}/set/{}", escape(environment), steps.join("/"))
}

/// The keys that lead to an entry, as they are written.
fn find<'t>(table: &'t toml::de::DeTable<'_>, entry: &Overlay<'_>, steps: &mut Vec<&'t str>) -> bool {
    for (key, value) in table {
        steps.push(key.get_ref());
        if key.span() == entry.key && value.span() == entry.value.span() {
            return true;
        }
        if let DeValue::Table(inner) = value.get_ref()
            && find(inner, entry, steps)
        {
            return true;
        }
        steps.pop();
    }
    false
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
