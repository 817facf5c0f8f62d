//! Puts rows into a Firehose stream, which writes them to the table of samples.

use aws_sdk_firehose::{Client, primitives::Blob, types::Record};
use bytes::Bytes;
use fleetform_engine::drive::PortError;

use crate::{aws::describe, store::Rows};

/// The Firehose stream of the table of samples.
#[derive(Debug)]
pub struct FirehoseRows {
    client: Client,
    delivery_stream: String,
}

impl FirehoseRows {
    /// Uses the Firehose stream of this name.
    pub fn new(client: Client, delivery_stream: String) -> Self {
        Self { client, delivery_stream }
    }
}

impl Rows for FirehoseRows {
    async fn put(&self, rows: Vec<Bytes>) -> Result<Vec<Option<String>>, PortError> {
        let record = |row: &Bytes| Record::builder().data(Blob::new(row.as_ref())).build();
        let records = rows.iter().map(record).collect::<Result<Vec<_>, _>>();
        let records = records.map_err(|error| PortError(format!("a row cannot be written: {error}")))?;
        let call = self.client.put_record_batch().delivery_stream_name(&self.delivery_stream);
        let done = call.set_records(Some(records)).send().await;
        let done = done.map_err(|error| PortError(describe("PutRecordBatch", &error)))?;
        Ok(done.request_responses.into_iter().map(|response| response.error_code).collect())
    }
}
