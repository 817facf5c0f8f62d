//! A checked project as a tree of files: each environment in its own folder, and the files that environments share.
//!
//! Rendering is infallible. What a stack, a rule set or a script looks like is up to its own module.

use fleetform_engine::{ids::EnvironmentId, rule_set::FORMAT_VERSION};

use crate::{
    contract,
    output::{MANIFEST, Manifest, RuleSetAddress, Tree},
    platform::{Platform, Project},
    questions,
    rule_set::RuleSetArtifact,
    schema, script, stacks, workflow,
};

/// Path of the rule set within an environment's folder.
pub const RULE_SET: &str = "rules/rule-set.json";

/// Which environments are rendered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Selection<'a> {
    /// All environments.
    All,
    /// One environment of the project.
    Only(&'a EnvironmentId),
}

/// Renders a project. Shared files are rendered whatever the selection.
pub fn render(project: &Project, selection: Selection<'_>) -> Tree {
    let mut shared = Tree::new();
    shared.insert("platform.schema.json", schema());
    shared.insert(".github/workflows/deploy.yml", workflow::workflow(project));
    let mut manifest = Manifest::of(&shared, project.name.as_str());
    manifest.environments = project.environments.keys().map(ToString::to_string).collect();
    shared.insert(MANIFEST, manifest.to_bytes());
    for (id, platform) in &project.environments {
        if selection == Selection::All || selection == Selection::Only(id) {
            shared.insert_below(id.as_str(), environment(platform));
        }
    }
    shared
}

fn environment(platform: &Platform) -> Tree {
    let rule_set = RuleSetArtifact::of(platform);
    let mut tree = Tree::new();
    let stacks = stacks::stacks(platform, &rule_set.sha256);
    let scripts = script::scripts(platform, &rule_set, &stacks);
    tree.insert_known(RULE_SET, rule_set.bytes, rule_set.sha256.to_string());
    for (name, document) in stacks::iot_policies(platform) {
        tree.insert(format!("iot/policies/{name}"), document);
    }
    tree.insert_below("contracts", contract::contracts(platform));
    for (name, template) in stacks {
        tree.insert_known(format!("cloudformation/{name}"), template.text, template.sha256);
    }
    for question in questions::questions(platform) {
        tree.insert(format!("queries/{}", question.file), question.text);
    }
    tree.insert("scripts/deploy.sh", scripts.deploy);
    tree.insert("scripts/devices.sh", scripts.devices);
    if let Some(serials) = scripts.serials {
        tree.insert("scripts/serials.sh", serials);
    }
    if let Some(claims) = scripts.claims {
        tree.insert("scripts/claims.sh", claims);
    }
    tree.insert("RUNBOOK.md", scripts.runbook);
    let mut manifest = Manifest::of(&tree, platform.name.as_str());
    manifest.rule_set = Some(RuleSetAddress { format_version: FORMAT_VERSION, sha256: rule_set.sha256.to_string() });
    tree.insert(MANIFEST, manifest.to_bytes());
    tree
}
