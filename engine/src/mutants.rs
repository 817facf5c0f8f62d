//! Deliberate bugs, one of which can be switched on in a development build with the feature `mutants`: a simulation
//! that does not find them would not find real ones. In any other build `mutant!` is `false` and none of this exists.

#[cfg(all(feature = "mutants", debug_assertions))]
macro_rules! mutant {
    ($name:ident) => {
        $crate::mutants::is_on($crate::mutants::Mutant::$name)
    };
}

#[cfg(not(all(feature = "mutants", debug_assertions)))]
macro_rules! mutant {
    ($name:ident) => {
        false
    };
}

#[cfg(all(feature = "mutants", debug_assertions))]
mod switch {
    use std::cell::Cell;

    thread_local! {
        static ON: Cell<Option<Mutant>> = const { Cell::new(None) };
    }

    /// Whether this bug is switched on in this thread.
    pub fn is_on(mutant: Mutant) -> bool {
        ON.get() == Some(mutant)
    }

    /// Switches one bug on in this thread, or all of them off.
    pub fn switch_on(mutant: Option<Mutant>) {
        ON.set(mutant);
    }

    macro_rules! mutants {
        ($($(#[$doc:meta])* $name:ident,)*) => {
            /// A deliberate bug.
            #[derive(Clone, Copy, Debug, PartialEq, Eq)]
            pub enum Mutant { $($(#[$doc])* $name,)* }

            impl Mutant {
                /// Every bug.
                pub const ALL: &'static [Self] = &[$(Self::$name,)*];
            }
        };
    }

    mutants! {
        /// The store creates an object although one exists.
        CreateWithoutCondition,
        /// A refused create counts as done.
        ExistsTakenAsSuccess,
        /// A create with an unknown outcome counts as done.
        AmbiguousTakenAsSuccess,
        /// A writer's token is the same for all bytes, and nothing else is compared.
        TokenReused,
        /// After catching up, the rest of the batch is not evaluated again.
        NoReevaluation,
        /// What was evaluated is not undone when another process was faster.
        NotUndone,
        /// The effects of a delta that was read are not published.
        EffectsNotPublishedAgain,
        /// A delta is built on one whose effects were not accepted.
        BuiltOnUnpublished,
        /// A publication that fails counts as done.
        PublishFailureIgnored,
        /// Notices are sent before the commit, under names that no replay computes.
        PublishedBeforeCommit,
        /// A batch is attempted again as a whole, however often it has brought the process down.
        KillerNeverAlone,
        /// A record that the state has already applied is applied again.
        PositionNotChecked,
        /// After a record that cannot be evaluated now, the next ones are.
        LaterRecordsAfterFailure,
        /// Records count as done before their delta exists.
        AcknowledgedBeforeCommit,
        /// The ingest time of a plain record is that of the run.
        WallClock,
        /// A base names a position that no delta follows.
        BaseOffByOne,
        /// A base is written before the effects of its newest delta are published.
        BaseBeforePublish,
        /// A state that is not on the chain stays in the cache.
        CacheKeptAfterFailedCommit,
        /// A cached state is used however old it is, so that deltas expire under it.
        CacheNeverTooOld,
        /// A child starts with the current state of its parent, and the parent continues.
        ParentNotSealed,
        /// A parent is sealed before its last records are evaluated.
        ParentSealedEarly,
        /// A child of two shards starts with the state of one.
        ChildWithoutOneParent,
        /// At the start of a merged shard, time has stood still for the parent that lags behind.
        ParentNotCaughtUp,
        /// A stream that replaces another starts with what the oldest chain that knows a device holds of it.
        OldestChainKnowsBest,
        /// A listing that fails counts as empty, and a shard that has started may start from scratch.
        FailedListIsEmpty,
        /// An object is accepted whatever its checksum.
        ChecksumIgnored,
        /// A rule set that cannot be fetched now counts as one that never can be.
        UnavailableRuleSetIgnored,
        /// An older rule set is adopted.
        OlderRuleSetAdopted,
        /// An old report of a device to a fleet is applied again.
        StaleMemberApplied,
        /// An older row of an override is applied.
        OverrideRevisionIgnored,
        /// An older registration is applied.
        OlderRegistrationApplied,
        /// The effects of time passing are applied after the record that reveals it.
        TimersAfterRecord,
        /// A timer counts as a sample of an M of N window.
        TimerCountsAsSample,
        /// A sample with the same time as the newest one is evaluated.
        DuplicateEvaluated,
        /// A duration that is reached exactly is not enough.
        DurationExclusive,
        /// A count never drops old samples.
        CountForgetsNothing,
        /// A flat line is compared with its last sample, and not with its first.
        FlatlineDrifts,
        /// After a gap, a flat line is compared with the value before it.
        GapKeepsLine,
        /// A value that moves starts a flat line at its next sample.
        LineBeginsStill,
        /// A composite rule is not evaluated when an alert that it reads has ended with a change of the rules.
        CompositeNotSettled,
        /// A heartbeat ends a silence, and no composite rule is evaluated.
        HeartbeatMovesNoComposite,
        /// The hours of a rule without samples start and end only when a record arrives.
        HoursNeedRecords,
        /// A composite rule ignores `not`.
        CompositeIgnoresNot,
        /// The end of one alarm ends all of them.
        AlarmEndsAll,
        /// Outliers become part of the past.
        AnomalyLearnsOutliers,
        /// After a silence, one sample makes up nearly the whole past.
        EwmaSilenceUnbounded,
        /// The oldest part of a window is never dropped.
        ZscoreForgetsNothing,
        /// The median is that of all values, however large the ring.
        MadRingUnbounded,
        /// A rule about silence ignores its hours.
        SilenceOutsideHours,
        /// A silence that a rule detects late is accepted outside its hours.
        LateSilenceOutsideHours,
        /// A connection ends a rule that waits for a message.
        ConnectionTakenAsMessage,
        /// An older connection event is accepted.
        OlderConnectionBelieved,
        /// A device that is reported gone is given no time to come back.
        GoneWithoutGrace,
        /// An alert that ends keeps the evidence of the previous value.
        ExplanationLeftBehind,
        /// Hours are those of UTC, and not of the device's zone.
        HoursInUtc,
        /// A redriven record is treated as new.
        RedrivenIsNews,
        /// The cooldown counts from the time of the device.
        CooldownByDeviceTime,
        /// A rule whose meaning has changed keeps its episode.
        ChangedRuleKeepsEpisode,
    }
}

#[cfg(all(feature = "mutants", debug_assertions))]
pub use switch::{Mutant, is_on, switch_on};
