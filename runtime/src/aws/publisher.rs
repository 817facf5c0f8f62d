//! Effects as rows in DynamoDB. Every write is conditional, so an existing row counts as written.
//!
//! Does not know why an effect occurred, and does not order rows: each is independent.

use std::collections::HashMap;

use aws_sdk_dynamodb::{
    Client,
    error::SdkError,
    operation::put_item::{PutItemError, builders::PutItemFluentBuilder},
    types::AttributeValue,
};
use fleetform_engine::{
    drive::PortError,
    effect::{Alert, AlertState, Effects, Notification, Quarantined},
    ids::{RuleId, ZoneId},
    units::{Millis, Timestamp},
};
use futures_util::{TryStreamExt as _, stream};
use serde::Serialize;
use smol_str::SmolStr;

use crate::{
    aws::{CALLS_AT_ONCE, FLEET, describe},
    outbox::{OPEN, PUT_AT, TOUCHED_AT, shelf},
};

/// How long outbox and quarantine rows are kept. Redelivery may come 30 days later; the rest is margin.
const ROW_LIFE: Millis = Millis::from_days(35);

/// The three tables that effects go to.
#[derive(Debug)]
pub struct DynamoPublisher {
    client: Client,
    outbox: String,
    alerts: String,
    quarantine: String,
    alert_retention: Millis,
    clock: fn() -> Timestamp,
}

impl DynamoPublisher {
    /// Puts rows into these tables; a row of the alert history is kept for `alert_retention` after its last transition.
    pub fn new(
        client: Client,
        outbox: String,
        alerts: String,
        quarantine: String,
        alert_retention: Millis,
        clock: fn() -> Timestamp,
    ) -> Self {
        Self { client, outbox, alerts, quarantine, alert_retention, clock }
    }

    /// Opens a connection, so that the first transition does not wait for it. It makes a call that the function is
    /// allowed to make: a put, under a condition that no row can meet, so nothing is written. Any answer from the
    /// service is enough.
    pub async fn connect(&self) -> Result<(), PortError> {
        let put = self.client.put_item().table_name(&self.outbox).item("id", AttributeValue::S("-".to_owned()));
        match put.condition_expression("attribute_exists(id) AND attribute_not_exists(id)").send().await {
            Ok(_) | Err(SdkError::ServiceError(_)) => Ok(()),
            Err(error) => Err(PortError(describe("PutItem", &error))),
        }
    }

    fn notification(&self, notification: &Notification) -> Result<PutItemFluentBuilder, PortError> {
        let now = (self.clock)();
        Ok(self
            .client
            .put_item()
            .table_name(&self.outbox)
            .item("id", text(&notification.id))
            .item("notification", json(notification)?)
            .item("created_at", number(notification.created_at.0))
            .item("status", text("new"))
            .item(OPEN, text(shelf(&notification.id)))
            .item(PUT_AT, number(now.0))
            .item(TOUCHED_AT, number(now.0))
            .item("expires_at", expiry(now, ROW_LIFE))
            .condition_expression("attribute_not_exists(id)"))
    }

    fn alert(&self, alert: &Alert, row: &str) -> Result<PutItemFluentBuilder, PortError> {
        let version = text(&alert.version());
        let state = match alert.state {
            AlertState::Firing => "firing",
            AlertState::Resolved { .. } => "resolved",
        };
        let put = self.client.put_item().table_name(&self.alerts);
        let put = if alert.muted { put.item("muted", AttributeValue::Bool(true)) } else { put };
        Ok(put
            .item("device", text(&alert.subject()))
            .item("episode", text(row))
            .item("alert", json(alert)?)
            .item("rule", text(alert.rule.as_str()))
            .item("zone", text(alert.zone.as_str()))
            .item("state", text(state))
            .item("version", version.clone())
            .item("expires_at", expiry(alert.ingested_at, self.alert_retention))
            .condition_expression("attribute_not_exists(episode) OR #version < :version")
            .expression_attribute_names("#version", "version")
            .expression_attribute_values(":version", version))
    }

    fn quarantined(&self, record: &Quarantined) -> PutItemFluentBuilder {
        self.client
            .put_item()
            .table_name(&self.quarantine)
            .item("id", text(&format!("{}#{}", record.shard, record.sequence)))
            .item("reason", text(&record.reason))
            .item("detail", text(&record.detail))
            .item("partition_key", text(&record.partition_key))
            .item("data", text(&record.data))
            .item("ingested_at", number(record.ingested_at.0))
            .item("expires_at", expiry((self.clock)(), ROW_LIFE))
            .condition_expression("attribute_not_exists(id)")
    }
}

impl DynamoPublisher {
    /// Puts every row. `Ok` only if all of them exist.
    pub(super) async fn put(&self, effects: &Effects) -> Result<(), PortError> {
        let mut puts =
            Vec::with_capacity(effects.notifications.len() + effects.alerts.len() + effects.quarantined.len());
        for notification in &effects.notifications {
            puts.push(self.notification(notification)?);
        }
        // Of an episode's transitions, only the last one remains in its row. The condition would ensure that as well.
        let mut last: HashMap<(SmolStr, &str), &Alert> = HashMap::new();
        for alert in &effects.alerts {
            last.insert((alert.subject(), alert.episode.as_str()), alert);
        }
        for alert in last.into_values() {
            puts.push(self.alert(alert, &alert.episode)?);
        }
        // Whether a fleet rule fires is looked up by rule and zone, so its newest transition has a row of its own.
        let mut newest: HashMap<(&ZoneId, &RuleId), &Alert> = HashMap::new();
        for alert in effects.alerts.iter().filter(|alert| alert.device.is_none()) {
            newest.insert((&alert.zone, &alert.rule), alert);
        }
        for alert in newest.into_values() {
            puts.push(self.alert(alert, &format!("{FLEET}{}", alert.rule))?);
        }
        puts.extend(effects.quarantined.iter().map(|record| self.quarantined(record)));
        stream::iter(puts.into_iter().map(Ok)).try_for_each_concurrent(CALLS_AT_ONCE, accepted).await
    }
}

async fn accepted(put: PutItemFluentBuilder) -> Result<(), PortError> {
    match put.send().await {
        Ok(_) => Ok(()),
        Err(SdkError::ServiceError(refusal))
            if matches!(refusal.err(), PutItemError::ConditionalCheckFailedException(_)) =>
        {
            Ok(())
        }
        Err(error) => Err(PortError(describe("PutItem", &error))),
    }
}

fn text(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}

fn number(number: i64) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

fn json(value: &impl Serialize) -> Result<AttributeValue, PortError> {
    match serde_json::to_string(value) {
        Ok(text) => Ok(AttributeValue::S(text)),
        Err(error) => Err(PortError(format!("an effect cannot be written as JSON: {error}"))),
    }
}

/// An expiry time in seconds since 1970, as DynamoDB's time to live requires.
fn expiry(from: Timestamp, life: Millis) -> AttributeValue {
    number(from.after(life).0 / 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_769_855_700_000);

    #[test]
    fn a_row_of_quarantine_lives_from_when_it_is_put_however_old_its_record_is() {
        let config = aws_sdk_dynamodb::Config::builder().behavior_version_latest().build();
        let [outbox, alerts, quarantine] = ["outbox", "alerts", "quarantine"].map(str::to_owned);
        let retention = Millis::from_days(365);
        let publisher = DynamoPublisher::new(Client::from_conf(config), outbox, alerts, quarantine, retention, || NOW);
        let record = Quarantined {
            reason: "unknown_device".into(),
            detail: "no device of this name is registered".into(),
            shard: "shardId-000000000000".into(),
            sequence: "1".into(),
            partition_key: "logger-1".into(),
            ingested_at: NOW.before(Millis::from_days(40)),
            data: "e30=".to_owned(),
        };
        let put = publisher.quarantined(&record);
        let item = put.get_item().as_ref().expect("an item");
        assert_eq!(item["expires_at"], expiry(NOW, ROW_LIFE));
        assert_eq!(item["ingested_at"], number(record.ingested_at.0));
    }
}
