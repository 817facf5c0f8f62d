//! `[security]`: keys, boundaries, audits.

use smol_str::SmolStr;

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
