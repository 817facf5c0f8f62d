//! Questions about samples, wherever these are by age: in the hot table, in the table of samples, or in exported files.
//!
//! A question is answered page by page. Each page carries a token for the rest, which comes back with the next request,
//! so no state is kept between requests. Does not know which services answer.

mod athena;
mod cost;
mod device;
mod newest;
mod question;
pub mod tables;
pub mod timestream;
mod value;

use std::time::Duration;

use fleetform_engine::{
    drive::PortError,
    rows::{
        aggregates::{self, AGGREGATES},
        columns::Column as TableColumn,
    },
    units::{Millis, Timestamp},
};

use crate::{
    event::query::{Answer, Column, Request},
    results::AskError,
};
pub use athena::{Athena, Standing};
use question::Question;

/// The wait before a service is polled again. Each later wait is longer by this, up to a maximum.
const PAUSE: Duration = Duration::from_millis(200);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// Answers questions.
pub trait Answers: Sync {
    /// Answers a request at `now`. While `has_time`, it waits for results that are not ready yet.
    ///
    /// # Errors
    /// If the request is invalid, or a service does not answer.
    fn answer(
        &self,
        request: Request,
        now: Timestamp,
        has_time: impl Fn() -> bool,
    ) -> impl Future<Output = Result<Answer, QueryError>>;
}

/// The exported files, and for which days they are queried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// The name of the exported files in a query.
    pub exported: String,
    /// The name of the aggregates of them; `None` if the platform has none.
    pub aggregates: Option<String>,
    /// How long after its end a day stays in its previous place.
    pub keep: Millis,
}

impl Files {
    /// Whether a question is about aggregates, which exist only in files.
    fn is_about_aggregates(&self, question: &Question) -> bool {
        matches!(question, Question::Sql { sql, .. } if self.aggregates.is_some() && aggregates::are_named(sql))
    }

    /// Athena's error, with the next step added if it finds no aggregates.
    fn explained(&self, error: QueryError) -> QueryError {
        match error {
            QueryError::Bad(reason) if self.aggregates.is_none() && reason.to_lowercase().contains(AGGREGATES) => {
                let next = "the platform makes aggregates where `retention.downsample` asks for them";
                QueryError::Bad(format!("{reason}: {next}"))
            }
            error => error,
        }
    }
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// The question cannot be answered.
    #[error("{0}")]
    Bad(String),
    /// A service does not answer.
    #[error(transparent)]
    Port(#[from] PortError),
    /// A service has no capacity for another query.
    #[error("as many queries run as the account may have at once")]
    Busy,
}

impl From<AskError> for QueryError {
    fn from(error: AskError) -> Self {
        match error {
            AskError::Refused(reason) => Self::Bad(reason),
            AskError::Busy => Self::Busy,
            AskError::Port(error) => Self::Port(error),
        }
    }
}

/// Waits of increasing length.
#[derive(Debug, Default)]
struct Pauses {
    count: u32,
}

impl Pauses {
    async fn wait(&mut self) {
        self.count += 1;
        tokio::time::sleep((PAUSE * self.count).min(PAUSE_MAX)).await;
    }
}

fn column(column: &TableColumn) -> Column {
    Column { name: column.name.to_string(), column_type: column.column_type.as_str().to_owned() }
}
