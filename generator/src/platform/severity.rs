//! `[severities.X]`: how urgent an alert is. The artifact's form is the checked form.

/// How urgent an alert is.
pub type Severity = fleetform_engine::rule_set::Severity;
