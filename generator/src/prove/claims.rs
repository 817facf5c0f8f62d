//! The cases of a claim certificate, which is on many devices and in many hands. It may request a certificate for its
//! holder through the platform's template and nothing else; least of all may it do what a device may do.

use fleetform_policy::evaluate::{Operation, Will};

use super::cases::{Client, Column, Planned, by_rule, call, publish, receive, subscribe};
use crate::{
    platform::{Platform, mqtt::Topic},
    stacks::{self, site::Site},
};

const CLAIM: &str = "a claim certificate";

/// A template that is not the platform's.
const OTHER_TEMPLATE: &str = "another-template";

/// Returns every case of a platform.
pub(super) fn planned(platform: &Platform) -> Vec<Planned> {
    let site = Site::new(platform);
    let template = stacks::provisioning_template_name(platform);
    let devices = platform.device_types.keys().map(|id| format!("{id}-1")).collect();
    let mut table = Table { site: &site, template, devices, planned: Vec::new() };
    table.connections();
    table.certificates();
    table.provisioning();
    table.everything_of_devices();
    table.calls();
    table.planned
}

struct Table<'a> {
    site: &'a Site<'a>,
    template: String,
    /// One device of each type.
    devices: Vec<String>,
    planned: Vec<Planned>,
}

impl Table<'_> {
    fn connections(&mut self) {
        let plain = Operation::Connect { is_persistent: false, will: None };
        self.push("claim: connect", Column::Own, self.own(), plain.clone(), true);
        self.push("claim: connect", Column::Own, self.claim(&format!("{}/line-2", self.template)), plain.clone(), true);
        // A client that connects with a device's id disconnects that device.
        for device in self.devices.clone() {
            for is_registered in [true, false] {
                let client = Client { is_registered, ..self.claim(&device) };
                self.push("claim: connect", Column::Other, client, plain.clone(), false);
            }
        }
        for id in ["*", "+", "#", "${iot:ClientId}", "/", "another/1", &self.template.clone()] {
            self.push("claim: connect", Column::Everyone, self.claim(id), plain.clone(), false);
        }
        let persistent = Operation::Connect { is_persistent: true, will: None };
        self.push("claim: connect, persistent session", Column::Own, self.own(), persistent, false);
        let (status, csr) = (self.site.platform.mqtt.status.clone(), csr("json"));
        let of_devices = self.devices.iter().map(|device| (Column::Other, status.with_device(device)));
        for (column, topic) in of_devices.chain([(Column::Own, csr)]).collect::<Vec<_>>() {
            let will = Some(Will { topic, is_retained: false });
            let connect = Operation::Connect { is_persistent: false, will };
            self.push("claim: connect with a will", column, self.own(), connect, false);
        }
    }

    fn certificates(&mut self) {
        self.try_own("claim: ask for a certificate of its own key", true, vec![publish(csr("json"), false)]);
        self.try_own("claim: ask for a certificate, retained", false, vec![publish(csr("json"), true)]);
        let answers = |topic: &str| ["accepted", "rejected"].map(|end| format!("{topic}/{end}"));
        let own = answers(&csr("json"));
        let heard = own.clone().map(subscribe).into_iter().chain(own.map(receive)).collect();
        self.try_own("claim: hear of the certificate", true, heard);
        // If AWS created the key, the private key would be sent over the network.
        let keys = "$aws/certificates/create/json".to_owned();
        let mut others =
            vec![publish(keys.clone(), false), publish(csr("cbor"), false), publish(csr("json/accepted"), false)];
        others.extend(answers(&keys).map(subscribe));
        others.extend(answers(&keys).map(receive));
        self.try_own("claim: ask for a key of AWS's making", false, others);
        let filters = [
            "#",
            "+",
            "$aws/#",
            "$aws/certificates/#",
            "$aws/certificates/create-from-csr/#",
            "$aws/certificates/+/json/accepted",
        ];
        self.try_everyone(
            "claim: hear of every certificate",
            filters.map(|filter| subscribe(filter.to_owned())).to_vec(),
        );
    }

    fn provisioning(&mut self) {
        let ask = |template: &str| vec![publish(provision(template), false)];
        self.try_own("claim: be provisioned", true, ask(&self.template));
        let others =
            [OTHER_TEMPLATE.to_owned(), format!("{}-2", self.template), format!("x{}", self.template), "*".to_owned()];
        for template in &others {
            self.try_other("claim: be provisioned", ask(template));
        }
        let hear = |template: &str| {
            let topics = ["accepted", "rejected"].map(|end| format!("{}/{end}", provision(template)));
            topics.clone().map(subscribe).into_iter().chain(topics.map(receive)).collect::<Vec<_>>()
        };
        self.try_own("claim: hear of being provisioned", true, hear(&self.template));
        for template in &others {
            self.try_other("claim: hear of being provisioned", hear(template));
        }
        let below = format!("$aws/provisioning-templates/{}", self.template);
        let filters = [
            "$aws/provisioning-templates/#".to_owned(),
            "$aws/provisioning-templates/+/provision/json/accepted".to_owned(),
            format!("{below}/#"),
            format!("{below}/*"),
        ];
        self.try_everyone("claim: hear of being provisioned", filters.map(subscribe).to_vec());
    }

    /// The topics of each device, and those of the data that AWS keeps for it.
    fn everything_of_devices(&mut self) {
        let mqtt = self.site.platform.mqtt.clone();
        let rule =
            |topic: &Topic, name: &str, device: &str| by_rule(&self.site.topic_rule(name), &topic.with_device(device));
        let mut operations = Vec::new();
        for device in &self.devices {
            for topic in [&mqtt.telemetry, &mqtt.status, &mqtt.alerts] {
                let topic = topic.with_device(device);
                operations.push(publish(topic.clone(), false));
                operations.push(publish(topic.clone(), true));
                operations.push(subscribe(topic.clone()));
                operations.push(receive(topic));
            }
            let state = format!("{}/state", mqtt.alerts.with_device(device));
            operations.extend([publish(state.clone(), false), subscribe(state.clone()), receive(state)]);
            operations.push(publish(rule(&mqtt.telemetry, "telemetry", device), false));
            operations.push(publish(rule(&mqtt.alerts, "alerts", device), false));
            for rest in
                ["shadow/get", "shadow/update", "shadow/delete", "shadow/name/settings/update", "jobs/start-next"]
            {
                operations.push(publish(format!("$aws/things/{device}/{rest}"), false));
            }
            for rest in ["shadow/update/delta", "shadow/get/accepted", "jobs/notify"] {
                operations.push(subscribe(format!("$aws/things/{device}/{rest}")));
                operations.push(receive(format!("$aws/things/{device}/{rest}")));
            }
            for name in self.site.platform.shadows() {
                operations.push(publish(format!("$aws/things/{device}/shadow/name/{name}/update"), false));
                operations.push(subscribe(format!("$aws/things/{device}/shadow/name/{name}/update/delta")));
            }
            operations.push(publish(format!("$aws/events/presence/disconnected/{device}"), false));
            operations.push(subscribe(format!("$aws/commands/things/{device}/executions/+/request/json")));
        }
        self.try_other("claim: do what a device may", operations);
        let filters = [
            mqtt.telemetry.with_device("+"),
            mqtt.status.with_device("+"),
            "$aws/things/#".to_owned(),
            "$aws/events/#".to_owned(),
        ];
        self.try_everyone("claim: do what a device may", filters.map(subscribe).to_vec());
    }

    fn calls(&mut self) {
        let mqtt = self.site.platform.mqtt.clone();
        let mut operations = Vec::new();
        for device in &self.devices {
            operations.push(publish(mqtt.telemetry.with_device(device), false));
            operations.extend(call(&["iot:GetThingShadow", "iot:UpdateThingShadow"], &format!("thing/{device}")));
            operations.extend(call(&["iot:DescribeJobExecution"], &format!("thing/{device}")));
        }
        operations
            .extend(call(&["iot:RegisterThing", "iot:CreateKeysAndCertificate", "iot:ListRetainedMessages"], "*"));
        operations.extend(call(&["iot:AssumeRoleWithCertificate"], "rolealias/any"));
        for operation in operations {
            let client = Client { client_id: None, ..self.own() };
            self.push("claim: call anything over HTTPS", Column::Other, client, operation, false);
        }
    }

    fn own(&self) -> Client {
        self.claim(&format!("{}/1", self.template))
    }

    /// A client with a claim certificate that the script created.
    fn claim(&self, client_id: &str) -> Client {
        Client {
            certificate: CLAIM,
            certificate_of: None,
            client_id: Some(client_id.to_owned()),
            is_registered: false,
            subjects: vec![self.template.clone()],
        }
    }

    fn try_own(&mut self, row: &'static str, must: bool, operations: Vec<Operation>) {
        for operation in operations {
            self.push(row, Column::Own, self.own(), operation, must);
        }
    }

    fn try_other(&mut self, row: &'static str, operations: Vec<Operation>) {
        for operation in operations {
            self.push(row, Column::Other, self.own(), operation, false);
        }
    }

    fn try_everyone(&mut self, row: &'static str, operations: Vec<Operation>) {
        for operation in operations {
            self.push(row, Column::Everyone, self.own(), operation, false);
        }
    }

    fn push(&mut self, row: &'static str, column: Column, client: Client, operation: Operation, must: bool) {
        self.planned.push(Planned { device_type: None, row, column, client, operation, must });
    }
}

fn csr(format: &str) -> String {
    format!("$aws/certificates/create-from-csr/{format}")
}

fn provision(template: &str) -> String {
    format!("$aws/provisioning-templates/{template}/provision/json")
}
