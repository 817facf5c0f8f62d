//! `[channels.sms]` and `[channels.email]`: what is common to all contacts of a channel.

use smol_str::SmolStr;

/// What is common to all contacts of a channel.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Channels {
    /// `[channels.sms]`; present wherever a contact has a phone.
    pub sms: Option<Sms>,
}

/// `[channels.sms]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Sms {
    /// The number that text messages come from, E.164.
    pub origination: SmolStr,
}
