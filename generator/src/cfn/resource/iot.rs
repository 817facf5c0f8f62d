//! AWS IoT: the registry, policies, rules, and resources that exist once per account.

use std::collections::BTreeMap;

use fleetform_engine::units::Millis;
use serde::Serialize;
use smol_str::SmolStr;

use super::Document;
use crate::cfn::{stack::Resource, value::Text};

/// A thing type.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ThingType {
    pub(crate) thing_type_name: String,
    pub(crate) thing_type_properties: ThingTypeProperties,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ThingTypeProperties {
    pub(crate) thing_type_description: String,
}

impl Resource for ThingType {
    const TYPE: &'static str = "AWS::IoT::ThingType";
}

/// A thing group.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ThingGroup {
    pub(crate) thing_group_name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) parent_group_name: Option<String>,
    pub(crate) thing_group_properties: ThingGroupProperties,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ThingGroupProperties {
    pub(crate) thing_group_description: SmolStr,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) attribute_payload: Option<AttributePayload>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct AttributePayload {
    pub(crate) attributes: BTreeMap<SmolStr, SmolStr>,
}

impl Resource for ThingGroup {
    const TYPE: &'static str = "AWS::IoT::ThingGroup";
}

/// A policy that is attached to certificates.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Policy {
    pub(crate) policy_name: String,
    pub(crate) policy_document: Document,
}

impl Resource for Policy {
    const TYPE: &'static str = "AWS::IoT::Policy";

    fn wide_resources(&self) -> Vec<(&'static str, &'static str)> {
        self.policy_document.wide_resources().collect()
    }
}

/// A topic rule.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct TopicRule {
    pub(crate) rule_name: String,
    pub(crate) topic_rule_payload: TopicRulePayload,
}

impl Resource for TopicRule {
    const TYPE: &'static str = "AWS::IoT::TopicRule";
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct TopicRulePayload {
    pub(crate) description: &'static str,
    /// CloudFormation's default is `2015-10-08`, which lacks `encode` of a whole message and much else.
    pub(crate) aws_iot_sql_version: &'static str,
    pub(crate) sql: Text,
    pub(crate) rule_disabled: bool,
    pub(crate) actions: Vec<Action>,
    pub(crate) error_action: Action,
}

/// What a rule does with a message.
#[derive(Serialize)]
pub(crate) enum Action {
    Kinesis(KinesisAction),
    Lambda(LambdaAction),
    S3(S3Action),
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct KinesisAction {
    pub(crate) stream_name: Text,
    pub(crate) partition_key: String,
    pub(crate) role_arn: Text,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct LambdaAction {
    pub(crate) function_arn: Text,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct S3Action {
    pub(crate) bucket_name: Text,
    pub(crate) key: String,
    pub(crate) role_arn: Text,
}

/// Where AWS IoT writes its own log. There is one per account and region.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Logging {
    pub(crate) account_id: Text,
    pub(crate) default_log_level: &'static str,
    pub(crate) role_arn: Text,
}

impl Resource for Logging {
    const TYPE: &'static str = "AWS::IoT::Logging";
    const TAGS: Option<&'static str> = None;
}

/// Which Device Defender audit checks are enabled. There is one per account and region.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct AccountAuditConfiguration {
    pub(crate) account_id: Text,
    pub(crate) audit_check_configurations: BTreeMap<&'static str, AuditCheckConfiguration>,
    pub(crate) role_arn: Text,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct AuditCheckConfiguration {
    pub(crate) enabled: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) configuration: Option<AgeThreshold>,
}

/// The age at which a certificate is reported.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct AgeThreshold {
    /// A number, but the service expects a string.
    cert_age_threshold_in_days: String,
}

impl AgeThreshold {
    /// Sets the age; the service accepts 30 to 3,652 days.
    pub(crate) fn new(age: Millis) -> Self {
        Self { cert_age_threshold_in_days: (age.as_secs() / 86_400).clamp(30, 3_652).to_string() }
    }
}

impl Resource for AccountAuditConfiguration {
    const TYPE: &'static str = "AWS::IoT::AccountAuditConfiguration";
    const TAGS: Option<&'static str> = None;
}

/// When the audit runs.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ScheduledAudit {
    pub(crate) frequency: &'static str,
    pub(crate) target_check_names: Vec<&'static str>,
}

impl Resource for ScheduledAudit {
    const TYPE: &'static str = "AWS::IoT::ScheduledAudit";
}

/// A provisioning template: what AWS IoT creates for a device that presents a claim certificate.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ProvisioningTemplate {
    pub(crate) template_name: String,
    pub(crate) template_type: &'static str,
    pub(crate) description: &'static str,
    pub(crate) enabled: bool,
    pub(crate) provisioning_role_arn: Text,
    pub(crate) pre_provisioning_hook: ProvisioningHook,
    /// JSON, of at most [`TEMPLATE_BODY_CHARS_MAX`] characters.
    pub(crate) template_body: Text,
}

/// Longest body of a provisioning template, in characters.
#[cfg(test)]
pub(crate) const TEMPLATE_BODY_CHARS_MAX: usize = 10_240;

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ProvisioningHook {
    pub(crate) payload_version: &'static str,
    pub(crate) target_arn: Text,
}

impl Resource for ProvisioningTemplate {
    const TYPE: &'static str = "AWS::IoT::ProvisioningTemplate";
}

/// The certificate of a CA that signs device certificates.
#[derive(Serialize)]
pub(crate) struct CaCertificate {
    #[serde(rename = "CACertificatePem")]
    pub(crate) certificate: String,
    /// `SNI_ONLY` accepts the certificate without proof that you own its private key; devices must then name the host
    /// that they connect to.
    #[serde(rename = "CertificateMode")]
    pub(crate) mode: &'static str,
    #[serde(rename = "Status")]
    pub(crate) status: &'static str,
    /// Whether a certificate signed by this CA is registered when a device first connects with it.
    #[serde(rename = "AutoRegistrationStatus")]
    pub(crate) auto_registration: &'static str,
}

impl Resource for CaCertificate {
    const TYPE: &'static str = "AWS::IoT::CACertificate";
}

/// A command that operators can send to devices.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Command {
    pub(crate) command_id: String,
    pub(crate) display_name: String,
    pub(crate) description: String,
    pub(crate) namespace: &'static str,
    /// JSON with AWS IoT placeholders, at least one.
    pub(crate) payload_template: Text,
    pub(crate) preprocessor: CommandPreprocessor,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) mandatory_parameters: Vec<CommandParameter>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct CommandPreprocessor {
    pub(crate) aws_json_substitution: JsonSubstitution,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct JsonSubstitution {
    pub(crate) output_format: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct CommandParameter {
    pub(crate) name: String,
    pub(crate) r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) description: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) value_conditions: Vec<ValueCondition>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ValueCondition {
    pub(crate) comparison_operator: &'static str,
    pub(crate) operand: Operand,
}

/// What a value is compared with. Exactly one field is set.
#[derive(Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Operand {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) number: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) number_range: Option<NumberRange>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) strings: Vec<SmolStr>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct NumberRange {
    pub(crate) min: String,
    pub(crate) max: String,
}

impl Resource for Command {
    const TYPE: &'static str = "AWS::IoT::Command";
}
