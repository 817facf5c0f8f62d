//! Overrides by operators: a row in the deployed table, which the deployed binary of `relay` passes on to the shards.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::{
    Failure, Test,
    alert::{Raised, notification, rfc3339_ago},
    command::Ran,
    delivery::Consumer,
};

/// A device for this part only.
const DEVICE: &str = "sensor-003";
const RULE: &str = "high-pressure";

impl Test {
    pub(super) async fn operators_set_a_rule(&mut self, raised: &mut Raised) -> Result<(), Failure> {
        self.transcript.part("fleetform override set, and what the shards make of it");
        let table = self.output("AlertConfigurationTableName")?;
        let mut relay = self.consumer("RelayFunctionName", "JobsCodeKey").await?;
        let wrong = self.overrides(&table, &["set", RULE, "--threshold", "50", "--reason", "too low"])?;
        self.transcript.equal("a threshold below the clear value is refused", wrong.code, Some(2));
        self.transcript.equal("and nothing is written", self.rows(&table)?.len(), 0);
        let set = self.overrides(&table, &["set", RULE, "--threshold", "80", "--until", "8h", "--reason", "works"])?;
        self.transcript.equal("a higher one is set", set.code, Some(0));
        self.note(&set);
        self.relay(&mut relay, raised, &table).await?;

        self.register_device(DEVICE)?;
        for age_s in [300, 240, 180, 120, 60, 0] {
            self.put_record_of(DEVICE, &raised.stream, &reading(age_s, 65.0))?;
        }
        let records = self.stream_records(&raised.evaluate, &raised.stream)?;
        let delivery = raised.evaluate.deliver(&records).await?;
        self.transcript.equal("evaluate took what would have fired", delivery.failures, Vec::<String>::new());
        self.transcript.equal("nothing has fired on the device", self.notices_of_the_device(raised)?, 0);
        let shown = self.command(&["state", "show"])?;
        let in_force = format!("override   {RULE} at revision");
        self.transcript.equal("both shards show the row", shown.printed.matches(&in_force).count(), 2);

        let cleared = self.overrides(&table, &["clear", RULE, "--reason", "works are over"])?;
        self.transcript.equal("it is cleared", cleared.code, Some(0));
        self.relay(&mut relay, raised, &table).await?;
        let listed = self.overrides(&table, &["list"])?;
        self.transcript.check("the list says so", listed.printed.contains("as in the file"));
        self.note(&listed);
        Ok(())
    }

    /// Delivers the table's stream to `relay`, and the records that it puts to `evaluate`.
    async fn relay(&mut self, relay: &mut Consumer, raised: &mut Raised, table: &str) -> Result<(), Failure> {
        let changes = self.table_records(relay, table)?;
        let delivery = relay.deliver(&changes).await?;
        self.transcript.equal("relay took the change", delivery.failures, Vec::<String>::new());
        let records = self.stream_records(&raised.evaluate, &raised.stream)?;
        let told: Vec<usize> = records.values().map(|shard| shard.iter().filter(is_override).count()).collect();
        self.transcript.equal("each shard is told once", told, vec![1, 1]);
        let delivery = raised.evaluate.deliver(&records).await?;
        self.transcript.equal("evaluate took it", delivery.failures, Vec::<String>::new());
        Ok(())
    }

    fn notices_of_the_device(&self, raised: &Raised) -> Result<usize, Failure> {
        let rows = self.rows(&raised.outbox)?;
        let notices = rows.iter().map(|row| notification(Some(row))).collect::<Result<Vec<_>, _>>()?;
        Ok(notices.iter().filter(|notice| notice["alert"]["device"] == DEVICE).count())
    }

    fn overrides(&self, table: &str, arguments: &[&str]) -> Result<Ran, Failure> {
        let mut words = [&["override"], arguments].concat();
        if arguments[0] != "list" {
            words.extend(["--author", "deploy-test"]);
        }
        self.command_on(&words, ["--table", table])
    }
}

fn is_override(record: &&Value) -> bool {
    let data = STANDARD.decode(record["kinesis"]["data"].as_str().unwrap_or_default()).unwrap_or_default();
    serde_json::from_slice::<Value>(&data).is_ok_and(|record| record["k"] == "override")
}

/// A plain record of the device, from this many seconds ago.
fn reading(age_s: u64, pressure: f64) -> Vec<u8> {
    let readings = json!({ "pressure": pressure, "temperature": 18.3 });
    json!({ "deviceId": DEVICE, "timestamp": rfc3339_ago(age_s), "readings": readings }).to_string().into_bytes()
}
