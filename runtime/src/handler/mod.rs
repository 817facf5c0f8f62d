//! The handlers, a file for each. A handler turns an event into work on the ports and the ports' answers into
//! Lambda's.

#[cfg(feature = "evaluate")]
pub mod evaluate;
#[cfg(feature = "deliver")]
pub mod notify;
#[cfg(feature = "jobs")]
pub mod provision;
#[cfg(feature = "jobs")]
pub mod relay;
#[cfg(feature = "jobs")]
pub mod sweep;
