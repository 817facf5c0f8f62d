//! The state log in S3. One call of the port is one attempt of one request; the driver decides whether to retry, and
//! what an outcome means.

use std::time::Duration;

use aws_sdk_s3::{
    Client,
    config::{retry::RetryConfig, timeout::TimeoutConfig},
    error::SdkError,
    operation::{get_object::GetObjectError, put_object::PutObjectError},
    primitives::ByteStream,
    types::{Delete, Object, ObjectIdentifier},
};
use fleetform_engine::{
    drive::{Clearing, Created, Listed, PortError, StateLog},
    units::Timestamp,
};

use crate::aws::describe;

/// The timeout for creating one delta: 8 MB, at the slowest rate at which a small function sends.
const CREATE_TIMEOUT: Duration = Duration::from_secs(8);
/// The maximum keys in one list response (`ListObjectsV2`, parameter `MaxKeys`).
const LIST_KEYS_MAX: usize = 1_000;

/// The state bucket.
#[derive(Debug)]
pub struct S3StateLog {
    client: Client,
    bucket: String,
    create_timeout: Duration,
}

impl S3StateLog {
    /// Keeps states in this bucket.
    pub fn new(client: Client, bucket: String) -> Self {
        Self { client, bucket, create_timeout: CREATE_TIMEOUT }
    }

    /// Sets the timeout for creating an object, for one that holds a whole state, over a line slower than a function's.
    pub fn with_create_timeout(self, create_timeout: Duration) -> Self {
        Self { create_timeout, ..self }
    }

    /// Opens a connection, so that the first batch does not wait for it.
    pub async fn connect(&self) -> Result<(), PortError> {
        self.list("log/", None, 1).await.map(drop)
    }
}

impl S3StateLog {
    async fn objects(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<Object>, PortError> {
        let mut objects = Vec::new();
        let mut token = None;
        while objects.len() < limit {
            let page = self
                .client
                .list_objects_v2()
                .bucket(&self.bucket)
                .prefix(prefix)
                .set_start_after(after.map(str::to_owned))
                .max_keys((limit - objects.len()).min(LIST_KEYS_MAX) as i32)
                .set_continuation_token(token)
                .send()
                .await
                .map_err(|error| PortError(describe(&format!("ListObjectsV2 {prefix}"), &error)))?;
            token = page.next_continuation_token;
            objects.extend(page.contents.into_iter().flatten());
            if token.is_none() {
                break;
            }
        }
        Ok(objects)
    }
}

impl StateLog for S3StateLog {
    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<String>, PortError> {
        let objects = self.objects(prefix, after, limit).await?;
        Ok(objects.into_iter().filter_map(|object| object.key).collect())
    }

    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, PortError> {
        match self.client.get_object().bucket(&self.bucket).key(key).send().await {
            Ok(found) => match found.body.collect().await {
                Ok(body) => Ok(Some(body.into_bytes().into())),
                Err(_) => Err(PortError(format!("GetObject {key}: the body broke off"))),
            },
            Err(SdkError::ServiceError(refusal)) if matches!(refusal.err(), GetObjectError::NoSuchKey(_)) => Ok(None),
            Err(error) => Err(PortError(describe(&format!("GetObject {key}"), &error))),
        }
    }

    async fn create(&self, key: &str, bytes: &[u8]) -> Created {
        let once = aws_sdk_s3::Config::builder().retry_config(RetryConfig::disabled()).timeout_config(
            TimeoutConfig::builder()
                .operation_timeout(self.create_timeout)
                .operation_attempt_timeout(self.create_timeout)
                .build(),
        );
        let sent = self
            .client
            .put_object()
            .bucket(&self.bucket)
            .key(key)
            .if_none_match("*")
            .content_type("application/octet-stream")
            .body(ByteStream::from(bytes.to_vec()))
            .customize()
            .config_override(once)
            .send()
            .await;
        match sent {
            Ok(_) => Created::Created,
            Err(error) => outcome(key, &error),
        }
    }
}

impl Clearing for S3StateLog {
    async fn list_dated(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<Listed>, PortError> {
        let objects = self.objects(prefix, after, limit).await?;
        let dated = |object: Object| {
            let created_at = object.last_modified.and_then(|at| at.to_millis().ok());
            let undated = || PortError(format!("ListObjectsV2 {prefix}: an object has no key or no time"));
            Ok(Listed { key: object.key.ok_or_else(undated)?, created_at: Timestamp(created_at.ok_or_else(undated)?) })
        };
        objects.into_iter().map(dated).collect()
    }

    async fn delete(&self, keys: &[String]) -> Result<(), PortError> {
        let identified = keys.iter().map(|key| ObjectIdentifier::builder().key(key).build());
        let objects = identified.collect::<Result<Vec<_>, _>>().and_then(|objects| {
            // Only failures are reported.
            Delete::builder().set_objects(Some(objects)).quiet(true).build()
        });
        let objects = objects.map_err(|error| PortError(format!("DeleteObjects: {error}")))?;
        let deleted = self.client.delete_objects().bucket(&self.bucket).delete(objects).send().await;
        let deleted = deleted.map_err(|error| PortError(describe("DeleteObjects", &error)))?;
        match deleted.errors().first() {
            None => Ok(()),
            Some(error) => Err(PortError(format!(
                "DeleteObjects {}: {}",
                error.key().unwrap_or_default(),
                error.code().unwrap_or("an error without a code")
            ))),
        }
    }
}

/// What a failed create means: <https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html>
fn outcome(key: &str, error: &SdkError<PutObjectError>) -> Created {
    let told = PortError(describe(&format!("PutObject {key}"), error));
    let status = error.raw_response().map(|response| response.status().as_u16());
    match (error, status) {
        (SdkError::ServiceError(_), Some(412)) => Created::Exists,
        (SdkError::ServiceError(_), Some(409)) => Created::Conflict,
        (SdkError::ServiceError(_), Some(400..=499)) | (SdkError::ConstructionFailure(_), _) => Created::Refused(told),
        _ => Created::Ambiguous(told),
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_s3::{
        config::http::HttpResponse,
        error::{ConnectorError, ErrorMetadata},
        primitives::SdkBody,
    };

    use super::*;

    fn answered(status: u16, code: &str) -> SdkError<PutObjectError> {
        let error = PutObjectError::generic(ErrorMetadata::builder().code(code).build());
        SdkError::service_error(error, HttpResponse::new(status.try_into().expect("a status"), SdkBody::empty()))
    }

    #[test]
    fn only_a_clear_refusal_is_taken_for_one() {
        assert_eq!(outcome("k", &answered(412, "PreconditionFailed")), Created::Exists);
        assert_eq!(outcome("k", &answered(409, "ConditionalRequestConflict")), Created::Conflict);
        assert!(matches!(outcome("k", &answered(403, "AccessDenied")), Created::Refused(_)));
        for unclear in [
            answered(500, "InternalError"),
            answered(503, "SlowDown"),
            SdkError::timeout_error("late"),
            SdkError::dispatch_failure(ConnectorError::io("reset".into())),
        ] {
            assert!(matches!(outcome("k", &unclear), Created::Ambiguous(_)), "{unclear:?}");
        }
    }
}
