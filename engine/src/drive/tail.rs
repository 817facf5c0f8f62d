//! What lies on a chain after its newest base, and when that calls for another base.
//!
//! Loading a shard means reading the base and then the tail. A base costs as much as the whole state, a delta as much
//! as the part that a batch touched, so bases of a large state are further apart: one is due when the tail has
//! reached the size of the base, so that bases cost no more than deltas do. The number of deltas that a restart reads
//! is still bounded.

use crate::units::{Millis, Timestamp};

/// Minimum number of deltas before a base is due, unless by time.
pub const DELTAS_PER_BASE: u32 = 64;
/// Number of deltas after which a base is due, whatever their size.
pub const DELTAS_PER_BASE_MAX: u32 = 512;

/// The deltas since the newest base.
#[derive(Debug)]
pub(super) struct Tail {
    /// Size of the base, in bytes.
    base: usize,
    /// Shard time at the base; `None` while the base is the empty one.
    base_time: Option<Timestamp>,
    deltas: u32,
    /// Total size of the deltas, in bytes.
    bytes: usize,
}

impl Tail {
    /// Creates an empty tail after a base of this many bytes.
    pub(super) fn after(base: usize, base_time: Option<Timestamp>) -> Self {
        Self { base, base_time, deltas: 0, bytes: 0 }
    }

    /// Adds a delta of this many bytes.
    pub(super) fn push(&mut self, delta: usize) {
        self.deltas += 1;
        self.bytes = self.bytes.saturating_add(delta);
    }

    /// Whether a base is due at this time of the shard. The time since an empty base is counted from the first call.
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
