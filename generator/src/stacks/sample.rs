//! Platforms for the tests of this folder: a small one, and one of any size.

use std::{collections::BTreeMap, sync::Arc};

use fleetform_engine::{
    ids::{CommandId, ContactId, DeviceTypeId, EnvironmentId, MetricId, ParamId, PlatformName, ShadowName, ZoneId},
    rule_set::{MessageFormat, TimestampFormat, UnknownReading, ValueType, Webhook},
    units::Millis,
};
use smol_str::{SmolStr, format_smolstr};

use crate::platform::{
    Platform,
    authority::Authority,
    channels::{Channels, Sms},
    command::{Command, Param},
    contact::Contact,
    deploy::Deploy,
    device_type::{DeviceType, Reading},
    downsample::Downsample,
    environment::Environment,
    export::{Compression, Export, Layout},
    identity::{Identity, Key, Provisioning},
    mqtt::{Mqtt, Topic},
    observe::{IngestionLag, Observe, Quarantine},
    processor::{Arch, Processor},
    retention::{ColdClass, Retention},
    security::Security,
    storage::{Engine, Hot, Storage},
    stream::{Mode, Stream},
    zone::Zone,
};

/// A platform with everything that makes a difference to its stacks.
pub(crate) fn platform() -> Platform {
    let topic = |name: &str| Topic { before: vec!["sensors".into()], after: vec![name.into()] };
    Platform {
        name: PlatformName::new("riverton-water").unwrap(),
        owner: Some("ops@riverton.example".into()),
        description: Some("Water utility".into()),
        tags: BTreeMap::from([("cost-centre".into(), "water".into())]),
        environment: Environment {
            id: EnvironmentId::new("prod").unwrap(),
            account: "222222222222".into(),
            region: "us-east-1".into(),
            protect: true,
            monthly_budget_usd: Some(400),
        },
        mqtt: Mqtt {
            telemetry: topic("telemetry"),
            status: topic("status"),
            alerts: topic("alerts"),
            basic_ingest: false,
            qos: 1,
            retain_status: true,
            last_will: true,
        },
        message: MessageFormat {
            device_id: "deviceId".into(),
            timestamp: "timestamp".into(),
            timestamp_format: TimestampFormat::Rfc3339,
            readings: "readings".into(),
            batch: None,
            health: BTreeMap::new(),
            max_future_skew_ms: Millis::from_secs(120),
            max_past_ms: Millis::from_secs(86_400),
            unknown_reading: UnknownReading::Store,
        },
        identity: Identity {
            provisioning: Provisioning::FleetClaim,
            key: Key::EcP256,
            rotate_after: Some(Millis::from_secs(365 * 86_400)),
            serial_pattern: None,
            authorities: BTreeMap::new(),
        },
        zones: BTreeMap::from([
            (zone_id("zone-a"), zone("North reservoir", None)),
            (zone_id("zone-a-pumps"), zone("Pumps", Some("zone-a"))),
            (zone_id("zone-b"), zone("City \"centre\": on", None)),
        ]),
        device_types: BTreeMap::from([device_type("flow-meter"), device_type("pump")]),
        stream: Stream {
            mode: Mode::Provisioned { shards: 4 },
            retention: Millis::from_secs(48 * 3_600),
            fan_out: true,
            generation: 1,
        },
        storage: Some(Storage {
            engine: Engine::Iceberg,
            hot: Hot::Table { retention: Millis::from_secs(86_400) },
            retention: Retention {
                warm: Millis::from_secs(30 * 86_400),
                cold: Millis::from_secs(7 * 365 * 86_400),
                cold_class: ColdClass::IntelligentTiering,
                downsample: Some(Downsample {
                    every: Millis::from_secs(3_600),
                    keep: Millis::from_secs(10 * 365 * 86_400),
                }),
            },
            export: Export {
                schedule: "cron(30 2 * * ? *)".into(),
                longest_gap: Millis::from_secs(86_400),
                timezone: "America/New_York".into(),
                after: Millis::from_secs(86_400),
                layout: Layout::ZoneDay,
                compression: Compression::Zstd,
            },
            scan_limit: 100 << 30,
        }),
        processor: Processor {
            memory_mib: 256,
            arch: Arch::X86_64,
            batch_size: 500,
            batch_window: Millis::from_secs(2),
            max_record_age: Millis::from_secs(6 * 3_600),
            checkpoint_every: Millis::from_secs(120),
            sweep_every: Millis::from_secs(60),
            max_alert_delay: Millis::from_secs(900),
            reserved: Some(10),
        },
        severities: BTreeMap::new(),
        contacts: BTreeMap::from([
            (contact_id("oncall"), contact(&["+12025550123"], &["oncall@riverton.example"])),
            (
                contact_id("scada"),
                Contact {
                    webhook: Some(Webhook {
                        url: "https://scada.riverton.example/hooks/alerts".into(),
                        secret: Some("secretsmanager:riverton/scada-hook".into()),
                    }),
                    ..Contact::default()
                },
            ),
            (
                contact_id("pager"),
                Contact {
                    webhook: Some(Webhook {
                        url: "https://pager.riverton.example/".into(),
                        secret: Some("ssm:/riverton/pager".into()),
                    }),
                    ..Contact::default()
                },
            ),
        ]),
        channels: Channels { sms: Some(Sms { origination: "+12025550100".into() }) },
        routes: Vec::new(),
        alert_retention: Millis::from_secs(400 * 86_400),
        rules: Arc::default(),
        tests: Vec::new(),
        observe: Observe {
            ingestion_lag: Some(IngestionLag {
                warn: Millis::from_secs(60),
                page: Millis::from_secs(300),
                to: vec![contact_id("oncall")],
            }),
            quarantine: Some(Quarantine { max_per_hour: 100, to: vec![contact_id("scada")] }),
            log_retention_days: 30,
            tracing: true,
        },
        security: Security {
            kms_key_arn: None,
            permissions_boundary: Some("arn:aws:iam::222222222222:policy/boundary".into()),
            device_defender: true,
        },
        deploy: Deploy { prefix: "riverton-water".into(), artifact_bucket: None, confirm_change_sets: true },
        overrides: BTreeMap::new(),
    }
}

/// A platform of a size: zones in trees of five, device types, and contacts with a phone and an address each.
pub(super) fn platform_of(zones: usize, device_types: usize, contacts: usize) -> Platform {
    let zones = (0..zones).map(|n| {
        let parent = (n % 5 != 0).then(|| format!("zone-{}", n - n % 5));
        (zone_id(&format!("zone-{n}")), zone(&format!("Zone {n}"), parent.as_deref()))
    });
    let contacts = (0..contacts).map(|n| {
        let (phone, address) = (format!("+1202555{n:04}"), format!("contact-{n}@riverton.example"));
        (contact_id(&format!("contact-{n}")), contact(&[&phone], &[&address]))
    });
    let observe = Observe { ingestion_lag: None, quarantine: None, log_retention_days: 30, tracing: true };
    Platform {
        zones: zones.collect(),
        device_types: (0..device_types).map(|n| device_type(&format!("type-{n}"))).collect(),
        contacts: contacts.collect(),
        observe,
        ..platform()
    }
}

/// The small platform, whose devices bring certificates of so many authorities.
pub(crate) fn with_authorities(count: usize) -> Platform {
    let mut platform = platform();
    platform.identity.provisioning = Provisioning::Jitp;
    let authority = |n| {
        let fingerprint = format_smolstr!("{n:02x}");
        (format!("factory-{n}").parse().unwrap(), Authority { certificate: format!("{fingerprint}\n"), fingerprint })
    };
    platform.identity.authorities = (0..count).map(authority).collect();
    platform
}

pub(super) fn zone_id(id: &str) -> ZoneId {
    ZoneId::new(id).unwrap()
}

pub(super) fn contact_id(id: &str) -> ContactId {
    ContactId::new(id).unwrap()
}

fn zone(title: &str, parent: Option<&str>) -> Zone {
    Zone {
        title: title.into(),
        parent: parent.map(zone_id),
        timezone: "UTC".into(),
        contacts: Vec::new(),
        labels: BTreeMap::from([("district".into(), "north".into())]),
    }
}

fn contact(sms: &[&str], email: &[&str]) -> Contact {
    let list = |texts: &[&str]| texts.iter().map(SmolStr::new).collect();
    Contact { sms: list(sms), email: list(email), webhook: None }
}

/// A command with a parameter.
fn stop() -> (CommandId, Command) {
    let params = BTreeMap::from([(ParamId::new("reason").unwrap(), Param::Text { max_len: Some(64) })]);
    (CommandId::new("stop").unwrap(), Command { timeout: Millis::from_secs(30), params })
}

fn device_type(id: &str) -> (DeviceTypeId, DeviceType) {
    let reading = Reading {
        key: "pressure".into(),
        value: ValueType::Float { min: None, max: None },
        unit: None,
        required: true,
    };
    let device_type = DeviceType {
        report_every: Millis::from_secs(60),
        send_every: Millis::from_secs(60),
        offline_after: Millis::from_secs(180),
        count: BTreeMap::new(),
        readings: BTreeMap::from([(MetricId::new("pressure").unwrap(), reading)]),
        attributes: BTreeMap::new(),
        shadows: if id == "pump" { vec![ShadowName::new("config").unwrap()] } else { Vec::new() },
        desired: BTreeMap::new(),
        commands: if id == "pump" { BTreeMap::from([stop()]) } else { BTreeMap::new() },
    };
    (DeviceTypeId::new(id).unwrap(), device_type)
}
