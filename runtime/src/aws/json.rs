//! Services that use AWS's JSON protocol: every operation is a POST to one address, and is named by a header ("AWS JSON
//! 1.1 protocol", Smithy).

use fleetform_engine::drive::PortError;
use reqwest::Method;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::signed::SignedClient;

/// A client of one such service.
#[derive(Debug)]
pub struct JsonClient {
    client: SignedClient,
    /// The service's address, without a trailing slash.
    endpoint: String,
    protocol: Protocol,
}

/// What distinguishes a service's protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Protocol {
    /// The prefix of an operation in its header, such as `AmazonAthena`.
    pub service: &'static str,
    /// The media type of request bodies.
    pub content_type: &'static str,
}

/// A call that did not succeed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The service refuses the call.
    #[error("{operation}: {code}: {message}")]
    Refused {
        /// The name of the operation.
        operation: &'static str,
        /// The error code, without its namespace; the HTTP status if the service gives none.
        code: String,
        /// The service's message.
        message: String,
        /// The complete body of the response.
        body: Value,
    },
    /// There is no answer, or it cannot be parsed.
    #[error("{operation}: {error}")]
    Unanswered {
        /// The name of the operation.
        operation: &'static str,
        /// The reason.
        error: PortError,
    },
}

impl CallError {
    /// Whether the service refuses the call with this code.
    pub fn is(&self, wanted: &str) -> bool {
        matches!(self, Self::Refused { code, .. } if code == wanted)
    }
}

impl From<CallError> for PortError {
    fn from(error: CallError) -> Self {
        Self(error.to_string())
    }
}

impl JsonClient {
    /// Uses this endpoint, which has no trailing slash.
    pub fn new(client: SignedClient, endpoint: String, protocol: Protocol) -> Self {
        Self { client, endpoint, protocol }
    }

    /// Calls an operation.
    ///
    /// # Errors
    /// If it is refused, or if there is no answer.
    pub async fn call<A: DeserializeOwned>(
        &self,
        operation: &'static str,
        input: &impl Serialize,
    ) -> Result<A, CallError> {
        let unanswered = |error| CallError::Unanswered { operation, error };
        let body =
            serde_json::to_vec(input).map_err(|error| unanswered(PortError(format!("cannot be asked: {error}"))))?;
        let target = format!("{}.{operation}", self.protocol.service);
        let headers = [("content-type", self.protocol.content_type), ("x-amz-target", &target)];
        let answer = self.client.send_with(Method::POST, &format!("{}/", self.endpoint), &headers, body).await;
        let answer = answer.map_err(unanswered)?;
        if answer.status.is_success() {
            // An operation without a result may answer with an empty body.
            let body = if answer.body.is_empty() { b"{}" } else { answer.body.as_slice() };
            return serde_json::from_slice(body)
                .map_err(|error| unanswered(PortError(format!("the answer cannot be read: {error}"))));
        }
        Err(refusal(operation, answer.status.as_str(), &answer.error, &answer.body))
    }
}

/// Parses a refusal. The code may be preceded by a namespace and followed by a URI.
fn refusal(operation: &'static str, status: &str, header: &str, body: &[u8]) -> CallError {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let text = |names: [&str; 2]| names.into_iter().find_map(|name| body[name].as_str());
    let code = text(["__type", "code"]).unwrap_or(header);
    let code = code.split(':').next().unwrap_or_default().rsplit('#').next().unwrap_or_default();
    let code = if code.is_empty() { status } else { code }.to_owned();
    let message = text(["message", "Message"]).unwrap_or("without a message").to_owned();
    CallError::Refused { operation, code, message, body }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_known_by_its_code_wherever_the_service_says_it() {
        let cases: [(&str, &[u8], &str); 4] = [
            (
                "",
                br#"{"__type":"com.amazonaws.athena#InvalidRequestException","Message":"no"}"#,
                "InvalidRequestException",
            ),
            ("ThrottlingException:http://internal/", b"{}", "ThrottlingException"),
            ("", br#"{"code":"AccessDeniedException","message":"no"}"#, "AccessDeniedException"),
            ("", b"<html>", "502"),
        ];
        for (header, body, code) in cases {
            assert!(refusal("Op", "502", header, body).is(code));
        }
        let said = refusal("GetTable", "400", "", br#"{"__type":"EntityNotFoundException","Message":"gone"}"#);
        assert_eq!(said.to_string(), "GetTable: EntityNotFoundException: gone");
    }
}
