//! Periodic work that belongs to no other function: looking after notices that were not delivered. What the passing of
//! time means for a shard is decided by the engine.

pub mod redrive;
