//! The handlers, one file for each. A handler turns an event into calls on the ports, and the ports' answers into a
//! response for Lambda.

#[cfg(feature = "store")]
pub mod columns;
#[cfg(feature = "evaluate")]
pub mod evaluate;
#[cfg(feature = "export")]
pub mod export;
#[cfg(feature = "deliver")]
pub mod notify;
#[cfg(feature = "jobs")]
pub mod provision;
#[cfg(feature = "live")]
pub mod query;
#[cfg(feature = "jobs")]
pub mod register;
#[cfg(feature = "jobs")]
pub mod relay;
#[cfg(feature = "store")]
pub mod store;
#[cfg(any(feature = "evaluate", feature = "store"))]
mod stream;
#[cfg(feature = "jobs")]
pub mod sweep;
