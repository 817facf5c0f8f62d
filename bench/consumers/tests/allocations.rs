//! Counts the allocations of the hot path once every device has been seen: from the bytes of Lambda's event to its
//! records, through the engine, to the committed delta.
//!
//! A record that changes no alert makes none. What remains are a few buffers per batch, and the rows of alerts.

use std::alloc::System;

use fleetform_allocations::{Counting, count};
use fleetform_consumers::{
    Pass,
    corpus::{Size, USUAL},
    folder::Folder,
    ours::{Commit, Evaluate, Prepared},
};

#[global_allocator]
static ALLOCATOR: Counting<System> = Counting(System);

/// The number of events before counting starts: by then, each device has been seen about twenty times.
const UNCOUNTED: usize = 10;
const SIZE: Size = Size { events: 15, devices: 500, ..USUAL };

/// Allocations per record.
fn steady(folder: &Folder, mut pass: impl Pass) -> f64 {
    let (before, counted) = folder.corpus.events.split_at(UNCOUNTED);
    before.iter().for_each(|event| pass.event(event).expect("an event"));
    let (from, records) = (count(), pass.tally().records);
    counted.iter().for_each(|event| pass.event(event).expect("an event"));
    let counted = count() - from;
    counted as f64 / (pass.tally().records - records) as f64
}

fn check(size: Size, evaluate_max: f64, commit_max: f64) {
    let folder = Folder::new(7, size, 100);
    let prepared = Prepared::new(&folder).expect("a rule set");
    let evaluate = steady(&folder, Evaluate::new(&prepared).expect("registered devices"));
    let commit = steady(&folder, Commit::new(&prepared).expect("registered devices"));
    assert!(
        evaluate <= evaluate_max && commit <= commit_max,
        "allocations a record: {evaluate} to evaluate, of {evaluate_max}; {commit} to commit, of {commit_max}"
    );
}

#[test]
fn a_record_of_a_fleet_with_alerts_allocates_next_to_nothing() {
    check(SIZE, 0.1, 0.13);
}

#[test]
fn a_record_that_changes_no_alert_allocates_nothing() {
    check(Size { crossings_per_mille: 0, malformed_per_mille: 0, ..SIZE }, 0.005, 0.04);
}
