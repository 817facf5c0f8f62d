//! What lies on a chain after its newest base, and when that asks for another one.
//!
//! Whoever loads a shard reads the base and then the tail. A base costs what the whole state weighs, a delta what a batch has
//! touched, so bases of a large state are further apart: one is due when the tail has come to weigh as much, so that bases
//! cost no more than deltas do. How many deltas a restart reads has a bound all the same.

use crate::units::{Millis, Timestamp};

/// No base is due after fewer deltas, unless by time.
pub const DELTAS_PER_BASE: u32 = 64;
/// A base is due after so many deltas, whatever they weigh.
pub const DELTAS_PER_BASE_MAX: u32 = 512;

/// The deltas since the newest base.
#[derive(Debug)]
pub(super) struct Tail {
    /// Bytes of the base.
    base: usize,
    /// Shard time at the base; none while that is the empty one.
    base_time: Option<Timestamp>,
    deltas: u32,
    /// Bytes of the deltas.
    bytes: usize,
}

impl Tail {
    /// Nothing yet, after a base of so many bytes.
    pub(super) fn after(base: usize, base_time: Option<Timestamp>) -> Self {
        Self { base, base_time, deltas: 0, bytes: 0 }
    }

    /// One more delta, of so many bytes.
    pub(super) fn push(&mut self, delta: usize) {
        self.deltas += 1;
        self.bytes = self.bytes.saturating_add(delta);
    }

    /// Whether a base is due at this time of the shard. The time since an empty base begins when this is first asked.
    pub(super) fn asks_for_base(&mut self, shard_time: Timestamp, checkpoint_every: Millis) -> bool {
        let base_time = *self.base_time.get_or_insert(shard_time);
        (self.deltas >= DELTAS_PER_BASE && self.bytes >= self.base)
            || self.deltas >= DELTAS_PER_BASE_MAX
            || shard_time.since(base_time) >= checkpoint_every
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERY: Millis = Millis(1_000);

    fn tail(base: usize, deltas: u32, bytes: usize) -> Tail {
        let mut tail = Tail::after(base, Some(Timestamp(0)));
        (0..deltas).for_each(|_| tail.push(bytes));
        tail
    }

    #[test]
    fn a_base_is_due_when_the_deltas_weigh_as_much() {
        let due = |base, deltas| tail(base, deltas, 10).asks_for_base(Timestamp(0), EVERY);
        assert!(!due(0, DELTAS_PER_BASE - 1));
        assert!(due(0, DELTAS_PER_BASE) && due(640, DELTAS_PER_BASE));
        assert!(!due(641, DELTAS_PER_BASE));
        assert!(due(641, DELTAS_PER_BASE + 1));
        assert!(!due(usize::MAX, DELTAS_PER_BASE_MAX - 1));
        assert!(due(usize::MAX, DELTAS_PER_BASE_MAX));
    }

    #[test]
    fn a_base_is_due_after_some_time_however_little_follows_it() {
        assert!(!tail(9, 1, 1).asks_for_base(Timestamp(999), EVERY));
        assert!(tail(9, 1, 1).asks_for_base(Timestamp(1_000), EVERY));
        let mut of_an_empty_one = Tail::after(9, None);
        assert!(!of_an_empty_one.asks_for_base(Timestamp(5_000), EVERY));
        assert!(!of_an_empty_one.asks_for_base(Timestamp(5_999), EVERY));
        assert!(of_an_empty_one.asks_for_base(Timestamp(6_000), EVERY));
    }
}
