//! `[channels.sms]`: settings shared by all contacts of a channel.

use schemars::JsonSchema;
use serde::Deserialize;
use smol_str::SmolStr;

use super::contact::PHONE_PATTERN;

/// `[channels]` as it is written.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawChannels {
    /// Text messages.
    pub(crate) sms: Option<RawSms>,
}

/// `[channels.sms]` as it is written.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawSms {
    /// The number that text messages are sent from, E.164.
    #[schemars(required, regex(pattern = PHONE_PATTERN))]
    pub(crate) origination: Option<String>,
}

/// Settings shared by all contacts of a channel.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Channels {
    /// `[channels.sms]`; present if any contact has a phone.
    pub sms: Option<Sms>,
}

/// `[channels.sms]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Sms {
    /// The number that text messages are sent from, E.164.
    pub origination: SmolStr,
}

impl RawChannels {
    /// Copies the tables; the schema has checked everything.
    pub(crate) fn check(&self) -> Channels {
        let origination = self.sms.as_ref().and_then(|sms| sms.origination.as_deref());
        Channels { sms: origination.map(|origination| Sms { origination: origination.into() }) }
    }
}
