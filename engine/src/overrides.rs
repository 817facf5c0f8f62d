//! What operators have set for rules while the platform runs, apart from the file: a rule is off, has another
//! threshold, is muted, or tells somebody else. The newest revision of each row counts.
//!
//! It knows nothing of the table that the rows come from, or of what a change does to running episodes: to a shard, a
//! rule set under other overrides is another rule set.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    ids::{ContactId, RuleId},
    rule_set::{Condition, Rule, RuleSet, Threshold},
    units::{Finite, Timestamp},
};

/// The most rows that a shard takes. Another rule's is ignored then. Two shards that are merged may have more together.
pub const OVERRIDES_MAX: usize = 1_024;
/// The most contacts of a row.
pub const CONTACTS_MAX: usize = 16;

/// One rule's row. A field that is not set leaves the rule as its set has it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Override {
    /// A row with a lower or equal revision is ignored.
    pub revision: u64,
    /// Whether the rule is evaluated.
    pub enabled: Option<bool>,
    /// What a value, or a rate of change, is compared with.
    pub threshold: Option<Finite>,
    /// Nobody is told of a firing before this moment of the shard's time.
    pub muted_until: Option<Timestamp>,
    /// Who is told, on every channel that they have, in place of those that the routes name.
    pub contacts: Option<Arc<[ContactId]>>,
    /// From this moment of the shard's time on the row sets nothing.
    pub until: Option<Timestamp>,
}

/// Why a rule cannot be as a row says.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// There is no such rule.
    #[error("there is no rule `{0}`")]
    UnknownRule(RuleId),
    /// A rule of its kind is not given by one number.
    #[error("a rule of this kind has no threshold")]
    NoThreshold,
    /// Nobody would be told.
    #[error("nobody would be told: name a contact, or mute the rule")]
    NoContact,
    /// A row has room for so many.
    #[error("at most {CONTACTS_MAX} contacts can be named")]
    TooManyContacts,
    /// There is no such contact.
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
    /// The rule cannot be as it says.
    Unusable,
}

/// The rows of a shard. One that sets nothing any more stays for its revision.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Overrides(BTreeMap<RuleId, Override>);

impl Override {
    /// Whether the row changes nothing about its rule.
    fn is_void(&self) -> bool {
        let Self { revision: _, enabled, threshold, muted_until, contacts, until: _ } = self;
        enabled.is_none() && threshold.is_none() && muted_until.is_none() && contacts.is_none()
    }

    /// Whether a rule of a set can be as the row says.
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self, id: &RuleId, set: &RuleSet) -> Result<(), Unfit> {
        let rule = set.rules.get(id).ok_or_else(|| Unfit::UnknownRule(id.clone()))?;
        self.applied(id, rule, set).map(|_| ())
    }

    /// The rule as the row wants it.
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

    /// These with one row more, or changed. A rule that the set does not know may come with a later one; of a rule that
    /// it knows, the row must make sense.
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

    /// The first moment at which a row ends.
    pub(crate) fn first_end(&self) -> Option<Timestamp> {
        self.0.values().filter(|row| !row.is_void()).filter_map(|row| row.until).min()
    }

    /// These without what has ended by a moment.
    pub(crate) fn at(&self, now: Timestamp) -> Self {
        let ended = |row: &Override| row.until.is_some_and(|until| until <= now);
        let left = |row: &Override| {
            if ended(row) { Override { revision: row.revision, ..Override::default() } } else { row.clone() }
        };
        Self(self.0.iter().map(|(rule, row)| (rule.clone(), left(row))).collect())
    }

    /// Of two shards' rows for a rule, the one with the higher revision.
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

    /// Those that do something under a set, and the rules as they want them. A row that does not fit its rule, which
    /// another set than that of its time may have changed, leaves it alone.
    pub(crate) fn in_force<'a>(&'a self, set: &RuleSet) -> BTreeMap<&'a RuleId, (&'a Override, Rule)> {
        let rows = self.0.iter().filter(|(_, row)| !row.is_void());
        rows.filter_map(|(id, row)| Some((id, (row, row.applied(id, set.rules.get(id)?, set).ok()?)))).collect()
    }
}
