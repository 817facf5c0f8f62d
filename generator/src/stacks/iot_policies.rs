//! The AWS IoT policies of a platform: what certificates may do, and which certificates have which policy.

use fleetform_engine::ids::{DeviceTypeId, ShadowName};
use fleetform_policy::{audit::Bearer, iam::Document, iot};
use smol_str::SmolStr;

use super::site::Site;
use crate::{
    cfn::{
        resource::iot::Policy,
        stack::Stack,
        value::{Text, logical_id},
    },
    platform::{identity::Provisioning, mqtt::Topic},
};

/// The prefix in the name of a named shadow's policy.
pub(crate) const NAMED_SHADOW: &str = "shadow-";

/// One policy.
pub(crate) struct IotPolicy {
    /// Its logical id.
    pub(crate) id: SmolStr,
    /// Its word in names and files.
    pub(crate) name: SmolStr,
    /// The kind of certificate that has it.
    pub(crate) bearer: Bearer,
    /// If set, only devices of this type have it.
    pub(crate) only: Option<DeviceTypeId>,
    pub(crate) document: Document<iot::Resource>,
}

impl IotPolicy {
    fn new(
        id: impl Into<SmolStr>,
        name: impl Into<SmolStr>,
        bearer: Bearer,
        document: Document<iot::Resource>,
    ) -> Self {
        Self { id: id.into(), name: name.into(), bearer, only: None, document }
    }
}

/// Adds a policy to a stack.
pub(crate) fn add(site: &Site<'_>, stack: &mut Stack, policy: IotPolicy) {
    let policy_document = policy
        .document
        .map(|resource| Text::arn("iot", [resource.kind.as_str().into(), "/".into(), resource.name.into()]));
    stack.add(policy.id, Policy { policy_name: site.iot_name(&policy.name), policy_document });
}

/// Every policy.
pub(crate) fn all(site: &Site<'_>) -> Vec<IotPolicy> {
    let of_types = site.platform.device_types.keys().filter_map(|id| of_type(site, id));
    shared(site).into_iter().chain(of_types).collect()
}

/// Returns the policy that only devices of a type have; `None` if the type has no commands.
pub(crate) fn of_type(site: &Site<'_>, device_type: &DeviceTypeId) -> Option<IotPolicy> {
    let has_commands = !site.platform.device_types[device_type].commands.is_empty();
    has_commands.then(|| {
        let id = logical_id(device_type.as_str(), "CommandsPolicy");
        let name = format!("commands-{device_type}");
        IotPolicy {
            only: Some(device_type.clone()),
            ..IotPolicy::new(id, name, Bearer::Device, iot::commands_policy())
        }
    })
}

/// Returns the policies that are not specific to a device type.
pub(crate) fn shared(site: &Site<'_>) -> Vec<IotPolicy> {
    let mut policies = vec![
        IotPolicy::new("DeviceCorePolicy", "core", Bearer::Device, core(site)),
        IotPolicy::new("DeviceShadowPolicy", "shadow", Bearer::Device, iot::shadow_policy(None)),
    ];
    policies.extend(site.platform.shadows().into_iter().map(|name| {
        let id = logical_id(name.as_str(), "NamedShadowPolicy");
        let document = iot::shadow_policy(Some(name.as_str()));
        IotPolicy::new(id, format!("{NAMED_SHADOW}{name}"), Bearer::Device, document)
    }));
    match site.platform.identity.provisioning {
        Provisioning::Csr | Provisioning::ServerKeys | Provisioning::Jitp => {}
        Provisioning::FleetClaim => {
            let document = iot::claim_policy(&site.provisioning_template());
            policies.push(IotPolicy::new("ClaimPolicy", "claim", Bearer::Claim, document));
        }
    }
    policies
}

/// Returns the policies that every device has.
pub(crate) fn of_devices(site: &Site<'_>) -> Vec<IotPolicy> {
    all(site).into_iter().filter(|policy| policy.bearer == Bearer::Device).collect()
}

/// The topics of one device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceTopics {
    /// Topic of its telemetry.
    pub telemetry: String,
    /// Topic of its online and offline status.
    pub status: String,
    /// Topic of the alarms that it raises.
    pub alerts: String,
    /// The topics that it subscribes to.
    pub subscribe: Vec<String>,
}

/// The topics of one shadow of a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShadowTopics {
    /// Where the device reports its settings.
    pub update: String,
    /// Where it receives the differences between the desired and the reported settings.
    pub delta: String,
}

impl ShadowTopics {
    /// Returns the topics of a device's shadow, the classic one unless a name is given.
    pub fn new(device: &str, name: Option<&ShadowName>) -> Self {
        let shadow = iot::shadow_topic(device, name.map(ShadowName::as_str));
        Self { update: format!("{shadow}/update"), delta: format!("{shadow}/update/delta") }
    }
}

/// Returns the topics of the device with this name.
pub(crate) fn device_topics(site: &Site<'_>, device: &str) -> DeviceTopics {
    let mqtt = &site.platform.mqtt;
    let topic = |topic: &Topic| topic.with_device(device);
    // Basic Ingest bypasses the message broker, which is most of the cost of a message. Status stays on the broker:
    // only there can it be retained, and monitoring clients subscribe to it.
    let sent = |name: &str, at: &Topic| match mqtt.basic_ingest {
        true => format!("$aws/rules/{}/{}", site.topic_rule(name), topic(at)),
        false => topic(at),
    };
    DeviceTopics {
        telemetry: sent("telemetry", &mqtt.telemetry),
        status: topic(&mqtt.status),
        alerts: sent("alerts", &mqtt.alerts),
        subscribe: vec![format!("{}/state", topic(&mqtt.alerts))],
    }
}

fn core(site: &Site<'_>) -> Document<iot::Resource> {
    let mqtt = &site.platform.mqtt;
    let DeviceTopics { telemetry, status, alerts, subscribe } = device_topics(site, iot::THING);
    iot::core_policy(&iot::DeviceTopics {
        retain: mqtt.retain_status.then(|| status.clone()),
        publish: vec![telemetry, status, alerts],
        subscribe,
        last_will: mqtt.last_will,
    })
}
