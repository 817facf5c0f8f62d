//! `fleetform devices desired` before a registry of four devices and their shadows.
#![cfg(feature = "aws")]

use std::{
    collections::BTreeMap,
    net::Ipv4Addr,
    process::{Command, Output},
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, Method, StatusCode, Uri},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};
use tokio::net::TcpListener;

const PLATFORM: &str = r#"
schema = 1
[platform]
name = "my-water"
[environments.dev]
account = "111111111111"
region  = "us-east-1"
[zones.north]
title    = "North"
contacts = ["oncall"]
[zones.south]
title    = "South"
contacts = ["oncall"]
[contacts.oncall]
email = ["oncall@example.com"]
[device_types.meter]
report_every = "1m"
shadows      = ["radio"]
[device_types.meter.readings]
pressure = { min = 0, max = 100 }
[device_types.meter.desired]
interval_s = { type = "int", unit = "s", default = 60, min = 5, max = 3600 }
mode       = { type = "enum", values = ["eco", "full"], default = "eco" }
channel    = { type = "int", default = 1, min = 1, max = 13, shadow = "radio" }
[device_types.valve]
report_every = "1m"
[device_types.valve.readings]
position = { min = 0, max = 100 }
"#;

#[derive(Clone, Default)]
struct Aws {
    /// The state of each device's shadow, and its version. A named one is called `<device>?name=<shadow>`.
    shadows: BTreeMap<String, (Value, u64)>,
    changes: Vec<(String, Value)>,
    requests: usize,
    /// The device after whose shadow nothing is answered any more.
    broken_after: Option<&'static str>,
    /// Changes that somebody else makes between a look and a change.
    meddling: usize,
}

const THINGS: [(&str, &str, &str, &str); 5] = [
    ("m-1", "meter", "north", "false"),
    ("m-2", "meter", "north", "false"),
    ("m-3", "meter", "south", "false"),
    ("m-4", "meter", "north", "true"),
    ("v-1", "valve", "south", "false"),
];

type Shared = Arc<Mutex<Aws>>;

async fn answer(State(aws): State<Shared>, method: Method, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let mut aws = aws.lock().expect("no handler fails");
    aws.requests += 1;
    let refused = |status: StatusCode, code: &'static str| {
        (status, [("x-amzn-errortype", code)], r#"{"message":"refused"}"#).into_response()
    };
    let signed = headers["authorization"].to_str().expect("text").to_owned();
    let of_shadow = uri.path().strip_prefix("/things/").and_then(|path| path.strip_suffix("/shadow"));
    let shadow = of_shadow.map(|device| match uri.query() {
        None => device.to_owned(),
        Some(query) => format!("{device}?{query}"),
    });
    let (Some(device), Some(shadow)) = (of_shadow, shadow) else {
        assert_eq!(method, Method::GET);
        assert!(signed.contains("/us-east-1/iot/aws4_request"), "{signed}");
        let things: Vec<Value> = THINGS
            .iter()
            .map(|(name, of_type, zone, retired)| {
                let attributes = json!({ "stack": "my-water-dev", "told": "x", "revision": "1", "type": of_type,
                    "zone": zone, "retired": retired });
                let arn = format!("arn:aws:iot:us-east-1:111111111111:thing/{name}");
                json!({ "thingName": name, "thingArn": arn, "attributes": attributes, "version": 1 })
            })
            .collect();
        return match uri.path().strip_prefix("/things/") {
            None => json!({ "things": things }).to_string().into_response(),
            Some(name) => match things.iter().find(|thing| thing["thingName"] == name) {
                Some(thing) => thing.to_string().into_response(),
                None => refused(StatusCode::NOT_FOUND, "ResourceNotFoundException"),
            },
        };
    };
    assert!(signed.contains("/us-east-1/iotdata/aws4_request"), "{signed}");
    if aws.broken_after.is_some_and(|last| device > last) {
        return refused(StatusCode::FORBIDDEN, "ForbiddenException");
    }
    let found = aws.shadows.get(&shadow).cloned();
    if method == Method::GET {
        let Some((state, version)) = found else {
            return refused(StatusCode::NOT_FOUND, "ResourceNotFoundException");
        };
        let metadata = json!({ "reported": { "interval_s": { "timestamp": 1_700_000_000 } } });
        return json!({ "state": state, "metadata": metadata, "version": version }).to_string().into_response();
    }
    let asked: Value = serde_json::from_slice(&body).expect("JSON");
    let (mut state, mut version) = found.unwrap_or((json!({ "desired": {} }), 0));
    if aws.meddling > 0 {
        aws.meddling -= 1;
        version += 1;
        aws.shadows.insert(shadow, (state, version));
        return refused(StatusCode::CONFLICT, "ConflictException");
    }
    assert_eq!(asked["version"].as_u64().unwrap_or(0), version);
    for (name, value) in asked["state"]["desired"].as_object().expect("settings") {
        match value {
            Value::Null => drop(state["desired"].as_object_mut().expect("settings").remove(name)),
            value => state["desired"][name] = value.clone(),
        }
    }
    aws.changes.push((shadow.clone(), asked["state"]["desired"].clone()));
    aws.shadows.insert(shadow, (state, version + 1));
    json!({ "version": version + 1 }).to_string().into_response()
}

async fn desired(aws: Aws, arguments: &'static [&'static str]) -> (Output, Aws) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
    let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
    let aws = Arc::new(Mutex::new(aws));
    let service = Router::new().fallback(answer).with_state(Arc::clone(&aws));
    let server = tokio::spawn(async move { axum::serve(listener, service).await });
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("platform.toml"), PLATFORM).expect("the platform file");
    let mut command = Command::new(env!("CARGO_BIN_EXE_fleetform"));
    command.current_dir(folder.path()).env_clear().env("HOME", folder.path()).env("AWS_ENDPOINT_URL", endpoint);
    command
        .env("AWS_ACCESS_KEY_ID", "test")
        .env("AWS_SECRET_ACCESS_KEY", "test")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("FLEETFORM_BACKOFF_MS", "1");
    command.args(["devices", "desired", "--rate", "1000"]).args(arguments);
    let output =
        tokio::task::spawn_blocking(move || command.output()).await.expect("no panic").expect("the command runs");
    server.abort();
    let _ = server.await;
    let aws = std::mem::take(&mut *aws.lock().expect("no handler failed"));
    (output, aws)
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// One device reports what is desired of it, and one something else.
fn shadows() -> Aws {
    let same = json!({ "desired": { "interval_s": 60 }, "reported": { "interval_s": 60.0, "mode": "eco" } });
    let other = json!({ "desired": { "mode": "full" }, "reported": { "interval_s": 30, "mode": "eco" } });
    Aws { shadows: BTreeMap::from([("m-1".to_owned(), (same, 4)), ("m-3".to_owned(), (other, 9))]), ..Aws::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_devices_do_not_report_is_shown() {
    let (output, aws) = desired(shadows(), &["--type", "meter"]).await;
    let said = text(&output);
    assert!(output.status.success(), "{said}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "m-3 mode: desired \"full\", reported \"eco\"\n");
    assert!(said.contains("1 of 3 devices differ from what is desired"), "{said}");
    assert!(aws.changes.is_empty());
    let (output, _) = desired(shadows(), &["m-1", "--all"]).await;
    let said = text(&output);
    assert!(said.contains("m-1 interval_s: desired 60, reported 60.0 ") && said.contains(" d ago"), "{said}");
    assert!(said.contains("m-1 mode: desired nothing, reported \"eco\""), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn several_devices_are_set_when_their_number_is_said_and_once_more_nothing_is() {
    const SET: [&str; 6] = ["--type", "meter", "--set", "interval_s=60", "--set", "mode=full"];
    let (output, aws) = desired(shadows(), &SET).await;
    assert_eq!(output.status.code(), Some(2));
    assert!(
        text(&output).contains("this would change 3 devices") && text(&output).contains("--count 3"),
        "{}",
        text(&output)
    );
    assert!(aws.changes.is_empty());
    let (output, aws) =
        desired(shadows(), &["--type", "meter", "--set", "interval_s=60", "--set", "mode=full", "--dry-run"]).await;
    assert!(text(&output).contains("would set m-2 {\"interval_s\":60,\"mode\":\"full\"}"), "{}", text(&output));
    assert!(aws.changes.is_empty());

    const COUNTED: [&str; 8] = ["--type", "meter", "--set", "interval_s=60", "--set", "mode=full", "--count", "3"];
    let (output, aws) = desired(Aws { meddling: 1, ..shadows() }, &COUNTED).await;
    assert!(output.status.success(), "{}", text(&output));
    // Only what is not desired already, and of no device that was revoked.
    let expected = [
        ("m-1", json!({ "mode": "full" })),
        ("m-2", json!({ "interval_s": 60, "mode": "full" })),
        ("m-3", json!({ "interval_s": 60 })),
    ];
    assert_eq!(aws.changes, expected.map(|(device, values)| (device.to_owned(), values)));
    let (output, aws) = desired(Aws { changes: Vec::new(), ..aws }, &COUNTED).await;
    assert!(text(&output).contains("set on 0 of 3 devices"), "{}", text(&output));
    assert!(aws.changes.is_empty());
    let (output, aws) = desired(aws, &["--zone", "north", "--unset", "mode", "--count", "2"]).await;
    assert!(output.status.success(), "{}", text(&output));
    assert_eq!(aws.changes[0], ("m-1".to_owned(), json!({ "mode": null })));
    assert_eq!(aws.shadows["m-2"].0["desired"], json!({ "interval_s": 60 }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_setting_is_read_and_set_in_the_shadow_that_it_lives_in() {
    let radio = json!({ "desired": { "channel": 6 }, "reported": { "channel": 1 } });
    let with_radio = || {
        let mut aws = shadows();
        aws.shadows.insert("m-1?name=radio".to_owned(), (radio.clone(), 7));
        aws
    };
    let (output, aws) = desired(with_radio(), &["--type", "meter"]).await;
    let said = text(&output);
    let listed = "m-1 channel: desired 6, reported 1 in shadow radio\nm-3 mode: desired \"full\", reported \"eco\"\n";
    assert_eq!(String::from_utf8_lossy(&output.stdout), listed);
    assert!(said.contains("2 of 3 devices differ"), "{said}");
    assert!(aws.changes.is_empty());

    const SET: [&str; 6] = ["--type", "meter", "--set", "channel=6", "--set", "mode=full"];
    let (output, aws) = desired(with_radio(), &[SET[0], SET[1], SET[2], SET[3], SET[4], SET[5], "--dry-run"]).await;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("would set m-3 {\"channel\":6} in shadow radio\n"), "{said}");
    assert!(said.contains("would set m-2 {\"mode\":\"full\"}\n"), "{said}");
    assert!(!said.contains("m-1 {\"channel\""), "{said}");
    assert!(aws.changes.is_empty());

    // Somebody meddles with the first shadow that is set, whose version alone is another then.
    const COUNTED: [&str; 8] = ["--type", "meter", "--set", "channel=6", "--set", "mode=full", "--count", "3"];
    let (output, aws) = desired(Aws { meddling: 1, ..with_radio() }, &COUNTED).await;
    assert!(output.status.success(), "{}", text(&output));
    let expected = [
        ("m-1", json!({ "mode": "full" })),
        ("m-2", json!({ "mode": "full" })),
        ("m-2?name=radio", json!({ "channel": 6 })),
        ("m-3?name=radio", json!({ "channel": 6 })),
    ];
    assert_eq!(aws.changes, expected.map(|(shadow, values)| (shadow.to_owned(), values)));
    assert_eq!(aws.shadows["m-1?name=radio"].1, 7, "nothing was to be set there");
    assert!(text(&output).contains("set on 3 of 3 devices"), "{}", text(&output));
    let (output, aws) = desired(Aws { changes: Vec::new(), ..aws }, &COUNTED).await;
    assert!(text(&output).contains("set on 0 of 3 devices"), "{}", text(&output));
    assert!(aws.changes.is_empty());
    let (output, aws) = desired(aws, &["m-1", "--unset", "channel"]).await;
    assert_eq!(String::from_utf8_lossy(&output.stdout), "m-1 {\"channel\":null} in shadow radio\n");
    assert_eq!(aws.shadows["m-1?name=radio"].0["desired"], json!({}));
    assert_eq!(aws.shadows["m-1"].0["desired"]["mode"], "full");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_was_stopped_is_taken_up() {
    const SET: [&str; 6] = ["--type", "meter", "--set", "interval_s=5", "--count", "3"];
    let (output, aws) = desired(Aws { broken_after: Some("m-1"), ..shadows() }, &SET).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output).contains("1 of 3 devices are done: run this again"), "{}", text(&output));
    assert_eq!(aws.changes.len(), 1);
    let (output, aws) = desired(Aws { broken_after: None, ..aws }, &SET).await;
    assert!(output.status.success(), "{}", text(&output));
    assert_eq!(aws.changes.iter().map(|(device, _)| device.as_str()).collect::<Vec<_>>(), ["m-1", "m-2", "m-3"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_setting_does_not_take_is_refused_before_anything_is_asked() {
    for (arguments, problem) in [
        (&["--type", "meter", "--set", "interval_s=4"][..], "does not take `4`"),
        (&["--type", "meter", "--set", "interval_s=5.5"], "does not take `5.5`"),
        (&["--type", "meter", "--set", "mode=off"], "does not take `off`"),
        (&["--type", "meter", "--set", "speed=1"], "no setting `speed`; its settings: channel, interval_s, mode"),
        (&["--type", "meter", "--unset", "speed"], "no setting `speed`"),
        (&["--type", "meter", "--set", "mode=eco", "--unset", "mode"], "is given twice"),
        (&["--type", "pump", "--set", "mode=eco"], "no device type `pump`"),
        (&["--zone", "east"], "no zone `east`"),
    ] {
        let (output, aws) = desired(shadows(), arguments).await;
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(text(&output).contains(problem), "{arguments:?}: {}", text(&output));
        assert_eq!(aws.requests, 0, "{arguments:?}");
    }
    // Of a zone with devices of several types, each has to have the setting.
    let (output, aws) = desired(shadows(), &["--zone", "south", "--set", "mode=eco", "--count", "2"]).await;
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output).contains("1 device: device type `valve` has no setting `mode`"), "{}", text(&output));
    assert!(aws.changes.is_empty());
    let (output, _) = desired(shadows(), &["nobody", "--set", "mode=eco"]).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output).contains("has no matching device in service"), "{}", text(&output));
}
