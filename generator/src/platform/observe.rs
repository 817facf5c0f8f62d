//! `[observe]`: what is watched, and who is told.

use fleetform_engine::{ids::ContactId, units::Millis};

/// What is watched, and who is told.
#[derive(Clone, Debug, PartialEq)]
pub struct Observe {
    /// Age of the newest evaluated record.
    pub ingestion_lag: Option<IngestionLag>,
    /// Quarantined records.
    pub quarantine: Option<Quarantine>,
    /// How long logs are kept: one of the retention times of CloudWatch Logs, in days.
    pub log_retention_days: u32,
    /// Whether functions are traced by X-Ray.
    pub tracing: bool,
}

/// Alarms on the age of the newest evaluated record.
#[derive(Clone, Debug, PartialEq)]
pub struct IngestionLag {
    /// The age that is worth a look.
    pub warn: Millis,
    /// The age that somebody must act on.
    pub page: Millis,
    /// Who.
    pub to: Vec<ContactId>,
}

/// Alarm on quarantined records.
#[derive(Clone, Debug, PartialEq)]
pub struct Quarantine {
    /// More than this many in an hour.
    pub max_per_hour: u32,
    /// Who is told.
    pub to: Vec<ContactId>,
}
