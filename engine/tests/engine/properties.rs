//! Properties of any stream: how it is cut into batches, how often it is delivered and when it happened change
//! nothing.

use std::sync::Arc;

use fleetform_engine::{
    compiled::Compiled,
    effect::{Alert, Notification},
    memory::{Memory, Rows},
    state::{RuleSetRef, ShardState},
    step::{Run, step},
};
use proptest::prelude::*;
use serde_json::json;

use crate::support::{EXAMPLE, Host, SHARD, START_MS, Stream};

/// One thing that can arrive on the stream.
#[derive(Clone, Debug)]
enum Event {
    Logger {
        device: u8,
        pressure: f64,
        temperature: f64,
        delay_ms: i64,
    },
    Pump {
        device: u8,
        vibration: f64,
        state: u8,
        battery: f64,
    },
    Batch {
        device: u8,
        flows: Vec<(i64, f64)>,
    },
    Valve {
        device: u8,
        position: f64,
    },
    /// An alarm, a status, or a connection event.
    Sign {
        device: u8,
        kind: u8,
        version: u64,
    },
    Tick {
        ahead_ms: i64,
    },
    Probe {
        device: u8,
        chlorine: f64,
        turbidity: f64,
        lamp: u8,
    },
    Bad {
        device: u8,
        kind: u8,
    },
    Move {
        device: u8,
        zone: bool,
        revision: u64,
    },
    Again,
}

fn events(most: usize) -> impl Strategy<Value = Vec<Event>> {
    let device = 0..3_u8;
    let event = prop_oneof![
        6 => (device.clone(), 50.0..110.0, 40.0..60.0, prop_oneof![9 => Just(0_i64), 1 => 0..2_000_000_i64])
            .prop_map(|(device, pressure, temperature, delay_ms)| Event::Logger { device, pressure, temperature, delay_ms }),
        4 => (device.clone(), 0.0..20.0, 0..4_u8, 10.0..30.0)
            .prop_map(|(device, vibration, state, battery)| Event::Pump { device, vibration, state, battery }),
        2 => (device.clone(), prop::collection::vec((0..120_000_i64, 0.0..900.0), 1..5))
            .prop_map(|(device, flows)| Event::Batch { device, flows }),
        4 => (device.clone(), 0.0..100.0).prop_map(|(device, position)| Event::Valve { device, position }),
        3 => (device.clone(), 0..8_u8, 1..9_u64)
            .prop_map(|(device, kind, version)| Event::Sign { device, kind, version }),
        2 => (0..90_000_i64).prop_map(|ahead_ms| Event::Tick { ahead_ms }),
        // Mostly steady, so that a past is learned and something can stand out from it.
        8 => (0..2_u8, prop_oneof![4 => 4.9..5.1, 1 => 0.0..10.0], prop_oneof![2 => Just(3.0), 2 => 2.0..4.0, 1 => 0.0..100.0], 0..3_u8)
            .prop_map(|(device, chlorine, turbidity, lamp)| Event::Probe { device, chlorine, turbidity, lamp }),
        1 => (device.clone(), 0..4_u8).prop_map(|(device, kind)| Event::Bad { device, kind }),
        1 => (device, any::<bool>(), 2..6_u64).prop_map(|(device, zone, revision)| Event::Move { device, zone, revision }),
        1 => Just(Event::Again),
    ];
    prop::collection::vec(event, 1..most)
}

/// The stream of the events, the first at `start`, one every 20 seconds.
fn stream(events: &[Event], start: i64) -> Stream {
    let mut stream = Stream::default();
    for device in 0..3 {
        for (name, device_type) in [
            ("logger", "pressure-logger"),
            ("pump", "pump"),
            ("meter", "flow-meter"),
            ("valve", "valve"),
            ("probe", "quality-probe"),
        ] {
            let fields = json!({ "rev": 1, "type": device_type, "zone": "zone-a" });
            stream.registration(&format!("{name}-{device}"), fields, start);
        }
    }
    let time = |at: i64| jiff::Timestamp::from_millisecond(at).unwrap().to_string();
    let mut at = start - 20_000;
    for event in events {
        at += 20_000;
        match event {
            Event::Logger { device, pressure, temperature, delay_ms } => {
                let readings = json!({ "pressure": pressure, "temperature": temperature });
                let payload = json!({ "timestamp": time(at - delay_ms), "readings": readings });
                stream.message(&format!("logger-{device}"), &payload, at);
            }
            Event::Pump { device, vibration, state, battery } => {
                let state = ["stopped", "starting", "running", "fault"][usize::from(*state)];
                let readings = json!({ "vibration": vibration, "state": state, "doorOpen": *vibration > 10.0 });
                let payload = json!({ "timestamp": time(at), "readings": readings, "batteryLevel": battery });
                stream.message(&format!("pump-{device}"), &payload, at);
            }
            Event::Batch { device, flows } => {
                let samples: Vec<_> = flows
                    .iter()
                    .map(|(before, flow)| {
                        let readings = json!({ "flowRate": flow, "pressure": 40.0 + flow / 10.0 });
                        json!({ "timestamp": time(at - before), "readings": readings })
                    })
                    .collect();
                stream.message(&format!("meter-{device}"), &json!({ "records": samples }), at);
            }
            Event::Valve { device, position } => {
                let payload = json!({ "timestamp": time(at), "readings": { "position": position } });
                stream.message(&format!("valve-{device}"), &payload, at);
            }
            Event::Sign { device, kind, version } => sign(&mut stream, &format!("valve-{device}"), *kind, *version, at),
            Event::Tick { ahead_ms } => {
                at += ahead_ms;
                stream.wrap("tick", "tick", json!({}), at);
            }
            Event::Probe { device, chlorine, turbidity, lamp } => {
                let lamp = ["on", "dim", "off"][usize::from(*lamp)];
                let readings = json!({ "chlorine": chlorine, "turbidity": turbidity, "lamp": lamp });
                let payload = json!({ "timestamp": time(at), "readings": readings });
                stream.message(&format!("probe-{device}"), &payload, at);
            }
            Event::Bad { device, kind } => {
                let data = ["", "{", r#"{"readings":{"pressure":"1"}}"#, r#"{"ff":1,"k":"later"}"#][usize::from(*kind)];
                stream.put(&format!("logger-{device}"), data, at);
            }
            Event::Move { device, zone, revision } => {
                let zone = if *zone { "zone-a" } else { "zone-b" };
                let fields = json!({ "rev": revision, "type": "pump", "zone": zone });
                stream.registration(&format!("pump-{device}"), fields, at);
            }
            Event::Again => {
                let last = stream.records.last().unwrap().clone();
                stream.records.push(last);
            }
        }
    }
    stream
}

/// Puts what a device, or the broker on its behalf, reports in addition to readings.
fn sign(stream: &mut Stream, device: &str, kind: u8, version: u64, at: i64) {
    let alarm = |code: &str, active: bool| json!({ "code": code, "active": active }).to_string();
    match kind {
        0 => stream.wrapped(device, alarm("leak", true).as_bytes(), "alerts", at),
        1 => stream.wrapped(device, alarm("leak", false).as_bytes(), "alerts", at),
        2 => stream.wrapped(device, alarm("jammed", true).as_bytes(), "alerts", at),
        3 => stream.wrapped(device, alarm("jammed", false).as_bytes(), "alerts", at),
        4 => stream.wrapped(device, br#"{"status":"offline"}"#, "status", at),
        5 => stream.wrapped(device, br#"{"status":"online"}"#, "status", at),
        6 => stream.wrap("lifecycle", device, json!({ "e": "connected", "v": version }), at),
        _ => stream.wrap("lifecycle", device, json!({ "e": "disconnected", "v": version, "r": "CONNECTION_LOST" }), at),
    }
}

fn rows(stream: &Stream, cuts: &[usize], fresh_hosts: bool) -> Rows {
    let memory = Memory::new();
    let mut host = Host::new(&memory);
    let mut from = 0;
    for cut in cuts.iter().copied().chain([stream.records.len()]) {
        let to = from.max(cut % (stream.records.len() + 1));
        let outcome = host.deliver(stream, from, to);
        assert_eq!(outcome.failure, None);
        if fresh_hosts {
            host = Host::new(&memory);
        }
        from = to;
    }
    host.deliver(stream, from, stream.records.len());
    memory.rows()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn asking_why_changes_nothing(events in events(60)) {
        let stream = stream(&events, START_MS);
        let rules = Arc::new(Compiled::from_bytes(EXAMPLE).unwrap());
        let outcome = |trace| {
            let mut state = ShardState::new(RuleSetRef { version: 0, sha256: rules.sha256().into() });
            let mut run = Run::new(SHARD, 1);
            run.trace = trace;
            for record in stream.records(0, stream.records.len()) {
                step(&rules, &mut state, &record, &mut run);
            }
            (run.effects, run.counts)
        };
        // With a trace every rule is evaluated; without, only those that a sample can change.
        prop_assert_eq!(outcome(None), outcome(Some(Vec::new())));
    }

    #[test]
    fn replay_changes_nothing(events in events(40), from in any::<prop::sample::Index>()) {
        let stream = stream(&events, START_MS);
        let memory = Memory::new();
        let mut host = Host::new(&memory);
        host.deliver_all(&stream);
        let once = memory.rows();
        let from = from.index(stream.records.len());
        host.deliver(&stream, from, stream.records.len());
        Host::new(&memory).deliver(&stream, from, stream.records.len());
        prop_assert_eq!(memory.rows(), once);
    }

    #[test]
    fn a_state_survives_being_written_and_read(events in events(40), mut cuts in prop::collection::vec(any::<usize>(), 0..12)) {
        let stream = stream(&events, START_MS);
        cuts.iter_mut().for_each(|cut| *cut %= stream.records.len() + 1);
        cuts.sort_unstable();
        prop_assert_eq!(rows(&stream, &cuts, true), rows(&stream, &[], false));
    }

    #[test]
    fn duplicates_change_nothing(events in events(40)) {
        let once: Vec<Event> = events.iter().filter(|event| !matches!(event, Event::Again)).cloned().collect();
        let stream = stream(&once, START_MS);
        let mut twice = Stream::default();
        for record in &stream.records {
            twice.records.extend([record.clone(), record.clone()]);
        }
        let told = |rows: Rows| {
            let mut told: Vec<_> = rows.outbox.into_values().map(|notification| {
                let Alert { rule, device, since, at, value, .. } = notification.alert;
                (rule, device, since, at, format!("{value:?}"), notification.kind as u8, notification.suppressed)
            }).collect();
            told.sort();
            told
        };
        prop_assert_eq!(told(rows(&twice, &[], false)), told(rows(&stream, &[], false)));
    }

    #[test]
    fn another_time_of_day_changes_nothing_but_the_times(events in events(40), shift in -40_000_000_000..40_000_000_000_i64) {
        // Names of episodes that time alone started contain the moment, and a rule's hours depend on the time of day.
        let told = |stream: &Stream, shift: i64| {
            let rows = rows(stream, &[], false).outbox.into_values();
            let mut told: Vec<_> = rows
                .filter(|row| row.alert.rule.as_str() != "valve-by-night")
                .map(|Notification { kind, alert, suppressed, created_at, .. }| {
                    let Alert { rule, device, since, at, value, sequence, .. } = alert;
                    let times = [created_at.0 - shift, since.0 - shift, at.0 - shift];
                    (sequence, rule, device, kind as u8, suppressed, times, format!("{value:?}"))
                })
                .collect();
            told.sort();
            told
        };
        let here = told(&stream(&events, START_MS), 0);
        let there = told(&stream(&events, START_MS + shift), shift);
        prop_assert_eq!(there, here);
    }
}

#[test]
fn case_25_one_log_in_a_thousand_random_batch_splits_gives_identical_outputs() {
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = move || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random
    };
    let events: Vec<Event> = (0..60)
        .map(|_| {
            let device = (next() % 3) as u8;
            match next() % 16 {
                10..12 => Event::Valve { device, position: (next() % 100) as f64 },
                12..14 => Event::Sign { device, kind: (next() % 8) as u8, version: next() % 9 },
                14 => Event::Tick { ahead_ms: (next() % 90_000) as i64 },
                0..4 => Event::Logger {
                    device,
                    pressure: 50.0 + (next() % 60) as f64,
                    temperature: 40.0 + (next() % 20) as f64,
                    delay_ms: if next().is_multiple_of(10) { (next() % 2_000_000) as i64 } else { 0 },
                },
                4..7 => Event::Pump {
                    device,
                    vibration: (next() % 20) as f64,
                    state: (next() % 4) as u8,
                    battery: 10.0 + (next() % 20) as f64,
                },
                7 => Event::Batch { device, flows: vec![((next() % 60_000) as i64, (next() % 900) as f64), (0, 5.0)] },
                8 => Event::Bad { device, kind: (next() % 4) as u8 },
                _ => Event::Move { device, zone: next().is_multiple_of(2), revision: 2 + next() % 5 },
            }
        })
        .collect();
    let stream = stream(&events, START_MS);
    let whole = rows(&stream, &[], false);
    assert!(whole.outbox.len() > 10 && !whole.quarantine.is_empty(), "the stream is worth the test");
    for _ in 0..1_000 {
        let mut cuts: Vec<usize> = (0..next() % 8).map(|_| next() as usize % (stream.records.len() + 1)).collect();
        cuts.sort_unstable();
        assert_eq!(rows(&stream, &cuts, false), whole, "cut at {cuts:?}");
    }
}
