//! The client: its certificate, how it connects, and the thing whose name the thing variables take.

/// A certificate as the registry knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// Name of the thing that it is attached to.
    pub thing: Option<String>,
    /// The common name of its subject, which is chosen by whoever signed the certificate request.
    pub common_name: String,
}

/// The thing that the thing variables refer to.
///
/// The developer guide ("Thing policy variables") says that AWS IoT uses the certificate "to determine which thing to
/// use", and that "the thing name is obtained from the client ID". The two differ only for a client that uses another
/// device's id rather than its certificate's thing, that is, for an impostor. A policy is safe if it is safe under
/// both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ThingReading {
    /// The registered thing whose name is the client id. `iot:Connection.Thing.IsAttached` shows whether it is
    /// attached to the certificate.
    ByClientId,
    /// The thing that is attached to the certificate.
    ByCertificate,
}

impl ThingReading {
    /// Both readings.
    pub const ALL: [Self; 2] = [Self::ByClientId, Self::ByCertificate];
}

/// A client as AWS IoT sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection {
    pub(super) way: Way,
    pub(super) common_name: String,
}

/// How a client connects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// By MQTT, with a client id.
    Mqtt { client_id: String, thing: Option<String>, is_attached: bool },
    /// By a single HTTPS request, for which there are no thing variables and no client id.
    Https,
}

impl Connection {
    /// Creates a client that connects by MQTT. `is_registered` is whether there is a thing with the client id as its
    /// name.
    pub fn mqtt(certificate: &Certificate, client_id: &str, is_registered: bool, reading: ThingReading) -> Self {
        let (thing, is_attached) = match reading {
            ThingReading::ByClientId => {
                let is_attached = certificate.thing.as_deref() == Some(client_id);
                (is_registered.then(|| client_id.to_owned()), is_attached)
            }
            ThingReading::ByCertificate => (certificate.thing.clone(), certificate.thing.is_some()),
        };
        Self {
            way: Way::Mqtt { client_id: client_id.to_owned(), thing, is_attached },
            common_name: certificate.common_name.clone(),
        }
    }

    /// Creates a client that sends one HTTPS request.
    pub fn https(certificate: &Certificate) -> Self {
        Self { way: Way::Https, common_name: certificate.common_name.clone() }
    }

    /// Returns the client id; `None` over HTTPS.
    pub(super) fn client_id(&self) -> Option<&str> {
        match &self.way {
            Way::Mqtt { client_id, .. } => Some(client_id),
            Way::Https => None,
        }
    }

    /// Returns the thing that thing variables refer to; `None` over HTTPS, or if there is no such thing.
    pub(super) fn thing(&self) -> Option<&str> {
        match &self.way {
            Way::Mqtt { thing, .. } => thing.as_deref(),
            Way::Https => None,
        }
    }

    /// Whether that thing is attached to the certificate; `None` over HTTPS, where the key does not exist.
    pub(super) fn is_attached(&self) -> Option<bool> {
        match self.way {
            Way::Mqtt { is_attached, .. } => Some(is_attached),
            Way::Https => None,
        }
    }
}

/// What a CONNECT packet requests in addition to a connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Connect {
    /// The features that `iot:ConnectAttributes` lists; empty for a clean session without a will.
    pub(super) attributes: Vec<&'static str>,
    /// ARN of the will's topic.
    pub(super) will_topic: Option<String>,
}
