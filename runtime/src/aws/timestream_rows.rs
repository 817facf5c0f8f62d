//! Puts rows into a table of Timestream, and rows that it refuses into a bucket.

use aws_sdk_s3::Client;
use bytes::Bytes;
use fleetform_engine::drive::PortError;
use serde::{Deserialize, Serialize};
use serde_json::{Value, value::RawValue};

use super::{describe, json::CallError, timestream::Timestream};
use crate::store::timestream::{Aside, Records, Refused, Written};

/// A table of Timestream.
#[derive(Debug)]
pub struct TimestreamTable {
    timestream: Timestream,
    database: String,
    table: String,
}

impl TimestreamTable {
    /// Uses the client for the half that takes records.
    pub fn new(timestream: Timestream, database: String, table: String) -> Self {
        Self { timestream, database, table }
    }
}

impl Records for TimestreamTable {
    async fn write(&self, records: &[Bytes]) -> Result<Written, PortError> {
        #[derive(Serialize)]
        #[serde(rename_all = "PascalCase")]
        struct Input<'a> {
            database_name: &'a str,
            table_name: &'a str,
            records: Vec<&'a RawValue>,
        }
        let records = records.iter().map(|record| serde_json::from_slice(record)).collect::<Result<Vec<_>, _>>();
        let records = records.map_err(|error| PortError(format!("a record cannot be written: {error}")))?;
        let input = Input { database_name: &self.database, table_name: &self.table, records };
        match self.timestream.call::<Value>("WriteRecords", &input).await {
            Ok(_) => Ok(Written::Taken(Vec::new())),
            Err(error) => refusal(error),
        }
    }
}

/// What a failed call means for the records in it.
fn refusal(error: CallError) -> Result<Written, PortError> {
    let (code, body) = match &error {
        CallError::Unanswered { .. } => return Ok(Written::Later(error.to_string())),
        CallError::Refused { code, body, .. } => (code.as_str(), body),
    };
    match code {
        "RejectedRecordsException" => rejected(body).map(Written::Taken),
        "ThrottlingException" | "InternalServerException" => Ok(Written::Later(error.to_string())),
        // The error comes from something in front of the service.
        code if code.starts_with('5') => Ok(Written::Later(error.to_string())),
        "ValidationException" => Ok(Written::Invalid(error.to_string())),
        _ => Err(error.into()),
    }
}

/// The rejected records; all others were accepted ("WriteRecords", Amazon Timestream developer guide).
fn rejected(body: &Value) -> Result<Vec<Refused>, PortError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Rejected {
        record_index: usize,
        #[serde(default)]
        reason: String,
        existing_version: Option<i64>,
    }
    let rejected = Vec::<Rejected>::deserialize(&body["RejectedRecords"])
        .map_err(|error| PortError(format!("WriteRecords: which records were rejected cannot be read: {error}")))?;
    let refused = rejected.into_iter().map(|one| Refused {
        index: one.record_index,
        reason: one.reason,
        existing_version: one.existing_version,
    });
    Ok(refused.collect())
}

/// The bucket for rows that no table takes.
#[derive(Debug)]
pub struct S3Aside {
    client: Client,
    bucket: String,
}

impl S3Aside {
    /// Uses the bucket of this name.
    pub fn new(client: Client, bucket: String) -> Self {
        Self { client, bucket }
    }
}

impl Aside for S3Aside {
    async fn keep(&self, key: &str, lines: Vec<u8>) -> Result<(), PortError> {
        let put = self.client.put_object().bucket(&self.bucket).key(key).content_type("application/jsonl");
        let put = put.body(lines.into()).send().await;
        put.map(drop).map_err(|error| PortError(describe(&format!("PutObject {key}"), &error)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(code: &str, body: Value) -> Result<Written, PortError> {
        let (code, message) = (code.to_owned(), "words".to_owned());
        refusal(CallError::Refused { operation: "WriteRecords", code, message, body })
    }

    #[test]
    fn what_a_refusal_means_is_said_by_its_code() {
        let body = serde_json::json!({ "RejectedRecords": [
            { "RecordIndex": 3, "Reason": "too old" },
            { "RecordIndex": 5, "Reason": "a newer one", "ExistingVersion": 9 },
        ] });
        let of = |index, reason: &str, existing_version| Refused { index, reason: reason.to_owned(), existing_version };
        assert_eq!(
            refused("RejectedRecordsException", body),
            Ok(Written::Taken(vec![of(3, "too old", None), of(5, "a newer one", Some(9))]))
        );
        for code in ["ThrottlingException", "InternalServerException", "503"] {
            assert!(matches!(refused(code, Value::Null), Ok(Written::Later(_))), "{code}");
        }
        assert!(matches!(refused("ValidationException", Value::Null), Ok(Written::Invalid(_))));
        // There is no way to know which records were accepted.
        assert!(refused("RejectedRecordsException", Value::Null).is_err());
        for code in ["AccessDeniedException", "ResourceNotFoundException"] {
            assert_eq!(refused(code, Value::Null), Err(PortError(format!("WriteRecords: {code}: words"))));
        }
    }
}
