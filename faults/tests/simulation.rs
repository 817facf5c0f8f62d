//! The short form of the simulation: enough seeds to notice when something breaks, in the time of a test. The long form
//! is `cargo xtask simulate`.

use std::thread;

use fleetform_faults::simulate;

/// Number of records in a log: a fifth of those in the long form.
const RECORDS: usize = 500;

#[test]
fn nothing_is_lost_doubled_or_made_up() {
    let reports: Vec<_> = (1..=10).map(|seed| simulate(seed, RECORDS)).collect();
    for report in &reports {
        assert!(report.is_clean(), "seed {}: {:#?}", report.seed, report.wrong);
    }
    let notices: u64 = reports.iter().map(|report| report.notices).sum();
    assert!(notices > 500, "the logs are worth the test: {notices} notices");
    let members: u64 = reports.iter().map(|report| report.members).sum();
    assert!(members > 500, "devices have much to say to fleets: {members}");
    assert!(reports.iter().any(|report| report.failed > 100), "much goes wrong");
    for rule in ["alarmed", "many-offline", "odd-pressure", "odd-temperature", "odd-vibration", "offline", "trouble"] {
        let seeds = reports.iter().filter(|report| report.episodes.contains_key(rule)).count();
        assert!(seeds >= 2, "`{rule}` fires in {seeds} of the seeds");
    }
}

#[test]
fn a_seed_takes_the_same_course_twice() {
    for seed in [3, 19] {
        let (one, other) = (simulate(seed, RECORDS), simulate(seed, RECORDS));
        assert_eq!(one.trace, other.trace, "seed {seed}");
        assert_eq!(one.invocations, other.invocations);
    }
    assert_ne!(simulate(3, RECORDS).trace, simulate(4, RECORDS).trace);
}

/// Seeds that once found a bug: one per line, with the number of records and a description.
#[test]
fn seeds_that_found_a_bug_stay_clean() {
    thread::scope(|scope| {
        for line in include_str!("../seeds.txt").lines().filter(|line| !line.starts_with('#')) {
            scope.spawn(move || {
                let mut words = line.split_whitespace();
                let mut number =
                    || words.next().and_then(|word| word.parse().ok()).expect("a seed and a number of records");
                let (seed, records) = (number(), number());
                let report = simulate(seed, records as usize);
                assert!(report.is_clean(), "{line}: {:#?}", report.wrong);
            });
        }
    });
}
