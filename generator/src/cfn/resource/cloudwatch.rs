//! CloudWatch alarms and dashboards.

use serde::Serialize;
use smol_str::SmolStr;

use crate::cfn::{stack::Resource, value::Text};

/// An alarm on one metric or on the sum of several.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Alarm {
    pub(crate) alarm_description: String,
    pub(crate) alarm_actions: Vec<Text>,
    pub(crate) comparison_operator: &'static str,
    pub(crate) threshold: u64,
    pub(crate) evaluation_periods: u32,
    pub(crate) treat_missing_data: &'static str,
    pub(crate) metrics: Vec<MetricQuery>,
}

impl Resource for Alarm {
    const TYPE: &'static str = "AWS::CloudWatch::Alarm";
}

/// One term of an alarm.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct MetricQuery {
    pub(crate) id: SmolStr,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) expression: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) metric_stat: Option<MetricStat>,
    pub(crate) return_data: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct MetricStat {
    pub(crate) metric: Metric,
    /// Seconds.
    pub(crate) period: u32,
    pub(crate) stat: &'static str,
}

#[derive(Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Metric {
    pub(crate) namespace: &'static str,
    pub(crate) metric_name: &'static str,
    pub(crate) dimensions: Vec<Dimension>,
}

#[derive(Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Dimension {
    pub(crate) name: &'static str,
    pub(crate) value: Text,
}

/// A dashboard.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Dashboard {
    /// JSON.
    pub(crate) dashboard_body: Text,
}

impl Resource for Dashboard {
    const TYPE: &'static str = "AWS::CloudWatch::Dashboard";
}
