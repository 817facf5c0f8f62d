//! Who asks: the certificate, the way it came, and the thing whose name the thing variables take.

/// A certificate as the registry knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// The thing that it is attached to.
    pub thing: Option<String>,
    /// The common name of its subject, which whoever signed the request for it has chosen.
    pub common_name: String,
}

/// Which thing the thing variables are about.
///
/// The developer guide ("Thing policy variables") says that AWS IoT uses the certificate "to determine which thing to
/// use", and that "the thing name is obtained from the client ID". They come to different ends only for a client whose id is
/// another's than its certificate's thing, which is what an impostor is. A policy is safe if it is under both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ThingReading {
    /// The registered thing that is called as the client id says; whether it is attached to the certificate is what
    /// `iot:Connection.Thing.IsAttached` tells.
    ByClientId,
    /// The thing that is attached to the certificate.
    ByCertificate,
}

impl ThingReading {
    /// Both of them.
    pub const ALL: [Self; 2] = [Self::ByClientId, Self::ByCertificate];
}

/// A client as AWS IoT sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection {
    pub(super) way: Way,
    pub(super) common_name: String,
}

/// How a client came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// By MQTT, with a client id.
    Mqtt { client_id: String, thing: Option<String>, is_attached: bool },
    /// By a single HTTPS request, for which there are no thing variables and no client id.
    Https,
}

impl Connection {
    /// A client that connects by MQTT. `is_registered` says whether there is a thing of the client id's name.
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

    /// A client that sends one HTTPS request.
    pub fn https(certificate: &Certificate) -> Self {
        Self { way: Way::Https, common_name: certificate.common_name.clone() }
    }

    /// The client id; none over HTTPS.
    pub(super) fn client_id(&self) -> Option<&str> {
        match &self.way {
            Way::Mqtt { client_id, .. } => Some(client_id),
            Way::Https => None,
        }
    }

    /// The thing that thing variables are about; none over HTTPS, or where there is no such thing.
    pub(super) fn thing(&self) -> Option<&str> {
        match &self.way {
            Way::Mqtt { thing, .. } => thing.as_deref(),
            Way::Https => None,
        }
    }

    /// Whether that thing is attached to the certificate; nothing over HTTPS, where the key does not exist.
    pub(super) fn is_attached(&self) -> Option<bool> {
        match self.way {
            Way::Mqtt { is_attached, .. } => Some(is_attached),
            Way::Https => None,
        }
    }
}

/// What a CONNECT packet asks for beyond a connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Connect {
    /// The features that `iot:ConnectAttributes` lists: none for a clean session without a will.
    pub(super) attributes: Vec<&'static str>,
    /// ARN of the will's topic.
    pub(super) will_topic: Option<String>,
}
