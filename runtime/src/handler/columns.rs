//! `columns`: a CloudFormation custom resource that adds missing columns to the table of samples, and keeps the data
//! catalog's columns of exported files up to date.
//!
//! CloudFormation waits for an answer at the URL in the request, so every request is answered, even an invalid one
//! ("Custom resource request and response reference", AWS CloudFormation template reference).

use std::time::Duration;

use bytes::Bytes;
use fleetform_engine::{
    rows::columns::{Column, ColumnType},
    units::{Millis, Timestamp},
};
use serde::{Deserialize, Serialize};

use crate::{
    data_catalog::{DataCatalog, Exported},
    host::{Deadline, Failure, Handler},
    iceberg::{TableName, Unfit, Wanted, catalog::Catalog},
    telemetry::{Metrics, Unit},
};

/// The resource's physical id, which never changes, so an update never replaces the resource.
const PHYSICAL_ID: &str = "sample-columns";
/// Maximum attempts: for a commit that another one came before, for a call without an answer, and for one that a role
/// may not make yet, since permissions take time to propagate.
const TRIES_MAX: u32 = 12;
/// The wait before the second attempt. Each later wait is longer by this, up to a maximum.
const PAUSE: Duration = Duration::from_millis(700);
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// Time reserved for the answer: CloudFormation learns of a problem from nothing else.
const ANSWER_TIME: Millis = Millis(30_000);

/// The handler with its ports.
#[derive(Debug)]
pub struct Columns<C, D, A> {
    /// The catalog of the table of samples.
    pub catalog: C,
    /// The data catalog that describes the exported files.
    pub data_catalog: D,
    /// The destination of answers.
    pub answers: A,
    /// Returns the current time.
    pub clock: fn() -> Timestamp,
}

/// The destination at which CloudFormation waits for an answer.
pub trait Answers: Sync {
    /// Puts an answer at the URL given in the request.
    fn put(&self, url: &str, answer: Vec<u8>) -> impl Future<Output = Result<(), String>> + Send;
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Request {
    request_type: RequestType,
    #[serde(rename = "ResponseURL")]
    response_url: String,
    stack_id: String,
    request_id: String,
    logical_resource_id: String,
    resource_properties: serde_json::Value,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
enum RequestType {
    Create,
    Update,
    Delete,
}

#[derive(Deserialize)]
struct Properties {
    /// `None` if samples are in Timestream, which accepts new columns as they come.
    #[serde(flatten)]
    table: Option<TableName>,
    #[serde(rename = "Columns")]
    columns: Vec<Wanted>,
    #[serde(rename = "Exported")]
    exported: Exported,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Answer<'a> {
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    physical_resource_id: &'static str,
    stack_id: &'a str,
    request_id: &'a str,
    logical_resource_id: &'a str,
}

impl<C: Catalog + Send, D: DataCatalog + Send, A: Answers + Send> Handler for Columns<C, D, A> {
    type Answer = ();

    async fn handle(&self, body: Bytes, deadline: Deadline, metrics: &mut Metrics) -> Result<(), Failure> {
        let request: Request = serde_json::from_slice(&body).map_err(|error| Failure {
            kind: "bad_event",
            message: format!("the event is no request of CloudFormation: {error}"),
        })?;
        let done = match request.request_type {
            RequestType::Create | RequestType::Update => self.add(&request.resource_properties, deadline).await,
            // The columns are removed with their table, which stays.
            RequestType::Delete => Ok(0),
        };
        match &done {
            Ok(added) => {
                metrics.put("ColumnsAdded", Unit::Count, *added as i64);
                tracing::info!(added, "columns of the table of samples");
            }
            Err(reason) => tracing::error!(reason, "the table of samples lacks columns"),
        }
        let answer = Answer {
            status: if done.is_ok() { "SUCCESS" } else { "FAILED" },
            reason: done.as_ref().err().map(String::as_str),
            physical_resource_id: PHYSICAL_ID,
            stack_id: &request.stack_id,
            request_id: &request.request_id,
            logical_resource_id: &request.logical_resource_id,
        };
        let answer = serde_json::to_vec(&answer).unwrap_or_default();
        // If this fails, Lambda invokes the function again, and everything in it can safely be repeated.
        let put = self.answers.put(&request.response_url, answer).await;
        put.map_err(|reason| Failure { kind: "unanswered", message: format!("CloudFormation has no answer: {reason}") })
    }
}

impl<C: Catalog, D: DataCatalog, A> Columns<C, D, A> {
    /// Adds the missing columns, and returns how many there were.
    async fn add(&self, properties: &serde_json::Value, deadline: Deadline) -> Result<usize, String> {
        let Properties { table, columns, exported } = Properties::deserialize(properties)
            .map_err(|error| format!("the properties of the resource cannot be read: {error}"))?;
        let Some(table) = table else { return self.grow(&exported, &columns, deadline).await };
        let name = format!("table `{}` of `{}` in {}", table.table, table.namespace, table.bucket_arn);
        let (mut problem, mut added) = (String::new(), 0);
        for tried in 0..TRIES_MAX {
            pause(tried).await;
            if deadline.left((self.clock)()) < ANSWER_TIME {
                break;
            }
            let metadata = match self.catalog.load(&table).await {
                Ok(Some(metadata)) => metadata,
                Ok(None) => return Err(format!("there is no {name}")),
                Err(error) => {
                    problem = error.to_string();
                    continue;
                }
            };
            let unfit = |unfit: Unfit| unfit.to_string();
            let Some((commit, lacking)) = metadata.adding(&columns).map_err(unfit)? else {
                let columns =
                    metadata.schema().map_err(unfit)?.into_iter().map(|(_, column)| column).collect::<Vec<_>>();
                match exported.bring_about(&self.data_catalog, &columns).await {
                    Ok(()) => return Ok(added),
                    Err(error) => problem = error.to_string(),
                }
                continue;
            };
            match self.catalog.commit(&table, &commit).await {
                // The next read of the table shows them, along with those of removed readings.
                Ok(true) => added = lacking,
                Ok(false) => problem = "it changes all the time".to_owned(),
                // The commit may have succeeded all the same, which the next read shows.
                Err(error) => problem = error.to_string(),
            }
        }
        Err(format!("{name}: {problem}"))
    }

    /// Adds columns to the data catalog where it is the only place that keeps them.
    async fn grow(&self, exported: &Exported, columns: &[Wanted], deadline: Deadline) -> Result<usize, String> {
        let unknown = |column: &Wanted| format!("`{}` is `{}`, which no column is", column.name, column.column_type);
        let column = |wanted: &Wanted| {
            let column_type = ColumnType::named(&wanted.column_type).ok_or_else(|| unknown(wanted))?;
            Ok(Column { name: wanted.name.clone(), column_type, required: false })
        };
        let columns = columns.iter().map(column).collect::<Result<Vec<_>, String>>()?;
        let mut problem = String::new();
        for tried in 0..TRIES_MAX {
            pause(tried).await;
            if deadline.left((self.clock)()) < ANSWER_TIME {
                break;
            }
            match exported.grow(&self.data_catalog, &columns).await {
                Ok(added) => return Ok(added),
                Err(error) => problem = error.to_string(),
            }
        }
        Err(format!("table `{}` of database `{}`: {problem}", exported.table, exported.database))
    }
}

/// Waits before an attempt, after this many others.
async fn pause(tried: u32) {
    tokio::time::sleep((PAUSE * tried).min(PAUSE_MAX)).await;
}

/// Sends answers over HTTP.
#[derive(Debug)]
pub struct HttpAnswers {
    client: reqwest::Client,
    /// Whether an answer may be sent without TLS, as for a custom endpoint.
    plain: bool,
}

impl HttpAnswers {
    /// Uses TLS unless `plain`.
    pub fn new(client: reqwest::Client, plain: bool) -> Self {
        Self { client, plain }
    }
}

impl Answers for HttpAnswers {
    async fn put(&self, url: &str, answer: Vec<u8>) -> Result<(), String> {
        if !url.starts_with("https://") && !self.plain {
            return Err("its address is not https".to_owned());
        }
        let mut reason = String::new();
        for tried in 0..TRIES_MAX {
            pause(tried).await;
            // The URL is signed for a request without a content type.
            match self.client.put(url).body(answer.clone()).send().await {
                Ok(answered) if answered.status().is_success() => return Ok(()),
                Ok(answered) => reason = answered.status().to_string(),
                // The URL contains a signature.
                Err(error) => reason = error.without_url().to_string(),
            }
        }
        Err(reason)
    }
}

#[cfg(test)]
#[path = "columns_tests.rs"]
mod tests;
