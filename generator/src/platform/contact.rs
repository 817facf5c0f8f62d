//! `[contacts.X]`: a person or a system that receives notices.

use std::{borrow::Cow, collections::BTreeSet};

use fleetform_engine::rule_set::Webhook;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use smol_str::SmolStr;

use super::webhook;
use crate::{
    check::context::{Context, shown},
    diagnostic::{Code, Diagnostic},
    source::At,
};

/// A phone number in E.164 format.
pub(crate) const PHONE_PATTERN: &str = r"^\+[1-9][0-9]{6,14}$";

/// Maximum number of addresses for one channel of a contact: each is a separate subscription.
const ADDRESSES_MAX: u32 = 100;

/// `[contacts.X]` as it is written.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawContact {
    /// Phones that receive text messages, E.164: `+12025550123`.
    #[schemars(length(max = ADDRESSES_MAX), inner(regex(pattern = PHONE_PATTERN)))]
    pub(crate) sms: Option<Vec<String>>,
    /// E-mail addresses.
    #[schemars(length(max = ADDRESSES_MAX))]
    pub(crate) email: Option<Vec<String>>,
    /// A system that receives notices over HTTPS.
    pub(crate) webhook: Option<RawWebhook>,
}

/// A webhook as written: a table, or just its URL.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum RawWebhook {
    /// Just the URL: messages are not signed.
    Url(String),
    /// With a reference to the key that signs its messages.
    Table {
        /// The URL.
        url: Option<String>,
        /// The reference.
        secret: Option<String>,
    },
}

impl JsonSchema for RawWebhook {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Webhook".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["string", "object"],
            "properties": {
                "url": { "type": "string", "description": "https only, without user, password or query." },
                "secret": {
                    "type": "string",
                    "description": "Where the key that signs its messages is kept: `secretsmanager:NAME` or `ssm:NAME`.",
                },
            },
            "required": ["url"],
            "additionalProperties": false,
        })
    }
}

/// A person or a system that receives notices. It has at least one address.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Contact {
    /// Phones, E.164, in file order.
    pub sms: Vec<SmolStr>,
    /// E-mail addresses, in file order.
    pub email: Vec<SmolStr>,
    /// The webhook.
    pub webhook: Option<Webhook>,
}

impl RawContact {
    /// Whether the contact has a phone, whatever else it has.
    pub(crate) fn has_phone(&self) -> bool {
        self.sms.iter().flatten().next().is_some()
    }

    /// Checks the addresses of a contact.
    pub(crate) fn check(&self, at: &At<'_>, context: &Context<'_>) -> Contact {
        let sms = addresses(&at.key("sms"), &self.sms, |_, _| true, context);
        let email = addresses(&at.key("email"), &self.email, check_email, context);
        let webhook = self.webhook.as_ref().and_then(|raw| webhook::check(raw, &at.key("webhook"), context));
        let anything = has_any(&self.sms, &at.key("sms"), context)
            || has_any(&self.email, &at.key("email"), context)
            || context.is_written(&at.key("webhook"));
        if !anything && !["sms", "email", "webhook"].iter().any(|key| context.is_broken(&at.key(key))) {
            // An empty list is where an address should be added.
            let lists = [at.key("email"), at.key("sms")];
            let place = lists.iter().find(|list| context.is_written(list));
            let place = place.map_or_else(|| context.key(at), |list| context.value(list));
            context.report(
                Diagnostic::new(Code::Empty, place, "a contact must have at least one address")
                    .help("add one: email = [\"name@example.com\"]"),
            );
        }
        Contact { sms, email, webhook }
    }
}

/// Whether a list has an item in the file, even a rejected one, or is not a list at all.
fn has_any(list: &Option<Vec<String>>, at: &At<'_>, context: &Context<'_>) -> bool {
    match list {
        Some(_) => context.is_written(&at.index(0)),
        None => context.is_written(at),
    }
}

/// Returns the addresses of one channel, without duplicates.
fn addresses(
    at: &At<'_>,
    list: &Option<Vec<String>>,
    check: impl Fn(&str, &dyn Fn(Diagnostic)) -> bool,
    context: &Context<'_>,
) -> Vec<SmolStr> {
    let mut seen = BTreeSet::new();
    let mut kept = Vec::new();
    for (index, address) in list.iter().flatten().enumerate() {
        let item = at.index(index);
        if !seen.insert(address.as_str()) {
            let message = format!("the address `{}` stands here twice", shown(address));
            context.report(Diagnostic::new(Code::Duplicate, context.value(&item), message).help("remove one of them"));
        } else if check(address, &|diagnostic| {
            context.report(Diagnostic { span: context.value(&item), ..diagnostic });
        }) {
            kept.push(address.into());
        }
    }
    kept
}

/// Whether SNS accepts a text as an e-mail address: a local part, `@`, and a domain with a dot.
fn check_email(address: &str, report: &dyn Fn(Diagnostic)) -> bool {
    let fits = |text: &str, extra: &str| {
        !text.is_empty()
            && !text.starts_with('.')
            && !text.ends_with('.')
            && !text.contains("..")
            && text.chars().all(|c| c.is_ascii_alphanumeric() || extra.contains(c))
    };
    let good = address.len() <= 254
        && address.rsplit_once('@').is_some_and(|(local, domain)| {
            local.len() <= 64
                && fits(local, "!#$%&'*+/=?^_`{|}~.-")
                && fits(domain, ".-")
                && domain.contains('.')
                && !domain.split('.').any(|label| label.starts_with('-') || label.ends_with('-'))
        });
    if !good {
        report(
            Diagnostic::new(Code::InvalidEmail, 0..0, format!("`{}` is not an e-mail address", shown(address)))
                .help("an address looks like `name@example.com`"),
        );
    }
    good
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn email_addresses_have_a_local_part_and_a_domain() {
        for good in ["a@b.example", "first.last+tag@sub.example.com"] {
            assert!(check_email(good, &|_| ()), "{good}");
        }
        for bad in ["", "a", "a@", "@b.c", "a@b", "a b@c.d", "a@b..c", "a@-b.c", "a@b.c\n", "<a@b.c>"] {
            assert!(!check_email(bad, &|_| ()), "{bad}");
        }
    }
}
