//! `[message]`: where the parts of a message lie.

/// Where the parts of a message lie. The artifact's form is the checked form.
pub type Message = fleetform_engine::rule_set::MessageFormat;
