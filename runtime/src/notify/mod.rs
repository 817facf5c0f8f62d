//! From a notice to the people and systems that receive it: the message, the record of who has already received it, and
//! each delivery channel. The engine chooses the recipients (`engine::routing`).

pub mod address;
pub mod delivery;
pub mod fleet;
pub mod gateway;
pub mod message;
pub mod retry;
pub mod signature;
pub mod sns;
pub mod webhook;
