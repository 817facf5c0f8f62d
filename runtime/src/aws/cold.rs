//! The cold bucket.

use std::time::Duration;

use aws_sdk_s3::{Client, config::timeout::TimeoutConfig, primitives::ByteStream};
use bytes::Bytes;
use fleetform_engine::drive::{Clearing as _, Created, PortError, StateLog as _};

use crate::{
    aws::{describe, state_log::S3StateLog},
    export::Cold,
};

/// The timeout for writing one object, of a few hundred megabytes at most.
const PUT_TIMEOUT: Duration = Duration::from_secs(120);
/// The maximum keys in one delete request ("DeleteObjects", Amazon S3 API).
const DELETED_AT_ONCE: usize = 1_000;

/// A bucket of exports.
#[derive(Debug)]
pub struct S3Cold {
    /// Small objects, which are listed and created in the same way as states.
    objects: S3StateLog,
    client: Client,
    bucket: String,
}

impl S3Cold {
    /// Uses this client and bucket.
    pub fn new(client: Client, bucket: String) -> Self {
        Self { objects: S3StateLog::new(client.clone(), bucket.clone()), client, bucket }
    }
}

impl Cold for S3Cold {
    async fn list(&self, prefix: &str) -> Result<Vec<String>, PortError> {
        self.objects.list(prefix, None, usize::MAX).await
    }

    async fn get(&self, key: &str) -> Result<Option<Bytes>, PortError> {
        Ok(self.objects.get(key).await?.map(Bytes::from))
    }

    async fn put(&self, key: &str, bytes: Vec<u8>) -> Result<(), PortError> {
        let timeout = TimeoutConfig::builder().operation_timeout(PUT_TIMEOUT).operation_attempt_timeout(PUT_TIMEOUT);
        let patient = aws_sdk_s3::Config::builder().timeout_config(timeout.build());
        let put = self
            .client
            .put_object()
            .bucket(&self.bucket)
            .key(key)
            .content_type("application/vnd.apache.parquet")
            .body(ByteStream::from(bytes))
            .customize()
            .config_override(patient)
            .send()
            .await;
        put.map(drop).map_err(|error| PortError(describe(&format!("PutObject {key}"), &error)))
    }

    async fn create(&self, key: &str, bytes: Vec<u8>) -> Result<bool, PortError> {
        match self.objects.create(key, &bytes).await {
            Created::Created => Ok(true),
            Created::Exists => Ok(false),
            Created::Conflict => Err(PortError(format!("PutObject {key}: somebody else writes it"))),
            Created::Refused(error) | Created::Ambiguous(error) => Err(error),
        }
    }

    async fn delete(&self, keys: &[String]) -> Result<(), PortError> {
        for keys in keys.chunks(DELETED_AT_ONCE) {
            self.objects.delete(keys).await?;
        }
        Ok(())
    }
}
