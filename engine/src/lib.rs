//! The rule engine. Records, rules and state go in; new state and effects come out.
//!
//! Nothing here opens a file or a socket, reads a clock or an environment variable, or knows that AWS exists.
#![forbid(unsafe_code)]

#[macro_use]
pub mod mutants;

mod active;
pub mod base64;
mod chain;
pub mod compiled;
pub mod counts;
pub mod drive;
mod due;
pub mod effect;
mod envelope;
mod episode;
pub mod fetch;
pub mod fleet;
pub mod ids;
mod index;
mod instances;
mod journal;
mod machine;
#[cfg(feature = "memory")]
pub mod memory;
mod metric;
pub mod octets;
pub mod overrides;
pub mod position;
#[cfg(feature = "probes")]
pub mod probe;
pub mod public_address;
mod queue;
pub mod reason;
mod record;
mod rehome;
pub mod reshard;
pub mod routing;
pub mod rows;
mod rule;
pub mod rule_set;
pub mod sample;
pub mod session;
pub mod state;
pub mod step;
pub mod units;
mod value;
pub mod verdict;
