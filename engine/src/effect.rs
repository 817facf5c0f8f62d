//! What a step asks the world to do, as data. The shapes here are also the rows of the outbox, the alert history and
//! the quarantine, so a field is only ever added, with a default.

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use crate::{
    ids::{ContactId, DeviceId, DeviceTypeId, MetricId, RuleId, SeverityId, ZoneId},
    rule_set::FleetOf,
    units::{Finite, Millis, Timestamp},
};

/// One episode of a rule on a device, or of a fleet rule in a zone, as it stood at a transition. A row of the alert
/// history, keyed by subject and `episode`;
/// a row is replaced only by one with a higher (`sequence`, `ordinal`), the order of its transitions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Alert {
    /// Hash of rule, device, sequence number and sample index: a replay computes the same.
    pub episode: SmolStr,
    /// The rule.
    pub rule: RuleId,
    /// The device; none for a fleet rule, whose alerts are a zone's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<DeviceId>,
    /// The device's type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_type: Option<DeviceTypeId>,
    /// The zone, of the device or of the fleet.
    pub zone: ZoneId,
    /// How urgent.
    pub severity: SeverityId,
    /// The metric; none for kinds that read no samples.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metric: Option<MetricId>,
    /// Where the episode stands.
    pub state: AlertState,
    /// When the condition began to hold, by the device's time.
    pub since: Timestamp,
    /// Device's time of the sample that made this transition.
    pub at: Timestamp,
    /// Ingest time of that sample's record.
    pub ingested_at: Timestamp,
    /// The value that made it.
    pub value: Observed,
    /// What it was compared with, as in `> 60`.
    pub limit: SmolStr,
    /// How long the condition had to hold.
    pub duration_ms: Millis,
    /// Generation of the stream that the record came on, which made this transition.
    #[serde(default = "first_generation", skip_serializing_if = "is_first_generation")]
    pub generation: u32,
    /// Shard of that record.
    pub shard: SmolStr,
    /// Its sequence number, zero-padded so that text order is number order.
    pub sequence: SmolStr,
    /// Place of this transition among those of its record.
    #[serde(default)]
    pub ordinal: u32,
    /// What explains the value, where that takes more than a limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Evidence>,
    /// SHA-256 of the rule set that was in force, in hexadecimal.
    pub rule_set: SmolStr,
    /// Whether operators had muted the rule: nobody is told of this transition.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub muted: bool,
}

fn first_generation() -> u32 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the form that serde asks for")]
fn is_first_generation(generation: &u32) -> bool {
    *generation == first_generation()
}

impl Alert {
    /// The place of this transition among those of its episode: text order is their order. A history row is replaced
    /// only by one with a higher version.
    pub fn version(&self) -> String {
        // Another stream's numbers may begin lower.
        format!("{:010}#{}#{:010}", self.generation, self.sequence, self.ordinal)
    }

    /// What the alert is about: the device's id, or `zone/<zone>`, which no device is called.
    pub fn subject(&self) -> SmolStr {
        match &self.device {
            Some(device) => SmolStr::new(device.as_str()),
            None => smol_str::format_smolstr!("zone/{}", self.zone),
        }
    }
}

/// What explains an alert's value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Evidence {
    /// How far the value lies from the device's own past.
    Anomaly {
        /// What the past let expect.
        mean: Finite,
        /// The deviation that was reckoned with, floors included.
        sigma: Finite,
        /// Distance from the mean in deviations, with its sign.
        score: Finite,
        /// Samples that mean and deviation rest on.
        n: u64,
    },
    /// How many devices of the zone are in the state that is counted.
    Fleet {
        /// So many.
        devices: u32,
        /// Of this many registered ones.
        registered: u32,
    },
    /// How many samples were counted.
    Count {
        /// So many.
        samples: u32,
    },
    /// What the device's own alarm said.
    Alarm {
        /// Its code.
        code: SmolStr,
    },
    /// For how long nothing has come.
    Silence {
        /// Ingest time of the last record of the device.
        last_ingest: Timestamp,
    },
}

/// A value as a message gave it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Observed {
    /// Of a float or int reading, or a rate.
    Number(Finite),
    /// Of a bool reading.
    Bool(bool),
    /// Of an enum or string reading.
    Word(SmolStr),
}

/// Where an episode stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "is")]
pub enum AlertState {
    /// It began, and nobody need do anything about its having been seen.
    Firing,
    /// It ended.
    Resolved {
        /// Why.
        reason: ResolveReason,
    },
}

/// Why an alert ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResolveReason {
    /// The value was clear for long enough.
    Cleared,
    /// The rule's meaning changed with a new rule set.
    RuleChanged,
    /// The rule is gone, is disabled, or no longer covers the device.
    RuleRemoved,
    /// The device was retired.
    DeviceRetired,
    /// The rule was disabled or given another threshold while running.
    Overridden,
}

/// What a notice says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoticeKind {
    /// An alert is firing.
    Firing,
    /// An alert that was notified has ended.
    Resolved,
    /// An alert that was notified goes on firing.
    Repeat,
    /// A rule fires on a device more often than its limit; no more is said until it is stable.
    Flapping,
}

/// One notice to send: a row of the outbox, keyed by `id`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Notification {
    /// Hash of episode, kind and n: a replay computes the same.
    pub id: SmolStr,
    /// What it says.
    pub kind: NoticeKind,
    /// The alert as it stood.
    pub alert: Alert,
    /// Firings of the rule on the device that a cooldown held back since the last notice.
    pub suppressed: u32,
    /// Ingest time of the record that caused it.
    pub created_at: Timestamp,
    /// Who is told in place of those that the routes name; none where operators have set nobody.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub contacts: Vec<ContactId>,
}

/// A record that was set aside: a row of the quarantine, keyed by shard and sequence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Quarantined {
    /// Why, as a stable word: `bad_json`, `wrong_type`, `spoofed_device_id`, …
    pub reason: SmolStr,
    /// What exactly, for a person: it names keys and types, never values.
    pub detail: SmolStr,
    /// The shard.
    pub shard: SmolStr,
    /// Its sequence number, zero-padded.
    pub sequence: SmolStr,
    /// Its partition key: the device, where a gateway wrote it.
    pub partition_key: SmolStr,
    /// Ingest time.
    pub ingested_at: Timestamp,
    /// The record's bytes as they came, base64, cut to [`QUARANTINE_BYTES_MAX`] bytes before encoding.
    pub data: String,
}

/// The most bytes of a record that its quarantine row keeps. Any message of a device fits (128 KiB, wrapped in base64);
/// what is cut can only come from a gateway, and would not fit a row of 400 KB once it is base64 itself.
pub const QUARANTINE_BYTES_MAX: usize = 256 * 1024;

/// What a device is to a fleet rule in one zone from now on: a record that is put on the stream, under the key of that
/// rule and zone. The fields have the names that they have there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Member {
    /// The device.
    #[serde(rename = "d")]
    pub device: DeviceId,
    /// The fleet rule.
    pub rule: RuleId,
    /// The zone: the device's own, or one that it is part of.
    pub zone: ZoneId,
    /// Generation of the stream.
    pub generation: u32,
    /// Version of the rule set that was in force.
    pub version: u64,
    /// Its SHA-256, in hexadecimal.
    pub sha256: SmolStr,
    /// Rises with each such record of the device for this rule and zone; one that is not above the last is ignored.
    pub n: u64,
    /// Whether it is in the state that is counted.
    #[serde(rename = "in")]
    pub inside: bool,
    /// Whether it belongs to the zone and to the types that the rule is about.
    pub registered: bool,
    /// Which state was meant. Under another set the same rule may count another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<FleetOf>,
    /// Ingest time of the record that made the difference, or the moment at which time alone did.
    #[serde(rename = "t")]
    pub at: Timestamp,
}

impl Member {
    /// The partition key of its record: one shard sees all that a fleet rule counts in a zone.
    pub fn partition_key(&self) -> SmolStr {
        SmolStr::new(DeviceId::of_fleet(&self.rule, &self.zone).as_str())
    }

    /// Its record.
    pub fn record(&self) -> Vec<u8> {
        #[derive(Serialize)]
        struct Wrapped<'a> {
            ff: u8,
            k: &'static str,
            #[serde(flatten)]
            member: &'a Member,
        }
        serde_json::to_vec(&Wrapped { ff: 1, k: "member", member: self }).expect("a member has text keys only")
    }
}

/// Everything that a run of records asks the world to do.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Effects {
    /// Transitions of alerts, in the order in which they happened.
    pub alerts: Vec<Alert>,
    /// Notices to send.
    pub notifications: Vec<Notification>,
    /// Records to set aside.
    pub quarantined: Vec<Quarantined>,
    /// Records to put on the stream.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub members: Vec<Member>,
}

impl Effects {
    /// How many rows and records there are.
    pub fn count(&self) -> usize {
        self.alerts.len() + self.notifications.len() + self.quarantined.len() + self.members.len()
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.count() == 0
    }

    /// At most so many rows and records after the first `from`: notices first, since somebody waits for them, then
    /// alerts, what is set aside, and records.
    pub fn part(&self, from: usize, length: usize) -> Self {
        let mut cut = Cut { skip: from, left: length };
        Self {
            notifications: cut.of(&self.notifications),
            alerts: cut.of(&self.alerts),
            quarantined: cut.of(&self.quarantined),
            members: cut.of(&self.members),
        }
    }
}

/// A range of what lies in several lists, as one list after another takes its share.
struct Cut {
    skip: usize,
    left: usize,
}

impl Cut {
    fn of<T: Clone>(&mut self, rows: &[T]) -> Vec<T> {
        let (skipped, rows) = rows.split_at(self.skip.min(rows.len()));
        let taken = &rows[..self.left.min(rows.len())];
        self.skip -= skipped.len();
        self.left -= taken.len();
        taken.to_vec()
    }
}
