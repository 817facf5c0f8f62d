//! `fleetform devices` with a registry at the other end of the connection: what is asked for, in which order, and what is
//! left in the end. That a run may be stopped anywhere is shown beside the order of steps, over a registry in memory.
#![cfg(all(unix, feature = "aws"))]

mod registry;

use std::{
    fs,
    net::Ipv4Addr,
    os::unix::fs::PermissionsExt as _,
    process::{Command, Output, Stdio},
    sync::{Arc, Mutex},
};

use axum::Router;
use registry::{Aws, Shared, Thing, answer, key_and_request, openssl};
use serde_json::json;
use tempfile::TempDir;
use tokio::{net::TcpListener, task::JoinHandle};

const CORE: [&str; 2] = ["my-water-dev-core", "my-water-dev-shadow"];

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
attributes = { max_pressure = { default = 60.0 } }
[device_types.meter.readings]
pressure = { min = 0, max = 100 }
"#;

/// A project with a registry that answers it.
struct Place {
    folder: TempDir,
    aws: Shared,
    endpoint: String,
    server: JoinHandle<()>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Place {
    async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let authority = folder.path().join("authority");
        fs::create_dir(&authority).expect("a folder");
        fs::write(folder.path().join("platform.toml"), PLATFORM).expect("the platform file");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
        let aws = Aws { account: "111111111111".to_owned(), folder: authority, ..Aws::default() };
        let aws = Arc::new(Mutex::new(aws));
        let service = Router::new().fallback(answer).with_state(Arc::clone(&aws));
        let server = tokio::spawn(async move { axum::serve(listener, service).await.expect("it serves") });
        Self { folder, aws, endpoint, server }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fleetform"));
        let folder = self.folder.path();
        command.current_dir(folder).env_clear().env("HOME", folder).env("AWS_ENDPOINT_URL", &self.endpoint);
        command
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("FLEETFORM_BACKOFF_MS", "1");
        command.arg("devices").args(arguments).stdin(Stdio::null());
        command
    }

    async fn output(&self, arguments: &[&str]) -> Output {
        self.run(self.command(arguments)).await
    }

    async fn run(&self, mut command: Command) -> Output {
        {
            let mut aws = self.aws.lock().expect("no handler failed");
            aws.changes.clear();
            aws.requests = 0;
        }
        tokio::task::spawn_blocking(move || command.output()).await.expect("no panic").expect("the command runs")
    }

    async fn done(&self, arguments: &[&str]) -> String {
        let output = self.output(arguments).await;
        assert!(output.status.success(), "{arguments:?}: {}", text(&output));
        text(&output)
    }

    async fn refused(&self, arguments: &[&str]) -> String {
        let output = self.output(arguments).await;
        assert!(matches!(output.status.code(), Some(1 | 2)), "{arguments:?}: {}", text(&output));
        assert_eq!(self.changes(), [""; 0], "{arguments:?}");
        text(&output)
    }

    fn changes(&self) -> Vec<String> {
        self.aws.lock().expect("no handler failed").changes.clone()
    }

    fn requests(&self) -> usize {
        self.aws.lock().expect("no handler failed").requests
    }

    fn thing(&self, name: &str) -> Thing {
        self.aws.lock().expect("no handler failed").things[name].clone()
    }

    /// Status and policies of the certificates of a device.
    fn certificates(&self, device: &str) -> Vec<(String, Vec<String>)> {
        let arns = self.thing(device).certificates;
        let aws = self.aws.lock().expect("no handler failed");
        let of = |arn: &String| &aws.certificates[arn];
        arns.iter().map(of).map(|found| (found.status.clone(), found.policies.iter().cloned().collect())).collect()
    }
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn active() -> (String, Vec<String>) {
    ("ACTIVE".to_owned(), CORE.map(str::to_owned).to_vec())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_becomes_devices_and_a_second_run_changes_nothing() {
    let place = Place::new().await;
    let manifest = "device,type,zone,attributes\nsensor-1,meter,north,max_pressure=70\nsensor-2,meter,south,\n";
    fs::write(place.folder.path().join("manifest.csv"), manifest).expect("a file");
    let plan = place.done(&["import", "manifest.csv", "--dry-run"]).await;
    assert_eq!(place.changes(), [""; 0], "case 18: a dry run changes nothing");
    assert!(plan.contains("would create thing sensor-1 of type my-water-dev-meter"), "{plan}");
    assert!(!place.folder.path().join("devices").exists());

    let printed = place.done(&["import", "manifest.csv"]).await;
    assert!(printed.contains("2 of 2: sensor-2"), "{printed}");
    let first: Vec<String> = place.changes().into_iter().take(9).collect();
    assert_eq!(
        first,
        [
            "POST /things/sensor-1",
            "PUT /thing-groups/addThingToThingGroup",
            "put record",
            "PATCH /things/sensor-1",
            "POST /certificates",
            "PUT /target-policies/my-water-dev-core",
            "PUT /target-policies/my-water-dev-shadow",
            "PUT /things/sensor-1/principals",
            &format!("PUT /certificates/{:064}", 1),
        ]
    );
    for (device, zone) in [("sensor-1", "north"), ("sensor-2", "south")] {
        assert_eq!(place.certificates(device), [active()]);
        assert_eq!(place.thing(device).groups.into_iter().collect::<Vec<_>>(), [format!("my-water-dev-{zone}")]);
        let file = |end: &str| place.folder.path().join(format!("devices/dev/{device}.{end}")).display().to_string();
        let of_certificate = openssl(&["x509", "-in", &file("crt"), "-noout", "-pubkey"]);
        assert_eq!(of_certificate, openssl(&["pkey", "-in", &file("key"), "-pubout"]), "the key is the certificate's");
        assert_eq!(fs::metadata(file("key")).expect("a key").permissions().mode() & 0o777, 0o600);
    }
    assert!(!printed.contains("PRIVATE KEY"));
    let record = place.aws.lock().expect("no handler failed").records[0].clone();
    assert_eq!(record["attributes"], json!({ "max_pressure": 70 }));
    assert_eq!(place.thing("sensor-1").attributes["revision"], record["rev"].to_string());

    place.done(&["import", "manifest.csv"]).await;
    assert_eq!(place.changes(), [""; 0], "case 17: a second run changes nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_moves_gets_another_certificate_and_goes() {
    let place = Place::new().await;
    place.done(&["add", "sensor-1", "--type", "meter", "--zone", "north"]).await;
    place.done(&["move", "sensor-1", "--zone", "south"]).await;
    assert_eq!(place.thing("sensor-1").groups.into_iter().collect::<Vec<_>>(), ["my-water-dev-south"]);
    place.done(&["move", "sensor-1", "--zone", "south"]).await;
    assert_eq!(place.changes(), [""; 0]);
    place.done(&["rotate", "sensor-1"]).await;
    assert_eq!(place.certificates("sensor-1"), [active(), active()]);
    place.done(&["rotate", "sensor-1"]).await;
    assert_eq!(place.changes(), [""; 0]);
    place.done(&["rotate", "sensor-1", "--finish"]).await;
    assert_eq!(place.certificates("sensor-1"), [active()]);
    place.done(&["revoke", "sensor-1"]).await;
    assert_eq!(place.certificates("sensor-1"), []);
    place.done(&["revoke", "sensor-1"]).await;
    assert_eq!(place.changes(), [""; 0], "case 22");
    place.done(&["remove", "sensor-1"]).await;
    let aws = place.aws.lock().expect("no handler failed");
    assert_eq!((aws.things.len(), aws.certificates.len()), (0, 0));
    assert_eq!(aws.records.last().expect("a record")["retired"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn case_19_a_call_that_is_throttled_three_times_succeeds() {
    let place = Place::new().await;
    place.aws.lock().expect("nobody holds it").throttle = 3;
    place.done(&["add", "sensor-1", "--type", "meter", "--zone", "north"]).await;
    assert_eq!(place.certificates("sensor-1"), [active()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn case_20_a_key_that_others_can_read_is_not_used() {
    let place = Place::new().await;
    let keys = place.folder.path().join("devices/dev");
    fs::create_dir_all(&keys).expect("a folder");
    fs::write(keys.join("sensor-1.key"), "a key").expect("a file");
    fs::set_permissions(keys.join("sensor-1.key"), fs::Permissions::from_mode(0o644)).expect("a mode");
    let said = place.refused(&["add", "sensor-1", "--type", "meter", "--zone", "north"]).await;
    assert!(said.contains("its mode is 644") && said.contains("chmod 600"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn case_21_the_wrong_account_or_region_stops_before_the_first_change() {
    let place = Place::new().await;
    place.aws.lock().expect("nobody holds it").account = "999999999999".to_owned();
    let add = ["add", "sensor-1", "--type", "meter", "--zone", "north"];
    assert!(place.refused(&add).await.contains("is in account 999999999999"));
    let mut command = place.command(&add);
    command.env("AWS_REGION", "eu-west-1");
    let output = place.run(command).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output).contains("AWS_REGION is eu-west-1, but environment `dev` is in us-east-1"),
        "{}",
        text(&output)
    );
    assert_eq!(place.requests(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hostile_manifest_is_named_line_by_line_and_nothing_is_asked() {
    let place = Place::new().await;
    let manifest = place.folder.path().join("manifest.csv");
    fs::write(
        &manifest,
        "device,type,zone,attributes,csr\r\nsensor-1,meter,north,max_pressure=70,\r\nsensor 2,meter,north,,\n\
         sensor-3,pump,north,,\nsensor-4,meter,east,,\nsensor-1,meter,north,,\nsensor-6,meter,north,max_pressure=high,\n\
         ../../x,meter,north,,\nsensor-8,meter,north,max_pressure=1e3,\nsensor-9,\"meter\",north,,\n\
         sensor-10,meter,north,,,,\nsensor-11,meter,north,,platform.toml\nsensor-12,meter,north,,nowhere.csr\n",
    )
    .expect("a file");
    let said = place.refused(&["import", "manifest.csv"]).await;
    for line in [
        "manifest.csv:3: ",
        "manifest.csv:4: there is no device type `pump`",
        "manifest.csv:5: there is no zone `east`",
        "manifest.csv:6: `sensor-1` is in the file twice",
        "manifest.csv:7: attribute `max_pressure` must be a finite number",
        "manifest.csv:8: ",
        "manifest.csv:9: attribute `max_pressure` must be written in digits",
        "manifest.csv:10: cells must not be quoted",
        "manifest.csv:11: it has more cells than the first line",
        "manifest.csv:12: platform.toml is not a certificate signing request",
        "manifest.csv:13: cannot read nowhere.csr",
        "manifest.csv has 11 problems: nothing was done",
    ] {
        assert!(said.contains(line), "{line} is missing in\n{said}");
    }
    assert_eq!(place.requests(), 0, "no call is made");
    for (header, problem) in [
        ("", "is empty"),
        ("device,type\n", "no column `zone`"),
        ("device,type,zone,colour\n", "`colour`"),
        ("device,type,zone,type\n", "column `type` is there twice"),
    ] {
        fs::write(&manifest, header).expect("a file");
        assert!(place.refused(&["import", "manifest.csv"]).await.contains(problem), "{problem}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_of_the_devices_own_leaves_no_key_here() {
    let place = Place::new().await;
    let file = |name: &str| place.folder.path().join(name).display().to_string();
    openssl(&["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", &file("own.key")]);
    openssl(&["req", "-new", "-key", &file("own.key"), "-subj", "/CN=x", "-out", &file("own.csr")]);
    place.done(&["add", "sensor-1", "--type", "meter", "--zone", "north", "--csr", "own.csr"]).await;
    assert!(!place.folder.path().join("devices/dev/sensor-1.key").exists());
    assert_eq!(place.certificates("sensor-1"), [active()]);
    let said = place.refused(&["add", "sensor-2", "--type", "meter", "--zone", "north", "--csr", "own.key"]).await;
    assert!(said.contains("is not a certificate signing request"), "{said}");
    assert_eq!(place.requests(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_alone_needs_no_thing() {
    let place = Place::new().await;
    let add = ["add", "sensor-1", "--type", "meter", "--zone", "north", "--record-only", "--revision", "7"];
    place.done(&add).await;
    assert_eq!(place.changes(), ["put record"]);
    assert_eq!(place.aws.lock().expect("no handler failed").records[0]["rev"], 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_made_by_aws_have_to_be_wanted_and_asked_for() {
    const ADD: [&str; 7] = ["add", "sensor-1", "--type", "meter", "--zone", "north", "--insecure-server-keys"];
    let place = Place::new().await;
    let platform = place.folder.path().join("platform.toml");
    for more in ["", "[identity]\nprovisioning = \"fleet_claim\"\n"] {
        fs::write(&platform, PLATFORM.to_owned() + more).expect("the platform file");
        for arguments in [&ADD[..], &["rotate", "sensor-1", ADD[6]], &["import", "manifest.csv", ADD[6]]] {
            let said = place.refused(arguments).await;
            assert!(said.contains("identity.provisioning = \"server_keys\""), "{said}");
            assert_eq!(place.requests(), 0, "{arguments:?}");
        }
    }
    fs::write(&platform, PLATFORM.to_owned() + "[identity]\nprovisioning = \"server_keys\"\n")
        .expect("the platform file");
    let said = place.refused(&[&ADD[..], &["--csr", "own.csr"]].concat()).await;
    assert!(said.contains("cannot be used with"), "{said}");

    // Whoever does not ask for it makes the key, as ever.
    place.done(&["add", "sensor-2", "--type", "meter", "--zone", "north"]).await;
    assert!(place.changes().contains(&"POST /certificates".to_owned()));

    place.aws.lock().expect("no handler failed").gives_another_key = true;
    let output = place.output(&ADD).await;
    let said = text(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("a key that is not the certificate's") && !said.contains("PRIVATE KEY"), "{said}");
    let file = |end: &str| place.folder.path().join(format!("devices/dev/sensor-1.{end}"));
    assert!(!file("key").exists() && !file("arn").exists() && file("pending").exists());
    place.aws.lock().expect("no handler failed").gives_another_key = false;

    let printed = place.done(&ADD).await;
    let changes = place.changes();
    assert_eq!(changes[0], "POST /keys-and-certificate", "the record is on the stream already");
    assert_eq!(changes.last().map(String::as_str), Some(&*format!("PUT /certificates/{:064}", 3)), "{changes:?}");
    assert_eq!(place.certificates("sensor-1"), [active()]);
    assert!(!printed.contains("PRIVATE KEY"), "{printed}");
    let name = |end: &str| file(end).display().to_string();
    let of_certificate = openssl(&["x509", "-in", &name("crt"), "-noout", "-pubkey"]);
    assert_eq!(of_certificate, openssl(&["pkey", "-in", &name("key"), "-pubout"]), "the key is the certificate's");
    assert_eq!(fs::metadata(file("key")).expect("a key").permissions().mode() & 0o777, 0o600);
    assert!(!file("csr").exists() && !file("pending").exists());
    place.done(&ADD).await;
    assert_eq!(place.changes(), [""; 0], "once more changes nothing");

    place.done(&["rotate", "sensor-1", "--insecure-server-keys"]).await;
    assert!(place.changes().contains(&"POST /keys-and-certificate".to_owned()));
    assert_eq!(place.certificates("sensor-1"), [active(), active()]);
    let own = key_and_request(place.folder.path()).1;
    fs::write(place.folder.path().join("own.csr"), own).expect("a file");
    let manifest = place.folder.path().join("manifest.csv");
    fs::write(&manifest, "device,type,zone,csr\nsensor-3,meter,north,own.csr\n").expect("a file");
    let said = place.refused(&["import", "manifest.csv", "--insecure-server-keys"]).await;
    assert!(said.contains("sensor-3 has a certificate signing request of its own"), "{said}");
    fs::write(&manifest, "device,type,zone\nsensor-3,meter,north\n").expect("a file");
    place.done(&["import", "manifest.csv", "--insecure-server-keys"]).await;
    assert_eq!(place.certificates("sensor-3"), [active()]);
}
