//! What operators set for rules while the platform runs, separately from the file: a rule is disabled, has another
//! threshold, is muted, or notifies other contacts. The newest revision of each row counts.
//!
//! Knows nothing about the table that the rows come from, or about what a change does to running episodes: to a
//! shard, a rule set under other overrides is another rule set.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    ids::{ContactId, RuleId},
    rule_set::{Condition, Rule, RuleSet, Threshold},
    units::{Finite, Timestamp},
};

/// Maximum number of rows that a shard accepts. A row for a further rule is then ignored. Two shards that are merged
/// may together have more.
pub const OVERRIDES_MAX: usize = 1_024;
/// Maximum number of contacts in a row.
pub const CONTACTS_MAX: usize = 16;

/// One rule's row. A field that is not set leaves the rule as its set has it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Override {
    /// Revision of the row. A row with a lower or equal one is ignored.
    pub revision: u64,
    /// Whether the rule is evaluated.
    pub enabled: Option<bool>,
    /// Number that a value, or a rate of change, is compared with.
    pub threshold: Option<Finite>,
    /// Moment of the shard's time before which no notice of a firing is sent.
    pub muted_until: Option<Timestamp>,
    /// Contacts that are notified, on every channel that they have, instead of those that the routes name.
    pub contacts: Option<Arc<[ContactId]>>,
    /// Moment of the shard's time from which the row sets nothing.
    pub until: Option<Timestamp>,
}

/// Why a row cannot apply to its rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// The rule does not exist.
    #[error("there is no rule `{0}`")]
    UnknownRule(RuleId),
    /// A rule of this kind does not have a single threshold.
    #[error("a rule of this kind has no threshold")]
    NoThreshold,
    /// No contact would be notified.
    #[error("nobody would be told: name a contact, or mute the rule")]
    NoContact,
    /// The row has more than [`CONTACTS_MAX`] contacts.
    #[error("at most {CONTACTS_MAX} contacts can be named")]
    TooManyContacts,
    /// The contact does not exist.
    #[error("there is no contact `{0}`")]
    UnknownContact(ContactId),
    /// The rule would contradict itself or its set.
    #[error("the rule would be wrong at {0}")]
    Invalid(String),
}

/// Why a row is ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ignored {
    /// Its revision is not above that of the row in force.
    Stale,
    /// The row cannot apply to its rule.
    Unusable,
}

/// The rows of a shard. A row that no longer sets anything is kept for its revision.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Overrides(BTreeMap<RuleId, Override>);

impl Override {
    /// Whether the row changes nothing about its rule.
    fn is_void(&self) -> bool {
        let Self { revision: _, enabled, threshold, muted_until, contacts, until: _ } = self;
        enabled.is_none() && threshold.is_none() && muted_until.is_none() && contacts.is_none()
    }

    /// Checks that the row can apply to its rule in a set.
    ///
    /// # Errors
    /// Why it cannot.
    pub fn check(&self, id: &RuleId, set: &RuleSet) -> Result<(), Unfit> {
        let rule = set.rules.get(id).ok_or_else(|| Unfit::UnknownRule(id.clone()))?;
        self.applied(id, rule, set).map(|_| ())
    }

    /// Returns the rule with the row applied.
    fn applied(&self, id: &RuleId, rule: &Rule, set: &RuleSet) -> Result<Rule, Unfit> {
        let mut changed = rule.clone();
        changed.enabled = self.enabled.unwrap_or(rule.enabled);
        if let Some(value) = self.threshold {
            match &mut changed.condition {
                Condition::Threshold { threshold, .. } => *threshold = Threshold::Fixed(value),
                Condition::RateOfChange { threshold, .. } => *threshold = value,
                Condition::Range { .. }
                | Condition::State { .. }
                | Condition::Anomaly { .. }
                | Condition::NoData { .. }
                | Condition::Flatline { .. }
                | Condition::Count { .. }
                | Condition::Fleet { .. }
                | Condition::Composite { .. }
                | Condition::DeviceAlarm { .. } => return Err(Unfit::NoThreshold),
            }
        }
        if let Some(contacts) = &self.contacts {
            if contacts.is_empty() {
                return Err(Unfit::NoContact);
            }
            if contacts.len() > CONTACTS_MAX {
                return Err(Unfit::TooManyContacts);
            }
            if let Some(unknown) = contacts.iter().find(|contact| !set.contacts.contains_key(*contact)) {
                return Err(Unfit::UnknownContact(unknown.clone()));
            }
        }
        set.check_rule(id, &changed).map_err(|error| Unfit::Invalid(format!("`{}`: {}", error.at, error.problem)))?;
        Ok(changed)
    }
}

impl Overrides {
    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = (&RuleId, &Override)> {
        self.0.iter()
    }

    pub(crate) fn get(&self, rule: &RuleId) -> Option<&Override> {
        self.0.get(rule)
    }

    pub(crate) fn insert(&mut self, rule: RuleId, row: Override) {
        self.0.insert(rule, row);
    }

    /// Returns these rows with one added or replaced. The rule may be unknown to the set, since a later set may add
    /// it. If it is known, the row must be applicable.
    pub(crate) fn with(&self, rule: &RuleId, row: &Override, set: &RuleSet) -> Result<Self, Ignored> {
        let known = self.0.get(rule);
        if known.is_some_and(|known| row.revision <= known.revision) && !mutant!(OverrideRevisionIgnored) {
            return Err(Ignored::Stale);
        }
        let usable = set.rules.get(rule).is_none_or(|meant| row.applied(rule, meant, set).is_ok());
        if !usable || (known.is_none() && self.0.len() >= OVERRIDES_MAX) {
            return Err(Ignored::Unusable);
        }
        let mut changed = self.clone();
        changed.0.insert(rule.clone(), row.clone());
        Ok(changed)
    }

    /// Returns the first moment at which a row ends.
    pub(crate) fn first_end(&self) -> Option<Timestamp> {
        self.0.values().filter(|row| !row.is_void()).filter_map(|row| row.until).min()
    }

    /// Returns these rows without those that have ended by a moment.
    pub(crate) fn at(&self, now: Timestamp) -> Self {
        let ended = |row: &Override| row.until.is_some_and(|until| until <= now);
        let left = |row: &Override| {
            if ended(row) { Override { revision: row.revision, ..Override::default() } } else { row.clone() }
        };
        Self(self.0.iter().map(|(rule, row)| (rule.clone(), left(row))).collect())
    }

    /// Merges the rows of two shards. For each rule, the row with the higher revision is kept.
    pub(crate) fn merge(&self, other: &Self) -> Self {
        let mut merged = self.clone();
        for (rule, row) in &other.0 {
            let newer = merged.0.get(rule).is_none_or(|known| row.revision > known.revision);
            if newer {
                merged.0.insert(rule.clone(), row.clone());
            }
        }
        merged
    }

    /// Returns the rows that have an effect under a set, with the rules as changed by them. A row that does not fit
    /// its rule, because the rule has changed since, leaves it unchanged.
    pub(crate) fn in_force<'a>(&'a self, set: &RuleSet) -> BTreeMap<&'a RuleId, (&'a Override, Rule)> {
        let rows = self.0.iter().filter(|(_, row)| !row.is_void());
        rows.filter_map(|(id, row)| Some((id, (row, row.applied(id, set.rules.get(id)?, set).ok()?)))).collect()
    }
}
