//! Batches of a DynamoDB stream, with the parts that the outbox's rows need.

use std::borrow::Cow;

use fleetform_engine::units::Timestamp;
use serde::Deserialize;

/// A batch, in stream order.
#[derive(Debug, Deserialize)]
pub struct Event<'a> {
    /// The batch's records.
    #[serde(borrow, rename = "Records")]
    pub records: Vec<Record<'a>>,
}

/// One change of one row.
#[derive(Debug, Deserialize)]
pub struct Record<'a> {
    /// The change that it describes.
    #[serde(borrow, rename = "dynamodb")]
    pub change: Change<'a>,
}

/// The change of a row.
#[derive(Debug, Deserialize)]
pub struct Change<'a> {
    /// The change's sequence number in the stream's shard.
    #[serde(borrow, rename = "SequenceNumber")]
    pub sequence: Cow<'a, str>,
    /// The row after the change; `None` if it was deleted.
    #[serde(borrow, rename = "NewImage")]
    pub row: Option<OutboxRow<'a>>,
}

/// A row of the outbox.
#[derive(Debug, Deserialize)]
pub struct OutboxRow<'a> {
    /// The notice's id.
    #[serde(borrow)]
    pub id: Text<'a>,
    /// The notice, as JSON.
    #[serde(borrow)]
    pub notification: Text<'a>,
    /// `new` until every target is settled.
    #[serde(borrow)]
    pub status: Text<'a>,
    #[serde(borrow, default)]
    requeued: Option<Number<'a>>,
    #[serde(borrow, default)]
    put_at: Option<Number<'a>>,
}

impl OutboxRow<'_> {
    /// How often the notice was put back because a target could not be reached.
    pub fn requeued(&self) -> u64 {
        self.requeued.as_ref().and_then(|number| number.text.parse().ok()).unwrap_or(0)
    }

    /// When the row was put.
    pub fn put_at(&self) -> Option<Timestamp> {
        self.put_at.as_ref().and_then(|number| number.text.parse().ok()).map(Timestamp)
    }
}

/// A string attribute.
#[derive(Debug, Deserialize)]
pub struct Text<'a> {
    /// The attribute's value.
    #[serde(borrow, rename = "S")]
    pub text: Cow<'a, str>,
}

#[derive(Debug, Deserialize)]
struct Number<'a> {
    #[serde(borrow, rename = "N")]
    text: Cow<'a, str>,
}

/// Parses a batch.
pub fn parse(body: &[u8]) -> Result<Event<'_>, serde_json::Error> {
    serde_json::from_slice(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_read_as_lambda_sends_it() {
        let body = br#"{ "Records": [
            { "eventID": "1", "eventName": "INSERT", "eventVersion": "1.1", "eventSource": "aws:dynamodb",
              "awsRegion": "us-east-1", "eventSourceARN": "arn:aws:dynamodb:us-east-1:1:table/outbox/stream/x",
              "dynamodb": { "ApproximateCreationDateTime": 1.7e9, "Keys": { "id": { "S": "n1" } },
                "NewImage": { "id": { "S": "n1" }, "notification": { "S": "{\"id\":\"n1\"}" },
                  "put_at": { "N": "5" }, "status": { "S": "new" }, "expires_at": { "N": "6" } },
                "SequenceNumber": "100", "SizeBytes": 99, "StreamViewType": "NEW_IMAGE" } },
            { "eventID": "2", "eventName": "REMOVE",
              "dynamodb": { "Keys": { "id": { "S": "n0" } }, "SequenceNumber": "101" } }
        ] }"#;
        let event = parse(body).expect("an event");
        let row = event.records[0].change.row.as_ref().expect("a row");
        assert_eq!((&*row.id.text, &*row.notification.text, &*row.status.text), ("n1", r#"{"id":"n1"}"#, "new"));
        assert_eq!((row.requeued(), row.put_at()), (0, Some(Timestamp(5))));
        assert_eq!(event.records[1].change.sequence, "101");
        assert!(event.records[1].change.row.is_none());
    }
}
