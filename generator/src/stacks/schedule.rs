//! A schedule that invokes a function periodically, and its role.
//!
//! Knows nothing about what the function does.

use fleetform_policy::iam::{Statement, Target};
use smol_str::SmolStr;

use super::{encryption, function::Added, site::Site};
use crate::cfn::{
    resource::scheduler::{DeadLetterConfig, FlexibleTimeWindow, RetryPolicy, Schedule, Target as ScheduleTarget},
    stack::Stack,
    value::Text,
};

/// How a schedule differs from the others.
pub(crate) struct Plan {
    /// Its logical id, in Pascal case, and that of its role.
    pub(crate) id: &'static str,
    /// What the schedule does.
    pub(crate) description: &'static str,
    /// What its role is for.
    pub(crate) role_description: &'static str,
    /// An EventBridge Scheduler expression.
    pub(crate) expression: String,
    /// The time zone of a cron expression.
    pub(crate) timezone: Option<SmolStr>,
    /// Seconds that an undeliverable event is kept.
    pub(crate) event_age_max_s: u32,
    /// How often its delivery is retried.
    pub(crate) retries_max: u32,
}

/// Adds a schedule that invokes a function.
pub(crate) fn add(site: &Site<'_>, stack: &mut Stack, key: &Text, woken: &Added, plan: Plan) {
    let role = site.role(
        stack,
        plan.id,
        plan.role_description,
        "scheduler.amazonaws.com",
        [
            Statement::allow("Wake", ["lambda:InvokeFunction"], [Target::One(woken.function.arn())]),
            Statement::allow("DeadLetters", ["sqs:SendMessage"], [Target::One(woken.dead_letters.arn())]),
            encryption::use_key("Key", key),
        ],
    );
    stack.add(
        plan.id,
        Schedule {
            description: plan.description,
            schedule_expression: plan.expression,
            schedule_expression_timezone: plan.timezone,
            flexible_time_window: FlexibleTimeWindow { mode: "OFF" },
            state: "ENABLED",
            target: ScheduleTarget {
                arn: woken.function.arn(),
                role_arn: role.arn(),
                dead_letter_config: DeadLetterConfig { arn: woken.dead_letters.arn() },
                retry_policy: RetryPolicy { event_age_max_s: plan.event_age_max_s, retries_max: plan.retries_max },
            },
        },
    );
}
