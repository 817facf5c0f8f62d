//! Provisioning by claim: the script fills the allow-list and creates a claim certificate, and the deployed program is
//! called in the same way as by AWS IoT. Its answer is compared with the deployed template.

use std::{collections::BTreeSet, fs};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::{ACCOUNT, Failure, REGION, Test, alert::Raised, script::Run};
use crate::lambda_host::Outcome;

const TEMPLATE: &str = "deploy-test-test";
const SERIAL: &str = "RW-000123";
const DEVICE: &str = "provisioned-1";

impl Test {
    pub(super) async fn devices_are_provisioned_by_claim(&mut self, raised: &mut Raised) -> Result<(), Failure> {
        self.transcript.part("serials.sh and claims.sh: an allow-list and a claim certificate");
        let manifest = self.setup.work.join("serials.csv");
        fs::write(&manifest, format!("serial,device,type,zone\n{SERIAL},{DEVICE},pressure-logger,zone-b\n"))?;
        let allow = ["allow", manifest.as_str()];
        let plan = self.serials(&["allow", manifest.as_str(), "--dry-run"])?;
        self.transcript.equal("case_18: a dry run changes nothing", plan.mutating_calls(), Vec::<&str>::new());
        self.serials(&allow)?;
        let again = self.serials(&allow)?;
        self.transcript.equal(
            "case_17: the same again makes no mutating call",
            again.mutating_calls(),
            Vec::<&str>::new(),
        );
        self.claim_certificate()?;

        self.transcript.part("provision: asked as AWS IoT asks");
        let mut provision = self.function("ProvisionFunctionName", "JobsCodeKey").await?;
        let answer = provision.invoke(&request(SERIAL, "first")).await?;
        let Outcome::Returned(answer) = answer else { return Err(format!("provision: {answer:?}").into()) };
        self.transcript.equal("a serial of the list is provisioned", &answer["allowProvisioning"], true);
        let said = &answer["parameterOverrides"];
        self.transcript.equal("under the name that the list has", &said["ThingName"], DEVICE);
        self.transcript.equal("in the group of its zone", &said["ThingGroupName"], "deploy-test-test-zone-b");
        self.answer_fits_the_template(said)?;
        let replayed = provision.invoke(&request(SERIAL, "first")).await?;
        self.transcript.equal("the same request is answered the same", replayed, Outcome::Returned(answer.clone()));
        let no = Outcome::Returned(json!({ "allowProvisioning": false }));
        for (what, serial) in [("another certificate", SERIAL), ("an unknown serial", "RW-999999")] {
            let refused = provision.invoke(&request(serial, "second")).await?;
            self.transcript.equal(&format!("{what} is refused"), &refused, &no);
        }

        let records = self.stream_records(&raised.evaluate, &raised.stream)?;
        let told: Vec<Value> = records.values().flatten().filter_map(|record| device_record(record, DEVICE)).collect();
        self.transcript.equal("the stream was told once for each time that it was allowed", told.len(), 2);
        self.transcript.check("in the same words", told.windows(2).all(|pair| pair[0] == pair[1]));
        let first = told.first().map(|record| (record["zone"].clone(), record["type"].clone()));
        self.transcript.equal("as the list says", first, Some((json!("zone-b"), json!("pressure-logger"))));
        let delivery = raised.evaluate.deliver(&records).await?;
        self.transcript.equal("evaluate took it", delivery.failures, Vec::<String>::new());

        self.transcript.part("a serial that is free again, and a claim certificate that is taken away");
        self.serials(&["release", SERIAL])?;
        let second = provision.invoke(&request(SERIAL, "second")).await?;
        let allowed = matches!(&second, Outcome::Returned(answer) if answer["allowProvisioning"] == true);
        self.transcript.check("a serial that was released is used once more", allowed);
        self.claims(&["revoke", "line-1"])?;
        let again = self.claims(&["revoke", "line-1"])?;
        self.transcript.equal("revoking it again changes nothing", again.mutating_calls(), Vec::<&str>::new());
        Ok(())
    }

    fn claim_certificate(&mut self) -> Result<(), Failure> {
        self.claims(&["certificate", "line-1"])?;
        let again = self.claims(&["certificate", "line-1"])?;
        self.transcript.equal("making it again changes nothing", again.mutating_calls(), Vec::<&str>::new());
        let arn = fs::read_to_string(self.setup.work.join("claims/line-1.arn"))?;
        let policies = self.aws.list(&["iot", "list-attached-policies", "--target", arn.trim()], "policies")?;
        let names: Vec<_> = policies.iter().filter_map(|policy| policy["policyName"].as_str()).collect();
        self.transcript.equal("a claim certificate has its policy alone", names, vec!["deploy-test-test-claim"]);
        Ok(())
    }

    /// Each parameter of the template except for the device's own is in the answer, and nothing else.
    fn answer_fits_the_template(&mut self, said: &Value) -> Result<(), Failure> {
        let call = ["iot", "describe-provisioning-template", "--template-name", TEMPLATE];
        let template = self.aws.call(&call)?;
        self.transcript.equal("the template is enabled", &template["enabled"], true);
        let hook = template["preProvisioningHook"]["targetArn"].as_str().unwrap_or_default().to_owned();
        let name = self.output("ProvisionFunctionName")?;
        self.transcript.equal(
            "and asks the function",
            hook.as_str(),
            format!("arn:aws:lambda:{REGION}:{ACCOUNT}:function:{name}").as_str(),
        );
        let body: Value = serde_json::from_str(template["templateBody"].as_str().ok_or("a template without body")?)?;
        let keys = |value: &Value| -> BTreeSet<String> {
            value.as_object().into_iter().flat_map(|map| map.keys().cloned()).collect()
        };
        let mut asked = keys(&body["Parameters"]);
        let own = asked.remove("SerialNumber") && asked.remove("AWS::IoT::Certificate::Id");
        self.transcript.check("a device says its serial and brings a certificate", own);
        self.transcript.equal("the function says all else that the template asks", keys(said), asked);
        Ok(())
    }

    fn serials(&mut self, arguments: &[&str]) -> Result<Run, Failure> {
        let run = self.script("serials.sh", arguments)?;
        self.transcript.check(&format!("serials.sh {} succeeds", arguments[0]), run.succeeded);
        Ok(run)
    }

    fn claims(&mut self, arguments: &[&str]) -> Result<Run, Failure> {
        let keys = self.setup.work.join("claims");
        let run = self.script("claims.sh", &[arguments, &["--keys", keys.as_str()]].concat())?;
        self.transcript.check(&format!("claims.sh {} succeeds", arguments[0]), run.succeeded);
        Ok(run)
    }
}

/// AWS IoT's request to a hook.
fn request(serial: &str, certificate: &str) -> Value {
    json!({
        "claimCertificateId": "claim",
        "certificateId": certificate,
        "certificatePem": "-----BEGIN CERTIFICATE-----",
        "templateArn": format!("arn:aws:iot:{REGION}:{ACCOUNT}:provisioningtemplate/{TEMPLATE}"),
        "clientId": format!("{TEMPLATE}/1"),
        "parameters": { "SerialNumber": serial, "ThingName": "another", "Zone": "zone-a" },
    })
}

/// The device record of a device, if this record is one.
pub(super) fn device_record(record: &Value, device: &str) -> Option<Value> {
    let data = STANDARD.decode(record["kinesis"]["data"].as_str()?).ok()?;
    let record: Value = serde_json::from_slice(&data).ok()?;
    (record["k"] == "device" && record["d"] == device).then_some(record)
}
