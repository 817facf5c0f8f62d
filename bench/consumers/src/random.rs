//! Random numbers that are the same on every machine for a given seed.

/// A generator of Marsaglia's xorshift family: good enough to spread values, and eight lines long.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// Starts with a seed, which may be anything but zero.
    pub fn new(seed: u64) -> Self {
        Self(seed.max(1))
    }

    /// Any number.
    pub fn any(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        (self.any() >> 11) % end
    }
}
