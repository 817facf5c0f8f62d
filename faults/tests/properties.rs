//! Changes that change nothing, each over enough cases to notice when something does. Ten thousand cases of each are
//! a part of `cargo xtask simulate`.

use fleetform_faults::Property;

const CASES: u64 = 12;

#[test]
fn what_should_change_nothing_changes_nothing() {
    for property in Property::ALL {
        let rows: usize = (1..=CASES)
            .map(|seed| property.check(seed).unwrap_or_else(|problem| panic!("{property}, seed {seed}: {problem}")))
            .sum();
        assert!(rows > 30, "the cases of {property} are worth the test: {rows} outbox rows");
    }
}
