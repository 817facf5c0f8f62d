//! Counts of what a run has seen and done. A host turns them into metrics; no decision depends on them.

use std::collections::BTreeMap;

use crate::{reason::Reason, units::Timestamp};

/// Counts of one run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Records evaluated, including quarantined ones.
    pub records: u64,
    /// Records that the state had already applied.
    pub skipped: u64,
    /// Records that were redriven.
    pub redriven: u64,
    /// Number of samples evaluated.
    pub samples: u64,
    /// Records set aside, by reason.
    pub quarantined: BTreeMap<Reason, u64>,
    /// Messages without a reading.
    pub heartbeats: u64,
    /// Messages on a channel that no rule reads.
    pub unread: u64,
    /// Records that only advance the shard's time.
    pub ticks: u64,
    /// Timers that ran: changes caused by time alone.
    pub timers: u64,
    /// Devices that went offline.
    pub offline: u64,
    /// Alarms that devices raised or ended.
    pub alarms: u64,
    /// Connection events ignored, since newer ones were known or a second client took over.
    pub stale_presence: u64,
    /// Samples whose time was missing or unreadable.
    pub untimed: u64,
    /// Samples whose time lay too far in the future.
    pub future: u64,
    /// Samples too old to be evaluated.
    pub too_old: u64,
    /// Values at or before the newest evaluated value of their metric: late, or sent twice.
    pub late: u64,
    /// Readings that the device type does not declare.
    pub unknown_readings: u64,
    /// Registrations applied.
    pub registrations: u64,
    /// Registrations ignored, since a newer revision was known.
    pub stale_registrations: u64,
    /// `member` records to put: what devices report to fleets.
    pub memberships: u64,
    /// `member` records with new information.
    pub members: u64,
    /// `member` records ignored: they repeat what is known, or belong to an earlier stream.
    pub stale_members: u64,
    /// Rule sets adopted.
    pub rule_sets: u64,
    /// `rules` records ignored, since their version was not newer.
    pub stale_rule_sets: u64,
    /// Rule sets named by a record that could not be used.
    pub unusable_rule_sets: u64,
    /// Overrides of rules that came into force.
    pub overrides: u64,
    /// Overrides that ended at their set time.
    pub ended_overrides: u64,
    /// Overrides ignored, since a newer revision was known.
    pub stale_overrides: u64,
    /// Overrides ignored, since they cannot apply to the rule.
    pub unusable_overrides: u64,
    /// Episodes that started.
    pub fired: u64,
    /// Episodes that ended.
    pub resolved: u64,
    /// Notices requested.
    pub notifications: u64,
    /// Firings that a cooldown held back.
    pub cooled_down: u64,
    /// Firings seen too late for a notice.
    pub too_late: u64,
    /// Firings of shadow rules.
    pub shadowed: u64,
    /// Deltas created.
    pub deltas: u64,
    /// Deltas read that another writer had created.
    pub deltas_read: u64,
    /// Bases created.
    pub bases: u64,
    /// Bases that were due and could not be created. The next run tries again.
    pub bases_failed: u64,
    /// Shards started with the state of their parents.
    pub inherited: u64,
    /// Chains sealed, so that children could inherit their state.
    pub seals: u64,
    /// Records that were not evaluated before their shard was sealed: the event source gave up on them.
    pub left_behind: u64,
    /// Effects not published again, since their delta was too old.
    pub expired_effects: u64,
    /// Newest ingest time seen, from which a host with a clock can derive the lag.
    pub newest_ingest: Option<Timestamp>,
    /// The longest time between a sample's own time and its ingest time, in milliseconds.
    pub event_lag_ms_max: u64,
}

impl Counts {
    /// Adds the counts of a part of the run.
    pub(crate) fn add(&mut self, part: Self) {
        let Self {
            quarantined,
            newest_ingest,
            event_lag_ms_max,
            records,
            skipped,
            redriven,
            samples,
            heartbeats,
            unread,
            ticks,
            timers,
            offline,
            alarms,
            stale_presence,
            untimed,
            future,
            too_old,
            late,
            unknown_readings,
            registrations,
            stale_registrations,
            memberships,
            members,
            stale_members,
            rule_sets,
            stale_rule_sets,
            unusable_rule_sets,
            overrides,
            ended_overrides,
            stale_overrides,
            unusable_overrides,
            fired,
            resolved,
            notifications,
            cooled_down,
            too_late,
            shadowed,
            deltas,
            deltas_read,
            bases,
            bases_failed,
            inherited,
            seals,
            left_behind,
            expired_effects,
        } = part;
        for (reason, count) in quarantined {
            *self.quarantined.entry(reason).or_default() += count;
        }
        self.newest_ingest = self.newest_ingest.max(newest_ingest);
        self.event_lag_ms_max = self.event_lag_ms_max.max(event_lag_ms_max);
        for (total, part) in [
            (&mut self.records, records),
            (&mut self.skipped, skipped),
            (&mut self.redriven, redriven),
            (&mut self.samples, samples),
            (&mut self.heartbeats, heartbeats),
            (&mut self.unread, unread),
            (&mut self.ticks, ticks),
            (&mut self.timers, timers),
            (&mut self.offline, offline),
            (&mut self.alarms, alarms),
            (&mut self.stale_presence, stale_presence),
            (&mut self.untimed, untimed),
            (&mut self.future, future),
            (&mut self.too_old, too_old),
            (&mut self.late, late),
            (&mut self.unknown_readings, unknown_readings),
            (&mut self.registrations, registrations),
            (&mut self.stale_registrations, stale_registrations),
            (&mut self.memberships, memberships),
            (&mut self.members, members),
            (&mut self.stale_members, stale_members),
            (&mut self.rule_sets, rule_sets),
            (&mut self.stale_rule_sets, stale_rule_sets),
            (&mut self.unusable_rule_sets, unusable_rule_sets),
            (&mut self.overrides, overrides),
            (&mut self.ended_overrides, ended_overrides),
            (&mut self.stale_overrides, stale_overrides),
            (&mut self.unusable_overrides, unusable_overrides),
            (&mut self.fired, fired),
            (&mut self.resolved, resolved),
            (&mut self.notifications, notifications),
            (&mut self.cooled_down, cooled_down),
            (&mut self.too_late, too_late),
            (&mut self.shadowed, shadowed),
            (&mut self.deltas, deltas),
            (&mut self.deltas_read, deltas_read),
            (&mut self.bases, bases),
            (&mut self.bases_failed, bases_failed),
            (&mut self.inherited, inherited),
            (&mut self.seals, seals),
            (&mut self.left_behind, left_behind),
            (&mut self.expired_effects, expired_effects),
        ] {
            *total += part;
        }
    }
}
