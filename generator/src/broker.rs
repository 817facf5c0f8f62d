//! A platform on your own message broker: the topics of a device, and which client may use which topic.
//!
//! The rules are those of the platform's IoT policies, translated for mosquitto. This module does not know where the
//! broker runs, and it does not replace what only AWS IoT provides: nothing answers on shadow topics, and no messages
//! bypass the broker.

use std::fmt::Write as _;

use fleetform_policy::{iam::Target, iot};

pub use crate::stacks::{DeviceTopics, ShadowTopics};
use crate::{
    platform::Platform,
    stacks::{
        iot_policies::{IotPolicy, device_topics, of_devices},
        site::Site,
    },
};

/// The certificate name of the client that acts as the platform: it reads what devices send and publishes what they
/// receive. No device can have this name.
pub const PLATFORM: &str = "@platform";

/// The topics that a device publishes to and subscribes to.
pub fn topics(platform: &Platform, device: &str) -> DeviceTopics {
    device_topics(&Site::new(platform), device)
}

/// The port and file paths that the broker's configuration refers to. Paths must not contain line breaks.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The port to listen on, on this machine only.
    pub port: u16,
    /// The certificate of the authority that signed the devices' certificates.
    pub authority: &'a str,
    /// The broker's own certificate.
    pub certificate: &'a str,
    /// The private key of that certificate.
    pub key: &'a str,
    /// The file that holds the output of [`access`].
    pub access: &'a str,
}

/// Returns the mosquitto configuration.
///
/// A client is identified by its certificate's name, whatever client id it sends. AWS IoT rejects a client id that
/// differs; mosquitto replaces it with the certificate's name. Either way, a device cannot take over another device's
/// session.
pub fn configuration(platform: &Platform, place: Place<'_>) -> String {
    let Place { port, authority, certificate, key, access } = place;
    let retained = platform.mqtt.retain_status;
    format!(
        "# mosquitto for devices of `{name}` on this machine, with the access that its IoT policies give.\n\
         listener {port} 127.0.0.1\n\
         cafile {authority}\n\
         certfile {certificate}\n\
         keyfile {key}\n\
         require_certificate true\n\
         # A client is whom its certificate names, whatever it calls itself.\n\
         use_identity_as_username true\n\
         use_username_as_clientid true\n\
         allow_anonymous false\n\
         acl_file {access}\n\
         # Retaining is allowed to no device, or to each on its own topics.\n\
         retain_available {retained}\n\
         # As large as a message can be in AWS IoT.\n\
         message_size_limit 131072\n\
         max_queued_messages 100000\n\
         set_tcp_nodelay true\n\
         persistence false\n\
         log_dest stderr\n\
         log_type error\n\
         log_type warning\n\
         log_type notice\n\
         # For whoever starts it as root: the keys can be read by whoever made them alone.\n\
         user root\n",
        name = Site::new(platform).name,
    )
}

/// Returns the access of each client: what the IoT policies of a device allow, and the opposite direction for
/// [`PLATFORM`].
pub fn access(platform: &Platform) -> String {
    let site = Site::new(platform);
    let mut text =
        format!("# Who may use which topic of `{}`: `%u` is the name in a client's certificate.\n", site.name);
    let mut other_end = String::new();
    for IotPolicy { name, only, document, .. } in of_devices(&site) {
        // The broker does not know device types: whatever one type may do on its own topics, every device may do here.
        let whose = only.map_or_else(|| "each device".to_owned(), |only| format!("devices of type `{only}`"));
        let _ = writeln!(text, "\n# The policy `{name}` of {whose}.");
        for statement in document.statements() {
            for action in statement.actions() {
                let (access, other) = match *action {
                    "iot:Publish" => ("write", "read"),
                    "iot:Receive" => ("read", "write"),
                    // Connecting and retaining are handled in the configuration. A client may subscribe to topics that
                    // it may not receive from, but gets nothing: mosquitto checks when a message arrives.
                    _ => continue,
                };
                for target in statement.resources() {
                    let (Target::One(resource) | Target::Many { arn: resource, .. }) = target else { continue };
                    // A part that AWS IoT names is one level; the broker's `+` wildcard also stops at a `/`.
                    let name = resource.name.replace('*', "+");
                    let _ = writeln!(text, "pattern {access} {}", name.replace(iot::THING, "%u"));
                    let _ = writeln!(other_end, "topic {other} {}", name.replace(iot::THING, "+"));
                }
            }
        }
    }
    let _ = write!(text, "\n# Whoever plays the platform.\nuser {PLATFORM}\n{other_end}");
    text
}

#[cfg(test)]
mod tests {
    use fleetform_engine::ids::{DeviceId, ShadowName};

    use super::*;
    use crate::stacks::sample;

    #[test]
    fn access_is_what_the_policies_allow() {
        let mut platform = sample::platform();
        platform.mqtt.basic_ingest = false;
        let text = access(&platform);
        let patterns: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("pattern ")).collect();
        assert_eq!(
            patterns,
            [
                "write sensors/%u/telemetry",
                "write sensors/%u/status",
                "write sensors/%u/alerts",
                "read sensors/%u/alerts/state",
                "write $aws/things/%u/shadow/get",
                "write $aws/things/%u/shadow/update",
                "read $aws/things/%u/shadow/get/accepted",
                "read $aws/things/%u/shadow/get/rejected",
                "read $aws/things/%u/shadow/update/accepted",
                "read $aws/things/%u/shadow/update/delta",
                "read $aws/things/%u/shadow/update/rejected",
                "write $aws/things/%u/shadow/name/config/get",
                "write $aws/things/%u/shadow/name/config/update",
                "read $aws/things/%u/shadow/name/config/get/accepted",
                "read $aws/things/%u/shadow/name/config/get/rejected",
                "read $aws/things/%u/shadow/name/config/update/accepted",
                "read $aws/things/%u/shadow/name/config/update/delta",
                "read $aws/things/%u/shadow/name/config/update/rejected",
                "write $aws/commands/things/%u/executions/+/response/json",
                "read $aws/commands/things/%u/executions/+/request/json",
                "read $aws/commands/things/%u/executions/+/response/accepted/json",
                "read $aws/commands/things/%u/executions/+/response/rejected/json",
            ]
        );
        let (_, platforms) = text.split_once("user @platform\n").expect("the platform");
        let of = |access: &str| platforms.lines().filter(|line| line.starts_with(&format!("topic {access} "))).count();
        assert_eq!((of("read"), of("write")), (8, 14));
        // One level is the device, the other the execution of a command.
        let levels = |line: &str| if line.contains("/executions/") { 2 } else { 1 };
        assert!(platforms.lines().all(|line| line.matches('+').count() == levels(line)), "{platforms}");
    }

    #[test]
    fn a_policy_asks_for_nothing_that_is_not_thought_of() {
        const KNOWN: [&str; 5] = ["iot:Connect", "iot:Publish", "iot:RetainPublish", "iot:Subscribe", "iot:Receive"];
        let platform = sample::platform();
        for IotPolicy { only, document, .. } in of_devices(&Site::new(&platform)) {
            // Only the policies for commands contain parts that AWS IoT names.
            assert!(only.is_some() || document.wide_resources().count() == 0);
            for statement in document.statements() {
                assert!(statement.actions().iter().all(|action| KNOWN.contains(action)), "{:?}", statement.actions());
            }
        }
    }

    #[test]
    fn a_device_publishes_where_it_may() {
        for basic_ingest in [false, true] {
            let mut platform = sample::platform();
            platform.mqtt.basic_ingest = basic_ingest;
            let topics = topics(&platform, "pump-1");
            let text = access(&platform).replace("%u", "pump-1");
            let config = ShadowName::new("config").unwrap();
            let shadows = [None, Some(&config)].map(|name| ShadowTopics::new("pump-1", name));
            let updates = shadows.iter().map(|shadow| &shadow.update);
            for topic in [&topics.telemetry, &topics.status, &topics.alerts].into_iter().chain(updates) {
                assert!(text.lines().any(|line| line == format!("pattern write {topic}")), "{topic}");
            }
            for filter in topics.subscribe.iter().chain(shadows.iter().map(|shadow| &shadow.delta)) {
                assert!(text.lines().any(|line| line == format!("pattern read {filter}")), "{filter}");
            }
            assert_eq!(topics.telemetry.starts_with("$aws/rules/"), basic_ingest);
        }
    }

    #[test]
    fn the_configuration_follows_the_platform() {
        let mut platform = sample::platform();
        let place = Place { port: 8883, authority: "a", certificate: "b", key: "c", access: "d" };
        platform.mqtt.retain_status = false;
        assert!(configuration(&platform, place).contains("\nretain_available false\n"));
        platform.mqtt.retain_status = true;
        let text = configuration(&platform, place);
        assert!(text.contains("\nretain_available true\n"));
        for line in ["require_certificate true", "use_username_as_clientid true", "allow_anonymous false", "acl_file d"]
        {
            assert!(text.lines().any(|written| written == line), "{line}");
        }
        assert!(DeviceId::new(PLATFORM).is_err(), "a device could have the platform's name");
    }
}
