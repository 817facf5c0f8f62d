//! `[platform]`: what the platform is called, and by whom it is kept.

use std::collections::BTreeMap;

use fleetform_engine::ids::{EnvironmentId, PlatformName};
use schemars::JsonSchema;
use serde::Deserialize;
use smol_str::SmolStr;

use crate::{
    check::context::{Context, shown},
    diagnostic::{Code, Diagnostic},
    schema::types::KEBAB_PATTERN,
    source::At,
};

/// Most tags: AWS allows 50 on a resource, and the generator adds a few of its own.
const TAGS_MAX: u32 = 40;

/// `[platform]` as it is written.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawAbout {
    /// What the platform is called. It begins the names of stacks and topics.
    #[schemars(required, regex(pattern = KEBAB_PATTERN))]
    pub(crate) name: Option<String>,
    /// Who answers for it: a person or a team.
    #[schemars(length(min = 1, max = 200))]
    pub(crate) owner: Option<String>,
    /// What it is for.
    #[schemars(length(max = 1000))]
    pub(crate) description: Option<String>,
    /// The environment that commands take when none is named. Default: `dev`, or the only one.
    #[schemars(regex(pattern = KEBAB_PATTERN))]
    pub(crate) default_env: Option<String>,
    /// Tags of every resource that takes tags.
    #[schemars(extend("maxProperties" = TAGS_MAX))]
    pub(crate) tags: Option<BTreeMap<String, String>>,
}

/// `[platform]` as it is meant.
pub(crate) struct About {
    pub(crate) name: PlatformName,
    pub(crate) owner: Option<SmolStr>,
    pub(crate) description: Option<SmolStr>,
    pub(crate) default_environment: Option<EnvironmentId>,
    pub(crate) tags: BTreeMap<SmolStr, SmolStr>,
}

impl RawAbout {
    /// Checks the table; nothing if it has no usable name.
    pub(crate) fn check(&self, at: &At<'_>, context: &Context<'_>) -> Option<About> {
        let tags = self.check_tags(&at.key("tags"), context);
        let default_environment = self.check_default(at, context);
        Some(About {
            name: PlatformName::new(self.name.as_deref()?).ok()?,
            owner: self.owner.as_deref().map(SmolStr::new),
            description: self.description.as_deref().map(SmolStr::new),
            default_environment,
            tags,
        })
    }

    fn check_default(&self, at: &At<'_>, context: &Context<'_>) -> Option<EnvironmentId> {
        const TABLE: &str = "environments";
        if let Some(name) = &self.default_env {
            let user = || "`platform.default_env`".to_owned();
            return context.reference(&at.key("default_env"), TABLE, name, Code::UnknownEnvironment, user);
        }
        let mut all = context.declared(TABLE);
        let first = all.next()?;
        let chosen = if all.next().is_none() { first } else { "dev" };
        if !context.is_declared(TABLE, chosen) {
            context.report(
                Diagnostic::new(
                    Code::MissingKey,
                    context.key(at),
                    "`platform.default_env` must name the environment that commands take, since none is called `dev`",
                )
                .help(format!("add: default_env = \"{first}\"")),
            );
        }
        EnvironmentId::new(chosen).ok()
    }

    fn check_tags(&self, at: &At<'_>, context: &Context<'_>) -> BTreeMap<SmolStr, SmolStr> {
        let mut tags = BTreeMap::new();
        self.check_tag_cases(at, context);
        for (key, value) in self.tags.iter().flatten() {
            let item = at.key(key);
            // "Tag naming limits and requirements" of the AWS general reference.
            let allowed = |text: &str| text.chars().all(|c| c.is_alphanumeric() || " _.:/=+-@".contains(c));
            let wrong = if key.is_empty() || key.chars().count() > 128 {
                Some("a tag's key has 1 to 128 characters")
            } else if value.chars().count() > 256 {
                Some("a tag's value has at most 256 characters")
            } else if key.to_ascii_lowercase().starts_with("aws:") {
                Some("keys that begin with `aws:` belong to AWS")
            } else if !allowed(key) || !allowed(value) {
                Some("a tag has letters, digits, spaces and `_ . : / = + - @`")
            } else {
                None
            };
            match wrong {
                Some(rule) => context.report(
                    Diagnostic::new(Code::InvalidAwsName, context.key(&item), "AWS does not take this tag").help(rule),
                ),
                None => {
                    tags.insert(key.into(), value.into());
                }
            }
        }
        tags
    }

    /// Reports tags whose keys are one to IAM, which knows no case in them ("Rules for tagging in IAM and AWS STS").
    fn check_tag_cases(&self, at: &At<'_>, context: &Context<'_>) {
        let mut by_place: Vec<_> =
            self.tags.iter().flatten().map(|(key, _)| (context.key(&at.key(key)), key)).collect();
        by_place.sort_by_key(|(place, _)| place.start);
        let mut first = BTreeMap::new();
        for (place, key) in by_place {
            let Some((earlier, other)) = first.insert(key.to_lowercase(), (place.clone(), key)) else { continue };
            let message = format!(
                "IAM takes the tags `{}` and `{}` for one: their keys differ only in case",
                shown(other),
                shown(key)
            );
            context.report(
                Diagnostic::new(Code::Duplicate, place, message)
                    .related(earlier, "the first of them")
                    .help("remove one of them"),
            );
        }
    }
}
