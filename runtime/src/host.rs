//! The interface to Lambda: polls the Runtime API, passes each event's bytes and deadline to a handler, and sends its
//! answer.
//!
//! Knows nothing about the meaning of events. The body is passed on untouched: the runtime library would first parse it
//! into an owned tree, which costs more than evaluating it.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, Ordering},
};

use bytes::Bytes;
use fleetform_engine::units::{Millis, Timestamp};
use lambda_runtime::{Diagnostic, LambdaEvent, LambdaInvocation, Runtime, tower::service_fn};
use serde::{Serialize, de::IgnoredAny};
use tracing::Instrument as _;

use crate::{
    config::Common,
    telemetry::{Metrics, Unit},
};

/// Time reserved at the end of an invocation, for the answer to reach Lambda.
pub const RESERVE: Millis = Millis(2_000);

/// When an invocation ends, by the platform's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadline(Timestamp);

impl Deadline {
    /// A deadline at this moment.
    pub fn at(end: Timestamp) -> Self {
        Self(end)
    }

    /// The moment of the deadline.
    pub fn end(self) -> Timestamp {
        self.0
    }

    /// The time left for work at `now`: what remains, less [`RESERVE`].
    pub fn left(self, now: Timestamp) -> Millis {
        Millis(self.0.since(now).0.saturating_sub(RESERVE.0))
    }
}

/// An invocation that failed as a whole; Lambda delivers its batch again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind}: {message}")]
pub struct Failure {
    /// A stable word for who must act, such as `state_unreadable`.
    pub kind: &'static str,
    /// What happened, for an operator; never a payload.
    pub message: String,
}

impl From<Failure> for Diagnostic {
    fn from(failure: Failure) -> Self {
        Self { error_type: failure.kind.to_owned(), error_message: failure.message }
    }
}

/// The records of a batch that Lambda must deliver again. An empty list means that all succeeded.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct BatchResponse {
    /// At most one: the stream is read again from the lowest sequence number, so a second would have no effect.
    #[serde(rename = "batchItemFailures")]
    pub failures: Vec<ItemFailure>,
}

impl BatchResponse {
    /// Requests that everything from this sequence number on is delivered again.
    pub fn again_from(sequence: impl Into<String>) -> Self {
        Self { failures: vec![ItemFailure { sequence: sequence.into() }] }
    }
}

/// A record that must be delivered again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ItemFailure {
    /// The record's sequence number, as given in the event.
    #[serde(rename = "itemIdentifier")]
    pub sequence: String,
}

/// What one handler does with one event.
pub trait Handler: Send + Sync {
    /// The answer that the function's caller receives.
    type Answer: Serialize;

    /// Handles an event. Everything that it starts is awaited before it returns: a frozen environment finishes nothing.
    fn handle(
        &self,
        body: Bytes,
        deadline: Deadline,
        metrics: &mut Metrics,
    ) -> impl Future<Output = Result<Self::Answer, Failure>>;
}

/// Polls for events until the environment ends.
pub async fn serve(handler: impl Handler, common: &Common) -> Result<(), lambda_runtime::Error> {
    let cold = AtomicBool::new(true);
    let body: Arc<Mutex<Bytes>> = Arc::default();
    let (handler, cold, taken) = (&handler, &cold, &body);
    let respond = service_fn(move |event: LambdaEvent<IgnoredAny>| {
        let body = std::mem::take(&mut *taken.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
        let span = tracing::info_span!(
            "invocation",
            request_id = event.context.request_id,
            trace_id = event.context.xray_trace_id.as_deref().unwrap_or_default(),
        );
        let deadline = Deadline::at(Timestamp(i64::try_from(event.context.deadline).unwrap_or(i64::MAX)));
        async move {
            let mut metrics = Metrics::default();
            if cold.swap(false, Ordering::Relaxed) {
                metrics.put("ColdStart", Unit::Count, 1);
            }
            let answer = handler.handle(body, deadline, &mut metrics).await;
            metrics.emit(common);
            if let Err(failure) = &answer {
                tracing::error!(kind = failure.kind, reason = failure.message, "invocation failed");
            }
            answer
        }
        .instrument(span)
    });
    Runtime::new(respond).layer(tower::layer::layer_fn(|inner| TakeBody { inner, body: Arc::clone(&body) })).run().await
}

/// Sets an event's body aside, and leaves one that costs nothing to parse.
struct TakeBody<S> {
    inner: S,
    body: Arc<Mutex<Bytes>>,
}

impl<S: tower::Service<LambdaInvocation>> tower::Service<LambdaInvocation> for TakeBody<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut invocation: LambdaInvocation) -> S::Future {
        let body = std::mem::replace(&mut invocation.body, Bytes::from_static(b"0"));
        *self.body.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = body;
        self.inner.call(invocation)
    }
}
