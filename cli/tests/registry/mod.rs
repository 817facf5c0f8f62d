//! AWS IoT's registry and the telemetry stream at the other end of a connection, in memory: they refuse what AWS refuses as far
//! as a registrar meets it, and write down what they are asked to change. What is right to ask for is not known here.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, Mutex},
};

use axum::{
    body::Bytes,
    extract::State,
    http::{HeaderMap, Method, StatusCode, Uri},
    response::{IntoResponse, Response},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

/// The telemetry stream.
const STREAM: &str = "my-water-dev-Ingest-1A2B3C-TelemetryStream-9Z8Y7X";

#[derive(Clone, Default)]
pub(crate) struct Thing {
    pub(crate) thing_type: String,
    pub(crate) attributes: BTreeMap<String, String>,
    pub(crate) groups: BTreeSet<String>,
    pub(crate) certificates: BTreeSet<String>,
}

#[derive(Clone)]
pub(crate) struct Certificate {
    pub(crate) status: String,
    pub(crate) pem: String,
    pub(crate) policies: BTreeSet<String>,
}

#[derive(Default)]
pub(crate) struct Aws {
    pub(crate) account: String,
    pub(crate) folder: PathBuf,
    pub(crate) things: BTreeMap<String, Thing>,
    pub(crate) certificates: BTreeMap<String, Certificate>,
    pub(crate) records: Vec<Value>,
    /// Method and path of each request that changes something.
    pub(crate) changes: Vec<String>,
    pub(crate) requests: usize,
    /// Of every request to the registry, how many times it is refused first.
    pub(crate) throttle: usize,
    pub(crate) throttled: usize,
    /// Whether a key that it makes is not the certificate's.
    pub(crate) gives_another_key: bool,
}

pub(crate) type Shared = Arc<Mutex<Aws>>;

fn refused(status: StatusCode, code: &'static str) -> Response {
    (status, [("x-amzn-errortype", code)], r#"{"message":"refused"}"#).into_response()
}

fn missing() -> Response {
    refused(StatusCode::NOT_FOUND, "ResourceNotFoundException")
}

pub(crate) async fn answer(
    State(aws): State<Shared>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let mut aws = aws.lock().expect("no handler fails");
    aws.requests += 1;
    if let Some(target) = headers.get("x-amz-target") {
        return kinesis(&mut aws, target.to_str().expect("text"), &body);
    }
    let signed = headers["authorization"].to_str().expect("text");
    assert!(signed.contains("/us-east-1/iot/aws4_request"), "{signed}");
    if aws.throttled < aws.throttle {
        aws.throttled += 1;
        return refused(StatusCode::TOO_MANY_REQUESTS, "ThrottlingException");
    }
    aws.throttled = 0;
    let path = uri.path().to_owned();
    let is_read = method == Method::GET || path.starts_with("/attached-policies/");
    if !is_read {
        aws.changes.push(format!("{method} {path}"));
    }
    let body: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
    let query = uri.query().unwrap_or_default();
    let principal = headers.get("x-amzn-principal").map(|arn| arn.to_str().expect("text").to_owned());
    if let Some(arn) = &principal {
        assert!(signed.contains("x-amzn-principal"), "the header is signed");
        assert!(aws.certificates.contains_key(arn), "{arn}");
    }
    let parts: Vec<String> = path.split('/').skip(1).map(decode).collect();
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    registry(&mut aws, method.as_str(), &parts, query, principal, &body)
}

fn registry(
    aws: &mut Aws,
    method: &str,
    parts: &[&str],
    query: &str,
    principal: Option<String>,
    body: &Value,
) -> Response {
    let text = |name: &str| body[name].as_str().expect("text").to_owned();
    match (method, parts) {
        ("POST", ["things", name]) => {
            let thing = Thing { thing_type: text("thingTypeName"), ..Thing::default() };
            assert!(aws.things.insert((*name).to_owned(), thing).is_none(), "made twice");
        }
        ("GET", ["things", name]) => {
            let Some(thing) = aws.things.get(*name) else { return missing() };
            let arn = format!("arn:aws:iot:us-east-1:111111111111:thing/{name}");
            return json!({ "thingName": name, "thingArn": arn, "thingTypeName": thing.thing_type,
                "attributes": thing.attributes, "version": 1 })
            .to_string()
            .into_response();
        }
        ("PATCH", ["things", name]) => {
            let Some(thing) = aws.things.get_mut(*name) else { return missing() };
            let payload = &body["attributePayload"];
            assert_eq!(payload["merge"], true);
            for (name, value) in payload["attributes"].as_object().expect("attributes") {
                thing.attributes.insert(name.clone(), value.as_str().expect("text").to_owned());
            }
            thing.attributes.retain(|_, value| !value.is_empty());
        }
        ("DELETE", ["things", name]) => {
            assert!(aws.things.remove(*name).expect("a thing").certificates.is_empty());
        }
        ("GET", ["things", name, "thing-groups"]) => {
            let Some(thing) = aws.things.get(*name) else { return missing() };
            let groups: Vec<Value> = thing.groups.iter().map(|group| json!({ "groupName": group })).collect();
            return json!({ "thingGroups": groups, "nextToken": null }).to_string().into_response();
        }
        ("GET", ["things", name, "principals"]) => {
            let Some(thing) = aws.things.get(*name) else { return missing() };
            // One on each page.
            let from: usize = query.strip_prefix("nextToken=").map_or(0, |token| token.parse().expect("mine"));
            let page: Vec<&String> = thing.certificates.iter().skip(from).take(1).collect();
            let next = (from + 1 < thing.certificates.len()).then(|| (from + 1).to_string());
            return json!({ "principals": page, "nextToken": next }).to_string().into_response();
        }
        ("PUT", ["things", name, "principals"]) => {
            let thing = aws.things.get_mut(*name).expect("a thing");
            assert!(thing.certificates.insert(principal.expect("a certificate")), "attached twice");
        }
        ("DELETE", ["things", name, "principals"]) => {
            let thing = aws.things.get_mut(*name).expect("a thing");
            assert!(thing.certificates.remove(&principal.expect("a certificate")), "detached twice");
        }
        ("PUT", ["thing-groups", "addThingToThingGroup"]) => {
            let groups = &mut aws.things.get_mut(&text("thingName")).expect("a thing").groups;
            groups.insert(text("thingGroupName"));
            assert_eq!(groups.len(), 1, "a thing is in one group of a hierarchy only");
        }
        ("PUT", ["thing-groups", "removeThingFromThingGroup"]) => {
            aws.things.get_mut(&text("thingName")).expect("a thing").groups.remove(&text("thingGroupName"));
        }
        ("POST", ["certificates"]) => {
            assert_eq!(query, "setAsActive=false");
            let pem = sign(&aws.folder, &text("certificateSigningRequest"));
            let arn = format!("arn:aws:iot:us-east-1:111111111111:cert/{:064}", aws.certificates.len() + 1);
            let certificate =
                Certificate { status: "INACTIVE".to_owned(), pem: pem.clone(), policies: BTreeSet::new() };
            aws.certificates.insert(arn.clone(), certificate);
            return json!({ "certificateArn": arn, "certificatePem": pem }).to_string().into_response();
        }
        ("POST", ["keys-and-certificate"]) => {
            assert_eq!((query, body), ("setAsActive=false", &Value::Null));
            let (key, request) = key_and_request(&aws.folder);
            let pem = sign(&aws.folder, &request);
            let key = if aws.gives_another_key { key_and_request(&aws.folder).0 } else { key };
            let id = format!("{:064}", aws.certificates.len() + 1);
            let arn = format!("arn:aws:iot:us-east-1:111111111111:cert/{id}");
            let certificate =
                Certificate { status: "INACTIVE".to_owned(), pem: pem.clone(), policies: BTreeSet::new() };
            aws.certificates.insert(arn.clone(), certificate);
            let pair = json!({ "PublicKey": "", "PrivateKey": key });
            return json!({ "certificateArn": arn, "certificateId": id, "certificatePem": pem, "keyPair": pair })
                .to_string()
                .into_response();
        }
        ("GET", ["certificates", id]) => {
            let found = aws.certificates.iter().find(|(arn, _)| arn.ends_with(id));
            let Some((arn, found)) = found else { return missing() };
            let description = json!({ "certificateArn": arn, "status": found.status, "certificatePem": found.pem });
            return json!({ "certificateDescription": description }).to_string().into_response();
        }
        ("PUT", ["certificates", id]) => {
            let status = query.strip_prefix("newStatus=").expect("a status").to_owned();
            let found = aws.certificates.iter_mut().find(|(arn, _)| arn.ends_with(id));
            found.expect("a certificate").1.status = status;
        }
        ("DELETE", ["certificates", id]) => {
            assert_eq!(query, "forceDelete=true");
            let attached = aws.things.values().any(|thing| thing.certificates.iter().any(|arn| arn.ends_with(id)));
            let active = aws.certificates.iter().any(|(arn, found)| arn.ends_with(id) && found.status == "ACTIVE");
            if attached || active {
                return refused(StatusCode::CONFLICT, "DeleteConflictException");
            }
            aws.certificates.retain(|arn, _| !arn.ends_with(id));
        }
        ("POST", ["attached-policies", arn]) => {
            let policies = aws.certificates[*arn].policies.iter();
            let policies: Vec<Value> = policies.map(|policy| json!({ "policyName": policy })).collect();
            return json!({ "policies": policies }).to_string().into_response();
        }
        ("PUT", ["target-policies", policy]) => {
            let found = aws.certificates.get_mut(&text("target")).expect("a certificate");
            assert!(found.policies.insert((*policy).to_owned()), "attached twice");
        }
        ("POST", ["target-policies", policy]) => {
            let found = aws.certificates.get_mut(&text("target")).expect("a certificate");
            assert!(found.policies.remove(*policy), "detached twice");
        }
        other => panic!("{other:?} was not expected"),
    }
    "{}".into_response()
}

fn kinesis(aws: &mut Aws, target: &str, body: &[u8]) -> Response {
    let request: Value = serde_json::from_slice(body).expect("JSON");
    let answer = match target.split_once('.').expect("a service").1 {
        "ListStreams" => json!({ "HasMoreStreams": false, "StreamNames": ["other", STREAM] }),
        "DescribeStreamSummary" => {
            let arn = format!("arn:aws:kinesis:us-east-1:{}:stream/{STREAM}", aws.account);
            json!({ "StreamDescriptionSummary": { "StreamName": STREAM, "StreamARN": arn, "StreamStatus": "ACTIVE",
                "RetentionPeriodHours": 24, "StreamCreationTimestamp": 1, "EnhancedMonitoring": [], "OpenShardCount": 1 } })
        }
        "PutRecord" => {
            let data = STANDARD.decode(request["Data"].as_str().expect("data")).expect("base64");
            let record: Value = serde_json::from_slice(&data).expect("a record");
            assert_eq!(request["PartitionKey"], record["d"], "the partition key is the device");
            aws.records.push(record);
            aws.changes.push("put record".to_owned());
            json!({ "SequenceNumber": aws.records.len().to_string(), "ShardId": "shardId-000000000000" })
        }
        other => panic!("{other} was not expected"),
    };
    answer.to_string().into_response()
}

fn decode(part: &str) -> String {
    let mut bytes = part.bytes();
    let mut decoded = Vec::new();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let digits: Vec<u8> = bytes.by_ref().take(2).collect();
            let digits = String::from_utf8(digits).expect("two digits");
            decoded.push(u8::from_str_radix(&digits, 16).expect("two digits"));
        } else {
            decoded.push(byte);
        }
    }
    String::from_utf8(decoded).expect("text")
}

pub(crate) fn openssl(words: &[&str]) -> Vec<u8> {
    let output = Command::new("openssl").args(words).output().expect("openssl is installed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// A certificate of a request, by an authority of the test's own.
fn sign(folder: &Path, request: &str) -> String {
    let file = |name: &str| folder.join(name).display().to_string();
    if !folder.join("ca.crt").exists() {
        let new = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=A"];
        openssl(&[&new[..], &["-keyout", &file("ca.key"), "-out", &file("ca.crt")]].concat());
    }
    fs::write(folder.join("request.csr"), request).expect("a file");
    let (crt, key, csr) = (file("ca.crt"), file("ca.key"), file("request.csr"));
    let words = ["x509", "-req", "-in", &csr, "-CA", &crt, "-CAkey", &key, "-CAcreateserial"];
    String::from_utf8(openssl(&words)).expect("PEM")
}

/// A key as AWS IoT makes it, RSA in the form of PKCS #1, and a request for a certificate of it.
pub(crate) fn key_and_request(folder: &Path) -> (String, String) {
    let key = folder.join("made.key").display().to_string();
    openssl(&["genrsa", "-traditional", "-out", &key, "2048"]);
    let request = openssl(&["req", "-new", "-key", &key, "-subj", "/CN=AWS IoT Certificate"]);
    (fs::read_to_string(&key).expect("a key"), String::from_utf8(request).expect("PEM"))
}
