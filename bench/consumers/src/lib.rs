//! Events of Kinesis records made from a seed, with the rule sets that go with them, and what every Rust consumer of
//! them shares. The same bytes go to every consumer, so that their counts can be compared.

pub mod corpus;
pub mod folder;
pub mod ours;
pub mod random;
pub mod rules;
pub mod statistics;
pub mod tally;

/// Why a consumer gave up.
pub type Failure = Box<dyn std::error::Error>;

/// A consumer with a state, for one pass over a corpus.
pub trait Pass {
    /// Takes an event as Lambda sends it.
    ///
    /// # Errors
    /// If it cannot be taken.
    fn event(&mut self, body: &[u8]) -> Result<(), Failure>;

    /// What it found so far.
    fn tally(&self) -> tally::Tally;
}
