//! One simulated device during a run: what it measures and what it sends.

use fleetform_engine::{
    ids::DeviceId,
    rule_set::{DeviceType, MessageFormat},
    units::{Millis, Timestamp},
};
use serde_json::{Map, json};

use crate::{
    message::{self, Message, Sample},
    profile::Profile,
    signal::{Moment, Signal},
};

/// Maximum number of samples that a device sends at once. One that measures far more often than it sends drops the
/// oldest.
const SAMPLES_MAX: u64 = 1_000;

/// Maximum error of a wrong clock, in milliseconds.
const SKEW_MAX_MS: i64 = 600_000;

/// Length of a burst, in samples.
const BURST_SAMPLES: u32 = 3;

/// One device.
pub(crate) struct Device {
    /// Index of its group in the fleet.
    pub(crate) group: usize,
    profile: Profile,
    chance: fastrand::Rng,
    /// One for each of its type's readings, in their order.
    signals: Vec<Signal>,
    battery: f64,
    /// How far its clock is ahead, in milliseconds.
    skew_ms: i64,
    burst: u32,
    /// When it last took a sample, if it has.
    sampled: Option<Timestamp>,
    /// Whether it has reported that it is online.
    is_online: bool,
}

/// The moment at which a device sends.
#[derive(Clone, Copy)]
pub(crate) struct Now {
    pub(crate) at: Timestamp,
    /// How far the run has progressed, from 0 to 1.
    pub(crate) share: f64,
    pub(crate) last_will: bool,
}

impl Device {
    pub(crate) fn new(
        group: usize,
        device_type: &DeviceType,
        first: Timestamp,
        profile: Profile,
        mut chance: fastrand::Rng,
    ) -> Self {
        let signals = device_type.readings.iter().map(|_| Signal::new(&mut chance)).collect();
        let skew_ms = match profile {
            Profile::Skew => chance.i64(60_000..=SKEW_MAX_MS) * if chance.bool() { 1 } else { -1 },
            Profile::Steady
            | Profile::Daily
            | Profile::Step
            | Profile::Drift
            | Profile::Stuck
            | Profile::Burst
            | Profile::Silence
            | Profile::Duplicates
            | Profile::Disorder
            | Profile::Malformed => 0,
        };
        Self {
            group,
            profile,
            signals,
            battery: 60.0 + 40.0 * chance.f64(),
            chance,
            skew_ms,
            burst: 0,
            // Its first message holds one sample.
            sampled: Some(first.before(device_type.report_every_ms)),
            is_online: false,
        }
    }

    /// Returns what it sends now, each message with its additional delay.
    pub(crate) fn send(
        &mut self,
        now: Now,
        device_type: &DeviceType,
        format: &MessageFormat,
        id: &DeviceId,
    ) -> Vec<(Millis, Message)> {
        let mut sent = Vec::new();
        if self.profile == Profile::Silence && (1.0 / 3.0..2.0 / 3.0).contains(&now.share) {
            if self.is_online && now.last_will {
                sent.push((Millis(0), Message::will()));
            }
            self.is_online = false;
            self.sampled = None;
            return sent;
        }
        if !self.is_online {
            self.is_online = true;
            sent.push((Millis(0), Message::online()));
        }
        let samples = self.samples(now, device_type, format);
        let first_key = device_type.readings.values().next().map_or("", |reading| reading.key.as_str());
        for message in message::telemetry(format, id, samples) {
            let delay = |chance: &mut fastrand::Rng, most: u64| Millis(chance.u64(1..=most));
            let send_every = device_type.send_every_ms.0;
            match self.profile {
                Profile::Malformed if self.chance.u8(0..10) == 0 => {
                    sent.push((Millis(0), message::malformed(format, &message, first_key, &mut self.chance)));
                }
                Profile::Duplicates if self.chance.u8(0..10) < 3 => {
                    let again = Message { payload: message.payload.clone(), ..message };
                    sent.push((Millis(0), message));
                    sent.push((delay(&mut self.chance, send_every), again));
                }
                Profile::Disorder if self.chance.u8(0..10) < 3 => {
                    sent.push((delay(&mut self.chance, 3 * send_every), message));
                }
                Profile::Steady
                | Profile::Daily
                | Profile::Step
                | Profile::Drift
                | Profile::Stuck
                | Profile::Burst
                | Profile::Silence
                | Profile::Skew
                | Profile::Duplicates
                | Profile::Disorder
                | Profile::Malformed => sent.push((Millis(0), message)),
            }
        }
        sent
    }

    /// Returns what it has measured since it last sent.
    fn samples(&mut self, now: Now, device_type: &DeviceType, format: &MessageFormat) -> Vec<Sample> {
        let every = device_type.report_every_ms.0;
        // After a silence there is only the current sample: the device was off.
        let since = self.sampled.map_or(every, |sampled| now.at.since(sampled).0);
        let count = (since / every).clamp(1, SAMPLES_MAX);
        self.sampled = Some(now.at);
        (0..count)
            .rev()
            .map(|back| self.sample(now.at.before(Millis(back * every)), now, device_type, format))
            .collect()
    }

    fn sample(&mut self, at: Timestamp, now: Now, device_type: &DeviceType, format: &MessageFormat) -> Sample {
        if self.profile == Profile::Burst {
            self.burst = match self.burst {
                0 if self.chance.u8(0..50) == 0 => BURST_SAMPLES,
                left => left.saturating_sub(1),
            };
        }
        let moment = Moment { profile: self.profile, at, share: now.share, is_burst: self.burst > 0 };
        let mut readings = Map::new();
        for (reading, signal) in device_type.readings.values().zip(&mut self.signals) {
            readings.insert(reading.key.to_string(), signal.value(&reading.value, moment, &mut self.chance));
        }
        // The meaning of a health value is not declared: something that falls slowly does for all of them.
        let level = self.battery - 5.0 * now.share;
        let health = format.health.values().map(|path| (path.to_string(), json!((level * 10.0).round() / 10.0)));
        let at = if self.skew_ms < 0 {
            at.before(Millis(self.skew_ms.unsigned_abs()))
        } else {
            at.after(Millis(self.skew_ms.unsigned_abs()))
        };
        Sample { at, readings, health: health.collect() }
    }
}
