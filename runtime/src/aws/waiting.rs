//! The outbox in DynamoDB, as the sweep uses it to find undelivered notices.

use aws_sdk_dynamodb::{Client, error::SdkError, operation::update_item::UpdateItemError, types::AttributeValue};
use fleetform_engine::{drive::PortError, units::Timestamp};
use futures_util::future::try_join_all;
use smol_str::SmolStr;

use crate::{
    aws::describe,
    outbox::{OPEN, OPEN_INDEX, SHELVES, TOUCHED_AT},
    sweep::redrive::{Outbox, Waiting},
};

/// The table of notices.
#[derive(Debug)]
pub struct DynamoOutbox {
    client: Client,
    table: String,
}

impl DynamoOutbox {
    /// Uses this table.
    pub fn new(client: Client, table: String) -> Self {
        Self { client, table }
    }

    /// The notices of one shelf, by the time at which they were last touched.
    async fn on_shelf(&self, shelf: &str, before: Timestamp, limit: usize) -> Result<Vec<Waiting>, PortError> {
        // One page only: the next sweep finds the rest.
        let page = self
            .client
            .query()
            .table_name(&self.table)
            .index_name(OPEN_INDEX)
            .key_condition_expression("#open = :shelf AND #touched_at < :before")
            .expression_attribute_names("#open", OPEN)
            .expression_attribute_names("#touched_at", TOUCHED_AT)
            .expression_attribute_values(":shelf", AttributeValue::S(shelf.to_owned()))
            .expression_attribute_values(":before", number(before))
            .limit(i32::try_from(limit).unwrap_or(i32::MAX))
            .send()
            .await
            .map_err(|error| PortError(describe("Query outbox", &error)))?;
        let waiting = page.items().iter().filter_map(|row| {
            Some(Waiting {
                notification: SmolStr::new(row.get("id")?.as_s().ok()?),
                touched_at: Timestamp(row.get(TOUCHED_AT)?.as_n().ok()?.parse().ok()?),
            })
        });
        Ok(waiting.collect())
    }
}

impl Outbox for DynamoOutbox {
    async fn waiting(&self, before: Timestamp, limit: usize) -> Result<Vec<Waiting>, PortError> {
        let each = limit.div_ceil(SHELVES.len());
        let shelves = try_join_all(SHELVES.map(|shelf| self.on_shelf(shelf, before, each))).await?;
        let mut waiting = shelves.concat();
        waiting.sort_by_key(|waiting| waiting.touched_at);
        waiting.truncate(limit);
        Ok(waiting)
    }

    async fn touch(&self, waiting: &Waiting, now: Timestamp) -> Result<bool, PortError> {
        // An index lags behind its table, so the row itself decides whether the notice is still open and unchanged.
        let touched = self
            .client
            .update_item()
            .table_name(&self.table)
            .key("id", AttributeValue::S(waiting.notification.to_string()))
            .update_expression("SET #touched_at = :now")
            .condition_expression("attribute_exists(#open) AND #touched_at = :seen")
            .expression_attribute_names("#open", OPEN)
            .expression_attribute_names("#touched_at", TOUCHED_AT)
            .expression_attribute_values(":now", number(now))
            .expression_attribute_values(":seen", number(waiting.touched_at))
            .send()
            .await;
        match touched {
            Ok(_) => Ok(true),
            Err(SdkError::ServiceError(refusal))
                if matches!(refusal.err(), UpdateItemError::ConditionalCheckFailedException(_)) =>
            {
                Ok(false)
            }
            Err(error) => Err(PortError(describe("UpdateItem outbox", &error))),
        }
    }
}

fn number(at: Timestamp) -> AttributeValue {
    AttributeValue::N(at.0.to_string())
}
