//! The effects that a step requests, as data. The types here are also the rows of the outbox, the alert history and
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
    /// Name of the episode: a hash of rule, device, sequence number and sample index, which a replay computes again.
    pub episode: SmolStr,
    /// Id of the rule.
    pub rule: RuleId,
    /// Id of the device; `None` for a fleet rule, whose alerts concern a zone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<DeviceId>,
    /// Id of the device's type; `None` for a fleet rule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_type: Option<DeviceTypeId>,
    /// Id of the zone, of the device or of the fleet.
    pub zone: ZoneId,
    /// Id of the rule's severity.
    pub severity: SeverityId,
    /// Id of the metric; `None` for kinds that read no samples.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metric: Option<MetricId>,
    /// Current state of the episode.
    pub state: AlertState,
    /// When the condition started to hold, by the device's time.
    pub since: Timestamp,
    /// Device time of the sample that caused this transition.
    pub at: Timestamp,
    /// Ingest time of that sample's record.
    pub ingested_at: Timestamp,
    /// The value that caused this transition.
    pub value: Observed,
    /// What the value was compared with, such as `> 60`.
    pub limit: SmolStr,
    /// How long the condition had to hold, in milliseconds.
    pub duration_ms: Millis,
    /// Generation of the stream that carried the record of this transition.
    #[serde(default = "first_generation", skip_serializing_if = "is_first_generation")]
    pub generation: u32,
    /// Id of that record's shard.
    pub shard: SmolStr,
    /// Sequence number of that record, zero-padded so that string order is number order.
    pub sequence: SmolStr,
    /// Index of this transition among those of its record.
    #[serde(default)]
    pub ordinal: u32,
    /// Evidence that explains the value, where a limit is not enough.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Evidence>,
    /// SHA-256 of the rule set that was in force, in hexadecimal.
    pub rule_set: SmolStr,
    /// Whether operators had muted the rule, so that no notice of this transition is sent.
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
    /// Returns the place of this transition among those of its episode; string order is their order. A history row is
    /// replaced only by one with a higher version.
    pub fn version(&self) -> String {
        // Another stream's numbers may start lower.
        format!("{:010}#{}#{:010}", self.generation, self.sequence, self.ordinal)
    }

    /// Returns what the alert is about: the device's id, or `zone/<zone>`, which is not a valid device id.
    pub fn subject(&self) -> SmolStr {
        match &self.device {
            Some(device) => SmolStr::new(device.as_str()),
            None => smol_str::format_smolstr!("zone/{}", self.zone),
        }
    }
}

/// Evidence that explains an alert's value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Evidence {
    /// How far the value lies from the device's own past.
    Anomaly {
        /// The value that the past predicted.
        mean: Finite,
        /// The deviation used, including its floors.
        sigma: Finite,
        /// Signed distance from the mean, in deviations.
        score: Finite,
        /// Number of samples that mean and deviation rest on.
        n: u64,
    },
    /// How many devices of the zone are in the state that is counted.
    Fleet {
        /// Number of devices in that state.
        devices: u32,
        /// Number of registered devices of the rule's types in the zone.
        registered: u32,
    },
    /// How many samples were counted.
    Count {
        /// Number of samples.
        samples: u32,
    },
    /// What the device's own alarm reported.
    Alarm {
        /// Code of the alarm, as the device sent it.
        code: SmolStr,
    },
    /// How long the device has been silent.
    Silence {
        /// Ingest time of the device's last record.
        last_ingest: Timestamp,
    },
}

/// A value as a message contained it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Observed {
    /// Of a float or integer reading, or a rate.
    Number(Finite),
    /// Of a boolean reading.
    Bool(bool),
    /// Of an enum or string reading.
    Word(SmolStr),
}

/// The state of an episode.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "is")]
pub enum AlertState {
    /// It has started and not ended. Alerts are not acknowledged, so there is no state for that.
    Firing,
    /// It has ended.
    Resolved {
        /// Why it ended.
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
    /// The rule was removed, is disabled, or no longer covers the device.
    RuleRemoved,
    /// The device was retired.
    DeviceRetired,
    /// An override disabled the running rule or changed its threshold.
    Overridden,
}

/// What a notice reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoticeKind {
    /// An alert is firing.
    Firing,
    /// An alert that was notified has ended.
    Resolved,
    /// An alert that was notified keeps firing.
    Repeat,
    /// A rule fires on a device more often than its limit; no further notices are sent until it is stable.
    Flapping,
}

/// One notice to send: a row of the outbox, keyed by `id`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Notification {
    /// Hash of episode, kind and n, which a replay computes again.
    pub id: SmolStr,
    /// What the notice reports.
    pub kind: NoticeKind,
    /// The alert at the time of the notice.
    pub alert: Alert,
    /// Firings of the rule on the device that a cooldown held back since the last notice.
    pub suppressed: u32,
    /// Ingest time of the record that caused it.
    pub created_at: Timestamp,
    /// Contacts that are notified instead of those that the routes name; empty unless operators have set any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub contacts: Vec<ContactId>,
}

/// A record that was set aside: a row of the quarantine, keyed by shard and sequence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Quarantined {
    /// Reason as a stable word: `bad_json`, `wrong_type`, `spoofed_device_id`, …
    pub reason: SmolStr,
    /// Details for a person: names keys and types, never values.
    pub detail: SmolStr,
    /// Id of the shard.
    pub shard: SmolStr,
    /// The record's sequence number, zero-padded.
    pub sequence: SmolStr,
    /// The record's partition key: the device id, where a gateway wrote it.
    pub partition_key: SmolStr,
    /// When the record reached the platform.
    pub ingested_at: Timestamp,
    /// The record's bytes as received, base64, cut to [`QUARANTINE_BYTES_MAX`] bytes before encoding.
    pub data: String,
}

/// Maximum number of bytes of a record that its quarantine row keeps. Any message of a device fits (128 KiB, wrapped
/// in base64). A record that is cut can only come from a gateway, and would not fit a row of 400 KB once encoded in
/// base64 itself.
pub const QUARANTINE_BYTES_MAX: usize = 256 * 1024;

/// What a device is to a fleet rule in one zone from now on: a record that is put on the stream, under the key of
/// that rule and zone. The fields have the same names in the record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Member {
    /// Id of the device.
    #[serde(rename = "d")]
    pub device: DeviceId,
    /// Id of the fleet rule.
    pub rule: RuleId,
    /// Id of the zone: the device's own, or one that encloses it.
    pub zone: ZoneId,
    /// Generation of the stream.
    pub generation: u32,
    /// Version of the rule set that was in force.
    pub version: u64,
    /// SHA-256 of that rule set, in hexadecimal.
    pub sha256: SmolStr,
    /// Number that rises with each such record of the device for this rule and zone. A record that is not above the
    /// last is ignored.
    pub n: u64,
    /// Whether the device is in the state that is counted.
    #[serde(rename = "in")]
    pub inside: bool,
    /// Whether the device belongs to the zone and to the types that the rule covers.
    pub registered: bool,
    /// The state that `inside` refers to. Under another set the same rule may count another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<FleetOf>,
    /// Ingest time of the record that caused the change, or the moment at which time alone caused it.
    #[serde(rename = "t")]
    pub at: Timestamp,
}

impl Member {
    /// Returns the partition key of the record. It routes everything that a fleet rule counts in a zone to one shard.
    pub fn partition_key(&self) -> SmolStr {
        SmolStr::new(DeviceId::of_fleet(&self.rule, &self.zone).as_str())
    }

    /// Returns the record's bytes.
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

/// All effects that a run of records requests.
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
    /// Returns the number of rows and records.
    pub fn count(&self) -> usize {
        self.alerts.len() + self.notifications.len() + self.quarantined.len() + self.members.len()
    }

    /// Whether there are no effects.
    pub fn is_empty(&self) -> bool {
        self.count() == 0
    }

    /// Returns at most `length` rows and records after the first `from`: notices first, since people wait for them,
    /// then alerts, quarantined records, and `member` records.
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

/// A range over several lists in a row, from which each list takes its share.
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
