//! Parses any event with the JSON parser.

use std::borrow::Cow;

use fleetform_engine::{base64::decode_onto, position::SequenceNumber, units::Timestamp};
use serde::Deserialize;

use super::{BadEvent, KinesisEvent, Record};

#[derive(Deserialize)]
struct Event<'a> {
    #[serde(borrow, rename = "Records")]
    records: Vec<Written<'a>>,
}

#[derive(Deserialize)]
struct Written<'a> {
    #[serde(borrow, rename = "eventID")]
    id: Cow<'a, str>,
    #[serde(borrow, default, rename = "eventSourceARN")]
    stream_arn: Option<Cow<'a, str>>,
    #[serde(borrow)]
    kinesis: Kinesis<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Kinesis<'a> {
    #[serde(borrow)]
    partition_key: Cow<'a, str>,
    #[serde(borrow)]
    sequence_number: Cow<'a, str>,
    #[serde(borrow)]
    data: Cow<'a, str>,
    approximate_arrival_timestamp: f64,
}

/// Parses an event. All records belong to one shard, whose id starts each record's id, as in
/// `shardId-000000000000:4954…`.
pub(super) fn parse(body: &[u8]) -> Result<KinesisEvent<'_>, BadEvent> {
    let Event { records: written } = serde_json::from_slice(body)?;
    let encoded: usize = written.iter().map(|record| record.kinesis.data.len()).sum();
    let mut data = Vec::with_capacity(encoded / 4 * 3 + 3);
    let (mut shard, mut stream_arn) = (None, None);
    let mut records = Vec::with_capacity(written.len());
    for (index, Written { id, stream_arn: stream, kinesis }) in written.into_iter().enumerate() {
        let refuse = |part| BadEvent::Record { index, part };
        let Some(of) = shard_of(&id).filter(|of| shard.as_ref().is_none_or(|shard| shard == of)) else {
            return Err(BadEvent::Shard(id.into_owned()));
        };
        shard = Some(of);
        if index == 0 {
            stream_arn = stream;
        }
        decode_onto(kinesis.data.as_bytes(), &mut data).map_err(|_| refuse("data"))?;
        // Seconds with three decimals, which a float does not represent exactly.
        let arrived_ms = (kinesis.approximate_arrival_timestamp * 1_000.0).round();
        records.push(Record {
            sequence: SequenceNumber::new(&kinesis.sequence_number).map_err(|_| refuse("sequence number"))?,
            partition_key: kinesis.partition_key,
            arrived_at: Timestamp(arrived_ms as i64),
            data: data.len(),
        });
    }
    Ok(KinesisEvent { stream_arn, shard: shard.ok_or(BadEvent::Empty)?, records, data })
}

fn shard_of<'a>(id: &Cow<'a, str>) -> Option<Cow<'a, str>> {
    let colon = id.rfind(':')?;
    Some(match id {
        Cow::Borrowed(id) => Cow::Borrowed(&id[..colon]),
        Cow::Owned(id) => Cow::Owned(id[..colon].to_owned()),
    })
}
