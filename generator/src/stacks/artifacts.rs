//! The stack `artifacts`: the bucket for templates, code and rule sets, from which the other stacks are created.
//!
//! It is deployed first and separately, because a root template can only refer to what is already in a bucket.

use super::{
    bucket::{self, Expiry, Plan},
    encryption,
    site::Site,
};
use crate::cfn::{stack::Stack, value::Text};

/// The name of the export that holds the ARN of the artifact bucket's key.
fn key_export(site: &Site<'_>) -> String {
    format!("{}-artifacts-key", site.name)
}

/// Builds the stack; `None` if the platform file names a bucket.
pub(crate) fn stack(site: &Site<'_>) -> Option<Stack> {
    if site.platform.deploy.artifact_bucket.is_some() {
        return None;
    }
    let mut stack = site.stack("artifacts", "the bucket for templates, code and rule sets");
    let key = encryption::artifact_key(site, &mut stack);
    let access_log = bucket::add_access_log(&mut stack, "ArtifactAccessLogBucket");
    let plan =
        Plan { key: &key, access_log: (&access_log.reference(), "artifacts/"), expiry: Expiry::Never, class: None };
    let artifacts = bucket::add(&mut stack, "ArtifactBucket", plan, |_| Vec::new());
    stack.output("ArtifactBucketName", "Name of the bucket for templates, code and rule sets", artifacts.reference());
    stack.export("ArtifactKeyArn", "ARN of the key of that bucket", key, &key_export(site));
    Some(stack)
}

/// How the functions can decrypt the contents of the artifact bucket.
pub(crate) enum Decryption {
    /// With the platform's key, which they may already use.
    PlatformKey,
    /// With the key of the stack `artifacts`, whose ARN the root template imports.
    ArtifactKey(Text),
    /// With a key that only the owner of the bucket knows.
    Unknown,
}

/// Determines how the functions can decrypt the contents of the artifact bucket.
pub(crate) fn decryption(site: &Site<'_>) -> Decryption {
    if site.platform.security.kms_key_arn.is_some() {
        Decryption::PlatformKey
    } else if site.platform.deploy.artifact_bucket.is_none() {
        Decryption::ArtifactKey(Text::import(key_export(site)))
    } else {
        Decryption::Unknown
    }
}
