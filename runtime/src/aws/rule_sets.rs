//! Rule sets in the artifact bucket, named by the SHA-256 of their bytes. A name can only ever stand for one content,
//! so a set that has been read is kept in memory. Does not interpret what it reads.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use aws_sdk_s3::{Client, error::SdkError, operation::get_object::GetObjectError};
use fleetform_engine::{
    drive::{self, PortError},
    rule_set::RuleSet,
};

use crate::{aws::describe, config::is_sha256};

/// The maximum sets kept in memory: the one in force, its successor during a rollout, and one for a rollback.
const KEPT_MAX: usize = 3;

/// The artifact bucket.
#[derive(Debug)]
pub struct RuleSets {
    client: Client,
    bucket: String,
    kept: Mutex<VecDeque<(String, Arc<[u8]>)>>,
}

impl RuleSets {
    /// Reads from this bucket.
    pub fn new(client: Client, bucket: String) -> Self {
        Self { client, bucket, kept: Mutex::default() }
    }

    /// The bytes of a set; `None` if it does not exist, or if the stored bytes do not have this hash.
    pub async fn bytes(&self, sha256: &str) -> Result<Option<Arc<[u8]>>, PortError> {
        if !is_sha256(sha256) {
            return Ok(None);
        }
        if let Some((_, bytes)) = self.kept().iter().find(|(kept, _)| kept == sha256) {
            return Ok(Some(Arc::clone(bytes)));
        }
        let key = format!("rules/{sha256}.json");
        let found = match self.client.get_object().bucket(&self.bucket).key(&key).send().await {
            Ok(found) => found,
            Err(SdkError::ServiceError(refusal)) if matches!(refusal.err(), GetObjectError::NoSuchKey(_)) => {
                return Ok(None);
            }
            Err(error) => return Err(PortError(describe(&format!("GetObject {key}"), &error))),
        };
        let body = found.body.collect().await;
        let body = body.map_err(|_| PortError(format!("GetObject {key}: the body broke off")))?;
        let bytes: Arc<[u8]> = Arc::from(Vec::from(body.into_bytes()));
        if RuleSet::sha256(&bytes) != sha256 {
            tracing::error!(key, "an artifact's bytes do not have the hash that is its name");
            return Ok(None);
        }
        let mut kept = self.kept();
        kept.truncate(KEPT_MAX - 1);
        kept.push_front((sha256.to_owned(), Arc::clone(&bytes)));
        Ok(Some(bytes))
    }

    fn kept(&self) -> MutexGuard<'_, VecDeque<(String, Arc<[u8]>)>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl drive::RuleSets for RuleSets {
    async fn load(&self, sha256: &str) -> Result<Option<Vec<u8>>, PortError> {
        Ok(self.bytes(sha256).await?.map(|bytes| bytes.to_vec()))
    }
}
