//! `[deploy]`: how a platform is deployed.

use fleetform_engine::ids::PlatformName;
use schemars::JsonSchema;
use serde::Deserialize;
use smol_str::SmolStr;

use crate::{
    check::context::Context,
    diagnostic::{Code, Diagnostic},
    source::At,
};

/// Longest prefix: `<prefix>-<environment>-artifacts` must fit into the 128 characters of a stack name.
const PREFIX_CHARACTERS_MAX: usize = 32;

/// `[deploy]` as it is written.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawDeploy {
    /// First part of stack and topic names: `<prefix>-<environment>`. Default: `platform.name`.
    #[schemars(regex(pattern = "^[a-z][a-z0-9-]{0,31}$"))]
    pub(crate) prefix: Option<String>,
    /// An existing bucket for templates, code and rule sets. Default: the deploy script creates one.
    #[schemars(regex(pattern = "^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$"))]
    pub(crate) artifact_bucket: Option<String>,
    /// `execute` runs a change set immediately; `confirm` shows it and asks first.
    #[schemars(extend("default" = "execute"))]
    pub(crate) change_sets: Option<ChangeSets>,
}

/// What the deploy script does with a change set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub(crate) enum ChangeSets {
    #[default]
    Execute,
    Confirm,
}

/// How a platform is deployed.
#[derive(Clone, Debug, PartialEq)]
pub struct Deploy {
    /// First part of stack and topic names: `<prefix>-<environment>`. `platform.name` unless set; at most 32 characters.
    pub prefix: SmolStr,
    /// An existing bucket for templates, code and rule sets; unless set, the deploy script creates one in a separate
    /// stack.
    pub artifact_bucket: Option<SmolStr>,
    /// Whether the deploy script shows a change set and asks before executing it.
    pub confirm_change_sets: bool,
}

impl RawDeploy {
    /// Checks the table.
    pub(crate) fn check(&self, name: &PlatformName, context: &Context<'_>) -> Deploy {
        let platform = At::root("platform");
        let prefix = self.prefix.as_deref().unwrap_or(name.as_str());
        if self.prefix.is_none() && prefix.len() > PREFIX_CHARACTERS_MAX {
            let message = "the platform's name is longer than 32 characters, so names made from it would not fit";
            context.report(
                Diagnostic::new(Code::OutOfBounds, context.value(&platform.key("name")), message)
                    .help("shorten it, or set a shorter `deploy.prefix`"),
            );
        }
        Deploy {
            prefix: prefix.into(),
            artifact_bucket: self.artifact_bucket.as_deref().map(SmolStr::new),
            confirm_change_sets: self.change_sets == Some(ChangeSets::Confirm),
        }
    }
}
