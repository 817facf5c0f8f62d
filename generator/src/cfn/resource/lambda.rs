//! Lambda functions and what feeds them.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::cfn::{
    stack::{Handle, Resource},
    value::Text,
};

/// A function.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Function {
    pub(crate) description: &'static str,
    pub(crate) runtime: &'static str,
    pub(crate) architectures: [&'static str; 1],
    pub(crate) handler: &'static str,
    pub(crate) code: Code,
    pub(crate) memory_size: u32,
    /// Seconds.
    pub(crate) timeout: u32,
    pub(crate) role: Text,
    pub(crate) environment: Environment,
    pub(crate) kms_key_arn: Text,
    pub(crate) dead_letter_config: DeadLetterConfig,
    pub(crate) tracing_config: TracingConfig,
    pub(crate) logging_config: LoggingConfig,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reserved_concurrent_executions: Option<u32>,
}

#[derive(Serialize)]
pub(crate) struct Code {
    #[serde(rename = "S3Bucket")]
    pub(crate) bucket: Text,
    #[serde(rename = "S3Key")]
    pub(crate) key: Text,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Environment {
    pub(crate) variables: BTreeMap<&'static str, Text>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct DeadLetterConfig {
    pub(crate) target_arn: Text,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct TracingConfig {
    pub(crate) mode: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct LoggingConfig {
    pub(crate) log_format: &'static str,
    pub(crate) log_group: Text,
}

impl Resource for Function {
    const TYPE: &'static str = "AWS::Lambda::Function";
}

impl Handle<Function> {
    pub(crate) fn arn(&self) -> Text {
        self.attribute("Arn")
    }
}

/// Permission for a service to invoke a function.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Permission {
    pub(crate) action: &'static str,
    pub(crate) function_name: Text,
    pub(crate) principal: &'static str,
    pub(crate) source_account: Text,
    pub(crate) source_arn: Text,
}

impl Resource for Permission {
    const TYPE: &'static str = "AWS::Lambda::Permission";
    const TAGS: Option<&'static str> = None;
}

/// An event source mapping, which reads a stream and invokes a function.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct EventSourceMapping {
    pub(crate) event_source_arn: Text,
    pub(crate) function_name: Text,
    pub(crate) starting_position: &'static str,
    pub(crate) batch_size: u32,
    #[serde(rename = "MaximumBatchingWindowInSeconds")]
    pub(crate) batching_window_s: u64,
    pub(crate) parallelization_factor: u32,
    pub(crate) bisect_batch_on_function_error: bool,
    pub(crate) maximum_retry_attempts: u32,
    #[serde(rename = "MaximumRecordAgeInSeconds")]
    pub(crate) record_age_max_s: u64,
    pub(crate) function_response_types: [&'static str; 1],
    pub(crate) destination_config: DestinationConfig,
    pub(crate) metrics_config: MetricsConfig,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) filter_criteria: Option<FilterCriteria>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct DestinationConfig {
    pub(crate) on_failure: OnFailure,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct OnFailure {
    pub(crate) destination: Text,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct MetricsConfig {
    pub(crate) metrics: [&'static str; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct FilterCriteria {
    pub(crate) filters: Vec<Filter>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Filter {
    /// JSON.
    pub(crate) pattern: &'static str,
}

impl Resource for EventSourceMapping {
    const TYPE: &'static str = "AWS::Lambda::EventSourceMapping";
}
