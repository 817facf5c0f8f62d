//! The devices that a deployed platform knows, read from the states of its shards, and how they are put into words.

use fleetform_engine::{
    drive::{self, KnownDevice},
    effect::Observed,
    units::Timestamp,
};
use serde_json::{Value, json};

use crate::{
    deployed::Deployed,
    terminal::{Stop, tell},
};

/// All of them, in the order of their ids. What cannot be read is reported, and devices are listed as they were before
/// it.
pub(super) async fn known(deployed: &Deployed) -> Result<Vec<KnownDevice>, Stop> {
    let Deployed { log, rule_sets, settings, .. } = deployed;
    let mut all = Vec::new();
    for shard in drive::shards(log, settings.generation, settings.repair).await.map_err(Stop::failed)? {
        let roster = drive::roster(log, rule_sets, settings, &shard).await.map_err(Stop::failed)?;
        for broken in &roster.broken {
            tell(format_args!(
                "warning: {} cannot be read: {}; see `fleetform state show`",
                broken.key, broken.problem
            ));
        }
        // The children of a shard that was split or merged know its devices better.
        if !roster.sealed {
            all.extend(roster.devices);
        }
    }
    all.sort_by(|a, b| a.registration.id.cmp(&b.registration.id));
    Ok(all)
}

/// Its presence, in one word.
pub(super) fn presence(device: &KnownDevice) -> &'static str {
    match device {
        KnownDevice { registration, .. } if registration.retired => "retired",
        KnownDevice { offline_since: Some(_), .. } => "offline",
        KnownDevice { last_ingest: None, .. } => "silent",
        KnownDevice { .. } => "online",
    }
}

/// How long ago a moment was, in the largest unit that counts at least two.
pub(super) fn ago(at: Timestamp, now: Timestamp) -> String {
    let seconds = now.since(at).as_secs();
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// A moment as people write it.
pub(super) fn moment(at: Timestamp) -> String {
    jiff::Timestamp::from_millisecond(at.0).map_or_else(|_| at.0.to_string(), |at| at.to_string())
}

/// A device as a JSON document.
pub(super) fn json_of(device: &KnownDevice) -> Value {
    let of = &device.registration;
    let values = device.values.iter().map(|newest| {
        let value = match &newest.value {
            Observed::Number(number) => json!(number.get()),
            Observed::Bool(truth) => json!(truth),
            Observed::Word(word) => json!(word),
        };
        (newest.metric.to_string(), json!({ "value": value, "at": moment(newest.at) }))
    });
    let alerts = device.alerts.iter().map(|alert| json!({ "rule": alert.rule, "since": moment(alert.since) }));
    let attributes = of.attributes.iter().map(|(attribute, value)| (attribute.to_string(), json!(value.get())));
    json!({
        "device": of.id,
        "type": of.device_type,
        "zone": of.zone,
        "revision": of.revision,
        "retired": of.retired,
        "attributes": attributes.collect::<serde_json::Map<_, _>>(),
        "is": presence(device),
        "last_ingest": device.last_ingest.map(moment),
        "offline_since": device.offline_since.map(moment),
        "values": values.collect::<serde_json::Map<_, _>>(),
        "alerts": alerts.collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_ago_is_said_in_the_largest_unit_of_which_there_are_two() {
        let now = Timestamp(1_000_000_000);
        for (seconds, said) in
            [(0, "0 s"), (119, "119 s"), (120, "2 min"), (7_199, "119 min"), (7_200, "2 h"), (172_800, "2 d")]
        {
            assert_eq!(ago(Timestamp(now.0 - seconds * 1_000), now), said);
        }
    }
}
