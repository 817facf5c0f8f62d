//! `properties`: changes that change nothing, each over many cases.

use std::{num::NonZero, process::ExitCode, thread, time::Instant};

use fleetform_faults::Property;

/// The number of cases and the first seed.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Number of cases for each property.
    #[arg(long, default_value_t = 10_000)]
    cases: u64,
    /// The seed of the first case.
    #[arg(long, default_value_t = 1)]
    from: u64,
}

pub(crate) fn run(arguments: &Arguments) -> ExitCode {
    let threads = thread::available_parallelism().map_or(1, NonZero::get) as u64;
    let mut is_fine = true;
    for property in Property::ALL {
        let began = Instant::now();
        let results: Vec<Result<usize, (u64, String)>> = thread::scope(|scope| {
            let parts: Vec<_> = (0..threads)
                .map(|thread| {
                    let seeds = (arguments.from + thread..arguments.from.saturating_add(arguments.cases))
                        .step_by(threads as usize);
                    scope.spawn(move || {
                        seeds.map(|seed| property.check(seed).map_err(|problem| (seed, problem))).collect::<Vec<_>>()
                    })
                })
                .collect();
            parts.into_iter().flat_map(|part| part.join().unwrap_or_default()).collect()
        });
        let rows: usize = results.iter().filter_map(|result| result.as_ref().ok()).sum();
        let wrong: Vec<_> = results.iter().filter_map(|result| result.as_ref().err()).collect();
        is_fine &= wrong.is_empty() && results.len() as u64 == arguments.cases;
        anstream::println!("{property}: {} cases, {rows} outbox rows, {} wrong", results.len(), wrong.len());
        for (seed, problem) in wrong.iter().take(3) {
            anstream::eprintln!("  seed {seed}: {problem}");
        }
        anstream::eprintln!("  in {:.1} s", began.elapsed().as_secs_f64());
    }
    if is_fine { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
