//! Shared parts of the benchmarks: measuring whole processes with the operating system's accounting, ratios, and
//! medians.
//!
//! Nothing here judges a figure. Times are never asserted; what a program produced is always checked before it counts.

pub mod comparison;
pub mod process;
pub use fleetform_consumers::statistics;
