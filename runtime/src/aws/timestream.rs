//! Amazon Timestream for LiveAnalytics. Each account has its own endpoints, which the service returns at its regional
//! address ("How the endpoint discovery pattern works", Amazon Timestream developer guide).

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use fleetform_engine::drive::PortError;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::json;
use tokio::sync::Mutex;

use super::{
    json::{CallError, JsonClient, Protocol},
    signed::SignedClient,
};

/// The service's name in signatures.
pub const SERVICE: &str = "timestream";

/// The service's protocol.
const PROTOCOL: Protocol = Protocol { service: "Timestream_20181101", content_type: "application/x-amz-json-1.0" };

/// The error code of an endpoint that no longer serves the account.
const OTHER_ENDPOINT: &str = "InvalidEndpointException";

/// One of the service's two halves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Half {
    /// The half that takes records.
    Write,
    /// The half that answers queries.
    Query,
}

impl Half {
    /// The first part of the half's regional host name.
    pub const fn host(self) -> &'static str {
        match self {
            Self::Write => "ingest.timestream",
            Self::Query => "query.timestream",
        }
    }
}

/// A client of one half.
#[derive(Debug)]
pub struct Timestream {
    client: SignedClient,
    /// The address for endpoint discovery, without a trailing slash.
    regional: String,
    discovers: bool,
    found: Mutex<Option<Found>>,
}

/// An endpoint, and how long it is valid.
#[derive(Debug)]
struct Found {
    client: Arc<JsonClient>,
    until: Instant,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Endpoints {
    endpoints: Vec<Endpoint>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Endpoint {
    address: String,
    cache_period_in_minutes: u64,
}

impl Timestream {
    /// Uses a regional address, or a custom endpoint if none is to be discovered.
    pub fn new(client: SignedClient, regional: String, discovers: bool) -> Self {
        Self { client, regional, discovers, found: Mutex::default() }
    }

    /// Calls an operation at the current endpoint.
    ///
    /// # Errors
    /// If it is refused, or if there is no answer.
    pub async fn call<A: DeserializeOwned>(
        &self,
        operation: &'static str,
        input: &impl Serialize,
    ) -> Result<A, CallError> {
        match self.endpoint().await?.call(operation, input).await {
            Err(error) if error.is(OTHER_ENDPOINT) => {
                *self.found.lock().await = None;
                self.endpoint().await?.call(operation, input).await
            }
            answer => answer,
        }
    }

    /// The known endpoint, or a new one once that has expired.
    async fn endpoint(&self) -> Result<Arc<JsonClient>, CallError> {
        let mut found = self.found.lock().await;
        if let Some(known) = found.as_ref().filter(|known| Instant::now() < known.until) {
            return Ok(Arc::clone(&known.client));
        }
        let at = |address: String| Arc::new(JsonClient::new(self.client.clone(), address, PROTOCOL));
        let regional = at(self.regional.clone());
        if !self.discovers {
            return Ok(regional);
        }
        let operation = "DescribeEndpoints";
        let Endpoints { endpoints } = regional.call(operation, &json!({})).await?;
        let none = || CallError::Unanswered { operation, error: PortError("the service has no endpoint".to_owned()) };
        let Endpoint { address, cache_period_in_minutes } = endpoints.into_iter().next().ok_or_else(none)?;
        let scheme = self.regional.split("://").next().unwrap_or("https");
        let client = at(format!("{scheme}://{address}"));
        let until = Instant::now() + Duration::from_secs(cache_period_in_minutes.saturating_mul(60));
        *found = Some(Found { client: Arc::clone(&client), until });
        Ok(client)
    }
}

#[cfg(test)]
#[path = "timestream_tests.rs"]
mod tests;
