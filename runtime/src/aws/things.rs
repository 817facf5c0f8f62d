//! AWS IoT's device registry as values: what it holds about a certificate, and each change as a single call.
//!
//! The caller knows what has to change, and in which order.

use std::{
    collections::BTreeMap,
    fmt::{self, Display},
};

#[cfg(feature = "jobs")]
use fleetform_engine::drive::PortError;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{
    iot::{CallError, Iot, MARKER, TOKEN, encode},
    signed::Method,
};
#[cfg(feature = "jobs")]
use crate::provision::{
    Things,
    just_in_time::{Made, ThingRegistry},
};

/// The header with a certificate's ARN in calls whose path names a thing.
const PRINCIPAL: &str = "x-amzn-principal";

/// The error codes for deleting something from which a certificate has just been detached, which takes AWS IoT some
/// seconds.
const STILL_ATTACHED: [&str; 2] = ["DeleteConflictException", "InvalidRequestException"];

/// A thing, as the registry has it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Thing {
    /// The thing's name, which is the device's id.
    #[serde(rename = "thingName")]
    pub name: String,
    /// The thing's ARN.
    #[serde(rename = "thingArn", default)]
    pub arn: String,
    /// The name of its thing type.
    #[serde(rename = "thingTypeName")]
    pub thing_type: Option<String>,
    /// What was recorded about it, under the names that `scripts/devices.sh` uses.
    #[serde(default)]
    pub attributes: BTreeMap<String, String>,
}

impl Thing {
    /// The value of an attribute, if it is not empty.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// The revision of the record that was last put on the stream; `None` if there was none.
    pub fn revision(&self) -> Option<u64> {
        self.attribute("revision")?.parse().ok()
    }

    /// Whether the device was taken out of service.
    pub fn is_retired(&self) -> bool {
        self.attribute("retired") == Some("true")
    }
}

/// A certificate, as the registry has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// The certificate's ARN.
    pub arn: String,
    /// Whether devices may connect with it.
    pub status: Status,
    /// The certificate itself, as PEM.
    pub pem: String,
    /// The certificate id of the private authority that signed it, if one did.
    pub authority: Option<String>,
}

/// Whether devices may connect with a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Devices may connect.
    Active,
    /// Devices may not connect.
    Inactive,
    /// Devices may never connect again.
    Revoked,
    /// Registered when its device connected, and not activated or rejected yet.
    Waiting,
    /// Being transferred to another account, or from one.
    Elsewhere,
}

impl Status {
    /// Parses AWS IoT's spelling; its remaining values do not concern the platform.
    pub fn of(text: &str) -> Self {
        match text {
            "ACTIVE" => Self::Active,
            "INACTIVE" => Self::Inactive,
            "REVOKED" => Self::Revoked,
            "PENDING_ACTIVATION" => Self::Waiting,
            _ => Self::Elsewhere,
        }
    }
}

impl Display for Status {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Active => "ACTIVE",
            Self::Inactive => "INACTIVE",
            Self::Revoked => "REVOKED",
            Self::Waiting => "PENDING_ACTIVATION",
            Self::Elsewhere => "PENDING_TRANSFER",
        })
    }
}

/// Every change to the registry that returns no result. Certificates are named by their ARNs.
#[expect(missing_docs, reason = "each field is the name or the value that its variant speaks of")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Creates a thing.
    CreateThing { device: String, thing_type: String },
    /// Changes a thing's type.
    SetThingType { device: String, thing_type: String },
    /// Adds attributes to those that the thing has; an empty value removes one.
    SetAttributes { device: String, attributes: Vec<(&'static str, String)> },
    /// Deletes a thing that has no certificate.
    DeleteThing { device: String },
    /// Adds a thing to a group.
    JoinGroup { device: String, group: String },
    /// Removes a thing from a group.
    LeaveGroup { device: String, group: String },
    /// Attaches a policy to a certificate.
    AttachPolicy { policy: String, certificate: String },
    /// Detaches a policy from a certificate.
    DetachPolicy { policy: String, certificate: String },
    /// Attaches a certificate to a thing.
    AttachThing { device: String, certificate: String },
    /// Detaches a certificate from a thing.
    DetachThing { device: String, certificate: String },
    /// Sets whether devices may connect with a certificate.
    SetStatus { certificate: String, status: Status },
    /// Deletes a certificate, and detaches any policies it has.
    DeleteCertificate { certificate: String },
}

/// Reads a device's thing, if there is one.
///
/// # Errors
/// If AWS IoT refuses, or does not answer.
pub async fn thing(iot: &Iot, device: &str) -> Result<Option<Thing>, CallError> {
    iot.get("describe the thing", &format!("/things/{}", encode(device))).await
}

/// Reads a certificate by its id, if there is one.
///
/// # Errors
/// If AWS IoT refuses, or does not answer.
pub async fn certificate(iot: &Iot, id: &str) -> Result<Option<Certificate>, CallError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Answer {
        certificate_description: Description,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Description {
        certificate_arn: String,
        status: String,
        certificate_pem: String,
        #[serde(default)]
        ca_certificate_id: Option<String>,
    }
    let path = format!("/certificates/{}", encode(id));
    let answer: Option<Answer> = iot.get("describe the certificate", &path).await?;
    Ok(answer.map(|Answer { certificate_description: found }| Certificate {
        arn: found.certificate_arn,
        status: Status::of(&found.status),
        pem: found.certificate_pem,
        authority: found.ca_certificate_id,
    }))
}

/// Lists the groups that a thing is in.
///
/// # Errors
/// If AWS IoT refuses, or does not answer.
pub async fn groups(iot: &Iot, thing: &str) -> Result<Vec<String>, CallError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Group {
        group_name: String,
    }
    let path = format!("/things/{}/thing-groups", encode(thing));
    let groups: Vec<Group> =
        iot.pages("list thing groups", Method::GET, &path, "thingGroups", TOKEN, &mut |_| {}).await?;
    Ok(groups.into_iter().map(|group| group.group_name).collect())
}

/// Lists the policies of a certificate.
///
/// # Errors
/// If AWS IoT refuses, or does not answer.
pub async fn policies(iot: &Iot, certificate: &str) -> Result<Vec<String>, CallError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Policy {
        policy_name: String,
    }
    let path = format!("/attached-policies/{}", encode(certificate));
    let policies: Vec<Policy> =
        iot.pages("list attached policies", Method::POST, &path, "policies", MARKER, &mut |_| {}).await?;
    Ok(policies.into_iter().map(|policy| policy.policy_name).collect())
}

impl Change {
    /// Makes the change.
    ///
    /// # Errors
    /// If AWS IoT refuses it, or does not answer.
    pub async fn make(&self, iot: &Iot) -> Result<(), CallError> {
        let Asked { method, path, principal, body } = self.asked();
        let headers: Vec<(&str, &str)> = principal.iter().map(|arn| (PRINCIPAL, arn.as_str())).collect();
        let deletes = matches!(self, Self::DeleteThing { .. } | Self::DeleteCertificate { .. });
        let refused_for_now: &[&str] = if deletes { &STILL_ATTACHED } else { &[] };
        let _answer: Value = iot.call_until(&self.to_string(), method, &path, &headers, body, refused_for_now).await?;
        Ok(())
    }

    fn asked(&self) -> Asked {
        let thing = |device: &str| format!("/things/{}", encode(device));
        let certificate_path = |arn: &str| format!("/certificates/{}", encode(id_of(arn)));
        let with = |method, path, body| Asked { method, path, principal: None, body };
        let in_group = |device: &str, group: &str| Some(json!({ "thingName": device, "thingGroupName": group }));
        let principal = |method, device: &str, arn: &str| {
            let path = format!("{}/principals", thing(device));
            Asked { method, path, principal: Some(arn.to_owned()), body: None }
        };
        let policy_path = |policy: &str| format!("/target-policies/{}", encode(policy));
        match self {
            Self::CreateThing { device, thing_type } => {
                with(Method::POST, thing(device), Some(json!({ "thingTypeName": thing_type })))
            }
            Self::SetThingType { device, thing_type } => {
                with(Method::PATCH, thing(device), Some(json!({ "thingTypeName": thing_type })))
            }
            Self::SetAttributes { device, attributes } => {
                let attributes: Map<String, Value> =
                    attributes.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
                let payload = json!({ "attributePayload": { "attributes": attributes, "merge": true } });
                with(Method::PATCH, thing(device), Some(payload))
            }
            Self::DeleteThing { device } => with(Method::DELETE, thing(device), None),
            Self::JoinGroup { device, group } => {
                with(Method::PUT, "/thing-groups/addThingToThingGroup".to_owned(), in_group(device, group))
            }
            Self::LeaveGroup { device, group } => {
                with(Method::PUT, "/thing-groups/removeThingFromThingGroup".to_owned(), in_group(device, group))
            }
            Self::AttachPolicy { policy, certificate } => {
                with(Method::PUT, policy_path(policy), Some(json!({ "target": certificate })))
            }
            Self::DetachPolicy { policy, certificate } => {
                with(Method::POST, policy_path(policy), Some(json!({ "target": certificate })))
            }
            Self::AttachThing { device, certificate } => principal(Method::PUT, device, certificate),
            Self::DetachThing { device, certificate } => principal(Method::DELETE, device, certificate),
            Self::SetStatus { certificate, status } => {
                with(Method::PUT, format!("{}?newStatus={status}", certificate_path(certificate)), None)
            }
            Self::DeleteCertificate { certificate } => {
                with(Method::DELETE, format!("{}?forceDelete=true", certificate_path(certificate)), None)
            }
        }
    }
}

impl Display for Change {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CreateThing { device, thing_type } => write!(formatter, "create thing {device} of type {thing_type}"),
            Self::SetThingType { device, thing_type } => {
                write!(formatter, "make thing {device} one of type {thing_type}")
            }
            Self::SetAttributes { device, .. } => write!(formatter, "keep with thing {device} what was told of it"),
            Self::DeleteThing { device } => write!(formatter, "delete thing {device}"),
            Self::JoinGroup { device, group } => write!(formatter, "put thing {device} into thing group {group}"),
            Self::LeaveGroup { device, group } => write!(formatter, "take thing {device} out of thing group {group}"),
            Self::AttachPolicy { policy, certificate } => {
                write!(formatter, "attach policy {policy} to certificate {}", id_of(certificate))
            }
            Self::DetachPolicy { policy, certificate } => {
                write!(formatter, "detach policy {policy} from certificate {}", id_of(certificate))
            }
            Self::AttachThing { device, certificate } => {
                write!(formatter, "attach certificate {} to thing {device}", id_of(certificate))
            }
            Self::DetachThing { device, certificate } => {
                write!(formatter, "detach certificate {} from thing {device}", id_of(certificate))
            }
            Self::SetStatus { certificate, status } => {
                write!(formatter, "make certificate {} {status}", id_of(certificate))
            }
            Self::DeleteCertificate { certificate } => write!(formatter, "delete certificate {}", id_of(certificate)),
        }
    }
}

/// The id of a certificate, which is the end of its ARN.
pub fn id_of(arn: &str) -> &str {
    arn.rsplit('/').next().unwrap_or(arn)
}

/// The request for a change.
#[derive(Debug, PartialEq)]
struct Asked {
    method: Method,
    path: String,
    /// The certificate that goes into a header.
    principal: Option<String>,
    body: Option<Value>,
}

#[cfg(feature = "jobs")]
impl Things for Iot {
    async fn thing(&self, device: &str) -> Result<Option<Thing>, PortError> {
        thing(self, device).await.map_err(failed)
    }
}

#[cfg(feature = "jobs")]
impl ThingRegistry for Iot {
    async fn certificate(&self, id: &str) -> Result<Option<Certificate>, PortError> {
        certificate(self, id).await.map_err(failed)
    }

    async fn groups(&self, device: &str) -> Result<Vec<String>, PortError> {
        groups(self, device).await.map_err(failed)
    }

    async fn policies(&self, certificate: &str) -> Result<Vec<String>, PortError> {
        policies(self, certificate).await.map_err(failed)
    }

    async fn change(&self, change: &Change) -> Result<Made, PortError> {
        match change.make(self).await {
            Ok(()) => Ok(Made::Done),
            // Of two invocations for the same certificate, the other one has created the thing.
            Err(error) if error.is_there_already() && matches!(change, Change::CreateThing { .. }) => Ok(Made::Done),
            Err(error) if error.is_missing() => Ok(Made::Missing),
            Err(error) => Err(failed(error)),
        }
    }
}

#[cfg(feature = "jobs")]
fn failed(error: CallError) -> PortError {
    PortError(error.to_string())
}
