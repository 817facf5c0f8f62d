//! What the chain of a shard shows about its devices.

use fleetform_engine::{
    drive::{self, NewestValue, Roster},
    effect::Observed,
    memory::{self, Memory},
    units::{Finite, Timestamp},
};
use serde_json::json;

use crate::support::{Host, SHARD, START_MS, Stream, settings};

fn roster(memory: &Memory) -> Roster {
    memory::run(drive::roster(memory, memory, &settings(memory), SHARD)).unwrap()
}

/// A hot logger, one that has sent nothing, and one that was taken out of service.
fn told() -> Memory {
    let memory = Memory::new();
    let mut stream = Stream::default();
    for device in ["logger-2", "logger-1", "logger-0"] {
        stream.register(device, "pressure-logger", "zone-a");
    }
    let fields = json!({ "rev": 9, "type": "pressure-logger", "zone": "zone-a", "retired": true });
    stream.registration("logger-1", fields, START_MS);
    stream.reading("logger-2", json!({ "pressure": 50.0, "temperature": 55.0 }), 1_000);
    Host::new(&memory).deliver_all(&stream);
    memory
}

#[test]
fn devices_are_listed_with_what_was_last_heard_of_them() {
    let Roster { devices, shard_time, sealed, broken } = roster(&told());
    assert_eq!((shard_time, sealed, broken.len()), (Timestamp(START_MS + 1_000), false, 0));
    let [silent, retired, hot] = devices.as_slice() else { panic!("{devices:#?}") };
    let ids = [silent, retired, hot].map(|device| device.registration.id.to_string());
    assert_eq!(ids, ["logger-0", "logger-1", "logger-2"]);
    assert!(silent.last_ingest.is_none() && silent.values.is_empty() && silent.alerts.is_empty());
    assert!(retired.registration.retired && retired.alerts.is_empty());
    let at = Timestamp(START_MS + 1_000);
    assert_eq!((hot.last_ingest, hot.offline_since), (Some(at), None));
    let value = Observed::Number(Finite::new(55.0).unwrap());
    let newest = NewestValue { metric: "temperature".parse().unwrap(), value, at };
    assert!(hot.values.contains(&newest), "{:#?}", hot.values);
    let alerts: Vec<_> = hot.alerts.iter().map(|alert| (alert.rule.as_str(), alert.since)).collect();
    assert_eq!(alerts, [("very-hot", at)]);
}

#[test]
fn what_cannot_be_read_is_said_and_the_rest_is_listed() {
    let memory = told();
    let delta = memory.objects().into_iter().find(|(key, _)| key.starts_with("log/")).unwrap();
    memory.overwrite(&delta.0, delta.1[..delta.1.len() / 2].to_vec());
    let roster = roster(&memory);
    assert_eq!(roster.broken.iter().map(|broken| &broken.key).collect::<Vec<_>>(), [&delta.0]);
    assert!(roster.devices.is_empty(), "the base before it knows nobody");
    memory.remove(&format!("base/1/0/{SHARD}/z-start"));
    assert!(self::roster(&memory).devices.is_empty());
}
