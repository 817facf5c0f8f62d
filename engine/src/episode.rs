//! How a transition appears outside: the names of episodes and notices, and the rows that report them. The names are
//! hashes of what caused them, so that a replay computes the same.

use sha2::{Digest, Sha256};
use smol_str::{SmolStr, format_smolstr};

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
    /// Generation of the stream.
    pub(crate) generation: u32,
    pub(crate) shard: &'a str,
    pub(crate) sequence: &'a SequenceNumber,
    pub(crate) cause: Cause,
    /// Time of the sample.
    pub(crate) at: Timestamp,
    pub(crate) ingested_at: Timestamp,
    /// When the platform could act on it: at its ingest, unless it was redriven.
    pub(crate) known_at: Timestamp,
    /// The shard's time: not before any of the others, since ingest times are not in order.
    pub(crate) now: Timestamp,
}

/// What causes a transition.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Cause {
    /// A sample, by its index among those of its message in time order; 0 for records of other kinds.
    Sample(u32),
    /// The passing of time.
    Timer,
    /// The passing of time, where the time had passed before the record that shows it. Such a record may show more
    /// than one start.
    Overdue,
}

impl Cause {
    /// Returns the cause of a transition that is due at `due`, for a record before which the shard's time is
    /// `before`.
    pub(crate) fn of_due(due: Timestamp, before: Timestamp) -> Self {
        if due <= before { Self::Overdue } else { Self::Timer }
    }
}

impl Scene<'_> {
    pub(crate) fn is_timer(&self) -> bool {
        match self.cause {
            Cause::Sample(_) => false,
            Cause::Timer | Cause::Overdue => true,
        }
    }

    /// Returns how long the sample took to get here.
    pub(crate) fn delay(&self) -> Millis {
        self.known_at.since(self.at)
    }

    /// Returns the name of an episode that starts here.
    pub(crate) fn episode(&self, rule: &RuleId, device: &DeviceId) -> SmolStr {
        let zone = device.fleet().map(|(_, zone)| format_smolstr!("zone/{zone}"));
        let mut digits = [0; DIGITS_MAX];
        let subject = zone.as_deref().unwrap_or(device.as_str());
        match self.cause {
            Cause::Sample(index) => {
                name(&[rule.as_str(), subject, &self.sequence.digits(), decimal(index, &mut digits)])
            }
            // Which record moves the time past a moment depends on which other devices send; the moment does not.
            Cause::Timer => {
                name(&[rule.as_str(), subject, &self.generation.to_string(), self.shard, &self.at.0.to_string()])
            }
            Cause::Overdue => {
                let (generation, at) = (self.generation.to_string(), self.at.0.to_string());
                name(&[rule.as_str(), subject, &generation, self.shard, &at, &self.sequence.digits()])
            }
        }
    }
}

/// Returns the row of an episode at this point.
pub(crate) fn alert(
    scene: &Scene<'_>,
    (sequence, ordinal): (SmolStr, u32),
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
        generation: scene.generation,
        shard: SmolStr::new(scene.shard),
        sequence,
        ordinal,
        evidence: firing.evidence.clone(),
        rule_set: rules.sha256.clone(),
        muted: rule.muted_until.is_some_and(|until| scene.now < until),
    }
}

/// Returns the notice of an alert of a rule. `n` counts the notices of one kind in one episode.
pub(crate) fn notification(alert: Alert, rule: &Rule, kind: NoticeKind, n: u32, suppressed: u32) -> Notification {
    let id = Notification::id_of(&alert.episode, kind, n);
    let contacts = rule.contacts.as_deref().map(<[_]>::to_vec).unwrap_or_default();
    Notification { id, kind, suppressed, created_at: alert.ingested_at, contacts, alert }
}

impl Notification {
    /// Returns the id of an episode's notice: the n-th of its kind, counted from zero. A start is notified only once.
    pub fn id_of(episode: &str, kind: NoticeKind, n: u32) -> SmolStr {
        let word = match kind {
            NoticeKind::Firing => "firing",
            NoticeKind::Resolved => "resolved",
            NoticeKind::Repeat => "repeat",
            NoticeKind::Flapping => "flapping",
        };
        name(&[episode, word, decimal(n, &mut [0; DIGITS_MAX])])
    }
}

/// Maximum number of digits in the number of an episode or a notice.
const DIGITS_MAX: usize = 10;

/// Formats a number in a buffer.
fn decimal(mut number: u32, buffer: &mut [u8; DIGITS_MAX]) -> &str {
    let mut from = DIGITS_MAX;
    while number > 0 || from == DIGITS_MAX {
        from -= 1;
        buffer[from] = b'0' + (number % 10) as u8;
        number /= 10;
    }
    std::str::from_utf8(&buffer[from..]).unwrap_or_default()
}

/// Returns 128 bits of the hash of the strings, in hexadecimal. None of the strings contains the separator byte.
fn name(parts: &[&str]) -> SmolStr {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    let mut text = [b'0'; 32];
    for (digits, byte) in text.chunks_exact_mut(2).zip(hash.finalize()) {
        for (digit, half) in digits.iter_mut().zip([byte >> 4, byte & 15]) {
            *digit = b"0123456789abcdef"[usize::from(half)];
        }
    }
    SmolStr::new(std::str::from_utf8(&text).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_everywhere() {
        for number in [0, 7, 10, 1_234_567_890, u32::MAX] {
            assert_eq!(decimal(number, &mut [0; DIGITS_MAX]), number.to_string());
        }
    }
}
