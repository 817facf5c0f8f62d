//! `provision`: AWS IoT asks it before it makes a device of whoever holds a claim certificate.
//!
//! One serial, one use: the allow-list says which certificate has it, and the same request asked again is answered again.
//! The stream knows the device before AWS IoT hears that it may be. Name, type and zone come from the list, and of what the
//! device sends only its serial is looked at. A refusal is an answer; an error is one too, and the device asks again.

use std::collections::BTreeMap;

use bytes::Bytes;
use fleetform_engine::{drive::PortError, units::Timestamp};
use serde::{Deserialize, Serialize};

use crate::{
    host::{Deadline, Failure, Handler},
    provision::{AllowList, Claim, Records, Registration},
    telemetry::{Metrics, Unit},
};

/// The parameter of the template in which a device says its serial.
const SERIAL: &str = "SerialNumber";

/// Longest serial, in characters.
const SERIAL_CHARS_MAX: usize = 128;

/// The handler with its ports.
#[derive(Debug)]
pub struct Provision<L, R> {
    /// Which serials may become devices.
    pub allow_list: L,
    /// The telemetry stream.
    pub records: R,
    /// The stream's name, which is part of what a thing says it was told to.
    pub stream: String,
    /// The time now.
    pub clock: fn() -> Timestamp,
}

/// What AWS IoT asks. Whatever else it sends is not looked at.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Request {
    certificate_id: String,
    #[serde(default)]
    claim_certificate_id: Option<String>,
    #[serde(default)]
    parameters: BTreeMap<String, serde_json::Value>,
}

/// What AWS IoT is answered.
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

/// Why a device is not provisioned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusal {
    /// The request names no serial, or something that is none.
    MalformedSerial,
    /// The serial is not on the list.
    UnknownSerial,
    /// Another certificate has used the serial.
    UsedSerial,
    /// The serial's row is not as it must be.
    UnusableRow,
}

impl Refusal {
    const fn as_str(self) -> &'static str {
        match self {
            Self::MalformedSerial => "malformed_serial",
            Self::UnknownSerial => "unknown_serial",
            Self::UsedSerial => "used_serial",
            Self::UnusableRow => "unusable_row",
        }
    }
}

impl<L: AllowList + Send, R: Records + Send> Handler for Provision<L, R> {
    type Answer = Answer;

    async fn handle(&self, body: Bytes, _: Deadline, metrics: &mut Metrics) -> Result<Answer, Failure> {
        let request: Request = serde_json::from_slice(&body).map_err(|error| Failure {
            kind: "bad_event",
            // The error's own words may quote the request.
            message: format!("the event is no request of AWS IoT for provisioning (column {})", error.column()),
        })?;
        let outcome = self
            .provision(&request)
            .await
            .map_err(|error| Failure { kind: "unavailable", message: error.to_string() })?;
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

impl<L: AllowList, R: Records> Provision<L, R> {
    async fn provision(&self, request: &Request) -> Result<Result<Registration, Refusal>, PortError> {
        let serial = request.parameters.get(SERIAL).and_then(serde_json::Value::as_str);
        let Some(serial) = serial.filter(|serial| is_serial(serial)) else {
            return Ok(Err(Refusal::MalformedSerial));
        };
        let row = match self.allow_list.claim(serial, &request.certificate_id, (self.clock)()).await? {
            Claim::Granted(row) => row,
            Claim::Used => return Ok(Err(Refusal::UsedSerial)),
            Claim::Unknown => return Ok(Err(Refusal::UnknownSerial)),
        };
        let registration = match Registration::read(row) {
            Ok(registration) => registration,
            Err(unusable) => {
                tracing::error!(problem = %unusable, "a row of the allow-list cannot be used");
                return Ok(Err(Refusal::UnusableRow));
            }
        };
        // The stream knows a device before it can speak.
        self.records.put(registration.device().as_str(), &registration.record()).await?;
        Ok(Ok(registration))
    }
}

/// As the script writes them into the list.
fn is_serial(text: &str) -> bool {
    (1..=SERIAL_CHARS_MAX).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b':' | b'_' | b'-'))
}

#[cfg(test)]
#[path = "provision_tests.rs"]
mod tests;
