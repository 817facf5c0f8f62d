//! AWS Budgets.

use serde::Serialize;

use crate::cfn::{stack::Resource, value::Text};

/// A budget and the subscribers that it notifies. It takes tags under another name and in another form, so we leave
/// them out.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Budget {
    pub(crate) budget: BudgetData,
    pub(crate) notifications_with_subscribers: Vec<NotificationWithSubscribers>,
}

impl Resource for Budget {
    const TYPE: &'static str = "AWS::Budgets::Budget";
    const TAGS: Option<&'static str> = None;
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct BudgetData {
    pub(crate) budget_type: &'static str,
    pub(crate) time_unit: &'static str,
    pub(crate) budget_limit: Spend,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Spend {
    pub(crate) amount: u32,
    pub(crate) unit: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct NotificationWithSubscribers {
    pub(crate) notification: Notification,
    pub(crate) subscribers: Vec<Subscriber>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Notification {
    pub(crate) comparison_operator: &'static str,
    pub(crate) notification_type: &'static str,
    /// Percent of the budget.
    pub(crate) threshold: u32,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Subscriber {
    pub(crate) subscription_type: &'static str,
    pub(crate) address: Text,
}
