//! `fleetform state repair`.

use clap::Args;
use fleetform_engine::{
    drive::{self, RepairError, Repaired},
    units::{Millis, Timestamp},
};

use super::{line, stopped};
use crate::{
    deployed::{Deployed, Mapping, Target, now},
    terminal::{Stop, print, tell, tell_raw},
};

/// How long after the last possible end of a function's run its event source counts as quiet.
const QUIET: Millis = Millis::from_secs(600);

/// Rebuild the chains of all shards from what can be read and from the stream
///
/// Nothing is deleted or overwritten: the new chains have their own repair number, which the functions use after a
/// deployment that sets it. The event source must have been disabled for the function's time-out plus ten minutes.
#[derive(Args, Debug)]
pub(crate) struct Repair {
    #[command(flatten)]
    target: Target,
    /// Continue even if the stream no longer has every missing record
    #[arg(long)]
    accept_loss: bool,
    /// Print what would be done, and write nothing
    #[arg(long)]
    dry_run: bool,
}

impl Repair {
    pub(crate) fn run(self) -> Result<(), Stop> {
        self.target.with(async |deployed: Deployed| {
            let Deployed { time_out, settings, log, rule_sets, stream, mapping, .. } = deployed;
            if let Err(why) = is_quiet(&mapping, time_out, now()) {
                let stop = Stop::failed(why)
                    .help(format_args!("aws lambda update-event-source-mapping --uuid {} --no-enabled", mapping.id));
                if !self.dry_run {
                    return Err(stop);
                }
                tell("note: the event source is not quiet, so the chains may still grow");
            }
            let number = drive::next_repair(&log, settings.generation, settings.repair).await.map_err(stopped)?;
            let plan = drive::Repair {
                number,
                accept_loss: self.accept_loss,
                dry_run: self.dry_run,
                now: now(),
                seed: seed()?,
            };
            let shards = drive::shards(&log, settings.generation, settings.repair).await.map_err(stopped)?;
            for shard in &shards {
                let done =
                    drive::repair((&log, &rule_sets, &stream), &settings, shard, &plan).await.map_err(refused)?;
                print(&text(&done))?;
            }
            tell_raw(&next_step(&mapping, number, self.dry_run));
            Ok(())
        })
    }
}

/// Whether no run of the function can be in progress.
fn is_quiet(mapping: &Mapping, time_out: Millis, now: Timestamp) -> Result<(), String> {
    if mapping.state != "Disabled" {
        return Err(format!("event source {} is {}: it must be disabled first", mapping.id, mapping.state));
    }
    let wanted = Millis(time_out.0.saturating_add(QUIET.0));
    let disabled = now.since(mapping.since);
    if disabled > wanted {
        return Ok(());
    }
    let left = (wanted.0 - disabled.0) / 1_000 + 1;
    Err(format!("event source {} was disabled {} s ago: wait another {left} s", mapping.id, disabled.0 / 1_000))
}

/// What was done for a shard, in words.
fn text(done: &Repaired) -> String {
    let Repaired { shard, broken, base, deltas, sound, records, position, sealed, loss } = done;
    let mut text = format!("shard {shard}\n");
    broken.iter().for_each(|broken| text.push_str(&line(broken)));
    text.push_str(&format!("  kept       the base at {base} and {deltas} deltas, up to {sound}\n"));
    text.push_str(&format!("  evaluated  {records} records again, up to {position}\n"));
    if *loss {
        text.push_str("  lost       what the stream no longer has in between\n");
    }
    if *sealed {
        text.push_str("  sealed     as it was\n");
    }
    text
}

fn next_step(mapping: &Mapping, number: u32, dry_run: bool) -> String {
    if dry_run {
        return format!("nothing was written; the chains would have repair number {number}");
    }
    format!(
        "the chains have repair number {number}. To use them, add this to the platform file, generate and deploy:\n\n    \
         [overrides.EvaluateFunction.Environment.Variables]\n    FLEETFORM_STATE_REPAIR = \"{number}\"\n\n\
         and the same for SweepFunction, and for StoreFunction where samples are stored; then: aws lambda update-event-source-mapping --uuid {} --enabled",
        mapping.id
    )
}

fn refused(error: RepairError) -> Stop {
    let stop = Stop::failed(&error);
    match error {
        RepairError::Failed(_) => stop,
        RepairError::Newer { .. } => stop.help("nothing was written for this shard"),
        RepairError::NoBase { .. } => {
            stop.help("an earlier repair number, or a version of a base in the bucket, may have one")
        }
        RepairError::Loss { .. } => stop.help("--accept-loss continues with what the stream still has"),
        RepairError::Taken { .. } => stop.help("run it again: it takes the next free number"),
    }
}

/// The token of what is evaluated again, which identifies its bytes.
fn seed() -> Result<[u8; 16], Stop> {
    let mut seed = [0; 16];
    getrandom::fill(&mut seed).map_err(|error| Stop::failed(format_args!("cannot get random bytes: {error}")))?;
    Ok(seed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mapping(state: &str) -> Mapping {
        Mapping { id: "11".into(), state: state.into(), since: Timestamp(1_000_000), failure_bucket: None }
    }

    #[test]
    fn an_event_source_is_quiet_once_it_was_disabled_for_long_enough() {
        let time_out = Millis::from_secs(120);
        let after = |seconds: i64| Timestamp(1_000_000 + seconds * 1_000);
        for state in ["Enabled", "Disabling", "Updating", "Creating"] {
            assert!(is_quiet(&mapping(state), time_out, after(86_400)).is_err());
        }
        let told = is_quiet(&mapping("Disabled"), time_out, after(700)).expect_err("too early");
        assert_eq!(told, "event source 11 was disabled 700 s ago: wait another 21 s");
        assert!(is_quiet(&mapping("Disabled"), time_out, after(720)).is_err());
        assert!(is_quiet(&mapping("Disabled"), time_out, after(721)).is_ok());
    }

    #[test]
    fn the_next_step_names_the_number() {
        assert!(next_step(&mapping("Disabled"), 3, false).contains("FLEETFORM_STATE_REPAIR = \"3\""));
        assert!(next_step(&mapping("Disabled"), 3, true).starts_with("nothing was written"));
    }
}
