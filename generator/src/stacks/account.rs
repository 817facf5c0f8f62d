//! The stack `account`: what there is once per account and region, shared by all platforms in it.

use fleetform_policy::iam::{Statement, Target};

use super::site::Site;
use crate::{
    cfn::{
        resource::iot::{AccountAuditConfiguration, AgeThreshold, AuditCheckConfiguration, Logging, ScheduledAudit},
        stack::Stack,
        value::Text,
    },
    platform::region::{Service, offers},
};

/// Checks of Device Defender's audit: the key in the audit's configuration, and the name that a scheduled audit takes.
/// The spelling, `IoT` here and `Iot` there, is the service's.
const AUDIT_CHECKS: [(&str, &str); 17] = [
    ("AuthenticatedCognitoRoleOverlyPermissiveCheck", "AUTHENTICATED_COGNITO_ROLE_OVERLY_PERMISSIVE_CHECK"),
    ("CaCertificateExpiringCheck", "CA_CERTIFICATE_EXPIRING_CHECK"),
    ("CaCertificateKeyQualityCheck", "CA_CERTIFICATE_KEY_QUALITY_CHECK"),
    ("ConflictingClientIdsCheck", "CONFLICTING_CLIENT_IDS_CHECK"),
    ("DeviceCertificateAgeCheck", "DEVICE_CERTIFICATE_AGE_CHECK"),
    ("DeviceCertificateExpiringCheck", "DEVICE_CERTIFICATE_EXPIRING_CHECK"),
    ("DeviceCertificateKeyQualityCheck", "DEVICE_CERTIFICATE_KEY_QUALITY_CHECK"),
    ("DeviceCertificateSharedCheck", "DEVICE_CERTIFICATE_SHARED_CHECK"),
    (
        "IntermediateCaRevokedForActiveDeviceCertificatesCheck",
        "INTERMEDIATE_CA_REVOKED_FOR_ACTIVE_DEVICE_CERTIFICATES_CHECK",
    ),
    ("IoTPolicyPotentialMisConfigurationCheck", "IOT_POLICY_POTENTIAL_MISCONFIGURATION_CHECK"),
    ("IotPolicyOverlyPermissiveCheck", "IOT_POLICY_OVERLY_PERMISSIVE_CHECK"),
    ("IotRoleAliasAllowsAccessToUnusedServicesCheck", "IOT_ROLE_ALIAS_ALLOWS_ACCESS_TO_UNUSED_SERVICES_CHECK"),
    ("IotRoleAliasOverlyPermissiveCheck", "IOT_ROLE_ALIAS_OVERLY_PERMISSIVE_CHECK"),
    ("LoggingDisabledCheck", "LOGGING_DISABLED_CHECK"),
    ("RevokedCaCertificateStillActiveCheck", "REVOKED_CA_CERTIFICATE_STILL_ACTIVE_CHECK"),
    ("RevokedDeviceCertificateStillActiveCheck", "REVOKED_DEVICE_CERTIFICATE_STILL_ACTIVE_CHECK"),
    ("UnauthenticatedCognitoRoleOverlyPermissiveCheck", "UNAUTHENTICATED_COGNITO_ROLE_OVERLY_PERMISSIVE_CHECK"),
];

/// The check whose threshold is ours to set.
const AGE_CHECK: &str = "DeviceCertificateAgeCheck";

/// The stack.
pub(crate) fn stack(site: &Site<'_>) -> Stack {
    let mut stack = site.shared_stack("account", "AWS IoT logging and audit, once per account and region");
    add_logging(site, &mut stack);
    let region = site.platform.environment.region.as_str();
    if site.platform.security.device_defender && offers(region, Service::DeviceDefender) {
        add_audit(site, &mut stack);
    }
    stack
}

fn add_logging(site: &Site<'_>, stack: &mut Stack) {
    // AWS IoT makes its log group by itself, under this name.
    let below_group = |rest| Target::Many {
        arn: Text::arn("logs", ["log-group:AWSIotLogsV2:".into(), rest]),
        reason: "AWS IoT names its log streams itself",
    };
    let role = site.role(
        stack,
        "IotLogging",
        "Lets AWS IoT write its log",
        "iot.amazonaws.com",
        [
            Statement::allow(
                "LogGroup",
                ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutMetricFilter", "logs:PutRetentionPolicy"],
                // "Overview of managing access permissions to your CloudWatch Logs resources": but for tags, a group in a
                // policy ends in `:*`.
                [below_group("*".into())],
            ),
            Statement::allow("LogStreams", ["logs:PutLogEvents"], [below_group("log-stream:*".into())]),
        ],
    );
    // Errors only: at a higher level AWS IoT logs each message of each device.
    stack.add("IotLogging", Logging { account_id: Text::account(), default_log_level: "ERROR", role_arn: role.arn() });
}

fn add_audit(site: &Site<'_>, stack: &mut Stack) {
    let policy = Text::concat([
        "arn:".into(),
        Text::partition(),
        ":iam::aws:policy/service-role/AWSIoTDeviceDefenderAudit".into(),
    ]);
    let role = site.bare_role(
        stack,
        "IotAuditRole",
        "Lets Device Defender read what it audits",
        "iot.amazonaws.com",
        vec![policy],
    );
    let checks = AUDIT_CHECKS.into_iter().map(|(key, _)| {
        let age = site.platform.identity.rotate_after.filter(|_| key == AGE_CHECK);
        (key, AuditCheckConfiguration { enabled: true, configuration: age.map(AgeThreshold::new) })
    });
    let configuration = stack.add(
        "IotAudit",
        AccountAuditConfiguration {
            account_id: Text::account(),
            audit_check_configurations: checks.collect(),
            role_arn: role.arn(),
        },
    );
    let schedule = stack.add(
        "IotDailyAudit",
        ScheduledAudit { frequency: "DAILY", target_check_names: AUDIT_CHECKS.map(|(_, name)| name).to_vec() },
    );
    // A check must be on before an audit may name it.
    stack.wait(&schedule, &configuration);
}
