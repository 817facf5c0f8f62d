//! What each record means, and which rules it moves.

use std::collections::HashMap;

use serde_json::Value;

use super::{
    Device, Moment, Oracle,
    anomaly::anomaly,
    condition::{is_at_home, judge},
    past,
};
use crate::workload::{Fact, Sample};

impl<'a> Oracle<'a> {
    pub(super) fn take(
        &mut self,
        fact: &Fact,
        at: &Moment,
        sets: &'a HashMap<String, Value>,
    ) -> Result<(), &'static str> {
        match fact {
            Fact::Again(fact) => self.take(fact, at, sets),
            Fact::Message(device, samples) => {
                self.about(device, |oracle, device| oracle.message(device, samples, at), at)
            }
            Fact::Bad(None, reason) | Fact::Poison(reason) => Err(reason),
            Fact::Bad(Some(device), reason) => self.known(device).and(Err(reason)),
            Fact::Status(device, online) => self.about(
                device,
                |oracle, device| match online {
                    _ if device.is_known_since(at) => {}
                    true => oracle.alive(device, at),
                    false => device.gone(at),
                },
                at,
            ),
            Fact::Alarm(device, code, active) => self.about(
                device,
                |oracle, device| {
                    if !device.is_known_since(at) {
                        oracle.alive(device, at);
                        oracle.alarm(device, (code, *active), at);
                    }
                },
                at,
            ),
            // The broker also reports on clients that are not devices.
            Fact::Connection(device, connection) => {
                let _ = self.about(device, |oracle, device| oracle.connection(device, *connection, at), at);
                Ok(())
            }
            Fact::Device(id, registration) => {
                let mut device = self.devices.remove(id).unwrap_or_default();
                if device.registration.is_null() || registration["rev"].as_u64() > device.registration["rev"].as_u64() {
                    self.rehome(&mut device, Some(registration), at, self.set, None);
                    self.composites(&mut device, at);
                }
                self.devices.insert(id.clone(), device);
                Ok(())
            }
            Fact::Rules(version, sha256) => {
                if let Some(set) = sets.get(sha256).filter(|_| *version > self.version) {
                    self.adopt(*version, set, at);
                }
                Ok(())
            }
            Fact::Override(row) => {
                self.override_rule(row, at);
                Ok(())
            }
            Fact::Member(member) => {
                self.member(member, at, sets);
                Ok(())
            }
        }
    }

    pub(super) fn known(&self, device: &str) -> Result<(), &'static str> {
        let registration = &self.devices.get(device).ok_or("unknown_device")?.registration;
        match registration["retired"] == true {
            true => Err("retired_device"),
            false if is_at_home(self.set, registration) => Ok(()),
            false => Err("unknown_zone"),
        }
    }

    /// Handles a record about a known device, sent by the device or by others.
    fn about(&mut self, id: &str, say: impl FnOnce(&mut Self, &mut Device), at: &Moment) -> Result<(), &'static str> {
        self.known(id)?;
        let mut device = self.devices.remove(id).unwrap_or_default();
        say(self, &mut device);
        self.composites(&mut device, at);
        self.devices.insert(id.to_owned(), device);
        Ok(())
    }

    fn message(&mut self, device: &mut Device, samples: &[Sample], at: &Moment) {
        if at.known == at.ingest || device.heard < Some(at.ingest) {
            self.alive(device, at);
        }
        let samples: Vec<&Sample> = samples.iter().filter(|sample| !sample.values.is_empty()).collect();
        let believed = |sample: &Sample| sample.time.filter(|t| *t <= at.ingest + 120_000);
        let mut untimed = samples.iter().filter(|sample| believed(sample).is_none()).count() as i64;
        let mut timed = Vec::new();
        for sample in samples {
            untimed -= i64::from(believed(sample).is_none());
            timed.push((believed(sample).unwrap_or(at.ingest - untimed), &sample.values));
        }
        timed.retain(|(t, _)| at.ingest - t <= 86_400_000);
        timed.sort_by_key(|(t, _)| *t);
        for (sample, (t, values)) in timed.into_iter().enumerate() {
            let at = Moment { sample, t, ..at.clone() };
            for (metric, value) in values {
                self.sample(device, metric, value.clone(), &at);
            }
            self.composites(device, &at);
        }
    }

    fn sample(&mut self, device: &mut Device, metric: &str, value: Value, at: &Moment) {
        let series = device.series.entry(metric.to_owned()).or_default();
        if series.last().is_some_and(|(newest, _)| at.t <= *newest) {
            return;
        }
        series.push((at.t, value));
        let reads = |rule: &Value| rule["metric"] == metric;
        for (id, rule) in self.rules(&device.registration).filter(|(_, rule)| reads(rule)).collect::<Vec<_>>() {
            let series = &device.series[metric];
            let mut life = device.lives.remove(id).unwrap_or_default();
            life.past.extend(series.last().cloned());
            let max_gap = self.max_gap(rule, device).0;
            let found = match rule["condition"]["type"].as_str() {
                Some("count") => past::count(&rule["condition"], &life.past),
                Some("flatline") => {
                    let longest = Some(max_gap).filter(|_| rule["hold"]["on_gap"] == "reset");
                    past::flatline(rule, &life.past, longest)
                }
                Some("anomaly") => {
                    let of = &self.set["device_types"][device.registration["type"].as_str().unwrap_or_default()];
                    let report_every = of["report_every_ms"].as_i64().unwrap_or(1);
                    let (found, score) = anomaly(rule, &life.past, &life.scores, report_every).unzip();
                    life.scores.push(score.flatten());
                    found
                }
                _ => judge(rule, series, &life.past, &device.registration),
            };
            let enough = series.len() as u64 >= rule["min_samples"].as_u64().unwrap_or(0);
            if let Some(mut found) = found.filter(|_| enough) {
                if !self.holds_now(rule, &device.registration, at) {
                    (found.breach, found.clear) = (false, true);
                }
                let gap = series.len() > 1 && at.t - series[series.len() - 2].0 > max_gap;
                self.look(&mut life, (id, rule), &device.registration, found, gap, at);
            }
            device.lives.insert(id.clone(), life);
        }
    }
}
