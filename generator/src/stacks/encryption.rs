//! The key that encrypts a platform, and the principals that may use it.

use fleetform_policy::iam::{Condition, Document, Principals, Statement, Target};

use super::site::{Site, in_this_account};
use crate::{
    cfn::{
        resource::kms::{Alias, Key},
        stack::Stack,
        value::Text,
    },
    platform::storage::Engine,
};

const THIS_KEY: &str = "in a key policy `*` is the key that carries the policy";

/// What the account's own administrators may do with the key, as far as IAM allows it. Listed individually, because
/// `kms:*` would be a wildcard. Without `kms:PutKeyPolicy` for the account, the policy could never be changed.
const ADMINISTRATION: [&str; 30] = [
    "kms:CancelKeyDeletion",
    "kms:CreateAlias",
    "kms:CreateGrant",
    "kms:Decrypt",
    "kms:DeleteAlias",
    "kms:DescribeKey",
    "kms:DisableKey",
    "kms:DisableKeyRotation",
    "kms:EnableKey",
    "kms:EnableKeyRotation",
    "kms:Encrypt",
    "kms:GenerateDataKey",
    "kms:GenerateDataKeyWithoutPlaintext",
    "kms:GetKeyPolicy",
    "kms:GetKeyRotationStatus",
    "kms:ListGrants",
    "kms:ListKeyPolicies",
    "kms:ListKeyRotations",
    "kms:ListResourceTags",
    "kms:PutKeyPolicy",
    "kms:ReEncryptFrom",
    "kms:ReEncryptTo",
    "kms:RetireGrant",
    "kms:RevokeGrant",
    "kms:RotateKeyOnDemand",
    "kms:ScheduleKeyDeletion",
    "kms:TagResource",
    "kms:UntagResource",
    "kms:UpdateAlias",
    "kms:UpdateKeyDescription",
];

/// Returns the ARN of the platform's key: the user's key, or one that is added to `stack`.
pub(crate) fn platform_key(site: &Site<'_>, stack: &mut Stack) -> Text {
    key(site, stack, "PlatformKey", &site.name, services(site))
}

/// Returns the ARN of the artifact bucket's key: the user's key, or one that is added to `stack`. No service uses it on
/// its own behalf.
pub(crate) fn artifact_key(site: &Site<'_>, stack: &mut Stack) -> Text {
    key(site, stack, "ArtifactKey", &format!("{}-artifacts", site.name), Vec::new())
}

fn key(site: &Site<'_>, stack: &mut Stack, id: &str, name: &str, services: Vec<Statement<Text>>) -> Text {
    if let Some(arn) = &site.platform.security.kms_key_arn {
        return arn.into();
    }
    let account = Text::concat(["arn:".into(), Text::partition(), ":iam::".into(), Text::account(), ":root".into()]);
    let by_iam = Statement::allow("AccountByIam", ADMINISTRATION, this_key()).by(Principals::Aws(vec![account]));
    let key = Key {
        description: format!("Encrypts {name}"),
        enable_key_rotation: true,
        key_policy: Document::new([by_iam].into_iter().chain(services)),
    };
    let key = stack.add(id, key);
    let alias = Alias { alias_name: format!("alias/{name}"), target_key_id: key.reference() };
    stack.add(format!("{id}Alias"), alias);
    key.arn()
}

fn this_key() -> [Target<Text>; 1] {
    [Target::Every { reason: THIS_KEY }]
}

/// What services do with the platform's key on their own behalf.
fn services(site: &Site<'_>) -> Vec<Statement<Text>> {
    let logs = Text::concat(["logs.".into(), Text::region(), ".".into(), Text::url_suffix()]);
    let by_logs = [
        "kms:Decrypt",
        "kms:DescribeKey",
        "kms:Encrypt",
        "kms:GenerateDataKey",
        "kms:ReEncryptFrom",
        "kms:ReEncryptTo",
    ];
    let mut statements = vec![
        // CloudWatch Logs sends no source account; the log group's ARN in the encryption context is equivalent.
        Statement::allow("LogGroups", by_logs, this_key()).by(Principals::Services(vec![logs])).when(Condition::text(
            "ArnLike",
            "kms:EncryptionContext:aws:logs:arn",
            Text::arn("logs", ["log-group:*".into()]),
        )),
        // An alarm can publish to an encrypted topic only if the key policy names CloudWatch, which rules out the
        // AWS-managed key of SNS. The same applies to a budget.
        Statement::allow("AlarmTopics", ["kms:Decrypt", "kms:GenerateDataKey"], this_key())
            .by(Principals::Services(vec!["budgets.amazonaws.com".into(), "cloudwatch.amazonaws.com".into()]))
            .when(in_this_account()),
    ];
    if site.platform.storage.as_ref().is_some_and(|kept| kept.engine == Engine::Iceberg) {
        // Compaction reads and writes the table of samples on its own behalf. The service sends no source account; the
        // encryption context names the table bucket ("Permission requirements for S3 Tables SSE-KMS encryption", Amazon
        // S3 user guide).
        statements.push(
            Statement::allow("TableMaintenance", ["kms:Decrypt", "kms:GenerateDataKey"], this_key())
                .by(Principals::Services(vec!["maintenance.s3tables.amazonaws.com".into()]))
                .when(Condition::text(
                    "StringLike",
                    "kms:EncryptionContext:aws:s3:arn",
                    Text::arn("s3tables", [format!("bucket/{}*", site.table_bucket_prefix()).into()]),
                )),
        );
    }
    statements
}

/// Permission to read data encrypted with the key.
pub(crate) fn decrypt(sid: &'static str, key: &Text) -> Statement<Text> {
    Statement::allow(sid, ["kms:Decrypt"], [Target::One(key.clone())])
}

/// Permission to write data encrypted with the key.
pub(crate) fn encrypt(sid: &'static str, key: &Text) -> Statement<Text> {
    Statement::allow(sid, ["kms:GenerateDataKey"], [Target::One(key.clone())])
}

/// Permission to read and write.
pub(crate) fn use_key(sid: &'static str, key: &Text) -> Statement<Text> {
    Statement::allow(sid, ["kms:Decrypt", "kms:GenerateDataKey"], [Target::One(key.clone())])
}
