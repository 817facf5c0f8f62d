//! Amazon Athena in one workgroup, which sets where results are stored and how much a query may scan.

use fleetform_engine::drive::PortError;
use serde::Deserialize;
use serde_json::json;

use super::json::{CallError, JsonClient, Protocol};
use crate::{
    query::{Athena, Standing},
    results::{AskError, Page},
};

/// Athena's protocol.
pub const PROTOCOL: Protocol = Protocol { service: "AmazonAthena", content_type: "application/x-amz-json-1.1" };

/// Athena in a workgroup.
#[derive(Debug)]
pub struct Workgroup {
    client: JsonClient,
    name: String,
    /// The database for queries that name none.
    database: String,
}

impl Workgroup {
    /// Uses the workgroup of this name, with the database for queries that name none.
    pub fn new(client: JsonClient, name: String, database: String) -> Self {
        Self { client, name, database }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Started {
    query_execution_id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Executed {
    query_execution: Execution,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Execution {
    work_group: String,
    status: Status,
    #[serde(default)]
    statistics: Statistics,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Status {
    state: String,
    state_change_reason: Option<String>,
    athena_error: Option<Trouble>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Trouble {
    error_category: Option<u8>,
}

/// The category of errors of the service itself ("AthenaError", Amazon Athena API).
const SYSTEM: u8 = 1;

/// Phrases in Athena's messages when the function lacks a permission, which no other query can fix.
const NO_RIGHT: [&str; 5] =
    ["AccessDenied", "Access Denied", "not authorized", "Insufficient permissions", "Insufficient Lake Formation"];

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Statistics {
    #[serde(default)]
    data_scanned_in_bytes: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Results {
    result_set: ResultSet,
    next_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ResultSet {
    #[serde(default)]
    rows: Vec<Row>,
    result_set_metadata: ResultSetMetadata,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Row {
    #[serde(default)]
    data: Vec<Datum>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Datum {
    var_char_value: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ResultSetMetadata {
    #[serde(default)]
    column_info: Vec<ColumnInfo>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ColumnInfo {
    name: String,
    r#type: String,
}

impl Athena for Workgroup {
    async fn start(&self, sql: &str, name: &str) -> Result<String, AskError> {
        let context = json!({ "Catalog": "AwsDataCatalog", "Database": self.database });
        let input = json!({
            "QueryString": sql, "ClientRequestToken": name, "WorkGroup": self.name, "QueryExecutionContext": context,
        });
        let started: Started = self.client.call("StartQueryExecution", &input).await.map_err(refused)?;
        Ok(started.query_execution_id)
    }

    async fn standing(&self, id: &str) -> Result<Standing, AskError> {
        let executed: Executed =
            self.client.call("GetQueryExecution", &json!({ "QueryExecutionId": id })).await.map_err(refused)?;
        let Execution { work_group, status, statistics } = executed.query_execution;
        if work_group != self.name {
            return Err(AskError::Refused("the query is another platform's".to_owned()));
        }
        standing(status, statistics.data_scanned_in_bytes)
    }

    async fn page(&self, id: &str, page: Option<&str>, rows: usize) -> Result<Page, AskError> {
        let mut input = json!({ "QueryExecutionId": id, "MaxResults": rows });
        if let Some(page) = page {
            input["NextToken"] = page.into();
        }
        let results: Results = self.client.call("GetQueryResults", &input).await.map_err(refused)?;
        let Results { result_set: ResultSet { rows, result_set_metadata }, next_token: next } = results;
        let columns = result_set_metadata.column_info.into_iter().map(|info| (info.name, info.r#type)).collect();
        let rows = rows.into_iter().map(|row| row.data.into_iter().map(|datum| datum.var_char_value).collect());
        // The first page starts with a row of column names.
        Ok(Page { columns, rows: rows.skip(usize::from(page.is_none())).collect(), next })
    }
}

/// The status of a query in a given state.
fn standing(status: Status, scanned_bytes: u64) -> Result<Standing, AskError> {
    match status.state.as_str() {
        "QUEUED" | "RUNNING" => Ok(Standing::Running),
        "SUCCEEDED" => Ok(Standing::Done { scanned_bytes }),
        // A query that scans more than the workgroup allows is canceled.
        state => {
            let reason = status.state_change_reason.unwrap_or_else(|| format!("the query is {state}"));
            let category = status.athena_error.and_then(|trouble| trouble.error_category);
            if category == Some(SYSTEM) || NO_RIGHT.iter().any(|words| reason.contains(words)) {
                return Err(AskError::Port(PortError(format!("Athena: {reason}"))));
            }
            Ok(Standing::Failed(reason))
        }
    }
}

/// Athena's refusals concern the query, except for those that ask to come back later.
fn refused(error: CallError) -> AskError {
    match error {
        CallError::Refused { code, message, .. } if code == "InvalidRequestException" => AskError::Refused(message),
        CallError::Refused { code, .. }
            if matches!(code.as_str(), "TooManyRequestsException" | "ThrottlingException") =>
        {
            AskError::Busy
        }
        error => AskError::Port(PortError::from(error)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn a_query_that_failed_by_the_service_is_no_wrong_question() {
        let failed = |category: Option<u8>, reason: &str| {
            let athena_error = category.map(|category| Trouble { error_category: Some(category) });
            let status = Status { state: "FAILED".into(), state_change_reason: Some(reason.into()), athena_error };
            standing(status, 0)
        };
        assert_eq!(failed(Some(2), "COLUMN_NOT_FOUND"), Ok(Standing::Failed("COLUMN_NOT_FOUND".into())));
        assert_eq!(failed(None, "SYNTAX_ERROR"), Ok(Standing::Failed("SYNTAX_ERROR".into())));
        let service = |reason: &str| Err(AskError::Port(PortError(format!("Athena: {reason}"))));
        assert_eq!(failed(Some(1), "GENERIC_INTERNAL_ERROR"), service("GENERIC_INTERNAL_ERROR"));
        let denied = "Permission denied: User is not authorized to perform: glue:GetTable";
        assert_eq!(failed(Some(2), denied), service(denied));
    }

    #[test]
    fn what_is_wrong_with_a_question_is_told_from_what_is_wrong_with_a_service() {
        let refusal = |code: &str| {
            let error =
                CallError::Refused { operation: "Op", code: code.into(), message: "m".into(), body: Value::Null };
            refused(error)
        };
        assert_eq!(refusal("InvalidRequestException"), AskError::Refused("m".into()));
        assert_eq!(refusal("TooManyRequestsException"), AskError::Busy);
        assert_eq!(
            refusal("InternalServerException"),
            AskError::Port(PortError("Op: InternalServerException: m".into()))
        );
    }
}
