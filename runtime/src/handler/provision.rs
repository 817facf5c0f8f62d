//! `provision`: the hook that AWS IoT calls before it provisions a device with a claim certificate.
//!
//! A serial can be used once. The allow-list records which certificate has it, and a repeated request gets the same
//! answer. The stream knows the device before AWS IoT learns that it is allowed. Name, type and zone come from the
//! list; of what the device sends, only its serial is used. A refusal is an answer; an error is one too, and the device
//! tries again.

use std::collections::BTreeMap;

use bytes::Bytes;
use fleetform_engine::{drive::PortError, units::Timestamp};
use serde::{Deserialize, Serialize};

use crate::{
    host::{Deadline, Failure, Handler},
    provision::{AllowList, Records, claim, tell},
    telemetry::{Metrics, Unit},
};

/// The template parameter with a device's serial.
const SERIAL: &str = "SerialNumber";

/// The handler with its ports.
#[derive(Debug)]
pub struct Provision<L, R> {
    /// The list of the serials that may become devices.
    pub allow_list: L,
    /// The telemetry stream.
    pub records: R,
    /// The stream's name, which is part of the hash that a thing keeps.
    pub stream: String,
    /// Returns the current time.
    pub clock: fn() -> Timestamp,
}

/// The needed part of AWS IoT's request.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Request {
    certificate_id: String,
    #[serde(default)]
    claim_certificate_id: Option<String>,
    #[serde(default)]
    parameters: BTreeMap<String, serde_json::Value>,
}

/// The answer to AWS IoT.
///
/// <https://docs.aws.amazon.com/iot/latest/developerguide/pre-provisioning-hook.html>
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Answer {
    allow_provisioning: bool,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    parameter_overrides: BTreeMap<&'static str, String>,
}

impl Answer {
    const NO: Self = Self { allow_provisioning: false, parameter_overrides: BTreeMap::new() };
}

impl<L: AllowList + Send, R: Records + Send> Handler for Provision<L, R> {
    type Answer = Answer;

    async fn handle(&self, body: Bytes, _: Deadline, metrics: &mut Metrics) -> Result<Answer, Failure> {
        let request: Request = serde_json::from_slice(&body).map_err(|error| Failure {
            kind: "bad_event",
            // The error's own message may quote the request.
            message: format!("the event is no request of AWS IoT for provisioning (column {})", error.column()),
        })?;
        let serial = request.parameters.get(SERIAL).and_then(serde_json::Value::as_str);
        let unavailable = |error: PortError| Failure { kind: "unavailable", message: error.to_string() };
        let outcome = claim(&self.allow_list, serial, &request.certificate_id, (self.clock)()).await;
        let outcome = outcome.map_err(unavailable)?;
        if let Ok(registration) = &outcome {
            tell(&self.records, registration).await.map_err(unavailable)?;
        }
        let (certificate, claim) = (&request.certificate_id, request.claim_certificate_id.as_deref());
        Ok(match outcome {
            Ok(registration) => {
                metrics.put("Provisioned", Unit::Count, 1);
                tracing::info!(device = %registration.device(), certificate, claim, "provisioned");
                let parameter_overrides = registration.parameters(&self.stream);
                Answer { allow_provisioning: true, parameter_overrides }
            }
            Err(refusal) => {
                let reason = refusal.as_str();
                metrics.count_by_reason("ProvisioningRefused", reason, 1);
                tracing::warn!(reason, certificate, claim, "a device was not provisioned");
                Answer::NO
            }
        })
    }
}

#[cfg(test)]
#[path = "provision_tests.rs"]
mod tests;
