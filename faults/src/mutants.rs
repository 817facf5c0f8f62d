//! The engine's deliberate bugs: a simulation that misses one of them proves little.

use std::panic;

use fleetform_engine::mutants::{self, Mutant};

use crate::{
    report::Report,
    simulation::{RECORDS, simulate},
};

/// Every deliberate bug.
pub const MUTANTS: &[Mutant] = Mutant::ALL;
/// Maximum number of seeds that it may take to notice one.
pub const SEEDS_TO_CATCH_MAX: u64 = 120;

/// Runs up to `seeds` seeds and returns the report of the first one at which a bug is noticed; `None` if none does. A
/// panic counts as noticed.
pub fn seeds_to_catch(mutant: Mutant, from: u64, seeds: u64) -> Option<Report> {
    (from..from + seeds).find_map(|seed| {
        mutants::switch_on(Some(mutant));
        let report = panic::catch_unwind(|| simulate(seed, RECORDS));
        mutants::switch_on(None);
        match report {
            Ok(report) => (!report.is_clean()).then_some(report),
            Err(_) => Some(Report { seed, wrong: vec!["a panic".into()], ..Report::default() }),
        }
    })
}
