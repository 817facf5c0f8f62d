//! Everything that can go wrong around the engine, in virtual time and from a seed. The production engine and driver
//! run over in-memory services that throttle, lose requests and responses, stall and become unavailable, in
//! environments that die at any await and come back late, fed by an event source that cuts, repeats and halves its
//! batches. The outcome is compared, row by row, with what an independent reading of the whole log expects.
//!
//! Nothing here opens a file or a socket or reads a clock; `main.rs` does.

mod case;
mod clock;
mod fate;
#[cfg(debug_assertions)]
mod mutants;
mod oracle;
mod poison;
mod properties;
mod random;
mod report;
mod rules;
mod services;
mod simulation;
mod source;
mod stream;
mod tables;
mod workload;
mod world;

pub use case::{Case, Log, Outcome, Response, Script, Wrong, play, read_log, read_script};
#[cfg(debug_assertions)]
pub use mutants::{MUTANTS, SEEDS_TO_CATCH_MAX, seeds_to_catch};
pub use properties::Property;
pub use report::Report;
pub use simulation::{RECORDS, simulate};
