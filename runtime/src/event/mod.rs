//! The events that functions receive: those of Lambda's event sources, parsed from their bytes without copying what is
//! passed on, and questions.

#[cfg(feature = "deliver")]
pub mod dynamodb;
pub mod kinesis;
pub mod query;
