//! What devices must report to fleets, and what fleets make of it.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde_json::{Value, json};

use super::{
    Device, Moment, Oracle,
    condition::{Found, compare, covers, is_at_home, number},
};

impl<'a> Oracle<'a> {
    /// Reports everything that has changed about a device since its last report, for every fleet rule and every zone
    /// around it.
    pub(super) fn speak(&mut self, device: &mut Device) {
        if device.registration["fleet"].is_string() {
            return;
        }
        let mut said = BTreeMap::new();
        let (set, registration) = (self.set, &device.registration);
        let at_home = is_at_home(set, registration);
        let rules = set["rules"].as_object().into_iter().flatten();
        for (id, rule) in rules.filter(|(_, rule)| rule["condition"]["type"] == "fleet") {
            let of = &rule["condition"]["of"];
            let named = of["rule"].as_str().unwrap_or_default();
            let inside = match of.as_str() {
                Some("offline") => at_home && device.offline.is_some(),
                _ => {
                    let here = at_home && covers(named, &set["rules"][named], registration);
                    here && device.lives.get(named).is_some_and(|life| life.open.is_some())
                }
            };
            let mut zone = registration["zone"].clone();
            while let Some(name) = zone.as_str().filter(|_| at_home) {
                // The fleet of this rule in this zone, as a subject that counts devices of this type.
                let fleet = json!({ "fleet": id, "zone": zone });
                let of_type = rule["device_types"].as_array().is_some_and(|all| all.contains(&registration["type"]));
                if of_type && covers(id, rule, &fleet) {
                    said.insert((id.clone(), name.to_owned()), json!({ "in": inside, "registered": true, "of": of }));
                }
                zone = set["zones"][name]["parent"].clone();
            }
        }
        for (place, last) in &device.said {
            let left = json!({ "in": false, "registered": false, "of": last["of"] });
            said.entry(place.clone()).or_insert(left);
        }
        for (place, mut now) in said {
            let last = device.said.get(&place);
            let alike = |last: &Value| {
                let same = |key: &str| last[key] == now[key];
                same("registered") && (now["registered"] == false || (same("in") && same("of")))
            };
            if last.is_some_and(alike) {
                continue;
            }
            now["n"] = (1 + last.map_or(0, |last| last["n"].as_u64().unwrap_or(0))).into();
            let mut member = now.clone();
            (member["rule"], member["zone"]) = (place.0.clone().into(), place.1.clone().into());
            (member["d"], member["version"]) = (device.registration["d"].clone(), self.version.into());
            self.out.members.push(super::said(&member));
            device.said.insert(place, now);
        }
    }

    /// Takes a device's report to a fleet, unless it is old.
    pub(super) fn member(&mut self, member: &Value, at: &Moment, sets: &'a HashMap<String, Value>) {
        let version = member["version"].as_u64().unwrap_or(0);
        let set = sets.get(member["sha256"].as_str().unwrap_or_default());
        if let Some(set) = set.filter(|_| version > self.version) {
            self.adopt(version, set, at);
        }
        let text = |key: &str| member[key].as_str().unwrap_or_default().to_owned();
        let key = format!("zone/{}/{}", text("zone"), text("rule"));
        let mut fleet = self.devices.remove(&key).unwrap_or_else(|| Device {
            registration: json!({
                "d": "", "zone": member["zone"], "fleet": member["rule"], "fleet_zone": member["zone"],
            }),
            ..Device::default()
        });
        let known = fleet.members.get(&text("d")).map_or(0, |known| known["n"].as_u64().unwrap_or(0));
        if member["n"].as_u64().unwrap_or(0) > known {
            fleet.members.insert(text("d"), member.clone());
            self.look_around(&mut fleet, at);
        }
        self.devices.insert(key, fleet);
    }

    /// Evaluates a fleet in its current state, or reports what has changed about a device.
    pub(super) fn look_around(&mut self, device: &mut Device, at: &Moment) {
        let now = self.time.max(at.ingest);
        let at = at.now(now);
        let Some(id) = device.registration["fleet"].as_str().map(str::to_owned) else {
            self.composites(device, &at);
            return self.speak(device);
        };
        let rule = &self.set["rules"][&id];
        if is_at_home(self.set, &device.registration) && covers(&id, rule, &device.registration) {
            let mut life = device.lives.remove(&id).unwrap_or_default();
            let found = self.count(device, &at);
            self.look(&mut life, (&id, rule), &device.registration, found, false, &at);
            device.lives.insert(id, life);
        }
    }

    /// Returns what a fleet rule finds within its hours.
    pub(super) fn count(&self, fleet: &Device, at: &Moment) -> Found {
        let rule = &self.set["rules"][fleet.registration["fleet"].as_str().unwrap_or_default()];
        let (part, holds, evidence) = self.part(fleet);
        let breach = holds && self.holds_now(rule, &fleet.registration, at);
        Found { value: part.into(), evidence, ..Found::plain(breach) }
    }

    /// Returns the part of a fleet that is in the counted state, as a percentage or a number of devices; whether it
    /// is as large as the rule requires; and the evidence.
    pub(super) fn part(&self, fleet: &Device) -> (f64, bool, Value) {
        let rule = &self.set["rules"][fleet.registration["fleet"].as_str().unwrap_or_default()];
        let condition = &rule["condition"];
        let registered: Vec<&Value> = fleet.members.values().filter(|it| it["registered"] == true).collect();
        let inside = registered.iter().filter(|it| it["in"] == true && it["of"] == condition["of"]).count();
        let (part, limit) = match condition["threshold"]["percent"].as_f64() {
            Some(percent) => (inside as f64 * 100.0 / registered.len().max(1) as f64, percent),
            None => (inside as f64, number(&condition["threshold"]["devices"])),
        };
        let holds = registered.len() >= 5 && compare(condition, part, limit).0;
        let evidence = json!({ "kind": "fleet", "devices": inside, "registered": registered.len() });
        (part, holds, evidence)
    }
}

/// Formats a device's report.
pub(crate) fn said(member: &Value) -> String {
    let [device, rule, zone, n, inside, registered, version] =
        ["d", "rule", "zone", "n", "in", "registered", "version"].map(|key| &member[key]);
    format!("{device} {rule} {zone} n={n} in={inside} registered={registered} v{version}")
}

/// Formats the fleet and the device whose report it has not received.
pub(crate) fn unheard_by(member: &Value) -> String {
    format!("{} in {} has not heard the last of {}", member["rule"], member["zone"], member["d"])
}

/// Returns, as messages, the fleets that do not know a device's latest report. Each is looked up in the last shard of
/// its key.
pub(super) fn unheard(done: &[Oracle<'_>]) -> Vec<String> {
    let mut last: HashMap<&String, &Device> = HashMap::new();
    let mut known = HashSet::new();
    for (id, device) in done.iter().rev().flat_map(|oracle| &oracle.devices) {
        if known.insert(id) {
            last.insert(id, device);
        }
    }
    let mut unheard = Vec::new();
    for (id, device) in &last {
        for ((rule, zone), said) in &device.said {
            let fleet = last.get(&format!("zone/{zone}/{rule}"));
            let heard = fleet.and_then(|fleet| fleet.members.get(*id)).map(|member| &member["n"]);
            if heard != Some(&said["n"]) {
                let who = unheard_by(&json!({ "rule": rule, "zone": zone, "d": id }));
                unheard.push(format!("{who}: {said}, but {heard:?}"));
            }
        }
    }
    unheard.sort();
    unheard
}
