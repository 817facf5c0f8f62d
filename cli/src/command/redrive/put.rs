//! Puts records on the stream, as many at once as one call takes, and marks where they came from.

use std::{collections::BTreeMap, time::Duration};

use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_kinesis::{primitives::Blob, types::PutRecordsRequestEntry};
use aws_sdk_s3::types::{Tag, Tagging};

use super::{
    candidate::{Candidate, Origin},
    failures::TAG,
    quarantine::MARK,
};
use crate::{
    deployed::{Deployed, now, s3},
    found::failed,
    terminal::{Stop, tell},
};

/// Records and bytes in one call (Kinesis Data Streams API Reference, "PutRecords").
const RECORDS_MAX: usize = 500;
const BYTES_MAX: usize = 5 << 20;
/// Tries of what a shard had no room for.
const TRIES_MAX: u32 = 10;
/// The wait before the second try; it doubles with each.
const FIRST_WAIT: Duration = Duration::from_millis(200);

/// Puts all of them. What was put and not marked is put again by the next run, which changes nothing in the state.
pub(super) async fn put(deployed: &Deployed, candidates: Vec<Candidate>) -> Result<(), Stop> {
    let client = aws_sdk_kinesis::Client::new(&deployed.config);
    let marker = Marker::new(deployed);
    let (all, mut done) = (candidates.len(), 0);
    // An object is marked once the last of its records was put.
    let mut waiting = BTreeMap::<Origin, usize>::new();
    for candidate in &candidates {
        *waiting.entry(candidate.origin.clone()).or_default() += 1;
    }
    for some in batches(&candidates) {
        send(&client, &deployed.stream_arn, some).await?;
        for candidate in some {
            if let Some(left) = waiting.get_mut(&candidate.origin) {
                *left -= 1;
                if *left == 0 {
                    marker.mark(&candidate.origin).await?;
                }
            }
        }
        done += some.len();
        tell(format_args!("{done} of {all} put"));
    }
    Ok(())
}

/// Records in the order in which they are, cut where a call is full.
fn batches(candidates: &[Candidate]) -> Vec<&[Candidate]> {
    let (mut batches, mut from, mut bytes) = (Vec::new(), 0, 0);
    for (index, candidate) in candidates.iter().enumerate() {
        let size = candidate.data.len() + candidate.partition_key.len();
        if index - from == RECORDS_MAX || (index > from && bytes + size > BYTES_MAX) {
            batches.push(&candidates[from..index]);
            (from, bytes) = (index, 0);
        }
        bytes += size;
    }
    if from < candidates.len() {
        batches.push(&candidates[from..]);
    }
    batches
}

/// One call, and again with those that were not taken.
async fn send(client: &aws_sdk_kinesis::Client, stream: &str, candidates: &[Candidate]) -> Result<(), Stop> {
    let mut left = candidates.iter().map(entry).collect::<Result<Vec<_>, _>>()?;
    let mut wait = FIRST_WAIT;
    for _ in 0..TRIES_MAX {
        let sent = client.put_records().stream_arn(stream).set_records(Some(left.clone())).send().await;
        let answer = sent.map_err(|error| failed("put records", error))?;
        let refused = answer.records().iter().map(|result| result.error_code().is_some());
        left = left.into_iter().zip(refused).filter_map(|(entry, refused)| refused.then_some(entry)).collect();
        if left.is_empty() {
            return Ok(());
        }
        tokio::time::sleep(wait).await;
        wait *= 2;
    }
    Err(Stop::failed(format_args!("the stream has no room for {} records", left.len()))
        .help("run it again: what was put so far is marked"))
}

fn entry(candidate: &Candidate) -> Result<PutRecordsRequestEntry, Stop> {
    let entry = PutRecordsRequestEntry::builder().partition_key(&candidate.partition_key);
    entry.data(Blob::new(candidate.data.clone())).build().map_err(|error| failed("make a record", error))
}

/// Marks what was put, where it was found.
struct Marker<'a> {
    deployed: &'a Deployed,
    dynamodb: aws_sdk_dynamodb::Client,
    s3: aws_sdk_s3::Client,
}

impl<'a> Marker<'a> {
    fn new(deployed: &'a Deployed) -> Self {
        let config = &deployed.config;
        Self { deployed, dynamodb: aws_sdk_dynamodb::Client::new(config), s3: s3(config) }
    }

    async fn mark(&self, origin: &Origin) -> Result<(), Stop> {
        match origin {
            Origin::Quarantine { id } => self.mark_row(id).await,
            Origin::Failures { key } => self.mark_object(key).await,
        }
    }

    async fn mark_row(&self, id: &str) -> Result<(), Stop> {
        let update = self.dynamodb.update_item().table_name(&self.deployed.quarantine_table);
        let update = update.key("id", AttributeValue::S(id.to_owned()));
        let update = update.update_expression(format!("SET {MARK} = :at"));
        let update = update.expression_attribute_values(":at", AttributeValue::N(now().0.to_string()));
        // A row that has expired meanwhile is not made again.
        match update.condition_expression("attribute_exists(id)").send().await {
            Err(error)
                if !error.as_service_error().is_some_and(|error| error.is_conditional_check_failed_exception()) =>
            {
                Err(failed(&format!("mark row `{id}`"), error))
            }
            Ok(_) | Err(_) => Ok(()),
        }
    }

    async fn mark_object(&self, key: &str) -> Result<(), Stop> {
        let unmade = |error| failed("make a tag", error);
        let tag = Tag::builder().key(TAG).value(now().0.to_string()).build().map_err(unmade)?;
        let tags = Tagging::builder().tag_set(tag).build().map_err(unmade)?;
        let put = self.s3.put_object_tagging().set_bucket(self.deployed.mapping.failure_bucket.clone()).key(key);
        let put = put.tagging(tags).send().await;
        put.map(drop).map_err(|error| failed(&format!("mark object `{key}`"), error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_cut_at_its_records_and_at_its_bytes() {
        let of = |bytes: usize| Candidate {
            reason: "given_up".to_owned(),
            partition_key: "d".to_owned(),
            data: vec![0; bytes],
            origin: Origin::Failures { key: "k".to_owned() },
        };
        let sizes = |candidates: &[Candidate]| batches(candidates).iter().map(|some| some.len()).collect::<Vec<_>>();
        assert_eq!(sizes(&[]), [0; 0]);
        assert_eq!(sizes(&vec![of(1); 1_001]), [500, 500, 1]);
        let large = vec![of(1 << 20); 11];
        assert_eq!(sizes(&large), [4, 4, 3]);
    }
}
