//! Records that the engine does not survive: it panics on one kind, and the other brings down the process.

use std::{cell::Cell, panic, sync::Arc};

use fleetform_engine::{
    compiled::Compiled,
    drive::StreamRecord,
    state::ShardState,
    step::{self, Run, Stepped},
};

/// The bytes on which the engine panics.
pub(crate) const PANICS: &str = r#"{"ff":1,"k":"panics"}"#;
/// The bytes that end the process.
pub(crate) const KILLS: &str = r#"{"ff":1,"k":"kills"}"#;

thread_local! {
    static DEAD: Cell<bool> = const { Cell::new(false) };
}

/// Marks the start of a process.
pub(crate) fn live() {
    DEAD.set(false);
}

/// Whether the process that ran last has died. Whatever it did afterwards does not count.
pub(crate) fn is_dead() -> bool {
    DEAD.get()
}

/// The engine's step, which these records end halfway.
pub(crate) fn step(rules: &Arc<Compiled>, state: &mut ShardState, record: &StreamRecord<'_>, run: &mut Run) -> Stepped {
    if record.data == KILLS.as_bytes() {
        DEAD.set(true);
    } else if record.data == PANICS.as_bytes() {
        // Half of the work is done before it fails.
        step::step(rules, state, &StreamRecord { data: b"{}", ..*record }, run);
        panic::resume_unwind(Box::new("poison"));
    }
    step::step(rules, state, record, run)
}
