//! What the benchmarks share: whole processes measured by the operating system's own accounting, ratios, and medians.
//!
//! Nothing here judges a figure. A time is never asserted; what a program made is always checked before it counts.

pub mod comparison;
pub mod process;
pub use fleetform_consumers::statistics;
