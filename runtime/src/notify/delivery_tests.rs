//! Deliveries over ports in memory: a receiver that fails according to a script, and a table with the real rules.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Mutex,
};

use serde_json::json;

use super::*;

/// The table of deliveries: status, lease, attempts and the earliest next attempt of each target.
#[derive(Default)]
struct Table {
    rows: Mutex<BTreeMap<String, Row>>,
    disabled: Mutex<BTreeSet<String>>,
    /// How long a look-up of disabled receivers takes.
    slow_ms: i64,
}

// Each test runs in a process or thread of its own, and the clock is only read on this thread.
thread_local!(static CLOCK: std::cell::Cell<i64> = const { std::cell::Cell::new(0) });

#[derive(Clone, Debug)]
struct Row {
    ending: Option<Ending>,
    lease_until: Timestamp,
    attempts: u32,
}

fn name(target: &Target) -> String {
    format!("{}#{}", target.contact, target.channel.as_str())
}

impl Deliveries for Table {
    async fn claim(
        &self,
        notification: &str,
        target: &Target,
        now: Timestamp,
        lease_until: Timestamp,
    ) -> Result<Claim, PortError> {
        let mut rows = self.rows.lock().unwrap();
        let fresh = Row { ending: None, lease_until: Timestamp(i64::MIN), attempts: 0 };
        let row = rows.entry(format!("{notification} {}", name(target))).or_insert(fresh);
        let held = match row.ending {
            Some(Ending::Sent) => Some(Claim::Settled { sent: true }),
            Some(Ending::GivenUp) => Some(Claim::Settled { sent: false }),
            Some(Ending::Failed { not_before }) if not_before > now => Some(Claim::Held { until: not_before }),
            None if row.lease_until >= now => Some(Claim::Held { until: row.lease_until }),
            Some(Ending::Failed { .. }) | None => None,
        };
        Ok(held.unwrap_or_else(|| {
            *row = Row { ending: None, lease_until, attempts: row.attempts + 1 };
            Claim::Granted { attempt: row.attempts }
        }))
    }

    async fn settle(&self, notification: &str, target: &Target, attempt: u32, ending: Ending) -> Result<(), PortError> {
        let mut rows = self.rows.lock().unwrap();
        let row = rows.get_mut(&format!("{notification} {}", name(target))).expect("a claimed delivery");
        if ending == Ending::Sent || (row.ending.is_none() && row.attempts == attempt) {
            row.ending = Some(ending);
        }
        Ok(())
    }

    async fn is_begun(&self, notification: &str, target: &Target) -> Result<bool, PortError> {
        Ok(self.rows.lock().unwrap().contains_key(&format!("{notification} {}", name(target))))
    }

    async fn is_disabled(&self, _: &Target, address: &str) -> Result<bool, PortError> {
        CLOCK.set(CLOCK.get() + self.slow_ms);
        Ok(self.disabled.lock().unwrap().contains(address))
    }

    async fn disable(&self, _: &Target, address: &str) -> Result<(), PortError> {
        self.disabled.lock().unwrap().insert(address.to_owned());
        Ok(())
    }
}

/// A gateway that answers as scripted, and records which target received what.
#[derive(Default)]
struct Receivers {
    answers: Mutex<BTreeMap<String, Vec<Result<(), NotDelivered>>>>,
    received: Mutex<Vec<String>>,
    tried: Mutex<Vec<String>>,
}

impl Receivers {
    fn answer(&self, target: &str, answers: Vec<Result<(), NotDelivered>>) {
        self.answers.lock().unwrap().insert(target.to_owned(), answers);
    }

    fn take_tried(&self) -> Vec<String> {
        let mut tried = std::mem::take(&mut *self.tried.lock().unwrap());
        tried.sort();
        tried
    }
}

impl Gateway for Receivers {
    async fn send(&self, parcel: Parcel<'_>) -> Result<(), NotDelivered> {
        let target = name(parcel.target);
        self.tried.lock().unwrap().push(target.clone());
        let answer = match self.answers.lock().unwrap().get_mut(&target) {
            Some(answers) if !answers.is_empty() => answers.remove(0),
            _ => Ok(()),
        };
        if answer.is_ok() {
            self.received.lock().unwrap().push(target);
        }
        answer
    }
}

fn rules() -> RuleSet {
    serde_json::from_value(json!({
        "format_version": 1, "platform": "p", "environment": "dev",
        "message": {
            "device_id": "deviceId", "timestamp": "timestamp", "timestamp_format": "rfc3339", "readings": "readings",
            "health": {}, "max_future_skew_ms": 0, "max_past_ms": 0, "unknown_reading": "store"
        },
        "max_alert_delay_ms": 900_000,
        "zones": { "z": { "title": "Z", "timezone": "UTC", "contacts": ["crew"] } },
        "device_types": {}, "severities": {},
        "contacts": {
            "crew": { "sms": true, "email": true },
            "scada": { "sms": false, "email": false, "webhook": { "url": "https://scada.example/hook" } }
        },
        "routes": [{
            "match": {}, "to": ["zone", { "contact": "scada" }], "channels": ["sms", "email", "webhook"],
            "continue": false
        }],
        "rules": {}
    }))
    .expect("a rule set")
}

fn notice(id: &str) -> Notification {
    serde_json::from_value(json!({
        "id": id, "kind": "firing", "suppressed": 0, "created_at": 0,
        "alert": {
            "episode": "e", "rule": "r", "device": "d", "device_type": "t", "zone": "z", "severity": "high",
            "metric": "pressure", "state": { "is": "firing" }, "since": 0, "at": 0, "ingested_at": 0, "value": 65.0,
            "limit": "> 60", "duration_ms": 0, "shard": "s", "sequence": "1", "sample": 0, "rule_set": "x"
        }
    }))
    .expect("a notice")
}

/// One invocation at the time `at`, with half a minute left.
fn deliver(table: &Table, receivers: &Receivers, at: i64, id: &str) -> Delivered {
    deliver_until(table, receivers, at, at + 30_000, id)
}

fn deliver_until(table: &Table, receivers: &Receivers, at: i64, end: i64, id: &str) -> Delivered {
    CLOCK.set(at);
    let courier = Courier {
        deliveries: table,
        gateway: receivers,
        deadline: Deadline::at(Timestamp(end)),
        clock: || Timestamp(CLOCK.get()),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(courier.deliver(&rules(), &notice(id)))
}

fn later() -> Result<(), NotDelivered> {
    Err(NotDelivered::later("down"))
}

#[test]
fn a_failure_of_one_channel_hides_none_of_the_others_and_only_it_is_tried_again() {
    let (table, receivers) = (Table::default(), Receivers::default());
    receivers.answer("scada#webhook", vec![later()]);
    let delivered = deliver(&table, &receivers, 0, "n");
    assert_eq!((delivered.sent, delivered.open), (2, 1));
    assert_eq!(delivered.failed, BTreeMap::from([("webhook", 1)]));
    assert_eq!(receivers.take_tried(), ["crew#email", "crew#sms", "scada#webhook"]);

    let too_early = deliver(&table, &receivers, 4_999, "n");
    assert_eq!((too_early.sent, too_early.open), (2, 1));
    assert!(receivers.take_tried().is_empty());

    assert!(deliver(&table, &receivers, 5_000, "n").is_settled());
    assert_eq!(receivers.take_tried(), ["scada#webhook"]);
    assert!(deliver(&table, &receivers, 9_000, "n").is_settled());
    assert!(receivers.take_tried().is_empty());
}

#[test]
fn case_38_a_receiver_that_asks_for_two_minutes_gets_them() {
    let (table, receivers) = (Table::default(), Receivers::default());
    let busy = NotDelivered::Later { reason: "429".to_owned(), after: Some(Millis(120_000)) };
    receivers.answer("scada#webhook", vec![Err(busy)]);
    deliver(&table, &receivers, 1_000, "n");
    receivers.take_tried();
    assert_eq!(deliver(&table, &receivers, 120_999, "n").open, 1);
    assert!(receivers.take_tried().is_empty());
    assert!(deliver(&table, &receivers, 121_000, "n").is_settled());
    assert_eq!(receivers.take_tried(), ["scada#webhook"]);
}

#[test]
fn a_webhook_that_is_gone_is_left_alone_for_every_notice() {
    let (table, receivers) = (Table::default(), Receivers::default());
    receivers.answer("scada#webhook", vec![Err(NotDelivered::Gone { reason: "410".to_owned() })]);
    let first = deliver(&table, &receivers, 0, "n1");
    assert!((first.is_settled(), first.given_up) == (true, 1));
    receivers.take_tried();
    let second = deliver(&table, &receivers, 0, "n2");
    assert_eq!((second.sent, second.given_up, second.open), (2, 1, 0));
    assert_eq!(receivers.take_tried(), ["crew#email", "crew#sms"]);
}

#[test]
fn a_target_is_given_up_after_its_last_attempt() {
    let (table, receivers) = (Table::default(), Receivers::default());
    receivers.answer("scada#webhook", std::iter::repeat_with(later).take(50).collect());
    let mut at = 0;
    for attempt in 1..=retry::ATTEMPTS_MAX {
        let delivered = deliver(&table, &receivers, at, "n");
        assert_eq!(delivered.is_settled(), attempt == retry::ATTEMPTS_MAX, "attempt {attempt}");
        at += 300_000;
    }
    receivers.take_tried();
    let after = deliver(&table, &receivers, at, "n");
    assert_eq!((after.given_up, after.open, after.failed.len()), (1, 0, 0));
    assert!(receivers.take_tried().is_empty());
}

#[test]
fn a_claim_of_a_sender_that_died_passes_on_when_its_lease_ends() {
    let (table, receivers) = (Table::default(), Receivers::default());
    let target = Target { contact: "scada".parse().expect("an id"), channel: Channel::Webhook };
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(table.claim("n", &target, Timestamp(0), Timestamp(32_000))).expect("a claim");
    assert_eq!(deliver(&table, &receivers, 32_000, "n").open, 1);
    assert!(deliver(&table, &receivers, 32_001, "n").is_settled());
}

#[test]
fn nothing_is_begun_without_time_to_finish_it() {
    let (table, receivers) = (Table::default(), Receivers::default());
    let delivered = deliver_until(&table, &receivers, 0, 3_000, "n");
    assert_eq!((delivered.sent, delivered.open), (0, 3));
    assert!(receivers.take_tried().is_empty());
}

#[test]
fn nothing_is_sent_when_the_questions_before_it_have_taken_the_time() {
    let (table, receivers) = (Table { slow_ms: 29_000, ..Table::default() }, Receivers::default());
    let delivered = deliver(&table, &receivers, 0, "n");
    assert_eq!((delivered.sent, delivered.open), (2, 1));
    assert_eq!(receivers.take_tried(), ["crew#email", "crew#sms"]);
}

proptest::proptest! {
    /// Whatever fails, in whatever order: every target receives the notice exactly once, and no invocation tries a
    /// target that already has it.
    #[test]
    fn a_retry_sends_only_what_failed(failures in proptest::collection::vec(0usize..5, 3)) {
        let (table, receivers) = (Table::default(), Receivers::default());
        for (target, failures) in ["crew#email", "crew#sms", "scada#webhook"].iter().zip(&failures) {
            receivers.answer(target, std::iter::repeat_with(later).take(*failures).collect());
        }
        let mut at = 0;
        loop {
            let before: BTreeSet<String> = receivers.received.lock().unwrap().iter().cloned().collect();
            let delivered = deliver(&table, &receivers, at, "n");
            for tried in receivers.take_tried() {
                proptest::prop_assert!(!before.contains(&tried), "{tried} was tried again");
            }
            if delivered.is_settled() {
                break;
            }
            at += 300_000;
        }
        let mut received = receivers.received.lock().unwrap().clone();
        received.sort();
        proptest::prop_assert_eq!(received, ["crew#email", "crew#sms", "scada#webhook"]);
    }
}
