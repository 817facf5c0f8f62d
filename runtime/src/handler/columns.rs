//! `columns`: a custom resource of CloudFormation that gives the table of samples the columns that it lacks, and tells the
//! data catalog which columns exported files have.
//!
//! CloudFormation waits until the answer is put where the request says, so every request is answered, a wrong one too
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

/// What the resource is called in all its life, so that a change of it never replaces it.
const PHYSICAL_ID: &str = "sample-columns";
/// How often something is tried: a commit that another one came before, a call that was not answered, or one that a role
/// may not make yet, since rights take a while to be known everywhere.
const TRIES_MAX: u32 = 12;
/// Time before the second try. Each later one waits longer by this, up to the longest.
const PAUSE: Duration = Duration::from_millis(700);
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// Time that is left for the answer: nobody else tells CloudFormation what is wrong.
const ANSWER_TIME: Millis = Millis(30_000);

/// The handler with its ports.
#[derive(Debug)]
pub struct Columns<C, D, A> {
    /// Where the table is.
    pub catalog: C,
    /// Where exported files are known.
    pub data_catalog: D,
    /// Where answers go.
    pub answers: A,
    /// The time now.
    pub clock: fn() -> Timestamp,
}

/// Where CloudFormation waits for an answer.
pub trait Answers: Sync {
    /// Puts an answer at a URL that the request has given.
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
    /// None where samples are in Timestream, which takes whatever columns come.
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
            // Columns go with their table, which stays.
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
        // Lambda invokes the function again, which does again what is done already.
        let put = self.answers.put(&request.response_url, answer).await;
        put.map_err(|reason| Failure { kind: "unanswered", message: format!("CloudFormation has no answer: {reason}") })
    }
}

impl<C: Catalog, D: DataCatalog, A> Columns<C, D, A> {
    /// Adds what is lacking, and says how many columns that were.
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
                // The next look shows them, with those of readings that are gone.
                Ok(true) => added = lacking,
                Ok(false) => problem = "it changes all the time".to_owned(),
                // It may have been done all the same, which the next look shows.
                Err(error) => problem = error.to_string(),
            }
        }
        Err(format!("{name}: {problem}"))
    }

    /// Adds what the data catalog does not know yet, where nothing else knows columns.
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

/// Waits before a try, after so many.
async fn pause(tried: u32) {
    tokio::time::sleep((PAUSE * tried).min(PAUSE_MAX)).await;
}

/// Answers over HTTP.
#[derive(Debug)]
pub struct HttpAnswers {
    client: reqwest::Client,
    /// Whether an answer may go without TLS, as to an endpoint of one's own.
    plain: bool,
}

impl HttpAnswers {
    /// Over TLS, unless `plain`.
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
            // The address is signed for a request without a content type.
            match self.client.put(url).body(answer.clone()).send().await {
                Ok(answered) if answered.status().is_success() => return Ok(()),
                Ok(answered) => reason = answered.status().to_string(),
                // The address holds a signature.
                Err(error) => reason = error.without_url().to_string(),
            }
        }
        Err(reason)
    }
}

#[cfg(test)]
#[path = "columns_tests.rs"]
mod tests;
