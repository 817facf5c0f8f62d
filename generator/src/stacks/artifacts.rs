//! The stack `artifacts`: the bucket for templates, code and rule sets, which the other stacks are made from.
//!
//! It is deployed first and on its own, since a root template can only name what is already in a bucket.

use super::{
    bucket::{self, Plan},
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
    let key = encryption::key(site, &mut stack, "ArtifactKey", &format!("{}-artifacts", site.name));
    let access_log = bucket::add_access_log(&mut stack, "ArtifactAccessLogBucket");
    let plan = Plan { key: &key, access_log: (&access_log.reference(), "artifacts/"), expire_days: None };
    let artifacts = bucket::add(&mut stack, "ArtifactBucket", plan, |_| Vec::new());
    stack.output("ArtifactBucketName", "Name of the bucket for templates, code and rule sets", artifacts.reference());
    stack.export("ArtifactKeyArn", "ARN of the key of that bucket", key, &key_export(site));
    Some(stack)
}

/// ARN of the key of the artifact bucket, as the root template sees it; none where only the user knows it.
pub(crate) fn key_arn(site: &Site<'_>) -> Option<Text> {
    if let Some(arn) = &site.platform.security.kms_key_arn {
        return Some(arn.into());
    }
    site.platform.deploy.artifact_bucket.is_none().then(|| Text::import(key_export(site)))
}
