//! Webhooks: a signed JSON message over HTTPS, as Standard Webhooks describes it (`docs/webhooks.md`).
//!
//! Never follows redirects, uses a proxy, or connects to an address that its policy refuses.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use fleetform_engine::{
    drive::PortError,
    effect::{AlertState, Evidence, NoticeKind, Notification, Observed, ResolveReason},
    rule_set::RuleSet,
    units::Timestamp,
};
use reqwest::{Client, ClientBuilder, Response, StatusCode, Url, header, redirect};
use serde::Serialize;
use smol_str::SmolStr;
use tokio::time::{Instant, timeout_at};

use crate::{
    notify::{
        address::{AddressPolicy, resolver},
        gateway::{NotDelivered, Parcel},
        retry::{self, TRIES_MAX, TRY_WAIT_MAX},
        signature::SigningKeys,
    },
    telemetry,
};

/// The timeout for opening a connection, TLS included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// The timeout for one request, from resolving the name to the end of the answer.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// Maximum bytes of an answer that are read. The content has no effect; reading it allows the connection to be reused.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// How long a secret is cached. A changed secret is in use after this time at the latest.
const SECRET_KEPT: Duration = Duration::from_secs(5 * 60);

/// The storage of secrets, by reference (`secretsmanager:NAME` or `ssm:NAME`).
pub trait Secrets: Sync {
    /// Fetches the secret's text. An error names the reference, never the text.
    fn fetch(&self, reference: &str) -> impl Future<Output = Result<String, PortError>> + Send;
}

/// The sender of webhooks.
#[derive(Debug)]
pub struct WebhookSender<S> {
    client: Client,
    policy: AddressPolicy,
    secrets: S,
    keys: Mutex<HashMap<SmolStr, (Instant, SigningKeys)>>,
}

impl<S: Secrets> WebhookSender<S> {
    /// Builds the client. `builder` provides the trust anchors; everything that protects the surrounding network is set
    /// here.
    pub fn new(builder: ClientBuilder, policy: AddressPolicy, secrets: S) -> Result<Self, reqwest::Error> {
        let client = builder
            .https_only(true)
            .redirect(redirect::Policy::none())
            .no_proxy()
            .referer(false)
            .dns_resolver(resolver(policy))
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_idle_timeout(Duration::from_secs(30))
            .user_agent(concat!("fleetform/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self { client, policy, secrets, keys: Mutex::default() })
    }

    /// Sends a parcel, and retries after a short wait while the budget lasts.
    pub async fn send(&self, parcel: Parcel<'_>) -> Result<(), NotDelivered> {
        let until = Instant::now() + Duration::from_millis(parcel.budget.0);
        let contact = &parcel.target.contact;
        let webhook = parcel.rules.contacts.get(contact).and_then(|contact| contact.webhook.as_ref());
        let Some(webhook) = webhook else {
            return Err(NotDelivered::Never { reason: format!("contact `{contact}` has no webhook") });
        };
        let url = self.admit(&webhook.url)?;
        let keys = match &webhook.secret {
            Some(reference) => {
                let keys = timeout_at(until, self.keys(reference)).await;
                Some(keys.map_err(|_| NotDelivered::later(format!("`{reference}` was not read in time")))??)
            }
            None => None,
        };
        let body = body(parcel.rules, parcel.notification, &parcel.message.summary);
        let mut tries = 0;
        loop {
            tries += 1;
            let time = until.saturating_duration_since(Instant::now()).min(REQUEST_TIMEOUT);
            let failure = match self.post(&url, &parcel.notification.id, &body, keys.as_ref(), time).await {
                Ok(()) => return Ok(()),
                Err(failure) => failure,
            };
            let NotDelivered::Later { after, .. } = &failure else { return Err(failure) };
            let wait = after.unwrap_or_else(|| retry::try_wait(tries, fastrand::f64()));
            let wait_time = Duration::from_millis(wait.0.min(TRY_WAIT_MAX.0));
            if tries >= TRIES_MAX || wait > TRY_WAIT_MAX || Instant::now() + wait_time + CONNECT_TIMEOUT > until {
                return Err(failure);
            }
            tokio::time::sleep(wait_time).await;
        }
    }

    /// Checks what the resolver does not see: the scheme, and a literal address.
    fn admit(&self, url: &str) -> Result<Url, NotDelivered> {
        let never = |reason: String| NotDelivered::Never { reason };
        let url = Url::parse(url).map_err(|error| never(format!("the webhook's URL cannot be read: {error}")))?;
        if url.scheme() != "https" {
            return Err(never("the webhook's URL is not https".to_owned()));
        }
        let host = url.host_str().unwrap_or_default();
        if let Ok(address) = host.trim_matches(['[', ']']).parse() {
            self.policy.check(address).map_err(|refused| never(refused.to_string()))?;
        }
        Ok(url)
    }

    async fn keys(&self, reference: &SmolStr) -> Result<SigningKeys, NotDelivered> {
        let kept = |keys: &Mutex<HashMap<SmolStr, (Instant, SigningKeys)>>| {
            let keys = keys.lock().unwrap_or_else(PoisonError::into_inner);
            keys.get(reference).filter(|(since, _)| since.elapsed() < SECRET_KEPT).map(|(_, keys)| keys.clone())
        };
        if let Some(keys) = kept(&self.keys) {
            return Ok(keys);
        }
        let secret = self.secrets.fetch(reference).await.map_err(|error| NotDelivered::later(error.to_string()))?;
        let keys =
            SigningKeys::parse(&secret).map_err(|error| NotDelivered::later(format!("`{reference}`: {error}")))?;
        let entry = (Instant::now(), keys.clone());
        self.keys.lock().unwrap_or_else(PoisonError::into_inner).insert(reference.clone(), entry);
        Ok(keys)
    }

    async fn post(
        &self,
        url: &Url,
        id: &str,
        body: &[u8],
        keys: Option<&SigningKeys>,
        time: Duration,
    ) -> Result<(), NotDelivered> {
        let now = telemetry::now();
        let seconds = now.0.div_euclid(1_000);
        let mut request = self
            .client
            .post(url.clone())
            .timeout(time)
            .header(header::CONTENT_TYPE, "application/json")
            .header("webhook-id", id)
            .header("webhook-timestamp", seconds.to_string());
        if let Some(keys) = keys {
            request = request.header("webhook-signature", keys.sign(id, seconds, body));
        }
        let answer = request.body(body.to_vec()).send().await.map_err(|error| unreachable_because(&error))?;
        let outcome = outcome(&answer, now);
        drain(answer).await;
        outcome
    }
}

fn outcome(answer: &Response, now: Timestamp) -> Result<(), NotDelivered> {
    let status = answer.status();
    let reason = format!("the webhook answered {}", status.as_u16());
    match status {
        _ if status.is_success() => Ok(()),
        StatusCode::GONE => Err(NotDelivered::Gone { reason }),
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
            let asked = answer.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok());
            Err(NotDelivered::Later { reason, after: asked.and_then(|asked| retry::retry_after(asked, now)) })
        }
        _ => Err(NotDelivered::later(reason)),
    }
}

async fn drain(mut answer: Response) {
    let mut left = ANSWER_BYTES_MAX;
    while let Ok(Some(chunk)) = answer.chunk().await {
        left = match left.checked_sub(chunk.len()) {
            Some(left) => left,
            // The answer is unreasonably long, so the connection is dropped with it.
            None => return,
        };
    }
}

/// Why a request got no answer. The innermost cause is the most specific one: the refused address, or the certificate.
fn unreachable_because(error: &reqwest::Error) -> NotDelivered {
    if error.is_timeout() {
        return NotDelivered::later("the webhook did not answer in time");
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    NotDelivered::later(format!("the webhook could not be reached: {cause}"))
}

/// The message body. Equal notices have equal bytes, whenever they are sent.
fn body(rules: &RuleSet, notification: &Notification, summary: &str) -> Vec<u8> {
    let alert = &notification.alert;
    let rule = rules.rules.get(&alert.rule);
    let reading = rules.reading_of(alert);
    let body = Body {
        kind: match notification.kind {
            NoticeKind::Firing => "alert.firing",
            NoticeKind::Resolved => "alert.resolved",
            NoticeKind::Repeat => "alert.repeat",
            NoticeKind::Flapping => "alert.flapping",
        },
        timestamp: rfc3339(notification.created_at),
        data: Data {
            id: &notification.id,
            platform: rules.platform.as_str(),
            environment: rules.environment.as_str(),
            episode: &alert.episode,
            rule: alert.rule.as_str(),
            severity: alert.severity.as_str(),
            device: alert.device.as_ref().map(|device| device.as_str()),
            device_type: alert.device_type.as_ref().map(|device_type| device_type.as_str()),
            zone: alert.zone.as_str(),
            zone_title: rules.zones.get(&alert.zone).map(|zone| zone.title.as_str()),
            metric: alert.metric.as_ref().map(|metric| metric.as_str()),
            unit: reading.map(|reading| reading.unit.as_str()).filter(|unit| !unit.is_empty()),
            value: &alert.value,
            limit: &alert.limit,
            evidence: alert.evidence.as_ref(),
            duration_s: alert.duration_ms.as_secs(),
            since: rfc3339(alert.since),
            at: rfc3339(alert.at),
            reason: match alert.state {
                AlertState::Resolved { reason } => Some(reason),
                AlertState::Firing => None,
            },
            suppressed: notification.suppressed,
            summary,
            runbook: rule.and_then(|rule| rule.runbook.as_deref()),
            owner: rule.and_then(|rule| rule.owner.as_deref()),
            rule_set: &alert.rule_set,
        },
    };
    serde_json::to_vec(&body).expect("texts and finite numbers are JSON")
}

fn rfc3339(at: Timestamp) -> String {
    jiff::Timestamp::from_millisecond(at.0).map_or_else(|_| at.0.to_string(), |at| at.to_string())
}

#[derive(Serialize)]
struct Body<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    timestamp: String,
    data: Data<'a>,
}

#[derive(Serialize)]
struct Data<'a> {
    id: &'a str,
    platform: &'a str,
    environment: &'a str,
    episode: &'a str,
    rule: &'a str,
    severity: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    device: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    device_type: Option<&'a str>,
    zone: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    zone_title: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metric: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unit: Option<&'a str>,
    value: &'a Observed,
    limit: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    evidence: Option<&'a Evidence>,
    duration_s: u64,
    since: String,
    at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<ResolveReason>,
    suppressed: u32,
    summary: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    runbook: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<&'a str>,
    rule_set: &'a str,
}

#[cfg(test)]
#[path = "webhook_tests.rs"]
mod tests;
