//! The check that every handler of the telemetry stream makes first.

use fleetform_engine::drive::Batch;

use crate::{event::kinesis::KinesisEvent, host::BatchResponse, telemetry::Metrics};

/// The answer to a batch of a different stream; `None` if it comes from this one.
///
/// Shards of two streams have the same names, and a replaced stream is still read until its event source is gone. Its
/// records must not be taken for the new stream's.
pub(super) fn refuse_other(
    stream_arn: &str,
    event: &KinesisEvent<'_>,
    batch: &Batch<'_>,
    metrics: &mut Metrics,
) -> Option<BatchResponse> {
    let other = event.stream_arn().filter(|arn| *arn != stream_arn)?;
    metrics.count_by_reason("Stopped", "other_stream", 1);
    tracing::warn!(stream = other, shard = batch.shard, "records of another stream are not taken");
    let first = batch.records.first();
    Some(first.map_or_else(BatchResponse::default, |first| BatchResponse::again_from(first.sequence.to_string())))
}
