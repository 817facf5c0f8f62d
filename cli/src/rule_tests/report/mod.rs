//! How results of rule tests are written: a file for each format, each a pure function from results to text.

mod full;
mod json;
mod junit;

pub(crate) use full::full;
pub(crate) use json::json;
pub(crate) use junit::junit;
