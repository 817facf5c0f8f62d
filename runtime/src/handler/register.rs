//! `register`: AWS IoT has registered a certificate of one of the platform's authorities, whose holder has just connected for
//! the first time; it becomes the device that the allow-list says.
//!
//! Its serial is the name in its subject. Until the certificate is active nobody may speak with it, and AWS IoT tells of it
//! again whenever its holder tries: what was refused, or was stopped on the way, is taken up then.

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
    /// Which serials may become devices.
    pub allow_list: L,
    /// The telemetry stream.
    pub records: R,
    /// AWS IoT's registry.
    pub things: T,
    /// What things are called there.
    pub names: Names,
    /// Ids of the certificates of the platform's authorities.
    pub authorities: Vec<String>,
    /// The time now.
    pub clock: fn() -> Timestamp,
}

/// What AWS IoT says of a certificate that it has registered. Whatever else it says is looked up.
///
/// "Register a client certificate when the client connects to AWS IoT just-in-time registration (JITR)", AWS IoT Core
/// developer guide.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Registered {
    certificate_id: String,
}

/// What became of a certificate.
enum Outcome {
    Provisioned(Registration),
    Refused(Refusal),
    /// Nobody waits for an answer: it is active, was taken away, or is gone.
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
        // The stream knows a device before it can speak.
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

    /// Lets the holder of a certificate in, unless somebody has decided otherwise meanwhile.
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
