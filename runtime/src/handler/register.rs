//! `register`: handles a certificate that AWS IoT has registered when its device connected for the first time, signed
//! by one of the platform's authorities. The certificate becomes that of the device that the allow-list assigns.
//!
//! The serial is the common name in the certificate's subject. Until the certificate is active it cannot be used, and
//! AWS IoT sends the event again whenever its holder tries to connect. What was refused or interrupted is resumed then.

use bytes::Bytes;
use fleetform_engine::{drive::PortError, units::Timestamp};
use serde::Deserialize;

use crate::{
    aws::things::{Change, Status},
    host::{Deadline, Failure, Handler},
    provision::{
        AllowList, Records, Refusal, Registration, claim,
        just_in_time::{Made, Names, ThingRegistry, common_name, empower, register},
        refusal, tell,
    },
    telemetry::{Metrics, Unit},
};

/// The handler with its ports.
#[derive(Debug)]
pub struct Register<L, R, T> {
    /// The list of the serials that may become devices.
    pub allow_list: L,
    /// The telemetry stream.
    pub records: R,
    /// AWS IoT's registry.
    pub things: T,
    /// The names of things in the registry.
    pub names: Names,
    /// The ids of the CA certificates of the platform's authorities.
    pub authorities: Vec<String>,
    /// Returns the current time.
    pub clock: fn() -> Timestamp,
}

/// AWS IoT's event for a registered certificate. Everything else in it is looked up.
///
/// "Register a client certificate when the client connects to AWS IoT just-in-time registration (JITR)", AWS IoT Core
/// developer guide.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Registered {
    certificate_id: String,
}

/// The outcome for a certificate.
enum Outcome {
    Provisioned(Registration),
    Refused(Refusal),
    /// Nothing is left to do: it is active, was deactivated, revoked or transferred, or is gone.
    Settled,
}

impl<L: AllowList + Send, R: Records + Send, T: ThingRegistry + Send> Handler for Register<L, R, T> {
    type Answer = ();

    async fn handle(&self, body: Bytes, _: Deadline, metrics: &mut Metrics) -> Result<(), Failure> {
        let registered: Registered = serde_json::from_slice(&body).map_err(|error| Failure {
            kind: "bad_event",
            message: format!("the event does not say which certificate was registered (column {})", error.column()),
        })?;
        let certificate = registered.certificate_id.as_str();
        let outcome = self.register(certificate).await;
        match outcome.map_err(|error| Failure { kind: "unavailable", message: error.to_string() })? {
            Outcome::Provisioned(registration) => {
                metrics.put("Provisioned", Unit::Count, 1);
                tracing::info!(device = %registration.device(), certificate, "provisioned");
            }
            Outcome::Refused(refusal) => {
                let reason = refusal.as_str();
                metrics.count_by_reason("ProvisioningRefused", reason, 1);
                tracing::warn!(reason, certificate, "a device was not provisioned");
            }
            Outcome::Settled => tracing::info!(certificate, "there is nothing to decide about a certificate"),
        }
        Ok(())
    }
}

impl<L: AllowList, R: Records, T: ThingRegistry> Register<L, R, T> {
    async fn register(&self, id: &str) -> Result<Outcome, PortError> {
        let Some(certificate) = self.things.certificate(id).await? else { return Ok(Outcome::Settled) };
        match certificate.status {
            Status::Waiting => {}
            Status::Active | Status::Inactive | Status::Revoked | Status::Elsewhere => return Ok(Outcome::Settled),
        }
        if !certificate.authority.is_some_and(|authority| self.authorities.contains(&authority)) {
            return Ok(Outcome::Refused(Refusal::UnknownAuthority));
        }
        let serial = common_name(&certificate.pem);
        let registration = match claim(&self.allow_list, serial.as_deref(), id, (self.clock)()).await? {
            Ok(registration) => registration,
            Err(refusal) => return Ok(Outcome::Refused(refusal)),
        };
        let device = registration.device().as_str();
        let thing = self.things.thing(device).await?;
        let refusal = thing.as_ref().and_then(|thing| refusal(&self.names.stack, &registration, thing));
        if let Some(refusal) = refusal {
            return Ok(Outcome::Refused(refusal));
        }
        let groups = if thing.is_some() { self.things.groups(device).await? } else { Vec::new() };
        // The stream knows a device before the device can publish.
        tell(&self.records, &registration).await?;
        let mut changes = register(&self.names, &registration, (thing.as_ref(), &groups));
        let held = self.things.policies(&certificate.arn).await?;
        changes.extend(empower(&self.names, &registration, &certificate.arn, &held));
        for change in changes {
            if self.things.change(&change).await? == Made::Missing {
                tracing::error!(%change, "a row of the allow-list names what is not there any more");
                return Ok(Outcome::Refused(Refusal::UnusableRow));
            }
        }
        self.activate(id, registration).await
    }

    /// Activates a certificate, unless its status has been changed in the meantime.
    async fn activate(&self, id: &str, registration: Registration) -> Result<Outcome, PortError> {
        let certificate = self.things.certificate(id).await?;
        let Some(certificate) = certificate.filter(|found| found.status == Status::Waiting) else {
            return Ok(Outcome::Settled);
        };
        self.things.change(&Change::SetStatus { certificate: certificate.arn, status: Status::Active }).await?;
        Ok(Outcome::Provisioned(registration))
    }
}

#[cfg(test)]
#[path = "register_tests.rs"]
mod tests;
