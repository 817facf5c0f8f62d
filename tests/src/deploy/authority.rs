//! Devices with certificates from a private authority: one of them connects to the emulator's broker over mutual TLS,
//! as it would to AWS IoT, and the rest is left to the deployed rule and the deployed function.

use std::{
    fs,
    io::{Read as _, Write as _},
    process::{Command, Stdio},
    time::Duration,
};

use rcgen::{BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use serde_json::{Value, json};

use super::{Failure, Test, alert::Raised, platform::Variant, provisioning::device_record};

/// The device's serial, which is in its certificate, and the device that it becomes.
const SERIAL: &str = "RW-000777";
const DEVICE: &str = "own-1";

/// The address of the emulator's broker for devices.
const BROKER: &str = "127.0.0.1:8883";

/// Seconds after which a connection is given up.
const CONNECTION_S: &str = "20";

/// How often AWS IoT is polled for the status of a certificate, and the wait in between.
const TRIES: u32 = 60;
const WAIT: Duration = Duration::from_millis(500);

/// The answer of a broker that accepts a client.
const CONNACK: [u8; 4] = [0x20, 0x02, 0x00, 0x00];

impl Test {
    pub(super) async fn devices_come_with_certificates_of_an_authority(
        &mut self,
        raised: &mut Raised,
    ) -> Result<(), Failure> {
        let authority = Authority::new();
        fs::write(self.authority_certificate(), &authority.pem)?;
        self.generate(Variant::OwnAuthority)?;
        self.transcript.part("deploy.sh, which changes how devices are provisioned");
        let run = self.deploy(&[])?;
        self.transcript.check("it succeeds", run.succeeded);
        let listed = self.aws.list(&["iot", "list-ca-certificates"], "certificates")?;
        let [registered] = listed.as_slice() else { return Err(format!("{listed:?} are the authorities").into()) };
        let id = registered["certificateId"].as_str().unwrap_or_default().to_owned();
        let name = format!("deploy_test_test_registered_{}", &id[..16]);
        let rule = self.aws.call(&["iot", "get-topic-rule", "--rule-name", &name])?;
        self.transcript.equal(
            "the rule hears of certificates of the authority",
            &rule["rule"]["sql"],
            format!("SELECT certificateId FROM '$aws/events/certificates/registered/{id}'").as_str(),
        );

        self.transcript.part("a device that nobody expects connects");
        let device = authority.issue(SERIAL);
        for (end, text) in [("crt", &device.pem), ("key", &device.key)] {
            fs::write(self.setup.work.join(format!("own.{end}")), text)?;
        }
        self.transcript.check("it is not let in", self.connect()? != CONNACK);
        let id = self.certificate_of(&id)?;
        let status = self.status_of(&id)?;
        self.transcript.equal(
            "AWS IoT has registered its certificate, which waits",
            status.as_str(),
            "PENDING_ACTIVATION",
        );

        self.transcript.part("its serial is put on the list, and it connects again");
        let manifest = self.setup.work.join("own.csv");
        fs::write(&manifest, format!("serial,device,type,zone\n{SERIAL},{DEVICE},pressure-logger,zone-b\n"))?;
        let run = self.script("serials.sh", &["allow", manifest.as_str()])?;
        self.transcript.check("serials.sh allow succeeds", run.succeeded);
        self.connect()?;
        self.wait_until_active(&id).await?;
        self.transcript.check("then it is let in", self.connect()? == CONNACK);

        let thing = self.aws.call(&["iot", "describe-thing", "--thing-name", DEVICE])?;
        self.transcript.equal("its thing is of its type", &thing["thingTypeName"], "deploy-test-test-pressure-logger");
        self.transcript.equal("and knows its zone", &thing["attributes"]["zone"], "zone-b");
        self.transcript.equal("in the group of which it is", self.groups(DEVICE)?, vec!["b"]);
        self.transcript.equal("it has one certificate", self.certificates(DEVICE)?, vec!["ACTIVE"]);
        let arn = format!("arn:aws:iot:{}:{}:cert/{id}", super::REGION, super::ACCOUNT);
        let policies = self.aws.list(&["iot", "list-attached-policies", "--target", &arn], "policies")?;
        let mut names: Vec<_> = policies.iter().filter_map(|policy| policy["policyName"].as_str()).collect();
        names.sort_unstable();
        self.transcript.equal(
            "which may do what every device may",
            names,
            vec!["deploy-test-test-core", "deploy-test-test-shadow"],
        );
        let records = self.stream_records(&raised.evaluate, &raised.stream)?;
        let told: Vec<Value> = records.values().flatten().filter_map(|record| device_record(record, DEVICE)).collect();
        let told: Vec<_> = told.iter().map(|record| (&record["type"], &record["zone"])).collect();
        self.transcript.equal(
            "the stream was told of it",
            told.first().copied(),
            Some((&json!("pressure-logger"), &json!("zone-b"))),
        );
        let delivery = raised.evaluate.deliver(&records).await?;
        self.transcript.equal("evaluate took it", delivery.failures, Vec::<String>::new());
        Ok(())
    }

    /// The id of the only certificate signed by an authority.
    fn certificate_of(&self, authority: &str) -> Result<String, Failure> {
        let call = ["iot", "list-certificates-by-ca", "--ca-certificate-id", authority];
        let listed = self.aws.list(&call, "certificates")?;
        let [certificate] = listed.as_slice() else { return Err(format!("{listed:?} are its certificates").into()) };
        Ok(certificate["certificateId"].as_str().unwrap_or_default().to_owned())
    }

    fn status_of(&self, certificate: &str) -> Result<String, Failure> {
        let found = self.aws.call(&["iot", "describe-certificate", "--certificate-id", certificate])?;
        Ok(found["certificateDescription"]["status"].as_str().unwrap_or_default().to_owned())
    }

    async fn wait_until_active(&mut self, certificate: &str) -> Result<(), Failure> {
        let mut status = String::new();
        for _ in 0..TRIES {
            status = self.status_of(certificate)?;
            if status == "ACTIVE" {
                break;
            }
            tokio::time::sleep(WAIT).await;
        }
        self.transcript.equal(
            "the deployed rule had the deployed function make it a device",
            status.as_str(),
            "ACTIVE",
        );
        Ok(())
    }

    /// Connects as the device, and returns the broker's first answer; empty if it closes the connection.
    fn connect(&self) -> Result<Vec<u8>, Failure> {
        let file = |end: &str| self.setup.work.join(format!("own.{end}"));
        let mut client = Command::new("timeout")
            .args([CONNECTION_S, "openssl", "s_client", "-quiet", "-connect", BROKER, "-servername", "localhost"])
            .args(["-cert", file("crt").as_str(), "-key", file("key").as_str()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        // A connection that is already closed accepts no more data.
        let _sent = client.stdin.as_mut().ok_or("no input")?.write_all(&connect_packet(DEVICE));
        let mut answer = Vec::new();
        let output = client.stdout.take().ok_or("no output")?;
        output.take(CONNACK.len() as u64).read_to_end(&mut answer)?;
        client.kill()?;
        client.wait()?;
        Ok(answer)
    }
}

/// The packet that a client sends first, for MQTT 3.1.1, with a clean session and a keep-alive of one minute.
fn connect_packet(client: &str) -> Vec<u8> {
    let mut rest = b"\x00\x04MQTT\x04\x02\x00\x3c\x00".to_vec();
    rest.push(u8::try_from(client.len()).expect("a short name"));
    rest.extend(client.as_bytes());
    let mut packet = vec![0x10, u8::try_from(rest.len()).expect("a short packet")];
    packet.extend(rest);
    packet
}

/// An authority created by the test.
struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate with its key.
struct Issued {
    pem: String,
    key: String,
}

impl Authority {
    fn new() -> Self {
        let mut params = named("A factory");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().expect("a key");
        let pem = params.self_signed(&key).expect("a certificate").pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    fn issue(&self, serial: &str) -> Issued {
        let key = KeyPair::generate().expect("a key");
        let certificate = named(serial).signed_by(&key, &self.issuer).expect("a certificate");
        Issued { pem: certificate.pem(), key: key.serialize_pem() }
    }
}

fn named(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}
