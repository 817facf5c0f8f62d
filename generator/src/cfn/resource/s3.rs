//! S3 buckets and their policies.

use serde::Serialize;
use smol_str::SmolStr;

use super::Document;
use crate::cfn::{
    stack::{Handle, Removal, Resource},
    value::Text,
};

/// A bucket.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Bucket {
    pub(crate) bucket_encryption: BucketEncryption,
    pub(crate) lifecycle_configuration: LifecycleConfiguration,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) logging_configuration: Option<LoggingConfiguration>,
    pub(crate) ownership_controls: OwnershipControls,
    pub(crate) public_access_block_configuration: PublicAccessBlock,
    pub(crate) versioning_configuration: Versioning,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct BucketEncryption {
    pub(crate) server_side_encryption_configuration: [EncryptionRule; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct EncryptionRule {
    /// Uses one KMS data key for many objects; otherwise each put and get would cost a request to KMS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) bucket_key_enabled: Option<bool>,
    pub(crate) server_side_encryption_by_default: DefaultEncryption,
}

#[derive(Serialize)]
pub(crate) struct DefaultEncryption {
    #[serde(rename = "SSEAlgorithm")]
    pub(crate) algorithm: &'static str,
    #[serde(rename = "KMSMasterKeyID", skip_serializing_if = "Option::is_none")]
    pub(crate) key: Option<Text>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct LifecycleConfiguration {
    pub(crate) rules: Vec<LifecycleRule>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct LifecycleRule {
    pub(crate) id: SmolStr,
    pub(crate) status: &'static str,
    /// The key prefix of the objects that the rule applies to; `None` if it applies to all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) prefix: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) expiration_in_days: Option<u32>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) transitions: Vec<Transition>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) noncurrent_version_expiration: Option<NoncurrentVersionExpiration>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) abort_incomplete_multipart_upload: Option<AbortIncompleteMultipartUpload>,
}

/// When objects move to another storage class.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Transition {
    pub(crate) storage_class: &'static str,
    pub(crate) transition_in_days: u32,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct NoncurrentVersionExpiration {
    pub(crate) noncurrent_days: u32,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct AbortIncompleteMultipartUpload {
    pub(crate) days_after_initiation: u32,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct LoggingConfiguration {
    pub(crate) destination_bucket_name: Text,
    pub(crate) log_file_prefix: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct OwnershipControls {
    pub(crate) rules: [OwnershipRule; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct OwnershipRule {
    pub(crate) object_ownership: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct PublicAccessBlock {
    pub(crate) block_public_acls: bool,
    pub(crate) block_public_policy: bool,
    pub(crate) ignore_public_acls: bool,
    pub(crate) restrict_public_buckets: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Versioning {
    pub(crate) status: &'static str,
}

impl Resource for Bucket {
    const TYPE: &'static str = "AWS::S3::Bucket";
    const REMOVAL: Option<Removal> = Some(Removal::Retain);
}

impl Handle<Bucket> {
    pub(crate) fn arn(&self) -> Text {
        self.attribute("Arn")
    }
}

/// A bucket policy.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct BucketPolicy {
    pub(crate) bucket: Text,
    pub(crate) policy_document: Document,
}

impl Resource for BucketPolicy {
    const TYPE: &'static str = "AWS::S3::BucketPolicy";
    const TAGS: Option<&'static str> = None;

    fn wide_resources(&self) -> Vec<(&'static str, &'static str)> {
        self.policy_document.wide_resources().collect()
    }
}
