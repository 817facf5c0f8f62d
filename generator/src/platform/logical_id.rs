//! Which ids of the file may not become the same as parts of CloudFormation's logical ids.

use std::collections::BTreeMap;

use smol_str::SmolStr;

use crate::{
    cfn::value::logical_id,
    check::context::Context,
    diagnostic::{Code, Diagnostic},
    source::At,
};

/// Reports ids of one table that become the same part of a logical id: all but the first of them in the file.
pub(crate) fn check<'n>(names: impl Iterator<Item = &'n str>, thing: &str, at: &At<'_>, context: &Context<'_>) {
    let mut groups: BTreeMap<SmolStr, Vec<&str>> = BTreeMap::new();
    for name in names {
        groups.entry(logical_id(name, "")).or_default().push(name);
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
