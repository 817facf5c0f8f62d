//! `[observe]`: what is monitored, and which contacts are notified.

use std::collections::BTreeMap;

use fleetform_engine::{ids::ContactId, units::Millis};
use schemars::JsonSchema;
use serde::Deserialize;

use super::contact::Contact;
use crate::{
    check::{bounds::Bounds, context::Context},
    diagnostic::{Code, Diagnostic},
    schema::types::Duration,
    source::At,
};

const LOG_RETENTION: &str = "30d";
const LOG_RETENTION_DAYS: u32 = 30;

/// The retention times that CloudWatch Logs offers, in days ("PutRetentionPolicy", Amazon CloudWatch Logs API).
const RETENTION_DAYS: [u32; 22] =
    [1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653];

/// `[observe]` as it is written.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawObserve {
    /// Alarms on the age of the newest evaluated record.
    pub(crate) ingestion_lag: Option<RawIngestionLag>,
    /// Alarm on quarantined records.
    pub(crate) quarantine: Option<RawQuarantine>,
    /// How long logs are kept: 1d, 3d, 5d, 7d, 14d, 30d, 60d, 90d, … as CloudWatch Logs offers.
    #[schemars(extend("default" = LOG_RETENTION))]
    pub(crate) log_retention: Option<Duration>,
    /// Whether X-Ray traces functions.
    #[schemars(extend("default" = true))]
    pub(crate) tracing: Option<bool>,
}

/// `observe.ingestion_lag` as it is written.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawIngestionLag {
    /// The age that is worth a look, 10s to 24h.
    #[schemars(required)]
    pub(crate) warn: Option<Duration>,
    /// The age that needs action; longer than `warn`.
    #[schemars(required)]
    pub(crate) page: Option<Duration>,
    /// Contacts to notify.
    #[schemars(required, length(min = 1, max = 20))]
    pub(crate) to: Option<Vec<String>>,
}

/// `observe.quarantine` as it is written.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawQuarantine {
    /// The alarm goes off above this number per hour.
    #[schemars(required, range(min = 0, max = 1_000_000_000))]
    pub(crate) max_per_hour: Option<u32>,
    /// Contacts to notify.
    #[schemars(required, length(min = 1, max = 20))]
    pub(crate) to: Option<Vec<String>>,
}

/// What is monitored, and which contacts are notified.
#[derive(Clone, Debug, PartialEq)]
pub struct Observe {
    /// Age of the newest evaluated record.
    pub ingestion_lag: Option<IngestionLag>,
    /// Quarantined records.
    pub quarantine: Option<Quarantine>,
    /// How long logs are kept: one of the retention times of CloudWatch Logs, in days.
    pub log_retention_days: u32,
    /// Whether X-Ray traces functions.
    pub tracing: bool,
}

/// Alarms on the age of the newest evaluated record.
#[derive(Clone, Debug, PartialEq)]
pub struct IngestionLag {
    /// The age that is worth a look.
    pub warn: Millis,
    /// The age that needs action.
    pub page: Millis,
    /// Contacts to notify.
    pub to: Vec<ContactId>,
}

/// Alarm on quarantined records.
#[derive(Clone, Debug, PartialEq)]
pub struct Quarantine {
    /// The alarm goes off above this number per hour.
    pub max_per_hour: u32,
    /// Contacts to notify.
    pub to: Vec<ContactId>,
}

impl RawObserve {
    /// Checks the table.
    pub(crate) fn check(&self, contacts: &BTreeMap<ContactId, Contact>, at: &At<'_>, context: &Context<'_>) -> Observe {
        let lag_at = at.key("ingestion_lag");
        let quarantine_at = at.key("quarantine");
        Observe {
            ingestion_lag: self.ingestion_lag.as_ref().and_then(|raw| raw.check(contacts, &lag_at, context)),
            quarantine: self.quarantine.as_ref().and_then(|raw| {
                let to = recipients(&raw.to, contacts, &quarantine_at, context);
                Some(Quarantine { max_per_hour: raw.max_per_hour?, to })
            }),
            log_retention_days: self.check_log_retention(&at.key("log_retention"), context),
            tracing: self.tracing.unwrap_or(true),
        }
    }

    fn check_log_retention(&self, at: &At<'_>, context: &Context<'_>) -> u32 {
        let Some(Duration(length)) = self.log_retention else { return LOG_RETENTION_DAYS };
        const DAY_MS: u64 = 86_400_000;
        let offered = RETENTION_DAYS.iter().copied();
        if let Some(days) = offered.clone().find(|days| u64::from(*days) * DAY_MS == length.0) {
            return days;
        }
        let days = length.0.div_ceil(DAY_MS);
        let next = offered.clone().find(|offer| u64::from(*offer) >= days).unwrap_or(3_653);
        context.report(
            Diagnostic::new(
                Code::LogRetention,
                context.value(at),
                format!("CloudWatch Logs cannot keep logs for `{}`", Duration::write(length)),
            )
            .replace(format!("the next time that it offers: \"{next}d\""), format!("\"{next}d\"")),
        );
        LOG_RETENTION_DAYS
    }
}

impl RawIngestionLag {
    fn check(
        &self,
        contacts: &BTreeMap<ContactId, Contact>,
        at: &At<'_>,
        context: &Context<'_>,
    ) -> Option<IngestionLag> {
        let to = recipients(&self.to, contacts, at, context);
        let bounds = Bounds::new("10s", "24h").in_whole("1s");
        let warn = bounds.check_given(self.warn, &at.key("warn"), context)?;
        let page = bounds.check_given(self.page, &at.key("page"), context)?;
        if warn >= page {
            context.report(
                Diagnostic::new(
                    Code::TimesOutOfOrder,
                    context.value(&at.key("page")),
                    "`page` must be longer than `warn`",
                )
                .related(context.value(&at.key("warn")), "`warn` stands here")
                .help(if warn == page {
                    "raise `page`, or lower `warn`"
                } else {
                    "swap them, or raise `page`"
                }),
            );
        }
        Some(IngestionLag { warn, page, to })
    }
}

/// The contacts of an alarm. At least one must have a phone or an e-mail address, because alarms are sent through SNS.
fn recipients(
    names: &Option<Vec<String>>,
    contacts: &BTreeMap<ContactId, Contact>,
    at: &At<'_>,
    context: &Context<'_>,
) -> Vec<ContactId> {
    let place = at.key("to");
    let to: Vec<ContactId> =
        context.references(&place, "contacts", names, Code::UnknownContact, || "an alarm".to_owned());
    let reached =
        |id: &ContactId| contacts.get(id).is_none_or(|contact| !contact.sms.is_empty() || !contact.email.is_empty());
    if !to.is_empty() && !to.iter().any(reached) {
        context.report(
            Diagnostic::new(
                Code::AlarmReachesNobody,
                context.value(&place),
                "none of these contacts has a phone or an e-mail address, which alarms of CloudWatch need",
            )
            .help("add a contact with `sms` or `email`"),
        );
    }
    to
}
