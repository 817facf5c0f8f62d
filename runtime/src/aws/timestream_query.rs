//! Queries of Timestream, one page at a time.

use fleetform_engine::drive::PortError;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{json::CallError, timestream::Timestream};
use crate::{
    results::{AskError, Page},
    timestream::{Metered, Queries},
};

/// Runs queries of Timestream.
#[derive(Debug)]
pub struct TimestreamQueries {
    timestream: Timestream,
}

impl TimestreamQueries {
    /// Uses the client for the half that answers queries.
    pub fn new(timestream: Timestream) -> Self {
        Self { timestream }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Input<'a> {
    query_string: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_token: Option<String>,
}

/// The needed part of an answer ("Query", Amazon Timestream developer guide).
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Output {
    #[serde(default)]
    rows: Vec<Row>,
    next_token: Option<String>,
    #[serde(default)]
    column_info: Vec<ColumnInfo>,
    #[serde(default)]
    query_status: QueryStatus,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ColumnInfo {
    #[serde(default)]
    name: String,
    r#type: Type,
}

/// The type of a scalar. Other types are given as structures.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Type {
    scalar_type: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct QueryStatus {
    #[serde(default)]
    cumulative_bytes_metered: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Row {
    data: Vec<Datum>,
}

/// A value.
#[derive(Deserialize)]
struct Datum(serde_json::Map<String, serde_json::Value>);

impl Datum {
    /// The value as a string; `None` for null. A value that is not a scalar, such as an array, keeps the service's
    /// form.
    fn into_text(self) -> Option<String> {
        match self.0.get("ScalarValue") {
            Some(serde_json::Value::String(text)) => Some(text.clone()),
            _ if self.0.get("NullValue") == Some(&true.into()) => None,
            _ => serde_json::to_string(&self.0).ok(),
        }
    }
}

impl Queries for TimestreamQueries {
    async fn page(&self, statement: &str, token: Option<&str>) -> Result<Metered, AskError> {
        let Output { rows, next_token: next, column_info, query_status } =
            self.timestream.call::<Output>("Query", &input(statement, token)).await.map_err(refused)?;
        let row = |row: Row| row.data.into_iter().map(Datum::into_text).collect();
        let column = |info: ColumnInfo| {
            (info.name, info.r#type.scalar_type.map_or_else(|| "row".to_owned(), |name| name.to_ascii_lowercase()))
        };
        let columns = column_info.into_iter().map(column).collect();
        let page = Page { columns, rows: rows.into_iter().map(row).collect(), next };
        Ok(Metered { page, bytes: query_status.cumulative_bytes_metered })
    }
}

/// Separates refusals that concern the query from those that ask to come back later ("Errors" of "Query", Amazon
/// Timestream API).
fn refused(error: CallError) -> AskError {
    match error {
        CallError::Refused { code, message, .. } if code == "ValidationException" => AskError::Refused(message),
        CallError::Refused { code, .. } if code == "ThrottlingException" => AskError::Busy,
        error => AskError::Port(PortError::from(error)),
    }
}

/// The input of a query. A query that writes is started only once, even if its answer is lost: the service recognizes
/// it by its token. The service also remembers answers by token, which is why no other query has one.
fn input<'a>(statement: &'a str, token: Option<&'a str>) -> Input<'a> {
    let hash = || Sha256::digest(statement).iter().map(|byte| format!("{byte:02x}")).collect();
    let client_token = (token.is_none() && statement.starts_with("UNLOAD")).then(hash);
    Input { query_string: statement, next_token: token, client_token }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use aws_credential_types::Credentials;
    use axum::{Router, extract::State, routing::post};
    use serde_json::{Value, json};
    use tokio::net::TcpListener;

    use super::*;
    use crate::aws::{
        signed::{SignedClient, http_client},
        timestream::SERVICE,
    };

    type Asked = Arc<Mutex<Vec<Value>>>;

    /// Answers first with an empty page, then with one row, and then with another.
    async fn answer(State(asked): State<Asked>, body: String) -> String {
        let body: Value = serde_json::from_str(&body).unwrap();
        let token = body["NextToken"].as_str().map(str::to_owned);
        asked.lock().unwrap().push(body);
        let row = |text: &str| json!([{ "Data": [{ "ScalarValue": text }, { "NullValue": true }] }]);
        let page = match token.as_deref() {
            None => json!({ "NextToken": "a", "Rows": [], "QueryStatus": { "ProgressPercentage": 0.5 } }),
            Some("a") => json!({ "NextToken": "b", "Rows": row("1") }),
            Some(_) => json!({ "Rows": row("2") }),
        };
        page.to_string()
    }

    #[tokio::test]
    async fn pages_follow_each_other_by_their_tokens() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let asked = Asked::default();
        let router = Router::new().route("/", post(answer)).with_state(Arc::clone(&asked));
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        let credentials = Credentials::new("id", "secret", None, None, "test");
        let client = SignedClient::new(http_client().unwrap(), credentials, "us-east-1".to_owned(), SERVICE);
        let queries = TimestreamQueries::new(Timestream::new(client, endpoint, false));
        let (mut rows, mut token) = (Vec::new(), None::<String>);
        loop {
            let page = queries.page("UNLOAD (…)", token.as_deref()).await.unwrap();
            rows.push(page.page.rows);
            token = page.page.next;
            if token.is_none() {
                break;
            }
        }
        let row = |text: &str| vec![vec![Some(text.to_owned()), None]];
        assert_eq!(rows, [vec![], row("1"), row("2")]);
        let asked = asked.lock().unwrap();
        let tokens: Vec<_> =
            asked.iter().map(|body| (body["ClientToken"].is_string(), body["NextToken"].as_str())).collect();
        assert_eq!(tokens, [(true, None), (false, Some("a")), (false, Some("b"))]);
    }

    #[test]
    fn what_writes_has_a_token_of_its_own_and_nothing_else_has() {
        let of = |statement: &str, token| serde_json::to_value(input(statement, token)).expect("JSON");
        let unload = of("UNLOAD (…)", None);
        assert_eq!(unload["ClientToken"].as_str().map(str::len), Some(64));
        assert_ne!(unload["ClientToken"], of("UNLOAD (another)", None)["ClientToken"]);
        assert_eq!(of("UNLOAD (…)", Some("next")), json!({ "QueryString": "UNLOAD (…)", "NextToken": "next" }));
        assert_eq!(of("SELECT 1", None), json!({ "QueryString": "SELECT 1" }));
    }

    #[test]
    fn an_answer_is_rows_of_texts() {
        let answer = json!({
            "QueryId": "q", "NextToken": "more", "ColumnInfo": [],
            "Rows": [{ "Data": [
                { "ScalarValue": "zone-a" }, { "NullValue": true }, { "ArrayValue": [{ "ScalarValue": "7" }] },
            ] }],
        });
        let mut output: Output = serde_json::from_value(answer).expect("an answer");
        let texts: Vec<_> = output.rows.remove(0).data.into_iter().map(Datum::into_text).collect();
        let array = r#"{"ArrayValue":[{"ScalarValue":"7"}]}"#;
        assert_eq!(texts, [Some("zone-a".to_owned()), None, Some(array.to_owned())]);
        assert_eq!(output.next_token.as_deref(), Some("more"));
        let empty: Output = serde_json::from_value(json!({ "NextToken": "more", "QueryStatus": {} })).expect("one");
        assert!(empty.rows.is_empty());
    }

    #[test]
    fn what_is_wrong_with_a_question_is_told_from_what_is_wrong_with_the_service() {
        let refusal = |code: &str| {
            refused(CallError::Refused {
                operation: "Query",
                code: code.into(),
                message: "m".into(),
                body: Value::Null,
            })
        };
        assert_eq!(refusal("ValidationException"), AskError::Refused("m".into()));
        assert_eq!(refusal("ThrottlingException"), AskError::Busy);
        for code in ["AccessDeniedException", "InternalServerException"] {
            assert_eq!(refusal(code), AskError::Port(PortError(format!("Query: {code}: m"))));
        }
    }
}
