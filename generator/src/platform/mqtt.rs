//! `[mqtt]`: topics, and what devices may do with them.

use schemars::JsonSchema;
use serde::Deserialize;
use smol_str::SmolStr;

use crate::{
    check::context::{Context, shown},
    diagnostic::{Code, Diagnostic},
    source::At,
};

/// Maximum number of slashes in a topic, and its maximum length in bytes ("AWS IoT Core message broker and protocol
/// limits and quotas").
const SLASHES_MAX: usize = 7;
const TOPIC_BYTES_MAX: usize = 256;

/// The placeholder for the device id.
const DEVICE: &str = "{device_id}";

const TELEMETRY: &str = "sensors/{device_id}/telemetry";
const STATUS: &str = "sensors/{device_id}/status";
const ALERTS: &str = "sensors/{device_id}/alerts";

/// `[mqtt]` as it is written.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawMqtt {
    /// Topic that readings are published to; `{device_id}` is one whole level.
    #[schemars(extend("default" = TELEMETRY))]
    pub(crate) telemetry: Option<String>,
    /// Topic of the online and offline status.
    #[schemars(extend("default" = STATUS))]
    pub(crate) status: Option<String>,
    /// Topic of the alarms that devices raise.
    #[schemars(extend("default" = ALERTS))]
    pub(crate) alerts: Option<String>,
    /// `basic_ingest` lets devices publish directly to topic rules, bypassing the message broker, which costs less.
    #[schemars(extend("default" = "broker"))]
    pub(crate) ingest: Option<Ingest>,
    /// Quality of service of messages from devices.
    #[schemars(range(min = 0, max = 1), extend("default" = 1))]
    pub(crate) qos: Option<u8>,
    /// Whether a device may publish a retained status.
    #[schemars(extend("default" = false))]
    pub(crate) retain_status: Option<bool>,
    /// Whether a device may set a last will on its status topic.
    #[schemars(extend("default" = false))]
    pub(crate) last_will: Option<bool>,
}

/// How messages reach the topic rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub(crate) enum Ingest {
    Broker,
    BasicIngest,
}

/// Topics, and what devices may do with them.
#[derive(Clone, Debug, PartialEq)]
pub struct Mqtt {
    /// Telemetry topic. Its `{device_id}` is a whole level, and the same level in all three topics.
    pub telemetry: Topic,
    /// Status topic.
    pub status: Topic,
    /// Topic of the alarms that devices raise.
    pub alerts: Topic,
    /// Whether devices publish through Basic Ingest, bypassing the message broker.
    pub basic_ingest: bool,
    /// MQTT quality of service of messages from devices, 0 or 1.
    pub qos: u8,
    /// Whether a device may publish a retained status.
    pub retain_status: bool,
    /// Whether a device may set a last will on its status topic.
    pub last_will: bool,
}

/// A topic with one level for the device id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    /// Levels before the device id. Never empty, and without `$`, `+` and `#`.
    pub before: Vec<SmolStr>,
    /// Levels after it.
    pub after: Vec<SmolStr>,
}

impl Topic {
    /// Returns the topic with `device` as its device level, such as `+` for a filter or a variable for a policy.
    pub fn with_device(&self, device: &str) -> String {
        let levels =
            self.before.iter().map(SmolStr::as_str).chain([device]).chain(self.after.iter().map(SmolStr::as_str));
        levels.collect::<Vec<_>>().join("/")
    }

    /// Number of the device level for the SQL function `topic(n)`, counted from 1.
    pub fn device_level(&self) -> usize {
        self.before.len() + 1
    }

    /// Parses a topic, or returns what is wrong with it.
    fn parse(text: &str) -> Result<Self, &'static str> {
        if text.bytes().filter(|byte| *byte == b'/').count() > SLASHES_MAX {
            return Err("it has more than the 7 slashes that AWS IoT allows");
        }
        if text.len() > TOPIC_BYTES_MAX {
            return Err("it is longer than the 256 bytes that AWS IoT allows");
        }
        if text.starts_with('$') {
            return Err("topics that begin with `$` belong to AWS");
        }
        let levels: Vec<&str> = text.split('/').collect();
        if levels.iter().any(|level| level.is_empty()) {
            return Err("one of its levels is empty");
        }
        let plain = |level: &str| level.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.:".contains(&b));
        if levels.iter().any(|level| *level != DEVICE && !plain(level)) {
            return Err("a level is `{device_id}`, or letters, digits and `_ - . :`");
        }
        let mut places = levels.iter().enumerate().filter(|(_, level)| **level == DEVICE).map(|(at, _)| at);
        let (Some(place), None) = (places.next(), places.next()) else {
            return Err("`{device_id}` must be exactly one of its levels");
        };
        if place == 0 {
            return Err("a level must stand before `{device_id}`, or the topic would catch everything");
        }
        let owned = |levels: &[&str]| levels.iter().map(SmolStr::new).collect();
        Ok(Self { before: owned(&levels[..place]), after: owned(&levels[place + 1..]) })
    }
}

impl RawMqtt {
    /// Checks the table.
    pub(crate) fn check(&self, at: &At<'_>, context: &Context<'_>) -> Mqtt {
        let topics = [
            ("telemetry", self.telemetry.as_deref().unwrap_or(TELEMETRY)),
            ("status", self.status.as_deref().unwrap_or(STATUS)),
            ("alerts", self.alerts.as_deref().unwrap_or(ALERTS)),
        ];
        let mut parsed: Vec<(&str, Topic)> = Vec::new();
        for (key, text) in topics {
            let place = at.key(key);
            match Topic::parse(text) {
                Err(problem) => context.report(
                    Diagnostic::new(
                        Code::InvalidTopic,
                        context.value(&place),
                        format!("`{}` cannot be a topic here: {problem}", shown(text)),
                    )
                    .help(format!("an example: {key} = \"sensors/{DEVICE}/{key}\"")),
                ),
                Ok(topic) => {
                    let clash = parsed.iter().find_map(|(other_key, other)| {
                        if *other == topic {
                            Some((*other_key, "two channels have the same topic", "give each channel its own"))
                        } else if other.before.len() != topic.before.len() {
                            Some((
                                *other_key,
                                "`{device_id}` is not the same level in all topics",
                                "put it at the same place in each: one SQL expression reads all of them",
                            ))
                        } else {
                            None
                        }
                    });
                    if let Some((other_key, message, help)) = clash {
                        let other_place = at.key(other_key);
                        // Of a default and a written key, the written one is reported.
                        let (here, there) =
                            if context.is_written(&place) { (&place, &other_place) } else { (&other_place, &place) };
                        context.report(
                            Diagnostic::new(Code::InvalidTopic, context.value(here), message)
                                .related(context.value(there), "the other topic")
                                .help(help),
                        );
                    }
                    parsed.push((key, topic));
                }
            }
        }
        let mut take = |key: &str| {
            let index = parsed.iter().position(|(other, _)| *other == key);
            index.map_or(Topic { before: Vec::new(), after: Vec::new() }, |index| parsed.swap_remove(index).1)
        };
        Mqtt {
            telemetry: take("telemetry"),
            status: take("status"),
            alerts: take("alerts"),
            basic_ingest: self.ingest == Some(Ingest::BasicIngest),
            qos: self.qos.unwrap_or(1),
            retain_status: self.retain_status.unwrap_or(false),
            last_will: self.last_will.unwrap_or(false),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_has_one_device_level() {
        let topic = Topic::parse("a/b/{device_id}/c").expect("valid");
        assert_eq!(topic.with_device("+"), "a/b/+/c");
        assert_eq!(topic.device_level(), 3);
        for bad in [
            "",
            "{device_id}",
            "a/b",
            "a/{device_id}/{device_id}",
            "a//{device_id}",
            "a/+/{device_id}",
            "a/{device_id}x",
            "$aws/{device_id}",
            "a/b/c/d/e/f/g/h/{device_id}",
            "a'b/{device_id}",
        ] {
            assert!(Topic::parse(bad).is_err(), "{bad}");
        }
    }
}
