//! The events of functions: those of Lambda's event sources, read from their bytes without copying what is passed on, and
//! questions.

#[cfg(feature = "deliver")]
pub mod dynamodb;
pub mod kinesis;
pub mod query;
