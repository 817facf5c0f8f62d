//! Shared parts of the tests that span several crates: inputs of chosen sizes, and the harnesses that run the built
//! programs.

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
