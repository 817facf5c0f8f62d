//! S3 Tables' Iceberg REST endpoint: a table's metadata, and commits to it ("Accessing tables using the Amazon S3 Tables
//! Iceberg REST endpoint", Amazon S3 user guide).

use fleetform_engine::drive::PortError;
use reqwest::{Method, StatusCode};
use serde::Deserialize;
use serde_json::Value;

use super::{Metadata, TableName};
use crate::aws::signed::SignedClient;

/// Where a table's metadata is read and committed to.
pub trait Catalog: Sync {
    /// A table's metadata; none if there is no such table.
    fn load(&self, table: &TableName) -> impl Future<Output = Result<Option<Metadata>, PortError>> + Send;

    /// Commits. `false` if the table has changed since its metadata was read.
    fn commit(&self, table: &TableName, commit: &Value) -> impl Future<Output = Result<bool, PortError>> + Send;
}

/// The endpoint of a region.
#[derive(Debug)]
pub struct RestCatalog {
    client: SignedClient,
    endpoint: String,
}

impl RestCatalog {
    /// At this endpoint, without a slash at its end.
    pub fn new(client: SignedClient, endpoint: String) -> Self {
        Self { client, endpoint }
    }

    fn url(&self, table: &TableName) -> String {
        let [bucket, namespace, name] = [&table.bucket_arn, &table.namespace, &table.table].map(|part| encoded(part));
        format!("{}/iceberg/v1/{bucket}/namespaces/{namespace}/tables/{name}", self.endpoint)
    }
}

impl Catalog for RestCatalog {
    async fn load(&self, table: &TableName) -> Result<Option<Metadata>, PortError> {
        #[derive(Deserialize)]
        struct Loaded {
            metadata: Metadata,
        }
        let (status, body) = self.client.send(Method::GET, &self.url(table), Vec::new()).await?;
        match status {
            StatusCode::NOT_FOUND => Ok(None),
            StatusCode::OK => serde_json::from_slice::<Loaded>(&body)
                .map(|loaded| Some(loaded.metadata))
                .map_err(|error| PortError(format!("LoadTable: the answer cannot be read: {error}"))),
            status => Err(refused("LoadTable", status, &body)),
        }
    }

    async fn commit(&self, table: &TableName, commit: &Value) -> Result<bool, PortError> {
        let body = commit.to_string().into_bytes();
        let (status, body) = self.client.send(Method::POST, &self.url(table), body).await?;
        match status {
            status if status.is_success() => Ok(true),
            StatusCode::CONFLICT => Ok(false),
            status => Err(refused("UpdateTable", status, &body)),
        }
    }
}

/// A refusal in the words of the service, which speak of tables and rights.
fn refused(call: &str, status: StatusCode, body: &[u8]) -> PortError {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let message = body["error"]["message"].as_str().or_else(|| body["message"].as_str()).unwrap_or("without a message");
    PortError(format!("{call}: {status}: {message}"))
}

/// A part of a path with everything encoded but what never needs it.
pub(crate) fn encoded(part: &str) -> String {
    part.bytes().fold(String::new(), |text, byte| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
            text + char::from(byte).encode_utf8(&mut [0; 4])
        }
        _ => text + &format!("%{byte:02X}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_prefix_of_a_path_is_the_bucket_s_arn_encoded() {
        assert_eq!(
            encoded("arn:aws:s3tables:us-east-1:1:bucket/a-b"),
            "arn%3Aaws%3As3tables%3Aus-east-1%3A1%3Abucket%2Fa-b"
        );
    }

    #[test]
    fn a_refusal_says_what_the_service_says() {
        let body = br#"{"error":{"message":"not allowed","type":"ForbiddenException","code":403}}"#;
        assert_eq!(refused("LoadTable", StatusCode::FORBIDDEN, body).0, "LoadTable: 403 Forbidden: not allowed");
        assert_eq!(
            refused("LoadTable", StatusCode::BAD_GATEWAY, b"<html>").0,
            "LoadTable: 502 Bad Gateway: without a message"
        );
    }
}
