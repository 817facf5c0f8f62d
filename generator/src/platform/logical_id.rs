//! Detects ids in the file that would become the same part of a CloudFormation logical id.

use smol_str::SmolStr;

use crate::{
    cfn::value::logical_id,
    check::context::Context,
    diagnostic::{Code, Diagnostic},
    source::At,
};

/// Reports ids of one table that become the same part of a logical id: all but the first of them in the file.
pub(crate) fn check<'n>(names: impl Iterator<Item = &'n str>, thing: &str, at: &At<'_>, context: &Context<'_>) {
    let names = names.filter(|name| !context.is_broken(&at.key(name)));
    let mut parts: Vec<(SmolStr, &str)> = names.map(|name| (logical_id(name, ""), name)).collect();
    parts.sort_unstable();
    for group in parts.chunk_by(|(part, _), (next, _)| part == next).filter(|group| group.len() > 1) {
        let part = &group[0].0;
        let mut places: Vec<_> = group.iter().map(|(_, name)| (context.key(&at.key(name)), name)).collect();
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
