//! Whether somebody is told, and why or why not. Every sample that meets a rule gets such an answer.

use crate::{
    compiled::Rule,
    episode::Scene,
    ids::{DeviceId, MetricId, RuleId, ZoneId},
    state::{Firing, Instance, Notice, Phase},
    units::{Millis, Timestamp},
};

/// The answer for one sample and one rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Somebody is told.
    Send(Why),
    /// Nobody is.
    Hold(WhyNot),
}

/// Why somebody is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// An episode fires.
    Fired {
        /// Firings that the cooldown held back since the last notice, this one included if it was.
        suppressed: u32,
    },
    /// An episode that somebody was told of is over.
    Resolved,
    /// An episode that somebody was told of goes on.
    Repeated,
    /// The rule has begun to flap.
    Flapping,
}

/// Why nobody is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhyNot {
    /// The condition does not hold.
    Inactive,
    /// It holds, but not for long enough yet.
    Pending {
        /// When it will have held for long enough.
        until: Timestamp,
    },
    /// There are fewer samples than the rule wants.
    TooFewSamples {
        /// So many.
        seen: u32,
    },
    /// There is no earlier sample to compare with.
    NothingToCompare,
    /// The rule does not know yet what is normal for the device.
    Learning {
        /// It has learned from so many samples.
        samples: u32,
    },
    /// The episode was told of before.
    AlreadySent,
    /// Somebody was told of the rule on this device too short a time ago.
    CoolingDown {
        /// Ingest time from which it is told again.
        until: Timestamp,
    },
    /// The sample is too old to be news.
    TooLate {
        /// Time from the sample to its ingest.
        delay: Millis,
    },
    /// The rule fires more often than its limit.
    Flapping {
        /// Ingest time from which it counts as stable, unless it fires again.
        until: Timestamp,
    },
    /// Operators have muted the rule.
    Muted {
        /// The moment of the shard's time from which it is told again.
        until: Timestamp,
    },
    /// The condition does not count outside the rule's hours.
    OutsideHours,
    /// The samples have stopped before the condition had held for long enough.
    Forgotten,
    /// The rule is on trial.
    Shadow,
    /// An episode is over that nobody was told of.
    NeverSent,
}

/// One answer, with what it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// The device; of a fleet rule, what stands for it in a zone: see [`Judgement::zone`].
    pub device: DeviceId,
    /// The rule.
    pub rule: RuleId,
    /// Its metric; none for kinds that read no samples.
    pub metric: Option<MetricId>,
    /// The sample's time, or the moment at which time alone did something.
    pub at: Timestamp,
    /// Whether no sample came, and time alone did something.
    pub by_timer: bool,
    /// Where the rule stands after it.
    pub standing: Standing,
    /// The answer.
    pub verdict: Verdict,
}

impl Judgement {
    /// The zone, if the rule is a fleet rule: then there is no device.
    pub fn zone(&self) -> Option<ZoneId> {
        self.device.fleet().map(|(_, zone)| zone)
    }
}

/// Where a rule stands on a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Nothing is the matter.
    Inactive,
    /// The condition has held since then.
    Pending {
        /// Since when.
        since: Timestamp,
    },
    /// An episode runs.
    Firing {
        /// Since when the condition held.
        since: Timestamp,
    },
}

impl Standing {
    pub(crate) fn of(instance: &Instance) -> Self {
        match &instance.phase {
            Phase::Inactive => Self::Inactive,
            Phase::Pending { since } => Self::Pending { since: *since },
            Phase::Firing(firing) => Self::Firing { since: firing.since },
        }
    }
}

/// Whether a firing of now is for the history only.
pub(crate) fn is_too_late(scene: &Scene<'_>) -> bool {
    scene.delay() > scene.rules.max_alert_delay
}

/// Whether a running episode is told of now.
pub(crate) fn on_firing(
    scene: &Scene<'_>,
    rule: &Rule,
    firing: &Firing,
    noticed_at: Option<Timestamp>,
    stable_at: Option<Timestamp>,
    suppressed: u32,
) -> Verdict {
    if rule.shadow {
        return Verdict::Hold(WhyNot::Shadow);
    }
    let muted = rule.muted_until.filter(|until| scene.ingested_at < *until);
    if firing.notice == Notice::Given {
        let again = rule.repeat_every.zip(noticed_at).map(|(every, last)| last.after(every));
        return match again {
            Some(_) if let Some(until) = muted => Verdict::Hold(WhyNot::Muted { until }),
            Some(again) if scene.ingested_at >= again => Verdict::Send(Why::Repeated),
            Some(_) | None => Verdict::Hold(WhyNot::AlreadySent),
        };
    }
    if is_too_late(scene) {
        return Verdict::Hold(WhyNot::TooLate { delay: scene.delay() });
    }
    if let Some(until) = muted {
        return Verdict::Hold(WhyNot::Muted { until });
    }
    if let Some(until) = stable_at {
        return Verdict::Hold(WhyNot::Flapping { until });
    }
    match noticed_at.map(|last| last.after(rule.cooldown)) {
        Some(until) if scene.ingested_at < until => Verdict::Hold(WhyNot::CoolingDown { until }),
        Some(_) | None => Verdict::Send(Why::Fired { suppressed }),
    }
}
