//! The life of one rule on one device, from sample to sample: inactive, pending, firing. Times here are the samples'
//! own. Who is notified is decided elsewhere.

use crate::{
    compiled::{Duration, Rule},
    rule::Finding,
    rule_set::OnGap,
    state::{Instance, Phase, Quiet},
    units::{Millis, Timestamp},
};

/// What a sample did to an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moved {
    /// Nothing visible outside.
    Stayed,
    /// An episode started. The caller creates it, since it knows its name.
    Fired {
        /// When the condition started to hold.
        since: Timestamp,
    },
    /// The running episode is over. The caller ends it.
    Resolved,
}

/// Advances an instance by one sample. `gap` is the time since the metric's previous sample.
pub(crate) fn advance(
    rule: &Rule,
    instance: &mut Instance,
    finding: &Finding,
    at: Timestamp,
    ingested_at: Timestamp,
    gap: Option<Millis>,
) -> Moved {
    match rule.duration {
        Duration::Time { length, on_gap, max_gap, .. } => {
            instance.breached = u64::from(finding.breach);
            let is_gap = gap.is_some_and(|gap| gap > max_gap);
            match &mut instance.phase {
                Phase::Firing(_) => quiet(rule, instance, finding.clear, at, ingested_at),
                phase if !finding.breach => {
                    *phase = Phase::Inactive;
                    Moved::Stayed
                }
                phase @ Phase::Inactive => {
                    let since = finding.since.unwrap_or(at);
                    if at.since(since) >= length {
                        return Moved::Fired { since };
                    }
                    *phase = Phase::Pending { since };
                    Moved::Stayed
                }
                Phase::Pending { since } => {
                    if is_gap && on_gap == OnGap::Reset {
                        *since = at;
                    }
                    let held = at.since(*since);
                    if held > length || (held == length && !mutant!(DurationExclusive)) {
                        Moved::Fired { since: *since }
                    } else {
                        Moved::Stayed
                    }
                }
            }
        }
        Duration::Samples { breach, of } => {
            let last = u64::MAX >> (64 - of);
            instance.breached = (instance.breached << 1 | u64::from(finding.breach)) & last;
            instance.unclear = (instance.unclear << 1 | u64::from(!finding.clear)) & last;
            match &instance.phase {
                Phase::Firing(_) => {
                    let clear = instance.unclear.count_ones() < breach;
                    quiet(rule, instance, clear, at, ingested_at)
                }
                Phase::Inactive | Phase::Pending { .. } => {
                    if instance.breached.count_ones() >= breach {
                        Moved::Fired { since: at }
                    } else {
                        Moved::Stayed
                    }
                }
            }
        }
    }
}

/// A firing instance ends once it has been clear for long enough.
fn quiet(rule: &Rule, instance: &mut Instance, clear: bool, at: Timestamp, ingested_at: Timestamp) -> Moved {
    let Phase::Firing(firing) = &mut instance.phase else { return Moved::Stayed };
    if !clear {
        firing.quiet_since = None;
        return Moved::Stayed;
    }
    let quiet = *firing.quiet_since.get_or_insert(Quiet { at, ingested_at });
    if at.since(quiet.at) >= rule.keep_firing_for { Moved::Resolved } else { Moved::Stayed }
}
