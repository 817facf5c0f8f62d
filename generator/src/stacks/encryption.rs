//! The key that encrypts a platform, and who may use it.

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

/// What the account's own administrators may do with the key, as far as IAM lets them. Spelled out since `kms:*` would
/// be a wildcard; without `kms:PutKeyPolicy` for the account nobody could ever change the policy.
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

/// ARN of the key of the platform: the user's, or one that is added to `stack`.
pub(crate) fn platform_key(site: &Site<'_>, stack: &mut Stack) -> Text {
    key(site, stack, "PlatformKey", &site.name, services(site))
}

/// ARN of the key of the artifact bucket: the user's, or one that is added to `stack`. No service uses it by itself.
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
        // CloudWatch Logs sends no source account; the log group's ARN in the encryption context says as much.
        Statement::allow("LogGroups", by_logs, this_key()).by(Principals::Services(vec![logs])).when(Condition::text(
            "ArnLike",
            "kms:EncryptionContext:aws:logs:arn",
            Text::arn("logs", ["log-group:*".into()]),
        )),
        // An alarm can publish to an encrypted topic only by a key policy that names CloudWatch, which is why the
        // AWS-managed key of SNS will not do; the same for a budget.
        Statement::allow("AlarmTopics", ["kms:Decrypt", "kms:GenerateDataKey"], this_key())
            .by(Principals::Services(vec!["budgets.amazonaws.com".into(), "cloudwatch.amazonaws.com".into()]))
            .when(in_this_account()),
    ];
    if site.platform.storage.as_ref().is_some_and(|kept| kept.engine == Engine::Iceberg) {
        // Compaction reads and writes the table of samples by itself. The service sends no source account; the encryption
        // context names the table bucket ("Permission requirements for S3 Tables SSE-KMS encryption", Amazon S3 user guide).
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

/// Reading what the key has encrypted.
pub(crate) fn decrypt(sid: &'static str, key: &Text) -> Statement<Text> {
    Statement::allow(sid, ["kms:Decrypt"], [Target::One(key.clone())])
}

/// A service as `kms:ViaService` has it: it uses a key for somebody who asks it for something.
pub(crate) fn via(service: &'static str) -> Text {
    Text::concat([service.into(), ".".into(), Text::region(), ".".into(), Text::url_suffix()])
}

/// Writing what the key is to encrypt.
pub(crate) fn encrypt(sid: &'static str, key: &Text) -> Statement<Text> {
    Statement::allow(sid, ["kms:GenerateDataKey"], [Target::One(key.clone())])
}

/// Reading and writing.
pub(crate) fn use_key(sid: &'static str, key: &Text) -> Statement<Text> {
    Statement::allow(sid, ["kms:Decrypt", "kms:GenerateDataKey"], [Target::One(key.clone())])
}
