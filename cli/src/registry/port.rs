//! The questions and changes that a registry of devices answers and makes.

use std::fmt::{self, Display};

pub(crate) use fleetform_runtime::aws::things::{Certificate, Change, Status, id_of};

use super::{Thing, iot::CallError};

/// A certificate that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Created {
    pub(crate) arn: String,
    pub(crate) pem: String,
}

/// A certificate that was made with a private key, which must never be shown.
pub(crate) struct CreatedWithKey {
    pub(crate) created: Created,
    pub(crate) key: String,
}

/// One step towards the wanted device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    TellStream { device: String, record: String },
    Registry(Change),
}

impl From<Change> for Step {
    fn from(change: Change) -> Self {
        Self::Registry(change)
    }
}

impl Display for Step {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TellStream { record, .. } => write!(formatter, "put a device record on the stream: {record}"),
            Self::Registry(change) => write!(formatter, "{change}"),
        }
    }
}

/// A registry of devices, and the stream that their records are put on.
pub(crate) trait Registry {
    /// The thing of a device, if there is one.
    async fn thing(&self, device: &str) -> Result<Option<Thing>, CallError>;
    /// The groups that a thing is in.
    async fn groups(&self, device: &str) -> Result<Vec<String>, CallError>;
    /// The certificates attached to a thing.
    async fn certificates(&self, device: &str) -> Result<Vec<String>, CallError>;
    /// A certificate, if there is one.
    async fn certificate(&self, arn: &str) -> Result<Option<Certificate>, CallError>;
    /// All certificates of the account that are inactive.
    async fn inactive(&self) -> Result<Vec<String>, CallError>;
    /// The policies of a certificate.
    async fn policies(&self, arn: &str) -> Result<Vec<String>, CallError>;
    /// Makes a certificate for a request, which is inactive.
    async fn create_certificate(&self, request: &str) -> Result<Created, CallError>;
    /// Makes a private key and a certificate of it, which is inactive. The key is in this answer only: if the answer is lost, so is the key.
    async fn create_keys_and_certificate(&self) -> Result<CreatedWithKey, CallError>;
    /// Takes one step.
    async fn take(&self, step: &Step) -> Result<(), CallError>;
}
