//! What is asked of a registry of devices, and what it is told to change, each change as a value.

use std::fmt::{self, Display};

use super::{Thing, iot::CallError};

/// A certificate, as the registry has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Certificate {
    pub(crate) status: Status,
    pub(crate) pem: String,
}

/// Whether devices may speak with a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    Active,
    Inactive,
    Revoked,
    /// On its way to another account, or from one.
    Elsewhere,
}

impl Status {
    /// As AWS IoT spells it; what it has besides is none of ours.
    pub(crate) fn of(text: &str) -> Self {
        match text {
            "ACTIVE" => Self::Active,
            "INACTIVE" => Self::Inactive,
            "REVOKED" => Self::Revoked,
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
            Self::Elsewhere => "PENDING_TRANSFER",
        })
    }
}

/// A certificate that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Created {
    pub(crate) arn: String,
    pub(crate) pem: String,
}

/// A certificate that was made with a private key, which nobody may be shown.
pub(crate) struct CreatedWithKey {
    pub(crate) created: Created,
    pub(crate) key: String,
}

/// Everything that is changed without an answer. Certificates are named by their ARNs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    CreateThing {
        device: String,
        thing_type: String,
    },
    SetThingType {
        device: String,
        thing_type: String,
    },
    /// Attributes beside those that it has; an empty value takes one away.
    SetAttributes {
        device: String,
        attributes: Vec<(&'static str, String)>,
    },
    DeleteThing {
        device: String,
    },
    JoinGroup {
        device: String,
        group: String,
    },
    LeaveGroup {
        device: String,
        group: String,
    },
    TellStream {
        device: String,
        record: String,
    },
    AttachPolicy {
        policy: String,
        certificate: String,
    },
    DetachPolicy {
        policy: String,
        certificate: String,
    },
    AttachThing {
        device: String,
        certificate: String,
    },
    DetachThing {
        device: String,
        certificate: String,
    },
    SetStatus {
        certificate: String,
        status: Status,
    },
    /// With its policies, where it has some.
    DeleteCertificate {
        certificate: String,
    },
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
            Self::TellStream { record, .. } => write!(formatter, "put a device record on the stream: {record}"),
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

/// The id of a certificate, which its ARN ends with.
pub(crate) fn id_of(arn: &str) -> &str {
    arn.rsplit('/').next().unwrap_or(arn)
}

/// A registry of devices, and the stream that is told of them.
pub(crate) trait Registry {
    /// The thing of a device, if there is one.
    async fn thing(&self, device: &str) -> Result<Option<Thing>, CallError>;
    /// The groups that a thing is in.
    async fn groups(&self, device: &str) -> Result<Vec<String>, CallError>;
    /// The certificates that speak for a thing.
    async fn certificates(&self, device: &str) -> Result<Vec<String>, CallError>;
    /// A certificate, if there is one.
    async fn certificate(&self, arn: &str) -> Result<Option<Certificate>, CallError>;
    /// All certificates of the account that are inactive.
    async fn inactive(&self) -> Result<Vec<String>, CallError>;
    /// The policies of a certificate.
    async fn policies(&self, arn: &str) -> Result<Vec<String>, CallError>;
    /// Makes a certificate for a request, which is inactive.
    async fn create_certificate(&self, request: &str) -> Result<Created, CallError>;
    /// Makes a private key and a certificate of it, which is inactive. The key is given once: who loses the answer loses it.
    async fn create_keys_and_certificate(&self) -> Result<CreatedWithKey, CallError>;
    /// Changes one thing.
    async fn change(&self, change: &Change) -> Result<(), CallError>;
}
