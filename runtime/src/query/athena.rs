//! Questions answered by Amazon Athena.

use fleetform_engine::units::Timestamp;
use serde_json::Value;

use super::{
    Pauses, QueryError, cost,
    device::Device,
    question::{self, Left},
    value,
};
use crate::{
    event::query::{Answer, Column, Read},
    results::{AskError, Page},
};

/// Maximum rows in a page from Athena ("GetQueryResults", Amazon Athena API).
const PAGE_ROWS_MAX: usize = 1_000;
/// The approximate number of values in an answer: Lambda allows answers of 6 MB ("Lambda quotas", AWS Lambda developer
/// guide).
const ANSWER_VALUES: usize = 60_000;
/// The number of columns that is assumed until the first page of a result is read.
const COLUMNS_GUESSED: usize = 60;
/// Maximum bytes of the rows in an answer.
const ANSWER_BYTES_MAX: usize = 5_000_000;

/// The port to Amazon Athena.
pub trait Athena: Sync {
    /// Starts a query, and returns its id. Starting again with the same `name` returns the first query.
    fn start(&self, sql: &str, name: &str) -> impl Future<Output = Result<String, AskError>> + Send;

    /// The status of a query.
    fn standing(&self, id: &str) -> impl Future<Output = Result<Standing, AskError>> + Send;

    /// A page of a query's result: the first, or the one that a token stands for.
    fn page(&self, id: &str, page: Option<&str>, rows: usize) -> impl Future<Output = Result<Page, AskError>> + Send;
}

/// The status of a query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is queued or running.
    Running,
    /// Its result is available.
    Done {
        /// The number of bytes scanned.
        scanned_bytes: u64,
    },
    /// It failed; the message is Athena's.
    Failed(String),
}

/// Starts a query. Its result follows, and then newer samples of a device.
pub(super) async fn begin(
    athena: &impl Athena,
    sql: &str,
    then: Option<Device>,
    now: Timestamp,
    has_time: impl Fn() -> bool,
) -> Result<Left, QueryError> {
    let name = question::start_name(sql, now);
    let mut pauses = Pauses::default();
    loop {
        match athena.start(sql, &name).await {
            Ok(id) => return Ok(Left::Running { id, then }),
            Err(AskError::Busy) if has_time() => pauses.wait().await,
            Err(error) => return Err(error.into()),
        }
    }
}

/// Waits for a query, and returns the first rows of its result.
pub(super) async fn wait(
    athena: &impl Athena,
    id: String,
    then: Option<Device>,
    has_time: impl Fn() -> bool,
) -> Result<Answer, QueryError> {
    let mut pauses = Pauses::default();
    loop {
        match athena.standing(&id).await {
            Ok(Standing::Done { scanned_bytes }) => {
                return rows(athena, id, None, 0, then, cost::scanned(scanned_bytes), has_time).await;
            }
            Ok(Standing::Failed(reason)) => return Err(QueryError::Bad(reason)),
            Ok(Standing::Running) | Err(AskError::Busy) if !has_time() => {
                return Ok(Answer { next: Some(Left::Running { id, then }.to_text()), ..Answer::default() });
            }
            Ok(Standing::Running) | Err(AskError::Busy) => pauses.wait().await,
            Err(error) => return Err(error.into()),
        }
    }
}

/// Returns rows of a query's result, as many as fit into an answer.
pub(super) async fn rows(
    athena: &impl Athena,
    id: String,
    page: Option<String>,
    columns: usize,
    then: Option<Device>,
    read: Read,
    has_time: impl Fn() -> bool,
) -> Result<Answer, QueryError> {
    // The width of the rows is not known before the first page.
    let mut count = (ANSWER_VALUES / columns.max(COLUMNS_GUESSED)).clamp(1, PAGE_ROWS_MAX);
    let mut pauses = Pauses::default();
    loop {
        let found = match athena.page(&id, page.as_deref(), count).await {
            Ok(found) => found,
            Err(AskError::Busy) if has_time() => {
                pauses.wait().await;
                continue;
            }
            Err(AskError::Busy) => {
                let left = match page {
                    Some(page) => Left::Rows { id, page, columns, then },
                    None => Left::Running { id, then },
                };
                return Ok(Answer { next: Some(left.to_text()), ..Answer::default() });
            }
            Err(error) => return Err(error.into()),
        };
        let columns: Vec<Column> = found.columns.iter().map(|(name, athena)| value::column(name, athena)).collect();
        let typed = |row: Vec<Option<String>>| {
            columns.iter().zip(row).map(|(column, text)| value::value(column, text)).collect::<Vec<Value>>()
        };
        let typed: Vec<Vec<Value>> = found.rows.into_iter().map(typed).collect();
        if serde_json::to_vec(&typed).map_or(0, |bytes| bytes.len()) > ANSWER_BYTES_MAX {
            if count == 1 {
                return Err(QueryError::Bad(format!("a row has more than {ANSWER_BYTES_MAX} bytes")));
            }
            count /= 2;
            continue;
        }
        let left = match found.next {
            Some(page) => Some(Left::Rows { id, page, columns: columns.len(), then }),
            None => then.map(Left::Newest),
        };
        let next = left.map(|left| left.to_text());
        return Ok(Answer { columns, rows: typed, read, next, error: None });
    }
}
