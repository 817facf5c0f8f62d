//! An override comes into force at its record, and ends at its set time. Both change the rules in force, and an
//! episode under a rule whose meaning changes then ends.

use std::sync::Arc;

use super::{Change, Moment, Run, move_over, timers};
use crate::{
    compiled::Compiled,
    episode::Cause,
    ids::RuleId,
    overrides::{Ignored, Override, Overrides},
    state::ShardState,
};

/// Lets time pass up to a record: timers run, and overrides end between them. Returns the rules that are then in
/// force, if they have changed.
pub(super) fn time_passes(
    rules: &Arc<Compiled>,
    state: &mut ShardState,
    moment: &Moment<'_>,
    run: &mut Run,
) -> Option<Arc<Compiled>> {
    let until = state.head.shard_time.max(moment.ingested_at);
    let mut changed: Option<Arc<Compiled>> = None;
    loop {
        let rules = changed.as_ref().unwrap_or(rules);
        let Some(end) = rules.overrides_end.filter(|end| *end <= until) else {
            timers::run(rules, state, moment, run);
            return changed;
        };
        let cause = Cause::of_due(end, state.head.shard_time);
        let at = end.max(state.head.shard_time);
        let then = Moment { cause, ingested_at: at, known_at: at, now: at, ..*moment };
        timers::run(rules, state, &then, run);
        run.counts.ended_overrides += 1;
        let left = state.head.overrides.at(at);
        changed = Some(change(rules, left, state, &then, run));
    }
}

/// Takes an `override` record. Returns the rules that are in force from it on, if they have changed.
pub(super) fn take(
    rules: &Arc<Compiled>,
    state: &mut ShardState,
    (rule, row): (&RuleId, &Override),
    moment: &Moment<'_>,
    run: &mut Run,
) -> Option<Arc<Compiled>> {
    match state.head.overrides.with(rule, row, rules.set()) {
        Ok(overrides) => {
            run.counts.overrides += 1;
            // A row may arrive after its own end.
            let overrides = overrides.at(state.head.shard_time);
            Some(change(rules, overrides, state, moment, run))
        }
        Err(Ignored::Stale) => {
            run.counts.stale_overrides += 1;
            None
        }
        Err(Ignored::Unusable) => {
            run.counts.unusable_overrides += 1;
            None
        }
    }
}

fn change(
    rules: &Arc<Compiled>,
    overrides: Overrides,
    state: &mut ShardState,
    moment: &Moment<'_>,
    run: &mut Run,
) -> Arc<Compiled> {
    let overrides = Arc::new(overrides);
    let new = rules.under(&overrides);
    state.head.overrides = overrides;
    move_over(rules, &new, Change::Overrides, state, moment, run);
    new
}
