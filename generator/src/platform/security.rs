//! `[security]`: keys, boundaries, audits.

use schemars::JsonSchema;
use serde::Deserialize;
use smol_str::SmolStr;

use super::{
    environment::Environment,
    region::{Service, offers},
};
use crate::{
    check::context::Context,
    diagnostic::{Code, Diagnostic},
    source::At,
};

/// `[security]` as it is written.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawSecurity {
    /// ARN of an existing KMS key that encrypts everything. Default: the platform has one of its own.
    #[schemars(regex(pattern = r"^arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/[A-Za-z0-9-]+$"))]
    pub(crate) kms: Option<String>,
    /// ARN of the permissions boundary of every role.
    #[schemars(regex(pattern = r"^arn:aws[a-z-]*:iam::([0-9]{12}|aws):policy/[\w+=,.@/-]+$"))]
    pub(crate) permissions_boundary: Option<String>,
    /// Whether the account stack configures Device Defender's audit.
    #[schemars(extend("default" = true))]
    pub(crate) device_defender: Option<bool>,
}

/// Keys, boundaries, audits.
#[derive(Clone, Debug, PartialEq)]
pub struct Security {
    /// ARN of an existing KMS key that encrypts everything; unless set, the platform has one of its own.
    pub kms_key_arn: Option<SmolStr>,
    /// ARN of the permissions boundary of every role.
    pub permissions_boundary: Option<SmolStr>,
    /// Whether the account stack configures Device Defender's audit.
    pub device_defender: bool,
}

impl RawSecurity {
    /// Checks the table for one environment: a key is used only in its own region.
    pub(crate) fn check(&self, environment: &Environment, context: &Context<'_>) -> Security {
        let security = At::root("security");
        let at = security.key("kms");
        if let Some(region) = self.kms.as_deref().and_then(|arn| arn.split(':').nth(3))
            && region != environment.region
        {
            let environments = At::root("environments");
            let table = environments.key(environment.id.as_str());
            let message =
                format!("the key lies in `{region}`, but environment `{}` in `{}`", environment.id, environment.region);
            context.report(
                Diagnostic::new(Code::InvalidAwsName, context.value(&at), message)
                    .related(context.value(&table.key("region")), "the environment's region")
                    .help(format!(
                        "give each environment its key: [environments.{}] set = {{ \"security.kms\" = \"arn:…\" }}",
                        environment.id
                    )),
            );
        }
        let device_defender = self.device_defender.unwrap_or(true);
        // Where there is no AWS IoT Core either, that is said already.
        let lacks_audit = [Service::Iot, Service::DeviceDefender].map(|service| offers(&environment.region, service))
            == [true, false];
        if device_defender && lacks_audit {
            let environments = At::root("environments");
            let table = environments.key(environment.id.as_str());
            let message = format!(
                "`{}` lacks {}, so the account stack leaves it out",
                environment.region,
                Service::DeviceDefender.as_str()
            );
            context.report(
                Diagnostic::new(Code::NotInRegion, context.value(&table.key("region")), message)
                    .related(context.value(&security.key("device_defender")), "the audit is wanted here")
                    .help("say that you know: set = { \"security.device_defender\" = false } in this environment"),
            );
        }
        Security {
            kms_key_arn: self.kms.as_deref().map(SmolStr::new),
            permissions_boundary: self.permissions_boundary.as_deref().map(SmolStr::new),
            device_defender,
        }
    }
}
