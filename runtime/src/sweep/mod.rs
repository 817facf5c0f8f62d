//! What must be done from time to time and by nobody in particular: looking after notices that were not delivered. What a shard makes of the time is the engine's to say.

pub mod redrive;
