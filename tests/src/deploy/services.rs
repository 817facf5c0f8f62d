//! What each service reports about the deployed resources, instead of relying on the status of a stack.

use super::{Failure, Test};

impl Test {
    pub(super) fn assert_services(&mut self) -> Result<(), Failure> {
        self.transcript.part("what the services say of it");
        self.stream()?;
        self.tables()?;
        self.buckets()?;
        self.topics()?;
        self.functions()?;
        self.device_registry()
    }

    fn stream(&mut self) -> Result<(), Failure> {
        let name = self.output("TelemetryStreamName")?;
        let answer = self.aws.call(&["kinesis", "describe-stream-summary", "--stream-name", &name])?;
        let stream = &answer["StreamDescriptionSummary"];
        self.transcript.equal("the stream is active", &stream["StreamStatus"], "ACTIVE");
        self.transcript.equal("it has the shards of the file", &stream["OpenShardCount"], 2);
        Ok(())
    }

    fn tables(&mut self) -> Result<(), Failure> {
        for (output, keys) in [
            ("OutboxTableName", vec!["id"]),
            ("AlertsTableName", vec!["device", "episode"]),
            ("QuarantineTableName", vec!["id"]),
            ("AlertConfigurationTableName", vec!["rule"]),
            ("AllowListTableName", vec!["serial"]),
            ("DeliveriesTableName", vec!["notification", "target"]),
            ("RegistrationsTableName", vec!["id"]),
            ("HotTableName", vec!["device_id", "sample"]),
        ] {
            let name = self.output(output)?;
            let answer = self.aws.call(&["dynamodb", "describe-table", "--table-name", &name])?;
            let schema = answer["Table"]["KeySchema"].as_array().cloned().unwrap_or_default();
            let found: Vec<_> = schema.iter().filter_map(|key| key["AttributeName"].as_str()).collect();
            self.transcript.equal(&format!("keys of {output}"), found, keys);
            if output == "OutboxTableName" {
                let stream = &answer["Table"]["StreamSpecification"]["StreamViewType"];
                self.transcript.equal("the outbox has a stream of new images", stream, "NEW_IMAGE");
            }
        }
        Ok(())
    }

    fn buckets(&mut self) -> Result<(), Failure> {
        for output in ["StateBucketName", "FailureBucketName"] {
            let name = self.output(output)?;
            let block = self.aws.call(&["s3api", "get-public-access-block", "--bucket", &name])?;
            let flags = block["PublicAccessBlockConfiguration"].as_object().cloned().unwrap_or_default();
            let all = flags.len() == 4 && flags.values().all(|flag| flag == true);
            self.transcript.check(&format!("{output} is closed to the public four times"), all);
            let versions = self.aws.call(&["s3api", "get-bucket-versioning", "--bucket", &name])?;
            self.transcript.equal(&format!("{output} keeps versions"), &versions["Status"], "Enabled");
        }
        Ok(())
    }

    fn topics(&mut self) -> Result<(), Failure> {
        let topics = self.aws.list(&["sns", "list-topics"], "Topics")?;
        let arns: Vec<_> = topics.iter().filter_map(|topic| topic["TopicArn"].as_str()).collect();
        for channel in ["email", "sms"] {
            let wanted = format!(":deploy-test-test-oncall-{channel}");
            self.transcript
                .check(&format!("there is a topic …{wanted}"), arns.iter().any(|arn| arn.ends_with(&wanted)));
        }
        let subscriptions = self.aws.list(&["sns", "list-subscriptions"], "Subscriptions")?;
        let mut found: Vec<_> = subscriptions
            .iter()
            .map(|one| format!("{}:{}", one["Protocol"].as_str().unwrap_or(""), one["Endpoint"].as_str().unwrap_or("")))
            .filter(|one| one.starts_with("sms") || one.starts_with("email"))
            .collect();
        found.sort();
        let wanted = ["email:oncall@example.com", "sms:+12025550123"];
        self.transcript.check(
            "the contact's addresses are subscribed",
            wanted.iter().all(|one| found.contains(&(*one).to_owned())),
        );
        Ok(())
    }

    fn functions(&mut self) -> Result<(), Failure> {
        for (output, handler) in [("EvaluateFunctionName", "evaluate"), ("NotifyFunctionName", "notify")] {
            let name = self.output(output)?;
            let function = self.aws.call(&["lambda", "get-function-configuration", "--function-name", &name])?;
            self.transcript.equal(&format!("handler of {output}"), &function["Handler"], handler);
            self.transcript.equal(&format!("runtime of {output}"), &function["Runtime"], "provided.al2023");
            let mappings = ["lambda", "list-event-source-mappings", "--function-name", &name];
            let mappings = self.aws.list(&mappings, "EventSourceMappings")?;
            self.transcript.equal(&format!("event sources of {output}"), mappings.len(), 1);
            let Some(mapping) = mappings.first() else { continue };
            self.transcript.equal("partial responses", &mapping["FunctionResponseTypes"][0], "ReportBatchItemFailures");
            self.transcript.equal("bisects", &mapping["BisectBatchOnFunctionError"], true);
            let destination = mapping["DestinationConfig"]["OnFailure"]["Destination"].as_str();
            self.transcript
                .check("has a destination for what fails", destination.is_some_and(|arn| arn.starts_with("arn:")));
        }
        self.schedule()
    }

    fn schedule(&mut self) -> Result<(), Failure> {
        let mut woken = Vec::new();
        for schedule in self.aws.list(&["scheduler", "list-schedules"], "Schedules")? {
            let name = schedule["Name"].as_str().unwrap_or_default();
            let schedule = self.aws.call(&["scheduler", "get-schedule", "--name", name])?;
            woken.push((schedule["Target"]["Arn"].clone(), schedule["ScheduleExpression"].clone()));
        }
        self.transcript.equal("schedules", woken.len(), 2);
        for (output, handler, when) in
            [("SweepFunctionName", "sweep", "rate(1 minute)"), ("ExportFunctionName", "export", "cron(30 2 * * ? *)")]
        {
            let name = self.output(output)?;
            let function = self.aws.call(&["lambda", "get-function-configuration", "--function-name", &name])?;
            self.transcript.equal(&format!("handler of {output}"), &function["Handler"], handler);
            let wakes = woken.iter().find(|(target, _)| *target == function["FunctionArn"]);
            let expression = wakes.and_then(|(_, expression)| expression.as_str());
            self.transcript.equal(&format!("what wakes {handler}"), expression, Some(when));
        }
        Ok(())
    }

    fn device_registry(&mut self) -> Result<(), Failure> {
        let rules = self.aws.list(&["iot", "list-topic-rules"], "rules")?;
        self.transcript.equal("topic rules for telemetry, status, alerts and lifecycle events", rules.len(), 4);
        for rule in &rules {
            let name = rule["ruleName"].as_str().unwrap_or_default();
            let answer = self.aws.call(&["iot", "get-topic-rule", "--rule-name", name])?;
            let rule = &answer["rule"];
            self.transcript.equal(&format!("SQL version of {name}"), &rule["awsIotSqlVersion"], "2016-03-23");
            self.transcript.check(&format!("{name} has an error action"), rule["errorAction"]["s3"].is_object());
            let key = rule["actions"][0]["kinesis"]["partitionKey"].as_str();
            let device = if name.ends_with("_lifecycle") { "${topic(5)}" } else { "${topic(2)}" };
            self.transcript.equal(&format!("{name} keeps a device on one shard"), key, Some(device));
        }
        for policy in self.aws.list(&["iot", "list-policies"], "policies")? {
            let name = policy["policyName"].as_str().unwrap_or_default();
            let answer = self.aws.call(&["iot", "get-policy", "--policy-name", name])?;
            let document = answer["policyDocument"].as_str().unwrap_or_default();
            let size = document.chars().filter(|character| !character.is_whitespace()).count();
            // A claim certificate is not attached to a thing.
            let bound_to = if name.ends_with("-claim") {
                "client/${iot:Certificate.Subject.CommonName}/*"
            } else {
                "iot:Connection.Thing.ThingName"
            };
            self.transcript.check(&format!("policy {name} is bound to {bound_to}"), document.contains(bound_to));
            self.transcript.check(&format!("policy {name} fits into 2,048 characters"), size <= 2_048);
        }
        let types = self.aws.list(&["iot", "list-thing-types"], "thingTypes")?;
        self.transcript.check("there is a thing type for the device type", !types.is_empty());
        Ok(())
    }
}
