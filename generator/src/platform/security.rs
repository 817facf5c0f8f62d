//! `[security]`: keys, boundaries, audits.

use schemars::JsonSchema;
use serde::Deserialize;
use smol_str::SmolStr;

use super::{
    arn::Arn,
    environment::Environment,
    region::{Service, offers, partition},
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
    /// ARN of an existing KMS key that encrypts all data. Default: the platform has its own key.
    #[schemars(regex(pattern = r"^arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/[A-Za-z0-9-]+$"))]
    pub(crate) kms: Option<String>,
    /// ARN of the permissions boundary for every role.
    #[schemars(regex(pattern = r"^arn:aws[a-z-]*:iam::([0-9]{12}|aws):policy/[\w+=,.@/-]+$"))]
    pub(crate) permissions_boundary: Option<String>,
    /// Whether the account stack configures the Device Defender audit.
    #[schemars(extend("default" = true))]
    pub(crate) device_defender: Option<bool>,
}

/// Keys, boundaries, audits.
#[derive(Clone, Debug, PartialEq)]
pub struct Security {
    /// ARN of an existing KMS key that encrypts all data; unless set, the platform has its own.
    pub kms_key_arn: Option<SmolStr>,
    /// ARN of the permissions boundary for every role.
    pub permissions_boundary: Option<SmolStr>,
    /// Whether the account stack configures the Device Defender audit.
    pub device_defender: bool,
}

impl RawSecurity {
    /// Checks the table for one environment: a key can be used only in its own region, and a policy only in its own
    /// account.
    pub(crate) fn check(&self, environment: &Environment, context: &Context<'_>) -> Security {
        let security = At::root("security");
        let place = partition(&environment.region);
        if let Some(arn) = self.kms.as_deref().and_then(Arn::parse) {
            // A key may belong to another account that permits this one to use it.
            let mended = Arn { partition: place, region: &environment.region, ..arn };
            let named = Named { thing: "key", arn, mended };
            named.check(environment, &security, "kms", context);
        }
        if let Some(arn) = self.permissions_boundary.as_deref().and_then(Arn::parse) {
            // AWS managed policies belong to every account.
            let account = if arn.account == "aws" { arn.account } else { &environment.account };
            let named = Named { thing: "policy", arn, mended: Arn { partition: place, account, ..arn } };
            named.check(environment, &security, "permissions_boundary", context);
        }
        let device_defender = self.device_defender.unwrap_or(true);
        // If AWS IoT Core is missing too, that has already been reported.
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

/// A resource that an ARN names, and the ARN that it would have in the environment.
struct Named<'a> {
    thing: &'static str,
    arn: Arn<'a>,
    mended: Arn<'a>,
}

impl Named<'_> {
    /// Reports a resource in another place than the environment.
    fn check(&self, environment: &Environment, table: &At<'_>, key: &str, context: &Context<'_>) {
        let Self { thing, arn, mended } = self;
        let (kind, written, own, of) = if arn.region != mended.region {
            ("", arn.region, mended.region, "region")
        } else if arn.partition != mended.partition {
            ("partition ", arn.partition, mended.partition, "region")
        } else if arn.account != mended.account {
            ("account ", arn.account, mended.account, "account")
        } else {
            return;
        };
        let id = &environment.id;
        let environments = At::root("environments");
        let declared = environments.key(id.as_str());
        let message = format!("the {thing} lies in {kind}`{written}`, but environment `{id}` in {kind}`{own}`");
        let diagnostic = Diagnostic::new(Code::InvalidAwsName, context.value(&table.key(key)), message)
            .related(context.value(&declared.key(of)), format!("the environment's {of}"));
        // Each region has its own keys, so the name of the key in another region is unknown.
        let instead = if arn.region == mended.region { mended.to_string() } else { "arn:…".to_owned() };
        let is_only = context.declared("environments").count() == 1;
        context.report(if is_only && arn.region == mended.region {
            diagnostic.replace(format!("write: {key} = \"{instead}\""), format!("\"{instead}\""))
        } else {
            diagnostic.help(format!(
                "give each environment its {thing}: [environments.{id}] set = {{ \"security.{key}\" = \"{instead}\" }}"
            ))
        });
    }
}
