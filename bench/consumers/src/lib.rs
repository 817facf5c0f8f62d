//! Kinesis events generated from a seed, with their rule sets, and the shared parts of the Rust consumers. Every
//! consumer gets the same bytes, so their counts can be compared.

pub mod corpus;
pub mod folder;
pub mod ours;
pub mod random;
pub mod rules;
pub mod statistics;
pub mod tally;

/// Why a consumer gave up.
pub type Failure = Box<dyn std::error::Error>;

/// A stateful consumer, for one pass over a corpus.
pub trait Pass {
    /// Processes an event as Lambda sends it.
    ///
    /// # Errors
    /// If the event cannot be processed.
    fn event(&mut self, body: &[u8]) -> Result<(), Failure>;

    /// The counts so far.
    fn tally(&self) -> tally::Tally;
}
