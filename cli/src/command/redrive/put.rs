//! Puts records back on the stream, in the order of their first arrival, and marks them where they were found.

use std::collections::BTreeMap;

use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_s3::types::{Tag, Tagging};

use super::{
    candidate::{Candidate, Origin},
    failures::TAG,
    quarantine::MARK,
};
use crate::{
    deployed::{Deployed, now, s3},
    found::failed,
    sender::Sender,
    terminal::{Stop, tell},
};

/// The number of records between two reports of progress.
const TOLD_EVERY: usize = 500;

/// Puts all of them back. A record that was put back and not marked is put back again by the next run, which does not
/// change the state.
pub(super) async fn put(deployed: &Deployed, mut candidates: Vec<Candidate>) -> Result<(), Stop> {
    let stream = deployed.stream_arn.rsplit('/').next().unwrap_or_default();
    let mut sender = Sender::new(aws_sdk_kinesis::Client::new(&deployed.config), stream.to_owned());
    let marker = Marker::new(deployed);
    let (all, mut told) = (candidates.len(), 0);
    // An object is marked after the last of its records.
    let mut waiting = BTreeMap::<Origin, usize>::new();
    for candidate in &candidates {
        *waiting.entry(candidate.origin.clone()).or_default() += 1;
    }
    candidates.sort_by_key(Candidate::order);
    sender.take(candidates);
    while sender.waiting() > 0 {
        let put = sender.put().await;
        for candidate in put.map_err(|stop| stop.help("run it again: what was put back so far is marked"))? {
            if let Some(left) = waiting.get_mut(&candidate.origin) {
                *left -= 1;
                if *left == 0 {
                    marker.mark(&candidate.origin).await?;
                }
            }
        }
        let done = all - sender.waiting();
        if done >= told + TOLD_EVERY || done == all {
            told = done;
            tell(format_args!("{done} of {all} put back"));
        }
    }
    Ok(())
}

/// Marks records that were put back, where they were found.
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
        // A row that has expired meanwhile is not created again.
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
