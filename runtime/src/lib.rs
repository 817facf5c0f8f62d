//! The Lambda side: handlers, the AWS ports of the engine, and notification delivery.
//!
//! The engine decides. The code here feeds it records, stores what it returns and delivers its notices. Nothing here
//! judges a sample.
#![forbid(unsafe_code)]

#[cfg(feature = "storage")]
pub mod aws;
#[cfg(feature = "storage")]
pub mod config;
#[cfg(feature = "evaluate")]
pub mod crumbs;
#[cfg(any(feature = "live", feature = "store"))]
pub mod data_catalog;
pub mod event;
#[cfg(feature = "jobs")]
pub mod every_shard;
#[cfg(feature = "tables")]
pub mod export;
#[cfg(feature = "tables")]
pub mod exported;
#[cfg(feature = "tables")]
pub mod frame;
#[cfg(feature = "lambda")]
pub mod handler;
#[cfg(feature = "lambda")]
pub mod host;
#[cfg(any(feature = "iceberg", feature = "tables"))]
pub mod iceberg;
#[cfg(any(feature = "evaluate", feature = "rows"))]
pub mod leftovers;
#[cfg(feature = "deliver")]
pub mod notify;
#[cfg(feature = "lambda")]
pub mod outbox;
#[cfg(feature = "jobs")]
pub mod provision;
#[cfg(feature = "live")]
pub mod query;
#[cfg(feature = "jobs")]
pub mod relay;
#[cfg(any(feature = "live", feature = "tables"))]
pub mod results;
#[cfg(feature = "lambda")]
pub mod start;
#[cfg(feature = "rows")]
pub mod store;
#[cfg(feature = "jobs")]
pub mod sweep;
#[cfg(feature = "lambda")]
pub mod telemetry;
#[cfg(any(feature = "live", feature = "tables"))]
pub mod timestream;
#[cfg(feature = "storage")]
pub mod tls;
#[cfg(all(test, feature = "storage"))]
mod tls_server;
