//! What the tests over several crates share: inputs of chosen size and the machines that drive the built programs.

pub mod event_source;
pub mod lambda_host;
pub mod platforms;
pub mod webhook;
