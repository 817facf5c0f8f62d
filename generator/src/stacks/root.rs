//! The root template: nests the others in dependency order, and passes values between them.

use std::collections::BTreeMap;

use smol_str::SmolStr;

use super::{alerting, ingest, observability, processing, provisioning, site::Site, storage};
use crate::{
    cfn::{
        resource::cloudformation::NestedStack,
        stack::{Handle, Source, Stack},
        value::{Text, logical_id},
    },
    output::sha256,
};

/// All templates of a deployment, by name.
pub(crate) struct Deployment {
    /// The nested stacks, followed by the root.
    pub(crate) stacks: Vec<Stack>,
    /// The templates, by stack name.
    pub(crate) templates: BTreeMap<SmolStr, Template>,
}

/// The text of a template and its hash, which is its name when uploaded and referred to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    /// YAML.
    pub text: String,
    /// SHA-256 of the text, in hexadecimal.
    pub sha256: String,
}

impl Template {
    pub(crate) fn of(stack: &Stack) -> Self {
        let text = stack.to_yaml();
        Self { sha256: sha256(text.as_bytes()), text }
    }
}

/// Builds the root and everything that it nests.
pub(crate) fn deployment(site: &Site<'_>, rule_set_sha256: &str) -> Deployment {
    let mut root = Root::new(site);
    let ingest = root.nest(ingest::stacks(site));
    let alerting = root.nest(alerting::stacks(site, &ingest));
    let processing = root.nest(processing::stacks(site, &ingest, &alerting, rule_set_sha256));
    let storage = root.nest(storage::stacks(site, &ingest, &processing, rule_set_sha256));
    let provisioning = root.nest(provisioning::stacks(site, &ingest));
    let watched = observability::Watched {
        ingest: &ingest,
        alerting: &alerting,
        processing: &processing,
        storage: storage.as_ref(),
        provisioning: provisioning.as_ref(),
    };
    root.nest(observability::stacks(site, watched));
    root.finish()
}

/// Outputs of nested stacks that the root exposes to people and scripts.
const SHOWN: [&str; 28] = [
    "AlertConfigurationTableName",
    "AlertsTableName",
    "AllowListTableName",
    "ColdBucketName",
    "DeliveriesTableName",
    "DeliveryStreamName",
    "EvaluateFunctionName",
    "ExportFunctionName",
    "FailureBucketName",
    "HotTableName",
    "NotifyFunctionName",
    "OutboxTableName",
    "ProvisionFunctionName",
    "ProvisioningTemplateName",
    "QuarantineTableName",
    "QueryFunctionName",
    "RegistrationsTableName",
    "RelayFunctionName",
    "RuleErrorBucketName",
    "StateBucketName",
    "StoreFunctionName",
    "SweepFunctionName",
    "TableBucketArn",
    "TelemetryStreamArn",
    "TelemetryStreamName",
    "TimestreamDatabaseName",
    "UndeliveredBucketName",
    "WorkgroupName",
];

/// The root template while it is being built.
struct Root {
    stack: Stack,
    artifact_bucket: Text,
    nested: BTreeMap<SmolStr, Handle<NestedStack>>,
    stacks: Vec<Stack>,
    templates: BTreeMap<SmolStr, Template>,
}

impl Root {
    fn new(site: &Site<'_>) -> Self {
        let mut stack = site.stack("root", site.platform.description.as_deref().unwrap_or("an IoT platform"));
        let artifact_bucket = stack.parameter("ArtifactBucket", "Name of the bucket for templates, code and rule sets");
        Self { stack, artifact_bucket, nested: BTreeMap::new(), stacks: Vec::new(), templates: BTreeMap::new() }
    }

    /// Nests stacks. The values that they import come from stacks nested earlier.
    fn nest<T>(&mut self, (stacks, outputs): (Vec<Stack>, T)) -> T {
        for stack in stacks {
            self.nest_one(stack);
        }
        outputs
    }

    fn nest_one(&mut self, nested: Stack) {
        let template = Template::of(&nested);
        let parameters = nested.sources().map(|(name, source)| {
            let value = match source {
                Source::Creator => self.stack.forward(&nested, name),
                Source::Output(output) => self.nested[&output.stack].output(output),
                Source::Value(value) => value.clone(),
            };
            (name.clone(), value)
        });
        let resource = NestedStack { parameters: parameters.collect(), template_url: self.url(&template) };
        let handle = self.stack.add(logical_id(nested.name(), ""), resource);
        for before in nested.waits_for().iter().filter_map(|name| self.nested.get(name)) {
            self.stack.wait(&handle, before);
        }
        for output in nested.outputs().filter(|output| SHOWN.contains(&output.name.as_str())) {
            self.stack.show(&output, handle.output(&output));
        }
        self.nested.insert(nested.name().clone(), handle);
        self.templates.insert(nested.name().clone(), template);
        self.stacks.push(nested);
    }

    /// The URL of a template: under its own hash, so that an update touches only the stacks whose template changed, and
    /// in path style, which works for every bucket name.
    fn url(&self, template: &Template) -> Text {
        Text::concat([
            "https://s3.".into(),
            Text::region(),
            ".".into(),
            Text::url_suffix(),
            "/".into(),
            self.artifact_bucket.clone(),
            format!("/templates/{}.yaml", template.sha256).into(),
        ])
    }

    fn finish(mut self) -> Deployment {
        self.templates.insert(self.stack.name().clone(), Template::of(&self.stack));
        self.stacks.push(self.stack);
        Deployment { stacks: self.stacks, templates: self.templates }
    }
}
