//! Buckets: private, encrypted, versioned, logged, and accessible over TLS only.

use fleetform_policy::iam::{Condition, Document, Principals, Statement, Target};

use super::site::in_this_account;
use crate::cfn::{
    resource::s3::{
        AbortIncompleteMultipartUpload, Bucket, BucketEncryption, BucketPolicy, DefaultEncryption, EncryptionRule,
        LifecycleConfiguration, LifecycleRule, LoggingConfiguration, NoncurrentVersionExpiration, OwnershipControls,
        OwnershipRule, PublicAccessBlock, Transition, Versioning,
    },
    stack::{Handle, Stack},
    value::Text,
};

/// Days that access logs are kept.
const ACCESS_LOG_DAYS: u32 = 365;

/// Days that an overwritten or deleted version is kept.
const OLD_VERSION_DAYS: u32 = 30;

/// Why a policy covers all objects of a bucket, or all under a prefix.
pub(crate) const OBJECTS: &str = "objects are named by the records and rule sets that they hold";

/// The objects of a bucket whose keys begin with `prefix`.
pub(crate) fn objects(bucket: &Text, prefix: &str) -> Target<Text> {
    Target::Many { arn: Text::concat([bucket.clone(), format!("/{prefix}*").into()]), reason: OBJECTS }
}

/// Returns the ARN of a bucket from its name.
pub(crate) fn bucket_arn(name: &Text) -> Text {
    Text::concat(["arn:".into(), Text::partition(), ":s3:::".into(), name.clone()])
}

/// How a bucket differs from the others.
pub(crate) struct Plan<'a> {
    /// ARN of the key that encrypts it.
    pub(crate) key: &'a Text,
    /// Name of the bucket that receives its access log, and the prefix there.
    pub(crate) access_log: (&'a Text, &'static str),
    /// When objects expire.
    pub(crate) expiry: Expiry,
    /// The storage class that objects move to, and after how many days; `None` if they stay in S3 Standard.
    pub(crate) class: Option<(&'static str, u32)>,
}

/// When objects expire, in days after they were written.
pub(crate) enum Expiry {
    /// They never do.
    Never,
    /// All objects expire after this many days.
    Days(u32),
    /// Objects whose keys begin with a prefix expire after its number of days; others never expire.
    ByPrefix(Vec<(&'static str, u32)>),
}

/// Adds the bucket `id` and its policy; `more` returns additional statements for the policy, given the bucket's ARN.
pub(crate) fn add(
    stack: &mut Stack,
    id: &str,
    plan: Plan<'_>,
    more: impl FnOnce(&Text) -> Vec<Statement<Text>>,
) -> Handle<Bucket> {
    let (destination, log_file_prefix) = plan.access_log;
    let bucket = stack.add(
        id,
        Bucket {
            logging_configuration: Some(LoggingConfiguration {
                destination_bucket_name: destination.clone(),
                log_file_prefix,
            }),
            ..private(
                EncryptionRule {
                    bucket_key_enabled: Some(true),
                    server_side_encryption_by_default: DefaultEncryption {
                        algorithm: "aws:kms",
                        key: Some(plan.key.clone()),
                    },
                },
                plan.expiry,
                plan.class,
            )
        },
    );
    policy(stack, id, &bucket, more(&bucket.arn()));
    bucket
}

/// Adds the bucket `id`, which receives the access logs of other buckets.
///
/// It is the only bucket that uses S3's own key: S3 log delivery cannot write to a bucket whose default encryption is
/// SSE-KMS. It is also the only bucket without an access log: if it logged to itself, every log would cause another
/// log, without end. <https://docs.aws.amazon.com/AmazonS3/latest/userguide/enable-server-access-logging.html>
pub(crate) fn add_access_log(stack: &mut Stack, id: &str) -> Handle<Bucket> {
    let encryption = EncryptionRule {
        bucket_key_enabled: None,
        server_side_encryption_by_default: DefaultEncryption { algorithm: "AES256", key: None },
    };
    let bucket = stack.add(id, private(encryption, Expiry::Days(ACCESS_LOG_DAYS), None));
    let deliver = Statement::allow("DeliverAccessLogs", ["s3:PutObject"], [objects(&bucket.arn(), "")])
        .by(Principals::Services(vec!["logging.s3.amazonaws.com".into()]))
        .when(in_this_account());
    policy(stack, id, &bucket, [deliver]);
    bucket
}

fn private(encryption: EncryptionRule, expiry: Expiry, class: Option<(&'static str, u32)>) -> Bucket {
    let mut rules = vec![LifecycleRule {
        id: "remove-what-is-left-over".into(),
        status: "Enabled",
        prefix: None,
        expiration_in_days: None,
        transitions: Vec::new(),
        noncurrent_version_expiration: Some(NoncurrentVersionExpiration { noncurrent_days: OLD_VERSION_DAYS }),
        abort_incomplete_multipart_upload: Some(AbortIncompleteMultipartUpload { days_after_initiation: 1 }),
    }];
    let expiring = match expiry {
        Expiry::Never => Vec::new(),
        Expiry::Days(days) => vec![("expire".into(), None, days)],
        Expiry::ByPrefix(prefixes) => {
            let named = |(prefix, days): (&'static str, u32)| {
                (format!("expire-{}", prefix.trim_end_matches('/')).into(), Some(prefix), days)
            };
            prefixes.into_iter().map(named).collect()
        }
    };
    rules.extend(expiring.into_iter().map(|(id, prefix, days)| LifecycleRule {
        id,
        status: "Enabled",
        prefix,
        expiration_in_days: Some(days),
        transitions: Vec::new(),
        noncurrent_version_expiration: None,
        abort_incomplete_multipart_upload: None,
    }));
    if let Some((storage_class, transition_in_days)) = class {
        rules.push(LifecycleRule {
            id: "tier".into(),
            status: "Enabled",
            prefix: None,
            expiration_in_days: None,
            transitions: vec![Transition { storage_class, transition_in_days }],
            noncurrent_version_expiration: None,
            abort_incomplete_multipart_upload: None,
        });
    }
    Bucket {
        bucket_encryption: BucketEncryption { server_side_encryption_configuration: [encryption] },
        lifecycle_configuration: LifecycleConfiguration { rules },
        logging_configuration: None,
        ownership_controls: OwnershipControls { rules: [OwnershipRule { object_ownership: "BucketOwnerEnforced" }] },
        public_access_block_configuration: PublicAccessBlock {
            block_public_acls: true,
            block_public_policy: true,
            ignore_public_acls: true,
            restrict_public_buckets: true,
        },
        versioning_configuration: Versioning { status: "Enabled" },
    }
}

fn policy(stack: &mut Stack, id: &str, bucket: &Handle<Bucket>, more: impl IntoIterator<Item = Statement<Text>>) {
    let tls_only = Statement::deny("TlsOnly", ["s3:*"], [Target::One(bucket.arn()), objects(&bucket.arn(), "")])
        .by(Principals::Anybody)
        .when(Condition::truth("Bool", "aws:SecureTransport", false));
    stack.add(
        format!("{id}Policy"),
        BucketPolicy { bucket: bucket.reference(), policy_document: Document::new([tls_only].into_iter().chain(more)) },
    );
}
