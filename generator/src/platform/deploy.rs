//! `[deploy]`: how a platform is deployed.

use smol_str::SmolStr;

/// How a platform is deployed.
#[derive(Clone, Debug, PartialEq)]
pub struct Deploy {
    /// First part of stack and topic names: `<prefix>-<environment>`. `platform.name` unless set; at most 32 characters.
    pub prefix: SmolStr,
    /// An existing bucket for templates, code and rule sets; unless set, the deploy script makes one with a stack of its own.
    pub artifact_bucket: Option<SmolStr>,
    /// Whether the deploy script shows a change set and asks before it is executed.
    pub confirm_change_sets: bool,
}
