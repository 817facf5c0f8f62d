//! Bugs on purpose, one of which can be switched on in a development build with the feature `mutants`: a simulation that
//! does not find them would not find real ones. In any other build `mutant!` is `false` and none of this is there.

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

    /// Switches a bug on in this thread, or all of them off.
    pub fn switch_on(mutant: Option<Mutant>) {
        ON.set(mutant);
    }

    macro_rules! mutants {
        ($($(#[$doc:meta])* $name:ident,)*) => {
            /// A bug.
            #[derive(Clone, Copy, Debug, PartialEq, Eq)]
            pub enum Mutant { $($(#[$doc])* $name,)* }

            impl Mutant {
                /// Every bug.
                pub const ALL: &'static [Self] = &[$(Self::$name,)*];
            }
        };
    }

    mutants! {
        /// The store creates an object where there is one.
        CreateWithoutCondition,
        /// A refused create counts as done.
        ExistsTakenAsSuccess,
        /// A create of unknown outcome counts as done.
        AmbiguousTakenAsSuccess,
        /// A writer's token is the same for all bytes, and nothing else is compared.
        TokenReused,
        /// After catching up, the rest of the batch is not evaluated again.
        NoReevaluation,
        /// What was evaluated is not undone when somebody else was faster.
        NotUndone,
        /// The effects of a delta that was read are not published.
        EffectsNotPublishedAgain,
        /// A delta is built on one whose effects were not accepted.
        BuiltOnUnpublished,
        /// A publication that fails counts as done.
        PublishFailureIgnored,
        /// Notices go out before the commit, under names that no replay computes.
        PublishedBeforeCommit,
        /// A batch is tried again as a whole, however often it has taken the process down.
        KillerNeverAlone,
        /// A record that the state has applied is applied again.
        PositionNotChecked,
        /// After a record that cannot be taken now, the next ones are.
        LaterRecordsAfterFailure,
        /// Records count as done before their delta is there.
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
        /// A child begins with what its parent has come to so far, and the parent goes on.
        ParentNotSealed,
        /// A parent is sealed before its last records are taken.
        ParentSealedEarly,
        /// A child of two shards begins with the state of one.
        ChildWithoutOneParent,
        /// At the beginning of a merged shard time has stood still for the parent that lies behind.
        ParentNotCaughtUp,
        /// A stream in another's place begins with what the oldest of the chains that know a device says of it.
        OldestChainKnowsBest,
        /// A list that fails is an empty one, and a shard that has begun may begin anew.
        FailedListIsEmpty,
        /// An object is believed whatever its checksum says.
        ChecksumIgnored,
        /// A rule set that cannot be had now counts as one that never can.
        UnavailableRuleSetIgnored,
        /// An older rule set is adopted.
        OlderRuleSetAdopted,
        /// What a device said to a fleet before counts again.
        StaleMemberApplied,
        /// An older row of an override is applied.
        OverrideRevisionIgnored,
        /// An older registration is applied.
        OlderRegistrationApplied,
        /// What the passing of time does is done after the record that notices it.
        TimersAfterRecord,
        /// A timer counts as a sample of an M of N window.
        TimerCountsAsSample,
        /// A sample of the newest one's time is evaluated.
        DuplicateEvaluated,
        /// A duration that is reached exactly is not enough.
        DurationExclusive,
        /// A count never forgets.
        CountForgetsNothing,
        /// A flat line is compared with its last sample, and not with its first.
        FlatlineDrifts,
        /// Behind a gap a flat line is compared with the value before it.
        GapKeepsLine,
        /// A value that moves begins a flat line at its next sample.
        LineBeginsStill,
        /// A composite rule is not looked at when what it reads has ended with a change of the rules.
        CompositeNotSettled,
        /// A heartbeat ends a silence, and no composite rule is looked at.
        HeartbeatMovesNoComposite,
        /// The hours of a rule without samples begin and end where a record comes.
        HoursNeedRecords,
        /// A composite rule holds whatever must not.
        CompositeIgnoresNot,
        /// The end of one alarm ends all of them.
        AlarmEndsAll,
        /// Outliers become part of the past.
        AnomalyLearnsOutliers,
        /// After a silence, one sample is nearly the whole past.
        EwmaSilenceUnbounded,
        /// The oldest part of a window is never dropped.
        ZscoreForgetsNothing,
        /// The median is that of all values, however large the ring.
        MadRingUnbounded,
        /// A rule about silence keeps no hours.
        SilenceOutsideHours,
        /// Silence that a rule comes to late is found outside its hours.
        LateSilenceOutsideHours,
        /// A connection ends a rule that waits for a message.
        ConnectionTakenAsMessage,
        /// An older event of a connection is believed.
        OlderConnectionBelieved,
        /// A device that was said to have gone is given no time to come back.
        GoneWithoutGrace,
        /// An alert that ends keeps the explanation of the value before.
        ExplanationLeftBehind,
        /// Hours are those of UTC, and not of the device's zone.
        HoursInUtc,
        /// What is put on the stream once more is news of now.
        RedrivenIsNews,
        /// The cooldown counts from the time of the device.
        CooldownByDeviceTime,
        /// A rule that means something else keeps its episode.
        ChangedRuleKeepsEpisode,
    }
}

#[cfg(all(feature = "mutants", debug_assertions))]
pub use switch::{Mutant, is_on, switch_on};
