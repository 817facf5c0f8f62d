//! Questions about samples, wherever these are by their age: in the hot table, in the table of samples, or in exported
//! files.
//!
//! A question is answered page by page. What is to follow is handed out with each page and comes back with the next
//! request, so that nothing is kept between two of them. It refuses to know which services answer.

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

/// Time before it is asked again whether a service is done. Each later wait is longer by this, up to the longest.
const PAUSE: Duration = Duration::from_millis(200);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// What answers questions.
pub trait Answers: Sync {
    /// Answers a request at `now`. While `has_time`, it waits for what is being looked for.
    ///
    /// # Errors
    /// If the request is wrong, or a service does not answer.
    fn answer(
        &self,
        request: Request,
        now: Timestamp,
        has_time: impl Fn() -> bool,
    ) -> impl Future<Output = Result<Answer, QueryError>>;
}

/// The exported files, and which days are asked for there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// The files as a question spells them.
    pub exported: String,
    /// Aggregates of them; none where the platform makes none.
    pub aggregates: Option<String>,
    /// How long after its end a day stays where it was before.
    pub keep: Millis,
}

impl Files {
    /// Whether a question is about aggregates, which are in files alone.
    fn is_about_aggregates(&self, question: &Question) -> bool {
        matches!(question, Question::Sql { sql, .. } if self.aggregates.is_some() && aggregates::are_named(sql))
    }

    /// What Athena says is wrong, with the next step where it finds no aggregates.
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
    /// A service has no room for another query.
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

/// Waits that grow.
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
