//! `mutants`: how many seeds it takes to notice each of the engine's deliberate bugs.

use std::{
    num::NonZero,
    process::ExitCode,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use fleetform_faults::{MUTANTS, seeds_to_catch};

/// The extent of the search.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Maximum number of seeds for each bug.
    #[arg(long, default_value_t = fleetform_faults::SEEDS_TO_CATCH_MAX)]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// Only bugs whose name contains this.
    #[arg(long, default_value = "")]
    only: String,
}

pub(crate) fn run(arguments: &Arguments) -> ExitCode {
    // A panic is one way to notice a bug, and not worth a backtrace.
    std::panic::set_hook(Box::new(|_| {}));
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    let (next, missed) = (AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(mutant) = MUTANTS.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let name = format!("{mutant:?}");
                    if !name.contains(&arguments.only) {
                        continue;
                    }
                    match seeds_to_catch(*mutant, arguments.from, arguments.seeds) {
                        Some(report) => {
                            let seeds = report.seed - arguments.from + 1;
                            let first = report.wrong.first().map_or("", String::as_str);
                            anstream::println!("{name}: caught by seed {} ({seeds} tried): {first}", report.seed);
                        }
                        None => {
                            missed.fetch_add(1, Ordering::Relaxed);
                            anstream::println!("{name}: NOT CAUGHT by {} seeds", arguments.seeds);
                        }
                    }
                }
            });
        }
    });
    if missed.into_inner() == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
