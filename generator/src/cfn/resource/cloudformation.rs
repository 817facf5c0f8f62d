//! CloudFormation itself.

use std::collections::BTreeMap;

use serde::Serialize;
use smol_str::SmolStr;

use crate::cfn::{
    stack::{Handle, Output, Removal, Resource},
    value::Text,
};

/// A nested stack.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct NestedStack {
    #[serde(rename = "TemplateURL")]
    pub(crate) template_url: Text,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) parameters: BTreeMap<SmolStr, Text>,
}

impl Resource for NestedStack {
    const TYPE: &'static str = "AWS::CloudFormation::Stack";
    // Resources inside it that must be kept have their own deletion policy.
    const REMOVAL: Option<Removal> = Some(Removal::Delete);
}

impl Handle<NestedStack> {
    /// The value of one of its outputs.
    pub(crate) fn output(&self, output: &Output) -> Text {
        self.attribute(&format!("Outputs.{}", output.name))
    }
}

/// The columns of a table, which one of our functions creates: a custom resource.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct TableColumns {
    /// ARN of the function.
    pub(crate) service_token: Text,
    /// Seconds that CloudFormation waits for a response.
    pub(crate) service_timeout: u32,
    /// `None` if the sample store accepts any columns.
    #[serde(flatten)]
    pub(crate) kept_in: Option<ColumnedTable>,
    pub(crate) columns: Vec<TableColumn>,
    pub(crate) exported: ExportedTable,
}

/// A table of Amazon S3 Tables.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ColumnedTable {
    pub(crate) table_bucket_arn: Text,
    pub(crate) namespace: &'static str,
    pub(crate) table: &'static str,
}

/// How exported files are partitioned.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ExportedTable {
    pub(crate) database: Text,
    pub(crate) table: &'static str,
    pub(crate) bucket: Text,
    pub(crate) partition_by: &'static str,
    pub(crate) zones: Vec<SmolStr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) aggregates: Option<&'static str>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct TableColumn {
    pub(crate) name: SmolStr,
    /// The type, as Apache Iceberg names it.
    pub(crate) r#type: &'static str,
}

impl Resource for TableColumns {
    const TYPE: &'static str = "Custom::Columns";
    const TAGS: Option<&'static str> = None;
}
