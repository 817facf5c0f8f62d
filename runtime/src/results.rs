//! What services answer that are asked in SQL.

use fleetform_engine::drive::PortError;

/// A page of a result.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// Its columns, by name and the service's name of their type.
    pub columns: Vec<(String, String)>,
    /// Its rows as texts, without one that says the columns' names; none for what has no value.
    pub rows: Vec<Vec<Option<String>>>,
    /// What stands for the page after it; none if this is the last.
    pub next: Option<String>,
}

/// A call that did not succeed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// The question is wrong, in the service's words.
    #[error("{0}")]
    Refused(String),
    /// It would succeed later.
    #[error("the service runs as many queries as the account may have at once")]
    Busy,
    /// Something else.
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
