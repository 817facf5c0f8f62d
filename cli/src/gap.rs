//! Gaps between samples that restart a rule. The engine's verdict on the sample after a gap is only that the rule is
//! pending, so the gap is derived from the answers to the samples before it.

use fleetform_engine::{
    rule_set::{Condition, DeviceType, Hold, OnGap, Rule, default_max_gap},
    units::{Millis, Timestamp},
    verdict::{Judgement, Standing},
};

use crate::timeline::length;

/// The newest sample and state of one rule on one device.
#[derive(Debug)]
pub(crate) struct Gaps {
    max_gap: Option<Millis>,
    is_flatline: bool,
    newest: Option<Timestamp>,
    standing: Standing,
}

impl Gaps {
    /// Starts before the first sample. A rule without its own `max_gap` has the default of `device_type`.
    pub(crate) fn new(rule: &Rule, device_type: Option<&DeviceType>) -> Self {
        let max_gap = match rule.hold {
            Hold::Duration { on_gap: OnGap::Reset, max_gap_ms, .. } => {
                max_gap_ms.or_else(|| device_type.map(|device_type| default_max_gap(device_type.report_every_ms)))
            }
            Hold::Duration { on_gap: OnGap::Hold, .. } | Hold::Samples { .. } => None,
        };
        let is_flatline = matches!(rule.condition, Condition::Flatline { .. });
        Self { max_gap, is_flatline, newest: None, standing: Standing::Inactive }
    }

    /// Takes the answer to a sample or a timer. Returns a sentence if a gap restarted the rule.
    pub(crate) fn take(&mut self, judgement: &Judgement) -> Option<String> {
        // What silence made a rule forget begins again with the sample after it, too.
        if judgement.by_timer && judgement.standing == Standing::Inactive {
            return None;
        }
        let before = std::mem::replace(&mut self.standing, judgement.standing);
        if judgement.by_timer {
            return None;
        }
        let silence = judgement.at.since(self.newest.replace(judgement.at)?);
        let max_gap = self.max_gap.filter(|max_gap| silence > *max_gap)?;
        let Standing::Pending { since: before } = before else { return None };
        let begins_again = match judgement.standing {
            Standing::Pending { since } => since > before,
            // The first sample of a line does not show the line yet.
            Standing::Inactive => self.is_flatline,
            Standing::Firing { .. } => false,
        };
        begins_again
            .then(|| format!("began again: nothing came for {}, max_gap is {}", length(silence), length(max_gap)))
    }
}

#[cfg(test)]
mod tests {
    use fleetform_engine::{
        ids::{DeviceId, RuleId},
        verdict::{Verdict, WhyNot},
    };

    use super::*;

    fn judged(second: i64, standing: Standing) -> Judgement {
        Judgement {
            device: DeviceId::new("a").unwrap(),
            rule: RuleId::new("r").unwrap(),
            metric: None,
            at: Timestamp(second * 1_000),
            by_timer: false,
            standing,
            verdict: Verdict::Hold(WhyNot::Inactive),
        }
    }

    fn pending(since: i64) -> Standing {
        Standing::Pending { since: Timestamp(since * 1_000) }
    }

    fn gaps(max_gap: Option<u64>, is_flatline: bool) -> Gaps {
        Gaps { max_gap: max_gap.map(Millis::from_secs), is_flatline, newest: None, standing: Standing::Inactive }
    }

    #[test]
    fn a_gap_that_restarts_a_wait_is_told_with_its_length() {
        let mut rule = gaps(Some(30), false);
        assert_eq!(rule.take(&judged(0, pending(0))), None);
        assert_eq!(rule.take(&judged(30, pending(0))), None, "as long as it may be");
        let told = rule.take(&judged(90, pending(90)));
        assert_eq!(told.as_deref(), Some("began again: nothing came for 1m, max_gap is 30s"));
        assert_eq!(rule.take(&judged(200, Standing::Inactive)), None, "the value is good again");
        assert_eq!(rule.take(&judged(300, pending(300))), None, "it begins for the first time");
        assert_eq!(gaps(None, false).take(&judged(90, pending(90))), None);
    }

    #[test]
    fn a_line_begins_again_with_a_sample_that_does_not_show_it() {
        let mut rule = gaps(Some(30), true);
        rule.take(&judged(0, pending(0)));
        assert!(rule.take(&judged(60, Standing::Inactive)).is_some());
        let mut forgotten = gaps(Some(30), false);
        forgotten.take(&judged(0, pending(0)));
        forgotten.take(&Judgement { by_timer: true, ..judged(45, Standing::Inactive) });
        assert!(forgotten.take(&judged(60, pending(60))).is_some());
    }
}
