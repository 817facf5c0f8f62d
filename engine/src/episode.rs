//! How a transition looks from outside: the names of episodes and notices, and the rows that tell of them. The names
//! are hashes of what caused them, so that a replay computes the same.

use sha2::{Digest, Sha256};
use smol_str::{SmolStr, SmolStrBuilder, format_smolstr};

use crate::{
    compiled::{Compiled, DeviceType, Home, Metric, Rule},
    effect::{Alert, AlertState, NoticeKind, Notification},
    ids::{DeviceId, RuleId},
    position::SequenceNumber,
    state::{Device, Firing},
    units::{Millis, Timestamp},
};

/// Where and under what rules a transition happens.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scene<'a> {
    pub(crate) rules: &'a Compiled,
    pub(crate) home: Home,
    pub(crate) shard: &'a str,
    pub(crate) sequence: &'a SequenceNumber,
    pub(crate) cause: Cause,
    /// The sample's time.
    pub(crate) at: Timestamp,
    pub(crate) ingested_at: Timestamp,
}

/// What makes a transition.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Cause {
    /// A sample, by its index among those of its message in the order of time; 0 for records of other kinds.
    Sample(u32),
    /// The passing of time, on a stream of this generation.
    Timer { generation: u32 },
}

impl Scene<'_> {
    pub(crate) fn is_timer(&self) -> bool {
        match self.cause {
            Cause::Sample(_) => false,
            Cause::Timer { .. } => true,
        }
    }

    /// How long the sample took to get here.
    pub(crate) fn delay(&self) -> Millis {
        self.ingested_at.since(self.at)
    }

    /// The name of an episode that begins here.
    pub(crate) fn episode(&self, rule: &RuleId, device: &DeviceId) -> SmolStr {
        let zone = device.fleet().map(|(_, zone)| format_smolstr!("zone/{zone}"));
        let subject = zone.as_deref().unwrap_or(device.as_str());
        match self.cause {
            Cause::Sample(index) => name(&[rule.as_str(), subject, self.sequence.as_str(), &index.to_string()]),
            // Which record moves the time past a moment depends on who else sends: the moment does not.
            Cause::Timer { generation } => {
                name(&[rule.as_str(), subject, &generation.to_string(), self.shard, &self.at.0.to_string()])
            }
        }
    }
}

/// The row of an episode as it stands here.
pub(crate) fn alert(
    scene: &Scene<'_>,
    ordinal: u32,
    device: &Device,
    rule: &Rule,
    firing: &Firing,
    state: AlertState,
) -> Alert {
    let Scene { rules, home, .. } = *scene;
    let device_type: &DeviceType = rules.device_type(home);
    let metric = device_type.metric(rule);
    let words = metric.map_or(&[][..], Metric::words);
    let is_device = device.fleet.is_none();
    Alert {
        episode: firing.episode.clone(),
        rule: rule.id.clone(),
        device: is_device.then(|| device.registration.id.clone()),
        device_type: is_device.then(|| device_type.id.clone()),
        zone: rules.zone(home).clone(),
        severity: rule.severity.clone(),
        metric: metric.map(|metric| metric.id.clone()),
        state,
        since: firing.since,
        at: scene.at,
        ingested_at: scene.ingested_at,
        value: firing.value.observed(words),
        limit: rule.test.limit(&device.attributes, words),
        duration_ms: rule.duration.length(),
        shard: SmolStr::new(scene.shard),
        sequence: scene.sequence.padded(),
        ordinal,
        evidence: firing.evidence.clone(),
        rule_set: rules.sha256.clone(),
    }
}

/// The notice of an alert. `n` counts the notices of one kind in one episode.
pub(crate) fn notification(alert: Alert, kind: NoticeKind, n: u32, suppressed: u32) -> Notification {
    let word = match kind {
        NoticeKind::Firing => "firing",
        NoticeKind::Resolved => "resolved",
        NoticeKind::Repeat => "repeat",
        NoticeKind::Flapping => "flapping",
    };
    Notification {
        id: name(&[alert.episode.as_str(), word, &n.to_string()]),
        kind,
        suppressed,
        created_at: alert.ingested_at,
        alert,
    }
}

/// 128 bits of the hash of texts, in hexadecimal. None of the texts holds the byte between them.
fn name(parts: &[&str]) -> SmolStr {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    let mut text = SmolStrBuilder::new();
    for byte in &hash.finalize()[..16] {
        for digit in [byte >> 4, byte & 15] {
            text.push(char::from_digit(u32::from(digit), 16).unwrap_or('0'));
        }
    }
    text.finish()
}
