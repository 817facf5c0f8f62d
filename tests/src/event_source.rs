//! An event source mapping with the semantics of the service: order within a shard, partial batch responses, bisection,
//! a bounded number of retries, and a destination for records that were given up.
//!
//! It decides what is delivered when. It does not know how a batch is run, or what a record holds.

use std::ops::Range;

use serde_json::{Value, json};

use crate::lambda_host::Outcome;

/// The settings of a mapping that affect delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// `BatchSize`.
    pub batch_records_max: usize,
    /// `BisectBatchOnFunctionError`.
    pub bisects: bool,
    /// `MaximumRetryAttempts`: how often a batch is retried.
    pub retries_max: u32,
    /// `FunctionResponseTypes` holds `ReportBatchItemFailures`.
    pub partial_responses: bool,
}

impl Mapping {
    /// Reads the answer of `GetEventSourceMapping`.
    ///
    /// # Panics
    /// If there is no batch size.
    pub fn read(mapping: &Value) -> Self {
        let partial = |kinds: &Vec<Value>| kinds.iter().any(|kind| kind == "ReportBatchItemFailures");
        Self {
            batch_records_max: mapping["BatchSize"].as_u64().and_then(|size| size.try_into().ok()).expect("BatchSize"),
            bisects: mapping["BisectBatchOnFunctionError"].as_bool().unwrap_or(false),
            // With -1, a mapping retries until the record expires: no test waits for that.
            retries_max: mapping["MaximumRetryAttempts"].as_u64().and_then(|n| n.try_into().ok()).unwrap_or(u32::MAX),
            partial_responses: mapping["FunctionResponseTypes"].as_array().is_some_and(partial),
        }
    }
}

/// The result for a shard's records.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Delivery {
    /// The number of invocations of the function.
    pub invocations: u32,
    /// The records that were given up and went to the destination, as indices in the input.
    pub given_up: Vec<usize>,
    /// The reasons for which invocations did not succeed.
    pub failures: Vec<String>,
}

/// Delivers the records of one shard, in order, until each is done or given up.
pub async fn deliver(mapping: Mapping, records: &[Value], mut invoke: impl AsyncFnMut(&Value) -> Outcome) -> Delivery {
    assert!(mapping.batch_records_max > 0, "a batch holds at least one record");
    let mut delivery = Delivery::default();
    let mut waiting: Vec<Batch> = (0..records.len())
        .step_by(mapping.batch_records_max)
        .map(|start| Batch { range: start..records.len().min(start + mapping.batch_records_max), tries: 0 })
        .collect();
    waiting.reverse();
    while let Some(batch) = waiting.pop() {
        delivery.invocations += 1;
        let outcome = invoke(&json!({ "Records": records[batch.range.clone()] })).await;
        let failed_from = match &outcome {
            Outcome::Returned(response) if mapping.partial_responses => {
                match first_failure(response, &records[batch.range.clone()]) {
                    None => continue,
                    Some(offset) => batch.range.start + offset,
                }
            }
            Outcome::Returned(_) => continue,
            Outcome::Failed { .. } | Outcome::Exited | Outcome::TimedOut => batch.range.start,
        };
        delivery.failures.push(format!("{outcome:?}"));
        let rest = failed_from..batch.range.end;
        if batch.tries >= mapping.retries_max {
            delivery.given_up.extend(rest);
        } else if failed_from > batch.range.start || !mapping.bisects || rest.len() == 1 {
            waiting.push(Batch { range: rest, tries: batch.tries + 1 });
        } else {
            // A bisection does not count as a retry.
            let middle = rest.start + rest.len() / 2;
            waiting.push(Batch { range: middle..rest.end, tries: batch.tries });
            waiting.push(Batch { range: rest.start..middle, tries: batch.tries });
        }
    }
    delivery
}

/// Whether a record passes a mapping's filters: it matches one of them, or there are none.
pub fn passes(filters: &[Value], record: &Value) -> bool {
    filters.is_empty() || filters.iter().any(|pattern| matches(pattern, record))
}

/// A pattern consists of keys, with lists of allowed values as leaves. Comparisons such as prefixes are not supported
/// here, and match nothing.
fn matches(pattern: &Value, value: &Value) -> bool {
    match pattern {
        Value::Object(keys) => keys.iter().all(|(key, pattern)| matches(pattern, &value[key])),
        Value::Array(values) => values.contains(value),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

struct Batch {
    range: Range<usize>,
    tries: u32,
}

/// The index of the first record that a partial response reports as failed. A response that names no record of the
/// batch fails the whole batch, as on AWS.
fn first_failure(response: &Value, records: &[Value]) -> Option<usize> {
    let failures = response.get("batchItemFailures")?.as_array()?;
    let position = |failure: &Value| {
        let wanted = failure["itemIdentifier"].as_str()?;
        records.iter().position(|record| sequence_number(record) == Some(wanted))
    };
    failures.iter().map(|failure| position(failure).unwrap_or(0)).min()
}

/// The sequence number of a record of either kind of stream.
pub fn sequence_number(record: &Value) -> Option<&str> {
    record.pointer("/kinesis/sequenceNumber").or_else(|| record.pointer("/dynamodb/SequenceNumber"))?.as_str()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAPPING: Mapping = Mapping { batch_records_max: 4, bisects: true, retries_max: 2, partial_responses: true };

    fn records(count: usize) -> Vec<Value> {
        (0..count).map(|number| json!({ "kinesis": { "sequenceNumber": number.to_string() } })).collect()
    }

    fn numbers(event: &Value) -> Vec<usize> {
        let records = event["Records"].as_array().expect("records");
        records.iter().map(|record| sequence_number(record).expect("number").parse().expect("a number")).collect()
    }

    /// Delivers ten records to a function that fails on some, and returns the batches that it received.
    async fn check(mapping: Mapping, run: impl Fn(&[usize]) -> Outcome) -> (Delivery, Vec<Vec<usize>>) {
        let mut seen = Vec::new();
        let delivery = deliver(mapping, &records(10), async |event: &Value| {
            let numbers = numbers(event);
            let outcome = run(&numbers);
            seen.push(numbers);
            outcome
        })
        .await;
        (delivery, seen)
    }

    fn fine() -> Outcome {
        Outcome::Returned(json!({ "batchItemFailures": [] }))
    }

    fn partial(number: usize) -> Outcome {
        Outcome::Returned(json!({ "batchItemFailures": [{ "itemIdentifier": number.to_string() }] }))
    }

    #[test]
    fn a_filter_names_values_at_its_leaves() {
        let record = json!({ "eventName": "INSERT", "dynamodb": { "NewImage": { "status": { "S": "new" } } } });
        let pattern = json!({ "eventName": ["INSERT"], "dynamodb": { "NewImage": { "status": { "S": ["new"] } } } });
        assert!(passes(&[], &record));
        assert!(passes(&[json!({ "eventName": ["REMOVE"] }), pattern], &record));
        assert!(!passes(&[json!({ "eventName": ["MODIFY", "REMOVE"] })], &record));
        assert!(!passes(&[json!({ "absent": { "key": ["INSERT"] } })], &record));
    }

    #[tokio::test]
    async fn batches_come_in_order() {
        let (delivery, seen) = check(MAPPING, |_| fine()).await;
        assert_eq!(seen, [vec![0, 1, 2, 3], vec![4, 5, 6, 7], vec![8, 9]]);
        assert!(delivery.given_up.is_empty());
    }

    #[tokio::test]
    async fn a_partial_response_repeats_from_the_first_failure_and_gives_it_up_after_the_retries() {
        let (delivery, seen) = check(MAPPING, |batch| if batch.contains(&2) { partial(2) } else { fine() }).await;
        assert_eq!(seen[..3], [vec![0, 1, 2, 3], vec![2, 3], vec![2]]);
        assert_eq!(delivery.given_up, [2]);
        assert_eq!(seen.last(), Some(&vec![8, 9]));
    }

    #[tokio::test]
    async fn an_error_halves_the_batch_until_one_record_is_left() {
        let failed = || Outcome::Failed { kind: "Bad".to_owned(), message: String::new() };
        let (delivery, seen) = check(MAPPING, |batch| if batch.contains(&5) { failed() } else { fine() }).await;
        assert_eq!(
            seen[1..],
            [vec![4, 5, 6, 7], vec![4, 5], vec![4], vec![5], vec![5], vec![5], vec![6, 7], vec![8, 9]]
        );
        assert_eq!(delivery.given_up, [5]);
    }

    #[tokio::test]
    async fn without_bisection_the_whole_batch_is_given_up() {
        let mapping = Mapping { bisects: false, retries_max: 1, ..MAPPING };
        let (delivery, _) = check(mapping, |batch| if batch.contains(&0) { Outcome::Exited } else { fine() }).await;
        assert_eq!(delivery.given_up, [0, 1, 2, 3]);
        assert_eq!(delivery.invocations, 4);
    }

    #[tokio::test]
    async fn a_response_that_names_no_record_of_the_batch_fails_all_of_it() {
        let mapping = Mapping { bisects: false, retries_max: 0, ..MAPPING };
        let (delivery, _) = check(mapping, |batch| if batch.contains(&9) { partial(77) } else { fine() }).await;
        assert_eq!(delivery.given_up, [8, 9]);
    }
}
