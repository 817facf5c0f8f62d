//! The one order in which a batch is loaded, evaluated, committed and published, whatever the host.
//!
//! A host keeps one driver for its life and calls
//! `driver.process(&Ports { log, publisher, rule_sets }, &batch, &invocation).await -> Outcome`
//! once for every batch.

mod port;

pub use port::{
    Batch, Created, Failure, Invocation, Outcome, PortError, Ports, Publisher, RuleSets, Settings, StateLog,
    StreamRecord,
};
