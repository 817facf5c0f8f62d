//! `fleetform state show`.

use clap::Args;
use fleetform_engine::{
    drive::{self, Settings, Survey},
    overrides::Override,
    units::Timestamp,
};

use super::{line, stopped};
use crate::{
    deployed::{Deployed, Target, now},
    terminal::{Stop, print, tell},
};

/// Show the chain of states of each shard, and what of it cannot be read
///
/// Exits with 1 if anything cannot be read.
#[derive(Args, Debug)]
pub(crate) struct Show {
    #[command(flatten)]
    target: Target,
    /// The repair number whose chains are shown; defaults to the one that the functions use
    #[arg(long, value_name = "NUMBER")]
    repair: Option<u32>,
    /// Only this shard; defaults to all of them
    #[arg(long, value_name = "SHARD")]
    shard: Option<String>,
}

impl Show {
    pub(crate) fn run(self) -> Result<(), Stop> {
        self.target.with(async |deployed: Deployed| {
            let Deployed { log, rule_sets, settings, mapping, .. } = deployed;
            let settings = Settings { repair: self.repair.unwrap_or(settings.repair), ..settings };
            tell(format_args!(
                "generation {}, repair {}, event source {}",
                settings.generation, settings.repair, mapping.state
            ));
            let shards = drive::shards(&log, settings.generation, settings.repair).await.map_err(stopped)?;
            let mut broken = false;
            for shard in shards.iter().filter(|shard| self.shard.as_deref().is_none_or(|only| only == shard.as_str())) {
                let survey = drive::survey(&log, &rule_sets, &settings, shard).await.map_err(stopped)?;
                broken |= !survey.broken.is_empty();
                print(&text(&survey, now()))?;
            }
            if broken { Err(Stop::found()) } else { Ok(()) }
        })
    }
}

/// A shard's chain in words.
fn text(survey: &Survey, now: Timestamp) -> String {
    let mut text = format!("shard {}\n", survey.shard);
    match (&survey.base, &survey.rule_set) {
        (Some(base), Some(rule_set)) => {
            let age = now.since(survey.shard_time).0 / 1_000;
            text.push_str(&format!("  position   {}, {age} s behind\n", survey.position));
            text.push_str(&format!("  base       {base}, the newest of {} that can be read\n", survey.bases));
            text.push_str(&format!("  deltas     {} after it\n", survey.deltas));
            text.push_str(&format!("  rule set   version {}, {}\n", rule_set.version, rule_set.sha256));
            text.push_str(&format!("  devices    {}, of which {} are retired\n", survey.devices, survey.retired));
            for (rule, row) in &survey.overrides {
                text.push_str(&format!("  override   {rule} at revision {}: {}\n", row.revision, set(row)));
            }
            text.push_str(if survey.sealed {
                "  sealed     yes: its children continue\n"
            } else {
                "  sealed     no\n"
            });
        }
        _ => text.push_str(&format!("  base       none of {} can be read\n", survey.bases)),
    }
    survey.broken.iter().for_each(|broken| text.push_str(&line(broken)));
    text
}

/// What a row sets.
fn set(row: &Override) -> String {
    let moment =
        |at: Timestamp| jiff::Timestamp::from_millisecond(at.0).map_or_else(|_| at.0.to_string(), |at| at.to_string());
    let Override { revision: _, enabled, threshold, muted_until, contacts, until } = row;
    let parts = [
        enabled.map(|enabled| if enabled { "on" } else { "off" }.to_owned()),
        threshold.map(|threshold| format!("threshold {threshold}")),
        muted_until.map(|until| format!("muted until {}", moment(until))),
        contacts.as_ref().map(|contacts| format!("notifies {} contacts", contacts.len())),
        until.map(|until| format!("ends {}", moment(until))),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    if parts.is_empty() { "nothing".to_owned() } else { parts.join(", ") }
}

#[cfg(test)]
mod tests {
    use fleetform_engine::{
        drive::Broken,
        ids::RuleId,
        position::{Position, SequenceNumber},
        state::RuleSetRef,
    };

    use super::*;

    #[test]
    fn a_chain_is_told_of_with_what_is_broken() {
        let row = Override { revision: 7, enabled: Some(false), until: Some(Timestamp(0)), ..Override::default() };
        let survey = Survey {
            shard: "shardId-000000000000".into(),
            bases: 3,
            base: Some(Position::Start),
            deltas: 4,
            position: Position::After(SequenceNumber::new("495").expect("a number")),
            shard_time: Timestamp(10_000),
            rule_set: Some(RuleSetRef { version: 2, sha256: "ab".into() }),
            devices: 5,
            retired: 1,
            overrides: vec![(RuleId::new("very-hot").expect("an id"), row)],
            sealed: false,
            broken: vec![Broken { key: "log/1/0/x/9".into(), problem: "it is cut short".into(), newer: false }],
        };
        assert_eq!(
            text(&survey, Timestamp(72_000)),
            "shard shardId-000000000000\n  position   495, 62 s behind\n  \
             base       start, the newest of 3 that can be read\n  deltas     4 after it\n  \
             rule set   version 2, ab\n  devices    5, of which 1 are retired\n  \
             override   very-hot at revision 7: off, ends 1970-01-01T00:00:00Z\n  sealed     no\n  \
             broken     log/1/0/x/9: it is cut short\n"
        );
        let none = Survey { base: None, ..survey };
        assert!(text(&none, Timestamp(0)).contains("none of 3 can be read"));
    }
}
