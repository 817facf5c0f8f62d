//! The Lambda side: handlers, the AWS ports of the engine, and notification delivery.
//!
//! The engine decides; what lies here asks it, writes down what it says, and delivers it. Nothing here holds an
//! opinion about a sample.
#![forbid(unsafe_code)]

pub mod aws;
pub mod config;
#[cfg(feature = "evaluate")]
pub mod crumbs;
pub mod event;
pub mod handler;
pub mod host;
#[cfg(feature = "deliver")]
pub mod notify;
pub mod start;
pub mod telemetry;
