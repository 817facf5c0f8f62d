//! Amazon Timestream for LiveAnalytics. Each account has endpoints of its own, which the service tells whoever asks at its
//! regional address ("How the endpoint discovery pattern works", Amazon Timestream developer guide).

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

/// The name under which the service knows signatures.
pub const SERVICE: &str = "timestream";

/// How it is spoken to.
const PROTOCOL: Protocol = Protocol { service: "Timestream_20181101", content_type: "application/x-amz-json-1.0" };

/// What it answers where an endpoint is not the account's any more.
const OTHER_ENDPOINT: &str = "InvalidEndpointException";

/// One of the service's two halves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Half {
    /// What takes records.
    Write,
    /// What answers queries.
    Query,
}

impl Half {
    /// The first part of its regional address.
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
    /// Where it is asked for endpoints, without a slash at its end.
    regional: String,
    discovers: bool,
    found: Mutex<Option<Found>>,
}

/// An endpoint, for as long as the service says.
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
    /// At a regional address, or, where nothing is to be discovered, at an endpoint of one's own.
    pub fn new(client: SignedClient, regional: String, discovers: bool) -> Self {
        Self { client, regional, discovers, found: Mutex::default() }
    }

    /// Calls an operation, wherever the service takes it now.
    ///
    /// # Errors
    /// If it is refused, or not answered.
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

    /// The endpoint that is known, or another once its time is over.
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
