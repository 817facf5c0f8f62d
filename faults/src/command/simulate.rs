//! `simulate`: many seeds in parallel, and a summary.

use std::{
    collections::BTreeSet,
    num::NonZero,
    process::ExitCode,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Instant,
};

use fleetform_faults::{Report, simulate};

/// The number of seeds and the first one.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Number of seeds.
    #[arg(long, default_value_t = 400)]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// Approximate number of records in each log.
    #[arg(long, default_value_t = fleetform_faults::RECORDS)]
    records: usize,
    /// Run every seed twice and compare the traces.
    #[arg(long)]
    twice: bool,
    /// Show the number of episodes of each rule, and in how many seeds it had any.
    #[arg(long)]
    rules: bool,
    /// Number of threads; the number of processors if not given.
    #[arg(long)]
    threads: Option<NonZero<usize>>,
}

pub(crate) fn run(arguments: &Arguments) -> ExitCode {
    let began = Instant::now();
    let threads = arguments.threads.or_else(|| thread::available_parallelism().ok()).map_or(1, NonZero::get);
    let next = AtomicU64::new(arguments.from);
    let reports = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= arguments.from.saturating_add(arguments.seeds) {
                        break;
                    }
                    let mut report = simulate(seed, arguments.records);
                    if arguments.twice && simulate(seed, arguments.records).trace != report.trace {
                        report.wrong.push("a second run of the seed took another course".into());
                    }
                    reports.lock().unwrap_or_else(PoisonError::into_inner).push(report);
                }
            });
        }
    });
    let mut reports = reports.into_inner().unwrap_or_else(PoisonError::into_inner);
    reports.sort_by_key(|report| report.seed);
    if arguments.rules {
        show_rules(&reports);
    }
    summary(&reports, began)
}

fn show_rules(reports: &[Report]) {
    let rules: BTreeSet<&String> = reports.iter().flat_map(|report| report.episodes.keys()).collect();
    for rule in rules {
        let of_rule: Vec<u64> = reports.iter().filter_map(|report| report.episodes.get(rule).copied()).collect();
        anstream::println!("{rule}: {} episodes in {} seeds", of_rule.iter().sum::<u64>(), of_rule.len());
    }
}

fn summary(reports: &[Report], began: Instant) -> ExitCode {
    let sum = |of: fn(&Report) -> u64| reports.iter().map(of).sum::<u64>();
    let bad: Vec<&Report> = reports.iter().filter(|report| !report.is_clean()).collect();
    for report in bad.iter().take(10) {
        anstream::eprintln!("seed {}:", report.seed);
        for line in &report.wrong {
            anstream::eprintln!("  {line}");
        }
    }
    let trace = reports.iter().fold(0_u64, |trace, report| trace.rotate_left(7) ^ report.trace);
    anstream::println!(
        "{} seeds, {} records and {} words to fleets in {} deliveries, {} outbox rows: {} lost, {} duplicate, {} phantom; {} seeds are wrong; trace {trace:016x}",
        reports.len(),
        sum(|report| report.records),
        sum(|report| report.members),
        sum(|report| report.invocations),
        sum(|report| report.notices),
        sum(|report| report.lost),
        sum(|report| report.duplicate),
        sum(|report| report.phantom),
        bad.len(),
    );
    anstream::eprintln!("in {:.1} s", began.elapsed().as_secs_f64());
    if bad.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
