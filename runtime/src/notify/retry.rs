//! When to retry. Pure functions: the caller waits, or records the time for a later invocation.

use fleetform_engine::units::{Millis, Timestamp};

/// Maximum tries of one webhook within one invocation.
pub const TRIES_MAX: u32 = 3;
/// Upper limit of the first wait between two tries; it doubles with each further one.
const TRY_WAIT: Millis = Millis(250);
/// The longest wait within an invocation, requested or not. A longer one is left to a later invocation.
pub const TRY_WAIT_MAX: Millis = Millis(2_000);

/// The number of invocations that try a target before it is given up.
pub const ATTEMPTS_MAX: u32 = 10;
/// The wait after the first failed invocation; it doubles with each further one.
const ATTEMPT_WAIT: Millis = Millis(5_000);
/// The longest wait that was not requested.
const ATTEMPT_WAIT_MAX: Millis = Millis(300_000);
/// The longest wait that a receiver may request.
const ASKED_WAIT_MAX: Millis = Millis(60 * 60 * 1_000);

/// The wait after try `n` (starting at 1) within an invocation, with full jitter, so that senders that failed together
/// do not all retry at the same time. `chance` is between 0 and 1.
pub fn try_wait(n: u32, chance: f64) -> Millis {
    let longest = (TRY_WAIT.0 << n.saturating_sub(1).min(8)).min(TRY_WAIT_MAX.0);
    Millis((longest as f64 * chance.clamp(0.0, 1.0)) as u64)
}

/// The earliest time of the next attempt after attempt `n` failed at `now`; `None` if it was the last. A wait that the
/// receiver requested is not shortened, except to one hour.
pub fn next_attempt(n: u32, now: Timestamp, asked: Option<Millis>) -> Option<Timestamp> {
    if n >= ATTEMPTS_MAX {
        return None;
    }
    let own = Millis((ATTEMPT_WAIT.0 << n.saturating_sub(1).min(16)).min(ATTEMPT_WAIT_MAX.0));
    Some(now.after(asked.map_or(own, |asked| own.max(asked.min(ASKED_WAIT_MAX)))))
}

/// Parses `Retry-After`: seconds, or a date.
pub fn retry_after(value: &str, now: Timestamp) -> Option<Millis> {
    let value = value.trim();
    if let Ok(seconds) = value.parse::<u64>() {
        return Some(Millis(seconds.saturating_mul(1_000)));
    }
    let date = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(value).ok()?;
    Some(Timestamp(date.as_millisecond()).since(now))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_with_full_jitter_up_to_a_bound() {
        assert_eq!((try_wait(1, 0.0), try_wait(1, 1.0)), (Millis(0), Millis(250)));
        assert_eq!((try_wait(2, 0.5), try_wait(3, 1.0)), (Millis(250), Millis(1_000)));
        assert_eq!(try_wait(60, 1.0), TRY_WAIT_MAX);
    }

    #[test]
    fn attempts_end_and_honour_what_was_asked() {
        let now = Timestamp(1_000_000);
        assert_eq!(next_attempt(1, now, None), Some(Timestamp(1_005_000)));
        assert_eq!(next_attempt(3, now, None), Some(Timestamp(1_020_000)));
        assert_eq!(next_attempt(9, now, None), Some(Timestamp(1_300_000)));
        assert_eq!(next_attempt(1, now, Some(Millis(120_000))), Some(Timestamp(1_120_000)));
        assert_eq!(next_attempt(1, now, Some(Millis(u64::MAX))), Some(Timestamp(1_000_000 + 3_600_000)));
        assert_eq!(next_attempt(ATTEMPTS_MAX, now, Some(Millis(1))), None);
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = Timestamp(1_445_412_420_000);
        assert_eq!(retry_after(" 120 ", now), Some(Millis(120_000)));
        assert_eq!(retry_after("Wed, 21 Oct 2015 07:28:00 GMT", now), Some(Millis(60_000)));
        assert_eq!(retry_after("Wed, 21 Oct 2015 07:20:00 GMT", now), Some(Millis(0)));
        for nonsense in ["", "soon", "-1", "1.5"] {
            assert_eq!(retry_after(nonsense, now), None, "{nonsense}");
        }
    }
}
