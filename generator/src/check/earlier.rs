//! Conflicts with the tables of earlier deployments: a column keeps its type for as long as its table exists.
//!
//! An environment's rule set determines the columns of its table, through the same function that creates them. The
//! caller supplies the files of an earlier run; nothing here reads a folder.

use std::collections::BTreeMap;

use fleetform_engine::{
    rows::{
        ReaderError,
        columns::{ColumnType, FIRST_READING, columns},
    },
    rule_set::RuleSet,
};
use smol_str::SmolStr;

use super::context::Context;
use crate::{
    diagnostic::{Code, Diagnostic},
    platform::{Platform, Project, storage::words},
    rule_set::without_rules,
    source::At,
};

/// The columns that environments had when they were last generated.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Earlier(BTreeMap<String, Columns>);

/// The columns for the readings and health values of one environment.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Columns {
    /// The platform that they belong to: another platform has its own tables.
    platform: String,
    types: BTreeMap<SmolStr, ColumnType>,
}

impl Earlier {
    /// Adds an environment by the rule set that was generated for it.
    ///
    /// # Errors
    ///
    /// If the bytes are not a rule set, or if its readings cannot form a table.
    pub fn add(&mut self, environment: &str, rule_set: &[u8]) -> Result<(), ReaderError> {
        let set = RuleSet::from_bytes(rule_set)?;
        let readings = columns(&set)?.into_iter().skip(FIRST_READING);
        let types = readings.map(|column| (column.name, column.column_type)).collect();
        self.0.insert(environment.to_owned(), Columns { platform: set.platform.to_string(), types });
        Ok(())
    }
}

/// Reports readings and health values whose column would have to change.
pub(super) fn check(project: &Project, earlier: &Earlier, context: &Context<'_>) {
    for (id, platform) in &project.environments {
        let before = earlier.0.get(id.as_str()).filter(|before| before.platform == project.name.as_str());
        let Some(before) = before.filter(|_| platform.storage.is_some()) else { continue };
        let now = columns(&without_rules(platform)).expect("readings that fit into no table do not pass the checks");
        for column in now.into_iter().skip(FIRST_READING) {
            let known = before.types.get(&column.name).copied();
            if let Some(known) = known.filter(|known| *known != column.column_type) {
                report(platform, &column.name, known, context);
            }
        }
    }
}

/// Reports every location that gives the column `name` another type than the table has. If several environments share a
/// location, only the first is reported.
fn report(platform: &Platform, name: &str, known: ColumnType, context: &Context<'_>) {
    let tell = |at: &At<'_>, thing: &str, own: ColumnType, help: String| {
        let message = format!(
            "the {thing} `{name}` holds {}, and its column in the table of samples {}: a column keeps its type",
            words(own),
            words(known)
        );
        let diagnostic = Diagnostic::new(Code::ChangedReading, context.key(at), message)
            .label(format!("in what `{}` was generated with, it held {}", platform.environment.id, words(known)))
            .help(format!("{help}; where nothing was ever deployed, remove the output folder instead"));
        context.report(diagnostic);
    };
    if let Some(path) = platform.message.health.get(name).filter(|_| known != ColumnType::Float) {
        let (root, help) = (At::root("message"), format!("give it another name, with the path \"{path}\" as it is"));
        tell(&root.key("health").key(name), "health value", ColumnType::Float, help);
    }
    let types_at = At::root("device_types");
    for (id, device_type) in &platform.device_types {
        let Some(reading) = device_type.readings.get(name) else { continue };
        let own = ColumnType::of(&reading.value);
        if own != known {
            let help = format!("give it another name; with key = \"{}\" its message stays the same", reading.key);
            tell(&types_at.key(id.as_str()).key("readings").key(name), "reading", own, help);
        }
    }
}
