//! Amazon Athena, in one workgroup, which says where results stay and how much a query may scan.

use fleetform_engine::drive::PortError;
use serde::Deserialize;
use serde_json::json;

use super::json::{CallError, JsonClient, Protocol};
use crate::query::{Athena, AthenaError, Page, Standing};

/// How Athena is spoken to.
pub const PROTOCOL: Protocol = Protocol { service: "AmazonAthena", content_type: "application/x-amz-json-1.1" };

/// Athena in a workgroup.
#[derive(Debug)]
pub struct Workgroup {
    client: JsonClient,
    name: String,
}

impl Workgroup {
    /// By the workgroup's name.
    pub fn new(client: JsonClient, name: String) -> Self {
        Self { client, name }
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
}

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
    async fn start(&self, sql: &str, name: &str) -> Result<String, AthenaError> {
        let input = json!({ "QueryString": sql, "ClientRequestToken": name, "WorkGroup": self.name });
        let started: Started = self.client.call("StartQueryExecution", &input).await.map_err(refused)?;
        Ok(started.query_execution_id)
    }

    async fn standing(&self, id: &str) -> Result<Standing, AthenaError> {
        let executed: Executed =
            self.client.call("GetQueryExecution", &json!({ "QueryExecutionId": id })).await.map_err(refused)?;
        let Execution { work_group, status, statistics } = executed.query_execution;
        if work_group != self.name {
            return Err(AthenaError::Refused("the query is another platform's".to_owned()));
        }
        Ok(match status.state.as_str() {
            "QUEUED" | "RUNNING" => Standing::Running,
            "SUCCEEDED" => Standing::Done { scanned_bytes: statistics.data_scanned_in_bytes },
            // One that scans more than the workgroup allows is cancelled.
            state => Standing::Failed(status.state_change_reason.unwrap_or_else(|| format!("the query is {state}"))),
        })
    }

    async fn page(&self, id: &str, page: Option<&str>, rows: usize) -> Result<Page, AthenaError> {
        let mut input = json!({ "QueryExecutionId": id, "MaxResults": rows });
        if let Some(page) = page {
            input["NextToken"] = page.into();
        }
        let results: Results = self.client.call("GetQueryResults", &input).await.map_err(refused)?;
        let Results { result_set: ResultSet { rows, result_set_metadata }, next_token: next } = results;
        let columns = result_set_metadata.column_info.into_iter().map(|info| (info.name, info.r#type)).collect();
        let rows = rows.into_iter().map(|row| row.data.into_iter().map(|datum| datum.var_char_value).collect());
        // The first page begins with the names of the columns.
        Ok(Page { columns, rows: rows.skip(usize::from(page.is_none())).collect(), next })
    }
}

/// Athena's refusals are about the question, but for those that say to come back.
fn refused(error: CallError) -> AthenaError {
    match error {
        CallError::Refused { code, message, .. } if code == "InvalidRequestException" => AthenaError::Refused(message),
        CallError::Refused { code, .. }
            if matches!(code.as_str(), "TooManyRequestsException" | "ThrottlingException") =>
        {
            AthenaError::Busy
        }
        error => AthenaError::Port(PortError::from(error)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn what_is_wrong_with_a_question_is_told_from_what_is_wrong_with_a_service() {
        let refusal = |code: &str| {
            let error =
                CallError::Refused { operation: "Op", code: code.into(), message: "m".into(), body: Value::Null };
            refused(error)
        };
        assert_eq!(refusal("InvalidRequestException"), AthenaError::Refused("m".into()));
        assert_eq!(refusal("TooManyRequestsException"), AthenaError::Busy);
        assert_eq!(
            refusal("InternalServerException"),
            AthenaError::Port(PortError("Op: InternalServerException: m".into()))
        );
    }
}
