//! The handler over ports in memory: events of the outbox's stream as input, deliveries and answers as output.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Mutex,
};

use fleetform_engine::{
    effect::NoticeKind,
    ids::{RuleId, ZoneId},
    routing::Target,
    rule_set::{Channel, RuleSet},
};
use serde_json::{Value, json};

use super::*;
use crate::notify::{
    delivery::{Claim, Ending},
    gateway::{NotDelivered, Parcel},
};

#[derive(Default)]
struct Tables {
    deliveries: Mutex<BTreeMap<(String, Channel), Ending>>,
    closed: Mutex<Vec<(String, bool)>>,
    requeued: Mutex<Vec<(String, u64)>>,
    refuses_requeue_of: BTreeSet<&'static str>,
    firing: Mutex<BTreeSet<String>>,
    held: Mutex<BTreeMap<String, String>>,
    no_word: bool,
}

impl Deliveries for Tables {
    async fn claim(
        &self,
        notification: &str,
        target: &Target,
        now: Timestamp,
        _: Timestamp,
    ) -> Result<Claim, PortError> {
        Ok(match self.deliveries.lock().unwrap().get(&(notification.to_owned(), target.channel)) {
            Some(Ending::Sent) => Claim::Settled { sent: true },
            Some(Ending::GivenUp) => Claim::Settled { sent: false },
            Some(Ending::Failed { not_before }) if *not_before > now => Claim::Held { until: *not_before },
            _ => Claim::Granted { attempt: 1 },
        })
    }

    async fn is_begun(&self, notification: &str, target: &Target) -> Result<bool, PortError> {
        Ok(self.deliveries.lock().unwrap().contains_key(&(notification.to_owned(), target.channel)))
    }

    async fn settle(&self, notification: &str, target: &Target, _: u32, ending: Ending) -> Result<(), PortError> {
        self.deliveries.lock().unwrap().insert((notification.to_owned(), target.channel), ending);
        Ok(())
    }

    async fn is_disabled(&self, _: &Target, _: &str) -> Result<bool, PortError> {
        Ok(false)
    }

    async fn disable(&self, _: &Target, _: &str) -> Result<(), PortError> {
        Ok(())
    }
}

impl Outbox for Tables {
    async fn close(&self, notification: &str, all_sent: bool) -> Result<(), PortError> {
        self.closed.lock().unwrap().push((notification.to_owned(), all_sent));
        Ok(())
    }

    async fn requeue(&self, notification: &str, requeued: u64, _: Timestamp) -> Result<(), PortError> {
        if self.refuses_requeue_of.contains(notification) {
            return Err(PortError("throttled".to_owned()));
        }
        self.requeued.lock().unwrap().push((notification.to_owned(), requeued));
        Ok(())
    }
}

impl Fleets for Tables {
    async fn is_firing(&self, rule: &RuleId, zone: &ZoneId) -> Result<bool, PortError> {
        if self.no_word {
            return Err(PortError("throttled".to_owned()));
        }
        Ok(self.firing.lock().unwrap().contains(&format!("{zone}/{rule}")))
    }

    async fn hold(&self, notification: &str, held_for: &str) -> Result<(), PortError> {
        self.held.lock().unwrap().insert(notification.to_owned(), held_for.to_owned());
        Ok(())
    }

    async fn was_held(&self, notification: &str) -> Result<bool, PortError> {
        Ok(self.held.lock().unwrap().contains_key(notification))
    }

    async fn speak(&self, notification: &str) -> Result<(), PortError> {
        self.held.lock().unwrap().remove(notification);
        Ok(())
    }
}

/// A gateway whose webhook is down for some notices, and which records its parcels.
#[derive(Default)]
struct Receivers {
    down_for: BTreeSet<&'static str>,
    sent: Mutex<Vec<String>>,
}

impl Gateway for Receivers {
    async fn send(&self, parcel: Parcel<'_>) -> Result<(), NotDelivered> {
        let id = parcel.notification.id.as_str();
        if parcel.target.channel == Channel::Webhook && self.down_for.contains(id) {
            return Err(NotDelivered::later("down"));
        }
        self.sent.lock().unwrap().push(format!("{id} {}", parcel.target.channel.as_str()));
        Ok(())
    }
}

struct OneSet(Vec<u8>);

impl drive::RuleSets for OneSet {
    async fn load(&self, sha256: &str) -> Result<Option<Vec<u8>>, PortError> {
        Ok((sha256 == "set").then(|| self.0.clone()))
    }
}

const NOW: Timestamp = Timestamp(1_000_000_000_000);

fn handler(down_for: &[&'static str], refuses_requeue_of: &[&'static str]) -> Notify<Tables, Receivers, OneSet> {
    let rules: RuleSet = serde_json::from_value(json!({
        "format_version": 1, "platform": "p", "environment": "dev",
        "message": {
            "device_id": "deviceId", "timestamp": "timestamp", "timestamp_format": "rfc3339", "readings": "readings",
            "health": {}, "max_future_skew_ms": 0, "max_past_ms": 0, "unknown_reading": "store"
        },
        "max_alert_delay_ms": 900_000,
        "zones": { "z": { "title": "Z", "timezone": "UTC", "contacts": ["crew"] } },
        "device_types": {}, "severities": {},
        "contacts": { "crew": { "sms": false, "email": true, "webhook": { "url": "https://hook.example/" } } },
        "routes": [{ "match": {}, "to": ["zone"], "channels": ["email", "webhook"], "continue": false }],
        "rules": {}
    }))
    .expect("a rule set");
    with(&rules, down_for, refuses_requeue_of)
}

fn with(
    rules: &RuleSet,
    down_for: &[&'static str],
    refuses_requeue_of: &[&'static str],
) -> Notify<Tables, Receivers, OneSet> {
    Notify {
        deliveries: Tables { refuses_requeue_of: refuses_requeue_of.iter().copied().collect(), ..Tables::default() },
        gateway: Receivers { down_for: down_for.iter().copied().collect(), sent: Mutex::default() },
        rule_sets: OneSet(rules.to_bytes()),
        clock: || NOW,
    }
}

fn notice(id: &str, episode: &str, rule_set: &str) -> Value {
    json!({
        "id": id, "kind": "firing", "suppressed": 0, "created_at": NOW.0 - 1_000,
        "alert": {
            "episode": episode, "rule": "r", "device": "d", "device_type": "t", "zone": "z", "severity": "high",
            "metric": "pressure", "state": { "is": "firing" }, "since": 0, "at": 0, "ingested_at": 0, "value": 65.0,
            "limit": "> 60", "duration_ms": 0, "shard": "s", "sequence": "1", "sample": 0, "rule_set": rule_set
        }
    })
}

fn image(sequence: u32, id: &str, notification: &Value, status: &str, requeued: Option<u32>) -> Value {
    let mut row = json!({
        "id": { "S": id }, "notification": { "S": notification.to_string() }, "status": { "S": status },
        "created_at": { "N": "0" }, "expires_at": { "N": "0" }
    });
    if let Some(requeued) = requeued {
        row["requeued"] = json!({ "N": requeued.to_string() });
    }
    json!({ "eventName": "INSERT", "dynamodb": { "SequenceNumber": sequence.to_string(), "NewImage": row } })
}

fn new(sequence: u32, id: &str) -> Value {
    image(sequence, id, &notice(id, id, "set"), "new", None)
}

fn handle(handler: &Notify<Tables, Receivers, OneSet>, records: &[Value]) -> BatchResponse {
    let body = Bytes::from(json!({ "Records": records }).to_string());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let deadline = Deadline::at(NOW.after(Millis(60_000)));
    runtime.block_on(handler.handle(body, deadline, &mut Metrics::default())).expect("an answer")
}

#[test]
fn notices_go_out_and_are_closed() {
    let handler = handler(&[], &[]);
    assert_eq!(handle(&handler, &[new(1, "a"), new(2, "b")]), BatchResponse::default());
    let mut sent = handler.gateway.sent.lock().unwrap().clone();
    sent.sort();
    assert_eq!(sent, ["a email", "a webhook", "b email", "b webhook"]);
    assert_eq!(handler.deliveries.closed.lock().unwrap().len(), 2);
}

#[test]
fn a_notice_whose_webhook_is_down_goes_round_and_holds_up_nobody() {
    let handler = handler(&["a"], &[]);
    assert_eq!(handle(&handler, &[new(1, "a"), new(2, "b")]), BatchResponse::default());
    assert_eq!(*handler.deliveries.requeued.lock().unwrap(), [("a".to_owned(), 0)]);
    assert_eq!(*handler.deliveries.closed.lock().unwrap(), [("b".to_owned(), true)]);

    // It comes back as an image of its own, and what was sent is not sent again.
    let again = image(3, "a", &notice("a", "a", "set"), "new", Some(1));
    handle(&handler, &[again]);
    assert_eq!(handler.deliveries.requeued.lock().unwrap().last(), Some(&("a".to_owned(), 1)));
    assert_eq!(handler.gateway.sent.lock().unwrap().iter().filter(|sent| *sent == "a email").count(), 1);
}

#[test]
fn what_cannot_go_round_is_delivered_again_from_the_first() {
    let handler = handler(&["a", "b", "c"], &["b", "c"]);
    let answer = handle(&handler, &[new(1, "a"), new(2, "b"), new(3, "c"), new(4, "d")]);
    assert_eq!(answer, BatchResponse::again_from("2"));
}

#[test]
fn images_that_ask_for_nothing_are_passed_over() {
    let handler = handler(&[], &[]);
    let removed = json!({ "eventName": "REMOVE", "dynamodb": { "SequenceNumber": "1", "Keys": {} } });
    let sent = image(2, "a", &notice("a", "a", "set"), "sent", None);
    assert_eq!(handle(&handler, &[removed, new(1, "a"), sent]), BatchResponse::default());
    assert!(handler.gateway.sent.lock().unwrap().is_empty());
    assert_eq!(handle(&handler, &[]), BatchResponse::default());
}

#[test]
fn a_row_that_cannot_be_read_or_is_too_old_does_not_go_round() {
    let handler = handler(&[], &[]);
    let mut old = notice("old", "o", "set");
    old["created_at"] = json!(0);
    let records =
        [image(1, "bad", &json!({ "id": "bad" }), "new", None), image(2, "old", &old, "new", None), new(3, "good")];
    assert_eq!(handle(&handler, &records), BatchResponse::default());
    let mut closed = handler.deliveries.closed.lock().unwrap().clone();
    closed.sort();
    assert_eq!(closed, [("good".to_owned(), true), ("old".to_owned(), false)]);
    assert!(handler.deliveries.requeued.lock().unwrap().is_empty());
}

#[test]
fn a_notice_goes_round_for_a_day_from_when_its_row_was_put() {
    let handler = handler(&[], &[]);
    // Its record waited for two days to be evaluated.
    let mut waited = notice("waited", "w", "set");
    waited["created_at"] = json!(NOW.0 - 2 * 86_400_000);
    let put = |age: i64| {
        let mut image = image(1, "waited", &waited, "new", None);
        image["dynamodb"]["NewImage"]["put_at"] = json!({ "N": (NOW.0 - age).to_string() });
        image
    };
    handle(&handler, &[put(86_400_001)]);
    assert_eq!(sent(&handler), 0);
    handle(&handler, &[put(86_400_000)]);
    assert_eq!(sent(&handler), 2);
}

#[test]
fn a_rule_set_that_cannot_be_had_holds_up_its_own_notices_only() {
    let handler = handler(&[], &[]);
    let lost = image(1, "lost", &notice("lost", "l", "other"), "new", None);
    assert_eq!(handle(&handler, &[lost, new(2, "good")]), BatchResponse::default());
    assert_eq!(*handler.deliveries.requeued.lock().unwrap(), [("lost".to_owned(), 0)]);
    assert_eq!(*handler.deliveries.closed.lock().unwrap(), [("good".to_owned(), true)]);
}

#[test]
fn an_event_of_another_kind_fails_as_a_whole() {
    let handler = handler(&[], &[]);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let body = Bytes::from_static(b"{ \"detail\": \"payload\" }");
    let failure =
        runtime.block_on(handler.handle(body, Deadline::at(NOW), &mut Metrics::default())).expect_err("a failure");
    assert_eq!(failure.kind, "bad_event");
    assert!(!failure.message.contains("payload"));
}

/// The handler with a rule set whose fleet rule `many` counts devices of type `t` on which `r` fires.
fn with_fleet() -> Notify<Tables, Receivers, OneSet> {
    let mut set: Value = serde_json::from_slice(&handler(&[], &[]).rule_sets.0).unwrap();
    set["device_types"]["t"] = json!({
        "report_every_ms": 1_000, "send_every_ms": 1_000, "offline_after_ms": 9_000, "attributes": {},
        "readings": { "pressure": { "key": "pressure", "value": { "type": "float" }, "required": true, "unit": "" } },
    });
    set["severities"]["high"] = json!({ "rank": 1, "cooldown_ms": 0 });
    let rule = |condition: Value| {
        json!({
            "condition": condition, "severity": "high", "device_types": ["t"], "keep_firing_for_ms": 0,
            "hold": { "by": "duration", "duration_ms": 0, "on_gap": "reset" }, "min_samples": 0, "enabled": true,
            "shadow": false
        })
    };
    set["rules"]["r"] = rule(json!({ "type": "threshold", "operator": ">", "threshold": 60.0 }));
    set["rules"]["r"]["metric"] = json!("pressure");
    let threshold = json!({ "devices": 5.0 });
    set["rules"]["many"] =
        rule(json!({ "type": "fleet", "of": { "rule": "r" }, "operator": ">", "threshold": threshold }));
    with(&serde_json::from_value(set).expect("a rule set"), &[], &[])
}

/// A notice of the episode `e`, as it is in the outbox.
fn of_kind(sequence: u32, kind: NoticeKind, n: u32) -> Value {
    let id = Notification::id_of("e", kind, n);
    let mut notification = notice(&id, "e", "set");
    notification["kind"] = serde_json::to_value(kind).unwrap();
    image(sequence, &id, &notification, "new", None)
}

fn sent(handler: &Notify<Tables, Receivers, OneSet>) -> usize {
    std::mem::take(&mut *handler.gateway.sent.lock().unwrap()).len()
}

#[test]
fn while_a_fleet_fires_its_devices_own_notices_are_held_with_its_name() {
    let handler = with_fleet();
    handler.deliveries.firing.lock().unwrap().insert("z/many".to_owned());
    let answer = handle(&handler, &[of_kind(1, NoticeKind::Firing, 0)]);
    assert_eq!((answer, sent(&handler)), (BatchResponse::default(), 0));
    let firing = Notification::id_of("e", NoticeKind::Firing, 0);
    assert_eq!(handler.deliveries.held.lock().unwrap()[firing.as_str()], "zone/z/many");
    assert!(handler.deliveries.closed.lock().unwrap().is_empty());
    // A recipient that was not notified of the beginning is not notified of the end, whatever the fleet alert does by
    // then.
    handler.deliveries.firing.lock().unwrap().clear();
    handle(&handler, &[of_kind(2, NoticeKind::Resolved, 0)]);
    assert_eq!(sent(&handler), 0);
}

#[test]
fn a_notice_that_somebody_may_have_is_not_held() {
    let handler = with_fleet();
    handler.deliveries.firing.lock().unwrap().insert("z/many".to_owned());
    let firing = Notification::id_of("e", NoticeKind::Firing, 0).to_string();
    // The webhook was down, and the run ended before the row went round.
    let tried = [(Channel::Email, Ending::Sent), (Channel::Webhook, Ending::Failed { not_before: NOW })];
    let tried = tried.map(|(channel, ending)| ((firing.clone(), channel), ending));
    handler.deliveries.deliveries.lock().unwrap().extend(tried);
    handle(&handler, &[of_kind(1, NoticeKind::Firing, 0)]);
    assert_eq!(*handler.gateway.sent.lock().unwrap(), [format!("{firing} webhook")]);
    assert!(handler.deliveries.held.lock().unwrap().is_empty());
}

#[test]
fn what_began_before_the_fleet_is_ended_and_what_outlives_it_is_told_again() {
    let handler = with_fleet();
    handle(&handler, &[of_kind(1, NoticeKind::Firing, 0)]);
    assert_eq!(sent(&handler), 2);
    handler.deliveries.firing.lock().unwrap().insert("z/many".to_owned());
    handle(&handler, &[of_kind(2, NoticeKind::Repeat, 1)]);
    assert_eq!(sent(&handler), 0);
    handle(&handler, &[of_kind(3, NoticeKind::Resolved, 0)]);
    assert_eq!(sent(&handler), 2);

    let handler = with_fleet();
    handler.deliveries.firing.lock().unwrap().insert("z/many".to_owned());
    handle(&handler, &[of_kind(1, NoticeKind::Firing, 0)]);
    handler.deliveries.firing.lock().unwrap().clear();
    handle(&handler, &[of_kind(2, NoticeKind::Repeat, 1)]);
    assert_eq!(sent(&handler), 2);
    handle(&handler, &[of_kind(3, NoticeKind::Resolved, 0)]);
    assert_eq!(sent(&handler), 2);
}

#[test]
fn without_word_of_the_fleet_everybody_is_told() {
    let mut handler = with_fleet();
    handler.deliveries.no_word = true;
    handle(&handler, &[of_kind(1, NoticeKind::Firing, 0)]);
    assert_eq!(sent(&handler), 2);
}
