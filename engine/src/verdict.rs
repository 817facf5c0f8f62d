//! Whether a notice is sent, and why or why not. Every sample that meets a rule gets such a verdict.

use crate::{
    compiled::Rule,
    episode::Scene,
    ids::{DeviceId, MetricId, RuleId, ZoneId},
    state::{Firing, Instance, Notice, Phase},
    units::{Millis, Timestamp},
};

/// The verdict for one sample and one rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// A notice is sent.
    Send(Why),
    /// No notice is sent.
    Hold(WhyNot),
}

/// Why a notice is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// An episode fires.
    Fired {
        /// Number of firings that the cooldown held back since the last notice, including this one if it was held
        /// back.
        suppressed: u32,
    },
    /// An episode that was notified is over.
    Resolved,
    /// An episode that was notified continues.
    Repeated,
    /// The rule has started to flap.
    Flapping,
}

/// Why no notice is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhyNot {
    /// The condition does not hold.
    Inactive,
    /// It holds, but not for long enough yet.
    Pending {
        /// When it will have held for long enough.
        until: Timestamp,
    },
    /// There are fewer samples than the rule requires.
    TooFewSamples {
        /// Number of samples so far.
        seen: u32,
    },
    /// There is no earlier sample to compare with.
    NothingToCompare,
    /// The rule has not yet learned what is normal for the device.
    Learning {
        /// Number of samples it has learned from.
        samples: u32,
    },
    /// The episode was already notified.
    AlreadySent,
    /// The last notice of the rule on this device is too recent.
    CoolingDown {
        /// Ingest time from which notices are sent again.
        until: Timestamp,
    },
    /// The sample is too old for a notice.
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
        /// The moment of the shard's time from which notices are sent again.
        until: Timestamp,
    },
    /// The condition does not count outside the rule's hours.
    OutsideHours,
    /// The samples stopped before the condition had held for long enough.
    Forgotten,
    /// The rule is a shadow rule.
    Shadow,
    /// An episode is over that was never notified.
    NeverSent,
}

/// One verdict, with its context.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// Id of the device; for a fleet rule, the key of its pseudo-device in a zone: see [`Judgement::zone`].
    pub device: DeviceId,
    /// Id of the rule.
    pub rule: RuleId,
    /// Id of the rule's metric; `None` for kinds that read no samples.
    pub metric: Option<MetricId>,
    /// Time of the sample, or the moment at which time alone caused the verdict.
    pub at: Timestamp,
    /// Whether time alone caused the verdict, without a sample.
    pub by_timer: bool,
    /// Where the rule stands afterwards.
    pub standing: Standing,
    /// Whether a notice is sent, and why or why not.
    pub verdict: Verdict,
}

impl Judgement {
    /// Returns the zone, if the rule is a fleet rule: then there is no device.
    pub fn zone(&self) -> Option<ZoneId> {
        self.device.fleet().map(|(_, zone)| zone)
    }
}

/// Where a rule stands on a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The condition does not hold, and no episode runs.
    Inactive,
    /// The condition has held since then.
    Pending {
        /// Since when the condition has held.
        since: Timestamp,
    },
    /// An episode runs.
    Firing {
        /// Since when the condition has held.
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

/// Whether a firing at this moment goes to the history only.
pub(crate) fn is_too_late(scene: &Scene<'_>) -> bool {
    scene.delay() > scene.rules.max_alert_delay
}

/// Returns whether a notice of a running episode is sent now.
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
    let muted = rule.muted_until.filter(|until| scene.now < *until);
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
