//! S3 Tables' Iceberg REST endpoint ("Accessing tables using the Amazon S3 Tables Iceberg REST endpoint", Amazon S3
//! user guide).

use fleetform_engine::drive::PortError;
use reqwest::{Method, StatusCode};
use serde::Deserialize;
use serde_json::Value;

use super::{Catalog, encoded};
use crate::{
    aws::signed::SignedClient,
    iceberg::{Metadata, TableName},
};

/// The REST endpoint of a region.
#[derive(Debug)]
pub struct RestCatalog {
    client: SignedClient,
    endpoint: String,
}

impl RestCatalog {
    /// Uses this endpoint, which has no trailing slash.
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

/// A refusal with the service's message, which names tables and permissions.
fn refused(call: &str, status: StatusCode, body: &[u8]) -> PortError {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let message = body["error"]["message"].as_str().or_else(|| body["message"].as_str()).unwrap_or("without a message");
    PortError(format!("{call}: {status}: {message}"))
}

#[cfg(test)]
mod tests {
    use super::*;

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
