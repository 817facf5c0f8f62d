//! How the state of shards becomes the state of those that they were split into or merged to. Everything with a
//! partition key goes where the key goes; everything shard-wide goes to every child.

use md5::{Digest, Md5};

use crate::{
    ids::DeviceId,
    position::Position,
    state::{Device, Head, ShardState},
};

/// The range of hash keys that a shard takes, inclusive at both ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HashRange {
    /// The lowest hash key.
    pub first: u128,
    /// The highest hash key.
    pub last: u128,
}

impl HashRange {
    /// Every key.
    pub const ALL: Self = Self { first: 0, last: u128::MAX };

    /// Whether records with this partition key go to the shard: the stream uses a key's MD5 as a number.
    pub fn takes(&self, partition_key: &str) -> bool {
        let hash = u128::from_be_bytes(Md5::digest(partition_key.as_bytes()).into());
        (self.first..=self.last).contains(&hash)
    }
}

/// Returns the part of a state that a child with these hash keys inherits, before its first record.
pub(crate) fn part(state: ShardState, range: HashRange) -> ShardState {
    only(state, |device| range.takes(device.as_str()))
}

/// Returns a state with some of its devices, before its first record.
pub(crate) fn only(state: ShardState, mut kept: impl FnMut(&DeviceId) -> bool) -> ShardState {
    let head = Head { position: Position::Start, ..state.head };
    from_parts(head, state.devices.into_iter().filter(|device| kept(&device.registration.id)).collect())
}

/// Merges the states of two shards. Both are under the same rule set, the newer of the two, and under the same
/// overrides.
pub(crate) fn merge(one: ShardState, other: ShardState) -> ShardState {
    debug_assert_eq!(one.head.rule_set.sha256, other.head.rule_set.sha256);
    debug_assert_eq!(one.head.overrides, other.head.overrides);
    let newer = if other.head.rule_set.version > one.head.rule_set.version { &other } else { &one };
    let rule_set = newer.head.rule_set.clone();
    let shard_time = one.head.shard_time.max(other.head.shard_time);
    let head = Head { position: Position::Start, shard_time, rule_set, overrides: one.head.overrides };
    let mut devices = one.devices;
    devices.extend(other.devices);
    from_parts(head, devices)
}

/// Builds a state whose bytes depend on nothing but its contents. A device that both parents know, which the stream's
/// ranges rule out, is taken once, with its newer registration.
fn from_parts(head: Head, mut devices: Vec<Device>) -> ShardState {
    devices.sort_by(|a, b| {
        let (a, b) = (&a.registration, &b.registration);
        a.id.cmp(&b.id).then(b.revision.cmp(&a.revision))
    });
    devices.dedup_by(|later, kept| later.registration.id == kept.registration.id);
    // The queue of timers is rebuilt from the devices.
    devices.iter_mut().for_each(|device| device.queued = None);
    ShardState::from_parts(head, devices)
}
