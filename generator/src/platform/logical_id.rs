//! From ids of the file to parts of CloudFormation's logical ids, and what may not become the same on the way.

use std::collections::BTreeMap;

use crate::{
    check::context::Context,
    diagnostic::{Code, Diagnostic},
    source::At,
};

/// An id as a part of a logical id: `north-crew` becomes `NorthCrew`, `flow_rate` becomes `FlowRate`.
pub fn logical_part(id: &str) -> String {
    let mut part = String::with_capacity(id.len());
    let mut upper = true;
    for c in id.chars() {
        if c.is_ascii_alphanumeric() {
            part.push(if upper { c.to_ascii_uppercase() } else { c });
            upper = false;
        } else {
            upper = true;
        }
    }
    part
}

/// Reports ids of one table that become the same part of a logical id: all but the first of them in the file.
pub(crate) fn check<'n>(names: impl Iterator<Item = &'n str>, thing: &str, at: &At<'_>, context: &Context<'_>) {
    let mut groups: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for name in names {
        groups.entry(logical_part(name)).or_default().push(name);
    }
    for (part, names) in groups.into_iter().filter(|(_, names)| names.len() > 1) {
        let mut places: Vec<_> = names.into_iter().map(|name| (context.key(&at.key(name)), name)).collect();
        places.sort_by_key(|(span, _)| span.start);
        let (first_span, first) = &places[0];
        for (span, name) in &places[1..] {
            context.report(
                Diagnostic::new(
                    Code::NameCollision,
                    span.clone(),
                    format!("the {thing}s `{first}` and `{name}` would both be `{part}` in CloudFormation"),
                )
                .related(first_span.clone(), "the other one")
                .help("rename one of them"),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_in_upper_camel_case() {
        assert_eq!(logical_part("north-crew"), "NorthCrew");
        assert_eq!(logical_part("a--1"), "A1");
        assert_eq!(logical_part("flow_rate"), "FlowRate");
    }
}
