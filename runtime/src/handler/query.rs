//! `query`: answers questions about samples, a page at a time.

use bytes::Bytes;
use fleetform_engine::units::{Millis, Timestamp};

use crate::{
    event::query::{Answer, Request},
    host::{Deadline, Failure, Handler},
    query::{Answers, QueryError},
    telemetry::{Metrics, Unit},
};

/// The handler with its ports.
#[derive(Debug)]
pub struct Query<A> {
    /// Answers the questions.
    pub answers: A,
    /// Time that must be left to poll a service again and to fetch a page.
    pub page_time: Millis,
    /// Returns the current time.
    pub clock: fn() -> Timestamp,
}

impl<A: Answers + Send> Handler for Query<A> {
    type Answer = Answer;

    async fn handle(&self, body: Bytes, deadline: Deadline, metrics: &mut Metrics) -> Result<Answer, Failure> {
        let has_time = || deadline.left((self.clock)()) > self.page_time;
        let answer = match serde_json::from_slice::<Request>(&body) {
            Ok(request) => self.answers.answer(request, (self.clock)(), has_time).await,
            Err(error) => Err(QueryError::Bad(format!("the event is no question: {error}"))),
        };
        match answer {
            Ok(answer) => {
                metrics.put("QueriedRows", Unit::Count, count(answer.rows.len() as u64));
                metrics.put("ScannedBytes", Unit::Count, count(answer.read.scanned_bytes));
                Ok(answer)
            }
            Err(QueryError::Bad(error)) => {
                metrics.put("BadQuestions", Unit::Count, 1);
                Ok(Answer { error: Some(error), ..Answer::default() })
            }
            Err(error @ QueryError::Busy) => Err(Failure { kind: "busy", message: error.to_string() }),
            Err(error @ QueryError::Port(_)) => Err(Failure { kind: "unavailable", message: error.to_string() }),
        }
    }
}

fn count(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
