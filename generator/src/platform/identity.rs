//! `[identity]`: how devices prove their identity.

use std::collections::BTreeMap;

use fleetform_engine::{ids::AuthorityId, units::Millis};
use schemars::JsonSchema;
use serde::Deserialize;
use smol_str::SmolStr;

use super::authority::{self, Authority, RawAuthority};
use crate::{
    check::{bounds::Bounds, context::Context},
    diagnostic::{Code, Diagnostic},
    schema::types::{Duration, Table},
    serial,
    source::At,
};

/// Largest compiled size of a serial pattern, in bytes: a pattern must be cheap to match.
const PATTERN_BYTES_MAX: usize = 1 << 20;

const EXAMPLE: &str = "an example: pattern = \"^SN-[0-9]{6}$\"";

/// `[identity]` as it is written.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawIdentity {
    /// How a device gets its certificate.
    #[schemars(extend("default" = "csr"))]
    pub(crate) provisioning: Option<Provisioning>,
    /// The kind of a device's key.
    #[schemars(extend("default" = "ec_p256"))]
    pub(crate) key: Option<Key>,
    /// The age at which a certificate should be replaced, 1d to 10y.
    pub(crate) rotate_after: Option<Duration>,
    /// What serial numbers look like.
    pub(crate) serial: Option<RawSerial>,
    /// The certificate authorities that sign device certificates, if devices come with certificates from your own CA.
    #[schemars(extend("maxProperties" = authority::COUNT_MAX))]
    pub(crate) authorities: Option<Table<AuthorityId, RawAuthority>>,
}

/// `identity.serial` as it is written.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawSerial {
    /// A regular expression that a device id must match as a whole.
    #[schemars(required, length(min = 1, max = 200))]
    pub(crate) pattern: Option<String>,
}

/// How devices prove their identity: one X.509 certificate each.
#[derive(Clone, Debug, PartialEq)]
pub struct Identity {
    /// How a device gets its certificate.
    pub provisioning: Provisioning,
    /// The kind of a device's key.
    pub key: Key,
    /// The age at which a certificate should be replaced.
    pub rotate_after: Option<Millis>,
    /// `identity.serial.pattern`, which a device id must match as a whole.
    pub serial_pattern: Option<SmolStr>,
    /// The authorities that sign device certificates: at least one with [`Provisioning::Jitp`], otherwise none.
    pub authorities: BTreeMap<AuthorityId, Authority>,
}

/// How a device gets its certificate. The script for devices is generated in every case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum Provisioning {
    /// An operator requests it with the script, one device at a time.
    #[default]
    Csr,
    /// The device requests it with a claim certificate that it shares with other devices, if its serial is on the
    /// allow-list.
    FleetClaim,
    /// Like `csr`; in addition, for laboratories, AWS creates the private key with `--insecure-server-keys`. The key is
    /// then sent over the network and is not known to the device alone.
    ServerKeys,
    /// The device comes with a certificate signed by one of `authorities` and is registered when it first connects, if
    /// its serial is on the allow-list.
    Jitp,
}

impl Provisioning {
    /// Whether AWS may create private keys.
    pub const fn has_server_keys(self) -> bool {
        match self {
            Self::ServerKeys => true,
            Self::Csr | Self::FleetClaim | Self::Jitp => false,
        }
    }

    /// Whether there is an allow-list of serials.
    pub const fn has_allow_list(self) -> bool {
        match self {
            Self::Csr | Self::ServerKeys => false,
            Self::FleetClaim | Self::Jitp => true,
        }
    }

    /// Whether there are claim certificates.
    pub const fn has_claims(self) -> bool {
        match self {
            Self::Csr | Self::ServerKeys | Self::Jitp => false,
            Self::FleetClaim => true,
        }
    }
}

/// The kind of a device's key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum Key {
    /// ECDSA on P-256.
    #[default]
    #[serde(rename = "ec_p256")]
    EcP256,
    /// RSA with 2,048 bits.
    #[serde(rename = "rsa_2048")]
    Rsa2048,
}

impl RawIdentity {
    /// Checks the table.
    pub(crate) fn check(&self, at: &At<'_>, context: &Context<'_>) -> Identity {
        let pattern = self.serial.as_ref().and_then(|serial| serial.pattern.as_deref());
        let compiled = pattern.map(|pattern| regex::RegexBuilder::new(pattern).size_limit(PATTERN_BYTES_MAX).build());
        let serial_at = at.key("serial");
        let place = serial_at.key("pattern");
        if let Some(Err(error)) = &compiled {
            let message = match error {
                regex::Error::CompiledTooBig(_) => "the pattern is too large to be matched quickly",
                _ => "the pattern is not a regular expression",
            };
            // The last line of the parser's error states the problem; the lines before it draw the pattern.
            let text = error.to_string();
            let reason = text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
            context.report(
                Diagnostic::new(Code::InvalidPattern, context.value(&place), message).label(reason).help(EXAMPLE),
            );
        } else if let Some(Err(error)) = pattern.map(serial::posix) {
            context
                .report(Diagnostic::new(Code::InvalidPattern, context.value(&place), error.to_string()).help(EXAMPLE));
        }
        let provisioning = self.provisioning.unwrap_or_default();
        if provisioning.has_server_keys() {
            let message = "keys that AWS makes are known to more than their devices";
            context.report(
                Diagnostic::new(Code::ServerMadeKeys, context.value(&at.key("provisioning")), message)
                    .help("keep it to laboratories: write \"csr\", and let devices make their keys, wherever else"),
            );
        }
        Identity {
            provisioning,
            authorities: authority::check(provisioning, self.authorities.as_ref(), at, context),
            key: self.key.unwrap_or_default(),
            rotate_after: Bounds::new("1d", "10y").check_given(self.rotate_after, &at.key("rotate_after"), context),
            serial_pattern: pattern.map(SmolStr::new),
        }
    }
}
