//! Problems that can only be found in the generated output.

use std::{collections::BTreeSet, ops::Range};

use fleetform_policy::iot::DOCUMENT_CHARS_MAX;
use smol_str::SmolStr;

use super::context::{Context, shown};
use crate::{
    diagnostic::{Code, Diagnostic},
    platform::{
        Platform, Project,
        between::{Between, CHILDREN_MAX},
    },
    rule_set::rule_set,
    source::{At, Step},
    stacks::{self, iot_policies::NAMED_SHADOW},
};

/// Checks the output for the environments of a project without errors.
pub(super) fn check(project: &Project, context: &Context<'_>) {
    for platform in project.environments.values() {
        if !platform.overrides.is_empty() {
            check_overrides(platform, &stacks::logical_ids(platform), context);
        }
        check_policies(platform, context);
        check_targets(platform, context);
        check_rule_set(platform, context);
        check_room(platform, context);
        check_crowds(platform, context);
    }
}

/// How full a stack must be, in percent, for a warning that it is nearly full.
const NEARLY_FULL_PERCENT: usize = 90;

/// Warns before additional zones, device types or contacts require further stacks, to which some of the existing ones
/// would have to move.
fn check_room(platform: &Platform, context: &Context<'_>) {
    let (stack, percent) = stacks::fullest(platform);
    if percent < NEARLY_FULL_PERCENT {
        return;
    }
    let table = if stack.starts_with("alerting") { "contacts" } else { "zones" };
    let message = format!(
        "the stack `{stack}` of environment `{}` is {percent} % full: the next {table} may move others to new stacks",
        platform.environment.id
    );
    // Contacts may be inline in the rules.
    let at = At::root(if context.is_written(&At::root(table)) { table } else { "rules" });
    context.report(
        Diagnostic::new(Code::NearlyFull, context.key(&at), message)
            .help("plan the move before it comes: see the page, or split the fleet into several platforms"),
    );
}

/// Warns before a zone has so many child zones that intermediate groups are needed, to which the existing ones would
/// have to move.
fn check_crowds(platform: &Platform, context: &Context<'_>) {
    let nearly_full = CHILDREN_MAX * NEARLY_FULL_PERCENT / 100..=CHILDREN_MAX;
    for (parent, count) in
        Between::of(&platform.zones).children.into_iter().filter(|(_, count)| nearly_full.contains(count))
    {
        let zones = At::root("zones");
        let (place, around) = match parent {
            Some(parent) => (context.key(&zones.key(parent.as_str())), format!("directly in `{parent}`")),
            None => (context.key(&zones), "in no other".to_owned()),
        };
        let message =
            format!("{count} zones lie {around}: the {}st would move all of them to groups between", CHILDREN_MAX + 1);
        context.report(
            Diagnostic::new(Code::NearlyFull, place, message)
                .help("let new zones lie in zones of their own, by `parent`; see the page"),
        );
    }
}

/// Reports a rule set that its loader would reject. The checks of each element cover the same conditions with a
/// location, so this means that the two have diverged.
fn check_rule_set(platform: &Platform, context: &Context<'_>) {
    if let Err(error) = rule_set(platform).check() {
        // A key in a rule set is the key in the file with its unit appended.
        let steps: Vec<_> = error.at.split('.').map(|key| Step::Key(key.trim_end_matches("_ms"))).collect();
        let message = format!("the runtime would not load what is made of this: {error}");
        context.report(
            Diagnostic::new(Code::OutOfBounds, context.value_at(&steps), message)
                .help("change what is named there, and please report it: a check is missing"),
        );
    }
}

/// Reports overrides of resources that are in no template.
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

/// Reports policies that AWS IoT would reject because they are too long, due to the topics or the name of a shadow.
fn check_policies(platform: &Platform, context: &Context<'_>) {
    for (name, characters) in stacks::iot_policy_chars(platform) {
        if characters > DOCUMENT_CHARS_MAX {
            let message = format!(
                "the IoT policy `{name}` would have {characters} characters, and AWS IoT takes {DOCUMENT_CHARS_MAX}"
            );
            let diagnostic = |span| Diagnostic::new(Code::PolicyTooLong, span, message);
            context.report(match name.strip_prefix(NAMED_SHADOW).and_then(|shadow| place(platform, shadow, context)) {
                None => diagnostic(context.key(&At::root("mqtt")))
                    .help("shorten the topics: each stands in the policy several times"),
                Some(span) => diagnostic(span).help("shorten the shadow's name: it stands in the policy twelve times"),
            });
        }
    }
}

/// Reports webhooks with more secrets than a role can be permitted to read.
fn check_targets(platform: &Platform, context: &Context<'_>) {
    if !stacks::has_room_for_targets(platform) {
        let message = "so many webhooks have secrets of their own that the role of `notify` has no room to name them";
        context.report(
            Diagnostic::new(Code::OutOfBounds, context.key(&At::root("contacts")), message)
                .help("let several webhooks share a secret"),
        );
    }
}

/// Location of the first mention of a shadow.
fn place(platform: &Platform, shadow: &str, context: &Context<'_>) -> Option<Range<usize>> {
    let at = At::root("device_types");
    let places = platform.device_types.iter().filter_map(|(id, device_type)| {
        let index = device_type.shadows.iter().position(|name| name.as_str() == shadow)?;
        Some(context.value(&at.key(id.as_str()).key("shadows").index(index)))
    });
    places.min_by_key(|span| span.start)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::Value;

    use super::*;
    use crate::{
        check::broken::Broken,
        source::{Document, Source},
        stacks::sample,
    };

    #[test]
    fn a_rule_set_that_its_loader_would_refuse_is_an_error() {
        let mut platform = sample::platform();
        let zone = platform.zones.keys().next().expect("a zone");
        let text = format!("[zones.{zone}]\ncontacts = [\"nobody\"]\n");
        let found = |platform: &Platform| {
            let source = Source::parse(&text).expect("a short text");
            let document = Document::plain(&source);
            let written = Value::Null;
            let context = Context::new(&document, &written, Broken::default());
            let id = platform.environment.id.clone();
            let environments = BTreeMap::from([(id.clone(), platform.clone())]);
            let project = Project { name: platform.name.clone(), default_environment: id, environments };
            check(&project, &context);
            context.into_found().0
        };
        assert_eq!(found(&platform), []);
        let nobody = "nobody".parse().expect("a contact's id");
        platform.zones.values_mut().next().expect("a zone").contacts.push(nobody);
        let errors = found(&platform);
        let [only] = errors.as_slice() else { panic!("{errors:#?}") };
        assert!(only.is_error() && only.message.contains("the rule set is wrong at"), "{only:?}");
        assert_eq!(&text[only.span.clone()], "[\"nobody\"]");
    }
}
