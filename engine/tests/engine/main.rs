//! The engine from outside: records in, rows out, over stores that can fail.

mod message_cases;
mod properties;
mod rule_set;
mod sessions;
mod state_cases;
mod stream_cases;
mod support;
