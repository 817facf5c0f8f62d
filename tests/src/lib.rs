//! What the tests over several crates share: inputs of chosen size and the machines that drive the built programs.

pub mod aws;
pub mod deploy;
pub mod emulator;
pub mod event_source;
pub mod lambda_host;
pub mod platforms;
pub mod rendering;
pub mod template;
pub mod transcript;
pub mod webhook;
