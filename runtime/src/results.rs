//! The answers of services that are queried in SQL.

use fleetform_engine::drive::PortError;

/// A page of a result.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The columns, as name and the service's name for the type.
    pub columns: Vec<(String, String)>,
    /// The rows as strings, without a header row; `None` for a missing value.
    pub rows: Vec<Vec<Option<String>>>,
    /// The token for the next page; `None` if this is the last.
    pub next: Option<String>,
}

/// Why a call did not succeed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// The query is invalid; the message is the service's.
    #[error("{0}")]
    Refused(String),
    /// The call may succeed later.
    #[error("the service runs as many queries as the account may have at once")]
    Busy,
    /// Any other failure.
    #[error(transparent)]
    Port(#[from] PortError),
}

impl From<AskError> for PortError {
    fn from(error: AskError) -> Self {
        match error {
            AskError::Port(error) => error,
            error => Self(error.to_string()),
        }
    }
}
