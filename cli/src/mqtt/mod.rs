//! A simulated fleet on a message broker: every device has its own connection, with its own certificate.
//!
//! The fleet decides what is sent and when; this module sends it at its time. Each device is a task, so that a slow or
//! lost connection does not delay any other device.

mod certificates;
mod connection;
mod device;
mod outbox;
mod pace;
mod report;
mod run;
mod tally;
mod test_ca;

use std::{
    collections::BTreeMap,
    fmt,
    str::FromStr,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Instant,
};

use camino::Utf8PathBuf;
use clap::Args;
use fleetform_engine::{
    ids::{DeviceTypeId, ShadowName},
    units::Timestamp,
};
use fleetform_fleet::{Fleet, Member, Setting, Shadow};
use fleetform_generator::{
    broker::{self, ShadowTopics},
    platform::{Platform, device_type::DeviceType},
};
use rumqttc::mqttbytes::QoS;
use tokio::{sync::mpsc, task::JoinSet};
use tokio_rustls::rustls::pki_types::ServerName;

use crate::{
    clock::now,
    setting::setting,
    terminal::{Stop, counted, tell},
};
use certificates::Trust;
use connection::Broker;
use device::{Device, OwnShadow, Shared};
use pace::Pace;
use tally::Tally;
use test_ca::TestCa;

/// The default port of MQTT over TLS.
const PORT: u16 = 8883;

/// The port on which AWS IoT serves more than MQTT, and the protocol to negotiate there.
const SHARED_PORT: u16 = 443;
const SHARED_PORT_ALPN: &str = "x-amzn-mqtt-ca";

/// The most orders that wait for a device.
const ORDERS_MAX: usize = 100;

/// Files that are open in addition to connections.
const FILES: u64 = 100;

/// How the fleet is to be sent over MQTT.
#[derive(Args, Clone, Debug)]
pub(crate) struct Arguments {
    /// Connect each device to an MQTT broker with its own certificate, and send each message there at its time
    #[arg(long, value_name = "HOST[:PORT]", conflicts_with_all = ["out", "start"])]
    mqtt: Option<Address>,
    /// The folder of the devices' certificates, `<device>.crt` and `<device>.key`
    #[arg(long, value_name = "FOLDER", requires = "mqtt")]
    certificates: Option<Utf8PathBuf>,
    /// The certificate of the authority that signed the broker's; defaults to the authorities that this machine trusts
    #[arg(long, value_name = "FILE", requires = "certificates")]
    ca: Option<Utf8PathBuf>,
    /// A folder for your own test certificate authority: creates what is missing there, for the devices and for a
    /// broker on this machine, with a configuration of mosquitto
    #[arg(long, value_name = "FOLDER", requires = "mqtt", conflicts_with = "certificates")]
    test_ca: Option<Utf8PathBuf>,
    /// Create what `--test-ca` creates, and connect nowhere
    #[arg(long, requires = "test_ca")]
    prepare: bool,
    /// Maximum number of devices that connect in one second
    #[arg(long, value_name = "NUMBER", requires = "mqtt", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    connects_per_second: u32,
}

/// A broker's name and port.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Address {
    host: String,
    port: u16,
}

impl FromStr for Address {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const WRITE: &str = "write the broker's name and, unless it is 8883, its port: localhost:8884";
        let (host, port) = match text.rsplit_once(':') {
            // An IPv6 address is in brackets if a port follows.
            Some((host, _)) if host.contains(':') && !host.ends_with(']') => (text, None),
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let port = port.map_or(Some(PORT), |port| port.parse().ok().filter(|port| *port != 0)).ok_or(WRITE)?;
        ServerName::try_from(host).map_err(|_| WRITE)?;
        Ok(Self { host: host.to_owned(), port })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

impl Arguments {
    /// Whether a broker is given at all.
    pub(crate) fn is_given(&self) -> bool {
        self.mqtt.is_some()
    }

    /// Whether messages may reach a deployed platform: those of a bench do not.
    pub(crate) fn is_seen(&self) -> bool {
        self.mqtt.is_some() && self.test_ca.is_none()
    }

    /// Connects a fleet, and sends its messages from then on. `fleet` returns the fleet for the moment at which it
    /// starts.
    pub(crate) fn run<'r>(
        &self,
        platform: &Platform,
        members: &[Member],
        seed: u64,
        fleet: impl FnOnce(Timestamp) -> Fleet<'r>,
        by_profile: &str,
    ) -> Result<(), Stop> {
        let address = self.mqtt.as_ref().expect("a broker is named");
        let (folder, authority) = match (&self.test_ca, &self.certificates) {
            (Some(folder), _) => {
                let devices = members.iter().map(|member| member.id.as_str());
                let made = TestCa::prepare(folder, platform, (&address.host, address.port), devices)?;
                if self.prepare {
                    tell(format_args!(
                        "certificates of {} are in {}",
                        counted(members.len(), "device"),
                        made.devices()
                    ));
                    tell(format_args!("start the broker: mosquitto -c {}", made.configuration()));
                    return Ok(());
                }
                (made.devices(), Some(made.authority()))
            }
            (None, Some(folder)) => (folder.clone(), self.ca.clone()),
            (None, None) => {
                return Err(Stop::bad_input("devices need certificates")
                    .help("give their folder with --certificates, or a folder to create them in with --test-ca"));
            }
        };
        allow_files(members.len() as u64 + FILES)?;
        let trust = Trust::new(authority.as_deref())?;
        let alpn = (address.port == SHARED_PORT).then_some(SHARED_PORT_ALPN);
        let tls: Result<Vec<_>, _> =
            members.iter().map(|member| trust.client(&folder, member.id.as_str(), alpn)).collect();
        let tls = tls?;
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
        let runtime = runtime.map_err(|error| Stop::failed(format_args!("cannot start: {error}")))?;
        runtime.block_on(async {
            let shared = Arc::new(self.shared(platform, address).await?);
            let shadows = shadows(platform);
            let mut chance = fastrand::Rng::with_seed(seed);
            let mut devices = JoinSet::new();
            let mut orders = Vec::with_capacity(members.len());
            for (member, tls) in members.iter().zip(tls) {
                let (sender, receiver) = mpsc::channel(ORDERS_MAX);
                let id = member.id.to_string();
                let topics = broker::topics(platform, &id);
                let own = |(name, settings): &(Option<&ShadowName>, Arc<[Setting]>)| OwnShadow {
                    topics: ShadowTopics::new(&id, *name),
                    shadow: Shadow::new(settings.clone()),
                };
                let shadows = shadows[&member.device_type].iter().map(own).collect();
                let device = Device {
                    shared: shared.clone(),
                    id,
                    topics,
                    shadows,
                    tls: Arc::new(tls),
                    chance: chance.fork(),
                    is_finishing: false,
                };
                devices.spawn(device.live(receiver));
                orders.push(sender);
            }
            let begin = Instant::now();
            run::connected(&shared.tally, members.len() as u64).await?;
            let took = begin.elapsed();
            let known = shared.tally.known.load(Relaxed);
            tell(format_args!(
                "{known} devices are connected to {address} after {:.1} s; they start to send",
                took.as_secs_f64()
            ));
            let begin = report::Begin::new(&shared.tally);
            let sent = run::follow(fleet(now()), &orders, &shared.tally).await;
            let pace = begin.pace(&shared.tally);
            run::finish(devices, &orders).await;
            let run = report::Run {
                devices: members.len() as u64,
                by_profile,
                is_acknowledged: shared.qos != QoS::AtMostOnce,
                pace,
            };
            report::tell_of(&sent, &shared.tally, run)
        })
    }

    async fn shared(&self, platform: &Platform, address: &Address) -> Result<Shared, Stop> {
        let found = tokio::net::lookup_host((address.host.as_str(), address.port)).await;
        let addresses: Vec<_> = found
            .map_err(|error| Stop::failed(format_args!("cannot find the broker `{}`: {error}", address.host)))?
            .collect();
        if addresses.is_empty() {
            return Err(Stop::failed(format_args!("the broker `{}` has no address", address.host)));
        }
        let name = ServerName::try_from(address.host.clone()).expect("it was looked at when it was read");
        Ok(Shared {
            broker: Broker { name, addresses },
            pace: Pace::new(self.connects_per_second),
            tally: Tally::default(),
            qos: if platform.mqtt.qos == 0 { QoS::AtMostOnce } else { QoS::AtLeastOnce },
            retain_status: platform.mqtt.retain_status,
            last_will: platform.mqtt.last_will,
        })
    }
}

/// The shadows of a device type that have settings, with those.
type ShadowsOfType<'p> = Vec<(Option<&'p ShadowName>, Arc<[Setting]>)>;

/// The shadows of each device type.
fn shadows(platform: &Platform) -> BTreeMap<&DeviceTypeId, ShadowsOfType<'_>> {
    platform.device_types.iter().map(|(id, device_type)| (id, shadows_of(device_type))).collect()
}

fn shadows_of(device_type: &DeviceType) -> ShadowsOfType<'_> {
    let shadows = device_type.settings_by_shadow().into_iter();
    shadows
        .map(|(name, settings)| (name, settings.into_iter().map(|(id, declared)| setting(id, declared)).collect()))
        .collect()
}

/// Makes sure that this many files may be open; connections count as files.
#[cfg(unix)]
fn allow_files(files: u64) -> Result<(), Stop> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    let limits = getrlimit(Resource::Nofile);
    if limits.current.is_none_or(|current| current >= files) {
        return Ok(());
    }
    let wanted = Rlimit { current: Some(files), maximum: limits.maximum };
    let too_few = || {
        Stop::failed(format_args!("this process may not open {files} files, which so many devices need"))
            .help("raise the limit for it (ulimit -Hn), or simulate fewer devices with --per-zone")
    };
    if limits.maximum.is_some_and(|maximum| maximum < files) {
        return Err(too_few());
    }
    setrlimit(Resource::Nofile, wanted).map_err(|_| too_few())
}

#[cfg(not(unix))]
fn allow_files(_files: u64) -> Result<(), Stop> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broker_is_named_with_or_without_a_port() {
        for (text, shown) in [
            ("localhost", "localhost:8883"),
            ("localhost:1", "localhost:1"),
            ("127.0.0.1:443", "127.0.0.1:443"),
            ("[::1]:99", "[::1]:99"),
            ("[::1]", "[::1]:8883"),
            ("::1", "[::1]:8883"),
            ("a1-ats.iot.eu-west-1.amazonaws.com", "a1-ats.iot.eu-west-1.amazonaws.com:8883"),
        ] {
            assert_eq!(text.parse::<Address>().map(|address| address.to_string()).as_deref(), Ok(shown), "{text}");
        }
        for bad in ["", ":8883", "localhost:", "localhost:0", "localhost:70000", "a b", "mqtts://localhost"] {
            assert!(bad.parse::<Address>().is_err(), "{bad}");
        }
    }
}
