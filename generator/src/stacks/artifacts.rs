//! The stack `artifacts`: the bucket for templates, code and rule sets, which the other stacks are made from.
//!
//! It is deployed first and on its own, since a root template can only name what is already in a bucket.

use super::{
    bucket::{self, Expiry, Plan},
    encryption,
    site::Site,
};
use crate::cfn::{stack::Stack, value::Text};

/// Name of the export that holds the ARN of the key of the artifact bucket.
fn key_export(site: &Site<'_>) -> String {
    format!("{}-artifacts-key", site.name)
}

/// The stack; none where the platform file names a bucket.
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

/// How the functions come to decrypt what is in the artifact bucket.
pub(crate) enum Decryption {
    /// By the platform's key, which they may use already.
    PlatformKey,
    /// By the key of the stack `artifacts`, whose ARN the root template imports.
    ArtifactKey(Text),
    /// By a key that only the owner of the bucket knows.
    Unknown,
}

/// How the functions come to decrypt what is in the artifact bucket.
pub(crate) fn decryption(site: &Site<'_>) -> Decryption {
    if site.platform.security.kms_key_arn.is_some() {
        Decryption::PlatformKey
    } else if site.platform.deploy.artifact_bucket.is_none() {
        Decryption::ArtifactKey(Text::import(key_export(site)))
    } else {
        Decryption::Unknown
    }
}
