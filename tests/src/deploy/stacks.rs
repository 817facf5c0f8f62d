//! The stacks: created, checked through each service's own interface, partly updated, and deleted.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Failure, Test, platform::Variant, script::Run};

const ROOT: &str = "deploy-test-test";

impl Test {
    pub(super) fn deploy(&mut self, more: &[&str]) -> Result<Run, Failure> {
        let artifacts = self.setup.artifacts.to_string();
        let mut arguments = vec!["--artifacts", &artifacts, "--yes"];
        arguments.extend(more);
        self.deploy_script(&arguments)
    }

    pub(super) fn dry_run_changes_nothing(&mut self) -> Result<(), Failure> {
        self.transcript.part("deploy.sh --dry-run, before anything is there");
        let run = self.deploy(&["--dry-run"])?;
        self.transcript.check("case_18: it succeeds", run.succeeded);
        self.transcript.equal("case_18: it makes no mutating call", run.mutating_calls(), Vec::<&str>::new());
        self.transcript.check("case_18: it prints the plan", run.printed.contains(&format!("create stack {ROOT}")));
        let stacks = self.aws.list(&["cloudformation", "describe-stacks"], "Stacks")?;
        self.transcript.equal("case_18: there is no stack", stacks.len(), 0);
        Ok(())
    }

    pub(super) fn create(&mut self) -> Result<(), Failure> {
        self.transcript.part("deploy.sh, which creates the stacks");
        let run = self.deploy(&[])?;
        self.transcript.check("it succeeds", run.succeeded);
        if !run.succeeded {
            self.print_failed_events()?;
            return Err("without stacks there is nothing to go on with".into());
        }
        for (name, stack) in self.nested_stacks()? {
            self.transcript.equal(&format!("nested stack {name}"), stack.status.as_str(), "CREATE_COMPLETE");
        }
        Ok(())
    }

    pub(super) fn second_run_changes_nothing(&mut self) -> Result<(), Failure> {
        self.transcript.part("deploy.sh again, with nothing changed");
        let before = self.nested_stacks()?;
        let run = self.deploy(&[])?;
        self.transcript.check("case_17: it succeeds", run.succeeded);
        self.transcript.equal("case_17: it makes no mutating call", run.mutating_calls(), Vec::<&str>::new());
        self.transcript.equal("case_17: no stack was updated", self.nested_stacks()?, before);
        Ok(())
    }

    pub(super) fn update(&mut self) -> Result<(), Failure> {
        self.generate(Variant::ChangedRule)?;
        self.transcript.part("deploy.sh, which updates what a changed rule changes");
        let before = self.nested_stacks()?;
        let run = self.deploy(&[])?;
        self.transcript.check("it succeeds", run.succeeded);
        let after = self.nested_stacks()?;
        let moved: Vec<_> = after
            .iter()
            .filter(|(name, stack)| before.get(*name) != Some(stack))
            .map(|(name, _)| name.as_str())
            .collect();
        // The stack with the alarms takes the functions' names from the one that changed: CloudFormation visits it too,
        // and finds nothing to do.
        self.transcript.check("the processing stack was updated", moved.contains(&"Processing"));
        self.transcript.check(
            "the stream and the tables were left alone",
            !moved.contains(&"Ingest") && !moved.contains(&"Alerting"),
        );
        Ok(())
    }

    pub(super) fn delete(&mut self) -> Result<(), Failure> {
        self.transcript.part("deploy.sh --delete");
        let kept = self.retained()?;
        let run = self.deploy_script(&["--delete", "--yes"])?;
        self.transcript.check("it succeeds", run.succeeded);
        let stacks = self.aws.list(&["cloudformation", "describe-stacks"], "Stacks")?;
        let left: Vec<_> = stacks
            .iter()
            .filter(|stack| stack["StackStatus"] != "DELETE_COMPLETE")
            .map(|stack| stack["StackName"].as_str().unwrap_or_default())
            .collect();
        self.transcript.equal("no stack is left", left, Vec::<&str>::new());
        self.transcript.equal("streams, tables, buckets and keys are retained", self.retained()?, kept);
        let functions = self.aws.list(&["lambda", "list-functions"], "Functions")?;
        self.transcript.equal("functions are gone", functions.len(), 0);
        let rules = self.aws.list(&["iot", "list-topic-rules"], "rules")?;
        self.transcript.equal("topic rules are gone", rules.len(), 0);
        Ok(())
    }

    /// The names of everything that holds data.
    fn retained(&self) -> Result<Vec<String>, Failure> {
        let names = |list: Vec<Value>, key: Option<&'static str>| {
            list.into_iter().filter_map(move |item| key.map_or(&item, |key| &item[key]).as_str().map(str::to_owned))
        };
        let mut kept = Vec::new();
        kept.extend(names(self.aws.list(&["kinesis", "list-streams"], "StreamNames")?, None));
        kept.extend(names(self.aws.list(&["dynamodb", "list-tables"], "TableNames")?, None));
        kept.extend(names(self.aws.list(&["s3api", "list-buckets"], "Buckets")?, Some("Name")));
        kept.extend(names(self.aws.list(&["kms", "list-keys"], "Keys")?, Some("KeyId")));
        kept.sort();
        Ok(kept)
    }

    /// An output of the root stack.
    pub(super) fn output(&self, name: &str) -> Result<String, Failure> {
        let stack = self.describe(ROOT)?;
        let outputs = stack["Outputs"].as_array().cloned().unwrap_or_default();
        let found = outputs.iter().find(|output| output["OutputKey"] == name);
        let value = found.and_then(|output| output["OutputValue"].as_str());
        Ok(value.ok_or_else(|| format!("stack {ROOT} has no output {name}"))?.to_owned())
    }

    /// A parameter of the root stack.
    pub(super) fn parameter(&self, name: &str) -> Result<String, Failure> {
        let stack = self.describe(ROOT)?;
        let parameters = stack["Parameters"].as_array().cloned().unwrap_or_default();
        let found = parameters.iter().find(|parameter| parameter["ParameterKey"] == name);
        let value = found.and_then(|parameter| parameter["ParameterValue"].as_str());
        Ok(value.ok_or_else(|| format!("stack {ROOT} has no parameter {name}"))?.to_owned())
    }

    fn describe(&self, stack: &str) -> Result<Value, Failure> {
        let mut stacks = self.aws.list(&["cloudformation", "describe-stacks", "--stack-name", stack], "Stacks")?;
        stacks.pop().ok_or_else(|| format!("no stack {stack}").into())
    }

    /// The nested stacks by logical id, with the properties that change when one is updated.
    fn nested_stacks(&self) -> Result<BTreeMap<String, Nested>, Failure> {
        let listed = ["cloudformation", "describe-stack-resources", "--stack-name", ROOT];
        let mut nested = BTreeMap::new();
        for resource in self.aws.list(&listed, "StackResources")? {
            if resource["ResourceType"] != "AWS::CloudFormation::Stack" {
                continue;
            }
            let text = |key: &str| resource[key].as_str().unwrap_or_default().to_owned();
            let stack = self.describe(&text("PhysicalResourceId"))?;
            let state = Nested {
                id: text("PhysicalResourceId"),
                status: stack["StackStatus"].as_str().unwrap_or_default().to_owned(),
                updated: stack["LastUpdatedTime"].to_string(),
            };
            nested.insert(text("LogicalResourceId"), state);
        }
        Ok(nested)
    }

    fn print_failed_events(&mut self) -> Result<(), Failure> {
        for stack in self.aws.list(&["cloudformation", "describe-stacks"], "Stacks")? {
            let name = stack["StackName"].as_str().unwrap_or_default();
            let events =
                self.aws.list(&["cloudformation", "describe-stack-events", "--stack-name", name], "StackEvents")?;
            for event in events {
                if event["ResourceStatus"].as_str().is_some_and(|status| status.contains("FAILED")) {
                    self.transcript
                        .note(format!("{name} {} {}", event["LogicalResourceId"], event["ResourceStatusReason"]));
                }
            }
        }
        Ok(())
    }
}

/// The current state of a nested stack.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Nested {
    id: String,
    status: String,
    updated: String,
}
