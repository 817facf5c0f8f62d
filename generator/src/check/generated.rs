//! What can be said of a file only by looking at what is generated from it.

use std::collections::BTreeSet;

use fleetform_policy::iot::DOCUMENT_CHARS_MAX;
use smol_str::SmolStr;

use super::context::{Context, shown};
use crate::{
    diagnostic::{Code, Diagnostic},
    platform::{Platform, Project},
    source::At,
    stacks,
};

/// Checks what the environments of a project without errors would become.
pub(super) fn check(project: &Project, context: &Context<'_>) {
    for platform in project.environments.values() {
        if !platform.overrides.is_empty() {
            check_overrides(platform, &stacks::logical_ids(platform), context);
        }
        check_policies(platform, context);
    }
}

/// Reports overrides of resources that no template has.
fn check_overrides(platform: &Platform, ids: &BTreeSet<SmolStr>, context: &Context<'_>) {
    let at = At::root("overrides");
    for id in platform.overrides.keys().filter(|id| !ids.contains(*id)) {
        let message = format!("no template has a resource with the logical id `{}`", shown(id));
        let diagnostic = Diagnostic::new(Code::UnknownLogicalId, context.key(&at.key(id)), message);
        context.report(match context.nearest(id, ids.iter().map(SmolStr::as_str)) {
            Some(near) => diagnostic.replace(format!("did you mean `{near}`?"), near),
            None => diagnostic.help("the ids stand in the templates under `out/<environment>/cloudformation/`"),
        });
    }
}

/// Reports policies that AWS IoT would refuse for their length, which the topics make.
fn check_policies(platform: &Platform, context: &Context<'_>) {
    for (name, characters) in stacks::iot_policy_chars(platform) {
        if characters > DOCUMENT_CHARS_MAX {
            let message = format!(
                "the IoT policy `{name}` would have {characters} characters, and AWS IoT takes {DOCUMENT_CHARS_MAX}"
            );
            context.report(
                Diagnostic::new(Code::PolicyTooLong, context.key(&At::root("mqtt")), message)
                    .help("shorten the topics: each stands in the policy several times"),
            );
        }
    }
}
