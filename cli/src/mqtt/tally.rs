//! The outcome of a run over MQTT: counts and latencies, written by every device and read by the reports.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

/// The most reasons for failed connections that are kept apart.
const REASONS_MAX: usize = 10;

/// Counts of a run.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Devices that are connected now.
    pub(crate) connected: AtomicU64,
    /// Devices that have been connected at least once.
    pub(crate) known: AtomicU64,
    /// Devices of which the first attempts to connect all failed.
    pub(crate) failing: AtomicU64,
    /// Connections that ended unintentionally.
    pub(crate) lost: AtomicU64,
    /// Status messages and shadow reports of devices.
    pub(crate) own: AtomicU64,
    /// Messages that were written to a connection, each once.
    pub(crate) sent: AtomicU64,
    /// Messages of QoS 1 whose PUBACK has come.
    pub(crate) acknowledged: AtomicU64,
    /// Messages that were written again after a connection was lost.
    pub(crate) repeated: AtomicU64,
    /// Messages for which a device had no room.
    pub(crate) dropped: AtomicU64,
    /// Messages that devices received.
    pub(crate) received: AtomicU64,
    /// Subscriptions that the broker refused.
    pub(crate) unsubscribed: AtomicU64,
    /// From the first time that a message was written to its PUBACK.
    pub(crate) latencies: Latencies,
    reasons: Mutex<BTreeMap<String, u64>>,
}

impl Tally {
    /// Counts a reason for which a connection could not be made or was lost.
    pub(crate) fn reason(&self, reason: String) {
        let mut reasons = self.reasons.lock().unwrap_or_else(PoisonError::into_inner);
        if reasons.len() < REASONS_MAX || reasons.contains_key(&reason) {
            *reasons.entry(reason).or_default() += 1;
        }
    }

    /// The reasons, the most frequent first.
    pub(crate) fn reasons(&self) -> Vec<(String, u64)> {
        let reasons = self.reasons.lock().unwrap_or_else(PoisonError::into_inner);
        let mut reasons: Vec<_> = reasons.iter().map(|(reason, count)| (reason.clone(), *count)).collect();
        reasons.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        reasons
    }
}

/// Adds one.
pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Relaxed);
}

/// Steps of a latency between a power of two and the next: each is known to within a sixteenth.
const STEPS: u64 = 16;
const STEPS_LOG2: u32 = STEPS.trailing_zeros();

/// Powers of two of microseconds that are kept apart, above the first [`STEPS`]: up to an hour and more.
const POWERS: usize = 29;

/// How many latencies fell into which span of time.
#[derive(Debug)]
pub(crate) struct Latencies {
    buckets: [AtomicU64; (POWERS + 1) * STEPS as usize],
    longest_us: AtomicU64,
}

impl Default for Latencies {
    fn default() -> Self {
        Self { buckets: [const { AtomicU64::new(0) }; (POWERS + 1) * STEPS as usize], longest_us: AtomicU64::new(0) }
    }
}

impl Latencies {
    pub(crate) fn add(&self, latency: Duration) {
        let us = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        count(&self.buckets[bucket(us).min(self.buckets.len() - 1)]);
        self.longest_us.fetch_max(us, Relaxed);
    }

    /// Forgets what there was.
    pub(crate) fn forget(&self) {
        self.buckets.iter().chain([&self.longest_us]).for_each(|counter| counter.store(0, Relaxed));
    }

    /// The latency that this share of all messages does not exceed, slightly rounded up; none without messages.
    pub(crate) fn quantile(&self, share: f64) -> Option<Duration> {
        let counts: Vec<u64> = self.buckets.iter().map(|bucket| bucket.load(Relaxed)).collect();
        let all: u64 = counts.iter().sum();
        let rank = (all as f64 * share).ceil().max(1.0) as u64;
        let mut passed = 0;
        let found = counts.iter().position(|count| {
            passed += count;
            passed >= rank
        })?;
        let longest = self.longest_us.load(Relaxed);
        // The last bucket has no end.
        let is_last = found + 1 == counts.len();
        Some(Duration::from_micros(if is_last { longest } else { end(found).min(longest) }))
    }
}

/// The bucket of a latency: those below [`STEPS`] have their own, each power of two from there on has as many.
fn bucket(us: u64) -> usize {
    let Some(power) = us.checked_ilog2().and_then(|power| power.checked_sub(STEPS_LOG2)) else { return us as usize };
    let step = (us >> power) - STEPS;
    (power as usize + 1) * STEPS as usize + step as usize
}

/// The longest latency of a bucket.
fn end(bucket: usize) -> u64 {
    let (power, step) = (bucket as u64 / STEPS, bucket as u64 % STEPS);
    match power.checked_sub(1) {
        None => step,
        Some(power) => ((STEPS + step + 1) << power) - 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_holds_what_lies_between_its_ends() {
        for bucket_of in 0..Latencies::default().buckets.len() {
            let last = end(bucket_of);
            assert_eq!(bucket(last), bucket_of);
            assert_eq!(bucket(last + 1), bucket_of + 1);
        }
    }

    #[test]
    fn quantiles_are_known_to_within_a_sixteenth() {
        let latencies = Latencies::default();
        assert_eq!(latencies.quantile(0.5), None);
        for us in 1..=10_000 {
            latencies.add(Duration::from_micros(us));
        }
        for (share, us) in [(0.001, 10.0), (0.5, 5_000.0), (0.99, 9_900.0), (1.0, 10_000.0)] {
            let found = latencies.quantile(share).expect("there are some").as_micros() as f64;
            assert!((us..=us * (1.0 + 1.0 / STEPS as f64)).contains(&found), "{share}: {found}");
        }
        latencies.add(Duration::from_secs(1_000_000));
        assert_eq!(latencies.quantile(1.0), Some(Duration::from_secs(1_000_000)));
        latencies.forget();
        assert_eq!(latencies.quantile(1.0), None);
    }

    #[test]
    fn reasons_are_few_and_the_most_frequent_comes_first() {
        let tally = Tally::default();
        for number in 0..20 {
            for _ in 0..=number.min(5) {
                tally.reason(format!("reason {number:02}"));
            }
        }
        let reasons = tally.reasons();
        assert_eq!(reasons.len(), REASONS_MAX);
        assert_eq!(reasons[0], ("reason 05".to_owned(), 6));
    }
}
