//! The events of Lambda's event sources, read from their bytes without copying what is passed on.

#[cfg(feature = "deliver")]
pub mod dynamodb;
pub mod kinesis;
