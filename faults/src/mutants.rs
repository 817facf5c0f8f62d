//! The engine's bugs on purpose: a simulation that lets one of them pass proves little.

use std::panic;

use fleetform_engine::mutants::{self, Mutant};

use crate::{
    report::Report,
    simulation::{RECORDS, simulate},
};

/// Every bug.
pub const MUTANTS: &[Mutant] = Mutant::ALL;
/// The most seeds that it may take to notice one.
pub const SEEDS_TO_CATCH_MAX: u64 = 120;

/// The first of so many seeds at which a bug is noticed; none where it is not. A panic is noticed too.
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
