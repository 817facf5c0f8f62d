//! AWS IoT over HTTPS: one signed request for each call, repeated when AWS asks to slow down.
//!
//! Does not know which calls are made, or in which order.

use std::{
    fmt::{self, Display, Write as _},
    sync::Mutex,
    time::{Duration, SystemTime},
};

use aws_credential_types::{
    Credentials,
    provider::{ProvideCredentials as _, SharedCredentialsProvider},
};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::{
    address,
    signed::{Answer, Client, Method, SignedClient},
};

/// The name of AWS IoT's registry in addresses and signatures.
const SERVICE: &str = "iot";

/// The query parameter and the response field of a page token.
pub const TOKEN: (&str, &str) = ("nextToken", "nextToken");
/// The same pair for older calls.
pub const MARKER: (&str, &str) = ("marker", "nextMarker");

/// The longest wait between two attempts of a call.
const BACKOFF_MAX_MS: u64 = 20_000;

/// Credentials are renewed when they expire within this time.
const EXPIRY_MARGIN: Duration = Duration::from_secs(300);

/// AWS IoT of one account in one region.
#[derive(Debug)]
pub struct Iot {
    http: Client,
    provider: SharedCredentialsProvider,
    credentials: Mutex<Option<Credentials>>,
    region: String,
    /// The service's name in signatures.
    service: &'static str,
    endpoint: String,
    has_own_endpoint: bool,
    patience: Patience,
}

/// How long a throttled call is retried.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// The number of attempts, the first one included.
    pub attempts: u32,
    /// The longest wait after the first attempt, in milliseconds; this limit doubles with each further one.
    pub backoff_ms: u64,
}

/// A call that did not succeed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallError {
    /// The name of the call.
    pub call: String,
    /// AWS's error code; empty if there was no answer.
    pub code: String,
    /// AWS's message, or the reason why there was no answer.
    pub message: String,
}

impl CallError {
    /// Whether the requested resource does not exist.
    pub fn is_missing(&self) -> bool {
        self.code == "ResourceNotFoundException"
    }

    /// Whether the resource to create already exists.
    pub fn is_there_already(&self) -> bool {
        self.code == "ResourceAlreadyExistsException"
    }

    /// Whether the resource to change is no longer in the expected state.
    pub fn is_conflict(&self) -> bool {
        ["ConflictException", "VersionConflictException"].contains(&self.code.as_str())
    }

    fn is_throttled(&self) -> bool {
        ["Throttl", "TooManyRequests", "RequestLimitExceeded", "SlowDown", "ServiceUnavailable"]
            .iter()
            .any(|part| self.code.contains(part))
    }
}

impl Display for CallError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { call, code, message } = self;
        match code.as_str() {
            "" => write!(formatter, "cannot {call}: {message}"),
            _ => write!(formatter, "cannot {call}: {code}: {message}"),
        }
    }
}

impl Iot {
    /// The registry of an account in a region, at a custom endpoint if there is one.
    pub fn new(
        http: Client,
        provider: SharedCredentialsProvider,
        region: String,
        own_endpoint: Option<&str>,
        patience: Patience,
    ) -> Self {
        let own = own_endpoint.map(|url| url.trim_end_matches('/').to_owned());
        Self {
            http,
            provider,
            credentials: Mutex::new(None),
            service: SERVICE,
            has_own_endpoint: own.is_some(),
            endpoint: own.unwrap_or_else(|| address(SERVICE, &region)),
            region,
            patience,
        }
    }

    /// The data plane of the same account and region, whose address the registry returns.
    pub async fn into_data_plane(self) -> Result<Self, CallError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Answer {
            endpoint_address: String,
        }
        let endpoint = if self.has_own_endpoint {
            self.endpoint.clone()
        } else {
            let path = "/endpoint?endpointType=iot%3AData-ATS";
            let answer: Answer = self.call("find the data plane", Method::GET, path, &[], None).await?;
            format!("https://{}", answer.endpoint_address)
        };
        Ok(Self { service: "iotdata", endpoint, ..self })
    }

    /// Reads the resource at a path; `None` if it does not exist.
    pub async fn get<T: DeserializeOwned>(&self, call: &str, path: &str) -> Result<Option<T>, CallError> {
        match self.call(call, Method::GET, path, &[], None).await {
            Ok(answer) => Ok(Some(answer)),
            Err(error) if error.is_missing() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Reads all pages of a list. `progress` receives the number of entries so far.
    pub async fn pages<T: DeserializeOwned>(
        &self,
        call: &str,
        method: Method,
        path: &str,
        list: &str,
        (asks, answers): (&str, &str),
        progress: &mut impl FnMut(usize),
    ) -> Result<Vec<T>, CallError> {
        let mut all = Vec::new();
        let mut next = String::new();
        loop {
            let mut path = path.to_owned();
            if !next.is_empty() {
                let separator = if path.contains('?') { '&' } else { '?' };
                let _written = write!(path, "{separator}{asks}={}", encode(&next));
            }
            let mut page: Value = self.call(call, method.clone(), &path, &[], None).await?;
            let items: Vec<T> = match page[list].take() {
                Value::Null => Vec::new(),
                items => serde_json::from_value(items).map_err(|error| not_understood(call, &error))?,
            };
            all.extend(items);
            progress(all.len());
            next = page[answers].as_str().unwrap_or_default().to_owned();
            if next.is_empty() {
                return Ok(all);
            }
        }
    }

    /// Makes a call, with a body if given, and repeats it while AWS asks to slow down.
    pub async fn call<T: DeserializeOwned>(
        &self,
        call: &str,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<Value>,
    ) -> Result<T, CallError> {
        self.call_until(call, method, path, headers, body, &[]).await
    }

    /// Does the same, and also repeats the call while AWS refuses it with one of these codes.
    pub async fn call_until<T: DeserializeOwned>(
        &self,
        call: &str,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<Value>,
        refused_for_now: &[&str],
    ) -> Result<T, CallError> {
        let body = body.map_or_else(Vec::new, |body| body.to_string().into_bytes());
        let mut attempt = 1;
        loop {
            let answer = self.ask(call, method.clone(), path, headers, body.clone()).await;
            match answer.and_then(|answer| understand(call, &answer)) {
                Err(error)
                    if attempt < self.patience.attempts
                        && (error.is_throttled() || refused_for_now.contains(&error.code.as_str())) =>
                {
                    let longest = BACKOFF_MAX_MS.min(self.patience.backoff_ms << (attempt - 1));
                    tokio::time::sleep(Duration::from_millis(fastrand::u64(0..=longest))).await;
                    attempt += 1;
                }
                answered => return answered,
            }
        }
    }

    async fn ask(
        &self,
        call: &str,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Result<Answer, CallError> {
        let unanswered = |message: String| CallError { call: call.to_owned(), code: String::new(), message };
        let credentials = self.credentials().await.map_err(&unanswered)?;
        let client = SignedClient::new(self.http.clone(), credentials, self.region.clone(), self.service);
        let url = format!("{}{path}", self.endpoint);
        client.send_with(method, &url, headers, body).await.map_err(|error| unanswered(error.0))
    }

    async fn credentials(&self) -> Result<Credentials, String> {
        let held = self.credentials.lock().expect("nobody panics with it").clone();
        let lasts = |held: &Credentials| held.expiry().is_none_or(|end| end > SystemTime::now() + EXPIRY_MARGIN);
        if let Some(held) = held.filter(lasts) {
            return Ok(held);
        }
        let fresh = self.provider.provide_credentials().await;
        let fresh = fresh.map_err(|error| format!("no credentials of AWS: {}", chain(&error)))?;
        *self.credentials.lock().expect("nobody panics with it") = Some(fresh.clone());
        Ok(fresh)
    }
}

/// Parses an answer, or the error in it.
fn understand<T: DeserializeOwned>(call: &str, answer: &Answer) -> Result<T, CallError> {
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or(Value::Null);
    let failed = |code: String, message: String| CallError { call: call.to_owned(), code, message };
    if answer.status.is_success() {
        let body = if body.is_null() { json!({}) } else { body };
        return serde_json::from_value(body).map_err(|error| not_understood(call, &error));
    }
    let text = |name: &str| body[name].as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    let code = Some(answer.error.clone()).filter(|code| !code.is_empty());
    let code = code.or_else(|| text("__type")).or_else(|| text("code"));
    let code = code.unwrap_or_else(|| match answer.status.as_u16() {
        429 => "TooManyRequestsException".to_owned(),
        503 => "ServiceUnavailableException".to_owned(),
        status => format!("HTTP {status}"),
    });
    Err(failed(code, text("message").or_else(|| text("Message")).unwrap_or_else(|| "no reason is given".to_owned())))
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let _written = write!(words, ": {cause}");
        source = cause.source();
    }
    words
}

fn not_understood(call: &str, error: &serde_json::Error) -> CallError {
    let message = format!("the answer is not understood: {error}");
    CallError { call: call.to_owned(), code: String::new(), message }
}

/// Encodes a part of a path or of a query string.
pub fn encode(text: &str) -> String {
    text.bytes().fold(String::new(), |mut encoded, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            let _written = write!(encoded, "%{byte:02X}");
        }
        encoded
    })
}

#[cfg(test)]
mod tests {
    use super::super::signed::StatusCode;

    use super::*;

    fn answer(status: u16, error: &str, body: &str) -> Answer {
        Answer {
            status: StatusCode::from_u16(status).expect("a status"),
            error: error.to_owned(),
            body: body.as_bytes().to_vec(),
        }
    }

    #[test]
    fn an_error_is_told_by_its_header_or_its_body() {
        let code = |answer| understand::<Value>("try", &answer).expect_err("an error").code;
        assert_eq!(code(answer(404, "ResourceNotFoundException", "{}")), "ResourceNotFoundException");
        assert_eq!(code(answer(400, "", r#"{"__type":"InvalidRequestException"}"#)), "InvalidRequestException");
        assert_eq!(code(answer(500, "", "<html>")), "HTTP 500");
        let throttled = understand::<Value>("try", &answer(429, "", "")).expect_err("an error");
        assert!(throttled.is_throttled());
        assert_eq!(understand::<Value>("try", &answer(200, "", "")), Ok(json!({})));
    }

    #[test]
    fn a_name_stays_one_part_of_a_path() {
        assert_eq!(encode("arn:aws:iot:cert/1 ä"), "arn%3Aaws%3Aiot%3Acert%2F1%20%C3%A4");
    }
}
