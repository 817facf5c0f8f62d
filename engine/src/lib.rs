//! The rule engine. Records, rules and state go in; new state and effects come out.
//!
//! Nothing here opens a file or a socket, reads a clock or an environment variable, or knows that AWS exists.
#![forbid(unsafe_code)]

pub mod counts;
pub mod drive;
pub mod effect;
pub mod ids;
pub mod position;
pub mod reason;
pub mod routing;
pub mod rule_set;
pub mod units;
