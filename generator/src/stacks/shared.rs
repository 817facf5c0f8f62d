//! What functions in several stacks share: the location of their code and rule sets, the destination of records that
//! cannot be processed, and the outputs through which a function is monitored.

use std::collections::BTreeMap;

use fleetform_policy::iam::{Condition, Statement, Target};

use super::{
    artifacts::{self, Decryption},
    bucket, encryption,
    function::Added,
    site::Site,
};
use crate::cfn::{
    resource::lambda::Code,
    stack::{Output, Stack},
    value::Text,
};

/// The outputs for monitoring a function.
pub(crate) struct FunctionOutputs {
    pub(crate) name: Output,
    pub(crate) dead_letters_name: Output,
    /// `None` if it has no event source.
    pub(crate) mapping_id: Option<Output>,
}

/// The location of code and rule sets.
pub(crate) struct Artifacts {
    pub(crate) bucket: Text,
    key: Decryption,
}

impl Artifacts {
    /// Refers to the artifact bucket through a parameter of a stack.
    pub(crate) fn of(site: &Site<'_>, stack: &mut Stack) -> Self {
        let bucket = stack.parameter("ArtifactBucket", "Name of the bucket for templates, code and rule sets");
        let key = match artifacts::decryption(site) {
            Decryption::ArtifactKey(arn) => {
                Decryption::ArtifactKey(stack.passed("ArtifactKeyArn", "ARN of the key of the artifact bucket", arn))
            }
            other => other,
        };
        Self { bucket, key }
    }

    /// The code of a function, whose key is supplied when the stack is created.
    pub(crate) fn code(&self, stack: &mut Stack, key: &'static str, description: &'static str) -> Code {
        Code { bucket: self.bucket.clone(), key: stack.parameter(key, description) }
    }

    /// Permission to read rule sets.
    pub(crate) fn read_rule_sets(&self) -> Vec<Statement<Text>> {
        let artifacts = bucket::bucket_arn(&self.bucket);
        let mut statements =
            vec![Statement::allow("ReadRuleSets", ["s3:GetObject"], [bucket::objects(&artifacts, "rules/")])];
        match &self.key {
            Decryption::PlatformKey => {}
            Decryption::ArtifactKey(key) => statements.push(encryption::decrypt("ArtifactKey", key)),
            Decryption::Unknown => {
                let keys = Target::Many {
                    arn: Text::arn("kms", ["key/*".into()]),
                    reason: "only the owner of a given artifact bucket knows its key; the conditions tie it to that bucket",
                };
                let s3 = Text::concat(["s3.".into(), Text::region(), ".".into(), Text::url_suffix()]);
                let any = Text::concat([artifacts.clone(), "/rules/*".into()]);
                statements.push(
                    Statement::allow("ArtifactKey", ["kms:Decrypt"], [keys])
                        .when(Condition::text("StringEquals", "kms:ViaService", s3))
                        .when(Condition::texts("StringLike", "kms:EncryptionContext:aws:s3:arn", [artifacts, any])),
                );
            }
        }
        statements
    }
}

/// Permission for functions with a stream as their event source to store records that they could not process, in the
/// bucket with this ARN.
pub(crate) fn keep_failures(failures_arn: &Text) -> [Statement<Text>; 2] {
    [
        Statement::allow("KeepFailures", ["s3:PutObject"], [bucket::objects(failures_arn, "")]),
        Statement::allow("FindFailures", ["s3:ListBucket"], [Target::One(failures_arn.clone())]),
    ]
}

/// Permission to read the telemetry stream with shared throughput.
pub(crate) fn read_stream(stream_arn: &Text) -> Statement<Text> {
    let actions = [
        "kinesis:DescribeStream",
        "kinesis:DescribeStreamSummary",
        "kinesis:GetRecords",
        "kinesis:GetShardIterator",
        "kinesis:ListShards",
    ];
    Statement::allow("ReadStream", actions, [Target::One(stream_arn.clone())])
}

/// The environment variables that every function has.
pub(crate) fn common_environment(site: &Site<'_>) -> BTreeMap<&'static str, Text> {
    BTreeMap::from([
        ("FLEETFORM_PLATFORM", site.platform.name.as_str().into()),
        ("FLEETFORM_ENVIRONMENT", site.platform.environment.id.as_str().into()),
    ])
}

/// The name of a function's dead-letter queue, for monitoring.
pub(crate) fn dead_letters(stack: &mut Stack, added: &Added, name: &'static str) -> Output {
    stack.output(name, "Name of a queue of dead letters", added.dead_letters.name())
}
