//! Events of Kinesis records made from a seed, with the rule sets that go with them, and what every Rust consumer of
//! them shares. The same bytes go to every consumer, so that their counts can be compared.

pub mod corpus;
pub mod folder;
pub mod random;
pub mod rules;
pub mod tally;
