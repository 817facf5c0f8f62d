//! What must be done from time to time and by nobody in particular: telling silent shards the time, and looking after
//! notices that were not delivered. What a shard makes of the time is the engine's to say.

pub mod redrive;
pub mod ticks;
