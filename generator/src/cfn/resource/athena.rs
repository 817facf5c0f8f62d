//! Amazon Athena.

use serde::Serialize;

use crate::cfn::{
    stack::{Handle, Resource},
    value::Text,
};

/// A workgroup: where queries run, and how much each may scan.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct WorkGroup {
    pub(crate) name: String,
    pub(crate) description: &'static str,
    pub(crate) state: &'static str,
    /// Whether deleting the workgroup also deletes the queries saved in it.
    pub(crate) recursive_delete_option: bool,
    pub(crate) work_group_configuration: WorkGroupConfiguration,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct WorkGroupConfiguration {
    pub(crate) bytes_scanned_cutoff_per_query: u64,
    /// Whether these settings override those of the client.
    pub(crate) enforce_work_group_configuration: bool,
    pub(crate) engine_version: EngineVersion,
    pub(crate) publish_cloud_watch_metrics_enabled: bool,
    pub(crate) result_configuration: ResultConfiguration,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct EngineVersion {
    pub(crate) selected_engine_version: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ResultConfiguration {
    pub(crate) encryption_configuration: ResultEncryption,
    pub(crate) output_location: Text,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ResultEncryption {
    pub(crate) encryption_option: &'static str,
    pub(crate) kms_key: Text,
}

impl Resource for WorkGroup {
    const TYPE: &'static str = "AWS::Athena::WorkGroup";
}

impl Handle<WorkGroup> {
    /// The ARN of the workgroup, which no attribute returns.
    pub(crate) fn arn(&self) -> Text {
        Text::arn("athena", ["workgroup/".into(), self.reference()])
    }
}

/// A saved query that is listed in the console.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct NamedQuery {
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) database: Text,
    pub(crate) query_string: Text,
    pub(crate) work_group: Text,
}

impl Resource for NamedQuery {
    const TYPE: &'static str = "AWS::Athena::NamedQuery";
    const TAGS: Option<&'static str> = None;
}
