//! Compares fleetform with a peer, round by round. A ratio is only given if both handled the same.

use std::{collections::BTreeMap, fmt};

use crate::{process::Cost, statistics::Spread};

/// What a program handled, by kind: resources, records, alerts.
pub type Counts = BTreeMap<&'static str, u64>;

/// The cost of one run of a program, and what it handled.
#[derive(Clone, Debug)]
pub struct Run {
    /// The cost.
    pub cost: Cost,
    /// What it handled, counted in its output.
    pub counts: Counts,
}

/// Two programs handled different things, so their costs cannot be compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CountsDiffer {
    /// What the peer handled.
    pub peer: Counts,
    /// What fleetform handled.
    pub ours: Counts,
}

impl fmt::Display for CountsDiffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no ratio: the peer handled {:?}, ours {:?}", self.peer, self.ours)
    }
}

impl std::error::Error for CountsDiffer {}

/// The peer's processor time as a multiple of fleetform's, over runs that alternated.
///
/// # Errors
/// If one of the runs handled something different.
///
/// # Panics
/// If there are no runs, or if a run has no counterpart.
pub fn cpu_ratio(peer: &[Run], ours: &[Run]) -> Result<Spread, CountsDiffer> {
    assert_eq!(peer.len(), ours.len(), "every round runs both");
    let first = &ours[0].counts;
    if let Some(other) = peer.iter().chain(ours).find(|run| run.counts != *first) {
        return Err(CountsDiffer { peer: other.counts.clone(), ours: first.clone() });
    }
    let seconds = |run: &Run| run.cost.cpu.as_secs_f64();
    Ok(Spread::of(peer.iter().zip(ours).map(|(peer, ours)| seconds(peer) / seconds(ours))))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn run(milliseconds: u64, resources: u64) -> Run {
        let time = Duration::from_millis(milliseconds);
        Run { cost: Cost { cpu: time, wall: time, memory_bytes: 0 }, counts: [("resources", resources)].into() }
    }

    #[test]
    fn a_ratio_is_the_median_of_the_rounds() {
        let peer = [run(30, 4), run(40, 4), run(90, 4)];
        let ours = [run(10, 4), run(20, 4), run(10, 4)];
        assert_eq!(cpu_ratio(&peer, &ours), Ok(Spread { min: 2.0, median: 3.0, max: 9.0 }));
    }

    #[test]
    fn there_is_no_ratio_where_any_round_handled_something_else() {
        let ours = [run(10, 4), run(10, 4)];
        assert!(cpu_ratio(&[run(30, 4), run(30, 5)], &ours).is_err());
        assert!(cpu_ratio(&ours, &[run(30, 4), run(30, 3)]).is_err());
        let differ = cpu_ratio(&[run(30, 5), run(30, 5)], &ours).expect_err("other counts");
        assert_eq!(differ.to_string(), "no ratio: the peer handled {\"resources\": 5}, ours {\"resources\": 4}");
    }
}
