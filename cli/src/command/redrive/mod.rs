//! `fleetform redrive`.

mod candidate;
mod failures;
mod put;
mod quarantine;

use std::collections::BTreeMap;

use clap::{Args, ValueEnum};

use crate::{
    deployed::{Deployed, Target, s3},
    terminal::{Stop, print, tell},
};
use candidate::Candidate;

/// Put quarantined or failed records back on the stream
///
/// They keep the time at which they first arrived. Samples that are late by then are kept in history without notices.
/// Records that were put back are marked, and not put back a second time.
#[derive(Args, Debug)]
pub(crate) struct Redrive {
    #[command(flatten)]
    target: Target,
    /// Where the records are; may be given twice; defaults to both
    #[arg(long, value_name = "PLACE")]
    from: Vec<Place>,
    /// Only records that were quarantined for this reason; may be given several times
    #[arg(long, value_name = "REASON")]
    reason: Vec<String>,
    /// Print what would be put back, and change nothing
    #[arg(long)]
    dry_run: bool,
}

/// Where records are kept that were not evaluated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Place {
    /// The table of quarantined records
    Quarantine,
    /// The bucket of records that the event source gave up on
    Failures,
}

/// Records to put back, and the number of those that are not, by reason.
#[derive(Debug, Default)]
struct Found {
    candidates: Vec<Candidate>,
    left: BTreeMap<&'static str, usize>,
}

impl Found {
    fn leave(&mut self, why: &'static str) {
        *self.left.entry(why).or_default() += 1;
    }
}

impl Redrive {
    pub(crate) fn run(self) -> Result<(), Stop> {
        self.target.with(async |deployed: Deployed| {
            let mut found = Found::default();
            if self.is_from(Place::Quarantine) {
                let client = aws_sdk_dynamodb::Client::new(&deployed.config);
                quarantine::find(&client, &deployed.quarantine_table, &self.reason, &mut found).await?;
            }
            // Records that the event source gave up on have no reason.
            if self.is_from(Place::Failures)
                && self.reason.is_empty()
                && let Some(bucket) = &deployed.mapping.failure_bucket
            {
                failures::find(&s3(&deployed.config), bucket, &mut found).await?;
            }
            print(&text(&found))?;
            if self.dry_run {
                tell("dry run: nothing was put back");
                return Ok(());
            }
            put::put(&deployed, found.candidates).await
        })
    }

    fn is_from(&self, place: Place) -> bool {
        self.from.is_empty() || self.from.contains(&place)
    }
}

/// The number of records for each reason, and of those that stay.
fn text(found: &Found) -> String {
    let mut reasons = BTreeMap::<&str, usize>::new();
    for candidate in &found.candidates {
        *reasons.entry(candidate.reason.as_str()).or_default() += 1;
    }
    let mut text = String::new();
    for (reason, count) in reasons {
        text.push_str(&format!("{count:>9}  {reason}\n"));
    }
    text.push_str(&format!("{:>9}  to put back\n", found.candidates.len()));
    for (why, count) in &found.left {
        text.push_str(&format!("{count:>9}  left: {why}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use fleetform_engine::units::Timestamp;

    use super::{
        candidate::{Again, Origin},
        *,
    };

    #[test]
    fn records_are_counted_by_reason() {
        let candidate = |reason: &str| Candidate {
            reason: reason.to_owned(),
            partition_key: "sensor-001".to_owned(),
            record: Again { data: Vec::new(), came_at: Timestamp(0) },
            sequence: None,
            origin: Origin::Quarantine { id: "1".to_owned() },
        };
        let mut found = Found::default();
        found.candidates.extend([candidate("wrong_type"), candidate("given_up"), candidate("wrong_type")]);
        found.leave("put back before");
        assert_eq!(
            text(&found),
            "        1  given_up\n        2  wrong_type\n        3  to put back\n        1  left: put back before\n"
        );
    }
}
