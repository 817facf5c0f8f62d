//! `[contacts.X]`: a person or a system that is told.

use fleetform_engine::rule_set::Webhook;
use smol_str::SmolStr;

/// A person or a system that is told. It has at least one address.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Contact {
    /// Phones, E.164, in the file's order.
    pub sms: Vec<SmolStr>,
    /// E-mail addresses, in the file's order.
    pub email: Vec<SmolStr>,
    /// Its webhook.
    pub webhook: Option<Webhook>,
}
