//! From deployed streams to deployed functions: reads streams through their interfaces, builds the events that Lambda
//! would build, and runs the program in the artifact bucket.

use std::{collections::BTreeMap, fs, io, os::unix::fs::PermissionsExt as _, time::Duration};

use camino::Utf8PathBuf;
use serde_json::{Value, json};

use super::{ACCOUNT, Failure, REGION, Test};
use crate::{
    event_source::{self, Delivery, Mapping},
    lambda_host::{Function, LambdaHost, Outcome},
};

/// Maximum reads until a shard must have been read to its end.
const READS_MAX: usize = 20;
/// Retries after which the test stops waiting for a function to recover; the real mapping continues for hours.
const RETRIES_MAX: u32 = 3;

/// A deployed function with the stream that it reads, and its position.
pub(super) struct Consumer {
    host: LambdaHost,
    mapping: Mapping,
    filters: Vec<Value>,
    /// The last sequence number delivered, by shard.
    positions: BTreeMap<String, String>,
}

/// The records of each shard, as Lambda passes them to a function.
pub(super) type Shards = BTreeMap<String, Vec<Value>>;

impl Test {
    /// The function whose name is this output of the root stack, with the zip named by this parameter.
    pub(super) async fn function(&self, name_output: &str, key_parameter: &str) -> Result<LambdaHost, Failure> {
        let name = self.output(name_output)?;
        let found = self.aws.call(&["lambda", "get-function-configuration", "--function-name", &name])?;
        let number = |key: &str| found[key].as_u64().ok_or_else(|| format!("{name} has no {key}"));
        let mut environment: BTreeMap<String, String> = self.aws.environment().clone();
        environment.insert("SSL_CERT_FILE".to_owned(), self.authority_file()?.to_string());
        environment.extend(
            found["Environment"]["Variables"]
                .as_object()
                .into_iter()
                .flatten()
                .map(|(key, value)| (key.clone(), value.as_str().unwrap_or_default().to_owned())),
        );
        let function = Function {
            bootstrap: self.bootstrap(&self.parameter(key_parameter)?)?,
            handler: found["Handler"].as_str().ok_or("no handler")?.to_owned(),
            memory_mib: number("MemorySize")?.try_into()?,
            timeout: Duration::from_secs(number("Timeout")?),
            region: REGION.to_owned(),
            environment,
            log: self.setup.work.join(format!("{name_output}.log")),
            name,
        };
        Ok(LambdaHost::new(function).await?)
    }

    /// The same function, with the stream that it reads.
    pub(super) async fn consumer(&self, name_output: &str, key_parameter: &str) -> Result<Consumer, Failure> {
        let name = self.output(name_output)?;
        let listed = ["lambda", "list-event-source-mappings", "--function-name", &name];
        let mapping = self.aws.list(&listed, "EventSourceMappings")?.pop().ok_or("no event source mapping")?;
        let patterns = mapping["FilterCriteria"]["Filters"].as_array().cloned().unwrap_or_default();
        let filters = patterns
            .iter()
            .map(|filter| serde_json::from_str(filter["Pattern"].as_str().unwrap_or_default()))
            .collect::<Result<_, _>>()?;
        let host = self.function(name_output, key_parameter).await?;
        let mapping = Mapping::read(&mapping);
        let mapping = Mapping { retries_max: mapping.retries_max.min(RETRIES_MAX), ..mapping };
        Ok(Consumer { host, mapping, filters, positions: BTreeMap::new() })
    }

    /// Unpacks the program from a zip in the artifact bucket.
    fn bootstrap(&self, key: &str) -> Result<Utf8PathBuf, Failure> {
        let folder = self.setup.work.join("functions").join(key.replace('/', "-"));
        fs::create_dir_all(&folder)?;
        let (zip, program) = (folder.join("code.zip"), folder.join("bootstrap"));
        // The key identifies the content, and a running program cannot be overwritten.
        if program.exists() {
            return Ok(program);
        }
        let bucket = self.parameter("ArtifactBucket")?;
        self.aws.call(&["s3api", "get-object", "--bucket", &bucket, "--key", key, zip.as_str()])?;
        let mut archive = zip::ZipArchive::new(fs::File::open(&zip)?)?;
        let mut file = archive.by_name("bootstrap")?;
        io::copy(&mut file, &mut fs::File::create(&program)?)?;
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
        Ok(program)
    }

    /// The certificate of the authority that signed the webhook receiver's certificate.
    fn authority_file(&self) -> Result<Utf8PathBuf, Failure> {
        let path = self.setup.work.join("authority.pem");
        fs::write(&path, self.webhook.authority())?;
        Ok(path)
    }

    /// The records of a Kinesis stream that a consumer has not seen.
    pub(super) fn stream_records(&self, consumer: &Consumer, stream: &str) -> Result<Shards, Failure> {
        let mut shards = Shards::new();
        let arn = format!("arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/{stream}");
        for shard in self.aws.list(&["kinesis", "list-shards", "--stream-name", stream], "Shards")? {
            let id = shard["ShardId"].as_str().ok_or("a shard without id")?;
            let mut words = vec!["kinesis", "get-shard-iterator", "--stream-name", stream, "--shard-id", id];
            words.extend(consumer.from(id, "--starting-sequence-number"));
            let records = self.read_shard("kinesis", &words)?;
            shards.insert(id.to_owned(), records.iter().map(|record| kinesis_record(record, id, &arn)).collect());
        }
        Ok(shards)
    }

    /// The records of a table's stream that a consumer has not seen.
    pub(super) fn table_records(&self, consumer: &Consumer, table: &str) -> Result<Shards, Failure> {
        let answer = self.aws.call(&["dynamodb", "describe-table", "--table-name", table])?;
        let arn = answer["Table"]["LatestStreamArn"].as_str().ok_or("the table has no stream")?;
        let answer = self.aws.call(&["dynamodbstreams", "describe-stream", "--stream-arn", arn])?;
        let mut shards = Shards::new();
        for shard in answer["StreamDescription"]["Shards"].as_array().into_iter().flatten() {
            let id = shard["ShardId"].as_str().ok_or("a shard without id")?;
            let mut words = vec!["dynamodbstreams", "get-shard-iterator", "--stream-arn", arn, "--shard-id", id];
            words.extend(consumer.from(id, "--sequence-number"));
            let records = self.read_shard("dynamodbstreams", &words)?;
            shards.insert(id.to_owned(), records.iter().map(|record| table_record(record, arn)).collect());
        }
        Ok(shards)
    }

    fn read_shard(&self, service: &str, iterator: &[&str]) -> Result<Vec<Value>, Failure> {
        let answer = self.aws.call(iterator)?;
        let mut iterator = answer["ShardIterator"].as_str().ok_or("no shard iterator")?.to_owned();
        let mut records = Vec::new();
        for _ in 0..READS_MAX {
            let answer = self.aws.call(&[service, "get-records", "--shard-iterator", &iterator])?;
            let read = answer["Records"].as_array().cloned().unwrap_or_default();
            if read.is_empty() {
                return Ok(records);
            }
            records.extend(read);
            let Some(next) = answer["NextShardIterator"].as_str() else { return Ok(records) };
            next.clone_into(&mut iterator);
        }
        Err("the shard has no end".into())
    }
}

impl Consumer {
    /// The starting position in a shard. Each service has its own option for the sequence number.
    fn from<'a>(&'a self, shard: &str, option: &'a str) -> Vec<&'a str> {
        match self.positions.get(shard) {
            Some(position) => vec!["--shard-iterator-type", "AFTER_SEQUENCE_NUMBER", option, position],
            None => vec!["--shard-iterator-type", "TRIM_HORIZON"],
        }
    }

    /// Runs the function on records, in the way that its mapping defines, one shard after the other.
    pub(super) async fn deliver(&mut self, shards: &Shards) -> Result<Delivery, Failure> {
        self.deliver_with(shards, async |host, event| host.invoke(event).await).await
    }

    /// Does the same, with a custom way to run the function on an event.
    pub(super) async fn deliver_with(
        &mut self,
        shards: &Shards,
        mut invoke: impl AsyncFnMut(&mut LambdaHost, &Value) -> io::Result<Outcome>,
    ) -> Result<Delivery, Failure> {
        let mut all = Delivery::default();
        for (shard, records) in shards {
            let (host, filters) = (&mut self.host, &self.filters);
            let wanted: Vec<Value> =
                records.iter().filter(|record| event_source::passes(filters, record)).cloned().collect();
            let mut broken = None;
            let delivery = event_source::deliver(self.mapping, &wanted, async |event: &Value| {
                invoke(host, event).await.unwrap_or_else(|error| {
                    broken = Some(error);
                    Outcome::Exited
                })
            })
            .await;
            if let Some(error) = broken {
                return Err(error.into());
            }
            if let Some(last) = records.last().and_then(event_source::sequence_number) {
                self.positions.insert(shard.clone(), last.to_owned());
            }
            all.invocations += delivery.invocations;
            all.given_up.extend(delivery.given_up);
            all.failures.extend(delivery.failures);
        }
        Ok(all)
    }

    /// Skips records, like an event source that gave them up.
    pub(super) fn lose(&mut self, shards: &Shards) {
        for (shard, records) in shards {
            if let Some(last) = records.last().and_then(event_source::sequence_number) {
                self.positions.insert(shard.clone(), last.to_owned());
            }
        }
    }

    /// Continues at the position in the stream where another consumer stopped.
    pub(super) fn continuing(self, other: &Self) -> Self {
        Self { positions: other.positions.clone(), ..self }
    }

    /// The same with smaller batches.
    pub(super) fn in_batches_of(self, records_max: usize) -> Self {
        Self { mapping: Mapping { batch_records_max: records_max, ..self.mapping }, ..self }
    }

    /// Ends the function's program, as if its host were lost.
    pub(super) async fn kill(&mut self) -> Result<(), Failure> {
        Ok(self.host.kill().await?)
    }
}

fn kinesis_record(record: &Value, shard: &str, arn: &str) -> Value {
    json!({
        "kinesis": {
            "kinesisSchemaVersion": "1.0",
            "partitionKey": record["PartitionKey"],
            "sequenceNumber": record["SequenceNumber"],
            "data": record["Data"],
            "approximateArrivalTimestamp": record["ApproximateArrivalTimestamp"],
        },
        "eventSource": "aws:kinesis",
        "eventVersion": "1.0",
        "eventID": format!("{shard}:{}", record["SequenceNumber"].as_str().unwrap_or_default()),
        "eventName": "aws:kinesis:record",
        "invokeIdentityArn": format!("arn:aws:iam::{ACCOUNT}:role/test"),
        "awsRegion": REGION,
        "eventSourceARN": arn,
    })
}

fn table_record(record: &Value, arn: &str) -> Value {
    json!({
        "eventID": record["eventID"],
        "eventName": record["eventName"],
        "eventVersion": record["eventVersion"],
        "eventSource": "aws:dynamodb",
        "awsRegion": REGION,
        "dynamodb": record["dynamodb"],
        "eventSourceARN": arn,
    })
}
