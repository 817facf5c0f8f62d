//! From a notice to the people and systems that are told: what is said, who has been told already, and each way to
//! tell them. Who is meant is the engine's to say (`engine::routing`).

pub mod address;
pub mod delivery;
pub mod fleet;
pub mod gateway;
pub mod message;
pub mod retry;
pub mod signature;
pub mod sns;
pub mod webhook;
