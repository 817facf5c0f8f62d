//! A proof of policies as text for people and as JSON for programs.
//!
//! What is proved, and how, is decided in the generator.

use std::{collections::BTreeMap, fmt::Write};

use fleetform_generator::prove::{Case, Column, Proof};
use serde_json::{Value, json};

const INFALLIBLE: &str = "a string takes any text";

/// The separator of columns of the table.
const GAP: &str = "  ";

/// A cell of the table: the outcome of all cases of a row and a column.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Cell {
    /// There is no such case.
    None,
    /// All are allowed, as they must be.
    Allowed,
    /// All are denied, as they must be.
    Denied,
    /// Devices of some types may and others may not, as they must.
    OfSomeTypes,
    /// Some are allowed that must not be.
    WronglyAllowed,
    /// Some are denied that must not be.
    WronglyDenied,
}

impl Cell {
    fn with(self, case: &Case) -> Self {
        match (self, case.must, case.is) {
            (Self::WronglyAllowed, _, _) | (_, false, true) => Self::WronglyAllowed,
            (Self::WronglyDenied, _, _) | (_, true, false) => Self::WronglyDenied,
            (Self::None | Self::Allowed, true, true) => Self::Allowed,
            (Self::None | Self::Denied, false, false) => Self::Denied,
            (Self::OfSomeTypes, _, _) | (Self::Denied, true, true) | (Self::Allowed, false, false) => Self::OfSomeTypes,
        }
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Allowed => "yes",
            Self::Denied => "-",
            Self::OfSomeTypes => "some",
            Self::WronglyAllowed => "ALLOWED",
            Self::WronglyDenied => "DENIED",
        }
    }
}

/// For people: a table for each environment, and a line for every wrong outcome.
pub(crate) fn text(proofs: &[(&str, Proof)]) -> String {
    let mut text = String::new();
    for (index, (environment, proof)) in proofs.iter().enumerate() {
        if index > 0 {
            text.push('\n');
        }
        write_one(&mut text, environment, proof);
    }
    text
}

fn write_one(text: &mut String, environment: &str, proof: &Proof) {
    let types: Vec<&str> = distinct(proof.cases.iter().filter_map(|case| case.device_type.as_deref()));
    writeln!(text, "environment `{environment}`: {}", types.join(", ")).expect(INFALLIBLE);
    let rows = distinct(proof.cases.iter().map(|case| case.row));
    let mut cells: BTreeMap<(&str, Column), Cell> = BTreeMap::new();
    for case in &proof.cases {
        let cell = cells.entry((case.row, case.column)).or_insert(Cell::None);
        *cell = cell.with(case);
    }
    let columns: Vec<Column> =
        Column::ALL.into_iter().filter(|column| cells.keys().any(|(_, found)| found == column)).collect();
    let label_width = rows.iter().map(|row| row.len()).max().unwrap_or(0);
    let width = |column: &Column| column.as_str().len().max(Cell::WronglyAllowed.as_str().len());
    write_row(text, label_width, "", columns.iter().map(|column| (width(column), column.as_str())));
    for row in rows {
        let shown = columns.iter().map(|column| {
            let cell = cells.get(&(row, *column)).copied().unwrap_or(Cell::None);
            (width(column), cell.as_str())
        });
        write_row(text, label_width, row, shown);
    }
    let lengths: Vec<String> =
        proof.policies.iter().map(|(name, chars)| format!("{name} has {chars} characters")).collect();
    writeln!(text, "policies: {}", lengths.join(", ")).expect(INFALLIBLE);
    for unreadable in &proof.unreadable {
        writeln!(text, "NOT UNDERSTOOD: {unreadable}").expect(INFALLIBLE);
    }
    for finding in &proof.findings {
        let at = finding.statement.as_deref().map(|statement| format!("/{statement}")).unwrap_or_default();
        writeln!(text, "FOUND: {}: {}{at}: {}", finding.check.as_str(), finding.policy, finding.problem)
            .expect(INFALLIBLE);
    }
    for case in proof.surprises() {
        let end = if case.is { "is allowed but must not be" } else { "is not allowed but must be" };
        writeln!(text, "SURPRISE: {}: {} {end}: {}", case.client, case.operation, case.why).expect(INFALLIBLE);
    }
    let allowed = proof.cases.iter().filter(|case| case.must).count();
    let denied = proof.cases.len() - allowed;
    let (surprises, findings) = (proof.surprises().count(), proof.findings.len());
    writeln!(
        text,
        "{allowed} cases must be allowed, {denied} denied: {surprises} surprises; audits: {findings} findings"
    )
    .expect(INFALLIBLE);
}

fn write_row<'a>(text: &mut String, label_width: usize, label: &str, cells: impl Iterator<Item = (usize, &'a str)>) {
    let mut line = format!("{GAP}{label:label_width$}");
    for (width, cell) in cells {
        write!(line, "{GAP}{cell:width$}").expect(INFALLIBLE);
    }
    writeln!(text, "{}", line.trim_end()).expect(INFALLIBLE);
}

/// Each string once, in order of first occurrence.
fn distinct<'a>(texts: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut seen = std::collections::BTreeSet::new();
    texts.filter(|text| seen.insert(*text)).collect()
}

/// For programs: every case.
pub(crate) fn json(platform: &str, proofs: &[(&str, Proof)]) -> String {
    let environments: Vec<Value> = proofs
        .iter()
        .map(|(environment, proof)| {
            json!({
                "environment": environment,
                "holds": proof.holds(),
                "surprises": proof.surprises().count(),
                "policies": proof.policies.iter().map(|(name, chars)| json!({ "name": name, "characters": chars })).collect::<Vec<_>>(),
                "not_understood": proof.unreadable.iter().map(ToString::to_string).collect::<Vec<_>>(),
                "findings": proof.findings.iter().map(|finding| json!({
                    "check": finding.check.as_str(),
                    "policy": finding.policy,
                    "statement": finding.statement,
                    "problem": finding.problem,
                })).collect::<Vec<_>>(),
                "cases": proof.cases.iter().map(|case| json!({
                    "device_type": case.device_type,
                    "row": case.row,
                    "column": case.column.as_str(),
                    "client": case.client,
                    "operation": case.operation,
                    "must_be_allowed": case.must,
                    "is_allowed": case.is,
                    "why": case.why,
                })).collect::<Vec<_>>(),
            })
        })
        .collect();
    let mut text = serde_json::to_string_pretty(&json!({ "platform": platform, "environments": environments }))
        .expect("a tree is written as it is");
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_tells_what_only_some_types_may_and_no_order_hides_a_surprise() {
        let case = |must, is| Case {
            device_type: None,
            row: "hear of commands",
            column: Column::Own,
            client: String::new(),
            operation: String::new(),
            must,
            is,
            why: String::new(),
        };
        let cell = |cases: &[(bool, bool)]| {
            cases.iter().fold(Cell::None, |cell, (must, is)| cell.with(&case(*must, *is))).as_str()
        };
        let (allowed, denied) = ((true, true), (false, false));
        assert_eq!(cell(&[]), "");
        assert_eq!(cell(&[allowed, allowed]), "yes");
        assert_eq!(cell(&[denied, denied]), "-");
        for mixed in [[allowed, denied, denied], [denied, allowed, allowed], [denied, allowed, denied]] {
            assert_eq!(cell(&mixed), "some");
        }
        for order in [[allowed, denied, (false, true)], [(false, true), allowed, denied]] {
            assert_eq!(cell(&order), "ALLOWED");
        }
        for order in [[allowed, denied, (true, false)], [(true, false), allowed, denied]] {
            assert_eq!(cell(&order), "DENIED");
        }
    }
}
