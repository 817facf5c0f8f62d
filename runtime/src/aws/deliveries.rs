//! The state of deliveries in DynamoDB: a row for each notice and target, and one for each disabled webhook. Every
//! change to a row is conditional, so only one of two senders gets the claim.

use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, PoisonError},
};

use aws_sdk_dynamodb::{
    Client,
    error::SdkError,
    operation::update_item::{UpdateItemError, builders::UpdateItemFluentBuilder},
    types::{AttributeValue, ReturnValue, ReturnValuesOnConditionCheckFailure},
};
use fleetform_engine::{
    drive::PortError,
    ids::{RuleId, ZoneId},
    routing::Target,
    units::{Millis, Timestamp},
};
use sha2::{Digest as _, Sha256};

use crate::{
    aws::{FLEET, describe},
    handler::notify::Outbox,
    notify::{
        delivery::{Claim, Deliveries, Ending},
        fleet::Fleets,
    },
    outbox::{OPEN, TOUCHED_AT},
};

/// How long a row is kept: longer than its notice may be delivered again.
const ROW_LIFE: Millis = Millis::from_days(35);
/// The attribute with the name of the claim that holds a row.
const CLAIM: &str = "claim";
/// The partition key of the rows of disabled webhooks. No notice has this key: those of notices are hashes.
const DISABLED: &str = "disabled";

/// The tables of deliveries, of notices and of alerts.
#[derive(Debug)]
pub struct DynamoDeliveries {
    client: Client,
    deliveries: String,
    outbox: String,
    alerts: String,
    /// Webhooks known not to be disabled. They are looked up again only when one answers 410.
    enabled: Mutex<HashSet<String>>,
}

impl DynamoDeliveries {
    /// Keeps deliveries in the first table, marks notices as settled in the second, and reads alerts from the third.
    pub fn new(client: Client, deliveries: String, outbox: String, alerts: String) -> Self {
        Self { client, deliveries, outbox, alerts, enabled: Mutex::default() }
    }

    /// Opens a connection, so that the first notice does not wait for it. Any answer from the service is enough.
    pub async fn connect(&self) -> Result<(), PortError> {
        let row = self.client.get_item().table_name(&self.deliveries);
        match row.key("notification", text(DISABLED)).key("target", text("-")).send().await {
            Ok(_) | Err(SdkError::ServiceError(_)) => Ok(()),
            Err(error) => Err(PortError(describe("GetItem", &error))),
        }
    }

    /// An update of an existing outbox row; a deleted row is not created again.
    fn notice(&self, notification: &str) -> UpdateItemFluentBuilder {
        self.client
            .update_item()
            .table_name(&self.outbox)
            .key("id", text(notification))
            .condition_expression("attribute_exists(id)")
    }

    fn row(&self, notification: &str, target: &str) -> UpdateItemFluentBuilder {
        self.client
            .update_item()
            .table_name(&self.deliveries)
            .key("notification", text(notification))
            .key("target", text(target))
            .expression_attribute_names("#status", "status")
    }
}

impl Deliveries for DynamoDeliveries {
    async fn claim(
        &self,
        notification: &str,
        target: &Target,
        now: Timestamp,
        lease_until: Timestamp,
    ) -> Result<Claim, PortError> {
        let claim = claim_name()?;
        let update = self
            .row(notification, &key(target))
            .update_expression(
                "SET #status = :claimed, #claim = :claim, lease_until = :lease_until, expires_at = :expires_at \
                 ADD attempts :one",
            )
            .expression_attribute_names("#claim", CLAIM)
            .expression_attribute_values(":claim", text(&claim))
            .condition_expression(
                "attribute_not_exists(#status) OR (#status = :claimed AND lease_until < :now) \
                 OR (#status = :failed AND not_before <= :now)",
            )
            .expression_attribute_values(":claimed", text("claimed"))
            .expression_attribute_values(":failed", text("failed"))
            .expression_attribute_values(":now", number(now.0))
            .expression_attribute_values(":lease_until", number(lease_until.0))
            .expression_attribute_values(":expires_at", number(now.after(ROW_LIFE).0 / 1_000))
            .expression_attribute_values(":one", number(1))
            .return_values(ReturnValue::UpdatedNew);
        Ok(match conditional("UpdateItem deliveries", update).await? {
            Ok(row) => Claim::Granted { attempt: field(&row, "attempts").unwrap_or(1) },
            Err(row) => refused(&row, &claim),
        })
    }

    async fn is_begun(&self, notification: &str, target: &Target) -> Result<bool, PortError> {
        let row = self.client.get_item().table_name(&self.deliveries).consistent_read(true);
        let row = row.key("notification", text(notification)).key("target", text(&key(target)));
        let found = row.send().await.map_err(|error| PortError(describe("GetItem deliveries", &error)))?;
        Ok(found.item.is_some())
    }

    async fn settle(&self, notification: &str, target: &Target, attempt: u32, ending: Ending) -> Result<(), PortError> {
        let row = self.row(notification, &key(target));
        let update = match ending {
            // Whichever sender holds the claim by now: the target has the notice.
            Ending::Sent => row
                .update_expression("SET #status = :status REMOVE not_before")
                .expression_attribute_values(":status", text("sent")),
            Ending::Failed { not_before } => row
                .update_expression("SET #status = :status, not_before = :not_before")
                .expression_attribute_values(":status", text("failed"))
                .expression_attribute_values(":not_before", number(not_before.0)),
            // Without a time for the next attempt there will be none.
            Ending::GivenUp => row
                .update_expression("SET #status = :status REMOVE not_before")
                .expression_attribute_values(":status", text("failed")),
        };
        let update = match ending {
            Ending::Sent => update,
            Ending::Failed { .. } | Ending::GivenUp => update
                .condition_expression("#status = :claimed AND attempts = :attempt")
                .expression_attribute_values(":claimed", text("claimed"))
                .expression_attribute_values(":attempt", number(attempt.into())),
        };
        conditional("UpdateItem deliveries", update).await.map(drop)
    }

    async fn is_disabled(&self, target: &Target, address: &str) -> Result<bool, PortError> {
        let row = disabled_key(target, address);
        if self.enabled.lock().unwrap_or_else(PoisonError::into_inner).contains(&row) {
            return Ok(false);
        }
        let asked = self
            .client
            .get_item()
            .table_name(&self.deliveries)
            .key("notification", text(DISABLED))
            .key("target", text(&row))
            .send()
            .await
            .map_err(|error| PortError(describe("GetItem deliveries", &error)))?;
        if asked.item.is_some() {
            return Ok(true);
        }
        self.enabled.lock().unwrap_or_else(PoisonError::into_inner).insert(row);
        Ok(false)
    }

    async fn disable(&self, target: &Target, address: &str) -> Result<(), PortError> {
        let row = disabled_key(target, address);
        let update = self
            .row(DISABLED, &row)
            .update_expression("SET #status = :status")
            .expression_attribute_values(":status", text("failed"));
        conditional("UpdateItem deliveries", update).await?.ok();
        self.enabled.lock().unwrap_or_else(PoisonError::into_inner).remove(&row);
        Ok(())
    }
}

impl Outbox for DynamoDeliveries {
    async fn close(&self, notification: &str, all_sent: bool) -> Result<(), PortError> {
        let update = self
            .notice(notification)
            .update_expression("SET #status = :status REMOVE #open")
            // A stream record with an old image of the row may arrive after the row was settled.
            .condition_expression("attribute_exists(id) AND #status = :new")
            .expression_attribute_values(":new", text("new"))
            .expression_attribute_names("#status", "status")
            .expression_attribute_names("#open", OPEN)
            .expression_attribute_values(":status", text(if all_sent { "sent" } else { "failed" }));
        conditional("UpdateItem outbox", update).await.map(drop)
    }

    async fn requeue(&self, notification: &str, requeued: u64, now: Timestamp) -> Result<(), PortError> {
        let same = if requeued == 0 { "attribute_not_exists(requeued)" } else { "requeued = :requeued" };
        let mut update = self
            .notice(notification)
            .update_expression("SET #touched_at = :now ADD requeued :one")
            .condition_expression(format!("attribute_exists(id) AND {same}"))
            .expression_attribute_names("#touched_at", TOUCHED_AT)
            .expression_attribute_values(":now", number(now.0))
            .expression_attribute_values(":one", number(1));
        if requeued > 0 {
            update = update.expression_attribute_values(":requeued", AttributeValue::N(requeued.to_string()));
        }
        conditional("UpdateItem outbox", update).await.map(drop)
    }
}

impl Fleets for DynamoDeliveries {
    async fn is_firing(&self, rule: &RuleId, zone: &ZoneId) -> Result<bool, PortError> {
        let row = self
            .client
            .get_item()
            .table_name(&self.alerts)
            .key("device", text(&format!("zone/{zone}")))
            .key("episode", text(&format!("{FLEET}{rule}")))
            .consistent_read(true);
        let found = row.send().await.map_err(|error| PortError(describe("GetItem alerts", &error)))?;
        // A muted fleet alert notifies no one, so it does not hold back other notices.
        Ok(found.item.is_some_and(|row| status(&row, "state") == Some("firing") && !row.contains_key("muted")))
    }

    async fn hold(&self, notification: &str, held_for: &str) -> Result<(), PortError> {
        let update = self
            .notice(notification)
            .update_expression("SET #status = :held, held_for = :held_for REMOVE #open")
            .condition_expression("attribute_exists(id) AND #status = :new")
            .expression_attribute_names("#status", "status")
            .expression_attribute_names("#open", OPEN)
            .expression_attribute_values(":new", text("new"))
            .expression_attribute_values(":held", text("held"))
            .expression_attribute_values(":held_for", text(held_for));
        conditional("UpdateItem outbox", update).await.map(drop)
    }

    async fn was_held(&self, notification: &str) -> Result<bool, PortError> {
        let row = self.client.get_item().table_name(&self.outbox).key("id", text(notification)).consistent_read(true);
        let found = row.send().await.map_err(|error| PortError(describe("GetItem outbox", &error)))?;
        Ok(found.item.is_some_and(|row| status(&row, "status") == Some("held")))
    }

    async fn speak(&self, notification: &str) -> Result<(), PortError> {
        let update = self
            .notice(notification)
            .update_expression("SET #status = :told")
            .condition_expression("attribute_exists(id) AND #status = :held")
            .expression_attribute_names("#status", "status")
            .expression_attribute_values(":held", text("held"))
            .expression_attribute_values(":told", text("told"));
        conditional("UpdateItem outbox", update).await.map(drop)
    }
}

type Row = HashMap<String, AttributeValue>;

/// Sends an update. Returns the new attributes, or the current row if the condition does not hold.
async fn conditional(call: &str, update: UpdateItemFluentBuilder) -> Result<Result<Row, Row>, PortError> {
    let update = update.return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
    match update.send().await {
        Ok(done) => Ok(Ok(done.attributes.unwrap_or_default())),
        Err(SdkError::ServiceError(refusal)) if refusal.err().is_conditional_check_failed_exception() => {
            match refusal.into_err() {
                UpdateItemError::ConditionalCheckFailedException(refused) => Ok(Err(refused.item.unwrap_or_default())),
                _ => Ok(Err(Row::new())),
            }
        }
        Err(error) => Err(PortError(describe(call, &error))),
    }
}

/// A unique name for a claim.
fn claim_name() -> Result<String, PortError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| PortError(format!("no random numbers: {error}")))?;
    Ok(format!("{:032x}", u128::from_le_bytes(bytes)))
}

/// The result of a claim that was not granted, from the current row. If the row has this claim's name, the client lost
/// an answer and sent the request again.
fn refused(row: &Row, claim: &str) -> Claim {
    let until = |name| Timestamp(field(row, name).unwrap_or(0));
    match status(row, "status") {
        Some("claimed") if status(row, CLAIM) == Some(claim) => {
            Claim::Granted { attempt: field(row, "attempts").unwrap_or(1) }
        }
        Some("sent") => Claim::Settled { sent: true },
        Some("failed") if !row.contains_key("not_before") => Claim::Settled { sent: false },
        Some("failed") => Claim::Held { until: until("not_before") },
        _ => Claim::Held { until: until("lease_until") },
    }
}

fn status<'a>(row: &'a Row, name: &str) -> Option<&'a str> {
    row.get(name)?.as_s().ok().map(String::as_str)
}

fn key(target: &Target) -> String {
    format!("{}#{}", target.contact, target.channel.as_str())
}

/// A webhook at a different address is a different webhook: changing the address in the platform file enables it again.
fn disabled_key(target: &Target, address: &str) -> String {
    let hash: String = Sha256::digest(address).iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    format!("{}#{hash}", key(target))
}

fn field<T: std::str::FromStr>(row: &Row, name: &str) -> Option<T> {
    row.get(name)?.as_n().ok()?.parse().ok()
}

fn text(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}

fn number(number: i64) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_claim_says_why() {
        let row = |fields: &[(&str, AttributeValue)]| -> Row {
            fields.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
        };
        let refused = |fields: &[(&str, AttributeValue)]| refused(&row(fields), "mine");
        assert_eq!(refused(&[("status", text("sent"))]), Claim::Settled { sent: true });
        assert_eq!(refused(&[("status", text("failed")), ("lease_until", number(9))]), Claim::Settled { sent: false });
        assert_eq!(
            refused(&[("status", text("failed")), ("not_before", number(7)), ("lease_until", number(9))]),
            Claim::Held { until: Timestamp(7) }
        );
        assert_eq!(
            refused(&[("status", text("claimed")), ("claim", text("theirs")), ("lease_until", number(9))]),
            Claim::Held { until: Timestamp(9) }
        );
        assert_eq!(
            refused(&[("status", text("claimed")), ("claim", text("mine")), ("attempts", number(3))]),
            Claim::Granted { attempt: 3 }
        );
    }
}
