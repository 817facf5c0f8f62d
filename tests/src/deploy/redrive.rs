//! The command puts quarantined records, and records that were given up, on the stream again.

use std::{fs, time::SystemTime};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::json;

use super::{
    Failure, Test,
    alert::{DEVICE, Raised, message},
};

impl Test {
    pub(super) async fn records_are_put_again(&mut self, raised: &mut Raised) -> Result<(), Failure> {
        self.transcript.part("fleetform redrive");
        self.give_up()?;
        let before = self.rows(&self.output("QuarantineTableName")?)?.len();
        let plan = self.command(&["redrive", "--dry-run"])?;
        self.transcript.equal("--dry-run succeeds", plan.code, Some(0));
        self.note(&plan);
        let counted = |count: usize, what: &str| format!("{count:>9}  {what}\n");
        self.transcript.check("it counts by reason", plan.printed.contains(&counted(2, "wrong_type")));
        self.transcript.check("with what was given up", plan.printed.contains(&counted(1, "given_up")));
        self.transcript.check("and all of it", plan.printed.contains(&counted(before + 1, "to put back")));
        let records = self.stream_records(&raised.evaluate, &raised.stream)?;
        self.transcript.equal("nothing was put", records.values().map(Vec::len).sum::<usize>(), 0);

        let done = self.command(&["redrive"])?;
        self.transcript.equal("it puts them", done.code, Some(0));
        let records = self.stream_records(&raised.evaluate, &raised.stream)?;
        self.transcript.equal(
            "all of them are on the stream",
            records.values().map(Vec::len).sum::<usize>(),
            before + 1,
        );
        let delivery = raised.evaluate.deliver(&records).await?;
        self.transcript.equal("evaluate took them", delivery.failures, Vec::<String>::new());
        let after = self.rows(&self.output("QuarantineTableName")?)?.len();
        self.transcript.equal("what is still wrong is set aside again, the other is not", after, 2 * before);
        let again = self.command(&["redrive", "--dry-run"])?;
        let left = counted(before, "left: put back before");
        self.transcript.check("what was put is marked", again.printed.contains(&left));
        self.transcript.check("the object, too", again.printed.contains("left: an object put back before"));
        Ok(())
    }

    /// Puts the object that Lambda writes for a batch that it gave up.
    fn give_up(&self) -> Result<(), Failure> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs_f64();
        let event = json!({ "Records": [{ "kinesis": {
            "partitionKey": DEVICE,
            "sequenceNumber": "1",
            "data": STANDARD.encode(message(0, json!(50.0))),
            "approximateArrivalTimestamp": now,
        } }] });
        let file = self.setup.work.join("given-up.json");
        fs::write(&file, json!({ "version": "1.0", "payload": event.to_string() }).to_string())?;
        let bucket = self.output("FailureBucketName")?;
        let key = "aws/lambda/mapping/shardId-000000000000/given-up";
        self.aws.call(&["s3api", "put-object", "--bucket", &bucket, "--key", key, "--body", file.as_str()])?;
        Ok(())
    }
}
