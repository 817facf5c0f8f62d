//! Devices are added and removed by the generated script, with the real AWS CLI. The state in AWS IoT is asserted.

use std::fs;

use super::{Failure, Test, script::Run};

/// The devices in the manifest, all in one zone.
const DEVICES: [&str; 4] = ["line-1", "line-2", "line-3", "line-4"];

impl Test {
    pub(super) fn devices_come_and_go(&mut self) -> Result<(), Failure> {
        self.transcript.part("devices.sh: a manifest of devices");
        let manifest = self.setup.work.join("manifest.csv");
        let rows: String = DEVICES.iter().map(|device| format!("{device},pressure-logger,zone-a\n")).collect();
        fs::write(&manifest, format!("device,type,zone\n{rows}"))?;
        let import = ["import", manifest.as_str()];
        let plan = self.devices(&["import", manifest.as_str(), "--dry-run"])?;
        self.transcript.equal("case_18: a dry run changes nothing", plan.mutating_calls(), Vec::<&str>::new());
        self.devices(&import)?;
        for device in DEVICES {
            self.transcript.equal(&format!("{device} is in the group of its zone"), self.groups(device)?, vec!["a"]);
            self.transcript.equal("and has one certificate, an active one", self.certificates(device)?, vec!["ACTIVE"]);
        }
        self.changes_nothing("case_17: the same again", &import)?;

        self.transcript.part("devices.sh: rotate, move, revoke, remove");
        self.devices(&["rotate", "line-1"])?;
        let two = self.certificates("line-1")?;
        self.transcript.equal("a rotated device has two certificates for a while", two, vec!["ACTIVE"; 2]);
        self.devices(&["rotate", "line-1", "--finish"])?;
        self.transcript.equal("and then one", self.certificates("line-1")?, vec!["ACTIVE"]);
        self.changes_nothing("finishing it again", &["rotate", "line-1", "--finish"])?;
        self.devices(&["move", "line-2", "--zone", "zone-b"])?;
        self.transcript.equal("a moved device is in the other group", self.groups("line-2")?, vec!["b"]);
        self.changes_nothing("moving it again", &["move", "line-2", "--zone", "zone-b"])?;
        self.devices(&["revoke", "line-3"])?;
        self.transcript.equal(
            "a revoked device has no certificate",
            self.certificates("line-3")?,
            Vec::<String>::new(),
        );
        self.changes_nothing("case_22: revoking it again", &["revoke", "line-3"])?;
        for device in DEVICES {
            self.devices(&["remove", device])?;
        }
        let things = self.aws.list(&["iot", "list-things"], "things")?;
        let left = things.iter().filter_map(|thing| thing["thingName"].as_str()).any(|name| DEVICES.contains(&name));
        self.transcript.check("no thing is left of them", !left);
        let certificates = self.aws.list(&["iot", "list-certificates"], "certificates")?;
        self.transcript.equal("and no certificate", certificates.len(), 0);
        Ok(())
    }

    pub(super) fn devices(&mut self, arguments: &[&str]) -> Result<Run, Failure> {
        let keys = self.setup.work.join("keys");
        let run = self.script("devices.sh", &[arguments, &["--keys", keys.as_str()]].concat())?;
        self.transcript.check(&format!("devices.sh {} succeeds", arguments[0]), run.succeeded);
        Ok(run)
    }

    pub(super) fn changes_nothing(&mut self, what: &str, arguments: &[&str]) -> Result<(), Failure> {
        let run = self.devices(arguments)?;
        self.transcript.equal(&format!("{what} makes no mutating call"), run.mutating_calls(), Vec::<&str>::new());
        Ok(())
    }

    /// The last letters of the zones whose groups a thing is in.
    pub(super) fn groups(&self, device: &str) -> Result<Vec<String>, Failure> {
        let groups = self.aws.list(&["iot", "list-thing-groups-for-thing", "--thing-name", device], "thingGroups")?;
        let names = groups.iter().filter_map(|group| group["groupName"].as_str());
        Ok(names.filter_map(|name| name.rsplit_once("-zone-")).map(|(_, zone)| zone.to_owned()).collect())
    }

    /// The statuses of a thing's certificates.
    pub(super) fn certificates(&self, device: &str) -> Result<Vec<String>, Failure> {
        let principals = self.aws.list(&["iot", "list-thing-principals", "--thing-name", device], "principals")?;
        let mut states = Vec::new();
        for arn in principals.iter().filter_map(|arn| arn.as_str()) {
            let id = arn.rsplit('/').next().unwrap_or_default();
            let found = self.aws.call(&["iot", "describe-certificate", "--certificate-id", id])?;
            states.push(found["certificateDescription"]["status"].as_str().unwrap_or_default().to_owned());
        }
        Ok(states)
    }
}
