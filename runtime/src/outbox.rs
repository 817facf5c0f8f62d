//! The attributes that outbox rows have in addition to their notice, so that undelivered ones can be found without
//! reading the others. Three parties share them: the writer of a row, the function that delivers it, and the sweep.

use fleetform_engine::units::Millis;

/// The index of open rows: by [`OPEN`], then [`TOUCHED_AT`].
pub const OPEN_INDEX: &str = "open";
/// The [`shelf`] of the row, present until the notice is settled. A row without it is in no index.
pub const OPEN: &str = "open";
/// When a row was last put into its table's stream, in milliseconds.
pub const TOUCHED_AT: &str = "touched_at";

/// When a row was put, in milliseconds. Its notice may concern an older time: records wait while nothing evaluates
/// them.
pub const PUT_AT: &str = "put_at";

/// How long after it was put a notice is retried. Then it is settled as failed, and counted.
pub const OPEN_MAX: Millis = Millis::from_days(1);
/// An open notice that has not been touched for this long is put into the stream again.
pub const REDRIVE_AFTER: Millis = Millis::from_secs(120);

/// All shelves. A thousand devices may fall silent in one second, and an index takes a thousand writes a second for
/// each of its keys ("Best practices for designing and using partition keys", Amazon DynamoDB developer guide).
pub const SHELVES: [&str; 16] = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "a", "b", "c", "d", "e", "f"];

/// The shelf of a notice: its id is a hash in hexadecimal, so any digit spreads them evenly.
pub fn shelf(notification: &str) -> &'static str {
    let digit = notification.bytes().next().and_then(|byte| char::from(byte).to_digit(16)).unwrap_or_default();
    SHELVES[digit as usize]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_id_has_a_shelf() {
        assert_eq!((shelf("0a"), shelf("f3"), shelf("7b"), shelf("zz"), shelf("")), ("0", "f", "7", "0", "0"));
        for (index, name) in SHELVES.iter().enumerate() {
            assert_eq!((shelf(name), format!("{index:x}").as_str()), (*name, *name));
        }
    }
}
