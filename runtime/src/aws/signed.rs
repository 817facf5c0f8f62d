//! Signed requests to AWS services for which there is no SDK client here.

use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::{
    http_request::{PayloadChecksumKind, SignableBody, SignableRequest, SigningSettings, sign},
    sign::v4::SigningParams,
};
use fleetform_engine::drive::PortError;
pub use reqwest::{Client, Method, StatusCode};
use reqwest::{header, redirect};

use crate::tls;

/// The timeout for one request, including its answer.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// The header with a service's error code:
/// <https://smithy.io/2.0/aws/protocols/aws-restjson1-protocol.html#operation-error-serialization>.
const ERROR_HEADER: &str = "x-amzn-errortype";

/// A signing client for one service.
#[derive(Clone, Debug)]
pub struct SignedClient {
    http: Client,
    credentials: Credentials,
    region: String,
    service: &'static str,
}

impl SignedClient {
    /// A client for a service, by the service's name in signatures.
    pub fn new(http: Client, credentials: Credentials, region: String, service: &'static str) -> Self {
        Self { http, credentials, region, service }
    }

    /// Sends a request with a JSON body; returns the status and body of the answer.
    ///
    /// # Errors
    /// If there is no answer.
    pub async fn send(&self, method: Method, url: &str, body: Vec<u8>) -> Result<(StatusCode, Vec<u8>), PortError> {
        let answer = self.send_with(method, url, &[], body).await?;
        Ok((answer.status, answer.body))
    }

    /// Sends a request with additional headers, which are signed as well. The body is JSON, unless they give another
    /// type.
    ///
    /// # Errors
    /// If there is no answer.
    pub async fn send_with(
        &self,
        method: Method,
        url: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Result<Answer, PortError> {
        let service = self.service;
        let unsigned = |error: &dyn std::fmt::Display| PortError(format!("{service}: cannot be signed: {error}"));
        let mut settings = SigningSettings::default();
        settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        let identity = self.credentials.clone().into();
        let params = SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name(service)
            .time(SystemTime::now())
            .settings(settings)
            .build()
            .map_err(|error| unsigned(&error))?
            .into();
        let signable = SignableRequest::new(method.as_str(), url, headers.iter().copied(), SignableBody::Bytes(&body));
        let signed = signable.and_then(|request| sign(request, &params)).map_err(|error| unsigned(&error))?;
        let (instructions, _) = signed.into_parts();
        let mut request = self.http.request(method, url);
        if headers.iter().all(|(name, _)| *name != header::CONTENT_TYPE.as_str()) {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        for (name, value) in headers.iter().copied().chain(instructions.headers()) {
            request = request.header(name, value);
        }
        // The URL is left out of the message: it is known, and long.
        let failed = |error: reqwest::Error| PortError(format!("{service}: no answer: {}", error.without_url()));
        let answer = request.body(body).send().await.map_err(failed)?;
        let status = answer.status();
        // The code may be followed by a colon and more text.
        let error = answer.headers().get(ERROR_HEADER).and_then(|code| code.to_str().ok());
        let error = error.and_then(|code| code.split(':').next()).unwrap_or_default().to_owned();
        Ok(Answer { status, error, body: answer.bytes().await.map_err(failed)?.to_vec() })
    }
}

/// A service's answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: StatusCode,
    /// The error code; empty if there is none.
    pub error: String,
    /// The response body.
    pub body: Vec<u8>,
}

/// An HTTP client without redirects and proxies.
///
/// # Errors
/// If there are no trust anchors.
pub fn http_client() -> Result<Client, reqwest::Error> {
    patient_http_client(REQUEST_TIMEOUT)
}

/// The same, for answers that may take this long.
///
/// # Errors
/// If there are no trust anchors.
pub fn patient_http_client(timeout: Duration) -> Result<Client, reqwest::Error> {
    tls::client().redirect(redirect::Policy::none()).no_proxy().referer(false).timeout(timeout).build()
}
