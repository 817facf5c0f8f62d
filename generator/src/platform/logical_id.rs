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

/// Reports ids of one table that become the same part of a logical id.
pub(crate) fn check<'n>(names: impl Iterator<Item = &'n str>, thing: &str, at: &At<'_>, context: &Context<'_>) {
    let mut seen: BTreeMap<String, &str> = BTreeMap::new();
    for name in names {
        let part = logical_part(name);
        if let Some(first) = seen.get(&part) {
            let (place, other) = (at.key(name), at.key(first));
            context.report(
                Diagnostic::new(
                    Code::NameCollision,
                    context.key(&place),
                    format!("the {thing}s `{first}` and `{name}` would both be `{part}` in CloudFormation"),
                )
                .related(context.key(&other), "the other one")
                .help("rename one of them"),
            );
        } else {
            seen.insert(part, name);
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
