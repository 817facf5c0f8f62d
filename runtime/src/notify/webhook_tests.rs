//! Webhooks against a real HTTPS server on loopback, using the client that ships.

use std::{
    collections::VecDeque,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode as Status},
    routing::post,
};
use fleetform_engine::{routing::Target, rule_set::Channel, units::Millis};
use serde_json::json;

use super::*;
use crate::{notify::message::message, tls, tls_server};

/// The server's answers in order, and the requests that it has received.
#[derive(Default)]
struct Server {
    answers: Mutex<VecDeque<(u16, &'static str, &'static str)>>,
    received: Mutex<Vec<(HeaderMap, Bytes)>>,
}

/// Starts a server on loopback with a certificate from its own authority.
async fn serve(server: Arc<Server>) -> (SocketAddr, reqwest::Certificate) {
    let (address, authority) = tls_server::serve(Router::new().route("/hook", post(receive)).with_state(server)).await;
    (address, reqwest::Certificate::from_pem(authority.as_bytes()).expect("a certificate"))
}

async fn receive(State(server): State<Arc<Server>>, headers: HeaderMap, body: Bytes) -> (Status, HeaderMap, String) {
    server.received.lock().unwrap().push((headers, body));
    let (status, name, value) = server.answers.lock().unwrap().pop_front().unwrap_or((200, "x-none", "-"));
    let headers = HeaderMap::from_iter([(name.parse().expect("a name"), HeaderValue::from_static(value))]);
    // A long answer, of which only the beginning is read.
    (Status::from_u16(status).expect("a status"), headers, "x".repeat(200_000))
}

struct Vault(&'static str);

impl Secrets for Vault {
    async fn fetch(&self, reference: &str) -> Result<String, PortError> {
        match reference {
            "ssm:hook" => Ok(self.0.to_owned()),
            "ssm:slow" => {
                tokio::time::sleep(Duration::from_secs(60)).await;
                Ok(self.0.to_owned())
            }
            _ => Err(PortError(format!("`{reference}` is not there"))),
        }
    }
}

const LOOPBACK: AddressPolicy = AddressPolicy::new(|address: IpAddr| (!address.is_loopback()).then_some("elsewhere"));

fn sender(authority: Option<reqwest::Certificate>, policy: AddressPolicy) -> WebhookSender<Vault> {
    let builder = tls::client();
    let builder = match authority {
        Some(authority) => builder.tls_certs_only([authority]),
        None => builder,
    };
    WebhookSender::new(builder, policy, Vault("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")).expect("a client")
}

fn rules(url: &str, secret: Option<&str>) -> RuleSet {
    let mut webhook = json!({ "url": url });
    if let Some(secret) = secret {
        webhook["secret"] = json!(secret);
    }
    serde_json::from_value(json!({
        "format_version": 1, "platform": "p", "environment": "dev",
        "message": {
            "device_id": "deviceId", "timestamp": "timestamp", "timestamp_format": "rfc3339", "readings": "readings",
            "health": {}, "max_future_skew_ms": 0, "max_past_ms": 0, "unknown_reading": "store"
        },
        "max_alert_delay_ms": 900_000, "zones": {}, "device_types": {}, "severities": {},
        "contacts": { "scada": { "sms": false, "email": false, "webhook": webhook } },
        "routes": [], "rules": {}
    }))
    .expect("a rule set")
}

/// The time budget for a parcel.
const BUDGET: Millis = Millis(20_000);

async fn send(sender: &WebhookSender<Vault>, url: &str, secret: Option<&str>) -> Result<(), NotDelivered> {
    let notification: Notification = serde_json::from_value(json!({
        "id": "n1", "kind": "firing", "suppressed": 0, "created_at": 1_769_855_700_000_i64,
        "alert": {
            "episode": "e", "rule": "r", "device": "d", "device_type": "t", "zone": "z", "severity": "high",
            "metric": "pressure", "state": { "is": "firing" }, "since": 0, "at": 0, "ingested_at": 0, "value": 65.5,
            "limit": "> 60", "duration_ms": 300_000, "shard": "s", "sequence": "1", "sample": 0, "rule_set": "x"
        }
    }))
    .expect("a notice");
    let rules = rules(url, secret);
    let target = Target { contact: "scada".parse().expect("an id"), channel: Channel::Webhook };
    let message = message(&rules, &notification);
    let parcel =
        Parcel { target: &target, notification: &notification, message: &message, rules: &rules, budget: BUDGET };
    sender.send(parcel).await
}

fn reason(outcome: Result<(), NotDelivered>) -> String {
    outcome.expect_err("a failure").to_string()
}

#[tokio::test]
async fn a_notice_arrives_signed() {
    let server = Arc::<Server>::default();
    let (address, authority) = serve(Arc::clone(&server)).await;
    let sender = sender(Some(authority), LOOPBACK);
    for url in
        [format!("https://127.0.0.1:{}/hook", address.port()), format!("https://localhost:{}/hook", address.port())]
    {
        send(&sender, &url, Some("ssm:hook")).await.expect("delivered");
    }
    let received = server.received.lock().unwrap();
    let (headers, body) = &received[0];
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let keys = SigningKeys::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").expect("a secret");
    let timestamp: i64 = header("webhook-timestamp").parse().expect("seconds");
    assert_eq!(header("webhook-id"), "n1");
    assert_eq!(header("webhook-signature"), keys.sign("n1", timestamp, body));
    assert_eq!(header("content-type"), "application/json");
    let message: serde_json::Value = serde_json::from_slice(body).expect("JSON");
    assert_eq!((&message["type"], &message["data"]["value"]), (&json!("alert.firing"), &json!(65.5)));
    assert_eq!(received[1].1, *body, "equal notices have equal bytes");
}

#[tokio::test]
async fn a_short_disturbance_is_waited_for() {
    let server = Arc::<Server>::default();
    server.answers.lock().unwrap().extend([(500, "x-none", "-"), (503, "retry-after", "0")]);
    let (address, authority) = serve(Arc::clone(&server)).await;
    let url = format!("https://127.0.0.1:{}/hook", address.port());
    send(&sender(Some(authority), LOOPBACK), &url, None).await.expect("delivered");
    let received = server.received.lock().unwrap();
    assert_eq!(received.len(), 3);
    assert!(received.iter().all(|(headers, _)| headers["webhook-id"] == "n1"));
    assert!(!received[0].0.contains_key("webhook-signature"));
}

#[tokio::test]
async fn case_38_a_receiver_that_asks_for_two_minutes_is_left_alone() {
    let server = Arc::<Server>::default();
    server.answers.lock().unwrap().push_back((429, "retry-after", "120"));
    let (address, authority) = serve(Arc::clone(&server)).await;
    let url = format!("https://127.0.0.1:{}/hook", address.port());
    let outcome = send(&sender(Some(authority), LOOPBACK), &url, None).await;
    assert!(matches!(outcome, Err(NotDelivered::Later { after: Some(Millis(120_000)), .. })), "{outcome:?}");
    assert_eq!(server.received.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn gone_is_gone_and_a_redirect_is_a_failure() {
    let server = Arc::<Server>::default();
    let moved = (307, "location", "https://169.254.169.254/latest/");
    server.answers.lock().unwrap().extend([(410, "x-none", "-"), moved, moved, moved]);
    let (address, authority) = serve(Arc::clone(&server)).await;
    let url = format!("https://127.0.0.1:{}/hook", address.port());
    let sender = sender(Some(authority), LOOPBACK);
    assert!(matches!(send(&sender, &url, None).await, Err(NotDelivered::Gone { .. })));
    assert_eq!(reason(send(&sender, &url, None).await), "the webhook answered 307");
}

#[tokio::test]
async fn a_private_address_is_never_connected_to() {
    let server = Arc::<Server>::default();
    let (address, authority) = serve(Arc::clone(&server)).await;
    let sender = sender(Some(authority), AddressPolicy::PUBLIC);
    for (host, refused) in [
        ("127.0.0.1", "127.0.0.1 is a loopback address"),
        ("[::1]", "::1 is a loopback address"),
        ("[::ffff:127.0.0.1]", "is a mapped IPv4 address"),
        ("2130706433", "127.0.0.1 is a loopback address"),
        ("0x7f.1", "127.0.0.1 is a loopback address"),
        ("169.254.169.254", "169.254.169.254 is link-local"),
        ("localhost", "is a loopback address, and webhooks go to public addresses only"),
    ] {
        let reason = reason(send(&sender, &format!("https://{host}:{}/hook", address.port()), None).await);
        assert!(reason.contains(refused), "{host}: {reason}");
    }
    assert_eq!(reason(send(&sender, "http://example.com/", None).await), "the webhook's URL is not https");
    assert!(server.received.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_certificate_of_an_unknown_authority_is_refused() {
    let server = Arc::<Server>::default();
    let (address, _) = serve(Arc::clone(&server)).await;
    let (_, other) = serve(Arc::<Server>::default()).await;
    let url = format!("https://127.0.0.1:{}/hook", address.port());
    let reason = reason(send(&sender(Some(other), LOOPBACK), &url, None).await);
    assert!(reason.contains("could not be reached"), "{reason}");
    assert!(server.received.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_missing_secret_fails_with_its_name_and_sends_nothing() {
    let server = Arc::<Server>::default();
    let (address, authority) = serve(Arc::clone(&server)).await;
    let url = format!("https://127.0.0.1:{}/hook", address.port());
    let outcome = send(&sender(Some(authority), LOOPBACK), &url, Some("ssm:other")).await;
    assert_eq!(outcome, Err(NotDelivered::later("`ssm:other` is not there")));
    assert!(server.received.lock().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_takes_long_is_not_waited_for_beyond_the_time_for_the_parcel() {
    let begun = Instant::now();
    let outcome = send(&sender(None, LOOPBACK), "https://127.0.0.1:9/hook", Some("ssm:slow")).await;
    assert_eq!(outcome, Err(NotDelivered::later("`ssm:slow` was not read in time")));
    assert_eq!(begun.elapsed(), Duration::from_millis(BUDGET.0));
}
