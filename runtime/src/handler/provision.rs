//! `provision`: the hook that AWS IoT calls before it provisions a device with a claim certificate.
//!
//! One serial, one use: the allow-list says which certificate has it, and the same request asked again is answered again.
//! The stream knows the device before AWS IoT hears that it may be. Name, type and zone come from the list, and of what the
//! device sends only its serial is looked at. A thing that has the name already is taken over only if it is the platform's,
//! and was not revoked meanwhile. A refusal is an answer; an error is one too, and the device asks again.

use std::collections::BTreeMap;

use bytes::Bytes;
use fleetform_engine::{drive::PortError, units::Timestamp};
use serde::{Deserialize, Serialize};

use crate::{
    host::{Deadline, Failure, Handler},
    provision::{AllowList, Records, Refusal, Registration, Things, claim, refusal, tell},
    telemetry::{Metrics, Unit},
};

/// The template parameter with a device's serial.
const SERIAL: &str = "SerialNumber";

/// The handler with its ports.
#[derive(Debug)]
pub struct Provision<L, R, T> {
    /// Which serials may become devices.
    pub allow_list: L,
    /// The telemetry stream.
    pub records: R,
    /// AWS IoT's registry.
    pub things: T,
    /// What things of the platform are told by.
    pub stack: String,
    /// The stream's name, which is part of what a thing says it was told to.
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

impl<L: AllowList + Send, R: Records + Send, T: Things + Send> Handler for Provision<L, R, T> {
    type Answer = Answer;

    async fn handle(&self, body: Bytes, _: Deadline, metrics: &mut Metrics) -> Result<Answer, Failure> {
        let request: Request = serde_json::from_slice(&body).map_err(|error| Failure {
            kind: "bad_event",
            // The error's own message may quote the request.
            message: format!("the event is no request of AWS IoT for provisioning (column {})", error.column()),
        })?;
        let serial = request.parameters.get(SERIAL).and_then(serde_json::Value::as_str);
        let outcome = self.admit(serial, &request.certificate_id).await;
        let outcome = outcome.map_err(|error| Failure { kind: "unavailable", message: error.to_string() })?;
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

impl<L: AllowList, R: Records, T: Things> Provision<L, R, T> {
    /// Which device the holder of a certificate becomes, once the stream knows of it.
    async fn admit(&self, serial: Option<&str>, certificate: &str) -> Result<Result<Registration, Refusal>, PortError> {
        let registration = match claim(&self.allow_list, serial, certificate, (self.clock)()).await? {
            Ok(registration) => registration,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let thing = self.things.thing(registration.device().as_str()).await?;
        if let Some(refusal) = thing.and_then(|thing| refusal(&self.stack, &registration, &thing)) {
            return Ok(Err(refusal));
        }
        tell(&self.records, &registration).await?;
        Ok(Ok(registration))
    }
}

#[cfg(test)]
#[path = "provision_tests.rs"]
mod tests;
