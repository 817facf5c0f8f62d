//! The table of cases: for every device type, what its devices must be able to do and what they must not.
//!
//! The platform file determines what a device may do: use its own topics and the shadow that every device has, and
//! receive the answers to both. Everything else belongs to another device or to none.

use std::fmt;

use fleetform_engine::ids::DeviceTypeId;
use fleetform_policy::evaluate::{Operation, Will};

use super::shadows;
use crate::{
    platform::{Platform, mqtt::Topic},
    stacks::site::Site,
};

/// A case before it is decided.
pub(super) struct Planned {
    pub(super) device_type: Option<String>,
    pub(super) row: &'static str,
    pub(super) column: Column,
    pub(super) client: Client,
    pub(super) operation: Operation,
    pub(super) must: bool,
}

/// The target of an operation, relative to the device that tries it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Column {
    /// The device itself.
    Own,
    /// A device with a similar name: one that begins or ends with this device's name, or differs only in case.
    Alike,
    /// Another device of the same type.
    Other,
    /// A device of another type.
    OtherType,
    /// All devices at once, or none.
    Everyone,
}

impl Column {
    /// All columns, in display order.
    pub const ALL: [Self; 5] = [Self::Own, Self::Alike, Self::Other, Self::OtherType, Self::Everyone];

    /// The column's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Own => "own",
            Self::Alike => "alike",
            Self::Other => "other",
            Self::OtherType => "other type",
            Self::Everyone => "everyone",
        }
    }
}

/// The client that tries an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Client {
    /// The certificate's name, if it is not attached to a device.
    pub(super) certificate: &'static str,
    /// The device that the certificate is attached to.
    pub(super) certificate_of: Option<String>,
    /// The client id; `None` over HTTPS.
    pub(super) client_id: Option<String>,
    /// Whether a device of that name exists.
    pub(super) is_registered: bool,
    /// The subjects that the certificate may have. A client that requests a certificate chooses its subject, so an
    /// impostor's certificate may name the device that it impersonates.
    pub(super) subjects: Vec<String>,
}

impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.certificate_of, &self.client_id) {
            (Some(device), Some(id)) if device == id => write!(f, "{device}"),
            (Some(device), Some(id)) => write!(f, "{device} as `{id}`"),
            (None, Some(id)) => write!(f, "{} as `{id}`", self.certificate),
            (Some(device), None) => write!(f, "{device} over HTTPS"),
            (None, None) => write!(f, "{} over HTTPS", self.certificate),
        }
    }
}

/// Describes an operation in words.
pub(super) fn text(operation: &Operation) -> String {
    let retained = |is_retained: &bool| if *is_retained { ", retained" } else { "" };
    match operation {
        Operation::Connect { is_persistent, will } => {
            let session = if *is_persistent { " with a persistent session" } else { "" };
            match will {
                None => format!("connect{session}"),
                Some(will) => {
                    format!("connect{session} with a will on `{}`{}", will.topic, retained(&will.is_retained))
                }
            }
        }
        Operation::Publish { topic, is_retained } => format!("publish `{topic}`{}", retained(is_retained)),
        Operation::Subscribe { filter } => format!("subscribe to `{filter}`"),
        Operation::Receive { topic } => format!("receive `{topic}`"),
        Operation::Call { action, resource } => format!("call {action} on `{resource}`"),
    }
}

/// Returns every case for the devices of one type.
pub(super) fn planned(platform: &Platform, id: &DeviceTypeId) -> Vec<Planned> {
    let site = Site::new(platform);
    let device_type = id.as_str();
    let own = format!("{device_type}-1");
    let mut others = vec![
        (Column::Alike, format!("{device_type}-10")),
        (Column::Alike, format!("x{device_type}-1")),
        (Column::Alike, own.to_ascii_uppercase()),
        (Column::Other, format!("{device_type}-2")),
    ];
    let mut after = platform.device_types.keys().skip_while(|other| *other != id).skip(1);
    let next = after.next().or_else(|| platform.device_types.keys().next()).filter(|next| *next != id);
    others.extend(next.map(|next| (Column::OtherType, format!("{next}-1"))));
    let has_commands = !platform.device_types[id].commands.is_empty();
    let mut table = Table { site: &site, device_type, has_commands, own, others, planned: Vec::new() };
    table.connections();
    table.channels();
    table.shadows();
    table.jobs_and_the_rest();
    table.commands();
    table.calls();
    table.planned
}

/// The cases of one device type.
pub(super) struct Table<'a> {
    pub(super) site: &'a Site<'a>,
    device_type: &'a str,
    /// Whether devices of the type accept commands.
    has_commands: bool,
    own: String,
    others: Vec<(Column, String)>,
    planned: Vec<Planned>,
}

impl Table<'_> {
    fn connections(&mut self) {
        let will = self.site.platform.mqtt.last_will;
        let plain = |is_persistent| Operation::Connect { is_persistent, will: None };
        self.as_each("connect", true, &plain(false));
        self.as_each("connect, persistent session", true, &plain(true));
        let retains = self.site.platform.mqtt.retain_status;
        for (row, must, is_persistent, is_retained) in [
            ("connect, will on status", will, false, false),
            ("connect, persistent, will on status", will, true, false),
            ("connect, retained will on status", will && retains, false, true),
        ] {
            let status = self.site.platform.mqtt.status.clone();
            self.on_each(row, must, |device| {
                let will = Will { topic: status.with_device(device), is_retained };
                vec![Operation::Connect { is_persistent, will: Some(will) }]
            });
        }
        let elsewhere = Will { topic: "elsewhere".to_owned(), is_retained: false };
        self.on_everyone(
            "connect, will on status",
            vec![Operation::Connect { is_persistent: false, will: Some(elsewhere) }],
        );
        for device in self.devices() {
            self.push("connect, certificate of no device", device.0, nobody(device.1, true), plain(false), false);
        }
        let client = nobody("nobody".to_owned(), false);
        self.push("connect, certificate of no device", Column::Everyone, client, plain(false), false);
    }

    /// Tries to connect under each name, and under some names that would be wildcards elsewhere.
    fn as_each(&mut self, row: &'static str, must: bool, connect: &Operation) {
        for (column, device) in self.devices() {
            let client = Client { client_id: Some(device.clone()), ..self.client(&device) };
            self.push(row, column, client, connect.clone(), must && column == Column::Own);
        }
        for id in ["*", "+", "#", "?", "nobody", "${iot:ClientId}"] {
            let client = Client { client_id: Some(id.to_owned()), is_registered: false, ..self.client(id) };
            self.push(row, Column::Everyone, client, connect.clone(), false);
        }
    }

    fn channels(&mut self) {
        let mqtt = self.site.platform.mqtt.clone();
        let (past, retains) = (mqtt.basic_ingest, mqtt.retain_status);
        for (row, topic, must, is_retained) in [
            ("publish telemetry", &mqtt.telemetry, !past, false),
            ("publish telemetry, retained", &mqtt.telemetry, false, true),
            ("publish status", &mqtt.status, true, false),
            ("publish status, retained", &mqtt.status, retains, true),
            ("publish alerts", &mqtt.alerts, !past, false),
            ("publish alerts, retained", &mqtt.alerts, false, true),
        ] {
            self.on_each(row, must, |device| vec![publish(topic.with_device(device), is_retained)]);
        }
        for (row, name, topic, must) in [
            ("publish telemetry by Basic Ingest", "telemetry", &mqtt.telemetry, past),
            ("publish status by Basic Ingest", "status", &mqtt.status, false),
            ("publish alerts by Basic Ingest", "alerts", &mqtt.alerts, past),
        ] {
            let rule = self.site.topic_rule(name);
            self.on_each(row, must, |device| vec![publish(by_rule(&rule, &topic.with_device(device)), false)]);
        }
        let lifecycle = self.site.topic_rule("lifecycle");
        let telemetry = mqtt.telemetry.clone();
        self.on_each("publish by another topic rule", false, |device| {
            let topic = telemetry.with_device(device);
            vec![publish(by_rule(&lifecycle, &topic), false), publish(by_rule("other_rule", &topic), false)]
        });
        let state = |device: &str| format!("{}/state", mqtt.alerts.with_device(device));
        self.on_each("publish the state of alerts", false, |device| vec![publish(state(device), false)]);
        self.on_each("publish beside its topics", false, |device| {
            [&mqtt.telemetry, &mqtt.status, &mqtt.alerts].map(|topic| publish(beside(topic, device), false)).to_vec()
        });
        self.on_each("subscribe to the state of alerts", true, |device| vec![subscribe(state(device))]);
        self.on_everyone(
            "subscribe to the state of alerts",
            vec![subscribe(state("+")), subscribe(format!("$share/all/{}", state("+")))],
        );
        self.on_each("receive the state of alerts", true, |device| vec![receive(state(device))]);
        for (row, topic) in [
            ("subscribe to telemetry", &mqtt.telemetry),
            ("subscribe to status", &mqtt.status),
            ("subscribe to alerts", &mqtt.alerts),
        ] {
            self.on_each(row, false, |device| vec![subscribe(topic.with_device(device))]);
            self.on_everyone(row, vec![subscribe(topic.with_device("+"))]);
        }
        for (row, topic) in
            [("receive telemetry", &mqtt.telemetry), ("receive status", &mqtt.status), ("receive alerts", &mqtt.alerts)]
        {
            self.on_each(row, false, |device| vec![receive(topic.with_device(device))]);
        }
        let before = mqtt.telemetry.before.join("/");
        self.on_each("subscribe to everything below", false, |device| {
            let below = format!("{before}/{device}");
            vec![subscribe(format!("{below}/#")), subscribe(format!("{below}/+")), subscribe(format!("{below}/*"))]
        });
        let filters = ["#", "+", "+/#", "+/+/+", "*", "$aws/#", "$share/all/#"].map(str::to_owned);
        let own = [format!("{before}/#"), format!("{before}/+/#"), format!("{before}/*")];
        let everything = filters.into_iter().chain(own).map(subscribe).collect();
        self.on_everyone("subscribe to everything below", everything);
    }

    fn jobs_and_the_rest(&mut self) {
        let job = |device: &str, rest: &str| format!("$aws/things/{device}/jobs/{rest}");
        self.on_each("publish to jobs", false, |device| {
            ["get", "start-next", "job-1/get", "job-1/update"].map(|rest| publish(job(device, rest), false)).to_vec()
        });
        const TOLD: [&str; 5] =
            ["notify", "notify-next", "get/accepted", "start-next/accepted", "job-1/update/accepted"];
        self.on_each("subscribe to jobs", false, |device| {
            TOLD.iter().chain(&["#", "+/update/accepted"]).map(|rest| subscribe(job(device, rest))).collect()
        });
        self.on_everyone("subscribe to jobs", vec![subscribe(job("+", "notify")), subscribe(job("+", "#"))]);
        self.on_each("receive from jobs", false, |device| TOLD.map(|rest| receive(job(device, rest))).to_vec());
        let of_device = |device: &str| {
            [
                format!("$aws/events/presence/connected/{device}"),
                format!("$aws/events/presence/disconnected/{device}"),
                format!("$aws/events/subscriptions/subscribed/{device}"),
                format!("$aws/events/thing/{device}/updated"),
                format!("$aws/commands/clients/{device}/executions/1/request/json"),
                format!("$aws/commands/clients/{device}/executions/1/response/json"),
                format!("$aws/things/{device}/defender/metrics/json"),
                format!("$aws/things/{device}/streams/1/get/json"),
                format!("$aws/things/{device}/tunnels/notify"),
                format!("$aws/things/{device}/packages/1/versions/1"),
                format!("$aws/device_location/{device}/get_position_estimate"),
                format!("$aws/{device}"),
            ]
        };
        let of_nobody = [
            "$aws/certificates/create/json",
            "$aws/certificates/create-from-csr/json",
            "$aws/provisioning-templates/any/provision/json",
            "$aws/certificates/registered/any",
            "$aws/rules/any",
            "$aws/events/job/any/created",
            "$aws/sitewise/asset-models/any",
            "$aws/any",
            "elsewhere",
            "sensors",
        ];
        self.on_each("publish to other topics of AWS", false, |device| {
            of_device(device).map(|topic| publish(topic, false)).to_vec()
        });
        self.on_everyone(
            "publish to other topics of AWS",
            of_nobody.map(|topic| publish(topic.to_owned(), false)).to_vec(),
        );
        self.on_each("subscribe to other topics of AWS", false, |device| of_device(device).map(subscribe).to_vec());
        self.on_everyone(
            "subscribe to other topics of AWS",
            of_nobody
                .into_iter()
                .chain(["$aws/events/#", "$aws/certificates/#", "$aws/rules/#"])
                .map(|filter| subscribe(filter.to_owned()))
                .collect(),
        );
        self.on_each("receive from other topics of AWS", false, |device| of_device(device).map(receive).to_vec());
        self.on_everyone("receive from other topics of AWS", of_nobody.map(|topic| receive(topic.to_owned())).to_vec());
    }

    /// Which commands a device may receive: none for a type without commands.
    fn commands(&mut self) {
        let topic = |device: &str, rest: &str| format!("$aws/commands/things/{device}/executions/{rest}");
        const HEARD: [&str; 3] = ["request/json", "response/accepted/json", "response/rejected/json"];
        let must = self.has_commands;
        self.on_each("hear of commands", must, |device| {
            let filters = HEARD.map(|end| subscribe(topic(device, &format!("+/{end}"))));
            filters.into_iter().chain(HEARD.map(|end| receive(topic(device, &format!("7/{end}"))))).collect()
        });
        self.on_each("answer a command", must, |device| vec![publish(topic(device, "7/response/json"), false)]);
        self.on_each("give a command, or answer it otherwise", false, |device| {
            ["7/request/json", "7/request", "7/response", "7/response/cbor", "7/response/accepted/json"]
                .map(|rest| publish(topic(device, rest), false))
                .into_iter()
                .chain([publish(topic(device, "7/response/json"), true)])
                .collect()
        });
        self.on_each("hear of other topics of commands", false, |device| {
            ["#", "+/#", "+/request", "+/request/+", "+/response/json", "*/request/json"]
                .map(|rest| subscribe(topic(device, rest)))
                .into_iter()
                .chain(["7/response/json", "7/request", "7/request/cbor"].map(|rest| receive(topic(device, rest))))
                .collect()
        });
        self.on_everyone(
            "hear of commands",
            vec![
                subscribe("$aws/commands/#".to_owned()),
                subscribe("$aws/commands/things/+/executions/+/request/json".to_owned()),
                subscribe("$aws/commands/things/#".to_owned()),
            ],
        );
    }

    /// The data plane operations over HTTPS, which has no thing variables: a device needs none of them.
    fn calls(&mut self) {
        let mqtt = self.site.platform.mqtt.clone();
        let over_https = |table: &mut Self, row, operations: &dyn Fn(&str) -> Vec<Operation>| {
            for (column, device) in table.devices() {
                for operation in operations(&device) {
                    let client = Client { client_id: None, ..table.client(&device) };
                    table.push(row, column, client, operation, false);
                }
            }
        };
        over_https(self, "publish over HTTPS", &|device| {
            [&mqtt.telemetry, &mqtt.status, &mqtt.alerts]
                .map(|topic| publish(topic.with_device(device), false))
                .to_vec()
        });
        let names = self.shadow_names();
        over_https(self, "call a shadow over HTTPS", &|device| {
            const CALLS: [&str; 3] = ["iot:GetThingShadow", "iot:UpdateThingShadow", "iot:DeleteThingShadow"];
            let thing = format!("thing/{device}");
            let named = names.iter().cloned().chain(shadows::nobodys(&names)).map(|name| format!("{thing}/{name}"));
            let shadows = [thing.clone()].into_iter().chain(named);
            let on_shadows: Vec<Operation> =
                shadows.flat_map(|shadow| call(&CALLS, &shadow).collect::<Vec<_>>()).collect();
            on_shadows.into_iter().chain(call(&["iot:ListNamedShadowsForThing"], &thing)).collect()
        });
        over_https(self, "call jobs over HTTPS", &|device| {
            call(
                &[
                    "iot:DescribeJobExecution",
                    "iot:GetPendingJobExecutions",
                    "iot:StartNextPendingJobExecution",
                    "iot:UpdateJobExecution",
                ],
                &format!("thing/{device}"),
            )
            .collect()
        });
        over_https(self, "call for retained messages", &|device| {
            call(&["iot:GetRetainedMessage"], &format!("topic/{}", mqtt.status.with_device(device)))
                .chain(call(&["iot:ListRetainedMessages"], "*"))
                .collect()
        });
        for (action, resource) in [
            ("iot:AssumeRoleWithCertificate", "rolealias/any"),
            ("iot:OpenTunnel", "thinggroup/any"),
            ("iot:CreatePolicyVersion", "policy/any"),
            ("iot:AttachThingPrincipal", "thing/any"),
        ] {
            let operation = Operation::Call { action, resource: resource.to_owned() };
            let client = Client { client_id: None, ..self.client(&self.own) };
            self.push("call anything else", Column::Everyone, client, operation, false);
        }
    }

    /// A device of the type with its own certificate and name, which targets another device.
    fn client(&self, after: &str) -> Client {
        let own = Some(self.own.clone());
        let subjects = vec![self.own.clone(), after.to_owned()];
        Client { certificate: NOBODY, certificate_of: own.clone(), client_id: own, is_registered: true, subjects }
    }

    /// The device itself and the other devices.
    fn devices(&self) -> Vec<(Column, String)> {
        [(Column::Own, self.own.clone())].into_iter().chain(self.others.iter().cloned()).collect()
    }

    /// The device tries operations on itself, which must be allowed if `must` is set, and on each other device, which
    /// must never be allowed.
    pub(super) fn on_each(&mut self, row: &'static str, must: bool, operations: impl Fn(&str) -> Vec<Operation>) {
        for (column, device) in self.devices() {
            for operation in operations(&device) {
                self.push(row, column, self.client(&device), operation, must && column == Column::Own);
            }
        }
    }

    /// The device tries operations on all devices at once, or on resources that belong to no device.
    pub(super) fn on_everyone(&mut self, row: &'static str, operations: Vec<Operation>) {
        for operation in operations {
            self.push(row, Column::Everyone, self.client(&self.own), operation, false);
        }
    }

    fn push(&mut self, row: &'static str, column: Column, client: Client, operation: Operation, must: bool) {
        let device_type = Some(self.device_type.to_owned());
        self.planned.push(Planned { device_type, row, column, client, operation, must });
    }
}

/// The name of a certificate that is attached to nothing.
const NOBODY: &str = "a certificate of no device";

/// A client whose certificate is attached to no device.
fn nobody(client_id: String, is_registered: bool) -> Client {
    let subjects = vec![client_id.clone()];
    Client { certificate: NOBODY, certificate_of: None, client_id: Some(client_id), is_registered, subjects }
}

pub(super) fn publish(topic: String, is_retained: bool) -> Operation {
    Operation::Publish { topic, is_retained }
}

pub(super) fn subscribe(filter: String) -> Operation {
    Operation::Subscribe { filter }
}

pub(super) fn receive(topic: String) -> Operation {
    Operation::Receive { topic }
}

pub(super) fn call(actions: &[&'static str], resource: &str) -> impl Iterator<Item = Operation> {
    actions.iter().map(|action| Operation::Call { action, resource: resource.to_owned() })
}

/// Where a message is published that a topic rule receives without passing through the broker (Basic Ingest).
pub(super) fn by_rule(rule: &str, topic: &str) -> String {
    format!("$aws/rules/{rule}/{topic}")
}

/// A topic one level below one of the device's topics.
fn beside(topic: &Topic, device: &str) -> String {
    format!("{}/beside", topic.with_device(device))
}
