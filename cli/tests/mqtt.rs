//! `fleetform simulate --mqtt` before mosquitto, started with the configuration and the access that `--test-ca` makes:
//! what may pass does, and nobody speaks for another.
#![cfg(all(unix, feature = "mqtt"))]

use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader},
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
    time::{Duration, Instant},
};

const PLATFORM: &str = r#"
schema = 1
[platform]
name = "simulated"
[environments.dev]
account = "111111111111"
region  = "us-east-1"
[environments.prod]
account = "222222222222"
region  = "us-east-1"
protect = true
[zones.zone-a]
title    = "A"
contacts = ["oncall"]
[contacts.oncall]
email = ["oncall@example.com"]
[mqtt]
retain_status = true
last_will     = true
[processor]
sweep_every = "1m"
[device_types.meter]
report_every = "200ms"
[device_types.meter.readings]
pressure = { min = 0, max = 100 }
"#;

/// How long to wait for what must come. Nothing waits so long unless it fails.
const PATIENCE: Duration = Duration::from_secs(60);

/// Programs end with the test that started them.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A program of mosquitto's, where `cargo xtask tools` unpacked it.
fn mosquitto(name: &str) -> Option<PathBuf> {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.tools/mosquitto").join(name);
    if program.exists() {
        return Some(program);
    }
    anstream::eprintln!("MQTT is left out: `cargo xtask tools` unpacks mosquitto where Debian's packages are");
    None
}

/// A folder with a platform, a test authority, and a broker that runs with it.
struct Bench {
    folder: tempfile::TempDir,
    port: u16,
    log: Receiver<String>,
    broker: Running,
}

impl Bench {
    fn new(devices: usize) -> Option<Self> {
        Self::with(devices, "", "")
    }

    /// A bench whose platform and access say more.
    fn with(devices: usize, platform: &str, access: &str) -> Option<Self> {
        Self::of(devices, &(PLATFORM.to_owned() + platform), access)
    }

    /// A bench of another platform.
    fn of(devices: usize, platform: &str, access: &str) -> Option<Self> {
        mosquitto("mosquitto")?;
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("platform.toml"), platform).expect("the platform file");
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
        let port = port.expect("a free port").port();
        let devices = devices.to_string();
        let made = command(&folder, port, &["--per-zone", &devices, "--test-ca", "bench", "--prepare"]).output();
        let made = made.expect("the command runs");
        assert!(made.status.success(), "{}", text(&made));
        let configuration = folder.path().join("bench/mosquitto.conf");
        let more = fs::read_to_string(&configuration).expect("a configuration") + "log_type all\n";
        fs::write(folder.path().join("told.conf"), more).expect("another");
        let file = folder.path().join("bench/access.acl");
        fs::write(&file, fs::read_to_string(&file).expect("access") + access).expect("more of it");
        let (broker, log) = start(&folder, port);
        Some(Self { folder, port, log, broker })
    }

    /// Ends the broker as by a power cut, and starts it again. It has forgotten everything.
    fn restart(&mut self) {
        self.broker.0.kill().and_then(|()| self.broker.0.wait()).expect("it ran");
        (self.broker, self.log) = start(&self.folder, self.port);
    }

    fn simulate(&self, arguments: &[&str]) -> Command {
        command(&self.folder, self.port, arguments)
    }

    /// A client of mosquitto's with a certificate of the bench.
    fn client(&self, program: &str, certificate: &str, id: &str) -> Command {
        let mut command = Command::new(mosquitto(program).expect("it is beside the broker"));
        let bench = self.folder.path().join("bench");
        command.arg("--cafile").arg(bench.join("ca.crt"));
        command.arg("--cert").arg(bench.join(format!("{certificate}.crt")));
        command.arg("--key").arg(bench.join(format!("{certificate}.key")));
        command.args(["-h", "localhost", "-p", &self.port.to_string(), "-i", id, "-q", "1"]);
        command
    }

    fn publish(&self, certificate: &str, id: &str, topic: &str, payload: &str) -> Output {
        let mut command = self.client("mosquitto_pub", certificate, id);
        command.args(["-t", topic, "-m", payload]).output().expect("mosquitto_pub runs")
    }

    /// What a client is sent from now on, each as `<retained> <topic> <payload>`.
    fn subscribe(&self, certificate: &str, id: &str, filters: &[&str]) -> (Running, Receiver<String>) {
        let mut command = self.client("mosquitto_sub", certificate, id);
        command.args(filters.iter().flat_map(|filter| ["-t", filter]));
        let mut client = command.args(["-F", "%r %t %p"]).stdout(Stdio::piped()).spawn().expect("mosquitto_sub runs");
        let messages = lines(client.stdout.take().expect("a pipe"));
        self.told("Sending SUBACK to");
        (Running(client), messages)
    }

    /// Whoever plays the platform, and what devices say.
    fn platform(&self) -> (Running, Receiver<String>) {
        self.subscribe("platform", "anything", &["sensors/#"])
    }

    /// Waits until the broker has said something.
    fn told(&self, what: &str) -> String {
        next(&self.log, |line| line.contains(what))
            .unwrap_or_else(|all| panic!("the broker never said {what}: {all:#?}"))
    }
}

/// Starts the broker, waits until it listens, and gives what it says.
fn start(folder: &tempfile::TempDir, port: u16) -> (Running, Receiver<String>) {
    let mut command = Command::new(mosquitto("mosquitto").expect("it is there"));
    command.arg("-c").arg(folder.path().join("told.conf")).stderr(Stdio::piped());
    let mut broker = command.spawn().expect("the broker starts");
    let log = lines(broker.stderr.take().expect("a pipe"));
    let broker = Running(broker);
    let begin = Instant::now();
    while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
        assert!(begin.elapsed() < PATIENCE, "the broker does not listen");
        thread::sleep(Duration::from_millis(20));
    }
    (broker, log)
}

fn command(folder: &tempfile::TempDir, port: u16, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fleetform"));
    command.current_dir(folder.path()).args(["simulate", "--mqtt", &format!("localhost:{port}")]).args(arguments);
    command
}

fn lines(output: impl std::io::Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    thread::spawn(move || BufReader::new(output).lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
    receiver
}

/// The next line that is wanted, or all that came in its place.
fn next(lines: &Receiver<String>, is_wanted: impl Fn(&str) -> bool) -> Result<String, Vec<String>> {
    let mut others = Vec::new();
    let end = Instant::now() + PATIENCE;
    while let Ok(line) = lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
        if is_wanted(&line) {
            return Ok(line);
        }
        others.push(line);
    }
    Err(others)
}

/// Takes lines until there are as many as are wanted.
fn take(lines: &Receiver<String>, count: usize, is_wanted: impl Fn(&str) -> bool) -> Vec<String> {
    let one = |_| next(lines, &is_wanted).unwrap_or_else(|all| panic!("it never came; what did: {all:#?}"));
    (0..count).map(one).collect()
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A number that stands before some words.
fn number(text: &str, before: &str) -> usize {
    let (until, _) = text.split_once(before).unwrap_or_else(|| panic!("no `{before}` in {text}"));
    until.rsplit(' ').next().and_then(|word| word.parse().ok()).unwrap_or_else(|| panic!("no number in {text}"))
}

#[test]
fn what_devices_say_arrives_and_their_status_is_retained() {
    let Some(bench) = Bench::new(3) else { return };
    let (platform, messages) = bench.platform();
    let run =
        bench.simulate(&["--per-zone", "3", "--test-ca", "bench", "--for", "2s", "--profiles", "steady"]).output();
    let run = run.expect("the command runs");
    let told = text(&run);
    assert!(run.status.success(), "{told}");
    // Each says that it is online before anything else, and that it is offline after all else.
    let sent = number(&told, " messages with ");
    assert!(sent >= 3 * 8, "{told}");
    assert_eq!(number(&told, " messages, "), sent + 6, "{told}");
    assert_eq!(number(&told, " acknowledged; "), sent + 6, "{told}");
    let arrived = take(&messages, sent + 6, |_| true);
    for device in ["sim-00001", "sim-00002", "sim-00003"] {
        let of_device: Vec<&str> =
            arrived.iter().filter_map(|line| line.strip_prefix(&format!("0 sensors/{device}/"))).collect();
        assert_eq!(of_device.first(), Some(&r#"status {"status":"online"}"#), "{arrived:#?}");
        assert_eq!(of_device.last(), Some(&r#"status {"status":"offline"}"#), "{arrived:#?}");
        let telemetry = of_device.iter().filter(|line| line.starts_with("telemetry {\"deviceId\":")).count();
        assert_eq!(telemetry, of_device.len() - 2, "{arrived:#?}");
    }
    drop(platform);
    let (_later, retained) = bench.platform();
    let mut retained = take(&retained, 3, |_| true);
    retained.sort();
    let offline = |device: u32| format!("1 sensors/sim-0000{device}/status {{\"status\":\"offline\"}}");
    assert_eq!(retained, [1, 2, 3].map(offline));
}

#[test]
fn the_will_of_a_device_is_published_when_it_is_gone() {
    let Some(bench) = Bench::new(3) else { return };
    let (_platform, messages) = bench.platform();
    let arguments = ["--per-zone", "3", "--test-ca", "bench", "--for", "10m", "--profiles", "steady"];
    let fleet = bench.simulate(&arguments).stderr(Stdio::null()).spawn().expect("the command runs");
    let mut fleet = Running(fleet);
    take(&messages, 9, |line| line.contains("/telemetry "));
    fleet.0.kill().expect("it runs");
    let mut gone = take(&messages, 3, |line| line.ends_with(r#"/status {"status":"offline"}"#));
    gone.sort();
    gone.dedup();
    assert_eq!(gone.len(), 3, "{gone:#?}");
}

#[test]
fn a_silent_device_is_gone_and_comes_back_with_what_it_has() {
    let Some(bench) = Bench::new(2) else { return };
    let (_platform, messages) = bench.platform();
    let run =
        bench.simulate(&["--per-zone", "2", "--test-ca", "bench", "--for", "6s", "--profiles", "silence"]).output();
    let run = run.expect("the command runs");
    assert!(run.status.success(), "{}", text(&run));
    assert!(text(&run).contains("connections lost: 0;"), "a device that goes on purpose loses nothing: {}", text(&run));
    let statuses = take(&messages, 8, |line| line.contains("sensors/sim-0000") && line.contains("/status "));
    for device in ["sim-00001", "sim-00002"] {
        let of_device = statuses.iter().filter(|line| line.contains(device));
        let is_online: Vec<bool> = of_device.map(|line| line.contains("online")).collect();
        assert_eq!(is_online, [true, false, true, false], "{statuses:#?}");
    }
}

#[test]
fn a_device_loses_nothing_when_the_broker_forgets_it() {
    let Some(mut bench) = Bench::new(3) else { return };
    let arguments = ["--per-zone", "3", "--test-ca", "bench", "--for", "8s", "--profiles", "steady"];
    let fleet = bench.simulate(&arguments).stderr(Stdio::piped()).spawn().expect("the command runs");
    for _ in 0..6 {
        bench.told("Received PUBLISH from sim-0000");
    }
    bench.restart();
    let run = fleet.wait_with_output().expect("it ends");
    let told = text(&run);
    assert!(run.status.success(), "{told}");
    assert!(told.contains("connections lost: 3;"), "{told}");
    let written = number(&told, " messages, ");
    assert_eq!(number(&told, " acknowledged; "), written, "{told}");
    // Each says once more that it is online.
    assert_eq!(written, number(&told, " messages with ") + 9, "{told}");
}

#[test]
fn a_device_takes_what_is_desired_and_reports_it() {
    let settings = "[device_types.meter.desired]\n\
                    interval = { type = \"int\", default = 60, min = 5, max = 3600 }\n\
                    led = { type = \"bool\", default = false }\n";
    // Nothing answers on the topics of shadows here. The platform says what AWS IoT would, and somebody listens.
    let listens = "user sim-00002\ntopic read $aws/things/sim-00001/shadow/update\n";
    let Some(bench) = Bench::with(2, settings, listens) else { return };
    let update = "$aws/things/sim-00001/shadow/update";
    let (_listener, reports) = bench.subscribe("devices/sim-00002", "sim-00002", &[update]);
    let arguments = ["--per-zone", "1", "--test-ca", "bench", "--for", "10s", "--profiles", "steady"];
    let fleet = bench.simulate(&arguments).stderr(Stdio::piped()).spawn().expect("the command runs");
    let report = |reported: &str| format!("0 {update} {{\"state\":{{\"reported\":{reported}}}}}");
    assert_eq!(take(&reports, 1, |_| true), [report(r#"{"interval":60,"led":false}"#)]);
    for (version, state) in [(3, r#"{"interval":10,"led":true}"#), (2, r#"{"interval":20}"#), (4, r#"{"interval":4}"#)]
    {
        let delta = format!(r#"{{"version":{version},"timestamp":1,"state":{state}}}"#);
        bench.publish("platform", "anything", &format!("{update}/delta"), &delta);
    }
    // What came too late is passed over, and what is out of bounds not taken.
    let expected = [report(r#"{"interval":10,"led":true}"#), report(r#"{"interval":10}"#)];
    assert_eq!(take(&reports, 2, |_| true), expected);
    let run = fleet.wait_with_output().expect("it ends");
    assert!(run.status.success(), "{}", text(&run));
    assert!(text(&run).contains("messages received: 3;"), "{}", text(&run));
}

#[test]
fn each_shadow_of_a_device_has_its_own_settings_and_versions() {
    // With the classic one, and the state of its alerts, these are more than AWS IoT takes in one subscription.
    let names = ["a", "b", "c", "d", "e", "f", "radio"];
    let mut settings = format!("[device_types.logger]\nreport_every = \"200ms\"\nshadows = {names:?}\n");
    settings
        .push_str("[device_types.logger.readings]\npressure = { min = 0, max = 100 }\n[device_types.logger.desired]\n");
    settings.push_str("led = { type = \"bool\", default = false }\n");
    for name in names {
        settings.push_str(&format!("of_{name} = {{ type = \"int\", default = 1, max = 13, shadow = \"{name}\" }}\n"));
    }
    let simulated = PLATFORM.find("[device_types.meter]").expect("its type");
    let platform = PLATFORM[..simulated].to_owned() + &settings;
    let listens = "user sim-00002\ntopic read $aws/things/sim-00001/shadow/#\n";
    let Some(bench) = Bench::of(2, &platform, listens) else { return };
    let shadow = "$aws/things/sim-00001/shadow";
    let filter = format!("{shadow}/#");
    let (_listener, reports) = bench.subscribe("devices/sim-00002", "sim-00002", &[&filter]);
    let arguments = ["--per-zone", "1", "--test-ca", "bench", "--for", "10s", "--profiles", "steady"];
    let fleet = bench.simulate(&arguments).stderr(Stdio::piped()).spawn().expect("the command runs");
    let report = |name: &str, reported: &str| {
        let below = if name.is_empty() { String::new() } else { format!("/name/{name}") };
        format!("0 {shadow}{below}/update {{\"state\":{{\"reported\":{reported}}}}}")
    };
    // At a connection, each shadow is reported.
    let mut expected = vec![report("", r#"{"led":false}"#)];
    expected.extend(names.map(|name| report(name, &format!("{{\"of_{name}\":1}}"))));
    assert_eq!(take(&reports, 8, |line| line.contains("/update {")), expected);
    // A version is one of a shadow: what is low for one is not for another. A setting of another shadow is none here.
    for (below, version, state) in [
        ("/name/radio", 9, r#"{"of_radio":6}"#),
        ("", 2, r#"{"led":true,"of_radio":7}"#),
        ("/name/a", 1, r#"{"of_a":2,"of_radio":8}"#),
        ("/name/radio", 8, r#"{"of_radio":9}"#),
        ("/name/radio", 10, r#"{"of_radio":14}"#),
    ] {
        let delta = format!(r#"{{"version":{version},"timestamp":1,"state":{state}}}"#);
        bench.publish("platform", "anything", &format!("{shadow}{below}/update/delta"), &delta);
    }
    let expected = [
        report("radio", r#"{"of_radio":6}"#),
        report("", r#"{"led":true}"#),
        report("a", r#"{"of_a":2}"#),
        report("radio", r#"{"of_radio":6}"#),
    ];
    assert_eq!(take(&reports, 4, |line| line.contains("/update {")), expected);
    let run = fleet.wait_with_output().expect("it ends");
    assert!(run.status.success(), "{}", text(&run));
    assert!(text(&run).contains("messages received: 5;"), "{}", text(&run));
    // Nobody has named this shadow, so nobody may write it.
    bench.publish("devices/sim-00001", "sim-00001", &format!("{shadow}/name/nobodys/update"), "{}");
    let denied = bench.told("Denied PUBLISH from ");
    assert!(denied.contains("/shadow/name/nobodys/update"), "{denied}");
}

#[test]
fn nobody_speaks_for_another_whatever_certificate_it_has() {
    let Some(bench) = Bench::new(2) else { return };
    let (platform, messages) = bench.platform();
    let (_victim, told) = bench.subscribe("devices/sim-00002", "sim-00002", &["sensors/sim-00002/alerts/state"]);
    // On a topic of another, under its own name and under that of the other; and on one that is for the platform alone.
    for id in ["sim-00001", "sim-00002"] {
        for topic in [
            "sensors/sim-00002/telemetry",
            "sensors/sim-00002/status",
            "$aws/things/sim-00002/shadow/update",
            "sensors/sim-00001/alerts/state",
        ] {
            bench.publish("devices/sim-00001", id, topic, "forged");
            let denied = bench.told("Denied PUBLISH from ");
            assert!(denied.contains("from sim-00001 ") && denied.contains(topic), "{denied}");
        }
    }
    let mine = bench.publish("devices/sim-00001", "sim-00001", "sensors/sim-00001/telemetry", "my own");
    assert!(mine.status.success(), "{}", text(&mine));
    assert_eq!(
        next(&messages, |_| true).as_deref(),
        Ok("0 sensors/sim-00001/telemetry my own"),
        "nothing came before it"
    );
    // There is one of each name at a time.
    drop(platform);
    // What is for another is not heard, and the other is still there to hear it.
    let (_listener, heard) = bench.subscribe("devices/sim-00001", "x", &["#", "sensors/sim-00002/alerts/state"]);
    for device in ["sim-00002", "sim-00001"] {
        bench.publish("platform", "anything", &format!("sensors/{device}/alerts/state"), "it fires");
    }
    assert_eq!(next(&told, |_| true).as_deref(), Ok("0 sensors/sim-00002/alerts/state it fires"));
    assert_eq!(next(&heard, |_| true).as_deref(), Ok("0 sensors/sim-00001/alerts/state it fires"));
}

#[test]
fn a_certificate_of_another_authority_is_refused() {
    let Some(bench) = Bench::new(1) else { return };
    let others = bench.simulate(&["--per-zone", "1", "--test-ca", "others", "--prepare"]).output();
    assert!(others.expect("the command runs").status.success());
    let arguments =
        ["--per-zone", "1", "--certificates", "others/devices", "--ca", "bench/ca.crt", "--for", "1s", "--env", "dev"];
    let run = bench.simulate(&arguments).output().expect("the command runs");
    assert_eq!(run.status.code(), Some(1), "{}", text(&run));
    assert!(text(&run).contains("error: no device could connect: "), "{}", text(&run));
    // And a broker that is none: its certificate is by somebody else.
    let arguments = ["--per-zone", "1", "--certificates", "bench/devices", "--ca", "others/ca.crt", "--for", "1s"];
    let run = bench.simulate(&arguments).output().expect("the command runs");
    assert_eq!(run.status.code(), Some(1), "{}", text(&run));
    assert!(text(&run).contains("no device could connect: TLS failed: "), "{}", text(&run));
}

#[test]
fn what_is_there_is_kept_and_keys_are_nobody_elses() {
    use std::os::unix::fs::PermissionsExt as _;

    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("platform.toml"), PLATFORM).expect("the platform file");
    let prepare = |devices: &str| {
        let made = command(&folder, 8883, &["--per-zone", devices, "--test-ca", "bench", "--prepare"]).output();
        let made = made.expect("the command runs");
        assert!(made.status.success(), "{}", text(&made));
    };
    prepare("1");
    let read =
        |name: &str| fs::read(folder.path().join("bench").join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    let names = ["ca.key", "ca.crt", "server.crt", "devices/sim-00001.crt", "devices/sim-00001.key"];
    let before = names.map(read);
    prepare("2");
    assert_eq!(names.map(read), before);
    for name in ["ca.key", "server.key", "platform.key", "devices/sim-00001.key", "devices/sim-00002.key"] {
        let key = File::open(folder.path().join("bench").join(name)).and_then(|file| file.metadata());
        assert_eq!(key.expect(name).permissions().mode() & 0o777, 0o600, "{name}");
    }
}

#[test]
fn what_cannot_be_is_said_before_anybody_connects() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("platform.toml"), PLATFORM).expect("the platform file");
    for (arguments, said) in [
        (&["--per-zone", "1"][..], "devices need certificates"),
        (&["--per-zone", "1", "--certificates", "nowhere", "--ca", "nowhere.crt"], "cannot read `nowhere.crt`"),
        (&["--per-zone", "1", "--env", "prod", "--certificates", "nowhere"], "environment `prod` is protected"),
        (&["--per-zone", "1", "--test-ca", "bench", "--out", "log"], "cannot be used with"),
        (&["--per-zone", "1", "--prepare"], "--test-ca"),
    ] {
        let run = command(&folder, 8883, arguments).output().expect("the command runs");
        assert_eq!(run.status.code(), Some(2), "{arguments:?}: {}", text(&run));
        assert!(text(&run).contains(said), "{arguments:?}: {}", text(&run));
    }
    // What is made for a bench comes to nobody, protected or not.
    let made =
        command(&folder, 8883, &["--per-zone", "1", "--env", "prod", "--test-ca", "bench", "--prepare"]).output();
    assert!(made.expect("the command runs").status.success());
}
