//! A hundred devices in one manifest: registered, some of them rotated, moved and revoked, everything twice, and put on
//! the stream again. A part goes through the generated script and the rest through the command, with the same files and
//! the same registry.

use std::{collections::BTreeMap, fs};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::Value;

use super::{Failure, Test, alert::Raised, delivery::Shards};

/// The number of devices, and how many of them the script registers: one call of the AWS CLI takes as long as thirty of
/// the command's.
const DEVICES: usize = 100;
const BY_SCRIPT: usize = 4;

const ROTATED: usize = 10;
const MOVED: usize = 5;
const REVOKED: usize = 5;

/// The tool in use.
#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    Script,
    Command,
}

/// The state of the fleet in AWS: each thing, each certificate with its status, the members of the groups, and the
/// number of unread records on the stream.
#[derive(Debug, PartialEq)]
struct Fleet {
    things: Vec<Value>,
    certificates: BTreeMap<String, String>,
    groups: BTreeMap<&'static str, Vec<String>>,
    records: usize,
}

impl Fleet {
    fn certificates_that_are(&self, state: &str) -> usize {
        self.certificates.values().filter(|found| *found == state).count()
    }
}

impl Test {
    pub(super) async fn a_fleet_comes_and_goes(&mut self, raised: &mut Raised) -> Result<(), Failure> {
        self.transcript.part(&format!("{DEVICES} devices of a manifest, {BY_SCRIPT} of them by devices.sh"));
        self.take_records(raised).await?;
        let names: Vec<String> = (1..=DEVICES).map(|number| format!("fleet-{number:03}")).collect();
        let some = self.manifest("some.csv", names[..BY_SCRIPT].iter().map(|name| (name.as_str(), "zone-a")))?;
        let all = self.manifest("fleet.csv", names.iter().map(|name| (name.as_str(), "zone-a")))?;
        self.act(raised, By::Script, &["import", &some])?;
        self.act(raised, By::Command, &["import", &all])?;
        let fleet = self.fleet(raised)?;
        self.transcript.equal("each has a thing", fleet.things.len(), DEVICES);
        self.transcript.equal("and an active certificate", fleet.certificates_that_are("ACTIVE"), DEVICES);
        self.transcript.equal("in all", fleet.certificates.len(), DEVICES);
        self.transcript.equal("in the group of its zone", &fleet.groups["zone-a"], &names);
        self.transcript.equal("and a record on the stream", fleet.records, DEVICES);
        self.again(raised, By::Script, &["import", &some])?;
        self.again(raised, By::Command, &["import", &all])?;
        self.is_as_it_was(raised, fleet)?;

        self.transcript
            .part(&format!("{ROTATED} rotated, {MOVED} moved, {REVOKED} revoked, the first of each by devices.sh"));
        let (rotated, others) = names.split_at(ROTATED);
        let (moved, others) = others.split_at(MOVED);
        let (revoked, others) = others.split_at(REVOKED);
        let by = |at: usize| if at == 0 { By::Script } else { By::Command };
        for (at, device) in rotated.iter().enumerate() {
            for arguments in [&["rotate", device][..], &["rotate", device, "--finish"]] {
                self.act(raised, by(at), arguments)?;
            }
        }
        for (at, device) in moved.iter().enumerate() {
            self.act(raised, by(at), &["move", device, "--zone", "zone-b"])?;
        }
        for (at, device) in revoked.iter().enumerate() {
            self.act(raised, by(at), &["revoke", device])?;
        }
        let fleet = self.fleet(raised)?;
        let active = fleet.certificates_that_are("ACTIVE");
        self.transcript.equal("every device in service has one active certificate", active, DEVICES - REVOKED);
        let inactive = fleet.certificates_that_are("INACTIVE");
        self.transcript.equal("what was taken away is inactive", inactive, ROTATED + REVOKED);
        self.transcript.equal("the moved are in the other group", &fleet.groups["zone-b"], moved);
        self.transcript.equal("the stream was told of each change", fleet.records, DEVICES + MOVED + REVOKED);

        self.transcript.part("all of it once more");
        for (at, device) in rotated.iter().enumerate() {
            self.again(raised, by(at), &["rotate", device, "--finish"])?;
        }
        for (at, device) in moved.iter().enumerate() {
            self.again(raised, by(at), &["move", device, "--zone", "zone-b"])?;
        }
        for (at, device) in revoked.iter().enumerate() {
            self.again(raised, by(at), &["revoke", device])?;
        }
        let in_service = (rotated.iter().chain(others).map(|name| (name.as_str(), "zone-a")))
            .chain(moved.iter().map(|name| (name.as_str(), "zone-b")));
        let as_it_is = self.manifest("as-it-is.csv", in_service)?;
        self.again(raised, By::Command, &["import", &as_it_is])?;
        self.is_as_it_was(raised, fleet)?;
        self.fleet_is_told_again(raised).await?;

        self.transcript.part("the fleet is removed");
        for device in &names {
            self.act(raised, By::Command, &["remove", device])?;
        }
        let fleet = self.fleet(raised)?;
        self.transcript.equal("no thing is left", fleet.things.len(), 0);
        self.transcript.equal("and no certificate", fleet.certificates.len(), 0);
        self.take_records(raised).await
    }

    /// `devices sync`: each device once, with the contents and the revision of the last record on the stream.
    async fn fleet_is_told_again(&mut self, raised: &mut Raised) -> Result<(), Failure> {
        self.transcript.part("devices sync: the fleet is told to the stream again");
        let told = last_told(&self.stream_records(&raised.evaluate, &raised.stream)?);
        self.take_records(raised).await?;
        let before = self.fleet(raised)?;
        self.act_as(raised, &["devices", "sync"])?;
        let records = self.stream_records(&raised.evaluate, &raised.stream)?;
        self.transcript.equal("one record for each device", records.values().flatten().count(), DEVICES);
        self.transcript.equal("in the words and under the revision of the last", last_told(&records), told);
        let after = Fleet { records: before.records, ..self.fleet(raised)? };
        self.transcript.equal("the registry is as it was", after, before);
        self.take_records(raised).await
    }

    /// Writes a manifest, and returns its path.
    fn manifest<'n>(&self, name: &str, devices: impl Iterator<Item = (&'n str, &'n str)>) -> Result<String, Failure> {
        let path = self.setup.work.join(name);
        let rows: String = devices.map(|(device, zone)| format!("{device},pressure-logger,{zone}\n")).collect();
        fs::write(&path, format!("device,type,zone\n{rows}"))?;
        Ok(path.into_string())
    }

    fn act(&mut self, raised: &Raised, by: By, arguments: &[&str]) -> Result<(), Failure> {
        match by {
            By::Script => self.devices(arguments).map(drop),
            By::Command => {
                let keys = self.setup.work.join("keys").into_string();
                self.act_as(raised, &[&["devices"], arguments, &["--keys", &keys]].concat())
            }
        }
    }

    fn act_as(&mut self, raised: &Raised, words: &[&str]) -> Result<(), Failure> {
        let ran = self.command_on(words, ["--stream", &raised.stream])?;
        if ran.code != Some(0) {
            self.note(&ran);
            self.transcript.check(&format!("fleetform {} {} succeeds", words[0], words[1]), false);
        }
        Ok(())
    }

    /// Repeats an action. The script's calls are checked here, and the effects of the command by
    /// [`Self::is_as_it_was`].
    fn again(&mut self, raised: &Raised, by: By, arguments: &[&str]) -> Result<(), Failure> {
        match by {
            By::Script => self.changes_nothing(&format!("{} again", arguments[0]), arguments),
            By::Command => self.act(raised, by, arguments),
        }
    }

    /// Everything in AWS is unchanged; each thing has a version, which increases with every change.
    fn is_as_it_was(&mut self, raised: &Raised, before: Fleet) -> Result<(), Failure> {
        let after = self.fleet(raised)?;
        self.transcript.equal("things, certificates, groups and stream are as they were", after, before);
        Ok(())
    }

    fn fleet(&self, raised: &Raised) -> Result<Fleet, Failure> {
        let mut things = self.aws.list(&["iot", "list-things"], "things")?;
        things.retain(|thing| thing["thingName"].as_str().is_some_and(|name| name.starts_with("fleet-")));
        let text = |value: &Value, name: &str| value[name].as_str().unwrap_or_default().to_owned();
        let certificates = self.aws.list(&["iot", "list-certificates"], "certificates")?;
        let certificates = certificates.iter().map(|found| (text(found, "certificateId"), text(found, "status")));
        let mut groups = BTreeMap::new();
        for zone in ["zone-a", "zone-b"] {
            let group = format!("deploy-test-test-{zone}");
            let names =
                self.aws.list(&["iot", "list-things-in-thing-group", "--thing-group-name", &group], "things")?;
            let mut names: Vec<String> = names.iter().filter_map(Value::as_str).map(str::to_owned).collect();
            names.sort();
            groups.insert(zone, names);
        }
        let records = self.stream_records(&raised.evaluate, &raised.stream)?.values().flatten().count();
        Ok(Fleet { things, certificates: certificates.collect(), groups, records })
    }

    /// Makes the deployed program read the records that are waiting on the stream.
    async fn take_records(&mut self, raised: &mut Raised) -> Result<(), Failure> {
        let records = self.stream_records(&raised.evaluate, &raised.stream)?;
        let delivery = raised.evaluate.deliver(&records).await?;
        self.transcript.equal("evaluate took the device records", delivery.failures, Vec::<String>::new());
        Ok(())
    }
}

/// The last record of each device, without its time.
fn last_told(records: &Shards) -> BTreeMap<String, Value> {
    let record = |record: &Value| {
        let data = STANDARD.decode(record["kinesis"]["data"].as_str()?).ok()?;
        let mut told: Value = serde_json::from_slice(&data).ok()?;
        told.as_object_mut()?.remove("t");
        Some((told["d"].as_str()?.to_owned(), told))
    };
    records.values().flatten().filter_map(record).collect()
}
