//! EventBridge Scheduler.

use serde::Serialize;
use smol_str::SmolStr;

use crate::cfn::{stack::Resource, value::Text};

/// A schedule that invokes a target repeatedly.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Schedule {
    pub(crate) description: &'static str,
    pub(crate) schedule_expression: String,
    /// The IANA time zone of a cron expression; UTC if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) schedule_expression_timezone: Option<SmolStr>,
    pub(crate) flexible_time_window: FlexibleTimeWindow,
    pub(crate) state: &'static str,
    pub(crate) target: Target,
}

impl Schedule {
    /// Returns the expression for an interval in whole minutes. The unit is singular for one ("Schedule types in
    /// EventBridge Scheduler", Amazon EventBridge Scheduler user guide).
    pub(crate) fn every_minutes(minutes: u64) -> String {
        if minutes == 1 { "rate(1 minute)".to_owned() } else { format!("rate({minutes} minutes)") }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct FlexibleTimeWindow {
    pub(crate) mode: &'static str,
}

/// What is invoked, with which role, and where an event goes that cannot be delivered.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Target {
    pub(crate) arn: Text,
    pub(crate) role_arn: Text,
    pub(crate) dead_letter_config: DeadLetterConfig,
    pub(crate) retry_policy: RetryPolicy,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct DeadLetterConfig {
    pub(crate) arn: Text,
}

#[derive(Serialize)]
pub(crate) struct RetryPolicy {
    #[serde(rename = "MaximumEventAgeInSeconds")]
    pub(crate) event_age_max_s: u32,
    #[serde(rename = "MaximumRetryAttempts")]
    pub(crate) retries_max: u32,
}

impl Resource for Schedule {
    const TYPE: &'static str = "AWS::Scheduler::Schedule";
    // Only groups of schedules have tags.
    const TAGS: Option<&'static str> = None;
}
