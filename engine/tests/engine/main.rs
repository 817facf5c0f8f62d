//! The engine from the outside: records in, rows out, over stores that can fail.

mod composite_cases;
mod expiry_cases;
mod fleet_cases;
mod generation_cases;
mod hours_cases;
mod memory_cases;
mod message_cases;
mod override_cases;
mod poison_cases;
mod presence_cases;
mod properties;
mod redrive_cases;
mod reload_cases;
mod repair_cases;
mod reshard_cases;
mod roster_cases;
mod rule_set;
mod sessions;
mod shards;
mod state_cases;
mod stream_cases;
mod support;
