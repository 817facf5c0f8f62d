//! The client against a server that answers like the service: which endpoint it calls, and for how long.

use std::sync::{
    Mutex as Lock,
    atomic::{AtomicUsize, Ordering},
};

use aws_credential_types::Credentials;
use axum::{Router, extract::State, http::HeaderMap, routing::post};
use serde_json::Value;
use tokio::net::TcpListener;

use super::*;
use crate::aws::signed::http_client;

/// The calls that the server has received, and its answers.
#[derive(Default)]
struct Server {
    address: Lock<String>,
    asked: Lock<Vec<String>>,
    /// The number of calls that it still reports as sent to the wrong endpoint.
    moved: AtomicUsize,
    minutes: AtomicUsize,
}

async fn answer(
    State(server): State<Arc<Server>>,
    headers: HeaderMap,
    body: String,
) -> (axum::http::StatusCode, String) {
    let text = |name: &str| headers[name].to_str().unwrap().to_owned();
    assert_eq!(text("content-type"), "application/x-amz-json-1.0");
    assert_eq!(headers.get_all("content-type").iter().count(), 1);
    assert!(text("authorization").contains("/us-east-1/timestream/aws4_request"), "{}", text("authorization"));
    let operation = text("x-amz-target").strip_prefix("Timestream_20181101.").unwrap().to_owned();
    server.asked.lock().unwrap().push(operation.clone());
    if operation == "DescribeEndpoints" {
        assert_eq!(body, "{}");
        let minutes = server.minutes.load(Ordering::Relaxed);
        let endpoint = json!({ "Address": *server.address.lock().unwrap(), "CachePeriodInMinutes": minutes });
        return (axum::http::StatusCode::OK, json!({ "Endpoints": [endpoint] }).to_string());
    }
    if server.moved.load(Ordering::Relaxed) > 0 {
        server.moved.fetch_sub(1, Ordering::Relaxed);
        let refusal =
            json!({ "__type": "com.amazonaws.timestream.v20181101#InvalidEndpointException", "Message": "no" });
        return (axum::http::StatusCode::BAD_REQUEST, refusal.to_string());
    }
    (axum::http::StatusCode::OK, "{}".to_owned())
}

async fn serve(minutes: usize) -> (Arc<Server>, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let server = Arc::new(Server::default());
    address.clone_into(&mut server.address.lock().unwrap());
    server.minutes.store(minutes, Ordering::Relaxed);
    let router = Router::new().route("/", post(answer)).with_state(Arc::clone(&server));
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    (server, format!("http://{address}"))
}

fn client(regional: String, discovers: bool) -> Timestream {
    let credentials = Credentials::new("id", "secret", None, None, "test");
    let signed = SignedClient::new(http_client().unwrap(), credentials, "us-east-1".to_owned(), SERVICE);
    Timestream::new(signed, regional, discovers)
}

async fn write(client: &Timestream) -> Result<Value, CallError> {
    client.call("WriteRecords", &json!({ "Records": [] })).await
}

#[tokio::test]
async fn an_endpoint_is_asked_for_once_while_its_time_lasts() {
    let (server, regional) = serve(1_440).await;
    let client = client(regional, true);
    for _ in 0..3 {
        write(&client).await.unwrap();
    }
    let asked = ["DescribeEndpoints", "WriteRecords", "WriteRecords", "WriteRecords"];
    assert_eq!(*server.asked.lock().unwrap(), asked);
}

#[tokio::test]
async fn an_endpoint_whose_time_is_over_is_asked_for_again() {
    let (server, regional) = serve(0).await;
    let client = client(regional, true);
    write(&client).await.unwrap();
    write(&client).await.unwrap();
    let asked = ["DescribeEndpoints", "WriteRecords", "DescribeEndpoints", "WriteRecords"];
    assert_eq!(*server.asked.lock().unwrap(), asked);
}

#[tokio::test]
async fn an_endpoint_that_is_not_the_account_s_any_more_is_given_up_once() {
    let (server, regional) = serve(1_440).await;
    let client = client(regional, true);
    server.moved.store(1, Ordering::Relaxed);
    write(&client).await.unwrap();
    server.moved.store(2, Ordering::Relaxed);
    assert!(write(&client).await.unwrap_err().is("InvalidEndpointException"));
}

#[tokio::test]
async fn an_endpoint_of_one_s_own_is_all_that_there_is() {
    let (server, regional) = serve(1_440).await;
    write(&client(regional, false)).await.unwrap();
    assert_eq!(*server.asked.lock().unwrap(), ["WriteRecords"]);
}
